/* test_linear.c: FP8 linears against tests/oracle/make_fp8.py: the codes of weights exactly, outputs within 1e-5; which layers get
 * which precision from the tensors of a checkpoint; and calibration files. Relative L2: the largest K is 257, so FP32 sums in another
 * order differ by about sqrt(257) * 6e-8 = 1e-6. */
#include "engine/layers/calibrate.h"
#include "engine/layers/module.h"
#include "engine/checkpoint/host_values.h"
#include "tests/model.h"

static const int shapes[][3] = {{1, 1, 1},    {5, 7, 13},    {17, 33, 40},
                                {9, 66, 257}, {3, 130, 129}, {4, 128, 256}};

static const vg_tensor *golden(const vg_safetensors *st, const int shape[3], const char *what)
{
    char name[96];
    snprintf(name, sizeof name, "linear.%dx%dx%d.%s", shape[0], shape[1], shape[2], what);
    const vg_tensor *t = vg_safetensors_find(st, name);
    if (!t)
        fail_msg("golden %s is missing", name);
    return t;
}

static void quantise(vg_backend *be, const vg_tensor *w, bool block, void *codes, float *scales)
{
    vg_err err;
    int64_t n = w->shape[0], k = w->shape[1];
    vg_tensor q = vg_tensor_make(codes, VG_E4M3, 2, n, k),
              s = block ? vg_tensor_make(scales, VG_F32, 2, (n + 127) / 128, (k + 127) / 128)
                        : vg_tensor_make(scales, VG_F32, 1, 1);
    CHECK_OK(vg_quantize_weight(be, &(vg_quantize_weight_args){w, &q, &s}, &err), err);
}

static void test_linear_weight_codes_are_the_reference(void **state)
{
    vg_err err;
    vg_backend *be;
    vg_safetensors *st = open_file(GOLDEN "fp8.safetensors");
    (void)state;
    for (int threads = 1; threads <= 3; threads += 2) {
        CHECK_OK(vg_backend_open(VG_DEVICE_CPU, 0, threads, &be, &err), err);
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
            for (int block = 0; block < 2; block++) {
                const vg_tensor *w = golden(st, shapes[s], "w"),
                                *qw = golden(st, shapes[s], block ? "block.qw" : "qw");
                const vg_tensor *scale =
                    golden(st, shapes[s], block ? "block.weight_scale" : "weight_scale");
                uint8_t *q = malloc(vg_tensor_bytes(qw));
                float *scales = malloc(vg_tensor_bytes(scale));
                assert_true(q && scales);
                quantise(be, w, block, q, scales);
                assert_memory_equal(q, qw->data, vg_tensor_bytes(qw));
                assert_memory_equal(scales, scale->data, vg_tensor_bytes(scale));
                free(q);
                free(scales);
            }
        vg_backend_close(be);
    }
    vg_safetensors_close(st);
}

/* ---- layers through a checkpoint file ---- */

typedef struct layer_file {
    vg_safetensors_entry entries[12];
    int count;
} layer_file;

static void put(layer_file *f, const char *name, vg_tensor t)
{
    f->entries[f->count++] = (vg_safetensors_entry){name, t};
}

static vg_status open_layer(void **state, const layer_file *f, vg_engine *engine,
                            const vg_module_options *options, int64_t n, int64_t k,
                            vg_module **module, vg_linear_layer *l, vg_err *err)
{
    vg_err write_err;
    *module = NULL;
    CHECK_OK(vg_safetensors_write(scratch_path(state, "model.safetensors"), f->entries, f->count,
                                  NULL, &write_err),
             write_err);
    VG_TRY(vg_module_open(engine, *state, "part", options, module, err));
    vg_status status = vg_module_linear(*module, "x", n, k, true, true, options->compute, l, err);
    if (status != VG_OK) {
        vg_module_close(*module);
        *module = NULL;
    }
    return status;
}

/* Run the layer on the golden input (BF16 values as FP32). */
static void layer_output(vg_engine *engine, const vg_linear_layer *l, const vg_tensor *x,
                         vg_tensor *y)
{
    vg_err err;
    vg_arena *arena;
    vg_tensor in;
    CHECK_OK(vg_arena_new(vg_engine_backend(engine), 1 << 16, &arena, &err), err);
    CHECK_OK(vg_arena_tensor(arena, VG_F32, 2, x->shape, &in, &err), err);
    CHECK_OK(vg_host_to_f32(x, 0, vg_tensor_numel(x), in.data, &err), err);
    CHECK_OK(vg_linear_run1(arena, l, &in, VG_ACT_NONE, y, &err), err);
    vg_arena_free(arena);
}

static double layer_error(vg_engine *engine, const vg_linear_layer *l, const vg_tensor *x,
                          const vg_tensor *wanted)
{
    float *values = calloc((size_t)vg_tensor_numel(wanted), sizeof *values);
    vg_tensor y = vg_tensor_of(values, VG_F32, wanted->ndim, wanted->shape);
    assert_non_null(values);
    layer_output(engine, l, x, &y);
    double error = rel_l2(values, wanted->data, vg_tensor_numel(wanted));
    free(values);
    return error;
}

static void test_linear_fp8_outputs_are_the_reference(void **state)
{
    vg_err err;
    vg_engine *engine = open_engine();
    vg_safetensors *st = open_file(GOLDEN "fp8.safetensors");
    static float values[1 << 16];
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        const int *g = shapes[s];
        int64_t n = g[1], k = g[2];
        const vg_tensor *x = golden(st, g, "x"), *bias = golden(st, g, "bias"),
                        *block = golden(st, g, "block.weight_scale");
        vg_tensor qw = *golden(st, g, "qw"), bqw = *golden(st, g, "block.qw"),
                  input = *golden(st, g, "static.input_scale"), four;
        vg_tensor cqw = *golden(st, g, "channel.qw"), rows = *golden(st, g, "channel.weight_scale");
        qw.dtype = bqw.dtype = cqw.dtype = VG_E4M3;
        four = vg_tensor_reshape(block, 4, block->shape[0], 1, block->shape[1], 1);
        const struct {
            const char *what;
            vg_tensor w, scale, input;
            int scheme;
            const char *y, *scale_name;
        } cases[] = {
            {"stored, static", qw, *golden(st, g, "weight_scale"), input, VG_SCHEME_AUTO,
             "static.y", "x.weight_scale"},
            {"stored, dynamic",
             qw,
             vg_tensor_reshape(golden(st, g, "weight_scale"), 1, 1),
             {0},
             VG_SCHEME_FP8,
             "dynamic.y",
             "x.weight_scale"},
            {"stored, blocks", bqw, four, input, VG_SCHEME_FP8_BLOCK, "block.y", "x.weight_scale"},
            {"stored, blocks of 2-D scales", bqw, *block, input, VG_SCHEME_AUTO, "block.y",
             "x.weight_scale"},
            {"stored, blocks, the other name",
             bqw,
             *block,
             {0},
             VG_SCHEME_AUTO,
             "block.y",
             "x.weight_scale_inv"},
            {"stored, channels", cqw, rows, {0}, VG_SCHEME_AUTO, "channel.y", "x.weight_scale"},
            {"stored, channels as a column",
             cqw,
             vg_tensor_reshape(&rows, 2, n, 1),
             {0},
             VG_SCHEME_AUTO,
             "channel.y",
             "x.weight_scale"},
            {"made, dynamic",
             *golden(st, g, "w"),
             {0},
             {0},
             VG_SCHEME_FP8,
             "dynamic.y",
             "x.weight_scale"},
            {"made, blocks",
             *golden(st, g, "w"),
             {0},
             {0},
             VG_SCHEME_FP8_BLOCK,
             "block.y",
             "x.weight_scale"},
        };
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            layer_file f = {.count = 0};
            vg_module *module;
            vg_linear_layer l;
            /* [1,1] of a weight that is not larger than a block could be either; it is read as one of the tensor. */
            if (cases[i].scale.data == block->data && cases[i].scale.ndim == 2 &&
                vg_tensor_numel(block) == 1)
                continue;
            put(&f, "x.weight", cases[i].w);
            put(&f, "x.bias", *bias);
            if (cases[i].scale.data)
                put(&f, cases[i].scale_name, cases[i].scale);
            if (cases[i].input.data)
                put(&f, "x.input_scale", cases[i].input);
            put(&f, "x.weight_quantizer._amax", *bias); /* strays are ignored */
            vg_precision_policy policy = {.scheme = cases[i].scheme, .inputs = VG_FP8_ACT_DYNAMIC};
            vg_module_options options = {.compute = VG_F32, .policy = &policy};
            CHECK_OK(open_layer(state, &f, engine, &options, n, k, &module, &l, &err), err);
            double error = layer_error(engine, &l, x, golden(st, g, cases[i].y));
            if (!(error < 1e-5))
                fail_msg("%s %dx%dx%d: relative L2 %.2e", cases[i].what, g[0], g[1], g[2], error);
            vg_module_close(module);
            /* Weights alone: stored ones give what the dequantised layer gives, made ones what rounded weights do. */
            vg_tensor plain = vg_tensor_make(values, VG_F32, 2, x->shape[0], n);
            policy.inputs = VG_FP8_ACT_WEIGHT_ONLY;
            CHECK_OK(open_layer(state, &f, engine, &options, n, k, &module, &l, &err), err);
            assert_true(l.act == VG_QUANT_NONE && l.w.dtype == VG_E4M3);
            assert_true((size_t)vg_tensor_numel(&plain) <= sizeof values / sizeof values[0]);
            layer_output(engine, &l, x, &plain);
            vg_module_close(module);
            policy.scheme = VG_SCHEME_BF16;
            CHECK_OK(open_layer(state, &f, engine, &options, n, k, &module, &l, &err), err);
            assert_true(l.w.dtype == VG_F32);
            error = layer_error(engine, &l, x, &plain);
            if (!(error < (cases[i].w.dtype == VG_E4M3 ? 1e-6 : 0.05)))
                fail_msg("%s, weight-only: relative L2 %.2e", cases[i].what, error);
            vg_module_close(module);
        }
    }
    vg_safetensors_close(st);
    vg_engine_close(engine);
}

static void test_linear_fp8_needs_a_gpu_that_multiplies_it(void **state)
{
    vg_err err;
    (void)state;
    for (int act = 0; act < VG_QUANT_KIND_COUNT; act++)
        CHECK_OK(vg_fp8_act_check(0, (vg_quant_kind)act, &err), err);
    CHECK_OK(vg_fp8_act_check(80, VG_QUANT_NONE, &err), err);
    CHECK_OK(vg_fp8_act_check(89, VG_QUANT_TENSOR_STATIC, &err), err);
    CHECK_OK(vg_fp8_act_check(90, VG_QUANT_GROUP_DYNAMIC, &err), err);
    CHECK_FAILS(vg_fp8_act_check(86, VG_QUANT_TENSOR_DYNAMIC, &err), VG_E_UNSUPPORTED, err);
    assert_non_null(strstr(err.message, "weight-only"));
    CHECK_FAILS(vg_fp8_act_check(100, VG_QUANT_GROUP_DYNAMIC, &err), VG_E_UNSUPPORTED, err);
}

/* What a producer writes into a feed gives the bits that quantising its values gives. */
static void test_linear_feeds_equal_values(void **state)
{
    enum { M = 5, K = 300, N = 40 };
    const vg_quant_kind acts[] = {VG_QUANT_NONE, VG_QUANT_TENSOR_STATIC, VG_QUANT_GROUP_DYNAMIC,
                                  VG_QUANT_TENSOR_DYNAMIC};
    static float x[M * K], w[N * K], y[2][2][M * N], scales[3 * 1], bias[N], amax;
    static uint8_t q[N * K];
    float x_scale[2] = {0.02f, 0.03f};
    vg_engine *engine = open_engine();
    vg_backend *be = vg_engine_backend(engine);
    vg_arena *arena;
    vg_err err;
    (void)state;
    for (int i = 0; i < M * K; i++)
        x[i] = sinf((float)i) * 3;
    for (int i = 0; i < N * K; i++)
        w[i] = cosf((float)i * 1.7f);
    vg_tensor xt = vg_tensor_make(x, VG_F32, 2, M, K), wt = vg_tensor_make(w, VG_F32, 2, N, K);
    quantise(be, &wt, true, q, scales);
    CHECK_OK(vg_arena_new(be, 1 << 16, &arena, &err), err);
    for (int i = 0; i < 6; i++) {
        /* 4: two static scales, 5: calibrating; both want the values. */
        vg_quant_kind act = i < 4 ? acts[i] : VG_QUANT_TENSOR_STATIC;
        vg_linear_layer l = {.name = "l", .n = N, .k = K, .w = wt, .act = act}, other;
        if (act != VG_QUANT_NONE) {
            l.w = vg_tensor_make(q, VG_E4M3, 2, N, K);
            l.w_scale = vg_tensor_make(scales, VG_F32, 2, 1, 3);
        }
        l.bias = vg_tensor_make(bias, VG_F32, 1, N);
        l.x_scale = vg_tensor_make(&x_scale[0], VG_F32, 1, 1);
        l.x_scale_value = x_scale[0];
        other = l;
        if (i == 4) {
            other.x_scale = vg_tensor_make(&x_scale[1], VG_F32, 1, 1);
            other.x_scale_value = x_scale[1];
        }
        if (i == 5)
            other.amax = vg_tensor_make(&amax, VG_F32, 1, 1);
        const vg_linear_layer *layers[] = {&l, &other};
        vg_tensor out[2][2], memory;
        vg_feed feed, next;
        for (int j = 0; j < 4; j++)
            out[j / 2][j % 2] = vg_tensor_make(y[j / 2][j % 2], VG_F32, 2, M, N);
        CHECK_OK(vg_linear_run(arena, layers, 2, &xt, VG_ACT_GELU_TANH,
                               (vg_tensor *const[]){&out[0][0], &out[0][1]}, &err),
                 err);
        assert_true(vg_feed_bytes(layers, 2, &xt) <= vg_feed_most_bytes(&xt));
        CHECK_OK(vg_arena_tensor(arena, VG_U8, 1,
                                 (const int64_t[]){(int64_t)vg_feed_bytes(layers, 2, &xt)}, &memory,
                                 &err),
                 err);
        vg_feed_make(layers, 2, &xt, memory.data, &feed);
        assert_true(feed.kind == (i == 1 || i == 2 ? act : VG_QUANT_NONE));
        CHECK_OK(vg_activation(be,
                               &(vg_activation_args){.x = &xt,
                                                     .act = VG_ACT_NONE,
                                                     .y = vg_feed_values(&feed),
                                                     .quant = vg_feed_codes(&feed)},
                               &err),
                 err);
        CHECK_OK(vg_linear_run_fed(arena, layers, 2, &feed, VG_ACT_GELU_TANH,
                                   (vg_tensor *const[]){&out[1][0], &out[1][1]}, &err),
                 err);
        assert_memory_equal(y[0], y[1], sizeof y[0]);
        /* A layer that writes a feed itself. */
        const vg_linear_layer *reader = &l;
        vg_tensor q2;
        CHECK_OK(vg_arena_tensor(arena, VG_U8, 1,
                                 (const int64_t[]){(int64_t)vg_feed_most_bytes(&out[0][0])}, &q2,
                                 &err),
                 err);
        vg_feed_make(&reader, 1, &out[0][0], q2.data, &next);
        CHECK_OK(vg_linear_feed(arena, &l, &feed, VG_ACT_GELU_TANH, &next, &err), err);
        if (next.kind == VG_QUANT_NONE)
            assert_memory_equal(next.x.data, y[0][0], sizeof y[0][0]);
        else
            for (int64_t j = 0; j < M * N; j++) {
                float s = next.kind == VG_QUANT_TENSOR_STATIC ? x_scale[0]
                                                              : ((float *)next.scale.data)[j / N];
                float got = vg_e4m3_to_f32(((uint8_t *)next.q.data)[j]) * s, want = y[0][0][j];
                want = fminf(want, 448 * s);
                if (!(fabsf(got - want) <= fabsf(want) / 16 + s / 1024 * 1.01f))
                    fail_msg("kind %d, element %d: %g for %g", (int)next.kind, (int)j, (double)got,
                             (double)want);
            }
        vg_arena_reset(arena, 0);
    }
    vg_arena_free(arena);
    vg_engine_close(engine);
}

static void test_linear_layers_of_one_input_share_its_quantisation(void **state)
{
    vg_err err;
    vg_engine *engine = open_engine();
    vg_backend *be = vg_engine_backend(engine);
    vg_arena *arena;
    float x[2][4] = {{1, -2, 3, 0.5f}, {0.25f, 1, -1, 2}},
          w[3][4] = {{1, 2, 3, 4}, {-1, 0.5f, 2, 1}, {0, 1, 0, -1}}, y[3][2][3], amax[3] = {0};
    float one = 0.01f, other = 0.02f;
    uint8_t q[3][4];
    (void)state;
    vg_tensor wt = vg_tensor_make(w, VG_F32, 2, 3, 4), xt = vg_tensor_make(x, VG_F32, 2, 2, 4);
    float scale;
    quantise(be, &wt, false, &q[0][0], &scale);
    vg_linear_layer l = {.name = "l",
                         .n = 3,
                         .k = 4,
                         .w = vg_tensor_make(q, VG_E4M3, 2, 3, 4),
                         .w_scale = vg_tensor_make(&scale, VG_F32, 1, 1),
                         .act = VG_QUANT_TENSOR_DYNAMIC};
    vg_linear_layer s1 = l, s2 = l;
    s1.act = s2.act = VG_QUANT_TENSOR_STATIC;
    s1.x_scale = vg_tensor_make(&one, VG_F32, 1, 1);
    s1.x_scale_value = one;
    s2.x_scale = vg_tensor_make(&other, VG_F32, 1, 1);
    s2.x_scale_value = other;
    vg_tensor yt[3], most[3];
    for (int i = 0; i < 3; i++)
        yt[i] = vg_tensor_make(y[i], VG_F32, 2, 2, 3);
    CHECK_OK(vg_arena_new(be, 1 << 12, &arena, &err), err);
    int64_t before = be->calls[VG_OP_quantize];
    CHECK_OK(vg_linear_run(arena, (const vg_linear_layer *const[]){&l, &l, &l}, 3, &xt, VG_ACT_NONE,
                           (vg_tensor *const[]){&yt[0], &yt[1], &yt[2]}, &err),
             err);
    assert_int_equal(be->calls[VG_OP_quantize] - before, 1);
    assert_memory_equal(y[0], y[2], sizeof y[0]);
    CHECK_OK(vg_linear_run(arena, (const vg_linear_layer *const[]){&s1, &s1, &s2}, 3, &xt,
                           VG_ACT_NONE, (vg_tensor *const[]){&yt[0], &yt[1], &yt[2]}, &err),
             err);
    assert_int_equal(be->calls[VG_OP_quantize] - before, 3);
    /* Calibration sees the input's amax, and takes an all-zero input for 0. */
    for (int i = 0; i < 3; i++)
        most[i] = vg_tensor_make(&amax[i], VG_F32, 1, 1);
    l.amax = most[0];
    s1.amax = most[1];
    CHECK_OK(vg_linear_run(arena, (const vg_linear_layer *const[]){&l, &s1}, 2, &xt, VG_ACT_NONE,
                           (vg_tensor *const[]){&yt[0], &yt[1]}, &err),
             err);
    assert_true(amax[0] == 3 && amax[1] == 3);
    memset(x, 0, sizeof x);
    s2.amax = most[2];
    CHECK_OK(vg_linear_run1(arena, &s2, &xt, VG_ACT_NONE, &yt[0], &err), err);
    assert_true(amax[2] == 0);
    vg_arena_free(arena);
    vg_engine_close(engine);
}

static void test_linear_damaged_scales_name_the_layer(void **state)
{
    vg_err err;
    vg_engine *engine = open_engine();
    uint8_t q[6] = {0x38, 0x38, 0x38, 0x38, 0x38, 0x38};
    float bias[2] = {0}, good = 0.5f, zero = 0, nan_scale = NAN, three[3] = {1, 1, 1};
    const vg_tensor w = vg_tensor_make(q, VG_E4M3, 2, 2, 3), b = vg_tensor_make(bias, VG_F32, 1, 2);
    const struct {
        vg_tensor scale, input, other_input; /* other_input: another layer has one */
        vg_status wanted;
        const char *says;
    } cases[] = {
        {{0}, {0}, {0}, VG_E_MISSING, "layer x"},
        {vg_tensor_make(&zero, VG_F32, 1, 1), {0}, {0}, VG_E_FORMAT, "x.weight_scale"},
        {vg_tensor_make(&nan_scale, VG_F32, 1, 1), {0}, {0}, VG_E_FORMAT, "x.weight_scale"},
        {vg_tensor_make(three, VG_F32, 1, 3), {0}, {0}, VG_E_SHAPE, "x.weight_scale"},
        {vg_tensor_make(&good, VG_F32, 1, 1),
         {0},
         vg_tensor_make(&good, VG_F32, 1, 1),
         VG_E_MISSING,
         "input_scale"},
        {vg_tensor_make(&good, VG_F32, 1, 1),
         vg_tensor_make(&zero, VG_F32, 1, 1),
         {0},
         VG_E_FORMAT,
         "x.input_scale"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        layer_file f = {.count = 0};
        vg_module *module;
        vg_linear_layer l;
        vg_module_options options = {.compute = VG_F32};
        put(&f, "x.weight", w);
        put(&f, "x.bias", b);
        if (cases[i].scale.data)
            put(&f, "x.weight_scale", cases[i].scale);
        if (cases[i].input.data)
            put(&f, "x.input_scale", cases[i].input);
        if (cases[i].other_input.data)
            put(&f, "y.input_scale", cases[i].other_input);
        CHECK_FAILS(open_layer(state, &f, engine, &options, 2, 3, &module, &l, &err),
                    cases[i].wanted, err);
        if (!strstr(err.message, cases[i].says))
            fail_msg("\"%s\" does not say \"%s\"", err.message, cases[i].says);
    }
    vg_engine_close(engine);
}

/* In the layer's file: `from`, as often as it is there, becomes `to` of the same length. */
static void respell(void **state, const char *from, const char *to)
{
    vg_err err;
    char *text;
    size_t size, n = strlen(from);
    const char *path = scratch_path(state, "model.safetensors");
    CHECK_OK(vg_file_read(path, 1 << 20, &text, &size, &err), err);
    for (char *at = text; (at = memmem(at, size - (size_t)(at - text), from, n)); at += n)
        memcpy(at, to, n);
    CHECK_OK(vg_file_write_atomic(path, text, size, &err), err);
    free(text);
}

/* A tensor that is there, but of a dtype that vgen does not know, is not called missing. */
static void test_linear_foreign_dtypes_are_named(void **state)
{
    vg_err err;
    vg_engine *engine = open_engine();
    uint8_t q[6] = {0x38, 0x38, 0x38, 0x38, 0x38, 0x38};
    uint16_t bias[2] = {0};
    float scale = 0.5f;
    const struct {
        const char *from, *to, *says;
    } cases[] = {{"F8_E4M3", "F8_E5M2", "x.weight cannot be used: it has dtype F8_E5M2"},
                 {"\"F32\"", "\"U32\"", "x.weight_scale cannot be used: it has dtype U32"},
                 {"\"BF16\"", "\"I16\" ", "x.bias cannot be used: it has dtype I16"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        layer_file f = {.count = 0};
        vg_module *module;
        vg_linear_layer l;
        vg_module_options options = {.compute = VG_F32};
        put(&f, "x.weight", vg_tensor_make(q, VG_E4M3, 2, 2, 3));
        put(&f, "x.bias", vg_tensor_make(bias, VG_BF16, 1, 2));
        put(&f, "x.weight_scale", vg_tensor_make(&scale, VG_F32, 1, 1));
        CHECK_OK(open_layer(state, &f, engine, &options, 2, 3, &module, &l, &err), err);
        vg_module_close(module);
        respell(state, cases[i].from, cases[i].to);
        CHECK_OK(vg_module_open(engine, *state, "part", &options, &module, &err), err);
        CHECK_FAILS(vg_module_linear(module, "x", 2, 3, true, true, VG_F32, &l, &err), VG_E_DTYPE,
                    err);
        if (!strstr(err.message, cases[i].says))
            fail_msg("\"%s\" does not say \"%s\"", err.message, cases[i].says);
        vg_module_close(module);
    }
    vg_engine_close(engine);
}

static void test_linear_channel_scales_and_dequantisation(void **state)
{
    vg_err err;
    vg_engine *engine = open_engine();
    uint8_t q[2][3] = {{0x38, 0x40, 0xb8}, {0x30, 0x38, 0x00}}; /* 1, 2, -1; 0.5, 1, 0 */
    float bias[2] = {0.5f, -0.5f}, scales[2] = {2, 4};
    for (int column = 0; column < 2; column++) { /* [n] and [n,1] */
        layer_file f = {.count = 0};
        vg_module *module;
        vg_linear_layer l;
        put(&f, "x.weight", vg_tensor_make(q, VG_E4M3, 2, 2, 3));
        put(&f, "x.bias", vg_tensor_make(bias, VG_F32, 1, 2));
        put(&f, "x.weight_scale",
            column ? vg_tensor_make(scales, VG_F32, 2, 2, 1)
                   : vg_tensor_make(scales, VG_F32, 1, 2));
        const vg_precision_policy plain = {.scheme = VG_SCHEME_BF16};
        vg_module_options options = {.compute = VG_F32, .policy = &plain};
        CHECK_OK(open_layer(state, &f, engine, &options, 2, 3, &module, &l, &err), err);
        const float *w = l.w.data, wanted[6] = {2, 4, -2, 2, 4, 0};
        assert_true(l.w.dtype == VG_F32 && l.act == VG_QUANT_NONE &&
                    vg_module_dequantised(module) == 1);
        assert_memory_equal(w, wanted, sizeof wanted);
        vg_module_close(module);
        options.policy = NULL;
        CHECK_OK(open_layer(state, &f, engine, &options, 2, 3, &module, &l, &err), err);
        assert_true(l.w.dtype == VG_E4M3 && l.act == VG_QUANT_TENSOR_DYNAMIC &&
                    vg_tensor_numel(&l.w_scale) == 2);
        vg_module_close(module);
    }
    vg_engine_close(engine);
}

/* What is called weight_scale_inv multiplies; reciprocals are told by their size, and beside a weight_scale it is not looked at. */
static void test_linear_scale_inv(void **state)
{
    vg_err err;
    vg_engine *engine = open_engine();
    uint8_t q[6] = {0x38, 0x40, 0xb8, 0x30, 0x38, 0x00}; /* 1, 2, -1; 0.5, 1, 0 */
    float bias[2] = {0, 0}, right = 0.25f, reciprocal = 1792;
    const vg_precision_policy policy = {.scheme = VG_SCHEME_BF16};
    const vg_module_options options = {.compute = VG_F32, .policy = &policy};
    for (int i = 0; i < 3; i++) {
        layer_file f = {.count = 0};
        vg_module *module;
        vg_linear_layer l;
        put(&f, "x.weight", vg_tensor_make(q, VG_E4M3, 2, 2, 3));
        put(&f, "x.bias", vg_tensor_make(bias, VG_F32, 1, 2));
        put(&f, "x.weight_scale_inv", vg_tensor_make(i ? &reciprocal : &right, VG_F32, 2, 1, 1));
        if (i == 2)
            put(&f, "x.weight_scale", vg_tensor_make(&right, VG_F32, 2, 1, 1));
        if (i == 1) {
            CHECK_FAILS(open_layer(state, &f, engine, &options, 2, 3, &module, &l, &err),
                        VG_E_UNSUPPORTED, err);
            assert_true(strstr(err.message, "x.weight_scale_inv") &&
                        strstr(err.message, "reciprocal"));
            continue;
        }
        const float wanted[6] = {0.25f, 0.5f, -0.25f, 0.125f, 0.25f, 0};
        const char *first;
        CHECK_OK(open_layer(state, &f, engine, &options, 2, 3, &module, &l, &err), err);
        assert_memory_equal(l.w.data, wanted, sizeof wanted);
        assert_int_equal(vg_module_unused(module, &first), 0);
        vg_module_close(module);
    }
    vg_engine_close(engine);
}

static void test_linear_schemes_have_names(void **state)
{
    vg_err err;
    vg_scheme scheme;
    (void)state;
    for (int i = 0; i < VG_SCHEME_COUNT; i++) {
        CHECK_OK(vg_scheme_parse(vg_scheme_name((vg_scheme)i), &scheme, &err), err);
        assert_int_equal(scheme, i);
        assert_true(vg_scheme_label(scheme)[0] && vg_scheme_help(scheme)[0]);
    }
    CHECK_FAILS(vg_scheme_parse("fp9", &scheme, &err), VG_E_ARG, err);
    assert_non_null(strstr(err.message, "fp8-block"));
}

static void test_linear_input_scales_file(void **state)
{
    vg_err err;
    vg_calibration *c;
    vg_input_scales *s;
    float scale;
    const char *path = scratch_path(state, "scales.json");
    CHECK_OK(vg_calibration_new(&c, &err), err);
    CHECK_OK(vg_calibration_add(c, "transformer", "b", 448, &err), err);
    CHECK_OK(vg_calibration_add(c, "transformer", "a", 3.1415927f, &err), err);
    CHECK_OK(vg_calibration_add(c, "transformer", "a", 1, &err), err);
    CHECK_OK(vg_calibration_add(c, "transformer", "zero", 0, &err), err);
    CHECK_OK(vg_calibration_add(c, "other", "a", 896, &err), err);
    CHECK_FAILS(vg_calibration_add(c, "transformer", "a", NAN, &err), VG_E_FORMAT, err);
    vg_input_scales *measured;
    CHECK_OK(vg_calibration_scales(c, &measured, &err), err);
    vg_calibration_free(c);
    CHECK_OK(vg_input_scales_write(measured, "0123456789abcdef", NULL, path, &err), err);
    CHECK_OK(vg_input_scales_read(path, "0123456789abcdef", &s, &err), err);
    for (int read = 0; read < 2; read++) { /* FP32 survives the text */
        const vg_input_scales *from = read ? s : measured;
        CHECK_OK(vg_input_scales_find(from, "transformer", "a", &scale, &err), err);
        assert_true(scale == 3.1415927f / 448.0f);
        CHECK_OK(vg_input_scales_find(from, "transformer", "b", &scale, &err), err);
        assert_true(scale == 1.0f);
        CHECK_OK(vg_input_scales_find(from, "transformer", "zero", &scale, &err), err);
        assert_true(scale == 1.0f);
        CHECK_OK(vg_input_scales_find(from, "other", "a", &scale, &err), err);
        assert_true(scale == 2.0f);
        CHECK_FAILS(vg_input_scales_find(from, "transformer", "c", &scale, &err), VG_E_MISSING,
                    err);
        assert_non_null(strstr(err.message, "layer c of transformer"));
        CHECK_FAILS(vg_input_scales_find(from, "transformer_2", "a", &scale, &err), VG_E_MISSING,
                    err);
    }
    vg_input_scales_free(measured);
    vg_input_scales_free(s);
    CHECK_FAILS(vg_input_scales_read(path, "0000000000000000", &s, &err), VG_E_FORMAT, err);
    path = scratch_text(
        state, "bad.json",
        "{\"format\": \"vgen-input-scales\", \"version\": 1, \"identity\": \"\", \"transformer\": {\"a\": -1}}");
    CHECK_FAILS(vg_input_scales_read(path, NULL, &s, &err), VG_E_FORMAT, err);
    path = scratch_text(state, "other.json", "{\"format\": \"something\"}");
    CHECK_FAILS(vg_input_scales_read(path, NULL, &s, &err), VG_E_FORMAT, err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear_weight_codes_are_the_reference),
        cmocka_unit_test_setup_teardown(test_linear_fp8_outputs_are_the_reference, scratch_open,
                                        scratch_close),
        cmocka_unit_test(test_linear_fp8_needs_a_gpu_that_multiplies_it),
        cmocka_unit_test(test_linear_feeds_equal_values),
        cmocka_unit_test_setup_teardown(test_linear_layers_of_one_input_share_its_quantisation,
                                        scratch_open, scratch_close),
        cmocka_unit_test_setup_teardown(test_linear_damaged_scales_name_the_layer, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_linear_foreign_dtypes_are_named, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_linear_channel_scales_and_dequantisation, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_linear_scale_inv, scratch_open, scratch_close),
        cmocka_unit_test(test_linear_schemes_have_names),
        cmocka_unit_test_setup_teardown(test_linear_input_scales_file, scratch_open, scratch_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

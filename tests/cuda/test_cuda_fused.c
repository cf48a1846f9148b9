/* test_cuda_fused.c: fused stages of the CUDA backend equal the separate operations there, bit for bit: quantised results against
 * vg_quantize of the values, residual_norm against gate_residual and layer_norm_modulate. With VG_BENCH=1 the memory-bound
 * kernels are timed at the size of a 14B model at 720p, beside a device copy. Skipped where there is no GPU. */
#include "tests/cuda/check_cuda.h"

static const int64_t SIZES[][2] = {{1, 1},     {33, 511},  {7, 1025},   {300, 256}, {129, 1536},
                                   {65, 3072}, {67, 2048}, {130, 5120}, {66, 5112}, {3, 16392}};
#define SIZE_COUNT (sizeof SIZES / sizeof SIZES[0])
static const vg_dtype ACTS[] = {VG_F32, VG_BF16};

/* Codes and scales for a result of this shape; a static scale is filled in. */
static vg_quant_out codes_for(vg_quant_kind kind, int64_t rows, int64_t k)
{
    vg_tensor *q = check_tensor(VG_E4M3, 2, rows, k), *scale;

    if (kind == VG_QUANT_GROUP_DYNAMIC)
        scale = check_tensor(VG_F32, 2, (k + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP, rows);
    else
        scale = check_tensor(VG_F32, 1, 1);
    if (kind == VG_QUANT_TENSOR_STATIC)
        check_set(scale, 0, 0.0123);
    return (vg_quant_out){kind, on_gpu(q), on_gpu(scale)};
}

static void expect_same_bytes(const char *what, const vg_tensor *a, const vg_tensor *b)
{
    vg_tensor *x = back(a), *y = back(b);

    for (size_t i = 0; i < vg_tensor_bytes(x); i++)
        if (((uint8_t *)x->data)[i] != ((uint8_t *)y->data)[i])
            fail_msg("%s: byte %zu of %zu is %02x, not %02x", what, i, vg_tensor_bytes(x),
                     ((uint8_t *)x->data)[i], ((uint8_t *)y->data)[i]);
}

/* `got` against vg_quantize of the values y. */
static void expect_codes_of(const char *what, const vg_tensor *y, const vg_quant_out *got)
{
    vg_quant_out own = codes_for(got->kind, y->shape[0], y->shape[1]);
    vg_err err;

    CHECK_OK(vg_quantize(gpu, &(vg_quantize_args){y, own.kind, own.q, own.scale}, &err), err);
    expect_same_bytes(what, own.q, got->q);
    expect_same_bytes(what, own.scale, got->scale);
}

static vg_tensor *random_on_gpu(vg_dtype dtype, int64_t rows, int64_t k, check_rng *rng,
                                double centre, double spread)
{
    return on_gpu(check_fill(check_tensor(dtype, 2, rows, k), rng, centre, spread));
}

static vg_tensor *vector_on_gpu(int64_t k, check_rng *rng)
{
    return on_gpu(check_fill(check_tensor(VG_F32, 1, k), rng, 0.1, 0.5));
}

static const vg_quant_kind KINDS[] = {VG_QUANT_NONE, VG_QUANT_TENSOR_STATIC,
                                      VG_QUANT_GROUP_DYNAMIC};

static void test_cuda_fused_norm_codes(void **state)
{
    check_rng rng = {71};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (size_t s = 0; s < SIZE_COUNT; s++)
        for (int f = 0; f < 12; f++) {
            int64_t n = SIZES[s][0], d = SIZES[s][1];
            vg_tensor *x = random_on_gpu(ACTS[f & 1], n, d, &rng, 0.5, 3.0);
            vg_tensor *y = on_gpu(check_tensor(ACTS[f & 1], 2, n, d));
            vg_layer_norm_modulate_args args = {.x = x, .eps = 1e-6f, .y = y};
            if (f >> 2 == 1)
                args.scale = vector_on_gpu(d, &rng), args.shift = vector_on_gpu(d, &rng);
            if (f >> 2 == 2)
                args.w = vector_on_gpu(d, &rng), args.b = vector_on_gpu(d, &rng);
            CHECK_OK(vg_layer_norm_modulate(gpu, &args, &err), err);
            args.quant = codes_for(KINDS[1 + (f >> 1 & 1)], n, d);
            args.y = NULL;
            CHECK_OK(vg_layer_norm_modulate(gpu, &args, &err), err);
            expect_codes_of("layer_norm_modulate", y, &args.quant);
            args.y = x; /* in place, beside the codes */
            CHECK_OK(vg_layer_norm_modulate(gpu, &args, &err), err);
            expect_same_bytes("layer_norm_modulate in place", y, x);
            expect_codes_of("layer_norm_modulate beside y", y, &args.quant);
            release_all();
        }
}

static void test_cuda_fused_residual_norm(void **state)
{
    check_rng rng = {72};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (size_t s = 0; s < SIZE_COUNT; s++)
        for (int f = 0; f < 36; f++) {
            int64_t n = SIZES[s][0], d = SIZES[s][1];
            vg_dtype dtype = ACTS[f & 1];
            vg_quant_kind kind = KINDS[f / 4 % 3];
            vg_tensor *x = random_on_gpu(dtype, n, d, &rng, 0.5, 3.0);
            vg_tensor *add = random_on_gpu(dtype, n, d, &rng, 0.0, 3.0);
            vg_tensor *sum = on_gpu(check_tensor(dtype, 2, n, d));
            vg_tensor *y = on_gpu(check_tensor(dtype, 2, n, d));
            vg_tensor *z = on_gpu(check_tensor(dtype, 2, n, d));
            vg_tensor *gate = f & 2 ? vector_on_gpu(d, &rng) : NULL;
            vg_residual_norm_args args = {.x = x, .add = add, .gate = gate, .sum = x, .eps = 1e-6f};
            vg_layer_norm_modulate_args norm = {.x = sum, .eps = 1e-6f, .y = y};
            if (f / 12 == 1)
                args.scale = vector_on_gpu(d, &rng), args.shift = vector_on_gpu(d, &rng);
            if (f / 12 == 2)
                args.w = vector_on_gpu(d, &rng), args.b = vector_on_gpu(d, &rng);
            norm.scale = args.scale, norm.shift = args.shift, norm.w = args.w, norm.b = args.b;
            CHECK_OK(vg_gate_residual(gpu, &(vg_gate_residual_args){x, add, gate, sum}, &err), err);
            CHECK_OK(vg_layer_norm_modulate(gpu, &norm, &err), err);
            args.y = z;
            if (kind != VG_QUANT_NONE) {
                args.quant = codes_for(kind, n, d);
                args.y = f & 1 ? NULL : z;
            }
            CHECK_OK(vg_residual_norm(gpu, &args, &err), err);
            expect_same_bytes("residual_norm, sum in place", sum, x);
            if (args.y)
                expect_same_bytes("residual_norm", y, z);
            if (kind != VG_QUANT_NONE)
                expect_codes_of("residual_norm, codes", y, &args.quant);
            release_all();
        }
}

static void test_cuda_fused_activation_codes(void **state)
{
    check_rng rng = {73};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (size_t s = 0; s < SIZE_COUNT; s++)
        for (int f = 0; f < 16; f++) {
            int64_t n = SIZES[s][0], d = SIZES[s][1];
            vg_tensor *x = random_on_gpu(ACTS[f & 1], n, d, &rng, 0.0, 6.0);
            vg_tensor *mul = f & 8 ? random_on_gpu(ACTS[f & 1], n, d, &rng, 0.0, 2.0) : NULL;
            vg_tensor *y = on_gpu(check_tensor(ACTS[f & 1], 2, n, d));
            vg_activation_args args = {.x = x, .act = VG_ACT_GELU_TANH, .mul = mul, .y = y};
            CHECK_OK(vg_activation(gpu, &args, &err), err);
            args.quant = codes_for(KINDS[1 + (f >> 1 & 1)], n, d);
            args.y = f & 4 ? x : NULL;
            CHECK_OK(vg_activation(gpu, &args, &err), err);
            expect_codes_of("activation", y, &args.quant);
            release_all();
        }
}

/* Every code of a group's division against the CPU's, also at the edges: zeros of both signs, subnormals, infinities, NaN. */
static void test_cuda_fused_group_division(void **state)
{
    const double sizes[] = {1.0, 1e-30, 1e-38, 3e38, 448.0, 1e-12};
    check_rng rng = {74};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (int f = 0; f < 24; f++) {
        vg_tensor *x = check_fill(check_tensor(ACTS[f & 1], 2, 300, 1280), &rng, 0.0, sizes[f / 4]);
        vg_quant_out got;
        vg_tensor *q = check_tensor(VG_E4M3, 2, 300, 1280),
                  *scale = check_tensor(VG_F32, 2, 10, 300);
        for (int i = 0; i < 300 * 1280; i += 7)
            check_set(x, i, check_get(x, i) * exp2(-(double)(i % 31)));
        if (f & 2)
            for (int i = 0; i < 5; i++)
                check_set(x, 128 * i + i, (const double[]){INFINITY, -INFINITY, NAN, -0.0, 0.0}[i]);
        got = codes_for(VG_QUANT_GROUP_DYNAMIC, 300, 1280);
        CHECK_OK(vg_quantize(check_cpu()->four,
                             &(vg_quantize_args){x, VG_QUANT_GROUP_DYNAMIC, q, scale}, &err),
                 err);
        CHECK_OK(vg_quantize(gpu, &(vg_quantize_args){on_gpu(x), got.kind, got.q, got.scale}, &err),
                 err);
        expect_same_bits("group codes", q, back(got.q));
        expect_same_bits("group scales", scale, back(got.scale));
        release_all();
    }
}

/* All mantissas of BF16 values and of their group's maximum, in every exponent that gives a code between 0 and 448. */
static void test_cuda_fused_group_division_of_all_mantissas(void **state)
{
    enum { EXPONENTS = 21, GROUPS = (128 * EXPONENTS + 126) / 127, K = GROUPS * 128 };
    vg_tensor *x, *q, *scale;
    vg_quant_out got;
    vg_err err;

    (void)state;
    NEED_GPU();
    x = check_tensor(VG_BF16, 2, 128, K);
    q = check_tensor(VG_E4M3, 2, 128, K), scale = check_tensor(VG_F32, 2, GROUPS, 128);
    for (int row = 0; row < 128; row++)
        for (int group = 0, at = 0; group < GROUPS; group++)
            for (int i = 0; i < 128; i++) {
                double most = 1.0 + row / 128.0, v = (1.0 + at % 128 / 128.0) * exp2(-(at / 128));
                check_set(x, (int64_t)row * K + group * 128 + i, i == 0 || v > most ? most : v);
                at += i > 0;
            }
    got = codes_for(VG_QUANT_GROUP_DYNAMIC, 128, K);
    CHECK_OK(vg_quantize(check_cpu()->four,
                         &(vg_quantize_args){x, VG_QUANT_GROUP_DYNAMIC, q, scale}, &err),
             err);
    CHECK_OK(vg_quantize(gpu, &(vg_quantize_args){on_gpu(x), got.kind, got.q, got.scale}, &err),
             err);
    expect_same_bits("group codes", q, back(got.q));
    expect_same_bits("group scales", scale, back(got.scale));
    release_all();
}

/* E4M3 operands to codes of GELU, with one scale each: the product's own output. */
static void test_cuda_fused_gelu_codes(void **state)
{
    const int64_t shapes[][3] = {{33, 65, 511}, {272, 1536, 1536}, {64, 256, 5120}};
    check_rng rng = {78};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (int s = 0; s < 3; s++) {
        int64_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
        double step = 0.01, *reference;
        vg_tensor *x = check_fill(check_tensor(VG_E4M3, 2, m, k), &rng, 0.0, 400.0),
                  *w = check_fill(check_tensor(VG_E4M3, 2, n, k), &rng, 0.0, 400.0),
                  *x_scale = check_tensor(VG_F32, 1, 1), *w_scale = check_tensor(VG_F32, 1, 1),
                  *bias = check_fill(check_tensor(VG_BF16, 1, n), &rng, 0.0, 1.0),
                  *y = check_tensor(VG_F32, 2, m, n);
        vg_quant_out codes = codes_for(VG_QUANT_TENSOR_STATIC, m, n);
        vg_linear_args args = {.x = x,
                               .x_scale = x_scale,
                               .w = w,
                               .w_scale = w_scale,
                               .bias = bias,
                               .act = VG_ACT_GELU_TANH,
                               .y = y},
                       on = args;
        vg_tensor *first;
        check_set(x_scale, 0, 1.0 / 400), check_set(w_scale, 0, 3.0 / 400 / sqrt((double)k));
        CHECK_OK(vg_linear(check_cpu()->four, &args, &err), err);
        on.x = on_gpu(x), on.w = on_gpu(w), on.bias = on_gpu(bias);
        on.x_scale = on_gpu(x_scale), on.w_scale = on_gpu(w_scale), on.y = NULL;
        vg_backend_upload(gpu, codes.scale, &(float){(float)step}, &err);
        on.quant = codes;
        CHECK_OK(vg_linear(gpu, &on, &err), err);
        first = back(codes.q);
        reference = check_reference(y);
        for (int64_t i = 0; i < m * n; i++)
            reference[i] = fmin(check_get(y, i) / step, 448.0);
        /* Half a step of E4M3 (2^-4, or 2^-10 below its normal range); GELU as VG_GELU_FUSED says; sums that stay in short accumulators: their
         * 14 bits on sums of up to 4, 2^-12, in steps of 1 / step. */
        CHECK_CLOSE("linear to codes of GELU", first, reference,
                    0x1p-10 + (VG_GELU_FUSED_ABSOLUTE + 0x1p-10) / step,
                    0x1p-4 + VG_GELU_FUSED_RELATIVE + 0x1p-9);
        free(reference);
        CHECK_OK(vg_linear(gpu, &on, &err), err);
        expect_same_bits("linear to codes, repeated", first, back(codes.q));
        release_all();
    }
}

/* Choices timed once serve every later run: the same file, the same bits; a damaged file is made anew. */
static void test_cuda_fused_choices_are_kept(void **state)
{
    enum { M = 2048, W = 1536 };
    char folder[] = "/tmp/vgen-choices-XXXXXX", command[256];
    check_rng rng = {79};
    vg_tensor *x, *w, *y[4];
    vg_backend *shared = gpu;
    vg_err err;

    (void)state;
    NEED_GPU();
    assert_non_null(mkdtemp(folder));
    x = check_fill(check_tensor(VG_BF16, 2, M, W), &rng, 0.0, 1.0);
    w = check_fill(check_tensor(VG_BF16, 2, W, W), &rng, 0.0, 1.0);
    for (int run = 0; run < 4; run++) {
        vg_tensor *dy;
        y[run] = check_tensor(VG_BF16, 2, M, W);
        CHECK_OK(vg_backend_open(VG_DEVICE_CUDA, 0, 0, &gpu, &err), err);
        CHECK_OK(vg_backend_keep_choices(gpu, folder, &err), err);
        dy = on_gpu(y[run]);
        for (int i = 0; i < 2; i++)
            CHECK_OK(
                vg_linear(gpu, &(vg_linear_args){.x = on_gpu(x), .w = on_gpu(w), .y = dy}, &err),
                err);
        CHECK_OK(vg_backend_download(gpu, y[run]->data, dy, &err), err);
        for (; mirror_count; mirror_count--)
            vg_backend_release(gpu, mirrors[mirror_count - 1].block.data,
                               vg_tensor_bytes(&mirrors[mirror_count - 1].block));
        vg_backend_close(gpu);
        gpu = shared;
        snprintf(command, sizeof command, "test $(cat %s/*.txt | wc -l) = 2", folder);
        assert_int_equal(system(command), 0);
        if (run == 1) { /* half a line */
            snprintf(command, sizeof command,
                     "for f in %s/*.txt; do head -c 300 $f > $f.x; mv $f.x $f; done", folder);
            assert_int_equal(system(command), 0);
        }
        if (run == 2) {
            snprintf(command, sizeof command,
                     "for f in %s/*.txt; do head -c 100 /dev/urandom > $f; done", folder);
            assert_int_equal(system(command), 0);
        }
    }
    assert_memory_equal(y[0]->data, y[1]->data, vg_tensor_bytes(y[0]));
    expect_near("another choice", y[0], y[2], 1e-2);
    expect_near("another choice", y[0], y[3], 1e-2);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
    release_all();
}

static void test_cuda_fused_linear_codes(void **state)
{
    const int64_t shapes[][3] = {
        {1, 1, 1}, {33, 65, 511}, {300, 768, 256}, {272, 1536, 1536}, {64, 40, 5120}};
    check_rng rng = {75};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (int s = 0; s < 5; s++)
        for (int f = 0; f < 8; f++) {
            int64_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
            vg_tensor *x = random_on_gpu(VG_BF16, m, k, &rng, 0.0, 1.0);
            vg_tensor *w = random_on_gpu(VG_BF16, n, k, &rng, 0.0, 0.05);
            vg_tensor *bias = on_gpu(check_fill(check_tensor(VG_BF16, 1, n), &rng, 0.0, 1.0));
            vg_tensor *y = on_gpu(check_tensor(VG_BF16, 2, m, n));
            vg_linear_args args = {.x = x,
                                   .w = w,
                                   .bias = bias,
                                   .act = f & 4 ? VG_ACT_GELU_TANH : VG_ACT_NONE,
                                   .y = y};
            CHECK_OK(vg_linear(gpu, &args, &err), err);
            args.quant = codes_for(KINDS[1 + (f & 1)], m, n);
            args.y = f & 2 ? y : NULL;
            CHECK_OK(vg_linear(gpu, &args, &err), err);
            expect_codes_of("linear", y, &args.quant);
            release_all();
        }
}

static void test_cuda_fused_amax(void **state)
{
    check_rng rng = {76};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (size_t s = 0; s < SIZE_COUNT; s++)
        for (int f = 0; f < 2; f++) {
            vg_tensor *x = check_fill(check_tensor_of(ACTS[f], 2, SIZES[s]), &rng, 0.0, 3.0);
            vg_tensor *most = check_tensor(VG_F32, 1, 1), *device, *dx;
            check_set(x, 0, NAN); /* passed over */
            check_set(most, 0, s & 1 ? 0.25 : 5.0);
            dx = on_gpu(x), device = on_gpu(most);
            CHECK_OK(vg_amax(check_cpu()->four, &(vg_amax_args){x, most}, &err), err);
            CHECK_OK(vg_amax(gpu, &(vg_amax_args){dx, device}, &err), err);
            expect_same_bits("amax", most, back(device));
            release_all();
        }
}

/* ---- timing, on request ----------------------------------------------------------------------------------------- */

enum { N = 75600, D = 5120, F = 13824 };

static vg_tensor bench_tensor(vg_dtype dtype, int64_t rows, int64_t columns, check_rng *rng)
{
    const int64_t shape[2] = {rows, columns};
    vg_tensor t = vg_tensor_of(NULL, dtype, rows > 1 ? 2 : 1, rows > 1 ? shape : shape + 1);
    size_t bytes = vg_tensor_bytes(&t), piece = 1 << 20;
    uint8_t *host = malloc(piece);
    vg_err err;

    assert_non_null(host);
    CHECK_OK(vg_backend_alloc(gpu, bytes, &t.data, &err), err);
    for (size_t i = 0; i < piece; i += vg_dtype_size(dtype)) {
        double v = check_random(rng);
        if (dtype == VG_F32)
            *(float *)(void *)(host + i) = (float)v;
        else if (dtype == VG_BF16)
            *(uint16_t *)(void *)(host + i) = vg_f32_to_bf16((float)v);
        else
            host[i] = vg_f32_to_e4m3((float)v * 100);
    }
    for (size_t at = 0; at < bytes; at += piece) {
        vg_tensor part = vg_tensor_make((char *)t.data + at, VG_U8, 1,
                                        (int64_t)(bytes - at < piece ? bytes - at : piece));
        CHECK_OK(vg_backend_upload(gpu, &part, host, &err), err);
    }
    free(host);
    return t;
}

static void test_cuda_fused_bench(void **state)
{
    check_rng rng = {77};
    vg_err err;

    (void)state;
    if (!gpu || !getenv("VG_BENCH"))
        skip();
    vg_tensor x = bench_tensor(VG_BF16, N, D, &rng), y = bench_tensor(VG_BF16, N, D, &rng),
              z = bench_tensor(VG_BF16, N, D, &rng), wide = bench_tensor(VG_BF16, N, F, &rng),
              q = bench_tensor(VG_E4M3, N, D, &rng), wide_q = bench_tensor(VG_E4M3, N, F, &rng),
              a = bench_tensor(VG_F32, 1, D, &rng), b = bench_tensor(VG_F32, 1, D, &rng),
              g = bench_tensor(VG_F32, 1, D, &rng), w = bench_tensor(VG_BF16, 1, D, &rng),
              cosine = bench_tensor(VG_F32, N, 64, &rng), sine = bench_tensor(VG_F32, N, 64, &rng),
              one = bench_tensor(VG_F32, 1, 1, &rng),
              groups = bench_tensor(VG_F32, F / 128, N, &rng);
    vg_tensor d_groups = vg_tensor_make(groups.data, VG_F32, 2, D / 128, N);
    vg_quant_out fixed = {VG_QUANT_TENSOR_STATIC, &q, &one},
                 grouped = {VG_QUANT_GROUP_DYNAMIC, &q, &d_groups};
    double u = (double)N * D * 2, f = (double)N * F * 2;
    vg_layer_norm_modulate_args norm = {.x = &x, .scale = &a, .shift = &b, .eps = 1e-6f, .y = &y};
    vg_residual_norm_args residual = {
        .x = &x, .add = &y, .gate = &g, .sum = &x, .scale = &a, .shift = &b, .eps = 1e-6f, .y = &z};
    vg_activation_args gelu = {.x = &wide, .act = VG_ACT_GELU_TANH, .y = &wide};
    vg_rms_norm_rope_args rope = {.x = &x,
                                  .w = &w,
                                  .eps = 1e-6f,
                                  .heads = 40,
                                  .rope_cos = &cosine,
                                  .rope_sin = &sine,
                                  .y = &y};

    TIME("copy", 2 * u, 0, vg_backend_copy(gpu, &y, &x, &err));
    TIME("layer_norm_modulate", 2 * u, 0, vg_layer_norm_modulate(gpu, &norm, &err));
    norm.y = NULL, norm.quant = fixed;
    TIME("layer_norm_modulate, static", 1.5 * u, 0, vg_layer_norm_modulate(gpu, &norm, &err));
    norm.quant = grouped;
    TIME("layer_norm_modulate, groups", 1.5 * u, 0, vg_layer_norm_modulate(gpu, &norm, &err));
    TIME("residual_norm", 4 * u, 0, vg_residual_norm(gpu, &residual, &err));
    residual.y = NULL, residual.quant = fixed;
    TIME("residual_norm, static", 3.5 * u, 0, vg_residual_norm(gpu, &residual, &err));
    residual.quant = grouped;
    TIME("residual_norm, groups", 3.5 * u, 0, vg_residual_norm(gpu, &residual, &err));
    TIME("rms_norm_rope", 2 * u + 512.0 * N, 0, vg_rms_norm_rope(gpu, &rope, &err));
    rope.rope_cos = rope.rope_sin = NULL;
    TIME("rms_norm (no rotation)", 2 * u, 0, vg_rms_norm_rope(gpu, &rope, &err));
    TIME("gate_residual", 3 * u, 0,
         vg_gate_residual(gpu, &(vg_gate_residual_args){&x, &y, &g, &x}, &err));
    TIME("GELU", 2 * f, 0, vg_activation(gpu, &gelu, &err));
    gelu.y = NULL, gelu.quant = (vg_quant_out){VG_QUANT_TENSOR_STATIC, &wide_q, &one};
    TIME("GELU, static", 1.5 * f, 0, vg_activation(gpu, &gelu, &err));
    gelu.quant = (vg_quant_out){VG_QUANT_GROUP_DYNAMIC, &wide_q, &groups};
    TIME("GELU, groups", 1.5 * f, 0, vg_activation(gpu, &gelu, &err));
    TIME("quantize, static", 1.5 * u, 0,
         vg_quantize(gpu, &(vg_quantize_args){&x, VG_QUANT_TENSOR_STATIC, &q, &one}, &err));
    TIME("quantize, dynamic", 2.5 * u, 0,
         vg_quantize(gpu, &(vg_quantize_args){&x, VG_QUANT_TENSOR_DYNAMIC, &q, &one}, &err));
    TIME("quantize, groups", 1.5 * u, 0,
         vg_quantize(gpu, &(vg_quantize_args){&x, VG_QUANT_GROUP_DYNAMIC, &q, &d_groups}, &err));
    TIME("amax", u, 0, vg_amax(gpu, &(vg_amax_args){&x, &one}, &err));
    vg_tensor latents = vg_tensor_make(wide.data, VG_F32, 2, N, D);
    TIME("guidance_step", 6 * u, 0, /* two answers, latents in FP32 read and written */
         vg_guidance_step(gpu, &(vg_guidance_step_args){&latents, {&x, &y, 5.0f}, -0.1f, &latents},
                          &err));
    TIME("linear_combination, 3 terms", 4 * u, 0,
         vg_linear_combination(
             gpu,
             &(vg_linear_combination_args){
                 .count = 3, .x = {&x, &y, &z}, .coef = {0.5f, 0.3f, 0.2f}, .y = &z},
             &err));
    /* 36 latent channels of 21 x 90 x 160, and the head's 16 channels. */
    vg_tensor frames = vg_tensor_make(x.data, VG_BF16, 4, 36, 21, 90, 160),
              rows = vg_tensor_make(y.data, VG_BF16, 2, N, 36 * 4);
    vg_tensor frames16 = vg_tensor_make(x.data, VG_BF16, 4, 16, 21, 90, 160),
              rows16 = vg_tensor_make(y.data, VG_BF16, 2, N, 16 * 4);
    vg_tensor some = vg_tensor_make(x.data, VG_BF16, 2, N, 144),
              others = vg_tensor_make(y.data, VG_BF16, 2, N, 144);
    TIME("copy of what patchify moves", 2.0 * N * 144 * 2, 0,
         vg_backend_copy(gpu, &others, &some, &err));
    TIME("patchify", 2.0 * N * 144 * 2, 0,
         vg_patchify(gpu, &(vg_patchify_args){.x = &frames, .patch = {1, 2, 2}, .y = &rows}, &err));
    TIME("unpatchify", 2.0 * N * 64 * 2, 0,
         vg_unpatchify(gpu, &(vg_unpatchify_args){.x = &rows16, .patch = {1, 2, 2}, .y = &frames16},
                       &err));
    vg_tensor *all[] = {&x, &y, &z, &wide,   &q,    &wide_q, &a,
                        &b, &g, &w, &cosine, &sine, &one,    &groups};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        vg_backend_release(gpu, all[i]->data, vg_tensor_bytes(all[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuda_fused_norm_codes),
        cmocka_unit_test(test_cuda_fused_residual_norm),
        cmocka_unit_test(test_cuda_fused_activation_codes),
        cmocka_unit_test(test_cuda_fused_group_division),
        cmocka_unit_test(test_cuda_fused_group_division_of_all_mantissas),
        cmocka_unit_test(test_cuda_fused_linear_codes),
        cmocka_unit_test(test_cuda_fused_gelu_codes),
        cmocka_unit_test(test_cuda_fused_choices_are_kept),
        cmocka_unit_test(test_cuda_fused_amax),
        cmocka_unit_test(test_cuda_fused_bench),
    };
    use_filter();
    return cmocka_run_group_tests_name("cuda_fused", tests, open_gpu, close_gpu);
}

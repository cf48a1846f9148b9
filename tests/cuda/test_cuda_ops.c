/* test_cuda_ops.c: the CUDA backend against the CPU backend, operation by operation; skipped where there is no GPU.
 * With VG_BENCH=1 in the environment the memory-bound kernels are also timed at the size of a 14B model. */
#include "tests/cuda/check_cuda.h"

static const int64_t SIZES[][2] = {{1, 1},     {33, 511},  {7, 1025},
                                   {300, 256}, {65, 5120}, {3, 16392}};
#define SIZE_COUNT (sizeof SIZES / sizeof SIZES[0])
static const vg_dtype ACTS[] = {VG_F32, VG_BF16};

static void test_cuda_absent_gpu_is_an_error(void **state)
{
    vg_backend *be = NULL;
    vg_err err;

    (void)state;
    CHECK_FAILS(vg_backend_open(VG_DEVICE_CUDA, gpu ? 4096 : 0, 0, &be, &err), VG_E_DEVICE, err);
    assert_null(be);
}

static void test_cuda_memory_and_transfers(void **state)
{
    float in[1000], out[1000];
    vg_tensor a, b;
    void *memory;
    vg_device_info info;
    vg_err err;

    (void)state;
    NEED_GPU();
    for (int i = 0; i < 1000; i++)
        in[i] = (float)i;
    CHECK_OK(vg_backend_info(gpu, &info, &err), err);
    print_message("%s, sm_%d, %zu of %zu bytes free\n", info.name, info.capability,
                  info.memory_free, info.memory_total);
    assert_true(info.capability >= 80 && info.memory_free <= info.memory_total &&
                info.memory_free > 0);
    CHECK_OK(vg_backend_alloc(gpu, 8000, &memory, &err), err);
    assert_int_equal((uintptr_t)memory % 256, 0);
    a = vg_tensor_make(memory, VG_F32, 1, 1000);
    b = vg_tensor_make((float *)memory + 1000, VG_F32, 1, 1000);
    CHECK_OK(vg_backend_upload(gpu, &a, in, &err), err);
    CHECK_OK(vg_backend_copy(gpu, &b, &a, &err), err);
    CHECK_OK(vg_backend_zero(gpu, &a, &err), err);
    CHECK_OK(vg_backend_download(gpu, out, &b, &err), err);
    assert_memory_equal(in, out, sizeof in);
    CHECK_OK(vg_backend_download(gpu, out, &a, &err), err);
    assert_true(out[0] == 0.0f && out[999] == 0.0f);
    vg_backend_release(gpu, memory, 8000);
    CHECK_FAILS(vg_backend_alloc(gpu, (size_t)1 << 50, &memory, &err), VG_E_NOMEM, err);
    CHECK_OK(vg_backend_alloc(gpu, 64, &memory, &err), err); /* still usable */
    vg_backend_release(gpu, memory, 64);
    CHECK_OK(vg_backend_sync(gpu, &err), err);
}

static void test_cuda_every_operation_is_there(void **state)
{
    (void)state;
    NEED_GPU();
    for (int op = 0; op < VG_OP_COUNT; op++)
        if (!vg_backend_supports(gpu, (vg_op)op))
            fail_msg("operation %s is missing", vg_op_name((vg_op)op));
}

static void test_cuda_cast(void **state)
{
    const vg_dtype from[] = {VG_F32, VG_BF16, VG_F16, VG_E4M3}, to[] = {VG_F32, VG_BF16, VG_E4M3};
    const int64_t sizes[] = {1, 33, 511, 1025, 70000};
    check_rng rng = {31};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 3; j++)
            for (int s = 0; s < 5; s++) {
                vg_tensor *x =
                    check_fill(check_tensor(from[i], 1, sizes[s]), &rng, 0.0, s & 1 ? 500.0 : 0.02);
                vg_tensor *y = check_tensor(to[j], 1, sizes[s]), *dx, *dy;
                if (from[i] != VG_E4M3 && sizes[s] > 8)
                    for (int k = 0; k < 4; k++)
                        check_set(x, k, (const double[]){INFINITY, -INFINITY, NAN, -0.0}[k]);
                dx = on_gpu_at(x, s == 3), dy = on_gpu_at(y, s == 4);
                CHECK_OK(vg_cast(check_cpu()->four, &(vg_cast_args){x, y}, &err), err);
                CHECK_OK(vg_cast(gpu, &(vg_cast_args){dx, dy}, &err), err);
                expect_same_bits("cast", y, back(dy));
                release_all();
            }
}

/* All 65536 halves and 256 bytes, to every format. */
static void test_cuda_cast_every_code(void **state)
{
    vg_err err;

    (void)state;
    NEED_GPU();
    for (int j = 0; j < 9; j++) {
        const vg_dtype from = (const vg_dtype[]){VG_BF16, VG_F16, VG_E4M3}[j / 3],
                       to = (const vg_dtype[]){VG_F32, VG_BF16, VG_E4M3}[j % 3];
        vg_tensor *x = check_tensor(from, 1, 65536), *y = check_tensor(to, 1, 65536), *dx, *dy;
        for (int i = 0; i < 65536; i++) {
            if (from == VG_E4M3)
                ((uint8_t *)x->data)[i] = (uint8_t)i;
            else
                ((uint16_t *)x->data)[i] = (uint16_t)i;
        }
        dx = on_gpu(x), dy = on_gpu(y);
        CHECK_OK(vg_cast(check_cpu()->four, &(vg_cast_args){x, y}, &err), err);
        CHECK_OK(vg_cast(gpu, &(vg_cast_args){dx, dy}, &err), err);
        expect_same_bits("cast", y, back(dy));
        release_all();
    }
}

static void test_cuda_gate_residual(void **state)
{
    check_rng rng = {32};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (size_t s = 0; s < SIZE_COUNT; s++)
        for (int f = 0; f < 16; f++) {
            vg_tensor *x = check_fill(check_tensor_of(ACTS[f & 1], 2, SIZES[s]), &rng, 0.0, 2.0);
            vg_tensor *y =
                check_fill(check_tensor_of(ACTS[f >> 1 & 1], 2, SIZES[s]), &rng, 0.0, 2.0);
            vg_tensor *out = check_tensor_of(ACTS[f >> 2 & 1], 2, SIZES[s]);
            vg_tensor *gate =
                f >> 3 ? check_fill(check_tensor(VG_F32, 1, SIZES[s][1]), &rng, 0.0, 1.0) : NULL;
            vg_tensor *dx = on_gpu_at(x, s == 4 && f == 3), *dout = on_gpu(out);
            CHECK_OK(vg_gate_residual(check_cpu()->four, &(vg_gate_residual_args){x, y, gate, out},
                                      &err),
                     err);
            CHECK_OK(vg_gate_residual(
                         gpu, &(vg_gate_residual_args){dx, on_gpu(y), on_gpu(gate), dout}, &err),
                     err);
            expect_same_bits("gate_residual", out, back(dout));
            release_all();
        }
}

static void test_cuda_rotate_heads(void **state)
{
    const int64_t sizes[][3] = {{1, 1, 2}, {33, 3, 6}, {70, 2, 128}, {211, 4, 48}};
    check_rng rng = {36};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (size_t s = 0; s < 4; s++)
        for (int f = 0; f < 8; f++) {
            int64_t n = sizes[s][0], heads = sizes[s][1], d = sizes[s][2], times = f >> 2 ? 7 : 1;
            vg_tensor *x = check_fill(check_tensor(ACTS[f & 1], 3, n, heads, d), &rng, 0.0, 2.0);
            vg_tensor *y = check_tensor(ACTS[f & 1], 3, n, heads * times, d), *dy = on_gpu(y);
            vg_tensor *cosines = NULL, *sines = NULL;
            if (f >> 1 & 1) {
                cosines = check_fill(check_tensor(VG_F32, 2, n, d / 2), &rng, 0.0, 1.0);
                sines = check_fill(check_tensor(VG_F32, 2, n, d / 2), &rng, 0.0, 1.0);
            }
            CHECK_OK(vg_rotate_heads(check_cpu()->four,
                                     &(vg_rotate_heads_args){x, cosines, sines, y}, &err),
                     err);
            CHECK_OK(vg_rotate_heads(gpu,
                                     &(vg_rotate_heads_args){on_gpu_at(x, s == 3), on_gpu(cosines),
                                                             on_gpu(sines), dy},
                                     &err),
                     err);
            expect_same_bits("rotate_heads", y, back(dy));
            release_all();
        }
}

static void test_cuda_layer_norm_modulate(void **state)
{
    check_rng rng = {33};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (size_t s = 0; s < SIZE_COUNT; s++)
        for (int f = 0; f < 12; f++) {
            int kind = f / 4;
            int64_t d = SIZES[s][1];
            vg_tensor *x = check_fill(check_tensor_of(ACTS[f & 1], 2, SIZES[s]), &rng, 0.5, 2.0),
                      *dx = on_gpu(x), *first;
            vg_tensor *y = check_tensor_of(ACTS[f >> 1 & 1], 2, SIZES[s]), *dy = on_gpu(y);
            vg_tensor *a = kind ? check_fill(check_tensor(VG_F32, 1, d), &rng, 0.2, 0.5) : NULL;
            vg_tensor *b = kind ? check_fill(check_tensor(VG_F32, 1, d), &rng, 0.0, 0.5) : NULL,
                      *da = on_gpu(a), *db = on_gpu(b);
            vg_layer_norm_modulate_args args = {.x = x, .eps = 1e-6f, .y = y};
            if (kind == 1)
                args.scale = a, args.shift = b;
            if (kind == 2)
                args.w = a, args.b = b;
            CHECK_OK(vg_layer_norm_modulate(check_cpu()->four, &args, &err), err);
            args.x = dx, args.y = dy;
            if (kind == 1)
                args.scale = da, args.shift = db;
            if (kind == 2)
                args.w = da, args.b = db;
            CHECK_OK(vg_layer_norm_modulate(gpu, &args, &err), err);
            first = back(dy);
            /* Both sums in FP32 but in other orders: the bound of test_op_layer_norm_modulate twice, and one rounding of y that may
             * fall to the other side: 2^-7. */
            expect_close(
                "layer_norm_modulate", y, first, 2 * 1.7 * ((double)d / 256 + 12) * 0x1p-24 * 2.5,
                2 * ((double)d / 256 + 12) * 0x1p-24 + (y->dtype == VG_BF16 ? 0x1p-7 : 0.0));
            CHECK_OK(vg_layer_norm_modulate(gpu, &args, &err), err);
            expect_same_bits("layer_norm_modulate, repeated", first, back(dy));
            if (x->dtype == y->dtype) {
                args.y = dx;
                CHECK_OK(vg_layer_norm_modulate(gpu, &args, &err), err);
                expect_same_bits("layer_norm_modulate, in place", first, back(dx));
            }
            release_all();
        }
}

/* Rows that are hard for a variance from sums: far from zero, of one value, with outliers in and behind the first 256 elements, with a step
 * between the two parts, and with values that are none. */
static void fill_hard_row(vg_tensor *x, int64_t row, int64_t d, int kind, check_rng *rng)
{
    for (int64_t i = 0; i < d; i++) {
        double v = check_random(rng);
        v = kind == 0              ? 300 + 4 * v
            : kind == 1            ? 3.7
            : kind == 2            ? 0
            : kind == 5 && i < 256 ? 100 + v
                                   : v;
        check_set(x, row * d + i, v);
    }
    if (kind == 3 || kind == 4)
        check_set(x, row * d + (kind == 3 ? 17 : d - 3), -20000);
    if (kind == 6 || kind == 7)
        check_set(x, row * d + (kind == 6 ? 3 : d - 1), kind == 6 ? NAN : INFINITY);
}

static void test_cuda_layer_norm_of_hard_rows(void **state)
{
    enum { ROWS = 8 };
    const int64_t dims[] = {256, 1536, 2048, 3072, 5120};
    check_rng rng = {91};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (size_t s = 0; s < sizeof dims / sizeof dims[0]; s++) {
        int64_t d = dims[s];
        vg_tensor *x = check_tensor(VG_BF16, 2, ROWS, d), *y = check_tensor(VG_BF16, 2, ROWS, d),
                  *got;
        for (int row = 0; row < ROWS; row++)
            fill_hard_row(x, row, d, row, &rng);
        vg_layer_norm_modulate_args args = {.x = on_gpu(x), .eps = 1e-6f, .y = on_gpu(y)};
        CHECK_OK(vg_layer_norm_modulate(gpu, &args, &err), err);
        got = back(args.y);
        for (int64_t row = 0; row < ROWS; row++) {
            double mean, variance;
            check_moments(x, row, d, &mean, &variance);
            for (int64_t i = 0; i < d; i++) {
                double wanted = (check_get(x, row * d + i) - mean) / sqrt(variance + 1e-6),
                       is = check_get(got, row * d + i);
                /* One rounding to BF16, 2^-8; sums of FP32 that lose 4 bits, 21 (d / 256 + 12) 2^-24; a mean that is off by
                 * as much of itself as FP32 is, which counts in standard deviations (row 0: 220 of them). */
                double limit = fabs(wanted) * (0x1p-8 + 21 * ((double)d / 256 + 12) * 0x1p-24) +
                               fabs(mean) / sqrt(variance + 1e-6) * 0x1p-22;
                if (!isfinite(wanted) ? !isnan(is) : !(fabs(is - wanted) <= limit))
                    fail_msg("row %d of width %d: element %d is %g, not %g", (int)row, (int)d,
                             (int)i, is, wanted);
            }
        }
        release_all();
    }
}

static void test_cuda_activation(void **state)
{
    check_rng rng = {34};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (size_t s = 0; s < SIZE_COUNT; s++)
        for (int act = VG_ACT_NONE; act < VG_ACT_COUNT; act++)
            for (int f = 0; f < 4; f++) {
                vg_tensor *x =
                    check_fill(check_tensor_of(ACTS[f & 1], 2, SIZES[s]), &rng, 0.0, 12.0);
                vg_tensor *mul =
                    f >> 1 ? check_fill(check_tensor_of(ACTS[f & 1], 2, SIZES[s]), &rng, 0.0, 2.0)
                           : NULL;
                vg_tensor *y = check_tensor_of(ACTS[f & 1], 2, SIZES[s]), *dy = on_gpu(y);
                CHECK_OK(vg_activation(
                             check_cpu()->four,
                             &(vg_activation_args){.x = x, .act = (vg_act)act, .mul = mul, .y = y},
                             &err),
                         err);
                CHECK_OK(vg_activation(
                             gpu,
                             &(vg_activation_args){
                                 .x = on_gpu(x), .act = (vg_act)act, .mul = on_gpu(mul), .y = dy},
                             &err),
                         err);
                /* GELU erf cancels for negative x: |x mul| 2^-23 absolute on both sides. GELU tanh is x e^-2|u| there, whose relative
                 * error grows with |u| while the value falls faster: the same absolute bound. BF16: a rounding to the other side, twice with mul. */
                expect_close("activation", y, back(dy),
                             act >= VG_ACT_GELU_TANH ? 24.0 * 0x1p-22 : 0x1p-120,
                             16 * 0x1p-24 + (f & 1 ? (mul ? 2.02 : 1.01) * 0x1p-7 : 0.0));
                release_all();
            }
}

static void test_cuda_linear_combination(void **state)
{
    const int64_t sizes[] = {1, 33, 1025, 70000};
    check_rng rng = {35};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (int s = 0; s < 4; s++)
        for (int count = 1; count <= VG_COMBINE_MAX; count++)
            for (int f = 0; f < 2; f++) {
                vg_linear_combination_args args = {.count = count}, on;
                vg_tensor *dy;
                args.y = check_tensor(f ? VG_BF16 : VG_F32, 1, sizes[s]);
                for (int i = 0; i < count; i++) {
                    args.x[i] = check_fill(check_tensor(i & 1 ? VG_F32 : VG_BF16, 1, sizes[s]),
                                           &rng, 0.0, 2.0);
                    args.coef[i] = (float)check_random(&rng);
                }
                on = args;
                on.y = dy = on_gpu(args.y);
                for (int i = 0; i < count; i++)
                    on.x[i] = on_gpu_at(args.x[i], count == 4 && i == 2);
                CHECK_OK(vg_linear_combination(check_cpu()->four, &args, &err), err);
                CHECK_OK(vg_linear_combination(gpu, &on, &err), err);
                expect_same_bits("linear_combination", args.y, back(dy));
                release_all();
            }
}

static void test_cuda_guidance_step(void **state)
{
    const int64_t sizes[] = {1, 33, 1025, 70000};
    check_rng rng = {36};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (int s = 0; s < 4; s++)
        for (int f = 0; f < 12; f++) {
            vg_dtype dtype = ACTS[f & 1];
            vg_tensor *c = check_fill(check_tensor(dtype, 1, sizes[s]), &rng, 0.0, 2.0),
                      *u = check_fill(check_tensor(dtype, 1, sizes[s]), &rng, 0.0, 2.0),
                      *x = check_fill(check_tensor(VG_F32, 1, sizes[s]), &rng, 0.0, 2.0),
                      *y = check_tensor(ACTS[f >> 1 & 1], 1, sizes[s]), *dy, *dx;
            bool guided = f >= 4, in_place = y->dtype == VG_F32 && f >= 8;
            vg_guidance_step_args args = {x, {c, guided ? u : NULL, 4.7f}, -0.37f, y}, on = args;
            on.x = dx = on_gpu_at(x, f == 9);
            on.y = dy = in_place ? dx : on_gpu(y);
            on.v.cond = on_gpu_at(c, f == 6);
            on.v.uncond = guided ? on_gpu(u) : NULL;
            CHECK_OK(vg_guidance_step(check_cpu()->four, &args, &err), err);
            CHECK_OK(vg_guidance_step(gpu, &on, &err), err);
            expect_same_bits("guidance_step", y, back(dy));
            release_all();
        }
}

static void test_cuda_linear(void **state)
{
    const int64_t shapes[][3] = {{1, 1, 1},       {1, 512, 256},     {33, 65, 511},
                                 {300, 768, 256}, {257, 1536, 1536}, {64, 40, 5120}};
    check_rng rng = {37};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (int s = 0; s < 6; s++)
        for (int f = 0; f < 6; f++) {
            int64_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
            vg_dtype in = ACTS[f % 3 != 0], out = ACTS[f % 3 == 2];
            vg_tensor *x = check_fill(check_tensor(in, 2, m, k), &rng, 0.0, 1.0),
                      *w = check_fill(check_tensor(in, 2, n, k), &rng, 0.0, 1.0);
            vg_tensor *bias = f >= 3 ? check_fill(check_tensor(out, 1, n), &rng, 0.0, 1.0) : NULL,
                      *y = check_tensor(out, 2, m, n);
            vg_tensor *dy = on_gpu(y), *first;
            vg_linear_args args = {.x = x,
                                   .w = w,
                                   .bias = bias,
                                   .act = f == 5 ? VG_ACT_GELU_TANH : VG_ACT_NONE,
                                   .y = y},
                           on = args;
            on.x = on_gpu(x), on.w = on_gpu(w), on.bias = on_gpu(bias), on.y = dy;
            CHECK_OK(vg_linear(check_cpu()->four, &args, &err), err);
            CHECK_OK(vg_linear(gpu, &on, &err), err);
            first = back(dy);
            /* Terms below 1, sums of sqrt(k)/3: both orders within (sqrt(k) + 4) units of the magnitudes' sum k/4; one rounding apart. */
            expect_close("linear", y, first,
                         1.13 * 2 * (sqrt((double)k) + 4) * 0x1p-24 * ((double)k / 4 + 1) +
                             (f == 5 ? VG_GELU_FUSED_ABSOLUTE : 0.0),
                         out != VG_BF16 ? 0x1p-21
                                        : 1.01 * 0x1p-7 + (f == 5 ? VG_GELU_FUSED_RELATIVE : 0.0));
            CHECK_OK(vg_linear(gpu, &on, &err), err);
            expect_same_bits("linear, repeated", first, back(dy));
            release_all();
        }
}

/* ---- timing, on request ----------------------------------------------------------------------------------------- */

static void test_cuda_bench(void **state)
{
    enum { N = 32760, D = 5120, BUFFERS = 4 };
    void *memory[BUFFERS], *vectors;
    vg_tensor t[BUFFERS], f32, scale, shift, w, q;
    size_t bytes = (size_t)N * D * 2;
    vg_err err;

    (void)state;
    if (!gpu || !getenv("VG_BENCH"))
        skip();
    for (int i = 0; i < BUFFERS; i++) {
        CHECK_OK(vg_backend_alloc(gpu, bytes * 2, &memory[i], &err), err);
        t[i] = vg_tensor_make(memory[i], VG_BF16, 2, N, D);
        vg_tensor all = vg_tensor_make(memory[i], VG_U8, 1, (int64_t)bytes * 2);
        CHECK_OK(vg_backend_zero(gpu, &all, &err), err);
    }
    CHECK_OK(vg_backend_alloc(gpu, D * 8, &vectors, &err), err);
    scale = vg_tensor_make(vectors, VG_F32, 1, D);
    shift = vg_tensor_make((float *)vectors + D, VG_F32, 1, D);
    CHECK_OK(vg_backend_zero(gpu, &scale, &err), err);
    CHECK_OK(vg_backend_zero(gpu, &shift, &err), err);
    f32 = vg_tensor_make(memory[3], VG_F32, 2, N, D);
    q = vg_tensor_make(memory[3], VG_E4M3, 2, N, D);
    w = vg_tensor_make(memory[2], VG_BF16, 2, D, D);
    TIME("gate_residual BF16 32760x5120", 3 * bytes, 0,
         vg_gate_residual(gpu, &(vg_gate_residual_args){&t[0], &t[1], &scale, &t[2]}, &err));
    TIME("layer_norm_modulate BF16 32760x5120", 2 * bytes, 0,
         vg_layer_norm_modulate(
             gpu,
             &(vg_layer_norm_modulate_args){
                 .x = &t[0], .scale = &scale, .shift = &shift, .eps = 1e-6f, .y = &t[1]},
             &err));
    TIME("cast BF16 to E4M3", bytes * 3 / 2, 0, vg_cast(gpu, &(vg_cast_args){&t[0], &q}, &err));
    TIME("cast F32 to BF16", bytes * 3, 0, vg_cast(gpu, &(vg_cast_args){&f32, &t[0]}, &err));
    TIME("guidance_step BF16", 6 * bytes, 0, /* two answers, x and y in FP32 */
         vg_guidance_step(gpu,
                          &(vg_guidance_step_args){
                              .x = &f32, .v = {&t[0], &t[1], 5.0f}, .coef = -0.1f, .y = &f32},
                          &err));
    TIME(
        "linear_combination 2 x BF16 to F32", 4 * bytes, 0,
        vg_linear_combination(gpu,
                              &(vg_linear_combination_args){
                                  .count = 2, .x = {&t[0], &t[1]}, .coef = {0.5f, 0.5f}, .y = &f32},
                              &err));
    TIME("activation GELU tanh BF16", 2 * bytes, 0,
         vg_activation(gpu, &(vg_activation_args){.x = &t[0], .act = VG_ACT_GELU_TANH, .y = &t[1]},
                       &err));
    TIME("linear BF16 32760x5120x5120", 0, 2.0 * N * D * D,
         vg_linear(gpu, &(vg_linear_args){.x = &t[0], .w = &w, .y = &t[1]}, &err));
    vg_backend_release(gpu, vectors, D * 8);
    for (int i = 0; i < BUFFERS; i++)
        vg_backend_release(gpu, memory[i], bytes * 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuda_absent_gpu_is_an_error),
        cmocka_unit_test(test_cuda_memory_and_transfers),
        cmocka_unit_test(test_cuda_every_operation_is_there),
        cmocka_unit_test(test_cuda_cast),
        cmocka_unit_test(test_cuda_cast_every_code),
        cmocka_unit_test(test_cuda_gate_residual),
        cmocka_unit_test(test_cuda_rotate_heads),
        cmocka_unit_test(test_cuda_layer_norm_modulate),
        cmocka_unit_test(test_cuda_layer_norm_of_hard_rows),
        cmocka_unit_test(test_cuda_activation),
        cmocka_unit_test(test_cuda_linear_combination),
        cmocka_unit_test(test_cuda_guidance_step),
        cmocka_unit_test(test_cuda_linear),
        cmocka_unit_test(test_cuda_bench),
    };
    use_filter();
    return cmocka_run_group_tests_name("cuda_ops", tests, open_gpu, close_gpu);
}

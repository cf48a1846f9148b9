/* test_cuda_transformer.c: the transformers' remaining operations and all formats of the linear layer, CUDA against CPU. */
#include "tests/cuda/check_cuda.h"

static const int64_t SIZES[][2] = {{1, 1},     {1, 128},   {33, 511}, {7, 1025},
                                   {300, 256}, {65, 5120}, {3, 16392}};
#define SIZE_COUNT (sizeof SIZES / sizeof SIZES[0])
static const vg_dtype ACTS[] = {VG_F32, VG_BF16};

static void test_cuda_quantize(void **state)
{
    check_rng rng = {51};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (size_t s = 0; s < SIZE_COUNT; s++)
        for (int f = 0; f < 12; f++) {
            vg_quant_kind kind = (vg_quant_kind)(VG_QUANT_TENSOR_STATIC + f % 3);
            int64_t m = SIZES[s][0], k = SIZES[s][1];
            vg_tensor *x = check_fill(check_tensor(ACTS[f / 3 & 1], 2, m, k), &rng, 0.0, 3.0),
                      *q = check_tensor(VG_E4M3, 2, m, k), *dq, *ds, *dx;
            vg_tensor *scale = kind == VG_QUANT_GROUP_DYNAMIC
                                   ? check_tensor(VG_F32, 2, (k + 127) / 128, m)
                                   : check_tensor(VG_F32, 1, 1);
            if (kind == VG_QUANT_TENSOR_STATIC)
                check_set(scale, 0, 0.004);
            if (f >= 6 && m * k > 100) { /* hard values */
                for (int64_t i = 0; i < k && s & 1; i++)
                    check_set(x, i, 0.0);
                check_set(x, m * k - 1, NAN);
                check_set(x, m * k / 2, -7e4);
                check_set(x, m * k / 3, 1e-30);
            }
            dx = on_gpu_at(x, s == 4 && f == 3), dq = on_gpu(q), ds = on_gpu(scale);
            CHECK_OK(vg_quantize(check_cpu()->four, &(vg_quantize_args){x, kind, q, scale}, &err),
                     err);
            CHECK_OK(vg_quantize(gpu, &(vg_quantize_args){dx, kind, dq, ds}, &err), err);
            expect_same_bits("quantize, scale", scale, back(ds));
            expect_same_bits("quantize", q, back(dq));
            release_all();
        }
    for (int f = 0; f < 2; f++) { /* nothing but zeros: scale 1 */
        vg_tensor *x = check_fill(check_tensor(ACTS[f], 2, 20, 70), &rng, 0.0, 0.0),
                  *q = check_tensor(VG_E4M3, 2, 20, 70), *scale = check_tensor(VG_F32, 1, 1),
                  *ds = on_gpu(scale);
        CHECK_OK(vg_quantize(gpu,
                             &(vg_quantize_args){on_gpu(x), VG_QUANT_TENSOR_DYNAMIC, on_gpu(q), ds},
                             &err),
                 err);
        assert_true(check_get(back(ds), 0) == 1.0);
        release_all();
    }
}

static void test_cuda_embedding(void **state)
{
    check_rng rng = {52};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (size_t s = 0; s < SIZE_COUNT; s++)
        for (int f = 0; f < 4; f++) {
            vg_tensor *table =
                          check_fill(check_tensor(ACTS[f & 1], 2, 50, SIZES[s][1]), &rng, 0.0, 2.0),
                      *ids = check_tensor(VG_I32, 1, SIZES[s][0]);
            vg_tensor *y = check_tensor_of(ACTS[f >> 1], 2, SIZES[s]), *dy = on_gpu(y);
            for (int64_t i = 0; i < SIZES[s][0]; i++)
                ((int32_t *)ids->data)[i] = (int32_t)(check_random_bits(&rng) % 50);
            CHECK_OK(vg_embedding(check_cpu()->four, &(vg_embedding_args){table, ids, y}, &err),
                     err);
            CHECK_OK(vg_embedding(gpu, &(vg_embedding_args){on_gpu(table), on_gpu(ids), dy}, &err),
                     err);
            expect_same_bits("embedding", y, back(dy));
            release_all();
        }
}

static void test_cuda_rms_norm(void **state)
{
    check_rng rng = {53};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (size_t s = 0; s < SIZE_COUNT; s++)
        for (int f = 0; f < 8; f++) {
            vg_tensor *x = check_fill(check_tensor_of(ACTS[f & 1], 2, SIZES[s]), &rng, 0.3, 2.0),
                      *w = check_fill(check_tensor(ACTS[f >> 1 & 1], 1, SIZES[s][1]), &rng, 0.5,
                                      1.0);
            vg_tensor *y = check_tensor_of(ACTS[f >> 2], 2, SIZES[s]), *dx = on_gpu(x),
                      *dy = on_gpu(y), *dw = on_gpu(w), *first;
            vg_rms_norm_args args = {.x = dx, .w = dw, .eps = 1e-6f, .y = dy};
            CHECK_OK(vg_rms_norm(check_cpu()->four,
                                 &(vg_rms_norm_args){.x = x, .w = w, .eps = 1e-6f, .y = y}, &err),
                     err);
            CHECK_OK(vg_rms_norm(gpu, &args, &err), err);
            first = back(dy);
            /* Sums of positive terms in other orders; with BF16 two roundings that may fall to the other side. */
            expect_close("rms_norm", y, first, 0.0,
                         2 * ((double)SIZES[s][1] / 256 + 12) * 0x1p-24 +
                             (y->dtype == VG_BF16 ? 2.02 * 0x1p-7 : 0.0));
            CHECK_OK(vg_rms_norm(gpu, &args, &err), err);
            expect_same_bits("rms_norm, repeated", first, back(dy));
            if (x->dtype == y->dtype) {
                args.y = dx;
                CHECK_OK(vg_rms_norm(gpu, &args, &err), err);
                expect_same_bits("rms_norm, in place", first, back(dx));
            }
            release_all();
        }
}

static void test_cuda_rms_norm_rope(void **state)
{
    static const int64_t shapes[][3] = {{1, 1, 2},     {33, 3, 10},  {7, 5, 6},     {300, 2, 128},
                                        {65, 40, 128}, {40, 12, 24}, {3, 130, 130}, {20, 4, 12}};
    check_rng rng = {54};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (size_t s = 0; s < 8; s++)
        for (int f = 0; f < 16; f++) {
            int64_t rows = shapes[s][0], heads = shapes[s][1], d = shapes[s][2];
            vg_tensor *x =
                          check_fill(check_tensor(ACTS[f & 1], 2, rows, heads * d), &rng, 0.3, 2.0),
                      *w = check_fill(check_tensor(ACTS[f >> 1 & 1], 1, heads * d), &rng, 0.5, 1.0);
            vg_tensor *y = check_tensor(ACTS[f >> 2 & 1], 2, rows, heads * d), *c = NULL,
                      *sn = NULL, *first, *dx = on_gpu(x), *dy = on_gpu(y);
            if (f >> 3) {
                c = check_tensor(VG_F32, 2, rows, d / 2), sn = check_tensor(VG_F32, 2, rows, d / 2);
                for (int64_t i = 0; i < rows * d / 2; i++) {
                    double angle = 3.2 * check_random(&rng);
                    check_set(c, i, cos(angle));
                    check_set(sn, i, sin(angle));
                }
            }
            vg_rms_norm_rope_args args = {.x = x,
                                          .w = w,
                                          .eps = 1e-6f,
                                          .heads = (int)heads,
                                          .rope_cos = c,
                                          .rope_sin = sn,
                                          .y = y},
                                  on = args;
            on.x = dx, on.w = on_gpu(w), on.rope_cos = on_gpu(c), on.rope_sin = on_gpu(sn),
            on.y = dy;
            CHECK_OK(vg_rms_norm_rope(check_cpu()->four, &args, &err), err);
            CHECK_OK(vg_rms_norm_rope(gpu, &on, &err), err);
            first = back(dy);
            /* Values up to 2.5 / 1.4 * 1.5; a rotation adds two of them, each perhaps rounded to the other side before. */
            double largest = 3.5 / (d * heads == 2 ? 0.1 : 1.0),
                   unit = y->dtype == VG_BF16 ? 0x1p-8 : 0.0,
                   sum = 2 * ((double)(d * heads) / 256 + 12) * 0x1p-24;
            expect_close("rms_norm_rope", y, first, f >> 3 ? largest * 1.5 * (sum + 2 * unit) : 0.0,
                         sum + 2.02 * unit);
            CHECK_OK(vg_rms_norm_rope(gpu, &on, &err), err);
            expect_same_bits("rms_norm_rope, repeated", first, back(dy));
            if (x->dtype == y->dtype) {
                on.y = dx;
                CHECK_OK(vg_rms_norm_rope(gpu, &on, &err), err);
                expect_same_bits("rms_norm_rope, in place", first, back(dx));
            }
            release_all();
        }
}

static void test_cuda_patches(void **state)
{
    static const int64_t shapes[][7] = {
        {3, 2, 4, 6, 1, 2, 2},    {16, 5, 6, 10, 1, 2, 2}, {1, 1, 1, 1, 1, 1, 1},
        {5, 4, 9, 8, 2, 3, 4},    {2, 1, 4, 134, 1, 2, 2}, /* tiles of 32, and a rest */
        {200, 2, 4, 70, 2, 2, 2},                          /* rows that let fewer share a tile */
        {3, 1, 2, 40, 1, 1, 1}};
    check_rng rng = {55};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int f = 0; f < 4; f++) {
            const int64_t *h = shapes[s];
            int patch[3] = {(int)h[4], (int)h[5], (int)h[6]};
            vg_tensor *x = check_fill(check_tensor_of(ACTS[f & 1], 4, h), &rng, 0.0, 2.0),
                      *rows =
                          check_tensor(ACTS[f >> 1], 2, h[1] / h[4] * (h[2] / h[5]) * (h[3] / h[6]),
                                       h[0] * h[4] * h[5] * h[6]);
            vg_tensor *again = check_tensor_of(ACTS[f & 1], 4, h), *drows = on_gpu(rows),
                      *dagain = on_gpu(again);
            vg_patchify_args there = {.x = x, .patch = {patch[0], patch[1], patch[2]}, .y = rows},
                             on_there = there;
            vg_unpatchify_args home = {.x = rows,
                                       .patch = {patch[0], patch[1], patch[2]},
                                       .y = again},
                               on_home = home;
            on_there.x = on_gpu(x), on_there.y = drows, on_home.x = drows, on_home.y = dagain;
            CHECK_OK(vg_patchify(check_cpu()->four, &there, &err), err);
            CHECK_OK(vg_patchify(gpu, &on_there, &err), err);
            expect_same_bits("patchify", rows, back(drows));
            CHECK_OK(vg_unpatchify(check_cpu()->four, &home, &err), err);
            CHECK_OK(vg_unpatchify(gpu, &on_home, &err), err);
            expect_same_bits("unpatchify", again, back(dagain));
            release_all();
        }
}

/* ---- linear ------------------------------------------------------------------------------------------------------- */

typedef struct linear_case {
    int64_t m, n, k;
    vg_dtype x, w, y, bias; /* bias VG_U8 = none */
    int x_scale, w_scale;   /* 0 none, 1 scalar, 2 groups; 0 none, 1 scalar, 2 per row, 3 blocks */
    vg_act act;
} linear_case;

static void run_linear(const linear_case *c, uint64_t seed)
{
    check_rng rng = {seed};
    int64_t k_groups = (c->k + 127) / 128, n_groups = (c->n + 127) / 128;
    vg_tensor *x =
        check_fill(check_tensor(c->x, 2, c->m, c->k), &rng, 0.0, c->x == VG_E4M3 ? 448.0 : 1.0);
    vg_tensor *w =
        check_fill(check_tensor(c->w, 2, c->n, c->k), &rng, 0.0, c->w == VG_E4M3 ? 448.0 : 1.0);
    vg_tensor *xs = NULL, *ws = NULL, *bias = NULL, *y = check_tensor(c->y, 2, c->m, c->n),
              *dy = on_gpu(y), *first;
    char what[160];
    vg_err err;

    if (c->x_scale)
        xs = check_fill(c->x_scale == 1 ? check_tensor(VG_F32, 1, 1)
                                        : check_tensor(VG_F32, 2, k_groups, c->m),
                        &rng, 0.003, 0.002);
    if (c->w_scale)
        ws = check_fill(c->w_scale == 1   ? check_tensor(VG_F32, 1, 1)
                        : c->w_scale == 2 ? check_tensor(VG_F32, 1, c->n)
                                          : check_tensor(VG_F32, 2, n_groups, k_groups),
                        &rng, 0.003, 0.002);
    if (c->bias != VG_U8)
        bias = check_fill(check_tensor(c->bias, 1, c->n), &rng, 0.0, 3.0);
    vg_linear_args
        args = {.x = x, .x_scale = xs, .w = w, .w_scale = ws, .bias = bias, .act = c->act, .y = y},
        on = args;
    on.x = on_gpu(x), on.x_scale = on_gpu(xs), on.w = on_gpu(w), on.w_scale = on_gpu(ws),
    on.bias = on_gpu(bias), on.y = dy;
    snprintf(what, sizeof what, "linear %lldx%lldx%lld %s(%d) x %s(%d) to %s, bias %s, act %d",
             (long long)c->m, (long long)c->n, (long long)c->k, vg_dtype_name(c->x), c->x_scale,
             vg_dtype_name(c->w), c->w_scale, vg_dtype_name(c->y),
             c->bias == VG_U8 ? "-" : vg_dtype_name(c->bias), (int)c->act);
    CHECK_OK(vg_linear(check_cpu()->four, &args, &err), err);
    if (vg_linear(gpu, &on, &err) != VG_OK)
        fail_msg("%s: %s", what, err.message);
    first = back(dy);
    /* FP32 sums in other orders: some 1e-6. One BF16 rounding of the result, perhaps to the other side: 2^-9 rms; of every weight too for
     * weight-only with blocks. FP8 products in the tensor cores: the sums of 128 terms keep about 14 bits. */
    double limit = 1e-5 + (c->y == VG_BF16 ? 0x1p-8 : 0.0) +
                   (c->w == VG_E4M3 && c->x == VG_BF16 && c->w_scale == 3 ? 0x1p-8 : 0.0) +
                   (c->x == VG_E4M3 ? 0x1p-10 : 0.0);
    if (c->m * c->n < 16) /* too few results for an average; sums may nearly cancel */
        limit *= 16;
    expect_near(what, y, first, limit);
    CHECK_OK(vg_linear(gpu, &on, &err), err);
    expect_same_bits(what, first, back(dy));
    release_all();
}

static void test_cuda_linear_plain_formats(void **state)
{
    static const int64_t shapes[][3] = {{1, 1, 1},      {1, 511, 33},   {5, 33, 64},
                                        {33, 65, 511},  {300, 72, 256}, {257, 264, 40},
                                        {2, 1536, 5120}};

    (void)state;
    NEED_GPU();
    for (size_t s = 0; s < 7; s++)
        for (int f = 0; f < 24; f++)
            run_linear(&(linear_case){shapes[s][0], shapes[s][1], shapes[s][2], ACTS[f & 1],
                                      ACTS[f >> 1 & 1], ACTS[f >> 2 & 1],
                                      f < 8 ? VG_U8 : ACTS[f >= 16], 0, 0,
                                      (vg_act)(f % 5 == 4 ? f % 4 : 0)},
                       100 + s);
}

static void test_cuda_linear_e4m3(void **state)
{
    /* Regular, K groups not a multiple of 4, short blocks, odd everything. */
    static const int64_t shapes[][3] = {{300, 768, 1024}, {37, 256, 384}, {64, 144, 208},
                                        {16, 2048, 2048}, {1, 129, 128},  {33, 130, 257},
                                        {5, 16, 16}};

    (void)state;
    NEED_GPU();
    for (size_t s = 0; s < 7; s++)
        for (int xs = 0; xs < 3; xs++)
            for (int ws = 1; ws < 4; ws++)
                for (int f = 0; f < 4; f++) {
                    vg_dtype y = ACTS[f & 1],
                             bias = f < 2 ? VG_U8 : ACTS[(f & 1) ^ (xs == 2 && ws == 1)];
                    run_linear(&(linear_case){shapes[s][0], shapes[s][1], shapes[s][2],
                                              xs ? VG_E4M3 : ACTS[f & 1], VG_E4M3, y, bias, xs, ws,
                                              f == 3 ? VG_ACT_GELU_TANH : VG_ACT_NONE},
                               200 + s);
                }
}

static void test_cuda_transformer_bench(void **state)
{
    enum { M = 75600, N = 13824, D = 5120 };
    static const struct {
        int64_t n, k;
    } shapes[] = {{D, D}, {N, D}, {D, N}};
    size_t big = (size_t)M * N * 2;
    void *memory[4];
    vg_err err;
    char what[96];
    uint16_t *host;
    check_rng rng = {7};

    (void)state;
    if (!gpu || !getenv("VG_BENCH"))
        skip();
    for (int i = 0; i < 4; i++)
        CHECK_OK(vg_backend_alloc(gpu, big, &memory[i], &err), err);
    host = malloc(big);
    assert_non_null(host);
    for (size_t i = 0; i < big / 2;
         i += 4) { /* about normal, sigma 1: the rate depends on the data */
        uint64_t bits = check_random_bits(&rng);
        for (int b = 0; b < 4; b++)
            host[i + (size_t)b] =
                vg_f32_to_bf16((float)(__builtin_popcountll(bits >> 16 * b & 0xffff) - 8) * 0.5f +
                               (float)(bits >> 16 * b & 0xff) * 0x1p-10f);
    }
    vg_tensor all = vg_tensor_make(memory[0], VG_U8, 1, (int64_t)big);
    CHECK_OK(vg_backend_upload(gpu, &all, host, &err), err);
    free(host);
    vg_tensor x = vg_tensor_make(memory[0], VG_BF16, 2, M, D),
              y = vg_tensor_make(memory[1], VG_BF16, 2, M, D),
              q = vg_tensor_make(memory[1], VG_E4M3, 2, M, D);
    vg_tensor groups = vg_tensor_make((char *)memory[2] + D * 8, VG_F32, 2, D / 128, M),
              one = vg_tensor_make(memory[2], VG_F32, 1, 1),
              vector = vg_tensor_make(memory[0], VG_BF16, 1, D);
    vg_tensor rope = vg_tensor_make(memory[2], VG_F32, 2, M, 64);
    TIME("quantize dynamic tensor 75600x5120", (size_t)M * D * 5, 0,
         vg_quantize(gpu, &(vg_quantize_args){&x, VG_QUANT_TENSOR_DYNAMIC, &q, &one}, &err));
    TIME("quantize static tensor 75600x5120", (size_t)M * D * 3, 0,
         vg_quantize(gpu, &(vg_quantize_args){&x, VG_QUANT_TENSOR_STATIC, &q, &one}, &err));
    TIME("quantize 1x128 75600x5120", (size_t)M * D * 3, 0,
         vg_quantize(gpu, &(vg_quantize_args){&x, VG_QUANT_GROUP_DYNAMIC, &q, &groups}, &err));
    TIME("rms_norm_rope 75600x5120", (size_t)M * D * 4, 0,
         vg_rms_norm_rope(gpu,
                          &(vg_rms_norm_rope_args){.x = &x,
                                                   .w = &vector,
                                                   .eps = 1e-6f,
                                                   .heads = 40,
                                                   .rope_cos = &rope,
                                                   .rope_sin = &rope,
                                                   .y = &y},
                          &err));
    for (int s = 0; s < 3; s++)
        for (int kind = 0; kind < 3; kind++) {
            int64_t n = shapes[s].n, k = shapes[s].k;
            vg_tensor in = vg_tensor_make(memory[0], VG_BF16, 2, M, k),
                      in8 = vg_tensor_make(memory[1], VG_E4M3, 2, M, k),
                      out = vg_tensor_make(memory[3], VG_BF16, 2, M, n);
            vg_tensor w = vg_tensor_make((char *)memory[0] + (1 << 20), VG_BF16, 2, n, k),
                      w8 = vg_tensor_make((char *)memory[2] + (64 << 20), VG_E4M3, 2, n, k);
            vg_tensor in_scale =
                kind == 2 ? vg_tensor_make((char *)memory[2] + (256 << 20), VG_F32, 2, k / 128, M)
                          : one;
            vg_tensor w_scale = kind == 2 ? vg_tensor_make((char *)memory[2] + (512 << 20), VG_F32,
                                                           2, n / 128, k / 128)
                                          : one;
            vg_linear_args args = {.x = &in, .w = &w, .y = &out};
            if (kind) {
                CHECK_OK(vg_quantize(gpu,
                                     &(vg_quantize_args){&in,
                                                         kind == 1 ? VG_QUANT_TENSOR_DYNAMIC
                                                                   : VG_QUANT_GROUP_DYNAMIC,
                                                         &in8, &in_scale},
                                     &err),
                         err);
                CHECK_OK(vg_cast(gpu, &(vg_cast_args){&w, &w8}, &err), err);
                args = (vg_linear_args){
                    .x = &in8, .x_scale = &in_scale, .w = &w8, .w_scale = &w_scale, .y = &out};
                if (kind == 2) {
                    vg_tensor zero =
                        vg_tensor_make(w_scale.data, VG_U8, 1, n / 128 * (k / 128) * 4);
                    CHECK_OK(vg_backend_zero(gpu, &zero, &err), err);
                }
            }
            snprintf(what, sizeof what, "linear %s 75600x%lldx%lld",
                     kind == 0   ? "BF16"
                     : kind == 1 ? "FP8 tensor"
                                 : "FP8 block",
                     (long long)n, (long long)k);
            TIME(what, 0, 2.0 * M * (double)n * (double)k, vg_linear(gpu, &args, &err));
        }
    for (int i = 0; i < 4; i++)
        vg_backend_release(gpu, memory[i], big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuda_quantize),    cmocka_unit_test(test_cuda_embedding),
        cmocka_unit_test(test_cuda_rms_norm),    cmocka_unit_test(test_cuda_rms_norm_rope),
        cmocka_unit_test(test_cuda_patches),     cmocka_unit_test(test_cuda_linear_plain_formats),
        cmocka_unit_test(test_cuda_linear_e4m3), cmocka_unit_test(test_cuda_transformer_bench),
    };
    use_filter();
    return cmocka_run_group_tests_name("cuda_transformer", tests, open_gpu, close_gpu);
}

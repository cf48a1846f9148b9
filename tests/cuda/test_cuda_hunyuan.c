/* test_cuda_hunyuan.c: what HunyuanVideo-1.5 asks of the CUDA backend beyond Wan: the norm of single heads, borders that are repeated, channels
 * packed and unpacked, against the CPU. */
#include "tests/cuda/check_cuda.h"

static const vg_dtype ACTS[] = {VG_F32, VG_BF16};

static void test_cuda_head_norm_rope(void **state)
{
    static const int64_t shapes[][3] = {{1, 1, 2},     {33, 3, 10}, {7, 5, 6},     {300, 2, 128},
                                        {65, 16, 128}, {9, 2, 192}, {3, 130, 130}, {20, 3, 7}};
    check_rng rng = {54};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int f = 0; f < 8; f++) {
            int64_t rows = shapes[s][0], heads = shapes[s][1], d = shapes[s][2];
            if (f >> 2 && d % 2)
                continue;
            vg_tensor *x =
                          check_fill(check_tensor(ACTS[f & 1], 2, rows, heads * d), &rng, 0.3, 2.0),
                      *w = check_fill(check_tensor(ACTS[f >> 1 & 1], 1, d), &rng, 0.5, 1.0);
            vg_tensor *y = check_tensor(ACTS[f & 1], 2, rows, heads * d), *c = NULL, *sn = NULL,
                      *first, *dx = on_gpu(x), *dy = on_gpu(y);
            if (f >> 2) {
                c = check_tensor(VG_F32, 2, rows, d / 2), sn = check_tensor(VG_F32, 2, rows, d / 2);
                for (int64_t i = 0; i < rows * d / 2; i++) {
                    double angle = 3.2 * check_random(&rng);
                    check_set(c, i, cos(angle));
                    check_set(sn, i, sin(angle));
                }
            }
            vg_head_norm_rope_args args = {.x = x,
                                           .w = w,
                                           .eps = 1e-6f,
                                           .heads = (int)heads,
                                           .rope_cos = c,
                                           .rope_sin = sn,
                                           .y = y},
                                   on = args;
            on.x = dx, on.w = on_gpu(w), on.rope_cos = on_gpu(c), on.rope_sin = on_gpu(sn),
            on.y = dy;
            CHECK_OK(vg_head_norm_rope(check_cpu()->four, &args, &err), err);
            CHECK_OK(vg_head_norm_rope(gpu, &on, &err), err);
            first = back(dy);
            /* |x| / rms <= sqrt(d), w up to 1.5; a rotation adds two values, each perhaps rounded twice to the other side before. */
            double largest = 1.5 * sqrt((double)d), unit = y->dtype == VG_BF16 ? 0x1p-8 : 0.0,
                   sum = 2 * ((double)d / 256 + 12) * 0x1p-24;
            expect_close("head_norm_rope", y, first,
                         f >> 2 ? largest * 1.5 * (sum + 3 * unit) : 0.0, sum + 3.02 * unit);
            on.y = dx; /* in place */
            CHECK_OK(vg_head_norm_rope(gpu, &on, &err), err);
            expect_same_bits("head_norm_rope, in place", first, back(dx));
            release_all();
        }
}

static void test_cuda_edge_norm(void **state)
{
    static const int64_t sizes[][4] = {{1, 1, 1, 1},  {2, 3, 5, 24},   {1, 7, 4, 128},
                                       {3, 5, 2, 33}, {1, 2, 3, 1024}, {1, 3, 3, 65}};
    check_rng rng = {55};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int f = 0; f < 8; f++) {
            const int64_t *d = sizes[s];
            int edge = f >> 2 ? 1 : 2;
            bool norm = f >> 1 & 1, silu = norm && f >> 2;
            vg_tensor *x = check_fill(check_tensor_of(ACTS[f & 1], 4, d), &rng, 0.2, 2.0),
                      *gamma = norm ? check_fill(check_tensor(ACTS[f & 1], 1, d[3]), &rng, 0.5, 1.0)
                                    : NULL,
                      *y = check_tensor(ACTS[f & 1], 4, d[0], d[1] + 2 * edge, d[2] + 2 * edge,
                                        d[3]);
            vg_edge_norm_args args = {x, gamma, silu, edge, y},
                              on = {on_gpu(x), on_gpu(gamma), silu, edge, on_gpu(y)};
            CHECK_OK(vg_edge_norm(check_cpu()->four, &args, &err), err);
            CHECK_OK(vg_edge_norm(gpu, &on, &err), err);
            /* As channel_norm: three or four roundings, each perhaps to the other side; SiLU's slope. */
            double unit = y->dtype == VG_BF16 ? 0x1p-8 : 0x1p-23, most = sqrt((double)d[3]) * 1.5;
            if (norm)
                expect_close("edge_norm", y, back(on.y), silu ? 4 * unit : 1e-30,
                             (silu ? 8.0 + 4.0 * (most < 40 ? most : 40) : 8.0) * unit);
            else
                expect_same_bits("edge_norm, only padded", y, back(on.y));
            release_all();
        }
}

static void test_cuda_unpack_channels(void **state)
{
    /* T H W, channels of x and of the shortcut, of y, times, side */
    static const int64_t cases[][8] = {{2, 3, 5, 32, 8, 4, 2, 2},    {1, 4, 3, 128, 16, 16, 2, 2},
                                       {1, 3, 2, 128, 32, 16, 1, 2}, {3, 2, 7, 20, 10, 5, 1, 2},
                                       {2, 3, 3, 64, 4, 64, 1, 1},   {1, 1, 1, 9, 3, 9, 1, 1}};
    check_rng rng = {56};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        const int64_t *d = cases[i / 2], times = d[6], side = d[7];
        vg_dtype dtype = ACTS[i & 1];
        vg_tensor *x = check_fill(check_tensor(dtype, 4, d[0], d[1], d[2], d[3]), &rng, 0.1, 2.0),
                  *s = check_fill(check_tensor(dtype, 4, d[0], d[1], d[2], d[4]), &rng, 0.1, 2.0),
                  *y = check_tensor(dtype, 4, d[0] * times, d[1] * side, d[2] * side, d[5]);
        vg_unpack_channels_args args = {x, s, (int)times, (int)side, y},
                                on = {on_gpu(x), on_gpu(s), (int)times, (int)side, on_gpu(y)};
        CHECK_OK(vg_unpack_channels(check_cpu()->four, &args, &err), err);
        CHECK_OK(vg_unpack_channels(gpu, &on, &err), err);
        expect_same_bits("unpack_channels", y, back(on.y));
        release_all();
    }
}

static void test_cuda_pack_channels(void **state)
{
    /* T H W of y, channels of x and of the shortcut, of y, times, side */
    static const int64_t cases[][8] = {{2, 3, 5, 2, 8, 16, 2, 2},
                                       {1, 4, 3, 16, 64, 128, 1, 2},
                                       {3, 2, 7, 4, 8, 16, 1, 2},
                                       {2, 3, 3, 4, 64, 4, 1, 1}};
    check_rng rng = {57};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        const int64_t *d = cases[i / 2], times = d[6], side = d[7];
        vg_dtype dtype = ACTS[i & 1];
        vg_tensor *x = check_fill(
                      check_tensor(dtype, 4, d[0] * times, d[1] * side, d[2] * side, d[3]), &rng,
                      0.1, 2.0),
                  *s = check_fill(
                      check_tensor(dtype, 4, d[0] * times, d[1] * side, d[2] * side, d[4]), &rng,
                      0.1, 2.0),
                  *y = check_tensor(dtype, 4, d[0], d[1], d[2], d[5]);
        vg_pack_channels_args args = {x, s, (int)times, (int)side, y},
                              on = {on_gpu(x), on_gpu(s), (int)times, (int)side, on_gpu(y)};
        CHECK_OK(vg_pack_channels(check_cpu()->four, &args, &err), err);
        CHECK_OK(vg_pack_channels(gpu, &on, &err), err);
        expect_same_bits("pack_channels", y, back(on.y));
        release_all();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuda_head_norm_rope),
        cmocka_unit_test(test_cuda_edge_norm),
        cmocka_unit_test(test_cuda_unpack_channels),
        cmocka_unit_test(test_cuda_pack_channels),
    };
    use_filter();
    return cmocka_run_group_tests_name("cuda_hunyuan", tests, open_gpu, close_gpu);
}

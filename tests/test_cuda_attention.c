/* test_cuda_attention.c: every attention kernel of the CUDA backend against the CPU's, chosen by VGEN_CUDA_ATTENTION. */
#include "check_cuda.h"

typedef struct shape {
    int64_t nq, nk, heads, d;
} shape;

/* With BF16 operands each weight p is rounded once (2^-9), so at most 2^-9 max|v|, on the GPU alone; and y once on both sides. */
static void compare(const char *kernel, const shape *s, vg_dtype in, vg_dtype out, bool biased,
                    float scale, uint64_t seed)
{
    check_rng rng = {seed};
    vg_err err;
    vg_tensor *q = check_fill(check_tensor(in, 3, s->nq, s->heads, s->d), &rng, 0.0, 3.0),
              *k = check_fill(check_tensor(in, 3, s->nk, s->heads, s->d), &rng, 0.0, 3.0);
    vg_tensor *v = check_fill(check_tensor(in, 3, s->nk, s->heads, s->d), &rng, 0.1, 1.0),
              *y = check_tensor(out, 3, s->nq, s->heads, s->d);
    vg_tensor *bias =
        biased ? check_fill(check_tensor(VG_F32, 3, s->heads, s->nq, s->nk), &rng, 0.0, 4.0) : NULL;
    vg_attention_args args = {.q = q, .k = k, .v = v, .bias = bias, .scale = scale, .y = y},
                      on = args;
    vg_tensor *dy, *first;
    char what[128];

    for (int64_t i = 0; biased && i < s->nk / 3;
         i++) /* masked keys, as the text encoder has them */
        for (int64_t r = 0; r < s->heads * s->nq; r++)
            check_set(bias, r * s->nk + s->nk - 1 - i, -3.3895314e38);
    snprintf(what, sizeof what, "attention %s %lldx%lldx%lldx%lld %s to %s%s", kernel,
             (long long)s->nq, (long long)s->nk, (long long)s->heads, (long long)s->d,
             vg_dtype_name(in), vg_dtype_name(out), biased ? ", bias" : "");
    assert_int_equal(setenv("VGEN_CUDA_ATTENTION", kernel, 1), 0);
    on.q = on_gpu(q), on.k = on_gpu(k), on.v = on_gpu(v), on.bias = on_gpu(bias),
    on.y = dy = on_gpu(y);
    CHECK_OK(vg_attention(check_cpu()->four, &args, &err), err);
    CHECK_OK(vg_attention(gpu, &on, &err), err);
    first = back(dy);
    if (in == VG_BF16)
        expect_close(what, y, first, 0x1p-8 * 1.1, out == VG_BF16 ? 0x1p-7 : 0x1p-12);
    else
        expect_close(what, y, first, 1e-5, out == VG_BF16 ? 0x1p-7 : 1e-5);
    CHECK_OK(vg_attention(gpu, &on, &err), err);
    expect_same_bits(what, first, back(dy));
    release_all();
    assert_int_equal(unsetenv("VGEN_CUDA_ATTENTION"), 0);
}

static void compare_all(const char *kernel)
{
    static const shape shapes[] = {{1, 1, 1, 128},      {1, 300, 2, 128},    {127, 176, 2, 128},
                                   {129, 177, 3, 128},  {128, 352, 1, 128},  {300, 353, 2, 128},
                                   {257, 1000, 2, 128}, {640, 2113, 3, 128}, {1, 1, 1, 64},
                                   {65, 128, 2, 64},    {129, 129, 1, 64},   {300, 1025, 3, 64},
                                   {128, 20, 2, 64},    {33, 512, 40, 128}};

    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        compare(kernel, &shapes[i], VG_BF16, VG_BF16, false,
                (float)(1.0 / sqrt((double)shapes[i].d)), 40 + i);
}

static void test_cuda_attention_rows(void **state)
{
    (void)state;
    NEED_GPU();
    compare_all("rows");
}

static void test_cuda_attention_mma(void **state)
{
    (void)state;
    NEED_GPU();
    compare_all("mma");
}

static void test_cuda_attention_sm90(void **state)
{
    vg_device_info info;
    vg_err err;

    (void)state;
    NEED_GPU();
    CHECK_OK(vg_backend_info(gpu, &info, &err), err);
    if (info.capability != 90)
        skip();
    compare_all("sm90");
}

/* More work than blocks, so that blocks of the persistent kernel take several tiles each. */
static void test_cuda_attention_many_tiles(void **state)
{
    static const shape wide = {900, 400, 40, 128}, narrow = {700, 300, 60, 64};

    (void)state;
    NEED_GPU();
    compare("", &wide, VG_BF16, VG_BF16, false, 0.0884f, 60);
    compare("", &narrow, VG_BF16, VG_BF16, false, 0.125f, 61);
}

static void test_cuda_attention_other_head_sizes(void **state)
{
    static const int64_t sizes[] = {8, 16, 24, 32, 40, 64, 72, 96, 120, 128};

    (void)state;
    NEED_GPU();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        shape s = {77, 131, 3, sizes[i]};
        compare("mma", &s, VG_BF16, VG_BF16, false, (float)(1.0 / sqrt((double)s.d)), 70 + i);
    }
}

static void test_cuda_attention_everything_else(void **state)
{
    static const shape shapes[] = {{1, 1, 1, 1},      {5, 7, 2, 5},      {33, 65, 3, 24},
                                   {40, 129, 1, 384}, {65, 70, 1, 512},  {9, 64, 1, 1024},
                                   {64, 64, 4, 64},   {100, 513, 2, 128}};

    (void)state;
    NEED_GPU();
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int f = 0; f < 8; f++)
            compare("rows", &shapes[i], f & 1 ? VG_BF16 : VG_F32, f >> 1 & 1 ? VG_BF16 : VG_F32,
                    f >> 2, (float)(1.0 / sqrt((double)shapes[i].d)), 80 + i);
    compare("", &(shape){20, 30, 2, 64}, VG_BF16, VG_BF16, false, -0.1f,
            99); /* a negative scale turns maxima into minima */
    compare("", &(shape){20, 30, 2, 64}, VG_BF16, VG_BF16, false, 0.0f, 99);
    compare("", &(shape){64, 64, 4, 64}, VG_BF16, VG_BF16, true, 1.0f,
            98); /* the text encoder does not scale */
}

static void test_cuda_attention_bench(void **state)
{
    static const char *const kernels[] = {"sm90", "mma", "rows"};
    static const shape shapes[] = {{20280, 20280, 40, 128},
                                   {75600, 75600, 40, 128},
                                   {75600, 512, 40, 128},
                                   {32760, 32760, 12, 128},
                                   {14400, 14400, 1, 384}};
    vg_err err;

    (void)state;
    if (!gpu || !getenv("VG_BENCH"))
        skip();
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const shape *s = &shapes[i];
        const int64_t q_shape[3] = {s->nq, s->heads, s->d}, k_shape[3] = {s->nk, s->heads, s->d};
        size_t q_bytes = (size_t)(s->nq * s->heads * s->d) * 2,
               k_bytes = (size_t)(s->nk * s->heads * s->d) * 2;
        uint16_t *host = malloc(q_bytes > k_bytes ? q_bytes : k_bytes);
        check_rng rng = {i};
        void *memory[4];
        vg_tensor t[4];
        double flops = 4.0 * (double)s->nq * (double)s->nk * (double)s->heads * (double)s->d;
        assert_non_null(host);
        for (int j = 0; j < 4; j++) {
            size_t bytes = j == 1 || j == 2 ? k_bytes : q_bytes;
            CHECK_OK(vg_backend_alloc(gpu, bytes, &memory[j], &err), err);
            t[j] = vg_tensor_of(memory[j], VG_BF16, 3, j == 1 || j == 2 ? k_shape : q_shape);
            for (size_t e = 0; j < 3 && e < bytes / 2;
                 e += 4) { /* four values from one draw: about normal, sigma 1 */
                uint64_t bits = check_random_bits(&rng);
                for (int b = 0; b < 4; b++) {
                    int sum = __builtin_popcountll(bits >> 16 * b & 0xffff) - 8;
                    host[e + (size_t)b] = vg_f32_to_bf16((float)sum * 0.5f +
                                                         (float)(bits >> 16 * b & 0xff) * 0x1p-10f);
                }
            }
            if (j < 3)
                CHECK_OK(vg_backend_upload(gpu, &t[j], host, &err), err);
        }
        for (int kernel = 0; kernel < 3; kernel++) {
            if ((kernel == 2) != (s->d > 128) || (kernel == 1 && i == 1))
                continue;
            double best = 1e9, total = 0.0;
            int rounds = 0;
            assert_int_equal(setenv("VGEN_CUDA_ATTENTION", kernels[kernel], 1), 0);
            while (rounds < 3 || (total < 1.0 && rounds < 20)) {
                CHECK_OK(vg_backend_sync(gpu, &err), err);
                double from = seconds();
                CHECK_OK(vg_attention(
                             gpu,
                             &(vg_attention_args){
                                 .q = &t[0], .k = &t[1], .v = &t[2], .scale = 0.0884f, .y = &t[3]},
                             &err),
                         err);
                CHECK_OK(vg_backend_sync(gpu, &err), err);
                from = seconds() - from;
                best = rounds && from < best ? from : best;
                total += from;
                rounds++;
            }
            print_message(
                "BENCH attention %-5s %lldx%lld, %lld x %lld: %9.2f ms, %7.1f TFLOP/s (last rounds' mean %.2f ms)\n",
                kernels[kernel], (long long)s->nq, (long long)s->nk, (long long)s->heads,
                (long long)s->d, best * 1e3, flops / best * 1e-12, total / rounds * 1e3);
        }
        assert_int_equal(unsetenv("VGEN_CUDA_ATTENTION"), 0);
        for (int j = 0; j < 4; j++)
            vg_backend_release(gpu, memory[j], j == 1 || j == 2 ? k_bytes : q_bytes);
        free(host);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuda_attention_everything_else),
        cmocka_unit_test(test_cuda_attention_other_head_sizes),
        cmocka_unit_test(test_cuda_attention_rows),
        cmocka_unit_test(test_cuda_attention_mma),
        cmocka_unit_test(test_cuda_attention_sm90),
        cmocka_unit_test(test_cuda_attention_many_tiles),
        cmocka_unit_test(test_cuda_attention_bench),
    };
    use_filter();
    return cmocka_run_group_tests_name("cuda_attention", tests, open_gpu, close_gpu);
}

/* test_cuda_attention.c: every attention kernel of the CUDA backend against the CPU's, chosen by vg_backend.attention. */
#include "tests/cuda/check_cuda.h"
#include "kernels/cuda/attention_list.h"

typedef struct shape {
    int64_t nq, nk, heads, d;
} shape;

static void use_kernel(const char *name)
{
    int kernel = 0;
    if (!*name)
        name = "auto";
    while (strcmp(vg_attention_kernel_name((vg_attention_kernel)kernel), name) != 0)
        assert_true(++kernel < VG_ATTENTION_KERNEL_COUNT);
    gpu->attention = (vg_attention_kernel)kernel;
}

/* With BF16 operands each weight p is rounded once (2^-9), so at most 2^-9 max|v| on either side; and y once on both sides. */
static void compare_operands(const char *kernel, vg_attention_args args, vg_dtype out)
{
    const int64_t *q = args.q->shape;
    vg_attention_args on = args;
    vg_dtype in = args.q->dtype;
    vg_tensor *first;
    vg_err err;
    char what[128];

    snprintf(what, sizeof what, "attention %s %lldx%lldx%lldx%lld %s to %s%s", kernel,
             (long long)q[0], (long long)args.k->shape[0], (long long)q[1], (long long)q[2],
             vg_dtype_name(in), vg_dtype_name(out), args.bias ? ", bias" : "");
    args.y = check_tensor_of(out, 3, q);
    use_kernel(kernel);
    on.q = on_gpu(args.q), on.k = on_gpu(args.k), on.v = on_gpu(args.v),
    on.bias = on_gpu(args.bias), on.y = on_gpu(args.y);
    CHECK_OK(vg_attention(check_cpu()->four, &args, &err), err);
    CHECK_OK(vg_attention(gpu, &on, &err), err);
    first = back(on.y);
    if (in == VG_BF16)
        expect_close(what, args.y, first, 0x1p-8 * 1.1, out == VG_BF16 ? 0x1p-7 : 0x1p-12);
    else
        expect_close(what, args.y, first, 1e-5, out == VG_BF16 ? 0x1p-7 : 1e-5);
    CHECK_OK(vg_attention(gpu, &on, &err), err);
    expect_same_bits(what, first, back(on.y));
    release_all();
    gpu->attention = VG_ATTENTION_AUTO;
}

/* biases: one for each head, one for all of them (1), or none (0). */
static void compare(const char *kernel, const shape *s, vg_dtype in, vg_dtype out, int64_t biases,
                    float scale, uint64_t seed)
{
    check_rng rng = {seed};
    vg_tensor *q = check_fill(check_tensor(in, 3, s->nq, s->heads, s->d), &rng, 0.0, 3.0),
              *k = check_fill(check_tensor(in, 3, s->nk, s->heads, s->d), &rng, 0.0, 3.0),
              *v = check_fill(check_tensor(in, 3, s->nk, s->heads, s->d), &rng, 0.1, 1.0);
    vg_tensor *bias =
        biases ? check_fill(check_tensor(VG_F32, 3, biases, s->nq, s->nk), &rng, 0.0, 4.0) : NULL;

    for (int64_t i = 0; biases && i < s->nk / 3;
         i++) /* masked keys, as the text encoder has them */
        for (int64_t r = 0; r < biases * s->nq; r++)
            check_set(bias, r * s->nk + s->nk - 1 - i, -3.3895314e38);
    compare_operands(
        kernel, (vg_attention_args){.q = q, .k = k, .v = v, .bias = bias, .scale = scale}, out);
}

static void compare_all(const char *kernel)
{
    static const shape shapes[] = {{1, 1, 1, 128},      {1, 300, 2, 128},    {127, 176, 2, 128},
                                   {129, 177, 3, 128},  {128, 352, 1, 128},  {300, 353, 2, 128},
                                   {257, 1000, 2, 128}, {640, 2113, 3, 128}, {1, 1, 1, 64},
                                   {65, 128, 2, 64},    {129, 129, 1, 64},   {300, 1025, 3, 64},
                                   {128, 20, 2, 64},    {33, 512, 40, 128}};

    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        compare(kernel, &shapes[i], VG_BF16, VG_BF16, 0, (float)(1.0 / sqrt((double)shapes[i].d)),
                40 + i);
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

/* The kernel for Hopper takes the maximum of the last tile of keys for the whole row. Scores of standard deviation 30 (in log2 units)
 * move that reference; at 190 some rows' weights overflow and their tiles are done over; a last tile near zero makes that all of them.
 * A NaN comes through. Scores of some 10^3 have errors of 10^-3, which the tolerance for the weights' rounding covers. */
static void test_cuda_attention_large_scores(void **state)
{
    static const struct {
        double spread, last;
    } cases[] = {{8.0, 8.0}, {20.0, 20.0}, {20.0, 0.01}};

    (void)state;
    NEED_GPU();
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        check_rng rng = {90 + c};
        vg_tensor *q =
                      check_fill(check_tensor(VG_BF16, 3, 700, 3, 128), &rng, 0.0, cases[c].spread),
                  *k = check_fill(check_tensor(VG_BF16, 3, 1000, 3, 128), &rng, 0.0,
                                  cases[c].spread),
                  *v = check_fill(check_tensor(VG_BF16, 3, 1000, 3, 128), &rng, 0.1, 1.0);
        vg_tensor last = vg_tensor_rows(k, 1000 - 1000 % 176, 1000 % 176);
        check_fill(&last, &rng, 0.0, cases[c].last);
        compare_operands("", (vg_attention_args){.q = q, .k = k, .v = v, .scale = 0.0884f},
                         VG_BF16);
    }
}

static void test_cuda_attention_nan(void **state)
{
    check_rng rng = {95};
    vg_err err;

    (void)state;
    NEED_GPU();
    vg_tensor *q = check_fill(check_tensor(VG_BF16, 3, 300, 2, 128), &rng, 0.0, 2.0),
              *k = check_fill(check_tensor(VG_BF16, 3, 500, 2, 128), &rng, 0.0, 2.0),
              *y = check_tensor(VG_BF16, 3, 300, 2, 128);
    check_set(q, (7 * 2 + 1) * 128 + 5, NAN); /* row 7 of head 1 */
    vg_attention_args on = {
        .q = on_gpu(q), .k = on_gpu(k), .v = on_gpu(k), .scale = 0.1f, .y = on_gpu(y)};
    CHECK_OK(vg_attention(gpu, &on, &err), err);
    vg_tensor *got = back(on.y);
    for (int64_t i = 0; i < vg_tensor_numel(got); i++)
        assert_int_equal(isnan(check_get(got, i)), i / 128 == 7 * 2 + 1);
    release_all();
}

static void expect_same_bytes(const char *what, const vg_tensor *a, const vg_tensor *b)
{
    if (memcmp(a->data, b->data, vg_tensor_bytes(a)) != 0)
        fail_msg("%s: other bytes", what);
}

/* Codes and scales are those of vg_quantize on the op's own y, with y and without. */
static void compare_codes(const char *kernel, const shape *s, vg_dtype in, vg_quant_kind kind,
                          uint64_t seed)
{
    check_rng rng = {seed};
    vg_err err;
    int64_t row = s->heads * s->d, groups = (row + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP;
    bool by_group = kind == VG_QUANT_GROUP_DYNAMIC;
    vg_tensor *q = check_fill(check_tensor(in, 3, s->nq, s->heads, s->d), &rng, 0.0, 3.0),
              *k = check_fill(check_tensor(in, 3, s->nk, s->heads, s->d), &rng, 0.0, 3.0);
    vg_tensor *v = check_fill(check_tensor(in, 3, s->nk, s->heads, s->d), &rng, 0.1, 1.0),
              *y = check_tensor(in, 3, s->nq, s->heads, s->d),
              *codes = check_tensor(VG_E4M3, 2, s->nq, row);
    vg_tensor *scale = by_group ? check_tensor(VG_F32, 2, groups, s->nq)
                                : check_fill(check_tensor(VG_F32, 1, 1), &rng, 0.003, 0.0);
    vg_tensor *fused[2] = {on_gpu(codes), on_gpu(scale)},
              *separate[2] = {on_gpu(codes), on_gpu(scale)};
    vg_attention_args on = {.q = on_gpu(q),
                            .k = on_gpu(k),
                            .v = on_gpu(v),
                            .scale = (float)(1.0 / sqrt((double)s->d)),
                            .y = on_gpu(y),
                            .quant = {kind, fused[0], fused[1]}};
    vg_tensor rows = vg_tensor_reshape(on.y, 2, s->nq, row);
    char what[128];

    snprintf(what, sizeof what, "attention %s %lldx%lldx%lldx%lld %s, codes %s", kernel,
             (long long)s->nq, (long long)s->nk, (long long)s->heads, (long long)s->d,
             vg_dtype_name(in), by_group ? "by group" : "static");
    use_kernel(kernel);
    CHECK_OK(vg_attention(gpu, &on, &err), err);
    CHECK_OK(vg_quantize(gpu, &(vg_quantize_args){&rows, kind, separate[0], separate[1]}, &err),
             err);
    for (int i = 0; i < 2; i++)
        expect_same_bytes(what, back(fused[i]), back(separate[i]));
    CHECK_OK(vg_backend_zero(gpu, fused[0], &err), err);
    on.y = NULL;
    CHECK_OK(vg_attention(gpu, &on, &err), err);
    for (int i = 0; i < 2; i++)
        expect_same_bytes(what, back(fused[i]), back(separate[i]));
    release_all();
    gpu->attention = VG_ATTENTION_AUTO;
}

static void test_cuda_attention_codes(void **state)
{
    static const shape shapes[] = {{1, 1, 1, 128},      {300, 353, 3, 128}, {257, 20, 2, 128},
                                   {640, 600, 40, 128}, {129, 130, 3, 64},  {65, 70, 2, 40},
                                   {33, 50, 1, 384}};
    static const char *const kernels[] = {"", "mma", "rows"};

    (void)state;
    NEED_GPU();
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int f = 0; f < 6; f++)
            compare_codes(kernels[f / 2], &shapes[i], VG_BF16,
                          f % 2 ? VG_QUANT_GROUP_DYNAMIC : VG_QUANT_TENSOR_STATIC, 110 + i);
    compare_codes("", &shapes[1], VG_F32, VG_QUANT_GROUP_DYNAMIC, 120);
}

/* Tiles of keys that are not listed are as if masked. */
static void compare_listed(const shape *s, uint64_t seed)
{
    check_rng rng = {seed};
    vg_err err;
    int64_t q_rows, keys;
    vg_cuda_attention_tile(s->d, &q_rows, &keys);
    int64_t q_tiles = (s->nq + q_rows - 1) / q_rows, key_tiles = (s->nk + keys - 1) / keys;
    vg_tensor *q = check_fill(check_tensor(VG_BF16, 3, s->nq, s->heads, s->d), &rng, 0.0, 3.0),
              *k = check_fill(check_tensor(VG_BF16, 3, s->nk, s->heads, s->d), &rng, 0.0, 3.0);
    vg_tensor *v = check_fill(check_tensor(VG_BF16, 3, s->nk, s->heads, s->d), &rng, 0.1, 1.0),
              *y = check_tensor(VG_BF16, 3, s->nq, s->heads, s->d),
              *bias = check_tensor(VG_F32, 3, s->heads, s->nq, s->nk);
    vg_tensor *tiles = check_tensor(VG_I32, 2, s->heads * q_tiles, key_tiles),
              *counts = check_tensor(VG_I32, 1, s->heads * q_tiles);
    vg_attention_args args = {.q = q,
                              .k = k,
                              .v = v,
                              .bias = bias,
                              .scale = (float)(1.0 / sqrt((double)s->d)),
                              .y = y},
                      on = args;
    vg_key_tiles list;

    for (int64_t row = 0; row < s->heads * q_tiles; row++) {
        int64_t head = row / q_tiles, first = row % q_tiles * q_rows, count = 0,
                last = first + q_rows < s->nq ? first + q_rows : s->nq;
        for (int64_t t = 0; t < key_tiles; t++) {
            /* about half of them; at least one */
            bool listed = check_random(&rng) < 0.0 || (t == key_tiles - 1 && count == 0);
            if (listed)
                check_set(tiles, row * key_tiles + count++, (double)t);
            for (int64_t i = first; i < last; i++)
                for (int64_t j = t * keys; j < (t + 1) * keys && j < s->nk; j++)
                    check_set(bias, (head * s->nq + i) * s->nk + j, listed ? 0.0 : -INFINITY);
        }
        check_set(counts, row, (double)count);
        for (int64_t t = count; t < key_tiles; t++)
            check_set(tiles, row * key_tiles + t, -1.0); /* must not be looked at */
    }
    on.q = on_gpu(q), on.k = on_gpu(k), on.v = on_gpu(v), on.y = on_gpu(y), on.bias = NULL;
    list = (vg_key_tiles){on_gpu(tiles)->data, on_gpu(counts)->data, (int)key_tiles};
    CHECK_OK(vg_attention(check_cpu()->four, &args, &err), err);
    CHECK_OK(vg_cuda_attention_listed(gpu, &on, &list, &err), err);
    expect_close("attention over listed tiles", y, back(on.y), 0x1p-8 * 1.1, 0x1p-7);
    release_all();
}

static void test_cuda_attention_listed(void **state)
{
    static const shape shapes[] = {{300, 1000, 3, 128},
                                   {129, 1, 1, 128},
                                   {257, 2113, 2, 128},
                                   {300, 900, 2, 64},
                                   {70, 300, 1, 64}};
    vg_device_info info;
    vg_err err;

    (void)state;
    NEED_GPU();
    CHECK_OK(vg_backend_info(gpu, &info, &err), err);
    if (info.capability != 90)
        skip();
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        compare_listed(&shapes[i], 130 + i);
}

/* More work than blocks, so that blocks of the persistent kernel take several tiles each. */
static void test_cuda_attention_many_tiles(void **state)
{
    static const shape wide = {900, 400, 40, 128}, narrow = {700, 300, 60, 64};

    (void)state;
    NEED_GPU();
    compare("", &wide, VG_BF16, VG_BF16, 0, 0.0884f, 60);
    compare("", &narrow, VG_BF16, VG_BF16, 0, 0.125f, 61);
}

static void test_cuda_attention_other_head_sizes(void **state)
{
    static const int64_t sizes[] = {8, 16, 24, 32, 40, 64, 72, 96, 120, 128};

    (void)state;
    NEED_GPU();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        shape s = {77, 131, 3, sizes[i]};
        compare("mma", &s, VG_BF16, VG_BF16, 0, (float)(1.0 / sqrt((double)s.d)), 70 + i);
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
        for (int f = 0; f < 12; f++)
            compare("rows", &shapes[i], f & 1 ? VG_BF16 : VG_F32, f >> 1 & 1 ? VG_BF16 : VG_F32,
                    f >> 2 == 2 ? shapes[i].heads : f >> 2,
                    (float)(1.0 / sqrt((double)shapes[i].d)), 80 + i);
    compare("", &(shape){20, 30, 2, 64}, VG_BF16, VG_BF16, 0, -0.1f,
            99); /* a negative scale turns maxima into minima */
    compare("", &(shape){20, 30, 2, 64}, VG_BF16, VG_BF16, 0, 0.0f, 99);
    compare("", &(shape){64, 64, 4, 64}, VG_BF16, VG_BF16, 4, 1.0f,
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
            use_kernel(kernels[kernel]);
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
        gpu->attention = VG_ATTENTION_AUTO;
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
        cmocka_unit_test(test_cuda_attention_large_scores),
        cmocka_unit_test(test_cuda_attention_nan),
        cmocka_unit_test(test_cuda_attention_codes),
        cmocka_unit_test(test_cuda_attention_listed),
        cmocka_unit_test(test_cuda_attention_bench),
    };
    use_filter();
    return cmocka_run_group_tests_name("cuda_attention", tests, open_gpu, close_gpu);
}

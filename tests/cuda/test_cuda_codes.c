/* test_cuda_codes.c: attention on 8-bit codes, and the stages that make them, against the CPU's. */
#include "tests/codes.h"
#include "tests/cuda/check_cuda.h"

/* Codes that differ are one apart, and few: sums of the norm and the mean have another order. */
static void expect_codes(const char *what, const vg_tensor *cpu, const vg_tensor *cuda)
{
    int64_t other = 0, n = vg_tensor_numel(cpu);

    for (int64_t i = 0; i < n; i++) {
        double a = check_get(cpu, i), b = check_get(cuda, i);
        if (a == b)
            continue;
        other++;
        /* E4M3: to the next code, 2^-3 of it, or the smallest one */
        if (!(fabs(a - b) <= (cpu->dtype == VG_I8 ? 1.0 : fmax(fabs(a) * 0.126, 0x1p-9))))
            fail_msg("%s: code %lld is %g on the CPU, %g on the GPU", what, (long long)i, a, b);
    }
    if (other * 200 > n)
        fail_msg("%s: %lld of %lld codes differ", what, (long long)other, (long long)n);
}

static void compare_heads(int64_t n, int64_t heads, vg_dtype dtype, vg_dtype w_dtype, int f)
{
    check_rng rng = {71};
    bool norm = f & 1, rope = norm && f & 2, center = f & 4, by_token = f & 8, rotate = f & 16;
    int64_t width = heads * CODES_D;
    vg_tensor *x = check_fill(check_tensor(dtype, 2, n, width), &rng, 0.5, 2.0),
              *w = check_fill(check_tensor(w_dtype, 1, width), &rng, 1.0, 0.5),
              *cosine = check_fill(check_tensor(VG_F32, 2, n, CODES_D / 2), &rng, 0.0, 1.0),
              *sine = check_fill(check_tensor(VG_F32, 2, n, CODES_D / 2), &rng, 0.0, 1.0);
    vg_head_codes_args a = {.x = x,
                            .w = norm ? w : NULL,
                            .eps = 1e-6f,
                            .heads = (int)heads,
                            .rope_cos = rope ? cosine : NULL,
                            .rope_sin = rope ? sine : NULL,
                            .center = center,
                            .rotate = rotate,
                            .codes = check_tensor(VG_I8, 3, n, heads, CODES_D),
                            .scale =
                                check_tensor(VG_F32, 2, heads, by_token ? n : vg_codes_blocks(n))},
                       on = a;
    vg_tensor *first, *scales;
    vg_err err;

    on.x = on_gpu(x), on.w = on_gpu(a.w), on.rope_cos = on_gpu(a.rope_cos),
    on.rope_sin = on_gpu(a.rope_sin), on.codes = on_gpu(a.codes), on.scale = on_gpu(a.scale);
    CHECK_OK(vg_head_codes(check_cpu()->four, &a, &err), err);
    CHECK_OK(vg_head_codes(gpu, &on, &err), err);
    first = back(on.codes), scales = back(on.scale);
    expect_codes("head_codes", a.codes, first);
    expect_close("scales of head_codes", a.scale, scales, 0.0, dtype == VG_BF16 ? 0x1p-8 : 1e-5);
    CHECK_OK(vg_head_codes(gpu, &on, &err), err);
    expect_same_bits("head_codes, repeated", first, back(on.codes));
    expect_same_bits("head_codes, repeated", scales, back(on.scale));
    release_all();
}

static void test_cuda_codes_heads(void **state)
{
    (void)state;
    NEED_GPU();
    for (int f = 0; f < 32; f++)
        compare_heads(130, 3, f & 1 ? VG_BF16 : VG_F32, VG_F32, f);
    compare_heads(1, 1, VG_BF16, VG_BF16, 31);
    compare_heads(65, 2, VG_BF16, VG_BF16, 23);
    compare_heads(9000, 1, VG_BF16, VG_BF16, 23); /* the mean of every second token */
}

/* A group with a NaN or an infinity has no scale on either side; a group of zeros has scale 1. */
static void test_cuda_codes_of_hard_rows(void **state)
{
    static const double hard[] = {0.0, NAN, INFINITY};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (int k = 0; k < 6; k++) {
        check_rng rng = {72};
        bool by_token = k > 2;
        vg_tensor *x = check_fill(check_tensor(VG_BF16, 2, 130, 2 * CODES_D), &rng, 0.0, 1.0);
        for (int64_t i = 64; i < 128; i++)
            for (int64_t e = CODES_D; e < 2 * CODES_D; e++)
                check_set(x, i * 2 * CODES_D + e,
                          k % 3 == 0 || (i == 100 && e == 140) ? hard[k % 3] : 0.5);
        vg_head_codes_args a = {.x = x,
                                .heads = 2,
                                .rotate = true,
                                .codes = check_tensor(VG_I8, 3, 130, 2, CODES_D),
                                .scale = check_tensor(VG_F32, 2, 2, by_token ? 130 : 3)},
                           on = a;
        on.x = on_gpu(x), on.codes = on_gpu(a.codes), on.scale = on_gpu(a.scale);
        CHECK_OK(vg_head_codes(check_cpu()->one, &a, &err), err);
        CHECK_OK(vg_head_codes(gpu, &on, &err), err);
        expect_same_bits("scales of hard rows", a.scale, back(on.scale));
        release_all();
    }
}

static void compare_values(int64_t n, int64_t heads, vg_dtype dtype, bool center)
{
    check_rng rng = {73};
    vg_tensor *v = check_fill(check_tensor(dtype, 3, n, heads, CODES_D), &rng, 1.0, 2.0);
    vg_value_codes_args a = {v, center,
                             check_tensor(VG_E4M3, 3, heads, CODES_D,
                                          vg_codes_blocks(n) * VG_CODES_BLOCK),
                             check_tensor(VG_F32, 2, heads, CODES_D),
                             check_tensor(VG_F32, 2, heads, CODES_D)},
                        on = {on_gpu(v), center, on_gpu(a.codes), on_gpu(a.scale), on_gpu(a.mean)};
    vg_tensor *first;
    vg_err err;

    CHECK_OK(vg_value_codes(check_cpu()->four, &a, &err), err);
    CHECK_OK(vg_value_codes(gpu, &on, &err), err);
    first = back(on.codes);
    expect_codes("value_codes", a.codes, first);
    expect_close("scales of value_codes", a.scale, back(on.scale), 0.0, 1e-5);
    expect_close("means of value_codes", a.mean, back(on.mean), 1e-5, 1e-5);
    CHECK_OK(vg_value_codes(gpu, &on, &err), err);
    expect_same_bits("value_codes, repeated", first, back(on.codes));
    release_all();
}

static void test_cuda_codes_values(void **state)
{
    (void)state;
    NEED_GPU();
    for (int f = 0; f < 4; f++) {
        compare_values(1, 1, f & 1 ? VG_BF16 : VG_F32, f >> 1);
        compare_values(130, 3, f & 1 ? VG_BF16 : VG_F32, f >> 1);
        compare_values(1100, 2, f & 1 ? VG_BF16 : VG_F32, f >> 1);
    }
}

/* Scores are exact on both sides and references whole numbers, so weights round alike but for ties. A sum of one sign loses 8e-4 of itself at
 * each of 24 steps on the tensor cores, half of that on average: 1e-2; BF16 2e-3. Where one key has nearly all weight, a tie changes a
 * row by 2^-4. */
static void compare_attention(int64_t nq, int64_t nk, int64_t heads, double spread, double limit)
{
    check_rng rng = {74};
    vg_tensor *q = check_fill(check_tensor(VG_BF16, 3, nq, heads, CODES_D), &rng, 0.0, spread),
              *k = check_fill(check_tensor(VG_BF16, 3, nk, heads, CODES_D), &rng, 0.3, spread),
              *v = check_fill(check_tensor(VG_BF16, 3, nk, heads, CODES_D), &rng, 0.1, 1.0),
              *y = check_tensor(VG_BF16, 3, nq, heads, CODES_D), *first;
    vg_attention_codes_args a = codes_operands(nq, nk, heads), on;
    vg_err err;

    codes_make(check_cpu()->four, &codes_default, q, k, v, &a);
    a.y = y, on = a;
    on.q = on_gpu(a.q), on.k = on_gpu(a.k), on.v = on_gpu(a.v), on.q_scale = on_gpu(a.q_scale),
    on.k_scale = on_gpu(a.k_scale), on.v_scale = on_gpu(a.v_scale), on.v_mean = on_gpu(a.v_mean),
    on.y = on_gpu(y);
    CHECK_OK(vg_attention_codes(check_cpu()->four, &a, &err), err);
    CHECK_OK(vg_attention_codes(gpu, &on, &err), err);
    first = back(on.y);
    expect_near("attention_codes", y, first, limit);
    CHECK_OK(vg_attention_codes(gpu, &on, &err), err);
    expect_same_bits("attention_codes, repeated", first, back(on.y));
    release_all();
}

static bool has_kernel(void)
{
    vg_device_info info;
    vg_err err;

    CHECK_OK(vg_backend_info(gpu, &info, &err), err);
    return info.capability == 90;
}

static void test_cuda_codes_attention(void **state)
{
    static const int64_t shapes[][3] = {{1, 1, 1},     {192, 96, 1},   {193, 97, 2},  {191, 191, 3},
                                        {385, 193, 1}, {300, 1000, 3}, {64, 4100, 2}, {700, 65, 7},
                                        {33, 576, 40}, {900, 400, 40}};

    (void)state;
    NEED_GPU();
    if (!has_kernel())
        skip();
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        compare_attention(shapes[i][0], shapes[i][1], shapes[i][2], 2.0, 1.2e-2);
    compare_attention(300, 1500, 3, 5.0, 1.5e-2);
    compare_attention(300, 1500, 3, 30.0, 3e-2); /* references move in nearly every tile */
}

/* A NaN in a query stays in its row; one in a channel of v in that channel. */
static void test_cuda_codes_attention_nan(void **state)
{
    (void)state;
    NEED_GPU(); /* gives back every tensor there is */
    if (!has_kernel())
        skip();
    check_rng rng = {75};
    vg_tensor *q = check_fill(check_tensor(VG_BF16, 3, 300, 2, CODES_D), &rng, 0.0, 2.0),
              *k = check_fill(check_tensor(VG_BF16, 3, 500, 2, CODES_D), &rng, 0.0, 2.0),
              *v = check_fill(check_tensor(VG_BF16, 3, 500, 2, CODES_D), &rng, 0.0, 2.0),
              *y = check_tensor(VG_BF16, 3, 300, 2, CODES_D), *got;
    vg_attention_codes_args a = codes_operands(300, 500, 2), on;
    vg_err err;

    check_set(q, (7 * 2 + 1) * CODES_D + 5, NAN); /* row 7 of head 1 */
    check_set(v, (60 * 2 + 0) * CODES_D + 9, NAN);
    codes_make(check_cpu()->four, &codes_default, q, k, v, &a);
    on = a;
    on.q = on_gpu(a.q), on.k = on_gpu(a.k), on.v = on_gpu(a.v), on.q_scale = on_gpu(a.q_scale),
    on.k_scale = on_gpu(a.k_scale), on.v_scale = on_gpu(a.v_scale), on.v_mean = on_gpu(a.v_mean),
    on.y = on_gpu(y);
    CHECK_OK(vg_attention_codes(gpu, &on, &err), err);
    got = back(on.y);
    for (int64_t i = 0; i < vg_tensor_numel(got); i++)
        if (!isnan(check_get(got, i)) != !(i / CODES_D == 7 * 2 + 1 || i % (2 * CODES_D) == 9))
            fail_msg("row %d, head %d, channel %d is %g", (int)(i / CODES_D / 2),
                     (int)(i / CODES_D % 2), (int)(i % CODES_D), check_get(got, i));
    release_all();
}

/* Codes and scales are those of vg_quantize on the op's own y, with y and without. */
static void test_cuda_codes_attention_quantised(void **state)
{
    const vg_quant_kind kinds[] = {VG_QUANT_TENSOR_STATIC, VG_QUANT_GROUP_DYNAMIC};
    vg_err err;

    (void)state;
    NEED_GPU();
    if (!has_kernel())
        skip();
    for (int c = 0; c < 2; c++) {
        check_rng rng = {76};
        vg_tensor *q = check_fill(check_tensor(VG_BF16, 3, 200, 3, CODES_D), &rng, 0.0, 2.0),
                  *k = check_fill(check_tensor(VG_BF16, 3, 300, 3, CODES_D), &rng, 0.0, 2.0),
                  *v = check_fill(check_tensor(VG_BF16, 3, 300, 3, CODES_D), &rng, 0.1, 1.0),
                  *y = check_tensor(VG_BF16, 3, 200, 3, CODES_D);
        vg_attention_codes_args a = codes_operands(200, 300, 3);
        vg_tensor flat = vg_tensor_reshape(y, 2, 200, 3 * CODES_D), rows;
        check_codes codes = check_codes_of(&flat, kinds[c]);
        codes_make(check_cpu()->four, &codes_default, q, k, v, &a);
        a.q = on_gpu(a.q), a.k = on_gpu(a.k), a.v = on_gpu(a.v), a.q_scale = on_gpu(a.q_scale),
        a.k_scale = on_gpu(a.k_scale), a.v_scale = on_gpu(a.v_scale), a.v_mean = on_gpu(a.v_mean),
        a.y = on_gpu(y);
        rows = vg_tensor_reshape(a.y, 2, 200, 3 * CODES_D);
        codes.wanted = on_gpu(codes.wanted), codes.q = on_gpu(codes.q),
        codes.wanted_scale = on_gpu(codes.wanted_scale), codes.scale = on_gpu(codes.scale);
        a.quant = (vg_quant_out){kinds[c], codes.q, codes.scale};
        for (int beside = 1; beside >= 0; beside--) {
            CHECK_OK(vg_attention_codes(gpu, &a, &err), err);
            if (beside)
                CHECK_OK(vg_quantize(
                             gpu,
                             &(vg_quantize_args){&rows, kinds[c], codes.wanted, codes.wanted_scale},
                             &err),
                         err);
            expect_same_bits("codes of the result", back(codes.wanted), back(codes.q));
            expect_same_bits("scales of the result", back(codes.wanted_scale), back(codes.scale));
            CHECK_OK(vg_backend_zero(gpu, codes.q, &err), err);
            a.y = NULL;
        }
        release_all();
    }
}

/* What the GPU has no kernel for is refused, not computed some other way. */
static void test_cuda_codes_refuse(void **state)
{
    (void)state;
    NEED_GPU();
    vg_tensor *x = check_fill(check_tensor(VG_BF16, 2, 5, 128), &(check_rng){1}, 0.0, 1.0),
              *codes = check_tensor(VG_I8, 3, 5, 2, 64), *scale = check_tensor(VG_F32, 2, 2, 5);
    vg_err err;

    CHECK_FAILS(vg_head_codes(
                    gpu,
                    &(vg_head_codes_args){
                        .x = on_gpu(x), .heads = 2, .codes = on_gpu(codes), .scale = on_gpu(scale)},
                    &err),
                VG_E_UNSUPPORTED, err);
    release_all();
    if (has_kernel())
        return;
    vg_attention_codes_args a = codes_operands(5, 5, 1);
    a.q = on_gpu(a.q), a.k = on_gpu(a.k), a.v = on_gpu(a.v), a.q_scale = on_gpu(a.q_scale),
    a.k_scale = on_gpu(a.k_scale), a.v_scale = on_gpu(a.v_scale), a.v_mean = on_gpu(a.v_mean),
    a.y = on_gpu(check_tensor(VG_BF16, 3, 5, 1, CODES_D));
    CHECK_FAILS(vg_attention_codes(gpu, &a, &err), VG_E_UNSUPPORTED, err);
    release_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuda_codes_heads),
        cmocka_unit_test(test_cuda_codes_of_hard_rows),
        cmocka_unit_test(test_cuda_codes_values),
        cmocka_unit_test(test_cuda_codes_attention),
        cmocka_unit_test(test_cuda_codes_attention_nan),
        cmocka_unit_test(test_cuda_codes_attention_quantised),
        cmocka_unit_test(test_cuda_codes_refuse),
    };

    use_filter();
    return cmocka_run_group_tests(tests, open_gpu, close_gpu);
}

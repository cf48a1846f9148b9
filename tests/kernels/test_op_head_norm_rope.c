/* test_op_head_norm_rope.c: norm of each head, both of its roundings, rotation of interleaved pairs. */
#include "tests/check.h"

static void run_case(int64_t n, int heads, int64_t size, vg_dtype dtype, vg_dtype w_dtype,
                     bool rope)
{
    check_rng rng = {91};
    int64_t d = heads * size, pairs = size / 2;
    vg_tensor *x = check_fill(check_tensor(dtype, 2, n, d), &rng, 0.1, 2.0),
              *w = check_fill(check_tensor(w_dtype, 1, size), &rng, 1.0, 0.5);
    vg_tensor *y = check_tensor(dtype, 2, n, d), *cosine = NULL, *sine = NULL;
    double *reference = check_reference(y), largest = 0.0;
    vg_err err;

    if (rope) {
        cosine = check_tensor(VG_F32, 2, n, pairs);
        sine = check_tensor(VG_F32, 2, n, pairs);
        for (int64_t i = 0; i < n * pairs; i++) {
            double angle = 3.0 * check_random(&rng);
            check_set(cosine, i, cos(angle));
            check_set(sine, i, sin(angle));
        }
    }
    for (int64_t h = 0; h < n * heads; h++) {
        double mean = 0.0, *to = reference + h * size;
        for (int64_t c = 0; c < size; c++)
            mean += pow(check_get(x, h * size + c), 2) / (double)size;
        for (int64_t c = 0; c < size; c++) {
            to[c] = check_get(x, h * size + c) / sqrt(mean + 1e-6) * check_get(w, c);
            largest = fmax(largest, fabs(to[c]));
        }
        for (int64_t c = 0; rope && c < size; c += 2) {
            double even = to[c], odd = to[c + 1];
            double cs = check_get(cosine, h / heads * pairs + c / 2),
                   sn = check_get(sine, h / heads * pairs + c / 2);
            to[c] = even * cs - odd * sn;
            to[c + 1] = even * sn + odd * cs;
        }
    }
    vg_head_norm_rope_args args = {
        .x = x, .w = w, .eps = 1e-6f, .heads = heads, .rope_cos = cosine, .rope_sin = sine, .y = y};
    CHECK_RUN(head_norm_rope, &args, y);
    /* Two roundings of the normalised pair (up to `largest`) enter through the rotation: sqrt(2) of each at most. */
    double unit = ((double)size / 64 + 8) * 0x1p-24, bf16 = dtype == VG_BF16 ? 0x1p-8 : 0.0;
    CHECK_CLOSE("head_norm_rope", y, reference, rope ? 1.42 * largest * (unit + 2.01 * bf16) : 0.0,
                unit + 2.01 * bf16);
    args.y = x;
    CHECK_OK(vg_head_norm_rope(check_cpu()->four, &args, &err), err);
    assert_memory_equal(x->data, y->data, vg_tensor_bytes(y));
    free(reference);
    check_done();
}

static void test_head_norm_rope_matches_double(void **state)
{
    const vg_dtype dtypes[] = {VG_F32, VG_BF16};

    (void)state;
    for (int f = 0; f < 8; f++) {
        run_case(1, 1, 2, dtypes[f & 1], dtypes[f >> 1 & 1], f >> 2);
        run_case(33, 4, 64, dtypes[f & 1], dtypes[f >> 1 & 1], f >> 2);
        run_case(65, 3, 22, dtypes[f & 1], dtypes[f >> 1 & 1], f >> 2);
    }
    run_case(5, 3, 11, VG_F32, VG_F32, false); /* odd head size, no rotation */
}

static void test_head_norm_rope_refuses_wrong_operands(void **state)
{
    vg_tensor *x = check_tensor(VG_F32, 2, 5, 12), *w = check_tensor(VG_F32, 1, 3),
              *table = check_tensor(VG_F32, 2, 5, 3), *y = check_tensor(VG_BF16, 2, 5, 12);
    vg_backend *be = check_cpu()->one;
    vg_err err;
    const struct {
        vg_head_norm_rope_args args;
        vg_status wanted;
    } cases[] = {
        {{x, w, 0.0f, 5, NULL, NULL, x}, VG_E_ARG},
        {{x, w, 0.0f, 3, NULL, NULL, x}, VG_E_SHAPE},
        {{x, w, 0.0f, 4, table, NULL, x}, VG_E_ARG},
        {{x, w, 0.0f, 4, table, table, x}, VG_E_SHAPE},
        {{x, w, 0.0f, 4, NULL, NULL, y}, VG_E_DTYPE},
        {{x, w, 2.0f, 4, NULL, NULL, x}, VG_E_ARG},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_FAILS(vg_head_norm_rope(be, &cases[i].args, &err), cases[i].wanted, err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head_norm_rope_matches_double),
        cmocka_unit_test(test_head_norm_rope_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_head_norm_rope", tests, NULL, check_close_cpu);
}

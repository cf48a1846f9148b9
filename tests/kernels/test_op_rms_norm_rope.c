/* test_op_rms_norm_rope.c: norm over all heads, rotation of interleaved pairs, both roundings. */
#include "tests/check.h"

static void run_case(int64_t n, int heads, int64_t head_dim, vg_dtype dtype, vg_dtype w_dtype,
                     bool rope)
{
    check_rng rng = {9};
    int64_t d = heads * head_dim, pairs = head_dim / 2;
    vg_tensor *x = check_fill(check_tensor(dtype, 2, n, d), &rng, 0.1, 2.0),
              *w = check_fill(check_tensor(w_dtype, 1, d), &rng, 1.0, 0.5);
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
    for (int64_t i = 0; i < n; i++) {
        double mean = 0.0;
        for (int64_t c = 0; c < d; c++)
            mean += pow(check_get(x, i * d + c), 2) / (double)d;
        for (int64_t c = 0; c < d; c++) {
            reference[i * d + c] = check_get(x, i * d + c) / sqrt(mean + 1e-6) * check_get(w, c);
            largest = fmax(largest, fabs(reference[i * d + c]));
        }
        for (int64_t c = 0; rope && c < d; c += 2) {
            double *even = &reference[i * d + c], *odd = even + 1, e = *even, o = *odd;
            double cs = check_get(cosine, i * pairs + c % head_dim / 2),
                   sn = check_get(sine, i * pairs + c % head_dim / 2);
            *even = e * cs - o * sn;
            *odd = e * sn + o * cs;
        }
    }
    vg_rms_norm_rope_args args = {
        .x = x, .w = w, .eps = 1e-6f, .heads = heads, .rope_cos = cosine, .rope_sin = sine, .y = y};
    CHECK_RUN(rms_norm_rope, &args, y);
    /* The rounding of the normalised pair (up to `largest`) enters through the rotation: sqrt(2) of it at most. */
    CHECK_CLOSE("rms_norm_rope", y, reference,
                rope ? 1.42 * largest *
                           (((double)d / 64 + 8) * 0x1p-24 + (dtype == VG_BF16 ? 0x1p-8 : 0.0))
                     : 0.0,
                ((double)d / 64 + 8) * 0x1p-24 + (dtype == VG_BF16 ? 1.01 * 0x1p-8 : 0.0));
    args.y = x;
    CHECK_OK(vg_rms_norm_rope(check_cpu()->four, &args, &err), err);
    assert_memory_equal(x->data, y->data, vg_tensor_bytes(y));
    free(reference);
    check_done();
}

static void test_rms_norm_rope_matches_double(void **state)
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

static void test_rms_norm_rope_refuses_wrong_operands(void **state)
{
    vg_tensor *x = check_tensor(VG_F32, 2, 5, 12), *w = check_tensor(VG_F32, 1, 12),
              *table = check_tensor(VG_F32, 2, 5, 3);
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    CHECK_FAILS(vg_rms_norm_rope(be, &(vg_rms_norm_rope_args){x, w, 0.0f, 5, NULL, NULL, x}, &err),
                VG_E_ARG, err);
    CHECK_FAILS(vg_rms_norm_rope(be, &(vg_rms_norm_rope_args){x, w, 0.0f, 2, table, NULL, x}, &err),
                VG_E_ARG, err);
    CHECK_FAILS(
        vg_rms_norm_rope(be, &(vg_rms_norm_rope_args){x, w, 0.0f, 4, table, table, x}, &err),
        VG_E_SHAPE, err);
    CHECK_FAILS(
        vg_rms_norm_rope(be, &(vg_rms_norm_rope_args){x, w, 0.0f, 3, table, table, x}, &err),
        VG_E_SHAPE, err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rms_norm_rope_matches_double),
        cmocka_unit_test(test_rms_norm_rope_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_rms_norm_rope", tests, NULL, check_close_cpu);
}

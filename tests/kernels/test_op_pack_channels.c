/* test_op_pack_channels.c: against the index map as hunyuanvideo15 3.2 writes it, by a packed copy of each operand. */
#include "tests/check.h"

/* p[t,i,j, r*K + c] in double. */
static double *packed(const vg_tensor *x, const int64_t out[3], int times, int side)
{
    const int64_t *s = x->shape;
    int64_t parts = times * side * side;
    double *p = malloc((size_t)vg_tensor_numel(x) * sizeof *p);

    assert_non_null(p);
    for (int64_t i = 0; i < vg_tensor_numel(x); i++) {
        int64_t c = i % s[3], column = i / s[3] % s[2], row = i / s[3] / s[2] % s[1],
                t = i / s[3] / s[2] / s[1];
        int64_t r = (t % times * side + row % side) * side + column % side;
        p[(((t / times * out[1] + row / side) * out[2] + column / side) * parts + r) * s[3] + c] =
            check_get(x, i);
    }
    return p;
}

static void run_case(const int64_t s[3], int64_t k, int64_t c, int64_t shortcut, int times,
                     int side, vg_dtype dtype)
{
    check_rng rng = {94};
    int64_t parts = times * side * side, group = parts * shortcut / c;
    vg_tensor *x = check_fill(check_tensor(dtype, 4, s[0] * times, s[1] * side, s[2] * side, k),
                              &rng, 0.1, 2.0),
              *add = check_fill(
                  check_tensor(dtype, 4, s[0] * times, s[1] * side, s[2] * side, shortcut), &rng,
                  0.2, 1.0),
              *y = check_tensor(dtype, 4, s[0], s[1], s[2], c);
    vg_pack_channels_args args = {.x = x, .shortcut = add, .times = times, .side = side, .y = y};
    double *reference = check_reference(y), *p = packed(x, s, times, side),
           *q = packed(add, s, times, side);

    for (int64_t i = 0; i < vg_tensor_numel(y); i++) {
        double sum = 0;
        for (int64_t e = 0; e < group; e++)
            sum += q[i / c * parts * shortcut + i % c * group + e];
        reference[i] = p[i / c * parts * k + i % c % (parts * k)] + sum / (double)group;
    }
    CHECK_RUN(pack_channels, &args, y);
    /* A mean below 8 is rounded, and so is the sum. */
    CHECK_CLOSE("pack_channels", y, reference, 8 * (dtype == VG_BF16 ? 0x1p-8 : 0x1p-21),
                dtype == VG_BF16 ? 0x1p-8 : 0x1p-23);
    free(q);
    free(p);
    free(reference);
    check_done();
}

static void test_pack_channels_follows_the_map(void **state)
{
    static const int64_t small[] = {2, 3, 5}, one[] = {1, 1, 1}, odd[] = {3, 2, 7};

    (void)state;
    for (int f = 0; f < 2; f++) {
        vg_dtype dtype = f ? VG_BF16 : VG_F32;
        run_case(small, 2, 16, 8, 2, 2, dtype); /* a temporal step */
        run_case(one, 2, 16, 8, 1, 2, dtype);   /* its first frame: channels twice */
        run_case(odd, 4, 16, 8, 1, 2, dtype);   /* in space only */
        run_case(small, 4, 4, 12, 1, 1, dtype); /* only means */
    }
}

static void test_pack_channels_refuses_wrong_operands(void **state)
{
    vg_tensor *x = check_tensor(VG_F32, 4, 1, 4, 4, 4), *s = check_tensor(VG_F32, 4, 1, 4, 4, 8),
              *y = check_tensor(VG_F32, 4, 1, 2, 2, 16), *b = check_tensor(VG_BF16, 4, 1, 2, 2, 16),
              *odd = check_tensor(VG_F32, 4, 1, 2, 2, 24),
              *few = check_tensor(VG_F32, 4, 1, 4, 4, 3);
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    CHECK_FAILS(vg_pack_channels(be, &(vg_pack_channels_args){x, s, 1, 0, y}, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_pack_channels(be, &(vg_pack_channels_args){x, s, 1, 2, odd}, &err), VG_E_SHAPE,
                err);
    CHECK_FAILS(vg_pack_channels(be, &(vg_pack_channels_args){x, few, 1, 2, y}, &err), VG_E_SHAPE,
                err);
    CHECK_FAILS(vg_pack_channels(be, &(vg_pack_channels_args){x, s, 1, 1, y}, &err), VG_E_SHAPE,
                err);
    CHECK_FAILS(vg_pack_channels(be, &(vg_pack_channels_args){x, s, 1, 2, b}, &err), VG_E_DTYPE,
                err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pack_channels_follows_the_map),
        cmocka_unit_test(test_pack_channels_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_pack_channels", tests, NULL, check_close_cpu);
}

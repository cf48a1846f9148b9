/* test_op_edge_norm.c: the bits of channel_norm, with each border pixel repeated outwards. */
#include "tests/check.h"

static int64_t inside(int64_t i, int64_t n)
{
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

static void run_case(const int64_t s[4], int edge, vg_dtype dtype, bool norm, bool silu)
{
    check_rng rng = {92};
    vg_tensor *x = check_fill(check_tensor_of(dtype, 4, s), &rng, 0.1, 2.0),
              *y = check_tensor(dtype, 4, s[0], s[1] + 2 * edge, s[2] + 2 * edge, s[3]),
              *plain = check_tensor_of(dtype, 4, s),
              *gamma = norm ? check_fill(check_tensor(dtype, 1, s[3]), &rng, 1.0, 0.5) : NULL;
    vg_edge_norm_args args = {.x = x, .gamma = gamma, .silu = silu, .edge = edge, .y = y};
    size_t pixel = (size_t)s[3] * vg_dtype_size(dtype);
    const char *from = x->data;
    vg_err err;

    if (norm) {
        vg_tensor in = vg_tensor_reshape(x, 2, s[0] * s[1] * s[2], s[3]),
                  out = vg_tensor_reshape(plain, 2, s[0] * s[1] * s[2], s[3]);
        CHECK_OK(vg_channel_norm(check_cpu()->one, &(vg_channel_norm_args){&in, gamma, silu, &out},
                                 &err),
                 err);
        from = plain->data;
    }
    CHECK_RUN(edge_norm, &args, y);
    for (int64_t t = 0; t < s[0]; t++)
        for (int64_t i = 0; i < y->shape[1]; i++)
            for (int64_t j = 0; j < y->shape[2]; j++)
                assert_memory_equal((char *)y->data +
                                        (size_t)((t * y->shape[1] + i) * y->shape[2] + j) * pixel,
                                    from + (size_t)((t * s[1] + inside(i - edge, s[1])) * s[2] +
                                                    inside(j - edge, s[2])) *
                                               pixel,
                                    pixel);
    check_done();
}

static void test_edge_norm_repeats_the_border(void **state)
{
    static const int64_t sizes[][4] = {{1, 1, 1, 1}, {2, 3, 5, 16}, {3, 7, 2, 33}};

    (void)state;
    for (int s = 0; s < 3; s++)
        for (int edge = 0; edge < 3; edge++)
            for (int f = 0; f < 4; f++)
                run_case(sizes[s], edge, f & 1 ? VG_BF16 : VG_F32, f >> 1, f >> 1 && edge);
}

static void test_edge_norm_refuses_wrong_operands(void **state)
{
    vg_tensor *x = check_tensor(VG_F32, 4, 1, 2, 2, 4), *y = check_tensor(VG_F32, 4, 1, 4, 4, 4),
              *gamma = check_tensor(VG_F32, 1, 5), *b = check_tensor(VG_BF16, 4, 1, 4, 4, 4);
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    CHECK_FAILS(vg_edge_norm(be, &(vg_edge_norm_args){x, gamma, false, 1, y}, &err), VG_E_SHAPE,
                err);
    CHECK_FAILS(vg_edge_norm(be, &(vg_edge_norm_args){x, NULL, true, 1, y}, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_edge_norm(be, &(vg_edge_norm_args){x, NULL, false, -1, y}, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_edge_norm(be, &(vg_edge_norm_args){x, NULL, false, 0, y}, &err), VG_E_SHAPE,
                err);
    CHECK_FAILS(vg_edge_norm(be, &(vg_edge_norm_args){x, NULL, false, 1, b}, &err), VG_E_DTYPE,
                err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edge_norm_repeats_the_border),
        cmocka_unit_test(test_edge_norm_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_edge_norm", tests, NULL, check_close_cpu);
}

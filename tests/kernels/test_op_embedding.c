/* test_op_embedding.c: rows by id; exact. */
#include "tests/check.h"

static void test_embedding_copies_rows(void **state)
{
    const vg_dtype dtypes[] = {VG_F32, VG_BF16};
    const int64_t sizes[][3] = {{1, 1, 1}, {33, 7, 511}, {100, 300, 65}};
    check_rng rng = {3};

    (void)state;
    for (size_t s = 0; s < 3; s++)
        for (int f = 0; f < 4; f++) {
            int64_t v = sizes[s][0], n = sizes[s][1], d = sizes[s][2];
            vg_tensor *table = check_fill(check_tensor(dtypes[f & 1], 2, v, d), &rng, 0.0, 2.0),
                      *ids = check_tensor(VG_I32, 1, n);
            vg_tensor *y = check_tensor(dtypes[f >> 1], 2, n, d);
            vg_embedding_args args = {.table = table, .ids = ids, .y = y};
            for (int64_t i = 0; i < n; i++)
                check_set(ids, i,
                          i == 0 ? (double)(v - 1)
                                 : (double)(check_random_bits(&rng) % (uint64_t)v));
            CHECK_RUN(embedding, &args, y);
            for (int64_t i = 0; i < n * d; i++) {
                float value = (float)check_get(table, (int64_t)check_get(ids, i / d) * d + i % d);
                assert_true(check_get(y, i) ==
                            (double)(y->dtype == VG_BF16 ? vg_round_bf16(value) : value));
            }
            check_done();
        }
}

static void test_embedding_refuses_wrong_operands(void **state)
{
    vg_tensor *table = check_tensor(VG_F32, 2, 5, 4), *ids = check_tensor(VG_I32, 1, 2),
              *y = check_tensor(VG_F32, 2, 2, 4);
    vg_tensor *wide = check_tensor(VG_F32, 2, 2, 5);
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    check_set(ids, 0, 4);
    check_set(ids, 1, 5);
    CHECK_FAILS(vg_embedding(be, &(vg_embedding_args){table, ids, y}, &err), VG_E_ARG, err);
    check_set(ids, 1, -1);
    CHECK_FAILS(vg_embedding(be, &(vg_embedding_args){table, ids, y}, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_embedding(be, &(vg_embedding_args){table, ids, wide}, &err), VG_E_SHAPE, err);
    CHECK_FAILS(vg_embedding(be, &(vg_embedding_args){table, y, wide}, &err), VG_E_DTYPE, err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_embedding_copies_rows),
        cmocka_unit_test(test_embedding_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_embedding", tests, NULL, check_close_cpu);
}

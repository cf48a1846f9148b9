/* test_op_patchify.c: the index formula of ops.h, element by element; exact. */
#include "tests/patches.h"

static void follows_the_formula(patches *p, check_rng *rng)
{
    vg_patchify_args args = {
        .x = p->frames, .patch = {p->patch[0], p->patch[1], p->patch[2]}, .y = p->rows};

    check_fill(p->frames, rng, 0.0, 2.0);
    CHECK_RUN(patchify, &args, p->rows);
    patches_expect_moved(p, p->frames, p->rows, false);
}

static void test_patchify_follows_the_formula(void **state)
{
    (void)state;
    patches_each(follows_the_formula);
}

static void test_patchify_refuses_wrong_operands(void **state)
{
    vg_tensor *frames = check_tensor(VG_F32, 4, 2, 3, 4, 5), *rows = check_tensor(VG_F32, 2, 30, 4);
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    CHECK_FAILS(vg_patchify(be, &(vg_patchify_args){frames, {1, 2, 2}, rows}, &err), VG_E_SHAPE,
                err);
    CHECK_FAILS(vg_patchify(be, &(vg_patchify_args){frames, {1, 0, 1}, rows}, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_patchify(be, &(vg_patchify_args){frames, {1, 1, 1}, rows}, &err), VG_E_SHAPE,
                err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patchify_follows_the_formula),
        cmocka_unit_test(test_patchify_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_patchify", tests, NULL, check_close_cpu);
}

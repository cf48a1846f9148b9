/* test_op_unpatchify.c: the index formula of ops.h, element by element; exact. */
#include "tests/patches.h"

static void follows_the_formula(patches *p, check_rng *rng)
{
    vg_unpatchify_args args = {
        .x = p->rows, .patch = {p->patch[0], p->patch[1], p->patch[2]}, .y = p->frames};

    check_fill(p->rows, rng, 0.0, 2.0);
    CHECK_RUN(unpatchify, &args, p->frames);
    patches_expect_moved(p, p->rows, p->frames, true);
}

static void test_unpatchify_follows_the_formula(void **state)
{
    (void)state;
    patches_each(follows_the_formula);
}

static void test_unpatchify_refuses_wrong_operands(void **state)
{
    vg_tensor *frames = check_tensor(VG_F32, 4, 2, 3, 4, 5), *rows = check_tensor(VG_F32, 2, 30, 4);
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    CHECK_FAILS(vg_unpatchify(be, &(vg_unpatchify_args){rows, {1, 2, 2}, frames}, &err), VG_E_SHAPE,
                err);
    CHECK_FAILS(vg_unpatchify(be, &(vg_unpatchify_args){rows, {1, 0, 1}, frames}, &err), VG_E_ARG,
                err);
    CHECK_FAILS(vg_unpatchify(be, &(vg_unpatchify_args){rows, {1, 1, 1}, frames}, &err), VG_E_SHAPE,
                err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unpatchify_follows_the_formula),
        cmocka_unit_test(test_unpatchify_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_unpatchify", tests, NULL, check_close_cpu);
}

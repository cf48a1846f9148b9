/* test_op_guidance_step.c: x + coef (u + s (c - u)) with a rounding after each step; exact. */
#include "tests/check.h"

/* v in dtype, without an optimiser's fused product and sum in between. */
static float rounded(vg_dtype dtype, float v)
{
    volatile float kept = v;
    return dtype == VG_BF16 ? vg_round_bf16(kept) : kept;
}

static float expected(const vg_guidance_step_args *a, int64_t i)
{
    vg_dtype dtype = a->v.cond->dtype;
    float v = (float)check_get(a->v.cond, i);
    if (a->v.uncond) {
        float u = (float)check_get(a->v.uncond, i);
        v = rounded(dtype, v - u);
        v = rounded(dtype, v * a->v.scale);
        v = rounded(dtype, v + u);
    }
    v = rounded(dtype, v * a->coef);
    return rounded(a->y->dtype, (float)check_get(a->x, i) + v);
}

static void test_guidance_step_is_exact(void **state)
{
    const vg_dtype dtypes[] = {VG_F32, VG_BF16};
    const int64_t sizes[] = {1, 33, 1025, 70000};
    check_rng rng = {18};
    vg_err err;

    (void)state;
    for (size_t s = 0; s < 4; s++)
        for (int f = 0; f < 8; f++) {
            vg_tensor *c = check_fill(check_tensor(dtypes[f & 1], 1, sizes[s]), &rng, 0.0, 2.0);
            vg_tensor *u = check_fill(check_tensor(dtypes[f & 1], 1, sizes[s]), &rng, 0.0, 2.0);
            vg_tensor *x = check_fill(check_tensor(VG_F32, 1, sizes[s]), &rng, 0.0, 2.0),
                      *y = check_tensor(dtypes[f >> 1 & 1], 1, sizes[s]);
            vg_guidance_step_args args = {x, {c, f >> 2 ? u : NULL, 4.7f}, -0.37f, y};
            CHECK_RUN(guidance_step, &args, y);
            for (int64_t i = 0; i < sizes[s]; i++)
                assert_true(check_get(y, i) == (double)expected(&args, i));
            if (y->dtype == VG_F32) {
                args.y = x;
                CHECK_OK(vg_guidance_step(check_cpu()->four, &args, &err), err);
                assert_memory_equal(x->data, y->data, vg_tensor_bytes(y));
            }
            check_done();
        }
}

static void test_guidance_step_refuses_wrong_operands(void **state)
{
    vg_tensor *x = check_tensor(VG_F32, 1, 6), *half = check_tensor(VG_BF16, 1, 6),
              *other = check_tensor(VG_F32, 1, 5), *codes = check_tensor(VG_E4M3, 1, 6);
    const struct {
        vg_guidance_step_args args;
        vg_status status;
    } cases[] = {
        {{half, {x, x, 1}, 1, x}, VG_E_DTYPE},     {{x, {codes, NULL, 1}, 1, x}, VG_E_DTYPE},
        {{x, {x, half, 1}, 1, x}, VG_E_DTYPE},     {{x, {x, x, 1}, 1, codes}, VG_E_DTYPE},
        {{x, {other, NULL, 1}, 1, x}, VG_E_SHAPE}, {{x, {x, other, 1}, 1, x}, VG_E_SHAPE},
        {{x, {x, x, 1}, 1, other}, VG_E_SHAPE},    {{x, {NULL, NULL, 1}, 1, x}, VG_E_ARG},
        {{NULL, {x, x, 1}, 1, x}, VG_E_ARG},
    };
    vg_err err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_FAILS(vg_guidance_step(check_cpu()->one, &cases[i].args, &err), cases[i].status, err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guidance_step_is_exact),
        cmocka_unit_test(test_guidance_step_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_guidance_step", tests, NULL, check_close_cpu);
}

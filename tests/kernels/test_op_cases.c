/* test_op_cases.c: every case that `vgen bench --ops` times (kernels/op/<op>.c), small, on the CPU: a second run and four threads give the same
 * bits, nothing is written outside of the results, every result is written whole and finite. The values themselves are tested per operation. */
#include "tests/check.h"
#include "tests/operands.h"

#include "kernels/op/ops_operands.h"

#define SCALE (1.0 / 4096)

/* Every number of a result is there. */
static void expect_finite(const char *op, const char *use, const vg_tensor *t)
{
    for (int64_t k = 0; t->dtype != VG_U8 && k < vg_tensor_numel(t); k++)
        if (!isfinite(check_get(t, k)))
            fail_msg("%s (%s): element %lld of a result is not finite, or not written", op, use,
                     (long long)k);
}

static void run_case(vg_op op, const vg_op_case *full)
{
    vg_op_case row = vg_op_case_scaled(op, full, SCALE);
    unsigned char *first[OPERANDS_MAX] = {0};
    vg_backend *runs[3] = {check_cpu()->one, check_cpu()->one, check_cpu()->four};
    vg_err err;
    operands o;

    operands_make(&o, op, &row, NULL);
    for (int run = 0; run < 3; run++) {
        for (int i = 0; i < o.count; i++)
            if (o.fill[i] == VG_FILL_NOT)
                memset(o.t[i]->data, 0xff, vg_tensor_bytes(o.t[i]));
        CHECK_OK(vg_operands_run(runs[run], &o.call, &err), err);
        for (int i = 0; i < o.count; i++) {
            size_t bytes = vg_tensor_bytes(o.t[i]);
            if (run > 0 && memcmp(first[i], o.t[i]->data, bytes) != 0)
                fail_msg("%s (%s): operand %d has other bits %s", vg_op_name(op), row.use, i,
                         run == 1 ? "at a second run" : "with four threads");
            if (run > 0)
                continue;
            first[i] = malloc(bytes + 1);
            assert_non_null(first[i]);
            memcpy(first[i], o.t[i]->data, bytes);
            if (o.fill[i] == VG_FILL_NOT)
                expect_finite(vg_op_name(op), row.use, o.t[i]);
        }
    }
    check_done();
    for (int i = 0; i < o.count; i++)
        free(first[i]);
}

static void test_op_cases_repeat_and_stay_inside(void **state)
{
    (void)state;
    for (int op = 0; op < VG_OP_COUNT; op++) {
        const vg_op_cases *all = vg_op_cases_of((vg_op)op);
        if (all->count < 1)
            fail_msg("operation %s has no case: add one to kernels/op/%s.c", vg_op_name((vg_op)op),
                     vg_op_name((vg_op)op));
        for (int i = 0; i < all->count; i++)
            /* The two sizes of a case differ in rows alone: small, they are one. */
            if (strncmp(all->cases[i].use, "480p", 4) != 0)
                run_case((vg_op)op, &all->cases[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_op_cases_repeat_and_stay_inside),
    };
    return cmocka_run_group_tests(tests, NULL, check_close_cpu);
}

/* test_cuda_cases.c: every case that `vgen bench --ops` times (kernels/op/<op>.c), small: the GPU's results against the CPU's, and twice the same
 * bits. Limits are relative L2: a value that rounds the other way is off by one unit of its format, 2^-8 in BF16 and 2^-3 in E4M3, where few
 * do; FP32 sums differ in their order. */
#include "tests/cuda/check_cuda.h"
#include "tests/operands.h"

#define SCALE (1.0 / 1024)

static double limit_of(vg_dtype dtype)
{
    return dtype == VG_F32 ? 1e-5 : dtype == VG_BF16 ? 2 * 0x1p-8 : dtype == VG_E4M3 ? 2e-2 : 4e-3;
}

static void run_case(vg_op op, const vg_op_case *full)
{
    vg_op_case row = vg_op_case_scaled(op, full, SCALE);
    char what[128];
    vg_err err;
    operands cpu, cuda;

    operands_make(&cpu, op, &row, NULL);
    CHECK_OK(vg_operands_run(check_cpu()->four, &cpu.call, &err), err);
    operands_make(&cuda, op, &row, on_gpu);
    for (int run = 0; run < 2; run++) {
        CHECK_OK(vg_operands_run(gpu, &cuda.call, &err), err);
        for (int i = 0; i < cpu.count; i++) {
            if (cpu.fill[i] != VG_FILL_NOT)
                continue;
            vg_tensor *got = back(cuda.placed[i]);
            snprintf(what, sizeof what, "%s (%s), operand %d", vg_op_name(op), row.use, i);
            if (run == 0) {
                expect_near(what, cpu.t[i], got, limit_of(got->dtype));
                memcpy(cuda.t[i]->data, got->data, vg_tensor_bytes(got));
            } else if (memcmp(cuda.t[i]->data, got->data, vg_tensor_bytes(got)) != 0)
                fail_msg("%s: a second run gives other bits", what);
        }
    }
    release_all();
}

static void test_cuda_cases(void **state)
{
    (void)state;
    NEED_GPU();
    for (int op = 0; op < VG_OP_COUNT; op++)
        for (int i = 0; vg_backend_supports(gpu, (vg_op)op) && i < vg_op_cases_of((vg_op)op)->count;
             i++)
            run_case((vg_op)op, &vg_op_cases_of((vg_op)op)->cases[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuda_cases),
    };

    use_filter();
    return cmocka_run_group_tests(tests, open_gpu, close_gpu);
}

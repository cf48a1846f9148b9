/* test_cuda_gauge.c: the gauge of the GPU that computes: found by its bus id, and it sees what the backend took. */
#include "tests/cuda/check_cuda.h"

#include "kernels/backend/gpu_gauge.h"

#define BYTES ((size_t)1 << 30)

static void test_cuda_gauge_sees_what_the_backend_takes(void **state)
{
    vg_device_info info;
    vg_gpu_gauge *gauge = NULL;
    vg_gpu_sample after;
    void *memory;
    vg_err err;

    (void)state;
    NEED_GPU();
    CHECK_OK(vg_backend_info(gpu, &info, &err), err);
    assert_true(info.pci_bus_id[0]);
    if (vg_gpu_gauge_open(info.pci_bus_id, info.uuid, &gauge, &err) != VG_OK) {
        print_message("%s\n", err.message); /* a container without NVML */
        skip();
    }
    CHECK_OK(vg_backend_alloc(gpu, BYTES, &memory, &err), err);
    vg_gpu_gauge_read(gauge, &after);
    vg_backend_release(gpu, memory, BYTES);
    vg_gpu_gauge_close(gauge);
    for (int m = 0; m < VG_GPU_METRIC_COUNT; m++) {
        const vg_gpu_metric_info *metric = vg_gpu_metric_describe((vg_gpu_metric)m);
        if (vg_gpu_has(&after, (vg_gpu_metric)m))
            print_message("%s %.6g %s\n", metric->label, after.value[m], metric->unit);
    }
    if (vg_gpu_has(&after, VG_GPU_memory_total_bytes))
        assert_true(after.value[VG_GPU_memory_total_bytes] >= (double)info.memory_total);
    /* Ours alone: others may come and go. */
    if (vg_gpu_has(&after, VG_GPU_memory_ours_bytes))
        assert_true(after.value[VG_GPU_memory_ours_bytes] >= (double)BYTES);
    if (vg_gpu_has(&after, VG_GPU_power_w))
        assert_true(after.value[VG_GPU_power_w] > 1 && after.value[VG_GPU_power_w] < 3000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuda_gauge_sees_what_the_backend_takes),
    };
    use_filter();
    return cmocka_run_group_tests_name("cuda_gauge", tests, open_gpu, close_gpu);
}

/* test_cuda_profile.c: marks and profiles of the CUDA backend, and the library's product that `vgen bench --ops` puts beside our linear
 * layer. Skipped where there is no GPU. */
#include "tests/cuda/check_cuda.h"

#include "kernels/backend/profile.h"

/* Times of a profile are the GPU's: they add up to what the host sees, but for the launches. */
static void test_cuda_profile_adds_up_to_the_hosts_time(void **state)
{
    check_rng rng = {5};
    vg_profile *profile;
    vg_err err;

    (void)state;
    NEED_GPU();
    vg_tensor *x = on_gpu(check_fill(check_tensor(VG_BF16, 2, 2048, 2048), &rng, 0.0, 1.0));
    vg_tensor *w = on_gpu(check_fill(check_tensor(VG_BF16, 2, 2048, 2048), &rng, 0.0, 1.0));
    vg_tensor *y = on_gpu(check_tensor(VG_BF16, 2, 2048, 2048));
    vg_linear_args args = {.x = x, .w = w, .y = y};
    CHECK_OK(vg_linear(gpu, &args, &err), err); /* the first call opens the library */
    CHECK_OK(vg_profile_new(gpu, true, &profile, &err), err);
    gpu->profile = profile;
    CHECK_OK(vg_backend_sync(gpu, &err), err);
    double from = seconds();
    for (int i = 0; i < 200; i++)
        CHECK_OK(vg_linear(gpu, &args, &err), err);
    CHECK_OK(vg_profile_resolve(profile, &err), err);
    double took = seconds() - from;
    const vg_profile_entry *e = vg_profile_at(profile, 0);
    assert_int_equal(vg_profile_count(profile), 1);
    assert_int_equal(e->calls, 200);
    /* 17 GFLOP a call are 17 us or more on any GPU. */
    assert_true(e->seconds > 200 * 5e-6 && e->seconds <= took);
    vg_profile_free(profile);
    release_all();
}

/* y = x w^T of the library alone against vg_linear without bias. Both round one FP32 sum to BF16; the sums may be in another order. */
static void expect_same_product(int form, int64_t m, int64_t n, int64_t k)
{
    static const char *const names[] = {"BF16", "E4M3 tensor", "E4M3 block"};
    check_rng rng = {(uint64_t)(form + 1) * 17};
    vg_dtype dtype = form ? VG_E4M3 : VG_BF16;
    double spread = form ? 448.0 : 1.0;
    vg_tensor *x = on_gpu(check_fill(check_tensor(dtype, 2, m, k), &rng, 0.0, spread));
    vg_tensor *w = on_gpu(check_fill(check_tensor(dtype, 2, n, k), &rng, 0.0, spread));
    vg_tensor *ours = on_gpu(check_tensor(VG_BF16, 2, m, n)),
              *theirs = on_gpu(check_tensor(VG_BF16, 2, m, n));
    vg_linear_args args = {.x = x, .w = w, .y = ours};
    vg_err err;

    if (form == 1) {
        args.x_scale = on_gpu(check_fill(check_tensor(VG_F32, 1, 1), &rng, 0.003, 0.001));
        args.w_scale = on_gpu(check_fill(check_tensor(VG_F32, 1, 1), &rng, 0.003, 0.001));
    } else if (form == 2) {
        args.x_scale =
            on_gpu(check_fill(check_tensor(VG_F32, 2, (k + 127) / 128, m), &rng, 0.003, 0.002));
        args.w_scale = on_gpu(check_fill(check_tensor(VG_F32, 2, (n + 127) / 128, (k + 127) / 128),
                                         &rng, 0.003, 0.002));
    }
    CHECK_OK(vg_linear(gpu, &args, &err), err);
    args.y = theirs;
    vg_status status = gpu->ops->vendor_product(gpu, &args, &err);
    if (status != VG_E_UNSUPPORTED) { /* block scales on other GPUs than Hopper */
        assert_int_equal(status, VG_OK);
        expect_near(names[form], back(ours), back(theirs), 0x1p-8);
    }
    release_all();
}

static void test_cuda_library_product_is_the_linear_layers(void **state)
{
    (void)state;
    NEED_GPU();
    for (int form = 0; form < 3; form++) {
        expect_same_product(form, 256, 512, 512);
        expect_same_product(form, 48, 128, 1024);
    }
}

static void test_cuda_devices_tell_their_versions(void **state)
{
    vg_device_info info;
    vg_err err;

    (void)state;
    NEED_GPU();
    CHECK_OK(vg_backend_info(gpu, &info, &err), err);
    assert_non_null(strstr(info.driver, "CUDA "));
    assert_true(strtod(info.runtime, NULL) >= 12);
    assert_memory_equal(info.math_library, "cuBLASLt ", 9); /* a product was made before */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuda_profile_adds_up_to_the_hosts_time),
        cmocka_unit_test(test_cuda_library_product_is_the_linear_layers),
        cmocka_unit_test(test_cuda_devices_tell_their_versions),
    };
    use_filter();
    return cmocka_run_group_tests_name("cuda_profile", tests, open_gpu, close_gpu);
}

/* test_ops_cost.c: FLOPs, bytes and floors, counted by hand; what a profile makes of calls. */
#include "tests/check.h"

#include "kernels/op/ops_cost.h"
#include "kernels/backend/profile.h"

static vg_tensor shaped(vg_dtype dtype, int ndim, const int64_t *shape)
{
    static char somewhere[1]; /* costs look at shapes only */
    return vg_tensor_of(somewhere, dtype, ndim, shape);
}

#define SHAPED(dtype, ndim, ...) shaped((dtype), (ndim), (const int64_t[]){__VA_ARGS__})

static void test_cost_linear_counts_operands_in_their_formats(void **state)
{
    vg_tensor x = SHAPED(VG_BF16, 2, 75600, 5120), w = SHAPED(VG_BF16, 2, 13824, 5120),
              bias = SHAPED(VG_BF16, 1, 13824), y = SHAPED(VG_BF16, 2, 75600, 13824);
    vg_op_cost cost;

    (void)state;
    vg_cost_linear(
        &(vg_linear_args){.x = &x, .w = &w, .bias = &bias, .act = VG_ACT_GELU_TANH, .y = &y},
        &cost);
    assert_float_equal(cost.flops, 2.0 * 75600 * 13824 * 5120, 0);
    assert_float_equal(cost.bytes,
                       2.0 * (75600.0 * 5120 + 13824.0 * 5120 + 13824 + 75600.0 * 13824), 0);
    assert_int_equal(cost.rate, VG_RATE_BF16);
    assert_string_equal(cost.shape, "75600x13824x5120 BF16 GELU");

    /* E4M3: one byte an element, scales 40 x 75600 and 108 x 40; only the quantised result is written. */
    x.dtype = w.dtype = VG_E4M3;
    vg_tensor xs = SHAPED(VG_F32, 2, 40, 75600), ws = SHAPED(VG_F32, 2, 108, 40),
              q = SHAPED(VG_E4M3, 2, 75600, 13824), qs = SHAPED(VG_F32, 2, 108, 75600);
    vg_cost_linear(&(vg_linear_args){.x = &x,
                                     .x_scale = &xs,
                                     .w = &w,
                                     .w_scale = &ws,
                                     .quant = {VG_QUANT_GROUP_DYNAMIC, &q, &qs}},
                   &cost);
    assert_float_equal(cost.bytes,
                       75600.0 * 5120 + 13824.0 * 5120 + 4.0 * (40.0 * 75600 + 108 * 40) +
                           75600.0 * 13824 + 4.0 * 108 * 75600,
                       0);
    assert_int_equal(cost.rate, VG_RATE_E4M3);
    assert_string_equal(cost.shape, "75600x13824x5120 E4M3 block -> E4M3 1x128");

    /* Weight-only: the product is in the activation's format. */
    x.dtype = VG_BF16;
    ws = SHAPED(VG_F32, 1, 1);
    vg_cost_linear(&(vg_linear_args){.x = &x, .w = &w, .w_scale = &ws, .y = &y}, &cost);
    assert_int_equal(cost.rate, VG_RATE_BF16);
    assert_string_equal(cost.shape, "75600x13824x5120 BF16 tensor weights");
}

static void test_cost_attention_is_two_products(void **state)
{
    vg_tensor q = SHAPED(VG_BF16, 3, 75600, 40, 128), k = SHAPED(VG_BF16, 3, 512, 40, 128);
    vg_op_cost cost;

    (void)state;
    vg_cost_attention(&(vg_attention_args){.q = &q, .k = &q, .v = &q, .y = &q}, &cost);
    assert_float_equal(cost.flops, 2 * (2.0 * 75600 * 75600 * 128 * 40), 0); /* 117 TFLOP */
    assert_float_equal(cost.bytes, 4 * 2.0 * 75600 * 5120, 0);
    vg_cost_attention(&(vg_attention_args){.q = &q, .k = &k, .v = &k, .y = &q}, &cost);
    assert_float_equal(cost.flops, 4.0 * 75600 * 512 * 5120, 0);
    assert_float_equal(cost.bytes, 2.0 * (2 * 75600 + 2 * 512) * 5120, 0);
    assert_string_equal(cost.shape, "75600x512 40x128 BF16");
}

static void test_cost_conv3d_counts_taps(void **state)
{
    vg_tensor x = SHAPED(VG_BF16, 4, 4, 360, 640, 192),
              history = SHAPED(VG_BF16, 4, 2, 360, 640, 192),
              w = SHAPED(VG_BF16, 5, 96, 3, 3, 3, 192), y = SHAPED(VG_BF16, 4, 4, 360, 640, 96);
    vg_op_cost cost;

    (void)state;
    vg_cost_conv3d(
        &(vg_conv3d_args){
            .x = &x, .history = &history, .upsample = 1, .w = &w, .stride = {1, 1, 1}, .y = &y},
        &cost);
    assert_float_equal(cost.flops, 2.0 * (4 * 360 * 640 * 96.0) * (27 * 192), 0);
    assert_float_equal(cost.bytes,
                       2.0 * (6 * 360 * 640 * 192.0 + 96 * 27 * 192 + 4 * 360 * 640 * 96.0), 0);
    assert_string_equal(cost.shape, "4x360x640x192 BF16 after 2 to 96, 3x3x3");
}

static void test_cost_of_passes_is_their_bytes(void **state)
{
    vg_tensor x = SHAPED(VG_BF16, 2, 1000, 256), row = SHAPED(VG_F32, 1, 256),
              q = SHAPED(VG_E4M3, 2, 1000, 256), one = SHAPED(VG_F32, 1, 1),
              wide = SHAPED(VG_F32, 2, 1000, 256);
    vg_op_cost cost;

    (void)state;
    vg_cost_quantize(&(vg_quantize_args){&x, VG_QUANT_TENSOR_STATIC, &q, &one}, &cost);
    assert_float_equal(cost.bytes, 3 * 256000 + 4, 0);
    assert_float_equal(cost.flops, 0, 0);
    vg_cost_quantize(&(vg_quantize_args){&x, VG_QUANT_TENSOR_DYNAMIC, &q, &one}, &cost);
    assert_float_equal(cost.bytes, 5 * 256000 + 4, 0); /* x twice: the scale first */
    vg_cost_gate_residual(&(vg_gate_residual_args){&x, &x, &row, &x}, &cost);
    assert_float_equal(cost.bytes, 6 * 256000 + 4 * 256, 0);
    vg_cost_layer_norm_modulate(
        &(vg_layer_norm_modulate_args){
            .x = &x, .scale = &row, .shift = &row, .quant = {VG_QUANT_TENSOR_STATIC, &q, &one}},
        &cost);
    assert_float_equal(cost.bytes, 3 * 256000 + 2 * 4 * 256 + 4, 0);
    vg_cost_residual_norm(
        &(vg_residual_norm_args){
            .x = &x, .add = &x, .gate = &row, .sum = &x, .scale = &row, .shift = &row, .y = &x},
        &cost);
    assert_float_equal(cost.bytes, 4 * 2 * 256000 + 3 * 4 * 256, 0);
    vg_cost_linear_combination(
        &(vg_linear_combination_args){.count = 3, .x = {&wide, &x, &wide}, .y = &wide}, &cost);
    assert_float_equal(cost.bytes, (4 + 2 + 4 + 4) * 256000, 0);
    vg_cost_cast(&(vg_cast_args){&wide, &x}, &cost);
    assert_float_equal(cost.bytes, 6 * 256000, 0);
}

static void test_cost_floor_is_the_slower_of_two(void **state)
{
    const vg_device_rates *h100 = vg_device_rates_find("NVIDIA H100 80GB HBM3"),
                          *a100 = vg_device_rates_find("NVIDIA A100-SXM4-80GB");
    vg_op_cost products = {.flops = 989.4e12, .bytes = 1e9, .rate = VG_RATE_BF16},
               pass = {.bytes = 3352e9, .rate = VG_RATE_BF16};

    (void)state;
    assert_non_null(h100);
    assert_non_null(a100);
    assert_null(vg_device_rates_find("CPU, 2 threads"));
    assert_float_equal(vg_op_floor_s(&products, h100), 1.0, 1e-9);
    assert_false(vg_op_memory_bound(&products, h100));
    assert_float_equal(vg_op_floor_s(&pass, h100), 1.0, 1e-9);
    assert_true(vg_op_memory_bound(&pass, h100));
    products.rate = VG_RATE_E4M3;
    assert_float_equal(vg_op_floor_s(&products, h100), 0.5, 1e-4);
    assert_float_equal(vg_op_floor_s(&products, a100), 989.4 / 311.9, 1e-9); /* has no E4M3 unit */
}

static void test_profile_adds_up_calls_by_section(void **state)
{
    vg_backend *be = check_cpu()->one;
    float a[64], b[64];
    vg_tensor x = vg_tensor_make(a, VG_F32, 2, 8, 8), y = vg_tensor_make(b, VG_F32, 2, 8, 8),
              part = vg_tensor_rows(&x, 0, 4), part_y = vg_tensor_rows(&y, 0, 4);
    vg_profile *profile;
    vg_err err;

    (void)state;
    memset(a, 0, sizeof a);
    CHECK_OK(vg_profile_new(be, true, &profile, &err), err);
    be->profile = profile;
    for (int i = 0; i < 300; i++) /* more than any first allocation */
        CHECK_OK(vg_cast(be, &(vg_cast_args){&x, &y}, &err), err);
    CHECK_OK(vg_cast(be, &(vg_cast_args){&part, &part_y}, &err), err);
    vg_profile_section(profile, 2);
    CHECK_OK(vg_cast(be, &(vg_cast_args){&x, &y}, &err), err);
    CHECK_FAILS(vg_cast(be, &(vg_cast_args){&x, &part_y}, &err), VG_E_SHAPE,
                err); /* does not count */
    CHECK_OK(vg_profile_resolve(profile, &err), err);
    assert_int_equal(vg_profile_count(profile), 3);
    const vg_profile_entry *e = vg_profile_at(profile, 0);
    assert_int_equal(e->op, VG_OP_cast);
    assert_int_equal(e->calls, 300);
    assert_true(e->seconds > 0 && e->seconds < 1);
    assert_string_equal(e->cost.shape, "8x8 F32 -> F32");
    assert_int_equal(vg_profile_at(profile, 1)->calls, 1);
    assert_int_equal(vg_profile_at(profile, 2)->section, 2);
    vg_profile_clear(profile, 0);
    assert_int_equal(vg_profile_at(profile, 0)->calls, 0);
    assert_int_equal(vg_profile_at(profile, 2)->calls, 1);
    vg_profile_free(profile);
    assert_null(be->profile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cost_linear_counts_operands_in_their_formats),
        cmocka_unit_test(test_cost_attention_is_two_products),
        cmocka_unit_test(test_cost_conv3d_counts_taps),
        cmocka_unit_test(test_cost_of_passes_is_their_bytes),
        cmocka_unit_test(test_cost_floor_is_the_slower_of_two),
        cmocka_unit_test(test_profile_adds_up_calls_by_section),
    };
    return cmocka_run_group_tests_name("ops_cost", tests, NULL, check_close_cpu);
}

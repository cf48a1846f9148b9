/* test_op_residual_norm.c: the fused operation equals its parts, bit for bit: gate_residual, layer_norm_modulate, quantize. */
#include "tests/check.h"

static void run_case(int64_t n, int64_t d, vg_dtype dtype, int kind, bool gated,
                     vg_quant_kind quant)
{
    check_rng rng = {18};
    vg_backend *be = check_cpu()->one;
    vg_tensor *x = check_fill(check_tensor(dtype, 2, n, d), &rng, 0.5, 2.0),
              *add = check_fill(check_tensor(dtype, 2, n, d), &rng, 0.0, 2.0);
    vg_tensor *a = check_fill(check_tensor(VG_F32, 1, d), &rng, 0.2, 0.5),
              *b = check_fill(check_tensor(VG_F32, 1, d), &rng, 0.0, 0.5),
              *gate = gated ? check_fill(check_tensor(VG_F32, 1, d), &rng, 0.0, 1.0) : NULL;
    vg_tensor *sum = check_tensor(dtype, 2, n, d), *y = check_tensor(dtype, 2, n, d);
    vg_tensor *sum2 = check_tensor(dtype, 2, n, d), *y2 = check_tensor(dtype, 2, n, d);
    vg_tensor *q = check_tensor(VG_E4M3, 2, n, d), *q2 = check_tensor(VG_E4M3, 2, n, d), *scale,
              *scale2;
    vg_residual_norm_args args = {
        .x = x, .add = add, .gate = gate, .sum = sum2, .eps = 1e-6f, .y = y2};
    vg_layer_norm_modulate_args norm = {.x = sum, .eps = 1e-6f, .y = y};
    vg_err err;

    if (kind == 1)
        args.scale = norm.scale = a, args.shift = norm.shift = b;
    if (kind == 2)
        args.w = norm.w = a, args.b = norm.b = b;
    CHECK_OK(vg_gate_residual(be, &(vg_gate_residual_args){x, add, gate, sum}, &err), err);
    CHECK_OK(vg_layer_norm_modulate(be, &norm, &err), err);
    CHECK_RUN(residual_norm, &args, y2);
    assert_memory_equal(sum->data, sum2->data, vg_tensor_bytes(sum));
    assert_memory_equal(y->data, y2->data, vg_tensor_bytes(y));
    if (quant != VG_QUANT_NONE) {
        bool groups = quant == VG_QUANT_GROUP_DYNAMIC;
        scale = groups ? check_tensor(VG_F32, 2, (d + 127) / 128, n) : check_tensor(VG_F32, 1, 1);
        scale2 = groups ? check_tensor(VG_F32, 2, (d + 127) / 128, n) : scale;
        if (!groups)
            check_set(scale, 0, 0.011);
        CHECK_OK(vg_quantize(be, &(vg_quantize_args){y, quant, q, scale}, &err), err);
        args.quant = (vg_quant_out){quant, q2, scale2};
        args.y = NULL;
        CHECK_RUN(residual_norm, &args, q2);
        assert_memory_equal(q->data, q2->data, vg_tensor_bytes(q));
        assert_memory_equal(scale->data, scale2->data, vg_tensor_bytes(scale));
    }
    args.sum = x; /* in place */
    CHECK_OK(vg_residual_norm(check_cpu()->four, &args, &err), err);
    assert_memory_equal(sum->data, x->data, vg_tensor_bytes(sum));
    check_done();
}

static void test_residual_norm_equals_its_parts(void **state)
{
    const int64_t sizes[][2] = {{1, 1}, {3, 33}, {5, 511}, {70, 1025}, {300, 256}};
    const vg_quant_kind quants[] = {VG_QUANT_NONE, VG_QUANT_TENSOR_STATIC, VG_QUANT_GROUP_DYNAMIC};

    (void)state;
    for (size_t s = 0; s < 5; s++)
        for (int f = 0; f < 12; f++)
            run_case(sizes[s][0], sizes[s][1], f & 1 ? VG_BF16 : VG_F32, f / 4, f >> 1 & 1,
                     quants[(f + (int)s) % 3]);
}

static void test_residual_norm_refuses_wrong_operands(void **state)
{
    vg_tensor *x = check_tensor(VG_F32, 2, 5, 4), *v = check_tensor(VG_F32, 1, 4),
              *q = check_tensor(VG_E4M3, 2, 5, 4), *other = check_tensor(VG_F32, 2, 5, 4),
              *wide = check_tensor(VG_F32, 2, 5, 8);
    vg_residual_norm_args good = {.x = x, .add = other, .sum = x, .y = other}, bad = good;
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    bad.y = x;
    CHECK_FAILS(vg_residual_norm(be, &bad, &err), VG_E_ARG, err);
    bad = good, bad.y = NULL;
    CHECK_FAILS(vg_residual_norm(be, &bad, &err), VG_E_ARG, err);
    bad = good, bad.add = wide;
    CHECK_FAILS(vg_residual_norm(be, &bad, &err), VG_E_SHAPE, err);
    bad = good, bad.scale = v;
    CHECK_FAILS(vg_residual_norm(be, &bad, &err), VG_E_ARG, err);
    bad = good, bad.sum = q;
    CHECK_FAILS(vg_residual_norm(be, &bad, &err), VG_E_DTYPE, err);
    bad = good, bad.quant = (vg_quant_out){VG_QUANT_GROUP_DYNAMIC, q, v};
    CHECK_FAILS(vg_residual_norm(be, &bad, &err), VG_E_SHAPE, err);
    bad = good, bad.quant = (vg_quant_out){VG_QUANT_TENSOR_DYNAMIC, q, v};
    CHECK_FAILS(vg_residual_norm(be, &bad, &err), VG_E_ARG, err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_residual_norm_equals_its_parts),
        cmocka_unit_test(test_residual_norm_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_residual_norm", tests, NULL, check_close_cpu);
}

/* test_op_rotate_heads.c: rotation of each head's halves, products and sum rounded each; heads written once or several times; exact. */
#include "tests/check.h"

static float rounded(const vg_tensor *t, float v)
{
    return t->dtype == VG_BF16 ? vg_round_bf16(v) : v;
}

/* Column c of head h of row i. */
static double wanted(const vg_rotate_heads_args *a, int64_t i, int64_t h, int64_t c)
{
    int64_t heads = a->x->shape[1], d = a->x->shape[2], half = d / 2, at = (i * heads + h) * d;
    float own = (float)check_get(a->x, at + c);
    if (!a->rope_cos)
        return own;
    float other = (float)check_get(a->x, at + (c < half ? c + half : c - half)),
          cosine = (float)check_get(a->rope_cos, i * half + c % half),
          sine = (float)check_get(a->rope_sin, i * half + c % half);
    volatile float first = own * cosine, second = (c < half ? -other : other) * sine;
    return rounded(a->x, rounded(a->x, first) + rounded(a->x, second));
}

static void test_rotate_heads_is_exact(void **state)
{
    const vg_dtype dtypes[] = {VG_F32, VG_BF16};
    const int64_t sizes[][3] = {{1, 1, 2}, {33, 3, 6}, {70, 2, 128}, {5, 4, 48}};
    check_rng rng = {14};
    vg_err err;

    (void)state;
    for (size_t s = 0; s < 4; s++)
        for (int f = 0; f < 8; f++) {
            int64_t n = sizes[s][0], heads = sizes[s][1], d = sizes[s][2], times = f >> 2 ? 7 : 1;
            vg_tensor *x = check_fill(check_tensor(dtypes[f & 1], 3, n, heads, d), &rng, 0.0, 2.0);
            vg_tensor *y = check_tensor(dtypes[f & 1], 3, n, heads * times, d);
            vg_rotate_heads_args args = {.x = x, .y = y};
            if (f >> 1 & 1) {
                args.rope_cos = check_fill(check_tensor(VG_F32, 2, n, d / 2), &rng, 0.0, 1.0);
                args.rope_sin = check_fill(check_tensor(VG_F32, 2, n, d / 2), &rng, 0.0, 1.0);
            }
            CHECK_RUN(rotate_heads, &args, y);
            for (int64_t i = 0; i < n; i++)
                for (int64_t h = 0; h < heads * times; h++)
                    for (int64_t c = 0; c < d; c++)
                        assert_true(check_get(y, (i * heads * times + h) * d + c) ==
                                    wanted(&args, i, h / times, c));
            if (times == 1) {
                args.y = x;
                CHECK_OK(vg_rotate_heads(check_cpu()->four, &args, &err), err);
                assert_memory_equal(x->data, y->data, vg_tensor_bytes(y));
            }
            check_done();
        }
}

static void test_rotate_heads_refuses_wrong_operands(void **state)
{
    vg_tensor *x = check_tensor(VG_F32, 3, 5, 2, 4), *y = check_tensor(VG_F32, 3, 5, 6, 4),
              *other = check_tensor(VG_BF16, 3, 5, 2, 4), *odd = check_tensor(VG_F32, 3, 5, 3, 4),
              *table = check_tensor(VG_F32, 2, 5, 2), *wide = check_tensor(VG_F32, 2, 5, 4),
              *uneven = check_tensor(VG_F32, 3, 5, 2, 3);
    vg_tensor over = vg_tensor_reshape(y, 3, (int64_t)5, (int64_t)6, (int64_t)4);
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    CHECK_FAILS(vg_rotate_heads(be, &(vg_rotate_heads_args){x, NULL, NULL, other}, &err),
                VG_E_DTYPE, err);
    CHECK_FAILS(vg_rotate_heads(be, &(vg_rotate_heads_args){x, NULL, NULL, odd}, &err), VG_E_SHAPE,
                err);
    CHECK_FAILS(vg_rotate_heads(be, &(vg_rotate_heads_args){x, table, NULL, y}, &err), VG_E_ARG,
                err);
    CHECK_FAILS(vg_rotate_heads(be, &(vg_rotate_heads_args){x, wide, wide, y}, &err), VG_E_SHAPE,
                err);
    CHECK_FAILS(vg_rotate_heads(be, &(vg_rotate_heads_args){uneven, table, table, uneven}, &err),
                VG_E_SHAPE, err);
    over.data = x->data;
    CHECK_FAILS(vg_rotate_heads(be, &(vg_rotate_heads_args){x, NULL, NULL, &over}, &err), VG_E_ARG,
                err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rotate_heads_is_exact),
        cmocka_unit_test(test_rotate_heads_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_rotate_heads", tests, NULL, check_close_cpu);
}

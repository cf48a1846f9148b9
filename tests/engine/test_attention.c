/* test_attention.c: self-attention of one layer (engine/layers/attention.h): in full, in 8 bits, in a step that tests, and where which of them is
 * taken; the figures of a test, and what is made of them. */
#include "tests/check.h"

#include "engine/layers/attention.h"
#include "engine/layers/attention_test.h"

#define TOKENS 300 /* more than a test takes rows of */
#define HEADS  2
#define D      64
#define DIM    (HEADS * D)

typedef struct layer {
    vg_arena *work;
    vg_backend *be;
    vg_tensor *q, *k, *v, *norm_q, *norm_k, *cos, *sin, *y, *kept_q, *kept_k;
    vg_self_attention args;
    vg_attention_request request;
    vg_attention_layer layers[3];
    vg_attention_step step;
} layer;

/* A layer of hard numbers: k has a large mean. */
static void begin(layer *l, vg_dtype dtype)
{
    check_rng rng = {7};
    vg_err err;
    memset(l, 0, sizeof *l);
    l->be = check_cpu()->four;
    CHECK_OK(vg_arena_new(l->be, 0, &l->work, &err), err);
    l->q = check_fill(check_tensor(dtype, 2, TOKENS, DIM), &rng, 0, 3);
    l->k = check_fill(check_tensor(dtype, 2, TOKENS, DIM), &rng, 2, 2);
    l->v = check_fill(check_tensor(dtype, 2, TOKENS, DIM), &rng, 0.5, 1);
    l->norm_q = check_fill(check_tensor(dtype, 1, DIM), &rng, 1, 0.5);
    l->norm_k = check_fill(check_tensor(dtype, 1, DIM), &rng, 1, 0.5);
    l->cos = check_fill(check_tensor(VG_F32, 2, TOKENS, D / 2), &rng, 0, 1);
    l->sin = check_fill(check_tensor(VG_F32, 2, TOKENS, D / 2), &rng, 0, 1);
    l->y = check_tensor(dtype, 2, TOKENS, DIM);
    l->kept_q = check_tensor(dtype, 2, TOKENS, DIM);
    l->kept_k = check_tensor(dtype, 2, TOKENS, DIM);
    memcpy(l->kept_q->data, l->q->data, vg_tensor_bytes(l->q));
    memcpy(l->kept_k->data, l->k->data, vg_tensor_bytes(l->k));
    l->request = (vg_attention_request){.mode = VG_ATTEND_QK8V8, .limit = VG_ATTENTION_LIMIT};
    l->step = (vg_attention_step){.request = &l->request, .layers = l->layers, .count = 3};
    l->args = (vg_self_attention){.step = &l->step,
                                  .layer = 1,
                                  .q = l->q,
                                  .k = l->k,
                                  .v = l->v,
                                  .norm_q = l->norm_q,
                                  .norm_k = l->norm_k,
                                  .eps = 1e-6f,
                                  .rope_cos = l->cos,
                                  .rope_sin = l->sin,
                                  .heads = HEADS,
                                  .y = l->y};
}

static void end(layer *l)
{
    vg_arena_free(l->work);
    check_done();
}

/* The layer from its beginning: what norm and rotary embedding overwrote is there again. */
static void run(layer *l)
{
    vg_err err;
    memcpy(l->q->data, l->kept_q->data, vg_tensor_bytes(l->q));
    memcpy(l->k->data, l->kept_k->data, vg_tensor_bytes(l->k));
    memset(l->y->data, 0xff, vg_tensor_bytes(l->y));
    CHECK_OK(vg_self_attention_run(l->work, &l->args, &err), err);
    assert_int_equal(vg_arena_mark(l->work), 0);
}

static vg_tensor heads(const vg_tensor *rows)
{
    return vg_tensor_reshape(rows, 3, rows->shape[0], HEADS, D);
}

/* What the operations one after the other make of the layer. */
static void chain(layer *l, bool eight, bool k_mean, bool rotation, bool v_mean, vg_tensor *y)
{
    vg_err err;
    int64_t blocks = vg_codes_blocks(TOKENS);
    vg_tensor *q = check_tensor(l->q->dtype, 2, TOKENS, DIM),
              *k = check_tensor(l->q->dtype, 2, TOKENS, DIM);
    vg_rms_norm_rope_args norm = {.x = l->kept_q,
                                  .w = l->norm_q,
                                  .eps = 1e-6f,
                                  .heads = HEADS,
                                  .rope_cos = l->cos,
                                  .rope_sin = l->sin,
                                  .y = q};
    vg_tensor qh = heads(q), kh = heads(k), vh = heads(l->v), yh = heads(y);
    CHECK_OK(vg_rms_norm_rope(l->be, &norm, &err), err);
    norm.x = l->kept_k, norm.w = l->norm_k, norm.y = k;
    CHECK_OK(vg_rms_norm_rope(l->be, &norm, &err), err);
    if (!eight) {
        CHECK_OK(vg_attention(
                     l->be,
                     &(vg_attention_args){.q = &qh, .k = &kh, .v = &vh, .scale = 0.125f, .y = &yh},
                     &err),
                 err);
        return;
    }
    vg_attention_codes_args c = {.q = check_tensor(VG_I8, 3, TOKENS, HEADS, D),
                                 .q_scale = check_tensor(VG_F32, 2, HEADS, TOKENS),
                                 .k = check_tensor(VG_I8, 3, TOKENS, HEADS, D),
                                 .k_scale = check_tensor(VG_F32, 2, HEADS, blocks),
                                 .v = check_tensor(VG_E4M3, 3, HEADS, D, blocks * VG_CODES_BLOCK),
                                 .v_scale = check_tensor(VG_F32, 2, HEADS, D),
                                 .v_mean = check_tensor(VG_F32, 2, HEADS, D),
                                 .scale = 0.125f,
                                 .y = &yh};
    vg_head_codes_args h = {.x = q,
                            .heads = HEADS,
                            .rotate = rotation,
                            .codes = (vg_tensor *)c.q,
                            .scale = (vg_tensor *)c.q_scale};
    CHECK_OK(vg_head_codes(l->be, &h, &err), err);
    h.x = k, h.center = k_mean, h.codes = (vg_tensor *)c.k, h.scale = (vg_tensor *)c.k_scale;
    CHECK_OK(vg_head_codes(l->be, &h, &err), err);
    CHECK_OK(vg_value_codes(l->be,
                            &(vg_value_codes_args){&vh, v_mean, (vg_tensor *)c.v,
                                                   (vg_tensor *)c.v_scale, (vg_tensor *)c.v_mean},
                            &err),
             err);
    CHECK_OK(vg_attention_codes(l->be, &c, &err), err);
}

static void expect(const layer *l, const vg_tensor *wanted, bool same)
{
    bool is = memcmp(l->y->data, wanted->data, vg_tensor_bytes(wanted)) == 0;
    if (is != same)
        fail_msg("the result %s", is ? "is the same" : "differs");
}

static void test_attention_in_full_is_norm_then_attention(void **state)
{
    (void)state;
    const vg_dtype dtypes[] = {VG_BF16, VG_F32};
    for (int i = 0; i < 2; i++) {
        layer l;
        begin(&l, dtypes[i]);
        vg_tensor *full = check_tensor(dtypes[i], 2, TOKENS, DIM);
        chain(&l, false, false, false, false, full);
        run(&l); /* the step uses nothing */
        expect(&l, full, true);
        l.step.use = true;
        l.args.step = NULL;
        run(&l);
        expect(&l, full, true);
        l.args.step = &l.step;
        static const struct {
            int first, last, layer;
        } outside[] = {{2, 0, 1}, {0, 2, 1}, {0, 0, 3}, {0, 0, -1}};
        for (size_t k = 0; k < 4; k++) {
            l.request.first_blocks = outside[k].first;
            l.request.last_blocks = outside[k].last;
            l.args.layer = outside[k].layer;
            run(&l);
            expect(&l, full, true);
        }
        l.request.first_blocks = l.request.last_blocks = 1;
        l.args.layer = 1;
        run(&l);
        expect(&l, full, false);
        assert_int_equal(l.layers[1].tests, 0);
        end(&l);
    }
}

static void test_attention_in_codes_is_the_chain_of_operations(void **state)
{
    (void)state;
    static const bool switches[VG_ATTEND_RECIPE_COUNT][3] = {
#define VG_ATTEND_RECIPE(id, name, k_mean, rotation, v_mean) {k_mean, rotation, v_mean},
#include "engine/layers/attention_recipes.def"
#undef VG_ATTEND_RECIPE
    };
    for (int i = 0; i < VG_ATTEND_RECIPE_COUNT; i++) {
        layer l;
        begin(&l, VG_BF16);
        vg_tensor *wanted = check_tensor(VG_BF16, 2, TOKENS, DIM);
        chain(&l, true, switches[i][0], switches[i][1], switches[i][2], wanted);
        l.request.recipe = (vg_attend_recipe)i;
        l.step.use = true;
        run(&l);
        expect(&l, wanted, true);
        l.step.test = true; /* and again where a test comes first */
        l.request.limit = 0;
        run(&l);
        expect(&l, wanted, true);
        assert_int_equal(l.layers[1].tests, 1);
        assert_false(l.layers[1].missed);
        end(&l);
    }
}

static void test_attention_that_misses_goes_on_in_full(void **state)
{
    (void)state;
    layer l;
    begin(&l, VG_BF16);
    vg_tensor *full = check_tensor(VG_BF16, 2, TOKENS, DIM),
              *coded = check_tensor(VG_BF16, 2, TOKENS, DIM);
    chain(&l, false, false, false, false, full);
    chain(&l, true, true, true, true, coded);
    l.step.use = l.step.test = true;
    l.request.limit = 1;
    run(&l);
    expect(&l, full, true);
    assert_true(l.layers[1].missed && l.layers[1].tests == 1 && l.layers[1].cosine < 1);
    l.step.test = false; /* the steps after it */
    run(&l);
    expect(&l, full, true);
    l.args.layer = 0; /* another layer did not */
    run(&l);
    expect(&l, coded, true);
    /* The figures are those of the rows that were taken, and near those of all rows. */
    vg_attention_figures all;
    vg_err err;
    CHECK_OK(vg_attention_test_compare(l.be, coded, full, &all, &err), err);
    print_message("all rows: 1 - cosine %.2e; tested ones: %.2e\n", 1 - all.cosine,
                  1 - l.layers[1].cosine);
    assert_true(fabs(all.relative_l2 - l.layers[1].relative_l2) < 0.2 * all.relative_l2);
    assert_true(l.layers[1].largest_error > 0 && l.layers[1].largest_error <= all.largest_error);
    end(&l);
}

/* Measured, not used: what comes out is BF16's, bit for bit. */
static void test_attention_may_be_tested_without_being_used(void **state)
{
    (void)state;
    layer l;
    begin(&l, VG_BF16);
    vg_tensor *full = check_tensor(VG_BF16, 2, TOKENS, DIM);
    chain(&l, false, false, false, false, full);
    l.step.test = true;
    run(&l);
    expect(&l, full, true);
    assert_true(l.layers[1].tests == 1 && l.layers[1].cosine > 0.999 && !l.layers[1].missed);
    end(&l);
}

static void test_attention_writes_codes_for_its_reader(void **state)
{
    (void)state;
    vg_err err;
    for (int test = 0; test < 2; test++) {
        layer l;
        begin(&l, VG_BF16);
        l.step.use = true;
        l.step.test = test;
        run(&l);
        check_codes codes = check_codes_of(l.y, VG_QUANT_GROUP_DYNAMIC);
        CHECK_OK(vg_quantize(l.be,
                             &(vg_quantize_args){l.y, VG_QUANT_GROUP_DYNAMIC, codes.wanted,
                                                 codes.wanted_scale},
                             &err),
                 err);
        l.args.quant = (vg_quant_out){VG_QUANT_GROUP_DYNAMIC, codes.q, codes.scale};
        l.args.y = NULL;
        run(&l);
        assert_memory_equal(codes.q->data, codes.wanted->data, vg_tensor_bytes(codes.q));
        end(&l);
    }
}

/* Joint attention brings its own norms, and fewer valid keys than there is room for. */
static void test_attention_of_ready_heads_and_valid_keys(void **state)
{
    (void)state;
    layer l;
    begin(&l, VG_BF16);
    vg_err err;
    vg_tensor k = vg_tensor_rows(l.k, 0, 130), v = vg_tensor_rows(l.v, 0, 130),
              *full = check_tensor(VG_BF16, 2, TOKENS, DIM);
    vg_tensor qh = heads(l.kept_q), kh = heads(&k), vh = heads(&v), yh = heads(full);
    CHECK_OK(
        vg_attention(l.be,
                     &(vg_attention_args){.q = &qh, .k = &kh, .v = &vh, .scale = 0.125f, .y = &yh},
                     &err),
        err);
    l.args.k = &k;
    l.args.v = &v;
    l.args.norm_q = l.args.norm_k = NULL;
    run(&l);
    expect(&l, full, true);
    l.step.use = l.step.test = true;
    l.request.limit = 0;
    run(&l);
    expect(&l, full, false);
    vg_attention_figures f;
    CHECK_OK(vg_attention_test_compare(l.be, l.y, full, &f, &err), err);
    assert_true(f.cosine > 0.99);
    end(&l);
}

static void test_attention_figures(void **state)
{
    (void)state;
    vg_err err;
    vg_attention_figures f;
    vg_backend *be = check_cpu()->one;
    vg_tensor *a = check_tensor(VG_F32, 2, 1, 4), *b = check_tensor(VG_F32, 2, 1, 4);
    const double x[4] = {3, 0, 4, 0}, y[4] = {3, 4, 0, 0};
    for (int i = 0; i < 4; i++) {
        check_set(a, i, x[i]);
        check_set(b, i, y[i]);
    }
    CHECK_OK(vg_attention_test_compare(be, a, b, &f, &err), err);
    assert_true(fabs(f.cosine - 9.0 / 25) < 1e-12 && fabs(f.relative_l2 - sqrt(32.0) / 5) < 1e-12 &&
                f.largest_error == 4);
    CHECK_OK(vg_attention_test_compare(be, a, a, &f, &err), err);
    assert_true(f.cosine == 1 && f.relative_l2 == 0 && f.largest_error == 0);
    memset(a->data, 0, vg_tensor_bytes(a));
    CHECK_OK(vg_attention_test_compare(be, a, a, &f, &err), err);
    assert_true(f.cosine == 1);
    CHECK_OK(vg_attention_test_compare(be, a, b, &f, &err), err);
    assert_true(isnan(f.cosine)); /* a result of zeros is no result */
    check_set(a, 2, NAN);
    CHECK_OK(vg_attention_test_compare(be, a, b, &f, &err), err);
    assert_true(isnan(f.cosine) && isnan(f.relative_l2));
    check_done();
}

static void test_attention_layer_keeps_the_worst(void **state)
{
    (void)state;
    vg_attention_layer l = {0};
    vg_attention_layer_add(&l, 0.9, 0.99, 0.1, 1);
    assert_true(l.tests == 1 && l.cosine == 0.99 && !l.missed && !l.told);
    l.told = true;
    vg_attention_layer_add(&l, 0.9, 0.995, 0.05, 0.5); /* better: nothing to tell */
    assert_true(l.tests == 2 && l.cosine == 0.99 && l.largest_error == 1 && l.told);
    vg_attention_layer_add(&l, 0.9, 0.8, 0.3, 0.5);
    assert_true(l.cosine == 0.8 && l.relative_l2 == 0.3 && l.missed && !l.told);
    vg_attention_layer_add(&l, 0.9, 1, 0, 0); /* once is enough */
    assert_true(l.missed);
    l = (vg_attention_layer){0};
    vg_attention_layer_add(&l, 0, 1, 0, 0);
    vg_attention_layer_add(&l, 0, NAN, NAN, NAN);
    assert_true(isnan(l.cosine) && l.missed); /* not even a limit of 0 takes it */
    vg_attention_layer_add(&l, 0, 1, 0, 0);
    assert_true(isnan(l.cosine) && isnan(l.relative_l2) && l.missed);
}

static void test_attention_says_where_it_cannot_be_had(void **state)
{
    (void)state;
    vg_err err;
    vg_backend *cpu = check_cpu()->one, *dry;
    CHECK_OK(vg_attend_check(cpu, VG_ATTEND_RECIPE_FULL, VG_F32, 64, &err), err);
    CHECK_FAILS(vg_attend_check(cpu, VG_ATTEND_RECIPE_FULL, VG_BF16, 28, &err), VG_E_UNSUPPORTED,
                err);
    assert_non_null(strstr(err.message, "power of 2, not 28"));
    CHECK_OK(vg_attend_check(cpu, VG_ATTEND_RECIPE_NO_ROTATION, VG_BF16, 28, &err), err);
    CHECK_OK(vg_dry_backend_open(VG_DEVICE_CUDA, &dry, &err), err);
    CHECK_OK(vg_attend_check(dry, VG_ATTEND_RECIPE_FULL, VG_BF16, 64, &err), err);
    vg_backend_close(dry);
    assert_string_equal(vg_attend_name(VG_ATTEND_QK8V8), "qk8v8");
    assert_string_equal(vg_attend_label(VG_ATTEND_BF16), "");
    assert_string_equal(vg_attend_recipe_name(VG_ATTEND_RECIPE_PLAIN), "plain");
    assert_string_equal(vg_attend_name(VG_ATTEND_COUNT), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attention_in_full_is_norm_then_attention),
        cmocka_unit_test(test_attention_in_codes_is_the_chain_of_operations),
        cmocka_unit_test(test_attention_that_misses_goes_on_in_full),
        cmocka_unit_test(test_attention_may_be_tested_without_being_used),
        cmocka_unit_test(test_attention_writes_codes_for_its_reader),
        cmocka_unit_test(test_attention_of_ready_heads_and_valid_keys),
        cmocka_unit_test(test_attention_figures),
        cmocka_unit_test(test_attention_layer_keeps_the_worst),
        cmocka_unit_test(test_attention_says_where_it_cannot_be_had),
    };
    return cmocka_run_group_tests_name("attention", tests, NULL, check_close_cpu);
}

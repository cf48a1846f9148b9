/* test_model_attention.c: 8-bit attention over a whole run: what is tested when, what is told, layers that fall back, the same bytes after a
 * stop, memory; and how near it comes to BF16 on the demo model, whose activations are trained ones. */
#include "engine/run/plan.h"
#include "engine/run/sequence.h"
#include "engine/run/store_memory.h"
#include "tests/model.h"

#define DEMO   VG_SOURCE_DIR "/presets/demo/wan-t2v"
#define STEPS  4
#define LAYERS 2 /* of each of tiny-b's two experts */

/* What was told of each layer, and how often. */
typedef struct told {
    vg_attention_layer layers[2][3];
    int events[2][3], notes, fallbacks, short_plans, begins_auto;
} told;

static void tell(void *user, const vg_event *e)
{
    told *t = user;
    if (e->kind == VG_EVENT_ATTENTION) {
        assert_true(e->expert >= 0 && e->expert < 2 && e->step >= 0 && e->step < 3);
        t->layers[e->expert][e->step] = *e->attention;
        t->events[e->expert][e->step]++;
    }
    if (e->kind != VG_EVENT_NOTE)
        return;
    t->notes += strstr(e->detail, "8-bit attention against BF16 in") != NULL;
    t->fallbacks += strstr(e->detail, "it goes on in BF16") != NULL;
    t->short_plans += strstr(e->detail, "memory plan was") != NULL;
    t->begins_auto += strstr(e->detail, "attention auto") != NULL;
}

typedef struct run {
    vg_engine *engine;
    vg_model *model;
    vg_generate_params p;
    vg_conditions c;
    told told;
    vg_callbacks cb;
} run;

static void begin(run *r, const char *dir, int height, int width, int frames, int steps)
{
    vg_err err;
    memset(r, 0, sizeof *r);
    r->engine = open_engine();
    r->model = open_model(dir);
    vg_generate_params_init(&r->p);
    r->p.inputs.prompt = "a red ball";
    r->p.height = height;
    r->p.width = width;
    r->p.num_frames = frames;
    r->p.steps = steps;
    r->p.boundary_ratio = 0.875;
    CHECK_OK(vg_model_defaults(r->model, &r->p, &err), err);
    CHECK_OK(vg_encode(r->engine, r->model, &r->p, NULL, &r->c, &err), err);
    r->cb = (vg_callbacks){.user = &r->told, .event = tell};
}

static void end(run *r)
{
    vg_conditions_deinit(&r->c);
    vg_model_close(r->model);
    vg_engine_close(r->engine);
}

static vg_latents denoise(run *r, const vg_denoise_state *from)
{
    vg_err err;
    vg_latents out;
    memset(&r->told, 0, sizeof r->told);
    CHECK_OK(vg_denoise(r->engine, r->model, &r->p, &r->c, from, &r->cb, &out, &err), err);
    return out;
}

static size_t bytes_of(const vg_latents *l)
{
    return (size_t)(l->shape[0] * l->shape[1] * l->shape[2] * l->shape[3]) * sizeof *l->values;
}

/* Same bytes as `wanted`, or not? The latents are given back. */
static void expect(vg_latents *got, const vg_latents *wanted, bool same)
{
    bool is = memcmp(got->values, wanted->values, bytes_of(wanted)) == 0;
    if (is != same)
        fail_msg("the latents are %s", is ? "the same" : "others");
    vg_latents_deinit(got);
}

static void test_model_attention_is_used_only_where_asked(void **state)
{
    (void)state;
    run r;
    begin(&r, GOLDEN "tiny-b", 32, 32, 5, STEPS);
    vg_latents full = denoise(&r, NULL), other;
    assert_int_equal(r.told.notes, 0);
    /* Measured and not used. */
    r.p.attention.self_test = true;
    other = denoise(&r, NULL);
    expect(&other, &full, true);
    for (int e = 0; e < 2; e++)
        for (int i = 0; i < LAYERS; i++)
            assert_true(r.told.layers[e][i].tests >= 2 && r.told.layers[e][i].cosine > 0.95);
    r.p.attention.self_test = false;
    /* No step, or no block, may. */
    r.p.attention.mode = VG_ATTEND_QK8V8;
    r.p.attention.limit = 0;
    r.p.attention.first_steps = 1;
    r.p.attention.last_steps = STEPS - 1;
    other = denoise(&r, NULL);
    expect(&other, &full, true);
    assert_int_equal(r.told.notes, 0);
    r.p.attention.first_steps = r.p.attention.last_steps = 0;
    r.p.attention.first_blocks = r.p.attention.last_blocks = 1;
    other = denoise(&r, NULL);
    expect(&other, &full, true);
    /* All may. */
    r.p.attention.first_blocks = r.p.attention.last_blocks = 0;
    vg_latents eight = denoise(&r, NULL);
    assert_true(memcmp(eight.values, full.values, bytes_of(&full)) != 0);
    assert_int_equal(r.told.notes, 2);
    assert_int_equal(r.told.fallbacks, 0);
    for (int e = 0; e < 2; e++)
        for (int i = 0; i < LAYERS;
             i++) /* the first step of each expert, with and without the prompt */
            assert_true(r.told.events[e][i] == 1 && r.told.layers[e][i].tests == 2);
    r.p.attention.mode = VG_ATTEND_AUTO; /* the CPU has it */
    other = denoise(&r, NULL);
    expect(&other, &eight, true);
    assert_int_equal(r.told.begins_auto, 0);
    r.p.attention.last_steps = 1; /* the last one in full: others */
    other = denoise(&r, NULL);
    expect(&other, &eight, false);
    vg_latents_deinit(&eight);
    vg_latents_deinit(&full);
    end(&r);
}

/* ---- falling back, and going on after a stop ---- */

typedef struct saver {
    void **state;
    int count;
} saver;

static const char *state_path(void **state, int step)
{
    char name[32];
    snprintf(name, sizeof name, "state-%d", step);
    return scratch_path(state, name);
}

typedef struct both {
    told told;
    saver saver;
} both;

static void tell_both(void *user, const vg_event *e)
{
    tell(&((both *)user)->told, e);
}

static vg_status save_both(void *user, const vg_denoise_state *s, vg_err *err)
{
    saver *to = &((both *)user)->saver;
    to->count++;
    return vg_denoise_state_write(state_path(to->state, to->count), s, NULL, err);
}

/* A limit between the layers' cosines: some miss, some do not. */
static double dividing_limit(run *r)
{
    double least = 1, most = 0;
    vg_latents l;
    r->p.attention.limit = 0;
    l = denoise(r, NULL);
    vg_latents_deinit(&l);
    for (int i = 0; i < 2 * LAYERS; i++) {
        double cosine = r->told.layers[i / LAYERS][i % LAYERS].cosine;
        least = fmin(least, cosine);
        most = fmax(most, cosine);
    }
    assert_true(least < most);
    return (least + most) / 2;
}

static void test_model_attention_resumes_with_the_same_choices(void **state)
{
    run r;
    vg_err err;
    both b = {.saver = {.state = state}};
    vg_latents whole, other;
    begin(&r, GOLDEN "tiny-b", 32, 32, 5, STEPS);
    r.p.attention.mode = VG_ATTEND_QK8V8;
    r.p.attention.limit = dividing_limit(&r);
    const vg_callbacks cb = {.user = &b, .event = tell_both, .save = save_both};
    CHECK_OK(vg_denoise(r.engine, r.model, &r.p, &r.c, NULL, &cb, &whole, &err), err);
    assert_int_equal(b.saver.count, STEPS);
    assert_true(b.told.fallbacks > 0 && b.told.fallbacks < 2 * LAYERS);
    int missed = 0;
    for (int i = 0; i < 2 * LAYERS; i++) {
        const vg_attention_layer *l = &b.told.layers[i / LAYERS][i % LAYERS];
        assert_int_equal(l->missed, !(l->cosine >= r.p.attention.limit));
        missed += l->missed;
    }
    assert_int_equal(missed, b.told.fallbacks);
    for (int step = 1; step <= STEPS; step++) {
        vg_denoise_state from;
        CHECK_OK(vg_denoise_state_read(state_path(state, step), &from, &err), err);
        assert_int_equal(from.attention_count, 2 * LAYERS);
        other = denoise(&r, &from);
        expect(&other, &whole, true);
        for (int i = 0; i < 2 * LAYERS; i++) { /* told again, the same */
            const vg_attention_layer *x = &b.told.layers[i / LAYERS][i % LAYERS],
                                     *y = &r.told.layers[i / LAYERS][i % LAYERS];
            if (step > 1 || i < LAYERS)
                assert_true(x->tests == y->tests && x->cosine == y->cosine &&
                            x->missed == y->missed && x->relative_l2 == y->relative_l2 &&
                            x->largest_error == y->largest_error);
        }
        vg_denoise_state_deinit(&from);
    }
    /* Without what the state knows of the layers it would be another clip. */
    vg_denoise_state from;
    CHECK_OK(vg_denoise_state_read(state_path(state, 1), &from, &err), err);
    for (int i = 0; i < from.attention_count; i++)
        from.attention[i].missed = !from.attention[i].missed && from.attention[i].tests > 0;
    other = denoise(&r, &from);
    expect(&other, &whole, false);
    from.attention_count--;
    CHECK_FAILS(vg_denoise(r.engine, r.model, &r.p, &r.c, &from, NULL, &other, &err), VG_E_SHAPE,
                err);
    vg_denoise_state_deinit(&from);
    vg_latents_deinit(&whole);
    end(&r);
}

/* The sequence of stages makes again what does not fit: a state without layers, of a run in BF16. */
static void test_model_attention_state_has_to_fit(void **state)
{
    (void)state;
    run r;
    vg_err err;
    vg_memory_store store;
    bool found;
    begin(&r, GOLDEN "tiny-b", 32, 32, 5, STEPS);
    r.p.attention.mode = VG_ATTEND_QK8V8;
    r.p.attention.limit = 0;
    vg_latents whole = denoise(&r, NULL), l;
    vg_memory_store_init(&store);
    r.cb.save = NULL;
    const vg_sequence s = {.engine = r.engine,
                           .model = r.model,
                           .params = &r.p,
                           .store = &store.store,
                           .callbacks = &r.cb,
                           .latents_only = true};
    r.p.attention.mode = VG_ATTEND_BF16;
    r.p.max_steps_run = 2;
    CHECK_OK(vg_sequence_latents(&s, &l, &found, &err), err);
    assert_true(l.steps_done == 2 && store.state.attention_count == 0);
    vg_latents_deinit(&l);
    r.p.attention.mode = VG_ATTEND_QK8V8;
    CHECK_OK(vg_sequence_latents(&s, &l, &found, &err), err);
    assert_int_equal(l.steps_done, 2); /* from the beginning */
    assert_int_equal(store.state.attention_count, 2 * LAYERS);
    vg_latents_deinit(&l);
    r.p.max_steps_run = VG_UNSET_INT;
    CHECK_OK(vg_sequence_latents(&s, &l, &found, &err), err);
    assert_memory_equal(l.values, whole.values, bytes_of(&whole));
    vg_latents_deinit(&l);
    vg_latents_deinit(&whole);
    vg_memory_store_deinit(&store);
    end(&r);
}

static void write_attention(const char *path, vg_dtype dtype, int64_t rows, int64_t columns,
                            double tests)
{
    vg_err err;
    int64_t at[2] = {1, 1};
    double seconds[1] = {1}, values[64];
    float latents[4] = {0};
    for (int i = 0; i < 64; i++)
        values[i] = i % 5 == 0 ? tests : 0.5;
    const vg_safetensors_entry entries[] = {
        {"at", vg_tensor_make(at, VG_I64, 1, 2)},
        {"seconds", vg_tensor_make(seconds, VG_F64, 1, 1)},
        {"latents", vg_tensor_make(latents, VG_F32, 4, 1, 1, 2, 2)},
        {"attention", vg_tensor_make(values, dtype, 2, rows, columns)}};
    CHECK_OK(vg_safetensors_write(path, entries, 4, NULL, &err), err);
}

static void test_model_attention_of_a_bad_state_is_refused(void **state)
{
    static const struct {
        vg_dtype dtype;
        int64_t columns;
        double tests;
        vg_status status;
    } rows[] = {{VG_F64, 5, 2, VG_OK},         {VG_F64, 4, 2, VG_E_FORMAT},
                {VG_F32, 5, 2, VG_E_FORMAT},   {VG_F64, 5, -1, VG_E_FORMAT},
                {VG_F64, 5, NAN, VG_E_FORMAT}, {VG_F64, 5, 1e9, VG_E_FORMAT}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        vg_denoise_state s;
        vg_err err;
        const char *path = scratch_path(state, "s");
        write_attention(path, rows[i].dtype, 4, rows[i].columns, rows[i].tests);
        if (rows[i].status != VG_OK) {
            CHECK_FAILS(vg_denoise_state_read(path, &s, &err), rows[i].status, err);
            continue;
        }
        CHECK_OK(vg_denoise_state_read(path, &s, &err), err);
        assert_true(s.attention_count == 4 && s.attention[3].tests == 2 && s.attention[3].missed &&
                    s.attention[3].cosine == 0.5);
        vg_denoise_state_deinit(&s);
    }
}

/* ---- where it cannot be had, and memory ---- */

static void test_model_attention_is_refused_before_anything_runs(void **state)
{
    (void)state;
    vg_err err;
    vg_model *model = open_model(GOLDEN "tiny-i2v"); /* heads of 28 */
    vg_generate_params p;
    vg_generate_params_init(&p);
    p.height = p.width = 32;
    p.num_frames = 5;
    p.mode = "i2v";
    p.attention.mode = VG_ATTEND_QK8V8;
    CHECK_FAILS(vg_model_defaults(model, &p, &err), VG_E_UNSUPPORTED, err);
    assert_non_null(strstr(err.message, "attention_recipe no-rotation"));
    p.attention.recipe = VG_ATTEND_RECIPE_NO_ROTATION;
    CHECK_OK(vg_model_defaults(model, &p, &err), err);
    p.attention.recipe = VG_ATTEND_RECIPE_FULL;
    p.attention.mode = VG_ATTEND_AUTO;
    CHECK_OK(vg_model_defaults(model, &p, &err), err);
    p.attention.mode = VG_ATTEND_COUNT;
    CHECK_FAILS(vg_model_defaults(model, &p, &err), VG_E_ARG, err);
    p.attention.mode = VG_ATTEND_BF16;
    p.attention.limit = 1.5;
    CHECK_FAILS(vg_model_defaults(model, &p, &err), VG_E_ARG, err);
    assert_non_null(strstr(err.message, "attention_limit"));
    vg_model_close(model);
}

/* Joint attention of another family: its norms are its own, its text rows the valid ones, and the last block's queries are the video's alone. */
static void test_model_attention_of_joint_streams(void **state)
{
    (void)state;
    run r;
    vg_err err;
    memset(&r, 0, sizeof r);
    r.engine = open_engine();
    CHECK_OK(vg_model_open(GOLDEN "tiny-hv-t2v", VG_LOAD_DUMMY, &r.model, &err), err);
    vg_generate_params_init(&r.p);
    r.p.height = r.p.width = 32;
    r.p.num_frames = 5;
    r.p.steps = 3;
    CHECK_OK(vg_model_defaults(r.model, &r.p, &err), err);
    CHECK_OK(vg_model_fill_conditions(r.model, &r.p, &r.c, &err), err);
    r.cb = (vg_callbacks){.user = &r.told, .event = tell};
    vg_latents full = denoise(&r, NULL), other;
    r.p.attention.self_test = true;
    other = denoise(&r, NULL);
    expect(&other, &full, true);
    for (int i = 0; i < 2; i++)
        assert_true(r.told.layers[0][i].tests >= 3 && r.told.layers[0][i].cosine > 0.95);
    r.p.attention.self_test = false;
    r.p.attention.mode = VG_ATTEND_QK8V8;
    r.p.attention.limit = 0;
    vg_latents eight = denoise(&r, NULL);
    assert_true(memcmp(eight.values, full.values, bytes_of(&full)) != 0);
    assert_true(rel_l2(eight.values, full.values, (int64_t)(bytes_of(&full) / 4)) < 0.05);
    other = denoise(&r, NULL);
    expect(&other, &eight, true);
    r.p.attention.limit = 1;
    other = denoise(&r, NULL);
    expect(&other, &full, true);
    assert_int_equal(r.told.fallbacks, 2);
    vg_latents_deinit(&eight);
    vg_latents_deinit(&full);
    end(&r);
}

/* On a backend without the kernel, who insists is refused before a step, and auto computes in BF16 and says so. */
static void test_model_attention_without_a_kernel(void **state)
{
    (void)state;
    run r;
    vg_err err;
    vg_latents other;
    vg_store store = {0};
    bool found;
    begin(&r, GOLDEN "tiny-b", 32, 32, 5, STEPS);
    vg_latents full = denoise(&r, NULL);
    vg_backend *be = vg_engine_backend(r.engine);
    const vg_backend_ops *ops = be->ops;
    vg_backend_ops without = *ops;
    without.attention_codes = NULL;
    be->ops = &without;
    r.p.attention.mode = VG_ATTEND_QK8V8;
    CHECK_FAILS(vg_denoise(r.engine, r.model, &r.p, &r.c, NULL, &r.cb, &other, &err),
                VG_E_UNSUPPORTED, err);
    assert_non_null(strstr(err.message, "attention qk8v8: 8-bit attention is not on the cpu"));
    const vg_sequence s = {
        .engine = r.engine, .model = r.model, .params = &r.p, .store = &store, .callbacks = &r.cb};
    CHECK_FAILS(vg_sequence_latents(&s, &other, &found, &err), VG_E_UNSUPPORTED, err);
    r.p.attention.mode = VG_ATTEND_BF16;
    r.p.attention.self_test = true;
    CHECK_FAILS(vg_denoise(r.engine, r.model, &r.p, &r.c, NULL, &r.cb, &other, &err),
                VG_E_UNSUPPORTED, err);
    assert_non_null(strstr(err.message, "attention_self_test: "));
    r.p.attention.self_test = false;
    r.p.attention.mode = VG_ATTEND_AUTO;
    other = denoise(&r, NULL);
    assert_int_equal(r.told.begins_auto, 1);
    assert_int_equal(r.told.notes, 0);
    expect(&other, &full, true);
    be->ops = ops;
    vg_latents_deinit(&full);
    end(&r);
}

/* As a device with memory of its own, planned and run; the plan counts the codes. */
static void test_model_attention_memory_is_planned(void **state)
{
    (void)state;
    run r;
    vg_err err;
    vg_plan full, eight;
    begin(&r, GOLDEN "tiny-b", 256, 256, 17, STEPS);
    r.p.memory_limit = (size_t)4 << 30;
    vg_generate_params large =
        r.p; /* enough tokens to be seen beside the chunks that memory is taken in */
    large.height = large.width = 1024;
    large.num_frames = 81;
    CHECK_OK(vg_plan_make(r.model, &large, &full, &err), err);
    r.p.attention.mode = large.attention.mode = VG_ATTEND_QK8V8;
    CHECK_OK(vg_plan_make(r.model, &large, &eight, &err), err);
    size_t codes = (size_t)eight.tokens * 3 * 16 * 3, more = 0;
    for (int i = 0; i < eight.count; i++)
        if (strstr(eight.stages[i].name, "transformer"))
            more = vg_plan_total(&eight.stages[i]) - vg_plan_total(&full.stages[i]);
    assert_true(more > codes / 4 &&
                more /* part of them lies where other stages of a forward have lain */
                    < codes + codes / 4 + ((size_t)4 << 20));
    for (int limit = 0; limit < 2; limit++) { /* 1: all fall back in the middle of the first step */
        r.p.attention.limit = limit;
        vg_latents l = denoise(&r, NULL);
        vg_latents_deinit(&l);
        assert_int_equal(r.told.short_plans, 0);
        assert_int_equal(r.told.fallbacks, limit ? 2 * LAYERS : 0);
    }
    end(&r);
}

/* ---- quality on trained activations ---- */

/* Every layer of the demo model holds the usual limit at every step, with each recipe: its k has little mean and no channels that stand out, so
 * that the switches, which test_op_attention_codes measures on data that has both, gain a fifth of the error here. */
static void test_model_attention_quality_on_the_demo(void **state)
{
    (void)state;
    run r;
    begin(&r, DEMO, 96, 160, 17, 3);
    r.p.attention.self_test = true;
    double sums[VG_ATTEND_RECIPE_COUNT] = {0};
    print_message("QUALITY demo, 1 - cosine   expert 1: blocks 0, 1, 2         expert 2\n");
    for (int recipe = 0; recipe < VG_ATTEND_RECIPE_COUNT; recipe++) {
        r.p.attention.recipe = (vg_attend_recipe)recipe;
        vg_latents l = denoise(&r, NULL);
        vg_latents_deinit(&l);
        print_message("QUALITY %-16s", vg_attend_recipe_name((vg_attend_recipe)recipe));
        for (int i = 0; i < 6; i++) {
            const vg_attention_layer *layer = &r.told.layers[i / 3][i % 3];
            print_message("  %.2e", 1 - layer->cosine);
            sums[recipe] += 1 - layer->cosine;
            if (layer->tests < 2 || !(layer->cosine >= VG_ATTENTION_LIMIT) || layer->cosine >= 1)
                fail_msg("%s: transformer %d block %d: cosine %.6f after %d tests",
                         vg_attend_recipe_name((vg_attend_recipe)recipe), i / 3 + 1, i % 3,
                         layer->cosine, layer->tests);
        }
        print_message("\n");
    }
    assert_true(sums[VG_ATTEND_RECIPE_FULL] < sums[VG_ATTEND_RECIPE_PLAIN]);
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model_attention_is_used_only_where_asked),
        cmocka_unit_test_setup_teardown(test_model_attention_resumes_with_the_same_choices,
                                        scratch_open, scratch_close),
        cmocka_unit_test(test_model_attention_state_has_to_fit),
        cmocka_unit_test_setup_teardown(test_model_attention_of_a_bad_state_is_refused,
                                        scratch_open, scratch_close),
        cmocka_unit_test(test_model_attention_is_refused_before_anything_runs),
        cmocka_unit_test(test_model_attention_of_joint_streams),
        cmocka_unit_test(test_model_attention_without_a_kernel),
        cmocka_unit_test(test_model_attention_memory_is_planned),
        cmocka_unit_test(test_model_attention_quality_on_the_demo),
    };
    return cmocka_run_group_tests_name("model_attention", tests, NULL, NULL);
}

/* test_model_sequence.c: a generation as one sequence of stages with a store: what is there is not made again, what is damaged or does not fit
 * is, and whichever pieces there were, the latents and frames are the same bytes. */
#include "engine/run/sequence.h"
#include "engine/run/store_memory.h"
#include "tests/model.h"

#define STEPS 5

/* What was told. */
typedef struct told {
    int begins, from, loads, text, calibrate, denoise, decode, steps, going_on;
    char precision[640];
    atomic_int cancel;
    int cancel_at;
} told;

static void tell(void *user, const vg_event *e)
{
    told *t = user;
    bool stage = e->kind == VG_EVENT_STAGE_BEGIN;
    if (e->kind == VG_EVENT_BEGIN) {
        t->begins++;
        t->from = e->step;
        assert_int_equal(e->steps, STEPS);
    }
    if (e->kind == VG_EVENT_PRECISION)
        snprintf(t->precision, sizeof t->precision, "%s", e->detail);
    if (e->kind == VG_EVENT_NOTE && strstr(e->detail, "going on after step"))
        t->going_on++;
    t->text += stage && e->stage == VG_STAGE_TEXT;
    t->calibrate += stage && e->stage == VG_STAGE_CALIBRATE;
    t->denoise += stage && e->stage == VG_STAGE_DENOISE;
    t->decode += stage && e->stage == VG_STAGE_DECODE;
    if (e->kind == VG_EVENT_STEP && e->stage == VG_STAGE_DENOISE) {
        t->steps++;
        if (t->cancel_at && e->step == t->cancel_at)
            atomic_store(&t->cancel, 1);
    }
}

typedef struct run {
    vg_engine *engine;
    vg_model *model;
    vg_generate_params p;
    vg_callbacks cb;
    told told;
    vg_memory_store store;
    vg_sequence s;
} run;

static void begin(run *r)
{
    vg_err err;
    memset(r, 0, sizeof *r);
    r->engine = open_engine();
    r->model = open_model(GOLDEN "tiny-b");
    vg_generate_params_init(&r->p);
    r->p.inputs.prompt = "a red ball rolls";
    r->p.height = r->p.width = 32;
    r->p.num_frames = 5;
    r->p.steps = STEPS;
    r->p.scheme = VG_SCHEME_FP8;
    r->p.fp8_act = VG_FP8_ACT_STATIC;
    r->p.precision = "blocks.0.*=bf16";
    CHECK_OK(vg_model_defaults(r->model, &r->p, &err), err);
    vg_memory_store_init(&r->store);
    r->cb = (vg_callbacks){.user = &r->told, .event = tell, .cancel = &r->told.cancel};
    r->s = (vg_sequence){.engine = r->engine,
                         .model = r->model,
                         .params = &r->p,
                         .store = &r->store.store,
                         .callbacks = &r->cb,
                         .calibration_steps = 2};
}

static void end(run *r)
{
    vg_memory_store_deinit(&r->store);
    vg_model_close(r->model);
    assert_int_equal(vg_engine_backend(r->engine)->bytes_now, 0);
    vg_engine_close(r->engine);
}

static void go(run *r, vg_latents *latents)
{
    vg_err err;
    memset(&r->told, 0, sizeof r->told);
    CHECK_OK(vg_sequence_run(&r->s, latents, &err), err);
}

static size_t count_of(const vg_latents *l)
{
    return (size_t)(l->shape[0] * l->shape[1] * l->shape[2] * l->shape[3]);
}

static size_t frame_bytes(const vg_frames *f)
{
    return (size_t)f->count * (size_t)f->height * (size_t)f->width * 3;
}

/* One whole run to compare with. */
typedef struct whole {
    vg_latents latents;
    vg_frames frames;
} whole;

static void run_whole(whole *w)
{
    run r;
    begin(&r);
    go(&r, &w->latents);
    assert_true(r.told.begins == 1 && r.told.from == 0 && r.told.text == 1 &&
                r.told.calibrate == 1 && r.told.denoise == 1 && r.told.decode == 1 &&
                r.told.steps == STEPS && r.told.going_on == 0);
    assert_string_equal(r.told.precision,
                        "20 FP8 per-tensor (static), 28 BF16, 4 F32; rules blocks.0.*=bf16");
    w->frames = r.store.frames;
    r.store.frames = (vg_frames){0};
    end(&r);
}

static void check(const run *r, const whole *w, const vg_latents *latents)
{
    assert_int_equal(latents->steps_done, STEPS);
    assert_memory_equal(latents->values, w->latents.values, count_of(latents) * sizeof(float));
    assert_memory_equal(r->store.frames.rgb, w->frames.rgb, frame_bytes(&w->frames));
}

static void drop_whole(whole *w)
{
    vg_latents_deinit(&w->latents);
    vg_frames_deinit(&w->frames);
}

/* What was there after a stop, and is lost or damaged before going on; and what has to be done again then. */
static void lose(run *r, int what)
{
    vg_memory_store *m = &r->store;
    switch (what) {
    case 1:
        vg_denoise_state_deinit(&m->state);
        break;
    case 2:
        vg_conditions_deinit(&m->conditions);
        break;
    case 3:
        vg_input_scales_free(m->scales);
        m->scales = NULL;
        break;
    case 4: /* of another size */
        m->state.shape[2]--;
        break;
    case 5:
        m->state.latents[3] = NAN;
        break;
    case 6:
        m->conditions.list[0].values[7] = INFINITY;
        break;
    case 7:
        m->state.scheduler.at = STEPS + 1;
        break;
    default:
        break;
    }
}

static void test_model_sequence_goes_on_with_the_same_bytes(void **state)
{
    static const struct {
        int lost, from, text, calibrate;
    } cases[] = {{0, 2, 0, 0}, {1, 0, 0, 0}, {2, 2, 1, 0}, {3, 2, 0, 1},
                 {4, 0, 0, 0}, {5, 0, 0, 0}, {6, 2, 1, 0}, {7, 0, 0, 0}};
    whole w;
    (void)state;
    run_whole(&w);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        run r;
        vg_latents latents;
        begin(&r);
        r.p.max_steps_run = 2;
        go(&r, &latents);
        assert_true(latents.steps_done == 2 && latents.steps == STEPS && r.told.decode == 0);
        assert_null(r.store.latents.values); /* not finished: not kept */
        vg_latents_deinit(&latents);
        r.p.max_steps_run = VG_UNSET_INT;
        lose(&r, cases[i].lost);
        go(&r, &latents);
        if (r.told.from != cases[i].from || r.told.text != cases[i].text ||
            r.told.calibrate != cases[i].calibrate || r.told.going_on != (cases[i].from > 0) ||
            r.told.steps != STEPS - cases[i].from)
            fail_msg("case %zu: from %d, %d texts, %d calibrations, %d steps", i, r.told.from,
                     r.told.text, r.told.calibrate, r.told.steps);
        check(&r, &w, &latents);
        vg_latents_deinit(&latents);
        end(&r);
    }
    drop_whole(&w);
}

/* Finished latents: only what is made of them is missing. */
static void test_model_sequence_decodes_what_is_finished(void **state)
{
    whole w;
    run r;
    vg_err err;
    vg_latents latents;
    bool found;
    (void)state;
    run_whole(&w);
    begin(&r);
    go(&r, &latents);
    vg_latents_deinit(&latents);
    go(&r, &latents); /* everything is there */
    assert_true(r.told.begins == 0 && r.told.decode == 0 && r.told.text == 0);
    vg_latents_deinit(&latents);
    vg_frames_deinit(&r.store.frames);
    go(&r, &latents);
    assert_true(r.told.begins == 0 && r.told.decode == 1);
    check(&r, &w, &latents);
    memset(&r.told, 0, sizeof r.told);
    CHECK_OK(vg_sequence_frames(&r.s, &latents, true, &err), err); /* again */
    assert_int_equal(r.told.decode, 1);
    vg_latents_deinit(&latents);
    /* Latents of other settings are no latents. */
    r.store.latents.values[0] = NAN;
    CHECK_OK(vg_sequence_latents(&r.s, &latents, &found, &err), err);
    assert_false(found);
    check(&r, &w, &latents);
    vg_latents_deinit(&latents);
    r.store.latents.steps = r.store.latents.steps_done = STEPS - 1;
    CHECK_OK(vg_sequence_latents(&r.s, &latents, &found, &err), err);
    assert_false(found);
    vg_latents_deinit(&latents);
    end(&r);
    drop_whole(&w);
}

static void test_model_sequence_cancelled_goes_on(void **state)
{
    whole w;
    run r;
    vg_err err;
    vg_latents latents;
    bool found;
    (void)state;
    run_whole(&w);
    begin(&r);
    r.told.cancel_at = 3;
    CHECK_FAILS(vg_sequence_latents(&r.s, &latents, &found, &err), VG_E_CANCELLED, err);
    assert_int_equal(r.store.state.scheduler.at, 3);
    go(&r, &latents);
    assert_int_equal(r.told.from, 3);
    check(&r, &w, &latents);
    vg_latents_deinit(&latents);
    end(&r);
    drop_whole(&w);
}

/* Nothing is kept, and no events: the same bytes. */
static void test_model_sequence_without_a_store(void **state)
{
    whole w;
    run r;
    vg_err err;
    vg_latents latents;
    (void)state;
    run_whole(&w);
    begin(&r);
    r.s.store = NULL;
    r.s.callbacks = NULL;
    r.s.latents_only = true;
    CHECK_OK(vg_sequence_run(&r.s, &latents, &err), err);
    assert_memory_equal(latents.values, w.latents.values, count_of(&latents) * sizeof(float));
    assert_null(r.store.frames.rgb);
    vg_latents_deinit(&latents);
    end(&r);
    drop_whole(&w);
}

/* Calibration at a small size gives scales for the whole, and takes the prompt as it is. */
static void test_model_sequence_calibrates_small(void **state)
{
    run r;
    vg_err err;
    vg_latents latents;
    (void)state;
    begin(&r);
    r.p.height = 64;
    CHECK_OK(vg_model_defaults(r.model, &r.p, &err), err);
    r.s.calibration_side = 32;
    r.s.calibration_frames = 1;
    go(&r, &latents);
    assert_true(r.told.calibrate == 1 && r.store.scales && latents.shape[2] == 8);
    vg_latents_deinit(&latents);
    end(&r);
}

/* ---- a store that fails ---- */

static int save_at, saves;

static vg_status fail_save(vg_err *err)
{
    return saves++ == save_at ? VG_FAIL(err, VG_E_IO, "the disk is full") : VG_OK;
}
static vg_status fail_conditions(void *user, const vg_conditions *c, vg_err *err)
{
    (void)user, (void)c;
    return fail_save(err);
}
static vg_status fail_scales(void *user, const vg_input_scales *s, vg_err *err)
{
    (void)user, (void)s;
    return fail_save(err);
}
static vg_status fail_state(void *user, const vg_denoise_state *s, vg_err *err)
{
    (void)user, (void)s;
    return fail_save(err);
}
static vg_status fail_latents(void *user, const vg_latents *l, vg_err *err)
{
    (void)user, (void)l;
    return fail_save(err);
}
static vg_status fail_frames(void *user, const vg_frames *f, vg_err *err)
{
    (void)user, (void)f;
    return fail_save(err);
}

static void test_model_sequence_ends_where_the_store_fails(void **state)
{
    const vg_store failing = {.save_conditions = fail_conditions,
                              .save_scales = fail_scales,
                              .save_state = fail_state,
                              .save_latents = fail_latents,
                              .save_frames = fail_frames};
    const int all = 4 + STEPS;
    (void)state;
    for (save_at = 0; save_at <= all; save_at++) {
        run r;
        vg_err err = {0};
        vg_latents latents = {0};
        begin(&r);
        r.s.store = &failing;
        saves = 0;
        vg_status status = vg_sequence_run(&r.s, &latents, &err);
        assert_int_equal(status, save_at < all ? VG_E_IO : VG_OK);
        assert_int_equal(saves, save_at < all ? save_at + 1 : all);
        if (status != VG_OK)
            assert_non_null(strstr(err.message, "the disk is full"));
        vg_latents_deinit(&latents);
        end(&r);
    }
}

/* ---- a store that opens inputs, and forbids weights ---- */

typedef struct gate {
    vg_stage forbidden;
    int asked[VG_STAGE_COUNT], opened, closed;
    bool fails; /* to open */
} gate;

static vg_status open_gate(void *user, vg_generate_params *params, vg_err *err)
{
    gate *g = user;
    (void)params;
    g->opened++;
    return g->fails ? VG_FAIL(err, VG_E_FORMAT, "the picture is gone") : VG_OK;
}

static void close_gate(void *user)
{
    ((gate *)user)->closed++;
}

static vg_status ask_gate(void *user, const vg_generate_params *params, vg_stage stage, vg_err *err)
{
    gate *g = user;
    (void)params;
    g->asked[stage]++;
    return stage == g->forbidden ? VG_FAIL(err, VG_E_ARG, "other weights") : VG_OK;
}

static void test_model_sequence_asks_before_it_reads(void **state)
{
    static const vg_stage order[] = {VG_STAGE_TEXT, VG_STAGE_ENCODE, VG_STAGE_CALIBRATE,
                                     VG_STAGE_DENOISE, VG_STAGE_COUNT};
    (void)state;
    for (int i = 0; i < 6; i++) { /* 5: inputs that cannot be opened */
        gate g = {.forbidden = i < 5 ? order[i] : VG_STAGE_COUNT, .fails = i == 5};
        const vg_store store = {.user = &g,
                                .open_inputs = open_gate,
                                .close_inputs = close_gate,
                                .check_weights = ask_gate};
        run r;
        vg_err err = {0};
        vg_latents latents = {0};
        begin(&r);
        r.s.store = &store;
        vg_status status = vg_sequence_run(&r.s, &latents, &err);
        assert_int_equal(status, i < 4 ? VG_E_ARG : i == 4 ? VG_OK : VG_E_FORMAT);
        for (int k = 0; k < 4; k++)
            assert_int_equal(g.asked[order[k]], i < 5 && k <= i);
        assert_true(g.opened == 1 && g.closed == 1);
        assert_true(r.told.text == (i > 1 && i < 5) && r.told.denoise == (i == 4));
        vg_latents_deinit(&latents);
        end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model_sequence_goes_on_with_the_same_bytes),
        cmocka_unit_test(test_model_sequence_decodes_what_is_finished),
        cmocka_unit_test(test_model_sequence_cancelled_goes_on),
        cmocka_unit_test(test_model_sequence_without_a_store),
        cmocka_unit_test(test_model_sequence_calibrates_small),
        cmocka_unit_test(test_model_sequence_ends_where_the_store_fails),
        cmocka_unit_test(test_model_sequence_asks_before_it_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

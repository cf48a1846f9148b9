/* test_model_toy.c: a throw-away family (toy_family.h) through everything that the run does for any family, against the same arithmetic done
 * here: modes and inputs, encoders, guidance, the sampler, states, calibration, FP8, plans, decoding. Nothing of engine/run/ knows it. */
#include "tests/engine/toy_family.h"
#include "engine/run/model.h"
#include "engine/sampling/rng.h"
#include "tests/model.h"

static const vg_family *const families[] = {&toy_family};

/* ---- its checkpoint ---- */

enum { LETTERS = TOY_LETTERS * TOY_CHANNELS, LAYER = TOY_HIDDEN * TOY_CHANNELS };

typedef struct toy_weights {
    float letters[LETTERS], up[LAYER], down[LAYER], up_bias[TOY_HIDDEN], down_bias[TOY_CHANNELS];
} toy_weights;

static toy_weights make_weights(void)
{
    toy_weights w;
    const struct {
        float *to;
        size_t count;
        float scale;
    } parts[] = {{w.letters, LETTERS, 0.5f},
                 {w.up, LAYER, 0.4f},
                 {w.down, LAYER, 0.4f},
                 {w.up_bias, TOY_HIDDEN, 0.1f},
                 {w.down_bias, TOY_CHANNELS, 0.1f}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        vg_rng_torch_normal(100 + i, parts[i].to, parts[i].count);
        for (size_t k = 0; k < parts[i].count; k++)
            parts[i].to[k] *= parts[i].scale;
    }
    return w;
}

static vg_model *open_toy(void **state, toy_weights *w)
{
    static const char index[] =
        "{\"_class_name\": \"ToyPipeline\", \"_diffusers_version\": \"0.40.0\","
        " \"speller\": [\"toy\", \"Speller\"], \"core\": [\"toy\", \"Core\"],"
        " \"screen\": [\"toy\", \"Screen\"],"
        " \"scheduler\": [\"diffusers\", \"FlowMatchEulerDiscreteScheduler\"]}";
    static const char scheduler[] =
        "{\"_class_name\": \"FlowMatchEulerDiscreteScheduler\", \"shift\": 3.0}";
    vg_err err;
    vg_model *model;
    *w = make_weights();
    const vg_safetensors_entry letters[] = {
        {"letters", vg_tensor_make(w->letters, VG_F32, 2, TOY_LETTERS, TOY_CHANNELS)}};
    const vg_safetensors_entry core[] = {
        {"up.weight", vg_tensor_make(w->up, VG_F32, 2, TOY_HIDDEN, TOY_CHANNELS)},
        {"up.bias", vg_tensor_make(w->up_bias, VG_F32, 1, TOY_HIDDEN)},
        {"down.weight", vg_tensor_make(w->down, VG_F32, 2, TOY_CHANNELS, TOY_HIDDEN)},
        {"down.bias", vg_tensor_make(w->down_bias, VG_F32, 1, TOY_CHANNELS)}};
    scratch_text(state, "model_index.json", index);
    scratch_text(state, "scheduler/scheduler_config.json", scheduler);
    scratch_text(state, "speller/config.json", "{}");
    scratch_text(state, "core/config.json", "{}");
    CHECK_OK(vg_safetensors_write(scratch_path(state, "speller/model.safetensors"), letters, 1,
                                  NULL, &err),
             err);
    CHECK_OK(
        vg_safetensors_write(scratch_path(state, "core/model.safetensors"), core, 4, NULL, &err),
        err);
    CHECK_OK(vg_model_open_with(families, 1, *state, VG_LOAD_FILES, &model, &err), err);
    return model;
}

/* ---- what has to come out ---- */

/* Pictures of one colour each. */
typedef struct picture_set {
    vg_media media[3];
    uint8_t rgb[3][2 * 3 * 3];
} picture_set;

static void make_pictures(picture_set *p)
{
    for (int r = 0; r < 3; r++) {
        for (int i = 0; i < 2 * 3; i++)
            for (int k = 0; k < 3; k++)
                p->rgb[r][3 * i + k] = (uint8_t)(50 * r + 40 * k + 10);
        p->media[r] =
            (vg_media){VG_ROLE_REFERENCE, {.count = 1, .height = 2, .width = 3, .rgb = p->rgb[r]}};
    }
}

static vg_generate_params params_of(const vg_model *model, const picture_set *pictures,
                                    int references)
{
    vg_err err;
    vg_generate_params p;
    vg_generate_params_init(&p);
    p.inputs = (vg_inputs){.prompt = "a fox runs",
                           .negative_prompt = "z z",
                           .media = pictures ? pictures->media : NULL,
                           .media_count = references};
    p.height = 20;
    p.width = 28;
    p.compute = VG_COMPUTE_F32;
    p.fp8_act = VG_FP8_ACT_DYNAMIC;
    CHECK_OK(vg_model_defaults(model, &p, &err), err);
    return p;
}

static double words_sum(const toy_weights *w, const char *text, int channel)
{
    double sum = 0;
    int count = 0;
    for (const char *c = text; *c && count < TOY_WORDS_MAX; c++)
        if (*c >= 'a' && *c <= 'z') {
            sum += w->letters[TOY_CHANNELS * (*c - 'a') + channel];
            count++;
        }
    return sum;
}

/* v at one place: x[C], paint[C], words of one branch. */
static void velocity(const toy_weights *w, const double *x, const double *paint, const char *text,
                     double t, double next, double *v)
{
    double hidden[TOY_HIDDEN];
    for (int h = 0; h < TOY_HIDDEN; h++) {
        hidden[h] = w->up_bias[h];
        for (int c = 0; c < TOY_CHANNELS; c++)
            hidden[h] += w->up[h * TOY_CHANNELS + c] * x[c];
    }
    for (int c = 0; c < TOY_CHANNELS; c++) {
        v[c] = w->down_bias[c] + words_sum(w, text, c) + next / 2000 * x[c] + t / 1000 * paint[c];
        for (int h = 0; h < TOY_HIDDEN; h++)
            v[c] += w->down[c * TOY_HIDDEN + h] * hidden[h];
    }
}

/* Latents after all steps, malloc'd. */
static float *expect(vg_engine *engine, const toy_weights *w, const vg_generate_params *p,
                     const int64_t s[4])
{
    vg_err err;
    vg_scheduler *scheduler;
    const vg_scheduler_params sp = {.kind = p->scheduler,
                                    .steps = p->steps,
                                    .flow_shift = p->flow_shift,
                                    .grid = (vg_flow_grid)p->flow_grid};
    int64_t plane = s[2] * s[3], volume = s[1] * plane;
    float *x = malloc((size_t)(s[0] * volume) * sizeof *x);
    assert_non_null(x);
    CHECK_OK(vg_scheduler_new(&sp, vg_engine_backend(engine), s[0] * volume, &scheduler, &err),
             err);
    vg_rng_torch_normal(p->seed, x, (size_t)(s[0] * volume));
    for (int step = 0; step < p->steps; step++) {
        double t = vg_scheduler_timestep(scheduler, step),
               next = step + 1 < p->steps ? vg_scheduler_timestep(scheduler, step + 1) : 0,
               dt = vg_scheduler_sigma(scheduler, step + 1) - vg_scheduler_sigma(scheduler, step);
        for (int64_t i = 0; i < volume; i++) {
            double at[TOY_CHANNELS], paint[TOY_CHANNELS] = {0}, with[TOY_CHANNELS],
                                     without[TOY_CHANNELS];
            const vg_media *m = vg_inputs_find(&p->inputs, VG_ROLE_REFERENCE, (int)(i / plane));
            for (int c = 0; c < TOY_CHANNELS; c++) {
                at[c] = x[c * volume + i];
                paint[c] = m && c < 3 ? m->frames.rgb[c] / 255.0 : 0;
            }
            velocity(w, at, paint, p->inputs.prompt, t, next, with);
            velocity(w, at, paint, p->inputs.negative_prompt, t, next, without);
            for (int c = 0; c < TOY_CHANNELS; c++)
                x[c * volume + i] =
                    (float)(at[c] + dt * (without[c] + p->guidance_scale * (with[c] - without[c])));
        }
    }
    vg_scheduler_free(scheduler);
    return x;
}

static int64_t numel(const vg_latents *l)
{
    return l->shape[0] * l->shape[1] * l->shape[2] * l->shape[3];
}

static vg_latents run(vg_engine *engine, vg_model *model, const vg_generate_params *p,
                      const vg_callbacks *cb, vg_conditions *conditions)
{
    vg_err err;
    vg_latents latents;
    CHECK_OK(vg_encode(engine, model, p, cb, conditions, &err), err);
    CHECK_OK(vg_denoise(engine, model, p, conditions, NULL, cb, &latents, &err), err);
    return latents;
}

/* ---- tests ---- */

static void test_model_toy_is_what_it_says(void **state)
{
    static const double scales[] = {0.5, 1, 4};
    toy_weights w;
    picture_set pictures;
    vg_engine *engine = open_engine();
    vg_model *model = open_toy(state, &w);
    make_pictures(&pictures);
    assert_string_equal(vg_model_modes(model), "plain, painted");
    for (int i = 0; i < 12; i++) {
        vg_conditions c;
        int references = i % 4;
        vg_generate_params p = params_of(model, &pictures, references);
        p.guidance_scale = scales[i / 4];
        assert_string_equal(p.mode, references ? "painted" : "plain");
        vg_latents l = run(engine, model, &p, NULL, &c);
        assert_int_equal(l.shape[1], 3 + references);
        assert_int_equal(c.count, 1 + (p.guidance_scale != 1) + (references > 0));
        float *wanted = expect(engine, &w, &p, l.shape);
        double error = rel_l2(l.values, wanted, numel(&l));
        if (!(error < 1e-5))
            fail_msg("%d references, guidance %g: relative L2 %.2e", references, p.guidance_scale,
                     error);
        free(wanted);
        vg_latents_deinit(&l);
        vg_conditions_deinit(&c);
    }
    vg_model_close(model);
    assert_int_equal(vg_engine_backend(engine)->bytes_now, 0);
    vg_engine_close(engine);
}

typedef struct story {
    char text[1024];
    vg_denoise_state kept; /* after step 2 */
} story;

static void tell(void *user, const vg_event *e)
{
    story *s = user;
    size_t n = strlen(s->text);
    if (e->kind == VG_EVENT_STAGE_BEGIN)
        snprintf(s->text + n, sizeof s->text - n, "%s%s%s ", vg_stage_name(e->stage),
                 *e->detail ? ":" : "", e->detail);
    assert_true(e->kind != VG_EVENT_PREVIEW); /* there is no map to colours */
}

static vg_status keep(void *user, const vg_denoise_state *state, vg_err *err)
{
    story *s = user;
    if (state->scheduler.at != 2)
        return VG_OK;
    size_t bytes = (size_t)(state->shape[0] * state->shape[1] * state->shape[2] * state->shape[3]) *
                   sizeof *state->latents;
    s->kept = *state;
    s->kept.latents = malloc(bytes);
    s->kept.scheduler.count = 0; /* Euler has no history */
    if (!s->kept.latents)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory");
    memcpy(s->kept.latents, state->latents, bytes);
    return VG_OK;
}

static void test_model_toy_tells_keeps_and_shows(void **state)
{
    vg_err err;
    toy_weights w;
    picture_set pictures;
    vg_engine *engine = open_engine();
    vg_model *model = open_toy(state, &w);
    story s = {.text = ""};
    const vg_callbacks cb = {.user = &s, .event = tell, .save = keep};
    vg_conditions c;
    vg_latents again;
    vg_frames frames;
    make_pictures(&pictures);
    vg_generate_params p = params_of(model, &pictures, 2);
    vg_latents l = run(engine, model, &p, &cb, &c);
    CHECK_OK(vg_decode(engine, model, &p, &l, &cb, &frames, &err), err);
    assert_string_equal(s.text, "load:speller text load:screen encode denoise load:core "
                                "load:screen decode ");
    assert_true(frames.count == 5 && frames.height == 20 && frames.width == 28);
    float v =
        l.values[2 * l.shape[2] * l.shape[3]]; /* the first frame lies behind two references */
    assert_int_equal(frames.rgb[0], (uint8_t)(v < 0 ? 0 : v > 1 ? 255 : v * 255));
    CHECK_OK(vg_denoise(engine, model, &p, &c, &s.kept, NULL, &again, &err), err);
    assert_memory_equal(again.values, l.values, (size_t)numel(&l) * sizeof *l.values);
    vg_frames_deinit(&frames);
    vg_latents_deinit(&again);
    vg_latents_deinit(&l);
    vg_conditions_deinit(&c);
    free(s.kept.latents);
    vg_model_close(model);
    vg_engine_close(engine);
}

/* One letter less than the most is right as well, one more is not; the kept file says the same. */
static void test_model_toy_conditions(void **state)
{
    vg_err err;
    toy_weights w;
    vg_model *model = open_toy(state, &w);
    vg_generate_params p = params_of(model, NULL, 0);
    vg_conditions c, again, more = {0};
    float *values;
    CHECK_OK(vg_model_fill_conditions(model, &p, &c, &err), err);
    CHECK_OK(vg_model_check_conditions(model, &p, &c, &err), err);
    CHECK_OK(vg_conditions_write(scratch_path(state, "c.safetensors"), &c, NULL, &err), err);
    CHECK_OK(vg_conditions_read(scratch_path(state, "c.safetensors"), &again, &err), err);
    assert_same_conditions(&again, &c);
    again.list[0].shape[0]--;
    CHECK_OK(vg_model_check_conditions(model, &p, &again, &err), err);
    again.list[0].values[1] = NAN;
    CHECK_FAILS(vg_model_check_conditions(model, &p, &again, &err), VG_E_FORMAT, err);
    CHECK_OK(vg_conditions_add(&more, "words", 2,
                               (const int64_t[]){TOY_WORDS_MAX + 1, TOY_CHANNELS}, &values, &err),
             err);
    CHECK_FAILS(vg_model_check_conditions(model, &p, &more, &err), VG_E_SHAPE, err);
    assert_non_null(strstr(err.message, "words"));
    CHECK_FAILS(vg_conditions_add(&more, "words", 1, (const int64_t[]){1}, &values, &err), VG_E_ARG,
                err);
    vg_conditions_deinit(&more);
    vg_conditions_deinit(&again);
    vg_conditions_deinit(&c);
    vg_model_close(model);
}

static void test_model_toy_plan_and_precision(void **state)
{
    static const char *const stages[] = {"spelling", "painting", "core", "showing"};
    vg_err err;
    toy_weights w;
    picture_set pictures;
    vg_plan plan;
    vg_precision_report report;
    vg_engine *engine = open_engine();
    vg_model *model = open_toy(state, &w);
    make_pictures(&pictures);
    vg_generate_params p = params_of(model, &pictures, 1);
    CHECK_OK(vg_plan_make(model, &p, &plan, &err), err);
    assert_int_equal(plan.count, 4);
    for (int i = 0; i < 4; i++)
        assert_string_equal(plan.stages[i].name, stages[i]);
    assert_int_equal(plan.tokens, 4 * 5 * 7);
    assert_true(plan.stages[2].weights >= 4 * 2 * LAYER && plan.stages[2].activations > 0);
    p.memory_limit = vg_plan_total(&plan.stages[2]) / 100; /* nothing of it can be streamed */
    vg_conditions c;
    vg_latents none;
    CHECK_OK(vg_model_fill_conditions(model, &p, &c, &err), err);
    CHECK_FAILS(vg_denoise(engine, model, &p, &c, NULL, NULL, &none, &err), VG_E_NOMEM, err);
    assert_non_null(strstr(err.message, "stage core does not fit"));
    vg_conditions_deinit(&c);
    p.memory_limit = 0;
    p.scheme = VG_SCHEME_FP8;
    CHECK_OK(vg_model_precision(model, &p, &report, &err), err);
    assert_true(report.layers[VG_PRECISION_TENSOR] == 2 && report.f32 == 0);
    CHECK_OK(vg_model_check(model, &err), err);
    vg_model_close(model);
    vg_engine_close(engine);
}

/* FP8 with measured scales is near the exact run; without them it is refused. */
static void test_model_toy_calibrates(void **state)
{
    vg_err err;
    toy_weights w;
    vg_engine *engine = open_engine();
    vg_model *model = open_toy(state, &w);
    vg_generate_params p = params_of(model, NULL, 0);
    vg_input_scales *scales;
    bool needed;
    vg_conditions c;
    vg_latents exact = run(engine, model, &p, NULL, &c), fp8;
    p.scheme = VG_SCHEME_FP8;
    p.fp8_act = VG_FP8_ACT_STATIC;
    CHECK_OK(vg_model_needs_input_scales(model, &p, &needed, &err), err);
    assert_true(needed);
    CHECK_FAILS(vg_denoise(engine, model, &p, &c, NULL, NULL, &fp8, &err), VG_E_ARG, err);
    CHECK_OK(vg_calibrate(engine, model, &p, &c, 3, NULL, &scales, &err), err);
    p.input_scales = scales;
    CHECK_OK(vg_denoise(engine, model, &p, &c, NULL, NULL, &fp8, &err), err);
    double error = rel_l2(fp8.values, exact.values, numel(&exact));
    if (!(error > 1e-4 && error < 0.1))
        fail_msg("FP8 is %.2e from the exact run", error);
    vg_input_scales_free(scales);
    vg_latents_deinit(&fp8);
    vg_latents_deinit(&exact);
    vg_conditions_deinit(&c);
    vg_model_close(model);
    vg_engine_close(engine);
}

static void test_model_toy_refuses(void **state)
{
    vg_err err;
    toy_weights w;
    picture_set pictures;
    vg_engine *engine = open_engine();
    vg_model *model = open_toy(state, &w);
    atomic_int cancel = 1;
    const vg_callbacks cb = {.cancel = &cancel};
    vg_conditions c;
    vg_latents l;
    make_pictures(&pictures);
    vg_generate_params p = params_of(model, &pictures, 0);
    p.mode = "painted";
    CHECK_FAILS(vg_encode(engine, model, &p, NULL, &c, &err), VG_E_ARG, err);
    assert_non_null(strstr(err.message, "give --reference"));
    p = params_of(model, &pictures, 0);
    p.height = 21;
    CHECK_FAILS(vg_model_defaults(model, &p, &err), VG_E_ARG, err);
    assert_non_null(strstr(err.message, "multiple of 4"));
    p = params_of(model, &pictures, 0);
    p.num_frames = 4;
    CHECK_OK(vg_model_defaults(model, &p, &err), err);
    assert_int_equal(p.num_frames, 5);
    CHECK_OK(vg_model_fill_conditions(model, &p, &c, &err), err);
    CHECK_FAILS(vg_denoise(engine, model, &p, &c, NULL, &cb, &l, &err), VG_E_CANCELLED, err);
    vg_conditions_deinit(&c);
    vg_model_close(model);
    vg_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_model_toy_is_what_it_says, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_model_toy_tells_keeps_and_shows, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_model_toy_conditions, scratch_open, scratch_close),
        cmocka_unit_test_setup_teardown(test_model_toy_plan_and_precision, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_model_toy_calibrates, scratch_open, scratch_close),
        cmocka_unit_test_setup_teardown(test_model_toy_refuses, scratch_open, scratch_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

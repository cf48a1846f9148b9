/* test_model_pipeline.c: whole runs of the tiny models against diffusers (tests/oracle/make_pipeline.py): 10 steps with guidance, every
 * sampler, FP32 within 1e-3 (it is some 1e-6; runs amplify an error by up to 1.7), BF16 within 2e-2 (it is 1.1e-2 to 1.8e-2). And what a
 * run promises: the same bytes again, the same bytes after an interruption at any step, and an end within one block of a cancel. */
#include "kernels/base/json.h"
#include "tests/model.h"

typedef struct run_settings {
    const char *model, *file; /* GOLDEN/model/file.json and .safetensors */
    vg_compute compute;
    double limit;
    bool frames;
} run_settings;

typedef struct loaded_run {
    cJSON *json;
    vg_safetensors *golden;
    vg_generate_params p;
    vg_engine *engine;
    vg_model *model;
} loaded_run;

static void load_run(const run_settings *s, loaded_run *r)
{
    char path[512];
    vg_err err;
    double value;
    int64_t number;
    const char *text;
    snprintf(path, sizeof path, GOLDEN "%s/%s.json", s->model, s->file);
    CHECK_OK(vg_json_load(path, &r->json, &err), err);
    snprintf(path, sizeof path, GOLDEN "%s/%s.safetensors", s->model, s->file);
    r->golden = open_file(path);
    snprintf(path, sizeof path, GOLDEN "%s", s->model);
    r->engine = open_engine();
    r->model = open_model(path);
    vg_generate_params_init(&r->p);
    r->p.compute = s->compute;
    CHECK_OK(vg_json_get_string(r->json, path, "prompt", &r->p.inputs.prompt, &err), err);
    CHECK_OK(vg_json_get_string(r->json, path, "negative", &r->p.inputs.negative_prompt, &err),
             err);
    struct {
        const char *key;
        int *to;
    } numbers[] = {{"height", &r->p.height},
                   {"width", &r->p.width},
                   {"num_frames", &r->p.num_frames},
                   {"num_inference_steps", &r->p.steps}};
    for (size_t i = 0; i < 4; i++) {
        CHECK_OK(vg_json_get_int(r->json, path, numbers[i].key, 1, 4096, &number, &err), err);
        *numbers[i].to = (int)number;
    }
    CHECK_OK(vg_json_get_int(r->json, path, "seed", 0, INT64_C(1) << 40, &number, &err), err);
    r->p.seed = (uint64_t)number;
    CHECK_OK(
        vg_json_get_double(r->json, path, "guidance_scale", 0, 100, &r->p.guidance_scale, &err),
        err);
    CHECK_OK(
        vg_json_get_double(r->json, path, "guidance_scale_2", 0, 100, &r->p.guidance_scale_2, &err),
        err);
    value = 0;
    CHECK_OK(vg_json_get_double(r->json, path, "shift", 0, 100, &value, &err), err);
    if (value > 0)
        r->p.flow_shift = value;
    text = "UniPCMultistepScheduler";
    CHECK_OK(vg_json_get_string(r->json, path, "scheduler", &text, &err), err);
    r->p.scheduler = strstr(text, "Euler") ? "euler" : "unipc";
    CHECK_OK(vg_model_defaults(r->model, &r->p, &err), err);
}

static void close_run(loaded_run *r)
{
    vg_model_close(r->model);
    size_t left = vg_engine_backend(r->engine)->bytes_now;
    vg_engine_close(r->engine);
    vg_safetensors_close(r->golden);
    cJSON_Delete(r->json);
    assert_int_equal(left, 0);
}

static void check_frames(const loaded_run *r, const vg_latents *latents)
{
    vg_err err;
    vg_frames frames;
    const vg_tensor *wanted = vg_safetensors_find(r->golden, "frames");
    CHECK_OK(vg_decode(r->engine, r->model, &r->p, latents, NULL, &frames, &err), err);
    assert_non_null(wanted);
    assert_true(wanted->shape[0] == frames.count && wanted->shape[1] == frames.height &&
                wanted->shape[2] == frames.width);
    const uint8_t *b = wanted->data;
    int64_t differ = 0, count = vg_tensor_numel(wanted);
    for (int64_t i = 0; i < count; i++) {
        int d = abs((int)frames.rgb[i] - (int)b[i]);
        assert_true(d <= 1); /* a value on the edge between two levels */
        differ += d;
    }
    assert_true(differ * 1000 < count);
    vg_frames_deinit(&frames);
}

static void compare_run(const run_settings *s)
{
    vg_err err;
    loaded_run r;
    vg_conditions text;
    vg_latents latents;
    load_run(s, &r);
    CHECK_OK(vg_encode(r.engine, r.model, &r.p, NULL, &text, &err), err);
    const vg_tensor *embeds = vg_safetensors_find(r.golden, "prompt_embeds");
    if (embeds) {
        const vg_condition *prompt = vg_conditions_find(&text, "prompt_embeds");
        assert_int_equal(embeds->shape[2], prompt->shape[1]);
        assert_true(rel_l2(prompt->values, embeds->data, vg_tensor_numel(embeds)) < 1e-4);
        for (int64_t i = vg_tensor_numel(embeds); i < vg_condition_numel(prompt); i++)
            assert_true(prompt->values[i] == 0);
    }
    CHECK_OK(vg_denoise(r.engine, r.model, &r.p, &text, NULL, NULL, &latents, &err), err);
    const vg_tensor *wanted = vg_safetensors_find(r.golden, "latents");
    assert_non_null(wanted);
    assert_int_equal(vg_tensor_numel(wanted),
                     latents.shape[0] * latents.shape[1] * latents.shape[2] * latents.shape[3]);
    double error = rel_l2(latents.values, wanted->data, vg_tensor_numel(wanted));
    if (!(error < s->limit))
        fail_msg("%s %s: relative L2 of the latents %.2e, limit %.0e", s->model, s->file, error,
                 s->limit);
    if (s->frames)
        check_frames(&r, &latents);
    vg_latents_deinit(&latents);
    vg_conditions_deinit(&text);
    close_run(&r);
}

static void test_model_pipeline_f32_as_diffusers(void **state)
{
    (void)state;
    compare_run(&(run_settings){"tiny-a", "pipeline", VG_COMPUTE_F32, 1e-3, true});
    compare_run(&(run_settings){"tiny-b", "pipeline", VG_COMPUTE_F32, 1e-3, true});
    compare_run(&(run_settings){"tiny-c", "pipeline", VG_COMPUTE_F32, 1e-3, true});
    compare_run(&(run_settings){"tiny-a", "pipeline_euler", VG_COMPUTE_F32, 1e-3, false});
    compare_run(&(run_settings){"tiny-b", "pipeline_euler", VG_COMPUTE_F32, 1e-3, false});
    compare_run(&(run_settings){"tiny-c", "pipeline_unipc", VG_COMPUTE_F32, 1e-3, false});
}

static void test_model_pipeline_bf16_as_diffusers(void **state)
{
    (void)state;
    compare_run(&(run_settings){"tiny-a", "pipeline_bf16", VG_COMPUTE_BF16, 2e-2, false});
    compare_run(&(run_settings){"tiny-b", "pipeline_bf16", VG_COMPUTE_BF16, 2e-2, false});
    compare_run(&(run_settings){"tiny-c", "pipeline_bf16", VG_COMPUTE_BF16, 2e-2, false});
}

/* ---- repeat, resume ---- */

typedef struct saver {
    void **state;
    int count;
} saver;

static const char *state_name(int step)
{
    static char name[32];
    snprintf(name, sizeof name, "state-%d.safetensors", step);
    return name;
}

static vg_status save_state(void *user, const vg_denoise_state *s, vg_err *err)
{
    saver *to = user;
    to->count++;
    assert_int_equal(s->scheduler.at, to->count);
    return vg_denoise_state_write(scratch_path(to->state, state_name(to->count)), s, NULL, err);
}

static void check_resume(void **state, vg_compute compute, vg_scheme scheme)
{
    vg_err err;
    loaded_run r;
    vg_conditions text, again;
    vg_latents whole, other;
    saver to = {state, 0};
    vg_callbacks cb = {.user = &to, .save = save_state};
    load_run(&(run_settings){"tiny-b", "pipeline", compute, 0, false}, &r);
    r.p.scheme = scheme;
    r.p.fp8_act = VG_FP8_ACT_DYNAMIC;
    CHECK_OK(vg_encode(r.engine, r.model, &r.p, NULL, &text, &err), err);
    CHECK_OK(vg_conditions_write(scratch_path(state, "text"), &text, NULL, &err), err);
    CHECK_OK(vg_conditions_read(scratch_path(state, "text"), &again, &err), err);
    assert_same_conditions(&again, &text);
    CHECK_OK(vg_denoise(r.engine, r.model, &r.p, &text, NULL, &cb, &whole, &err), err);
    size_t bytes = (size_t)(whole.shape[0] * whole.shape[1] * whole.shape[2] * whole.shape[3]) * 4;
    assert_int_equal(to.count, r.p.steps);
    assert_int_equal(whole.steps_done, r.p.steps);
    for (int step = 0; step <= r.p.steps; step++) { /* step 0: from noise, once more */
        vg_denoise_state from = {0};
        if (step > 0)
            CHECK_OK(vg_denoise_state_read(scratch_path(state, state_name(step)), &from, &err),
                     err);
        CHECK_OK(vg_denoise(r.engine, r.model, &r.p, &again, step > 0 ? &from : NULL, NULL, &other,
                            &err),
                 err);
        assert_memory_equal(other.values, whole.values, bytes);
        vg_latents_deinit(&other);
        vg_denoise_state_deinit(&from);
    }
    r.p.max_steps_run = 3;
    CHECK_OK(vg_denoise(r.engine, r.model, &r.p, &again, NULL, NULL, &other, &err), err);
    assert_true(other.steps_done == 3 && other.steps == r.p.steps);
    vg_denoise_state third;
    CHECK_OK(vg_denoise_state_read(scratch_path(state, state_name(3)), &third, &err), err);
    assert_memory_equal(other.values, third.latents, bytes);
    third.shape[1]--;
    vg_latents none;
    CHECK_FAILS(vg_denoise(r.engine, r.model, &r.p, &again, &third, NULL, &none, &err), VG_E_SHAPE,
                err);
    third.shape[1]++;
    third.seconds_done = NAN; /* would go on into every figure of the job */
    CHECK_OK(vg_denoise_state_write(scratch_path(state, "odd"), &third, NULL, &err), err);
    vg_denoise_state_deinit(&third);
    CHECK_FAILS(vg_denoise_state_read(scratch_path(state, "odd"), &third, &err), VG_E_FORMAT, err);
    vg_latents_deinit(&other);
    vg_latents_deinit(&whole);
    vg_conditions_deinit(&again);
    vg_conditions_deinit(&text);
    close_run(&r);
}

static void test_model_pipeline_resumes_bit_for_bit_f32(void **state)
{
    check_resume(state, VG_COMPUTE_F32, VG_SCHEME_BF16);
}

static void test_model_pipeline_resumes_bit_for_bit_fp8(void **state)
{
    check_resume(state, VG_COMPUTE_BF16, VG_SCHEME_FP8);
}

/* ---- events, cancel ---- */

typedef struct watcher {
    atomic_int cancel;
    int steps, previews, begins, ends, cancel_after_steps;
    double denoise_seconds;
    bool wrong;
} watcher;

static void watch(void *user, const vg_event *e)
{
    watcher *w = user;
    if (!e->detail)
        w->wrong = true;
    if (e->kind == VG_EVENT_STEP) {
        w->steps++;
        w->denoise_seconds += e->seconds;
        if (e->step != w->steps || e->expert != (e->timestep < 875 ? 1 : 0) || !(e->sigma > 0))
            w->wrong = true;
        if (w->steps == w->cancel_after_steps)
            atomic_store(&w->cancel, 1);
    }
    if (e->kind == VG_EVENT_PREVIEW) {
        w->previews++;
        if (!e->preview || e->preview_width != 6 || e->preview_height != 8)
            w->wrong = true;
    }
    w->begins += e->kind == VG_EVENT_STAGE_BEGIN;
    w->ends += e->kind == VG_EVENT_STAGE_END;
}

static void test_model_pipeline_events_and_cancel(void **state)
{
    vg_err err;
    loaded_run r;
    vg_conditions text;
    vg_latents latents;
    watcher w = {.cancel_after_steps = -1};
    vg_callbacks cb = {.user = &w, .event = watch, .cancel = &w.cancel};
    (void)state;
    load_run(&(run_settings){"tiny-b", "pipeline", VG_COMPUTE_F32, 0, false}, &r);
    CHECK_OK(vg_encode(r.engine, r.model, &r.p, &cb, &text, &err), err);
    CHECK_OK(vg_denoise(r.engine, r.model, &r.p, &text, NULL, &cb, &latents, &err), err);
    assert_true(!w.wrong && w.steps == 10 && w.previews == 10);
    assert_int_equal(w.begins, w.ends);
    assert_true(fabs(w.denoise_seconds - latents.denoise_seconds) < 1e-6 && latents.peak_bytes > 0);
    vg_latents_deinit(&latents);
    w = (watcher){.cancel_after_steps = 3};
    CHECK_FAILS(vg_denoise(r.engine, r.model, &r.p, &text, NULL, &cb, &latents, &err),
                VG_E_CANCELLED, err);
    assert_true(latents.values && latents.steps_done == 3);
    vg_latents_deinit(&latents);
    vg_conditions_deinit(&text);
    close_run(&r);
}

/* Count attentions of the backend: two per block. */
static vg_backend_ops counting;
static const vg_backend_ops *real;
static atomic_int stop;
static int calls, stop_at;

static vg_status count_attention(vg_backend *be, const vg_attention_args *args, vg_err *err)
{
    if (++calls == stop_at)
        atomic_store(&stop, 1);
    return real->attention(be, args, err);
}

static void test_model_pipeline_cancel_within_a_block(void **state)
{
    vg_err err;
    loaded_run r;
    vg_conditions text;
    vg_latents latents;
    vg_callbacks cb = {.cancel = &stop};
    (void)state;
    load_run(&(run_settings){"tiny-b", "pipeline", VG_COMPUTE_F32, 0, false}, &r);
    CHECK_OK(vg_encode(r.engine, r.model, &r.p, NULL, &text, &err), err);
    vg_backend *be = vg_engine_backend(r.engine);
    real = be->ops;
    counting = *real;
    counting.attention = count_attention;
    be->ops = &counting;
    for (stop_at = 1; stop_at < 10; stop_at++) {
        calls = 0;
        atomic_store(&stop, 0);
        latents = (vg_latents){0};
        CHECK_FAILS(vg_denoise(r.engine, r.model, &r.p, &text, NULL, &cb, &latents, &err),
                    VG_E_CANCELLED, err);
        assert_int_equal(calls, stop_at); /* the very operation that was running is the last one */
        vg_latents_deinit(&latents);
    }
    be->ops = real;
    vg_conditions_deinit(&text);
    close_run(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model_pipeline_f32_as_diffusers),
        cmocka_unit_test(test_model_pipeline_bf16_as_diffusers),
        cmocka_unit_test_setup_teardown(test_model_pipeline_resumes_bit_for_bit_f32, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_model_pipeline_resumes_bit_for_bit_fp8, scratch_open,
                                        scratch_close),
        cmocka_unit_test(test_model_pipeline_events_and_cancel),
        cmocka_unit_test(test_model_pipeline_cancel_within_a_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_model_hv15_run.c: whole runs of HunyuanVideo-1.5 against diffusers' pipelines (tests/oracle/make_hunyuan.py): prompts through both tokenizers
 * and encoders, the picture through its bucket, SigLIP and the VAE, 10 steps with and without guidance, frames. FP32 within 1e-3 (it is some 1e-6). */
#include "kernels/base/json.h"
#include "tests/engine/generated.h"

#include <unistd.h>

typedef struct loaded_run {
    cJSON *settings;
    vg_safetensors *golden;
    vg_media media;
    vg_generate_params p;
    vg_engine *engine;
    vg_model *model;
} loaded_run;

/* The golden folder with generated weights for its transformer and VAE. */
static void make_folder(void **state, const char *name)
{
    static const char *const made[] = {"transformer", "vae"};
    char dir[512], path[600], config[64], *text;
    size_t size;
    vg_err err;
    vg_model *model;
    snprintf(dir, sizeof dir, GOLDEN "%s", name);
    CHECK_OK(vg_model_open(dir, VG_LOAD_DUMMY, &model, &err), err);
    link_model(state, dir, NULL);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(unlink(scratch_path(state, made[i])), 0);
        snprintf(config, sizeof config, "%s/config.json", made[i]);
        snprintf(path, sizeof path, "%s/%s", dir, config);
        CHECK_OK(vg_file_read(path, 1 << 20, &text, &size, &err), err);
        scratch_write(state, config, text, size);
        free(text);
        write_component(state, model, made[i]);
    }
    vg_model_close(model);
}

static int64_t number(const cJSON *o, const char *key, int64_t value)
{
    vg_err err;
    CHECK_OK(vg_json_get_int(o, "settings", key, 0, INT64_C(1) << 40, &value, &err), err);
    return value;
}

static void load_run(void **state, const char *name, const char *run, vg_compute compute,
                     loaded_run *r)
{
    char path[512];
    vg_err err;
    snprintf(path, sizeof path, GOLDEN "%s/%s.safetensors", name, run);
    r->golden = open_file(path);
    const char *text = vg_safetensors_metadata(r->golden, "settings");
    assert_non_null(text);
    CHECK_OK(vg_json_parse(text, strlen(text), "settings", &r->settings, &err), err);
    vg_generate_params_init(&r->p);
    vg_generate_params *p = &r->p;
    CHECK_OK(vg_json_get_string(r->settings, run, "prompt", &p->inputs.prompt, &err), err);
    CHECK_OK(vg_json_get_string(r->settings, run, "negative", &p->inputs.negative_prompt, &err),
             err);
    p->height = (int)number(r->settings, "height", VG_UNSET_INT);
    p->width = (int)number(r->settings, "width", VG_UNSET_INT);
    p->num_frames = (int)number(r->settings, "num_frames", 0);
    p->seed = (uint64_t)number(r->settings, "seed", 0);
    p->steps = 10;
    CHECK_OK(vg_json_get_double(r->settings, run, "guidance", 0, 100, &p->guidance_scale, &err),
             err);
    p->compute = compute;
    const vg_tensor *image = vg_safetensors_find(r->golden, "image");
    if (image) {
        r->media = (vg_media){VG_ROLE_IMAGE,
                              {.count = 1,
                               .height = (int)image->shape[0],
                               .width = (int)image->shape[1],
                               .rgb = image->data}};
        p->inputs.media = &r->media;
        p->inputs.media_count = 1;
    }
    r->engine = open_engine();
    r->model = open_model(scratch_path(state, "."));
    CHECK_OK(vg_model_defaults(r->model, p, &err), err);
    assert_string_equal(p->mode, image ? "i2v" : "t2v");
}

static void close_run(loaded_run *r)
{
    vg_model_close(r->model);
    size_t left = vg_engine_backend(r->engine)->bytes_now;
    vg_engine_close(r->engine);
    vg_safetensors_close(r->golden);
    cJSON_Delete(r->settings);
    assert_int_equal(left, 0);
}

static double latents_error(const loaded_run *r, const vg_latents *l)
{
    const vg_tensor *wanted = vg_safetensors_find(r->golden, "latents");
    assert_non_null(wanted);
    for (int i = 0; i < 4; i++)
        assert_int_equal(wanted->shape[i + 1], l->shape[i]);
    return rel_l2(l->values, wanted->data, vg_tensor_numel(wanted));
}

static void check_frames(const loaded_run *r, const vg_latents *latents)
{
    vg_err err;
    vg_frames frames;
    const vg_tensor *wanted = vg_safetensors_find(r->golden, "frames");
    int64_t every = strtol(vg_safetensors_metadata(r->golden, "every"), NULL, 10), differ = 0;
    CHECK_OK(vg_decode(r->engine, r->model, &r->p, latents, NULL, &frames, &err), err);
    int64_t count = (int64_t)frames.count * frames.height * frames.width * 3;
    assert_int_equal((count + every - 1) / every, vg_tensor_numel(wanted));
    for (int64_t i = 0; i < count; i += every) {
        int d = abs((int)frames.rgb[i] - (int)((const uint8_t *)wanted->data)[i / every]);
        assert_true(d <= 1); /* a value on the edge between two levels */
        differ += d;
    }
    assert_true(differ * 200 < vg_tensor_numel(wanted));
    vg_frames_deinit(&frames);
}

static void check_run(void **state, const char *name, const char *run)
{
    vg_err err;
    loaded_run r;
    vg_conditions c;
    vg_latents l;
    load_run(state, name, run, VG_COMPUTE_F32, &r);
    CHECK_OK(vg_model_check(r.model, &err), err);
    CHECK_OK(vg_encode(r.engine, r.model, &r.p, NULL, &c, &err), err);
    CHECK_OK(vg_denoise(r.engine, r.model, &r.p, &c, NULL, NULL, &l, &err), err);
    double error = latents_error(&r, &l);
    if (!(error < 1e-3))
        fail_msg("%s %s: relative L2 of the latents %.2e", name, run, error);
    check_frames(&r, &l);
    vg_latents_deinit(&l);
    vg_conditions_deinit(&c);
    close_run(&r);
}

static void test_model_hv15_run_text_to_video(void **state)
{
    make_folder(state, "tiny-hv-t2v");
    check_run(state, "tiny-hv-t2v", "run");
    check_run(state, "tiny-hv-t2v", "run_below_one");
}

static void test_model_hv15_run_image_to_video(void **state)
{
    make_folder(state, "tiny-hv-i2v");
    check_run(state, "tiny-hv-i2v", "run");
    check_run(state, "tiny-hv-i2v", "run_guided");
}

/* Without this condition, as if its encoder had been forgotten. */
static void take_out(vg_conditions *c, const char *name)
{
    for (int i = 0; i < c->count; i++)
        if (strcmp(c->list[i].name, name) == 0) {
            free(c->list[i].values);
            c->list[i] = c->list[--c->count];
            return;
        }
    fail_msg("there is no condition %s", name);
}

/* Mistakes that still give a clip: no glyphs, another picture in SigLIP's or the VAE's place. */
static void test_model_hv15_run_mistakes_are_seen(void **state)
{
    vg_err err;
    loaded_run r;
    vg_conditions c;
    vg_latents l;
    make_folder(state, "tiny-hv-i2v");
    for (int i = 0; i < 3; i++) {
        load_run(state, "tiny-hv-i2v", "run", VG_COMPUTE_F32, &r);
        CHECK_OK(vg_encode(r.engine, r.model, &r.p, NULL, &c, &err), err);
        if (i == 0) {
            take_out(&c, "prompt_embeds_2");
            r.p.inputs.prompt = "no quotes";
        }
        for (int k = 0; i > 0 && k < c.count; k++)
            if (strcmp(c.list[k].name, i == 1 ? "image_embeds" : "image_latents") == 0)
                for (int64_t n = 0; n < vg_condition_numel(&c.list[k]) / 2; n++) { /* upside down */
                    float *a = &c.list[k].values[n],
                          *b = &c.list[k].values[vg_condition_numel(&c.list[k]) - 1 - n], t = *a;
                    *a = *b;
                    *b = t;
                }
        CHECK_OK(vg_denoise(r.engine, r.model, &r.p, &c, NULL, NULL, &l, &err), err);
        if (!(latents_error(&r, &l) > 3e-3))
            fail_msg("mistake %d: relative L2 of the latents only %.2e", i, latents_error(&r, &l));
        vg_latents_deinit(&l);
        vg_conditions_deinit(&c);
        close_run(&r);
    }
}

/* In BF16 the latents are BF16 between steps; streamed blocks and static FP8 give what resident ones and FP32 do, exactly and nearly. */
static void test_model_hv15_run_precisions(void **state)
{
    vg_err err;
    loaded_run r;
    vg_conditions c;
    vg_latents plain, limited;
    vg_plan plan;
    vg_input_scales *scales;
    make_folder(state, "tiny-hv-i2v");
    load_run(state, "tiny-hv-i2v", "run_guided", VG_COMPUTE_BF16, &r);
    CHECK_OK(vg_encode(r.engine, r.model, &r.p, NULL, &c, &err), err);
    CHECK_OK(vg_denoise(r.engine, r.model, &r.p, &c, NULL, NULL, &plain, &err), err);
    assert_true(latents_error(&r, &plain) < 0.1);
    for (int64_t i = 0; i < plain.shape[0] * plain.shape[1] * plain.shape[2] * plain.shape[3]; i++)
        assert_true(plain.values[i] == vg_round_bf16(plain.values[i]));
    r.p.memory_limit = 1; /* nothing fits: everything that can be streamed is */
    CHECK_OK(vg_plan_make(r.model, &r.p, &plan, &err), err);
    for (int i = 0; i < plan.count; i++)
        if (strcmp(plan.stages[i].name, "transformer") == 0) {
            assert_int_equal(plan.stages[i].blocks, 3);
            assert_true(plan.stages[i].streamed > 0); /* two have to fit at a time */
            r.p.memory_limit = vg_plan_total(&plan.stages[i]);
        }
    CHECK_OK(vg_denoise(r.engine, r.model, &r.p, &c, NULL, NULL, &limited, &err), err);
    assert_memory_equal(
        limited.values, plain.values,
        (size_t)(plain.shape[0] * plain.shape[1] * plain.shape[2] * plain.shape[3]) *
            sizeof *plain.values);
    vg_latents_deinit(&limited);
    r.p.memory_limit = 0;
    r.p.scheme = VG_SCHEME_FP8;
    CHECK_OK(vg_calibrate(r.engine, r.model, &r.p, &c, 4, NULL, &scales, &err), err);
    r.p.input_scales = scales;
    CHECK_OK(vg_denoise(r.engine, r.model, &r.p, &c, NULL, NULL, &limited, &err), err);
    assert_true(latents_error(&r, &limited) < 0.3);
    vg_latents_deinit(&limited);
    vg_latents_deinit(&plain);
    vg_input_scales_free(scales);
    vg_conditions_deinit(&c);
    close_run(&r);
}

/* Sizes follow from the picture, with the reference's quirk; another is refused. */
static void test_model_hv15_run_buckets(void **state)
{
    vg_err err;
    cJSON *json;
    vg_model *model;
    const cJSON *row;
    int seen = 0;
    CHECK_OK(vg_json_load(GOLDEN "tiny-hv-i2v/buckets.json", &json, &err), err);
    cJSON_ArrayForEach(row, json->child)
    {
        char text[64];
        int n[5], i = 0;
        const cJSON *item;
        cJSON_ArrayForEach(item, row) n[i++] = item->valueint;
        if (seen == 0 || n[0] != seen) {
            if (seen) {
                vg_model_close(model);
                scratch_close(state);
                scratch_open(state);
            }
            seen = n[0];
            link_model(state, GOLDEN "tiny-hv-i2v", "transformer");
            snprintf(text, sizeof text, "{\"target_size\": %d, \"text_embed_dim\": 32, ", n[0]);
            char config[256];
            snprintf(
                config, sizeof config,
                "%s\"text_embed_2_dim\": 20, \"image_embed_dim\": 24, \"in_channels\": 17, \"out_channels\": 8}",
                text);
            scratch_text(state, "transformer/config.json", config);
            CHECK_OK(vg_model_open(scratch_path(state, "."), VG_LOAD_DUMMY, &model, &err), err);
        }
        static uint8_t pixels; /* nobody looks at them */
        const vg_media media = {VG_ROLE_IMAGE,
                                {.count = 1, .height = n[1], .width = n[2], .rgb = &pixels}};
        vg_generate_params p;
        vg_generate_params_init(&p);
        p.inputs.media = &media;
        p.inputs.media_count = 1;
        CHECK_OK(vg_model_defaults(model, &p, &err), err);
        if (p.height != n[3] || p.width != n[4])
            fail_msg("%dx%d at %d: %dx%d, wanted %dx%d", n[1], n[2], n[0], p.height, p.width, n[3],
                     n[4]);
        CHECK_OK(vg_model_check_inputs(model, &p, &err), err);
        p.height = n[3] + 16;
        CHECK_FAILS(vg_model_check_inputs(model, &p, &err), VG_E_ARG, err);
        assert_non_null(strstr(err.message, "follows from the picture"));
    }
    assert_int_equal(seen, 96);
    vg_model_close(model);
    cJSON_Delete(json);
}

/* What a plan and a run need with generated weights of the whole model, prompts with quotes and without. */
static void test_model_hv15_run_generated(void **state)
{
    vg_err err;
    (void)state;
    for (int i = 0; i < 2; i++) {
        vg_model *model;
        vg_engine *engine = open_engine();
        vg_generate_params p;
        vg_conditions c;
        vg_latents l;
        vg_plan plan;
        CHECK_OK(vg_model_open(GOLDEN "tiny-hv-t2v", VG_LOAD_DUMMY, &model, &err), err);
        vg_generate_params_init(&p);
        p.inputs.prompt = i ? "a \"word\" on a wall" : "a wall";
        p.height = p.width = 32;
        p.num_frames = 5;
        p.steps = 2;
        CHECK_OK(vg_model_defaults(model, &p, &err), err);
        CHECK_OK(vg_plan_make(model, &p, &plan, &err), err);
        assert_true(plan.tflop_per_step > 0);
        CHECK_OK(vg_encode(engine, model, &p, NULL, &c, &err), err);
        assert_int_equal(c.count, 2 + i);
        CHECK_OK(vg_denoise(engine, model, &p, &c, NULL, NULL, &l, &err), err);
        vg_latents_deinit(&l);
        vg_conditions_deinit(&c);
        vg_model_close(model);
        vg_engine_close(engine);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_open, scratch_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_model_hv15_run_text_to_video),     TEST(test_model_hv15_run_image_to_video),
        TEST(test_model_hv15_run_mistakes_are_seen), TEST(test_model_hv15_run_precisions),
        TEST(test_model_hv15_run_buckets),           TEST(test_model_hv15_run_generated),
    };
    return cmocka_run_group_tests_name("model_hv15_run", tests, NULL, NULL);
}

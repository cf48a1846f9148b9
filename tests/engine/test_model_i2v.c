/* test_model_i2v.c: image to video against diffusers' WanImageToVideoPipeline (tests/oracle/make_i2v.py, make_pipeline.py), from a first
 * picture (i2v) and from a first and a last one (flf2v): the condition that goes beside the noise, and whole runs of 10 steps with guidance
 * from pictures of other sizes. FP32: condition within 1e-4 (it is some 1e-7), latents within 1e-3 (some 1e-6); BF16 2e-2 (condition up to
 * 1.7e-3, latents 1.4e-2). Each kind of mistake is made once on purpose, and is far outside of those. */
#include "engine/vision/resize.h"
#include "kernels/base/json.h"
#include "tests/model.h"

#define MODEL     GOLDEN "tiny-i2v"
#define CONDITION "image_condition"

static const vg_tensor *tensor(vg_safetensors *st, const char *name)
{
    const vg_tensor *t = vg_safetensors_find(st, name);
    if (!t)
        fail_msg("no tensor %s", name);
    return t;
}

/* A golden picture U8 [H,W,3]; its pixels are the file's. */
static vg_media media_of(vg_safetensors *st, vg_role role, const char *name)
{
    const vg_tensor *t = tensor(st, name);
    assert_true(t->ndim == 3 && t->shape[2] == 3 && t->dtype == VG_U8);
    return (vg_media){
        role, {.count = 1, .height = (int)t->shape[0], .width = (int)t->shape[1], .rgb = t->data}};
}

static double condition_error(const vg_conditions *c, const vg_tensor *wanted)
{
    const vg_condition *got = vg_conditions_find(c, CONDITION);
    assert_non_null(got);
    for (int i = 0; i < 4; i++)
        assert_int_equal(got->shape[i], wanted->shape[i + 1]);
    return rel_l2(got->values, wanted->data, vg_tensor_numel(wanted));
}

static void check_condition(vg_engine *engine, vg_model *model, vg_safetensors *golden,
                            const char *name, bool both, bool bf16)
{
    vg_err err;
    char text[64];
    vg_generate_params p;
    vg_conditions c;
    vg_media media[2];
    snprintf(text, sizeof text, "%s.image", name);
    media[0] = media_of(golden, VG_ROLE_IMAGE, text);
    snprintf(text, sizeof text, "%s.last_image", name);
    if (both)
        media[1] = media_of(golden, VG_ROLE_LAST_IMAGE, text);
    snprintf(text, sizeof text, "%s.condition%s", name, bf16 ? "_bf16" : "");
    const vg_tensor *wanted = tensor(golden, text);
    vg_generate_params_init(&p);
    p.inputs.media = media;
    p.inputs.media_count = both ? 2 : 1;
    p.height = media[0].frames.height;
    p.width = media[0].frames.width;
    p.num_frames = 4 * (int)(wanted->shape[2] - 1) + 1;
    p.vae_compute = bf16 ? VG_COMPUTE_BF16 : VG_COMPUTE_F32;
    CHECK_OK(vg_model_defaults(model, &p, &err), err);
    assert_string_equal(p.mode, both ? "flf2v" : "i2v");
    CHECK_OK(vg_encode(engine, model, &p, NULL, &c, &err), err);
    double error = condition_error(&c, wanted);
    if (!(error < (bf16 ? 2e-2 : 1e-4)))
        fail_msg("%s: relative L2 %.2e", text, error);
    vg_conditions_deinit(&c);
}

static void test_model_i2v_condition(void **state)
{
    static const struct {
        const char *name;
        bool both;
    } cases[] = {{"first-1", false},     {"first-5", false},     {"first-13", false},
                 {"first-last-5", true}, {"first-last-9", true}, {"first-last-17", true}};
    vg_engine *engine = open_engine();
    vg_model *model = open_model(MODEL);
    vg_safetensors *golden = open_file(MODEL "/condition.safetensors");
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int bf16 = 0; bf16 < 2; bf16++)
            check_condition(engine, model, golden, cases[i].name, cases[i].both, bf16);
    vg_safetensors_close(golden);
    vg_model_close(model);
    vg_engine_close(engine);
}

/* ---- whole runs ---- */

typedef struct golden_run {
    vg_engine *engine;
    vg_model *model;
    cJSON *json; /* texts of p */
    vg_safetensors *wanted, *stages;
    vg_generate_params p;
    vg_media media[2];
} golden_run;

/* name: "pipeline" or "pipeline_flf2v"; suffix: "" or "_bf16". Pictures are as they were opened, not of the clip's size. */
static void open_run(golden_run *r, const char *name, const char *suffix)
{
    vg_err err;
    char path[512];
    r->engine = open_engine();
    r->model = open_model(MODEL);
    snprintf(path, sizeof path, MODEL "/%s.safetensors", name);
    r->stages = open_file(path);
    snprintf(path, sizeof path, MODEL "/%s%s.safetensors", name, suffix);
    r->wanted = open_file(path);
    snprintf(path, sizeof path, MODEL "/%s%s.json", name, suffix);
    CHECK_OK(vg_json_load(path, &r->json, &err), err);
    vg_generate_params *p = &r->p;
    vg_generate_params_init(p);
    CHECK_OK(vg_json_get_string(r->json, path, "prompt", &p->inputs.prompt, &err), err);
    CHECK_OK(vg_json_get_string(r->json, path, "negative", &p->inputs.negative_prompt, &err), err);
    p->height = cJSON_GetObjectItem(r->json, "height")->valueint;
    p->width = cJSON_GetObjectItem(r->json, "width")->valueint;
    p->num_frames = cJSON_GetObjectItem(r->json, "num_frames")->valueint;
    p->steps = cJSON_GetObjectItem(r->json, "num_inference_steps")->valueint;
    p->seed = (uint64_t)cJSON_GetObjectItem(r->json, "seed")->valuedouble;
    p->guidance_scale = cJSON_GetObjectItem(r->json, "guidance_scale")->valuedouble;
    p->guidance_scale_2 = cJSON_GetObjectItem(r->json, "guidance_scale_2")->valuedouble;
    p->compute = *suffix ? VG_COMPUTE_BF16 : VG_COMPUTE_F32;
    r->media[0] = media_of(r->stages, VG_ROLE_IMAGE, "image");
    p->inputs.media = r->media;
    p->inputs.media_count = 1;
    if (cJSON_GetObjectItem(r->json, "last_image")) {
        r->media[1] = media_of(r->stages, VG_ROLE_LAST_IMAGE, "image.last");
        p->inputs.media_count = 2;
    }
    CHECK_OK(vg_model_defaults(r->model, p, &err), err);
}

static void close_run(golden_run *r)
{
    vg_safetensors_close(r->wanted);
    vg_safetensors_close(r->stages);
    cJSON_Delete(r->json);
    vg_model_close(r->model);
    vg_engine_close(r->engine);
}

static double latents_error(golden_run *r, const vg_conditions *c)
{
    vg_err err;
    vg_latents latents;
    const vg_tensor *wanted = tensor(r->wanted, "latents");
    CHECK_OK(vg_denoise(r->engine, r->model, &r->p, c, NULL, NULL, &latents, &err), err);
    double error = rel_l2(latents.values, wanted->data, vg_tensor_numel(wanted));
    vg_latents_deinit(&latents);
    return error;
}

static void compare_run(const char *name, const char *suffix, double limit)
{
    vg_err err;
    golden_run r;
    vg_conditions c;
    open_run(&r, name, suffix);
    CHECK_OK(vg_encode(r.engine, r.model, &r.p, NULL, &c, &err), err);
    assert_true(condition_error(&c, tensor(r.stages, "condition")) < 1e-4);
    double error = latents_error(&r, &c);
    if (!(error < limit))
        fail_msg("%s%s: relative L2 of the latents %.2e, limit %.0e", name, suffix, error, limit);
    vg_conditions_deinit(&c);
    close_run(&r);
}

static void test_model_i2v_runs(void **state)
{
    (void)state;
    compare_run("pipeline", "", 1e-3);
    compare_run("pipeline", "_bf16", 2e-2);
    compare_run("pipeline_flf2v", "", 1e-3);
    compare_run("pipeline_flf2v", "_bf16", 2e-2);
}

/* ---- mistakes ---- */

static void test_model_i2v_last_picture_matters(void **state)
{
    vg_err err;
    golden_run r;
    vg_conditions c;
    (void)state;
    open_run(&r, "pipeline_flf2v", "");
    r.p.inputs.media_count = 1;
    r.p.mode = "i2v";
    CHECK_OK(vg_encode(r.engine, r.model, &r.p, NULL, &c, &err), err);
    assert_true(condition_error(&c, tensor(r.stages, "condition")) > 1e-2);
    assert_true(latents_error(&r, &c) > 1e-2);
    vg_conditions_deinit(&c);
    close_run(&r);
}

static void test_model_i2v_mask_matters(void **state)
{
    vg_err err;
    golden_run r;
    vg_conditions c;
    (void)state;
    open_run(&r, "pipeline", "");
    CHECK_OK(vg_encode(r.engine, r.model, &r.p, NULL, &c, &err), err);
    const vg_condition *image = vg_conditions_find(&c, CONDITION);
    int64_t channel = vg_condition_numel(image) / image->shape[0];
    for (int64_t i = 0; i < 4 * channel; i++)
        image->values[i] = 0;
    assert_true(latents_error(&r, &c) > 1e-2);
    vg_conditions_deinit(&c);
    close_run(&r);
}

/* Another filter than the reference's. */
static void test_model_i2v_resize_matters(void **state)
{
    vg_err err;
    golden_run r;
    vg_conditions c;
    (void)state;
    open_run(&r, "pipeline", "");
    const vg_frames *f = &r.media[0].frames;
    uint8_t *rgb = malloc((size_t)r.p.height * (size_t)r.p.width * 3);
    assert_non_null(rgb);
    CHECK_OK(vg_resize_pillow(f->rgb, f->height, f->width, VG_RESAMPLE_BILINEAR, rgb, r.p.height,
                              r.p.width, &err),
             err);
    r.media[0].frames =
        (vg_frames){.count = 1, .height = r.p.height, .width = r.p.width, .rgb = rgb};
    CHECK_OK(vg_encode(r.engine, r.model, &r.p, NULL, &c, &err), err);
    assert_true(condition_error(&c, tensor(r.stages, "condition")) > 1e-3);
    assert_true(latents_error(&r, &c) > 2e-3);
    vg_conditions_deinit(&c);
    free(rgb);
    close_run(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model_i2v_condition),
        cmocka_unit_test(test_model_i2v_runs),
        cmocka_unit_test(test_model_i2v_last_picture_matters),
        cmocka_unit_test(test_model_i2v_mask_matters),
        cmocka_unit_test(test_model_i2v_resize_matters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

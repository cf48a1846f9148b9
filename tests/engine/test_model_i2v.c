/* test_model_i2v.c: image to video against diffusers' WanImageToVideoPipeline (tests/oracle/make_i2v.py, make_pipeline.py): the condition
 * that goes beside the noise, and whole runs of 10 steps with guidance from a picture of the clip's size. FP32: condition within 1e-4
 * (it is some 1e-7), latents within 1e-3 (some 1e-6); BF16 2e-2 (condition up to 1.7e-3, latents 1.4e-2). */
#include "kernels/base/json.h"
#include "tests/model.h"

#define MODEL GOLDEN "tiny-i2v"

static const vg_tensor *tensor(vg_safetensors *st, const char *name)
{
    const vg_tensor *t = vg_safetensors_find(st, name);
    if (!t)
        fail_msg("no tensor %s", name);
    return t;
}

/* What goes beside the noise for a picture U8 [H,W,3] of the clip's size, and its relative error. */
static double condition_error(vg_engine *engine, vg_model *model, const vg_generate_params *p,
                              const vg_tensor *image, const vg_tensor *wanted, vg_latents *out)
{
    vg_err err;
    vg_frames frame = {.count = 1, .height = (int)image->shape[0], .width = (int)image->shape[1]};
    assert_true(image->ndim == 3 && image->shape[2] == 3 && image->dtype == VG_U8);
    frame.rgb = malloc(vg_tensor_bytes(image));
    assert_non_null(frame.rgb);
    memcpy(frame.rgb, image->data, vg_tensor_bytes(image));
    CHECK_OK(vg_encode_image(engine, model, p, &frame, NULL, out, &err), err);
    vg_frames_deinit(&frame);
    for (int i = 0; i < 4; i++)
        assert_int_equal(out->shape[i], wanted->shape[i + 1]);
    return rel_l2(out->values, wanted->data, vg_tensor_numel(wanted));
}

static void test_model_i2v_condition(void **state)
{
    static const char *const cases[] = {"first-1", "first-5", "first-13"};
    vg_err err;
    vg_engine *engine = open_engine();
    vg_model *model = open_model(MODEL);
    vg_safetensors *golden = open_file(MODEL "/condition.safetensors");
    (void)state;
    for (int i = 0; i < 6; i++) {
        bool bf16 = i % 2;
        char name[64];
        vg_generate_params p;
        vg_latents out;
        snprintf(name, sizeof name, "%s.image", cases[i / 2]);
        const vg_tensor *image = tensor(golden, name);
        snprintf(name, sizeof name, "%s.condition%s", cases[i / 2], bf16 ? "_bf16" : "");
        const vg_tensor *wanted = tensor(golden, name);
        vg_generate_params_init(&p);
        p.height = (int)image->shape[0];
        p.width = (int)image->shape[1];
        p.num_frames = 4 * (int)(wanted->shape[2] - 1) + 1;
        p.vae_compute = bf16 ? VG_COMPUTE_BF16 : VG_COMPUTE_F32;
        CHECK_OK(vg_model_defaults(model, &p, &err), err);
        double error = condition_error(engine, model, &p, image, wanted, &out);
        if (!(error < (bf16 ? 2e-2 : 1e-4)))
            fail_msg("%s: relative L2 %.2e", name, error);
        vg_latents_deinit(&out);
    }
    vg_safetensors_close(golden);
    vg_model_close(model);
    vg_engine_close(engine);
}

/* Arguments of a golden run; the texts live as long as the returned JSON. */
static cJSON *load_params(const char *path, vg_generate_params *p)
{
    vg_err err;
    cJSON *json;
    CHECK_OK(vg_json_load(path, &json, &err), err);
    vg_generate_params_init(p);
    CHECK_OK(vg_json_get_string(json, path, "prompt", &p->prompt, &err), err);
    CHECK_OK(vg_json_get_string(json, path, "negative", &p->negative_prompt, &err), err);
    p->height = cJSON_GetObjectItem(json, "height")->valueint;
    p->width = cJSON_GetObjectItem(json, "width")->valueint;
    p->num_frames = cJSON_GetObjectItem(json, "num_frames")->valueint;
    p->steps = cJSON_GetObjectItem(json, "num_inference_steps")->valueint;
    p->seed = (uint64_t)cJSON_GetObjectItem(json, "seed")->valuedouble;
    p->guidance_scale = cJSON_GetObjectItem(json, "guidance_scale")->valuedouble;
    p->guidance_scale_2 = cJSON_GetObjectItem(json, "guidance_scale_2")->valuedouble;
    return json;
}

static void compare_run(const char *name, vg_compute compute, double limit)
{
    vg_err err;
    char path[512];
    vg_generate_params p;
    vg_conditioning text;
    vg_latents condition, latents;
    vg_engine *engine = open_engine();
    vg_model *model = open_model(MODEL);
    snprintf(path, sizeof path, MODEL "/%s.json", name);
    cJSON *json = load_params(path, &p);
    snprintf(path, sizeof path, MODEL "/%s.safetensors", name);
    vg_safetensors *golden = open_file(path),
                   *stages = open_file(MODEL "/pipeline.safetensors"); /* FP32 in both: the VAE's */
    p.compute = compute;
    CHECK_OK(vg_model_defaults(model, &p, &err), err);
    assert_true(condition_error(engine, model, &p, tensor(stages, "resized"),
                                tensor(stages, "condition"), &condition) < 1e-4);
    p.condition = condition.values;
    p.condition_shape = condition.shape;
    CHECK_OK(vg_encode(engine, model, &p, NULL, &text, &err), err);
    CHECK_OK(vg_denoise(engine, model, &p, &text, NULL, NULL, &latents, &err), err);
    const vg_tensor *wanted = tensor(golden, "latents");
    double error = rel_l2(latents.values, wanted->data, vg_tensor_numel(wanted));
    if (!(error < limit))
        fail_msg("%s: relative L2 of the latents %.2e, limit %.0e", name, error, limit);
    vg_latents_deinit(&condition);
    vg_latents_deinit(&latents);
    vg_conditioning_deinit(&text);
    vg_safetensors_close(golden);
    vg_safetensors_close(stages);
    cJSON_Delete(json);
    vg_model_close(model);
    vg_engine_close(engine);
}

static void test_model_i2v_runs(void **state)
{
    (void)state;
    compare_run("pipeline", VG_COMPUTE_F32, 1e-3);
    compare_run("pipeline_bf16", VG_COMPUTE_BF16, 2e-2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model_i2v_condition),
        cmocka_unit_test(test_model_i2v_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

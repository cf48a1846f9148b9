/* wan_run.h: whole runs of the tiny Wan models of tests/oracle/make_wan.py, as their goldens' .json describes them, for tests on any device. */
#ifndef VG_TESTS_WAN_RUN_H
#define VG_TESTS_WAN_RUN_H

#include "kernels/base/json.h"
#include "tests/model.h"

typedef struct golden_run {
    vg_engine *engine;
    vg_model *model;
    cJSON *json; /* texts of p */
    vg_safetensors *golden;
    vg_generate_params p;
    vg_media media[2];
} golden_run;

static inline void take_picture(golden_run *r, vg_role role, const char *name)
{
    const vg_tensor *t = vg_safetensors_find(r->golden, name);
    if (!t)
        return;
    r->media[r->p.inputs.media_count++] = (vg_media){
        role, {.count = 1, .height = (int)t->shape[0], .width = (int)t->shape[1], .rgb = t->data}};
}

/* engine: closed with the run. Pictures are as they were opened, not of the clip's size. */
static inline void open_run(golden_run *r, vg_engine *engine, const char *model, const char *name,
                            vg_compute compute)
{
    vg_err err;
    char path[512];
    *r = (golden_run){.engine = engine};
    snprintf(path, sizeof path, GOLDEN "%s", model);
    r->model = open_model(path);
    snprintf(path, sizeof path, GOLDEN "%s/%s.safetensors", model, name);
    r->golden = open_file(path);
    snprintf(path, sizeof path, GOLDEN "%s/%s.json", model, name);
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
    p->compute = compute;
    take_picture(r, VG_ROLE_IMAGE, "image");
    take_picture(r, VG_ROLE_LAST_IMAGE, "last_image");
    p->inputs.media = r->media;
    CHECK_OK(vg_model_defaults(r->model, p, &err), err);
    assert_string_equal(p->mode, name);
}

static inline void close_run(golden_run *r)
{
    vg_safetensors_close(r->golden);
    cJSON_Delete(r->json);
    vg_model_close(r->model);
    vg_backend *be = vg_engine_backend(r->engine);
    be->ops->trim(be);
    assert_int_equal(be->bytes_now - be->kept, 0); /* libraries keep their workspace until close */
    vg_engine_close(r->engine);
}

/* How far the latents of these conditions are from the golden's of the same compute dtype. */
static inline double latents_error(golden_run *r, const vg_conditions *c)
{
    vg_err err;
    vg_latents latents;
    const vg_tensor *wanted = vg_safetensors_find(
        r->golden, r->p.compute == VG_COMPUTE_BF16 ? "latents_bf16" : "latents");
    CHECK_OK(vg_denoise(r->engine, r->model, &r->p, c, NULL, NULL, &latents, &err), err);
    for (int i = 0; i < 4; i++)
        assert_int_equal(latents.shape[i], wanted->shape[i + 1]);
    double error = rel_l2(latents.values, wanted->data, vg_tensor_numel(wanted));
    vg_latents_deinit(&latents);
    return error;
}
#endif

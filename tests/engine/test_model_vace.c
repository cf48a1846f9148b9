/* test_model_vace.c: VACE in every mode against diffusers' WanVACEPipeline (tests/oracle/make_vace.py): what the control branch sees, whole
 * runs of 10 steps with guidance through both experts from pictures of other sizes, a video and a mask with greys, one and two references,
 * and a scale of the hints. FP32: control within 1e-4, latents within 1e-3 (both some 1e-6); BF16 2e-2 (1.6e-2 to 1.8e-2, of which BF16 costs diffusers 1.2e-2 to 1.5e-2). Each kind of mistake is made once on
 * purpose, and is far outside of those. */
#include "engine/family/wan/vace_media.h"
#include "engine/run/model.h"
#include "engine/vision/resize.h"
#include "kernels/base/json.h"
#include "tests/model.h"

#define MODEL     GOLDEN "tiny-vace"
#define CONTROL   "control"
#define MEDIA_MAX 6

typedef struct golden_run {
    vg_engine *engine;
    vg_model *model;
    cJSON *json; /* texts of p */
    vg_safetensors *wanted;
    const char *name;
    vg_generate_params p;
    vg_media media[MEDIA_MAX];
    vg_safetensors *files[MEDIA_MAX]; /* owners of the pixels */
} golden_run;

static const vg_tensor *tensor(vg_safetensors *st, const char *name, const char *what)
{
    char text[64];
    snprintf(text, sizeof text, "%s.%s", name, what);
    const vg_tensor *t = vg_safetensors_find(st, text);
    if (!t)
        fail_msg("no tensor %s", text);
    return t;
}

static void give(golden_run *r, vg_role role, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, MODEL "/media/%s.safetensors", name);
    int i = r->p.inputs.media_count++;
    r->files[i] = open_file(path);
    const vg_tensor *t = vg_safetensors_find(r->files[i], "frames");
    r->media[i] = (vg_media){role,
                             {.count = (int)t->shape[0],
                              .height = (int)t->shape[1],
                              .width = (int)t->shape[2],
                              .rgb = t->data}};
}

static int number(const cJSON *json, const char *key)
{
    return cJSON_GetObjectItem(json, key)->valueint;
}

static void open_run(golden_run *r, const char *name, bool bf16)
{
    vg_err err;
    *r = (golden_run){.name = name};
    r->engine = open_engine();
    r->model = open_model(MODEL);
    r->wanted = open_file(MODEL "/vace.safetensors");
    CHECK_OK(vg_json_load(MODEL "/vace.json", &r->json, &err), err);
    vg_generate_params *p = &r->p;
    vg_generate_params_init(p);
    const cJSON *c = cJSON_GetObjectItem(cJSON_GetObjectItem(r->json, "cases"), name), *one;
    p->inputs.media = r->media;
    p->inputs.prompt = cJSON_GetObjectItem(r->json, "prompt")->valuestring;
    p->inputs.negative_prompt = cJSON_GetObjectItem(r->json, "negative")->valuestring;
    p->height = number(r->json, "height");
    p->width = number(r->json, "width");
    p->num_frames = number(r->json, "num_frames");
    p->steps = number(r->json, "num_inference_steps");
    p->guidance_scale = number(r->json, "guidance_scale");
    p->guidance_scale_2 = number(r->json, "guidance_scale_2");
    p->seed = (uint64_t)number(c, "seed");
    p->compute = bf16 ? VG_COMPUTE_BF16 : VG_COMPUTE_F32;
    if ((one = cJSON_GetObjectItem(c, "conditioning_scale")))
        p->conditioning_scale = one->valuedouble;
    if ((one = cJSON_GetObjectItem(c, "image")))
        give(r, VG_ROLE_IMAGE, one->valuestring);
    if ((one = cJSON_GetObjectItem(c, "last_image")))
        give(r, VG_ROLE_LAST_IMAGE, one->valuestring);
    if (cJSON_GetObjectItem(c, "video"))
        give(r, VG_ROLE_VIDEO, "video");
    if (cJSON_GetObjectItem(c, "mask"))
        give(r, VG_ROLE_MASK, "mask");
    cJSON_ArrayForEach(one, cJSON_GetObjectItem(c, "references"))
        give(r, VG_ROLE_REFERENCE, one->valuestring);
    CHECK_OK(vg_model_defaults(r->model, p, &err), err);
    assert_int_equal(strncmp(p->mode, name, strlen(p->mode)),
                     0); /* it follows from what is given */
}

static void close_run(golden_run *r)
{
    for (int i = 0; i < MEDIA_MAX; i++)
        vg_safetensors_close(r->files[i]);
    vg_safetensors_close(r->wanted);
    cJSON_Delete(r->json);
    vg_model_close(r->model);
    vg_engine_close(r->engine);
}

static void encode(golden_run *r, vg_conditions *c)
{
    vg_err err;
    CHECK_OK(vg_encode(r->engine, r->model, &r->p, NULL, c, &err), err);
}

static double control_error(const golden_run *r, const vg_conditions *c)
{
    const vg_condition *got = vg_conditions_find(c, CONTROL);
    const vg_tensor *wanted = tensor(r->wanted, r->name, "control");
    for (int i = 0; i < 4; i++)
        assert_int_equal(got->shape[i], wanted->shape[i + 1]);
    return rel_l2(got->values, wanted->data, vg_tensor_numel(wanted));
}

static double latents_error(golden_run *r, const vg_conditions *c)
{
    vg_err err;
    vg_latents latents;
    const vg_tensor *wanted =
        tensor(r->wanted, r->name, r->p.compute == VG_COMPUTE_BF16 ? "bf16.latents" : "latents");
    CHECK_OK(vg_denoise(r->engine, r->model, &r->p, c, NULL, NULL, &latents, &err), err);
    for (int i = 0; i < 4; i++)
        assert_int_equal(latents.shape[i], wanted->shape[i + 1]);
    double error = rel_l2(latents.values, wanted->data, vg_tensor_numel(wanted));
    vg_latents_deinit(&latents);
    return error;
}

static void compare_run(const char *name, bool bf16, double limit)
{
    golden_run r;
    vg_conditions c;
    open_run(&r, name, bf16);
    encode(&r, &c);
    char text[64];
    snprintf(text, sizeof text, "%s.control", name);
    if (vg_safetensors_find(r.wanted, text))
        assert_true(control_error(&r, &c) < 1e-4);
    double error = latents_error(&r, &c);
    if (!(error < limit))
        fail_msg("%s: relative L2 of the latents %.2e, limit %.0e", name, error, limit);
    vg_conditions_deinit(&c);
    close_run(&r);
}

static void test_model_vace_runs(void **state)
{
    static const char *const names[] = {"t2v", "i2v",   "v2lf", "flf2v",   "inpaint",
                                        "r2v", "r2v-2", "v2v",  "v2v-mask"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        compare_run(names[i], false, 1e-3);
    compare_run("i2v", true, 2e-2);
    compare_run("r2v", true, 2e-2);
    compare_run("v2v-mask", true, 2e-2);
}

/* The frames are those of the clip alone, and equal what the latents behind the references give without any. */
static void test_model_vace_references_are_no_frames(void **state)
{
    vg_err err;
    golden_run r;
    vg_frames with, without;
    (void)state;
    open_run(&r, "r2v-2", false);
    const vg_tensor *wanted = tensor(r.wanted, r.name, "latents");
    vg_latents latents = {.shape = {16, 4, 4, 6}, .values = wanted->data};
    assert_int_equal(wanted->shape[2], 4);
    CHECK_OK(vg_decode(r.engine, r.model, &r.p, &latents, NULL, &with, &err), err);
    assert_int_equal(with.count, r.p.num_frames);
    float clip[16 * 2 * 24];
    for (int k = 0; k < 16; k++)
        memcpy(clip + k * 48, latents.values + k * 96 + 48, 48 * sizeof *clip);
    latents = (vg_latents){.shape = {16, 2, 4, 6}, .values = clip};
    r.p.inputs.media_count = 0;
    r.p.mode = "t2v";
    CHECK_OK(vg_decode(r.engine, r.model, &r.p, &latents, NULL, &without, &err), err);
    assert_int_equal(without.count, with.count);
    assert_memory_equal(with.rgb, without.rgb,
                        (size_t)with.count * (size_t)with.height * (size_t)with.width * 3);
    vg_frames_deinit(&with);
    vg_frames_deinit(&without);
    close_run(&r);
}

/* ---- blocks of the control branch are blocks ---- */

static vg_plan_stage stage_of(const golden_run *r, const char *name)
{
    vg_err err;
    vg_plan plan;
    CHECK_OK(vg_plan_make(r->model, &r->p, &plan, &err), err);
    for (int i = 0; i < plan.count; i++)
        if (strcmp(plan.stages[i].name, name) == 0)
            return plan.stages[i];
    fail_msg("the plan has no stage %s", name);
    return plan.stages[0];
}

/* They are streamed from the host in the order of running, within the planned bytes and with the same bytes out. */
static void test_model_vace_streams_all_blocks(void **state)
{
    static const vg_scheme schemes[] = {VG_SCHEME_BF16, VG_SCHEME_FP8, VG_SCHEME_FP8_BLOCK};
    (void)state;
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        vg_err err;
        golden_run r;
        vg_conditions c;
        vg_latents resident, streamed;
        open_run(&r, "r2v-2", true);
        encode(&r, &c);
        r.p.scheme = schemes[i];
        r.p.fp8_act = VG_FP8_ACT_DYNAMIC;
        CHECK_OK(vg_denoise(r.engine, r.model, &r.p, &c, NULL, NULL, &resident, &err), err);
        r.p.memory_limit = 1;
        vg_plan_stage first = stage_of(&r, "transformer"), second = stage_of(&r, "transformer_2");
        assert_int_equal(first.blocks, 3 + 2);
        assert_int_equal(first.streamed, first.blocks);
        assert_int_equal(second.streamed, 2 + 2);
        r.p.memory_limit = vg_plan_total(&first) > vg_plan_total(&second) ? vg_plan_total(&first)
                                                                          : vg_plan_total(&second);
        CHECK_OK(vg_denoise(r.engine, r.model, &r.p, &c, NULL, NULL, &streamed, &err), err);
        assert_true(streamed.peak_bytes <= r.p.memory_limit);
        assert_memory_equal(streamed.values, resident.values,
                            (size_t)(16 * 4 * 24) * sizeof *resident.values);
        vg_latents_deinit(&streamed);
        vg_latents_deinit(&resident);
        vg_conditions_deinit(&c);
        close_run(&r);
    }
}

/* Every layer of theirs is calibrated, and becomes FP8; hints of eight bits are near those of sixteen. */
static void test_model_vace_calibrates_all_blocks(void **state)
{
    static const char *const layers[] = {"vace_blocks.0.proj_in",    "vace_blocks.0.attn1.to_q",
                                         "vace_blocks.0.proj_out",   "vace_blocks.1.ffn.net.2",
                                         "vace_blocks.1.attn2.to_k", "vace_blocks.1.proj_out"};
    vg_err err;
    golden_run r;
    vg_conditions c;
    vg_input_scales *scales;
    (void)state;
    open_run(&r, "r2v-2", false);
    encode(&r, &c);
    CHECK_OK(vg_calibrate(r.engine, r.model, &r.p, &c, r.p.steps, NULL, &scales, &err), err);
    for (int expert = 0; expert < 2; expert++)
        for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
            float scale = 0;
            CHECK_OK(vg_input_scales_find(scales, expert ? "transformer_2" : "transformer",
                                          layers[i], &scale, &err),
                     err);
            assert_true(scale > 1e-4f && scale < 1 && scale != 1.0f);
        }
    r.p.scheme = VG_SCHEME_FP8;
    r.p.input_scales = scales;
    double error = latents_error(&r, &c);
    assert_true(error > 1e-2 && error < 0.3);
    vg_input_scales_free(scales);
    vg_conditions_deinit(&c);
    close_run(&r);
}

/* ---- mistakes ---- */

static void test_model_vace_order_of_references_matters(void **state)
{
    golden_run r;
    vg_conditions c;
    (void)state;
    open_run(&r, "r2v-2", false);
    vg_media first = r.media[0];
    r.media[0] = r.media[1];
    r.media[1] = first;
    encode(&r, &c);
    assert_true(control_error(&r, &c) > 1e-2);
    assert_true(latents_error(&r, &c) > 1e-2);
    vg_conditions_deinit(&c);
    close_run(&r);
}

/* The mask is not looked at: neither where latents are told apart, nor as channels. */
static void test_model_vace_mask_matters(void **state)
{
    golden_run r;
    vg_conditions c;
    (void)state;
    open_run(&r, "v2v-mask", false);
    for (int i = 0; i < r.p.inputs.media_count; i++)
        if (r.media[i].role == VG_ROLE_MASK)
            r.media[i] = r.media[--r.p.inputs.media_count];
    encode(&r, &c);
    assert_true(control_error(&r, &c) > 1e-2);
    assert_true(latents_error(&r, &c) > 1e-2);
    vg_conditions_deinit(&c);
    close_run(&r);
}

/* Channels of the mask black and white, as it is where latents are told apart. */
static void test_model_vace_greys_of_the_mask_matter(void **state)
{
    golden_run r;
    vg_conditions c;
    (void)state;
    open_run(&r, "inpaint", false);
    encode(&r, &c);
    const vg_condition *control = vg_conditions_find(&c, CONTROL);
    int64_t channel = vg_condition_numel(control) / control->shape[0];
    for (int64_t i = 32 * channel; i < 96 * channel; i++)
        control->values[i] = control->values[i] > 0.5f;
    assert_true(control_error(&r, &c) > 1e-2);
    assert_true(latents_error(&r, &c) > 3e-3);
    vg_conditions_deinit(&c);
    close_run(&r);
}

/* A reference brought to the canvas by another filter than the reference's. */
static void test_model_vace_resize_matters(void **state)
{
    vg_err err;
    golden_run r;
    vg_conditions c;
    (void)state;
    open_run(&r, "r2v-2", false);
    const vg_frames *f = &r.media[0].frames; /* 61x29 -> 56x24 -> 32x13 */
    int width = 24 * 32 / 56, height = 32;
    uint8_t rgb[24 * 40 * 3], *canvas = malloc((size_t)r.p.height * (size_t)r.p.width * 3);
    assert_non_null(canvas);
    memset(canvas, 255, (size_t)r.p.height * (size_t)r.p.width * 3);
    CHECK_OK(vg_resize_lanczos(f->rgb, f->height, f->width, rgb, height, width, &err), err);
    int left = (r.p.width - width) / 2;
    for (int y = 0; y < height; y++)
        memcpy(canvas + (y * r.p.width + left) * 3, rgb + y * width * 3, (size_t)width * 3);
    r.media[0].frames =
        (vg_frames){.count = 1, .height = r.p.height, .width = r.p.width, .rgb = canvas};
    encode(&r, &c);
    assert_true(control_error(&r, &c) > 1e-3);
    assert_true(latents_error(&r, &c) > 1e-3);
    vg_conditions_deinit(&c);
    free(canvas);
    close_run(&r);
}

static void test_model_vace_scale_matters(void **state)
{
    golden_run r;
    vg_conditions c;
    (void)state;
    open_run(&r, "r2v", false);
    encode(&r, &c);
    r.p.conditioning_scale = 1;
    assert_true(latents_error(&r, &c) > 1e-2);
    vg_conditions_deinit(&c);
    close_run(&r);
}

/* ---- folding ---- */

/* The frames of a mask that latent frames see: wan 3.3. Never the first one, beyond one frame. */
static void test_model_vace_frames_of_the_mask(void **state)
{
    static const int wanted[][21] = {
        {0},
        {1, 3},
        {1, 4, 7},
        {1, 5, 9, 13, 16, 20, 24, 28, 32, 35, 39, 43, 47},
        {1, 5, 9, 13, 17, 21, 25, 28, 32, 36, 40, 44, 48, 52, 55, 59, 63, 67, 71, 75, 79}};
    static const int frames[] = {1, 5, 9, 49, 81};
    (void)state;
    for (int k = 0; k < 5; k++) {
        uint8_t mask[81 * 64 * 3];
        float folded[21 * 64];
        int latent = (frames[k] - 1) / 4 + 1;
        wan_vace_clip clip = {.frames = frames[k], .height = 8, .width = 8, .mask = mask};
        for (int i = 0; i < frames[k] * 192; i++)
            mask[i] = (uint8_t)(i / 192);
        wan_vace_clip_fold(&clip, 8, latent, folded);
        for (int c = 0; c < 64; c++)
            for (int t = 0; t < latent; t++)
                assert_int_equal(lround((double)folded[c * latent + t] * 255), wanted[k][t]);
    }
}

/* ---- what is refused ---- */

static void refused(golden_run *r, const char *says)
{
    vg_err err;
    vg_conditions c;
    assert_int_equal(vg_encode(r->engine, r->model, &r->p, NULL, &c, &err), VG_E_ARG);
    if (!strstr(err.message, says))
        fail_msg("%s", err.message);
}

static void test_model_vace_refuses_what_does_not_fit(void **state)
{
    golden_run r;
    (void)state;
    open_run(&r, "v2v-mask", false);
    r.p.num_frames = 9;
    refused(&r, "the video has 5 frames, the clip 9: give --num-frames 5");
    r.p.num_frames = 5;
    for (int i = 0; i < r.p.inputs.media_count; i++)
        if (r.media[i].role == VG_ROLE_MASK)
            r.media[i].frames.count = 4;
        else if (r.media[i].role == VG_ROLE_REFERENCE)
            r.media[i].frames.height = 7;
    refused(&r, "the mask has 4 frames, the video 5");
    for (int i = 0; i < r.p.inputs.media_count; i++)
        if (r.media[i].role == VG_ROLE_MASK)
            r.media[i].frames.count = 1; /* one for all */
    refused(&r, "a reference picture of 90x7 leaves nothing");
    r.p.mode = "r2v";
    r.p.inputs.media_count = 0;
    refused(&r, "mode r2v needs a reference picture: give --reference-image");
    r.p.mode = "inpaint";
    r.p.inputs.media_count = 2;
    r.media[0].role = r.media[1].role = VG_ROLE_MASK;
    refused(&r, "mode inpaint needs a picture to begin with, or a video: give --image or --video");
    close_run(&r);
}

/* Configurations of a control branch that nothing can run. */
static void test_model_vace_refuses_configurations(void **state)
{
    static const struct {
        const char *component, *key, *value, *says;
        vg_status wanted;
    } cases[] = {
        {"transformer", "vace_layers", "[]", "vace_layers is empty", VG_E_FORMAT},
        {"transformer", "vace_layers", "[1, 2]", "vace_layers[0] is 1", VG_E_FORMAT},
        {"transformer", "vace_layers", "[0, 3]", "vace_layers[1] is 3", VG_E_FORMAT},
        {"transformer", "vace_layers", "[0, 0]", "vace_layers[1] is 0", VG_E_FORMAT},
        {"transformer", "vace_layers", "[0, 1.5]", "vace_layers[1] is 1.5", VG_E_FORMAT},
        {"transformer", "vace_layers", "[0, \"1\"]", "vace_layers", VG_E_FORMAT},
        {"transformer", "vace_layers", "7", "vace_layers", VG_E_FORMAT},
        {"transformer", "vace_in_channels", "95", "vace_in_channels is 95; 96", VG_E_UNSUPPORTED},
        {"transformer", "vace_in_channels", "-1", "vace_in_channels", VG_E_FORMAT},
        {"transformer_2", "vace_layers", "[0]", "has 1 entries, transformer's 2", VG_E_UNSUPPORTED},
        {"transformer_2", "_class_name", "\"WanTransformer3DModel\"", "vace_layers",
         VG_E_UNSUPPORTED},
    };
    vg_err err;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cJSON *json;
        vg_model *model;
        char path[512], name[64];
        CHECK_OK(vg_file_remove_tree(*state, &err), err);
        CHECK_OK(vg_file_make_dirs(*state, &err), err);
        link_model(state, MODEL, cases[i].component);
        snprintf(path, sizeof path, MODEL "/%s/config.json", cases[i].component);
        CHECK_OK(vg_json_load(path, &json, &err), err);
        cJSON_DeleteItemFromObjectCaseSensitive(json, cases[i].key);
        cJSON_AddItemToObject(json, cases[i].key, cJSON_Parse(cases[i].value));
        snprintf(name, sizeof name, "%s/config.json", cases[i].component);
        CHECK_OK(vg_json_save(scratch_path(state, name), json, &err), err);
        cJSON_Delete(json);
        vg_status status = vg_model_open(*state, VG_LOAD_FILES, &model, &err);
        if (status != cases[i].wanted || !strstr(err.message, cases[i].says))
            fail_msg("%s %s = %s: %s (%s)", cases[i].component, cases[i].key, cases[i].value,
                     vg_status_name(status), err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model_vace_runs),
        cmocka_unit_test(test_model_vace_references_are_no_frames),
        cmocka_unit_test(test_model_vace_streams_all_blocks),
        cmocka_unit_test(test_model_vace_calibrates_all_blocks),
        cmocka_unit_test(test_model_vace_order_of_references_matters),
        cmocka_unit_test(test_model_vace_mask_matters),
        cmocka_unit_test(test_model_vace_greys_of_the_mask_matter),
        cmocka_unit_test(test_model_vace_resize_matters),
        cmocka_unit_test(test_model_vace_scale_matters),
        cmocka_unit_test(test_model_vace_frames_of_the_mask),
        cmocka_unit_test(test_model_vace_refuses_what_does_not_fit),
        cmocka_unit_test_setup_teardown(test_model_vace_refuses_configurations, scratch_open,
                                        scratch_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_model_wan.c: the Wan models that take pictures in other ways than Wan2.2 I2V-A14B, against diffusers and transformers
 * (tests/oracle/make_wan.py): TI2V-5B's kind (text and image to video from one checkpoint, first frame at timestep 0, VAE with patches and
 * shortcuts), Wan2.1's image to video (CLIP) and its first and last frame. Parts in FP32 within 1e-4 (they are some 1e-6), runs of 10 steps
 * within 1e-3 (some 1e-5); BF16 2e-2, runs 4e-2: twice what BF16 costs the reference. Mistakes are made on purpose, and are far outside. */
#include "engine/family/wan/wan.h"
#include "tests/wan_run.h"

#define TI2V  "tiny-ti2v"
#define CLIP  "tiny-clip"
#define FLF2V "tiny-flf2v"

/* ---- parts ---- */

/* A golden output, or an input, of a model's component folder. */
static const char *file_of(const char *model, const char *name, char text[512])
{
    snprintf(text, 512, GOLDEN "%s/component/%s.safetensors", model, name);
    return text;
}

/* Run a part of a model in `dir` and give its one output, malloc'd. */
static vg_tensor run_part(const char *dir, const char *part, const vg_safetensors *in, bool bf16,
                          bool tiled)
{
    vg_err err;
    vg_compute compute = bf16 ? VG_COMPUTE_BF16 : VG_COMPUTE_F32;
    vg_component_params params = {.compute = compute, .vae_compute = compute, .vae_tiling = tiled};
    vg_engine *engine = open_engine();
    vg_model *model = open_model(dir);
    vg_safetensors_entry *out;
    int count;
    CHECK_OK(vg_component_run(engine, model, part, &params, in, &out, &count, &err), err);
    assert_int_equal(count, 1);
    vg_tensor t = out[0].tensor;
    free(out);
    vg_model_close(model);
    assert_int_equal(vg_engine_backend(engine)->bytes_now, 0);
    vg_engine_close(engine);
    return t;
}

static double error_of(const vg_tensor *got, const char *golden, const char *name)
{
    vg_safetensors *st = open_file(golden);
    const vg_tensor *wanted = vg_safetensors_find(st, name);
    assert_non_null(wanted);
    assert_true(vg_tensor_same_shape(wanted, got));
    double error = rel_l2(got->data, wanted->data, vg_tensor_numel(wanted));
    vg_safetensors_close(st);
    return error;
}

#define TEXT_ROWS 512

/* Inputs of a part. The reference takes all but the last 512 rows of what it attends to for pictures, so prompts beside them are filled up. */
static vg_safetensors *inputs_of(void **state, const char *model, const char *input)
{
    vg_err err;
    char path[512];
    vg_safetensors *in = open_file(file_of(model, input, path));
    const vg_tensor *text = vg_safetensors_find(in, "encoder_hidden_states");
    if (!vg_safetensors_find(in, "encoder_hidden_states_image"))
        return in;
    float *rows = calloc((size_t)(TEXT_ROWS * text->shape[2]), sizeof *rows);
    assert_non_null(rows);
    memcpy(rows, text->data, vg_tensor_bytes(text));
    vg_safetensors_entry entries[] = {
        {"hidden_states", *vg_safetensors_find(in, "hidden_states")},
        {"timestep", *vg_safetensors_find(in, "timestep")},
        {"encoder_hidden_states_image", *vg_safetensors_find(in, "encoder_hidden_states_image")},
        {"encoder_hidden_states", vg_tensor_make(rows, VG_F32, 3, 1, TEXT_ROWS, text->shape[2])}};
    CHECK_OK(vg_safetensors_write(scratch_path(state, "filled"), entries, 4, NULL, &err), err);
    free(rows);
    vg_safetensors_close(in);
    return open_file(scratch_path(state, "filled"));
}

static void test_model_wan_parts(void **state)
{
    static const struct {
        const char *model, *part, *input, *golden, *name;
        bool bf16, tiled;
    } cases[] = {
        {TI2V, "transformer", "transformer.in", "transformer.out", "sample", false, false},
        {TI2V, "transformer", "transformer.in", "transformer.bf16.out", "sample", true, false},
        {TI2V, "vae-decode", "vae-decode.in", "vae-decode.out", "sample", false, false},
        {TI2V, "vae-encode", "vae-decode.out", "vae-encode.out", "latents", false, false},
        {TI2V, "vae-encode", "vae-decode.out", "vae-encode.bf16.out", "latents", true, false},
        {CLIP, "transformer", "transformer.in", "transformer.out", "sample", false, false},
        {CLIP, "transformer", "transformer.in", "transformer.bf16.out", "sample", true, false},
        {CLIP, "image-encoder", "image-encoder.in", "image-encoder.out", "image_embeds", false,
         false},
        {CLIP, "image-encoder", "image-encoder.in", "image-encoder.bf16.out", "image_embeds", true,
         false},
        {FLF2V, "transformer", "transformer.in", "transformer.out", "sample", false, false},
        {FLF2V, "transformer", "transformer.in", "transformer.bf16.out", "sample", true, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char dir[256], path[512];
        snprintf(dir, sizeof dir, GOLDEN "%s", cases[i].model);
        vg_safetensors *in = inputs_of(state, cases[i].model, cases[i].input);
        vg_tensor got = run_part(dir, cases[i].part, in, cases[i].bf16, cases[i].tiled);
        double error =
            error_of(&got, file_of(cases[i].model, cases[i].golden, path), cases[i].name);
        print_message("%s %s: %.2e\n", cases[i].model, cases[i].golden, error);
        if (!(error < (cases[i].bf16 ? 2e-2 : 1e-4)))
            fail_msg("%s %s: relative L2 %.2e", cases[i].model, cases[i].golden, error);
        free(got.data);
        vg_safetensors_close(in);
    }
}

/* Latents to frames and back, in tiles that overlap as patches of pixels; without tiles it is something else. */
static void test_model_wan_tiled_vae(void **state)
{
    char path[512];
    for (int tiled = 1; tiled >= 0; tiled--) {
        vg_err err;
        vg_safetensors *in = open_file(file_of(TI2V, "vae-decode-tiled.in", path));
        vg_tensor frames = run_part(GOLDEN TI2V, "vae-decode", in, false, tiled);
        vg_safetensors_close(in);
        vg_safetensors_entry entry = {"sample", frames};
        CHECK_OK(vg_safetensors_write(scratch_path(state, "frames"), &entry, 1, NULL, &err), err);
        in = open_file(scratch_path(state, "frames"));
        vg_tensor got = run_part(GOLDEN TI2V, "vae-encode", in, false, true);
        double error = error_of(&got, file_of(TI2V, "vae-encode-tiled.out", path), "latents");
        print_message("decoded %s tiles: %.2e\n", tiled ? "in" : "without", error);
        assert_true(tiled ? error < 1e-4 : error > 1e-3);
        vg_safetensors_close(in);
        free(frames.data);
        free(got.data);
    }
}

/* The transformer's inputs with another timestep. */
static double error_with_timestep(void **state, const vg_tensor *timestep)
{
    vg_err err;
    char path[512];
    vg_safetensors *in = open_file(file_of(TI2V, "transformer.in", path));
    vg_safetensors_entry entries[] = {
        {"hidden_states", *vg_safetensors_find(in, "hidden_states")},
        {"encoder_hidden_states", *vg_safetensors_find(in, "encoder_hidden_states")},
        {"timestep", *timestep}};
    CHECK_OK(vg_safetensors_write(scratch_path(state, "in"), entries, 3, NULL, &err), err);
    vg_safetensors_close(in);
    in = open_file(scratch_path(state, "in"));
    vg_tensor got = run_part(GOLDEN TI2V, "transformer", in, false, false);
    double error = error_of(&got, file_of(TI2V, "transformer.out", path), "sample");
    free(got.data);
    vg_safetensors_close(in);
    return error;
}

/* The first frame's tokens have timestep 0, and only they. */
static void test_model_wan_first_frame_timestep_matters(void **state)
{
    float all = 731, tokens[30], late[30];
    vg_tensor one = vg_tensor_make(&all, VG_F32, 1, 1),
              right = vg_tensor_make(tokens, VG_F32, 2, 1, 30),
              shifted = vg_tensor_make(late, VG_F32, 2, 1, 30);
    for (int i = 0; i < 30; i++) {
        tokens[i] = i < 10 ? 0 : 731;
        late[i] = i < 9 ? 0 : 731;
    }
    assert_true(error_with_timestep(state, &right) < 1e-4);
    assert_true(error_with_timestep(state, &one) > 1e-2);
    assert_true(error_with_timestep(state, &shifted) > 1e-2);
}

static void test_model_wan_timesteps_by_token_are_checked(void **state)
{
    vg_err err;
    char path[512];
    float tokens[30];
    vg_engine *engine = open_engine();
    vg_model *model = open_model(GOLDEN TI2V);
    vg_safetensors *golden = open_file(file_of(TI2V, "transformer.in", path));
    vg_component_params params = {.compute = VG_COMPUTE_F32};
    vg_safetensors_entry *out;
    int count;
    for (int i = 0; i < 30; i++)
        tokens[i] = (float)(i / 10);
    for (int wrong = 0; wrong < 2; wrong++) { /* three stretches; too few tokens */
        vg_safetensors_entry entries[] = {
            {"hidden_states", *vg_safetensors_find(golden, "hidden_states")},
            {"encoder_hidden_states", *vg_safetensors_find(golden, "encoder_hidden_states")},
            {"timestep", vg_tensor_make(tokens, VG_F32, 2, 1, wrong ? 20 : 30)}};
        CHECK_OK(vg_safetensors_write(scratch_path(state, "in"), entries, 3, NULL, &err), err);
        vg_safetensors *in = open_file(scratch_path(state, "in"));
        CHECK_FAILS(vg_component_run(engine, model, "transformer", &params, in, &out, &count, &err),
                    wrong ? VG_E_SHAPE : VG_E_UNSUPPORTED, err);
        assert_non_null(strstr(err.message, wrong ? "has 20 tokens" : "at tokens 10 and 20"));
        vg_safetensors_close(in);
    }
    vg_safetensors_close(golden);
    vg_model_close(model);
    vg_engine_close(engine);
}

/* ---- CLIP ---- */

static void test_model_wan_clip_processor(void **state)
{
    vg_err err;
    char path[512], name[32];
    vg_model *model = open_model(GOLDEN CLIP);
    const wan_config *c = wan_config_of(model);
    vg_safetensors *golden = open_file(file_of(CLIP, "processor", path));
    (void)state;
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "rgb-%d", i);
        const vg_tensor *rgb = vg_safetensors_find(golden, name);
        snprintf(name, sizeof name, "pixels-%d", i);
        const vg_tensor *wanted = vg_safetensors_find(golden, name);
        float *pixels = malloc(vg_tensor_bytes(wanted));
        assert_non_null(pixels);
        CHECK_OK(vg_clip_pixels(&c->processor, rgb->data, (int)rgb->shape[0], (int)rgb->shape[1],
                                pixels, &err),
                 err);
        const float *want = wanted->data;
        for (int64_t k = 0; k < vg_tensor_numel(wanted); k++)
            if (!(fabsf(pixels[k] - want[k]) < 1e-5f))
                fail_msg("picture %d, value %lld: %g instead of %g", i, (long long)k,
                         (double)pixels[k], (double)want[k]);
        free(pixels);
    }
    vg_safetensors_close(golden);
    vg_model_close(model);
}

/* The hub's files begin all names with "vision_model.", those of transformers 5 do not. */
static void test_model_wan_clip_of_either_layout(void **state)
{
    vg_err err;
    char path[512];
    vg_weights *weights;
    vg_safetensors_entry entries[128];
    static char names[128][160];
    link_model(state, GOLDEN CLIP, "image_encoder");
    CHECK_OK(vg_weights_open(GOLDEN CLIP "/image_encoder", &weights, &err), err);
    int count = vg_weights_count(weights);
    assert_true(count > 0 && count <= 128);
    assert_null(strstr(vg_weights_name(weights, 0), "vision_model."));
    for (int i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "vision_model.%s", vg_weights_name(weights, i));
        entries[i] = (vg_safetensors_entry){names[i], *vg_weights_tensor(weights, i)};
    }
    CHECK_OK(vg_safetensors_write(scratch_path(state, "image_encoder/model.safetensors"), entries,
                                  count, NULL, &err),
             err);
    vg_weights_close(weights);
    vg_model *model = open_model(scratch_path(state, ""));
    CHECK_OK(vg_model_check(model, &err), err);
    vg_model_close(model);
    vg_safetensors *in = open_file(file_of(CLIP, "image-encoder.in", path));
    vg_tensor got = run_part(scratch_path(state, ""), "image-encoder", in, false, false);
    assert_true(error_of(&got, file_of(CLIP, "image-encoder.out", path), "image_embeds") < 1e-4);
    free(got.data);
    vg_safetensors_close(in);
}

/* ---- whole runs ---- */

/* What encoding makes of the pictures, against the golden's; the mask of CLIP's models is part of it. */
static void check_conditions(const golden_run *r, const vg_conditions *c)
{
    static const char *const names[][2] = {
        {WAN_FIRST, "condition"}, {WAN_IMAGE, "condition"}, {WAN_CLIP, "image_embeds"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const vg_condition *got = vg_conditions_find(c, names[i][0]);
        const vg_tensor *wanted = vg_safetensors_find(r->golden, names[i][1]);
        if (!got)
            continue;
        assert_int_equal(vg_condition_numel(got), vg_tensor_numel(wanted));
        double error = rel_l2(got->values, wanted->data, vg_tensor_numel(wanted));
        if (!(error < 1e-4))
            fail_msg("%s: relative L2 %.2e", names[i][0], error);
    }
}

static const struct {
    const char *model, *name;
    int conditions;
} runs[] = {{TI2V, "t2v", 2}, {TI2V, "i2v", 3}, {CLIP, "i2v", 4}, {FLF2V, "flf2v", 4}};

static void test_model_wan_runs(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        for (int bf16 = 0; bf16 < 2; bf16++) {
            vg_err err;
            golden_run r;
            vg_conditions c;
            open_run(&r, open_engine(), runs[i].model, runs[i].name,
                     bf16 ? VG_COMPUTE_BF16 : VG_COMPUTE_F32);
            CHECK_OK(vg_encode(r.engine, r.model, &r.p, NULL, &c, &err), err);
            assert_int_equal(c.count, runs[i].conditions);
            check_conditions(&r, &c);
            double error = latents_error(&r, &c);
            print_message("%s %s%s: %.2e\n", runs[i].model, runs[i].name, bf16 ? " BF16" : "",
                          error);
            if (!(error < (bf16 ? 4e-2 : 1e-3)))
                fail_msg("%s %s%s: relative L2 of the latents %.2e", runs[i].model, runs[i].name,
                         bf16 ? " in BF16" : "", error);
            vg_conditions_deinit(&c);
            close_run(&r);
        }
}

/* FP8 made at load: off by what FP8 costs, in every scheme with the first frame at its own timestep, too. */
static void test_model_wan_runs_in_fp8(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        for (int s = 0; s < 2; s++) {
            vg_err err;
            golden_run r;
            vg_conditions c;
            vg_input_scales *scales = NULL;
            open_run(&r, open_engine(), runs[i].model, runs[i].name, VG_COMPUTE_BF16);
            r.p.scheme = s ? VG_SCHEME_FP8_BLOCK : VG_SCHEME_FP8;
            CHECK_OK(vg_encode(r.engine, r.model, &r.p, NULL, &c, &err), err);
            if (!s) {
                CHECK_OK(vg_calibrate(r.engine, r.model, &r.p, &c, 3, NULL, &scales, &err), err);
                r.p.input_scales = scales;
            }
            double error = latents_error(&r, &c);
            print_message("%s %s %s: %.2e\n", runs[i].model, runs[i].name,
                          vg_scheme_name(r.p.scheme), error);
            assert_true(error > 2e-3 && error < 0.25);
            vg_input_scales_free(scales);
            vg_conditions_deinit(&c);
            close_run(&r);
        }
}

/* A run that stops and goes on has the same bytes: its state is that of the schedule, without what finishing does. */
static vg_status keep_state(void *user, const vg_denoise_state *state, vg_err *err)
{
    vg_denoise_state *kept = user;
    (void)err;
    assert_int_equal(kept->latents == NULL, 1);
    size_t count = (size_t)(state->shape[0] * state->shape[1] * state->shape[2] * state->shape[3]);
    *kept = *state;
    kept->latents = malloc(count * sizeof *kept->latents);
    memcpy(kept->latents, state->latents, count * sizeof *kept->latents);
    return VG_OK;
}

static void test_model_wan_first_frame_is_the_picture(void **state)
{
    vg_err err;
    golden_run r;
    vg_conditions c;
    vg_latents whole;
    (void)state;
    open_run(&r, open_engine(), TI2V, "i2v", VG_COMPUTE_F32);
    CHECK_OK(vg_encode(r.engine, r.model, &r.p, NULL, &c, &err), err);
    r.p.steps = 1;
    vg_denoise_state kept = {0};
    vg_callbacks cb = {.user = &kept, .save = keep_state};
    CHECK_OK(vg_denoise(r.engine, r.model, &r.p, &c, NULL, &cb, &whole, &err), err);
    const vg_condition *first = vg_conditions_find(&c, WAN_FIRST);
    int64_t plane = whole.shape[2] * whole.shape[3], channel = whole.shape[1] * plane;
    int differ = 0;
    for (int64_t k = 0; k < whole.shape[0]; k++) {
        assert_memory_equal(whole.values + k * channel, first->values + k * plane,
                            (size_t)plane * sizeof(float));
        differ += memcmp(kept.latents + k * channel, first->values + k * plane,
                         (size_t)plane * sizeof(float)) != 0;
    }
    assert_true(differ > 0);
    free(kept.latents);
    vg_latents_deinit(&whole);
    vg_conditions_deinit(&c);
    close_run(&r);
}

/* ---- mistakes ---- */

/* How far off a run is when something was done to it. */
static double error_when(const char *model, const char *name, bool swap, const char *blank)
{
    vg_err err;
    golden_run r;
    vg_conditions c;
    open_run(&r, open_engine(), model, name, VG_COMPUTE_F32);
    if (swap) {
        vg_frames first = r.media[0].frames;
        r.media[0].frames = r.media[1].frames;
        r.media[1].frames = first;
    }
    CHECK_OK(vg_encode(r.engine, r.model, &r.p, NULL, &c, &err), err);
    if (blank) {
        const vg_condition *b = vg_conditions_find(&c, blank);
        memset(b->values, 0, (size_t)vg_condition_numel(b) * sizeof *b->values);
    }
    double error = latents_error(&r, &c);
    vg_conditions_deinit(&c);
    close_run(&r);
    return error;
}

static void test_model_wan_mistakes_are_seen(void **state)
{
    (void)state;
    assert_true(error_when(FLF2V, "flf2v", true, NULL) > 1e-2);
    assert_true(error_when(FLF2V, "flf2v", false, WAN_CLIP) > 1e-2);
    assert_true(error_when(CLIP, "i2v", false, WAN_CLIP) > 1e-2);
    assert_true(error_when(CLIP, "i2v", false, WAN_IMAGE) > 1e-2);
    assert_true(error_when(TI2V, "i2v", false, WAN_FIRST) > 1e-2);
}

/* ---- what a model takes ---- */

static void test_model_wan_modes(void **state)
{
    (void)state;
    static const char *const modes[][2] = {{TI2V, "t2v, i2v"}, {CLIP, "i2v"}, {FLF2V, "flf2v"}};
    for (size_t i = 0; i < 3; i++) {
        vg_err err;
        char path[256];
        snprintf(path, sizeof path, GOLDEN "%s", modes[i][0]);
        vg_model *model = open_model(path);
        assert_string_equal(vg_model_modes(model), modes[i][1]);
        CHECK_OK(vg_model_check(model, &err), err);
        vg_model_close(model);
    }
}

/* A changed value of one config file is refused before anything is loaded. */
static void test_model_wan_refuses_what_it_cannot_run(void **state)
{
    static const struct {
        const char *model, *component, *key, *value;
        vg_status wanted;
    } cases[] = {
        {CLIP, "image_encoder", "hidden_act", "\"quick_gelu\"", VG_E_UNSUPPORTED},
        {CLIP, "image_encoder", "model_type", "\"siglip_vision_model\"", VG_E_UNSUPPORTED},
        {CLIP, "image_encoder", "hidden_size", "22", VG_E_FORMAT}, /* not the transformer's */
        {CLIP, "image_encoder", "num_attention_heads", "3", VG_E_FORMAT},
        {CLIP, "image_encoder", "num_hidden_layers", "1", VG_E_FORMAT},
        {CLIP, "image_encoder", "image_size", "30", VG_E_FORMAT},
        {CLIP, "image_encoder", "num_channels", "4", VG_E_FORMAT},
        {CLIP, "transformer", "added_kv_proj_dim", "20", VG_E_UNSUPPORTED},
        {CLIP, "transformer", "image_dim", "0", VG_E_FORMAT},
        {CLIP, "transformer", "pos_embed_seq_len", "34.5", VG_E_FORMAT},
        {FLF2V, "transformer", "pos_embed_seq_len", "36", VG_E_FORMAT},
        {TI2V, "transformer", "in_channels", "16", VG_E_UNSUPPORTED},
        {TI2V, "vae", "patch_size", "3", VG_E_FORMAT},
        {TI2V, "vae", "patch_size", "\"2\"", VG_E_FORMAT},
        {TI2V, "vae", "in_channels", "3", VG_E_FORMAT},
        {TI2V, "vae", "is_residual", "\"yes\"", VG_E_FORMAT},
        {TI2V, "vae", "dim_mult", "[1, 1, 2, 3]", VG_E_UNSUPPORTED},
        {TI2V, "vae", "scale_factor_spatial", "8", VG_E_FORMAT},
    };
    vg_err err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *json;
        vg_model *model;
        char source[512], name[64];
        CHECK_OK(vg_file_remove_tree(*state, &err), err);
        CHECK_OK(vg_file_make_dirs(*state, &err), err);
        snprintf(source, sizeof source, GOLDEN "%s", cases[i].model);
        link_model(state, source, cases[i].component);
        snprintf(name, sizeof name, "%s/config.json", cases[i].component);
        CHECK_OK(vg_json_load(scratch_path(state, name), &json, &err), err);
        cJSON_DeleteItemFromObjectCaseSensitive(json, cases[i].key);
        cJSON_AddItemToObject(json, cases[i].key, cJSON_Parse(cases[i].value));
        CHECK_OK(vg_json_save(scratch_path(state, name), json, &err), err);
        cJSON_Delete(json);
        vg_status status = vg_model_open(*state, VG_LOAD_FILES, &model, &err);
        if (status != cases[i].wanted)
            fail_msg("%s %s %s = %s: %s (%s)", cases[i].model, cases[i].component, cases[i].key,
                     cases[i].value, vg_status_name(status), status ? err.message : "");
    }
}

/* What image_processor/preprocessor_config.json may not say. */
static void test_model_wan_processor_is_checked(void **state)
{
    static const struct {
        const char *text;
        vg_status wanted;
    } cases[] = {
        {"{}", VG_OK},
        {"{\"size\": 28, \"crop_size\": 28}", VG_OK},
        {"{\"size\": {\"shortest_edge\": 40}}", VG_OK},
        {"{\"size\": {\"shortest_edge\": 20}}", VG_E_UNSUPPORTED},
        {"{\"crop_size\": {\"height\": 28, \"width\": 32}}", VG_E_UNSUPPORTED},
        {"{\"size\": \"large\"}", VG_E_FORMAT},
        {"{\"do_center_crop\": false}", VG_E_UNSUPPORTED},
        {"{\"do_resize\": 1}", VG_E_FORMAT},
        {"{\"resample\": 2}", VG_E_FORMAT},
        {"{\"rescale_factor\": 1}", VG_E_FORMAT},
        {"{\"image_std\": [1, 0, 1]}", VG_E_FORMAT},
        {"{\"image_mean\": [1, 2]}", VG_E_FORMAT},
    };
    vg_clip_config config = {.image = 28, .patch = 7};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vg_err err;
        vg_clip_processor processor;
        cJSON *json = cJSON_Parse(cases[i].text);
        assert_non_null(json);
        vg_status status = vg_clip_processor_read(json, "p.json", &config, &processor, &err);
        if (status != cases[i].wanted)
            fail_msg("%s: %s", cases[i].text, vg_status_name(status));
        cJSON_Delete(json);
    }
}

static void test_model_wan_sizes_are_of_patches(void **state)
{
    vg_err err;
    vg_model *model = open_model(GOLDEN TI2V);
    vg_generate_params p;
    (void)state;
    vg_generate_params_init(&p);
    p.height = 720;
    p.width = 1280;
    CHECK_FAILS(vg_model_defaults(model, &p, &err), VG_E_ARG, err);
    assert_non_null(
        strstr(err.message, "height is 720; it must be a multiple of 32, for example 736"));
    p.height = 704;
    CHECK_OK(vg_model_defaults(model, &p, &err), err);
    vg_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_model_wan_parts, scratch_open, scratch_close),
        cmocka_unit_test_setup_teardown(test_model_wan_tiled_vae, scratch_open, scratch_close),
        cmocka_unit_test_setup_teardown(test_model_wan_first_frame_timestep_matters, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_model_wan_timesteps_by_token_are_checked, scratch_open,
                                        scratch_close),
        cmocka_unit_test(test_model_wan_clip_processor),
        cmocka_unit_test_setup_teardown(test_model_wan_clip_of_either_layout, scratch_open,
                                        scratch_close),
        cmocka_unit_test(test_model_wan_runs),
        cmocka_unit_test(test_model_wan_runs_in_fp8),
        cmocka_unit_test(test_model_wan_first_frame_is_the_picture),
        cmocka_unit_test(test_model_wan_mistakes_are_seen),
        cmocka_unit_test(test_model_wan_modes),
        cmocka_unit_test_setup_teardown(test_model_wan_refuses_what_it_cannot_run, scratch_open,
                                        scratch_close),
        cmocka_unit_test(test_model_wan_processor_is_checked),
        cmocka_unit_test(test_model_wan_sizes_are_of_patches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

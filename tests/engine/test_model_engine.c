/* test_model_engine.c: opening, defaults, refusals, plan, precision report, calibration, preview. */
#include "engine/family/wan/dit.h"
#include "kernels/base/json.h"
#include "tests/model.h"

static vg_generate_params params_of(const vg_model *model, int height, int width, int frames)
{
    vg_err err;
    vg_generate_params p;
    vg_generate_params_init(&p);
    p.inputs.prompt = "a red ball rolls";
    p.height = height;
    p.width = width;
    p.num_frames = frames;
    p.steps = 6;
    CHECK_OK(vg_model_defaults(model, &p, &err), err);
    return p;
}

static void test_model_engine_defaults_follow_the_checkpoint(void **state)
{
    vg_err err;
    vg_generate_params p;
    vg_model *b = open_model(GOLDEN "tiny-b"), *c = open_model(GOLDEN "tiny-c"),
             *a = open_model(GOLDEN "tiny-a");
    (void)state;
    vg_generate_params_init(&p);
    CHECK_OK(vg_model_defaults(b, &p, &err), err);
    assert_true(p.height == 480 && p.width == 832 && p.num_frames == 81 && p.steps == 50);
    assert_true(p.guidance_scale == 5.0 && p.guidance_scale_2 == 5.0 && p.boundary_ratio == 0.875 &&
                p.flow_shift == 12.0);
    assert_true(strcmp(p.scheduler, "unipc") == 0 && p.flow_grid == VG_FLOW_GRID_037 &&
                p.max_text_tokens == 512);
    vg_generate_params_init(&p);
    p.num_frames = 80; /* moved down to 4k+1, as the reference does */
    p.guidance_scale = 3;
    CHECK_OK(vg_model_defaults(c, &p, &err), err);
    assert_true(p.num_frames == 81 && p.guidance_scale_2 == 3 &&
                strcmp(p.scheduler, "euler") == 0 && p.flow_shift == 5.0);
    vg_generate_params_init(&p);
    CHECK_OK(vg_model_defaults(a, &p, &err), err);
    assert_true(p.boundary_ratio < 0);
    const struct {
        int height, width, frames, steps;
        double shift;
        const char *says;
    } wrong[] = {{100, 64, 9, 5, 3, "96"},        {64, 17, 9, 5, 3, "16"},
                 {64, 64, 0, 5, 3, "num_frames"}, {64, 64, 9, 0, 3, "steps"},
                 {64, 64, 9, 5, 0, "flow_shift"}, {64, 64, 4097, 5, 3, "1024"}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        vg_generate_params_init(&p);
        p.height = wrong[i].height;
        p.width = wrong[i].width;
        p.num_frames = wrong[i].frames;
        p.steps = wrong[i].steps;
        p.flow_shift = wrong[i].shift;
        CHECK_FAILS(vg_model_defaults(a, &p, &err), VG_E_ARG, err);
        if (!strstr(err.message, wrong[i].says))
            fail_msg("\"%s\" does not say \"%s\"", err.message, wrong[i].says);
    }
    vg_model_close(a);
    vg_model_close(b);
    vg_model_close(c);
}

static void test_model_engine_own_file(void **state)
{
    static const struct {
        const char *text, *says;
    } wrong[] = {{"{\"default\": {}}", "\"default\""},
                 {"{\"defaults\": 5}", "defaults"},
                 {"{\"defaults\": {\"hight\": 96}}", "hight"},
                 {"{\"defaults\": {\"height\": 96.5}}", "height"},
                 {"{\"defaults\": {\"boundary_ratio\": 2}}", "boundary_ratio"},
                 {"{\"latent_rgb_factors\": [[1, 2, 3]]}", "16"},
                 {"{\"latent_rgb_factors\": [[1, 2]]}", "latent_rgb_factors"},
                 {"{\"latent_rgb_bias\": [1]}", "latent_rgb_bias"},
                 {"[]", "vgen.json"}};
    static const char right[] =
        "{\"defaults\": {\"height\": 96, \"width\": 160, \"num_frames\": 17, \"num_inference_steps\": 20, \"guidance_scale\": 4,"
        " \"guidance_scale_2\": 3, \"flow_shift\": 7, \"boundary_ratio\": 0.5}}";
    vg_err err;
    vg_model *model;
    vg_generate_params p;
    link_model(state, GOLDEN "tiny-b", NULL);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        scratch_write(state, "vgen.json", wrong[i].text, strlen(wrong[i].text));
        CHECK_FAILS(vg_model_open(*state, VG_LOAD_FILES, &model, &err), VG_E_FORMAT, err);
        if (!strstr(err.message, wrong[i].says) || !strstr(err.message, "vgen.json"))
            fail_msg("%s: %s", wrong[i].text, err.message);
    }
    scratch_write(state, "vgen.json", right, sizeof right - 1);
    model = open_model(*state);
    vg_generate_params_init(&p);
    CHECK_OK(vg_model_defaults(model, &p, &err), err);
    assert_true(p.height == 96 && p.width == 160 && p.num_frames == 17 && p.steps == 20 &&
                p.guidance_scale == 4 && p.guidance_scale_2 == 3);
    assert_true(p.flow_shift == 7 && p.boundary_ratio == 0.5);
    vg_generate_params_init(&p);
    p.height = 64;
    p.guidance_scale = 6;
    CHECK_OK(vg_model_defaults(model, &p, &err), err);
    assert_true(p.height == 64 && p.guidance_scale == 6 && p.guidance_scale_2 == 6);
    vg_model_close(model);
}

/* A changed value of one config file is refused by the name of its key. */
static void test_model_engine_refuses_what_it_cannot_run(void **state)
{
    static const struct {
        const char *component, *key, *value;
        vg_status wanted;
    } cases[] = {
        {"transformer", "image_dim", "1280", VG_E_UNSUPPORTED},
        {"transformer", "added_kv_proj_dim", "5120", VG_E_UNSUPPORTED},
        {"transformer", "pos_embed_seq_len", "514", VG_E_UNSUPPORTED},
        {"transformer", "vace_layers", "[0, 2]", VG_E_UNSUPPORTED},
        {"transformer", "_class_name", "\"WanAnimateTransformer3DModel\"", VG_E_UNSUPPORTED},
        {"transformer", "qk_norm", "\"layer_norm\"", VG_E_UNSUPPORTED},
        {"transformer", "cross_attn_norm", "false", VG_E_UNSUPPORTED},
        {"transformer", "patch_size", "[2, 2, 2]", VG_E_UNSUPPORTED},
        {"transformer", "patch_size", "[1, 2]", VG_E_FORMAT},
        {"transformer", "num_layers", "0", VG_E_FORMAT},
        {"transformer", "_class_name", "5", VG_E_FORMAT},
        {"transformer", "eps", "null", VG_E_FORMAT},
        {"transformer", "qk_norm", "null", VG_E_FORMAT},
        {"transformer", "cross_attn_norm", "1", VG_E_FORMAT},
        {"transformer", "patch_size", "\"1\"", VG_E_FORMAT},
        {"transformer", "patch_size", "[1, null, 2]", VG_E_FORMAT},
        {"transformer_2", "num_layers", "1e999", VG_E_FORMAT},
        {"transformer", "quantization_config", "5", VG_E_FORMAT},
        {"transformer", "quantization_config", "[]", VG_E_FORMAT},
        {"transformer", "quantization_config", "{\"quant_method\": 5}", VG_E_FORMAT},
        {"transformer", "quantization_config", "{\"producer\": \"modelopt\"}", VG_E_FORMAT},
        {"transformer", "quantization_config", "{\"producer\": {\"name\": \"modelopt\"}}",
         VG_E_UNSUPPORTED},
        {"transformer", "quantization_config",
         "{\"quant_method\": \"fp8\", \"weight_block_size\": [64, 64]}", VG_E_UNSUPPORTED},
        {"transformer", "quantization_config", "{\"quant_method\": \"fp8\", \"fmt\": \"e5m2\"}",
         VG_E_UNSUPPORTED},
        {"transformer", "quantization_config",
         "{\"quant_method\": \"nope\", \"quant_algo\": \"FP8\"}", VG_E_UNSUPPORTED},
        {"transformer", "quantization_config",
         "{\"quant_method\": \"modelopt\", \"quant_algo\": \"NVFP4\"}", VG_E_UNSUPPORTED},
        {"transformer_2", "quantization_config", "{}", VG_E_UNSUPPORTED},
        {"transformer", "ffn_dim", "\"many\"", VG_E_FORMAT},
        {"transformer", "text_dim", "33", VG_E_FORMAT},
        {"transformer", "in_channels", "36", VG_E_UNSUPPORTED},
        {"transformer", "attention_head_dim", "17", VG_E_FORMAT},
        {"vae", "_class_name", "7", VG_E_FORMAT},
        {"vae", "_class_name", "\"AutoencoderKL\"", VG_E_UNSUPPORTED},
        {"vae", "temperal_downsample", "null", VG_E_FORMAT},
        {"vae", "temperal_downsample", "[true, 1, false]", VG_E_FORMAT},
        {"vae", "temperal_downsample", "[true, true]", VG_E_FORMAT},
        {"vae", "attn_scales", "{}", VG_E_FORMAT},
        {"vae", "attn_scales", "null", VG_E_FORMAT},
        {"vae", "base_dim", "\"96\"", VG_E_FORMAT},
        {"vae", "decoder_base_dim", "[]", VG_E_FORMAT},
        {"vae", "latents_std", "null", VG_E_FORMAT},
        {"vae", "dim_mult", "7", VG_E_FORMAT},
        {"vae", "is_residual", "1", VG_E_FORMAT},
        {"vae", "is_residual", "true", VG_E_UNSUPPORTED},
        {"vae", "patch_size", "2", VG_E_FORMAT},
        {"vae", "attn_scales", "[0.5]", VG_E_UNSUPPORTED},
        {"vae", "z_dim", "48", VG_E_FORMAT},
        {"vae", "latents_mean", "[1, 2]", VG_E_FORMAT},
        {"vae", "latents_std", "[0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]", VG_E_FORMAT},
        {"vae", "temperal_downsample", "[true, true, true]", VG_E_UNSUPPORTED},
        {"vae", "dim_mult", "[1, 2, 0.5, 4]", VG_E_FORMAT},
        {"text_encoder", "model_type", "\"mt5\"", VG_E_UNSUPPORTED},
        {"text_encoder", "model_type", "null", VG_E_FORMAT},
        {"text_encoder", "vocab_size", "256384.5", VG_E_FORMAT},
        {"text_encoder", "layer_norm_epsilon", "true", VG_E_FORMAT},
        {"text_encoder", "feed_forward_proj", "\"relu\"", VG_E_UNSUPPORTED},
        {"text_encoder", "dense_act_fn", "\"relu\"", VG_E_UNSUPPORTED},
        {"text_encoder", "d_kv", "-3", VG_E_FORMAT},
    };
    vg_err err;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cJSON *json;
        vg_model *model;
        char path[512], name[64];
        CHECK_OK(vg_file_remove_tree(*state, &err), err);
        CHECK_OK(vg_file_make_dirs(*state, &err), err);
        link_model(state, GOLDEN "tiny-b", cases[i].component);
        snprintf(path, sizeof path, GOLDEN "tiny-b/%s/config.json", cases[i].component);
        CHECK_OK(vg_json_load(path, &json, &err), err);
        cJSON_DeleteItemFromObjectCaseSensitive(json, cases[i].key);
        cJSON_AddItemToObject(json, cases[i].key, cJSON_Parse(cases[i].value));
        snprintf(name, sizeof name, "%s/config.json", cases[i].component);
        CHECK_OK(vg_json_save(scratch_path(state, name), json, &err), err);
        cJSON_Delete(json);
        vg_status status = vg_model_open(*state, VG_LOAD_FILES, &model, &err);
        if (status != cases[i].wanted || !strstr(err.message, cases[i].key))
            fail_msg("%s %s = %s: %s (%s)", cases[i].component, cases[i].key, cases[i].value,
                     vg_status_name(status), err.message);
    }
}

/* Values that nobody reads, and nulls that the reference takes, are no reason to refuse. */
static void test_model_engine_takes_what_does_not_matter(void **state)
{
    static const struct {
        const char *component, *change;
    } cases[] = {
        {"transformer", "{\"quantization_config\": null, \"image_dim\": null, \"nobody\": NaN}"},
        {"transformer",
         "{\"quantization_config\": {\"quant_method\": \"modelopt\", \"quant_algo\": \"fp8\"}}"},
        {"transformer",
         "{\"quantization_config\": {\"quant_method\": \"ModelOpt\", \"quant_algo\": \"fp8_pb_wo\"}}"},
        {"transformer",
         "{\"quantization_config\": {\"producer\": {\"name\": \"modelopt\"}, \"quantization\": {\"quant_algo\": \"FP8_PB_WO\"}}}"},
        {"transformer",
         "{\"quantization_config\": {\"quant_method\": \"modelopt\", \"quant_algo\": \"fp8_2d_blockwise_weight_only\"}}"},
        {"transformer",
         "{\"quantization_config\": {\"quant_method\": \"modelopt\", \"quant_algo\": \"FP8_PER_CHANNEL_PER_TOKEN\"}}"},
        {"transformer",
         "{\"quantization_config\": {\"quant_method\": \"modelopt\", \"quant_algo\": \"fp8_pc_pt\"}}"},
        {"transformer",
         "{\"quantization_config\": {\"quant_method\": \"fp8\", \"fmt\": \"e4m3\", \"weight_block_size\": [128, 128]}}"},
        {"transformer",
         "{\"quantization_config\": {\"quant_method\": \"fp8\", \"weight_block_size\": null}}"},
        {"vae",
         "{\"decoder_base_dim\": null, \"patch_size\": null, \"is_residual\": null, \"scaling\": Infinity}"},
        {"text_encoder", "{\"initializer_factor\": -Infinity, \"dropout_rate\": NaN}"},
    };
    vg_err err;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[512], name[64], *text;
        size_t size;
        CHECK_OK(vg_file_remove_tree(*state, &err), err);
        CHECK_OK(vg_file_make_dirs(*state, &err), err);
        link_model(state, GOLDEN "tiny-b", cases[i].component);
        snprintf(path, sizeof path, GOLDEN "tiny-b/%s/config.json", cases[i].component);
        CHECK_OK(vg_file_read(path, 1 << 20, &text, &size, &err), err);
        *strrchr(text, '}') = ',';
        char *changed = vg_strf("%s%s", text, cases[i].change + 1);
        snprintf(name, sizeof name, "%s/config.json", cases[i].component);
        scratch_text(state, name, changed);
        vg_model_close(open_model(*state));
        free(changed);
        free(text);
    }
}

/* A partial or re-made export has no boundary_ratio: the setting counts, and only without both it is refused. */
static void test_model_engine_boundary_of_a_partial_index(void **state)
{
    vg_err err;
    vg_generate_params p;
    for (int null = 0; null < 2; null++) {
        cJSON *json;
        CHECK_OK(vg_json_load(GOLDEN "tiny-b/model_index.json", &json, &err), err);
        cJSON_DeleteItemFromObjectCaseSensitive(json, "boundary_ratio");
        if (null)
            cJSON_AddNullToObject(json, "boundary_ratio");
        CHECK_OK(vg_file_remove_tree(*state, &err), err);
        CHECK_OK(vg_file_make_dirs(*state, &err), err);
        link_model(state, GOLDEN "tiny-b", NULL);
        CHECK_OK(vg_json_save(scratch_path(state, "model_index.json"), json, &err), err);
        cJSON_Delete(json);
        vg_model *model = open_model(*state);
        vg_generate_params_init(&p);
        CHECK_FAILS(vg_model_defaults(model, &p, &err), VG_E_ARG, err);
        assert_true(strstr(err.message, "--boundary-ratio") &&
                    strstr(err.message, "model_index.json"));
        p.boundary_ratio = 0.75;
        CHECK_OK(vg_model_defaults(model, &p, &err), err);
        assert_true(p.boundary_ratio == 0.75);
        vg_model_close(model);
        scratch_text(state, "vgen.json", "{\"defaults\": {\"boundary_ratio\": 0.25}}");
        model = open_model(*state);
        vg_generate_params_init(&p);
        CHECK_OK(vg_model_defaults(model, &p, &err), err);
        assert_true(p.boundary_ratio == 0.25);
        vg_model_close(model);
    }
}

static void test_model_engine_parts_are_listed(void **state)
{
    vg_model *model = open_model(GOLDEN "tiny-a");
    char *list = vg_component_list(model);
    (void)state;
    assert_true(strstr(list, "text-encoder: ") && strstr(list, "\nvae-encode: "));
    free(list);
    assert_string_equal(vg_model_family_name(model), "wan");
    assert_string_equal(vg_model_modes(model), "t2v");
    vg_model_close(model);
}

/* Each component has its own: another VAE is another VAE, and nothing else. */
static void test_model_engine_identity_of_each_component(void **state)
{
    static const char *const folders[] = {"text_encoder", "transformer", "transformer_2", "vae"};
    vg_err err;
    char one[4][17], two[17];
    const char *found[VG_COMPONENTS_MAX];
    vg_weights *weights;
    vg_model *model = open_model(GOLDEN "tiny-b");
    for (int i = 0; i < 4; i++) {
        CHECK_OK(vg_model_identity(model, folders[i], one[i], &err), err);
        CHECK_OK(vg_model_identity(model, folders[i], two, &err), err);
        assert_string_equal(one[i], two);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(one[i], one[k]);
    }
    CHECK_FAILS(vg_model_identity(model, "nothing", two, &err), VG_E_MISSING, err);
    assert_int_equal(vg_model_components(model, NULL, VG_STAGE_LOAD, found), 5);
    assert_int_equal(vg_model_components(model, NULL, VG_STAGE_TEXT, found), 2);
    assert_true(!strcmp(found[0], "text_encoder") && !strcmp(found[1], "tokenizer"));
    assert_int_equal(vg_model_components(model, NULL, VG_STAGE_ENCODE, found), 0);
    assert_int_equal(vg_model_components(model, NULL, VG_STAGE_DENOISE, found), 2);
    assert_true(!strcmp(found[0], "transformer") && !strcmp(found[1], "transformer_2"));
    assert_int_equal(vg_model_components(model, NULL, VG_STAGE_DECODE, found), 1);
    assert_string_equal(found[0], "vae");
    vg_model_close(model);
    model = open_model(GOLDEN "tiny-i2v");
    assert_int_equal(vg_model_components(model, NULL, VG_STAGE_ENCODE, found), 2);
    assert_true(!strcmp(found[0], "vae") && !strcmp(found[1], "tokenizer"));
    vg_model_close(model);
    link_model(state, GOLDEN "tiny-b", "vae");
    CHECK_OK(vg_weights_open(GOLDEN "tiny-b/vae", &weights, &err), err);
    write_weights(state, "vae", "diffusion_pytorch_model", weights, -1, 3);
    vg_weights_close(weights);
    model = open_model(*state);
    for (int i = 0; i < 4; i++) {
        CHECK_OK(vg_model_identity(model, folders[i], two, &err), err);
        assert_true((strcmp(one[i], two) == 0) == (i < 3));
    }
    vg_model_close(model);
}

/* ---- precision and plan ---- */

static void test_model_engine_precision_counts(void **state)
{
    static const struct {
        const char *model;
        vg_scheme scheme;
        vg_compute compute;
        const char *precision, *wanted;
    } cases[] = {
        {"tiny-b", VG_SCHEME_BF16, VG_COMPUTE_F32, NULL, "52 F32"},
        {"tiny-b", VG_SCHEME_BF16, VG_COMPUTE_BF16, "", "48 BF16, 4 F32"},
        {"tiny-b", VG_SCHEME_FP8, VG_COMPUTE_BF16, NULL,
         "40 FP8 per-tensor (dynamic), 8 BF16, 4 F32"},
        {"tiny-b", VG_SCHEME_FP8_BLOCK, VG_COMPUTE_BF16, NULL,
         "40 FP8 per-block (dynamic 1x128), 8 BF16, 4 F32"},
        {"tiny-b", VG_SCHEME_FP8, VG_COMPUTE_BF16,
         "blocks.0.*=bf16,transformer_2/*.ffn.*=fp8-block",
         "18 FP8 per-tensor (dynamic), 4 FP8 per-block (dynamic 1x128), 26 BF16, 4 F32"},
        {"tiny-b", VG_SCHEME_BF16, VG_COMPUTE_BF16, "*.attn1.*=fp8:static",
         "16 FP8 per-tensor (static), 32 BF16, 4 F32"},
        {"tiny-b-modelopt-fp8", VG_SCHEME_FP8, VG_COMPUTE_BF16, NULL,
         "40 FP8 per-tensor (static), 8 BF16, 4 F32"},
        {"tiny-b-modelopt-fp8", VG_SCHEME_BF16, VG_COMPUTE_BF16, NULL,
         "48 BF16, 4 F32; 40 dequantised from FP8"},
        {"tiny-b-modelopt-fp8", VG_SCHEME_FP8, VG_COMPUTE_BF16, "blocks.1.*=bf16",
         "20 FP8 per-tensor (static), 28 BF16, 4 F32; 20 dequantised from FP8"},
        {"tiny-a-modelopt-fp8-block", VG_SCHEME_FP8_BLOCK, VG_COMPUTE_BF16, NULL,
         "10 FP8 per-block (dynamic 1x128), 4 BF16, 2 F32"},
    };
    vg_err err;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char dir[512], text[256];
        vg_precision_report r;
        vg_generate_params p;
        snprintf(dir, sizeof dir, GOLDEN "%s", cases[i].model);
        vg_model *model = open_model(dir);
        vg_generate_params_init(&p);
        p.scheme = cases[i].scheme;
        p.fp8_act = VG_FP8_ACT_DYNAMIC;
        p.compute = cases[i].compute;
        p.precision = cases[i].precision;
        CHECK_OK(vg_model_precision(model, &p, &r, &err), err);
        assert_string_equal(vg_precision_report_text(&r, text, sizeof text), cases[i].wanted);
        assert_true(r.weight_bytes > 0);
        if (cases[i].scheme == VG_SCHEME_FP8) {
            p.scheme = VG_SCHEME_FP8_BLOCK;
            if (strstr(cases[i].model, "modelopt"))
                CHECK_FAILS(vg_model_precision(model, &p, &r, &err), VG_E_UNSUPPORTED, err);
        }
        vg_model_close(model);
    }
}

/* The totals of wan 9.2; they count embeddings and head too (below 0.5 TFLOP) and are rounded. */
static void test_model_engine_flop_is_the_table(void **state)
{
    static const struct {
        int64_t dim, ffn, layers, tokens;
        double tflop;
    } rows[] = {{5120, 13824, 40, 75600, 6523},
                {5120, 13824, 40, 32760, 1678},
                {5120, 13824, 40, 20280, 832},
                {1536, 8960, 30, 32760, 283}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        wan_dit_config c = {.dim = rows[i].dim, .ffn_dim = rows[i].ffn, .layers = rows[i].layers};
        double got = wan_dit_flop(&c, rows[i].tokens, 512) * 1e-12;
        if (!(fabs(got - rows[i].tflop) < 3e-3 * rows[i].tflop))
            fail_msg("row %zu: %g TFLOP instead of %g", i, got, rows[i].tflop);
    }
}

typedef struct notes {
    int previews;
    uint8_t picture[64 * 64 * 3];
    int width, height;
} notes;

static void note(void *user, const vg_event *e)
{
    notes *n = user;
    if (e->kind != VG_EVENT_PREVIEW)
        return;
    n->previews++;
    n->width = e->preview_width;
    n->height = e->preview_height;
    assert_true(n->width * n->height * 3 <= (int)sizeof n->picture);
    memcpy(n->picture, e->preview, (size_t)(n->width * n->height) * 3);
}

/* What was measured stays under the plan, but for the granularity of arenas; and the plan is not far above it. */
static void test_model_engine_plan_covers_the_run(void **state)
{
    static const size_t granularity = (size_t)8 << 20; /* arenas with chunks of 1 MiB */
    vg_err err;
    vg_engine *engine = open_engine();
    vg_model *model = open_model(VG_SOURCE_DIR "/presets/demo/wan-t2v");
    (void)state;
    for (int scheme = 0; scheme < VG_SCHEME_COUNT; scheme++) {
        vg_generate_params p = params_of(model, 192, 320, 9);
        vg_conditions text;
        vg_latents latents;
        vg_plan plan;
        p.steps = 1;
        p.guidance_scale = 1;
        p.scheme = (vg_scheme)scheme;
        p.fp8_act = VG_FP8_ACT_DYNAMIC;
        p.compute = VG_COMPUTE_F32;
        CHECK_OK(vg_plan_make(model, &p, &plan, &err), err);
        assert_int_equal(plan.count, 4);
        assert_string_equal(plan.stages[1].name, "transformer");
        assert_int_equal(plan.tokens, 3 * 12 * 20);
        assert_true(plan.tflop_per_step > 0 && plan.peak >= 0 && plan.peak < plan.count);
        CHECK_OK(vg_encode(engine, model, &p, NULL, &text, &err), err);
        CHECK_OK(vg_denoise(engine, model, &p, &text, NULL, NULL, &latents, &err), err);
        size_t forecast =
            plan.stages[1].weights + plan.stages[1].activations + plan.stages[1].workspace;
        if (latents.peak_bytes > forecast + granularity ||
            forecast > 2 * latents.peak_bytes + granularity)
            fail_msg("scheme %d: %zu bytes measured, %zu planned", scheme, latents.peak_bytes,
                     forecast);
        vg_latents_deinit(&latents);
        vg_conditions_deinit(&text);
    }
    vg_model_close(model);
    vg_engine_close(engine);
}

/* ---- calibration ---- */

static void test_model_engine_static_scales(void **state)
{
    vg_err err;
    vg_engine *engine = open_engine();
    vg_model *model = open_model(GOLDEN "tiny-b");
    vg_generate_params p = params_of(model, 32, 32, 5);
    vg_conditions text;
    vg_latents exact, dynamic, fixed;
    vg_input_scales *scales, *others;
    (void)state;
    p.compute = VG_COMPUTE_F32;
    CHECK_OK(vg_encode(engine, model, &p, NULL, &text, &err), err);
    CHECK_OK(vg_calibrate(engine, model, &p, &text, 6, NULL, &scales, &err), err);
    CHECK_OK(vg_denoise(engine, model, &p, &text, NULL, NULL, &exact, &err), err);
    p.scheme = VG_SCHEME_FP8;
    p.fp8_act = VG_FP8_ACT_STATIC;
    CHECK_FAILS(vg_denoise(engine, model, &p, &text, NULL, NULL, &fixed, &err), VG_E_ARG,
                err); /* no scales */
    p.input_scales = scales;
    CHECK_OK(vg_denoise(engine, model, &p, &text, NULL, NULL, &fixed, &err), err);
    p.fp8_act = VG_FP8_ACT_DYNAMIC;
    CHECK_OK(vg_denoise(engine, model, &p, &text, NULL, NULL, &dynamic, &err), err);
    int64_t count = exact.shape[0] * exact.shape[1] * exact.shape[2] * exact.shape[3];
    double a = rel_l2(fixed.values, exact.values, count),
           b = rel_l2(dynamic.values, exact.values, count);
    if (!(a > 1e-4 && a < 0.2 && b > 1e-4 && b < 0.2))
        fail_msg("relative L2 %.2e with static, %.2e with dynamic scales", a, b);
    assert_memory_not_equal(fixed.values, dynamic.values, (size_t)count * 4);
    vg_model *other = open_model(GOLDEN "tiny-a");
    vg_generate_params q = params_of(other, 32, 32, 5);
    vg_conditions other_text;
    q.scheme = VG_SCHEME_FP8;
    q.fp8_act = VG_FP8_ACT_STATIC;
    CHECK_OK(vg_encode(engine, other, &q, NULL, &other_text, &err), err);
    vg_latents none;
    CHECK_OK(vg_calibrate(engine, other, &q, &other_text, 2, NULL, &others, &err), err);
    p.fp8_act = VG_FP8_ACT_STATIC;
    p.input_scales = others; /* of a model with one expert only */
    CHECK_FAILS(vg_denoise(engine, model, &p, &text, NULL, NULL, &none, &err), VG_E_MISSING, err);
    assert_non_null(strstr(err.message, "no input scale for layer"));
    vg_input_scales_free(others);
    vg_input_scales_free(scales);
    vg_conditions_deinit(&other_text);
    vg_model_close(other);
    vg_latents_deinit(&exact);
    vg_latents_deinit(&dynamic);
    vg_latents_deinit(&fixed);
    vg_conditions_deinit(&text);
    vg_model_close(model);
    assert_int_equal(vg_engine_backend(engine)->bytes_now, 0);
    vg_engine_close(engine);
}

/* Whatever the schedule looks like, static FP8 gets through: an expert it reaches is measured, one it does not reach is not asked for. */
static void test_model_engine_calibration_follows_the_schedule(void **state)
{
    static const struct {
        int steps, wanted;
        double boundary, shift;
    } cases[] = {{1, 4, 0.875, 12}, {2, 4, 0, 12},      {2, 4, 1, 12},   {3, 1, 0.875, 12},
                 {6, 1, 0.1, 12},   {6, 4, 0.875, 100}, {8, 3, 0.999, 1}};
    vg_err err;
    vg_engine *engine = open_engine();
    vg_model *model = open_model(GOLDEN "tiny-b");
    bool needed = true;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        vg_generate_params p = params_of(model, 32, 32, 1);
        vg_conditions text;
        vg_latents latents;
        p.steps = cases[i].steps;
        p.boundary_ratio = cases[i].boundary;
        p.flow_shift = cases[i].shift;
        CHECK_OK(vg_model_needs_input_scales(model, &p, &needed, &err), err);
        assert_false(needed);
        p.scheme = VG_SCHEME_FP8;
        p.fp8_act = VG_FP8_ACT_STATIC;
        CHECK_OK(vg_model_needs_input_scales(model, &p, &needed, &err), err);
        assert_true(needed);
        CHECK_OK(vg_encode(engine, model, &p, NULL, &text, &err), err);
        vg_input_scales *scales;
        CHECK_OK(vg_calibrate(engine, model, &p, &text, cases[i].wanted, NULL, &scales, &err), err);
        p.input_scales = scales;
        if (vg_denoise(engine, model, &p, &text, NULL, NULL, &latents, &err) != VG_OK)
            fail_msg("case %zu: %s", i, err.message);
        vg_input_scales_free(scales);
        vg_latents_deinit(&latents);
        vg_conditions_deinit(&text);
    }
    vg_model_close(model);
    model = open_model(GOLDEN "tiny-b-modelopt-fp8");
    vg_generate_params p = {.scheme = VG_SCHEME_FP8, .fp8_act = VG_FP8_ACT_STATIC};
    CHECK_OK(vg_model_needs_input_scales(model, &p, &needed, &err), err);
    assert_false(needed);
    vg_model_close(model);
    vg_engine_close(engine);
}

/* ---- refused before or during a run ---- */

static void test_model_engine_without_vae(void **state)
{
    vg_err err;
    vg_generate_params p;
    link_model(state, GOLDEN "tiny-b", NULL);
    assert_int_equal(unlink(scratch_path(state, "vae")), 0);
    vg_model *model = open_model(*state);
    vg_generate_params_init(&p);
    CHECK_FAILS(vg_model_defaults(model, &p, &err), VG_E_MISSING, err);
    assert_non_null(strstr(err.message, "vae/config.json"));
    /* Nor does anything else that follows from sizes run, whatever the settings. */
    vg_model *whole = open_model(GOLDEN "tiny-b");
    vg_engine *engine = open_engine();
    vg_conditions text = {0};
    vg_latents latents = {.shape = {16, 1, 4, 4}, .values = (float[256]){0}};
    vg_frames frames;
    vg_plan plan;
    p = params_of(whole, 32, 32, 5);
    CHECK_FAILS(vg_plan_make(model, &p, &plan, &err), VG_E_MISSING, err);
    CHECK_FAILS(vg_encode(engine, model, &p, NULL, &text, &err), VG_E_MISSING, err);
    CHECK_FAILS(vg_denoise(engine, model, &p, &text, NULL, NULL, &latents, &err), VG_E_MISSING,
                err);
    CHECK_FAILS(vg_decode(engine, model, &p, &latents, NULL, &frames, &err), VG_E_MISSING, err);
    assert_non_null(strstr(err.message, "vae/config.json"));
    vg_engine_close(engine);
    vg_model_close(whole);
    vg_model_close(model);
}

typedef struct noted {
    char text[600];
} noted;

static void keep_note(void *user, const vg_event *e)
{
    noted *n = user;
    if (e->kind == VG_EVENT_NOTE)
        snprintf(n->text, sizeof n->text, "%s", e->detail);
}

/* A golden model one tensor of which is NaN, in the scratch folder. */
static void poison(void **state, const char *golden, const char *component, const char *stem,
                   const char *tensor)
{
    static float nans[4096];
    char dir[400], file[200];
    vg_err err;
    vg_weights *weights;
    bool found = false;
    snprintf(dir, sizeof dir, GOLDEN "%s", golden);
    link_model(state, dir, component);
    snprintf(dir, sizeof dir, GOLDEN "%s/%s", golden, component);
    snprintf(file, sizeof file, "%s/%s.safetensors", component, stem);
    CHECK_OK(vg_weights_open(dir, &weights, &err), err);
    int count = vg_weights_count(weights);
    vg_safetensors_entry *entries = calloc((size_t)count, sizeof *entries);
    for (int i = 0; i < 4096; i++)
        nans[i] = NAN;
    for (int i = 0; i < count; i++) {
        entries[i] =
            (vg_safetensors_entry){vg_weights_name(weights, i), *vg_weights_tensor(weights, i)};
        if (strcmp(entries[i].name, tensor) == 0) {
            assert_true(vg_tensor_numel(&entries[i].tensor) <= 4096);
            entries[i].tensor = vg_tensor_of(nans, VG_F32, 1, entries[i].tensor.shape);
            found = true;
        }
    }
    assert_true(found);
    CHECK_OK(vg_safetensors_write(scratch_path(state, file), entries, count, NULL, &err), err);
    free(entries);
    vg_weights_close(weights);
}

static void expect_words(const vg_err *err, const char *a, const char *b)
{
    if (!strstr(err->message, a) || !strstr(err->message, b))
        fail_msg("not \"%s\" and \"%s\": %s", a, b, err->message);
}

static void test_model_engine_frames_that_are_not_finite_are_an_error(void **state)
{
    static const struct {
        int side;
        bool tiling;
        const char *count;
    } cases[] = {{32, false, "3072 of 3072"}, {320, true, "307200 of 307200"}};
    vg_err err;
    vg_engine *engine = open_engine();
    poison(state, "tiny-a", "vae", "diffusion_pytorch_model", "decoder.conv_out.bias");
    vg_model *model = open_model(*state);
    for (size_t i = 0; i < 2; i++) {
        vg_generate_params p = params_of(model, cases[i].side, cases[i].side, 1);
        int64_t side = cases[i].side / 8;
        vg_latents latents = {.shape = {16, 1, side, side},
                              .values = calloc((size_t)(16 * side * side), sizeof(float)),
                              .steps = p.steps,
                              .steps_done = p.steps};
        vg_frames frames = {0};
        p.vae_tiling = cases[i].tiling;
        CHECK_FAILS(vg_decode(engine, model, &p, &latents, NULL, &frames, &err), VG_E_FORMAT, err);
        expect_words(&err, "the frames that vae made are not finite", cases[i].count);
        assert_null(frames.rgb);
        vg_latents_deinit(&latents);
    }
    /* The engine goes on with a decoder that is whole, and nothing is counted any more. */
    vg_model *whole = open_model(GOLDEN "tiny-a");
    vg_generate_params p = params_of(whole, 32, 32, 1);
    float values[16 * 4 * 4] = {0};
    vg_latents latents = {.shape = {16, 1, 4, 4}, .values = values};
    vg_frames frames;
    CHECK_OK(vg_decode(engine, whole, &p, &latents, NULL, &frames, &err), err);
    assert_null(vg_engine_backend(engine)->unfinite);
    vg_frames_deinit(&frames);
    vg_model_close(whole);
    vg_model_close(model);
    vg_engine_close(engine);
}

static void test_model_engine_names_the_encoder_that_is_not_finite(void **state)
{
    vg_err err;
    vg_engine *engine = open_engine();
    poison(state, "tiny-a", "text_encoder", "model", "encoder.final_layer_norm.weight");
    vg_model *model = open_model(*state);
    vg_generate_params p = params_of(model, 32, 32, 1);
    vg_conditions text = {0};
    CHECK_FAILS(vg_encode(engine, model, &p, NULL, &text, &err), VG_E_FORMAT, err);
    expect_words(&err, "what text_encoder made: prompt_embeds is not finite", "NaN");
    assert_int_equal(text.count, 0);
    vg_model_close(model);
    vg_engine_close(engine);
}

static void test_model_engine_names_the_step_that_is_not_finite(void **state)
{
    vg_err err;
    vg_engine *engine = open_engine();
    poison(state, "tiny-b", "transformer_2", "diffusion_pytorch_model", "proj_out.bias");
    vg_model *model = open_model(*state);
    vg_generate_params p = params_of(model, 32, 32, 1);
    vg_conditions text;
    vg_latents latents;
    CHECK_OK(vg_encode(engine, model, &p, NULL, &text, &err), err);
    CHECK_FAILS(vg_denoise(engine, model, &p, &text, NULL, NULL, &latents, &err), VG_E_FORMAT, err);
    if (!strstr(err.message, "step ") || strstr(err.message, "step 1:") ||
        !strstr(err.message, "not finite"))
        fail_msg("%s", err.message);
    vg_input_scales *scales;
    CHECK_FAILS(vg_calibrate(engine, model, &p, &text, 4, NULL, &scales, &err), VG_E_FORMAT, err);
    float init[16 * 4 * 4] = {0};
    int64_t shape[4] = {16, 1, 4, 4};
    p.init_latents = init;
    p.init_latents_shape = shape;
    CHECK_OK(vg_model_defaults(model, &p, &err), err);
    init[7] = INFINITY;
    CHECK_FAILS(vg_model_defaults(model, &p, &err), VG_E_FORMAT, err);
    vg_conditions_deinit(&text);
    vg_model_close(model);
    vg_engine_close(engine);
}

static void test_model_engine_notes_unused_tensors(void **state)
{
    vg_err err;
    vg_engine *engine = open_engine();
    noted n = {""};
    vg_callbacks cb = {.user = &n, .event = keep_note};
    cJSON *json;
    for (int fewer = 0; fewer < 2; fewer++) {
        CHECK_OK(vg_file_remove_tree(*state, &err), err);
        CHECK_OK(vg_file_make_dirs(*state, &err), err);
        link_model(state, GOLDEN "tiny-b", "transformer");
        assert_int_equal(
            symlink(GOLDEN "tiny-b/transformer/diffusion_pytorch_model.safetensors",
                    scratch_path(state, "transformer/diffusion_pytorch_model.safetensors")),
            0);
        CHECK_OK(vg_json_load(scratch_path(state, "transformer/config.json"), &json, &err), err);
        if (fewer)
            cJSON_SetNumberValue(cJSON_GetObjectItem(json, "num_layers"), 1);
        CHECK_OK(vg_json_save(scratch_path(state, "transformer/config.json"), json, &err), err);
        cJSON_Delete(json);
        vg_model *model = open_model(*state);
        vg_generate_params p = params_of(model, 32, 32, 1);
        vg_conditions text;
        vg_latents latents;
        p.steps = 1;
        CHECK_OK(vg_encode(engine, model, &p, NULL, &text, &err), err);
        CHECK_OK(vg_denoise(engine, model, &p, &text, NULL, &cb, &latents, &err), err);
        if (fewer ? !strstr(n.text, "not used, the first is blocks.1.") : n.text[0] != 0)
            fail_msg("\"%s\"", n.text);
        vg_latents_deinit(&latents);
        vg_conditions_deinit(&text);
        vg_model_close(model);
    }
    vg_engine_close(engine);
}

/* ---- preview ---- */

static void test_model_engine_preview_fit_recovers_a_map(void **state)
{
    vg_err err;
    check_rng rng = {7};
    vg_preview true_map = {.channels = 5, .bias = {0.1f, -0.2f, 0.3f}}, fitted;
    float latents[200][5], rgb[200][3];
    (void)state;
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 3; j++)
            true_map.factor[i][j] = (float)check_random(&rng);
    for (int s = 0; s < 200; s++)
        for (int j = 0; j < 3; j++) {
            rgb[s][j] = true_map.bias[j];
            for (int i = 0; i < 5; i++) {
                if (j == 0)
                    latents[s][i] = (float)check_random(&rng);
                rgb[s][j] += true_map.factor[i][j] * latents[s][i];
            }
        }
    CHECK_OK(vg_preview_fit(&fitted, 5, &latents[0][0], &rgb[0][0], 200, &err), err);
    for (int j = 0; j < 3; j++) {
        assert_true(fabsf(fitted.bias[j] - true_map.bias[j]) < 0.01f);
        for (int i = 0; i < 5; i++)
            assert_true(fabsf(fitted.factor[i][j] - true_map.factor[i][j]) < 0.02f);
    }
    CHECK_FAILS(vg_preview_fit(&fitted, 5, &latents[0][0], &rgb[0][0], 5, &err), VG_E_ARG, err);
}

/* On the trained demo the last preview looks like the middle of the decoded clip, shrunk. */
static void test_model_engine_preview_resembles_the_clip(void **state)
{
    vg_err err;
    vg_engine *engine = open_engine();
    vg_model *model = open_model(VG_SOURCE_DIR "/presets/demo/wan-t2v");
    vg_generate_params p = params_of(model, 96, 160, 9);
    vg_conditions text;
    vg_latents latents;
    vg_frames frames;
    notes n = {0};
    vg_callbacks cb = {.user = &n, .event = note};
    double difference = 0;
    (void)state;
    p.compute = VG_COMPUTE_F32;
    p.steps = 8;
    CHECK_OK(vg_encode(engine, model, &p, NULL, &text, &err), err);
    CHECK_OK(vg_denoise(engine, model, &p, &text, NULL, &cb, &latents, &err), err);
    CHECK_OK(vg_decode(engine, model, &p, &latents, NULL, &frames, &err), err);
    assert_true(n.previews == 8 && n.width == 20 && n.height == 12);
    for (int y = 0; y < n.height; y++)
        for (int x = 0; x < n.width; x++)
            for (int k = 0; k < 3; k++) {
                int sum = 0;
                for (int i = 0; i < 64; i++)
                    sum += frames.rgb[(((size_t)3 * 96 + (size_t)(y * 8 + i / 8)) * 160 +
                                       (size_t)(x * 8 + i % 8)) *
                                          3 +
                                      (size_t)k];
                difference += abs(sum / 64 - n.picture[(y * n.width + x) * 3 + k]);
            }
    difference /= n.width * n.height * 3;
    if (!(difference < 40))
        fail_msg("the preview differs from the clip by %.1f levels on average", difference);
    vg_frames_deinit(&frames);
    vg_latents_deinit(&latents);
    vg_conditions_deinit(&text);
    vg_model_close(model);
    vg_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model_engine_defaults_follow_the_checkpoint),
        cmocka_unit_test_setup_teardown(test_model_engine_own_file, scratch_open, scratch_close),
        cmocka_unit_test_setup_teardown(test_model_engine_takes_what_does_not_matter, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_model_engine_boundary_of_a_partial_index, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_model_engine_refuses_what_it_cannot_run, scratch_open,
                                        scratch_close),
        cmocka_unit_test(test_model_engine_parts_are_listed),
        cmocka_unit_test_setup_teardown(test_model_engine_identity_of_each_component, scratch_open,
                                        scratch_close),
        cmocka_unit_test(test_model_engine_precision_counts),
        cmocka_unit_test(test_model_engine_flop_is_the_table),
        cmocka_unit_test(test_model_engine_plan_covers_the_run),
        cmocka_unit_test_setup_teardown(test_model_engine_static_scales, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_model_engine_calibration_follows_the_schedule,
                                        scratch_open, scratch_close),
        cmocka_unit_test_setup_teardown(test_model_engine_without_vae, scratch_open, scratch_close),
        cmocka_unit_test_setup_teardown(test_model_engine_frames_that_are_not_finite_are_an_error,
                                        scratch_open, scratch_close),
        cmocka_unit_test_setup_teardown(test_model_engine_names_the_encoder_that_is_not_finite,
                                        scratch_open, scratch_close),
        cmocka_unit_test_setup_teardown(test_model_engine_names_the_step_that_is_not_finite,
                                        scratch_open, scratch_close),
        cmocka_unit_test_setup_teardown(test_model_engine_notes_unused_tensors, scratch_open,
                                        scratch_close),
        cmocka_unit_test(test_model_engine_preview_fit_recovers_a_map),
        cmocka_unit_test(test_model_engine_preview_resembles_the_clip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_cli_layouts.c: FP8 checkpoints as others write them, miniatures of each: the same weights give the same latents, byte for byte, whatever the
 * label around them looks like; what a layer runs in is decided by its own tensors. And the demo: calibrated, exported, checked, loaded, compared. */
#include "tests/app/edit_weights.h"

#define EXPORT VG_TEST_DIR "/golden/tiny-b-modelopt-fp8"
#define SOURCE VG_TEST_DIR "/golden/tiny-b"
#define MODELOPT_LABEL                                                                             \
    "{\"producer\": {\"name\": \"modelopt\", \"version\": \"0.42.0\"}, \"quantization\": "         \
    "{\"quant_algo\": \"FP8\", \"kv_cache_quant_algo\": null, \"exclude_modules\": "               \
    "[\"blocks.7*\", \"proj_out\"]}}"

/* A whole checkpoint of layout A. */
static const char *make_base(const char *name)
{
    static char dir[300];
    snprintf(dir, sizeof dir, "%s/%s", cli_dir, name);
    edit_copy_tree(SOURCE, dir);
    edit_copy_tree(EXPORT, dir);
    return dir;
}

static const char *in_dir(const char *name)
{
    static char paths[8][400];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", cli_dir, name);
    return path;
}

/* Latents of a checkpoint, to a file; what was said on the way, malloc'd. */
static char *generate(const char *model, const char *latents, const char *flag, const char *value)
{
    cli_result r = CLI("generate", "--model", model, "--prompt",
                       "An astronaut riding a horse on Mars", "--height", "32", "--width", "32",
                       "--num-frames", "5", "--num-inference-steps", "4", "--quantization", "fp8",
                       "--save-latents", latents, flag ? flag : "--seed", flag ? value : "42");
    if (r.status != 0)
        fail_msg("%s: %s", model, r.err);
    char *said = r.err;
    r.err = NULL;
    cli_result_free(&r);
    return said;
}

/* ---- the label elsewhere, or other words in it: the folder's configs are texts ---- */

typedef void relabel_fn(const char *dir, const char *folder);

static void cut_label(const char *dir, const char *folder, const char *instead)
{
    char name[64], path[600];
    cJSON *root = NULL;
    vg_err err = {0};
    snprintf(name, sizeof name, "%s/config.json", folder);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    CHECK_OK(vg_json_load(path, &root, &err), err);
    cJSON_DeleteItemFromObject(root, "quantization_config");
    if (instead)
        cJSON_AddItemToObject(root, "quantization_config", cJSON_Parse(instead));
    CHECK_OK(vg_json_save(path, root, &err), err);
    cJSON_Delete(root);
}

/* B: ModelOpt's own export of a pipeline, with an acceleration that is not ours; no config_groups, as its converter leaves FP8_PB_WO. */
static void layout_b(const char *dir, const char *folder)
{
    cut_label(
        dir, folder,
        "{\"quant_algo\": \"fp8\", \"producer\": {\"name\": \"modelopt\", \"version\": \"0.43.0\"}, "
        "\"quant_method\": \"modelopt\", \"ignore\": [\"blocks.7*\", \"proj_out\"], "
        "\"sparse_attention_config\": {\"config_groups\": {\"group_0\": {\"algorithm\": "
        "\"skip_softmax\", \"targets\": [\"WanAttention\"]}}}}");
}

/* C: of transformers: nested, in a file of its own. */
static void layout_c(const char *dir, const char *folder)
{
    char name[80];
    cut_label(dir, folder, NULL);
    snprintf(name, sizeof name, "%s/hf_quant_config.json", folder);
    edit_text(dir, name, MODELOPT_LABEL);
}

/* The same converted into config.json. */
static void layout_c_converted(const char *dir, const char *folder)
{
    cut_label(dir, folder,
              "{\"quant_method\": \"modelopt\", \"quantization\": {\"quant_algo\": \"FP8\", "
              "\"exclude_modules\": []}}");
}

/* D: with a cache that these models do not have. */
static void layout_d(const char *dir, const char *folder)
{
    cut_label(dir, folder,
              "{\"quant_method\": \"modelopt\", \"quant_algo\": \"FP8\", \"kv_cache_scheme\": "
              "{\"dynamic\": false, \"num_bits\": 8, \"type\": \"float\"}, \"ignore\": []}");
}

static void in_metadata(edit_file *f)
{
    static const char *const metadata[] = {
        "quantization_config", "{\"quant_method\": \"modelopt\", \"quant_algo\": \"FP8\"}",
        "_quantization_metadata", "{\"format_version\": \"1.0\", \"layers\": {}}", NULL};
    f->metadata = metadata;
}

/* E: in the file itself. */
static void layout_e(const char *dir, const char *folder)
{
    cut_label(dir, folder, NULL);
    edit_weights(dir, folder, in_metadata);
}

/* Scales of one number with one dimension, as SGLang's converter writes them, and no leftovers of the quantiser. */
static void one_dimension(edit_file *f)
{
    for (int i = f->count - 1; i >= 0; i--) {
        vg_tensor *t = &f->entries[i].tensor;
        if (strstr(f->names[i], "_quantizer."))
            edit_drop(f, f->names[i]);
        else if (strstr(f->names[i], "_scale") && t->ndim == 0) {
            t->ndim = 1;
            t->shape[0] = 1;
        }
    }
}

static void layout_sglang(const char *dir, const char *folder)
{
    edit_weights(dir, folder, one_dimension);
}

static void test_cli_layouts_give_the_same_latents(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        relabel_fn *relabel;
        const char *algo; /* as the log has it */
    } cases[] = {
        {"b", layout_b, "(quant_algo=fp8)"},
        {"c", layout_c, "(quant_algo=FP8)"},
        {"c2", layout_c_converted, "(quant_algo=FP8)"},
        {"d", layout_d, "(quant_algo=FP8)"},
        {"e", layout_e, "(quant_algo=FP8)"},
        {"sglang", layout_sglang, "(quant_algo=FP8)"},
    };
    const char *reference = in_dir("a.safetensors");
    char *said = generate(make_base("a"), reference, NULL, NULL);
    /* Whether FP8 is really on, in one line a folder. */
    assert_non_null(strstr(said,
                           "transformer: detected modelopt FP8 checkpoint (quant_algo=FP8): 20 FP8 "
                           "per-tensor (static), 4 BF16, 2 F32; 0 input scales skipped"));
    assert_non_null(strstr(said, "transformer_2: detected modelopt FP8 checkpoint"));
    free(said);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *dir = make_base(cases[i].name), *latents = in_dir("other.safetensors");
        cases[i].relabel(dir, "transformer");
        cases[i].relabel(dir, "transformer_2");
        said = generate(dir, latents, NULL, NULL);
        if (!strstr(said, cases[i].algo))
            fail_msg("%s: %s", cases[i].name, said);
        if (!cli_same_file(reference, latents))
            fail_msg("layout %s gives other latents", cases[i].name);
        free(said);
    }
}

/* ---- precision layer by layer ---- */

static vg_safetensors *source_st;

/* A layer as it was before quantising, in the middle of q, k and v. */
static void restore_k(edit_file *f)
{
    static const char *const layer = "blocks.1.attn1.to_k";
    char name[128];
    snprintf(name, sizeof name, "%s.weight", layer);
    const vg_tensor *t = vg_safetensors_find(source_st, name);
    vg_safetensors_entry *e = edit_entry_of(f, name);
    free(e->tensor.data);
    e->tensor = *t;
    e->tensor.data = malloc(vg_tensor_bytes(t));
    memcpy(e->tensor.data, t->data, vg_tensor_bytes(t));
    edit_drop(f, "blocks.1.attn1.to_k.weight_scale");
    edit_drop(f, "blocks.1.attn1.to_k.input_scale");
}

static void test_cli_layouts_mix_precisions(void **state)
{
    (void)state;
    vg_err err = {0};
    const char *dir = make_base("mixed"), *latents = in_dir("mixed.safetensors");
    CHECK_OK(vg_safetensors_open(SOURCE "/transformer/" EDIT_WEIGHTS, &source_st, &err), err);
    edit_weights(dir, "transformer", restore_k);
    vg_safetensors_close(source_st);
    char *said = generate(dir, latents, NULL, NULL);
    assert_non_null(strstr(
        said,
        "transformer: detected modelopt FP8 checkpoint (quant_algo=FP8): 19 FP8 per-tensor (static), 5 BF16"));
    assert_non_null(
        strstr(said, "transformer_2: detected modelopt FP8 checkpoint (quant_algo=FP8): 20 FP8"));
    assert_false(cli_same_file(in_dir("a.safetensors"), latents));
    free(said);
    /* One expert FP8, the other BF16, each by its own folder. */
    char command[900];
    dir = make_base("half");
    snprintf(command, sizeof command, "rm -r '%s/transformer_2' && cp -r '%s/transformer_2' '%s/'",
             dir, SOURCE, dir);
    assert_int_equal(system(command), 0);
    cli_result r = CLI("generate", "--model", dir, "--prompt", "x", "--height", "32", "--width",
                       "32", "--num-frames", "5", "--num-inference-steps", "4", "--quantization",
                       "fp8", "--fp8-act", "dynamic");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.err, "transformer: detected"));
    assert_null(strstr(r.err, "transformer_2: detected"));
    cli_result_free(&r);
}

static void test_cli_layouts_ignore_layers(void **state)
{
    (void)state;
    const char *dir = make_base("ignore"), *by_name = in_dir("name.safetensors"),
               *by_rule = in_dir("rule.safetensors");
    char *said = generate(dir, by_name, "--ignored-layers", "blocks.0.attn1,blocks.1.ffn.net.2");
    assert_non_null(strstr(
        said,
        "15 FP8 per-tensor (static), 9 BF16, 2 F32; 5 dequantised from FP8; 5 input scales skipped"));
    free(said);
    free(generate(dir, by_rule, "--precision", "blocks.0.attn1.*=bf16,blocks.1.ffn.net.2=bf16"));
    assert_true(cli_same_file(by_name, by_rule));
    assert_false(cli_same_file(by_name, in_dir("a.safetensors")));
    /* A name that is no layer's, nor above any, is a mistake; nothing matches by being a part of a name. */
    cli_result r =
        CLI("generate", "--model", dir, "--prompt", "x", "--ignore-layers", "blocks.0.att");
    assert_int_equal(r.status, 2);
    assert_non_null(strstr(r.err, "is about no layer of this model"));
    cli_result_free(&r);
}

/* ---- the demo, from its weights to a comparison ---- */

static double figure(const cJSON *variant, const char *metric)
{
    const cJSON *metrics = cJSON_GetObjectItem(variant, "metrics"),
                *one = cJSON_GetObjectItem(metrics, metric);
    const cJSON *mean = cJSON_IsObject(one) ? cJSON_GetObjectItem(one, "mean") : one;
    assert_true(cJSON_IsNumber(mean));
    return mean->valuedouble;
}

static void quantise_demo(const char *out, const char *format)
{
    cli_result r = CLI("quantize", "--quiet", "--model", "demo", "--output", out, "--format",
                       format, "--calib-size", "2", "--calib-steps", "6", "--num-frames", "5",
                       "--prompt", "a small blue square growing on a grey background");
    if (r.status != 0)
        fail_msg("%s", r.err);
    cli_result_free(&r);
    r = CLI("check", "--model", out, "--source", VG_SOURCE_DIR "/presets/demo/wan-t2v");
    if (r.status != 0)
        fail_msg("%s", r.out);
    cli_result_free(&r);
}

static void test_cli_layouts_demo_from_weights_to_comparison(void **state)
{
    (void)state;
    char tensor[400], tiles[400], one[500], two[500];
    snprintf(tensor, sizeof tensor, "%s", in_dir("demo-fp8"));
    snprintf(tiles, sizeof tiles, "%s", in_dir("demo-fp8-block"));
    quantise_demo(tensor, "fp8");
    quantise_demo(tiles, "fp8_pb_wo");
    snprintf(one, sizeof one, "exported: model=%s,quantization=fp8", tensor);
    snprintf(two, sizeof two, "tiles: model=%s,quantization=fp8-block", tiles);
    cli_result r = CLI("compare", "--json", "--model", "demo", "--prompt",
                       "a small blue square growing on a grey background", "--num-frames", "5",
                       "--num-inference-steps", "8", "--variant", one, "--variant", two,
                       "--variant", "made tiles: quantization=fp8-block");
    if (r.status != 0)
        fail_msg("%s", r.err);
    cJSON *o = cJSON_Parse(r.out);
    const cJSON *variants = cJSON_GetObjectItem(o, "variants");
    assert_int_equal(cJSON_GetArraySize(variants), 4);
    const cJSON *exported = cJSON_GetArrayItem(variants, 1),
                *stored = cJSON_GetArrayItem(variants, 2), *made = cJSON_GetArrayItem(variants, 3);
    assert_non_null(strstr(cJSON_GetObjectItem(exported, "precision")->valuestring,
                           "60 FP8 per-tensor (static)"));
    assert_true(figure(exported, "psnr") > 20 && figure(stored, "psnr") > 20);
    /* Tiles that were written are those that would be made at load: not one bit of the latents differs. */
    assert_true(cli_same_file(cJSON_GetObjectItem(stored, "latents")->valuestring,
                              cJSON_GetObjectItem(made, "latents")->valuestring) ||
                figure(stored, "psnr") == figure(made, "psnr"));
    cJSON_Delete(o);
    cli_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_layouts_give_the_same_latents),
        cmocka_unit_test(test_cli_layouts_mix_precisions),
        cmocka_unit_test(test_cli_layouts_ignore_layers),
        cmocka_unit_test(test_cli_layouts_demo_from_weights_to_comparison),
    };
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}

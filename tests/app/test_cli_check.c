/* test_cli_check.c: vgen check on an export that is whole, and on the same with one thing wrong at a time: each is found, on the level that it
 * has, with its layer named. */
#include "tests/app/edit_weights.h"

#define EXPORT VG_TEST_DIR "/golden/tiny-b-modelopt-fp8"
#define SOURCE VG_TEST_DIR "/golden/tiny-b"
#define BLOCK  VG_TEST_DIR "/golden/tiny-a-modelopt-fp8-block"
#define LAYER  "blocks.1.attn2.to_k"

/* A whole checkpoint: the source's parts with the export's transformers. */
static char *make_whole(const char *name)
{
    static char dir[300];
    snprintf(dir, sizeof dir, "%s/%s", cli_dir, name);
    edit_copy_tree(SOURCE, dir);
    edit_copy_tree(EXPORT, dir);
    return dir;
}

/* ---- what can be wrong ---- */

static void no_scale(edit_file *f)
{
    edit_drop(f, LAYER ".weight_scale");
}
static void zero_scale(edit_file *f)
{
    edit_set_f32(f, LAYER ".weight_scale", 0);
}
static void negative_scale(edit_file *f)
{
    edit_set_f32(f, LAYER ".weight_scale", -0.25f);
}
static void unset_scale(edit_file *f) /* what a parameter holds that nobody loaded */
{
    edit_set_f32(f, LAYER ".weight_scale", -3.4028235e38f);
}
static void nan_scale(edit_file *f)
{
    edit_set_f32(f, LAYER ".input_scale", NAN);
}
static void misshapen_scale(edit_file *f)
{
    vg_safetensors_entry *e = edit_entry_of(f, LAYER ".weight_scale");
    free(e->tensor.data);
    e->tensor.data = calloc(3, sizeof(float));
    e->tensor.ndim = 1;
    e->tensor.shape[0] = 3;
}
static void no_input_scale(edit_file *f)
{
    edit_drop(f, LAYER ".input_scale");
}
static void one_input_scale(edit_file *f)
{
    edit_set_f32(f, LAYER ".input_scale", 1);
}
static void nan_code(edit_file *f)
{
    ((uint8_t *)edit_entry_of(f, LAYER ".weight")->tensor.data)[7] = 0xff;
}
static void small_codes(edit_file *f)
{
    vg_tensor *t = &edit_entry_of(f, LAYER ".weight")->tensor;
    memset(t->data, 0x30, vg_tensor_bytes(t));
}
static void no_norm(edit_file *f)
{
    edit_drop(f, "blocks.0.norm2.weight");
}
static void nan_bias(edit_file *f)
{
    uint16_t nan = 0x7fc0;
    memcpy(edit_entry_of(f, "blocks.0.ffn.net.2.bias")->tensor.data, &nan, sizeof nan);
}
static void stranger(edit_file *f)
{
    vg_safetensors_entry *e = &f->entries[f->count++];
    *e = f->entries[0];
    e->tensor.data = malloc(vg_tensor_bytes(&e->tensor));
    memcpy(e->tensor.data, f->entries[0].tensor.data, vg_tensor_bytes(&e->tensor));
    snprintf(f->names[f->count - 1], sizeof f->names[0], "blocks.0.nobody.weight");
}

/* ---- asking ---- */

static cJSON *check_json(const char *dir, const char *more, int status)
{
    cli_result r = CLI("check", "--json", "--model", dir, more ? "--source" : "--quiet", more);
    if (r.status != status)
        fail_msg("status %d, not %d: %s%s", r.status, status, r.out, r.err);
    cJSON *o = cJSON_Parse(r.out);
    assert_non_null(o);
    cli_result_free(&r);
    return o;
}

static bool found(const cJSON *report, const char *level, const char *component, const char *text)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(report, "findings"))
    {
        if (!strcmp(cJSON_GetObjectItem(item, "level")->valuestring, level) &&
            !strcmp(cJSON_GetObjectItem(item, "component")->valuestring, component) &&
            strstr(cJSON_GetObjectItem(item, "text")->valuestring, text))
            return true;
    }
    return false;
}

static double number(const cJSON *o, const char *key)
{
    const cJSON *item = cJSON_GetObjectItem(o, key);
    assert_true(cJSON_IsNumber(item));
    return item->valuedouble;
}

static void test_cli_check_passes_what_is_whole(void **state)
{
    (void)state;
    const char *dir = make_whole("whole");
    cJSON *o = check_json(dir, SOURCE, 0);
    assert_string_equal(cJSON_GetObjectItem(o, "verdict")->valuestring, "pass");
    const cJSON *folders = cJSON_GetObjectItem(o, "folders"), *f;
    assert_int_equal(cJSON_GetArraySize(folders), 2);
    cJSON_ArrayForEach(f, folders)
    {
        assert_string_equal(cJSON_GetObjectItem(f, "quant_algo")->valuestring, "FP8");
        assert_string_equal(cJSON_GetObjectItem(f, "strategy")->valuestring, "tensor");
        assert_true(number(f, "fp8_layers") == 20 && number(f, "quantisable_layers") == 20);
        assert_true(number(f, "input_scales") == 20 && number(f, "stray_states") == 2);
        assert_true(number(f, "nan_codes") == 0 && number(f, "codes") == 44544);
        /* Rounding to three bits of mantissa: 2^-4 at most, about 0.026 on the whole. */
        const cJSON *e = cJSON_GetObjectItem(f, "error");
        assert_true(number(e, "rms") > 0.02 && number(e, "rms") < 0.03);
        assert_true(number(e, "largest") > 0.05 && number(e, "largest") < 0.065);
        assert_true(number(e, "high_precision_differ") == 0);
    }
    const cJSON *sizes = cJSON_GetObjectItem(o, "sizes");
    assert_true(number(sizes, "disk_bytes") < number(sizes, "bf16_bytes"));
    assert_true(number(sizes, "bf16_bytes") < number(sizes, "source_disk_bytes")); /* F32 */
    cJSON_Delete(o);
}

static void test_cli_check_finds_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        edit_fn *edit;
        int status;
        const char *level, *text;
    } cases[] = {
        {no_scale, 1, "failure", LAYER " is FP8 but its weight_scale is missing"},
        {zero_scale, 1, "failure", LAYER ".weight_scale"},
        {negative_scale, 1, "failure", LAYER ".weight_scale"},
        {unset_scale, 1, "failure", LAYER ".weight_scale"},
        {nan_scale, 1, "failure", LAYER ".input_scale"},
        {misshapen_scale, 1, "failure", LAYER ".weight_scale"},
        {no_input_scale, 1, "failure", LAYER " is FP8 but its input_scale is missing"},
        {one_input_scale, 2, "warning", "as if nobody had set it; the first is " LAYER},
        {nan_code, 1, "failure", LAYER ": 1 of "},
        {small_codes, 2, "warning", LAYER ": its codes reach 0.5 of 448 only"},
        {no_norm, 1, "failure", "blocks.0.norm2.weight is missing"},
        {nan_bias, 1, "failure", "blocks.0.ffn.net.2.bias: 1 values are NaN"},
        {stranger, 2, "warning", "one is blocks.0.nobody.weight"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *dir = make_whole("wrong");
        edit_weights(dir, "transformer_2", cases[i].edit);
        cJSON *o = check_json(dir, NULL, cases[i].status);
        if (!found(o, cases[i].level, "transformer_2", cases[i].text)) {
            char *text = cJSON_Print(cJSON_GetObjectItem(o, "findings"));
            fail_msg("%s is not among %s", cases[i].text, text);
        }
        assert_false(found(o, "failure", "transformer", "")); /* the other folder is innocent */
        cJSON_Delete(o);
    }
}

static void test_cli_check_holds_labels_against_tensors(void **state)
{
    (void)state;
    char *dir = make_whole("labels");
    edit_replace(dir, "transformer/config.json", "\"FP8\"", "\"FP8_PB_WO\"");
    cJSON *o = check_json(dir, NULL, 2);
    assert_true(found(o, "warning", "transformer", "the scales are per-tensor"));
    cJSON_Delete(o);
    dir = make_whole("labels");
    edit_replace(dir, "transformer/config.json", "\"proj_out*\"", "\"blocks.1.*\"");
    o = check_json(dir, NULL, 2);
    assert_true(found(o, "warning", "transformer", "10 FP8 layers are among those"));
    cJSON_Delete(o);
    dir = make_whole("labels");
    edit_replace(dir, "transformer/config.json", "quantization_config", "quantization_konfig");
    o = check_json(dir, NULL, 1);
    assert_true(found(o, "failure", "transformer", "there is no quantization_config"));
    cJSON_Delete(o);
    /* The same label where other exporters leave it. */
    edit_text(dir, "hf_quant_config.json",
              "{\"producer\": {\"name\": \"modelopt\", \"version\": \"0.47.0\"}, "
              "\"quantization\": {\"quant_algo\": \"FP8\"}}");
    o = check_json(dir, NULL, 0);
    const cJSON *f = cJSON_GetArrayItem(cJSON_GetObjectItem(o, "folders"), 0);
    assert_string_equal(cJSON_GetObjectItem(f, "metadata")->valuestring, "hf_quant_config.json");
    assert_string_equal(cJSON_GetObjectItem(f, "producer")->valuestring, "modelopt 0.47.0");
    cJSON_Delete(o);
}

static void test_cli_check_compares_folders_and_sources(void **state)
{
    (void)state;
    char command[1200], *dir = make_whole("one");
    /* Only one of two experts. */
    snprintf(command, sizeof command, "rm -r '%s/transformer_2' && cp -r '%s/transformer_2' '%s'",
             dir, SOURCE, dir);
    assert_int_equal(system(command), 0);
    cJSON *o = check_json(dir, NULL, 2);
    assert_true(found(o, "warning", "transformer_2", "only one of them is quantised"));
    cJSON_Delete(o);
    /* The other expert's weights in the place of this one's. */
    dir = make_whole("swapped");
    snprintf(command, sizeof command,
             "cp '%s/transformer/" EDIT_WEIGHTS "' '%s/transformer_2/" EDIT_WEIGHTS "'", dir, dir);
    assert_int_equal(system(command), 0);
    o = check_json(dir, SOURCE, 1);
    assert_true(found(o, "failure", "transformer_2", "is not the source's"));
    assert_false(found(o, "failure", "transformer", "is not the source's"));
    cJSON_Delete(o);
    o = check_json(dir, NULL, 0); /* in itself it is whole */
    cJSON_Delete(o);
    /* A part is missing. */
    snprintf(command, sizeof command, "rm -r '%s/vae'", dir);
    assert_int_equal(system(command), 0);
    o = check_json(dir, NULL, 1);
    assert_true(found(o, "failure", "vae", "no VAE"));
    cJSON_Delete(o);
}

static void test_cli_check_reads_indexes(void **state)
{
    (void)state;
    static char dir[300];
    snprintf(dir, sizeof dir, "%s/%s", cli_dir, "block");
    edit_copy_tree(VG_TEST_DIR "/golden/tiny-a", dir);
    char command[1200];
    snprintf(command, sizeof command, "rm -r '%s/transformer'", dir);
    assert_int_equal(system(command), 0);
    edit_copy_tree(BLOCK, dir);
    cJSON *o = check_json(dir, VG_TEST_DIR "/golden/tiny-a", 0);
    const cJSON *f = cJSON_GetArrayItem(cJSON_GetObjectItem(o, "folders"), 0);
    assert_string_equal(cJSON_GetObjectItem(f, "strategy")->valuestring, "block");
    assert_true(number(f, "files") == 2);
    cJSON_Delete(o);
    snprintf(command, sizeof command,
             "cp '%s/transformer/diffusion_pytorch_model-00001-of-00002.safetensors' "
             "'%s/transformer/left.safetensors' && sed -i 's/\"total_size\": [0-9]*/"
             "\"total_size\": 17/' '%s/transformer/diffusion_pytorch_model.safetensors.index.json'",
             dir, dir, dir);
    assert_int_equal(system(command), 0);
    o = check_json(dir, NULL, 2);
    assert_true(found(o, "warning", "transformer", "left.safetensors is not used"));
    assert_true(found(o, "warning", "transformer", "total_size 17"));
    cJSON_Delete(o);
    snprintf(command, sizeof command,
             "rm '%s/transformer/diffusion_pytorch_model-00001-of-00002.safetensors'", dir);
    assert_int_equal(system(command), 0);
    cJSON_Delete(check_json(dir, NULL, 1));
}

static void test_cli_check_says_how_it_ended(void **state)
{
    (void)state;
    const char *dir = make_whole("text");
    cli_result r = CLI("verify", "--output", dir, "--baseline", SOURCE, "--headers-only");
    assert_int_equal(r.status, 0);
    /* Lines that scripts of the reference read. */
    assert_non_null(strstr(r.out, "weight_scale granularity: per-tensor (all scalar scales)"));
    assert_non_null(
        strstr(r.out, "[C] FP8 transformer disk size (transformer + transformer_2): 0.00 GiB"));
    assert_non_null(strstr(
        r.out,
        "[C] BF16 baseline transformer disk size (transformer + transformer_2): 0.00 GiB ("));
    assert_non_null(strstr(r.out, "[C] Disk reduction: "));
    assert_non_null(strstr(r.out, "[C] Whole-repo: FP8 0.00 GiB / BF16 0.00 GiB (reduction "));
    assert_non_null(strstr(r.out, "deployment footprint)"));
    assert_non_null(strstr(r.out, "ALL CHECKS PASSED"));
    assert_non_null(strstr(r.out, "quant_algo FP8, strategy tensor"));
    cli_result_free(&r);
    static const char *const wrong[][4] = {{"check"},
                                           {"check", "--nosuch"},
                                           {"check", "--model", "/no/such/folder"},
                                           {"check", "word"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        r = cli_run(wrong[i]);
        if (r.status != 64)
            fail_msg("%s: %d", wrong[i][1], r.status);
        cli_result_free(&r);
    }
    r = CLI("check", "--help");
    assert_non_null(strstr(r.out, "2 warnings only"));
    cli_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_check_passes_what_is_whole),
        cmocka_unit_test(test_cli_check_finds_what_is_wrong),
        cmocka_unit_test(test_cli_check_holds_labels_against_tensors),
        cmocka_unit_test(test_cli_check_compares_folders_and_sources),
        cmocka_unit_test(test_cli_check_reads_indexes),
        cmocka_unit_test(test_cli_check_says_how_it_ended),
    };
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}

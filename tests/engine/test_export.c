/* test_export.c: exports of the tiny models against what nvidia-modelopt makes of the same weights (tests/oracle/make_quantize.py): names, dtypes,
 * shapes and every byte, codes among them; and the rest of engine/quantize. */
#include "engine/quantize/export.h"
#include "engine/quantize/export_impl.h"
#include "engine/quantize/quantize.h"
#include "engine/quantize/samples.h"
#include "engine/run/model.h"
#include "kernels/base/hash.h"
#include "kernels/base/numeric.h"
#include "tests/scratch.h"

#define GOLDEN VG_TEST_DIR "/golden"

static cJSON *golden(void)
{
    static cJSON *root;
    vg_err err = {0};
    if (!root)
        CHECK_OK(vg_json_load(GOLDEN "/quantize.json", &root, &err), err);
    return root;
}

static const cJSON *at(const cJSON *o, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    if (!item)
        fail_msg("%s is missing", key);
    return item;
}

/* The scales of ModelOpt's own amax. */
static vg_input_scales *scales_of(const cJSON *amax, const char *component)
{
    vg_calibration *calibration;
    vg_input_scales *scales;
    const cJSON *item;
    vg_err err = {0};
    CHECK_OK(vg_calibration_new(&calibration, &err), err);
    cJSON_ArrayForEach(item, amax) CHECK_OK(
        vg_calibration_add(calibration, component, item->string, (float)item->valuedouble, &err),
        err);
    CHECK_OK(vg_calibration_scales(calibration, &scales, &err), err);
    vg_calibration_free(calibration);
    return scales;
}

/* Open a component of a tiny model: its weights and its table. */
typedef struct component {
    vg_model *model;
    vg_weights *weights;
    vg_weight_table table;
} component;

static void component_open(const char *model, const char *folder, vg_load_format format,
                           component *c)
{
    char dir[400];
    vg_err err = {0};
    snprintf(dir, sizeof dir, "%s/%s", GOLDEN, model);
    *c = (component){.table = {.component = folder}};
    CHECK_OK(vg_model_open(dir, format, &c->model, &err), err);
    CHECK_OK(vg_model_weights(c->model, folder, &c->weights, &err), err);
    CHECK_OK(c->model->family->weight_table(c->model, folder, &c->table, &err), err);
}

static void component_close(component *c)
{
    vg_weight_table_deinit(&c->table);
    vg_weights_close(c->weights);
    vg_model_close(c->model);
}

static vg_threads *pool(void)
{
    static vg_threads *threads;
    vg_err err = {0};
    if (!threads)
        CHECK_OK(vg_threads_new(3, &threads, &err), err);
    return threads;
}

static const char *make_dir(void **state, const char *name)
{
    const char *dir = scratch_path(state, name);
    vg_err err = {0};
    CHECK_OK(vg_file_make_dirs(dir, &err), err);
    return dir;
}

static void same_as_golden(const vg_weights *made, const cJSON *want)
{
    const vg_tensor *t = vg_weights_find(made, want->string);
    const cJSON *shape = cJSON_GetArrayItem(want, 1);
    char hex[17];
    if (!t)
        fail_msg("%s is missing", want->string);
    assert_string_equal(vg_dtype_name(t->dtype), cJSON_GetArrayItem(want, 0)->valuestring);
    assert_int_equal(t->ndim, cJSON_GetArraySize(shape));
    for (int i = 0; i < t->ndim; i++)
        assert_int_equal(t->shape[i], (int64_t)cJSON_GetArrayItem(shape, i)->valuedouble);
    snprintf(hex, sizeof hex, "%016llx",
             (unsigned long long)vg_fnv1a(VG_FNV1A_BEGIN, t->data, vg_tensor_bytes(t)));
    if (strcmp(hex, cJSON_GetArrayItem(want, 2)->valuestring))
        fail_msg("%s has other bytes than ModelOpt's", want->string);
}

static void check_case(void **state, const char *name)
{
    const cJSON *one = at(at(golden(), "cases"), name), *folder;
    bool block = cJSON_IsTrue(at(one, "block"));
    int folders = 0;
    cJSON_ArrayForEach(folder, at(one, "folders"))
    {
        component c;
        vg_err err = {0};
        vg_precision_policy policy = {.scheme = block ? VG_SCHEME_FP8_BLOCK : VG_SCHEME_FP8};
        vg_export_counts counts, planned;
        vg_weights *made;
        char path[64];
        const cJSON *item;
        component_open(at(one, "model")->valuestring, folder->string, VG_LOAD_FILES, &c);
        vg_input_scales *scales = scales_of(at(folder, "amax"), folder->string);
        snprintf(path, sizeof path, "%s-%d", name, folders++);
        const char *dir = make_dir(state, path);
        vg_export_options options = {
            .policy = &policy, .input_scales = scales, .compat_rounding = true, .pool = pool()};
        CHECK_OK(vg_export_plan(&c.table, c.weights, &options, &planned, &err), err);
        CHECK_OK(vg_export_weights(&c.table, c.weights, dir, &options, &counts, &err), err);
        assert_int_equal(counts.quantised, cJSON_GetArraySize(at(folder, "amax")));
        assert_int_equal(counts.kept, 0);
        assert_true(counts.bytes == planned.bytes && counts.files == 1);
        CHECK_OK(vg_weights_open(dir, &made, &err), err);
        assert_int_equal(vg_weights_count(made), cJSON_GetArraySize(at(folder, "tensors")));
        cJSON_ArrayForEach(item, at(folder, "tensors")) same_as_golden(made, item);
        assert_string_equal(vg_weights_metadata(made, "format"), "pt");
        vg_weights_close(made);
        vg_input_scales_free(scales);
        component_close(&c);
    }
}

static void test_export_is_modelopts_per_tensor(void **state)
{
    check_case(state, "tensor");
    check_case(state, "i2v");
}

static void test_export_is_modelopts_per_block(void **state)
{
    check_case(state, "block");
}

static void test_export_labels_folders(void **state)
{
    static const struct {
        const char *name, *folder;
    } cases[] = {{"tensor", "transformer_2"}, {"block", "transformer"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const cJSON *one = at(at(golden(), "cases"), cases[i].name);
        component c;
        vg_err err = {0};
        char from[400];
        cJSON *source = NULL, *made = NULL;
        bool block = cJSON_IsTrue(at(one, "block"));
        vg_precision_policy policy = {.scheme = block ? VG_SCHEME_FP8_BLOCK : VG_SCHEME_FP8};
        component_open(at(one, "model")->valuestring, cases[i].folder, VG_LOAD_FILES, &c);
        snprintf(from, sizeof from, "%s/%s/%s", GOLDEN, at(one, "model")->valuestring,
                 cases[i].folder);
        const char *to = make_dir(state, cases[i].name);
        CHECK_OK(vg_export_config(from, to, &c.table, c.weights, &policy,
                                  c.model->family->recipe->ignore, &err),
                 err);
        char path[500];
        snprintf(path, sizeof path, "%s/config.json", to);
        CHECK_OK(vg_json_load(path, &made, &err), err);
        assert_true(cJSON_Compare(at(made, "quantization_config"), at(one, "label"), true));
        /* All else is the source's. */
        snprintf(path, sizeof path, "%s/config.json", from);
        CHECK_OK(vg_json_load(path, &source, &err), err);
        cJSON_DeleteItemFromObject(made, "quantization_config");
        assert_true(cJSON_Compare(made, source, true));
        cJSON_Delete(made);
        cJSON_Delete(source);
        component_close(&c);
    }
}

/* Layers that a rule keeps are BF16, and named in the label; what is left is as before. */
static void test_export_keeps_what_rules_keep(void **state)
{
    component c;
    vg_err err = {0};
    vg_precision_policy policy = {.scheme = VG_SCHEME_FP8};
    vg_export_counts counts;
    vg_weights *made;
    cJSON *config = NULL;
    char path[500];
    const cJSON *amax =
        at(at(at(at(at(golden(), "cases"), "tensor"), "folders"), "transformer"), "amax");
    component_open("tiny-b", "transformer", VG_LOAD_FILES, &c);
    CHECK_OK(vg_precision_policy_add(&policy, "blocks.0.attn1.*=bf16", &err), err);
    vg_input_scales *scales = scales_of(amax, "transformer");
    const char *dir = make_dir(state, "kept");
    vg_export_options options = {
        .policy = &policy, .input_scales = scales, .pool = pool(), .shard_bytes = 60000};
    CHECK_OK(vg_export_weights(&c.table, c.weights, dir, &options, &counts, &err), err);
    assert_int_equal(counts.quantised, 16);
    assert_int_equal(counts.kept, 4);
    assert_true(counts.files > 1); /* shards, with an index */
    CHECK_OK(vg_weights_open(dir, &made, &err), err);
    const vg_tensor *t = vg_weights_find(made, "blocks.0.attn1.to_k.weight");
    assert_true(t && t->dtype == VG_BF16);
    assert_null(vg_weights_find(made, "blocks.0.attn1.to_k.weight_scale"));
    assert_true(vg_weights_find(made, "blocks.1.attn1.to_k.weight")->dtype == VG_E4M3);
    vg_weights_close(made);
    CHECK_OK(vg_export_config(GOLDEN "/tiny-b/transformer", dir, &c.table, c.weights, &policy,
                              c.model->family->recipe->ignore, &err),
             err);
    snprintf(path, sizeof path, "%s/config.json", dir);
    CHECK_OK(vg_json_load(path, &config, &err), err);
    const cJSON *ignore = at(at(config, "quantization_config"), "ignore");
    assert_int_equal(cJSON_GetArraySize(ignore), 7 + 4);
    assert_string_equal(cJSON_GetArrayItem(ignore, 7)->valuestring, "blocks.0.attn1.to_q");
    cJSON_Delete(config);
    /* A layer whose inputs nobody measured. */
    vg_input_scales *none = scales_of(NULL, "transformer");
    options.input_scales = none;
    CHECK_FAILS(
        vg_export_weights(&c.table, c.weights, make_dir(state, "none"), &options, &counts, &err),
        VG_E_MISSING, err);
    vg_input_scales_free(none);
    assert_non_null(strstr(err.message, "blocks.0.attn2.to_q"));
    /* Nothing, and two kinds. */
    CHECK_OK(vg_precision_policy_add(&policy, "blocks.1.ffn.*=fp8-block", &err), err);
    CHECK_FAILS(
        vg_export_plan(&c.table, c.weights, &(vg_export_options){.policy = &policy}, &counts, &err),
        VG_E_UNSUPPORTED, err);
    CHECK_OK(vg_precision_policy_add(&policy, "*=bf16", &err), err);
    CHECK_FAILS(
        vg_export_plan(&c.table, c.weights, &(vg_export_options){.policy = &policy}, &counts, &err),
        VG_E_ARG, err);
    vg_precision_policy_deinit(&policy);
    vg_input_scales_free(scales);
    component_close(&c);
}

static void test_export_refuses_fp8_sources(void **state)
{
    (void)state;
    component c;
    vg_err err = {0};
    vg_precision_policy policy = {.scheme = VG_SCHEME_FP8};
    vg_export_counts counts;
    component_open("tiny-b-modelopt-fp8", "transformer", VG_LOAD_FILES, &c);
    CHECK_FAILS(
        vg_export_plan(&c.table, c.weights, &(vg_export_options){.policy = &policy}, &counts, &err),
        VG_E_UNSUPPORTED, err);
    assert_non_null(strstr(err.message, "is FP8 already"));
    component_close(&c);
}

/* The real sizes, from configs alone: tensors of the source, layers quantised and kept, what stays in FP32, and GiB of an exported folder, as
 * modelopt-fp8 1.4 and 1.5 have them. */
static void test_export_counts_the_census(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        int source, quantised, kept, f32;
        double gib;
    } cases[] = {
        {"wan2.2-t2v-a14b", 1095, 400, 0, 125, 13.583},
        {"wan2.2-i2v-a14b", 1095, 400, 0, 125, 13.584},
        {"wan2.2-ti2v-5b", 825, 300, 0, 95, 4.763},
        {"wan2.1-vace-14b", 1331, 481, 8, 149, 16.62},
        {"wan2.1-vace-1.3b", 0, 451, 15, 0, 2.071},
        {"hunyuanvideo-1.5-720p-t2v", 1801, 648, 0, 0, 10.447},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char dir[400], *rules;
        vg_model *model;
        vg_weight_table table = {.component = "transformer"};
        vg_weight_place place = {0};
        vg_weight_tensor t;
        vg_export_counts counts;
        vg_generate_params params;
        vg_err err = {0};
        int tensors = 0, f32 = 0;
        snprintf(dir, sizeof dir, "%s/presets/arch/%s", VG_SOURCE_DIR, cases[i].model);
        CHECK_OK(vg_model_open(dir, VG_LOAD_DUMMY, &model, &err), err);
        CHECK_OK(model->family->weight_table(model, "transformer", &table, &err), err);
        while (vg_weight_table_next(&table, &place))
            for (int k = 0; vg_weight_tensor_of(&place, k, &t); k++) {
                tensors++;
                f32 += place.row->flags & VG_WEIGHT_F32 && !model->family->recipe->all_bf16;
            }
        vg_weight_table_deinit(&table);
        CHECK_OK(vg_quantize_rules(model, false, 0, "", &rules, &err), err);
        vg_generate_params_init(&params);
        params.scheme = VG_SCHEME_FP8;
        params.precision = rules;
        CHECK_OK(vg_quantize_count(model, &params, "transformer", &counts, &err), err);
        double gib = (double)counts.bytes / (1024.0 * 1024 * 1024);
        if (counts.quantised != cases[i].quantised || counts.kept != cases[i].kept ||
            (cases[i].source && (tensors != cases[i].source || f32 != cases[i].f32)) ||
            fabs(gib - cases[i].gib) > 0.005)
            fail_msg("%s: %d tensors, %d quantised, %d kept, %d in FP32, %.3f GiB", cases[i].model,
                     tensors, counts.quantised, counts.kept, f32, gib);
        free(rules);
        vg_model_close(model);
    }
}

/* Without ModelOpt's roundings each code is the nearest one, each scale the largest value's. */
static void test_export_rounds_to_nearest(void **state)
{
    (void)state;
    enum { N = 130, K = 140 };
    static float w[N * K], copy[N * K];
    static uint8_t codes[N * K];
    float scales[4];
    uint64_t seed = 7;
    for (int i = 0; i < N * K; i++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        w[i] = copy[i] = (float)((int64_t)seed >> 33) * 1e-10f;
    }
    for (int block = 0; block < 2; block++) {
        vg_precision p = block ? VG_PRECISION_BLOCK : VG_PRECISION_TENSOR;
        memcpy(w, copy, sizeof w);
        assert_true(vg_export_quantise(pool(), w, N, K, p, false, scales, codes));
        for (int i = 0; i < N * K; i++) {
            float scale = block ? scales[i / K / 128 * 2 + i % K / 128] : scales[0];
            double error = fabs((double)vg_e4m3_to_f32(codes[i]) * scale - copy[i]);
            assert_true(error <= fabs(copy[i]) / 16 + scale * 0x1p-10);
        }
    }
    /* Nothing in it: scale 1; NaN: refused. */
    memset(w, 0, sizeof w);
    assert_true(vg_export_quantise(pool(), w, N, K, VG_PRECISION_BLOCK, true, scales, codes));
    assert_true(scales[0] == 1 && scales[3] == 1 && codes[5] == 0);
    w[N * K - 1] = NAN;
    assert_false(vg_export_quantise(pool(), w, N, K, VG_PRECISION_TENSOR, true, scales, codes));
}

static void test_samples_are_the_references(void **state)
{
    (void)state;
    static const char *const own[] = {"one", "two", "three"};
    /* No pictures: the pool in turn. */
    vg_calibration_sample s = vg_calibration_sample_of(0, 8, NULL, 0, 0, false);
    assert_string_equal(s.prompt, "A dog running across a field of golden wheat.");
    assert_int_equal(s.picture, -1);
    assert_ptr_equal(vg_calibration_sample_of(9, 10, NULL, 0, 0, false).prompt,
                     vg_calibration_sample_of(1, 10, NULL, 0, 0, false).prompt);
    /* A first picture for every prompt. */
    s = vg_calibration_sample_of(7, 8, NULL, 0, 3, false);
    assert_int_equal(s.picture, 1);
    assert_non_null(strstr(s.prompt, "skateboarder"));
    /* References: min(8/2, 2 pictures) samples at the end, with their own prompts. */
    assert_int_equal(vg_calibration_sample_of(5, 8, NULL, 0, 2, true).picture, -1);
    s = vg_calibration_sample_of(6, 8, NULL, 0, 2, true);
    assert_int_equal(s.picture, 0);
    assert_non_null(strstr(s.prompt, "reference image walks"));
    s = vg_calibration_sample_of(7, 8, NULL, 0, 2, true);
    assert_int_equal(s.picture, 1);
    assert_non_null(strstr(s.prompt, "disco"));
    assert_int_equal(vg_calibration_sample_of(4, 8, NULL, 0, 9, true).picture, 0);
    /* One's own prompts: every one with a picture. */
    s = vg_calibration_sample_of(4, 8, own, 3, 2, true);
    assert_string_equal(s.prompt, "two");
    assert_int_equal(s.picture, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_export_is_modelopts_per_tensor, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_export_is_modelopts_per_block, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_export_labels_folders, scratch_open, scratch_close),
        cmocka_unit_test_setup_teardown(test_export_keeps_what_rules_keep, scratch_open,
                                        scratch_close),
        cmocka_unit_test(test_export_refuses_fp8_sources),
        cmocka_unit_test(test_export_counts_the_census),
        cmocka_unit_test(test_export_rounds_to_nearest),
        cmocka_unit_test(test_samples_are_the_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

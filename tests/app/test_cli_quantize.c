/* test_cli_quantize.c: vgen quantize: what it measures and writes is what nvidia-modelopt makes of the same models by the same method
 * (tests/oracle/make_quantize.py); what is asked wrongly is told before anything is touched; a killed job goes on to the same bytes. */
#include "engine/checkpoint/checkpoint.h"
#include "kernels/base/hash.h"
#include "tests/app/test_cli.h"

#include <dirent.h>

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

static const char *in_dir(const char *name)
{
    static char paths[8][400];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", cli_dir, name);
    return path;
}

static cJSON *load_json(const char *dir, const char *file)
{
    char path[600];
    cJSON *root = NULL;
    vg_err err = {0};
    snprintf(path, sizeof path, "%s/%s", dir, file);
    CHECK_OK(vg_json_load(path, &root, &err), err);
    return root;
}

/* The arguments of a golden case. */
typedef struct arguments {
    const char *list[48];
    char texts[48][640];
    int count;
} arguments;

static void add(arguments *a, const char *flag, const char *value)
{
    snprintf(a->texts[a->count], sizeof a->texts[0], "%s", flag);
    a->list[a->count] = a->texts[a->count];
    a->count++;
    if (value)
        add(a, value, NULL);
}

static void add_number(arguments *a, const char *flag, const cJSON *o, const char *key)
{
    char text[32];
    snprintf(text, sizeof text, "%g", at(o, key)->valuedouble);
    add(a, flag, text);
}

static void arguments_of(const char *name, const char *output, arguments *a)
{
    const cJSON *one = at(at(golden(), "cases"), name), *prompt, *boundary = at(one, "boundary"),
                *images = cJSON_GetObjectItem(one, "images");
    char model[300], picture[600];
    *a = (arguments){.count = 0};
    snprintf(model, sizeof model, "%s/%s", GOLDEN, at(one, "model")->valuestring);
    add(a, "quantize", "--quiet");
    add(a, "--model", model);
    add(a, "--output", output);
    add_number(a, "--height", one, "height");
    add_number(a, "--width", one, "width");
    add_number(a, "--num-frames", one, "num_frames");
    add_number(a, "--calib-steps", one, "steps");
    add_number(a, "--guidance-scale", one, "guidance");
    add_number(a, "--seed", golden(), "seed");
    add(a, "--calib-size", "2");
    add(a, "--compute", "f32");
    add(a, "--modelopt-compat-rounding", NULL);
    if (cJSON_IsTrue(at(one, "block")))
        add(a, "--weight-block-size", "128,128");
    if (cJSON_IsNumber(boundary))
        add_number(a, "--calib-boundary-ratio", one, "boundary");
    if (images) {
        snprintf(picture, sizeof picture, "%s/%s", model,
                 cJSON_GetArrayItem(images, 0)->valuestring);
        add(a, "--is-i2v", NULL);
        add(a, "--reference-images", picture);
    }
    cJSON_ArrayForEach(prompt, at(golden(), "prompts")) add(a, "--prompt", prompt->valuestring);
}

static void run_ok(const arguments *a)
{
    cli_result r = cli_run(a->list);
    if (r.status != 0)
        fail_msg("%d: %s", r.status, r.err);
    cli_result_free(&r);
}

/* ---- against ModelOpt ---- */

/* Everything but the scales of inputs, which were measured anew. */
static void same_tensors(const char *dir, const cJSON *want)
{
    vg_weights *made;
    const cJSON *item;
    vg_err err = {0};
    CHECK_OK(vg_weights_open(dir, &made, &err), err);
    assert_int_equal(vg_weights_count(made), cJSON_GetArraySize(want));
    cJSON_ArrayForEach(item, want)
    {
        const vg_tensor *t = vg_weights_find(made, item->string);
        char hex[17];
        assert_non_null(t);
        assert_string_equal(vg_dtype_name(t->dtype), cJSON_GetArrayItem(item, 0)->valuestring);
        assert_int_equal(t->ndim, cJSON_GetArraySize(cJSON_GetArrayItem(item, 1)));
        if (strstr(item->string, ".input_scale"))
            continue;
        snprintf(hex, sizeof hex, "%016llx",
                 (unsigned long long)vg_fnv1a(VG_FNV1A_BEGIN, t->data, vg_tensor_bytes(t)));
        if (strcmp(hex, cJSON_GetArrayItem(item, 2)->valuestring))
            fail_msg("%s has other bytes than ModelOpt's", item->string);
    }
    vg_weights_close(made);
}

/* The largest relative difference of what was measured. */
static double amax_error(const cJSON *made, const cJSON *want)
{
    const cJSON *item;
    double worst = 0;
    assert_int_equal(cJSON_GetArraySize(made), cJSON_GetArraySize(want));
    cJSON_ArrayForEach(item, want)
    {
        double ours = at(at(made, item->string), "amax")->valuedouble;
        worst = fmax(worst, fabs(ours - item->valuedouble) / item->valuedouble);
    }
    return worst;
}

static void check_case(const char *name)
{
    const cJSON *one = at(at(golden(), "cases"), name), *folder;
    arguments a;
    const char *output = in_dir(name);
    arguments_of(name, output, &a);
    run_ok(&a);
    cJSON *report = load_json(output, "vgen_calibration.json");
    cJSON_ArrayForEach(folder, at(one, "folders"))
    {
        char dir[600];
        snprintf(dir, sizeof dir, "%s/%s", output, folder->string);
        same_tensors(dir, at(folder, "tensors"));
        cJSON *config = load_json(dir, "config.json");
        assert_true(cJSON_Compare(at(config, "quantization_config"), at(one, "label"), true));
        cJSON_Delete(config);
        /* Two whole runs of FP32 networks, their sums in other orders. Behind a quantised expert a code that rounds the other way moves what
         * follows: the second is held to what quantising the first moves it. */
        double error =
            amax_error(at(at(at(report, "folders"), folder->string), "inputs"), at(folder, "amax"));
        double limit =
            !strcmp(folder->string, "transformer") ? 5e-6 : at(one, "moved")->valuedouble;
        if (!(error <= limit))
            fail_msg("%s of %s: amax is off by %g, at most %g", folder->string, name, error, limit);
    }
    cJSON_Delete(report);
    char source[300];
    snprintf(source, sizeof source, "%s/%s", GOLDEN, at(one, "model")->valuestring);
    cli_result r = CLI("check", "--model", output, "--source", source);
    if (r.status != 0)
        fail_msg("%s", r.out);
    cli_result_free(&r);
}

static void test_cli_quantize_is_modelopts_per_tensor(void **state)
{
    (void)state;
    check_case("tensor");
}

static void test_cli_quantize_is_modelopts_per_block(void **state)
{
    (void)state;
    check_case("block");
}

static void test_cli_quantize_is_modelopts_from_pictures(void **state)
{
    (void)state;
    check_case("i2v");
}

/* ---- what is asked wrongly ---- */

static int entries(const char *dir)
{
    DIR *folder = opendir(dir);
    int count = 0;
    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count;
}

static void test_cli_quantize_refuses_before_it_writes(void **state)
{
    (void)state;
#define TINY "--model", GOLDEN "/tiny-b", "--height", "32", "--width", "32", "--num-frames", "5"
    const char *folder = in_dir("refused"), *out = in_dir("refused/out");
    char keep[600];
    snprintf(
        keep, sizeof keep,
        "mkdir -p '%s/other' && echo kept > '%s/other/file' && mkdir '%s/old' && cp '%s/tiny-b/model_index.json' '%s/old/'",
        folder, folder, folder, GOLDEN, folder);
    assert_int_equal(system(keep), 0);
    const char *other = in_dir("refused/other"), *old = in_dir("refused/old");
    const struct {
        const char *args[20];
        const char *word;
    } cases[] = {
        {{"quantize", TINY}, "--output DIR is missing"},
        {{"quantize", TINY, "--output", old}, "--overwrite replaces it"},
        {{"quantize", TINY, "--output", other, "--overwrite"}, "is no checkpoint"},
        {{"quantize", TINY, "--output", GOLDEN "/tiny-b/out"}, "lie in one another"},
        {{"quantize", TINY, "--output", "/no/such/out"}, "is no folder"},
        {{"quantize", TINY, "--output", out, "--weight-block-size", "64,64"}, "128,128"},
        {{"quantize", TINY, "--output", out, "--format", "nvfp4"}, "fp8_pb_wo"},
        {{"quantize", TINY, "--output", out, "--dtype", "float16"}, "leave its range"},
        {{"quantize", TINY, "--output", out, "--quantize-mha"}, "not quantised"},
        {{"quantize", TINY, "--output", out, "--is-i2v"}, "--reference-images"},
        {{"quantize", TINY, "--output", out, "--reference-images", GOLDEN "/tiny-i2v"},
         "takes no pictures"},
        {{"quantize", "--model", GOLDEN "/tiny-i2v", "--output", out}, "--reference-images"},
        {{"quantize", TINY, "--output", out, "--calib-size", "0"}, "calib-size"},
        {{"quantize", TINY, "--output", out, "--calib-steps", "1"}, "transformer_2's"},
        {{"quantize", TINY, "--output", out, "--edge-blocks", "1"}, "leave none"},
        {{"quantize", TINY, "--output", out, "--precision", "nobody.*=bf16"},
         "no layer of this model"},
        {{"quantize", TINY, "--output", out, "--prompt-file", "/no/such/file"}, "--prompt-file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cli_result r = cli_run(cases[i].args);
        if (r.status != 2 || !strstr(r.err, cases[i].word))
            fail_msg("%zu: %d, %s", i, r.status, r.err);
        assert_int_equal(cli_lines(r.err), 1);
        cli_result_free(&r);
        assert_false(vg_file_exists(out));
    }
    /* A source that is FP8 already: the checkpoint's fault. */
    cli_result r = CLI("quantize", "--model", in_dir("tensor"), "--output", out, "--quiet");
    assert_int_equal(r.status, 1);
    assert_non_null(strstr(r.err, "FP8 already"));
    cli_result_free(&r);
    assert_int_equal(entries(folder), 2 + 2); /* nothing hidden either */
    snprintf(keep, sizeof keep, "%s/file", other);
    char *text = cli_read(keep);
    assert_string_equal(text, "kept\n");
    free(text);
}

/* ---- rules, overwriting ---- */

static void test_cli_quantize_keeps_and_overwrites(void **state)
{
    (void)state;
    const char *out = in_dir("kept");
    const char *const args[] = {"quantize",
                                TINY,
                                "--quiet",
                                "--output",
                                out,
                                "--calib-size",
                                "1",
                                "--calib-steps",
                                "3",
                                "--ignore-layers",
                                "blocks.1.attn1,blocks.0.ffn.net.2",
                                "--json",
                                NULL};
    cli_result r = cli_run(args);
    assert_int_equal(r.status, 0);
    cJSON *o = cJSON_Parse(r.out);
    const cJSON *export = at(o, "export"), *first = cJSON_GetArrayItem(at(export, "folders"), 0);
    assert_string_equal(at(o, "kind")->valuestring, "quantize");
    assert_string_equal(at(o, "state")->valuestring, "done");
    assert_true(at(first, "quantised_layers")->valuedouble == 15);
    assert_true(at(first, "kept_layers")->valuedouble == 5);
    cJSON_Delete(o);
    cli_result_free(&r);
    char dir[600];
    snprintf(dir, sizeof dir, "%s/transformer", out);
    cJSON *config = load_json(dir, "config.json");
    assert_int_equal(cJSON_GetArraySize(at(at(config, "quantization_config"), "ignore")), 7 + 5);
    cJSON_Delete(config);
    cJSON *report = load_json(out, "vgen_calibration.json");
    assert_string_equal(cJSON_GetArrayItem(at(report, "samples"), 0)->child->valuestring,
                        "A dog running across a field of golden wheat.");
    cJSON_Delete(report);
    /* What was FP8 by a rule of its own is so when it is loaded. */
    r = CLI("check", "--model", out, "--json");
    assert_int_equal(r.status, 0);
    o = cJSON_Parse(r.out);
    assert_true(at(cJSON_GetArrayItem(at(o, "folders"), 0), "fp8_layers")->valuedouble == 15);
    cJSON_Delete(o);
    cli_result_free(&r);
    /* The same place again, in tiles. */
    r = CLI("quantize", TINY, "--quiet", "--output", out, "--calib-size", "1", "--calib-steps", "3",
            "--format", "fp8_2d_blockwise_weight_only", "--overwrite");
    assert_int_equal(r.status, 0);
    cli_result_free(&r);
    config = load_json(dir, "config.json");
    assert_string_equal(at(at(config, "quantization_config"), "quant_algo")->valuestring,
                        "FP8_PB_WO");
    cJSON_Delete(config);
}

/* ---- every family ---- */

/* Each by its own tables: what is quantised, what is kept, which picture is what. */
static void test_cli_quantize_takes_every_family(void **state)
{
    (void)state;
#define SMALL                                                                                      \
    "--quiet", "--height", "64", "--width", "64", "--num-frames", "5", "--calib-steps", "4",       \
        "--output"
    char command[900], pictures[400], out[400];
    snprintf(pictures, sizeof pictures, "%s", in_dir("pictures"));
    snprintf(command, sizeof command, "mkdir '%s' && cp '%s'/tiny-i2v/*.png '%s'/", pictures,
             GOLDEN, pictures);
    assert_int_equal(system(command), 0);
    static const struct {
        const char *model, *format;
        bool pictures;
        int quantised, kept, ignored;
        const char *mode; /* of the last of four samples */
    } cases[] = {
        {"tiny-vace", "auto", false, 51, 2, 7 + 2, "t2v"},
        {"tiny-vace", "auto", true, 51, 2, 7 + 2, "r2v"}, /* half of them with references */
        {"tiny-ti2v", "auto", false, 20, 0, 7, "t2v"},
        {"tiny-clip", "auto", true, 12, 0, 7, "i2v"},
        {"tiny-hv-t2v", "dummy", false, 24, 0, 13, "t2v"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char model[400], name[32];
        snprintf(model, sizeof model, "%s/%s", GOLDEN, cases[i].model);
        snprintf(name, sizeof name, "family-%zu", i);
        snprintf(out, sizeof out, "%s", in_dir(name));
        cli_result r =
            CLI("quantize", "--model", model, "--load-format", cases[i].format, "--calib-size", "4",
                SMALL, out, cases[i].pictures ? "--reference-images" : "--seed",
                cases[i].pictures ? pictures : "42");
        if (r.status != 0)
            fail_msg("%s: %s", cases[i].model, r.err);
        cli_result_free(&r);
        cJSON *report = load_json(out, "vgen_calibration.json");
        const cJSON *folder = at(at(report, "folders"), "transformer"), *layer;
        assert_int_equal(at(folder, "quantised_layers")->valuedouble, cases[i].quantised);
        assert_int_equal(at(folder, "kept_layers")->valuedouble, cases[i].kept);
        cJSON_ArrayForEach(layer, at(folder, "inputs")) /* none was left out by the run */
            if (!(at(layer, "amax")->valuedouble > 0))
                fail_msg("%s: the input of %s was not measured", cases[i].model, layer->string);
        assert_string_equal(at(cJSON_GetArrayItem(at(report, "samples"), 3), "mode")->valuestring,
                            cases[i].mode);
        assert_string_equal(at(cJSON_GetArrayItem(at(report, "samples"), 0), "mode")->valuestring,
                            cases[i].mode[0] == 'i' ? "i2v" : "t2v");
        cJSON_Delete(report);
        char dir[500];
        snprintf(dir, sizeof dir, "%s/transformer", out);
        cJSON *config = load_json(dir, "config.json");
        assert_int_equal(cJSON_GetArraySize(at(at(config, "quantization_config"), "ignore")),
                         cases[i].ignored);
        cJSON_Delete(config);
        vg_weights *made;
        vg_err err = {0};
        int f32 = 0;
        CHECK_OK(vg_weights_open(dir, &made, &err), err);
        for (int k = 0; k < vg_weights_count(made); k++)
            f32 += vg_weights_tensor(made, k)->dtype == VG_F32 &&
                   !strstr(vg_weights_name(made, k), "_scale");
        vg_weights_close(made);
        assert_int_equal(f32 > 0, strcmp(cases[i].model, "tiny-hv-t2v") !=
                                      0); /* there nothing stays in FP32 */
    }
}

/* ---- killed ---- */

static pid_t worker_of(const char *job_dir)
{
    char path[700];
    snprintf(path, sizeof path, "%s/lock", job_dir);
    char *text = cli_read(path);
    pid_t pid = text ? (pid_t)atoi(text) : 0;
    free(text);
    return pid;
}

static int steps_of(const char *job_dir)
{
    char path[700];
    int steps = 0;
    snprintf(path, sizeof path, "%s/events.jsonl", job_dir);
    char *text = cli_read(path);
    for (const char *step = text; step && (step = strstr(step, "\"type\":\"step\"")); step++)
        steps++;
    free(text);
    return steps;
}

static void test_cli_quantize_goes_on_after_kills(void **state)
{
    (void)state;
    const char *whole = in_dir("whole"), *killed = in_dir("killed");
    arguments a;
    arguments_of("tensor", whole, &a);
    run_ok(&a);
    arguments_of("tensor", killed, &a);
    add(&a, "--detach", NULL);
    cli_result r = cli_run(a.list);
    assert_int_equal(r.status, 0);
    char job[100], dir[600];
    snprintf(job, sizeof job, "%.90s", r.out);
    job[strcspn(job, "\n")] = 0;
    cli_result_free(&r);
    snprintf(dir, sizeof dir, "%s/state/vgen/jobs/%s", cli_dir, job);
    /* Wherever it is by then, in each of its parts sooner or later. */
    int kills = 0;
    for (int wait_ms = 5; wait_ms < 400; wait_ms += 17) {
        usleep((useconds_t)wait_ms * 1000);
        pid_t pid = worker_of(dir);
        if (pid > 1 && kill(pid, SIGKILL) == 0)
            kills++;
        if (vg_file_exists(killed))
            break;
        assert_false(vg_file_exists(in_dir("killed/model_index.json"))); /* all or nothing */
        r = CLI("resume", job, "--detach");
        cli_result_free(&r);
    }
    assert_true(kills > 0);
    r = CLI("resume", job, "--quiet");
    if (r.status != 0)
        fail_msg("%s", r.err);
    cli_result_free(&r);
    assert_true(steps_of(dir) >= 16); /* those of a sample that was cut off come twice */
    char command[1200];
    snprintf(command, sizeof command, "diff -r -x vgen_calibration.json '%s' '%s'", whole, killed);
    assert_int_equal(system(command), 0);
    cJSON *x = load_json(whole, "vgen_calibration.json"),
          *y = load_json(killed, "vgen_calibration.json");
    assert_true(cJSON_Compare(at(x, "folders"), at(y, "folders"), true));
    cJSON_Delete(x);
    cJSON_Delete(y);
    /* Nothing is left beside it. */
    DIR *folder = opendir(cli_dir);
    for (struct dirent *item; folder && (item = readdir(folder));)
        if (strstr(item->d_name, ".part"))
            fail_msg("%s is left", item->d_name);
    if (folder)
        closedir(folder);
    /* Again: it is finished, and nothing is done. */
    r = CLI("resume", job, "--quiet");
    assert_int_equal(r.status, 0);
    cli_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_quantize_is_modelopts_per_tensor),
        cmocka_unit_test(test_cli_quantize_is_modelopts_per_block),
        cmocka_unit_test(test_cli_quantize_is_modelopts_from_pictures),
        cmocka_unit_test(test_cli_quantize_refuses_before_it_writes),
        cmocka_unit_test(test_cli_quantize_keeps_and_overwrites),
        cmocka_unit_test(test_cli_quantize_takes_every_family),
        cmocka_unit_test(test_cli_quantize_goes_on_after_kills),
    };
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}

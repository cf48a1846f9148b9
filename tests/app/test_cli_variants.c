/* test_cli_variants.c: jobs that compare more than schemes: another seed, another checkpoint, other kernels; what they share; that each gives
 * the bytes of a job of its own; jobs of the first version of job.json; references that are not what their scheme is called. */
#include "tests/app/test_cli_small.h"

#include "app/job/job.h"

#define GOLDEN VG_TEST_DIR "/golden/"
#define TINY                                                                                       \
    "--prompt", "fox", "--height", "32", "--width", "48", "--num-frames", "5",                     \
        "--num-inference-steps", "3"

/* The folder of the newest job below jobs, and its job.json. */
static void newest(const char *jobs, char dir[400], cJSON **root)
{
    vg_lines dirs = {0};
    vg_job_list(jobs, &dirs);
    assert_true(dirs.count > 0);
    snprintf(dir, 400, "%s", dirs.items[0]);
    vg_lines_free(&dirs);
    char path[460];
    snprintf(path, sizeof path, "%s/job.json", dir);
    char *text = cli_read(path);
    *root = cJSON_Parse(text);
    assert_non_null(*root);
    free(text);
}

static bool there(const char *dir, const char *file)
{
    char path[500];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    return vg_file_exists(path);
}

/* A whole checkpoint: `from`'s, with the transformers of `fp8`. */
static const char *fp8_model(const char *from, const char *fp8, const char *name)
{
    static char dir[320];
    static const char *const parts[] = {"vae", "text_encoder", "tokenizer", "scheduler",
                                        "model_index.json"},
                             *const experts[] = {"transformer", "transformer_2"};
    char to[400], source[400];
    snprintf(dir, sizeof dir, "%s/%s", cli_dir, name);
    assert_int_equal(mkdir(dir, 0700), 0);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(source, sizeof source, GOLDEN "%s/%s", from, parts[i]);
        snprintf(to, sizeof to, "%s/%s", dir, parts[i]);
        assert_int_equal(symlink(source, to), 0);
    }
    for (size_t i = 0; i < sizeof experts / sizeof *experts; i++) {
        snprintf(source, sizeof source, GOLDEN "%s/%s", fp8, experts[i]);
        snprintf(to, sizeof to, "%s/%s", dir, experts[i]);
        if (vg_file_is_dir(source))
            assert_int_equal(symlink(source, to), 0);
    }
    return dir;
}

static void test_cli_variants_are_what_jobs_of_their_own_give(void **state)
{
    (void)state;
    char jobs[300], dir[400], latents[2][400];
    cJSON *root;
    outputs together = outputs_of("together"), alone = outputs_of("alone");
    snprintf(jobs, sizeof jobs, "%s/own", cli_dir);
    CLI_EXPECT(0, "compare", SMALL, "--variant", "other seed: seed=43", "--variant",
               "quick: quantization=fp8,scheduler=euler", "--variant", "fox: prompt='a fox, red'",
               "--output", together.clip, "--save-latents", together.latents, "--jobs-dir", jobs,
               "-q");
    newest(jobs, dir, &root);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(root, "variants")), 4);
    cJSON_Delete(root);
    /* Conditions are shared where what decides them is. */
    assert_true(there(dir, "conditions.safetensors"));
    assert_false(there(dir, "variants/other-seed/conditions.safetensors"));
    assert_false(there(dir, "variants/quick/conditions.safetensors"));
    assert_true(there(dir, "variants/fox/conditions.safetensors"));
    /* Scales are of the variant that needed them: its sampler is not the reference's. */
    assert_false(there(dir, "calibration.json"));
    assert_true(there(dir, "variants/quick/calibration.json"));
    static const struct {
        const char *id, *flag, *value, *flag2, *value2;
    } cases[] = {{"other-seed", "--seed", "43", "--quantization", "bf16"},
                 {"quick", "--quantization", "fp8", "--scheduler", "euler"},
                 {"fox", "--prompt", "a fox, red", "--quantization", "bf16"}};
    for (size_t i = 0; i < 3; i++) {
        CLI_EXPECT(0, "generate", SMALL, cases[i].flag, cases[i].value, cases[i].flag2,
                   cases[i].value2, "--save-latents", alone.latents, "--jobs-dir", jobs, "-q");
        snprintf(latents[0], sizeof latents[0], "%s/together.latents-%s.safetensors", cli_dir,
                 cases[i].id);
        if (!cli_same_file(latents[0], alone.latents))
            fail_msg("%s: other latents than a job of its own", cases[i].id);
        snprintf(latents[1], sizeof latents[1], "%s/together-%s.mp4", cli_dir, cases[i].id);
        assert_true(vg_file_exists(latents[1]));
    }
}

static void test_cli_variants_stop_and_go_on(void **state)
{
    (void)state;
    char jobs[300], latents[2][400];
    outputs whole = outputs_of("whole"), steps = outputs_of("halves");
    snprintf(jobs, sizeof jobs, "%s/halves", cli_dir);
    static const char *const variants[] = {
        "seed 1: seed=1", "fast: quantization=fp8,seed=1",
        "eight: quantization=fp8,attention=qk8v8,attention_limit=0.9997"}; /* some layers fall back */
    CLI_EXPECT(0, "compare", SMALL, "--variant", variants[0], "--variant", variants[1], "--variant",
               variants[2], "--save-latents", whole.latents, "-q");
    CLI_EXPECT(0, "compare", SMALL, "--variant", variants[0], "--variant", variants[1], "--variant",
               variants[2], "--save-latents", steps.latents, "--jobs-dir", jobs, "--max-steps-run",
               "2", "-q");
    CLI_EXPECT(0, "resume", "last", "--jobs-dir", jobs, "-q");
    static const char *const ids[] = {"bf16", "seed-1", "fast", "eight"};
    for (size_t i = 0; i < 4; i++) {
        snprintf(latents[0], sizeof latents[0], "%s/whole.latents-%s.safetensors", cli_dir, ids[i]);
        snprintf(latents[1], sizeof latents[1], "%s/halves.latents-%s.safetensors", cli_dir,
                 ids[i]);
        if (!cli_same_file(latents[0], latents[1]))
            fail_msg("%s differs", ids[i]);
    }
}

/* job.json as the first version wrote it, from one of today. */
static void make_old(const char *dir, cJSON *root)
{
    cJSON *old = cJSON_CreateArray(), *v;
    char path[460];
    cJSON_ArrayForEach(v, cJSON_GetObjectItem(root, "variants"))
    {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "quantization", cJSON_GetObjectItem(v, "id")->valuestring);
        cJSON_AddStringToObject(o, "save_latents",
                                cJSON_GetObjectItem(v, "save_latents")->valuestring);
        cJSON_AddItemToArray(old, o);
    }
    cJSON_ReplaceItemInObject(root, "variants", old);
    cJSON_ReplaceItemInObject(root, "vgen_job", cJSON_CreateNumber(1));
    cJSON_DeleteItemFromObject(root, "kind");
    char *text = cJSON_Print(root);
    snprintf(path, sizeof path, "%s/job.json", dir);
    assert_int_equal(vg_file_write_atomic(path, text, strlen(text), NULL), VG_OK);
    cJSON_free(text);
}

static void test_cli_jobs_of_the_first_version_go_on(void **state)
{
    (void)state;
    char jobs[300], dir[400];
    cJSON *root;
    run_reference();
    snprintf(jobs, sizeof jobs, "%s/first", cli_dir);
    outputs o = outputs_of("first");
    CLI_EXPECT(0, "compare", SMALL, "--quantization", "bf16,fp8,fp8-block", "--save-latents",
               o.latents, "--jobs-dir", jobs, "--max-steps-run", "2", "-q");
    newest(jobs, dir, &root);
    make_old(dir, root);
    cJSON_Delete(root);
    CLI_EXPECT(0, "resume", "last", "--jobs-dir", jobs, "-q");
    for (int i = 0; i < 3; i++) {
        char a[400], b[400];
        snprintf(a, sizeof a, "%s/reference.latents-%s.safetensors", cli_dir, schemes[i]);
        snprintf(b, sizeof b, "%s/first.latents-%s.safetensors", cli_dir, schemes[i]);
        assert_true(cli_same_file(a, b));
    }
    cli_result r = CLI("show", "last", "--jobs-dir", jobs);
    assert_non_null(strstr(r.out, "FP8 per-tensor"));
    cli_result_free(&r);
}

static void test_cli_another_checkpoint(void **state)
{
    (void)state;
    char text[500], jobs[300], dir[400];
    cJSON *root;
    const char *exported = fp8_model("tiny-b", "tiny-b-modelopt-fp8", "exported");
    snprintf(jobs, sizeof jobs, "%s/models", cli_dir);
    snprintf(text, sizeof text, "exported: model=%s,quantization=fp8", exported);
    CLI_EXPECT(0, "compare", "--model", GOLDEN "tiny-b", TINY, "--variant", text, "--jobs-dir",
               jobs, "-q");
    newest(jobs, dir, &root);
    cJSON *list = cJSON_GetObjectItem(root, "variants"),
          *model = cJSON_GetObjectItem(cJSON_GetArrayItem(list, 1), "model");
    assert_string_equal(cJSON_GetObjectItem(model, "dir")->valuestring, exported);
    assert_string_not_equal(
        cJSON_GetObjectItem(model, "weights_identity")->valuestring,
        cJSON_GetObjectItem(cJSON_GetObjectItem(root, "model"), "weights_identity")->valuestring);
    assert_null(cJSON_GetObjectItem(cJSON_GetArrayItem(list, 0), "model"));
    cJSON_Delete(root);
    /* An FP8 checkpoint brings its own scales. */
    assert_false(there(dir, "calibration.json"));
    cli_result r = CLI("show", "last", "--jobs-dir", jobs);
    assert_non_null(strstr(r.out, "layers   exported: 40 FP8 per-tensor (static)"));
    assert_non_null(strstr(r.out, "layers   BF16: 48 BF16"));
    cli_result_free(&r);
    /* What cannot be compared. */
    snprintf(text, sizeof text, "x: model=%s/nowhere", cli_dir);
    r = CLI("compare", "--model", GOLDEN "tiny-b", TINY, "--variant", text, "-q");
    assert_true(r.status == 1 || r.status == 2);
    assert_non_null(strstr(r.err, "x: "));
    cli_result_free(&r);
}

static void expect_label(const char *jobs, const char *label)
{
    char caption[128];
    cli_result r = CLI("show", "last", "--jobs-dir", jobs);
    if (!strstr(r.out, label))
        fail_msg("the table says nothing of %s:\n%s", label, r.out);
    cli_result_free(&r);
    r = CLI("show", "last", "--markdown", "--jobs-dir", jobs);
    snprintf(caption, sizeof caption, "| %s |", label);
    assert_non_null(strstr(r.out, caption));
    cli_result_free(&r);
    r = CLI("show", "last", "--json", "--jobs-dir", jobs);
    cJSON *root = cJSON_Parse(r.out),
          *first = cJSON_GetArrayItem(cJSON_GetObjectItem(root, "variants"), 0);
    assert_string_equal(cJSON_GetObjectItem(first, "label")->valuestring, label);
    cJSON_Delete(root);
    cli_result_free(&r);
}

/* BF16 that is made of FP8 is no BF16 reference, and says so. */
static void test_cli_a_dequantised_reference_says_so(void **state)
{
    (void)state;
    char jobs[300];
    const char *tensor = fp8_model("tiny-b", "tiny-b-modelopt-fp8", "tensor");
    snprintf(jobs, sizeof jobs, "%s/dequantised", cli_dir);
    CLI_EXPECT(0, "compare", "--model", tensor, TINY, "--quantization", "bf16,fp8", "--jobs-dir",
               jobs, "-q");
    expect_label(jobs, "BF16 (dequantised FP8)");
    cli_result r = CLI("show", "last", "--json", "--jobs-dir", jobs);
    assert_non_null(strstr(r.out, "40 dequantised from FP8"));
    cli_result_free(&r);
    const char *block = fp8_model("tiny-a", "tiny-a-modelopt-fp8-block", "block");
    CLI_EXPECT(0, "compare", "--model", block, TINY, "--quantization", "bf16,fp8-block",
               "--jobs-dir", jobs, "-q");
    expect_label(jobs, "BF16 (dequantised FP8)");
    /* A name that somebody gave does not hide it. */
    CLI_EXPECT(0, "compare", "--model", block, TINY, "--variant", "mine: quantization=bf16",
               "--variant", "seed=7", "--jobs-dir", jobs, "-q");
    expect_label(jobs, "mine (dequantised FP8)");
    /* Nor is it BF16 where it computes in FP32. */
    CLI_EXPECT(0, "compare", "--model", GOLDEN "tiny-b", TINY, "--compute", "f32", "--quantization",
               "bf16,fp8", "--jobs-dir", jobs, "-q");
    expect_label(jobs, "F32");
    CLI_EXPECT(0, "compare", "--model", GOLDEN "tiny-b", TINY, "--quantization", "bf16,fp8",
               "--jobs-dir", jobs, "-q");
    expect_label(jobs, "BF16");
}

static void test_cli_a_random_seed_is_kept(void **state)
{
    (void)state;
    char jobs[300], dir[400];
    double seeds[2];
    cJSON *root;
    snprintf(jobs, sizeof jobs, "%s/random", cli_dir);
    for (int i = 0; i < 2; i++) {
        cli_result r =
            CLI("compare", SMALL, "--seed", "random", "--quantization", "bf16", "--variant",
                "again: seed=random", "--max-steps-run", "1", "--jobs-dir", jobs);
        assert_int_equal(r.status, 0);
        char said[64];
        newest(jobs, dir, &root);
        cJSON *seed = cJSON_GetObjectItem(cJSON_GetObjectItem(root, "settings"), "seed"),
              *other = cJSON_GetObjectItem(
                  cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(root, "variants"), 1),
                                      "settings"),
                  "seed");
        assert_true(cJSON_IsNumber(seed) && cJSON_IsNumber(other));
        assert_true(seed->valuedouble != other->valuedouble);
        seeds[i] = seed->valuedouble;
        snprintf(said, sizeof said, ", seed %.0f\n", seeds[i]);
        if (!strstr(r.err, said))
            fail_msg("nothing says \"%s\":\n%s", said, r.err);
        cJSON_Delete(root);
        cli_result_free(&r);
    }
    assert_true(seeds[0] != seeds[1]);
}

static void test_cli_plan_knows_variants(void **state)
{
    (void)state;
    cli_result r = CLI("plan", SMALL, "--variant", "tiles: vae_use_tiling=true", "--json");
    assert_int_equal(r.status, 0);
    cJSON *root = cJSON_Parse(r.out), *plans = cJSON_GetObjectItem(root, "plans");
    assert_int_equal(cJSON_GetArraySize(plans), 3);
    assert_string_equal(cJSON_GetObjectItem(cJSON_GetArrayItem(plans, 2), "variant")->valuestring,
                        "tiles");
    cJSON_Delete(root);
    cli_result_free(&r);
    CLI_EXPECT(2, "plan", SMALL, "--variant", "x: height=64");
}

static void test_cli_an_attention_kernel_is_noted_on_the_cpu(void **state)
{
    (void)state;
    cli_result r = CLI("compare", SMALL, "--variant", "mma: attention_kernel=mma");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.err, "mma: attention_kernel mma: the CPU has one kernel only"));
    assert_null(strstr(r.err, "bf16: attention_kernel"));
    cli_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_variants_are_what_jobs_of_their_own_give),
        cmocka_unit_test(test_cli_variants_stop_and_go_on),
        cmocka_unit_test(test_cli_jobs_of_the_first_version_go_on),
        cmocka_unit_test(test_cli_another_checkpoint),
        cmocka_unit_test(test_cli_a_dequantised_reference_says_so),
        cmocka_unit_test(test_cli_a_random_seed_is_kept),
        cmocka_unit_test(test_cli_plan_knows_variants),
        cmocka_unit_test(test_cli_an_attention_kernel_is_noted_on_the_cpu),
    };
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}

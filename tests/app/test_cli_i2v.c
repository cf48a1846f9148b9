/* test_cli_i2v.c: pictures on the command line: runs from a first picture, and from a first and a last one, equal diffusers'; the mistakes
 * that can be made with pictures would be seen; what is missing, too much or broken is one line before anything is loaded; a job keeps what
 * it was given. */
#include "app/media/clip.h"
#include "app/media/picture.h"
#include "engine/vision/resize.h"
#include "kernels/base/json.h"
#include "tests/app/test_cli.h"
#include "tests/model.h"

#include <dirent.h>

#define TINY   GOLDEN "tiny-i2v"
#define BAD    VG_TEST_DIR "/bad/pictures/"
#define LIMIT  1e-3 /* of a pipeline of 10 steps, FP32, relative L2 */
#define FIRST  0
#define SECOND 1

static char path_buffers[8][400];

/* A name in the tests' folder; good for the next seven calls. */
static const char *in_folder(const char *name)
{
    static int next;
    char *path = path_buffers[next++ % 8];
    snprintf(path, sizeof path_buffers[0], "%s/%s", cli_dir, name);
    return path;
}

/* ---- runs ---- */

typedef struct run {
    const char
        *golden; /* "pipeline": its .json has the settings, its .safetensors what diffusers made */
    const char *image, *last_image; /* NULL: none */
    const char *compute;
    const char *jobs; /* NULL: the usual place */
} run;

/* Pictures as files: the golden PNGs, or, in a build that reads none, what the reference loaded of them. */
static const char *picture(const char *golden, int which)
{
    static const char *const names[] = {"image", "image.last"};
    if (vg_clip_available())
        return which == FIRST ? TINY "/first.png" : TINY "/last.png";
    char name[300];
    vg_err err;
    snprintf(name, sizeof name, TINY "/%s.safetensors", golden);
    vg_safetensors *st = open_file(name);
    const vg_tensor *t = vg_safetensors_find(st, names[which]);
    const int64_t shape[] = {1, t->shape[0], t->shape[1], 3};
    vg_safetensors_entry entry = {.name = "frames",
                                  .tensor = vg_tensor_of(t->data, VG_U8, 4, shape)};
    static char paths[2][400]; /* good for the whole test */
    const char *path = paths[which];
    snprintf(paths[which], sizeof paths[0], "%s/%s.safetensors", cli_dir, names[which]);
    CHECK_OK(vg_safetensors_write(path, &entry, 1, NULL, &err), err);
    vg_safetensors_close(st);
    return path;
}

/* A golden run's settings as flags; text lives in *json. */
static int flags_of(const run *r, const cJSON *json, char numbers[8][32], const char *argv[])
{
    static const struct {
        const char *key, *flag;
    } texts[] = {{"prompt", "--prompt"}, {"negative", "--negative-prompt"}},
      values[] = {{"height", "--height"},
                  {"width", "--width"},
                  {"num_frames", "--num-frames"},
                  {"guidance_scale", "--guidance-scale"},
                  {"guidance_scale_2", "--guidance-scale-2"},
                  {"seed", "--seed"},
                  {"num_inference_steps", "--num-inference-steps"},
                  {"shift", "--flow-shift"}};
    int n = 0;
    argv[n++] = "generate";
    argv[n++] = "--model";
    argv[n++] = TINY;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        argv[n++] = texts[i].flag;
        argv[n++] = cJSON_GetObjectItem(json, texts[i].key)->valuestring;
    }
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        snprintf(numbers[i], 32, "%.15g", cJSON_GetObjectItem(json, values[i].key)->valuedouble);
        argv[n++] = values[i].flag;
        argv[n++] = numbers[i];
    }
    const char *const pairs[][2] = {{"--image", r->image},
                                    {"--last-image", r->last_image},
                                    {"--compute", r->compute},
                                    {"--jobs-dir", r->jobs}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (pairs[i][1]) {
            argv[n++] = pairs[i][0];
            argv[n++] = pairs[i][1];
        }
    }
    return n;
}

/* Make it; how far its latents are from `golden`'s (NULL: the run's own golden). */
static double run_and_compare(const run *r, const char *golden)
{
    vg_err err;
    cJSON *json;
    char name[300], numbers[8][32];
    const char *argv[CLI_ARGS_MAX + 1], *latents = in_folder("latents.safetensors");
    snprintf(name, sizeof name, TINY "/%s.json", r->golden);
    CHECK_OK(vg_json_load(name, &json, &err), err);
    int n = flags_of(r, json, numbers, argv);
    argv[n++] = "--save-latents";
    argv[n++] = latents;
    argv[n++] = "-q";
    argv[n] = NULL;
    cli_expect(argv, 0);
    snprintf(name, sizeof name, TINY "/%s.safetensors", golden ? golden : r->golden);
    vg_safetensors *got = open_file(latents), *want = open_file(name);
    const vg_tensor *a = vg_safetensors_find(got, "latents"),
                    *b = vg_safetensors_find(want, "latents");
    assert_int_equal(vg_tensor_numel(a), vg_tensor_numel(b));
    double off = rel_l2(a->data, b->data, vg_tensor_numel(a));
    vg_safetensors_close(got);
    vg_safetensors_close(want);
    cJSON_Delete(json);
    return off;
}

static void test_cli_i2v_equals_diffusers(void **state)
{
    (void)state;
    const run first = {"pipeline", picture("pipeline", FIRST), NULL, "f32", NULL},
              both = {"pipeline_flf2v", picture("pipeline_flf2v", FIRST),
                      picture("pipeline_flf2v", SECOND), "f32", NULL};
    double a = run_and_compare(&first, NULL), b = run_and_compare(&both, NULL);
    print_message("from a first picture: %.2e, from a first and a last one: %.2e\n", a, b);
    assert_true(a < LIMIT && b < LIMIT);
}

static void test_cli_i2v_equals_diffusers_in_bf16(void **state)
{
    (void)state;
    const run first = {"pipeline_bf16", picture("pipeline", FIRST), NULL, "bf16", NULL},
              both = {"pipeline_flf2v_bf16", picture("pipeline_flf2v", FIRST),
                      picture("pipeline_flf2v", SECOND), "bf16", NULL};
    double a = run_and_compare(&first, NULL), b = run_and_compare(&both, NULL);
    print_message("BF16: %.2e, %.2e\n", a, b);
    assert_true(a < 2e-2 && b < 2e-2); /* BF16 itself costs diffusers 1.2e-2 here */
}

/* What can be done wrong with pictures moves the result by more than the limit. */
static void test_cli_i2v_mistakes_would_be_seen(void **state)
{
    (void)state;
    const char *first = picture("pipeline_flf2v", FIRST), *last = picture("pipeline_flf2v", SECOND);
    const run dropped = {"pipeline_flf2v", first, NULL, "f32", NULL},
              swapped = {"pipeline_flf2v", last, first, "f32", NULL},
              twice = {"pipeline_flf2v", first, first, "f32", NULL},
              other = {"pipeline", picture("pipeline_flf2v", SECOND), NULL, "f32", NULL};
    assert_true(run_and_compare(&dropped, NULL) > 10 * LIMIT);
    assert_true(run_and_compare(&swapped, NULL) > 10 * LIMIT);
    assert_true(run_and_compare(&twice, NULL) > 10 * LIMIT);
    assert_true(run_and_compare(&other, NULL) > 10 * LIMIT);
}

/* A picture of the clip's size, as frames: by the reference's filter nothing changes, by another one it does. */
static const char *resized(const char *name, vg_resample filter)
{
    vg_err err;
    vg_safetensors *st = open_file(TINY "/pipeline.safetensors");
    const vg_tensor *t = vg_safetensors_find(st, "image"),
                    *wanted = vg_safetensors_find(st, "resized");
    const int64_t shape[] = {1, wanted->shape[0], wanted->shape[1], 3};
    uint8_t *rgb = malloc(vg_tensor_bytes(wanted));
    CHECK_OK(vg_resize_pillow(t->data, (int)t->shape[0], (int)t->shape[1], filter, rgb,
                              (int)shape[1], (int)shape[2], &err),
             err);
    vg_safetensors_entry entry = {.name = "frames", .tensor = vg_tensor_of(rgb, VG_U8, 4, shape)};
    const char *path = in_folder(name);
    CHECK_OK(vg_safetensors_write(path, &entry, 1, NULL, &err), err);
    free(rgb);
    vg_safetensors_close(st);
    return path;
}

static void test_cli_i2v_pictures_are_resized_as_the_reference_does(void **state)
{
    (void)state;
    const run right = {"pipeline", resized("right.safetensors", VG_RESAMPLE_LANCZOS), NULL, "f32",
                       NULL},
              wrong = {"pipeline", resized("wrong.safetensors", VG_RESAMPLE_BICUBIC), NULL, "f32",
                       NULL};
    assert_true(run_and_compare(&right, NULL) < LIMIT);
    assert_true(run_and_compare(&wrong, NULL) > 2 * LIMIT);
}

/* ---- every scheme ---- */

static double latents_apart(const char *a, const char *b)
{
    vg_safetensors *x = open_file(a), *y = open_file(b);
    const vg_tensor *p = vg_safetensors_find(x, "latents"), *q = vg_safetensors_find(y, "latents");
    double off = rel_l2(p->data, q->data, vg_tensor_numel(q));
    vg_safetensors_close(x);
    vg_safetensors_close(y);
    return off;
}

static void test_cli_i2v_in_every_scheme(void **state)
{
    (void)state;
    const char *first = picture("pipeline", FIRST), *last = picture("pipeline_flf2v", SECOND);
    char fp8[400], block[400], bf16[400];
    snprintf(bf16, sizeof bf16, "%s", in_folder("all-bf16.safetensors"));
    snprintf(fp8, sizeof fp8, "%s", in_folder("all-fp8.safetensors"));
    snprintf(block, sizeof block, "%s", in_folder("all-fp8-block.safetensors"));
    CLI_EXPECT(0, "compare", "--model", TINY, "--image", first, "--last-image", last, "--prompt",
               "a fox", "--height", "32", "--width", "48", "--num-frames", "9",
               "--num-inference-steps", "4", "--quantization", "bf16,fp8,fp8-block",
               "--save-latents", in_folder("all.safetensors"), "-q");
    double a = latents_apart(fp8, bf16), b = latents_apart(block, bf16);
    print_message("from BF16: FP8 per-tensor %.2e, per-block %.2e\n", a, b);
    assert_true(a > 1e-4 && a < 0.3 && b > 1e-4 && b < 0.3);
}

/* ---- what a job keeps ---- */

static char *job_dir(const char *jobs)
{
    char *found = NULL;
    DIR *dir = opendir(jobs);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.') {
            assert_null(found); /* one job only */
            found = vg_path_join(jobs, e->d_name);
        }
    closedir(dir);
    return found;
}

static void copy_file(const char *from, const char *to)
{
    vg_err err;
    char *bytes;
    size_t size;
    CHECK_OK(vg_file_read(from, 1 << 20, &bytes, &size, &err), err);
    CHECK_OK(vg_file_write_atomic(to, bytes, size, &err), err);
    free(bytes);
}

/* The originals may go, and what was made of them: the copies are enough, and give the same bytes. */
static void test_cli_i2v_goes_on_without_the_originals(void **state)
{
    (void)state;
    bool clips = vg_clip_available();
    const char *jobs = in_folder("keeps"), *end = clips ? "png" : "safetensors";
    char mine[400], whole[400], resumed[400], conditions[600];
    snprintf(mine, sizeof mine, "%s/mine.%s", cli_dir, end);
    snprintf(whole, sizeof whole, "%s/whole.safetensors", cli_dir);
    snprintf(resumed, sizeof resumed, "%s/resumed.safetensors", cli_dir);
    copy_file(picture("pipeline", FIRST), mine);
#define KEPT                                                                                       \
    "generate", "--model", TINY, "--image", mine, "--prompt", "a fox", "--height", "32",           \
        "--width", "32", "--num-frames", "5", "--num-inference-steps", "4", "-q"
    CLI_EXPECT(0, KEPT, "--save-latents", whole);
    CLI_EXPECT(0, KEPT, "--save-latents", resumed, "--jobs-dir", jobs, "--max-steps-run", "2");
    char *dir = job_dir(jobs);
    snprintf(conditions, sizeof conditions, "%s/conditions.safetensors", dir);
    assert_int_equal(unlink(mine), 0);
    assert_int_equal(unlink(conditions), 0);
    CLI_EXPECT(0, "resume", "last", "--jobs-dir", jobs, "-q");
    assert_true(latents_apart(resumed, whole) == 0);
    free(dir);
}

/* A copy that was changed is not gone on from. */
static void test_cli_i2v_a_changed_copy_is_refused(void **state)
{
    (void)state;
    const char *jobs = in_folder("changed");
    char inputs[600], conditions[600];
    CLI_EXPECT(0, "generate", "--model", TINY, "--image", picture("pipeline", FIRST), "--prompt",
               "a fox", "--height", "32", "--width", "32", "--num-frames", "5",
               "--num-inference-steps", "4", "-q", "--jobs-dir", jobs, "--max-steps-run", "1");
    char *dir = job_dir(jobs);
    snprintf(conditions, sizeof conditions, "%s/conditions.safetensors", dir);
    snprintf(inputs, sizeof inputs, "%s/inputs", dir);
    char *copy = job_dir(inputs);
    assert_int_equal(unlink(conditions), 0);
    copy_file(picture("pipeline_flf2v", SECOND), copy);
    cli_result r = CLI("resume", "last", "--jobs-dir", jobs, "-q");
    assert_int_equal(r.status, 1);
    assert_non_null(strstr(r.err, "is not the file that the job was given"));
    cli_result_free(&r);
    assert_int_equal(unlink(copy), 0);
    r = CLI("resume", "last", "--jobs-dir", jobs, "-q");
    assert_int_equal(r.status, 1);
    assert_non_null(strstr(r.err, "there is no such file"));
    cli_result_free(&r);
    free(copy);
    free(dir);
}

/* The fingerprint that files carry. malloc'd. */
static char *made_with(const char *picture_path, const char *jobs)
{
    char name[700];
    CLI_EXPECT(0, "generate", "--model", TINY, "--image", picture_path, "--prompt", "a fox",
               "--height", "32", "--width", "32", "--num-frames", "5", "--num-inference-steps", "1",
               "-q", "--jobs-dir", jobs);
    char *dir = job_dir(jobs);
    snprintf(name, sizeof name, "%s/variants/bf16/latents.safetensors", dir);
    vg_safetensors *st = open_file(name);
    char *hex = strdup(vg_safetensors_metadata(st, "made_with"));
    vg_safetensors_close(st);
    free(dir);
    return hex;
}

/* What is in the picture counts, not its name. */
static void test_cli_i2v_fingerprint_is_of_the_picture(void **state)
{
    (void)state;
    char renamed[400];
    snprintf(renamed, sizeof renamed, "%s/another name.%s", cli_dir,
             vg_clip_available() ? "dat" : "safetensors");
    copy_file(picture("pipeline", FIRST), renamed);
    char *a = made_with(picture("pipeline", FIRST), in_folder("print-a")),
         *b = made_with(renamed, in_folder("print-b")),
         *c = made_with(picture("pipeline_flf2v", SECOND), in_folder("print-c"));
    assert_string_equal(a, b);
    assert_string_not_equal(a, c);
    free(a);
    free(b);
    free(c);
}

/* ---- refused before anything is loaded ---- */

/* Exit 2, one line with these words, and no job. */
static void refused(const char *const *argv, const char *a, const char *b)
{
    const char *all[CLI_ARGS_MAX + 1];
    int n = 0;
    for (; argv[n]; n++)
        all[n] = argv[n];
    all[n++] = "--jobs-dir";
    all[n++] = in_folder("none");
    all[n] = NULL;
    cli_result r = cli_run(all);
    if (r.status != 2 || cli_lines(r.err) != 1 || !cli_is_clean(r.err) || !strstr(r.err, a) ||
        !strstr(r.err, b))
        fail_msg("exit %d, wanted one line with \"%s\" and \"%s\": %s", r.status, a, b, r.err);
    assert_false(vg_file_is_dir(all[n - 1]));
    cli_result_free(&r);
}
#define REFUSED(a, b, ...) refused((const char *const[]){__VA_ARGS__, NULL}, a, b)

static void test_cli_i2v_roles_missing_or_too_much(void **state)
{
    (void)state;
    const char *first = picture("pipeline", FIRST), *last = picture("pipeline_flf2v", SECOND);
#define TRIED "generate", "--model", TINY, "--prompt", "a fox"
    REFUSED("--image", "i2v, flf2v", TRIED);
    REFUSED("--image", "i2v, flf2v", TRIED, "--mode", "i2v");
    REFUSED("--last-image", "i2v, flf2v", TRIED, "--mode", "flf2v", "--image", first);
    REFUSED("--image", "i2v, flf2v", TRIED, "--last-image", last);
    REFUSED("--last-image", "i2v, flf2v", TRIED, "--mode", "i2v", "--image", first, "--last-image",
            last);
    REFUSED("t2v", "i2v, flf2v", TRIED, "--mode", "t2v");
    REFUSED("--image", "t2v", "generate", "--preset", "demo", "--image", first);
    REFUSED("i2v", "t2v", "generate", "--preset", "demo", "--mode", "i2v");
    REFUSED("num_frames", "flf2v", TRIED, "--image", first, "--last-image", last, "--num-frames",
            "1");
}

/* What each kind of model lacks or does not take, from the tables of its family. */
static void test_cli_i2v_what_a_model_takes(void **state)
{
    (void)state;
    const char *first = picture("pipeline", FIRST), *last = picture("pipeline_flf2v", SECOND);
#define OF(model) "generate", "--model", VG_TEST_DIR "/golden/" model, "--prompt", "a fox"
    REFUSED("--last-image", "t2v, i2v", OF("tiny-ti2v"), "--image", first, "--last-image", last);
    REFUSED("no mode flf2v", "t2v, i2v", OF("tiny-ti2v"), "--mode", "flf2v");
    REFUSED("mode i2v needs a picture", "--image", OF("tiny-ti2v"), "--mode", "i2v");
    REFUSED("height is 48", "multiple of 32", OF("tiny-ti2v"), "--height", "48");
    REFUSED("width is 80", "multiple of 32", OF("tiny-ti2v"), "--image", first, "--width", "80");
    REFUSED("--image", "i2v", OF("tiny-clip"));
    REFUSED("--last-image", "its modes: i2v", OF("tiny-clip"), "--image", first, "--last-image",
            last);
    REFUSED("no mode t2v", "i2v", OF("tiny-clip"), "--mode", "t2v");
    REFUSED("--last-image", "flf2v", OF("tiny-flf2v"), "--image", first);
    REFUSED("no mode i2v", "flf2v", OF("tiny-flf2v"), "--mode", "i2v", "--image", first);
}

/* From the command to the frames. */
static void test_cli_i2v_every_kind_in_every_scheme(void **state)
{
    (void)state;
    const char *first = picture("pipeline", FIRST), *last = picture("pipeline_flf2v", SECOND);
    static const char *const models[] = {"tiny-ti2v", "tiny-ti2v", "tiny-clip", "tiny-flf2v"};
    for (int i = 0; i < 4; i++) {
        char path[400], out[40], bf16[400], fp8[400], block[400];
        snprintf(path, sizeof path, VG_TEST_DIR "/golden/%s", models[i]);
        snprintf(out, sizeof out, "kind-%d.safetensors", i);
        snprintf(bf16, sizeof bf16, "%s/kind-%d-bf16.safetensors", cli_dir, i);
        snprintf(fp8, sizeof fp8, "%s/kind-%d-fp8.safetensors", cli_dir, i);
        snprintf(block, sizeof block, "%s/kind-%d-fp8-block.safetensors", cli_dir, i);
        const char *argv[40] = {"compare",
                                "--model",
                                path,
                                "--prompt",
                                "a fox",
                                "--height",
                                "64",
                                "--width",
                                "32",
                                "--num-frames",
                                "9",
                                "--num-inference-steps",
                                "2",
                                "--quantization",
                                "bf16,fp8,fp8-block",
                                "--save-latents",
                                in_folder(out),
                                "-q"};
        int n = 18;
        if (i > 0) {
            argv[n++] = "--image";
            argv[n++] = first;
        }
        if (i == 3) {
            argv[n++] = "--last-image";
            argv[n++] = last;
        }
        argv[n] = NULL;
        cli_expect(argv, 0);
        double a = latents_apart(fp8, bf16), b = latents_apart(block, bf16);
        print_message("%s from BF16: FP8 per-tensor %.2e, per-block %.2e\n", models[i], a, b);
        assert_true(a > 1e-4 && a < 0.3 && b > 1e-4 && b < 0.3);
    }
}

static void test_cli_i2v_bad_pictures(void **state)
{
    (void)state;
    DIR *folder = opendir(BAD);
    assert_non_null(folder);
    for (struct dirent *e; (e = readdir(folder));) {
        if (e->d_name[0] == '.')
            continue;
        char path[600];
        snprintf(path, sizeof path, BAD "%s", e->d_name);
        REFUSED("image: ", e->d_name, TRIED, "--image", path);
    }
    closedir(folder);
    REFUSED("image: /nowhere/a.png", "no such file", TRIED, "--image", "/nowhere/a.png");
    REFUSED("last_image: /nowhere/b.png", "no such file", TRIED, "--image",
            picture("pipeline", FIRST), "--last-image", "/nowhere/b.png");
    REFUSED("image: ", BAD, TRIED, "--image", BAD);
    REFUSED("image: ", "UTF-8", TRIED, "--image", "/tmp/\xff\xfe.png");
}

/* Plans and lists need no picture. */
static void test_cli_i2v_plans_and_models(void **state)
{
    (void)state;
    cli_result r =
        CLI("plan", "--model", TINY, "--height", "32", "--width", "32", "--num-frames", "9");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "encode"));
    cli_result_free(&r);
    CLI_EXPECT(0, "plan", "--model", TINY, "--last-image", "a picture to come.png", "--height",
               "32", "--width", "32", "--num-frames", "9");
    CLI_EXPECT(2, "plan", "--preset", "demo", "--image", "a picture to come.png");
    r = CLI("models", "--json");
    assert_non_null(strstr(r.out, "i2v, flf2v"));
    cli_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_i2v_equals_diffusers),
        cmocka_unit_test(test_cli_i2v_equals_diffusers_in_bf16),
        cmocka_unit_test(test_cli_i2v_mistakes_would_be_seen),
        cmocka_unit_test(test_cli_i2v_pictures_are_resized_as_the_reference_does),
        cmocka_unit_test(test_cli_i2v_in_every_scheme),
        cmocka_unit_test(test_cli_i2v_goes_on_without_the_originals),
        cmocka_unit_test(test_cli_i2v_a_changed_copy_is_refused),
        cmocka_unit_test(test_cli_i2v_fingerprint_is_of_the_picture),
        cmocka_unit_test(test_cli_i2v_roles_missing_or_too_much),
        cmocka_unit_test(test_cli_i2v_what_a_model_takes),
        cmocka_unit_test(test_cli_i2v_every_kind_in_every_scheme),
        cmocka_unit_test(test_cli_i2v_bad_pictures),
        cmocka_unit_test(test_cli_i2v_plans_and_models),
    };
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}

/* test_cli_vace.c: references, videos and masks on the command line: runs equal diffusers' in every mode, from pictures, clips and frames; what
 * is missing, too much, too long or broken is one line before anything is loaded; a job keeps copies of all it was given. */
#include "app/media/clip.h"
#include "kernels/base/json.h"
#include "tests/app/test_cli.h"
#include "tests/model.h"

#include <dirent.h>

#define TINY  GOLDEN "tiny-vace"
#define MEDIA TINY "/media/"
#define BAD   VG_TEST_DIR "/bad/clips/"
#define LIMIT 1e-3 /* of a pipeline of 10 steps, FP32, relative L2 */
#define END   ".safetensors"

static char path_buffers[8][400];

/* A name in the tests' folder; good for the next seven calls. */
static const char *in_folder(const char *name)
{
    static int next;
    char *path = path_buffers[next++ % 8];
    snprintf(path, sizeof path_buffers[0], "%s/%s", cli_dir, name);
    return path;
}

/* Golden frames as a lossless clip, or as they are in a build without clips. */
static const char *clip_of(const char *name)
{
    static char paths[2][500];
    static int next;
    vg_err err;
    vg_frames_store *store;
    vg_frames frames;
    char *path = paths[next++ % 2], from[400];
    snprintf(from, sizeof from, MEDIA "%s" END, name);
    snprintf(path, sizeof paths[0], "%s", from);
    if (!vg_clip_available())
        return path;
    snprintf(path, sizeof paths[0], "%s/%s.mkv", cli_dir, name);
    CHECK_OK(vg_frames_store_open_file(from, &store, &err), err);
    CHECK_OK(vg_frames_store_load(store, NULL, NULL, &frames, &err), err);
    const vg_frame_source source = vg_frames_source(&frames);
    CHECK_OK(vg_clip_write_lossless(path, &source, 16, NULL, &err), err);
    vg_frames_deinit(&frames);
    vg_frames_store_close(store);
    return path;
}

/* ---- runs ---- */

#define SETTINGS                                                                                   \
    "--model", TINY, "--prompt", "A golden retriever runs through a wheat field at sunset.",       \
        "--negative-prompt", "static, blurred details", "--height", "32", "--width", "48",         \
        "--num-frames", "5", "--num-inference-steps", "10", "--guidance-scale", "4",               \
        "--guidance-scale-2", "3", "--compute", "f32", "-q"

/* Make it; how far its latents are from a golden's. */
static double run_and_compare(const char *golden, const char *const *flags)
{
    const char *argv[CLI_ARGS_MAX + 1] = {"generate", SETTINGS};
    const char *latents = in_folder("latents" END);
    char name[64];
    int n = 0;
    while (argv[n])
        n++;
    for (; *flags; flags++)
        argv[n++] = *flags;
    argv[n++] = "--save-latents";
    argv[n++] = latents;
    cli_expect(argv, 0);
    snprintf(name, sizeof name, "%s.latents", golden);
    vg_safetensors *got = open_file(latents), *want = open_file(TINY "/vace" END);
    const vg_tensor *a = vg_safetensors_find(got, "latents"), *b = vg_safetensors_find(want, name);
    assert_int_equal(vg_tensor_numel(a), vg_tensor_numel(b));
    double off = rel_l2(a->data, b->data, vg_tensor_numel(a));
    vg_safetensors_close(got);
    vg_safetensors_close(want);
    return off;
}
#define OFF(golden, ...) run_and_compare(golden, (const char *const[]){__VA_ARGS__, NULL})

static void test_cli_vace_equals_diffusers(void **state)
{
    (void)state;
    assert_true(OFF("t2v", "--seed", "1") < LIMIT);
    assert_true(OFF("i2v", "--seed", "2", "--image", MEDIA "first" END) < LIMIT);
    assert_true(OFF("v2lf", "--seed", "3", "--last-image", MEDIA "last" END) < LIMIT);
    assert_true(OFF("flf2v", "--seed", "4", "--image", MEDIA "first" END, "--last-image",
                    MEDIA "last" END) < LIMIT);
    assert_true(OFF("inpaint", "--seed", "5", "--image", MEDIA "first" END, "--mask",
                    clip_of("mask")) < LIMIT);
    assert_true(OFF("r2v", "--seed", "6", "--reference-image", MEDIA "reference-a" END,
                    "--conditioning-scale", "0.6") < LIMIT);
    assert_true(OFF("r2v-2", "--seed", "7", "--reference-image", MEDIA "reference-a" END,
                    "--reference-image", MEDIA "reference-b" END) < LIMIT);
    assert_true(OFF("v2v", "--seed", "8", "--video", clip_of("video")) < LIMIT);
    assert_true(OFF("v2v-mask", "--seed", "9", "--video", clip_of("video"), "--mask",
                    clip_of("mask"), "--reference-image", MEDIA "reference-b" END) < LIMIT);
}

/* What can be done wrong with what is given moves the result by more than the limit. */
static void test_cli_vace_mistakes_would_be_seen(void **state)
{
    (void)state;
    assert_true(OFF("r2v-2", "--seed", "7", "--reference-image", MEDIA "reference-b" END,
                    "--reference-image", MEDIA "reference-a" END) > 10 * LIMIT);
    assert_true(OFF("v2v-mask", "--seed", "9", "--video", clip_of("video"), "--reference-image",
                    MEDIA "reference-b" END) > 10 * LIMIT);
    assert_true(OFF("r2v", "--seed", "6", "--reference-image", MEDIA "reference-a" END) >
                10 * LIMIT);
    /* The hidden part of a video is not grey where a control signal may be. */
    assert_true(OFF("v2v-mask", "--seed", "9", "--video", clip_of("video"), "--mask",
                    clip_of("mask"), "--reference-image", MEDIA "reference-b" END, "--mode",
                    "inpaint") > 10 * LIMIT);
}

/* Sizes that nobody said are the video's. */
static void test_cli_vace_takes_the_size_of_a_video(void **state)
{
    (void)state;
    const char *frames = in_folder("frames" END);
    CLI_EXPECT(0, "generate", "--model", TINY, "--prompt", "a fox", "--video", clip_of("video"),
               "--num-inference-steps", "2", "--save-frames", frames, "-q");
    vg_safetensors *st = open_file(frames);
    const vg_tensor *t = vg_safetensors_find(st, "frames");
    assert_true(t->shape[0] == 5 && t->shape[1] == 32 && t->shape[2] == 48);
    vg_safetensors_close(st);
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

/* Static scales are calibrated for the blocks of the control branch, too. */
static void test_cli_vace_in_every_scheme(void **state)
{
    (void)state;
    char fp8[400], block[400], bf16[400];
    snprintf(bf16, sizeof bf16, "%s", in_folder("all-bf16" END));
    snprintf(fp8, sizeof fp8, "%s", in_folder("all-fp8" END));
    snprintf(block, sizeof block, "%s", in_folder("all-fp8-block" END));
    CLI_EXPECT(0, "compare", "--model", TINY, "--reference-image", MEDIA "reference-a" END,
               "--prompt", "a fox", "--height", "32", "--width", "48", "--num-frames", "5",
               "--num-inference-steps", "4", "--quantization", "bf16,fp8,fp8-block",
               "--save-latents", in_folder("all" END), "-q");
    double a = latents_apart(fp8, bf16), b = latents_apart(block, bf16);
    print_message("from BF16: FP8 per-tensor %.2e, per-block %.2e\n", a, b);
    assert_true(a > 1e-4 && a < 0.3 && b > 1e-4 && b < 0.3);
}

/* ---- one part ---- */

/* Inputs of the transformer, without one tensor, or with fewer of its values (all but the last of an extent). */
static const char *inputs_without(const char *tensor, int extent)
{
    vg_err err;
    vg_safetensors *st = open_file(TINY "/component/transformer.in" END);
    static const char *const names[] = {"hidden_states", "timestep", "encoder_hidden_states",
                                        "control_hidden_states", "control_hidden_states_scale"};
    vg_safetensors_entry entries[5];
    int count = 0;
    for (int i = 0; i < 5; i++) {
        entries[count] =
            (vg_safetensors_entry){.name = names[i], .tensor = *vg_safetensors_find(st, names[i])};
        if (strcmp(names[i], tensor) == 0 && extent >= 0)
            entries[count].tensor.shape[extent]--;
        count += strcmp(names[i], tensor) != 0 || extent >= 0;
    }
    const char *path = in_folder("inputs" END);
    CHECK_OK(vg_safetensors_write(path, entries, count, NULL, &err), err);
    vg_safetensors_close(st);
    return path;
}

static void part_refuses(const char *inputs, const char *says)
{
    cli_result r = CLI("component", "transformer", "--model", TINY, "--in", inputs, "--out",
                       in_folder("out" END), "--compute", "f32");
    if (r.status != 1 || cli_lines(r.err) != 1 || !strstr(r.err, says))
        fail_msg("exit %d, wanted \"%s\": %s", r.status, says, r.err);
    cli_result_free(&r);
}

static void test_cli_vace_part_refuses_other_controls(void **state)
{
    (void)state;
    part_refuses(inputs_without("control_hidden_states", -1),
                 "the input tensor control_hidden_states is missing");
    part_refuses(inputs_without("control_hidden_states", 1),
                 "control_hidden_states has 95 channels; the model wants 96");
    part_refuses(inputs_without("control_hidden_states", 4), "multiples of 2, 2 are wanted");
    part_refuses(inputs_without("control_hidden_states_scale", 0),
                 "has 1 entries; the model has 2 vace_layers");
    part_refuses(inputs_without("hidden_states", 2), "the control has 12 tokens");
    CLI_EXPECT(0, "component", "transformer", "--model", TINY, "--in",
               inputs_without("control_hidden_states_scale", -1), "--out", in_folder("out" END));
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

/* The originals may go, and what was made of them: the copies are enough, in their order, and give the same bytes. */
static void test_cli_vace_goes_on_without_the_originals(void **state)
{
    (void)state;
    char jobs[400], mine[4][400], whole[400], resumed[400], conditions[600];
    snprintf(jobs, sizeof jobs, "%s/keeps", cli_dir);
    snprintf(whole, sizeof whole, "%s/whole" END, cli_dir);
    snprintf(resumed, sizeof resumed, "%s/resumed" END, cli_dir);
    const char *from[] = {clip_of("video"), MEDIA "mask" END, MEDIA "reference-a" END,
                          MEDIA "reference-b" END};
    for (int i = 0; i < 4; i++) {
        snprintf(mine[i], sizeof mine[i], "%s/mine-%d%s", cli_dir, i, strrchr(from[i], '.'));
        copy_file(from[i], mine[i]);
    }
#define KEPT                                                                                       \
    "generate", "--model", TINY, "--video", mine[0], "--mask", mine[1], "--reference-image",       \
        mine[2], "--reference-image", mine[3], "--prompt", "a fox", "--num-inference-steps", "4",  \
        "-q"
    CLI_EXPECT(0, KEPT, "--save-latents", whole);
    CLI_EXPECT(0, KEPT, "--save-latents", resumed, "--jobs-dir", jobs, "--max-steps-run", "2");
    char *dir = job_dir(jobs);
    snprintf(conditions, sizeof conditions, "%s/conditions.safetensors", dir);
    for (int i = 0; i < 4; i++)
        assert_int_equal(unlink(mine[i]), 0);
    assert_int_equal(unlink(conditions), 0);
    CLI_EXPECT(0, "resume", "last", "--jobs-dir", jobs, "-q");
    vg_safetensors *a = open_file(whole), *b = open_file(resumed);
    const vg_tensor *x = vg_safetensors_find(a, "latents"), *y = vg_safetensors_find(b, "latents");
    assert_int_equal(vg_tensor_numel(x), 16 * (2 + 2) * 24);
    assert_memory_equal(x->data, y->data, vg_tensor_bytes(x));
    vg_safetensors_close(a);
    vg_safetensors_close(b);
    free(dir);
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
#define TRIED              "generate", "--model", TINY, "--prompt", "a fox"

static void test_cli_vace_roles_missing_or_too_much(void **state)
{
    (void)state;
    const char *video = MEDIA "video" END, *mask = MEDIA "mask" END, *a = MEDIA "reference-a" END;
    REFUSED("mode r2v needs a reference picture", "--reference-image", TRIED, "--mode", "r2v");
    REFUSED("mode v2v needs a video", "--video", TRIED, "--mask", mask);
    REFUSED("needs a picture to begin with, or a video", "--image or --video", TRIED, "--mode",
            "inpaint", "--mask", mask);
    REFUSED("mode inpaint needs a mask", "--mask", TRIED, "--mode", "inpaint", "--video", video);
    REFUSED("mode t2v takes no reference", "--reference-image", TRIED, "--mode", "t2v",
            "--reference-image", a);
    REFUSED("together", "v2lf", TRIED, "--video", video, "--last-image", a);
    REFUSED("takes no video", "--video", "generate", "--preset", "demo", "--video", video);
    REFUSED("--conditioning-scale", "0 to 10", TRIED, "--conditioning-scale", "11");
    REFUSED("--reference-image", "at most 8", TRIED, "--reference-image", a, "--reference-image", a,
            "--reference-image", a, "--reference-image", a, "--reference-image", a,
            "--reference-image", a, "--reference-image", a, "--reference-image", a,
            "--reference-image", a);
    REFUSED("--reference-image", "|", TRIED, "--reference-image", "a|b.png");
    REFUSED("reference_image: /nowhere/b.png", "no such file", TRIED, "--reference-image", a,
            "--reference-image", "/nowhere/b.png");
}

static void test_cli_vace_lengths(void **state)
{
    (void)state;
    const char *video = MEDIA "video" END;
    REFUSED("the video has 5 frames, the clip 9", "--num-frames 5", TRIED, "--video", video,
            "--num-frames", "9");
    REFUSED("the mask has 5 frames, the clip 9", "one picture", TRIED, "--image", MEDIA "first" END,
            "--mask", MEDIA "mask" END, "--num-frames", "9");
    REFUSED("num_frames", "flf2v", TRIED, "--image", MEDIA "first" END, "--last-image",
            MEDIA "last" END, "--num-frames", "1");
}

static void test_cli_vace_bad_clips(void **state)
{
    (void)state;
    DIR *folder = opendir(BAD);
    int count = 0;
    assert_non_null(folder);
    for (struct dirent *e; (e = readdir(folder)); count++) {
        if (e->d_name[0] == '.')
            continue;
        char path[600];
        snprintf(path, sizeof path, BAD "%s", e->d_name);
        REFUSED("video: ", e->d_name, TRIED, "--video", path);
        REFUSED("mask: ", e->d_name, TRIED, "--video", MEDIA "video" END, "--mask", path);
    }
    closedir(folder);
    assert_true(count > 10);
    REFUSED("video: /nowhere/a.mp4", "no such file", TRIED, "--video", "/nowhere/a.mp4");
    REFUSED("video: ", BAD, TRIED, "--video", BAD);
    if (!vg_clip_available())
        return;
    REFUSED("video: ", "a picture; a clip is wanted", TRIED, "--video",
            GOLDEN "tiny-i2v/first.png");
    REFUSED("reference_image: ", "not a picture", TRIED, "--reference-image", clip_of("video"));
}

/* A picture is a mask for all frames. */
static void test_cli_vace_one_mask_for_all(void **state)
{
    (void)state;
    if (vg_clip_available())
        CLI_EXPECT(0, TRIED, "--video", clip_of("video"), "--mask", GOLDEN "tiny-i2v/first.png",
                   "--num-inference-steps", "1", "-q");
}

/* Plans need no file, and know how many references there are. */
static void test_cli_vace_plans_and_models(void **state)
{
    (void)state;
#define PLAN "plan", "--model", TINY, "--height", "32", "--width", "48", "--num-frames", "5"
    cli_result a = CLI(PLAN), b = CLI(PLAN, "--reference-image", "a.png", "--reference-image", "b");
    assert_true(a.status == 0 && b.status == 0);
    assert_non_null(strstr(a.out, ": 12 tokens"));
    assert_non_null(strstr(b.out, ": 24 tokens"));
    assert_non_null(strstr(a.out, "encode"));
    cli_result_free(&a);
    cli_result_free(&b);
    a = CLI("models", "--json");
    assert_non_null(strstr(a.out, "t2v, r2v, i2v, v2lf, flf2v, v2v, inpaint"));
    cli_result_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_vace_equals_diffusers),
        cmocka_unit_test(test_cli_vace_mistakes_would_be_seen),
        cmocka_unit_test(test_cli_vace_takes_the_size_of_a_video),
        cmocka_unit_test(test_cli_vace_in_every_scheme),
        cmocka_unit_test(test_cli_vace_part_refuses_other_controls),
        cmocka_unit_test(test_cli_vace_goes_on_without_the_originals),
        cmocka_unit_test(test_cli_vace_roles_missing_or_too_much),
        cmocka_unit_test(test_cli_vace_lengths),
        cmocka_unit_test(test_cli_vace_bad_clips),
        cmocka_unit_test(test_cli_vace_one_mask_for_all),
        cmocka_unit_test(test_cli_vace_plans_and_models),
    };
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}

/* test_cli_checkpoints.c: vgen and the checkpoints of other people: what is wrong with one is said when a job is asked for, before anything
 * is computed, and `vgen models` says the same; what is adjusted is said, too. */
#include "tests/app/test_cli_small.h"

#include <sys/stat.h>
#include "engine/checkpoint/checkpoint.h"
#include "kernels/base/json.h"

#define DEMO   VG_SOURCE_DIR "/presets/demo/wan-t2v"
#define TINY_B VG_TEST_DIR "/golden/tiny-b"
#define SIZE   "--height", "32", "--width", "32", "--num-inference-steps", "2", "--device", "cpu"

static const char *const entries[] = {"model_index.json", "vgen.json",    "scheduler",
                                      "tokenizer",        "text_encoder", "transformer",
                                      "transformer_2",    "vae"};

static void copy_file(const char *from, const char *to)
{
    char *bytes;
    size_t size;
    vg_err err;
    CHECK_OK(vg_file_read(from, 64u << 20, &bytes, &size, &err), err);
    CHECK_OK(vg_file_write_atomic(to, bytes, size, &err), err);
    free(bytes);
}

/* A snapshot test/<name> in the hub cache, linked to `source`, but the folder `own`, whose files are copies. Returns its path, valid until
 * the next call. */
static const char *make_snapshot(const char *name, const char *source, const char *own)
{
    static const char *const files[] = {
        "config.json",           "scheduler_config.json",
        "tokenizer_config.json", "special_tokens_map.json",
        "tokenizer.json",        "spiece.model",
        "model.safetensors",     "diffusion_pytorch_model.safetensors"};
    static char dir[400];
    char from[600], to[600];
    vg_err err;
    snprintf(dir, sizeof dir, "%s/hf/hub/models--test--%s/snapshots/0123456789abcdef", cli_dir,
             name);
    CHECK_OK(vg_file_make_dirs(dir, &err), err);
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        snprintf(from, sizeof from, "%s/%s", source, entries[i]);
        snprintf(to, sizeof to, "%s/%s", dir, entries[i]);
        if (!vg_file_exists(from) && !vg_file_is_dir(from))
            continue;
        if (strcmp(entries[i], own) != 0) {
            assert_int_equal(symlink(from, to), 0);
            continue;
        }
        if (!vg_file_is_dir(from)) {
            copy_file(from, to);
            continue;
        }
        CHECK_OK(vg_file_make_dirs(to, &err), err);
        for (size_t k = 0; k < sizeof files / sizeof files[0]; k++) {
            snprintf(from, sizeof from, "%s/%s/%s", source, entries[i], files[k]);
            snprintf(to, sizeof to, "%s/%s/%s", dir, entries[i], files[k]);
            if (vg_file_exists(from))
                copy_file(from, to);
        }
    }
    return dir;
}

/* What `vgen models --json` says of test/<name>: why it cannot be used (malloc'd, NULL: it can), its precision. */
static char *listed(const char *name, char precision[200])
{
    char id[64];
    const cJSON *item, *why = NULL;
    cli_result r = CLI("models", "--json");
    cJSON *root = cJSON_Parse(r.out);
    snprintf(id, sizeof id, "test/%s", name);
    assert_int_equal(r.status, 0);
    assert_non_null(root);
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(root, "models"))
    {
        if (strcmp(cJSON_GetObjectItem(item, "model")->valuestring, id) != 0)
            continue;
        why = cJSON_GetObjectItem(item, "missing");
        assert_true(cJSON_IsTrue(cJSON_GetObjectItem(item, "complete")) == !why);
        if (precision)
            snprintf(precision, 200, "%s", cJSON_GetObjectItem(item, "precision")->valuestring);
        char *text = why ? strdup(why->valuestring) : NULL;
        cJSON_Delete(root);
        cli_result_free(&r);
        return text;
    }
    fail_msg("%s is not listed", id);
    return NULL;
}

static int count_jobs(void)
{
    cli_result r = CLI("jobs", "--json");
    cJSON *root = cJSON_Parse(r.out);
    int count = cJSON_GetArraySize(cJSON_GetObjectItem(root, "jobs"));
    cJSON_Delete(root);
    cli_result_free(&r);
    return count;
}

/* ---- damage ---- */

typedef struct damage {
    const char *name, *component;
    void (*make)(const char *dir);
    const char *says; /* in both */
} damage;

static void in_dir(char path[600], const char *dir, const char *name)
{
    snprintf(path, 600, "%s/%s", dir, name);
}

static void replace(const char *dir, const char *name, const char *text)
{
    char path[600];
    vg_err err;
    in_dir(path, dir, name);
    CHECK_OK(vg_file_write_atomic(path, text, strlen(text), &err), err);
}

static void drop(const char *dir, const char *name)
{
    char path[600];
    in_dir(path, dir, name);
    assert_int_equal(unlink(path), 0);
}

#define POINTER "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"

/* Write the component's weights again with `tensor` changed: gone, of another shape, or FP64. */
enum { GONE, BENT, WIDE };
static void rewrite(const char *dir, const char *component, const char *file, const char *tensor,
                    int how)
{
    char folder[600], path[1300];
    static double zeros[1 << 16];
    vg_weights *weights;
    vg_err err;
    int kept = 0;
    in_dir(folder, dir, component);
    CHECK_OK(vg_weights_open(folder, &weights, &err), err);
    int count = vg_weights_count(weights);
    vg_safetensors_entry *all = calloc((size_t)count, sizeof *all);
    assert_true(all && vg_weights_find(weights, tensor));
    for (int i = 0; i < count; i++) {
        vg_tensor t = *vg_weights_tensor(weights, i);
        if (strcmp(vg_weights_name(weights, i), tensor) == 0) {
            if (how == GONE)
                continue;
            if (how == BENT)
                t = vg_tensor_reshape(&t, 2, 1, vg_tensor_numel(&t));
            if (how == WIDE)
                t = vg_tensor_of(zeros, VG_F64, t.ndim, t.shape);
            assert_true(how != WIDE || vg_tensor_bytes(&t) <= sizeof zeros);
        }
        all[kept++] = (vg_safetensors_entry){vg_weights_name(weights, i), t};
    }
    snprintf(path, sizeof path, "%s/%s", folder, file);
    CHECK_OK(vg_safetensors_write(path, all, kept, NULL, &err), err);
    free(all);
    vg_weights_close(weights);
}

#define VAE  "diffusion_pytorch_model.safetensors"
#define TEXT "model.safetensors"

static void vae_gone(const char *dir)
{
    drop(dir, "vae/" VAE);
}
static void vae_tensor_gone(const char *dir)
{
    rewrite(dir, "vae", VAE, "decoder.conv_in.bias", GONE);
}
static void vae_tensor_bent(const char *dir)
{
    rewrite(dir, "vae", VAE, "decoder.conv_out.bias", BENT);
}
static void vae_tensor_wide(const char *dir)
{
    rewrite(dir, "vae", VAE, "post_quant_conv.bias", WIDE);
}
static void vae_pointer(const char *dir)
{
    replace(dir, "vae/" VAE, POINTER);
}
static void vae_cut(const char *dir)
{
    char path[600];
    in_dir(path, dir, "vae/" VAE);
    assert_int_equal(truncate(path, 5000), 0);
}
static void text_tensor_gone(const char *dir)
{
    rewrite(dir, "text_encoder", TEXT, "encoder.final_layer_norm.weight", GONE);
}
static void text_tensor_wide(const char *dir)
{
    rewrite(dir, "text_encoder", TEXT, "encoder.block.0.layer.0.layer_norm.weight", WIDE);
}
static void expert_tensor_gone(const char *dir)
{
    rewrite(dir, "transformer_2", VAE, "proj_out.bias", GONE);
}
static void tokenizer_gone(const char *dir)
{
    drop(dir, "tokenizer/spiece.model");
    drop(dir, "tokenizer/tokenizer.json");
}
static void tokenizer_pointer(const char *dir)
{
    replace(dir, "tokenizer/spiece.model", POINTER);
}
static void tokenizer_damaged(const char *dir)
{
    replace(dir, "tokenizer/spiece.model", "no model");
}
static void tokenizer_large(const char *dir)
{
    replace(
        dir, "tokenizer/tokenizer_config.json",
        "{\"added_tokens_decoder\": {\"1\": {\"content\": \"</s>\"}, \"70000\": {\"content\": \"<new>\"}}}");
}
static void vae_type(const char *dir)
{
    replace(dir, "vae/config.json", "{\"_class_name\": 5}");
}
static void scheduler_type(const char *dir)
{
    replace(dir, "scheduler/scheduler_config.json", "{\"_class_name\": [\"x\"]}");
}
static void index_type(const char *dir)
{
    replace(dir, "model_index.json", "{\"_class_name\": \"WanPipeline\", \"transformer\": 7}");
}

static const damage damages[] = {
    {"vae-gone", "vae", vae_gone, "vae"},
    {"vae-tensor-gone", "vae", vae_tensor_gone, "decoder.conv_in.bias is missing"},
    {"vae-tensor-bent", "vae", vae_tensor_bent, "decoder.conv_out.bias is BF16 [1, 3]"},
    {"vae-tensor-wide", "vae", vae_tensor_wide, "post_quant_conv.bias is F64"},
    {"vae-pointer", "vae", vae_pointer, "Git LFS pointer"},
    {"vae-cut", "vae", vae_cut, "vae/" VAE},
    {"text-tensor-gone", "text_encoder", text_tensor_gone,
     "encoder.final_layer_norm.weight is missing"},
    {"text-tensor-wide", "text_encoder", text_tensor_wide, "layer_norm.weight is F64"},
    {"expert-tensor-gone", "transformer_2", expert_tensor_gone, "proj_out.bias is missing"},
    {"tokenizer-gone", "tokenizer", tokenizer_gone, "tokenizer.json"},
    {"tokenizer-pointer", "tokenizer", tokenizer_pointer, "Git LFS pointer"},
    {"tokenizer-damaged", "tokenizer", tokenizer_damaged, "spiece.model"},
    {"tokenizer-large", "tokenizer", tokenizer_large, "70001 different ids"},
    {"vae-type", "vae", vae_type, "vae/config.json: \"_class_name\" is a number"},
    {"scheduler-type", "scheduler", scheduler_type, "\"_class_name\" is a list"},
    {"index-type", "model_index.json", index_type, "\"transformer\" must be [library, class]"},
};

/* Found before a job exists, in the same words by both. */
static void test_cli_checkpoints_are_checked_when_a_job_is_made(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        const damage *d = &damages[i];
        char id[64];
        snprintf(id, sizeof id, "test/%s", d->name);
        d->make(make_snapshot(d->name, TINY_B, d->component));
        char *why = listed(d->name, NULL);
        double begin = now_s();
        cli_result r = CLI("generate", "--model", id, "--prompt", "x", "--num-frames", "1", SIZE);
        double seconds = now_s() - begin;
        if (r.status == 0 || !why || !strstr(r.err, d->says) || !strstr(why, d->says) ||
            !strstr(r.err, why))
            fail_msg("%s: exit %d\n%s\n%s", d->name, r.status, r.err,
                     why ? why : "listed as complete");
        assert_true(seconds < 2);
        cli_result_free(&r);
        free(why);
    }
    assert_int_equal(count_jobs(), 0);
}

static void test_cli_checkpoints_list_the_precision_of_both_experts(void **state)
{
    char precision[200], from[600], to[600];
    vg_err err;
    (void)state;
    make_snapshot("same", TINY_B, "vae");
    assert_null(listed("same", precision));
    assert_string_equal(precision, "f32 in both experts");
    /* The second expert from an FP8 export. */
    snprintf(to, sizeof to, "%s/transformer_2", make_snapshot("mixed", TINY_B, "transformer_2"));
    CHECK_OK(vg_file_remove_tree(to, &err), err);
    snprintf(from, sizeof from, VG_TEST_DIR "/golden/tiny-b-modelopt-fp8/transformer_2");
    assert_int_equal(symlink(from, to), 0);
    assert_null(listed("mixed", precision));
    if (strncmp(precision, "transformer f32, transformer_2 fp8 per-tensor (", 47) != 0)
        fail_msg("%s", precision);
    cli_result r = CLI("models");
    assert_non_null(strstr(r.out, "transformer f32, transformer_2 fp8 per-tensor ("));
    cli_result_free(&r);
}

/* Partial exports and ModelOpt's older versions write an index without it. */
static void test_cli_checkpoints_without_a_boundary_take_the_flag(void **state)
{
    char path[600];
    cJSON *index;
    vg_err err;
    (void)state;
    in_dir(path, make_snapshot("index", TINY_B, "model_index.json"), "model_index.json");
    CHECK_OK(vg_json_load(path, &index, &err), err);
    cJSON_DeleteItemFromObjectCaseSensitive(index, "boundary_ratio");
    CHECK_OK(vg_json_save(path, index, &err), err);
    cJSON_Delete(index);
    cli_result r =
        CLI("generate", "--model", "test/index", "--prompt", "x", "--num-frames", "1", SIZE);
    assert_int_equal(r.status, 2);
    assert_non_null(strstr(r.err, "--boundary-ratio"));
    cli_result_free(&r);
    CLI_EXPECT(0, "generate", "--model", "test/index", "--prompt", "x", "--num-frames", "1",
               "--boundary-ratio", "0.5", SIZE);
}

/* A label in lower case, as ModelOpt writes it, on tensors of that kind. */
static void test_cli_checkpoints_know_labels_in_lower_case(void **state)
{
    char path[600], *text;
    size_t size;
    vg_err err;
    (void)state;
    const char *dir = make_snapshot("lower", VG_TEST_DIR "/golden/tiny-a", "transformer");
    in_dir(path, dir, "transformer");
    CHECK_OK(vg_file_remove_tree(path, &err), err);
    CHECK_OK(vg_file_make_dirs(path, &err), err);
    static const char *const parts[] = {"diffusion_pytorch_model-00001-of-00002.safetensors",
                                        "diffusion_pytorch_model-00002-of-00002.safetensors",
                                        "diffusion_pytorch_model.safetensors.index.json"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char from[600], to[700];
        snprintf(from, sizeof from, VG_TEST_DIR "/golden/tiny-a-modelopt-fp8-block/transformer/%s",
                 parts[i]);
        snprintf(to, sizeof to, "%s/%s", path, parts[i]);
        assert_int_equal(symlink(from, to), 0);
    }
    CHECK_OK(vg_file_read(VG_TEST_DIR "/golden/tiny-a-modelopt-fp8-block/transformer/config.json",
                          1 << 20, &text, &size, &err),
             err);
    char *label = strstr(text, "FP8_PB_WO");
    assert_non_null(label);
    memcpy(label, "fp8_pb_wo", 9);
    replace(path, "config.json", text);
    free(text);
    cli_result r = CLI("generate", "--model", "test/lower", "--prompt", "x", "--num-frames", "1",
                       "--quantization", "fp8-block", SIZE);
    if (r.status != 0)
        fail_msg("%s", r.err);
    cli_result_free(&r);
}

/* What is adjusted is said, on the terminal and in the job's journal. */
static void test_cli_checkpoints_say_what_they_adjust(void **state)
{
    static const char *const said[] = {
        "6 frames were asked for, 5 are made",
        "the prompt has 601 tokens; the model takes 512, so its last 89 are left out",
        "the negative prompt has 601 tokens"};
    char prompt[1300] = "";
    (void)state;
    for (int i = 0; i < 600; i++)
        strcat(prompt, "a ");
    cli_result r = CLI("generate", "--preset", "demo", "--prompt", prompt, "--negative-prompt",
                       prompt, "--num-frames", "6", SIZE);
    cli_result log = CLI("logs", "last");
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++)
        if (!strstr(r.err, said[i]) || !strstr(log.out, said[i]))
            fail_msg("not said: %s\n%s\n%s", said[i], r.err, log.out);
    cli_result_free(&r);
    cli_result_free(&log);
    /* Nothing is said where nothing is adjusted. */
    r = CLI("generate", "--preset", "demo", "--prompt", "a", "--num-frames", "5", SIZE);
    assert_true(r.status == 0 && !strstr(r.err, "asked for") && !strstr(r.err, "left out"));
    cli_result_free(&r);
}

/* A size that cannot fit is refused at once, and no job is left behind where the machine's own memory tells it. */
static void test_cli_checkpoints_refuse_huge_sizes_at_once(void **state)
{
    static const char *const models[3][4] = {
        {"--preset", "demo", "--seed", "1"},
        {"--model", "arch/wan2.2-t2v-a14b", "--load-format", "dummy"},
        {"--model", "arch/wan2.1-t2v-1.3b", "--load-format", "dummy"}};
    static const char *const more[3] = {"--quiet", "--vae-use-tiling", "--vram-limit=8"};
    int before = count_jobs();
    (void)state;
    for (int i = 0; i < 9; i++) {
        const char *const *m = models[i / 3];
        double begin = now_s();
        cli_result r =
            CLI("generate", m[0], m[1], m[2], m[3], "--prompt", "x", "--device", "cpu", "--height",
                "8192", "--width", "8192", "--num-frames", "1025", more[i % 3]);
        double seconds = now_s() - begin;
        if (r.status == 0 || seconds > 2 ||
            (i % 3 < 2 && (r.status != 2 || !strstr(r.err, "8192x8192x1025"))))
            fail_msg("%s %s %s: exit %d after %.1f s: %s", m[0], m[1], more[i % 3], r.status,
                     seconds, r.err);
        cli_result_free(&r);
        if (i % 3 == 1)
            assert_int_equal(count_jobs(), before);
    }
}

/* ---- weights that are replaced while a job lasts ---- */

/* The component's weights with its first bias of FP numbers moved: another file of the same shapes. */
static void nudge(const char *dir, const char *component, const char *file, const char *tensor)
{
    char folder[600], path[1300];
    vg_weights *weights;
    vg_err err;
    in_dir(folder, dir, component);
    CHECK_OK(vg_weights_open(folder, &weights, &err), err);
    int count = vg_weights_count(weights);
    vg_safetensors_entry *all = calloc((size_t)count, sizeof *all);
    uint8_t *changed = NULL;
    assert_true(all && vg_weights_find(weights, tensor));
    for (int i = 0; i < count; i++) {
        vg_tensor t = *vg_weights_tensor(weights, i);
        if (strcmp(vg_weights_name(weights, i), tensor) == 0) {
            size_t bytes = vg_tensor_bytes(&t);
            changed = malloc(bytes);
            assert_non_null(changed);
            memcpy(changed, t.data, bytes);
            changed[bytes - 1] ^= 0x80; /* the sign of the last number */
            t.data = changed;
        }
        all[i] = (vg_safetensors_entry){vg_weights_name(weights, i), t};
    }
    snprintf(path, sizeof path, "%s/%s", folder, file);
    CHECK_OK(vg_safetensors_write(path, all, count, NULL, &err), err);
    free(changed);
    free(all);
    vg_weights_close(weights);
}

static const char *in_cli(const char *name)
{
    static char paths[16][700];
    static int next;
    char *path = paths[next++ % 16];
    snprintf(path, sizeof paths[0], "%s/%s", cli_dir, name);
    return path;
}

/* One comparison of test/replaced in a jobs folder of its own, its frames in NAME-<variant>.safetensors; stopped after a step if asked. */
static void compare_into(const char *name, bool stop)
{
    char frames[64];
    snprintf(frames, sizeof frames, "%s.safetensors", name);
    cli_result r =
        CLI("compare", "--model", "test/replaced", "--jobs-dir", in_cli(name), "--save-frames",
            in_cli(frames), "--prompt", "x", "--num-frames", "5", "--quantization",
            "bf16,fp8-block", stop ? "--max-steps-run=1" : "--quiet", SIZE);
    if (r.status != 0)
        fail_msg("%s: %s", name, r.err);
    cli_result_free(&r);
}

static cli_result resume(const char *name)
{
    return CLI("resume", "last", "--jobs-dir", in_cli(name));
}

static bool same_frames(const char *a, const char *b)
{
    char x[64], y[64];
    bool same = true;
    for (int i = 0; i < 2; i++) {
        snprintf(x, sizeof x, "%s-%s.safetensors", a, i ? "fp8-block" : "bf16");
        snprintf(y, sizeof y, "%s-%s.safetensors", b, i ? "fp8-block" : "bf16");
        same = same && cli_same_file(in_cli(x), in_cli(y));
    }
    return same;
}

/* The only job of a jobs folder, and a file in it. */
static const char *in_job(const char *name, const char *file)
{
    static char path[900];
    char *dir;
    size_t n;
    cli_result r = CLI("show", "last", "--json", "--jobs-dir", in_cli(name));
    cJSON *root = cJSON_Parse(r.out);
    dir = cJSON_GetObjectItem(root, "dir")->valuestring;
    n = strlen(dir);
    snprintf(path, sizeof path, "%.*s/%s", (int)n, dir, file);
    cJSON_Delete(root);
    cli_result_free(&r);
    return path;
}

static void test_cli_checkpoints_replaced_weights_matter_where_they_are_read(void **state)
{
    char model[400], vae[600], text[600], expert[600];
    (void)state;
    snprintf(model, sizeof model, "%s", make_snapshot("replaced", TINY_B, "vae"));
    in_dir(vae, model, "vae/" VAE);
    /* The other two as copies as well. */
    static const char *const own[][3] = {{"text_encoder", "config.json", TEXT},
                                         {"transformer_2", "config.json", VAE}};
    for (int i = 0; i < 2; i++) {
        char folder[600], from[600], to[700];
        vg_err err;
        in_dir(folder, model, own[i][0]);
        assert_int_equal(unlink(folder), 0);
        CHECK_OK(vg_file_make_dirs(folder, &err), err);
        for (int k = 1; k < 3; k++) {
            snprintf(from, sizeof from, TINY_B "/%s/%s", own[i][0], own[i][k]);
            snprintf(to, sizeof to, "%s/%s", folder, own[i][k]);
            copy_file(from, to);
        }
    }
    in_dir(text, model, "text_encoder/" TEXT);
    in_dir(expert, model, "transformer_2/" VAE);
    compare_into("first", false);
    compare_into("unfinished", true);
    compare_into("second", false);
    assert_true(same_frames("first", "second"));

    /* A repaired VAE: what it gives from the beginning, it gives to finished latents; figures and copies follow. */
    nudge(model, "vae", VAE, "decoder.conv_out.bias");
    compare_into("wanted", false);
    assert_false(same_frames("wanted", "second"));
    assert_int_equal(unlink(in_job("second", "variants/fp8-block/frames.mkv")), 0);
    cli_result r = resume("second");
    if (r.status != 0 || !strstr(r.err, "the decoder is not the one that the job was made with"))
        fail_msg("exit %d: %s", r.status, r.err);
    cli_result_free(&r);
    assert_true(same_frames("wanted", "second"));
    char *metrics = strdup(in_job("wanted", "variants/fp8-block/metrics.json"));
    assert_true(cli_same_file(metrics, in_job("second", "variants/fp8-block/metrics.json")));
    free(metrics);
    /* Made once, and not at each resume. */
    struct stat before, after;
    assert_int_equal(stat(in_job("second", "variants/bf16/frames.mkv"), &before), 0);
    r = resume("second");
    assert_int_equal(r.status, 0);
    cli_result_free(&r);
    assert_int_equal(stat(in_job("second", "variants/bf16/frames.mkv"), &after), 0);
    assert_true(before.st_ino == after.st_ino);
    copy_file(TINY_B "/vae/" VAE, vae);

    /* A text encoder matters to nothing behind the prompt's hidden states. An expert matters to what is left to denoise, and is named. */
    nudge(model, "text_encoder", TEXT, "encoder.final_layer_norm.weight");
    nudge(model, "transformer_2", VAE, "proj_out.bias");
    r = resume("unfinished");
    if (r.status == 0 ||
        !strstr(r.err, "the files of transformer_2 are not those the job was made with"))
        fail_msg("exit %d: %s", r.status, r.err);
    cli_result_free(&r);
    assert_int_equal(unlink(in_job("first", "variants/bf16/frames.mkv")), 0);
    r = resume("first");
    if (r.status != 0)
        fail_msg("%s", r.err);
    cli_result_free(&r);
    copy_file(TINY_B "/transformer_2/" VAE, expert);
    r = resume("unfinished");
    if (r.status != 0)
        fail_msg("%s", r.err);
    cli_result_free(&r);
    assert_true(same_frames("first", "unfinished"));
    copy_file(TINY_B "/text_encoder/" TEXT, text);
}

/* A config, a tokenizer and the middle of a tensor decide as much as the edges of weights do. */
static void test_cli_checkpoints_changed_files_are_refused_by_component(void **state)
{
    static const struct {
        const char *file, *component;
        long
            at; /* the byte that changes, from the end where negative; 0: a blank is put behind it */
        bool conditions; /* they are lost too, so that the prompt is encoded again */
    } changes[] = {
        {"transformer/config.json", "transformer", 0, false},
        {"transformer_2/config.json", "transformer_2", 0, false},
        {"transformer/" VAE, "transformer", -30001, false},
        {"text_encoder/config.json", "text_encoder", 0, true},
        {"tokenizer/tokenizer_config.json", "tokenizer", 0, true},
        {"tokenizer/spiece.model", "tokenizer", -1, true},
    };
    char model[400], line[1500], path[700], kept[700], job[700];
    (void)state;
    snprintf(model, sizeof model, "%s/configs", cli_dir);
    snprintf(job, sizeof job, "%s/configs-jobs", cli_dir);
    snprintf(kept, sizeof kept, "%s/kept", cli_dir);
    snprintf(line, sizeof line,
             "mkdir '%s' && cd " TINY_B " && cp -rL model_index.json scheduler tokenizer "
             "text_encoder transformer transformer_2 vae '%s/'",
             model, model);
    assert_int_equal(system(line), 0);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char wanted[200];
        snprintf(line, sizeof line, "rm -rf '%s'", job);
        assert_int_equal(system(line), 0);
        CLI_EXPECT(0, "generate", "--model", model, "--prompt", "fox", "--height", "32", "--width",
                   "32", "--num-frames", "1", "--num-inference-steps", "2", "--max-steps-run", "1",
                   "--jobs-dir", job, "-q");
        if (changes[i].conditions) {
            snprintf(line, sizeof line, "rm '%s'/*/conditions.safetensors", job);
            assert_int_equal(system(line), 0);
        }
        snprintf(path, sizeof path, "%s/%s", model, changes[i].file);
        copy_file(path, kept);
        FILE *f = fopen(path, changes[i].at ? "r+" : "a");
        assert_non_null(f);
        if (changes[i].at) {
            assert_int_equal(fseek(f, changes[i].at, SEEK_END), 0);
            int byte = fgetc(f);
            assert_int_equal(fseek(f, changes[i].at, SEEK_END), 0);
            fputc(byte ^ 1, f);
        } else
            fputc('\n', f);
        fclose(f);
        cli_result r = CLI("resume", "last", "--jobs-dir", job, "-q");
        snprintf(wanted, sizeof wanted, "the files of %s are not those the job was made with",
                 changes[i].component);
        if (r.status != 1 || !strstr(r.err, wanted) || cli_lines(r.err) != 1)
            fail_msg("%s: exit %d: %s", changes[i].file, r.status, r.err);
        cli_result_free(&r);
        copy_file(kept, path);
        CLI_EXPECT(0, "resume", "last", "--jobs-dir", job, "-q");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_checkpoints_are_checked_when_a_job_is_made),
        cmocka_unit_test(test_cli_checkpoints_list_the_precision_of_both_experts),
        cmocka_unit_test(test_cli_checkpoints_without_a_boundary_take_the_flag),
        cmocka_unit_test(test_cli_checkpoints_know_labels_in_lower_case),
        cmocka_unit_test(test_cli_checkpoints_say_what_they_adjust),
        cmocka_unit_test(test_cli_checkpoints_refuse_huge_sizes_at_once),
        cmocka_unit_test(test_cli_checkpoints_replaced_weights_matter_where_they_are_read),
        cmocka_unit_test(test_cli_checkpoints_changed_files_are_refused_by_component),
    };
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}

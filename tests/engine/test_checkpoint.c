/* test_checkpoint.c: component weights (single, sharded, incomplete), model_index.json, and finding models by path, hub id and demo. */
#include <fcntl.h>
#include <sys/stat.h>

#include "engine/checkpoint/checkpoint.h"
#include "tests/check.h"
#include "tests/scratch.h"
#include "engine/run/hub.h"
#include "engine/text/tokenizer.h"

#define GOLDEN VG_TEST_DIR "/golden"

static const char *const index_text =
    "{\"_class_name\": \"WanPipeline\", \"_diffusers_version\": \"0.35.0.dev0\", \"boundary_ratio\": 0.875,"
    "\"transformer\": [\"diffusers\", \"WanTransformer3DModel\"], \"transformer_2\": [null, null], \"vae\": [\"diffusers\", \"AutoencoderKLWan\"],"
    "\"scheduler\": [\"diffusers\", \"UniPCMultistepScheduler\"], \"odd\": [\"a\"], \"odd3\": [\"a\", \"b\", \"c\"], \"../up\": [\"a\", \"b\"]}";

static void write_weights(void **state, const char *name, const char *tensor, float value)
{
    const vg_safetensors_entry entry = {tensor, vg_tensor_make(&value, VG_F32, 1, 1)};
    char dir[512];
    vg_err err;

    snprintf(dir, sizeof dir, "%s", scratch_path(state, name));
    *strrchr(dir, '/') = '\0';
    CHECK_OK(vg_file_make_dirs(dir, &err), err);
    CHECK_OK(vg_safetensors_write(scratch_path(state, name), &entry, 1,
                                  (const char *[]){"from", name, NULL}, &err),
             err);
}

static float value_of(const vg_weights *w, const char *name)
{
    const vg_tensor *t = vg_weights_find(w, name);
    float value = NAN;

    if (t)
        memcpy(&value, t->data, sizeof value);
    return value;
}

static void test_checkpoint_single_and_sharded_weights(void **state)
{
    vg_weights *w;
    vg_err err;

    write_weights(state, "t/diffusion_pytorch_model.safetensors", "a", 1.0f);
    CHECK_OK(vg_weights_open(scratch_path(state, "t"), &w, &err), err);
    assert_true(vg_weights_count(w) == 1 && value_of(w, "a") == 1.0f && !vg_weights_find(w, "b"));
    assert_string_equal(vg_weights_metadata(w, "from"), "t/diffusion_pytorch_model.safetensors");
    uint64_t single = vg_weights_identity(w);
    vg_weights_close(w);

    /* An index wins over a single file, as in diffusers. Tensors that it does not name stay out. */
    write_weights(state, "t/s-1.safetensors", "a", 2.0f);
    write_weights(state, "t/s-2.safetensors", "b", 3.0f);
    write_weights(state, "t/s-3.safetensors", "c", 4.0f);
    scratch_text(
        state, "t/diffusion_pytorch_model.safetensors.index.json",
        "{\"metadata\": {\"total_size\": 8}, \"weight_map\": {\"b\": \"s-2.safetensors\", \"a\": \"s-1.safetensors\"}}");
    CHECK_OK(vg_weights_open(scratch_path(state, "t"), &w, &err), err);
    assert_true(vg_weights_count(w) == 2 && value_of(w, "a") == 2.0f && value_of(w, "b") == 3.0f &&
                !vg_weights_find(w, "c"));
    assert_string_equal(vg_weights_name(w, 0), "a");
    assert_true(vg_weights_tensor(w, 1) == vg_weights_find(w, "b") && !vg_weights_tensor(w, 2) &&
                !vg_weights_name(w, -1));
    assert_true(vg_weights_identity(w) != single);
    vg_weights_close(w);
    vg_weights_close(NULL);
}

static void test_checkpoint_identity_sees_replaced_values(void **state)
{
    uint64_t ids[3];
    vg_weights *w;
    vg_err err;

    for (int i = 0; i < 3; i++) {
        write_weights(state, "t/model.safetensors", "a", i < 2 ? 1.0f : 1.0000001f);
        CHECK_OK(vg_weights_open(scratch_path(state, "t"), &w, &err), err);
        ids[i] = vg_weights_identity(w);
        vg_weights_close(w);
    }
    assert_true(ids[0] == ids[1] && ids[1] != ids[2]);
}

static void test_checkpoint_missing_weights_are_named(void **state)
{
    vg_weights *w;
    char *first;
    int count;
    vg_err err;

    CHECK_FAILS(vg_weights_open(scratch_path(state, "none"), &w, &err), VG_E_MISSING, err);
    CHECK_OK(vg_file_make_dirs(scratch_path(state, "t"), &err), err);
    CHECK_FAILS(vg_weights_open(scratch_path(state, "t"), &w, &err), VG_E_MISSING, err);
    scratch_text(
        state, "t/model.safetensors.index.json",
        "{\"weight_map\": {\"c\": \"m-3.safetensors\", \"b\": \"m-2.safetensors\", \"a\": \"m-1.safetensors\", \"a2\": \"m-1.safetensors\"}}");
    CHECK_FAILS(vg_weights_open(scratch_path(state, "t"), &w, &err), VG_E_MISSING, err);
    assert_non_null(strstr(err.message, "m-1.safetensors and 2 more"));
    write_weights(state, "t/m-1.safetensors", "a", 1.0f);
    CHECK_OK(vg_weights_missing(scratch_path(state, "t"), &first, &count, &err), err);
    assert_true(count == 2 && strcmp(first, "m-2.safetensors") == 0);
    free(first);
    write_weights(state, "t/m-2.safetensors", "b", 1.0f);
    write_weights(state, "t/m-3.safetensors", "c", 1.0f);
    CHECK_OK(vg_weights_missing(scratch_path(state, "t"), &first, &count, &err), err);
    assert_true(count == 0 && first == NULL);
    CHECK_FAILS(vg_weights_open(scratch_path(state, "t"), &w, &err), VG_E_FORMAT,
                err); /* a2 is in no shard */
    assert_non_null(strstr(err.message, "a2"));
}

static void test_checkpoint_index_and_configs(void **state)
{
    vg_checkpoint *c;
    cJSON *config;
    char *missing;
    vg_err err;

    CHECK_FAILS(vg_checkpoint_open(scratch_path(state, "none"), &c, &err), VG_E_MISSING, err);
    CHECK_FAILS(vg_checkpoint_open(*state, &c, &err), VG_E_MISSING, err);
    scratch_text(state, "m/model_index.json", index_text);
    CHECK_OK(vg_checkpoint_open(scratch_path(state, "m/."), &c, &err), err);
    assert_string_equal(vg_checkpoint_dir(c), scratch_path(state, "m"));
    assert_string_equal(vg_checkpoint_class(c), "WanPipeline");
    assert_string_equal(vg_checkpoint_component(c, "transformer"), "WanTransformer3DModel");
    assert_null(vg_checkpoint_component(c, "transformer_2"));
    assert_null(vg_checkpoint_component(c, "boundary_ratio"));
    assert_null(vg_checkpoint_component(c, "odd"));
    assert_null(vg_checkpoint_component(c, "odd3"));
    assert_null(vg_checkpoint_component(c, "../up"));
    assert_null(vg_checkpoint_component(c, "none"));
    assert_non_null(cJSON_GetObjectItem(vg_checkpoint_index(c), "boundary_ratio"));

    CHECK_OK(vg_checkpoint_missing(c, &missing, &err), err);
    assert_string_equal(missing, "transformer/config.json and 4 more");
    free(missing);
    CHECK_FAILS(vg_checkpoint_config(c, "scheduler", &config, &err), VG_E_MISSING, err);
    assert_non_null(strstr(err.message, "scheduler/scheduler_config.json"));
    CHECK_FAILS(vg_checkpoint_config(c, "../m", &config, &err), VG_E_ARG, err);
    scratch_text(state, "m/scheduler/scheduler_config.json", "{\"shift\": 3}");
    CHECK_OK(vg_checkpoint_config(c, "scheduler", &config, &err), err);
    assert_non_null(cJSON_GetObjectItem(config, "shift"));
    cJSON_Delete(config);
    scratch_text(state, "m/vae/config.json", "{");
    CHECK_FAILS(vg_checkpoint_config(c, "vae", &config, &err), VG_E_FORMAT, err);
    scratch_text(state, "m/transformer/config.json", "{}");
    write_weights(state, "m/vae/diffusion_pytorch_model.safetensors", "a", 1.0f);
    CHECK_OK(vg_checkpoint_missing(c, &missing, &err), err);
    assert_string_equal(missing, "transformer/diffusion_pytorch_model.safetensors");
    free(missing);
    write_weights(state, "m/transformer/diffusion_pytorch_model.safetensors", "a", 1.0f);
    CHECK_OK(vg_checkpoint_missing(c, &missing, &err), err);
    assert_null(missing);
    vg_checkpoint_close(c);
    vg_checkpoint_close(NULL);
}

/* A clone without Git LFS has small text files in place of weights, tokenizers and configs: they are called what they are. */
static void test_checkpoint_names_lfs_pointers(void **state)
{
    static const char pointer[] =
        "version https://git-lfs.github.com/spec/v1\n"
        "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
    static const char *const files[] = {
        "a/model_index.json", "b/diffusion_pytorch_model.safetensors",
        "c/s-1.safetensors",  "d/model.safetensors.index.json",
        "e/spiece.model",     "f/tokenizer_config.json"};
    vg_err err = {0};

    scratch_text(state, "c/model.safetensors.index.json",
                 "{\"weight_map\": {\"a\": \"s-1.safetensors\"}}");
    char *bytes;
    size_t size;
    CHECK_OK(vg_file_read(GOLDEN "/tiny-a/tokenizer/spiece.model", 1 << 24, &bytes, &size, &err),
             err);
    scratch_write(state, "f/spiece.model", bytes, size);
    free(bytes);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char dir[8];
        vg_checkpoint *checkpoint;
        vg_weights *weights;
        vg_tokenizer *tokenizer;
        snprintf(dir, sizeof dir, "%.1s", files[i]);
        scratch_text(state, files[i], pointer);
        const char *folder = scratch_path(state, dir);
        CHECK_FAILS(i == 0  ? vg_checkpoint_open(folder, &checkpoint, &err)
                    : i < 4 ? vg_weights_open(folder, &weights, &err)
                            : vg_tokenizer_open(folder, &tokenizer, &err),
                    VG_E_FORMAT, err);
        if (!strstr(err.message, files[i]) || !strstr(err.message, "Git LFS pointer"))
            fail_msg("%s: %s", files[i], err.message);
    }
}

static void test_checkpoint_goldens_open(void **state)
{
    static const char *const dirs[] = {GOLDEN "/tiny-a/transformer", GOLDEN "/tiny-b/text_encoder",
                                       GOLDEN "/tiny-c/transformer_2",
                                       GOLDEN "/tiny-c/text_encoder"};
    vg_err err;

    (void)state;
    for (int i = 0; i < 4; i++) {
        vg_weights *w;
        CHECK_OK(vg_weights_open(dirs[i], &w, &err), err);
        assert_true(vg_weights_count(w) > 10);
        for (int k = 1; k < vg_weights_count(w); k++)
            assert_true(strcmp(vg_weights_name(w, k - 1), vg_weights_name(w, k)) < 0);
        vg_weights_close(w);
    }
}

/* ---- finding ---- */

#define COMMIT_1 "1111111111111111111111111111111111111111"
#define COMMIT_2 "2222222222222222222222222222222222222222"

static void clear_environment(void)
{
    static const char *const names[] = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME",
                                        "XDG_CACHE_HOME", "HOME"};

    for (int i = 0; i < 5; i++)
        unsetenv(names[i]);
}

/* A repository in the cache below `cache`; the index is a link into blobs, as the hub makes it. */
static void write_repo(void **state, const char *cache, const char *repo, const char *commit)
{
    char path[400];

    snprintf(path, sizeof path, "%s/%s/blobs/abc", cache, repo);
    scratch_text(state, path, index_text);
    snprintf(path, sizeof path, "%s/%s/snapshots/%s/scheduler/scheduler_config.json", cache, repo,
             commit);
    scratch_text(state, path, "{}");
    snprintf(path, sizeof path, "%s/%s/snapshots/%s/model_index.json", cache, repo, commit);
    assert_int_equal(symlink("../../blobs/abc", scratch_path(state, path)), 0);
}

static void finds(void **state, const char *model, const char *tail)
{
    const char *presets[] = {scratch_path(state, "no-presets"), scratch_path(state, "presets")};
    char *dir;
    vg_err err;

    CHECK_OK(vg_model_find(model, presets, 2, &dir, &err), err);
    if (strcmp(dir, scratch_path(state, tail)) != 0)
        fail_msg("%s: %s instead of %s", model, dir, tail);
    free(dir);
}

static void finds_nothing(void **state, const char *model, const char *says)
{
    const char *presets[] = {scratch_path(state, "presets")};
    char *dir;
    vg_err err;

    CHECK_FAILS(vg_model_find(model, presets, 1, &dir, &err), VG_E_MISSING, err);
    if (!strstr(err.message, says))
        fail_msg("%s: %s", model, err.message);
}

static void test_checkpoint_find_by_path_and_demo(void **state)
{
    clear_environment();
    scratch_text(state, "presets/demo/wan-t2v/model_index.json", index_text);
    scratch_text(state, "presets/demo/other/model_index.json", index_text);
    scratch_text(state, "presets/demo/empty/x", "");
    assert_int_equal(chdir(*state), 0);
    finds(state, scratch_path(state, "presets/demo/other"), "presets/demo/other");
    finds(state, "presets/demo/other", "presets/demo/other");
    finds(state, "./presets/demo/other/", "presets/demo/other");
    finds(state, "presets/demo/other/model_index.json", "presets/demo/other");
    finds(state, "demo", "presets/demo/wan-t2v");
    finds(state, "demo/other", "presets/demo/other");
    setenv("HOME", *state, 1);
    finds(state, "~/presets/demo/other", "presets/demo/other");
    finds(state, "./presets", "presets"); /* named as a path: opening it says what is wrong */
    finds_nothing(state, "demo/empty", "presets/demo/empty");
    finds_nothing(state, "demo/../demo/other", "demo/../demo/other");
    finds_nothing(state, "demo/.hidden", "demo/.hidden");
    finds_nothing(state, "nothing", "nothing");
    finds_nothing(state, "./nothing", "nothing");
    char *dir;
    vg_err err;
    CHECK_FAILS(vg_model_find("", NULL, 0, &dir, &err), VG_E_ARG, err);
    /* A folder "demo" here that is no checkpoint does not hide the demo. */
    CHECK_OK(vg_file_make_dirs(scratch_path(state, "demo"), &err), err);
    finds(state, "demo", "presets/demo/wan-t2v");
    assert_int_equal(chdir("/"), 0);
}

static void test_checkpoint_find_in_the_hub_cache(void **state)
{
    const char *repo = "models--Wan-AI--Wan2.1";
    vg_err err;

    clear_environment();
    write_repo(state, "hub", repo, COMMIT_1);
    write_repo(state, "other", repo, COMMIT_2);
    setenv("HF_HUB_CACHE", scratch_path(state, "hub"), 1);
    finds(state, "Wan-AI/Wan2.1", "hub/models--Wan-AI--Wan2.1/snapshots/" COMMIT_1);
    /* As Python's expanduser and expandvars: what is not set stays as it is. */
    static const char *const spelled[] = {"$VGEN_TEST_DIR/hub", "${VGEN_TEST_DIR}/hub", "~/hub"};
    setenv("VGEN_TEST_DIR", *state, 1);
    setenv("HOME", *state, 1);
    for (int i = 0; i < 3; i++) {
        setenv("HF_HUB_CACHE", spelled[i], 1);
        finds(state, "Wan-AI/Wan2.1", "hub/models--Wan-AI--Wan2.1/snapshots/" COMMIT_1);
    }
    setenv("HF_HUB_CACHE", "/$VGEN_TEST_NONE/${VGEN_TEST_DIR/~$/$", 1);
    finds_nothing(state, "Wan-AI/Wan2.1", "/$VGEN_TEST_NONE/${VGEN_TEST_DIR/~$/$/models--");
    setenv("HF_HUB_CACHE", "~nobody-of-this-name/hub", 1);
    finds_nothing(state, "Wan-AI/Wan2.1", "~nobody-of-this-name/hub/models--");
    setenv("HF_HUB_CACHE", scratch_path(state, "hub"), 1);
    scratch_text(state, "hub/models--Wan-AI--Wan2.1/snapshots/" COMMIT_2 "/model_index.json",
                 index_text);
    /* No refs/main: the newest. */
    struct timespec old[2] = {{1000, 0}, {1000, 0}};
    assert_int_equal(
        utimensat(AT_FDCWD, scratch_path(state, "hub/models--Wan-AI--Wan2.1/snapshots/" COMMIT_1),
                  old, 0),
        0);
    finds(state, "Wan-AI/Wan2.1", "hub/models--Wan-AI--Wan2.1/snapshots/" COMMIT_2);
    scratch_text(state, "hub/models--Wan-AI--Wan2.1/refs/main", COMMIT_1 "\n");
    finds(state, "Wan-AI/Wan2.1", "hub/models--Wan-AI--Wan2.1/snapshots/" COMMIT_1);
    /* One that is not there is not replaced by another. */
    static const char *const absent[] = {"cccccccccccccccccccccccccccccccccccccccc",
                                         "../../../../etc", ""};
    for (int i = 0; i < 3; i++) {
        scratch_text(state, "hub/models--Wan-AI--Wan2.1/refs/main", absent[i]);
        finds_nothing(state, "Wan-AI/Wan2.1", "refs/main names a snapshot that is not there");
    }
    scratch_text(state, "hub/models--Wan-AI--Wan2.1/refs/main", COMMIT_1 "\n");
    scratch_text(state, "hub/models--Wan-AI--Wan2.1/refs/refs/pr/3", COMMIT_2);
    finds(state, "Wan-AI/Wan2.1@refs/pr/3", "hub/models--Wan-AI--Wan2.1/snapshots/" COMMIT_2);
    finds(state, "Wan-AI/Wan2.1@" COMMIT_2, "hub/models--Wan-AI--Wan2.1/snapshots/" COMMIT_2);
    finds_nothing(state, "Wan-AI/Wan2.1@v9", "at v9");
    /* References and ids that lead elsewhere. */
    scratch_text(state, "hub/models--Wan-AI--Wan2.1/refs/evil", "../../../../etc");
    finds_nothing(state, "Wan-AI/Wan2.1@evil", "evil");
    finds_nothing(state, "Wan-AI/Wan2.1@../refs/main", "Wan2.1@");
    finds_nothing(state, "../hub", "../hub");
    finds_nothing(state, "Wan-AI/../x", "Wan-AI/../x");
    finds_nothing(state, "Wan-AI/none", "models--Wan-AI--none");
    finds_nothing(state, "a/b\x1b[31m", "a/b");
    /* Which folder counts. */
    CHECK_OK(vg_file_make_dirs(scratch_path(state, "home/hub"), &err), err);
    assert_int_equal(rename(scratch_path(state, "other"), scratch_path(state, "home/hub/x")), 0);
    unsetenv("HF_HUB_CACHE");
    finds_nothing(state, "Wan-AI/Wan2.1", "looked at");
    setenv("HF_HOME", scratch_path(state, "home"), 1);
    finds_nothing(state, "Wan-AI/Wan2.1", "home/hub");
    assert_int_equal(rename(scratch_path(state, "home/hub/x/models--Wan-AI--Wan2.1"),
                            scratch_path(state, "home/hub/models--Wan-AI--Wan2.1")),
                     0);
    finds(state, "Wan-AI/Wan2.1", "home/hub/models--Wan-AI--Wan2.1/snapshots/" COMMIT_2);
    unsetenv("HF_HOME");
    CHECK_OK(vg_file_make_dirs(scratch_path(state, ".cache"), &err), err);
    assert_int_equal(rename(scratch_path(state, "home"), scratch_path(state, ".cache/huggingface")),
                     0);
    setenv("XDG_CACHE_HOME", scratch_path(state, ".cache"), 1);
    finds(state, "Wan-AI/Wan2.1",
          ".cache/huggingface/hub/models--Wan-AI--Wan2.1/snapshots/" COMMIT_2);
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", *state, 1);
    finds(state, "Wan-AI/Wan2.1",
          ".cache/huggingface/hub/models--Wan-AI--Wan2.1/snapshots/" COMMIT_2);
    finds(state, scratch_path(state, ".cache/huggingface/hub/models--Wan-AI--Wan2.1"),
          ".cache/huggingface/hub/models--Wan-AI--Wan2.1/snapshots/" COMMIT_2);
    setenv("HF_HOME", "~/.cache/huggingface", 1);
    finds(state, "Wan-AI/Wan2.1",
          ".cache/huggingface/hub/models--Wan-AI--Wan2.1/snapshots/" COMMIT_2);
}

static void test_checkpoint_list(void **state)
{
    char *mine = strdup(scratch_path(state, "presets"));
    const char *presets[] = {mine, mine, VG_SOURCE_DIR "/presets"};
    vg_model_entry *entries;
    int count, found = 0;
    vg_err err;

    clear_environment();
    setenv("HF_HUB_CACHE", scratch_path(state, "hub"), 1);
    CHECK_OK(vg_model_list(NULL, 0, &entries, &count, &err), err);
    assert_int_equal(count, 0);
    vg_model_list_free(entries, count);

    write_repo(state, "hub", "models--Org--Pipe--line", COMMIT_1);
    scratch_text(state, "hub/models--Org--begun/snapshots/" COMMIT_1 "/vae/config.json", "{}");
    scratch_text(state, "hub/models--Org--begun/snapshots/" COMMIT_1 "/transformer/config.json",
                 "{}");
    scratch_text(state, "hub/models--Org--language-model/snapshots/" COMMIT_1 "/config.json", "{}");
    scratch_text(state, "hub/datasets--Org--x/snapshots/" COMMIT_1 "/model_index.json", index_text);
    scratch_text(state, "hub/models--broken/snapshots/" COMMIT_1 "/model_index.json", index_text);
    scratch_text(state, "presets/demo/damaged/model_index.json", "{");
    CHECK_OK(vg_model_list(presets, 3, &entries, &count, &err), err);
    for (int i = 0; i < count; i++) {
        const vg_model_entry *e = &entries[i];
        assert_true(e->id && e->dir && e->family && e->modes && e->precision && e->dir[0] == '/');
        if (i > 0)
            assert_true(strcmp(entries[i - 1].id, e->id) < 0);
        if (strcmp(e->id, "Org/Pipe--line") == 0) {
            assert_string_equal(e->missing, "transformer/config.json and 3 more");
            assert_true(e->bytes == strlen(index_text) + 2);
            found |= 1;
        } else if (strcmp(e->id, "Org/begun") == 0) {
            assert_string_equal(e->missing, "model_index.json");
            found |= 2;
        } else if (strcmp(e->id, "demo/damaged") == 0) {
            assert_non_null(e->missing);
            found |= 4;
        } else if (strcmp(e->id, "demo/wan-t2v") == 0) {
            assert_null(e->missing);
            assert_string_equal(e->family, "wan");
            assert_true(e->precision[0] && e->bytes > 1000000);
            found |= 8;
        } else if (strcmp(e->id, "arch/wan2.2-i2v-a14b") == 0) {
            assert_string_equal(e->family, "wan");
            assert_string_equal(e->modes, "i2v, flf2v");
            assert_non_null(strstr(e->missing, "dummy"));
            found |= 16;
        } else if (strncmp(e->id, "demo/", 5) != 0 && strncmp(e->id, "arch/", 5) != 0) {
            fail_msg("%s is listed", e->id);
        }
    }
    assert_int_equal(found, 31);
    free(mine);
    vg_model_list_free(entries, count);
    vg_model_list_free(NULL, 0);
}

int main(void)
{
#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_open, scratch_close)
    const struct CMUnitTest tests[] = {
        WITH_SCRATCH(test_checkpoint_single_and_sharded_weights),
        WITH_SCRATCH(test_checkpoint_identity_sees_replaced_values),
        WITH_SCRATCH(test_checkpoint_missing_weights_are_named),
        WITH_SCRATCH(test_checkpoint_index_and_configs),
        WITH_SCRATCH(test_checkpoint_names_lfs_pointers),
        cmocka_unit_test(test_checkpoint_goldens_open),
        WITH_SCRATCH(test_checkpoint_find_by_path_and_demo),
        WITH_SCRATCH(test_checkpoint_find_in_the_hub_cache),
        WITH_SCRATCH(test_checkpoint_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

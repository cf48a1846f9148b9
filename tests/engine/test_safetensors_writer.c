/* test_safetensors_writer.c: checkpoints written piece by piece read back as they were declared, in files that are split, called and laid out
 * as huggingface_hub does it; every call on files that fails leaves nothing behind. With a folder as its argument the program writes the
 * sample there, for tests/oracle/check_writer.py, which reads it with safetensors and compares the split. */
#include "engine/checkpoint/safetensors_writer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>

#include "engine/checkpoint/checkpoint.h"
#include "kernels/base/json.h"
#include "tests/scratch.h"

/* ---- one call on a file fails: the fault_at-th of those that are made while it is not negative ---- */

static int fault_at = -1, fault_calls;

static bool fails(void)
{
    if (fault_at < 0 || fault_calls++ != fault_at)
        return false;
    errno = EIO;
    return true;
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    /* In small pieces: a short write is no failure. */
    return fails() ? -1 : syscall(SYS_pwrite64, fd, bytes, size > 5 ? 5 : size, at);
}

int fallocate(int fd, int mode, off_t at, off_t size)
{
    return fails() ? -1 : (int)syscall(SYS_fallocate, fd, mode, at, size);
}

int fsync(int fd)
{
    return fails() ? -1 : (int)syscall(SYS_fsync, fd);
}

int renameat(int from_folder, const char *from, int folder, const char *to)
{
    return fails() ? -1 : (int)syscall(SYS_renameat2, from_folder, from, folder, to, 0);
}

int linkat(int from_folder, const char *from, int folder, const char *to, int flags)
{
    return fails() ? -1 : (int)syscall(SYS_linkat, from_folder, from, folder, to, flags);
}

int close(int fd)
{
    bool lost = fails();
    int rc = (int)syscall(SYS_close, fd);
    return lost ? -1 : rc;
}

/* ---- the sample ---- */

static const vg_safetensors_shape sample[] = {
    {"blocks.0.weight", VG_E4M3, 2, {3, 5}},
    {"blocks.0.weight_scale", VG_F32, 0, {0}},
    {"blocks.0.input_scale", VG_F32, 0, {0}},
    {"blocks.0.bias", VG_BF16, 1, {3}},
    {"large", VG_F32, 2, {7, 11}}, /* larger than a shard */
    {"empty", VG_F32, 2, {0, 4}},
    {"blocks.1.weight", VG_E4M3, 2, {8, 8}},
    {"blocks.1.weight_scale", VG_F32, 4, {1, 1, 1, 1}},
    {"a \"quoted\" \xc3\xa9", VG_F16, 1, {9}},
    {"half", VG_BF16, 1, {40}},
    {"whole", VG_I64, 1, {2}},
};
#define SAMPLES 11

static const char *const metadata[] = {"format", "pt", NULL};

static size_t sample_bytes(int i)
{
    size_t bytes;
    vg_err err;
    CHECK_OK(vg_shape_bytes(sample[i].shape, sample[i].ndim, sample[i].dtype, &bytes, &err), err);
    return bytes;
}

/* Byte j of tensor i. */
static uint8_t sample_byte(int i, size_t j)
{
    return (uint8_t)(37 * i + 11 * (int)j);
}

/* Tensors take turns, a few bytes at a time. */
static vg_status write_sample(const char *dir, uint64_t limit, vg_err *err)
{
    vg_safetensors_writer *w;
    size_t done[SAMPLES] = {0};
    bool more = true;
    VG_TRY(vg_safetensors_writer_open(dir, "diffusion_pytorch_model", sample, SAMPLES, limit,
                                      metadata, &w, err));
    vg_status status = VG_OK;
    while (more && status == VG_OK) {
        more = false;
        for (int i = SAMPLES - 1; i >= 0 && status == VG_OK; i--) {
            uint8_t piece[13];
            size_t left = sample_bytes(i) - done[i], n = left < sizeof piece ? left : sizeof piece;
            for (size_t j = 0; j < n; j++)
                piece[j] = sample_byte(i, done[i] + j);
            status = vg_safetensors_writer_append(w, i, piece, n, err);
            done[i] += n;
            more = more || left > n;
        }
    }
    if (status == VG_OK)
        status = vg_safetensors_writer_finish(w, err);
    vg_safetensors_writer_close(w);
    return status;
}

static void check_sample(const char *dir, int files)
{
    vg_err err;
    vg_weights *weights;
    CHECK_OK(vg_weights_open(dir, &weights, &err), err);
    assert_int_equal(vg_weights_files(weights), files);
    assert_int_equal(vg_weights_count(weights), SAMPLES);
    assert_string_equal(vg_weights_metadata(weights, "format"), "pt");
    for (int i = 0; i < SAMPLES; i++) {
        const vg_tensor *t = vg_weights_find(weights, sample[i].name);
        assert_true(t && t->dtype == sample[i].dtype && t->ndim == sample[i].ndim);
        assert_memory_equal(t->shape, sample[i].shape, (size_t)t->ndim * sizeof t->shape[0]);
        assert_int_equal((uintptr_t)t->data % vg_dtype_size(t->dtype), 0);
        for (size_t j = 0; j < sample_bytes(i); j++)
            assert_int_equal(((const uint8_t *)t->data)[j], sample_byte(i, j));
    }
    vg_weights_close(weights);
}

static int entries_of(const char *dir)
{
    DIR *d = opendir(dir);
    int count = 0;
    assert_non_null(d);
    while (readdir(d))
        count++;
    closedir(d);
    return count - 2;
}

static const char *subfolder(void **state, const char *name)
{
    vg_err err;
    const char *dir = scratch_path(state, name);
    CHECK_OK(vg_file_remove_tree(dir, &err), err);
    CHECK_OK(vg_file_make_dirs(dir, &err), err);
    return dir;
}

static void test_writer_reads_back(void **state)
{
    static const struct {
        uint64_t limit;
        int files;
    } cases[] = {{0, 1}, {1 << 20, 1}, {100, 4}, {20, 7}, {1, 11}};
    vg_err err;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *dir = subfolder(state, "whole");
        CHECK_OK(write_sample(dir, cases[i].limit, &err), err);
        check_sample(dir, cases[i].files);
        assert_int_equal(entries_of(dir), cases[i].files + (cases[i].files > 1));
    }
}

/* As huggingface_hub's split_torch_state_dict_into_shards and save_torch_state_dict (check_writer.py asks them). */
static void test_writer_splits_and_names_as_the_hub(void **state)
{
    static const struct {
        const char *tensor;
        int shard;
    } wanted[] = {
        {"large", 1},           {"blocks.0.weight", 2},       {"blocks.0.bias", 2}, {"empty", 2},
        {"blocks.1.weight", 2}, {"blocks.1.weight_scale", 2}, {"half", 3},          {"whole", 4},
    };
    vg_err err;
    cJSON *root;
    const char *dir = subfolder(state, "split");
    CHECK_OK(write_sample(dir, 110, &err), err);
    char *path = vg_path_join(dir, "diffusion_pytorch_model.safetensors.index.json");
    CHECK_OK(vg_json_load(path, &root, &err), err);
    const cJSON *map = cJSON_GetObjectItem(root, "weight_map");
    double total = 0;
    for (int i = 0; i < SAMPLES; i++)
        total += (double)sample_bytes(i);
    assert_true(
        cJSON_GetObjectItem(cJSON_GetObjectItem(root, "metadata"), "total_size")->valuedouble ==
        total);
    assert_int_equal(cJSON_GetArraySize(map), SAMPLES);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        char file[64];
        snprintf(file, sizeof file, "diffusion_pytorch_model-%05d-of-00004.safetensors",
                 wanted[i].shard);
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(map, wanted[i].tensor);
        if (!item || strcmp(item->valuestring, file) != 0)
            fail_msg("%s is in %s", wanted[i].tensor, item ? item->valuestring : "none");
    }
    for (const cJSON *item = map->child; item->next; item = item->next)
        assert_true(strcmp(item->string, item->next->string) < 0);
    cJSON_Delete(root);
    free(path);
}

static void test_writer_wants_all_bytes_and_no_more(void **state)
{
    vg_err err;
    vg_safetensors_writer *w;
    uint8_t bytes[64] = {0};
    const char *dir = subfolder(state, "bytes");
    CHECK_OK(vg_safetensors_writer_open(dir, "model", sample, 4, 0, NULL, &w, &err), err);
    assert_int_equal(vg_safetensors_writer_bytes(w), 15 + 4 + 4 + 6);
    assert_int_equal(vg_safetensors_writer_files(w), 1);
    CHECK_FAILS(vg_safetensors_writer_append(w, 4, bytes, 1, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_safetensors_writer_append(w, -1, bytes, 1, &err), VG_E_ARG, err);
    CHECK_OK(vg_safetensors_writer_append(w, 0, bytes, 10, &err), err);
    CHECK_FAILS(vg_safetensors_writer_append(w, 0, bytes, 6, &err), VG_E_ARG, err);
    assert_non_null(strstr(err.message, "\"blocks.0.weight\" has 15 bytes, 1 more came"));
    CHECK_FAILS(vg_safetensors_writer_finish(w, &err), VG_E_ARG, err);
    assert_non_null(strstr(err.message, "\"blocks.0.weight\" 10 of 15 bytes"));
    CHECK_OK(vg_safetensors_writer_append(w, 0, bytes, 5, &err), err);
    for (int i = 1; i < 3; i++)
        CHECK_OK(vg_safetensors_writer_append(w, i, bytes, 4, &err), err);
    CHECK_FAILS(vg_safetensors_writer_finish(w, &err), VG_E_ARG, err);
    assert_non_null(strstr(err.message, "\"blocks.0.bias\" 0 of 6 bytes"));
    assert_int_equal(entries_of(dir), 0); /* no file has a name yet */
    CHECK_OK(vg_safetensors_writer_append(w, 3, bytes, 6, &err), err);
    CHECK_OK(vg_safetensors_writer_finish(w, &err), err);
    vg_safetensors_writer_close(w);
    assert_int_equal(entries_of(dir), 1);
    /* Old weights are not mixed with new ones. */
    CHECK_FAILS(vg_safetensors_writer_open(dir, "model", sample, 4, 0, NULL, &w, &err), VG_E_ARG,
                err);
    assert_non_null(strstr(err.message, "there are weights already"));
    vg_safetensors_writer_close(NULL);
}

static void test_writer_refuses_what_cannot_be_written(void **state)
{
    vg_err err;
    vg_safetensors_writer *w;
    const char *dir = subfolder(state, "refused");
    vg_safetensors_shape twice[] = {sample[0], sample[6], sample[0]},
                         wide = {"x", VG_F32, 2, {INT64_MAX, 2}}, bad = {"\xff", VG_F32, 0, {0}};
    /* The two lie in different files. */
    CHECK_FAILS(vg_safetensors_writer_open(dir, "model", twice, 3, 16, NULL, &w, &err), VG_E_ARG,
                err);
    CHECK_FAILS(vg_safetensors_writer_open(dir, "model", &wide, 1, 0, NULL, &w, &err), VG_E_SHAPE,
                err);
    CHECK_FAILS(vg_safetensors_writer_open(dir, "model", &bad, 1, 0, NULL, &w, &err), VG_E_ARG,
                err);
    CHECK_FAILS(vg_safetensors_writer_open(dir, "model", sample, 0, 0, NULL, &w, &err), VG_E_ARG,
                err);
    char *none = vg_path_join(dir, "none");
    CHECK_FAILS(vg_safetensors_writer_open(none, "model", sample, 4, 0, NULL, &w, &err), VG_E_IO,
                err);
    free(none);
    assert_int_equal(entries_of(dir), 0);
}

/* A disk that is too small is told before any tensor comes. */
static void test_writer_reserves_its_space(void **state)
{
    vg_err err;
    vg_safetensors_writer *w;
    const vg_safetensors_shape big = {"big", VG_U8, 1, {1 << 20}};
    const char *dir = subfolder(state, "full");
    scratch_full full = scratch_full_begin(1 << 16);
    vg_status status = vg_safetensors_writer_open(dir, "model", &big, 1, 0, NULL, &w, &err);
    scratch_full_end(&full);
    assert_int_equal(status, VG_E_IO);
    assert_non_null(strstr(err.message, "cannot take"));
    assert_int_equal(entries_of(dir), 0);
}

/* Each call on files fails once: one line, and no file of the checkpoint. */
static void test_writer_survives_every_failing_call(void **state)
{
    vg_err err;
    int calls, failed = 0;
    for (int n = 0;; n++) {
        const char *dir = subfolder(state, "faults");
        err.message[0] = '\0';
        fault_calls = 0;
        fault_at = n;
        vg_status status = write_sample(dir, 110, &err);
        calls = fault_calls;
        fault_at = -1;
        if (calls <= n) { /* nothing failed any more */
            CHECK_OK(status, err);
            check_sample(dir, 4);
            break;
        }
        if (status == VG_OK) { /* the close of a copy, or of a folder */
            check_sample(dir, 4);
            continue;
        }
        failed++;
        if (status != VG_E_IO || !strstr(err.message, dir))
            fail_msg("call %d: %s", n, err.message);
        int left = entries_of(dir);
        if (left != 0)
            fail_msg("call %d left %d files: %s", n, left, err.message);
    }
    assert_true(failed > 100);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_writer_reads_back, scratch_open, scratch_close),
        cmocka_unit_test_setup_teardown(test_writer_splits_and_names_as_the_hub, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_writer_wants_all_bytes_and_no_more, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_writer_refuses_what_cannot_be_written, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_writer_reserves_its_space, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_writer_survives_every_failing_call, scratch_open,
                                        scratch_close),
    };
    if (argc == 3) {
        vg_err err;
        if (write_sample(argv[1], strtoull(argv[2], NULL, 10), &err) == VG_OK)
            return 0;
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}

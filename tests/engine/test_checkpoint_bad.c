/* test_checkpoint_bad.c: the hostile corpus tests/bad (tests/oracle/make_bad.py): each file is refused with a clear message that holds no
 * control character, and never crashes the program. */
#include <dirent.h>

#include "engine/checkpoint/checkpoint.h"
#include "engine/text/tokenizer.h"
#include "tests/check.h"
#include "tests/scratch.h"

#define BAD VG_TEST_DIR "/bad"

static bool ends_with(const char *name, const char *tail)
{
    size_t n = strlen(name), t = strlen(tail);

    return n > t && strcmp(name + n - t, tail) == 0;
}

static char *read_bad(const char *name, size_t *size)
{
    char path[512], *bytes;
    vg_err err;

    snprintf(path, sizeof path, "%s/%s", BAD, name);
    CHECK_OK(vg_file_read(path, 1 << 24, &bytes, size, &err), err);
    return bytes;
}

static void refused(const char *name, vg_status status, const vg_err *err, unsigned allowed)
{
    if (status == VG_OK || status != err->code || !(allowed & 1u << -status))
        fail_msg("%s: %s (%s)", name, vg_status_name(status), err->message);
    assert_true(err->message[0] != '\0' && err->file != NULL);
    for (const char *c = err->message; *c; c++)
        assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
}

#define ALLOW(code) (1u << -(code))

static void bad_safetensors(void **state, const char *name)
{
    char path[512];
    size_t size;
    char *bytes = read_bad(name, &size);
    vg_safetensors *st;
    vg_err err = {0};

    (void)state;
    snprintf(path, sizeof path, "%s/%s", BAD, name);
    refused(name, vg_safetensors_open(path, &st, &err), &err, ALLOW(VG_E_FORMAT));
    char *block =
        malloc(size ? size : 1); /* the sanitizer sees its end, unlike that of a mapping */
    assert_non_null(block);
    memcpy(block, bytes, size);
    refused(name, vg_safetensors_open_memory(block, size, name, &st, &err), &err,
            ALLOW(VG_E_FORMAT));
    free(block);
    free(bytes);
}

static void bad_weight_map(void **state, const char *name)
{
    float value = 1.0f;
    const vg_safetensors_entry good = {"t", vg_tensor_make(&value, VG_F32, 1, 1)};
    size_t size;
    char *bytes = read_bad(name, &size);
    vg_weights *weights;
    vg_err err = {0};

    CHECK_OK(vg_safetensors_write(scratch_path(state, "a.safetensors"), &good, 1, NULL, &err), err);
    scratch_write(state, "model.safetensors.index.json", bytes, size);
    refused(name, vg_weights_open(*state, &weights, &err), &err,
            ALLOW(VG_E_FORMAT) | ALLOW(VG_E_MISSING));
    free(bytes);
}

static void bad_model_index(void **state, const char *name)
{
    size_t size;
    char *bytes = read_bad(name, &size);
    vg_checkpoint *checkpoint;
    vg_err err = {0};

    scratch_write(state, "model_index.json", bytes, size);
    refused(name, vg_checkpoint_open(*state, &checkpoint, &err), &err, ALLOW(VG_E_FORMAT));
    free(bytes);
}

static void bad_model(void **state, const char *name)
{
    size_t size;
    char *bytes = read_bad(name, &size);
    vg_tokenizer *tokenizer;
    vg_err err = {0};

    scratch_write(state, "spiece.model", bytes, size);
    refused(name, vg_tokenizer_open(*state, &tokenizer, &err), &err,
            ALLOW(VG_E_FORMAT) | ALLOW(VG_E_UNSUPPORTED));
    free(bytes);
}

static void test_checkpoint_bad_files_are_refused(void **state)
{
    static const struct {
        const char *tail;
        void (*open)(void **state, const char *name);
        int at_least;
    } kinds[] = {{".safetensors", bad_safetensors, 40},
                 {".weight_map.json", bad_weight_map, 10},
                 {".model_index.json", bad_model_index, 6},
                 {".model", bad_model, 20}};
    int counts[4] = {0};
    struct dirent *entry;
    DIR *dir = opendir(BAD);

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        for (int k = 0; k < 4; k++) {
            if (ends_with(entry->d_name, kinds[k].tail)) {
                kinds[k].open(state, entry->d_name);
                counts[k]++;
            }
        }
    }
    closedir(dir);
    for (int k = 0; k < 4; k++)
        assert_true(counts[k] >= kinds[k].at_least);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_checkpoint_bad_files_are_refused, scratch_open,
                                        scratch_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

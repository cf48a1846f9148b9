/* fuzz_json_config.c: any text as one of the JSON files of a checkpoint; the first byte chooses which.
 *   0 model_index.json   1 scheduler_config.json   2 model.safetensors.index.json   3 tokenizer_config.json beside a good model
 *   4 tokenizer.json beside a good model */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/checkpoint/checkpoint.h"
#include "engine/sampling/scheduler.h"
#include "engine/text/tokenizer.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[64] =
    "/dev/shm/vgen-fuzz-XXXXXX"; /* five small files are written per run: not on a disk */

static void write_file(const char *name, const void *bytes, size_t size)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, size, f) != size || fclose(f) != 0)
        abort();
}

static void remove_dir(void)
{
    vg_file_remove_tree(dir, NULL);
}

static void copy_tokenizer_model(void)
{
    char *bytes;
    size_t size;

    if (vg_file_read(VG_TEST_DIR "/golden/tiny-a/tokenizer/spiece.model", 1 << 20, &bytes, &size,
                     NULL) != VG_OK)
        abort();
    write_file("spiece.model", bytes, size);
    free(bytes);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    float value = 1.0f;
    const vg_safetensors_entry entry = {"t", vg_tensor_make(&value, VG_F32, 1, 1)};
    char path[256];

    (void)argc;
    (void)argv;
    if (!mkdtemp(dir))
        abort();
    atexit(remove_dir);
    copy_tokenizer_model();
    snprintf(path, sizeof path, "%s/a.safetensors", dir);
    return vg_safetensors_write(path, &entry, 1, NULL, NULL) == VG_OK ? 0 : 1;
}

static void fuzz_model_index(void)
{
    static const char *const names[] = {"transformer", "transformer_2", "vae", "text_encoder",
                                        "scheduler"};
    vg_checkpoint *checkpoint;
    char *missing;
    cJSON *config;

    if (vg_checkpoint_open(dir, &checkpoint, NULL) != VG_OK)
        return;
    for (int i = 0; i < 5; i++) {
        vg_checkpoint_component(checkpoint, names[i]);
        if (vg_checkpoint_config(checkpoint, names[i], &config, NULL) == VG_OK)
            cJSON_Delete(config);
    }
    if (vg_checkpoint_missing(checkpoint, &missing, NULL) == VG_OK)
        free(missing);
    vg_checkpoint_close(checkpoint);
}

static void fuzz_scheduler(const char *text, size_t size)
{
    vg_scheduler_params params = {.steps = 4};
    vg_scheduler *s;
    vg_backend *be;
    cJSON *config;

    if (vg_json_parse(text, size, "fuzz", &config, NULL) != VG_OK)
        return;
    if (vg_scheduler_params_from_config(config, "fuzz", &params, NULL) == VG_OK &&
        vg_backend_open(VG_DEVICE_CPU, 0, 1, &be, NULL) == VG_OK) {
        if (vg_scheduler_new(&params, be, 1, &s, NULL) == VG_OK) {
            float x = 1.0f, v = 0.5f;
            vg_tensor xt = vg_tensor_make(&x, VG_F32, 1, 1), vt = vg_tensor_make(&v, VG_F32, 1, 1);
            while (vg_scheduler_at(s) < vg_scheduler_steps(s)) {
                if (vg_scheduler_step(s, &(vg_guided){.cond = &vt}, &xt, NULL) != VG_OK || x != x)
                    abort();
            }
            vg_scheduler_free(s);
        }
        vg_backend_close(be);
    }
    cJSON_Delete(config);
}

static void fuzz_weights(void)
{
    vg_weights *weights;
    char *first;
    int count;

    if (vg_weights_missing(dir, &first, &count, NULL) == VG_OK)
        free(first);
    if (vg_weights_open(dir, &weights, NULL) == VG_OK) {
        vg_weights_identity(weights);
        vg_weights_close(weights);
    }
}

static void fuzz_tokenizer(void)
{
    vg_tokenizer *t;
    int32_t ids[16];
    int count;

    if (vg_tokenizer_open(dir, &t, NULL) != VG_OK)
        return;
    if (vg_tokenizer_encode(t, "a cat </s> <extra_id_0>dog  x", 16, ids, &count, NULL) == VG_OK) {
        for (int i = 0; i < count; i++) {
            if (ids[i] < 0 || ids[i] >= vg_tokenizer_vocab(t))
                abort();
        }
    }
    vg_tokenizer_close(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"model_index.json", "", "model.safetensors.index.json",
                                        "tokenizer_config.json", "tokenizer.json"};
    char path[256];

    if (size == 0)
        return 0;
    const int which = data[0] % 5;
    if (which != 1)
        write_file(names[which], data + 1, size - 1);
    switch (which) {
    case 0:
        fuzz_model_index();
        break;
    case 1:
        fuzz_scheduler((const char *)data + 1, size - 1);
        break;
    case 2:
        fuzz_weights();
        break;
    default:
        fuzz_tokenizer();
    }
    if (which != 1) {
        snprintf(path, sizeof path, "%s/%s", dir, names[which]);
        unlink(path);
    }
    return 0;
}

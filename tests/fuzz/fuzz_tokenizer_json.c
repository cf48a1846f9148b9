/* fuzz_tokenizer_json.c: any text as the tokenizer.json of a folder that has nothing else. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/text/tokenizer.h"
#include "kernels/base/fileio.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[64] =
    "/dev/shm/vgen-fuzz-XXXXXX"; /* a small file is written per run: not on a disk */

static void remove_dir(void)
{
    vg_file_remove_tree(dir, NULL);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    if (!mkdtemp(dir))
        abort();
    atexit(remove_dir);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vg_tokenizer *t;
    int32_t ids[32];
    int count;
    char path[96];

    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        abort();
    if (vg_tokenizer_open(dir, &t, NULL) != VG_OK)
        return 0;
    if (vg_tokenizer_encode(t, "a cat, \xc3\xa9\xe2\x88\x80 <s> x\xc2\xb2 \xf0\x9f\x98\x80</s>", 32,
                            ids, &count, NULL) == VG_OK) {
        for (int i = 0; i < count; i++) {
            if (ids[i] < 0 || ids[i] >= vg_tokenizer_vocab(t))
                abort();
        }
    }
    vg_tokenizer_close(t);
    return 0;
}

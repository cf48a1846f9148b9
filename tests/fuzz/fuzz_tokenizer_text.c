/* fuzz_tokenizer_text.c: any bytes as text for good tokenizers: few pieces, UMT5's ids, and the whole character map. */
#include <stdlib.h>
#include <string.h>

#include "engine/text/tokenizer.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static vg_tokenizer *tokenizers[3];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const char *const dirs[] = {VG_TEST_DIR "/golden/tiny-a/tokenizer",
                                       VG_TEST_DIR "/golden/tiny-b/tokenizer",
                                       VG_TEST_DIR "/golden/tokenizer-nfkc"};

    (void)argc;
    (void)argv;
    for (int i = 0; i < 3; i++) {
        if (vg_tokenizer_open(dirs[i], &tokenizers[i], NULL) != VG_OK)
            abort();
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text;

    if (size > 4096 || !(text = malloc(size + 1)))
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    for (int i = 0; i < 3; i++) {
        int32_t ids[512], few[5];
        int count, few_count;
        if (vg_tokenizer_encode(tokenizers[i], text, 512, ids, &count, NULL) != VG_OK)
            break;
        if (count < 1 || count > 512 || ids[count - 1] != 1 ||
            vg_tokenizer_encode(tokenizers[i], text, 5, few, &few_count, NULL) != VG_OK)
            abort();
        for (int k = 0; k < count; k++) {
            if (ids[k] < 0 || ids[k] >= vg_tokenizer_vocab(tokenizers[i]) ||
                (k < few_count - 1 && few[k] != ids[k]))
                abort();
        }
    }
    free(text);
    return 0;
}

/* fuzz_hunyuan_text.c: any bytes as a prompt for both tokenizers of HunyuanVideo-1.5. */
#include <stdlib.h>
#include <string.h>

#include "engine/text/hunyuan_prompt.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DIR VG_TEST_DIR "/golden/hunyuan-text/"

static vg_bpe *bpe;
static vg_byt5 *byt5;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    if (vg_bpe_open(DIR "tokenizer", &bpe, NULL) != VG_OK ||
        vg_byt5_open(DIR "tokenizer_2", &byt5, NULL) != VG_OK)
        abort();
    return 0;
}

static void check(const int32_t *ids, int count, int vocab)
{
    for (int i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= vocab)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int32_t ids[VG_HUNYUAN_CROP + VG_HUNYUAN_TOKENS], few[5];
    int count, few_count, whole;
    char *text;

    if (size > 4096 || !(text = malloc(size + 1)))
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (vg_bpe_encode(bpe, text, size, ids, VG_HUNYUAN_TOKENS, &count, NULL) != VG_OK ||
        vg_bpe_encode(bpe, text, size, few, 5, &few_count, NULL) != VG_OK || count != few_count)
        abort();
    count = count < VG_HUNYUAN_TOKENS ? count : VG_HUNYUAN_TOKENS;
    check(ids, count, vg_bpe_vocab(bpe));
    for (int i = 0; i < 5 && i < count; i++)
        if (ids[i] != few[i])
            abort();
    if (vg_byt5_encode(byt5, text, size, 256, ids, &count, &whole, NULL) != VG_OK || count > 256 ||
        whole < count || ids[count - 1] != 1)
        abort();
    check(ids, count, vg_byt5_vocab(byt5));
    if (vg_hunyuan_glyph_ids(byt5, text, ids, &count, &whole, NULL) != VG_OK ||
        count > VG_HUNYUAN_GLYPHS)
        abort();
    if (vg_hunyuan_prompt_ids(bpe, text, VG_HUNYUAN_TOKENS, ids, &count, &whole, NULL) != VG_OK ||
        count > VG_HUNYUAN_CROP + VG_HUNYUAN_TOKENS)
        abort();
    check(ids, count, vg_bpe_vocab(bpe));
    free(text);
    return 0;
}

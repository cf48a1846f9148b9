/* fuzz_bpe_json.c: any text as the tokenizer.json of a byte-level BPE tokenizer. */
#include <stdlib.h>
#include <string.h>

#include "engine/text/bpe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] =
        "a cat, \xc3\xa9\xe2\x88\x80 we'll x\xc2\xb2 \xf0\x9f\x98\x80<|im_end|>\n\n  \xff";
    int32_t ids[64];
    int count;
    vg_bpe *t;

    if (vg_bpe_open_memory((const char *)data, size, "fuzz", &t, NULL) != VG_OK)
        return 0;
    if (vg_bpe_encode(t, text, sizeof text - 1, ids, 64, &count, NULL) == VG_OK)
        for (int i = 0; i < count && i < 64; i++)
            if (ids[i] < 0 || ids[i] >= vg_bpe_vocab(t))
                abort();
    vg_bpe_close(t);
    return 0;
}

/* fuzz_tokenizer_model.c: any bytes as spiece.model. libsentencepiece is C++ and throws: nothing of it may get out. */
#include <stdlib.h>

#include "engine/text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vg_tokenizer *t;
    int32_t ids[32];
    int count;

    if (vg_tokenizer_open_memory(data, size, "fuzz", &t, NULL) != VG_OK)
        return 0;
    if (vg_tokenizer_encode(t, "a cat, \xc3\xa9\xe2\x88\x80 <s> x\xc2\xb2 \xf0\x9f\x98\x80", 32,
                            ids, &count, NULL) == VG_OK) {
        for (int i = 0; i < count; i++) {
            if (ids[i] < 0 || ids[i] >= vg_tokenizer_vocab(t))
                abort();
        }
    }
    vg_tokenizer_close(t);
    return 0;
}

/* fuzz_safetensors.c: any bytes as a safetensors file. What opens must be readable to its last byte, and found by its names. */
#include <stdlib.h>
#include <string.h>

#include "engine/checkpoint/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vg_safetensors *st;
    vg_err err = {0};
    volatile unsigned sum = 0;

    if (vg_safetensors_open_memory(data, size, "fuzz", &st, &err) != VG_OK) {
        if (err.code != VG_E_FORMAT && err.code != VG_E_NOMEM)
            abort();
        return 0;
    }
    for (int i = 0; i < vg_safetensors_count(st); i++) {
        const vg_tensor *t = vg_safetensors_tensor(st, i);
        const uint8_t *bytes = t->data;
        char text[128];
        if (vg_safetensors_find(st, vg_safetensors_name(st, i)) != t)
            abort();
        for (size_t k = 0, n = vg_tensor_bytes(t); k < n; k++)
            sum += bytes[k];
        vg_tensor_describe(t, text, sizeof text);
    }
    vg_safetensors_metadata(st, "format");
    vg_safetensors_close(st);
    return 0;
}

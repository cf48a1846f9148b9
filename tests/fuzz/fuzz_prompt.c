/* fuzz_prompt.c: any bytes as a prompt. The cleaned text is UTF-8 without white space at its ends or in runs. */
#include <stdlib.h>
#include <string.h>

#include "kernels/base/json.h"
#include "engine/text/prompt.h"
#include "kernels/base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text, *clean;
    vg_err err = {0};

    if (size > 4096 || !(text = malloc(size + 1)))
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (vg_prompt_clean(text, &clean, &err) == VG_OK) {
        const size_t length = strlen(clean);
        if (!vg_utf8_valid(clean, length, NULL) || strstr(clean, "  ") || clean[0] == ' ' ||
            (length > 0 && clean[length - 1] == ' '))
            abort();
        free(clean);
    } else if (err.code != VG_E_ARG) {
        abort();
    }
    free(text);
    return 0;
}

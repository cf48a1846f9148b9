/* fuzz_prompts.c: --prompt-file of arbitrary bytes: no prompt is empty or has a line end in it, and none is lost. */
#include "tests/fuzz/fuzz.h"

#include "app/cli/run_jobs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vg_lines prompts = {0};
    char *text = malloc(size + 1);
    size_t kept = 0, blank = 0;
    memcpy(text, data, size);
    text[size] = 0;
    if (vg_run_split_prompts(text, size, &prompts)) {
        for (int i = 0; i < prompts.count; i++) {
            const char *prompt = prompts.items[i];
            if (!prompt[strspn(prompt, " \t")] || strpbrk(prompt, "\r\n"))
                abort();
            kept += strlen(prompt);
        }
        for (size_t i = 0; i < size; i++)
            blank += data[i] == ' ' || data[i] == '\t' || data[i] == '\r' || data[i] == '\n';
        if (kept + blank + 3 < size)
            abort();
    }
    vg_lines_free(&prompts);
    free(text);
    return 0;
}

/* fuzz_precision.c: any bytes as rules of a precision. Rules are taken or refused with one line; those that are taken write themselves: their
 * text, joined again, gives the same rules; and matching ends whatever the pattern. */
#include <stdlib.h>
#include <string.h>

#include "engine/layers/precision_policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const vg_precision_policy *p)
{
    vg_precision_policy again = {.scheme = p->scheme};
    vg_err err;
    for (int i = 0; i < p->count; i++) {
        if (vg_precision_policy_add(&again, p->rules[i].text, &err) != VG_OK ||
            again.count != i + 1)
            abort();
        const vg_precision_rule *a = &p->rules[i], *b = &again.rules[i];
        if (a->precision != b->precision || a->inputs != b->inputs ||
            strcmp(a->layer, b->layer) != 0 || !a->component != !b->component)
            abort();
    }
    vg_precision_policy_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const layers[] = {"blocks.0.attn1.to_q", "blocks.12.ffn.net.0.proj",
                                         "a.1.2.3.4.5.6.7.8.9.10.11.12.13", ""};
    vg_precision_policy p = {.scheme = VG_SCHEME_FP8};
    vg_err err = {0};
    char *text;

    if (size > 4096 || !(text = malloc(size + 1)))
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (vg_precision_policy_add(&p, text, &err) == VG_OK) {
        check_again(&p);
        for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++)
            (void)vg_precision_policy_find(&p, "transformer", layers[i]);
    } else if (err.code != VG_E_ARG || p.count != 0 || strchr(err.message, '\n')) {
        abort();
    }
    vg_precision_policy_deinit(&p);
    free(text);
    return 0;
}

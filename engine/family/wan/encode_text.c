/* encode_text.c: prompts to the text encoder's hidden states. Source: wan 5.4, 7.2. */
#include "engine/family/wan/wan.h"

#include "engine/checkpoint/dummy.h"
#include "engine/text/prompt.h"
#include "engine/text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct text_encoder {
    vg_umt5 *encoder;
    vg_tokenizer *tokenizer; /* NULL: generated weights do not care which tokens they are given */
} text_encoder;

static bool wanted(const vg_model *model, const vg_generate_params *p)
{
    (void)model;
    (void)p;
    return true;
}

static void close_encoder(void *self)
{
    text_encoder *e = self;
    vg_umt5_close(e->encoder);
    vg_tokenizer_close(e->tokenizer);
    free(e);
}

vg_status wan_check_tokenizer(const vg_model *model, vg_err *err)
{
    int64_t rows = wan_config_of(model)->text.vocab;
    int vocab;
    char *dir;
    VG_TRY(vg_model_component_dir(model, "tokenizer", &dir, err));
    vg_status status = vg_tokenizer_check(dir, &vocab, err);
    if (status == VG_OK && wan_config_of(model)->has_text && vocab > rows)
        status = VG_FAIL(err, VG_E_FORMAT,
                         "%s: %d different ids; text_encoder/config.json has a vocab_size of %lld",
                         dir, vocab, (long long)rows);
    free(dir);
    return status;
}

static vg_status open_encoder(vg_engine *engine, const vg_model *model, const vg_generate_params *p,
                              const char *dir, void **self, vg_err *err)
{
    text_encoder *e = calloc(1, sizeof *e);
    char *tokenizer = NULL;
    vg_status status;
    if (!e)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the text encoder");
    if (strncmp(dir, VG_DUMMY_PREFIX, strlen(VG_DUMMY_PREFIX)) != 0) {
        VG_TRY_GOTO(status, vg_model_component_dir(model, "tokenizer", &tokenizer, err), fail);
        VG_TRY_GOTO(status, vg_tokenizer_open(tokenizer, &e->tokenizer, err), fail);
    }
    VG_TRY_GOTO(status,
                vg_umt5_open(engine, dir, "text_encoder", &wan_config_of(model)->text,
                             vg_compute_dtype(p->compute), &e->encoder, err),
                fail);
    free(tokenizer);
    *self = e;
    return VG_OK;
fail:
    free(tokenizer);
    close_encoder(e);
    return status;
}

/* Ids of a cleaned prompt, and a word about what did not fit. */
static vg_status tokenise(const vg_tokenizer *tokenizer, const char *clean, int most,
                          const char *name, const vg_hooks *hooks, int32_t *ids, int *tokens,
                          vg_err *err)
{
    char text[160];
    int whole;
    VG_TRY(vg_tokenizer_encode(tokenizer, clean, most, ids, tokens, err));
    VG_TRY(vg_tokenizer_count(tokenizer, clean, &whole, err));
    if (whole > most && hooks->note) {
        snprintf(text, sizeof text,
                 "the %s has %d tokens; the model takes %d, so its last %d are left out", name,
                 whole, most, whole - most);
        hooks->note(hooks->user, text);
    }
    return VG_OK;
}

/* Hidden states of one prompt, added as `name`; rows past the prompt stay zero. */
static vg_status encode_one(const text_encoder *e, const wan_config *c, const char *prompt,
                            const vg_generate_params *p, const vg_hooks *hooks, const char *name,
                            vg_conditions *out, vg_err *err)
{
    const int64_t shape[2] = {p->max_text_tokens, c->text.d_model};
    vg_status status;
    float *rows;
    char *clean = NULL;
    int tokens;
    int32_t *ids = calloc((size_t)p->max_text_tokens, sizeof *ids);
    if (!ids)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %d text tokens", p->max_text_tokens);
    VG_TRY_GOTO(status, vg_conditions_add(out, name, 2, shape, &rows, err), done);
    VG_TRY_GOTO(status, vg_prompt_clean(prompt ? prompt : "", &clean, err), done);
    if (e->tokenizer)
        VG_TRY_GOTO(status,
                    tokenise(e->tokenizer, clean, p->max_text_tokens,
                             strcmp(name, WAN_PROMPT) == 0 ? "prompt" : "negative prompt", hooks,
                             ids, &tokens, err),
                    done);
    else
        tokens = vg_dummy_tokens(clean, c->text.vocab, p->max_text_tokens, ids);
    status = vg_umt5_run(e->encoder, ids, NULL, tokens, hooks->cancel, rows, err);
done:
    free(clean);
    free(ids);
    return status;
}

static vg_status run(void *self, const vg_model *model, const vg_generate_params *p,
                     const vg_hooks *hooks, vg_conditions *out, vg_err *err)
{
    const wan_config *c = wan_config_of(model);
    VG_TRY(encode_one(self, c, p->inputs.prompt, p, hooks, WAN_PROMPT, out, err));
    if (vg_model_guided(model, p))
        VG_TRY(encode_one(self, c, p->inputs.negative_prompt, p, hooks, WAN_NEGATIVE, out, err));
    return VG_OK;
}

/* As many tokens as there may be. */
static vg_status rehearse(void *self, const vg_model *model, const vg_generate_params *p,
                          vg_err *err)
{
    int64_t dim = wan_config_of(model)->text.d_model;
    const text_encoder *e = self;
    float *rows = calloc((size_t)p->max_text_tokens * (size_t)dim, sizeof *rows);
    int32_t *ids = calloc((size_t)p->max_text_tokens, sizeof *ids);
    vg_status status =
        rows && ids
            ? vg_umt5_run(e->encoder, ids, NULL, p->max_text_tokens, NULL, rows, err)
            : VG_FAIL(err, VG_E_NOMEM, "out of memory for planning %d tokens", p->max_text_tokens);
    free(ids);
    free(rows);
    return status;
}

const vg_encoder wan_text_encoder_row = {
    .part = {.name = "text",
             .stage = VG_STAGE_TEXT,
             .component = "text_encoder",
             .open = open_encoder,
             .close = close_encoder,
             .rehearse = rehearse},
    .wanted = wanted,
    .run = run,
};

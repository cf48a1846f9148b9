/* encode_text.c: prompts to Qwen2.5-VL's hidden states. Source: hunyuanvideo15 4.1, 4.2. */
#include "engine/family/hunyuanvideo15/hv15.h"

#include "engine/checkpoint/dummy.h"
#include "engine/text/hunyuan_prompt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDS_MAX (VG_HUNYUAN_CROP + VG_HUNYUAN_TOKENS)

typedef struct text_encoder {
    vg_qwen25 *encoder;
    vg_bpe *tokenizer; /* NULL: generated weights do not care which tokens they are given */
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
    vg_qwen25_close(e->encoder);
    vg_bpe_close(e->tokenizer);
    free(e);
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
        VG_TRY_GOTO(status, vg_bpe_open(tokenizer, &e->tokenizer, err), fail);
    }
    VG_TRY_GOTO(status,
                vg_qwen25_open(engine, dir, "text_encoder", &hv_config_of(model)->text,
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

/* One prompt on its way: its ids, and room for its states. */
typedef struct prompt_job {
    const char *prompt, *name, *condition;
    int32_t ids[IDS_MAX];
    vg_qwen25_text text;
} prompt_job;

static vg_status tokenise(const text_encoder *e, const hv_config *c, prompt_job *j,
                          const vg_hooks *hooks, vg_err *err)
{
    char text[160];
    int count, whole = 0;
    j->text.crop = VG_HUNYUAN_CROP;
    if (e->tokenizer) {
        VG_TRY(vg_hunyuan_prompt_ids(e->tokenizer, j->prompt, VG_HUNYUAN_TOKENS, j->ids, &count,
                                     &whole, err));
    } else { /* as many as the chat has, then the prompt's words */
        for (int i = 0; i < VG_HUNYUAN_CROP; i++)
            j->ids[i] = (int32_t)(i % c->text.vocab);
        count = VG_HUNYUAN_CROP + vg_dummy_tokens(j->prompt ? j->prompt : "", c->text.vocab,
                                                  VG_HUNYUAN_TOKENS, j->ids + VG_HUNYUAN_CROP);
    }
    j->text.ids = j->ids;
    j->text.length = count;
    if (whole > VG_HUNYUAN_TOKENS && hooks->note) {
        snprintf(text, sizeof text,
                 "the %s has %d tokens; the model takes %d, so its last %d are left out", j->name,
                 whole, VG_HUNYUAN_TOKENS, whole - VG_HUNYUAN_TOKENS);
        hooks->note(hooks->user, text);
    }
    return VG_OK;
}

static vg_status run(void *self, const vg_model *model, const vg_generate_params *p,
                     const vg_hooks *hooks, vg_conditions *out, vg_err *err)
{
    const hv_config *c = hv_config_of(model);
    const text_encoder *e = self;
    int count = vg_model_guided(model, p) ? 2 : 1;
    vg_qwen25_text texts[2];
    vg_status status = VG_OK;
    prompt_job *jobs = calloc(2, sizeof *jobs);
    if (!jobs)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the prompts");
    jobs[0].prompt = p->inputs.prompt, jobs[0].name = "prompt", jobs[0].condition = HV_PROMPT;
    jobs[1].prompt = p->inputs.negative_prompt, jobs[1].name = "negative prompt",
    jobs[1].condition = HV_NEGATIVE;
    for (int i = 0; i < count && status == VG_OK; i++) {
        status = tokenise(e, c, &jobs[i], hooks, err);
        const int64_t shape[2] = {jobs[i].text.length - jobs[i].text.crop, c->text.hidden};
        if (status == VG_OK)
            status = vg_conditions_add(out, jobs[i].condition, 2, shape, &jobs[i].text.out, err);
        texts[i] = jobs[i].text;
    }
    if (status == VG_OK)
        status = vg_qwen25_run(e->encoder, texts, count, hooks->cancel, hooks->progress,
                               hooks->user, err);
    free(jobs);
    return status;
}

/* Both prompts with as many tokens as there may be. */
static vg_status rehearse(void *self, const vg_model *model, const vg_generate_params *p,
                          vg_err *err)
{
    const text_encoder *e = self;
    int64_t hidden = hv_config_of(model)->text.hidden;
    int count = vg_model_guided(model, p) ? 2 : 1;
    float *out = calloc((size_t)(VG_HUNYUAN_TOKENS * hidden), sizeof *out);
    int32_t *ids = calloc(IDS_MAX, sizeof *ids);
    const vg_qwen25_text one = {.ids = ids, .length = IDS_MAX, .crop = VG_HUNYUAN_CROP, .out = out};
    vg_status status = out && ids
                           ? vg_qwen25_run(e->encoder, (const vg_qwen25_text[]){one, one}, count,
                                           NULL, NULL, NULL, err)
                           : VG_FAIL(err, VG_E_NOMEM, "out of memory for planning the prompts");
    free(ids);
    free(out);
    return status;
}

const vg_encoder hv_text_row = {
    .part = {.name = "text",
             .stage = VG_STAGE_TEXT,
             .component = "text_encoder",
             .open = open_encoder,
             .close = close_encoder,
             .rehearse = rehearse},
    .wanted = wanted,
    .run = run,
};

/* ---- before anything is run ---- */

static vg_status check_ids(const char *dir, int vocab, int64_t rows, const char *component,
                           vg_err *err)
{
    if (vocab > rows)
        return VG_FAIL(err, VG_E_FORMAT,
                       "%s: ids up to %d; %s/config.json has a vocab_size of %lld", dir, vocab - 1,
                       component, (long long)rows);
    return VG_OK;
}

vg_status hv_check_tokenizers(const vg_model *model, vg_err *err)
{
    const hv_config *c = hv_config_of(model);
    vg_bpe *bpe = NULL;
    vg_byt5 *byt5 = NULL;
    char *dir = NULL, *dir_2 = NULL;
    vg_status status;
    VG_TRY_GOTO(status, vg_model_component_dir(model, "tokenizer", &dir, err), done);
    VG_TRY_GOTO(status, vg_model_component_dir(model, "tokenizer_2", &dir_2, err), done);
    VG_TRY_GOTO(status, vg_bpe_open(dir, &bpe, err), done);
    VG_TRY_GOTO(status, vg_byt5_open(dir_2, &byt5, err), done);
    if (c->has_text)
        VG_TRY_GOTO(status, check_ids(dir, vg_bpe_vocab(bpe), c->text.vocab, "text_encoder", err),
                    done);
    if (c->has_glyphs)
        status = check_ids(dir_2, vg_byt5_vocab(byt5), c->glyphs.vocab, "text_encoder_2", err);
done:
    vg_byt5_close(byt5);
    vg_bpe_close(bpe);
    free(dir_2);
    free(dir);
    return status;
}

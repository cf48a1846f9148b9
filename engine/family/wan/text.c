/* text.c: prompts to the text encoder's hidden states. Source: wan 5.4, 7.2. */
#include "engine/family/wan/wan.h"

#include "engine/run/budget.h"
#include "engine/checkpoint/dummy.h"
#include "engine/text/prompt.h"
#include "engine/text/tokenizer.h"

#include <stdlib.h>

/* tokenizer: NULL makes tokens up, as generated weights do not care which they are. */
static vg_status encode_one(vg_umt5 *encoder, const vg_tokenizer *tokenizer, int64_t vocab,
                            const char *prompt, const vg_generate_params *p, int64_t dim,
                            const atomic_int *cancel, float **rows, int *tokens, vg_err *err)
{
    vg_status status;
    char *clean = NULL;
    int32_t *ids = calloc((size_t)p->max_text_tokens, sizeof *ids);
    *rows = calloc((size_t)p->max_text_tokens * (size_t)dim,
                   sizeof **rows); /* rows past the prompt stay zero */
    if (!ids || !*rows) {
        status = VG_FAIL(err, VG_E_NOMEM, "out of memory for %d text tokens", p->max_text_tokens);
        goto done;
    }
    VG_TRY_GOTO(status, vg_prompt_clean(prompt ? prompt : "", &clean, err), done);
    if (tokenizer)
        VG_TRY_GOTO(status,
                    vg_tokenizer_encode(tokenizer, clean, p->max_text_tokens, ids, tokens, err),
                    done);
    else
        *tokens = vg_dummy_tokens(clean, vocab, p->max_text_tokens, ids);
    VG_TRY_GOTO(status, vg_umt5_run(encoder, ids, NULL, *tokens, cancel, *rows, err), done);
done:
    free(clean);
    free(ids);
    return status;
}

static vg_status encode_text(vg_engine *engine, vg_model *model, const vg_generate_params *p,
                             const vg_callbacks *cb, vg_conditioning *out, vg_err *err)
{
    const wan_config *c = wan_config_of(model);
    const atomic_int *cancel = cb ? cb->cancel : NULL;
    vg_tokenizer *tokenizer = NULL;
    vg_umt5 *encoder = NULL;
    char *dir = NULL, *tokenizer_dir = NULL;
    vg_conditioning text = {.tokens = p->max_text_tokens, .dim = c->text.d_model};
    vg_status status;
    double begin = vg_now(), loaded;
    vg_emit_stage(cb, VG_EVENT_STAGE_BEGIN, VG_STAGE_LOAD, "text_encoder", 0);
    VG_TRY_GOTO(status, vg_model_component_dir(model, "tokenizer", &tokenizer_dir, err), done);
    if (!model->dummy)
        VG_TRY_GOTO(status, vg_tokenizer_open(tokenizer_dir, &tokenizer, err), done);
    VG_TRY_GOTO(status, vg_model_weights_dir(model, "text_encoder", &dir, err), done);
    VG_TRY_GOTO(status,
                vg_umt5_open(engine, dir, &c->text, vg_compute_dtype(p->compute), &encoder, err),
                done);
    loaded = vg_now();
    vg_emit_stage(cb, VG_EVENT_STAGE_END, VG_STAGE_LOAD, "text_encoder", loaded - begin);
    vg_emit_stage(cb, VG_EVENT_STAGE_BEGIN, VG_STAGE_TEXT, "", 0);
    VG_TRY_GOTO(status,
                encode_one(encoder, tokenizer, c->text.vocab, p->prompt, p, text.dim, cancel,
                           &text.cond, &text.cond_tokens, err),
                done);
    if (p->guidance_scale > 1)
        VG_TRY_GOTO(status,
                    encode_one(encoder, tokenizer, c->text.vocab, p->negative_prompt, p, text.dim,
                               cancel, &text.uncond, &text.uncond_tokens, err),
                    done);
    vg_emit_stage(cb, VG_EVENT_STAGE_END, VG_STAGE_TEXT, "", vg_now() - loaded);
    *out = text;
done:
    if (status != VG_OK)
        vg_conditioning_deinit(&text);
    vg_umt5_close(encoder);
    vg_tokenizer_close(tokenizer);
    free(tokenizer_dir);
    free(dir);
    return status;
}

vg_status wan_encode(vg_engine *engine, vg_model *model, const vg_generate_params *p,
                     const vg_callbacks *cb, vg_conditioning *out, vg_err *err)
{
    vg_plan plan;
    VG_TRY(wan_need_text(model, err));
    VG_TRY(vg_budget_begin(engine, model, p, (const char *const[]){"text", NULL}, &plan, err));
    return vg_budget_end(engine, model, p, "text", encode_text(engine, model, p, cb, out, err),
                         err);
}

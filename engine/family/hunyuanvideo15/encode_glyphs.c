/* encode_glyphs.c: the words within quotes to ByT5's hidden states, so that they are drawn letter by letter. Source: hunyuanvideo15 4.3. */
#include "engine/family/hunyuanvideo15/hv15.h"

#include "engine/checkpoint/dummy.h"
#include "engine/text/hunyuan_prompt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct glyph_encoder {
    vg_umt5 *encoder;
    vg_byt5 *tokenizer; /* NULL: generated weights */
} glyph_encoder;

bool hv_has_glyphs(const char *prompt)
{
    char *text = NULL;
    bool found = vg_hunyuan_glyph_text(prompt ? prompt : "", &text, NULL) == VG_OK && text;
    free(text);
    return found;
}

static bool wanted(const vg_model *model, const vg_generate_params *p)
{
    return hv_has_glyphs(p->inputs.prompt) ||
           (vg_model_guided(model, p) && hv_has_glyphs(p->inputs.negative_prompt));
}

static void close_encoder(void *self)
{
    glyph_encoder *e = self;
    vg_umt5_close(e->encoder);
    vg_byt5_close(e->tokenizer);
    free(e);
}

static vg_status open_encoder(vg_engine *engine, const vg_model *model, const vg_generate_params *p,
                              const char *dir, void **self, vg_err *err)
{
    glyph_encoder *e = calloc(1, sizeof *e);
    char *tokenizer = NULL;
    vg_status status;
    if (!e)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the glyph encoder");
    if (strncmp(dir, VG_DUMMY_PREFIX, strlen(VG_DUMMY_PREFIX)) != 0) {
        VG_TRY_GOTO(status, vg_model_component_dir(model, "tokenizer_2", &tokenizer, err), fail);
        VG_TRY_GOTO(status, vg_byt5_open(tokenizer, &e->tokenizer, err), fail);
    }
    VG_TRY_GOTO(status,
                vg_umt5_open(engine, dir, "text_encoder_2", &hv_config_of(model)->glyphs,
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

/* States of the words of one prompt, added as `condition`; none without quotes. */
static vg_status encode_one(const glyph_encoder *e, const hv_config *c, const char *prompt,
                            const char *condition, const vg_hooks *hooks, vg_conditions *out,
                            vg_err *err)
{
    int32_t ids[VG_HUNYUAN_GLYPHS];
    int count = 0, whole = 0;
    char text[160];
    float *rows;
    if (!hv_has_glyphs(prompt))
        return VG_OK;
    if (e->tokenizer)
        VG_TRY(vg_hunyuan_glyph_ids(e->tokenizer, prompt, ids, &count, &whole, err));
    else
        count = vg_dummy_tokens(prompt, c->glyphs.vocab, VG_HUNYUAN_GLYPHS, ids);
    if (whole > VG_HUNYUAN_GLYPHS && hooks->note) {
        snprintf(
            text, sizeof text,
            "the words within quotes have %d bytes; the model takes %d, so the last are left out",
            whole, VG_HUNYUAN_GLYPHS);
        hooks->note(hooks->user, text);
    }
    VG_TRY(vg_conditions_add(out, condition, 2, (const int64_t[]){count, c->glyphs.d_model}, &rows,
                             err));
    return vg_umt5_run(e->encoder, ids, NULL, count, hooks->cancel, rows, err);
}

static vg_status run(void *self, const vg_model *model, const vg_generate_params *p,
                     const vg_hooks *hooks, vg_conditions *out, vg_err *err)
{
    const hv_config *c = hv_config_of(model);
    VG_TRY(encode_one(self, c, p->inputs.prompt, HV_GLYPHS, hooks, out, err));
    return vg_model_guided(model, p)
               ? encode_one(self, c, p->inputs.negative_prompt, HV_NEGATIVE_GLYPHS, hooks, out, err)
               : VG_OK;
}

static vg_status rehearse(void *self, const vg_model *model, const vg_generate_params *p,
                          vg_err *err)
{
    const glyph_encoder *e = self;
    int32_t ids[VG_HUNYUAN_GLYPHS] = {0};
    (void)p;
    float *rows =
        calloc((size_t)(VG_HUNYUAN_GLYPHS * hv_config_of(model)->glyphs.d_model), sizeof *rows);
    vg_status status =
        rows ? vg_umt5_run(e->encoder, ids, NULL, VG_HUNYUAN_GLYPHS, NULL, rows, err)
             : VG_FAIL(err, VG_E_NOMEM, "out of memory for planning the glyph encoder");
    free(rows);
    return status;
}

const vg_encoder hv_glyphs_row = {
    .part = {.name = "glyphs",
             .stage = VG_STAGE_TEXT,
             .component = "text_encoder_2",
             .open = open_encoder,
             .close = close_encoder,
             .rehearse = rehearse},
    .wanted = wanted,
    .run = run,
};

/* components.c: single parts of a HunyuanVideo-1.5 model for `vgen component`: named tensors in, named FP32 tensors out. Every input is checked,
 * with one clear line about what is wrong; a batch is run row by row. */
#include "engine/family/hunyuanvideo15/dit.h"
#include "engine/family/hunyuanvideo15/vae.h"

#include "engine/run/component_io.h"
#include "engine/run/component_vae.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- transformer ---- */

#define DIT "transformer"

/* Text-side inputs by row of the batch; names as the reference's arguments. */
typedef struct rows_input {
    const char *name, *mask_name; /* mask_name: NULL = all rows count */
    bool needed;
    float *values; /* [B, tokens, dim]; NULL: not given */
    double *mask;  /* [B, tokens] */
    int64_t shape[3];
} rows_input;

enum { PROMPT, GLYPHS, IMAGE, ROWS_INPUTS };

typedef struct dit_inputs {
    float *x;
    double *t, *next; /* next: NULL = not given */
    int64_t x_shape[5];
    rows_input rows[ROWS_INPUTS];
} dit_inputs;

static bool given(const vg_safetensors *in, const char *name)
{
    return vg_safetensors_find(in, name) != NULL;
}

static vg_status read_rows(const vg_safetensors *in, int64_t batch, int64_t dim, rows_input *r,
                           vg_err *err)
{
    int64_t mask_shape[2];
    if (!r->needed && !given(in, r->name))
        return VG_OK;
    VG_TRY(vg_input_f32(in, DIT, r->name, 3, r->shape, &r->values, err));
    if (r->shape[0] != batch || r->shape[2] != dim)
        return VG_FAIL(
            err, VG_E_SHAPE,
            DIT
            ": %s is %lld rows of [%lld, %lld]; the batch has %lld, and the model wants rows of %lld",
            r->name, (long long)r->shape[0], (long long)r->shape[1], (long long)r->shape[2],
            (long long)batch, (long long)dim);
    if (!r->mask_name)
        return VG_OK;
    VG_TRY(vg_input_numbers(in, DIT, r->mask_name, 2, mask_shape, &r->mask, err));
    if (mask_shape[0] != r->shape[0] || mask_shape[1] != r->shape[1])
        return VG_FAIL(err, VG_E_SHAPE, DIT ": %s and %s differ in shape", r->name, r->mask_name);
    return VG_OK;
}

static vg_status read_next(const vg_safetensors *in, const hv_dit_config *c, int64_t batch,
                           double **next, vg_err *err)
{
    int64_t shape[1];
    double *values = NULL;
    if (!given(in, "timestep_r"))
        return VG_OK;
    if (!c->meanflow)
        return VG_FAIL(err, VG_E_ARG,
                       DIT
                       ": timestep_r was given; it is for step-distilled models (use_meanflow)");
    VG_TRY(vg_input_numbers(in, DIT, "timestep_r", 1, shape, &values, err));
    *next = malloc((size_t)batch * sizeof **next);
    for (int64_t b = 0; *next && b < batch; b++)
        (*next)[b] = values[shape[0] == 1 ? 0 : b % shape[0]];
    free(values);
    if (!*next)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %lld timesteps", (long long)batch);
    if (shape[0] != batch && shape[0] != 1)
        return VG_FAIL(err, VG_E_SHAPE,
                       DIT ": timestep_r has %lld numbers; the batch has %lld rows",
                       (long long)shape[0], (long long)batch);
    return VG_OK;
}

static vg_status read_dit_inputs(const vg_safetensors *in, const hv_dit_config *c, dit_inputs *i,
                                 vg_err *err)
{
    const int64_t dims[ROWS_INPUTS] = {c->text_dim, c->glyph_dim, c->image_dim};
    int64_t t_shape[1];
    VG_TRY(vg_input_f32(in, DIT, "hidden_states", 5, i->x_shape, &i->x, err));
    if (i->x_shape[1] != c->in_channels)
        return VG_FAIL(err, VG_E_SHAPE,
                       DIT ": hidden_states has %lld channels; the model wants %lld",
                       (long long)i->x_shape[1], (long long)c->in_channels);
    VG_TRY(vg_input_timestep(in, DIT, i->x_shape[0], t_shape, &i->t, err));
    if (t_shape[0] != i->x_shape[0])
        return VG_FAIL(err, VG_E_SHAPE,
                       DIT ": hidden_states and timestep have batches of %lld and %lld",
                       (long long)i->x_shape[0], (long long)t_shape[0]);
    VG_TRY(read_next(in, c, i->x_shape[0], &i->next, err));
    for (int k = 0; k < ROWS_INPUTS; k++)
        VG_TRY(read_rows(in, i->x_shape[0], dims[k], &i->rows[k], err));
    return VG_OK;
}

/* The valid rows of row `b` of a batch, malloc'd; of a picture that is all zeros, as text to video has it, none. */
static vg_status valid_rows(const rows_input *r, int64_t b, float **rows, int64_t *count,
                            vg_err *err)
{
    int64_t tokens = r->shape[1], dim = r->shape[2];
    bool zero = r->mask_name == NULL;
    *rows = NULL;
    *count = 0;
    if (!r->values)
        return VG_OK;
    const float *from = r->values + b * tokens * dim;
    for (int64_t i = 0; zero && i < r->shape[0] * tokens * dim; i++)
        zero = r->values[i] == 0;
    *rows = malloc((size_t)(tokens * dim) * sizeof **rows);
    if (!*rows)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %lld tokens", (long long)tokens);
    for (int64_t i = 0; i < tokens && !zero; i++)
        if (!r->mask || r->mask[b * tokens + i] != 0)
            memcpy(*rows + dim * (*count)++, from + i * dim, (size_t)dim * sizeof **rows);
    return VG_OK;
}

static vg_status bind_row(hv_dit *dit, const dit_inputs *i, int64_t b, const atomic_int *cancel,
                          vg_err *err)
{
    float *rows[ROWS_INPUTS] = {NULL};
    int64_t count[ROWS_INPUTS];
    vg_status status = VG_OK;
    for (int k = 0; k < ROWS_INPUTS && status == VG_OK; k++)
        status = valid_rows(&i->rows[k], b, &rows[k], &count[k], err);
    if (status == VG_OK)
        status = hv_dit_set_text(dit, 0,
                                 &(hv_text){.text = rows[PROMPT],
                                            .glyphs = rows[GLYPHS],
                                            .image = rows[IMAGE],
                                            .text_tokens = count[PROMPT],
                                            .glyph_tokens = count[GLYPHS],
                                            .image_tokens = count[IMAGE]},
                                 err);
    for (int k = 0; k < ROWS_INPUTS; k++)
        free(rows[k]);
    if (status == VG_OK)
        status = hv_dit_set_schedule(dit, &i->t[b], i->next ? &i->next[b] : NULL, 1, cancel, err);
    return status == VG_OK ? hv_dit_set_timestep(dit, i->t[b], err) : status;
}

/* One row of the batch: x [in_channels, T, h, w] on the host. */
static vg_status forward_row(hv_dit *dit, vg_arena *arena, vg_dtype compute, const hv_dit_config *c,
                             const int64_t shape[4], const float *x, const atomic_int *cancel,
                             float *out, vg_err *err)
{
    vg_backend *be = vg_arena_backend(arena);
    const int64_t padded[4] = {hv_dit_channels(c->in_channels), shape[1], shape[2], shape[3]},
                  out_shape[4] = {c->out_channels, shape[1], shape[2], shape[3]};
    vg_tensor raw, in, v, result;
    VG_TRY(vg_arena_tensor(arena, VG_F32, 4, shape, &raw, err));
    VG_TRY(vg_arena_tensor(arena, compute, 4, padded, &in, err));
    VG_TRY(vg_arena_tensor(arena, compute, 4, out_shape, &v, err));
    VG_TRY(vg_arena_tensor(arena, VG_F32, 4, out_shape, &result, err));
    VG_TRY(vg_backend_upload(be, &raw, x, err));
    VG_TRY(vg_backend_zero(be, &in, err));
    vg_tensor used = vg_tensor_rows(&in, 0, c->in_channels);
    VG_TRY(vg_cast(be, &(vg_cast_args){.x = &raw, .y = &used}, err));
    VG_TRY(hv_dit_forward(dit, &in, 0, cancel, NULL, NULL, &v, err));
    VG_TRY(vg_cast(be, &(vg_cast_args){.x = &v, .y = &result}, err));
    return vg_backend_download(be, out, &result, err);
}

static vg_status forward_rows(vg_engine *engine, vg_model *model, const vg_component_params *params,
                              const dit_inputs *i, float *out, vg_err *err)
{
    const hv_dit_config *c = &hv_config_of(model)->dit;
    vg_precision_policy policy = {.scheme =
                                      params->scheme_given ? (int)params->scheme : VG_SCHEME_AUTO,
                                  .inputs = VG_FP8_ACT_DYNAMIC};
    vg_module_options options = {.compute = vg_compute_dtype(params->compute), .policy = &policy};
    hv_dit *dit = NULL;
    vg_arena *arena = NULL;
    char *dir = NULL;
    vg_status status;
    int64_t plane = i->x_shape[2] * i->x_shape[3] * i->x_shape[4];
    VG_TRY_GOTO(status, vg_precision_policy_add(&policy, params->precision, err), done);
    VG_TRY_GOTO(status, vg_model_weights_dir(model, DIT, &dir, err), done);
    VG_TRY_GOTO(status, hv_dit_open(engine, dir, c, &options, &dit, err), done);
    VG_TRY_GOTO(status, vg_arena_new(engine->be, (size_t)1 << 20, &arena, err), done);
    for (int64_t b = 0; b < i->x_shape[0]; b++) {
        VG_TRY_GOTO(status, bind_row(dit, i, b, params->cancel, err), done);
        VG_TRY_GOTO(status,
                    forward_row(dit, arena, options.compute, c, i->x_shape + 1,
                                i->x + b * c->in_channels * plane, params->cancel,
                                out + b * c->out_channels * plane, err),
                    done);
        vg_arena_reset(arena, 0);
    }
done:
    vg_precision_policy_deinit(&policy);
    vg_arena_free(arena);
    hv_dit_close(dit);
    free(dir);
    return status;
}

static vg_status run_transformer(vg_engine *engine, vg_model *model,
                                 const vg_component_params *params, const vg_safetensors *in,
                                 vg_safetensors_entry **out, int *out_count, vg_err *err)
{
    const hv_dit_config *c = &hv_config_of(model)->dit;
    dit_inputs i = {
        .rows = {{.name = "encoder_hidden_states",
                  .mask_name = "encoder_attention_mask",
                  .needed = true},
                 {.name = "encoder_hidden_states_2", .mask_name = "encoder_attention_mask_2"},
                 {.name = "image_embeds"}}};
    float *values;
    vg_status status;
    *out = NULL;
    VG_TRY_GOTO(status, read_dit_inputs(in, c, &i, err), done);
    const int64_t shape[5] = {i.x_shape[0], c->out_channels, i.x_shape[2], i.x_shape[3],
                              i.x_shape[4]};
    VG_TRY_GOTO(status, vg_output_f32("sample", 5, shape, out, out_count, &values, err), done);
    status = forward_rows(engine, model, params, &i, values, err);
done:
    for (int k = 0; k < ROWS_INPUTS; k++) {
        free(i.rows[k].values);
        free(i.rows[k].mask);
    }
    free(i.x);
    free(i.t);
    free(i.next);
    return vg_output_finish(status, out, out_count);
}

/* ---- VAE ---- */

static int64_t vae_channels(const vg_model *model)
{
    return hv_config_of(model)->vae.z;
}

static void vae_frames(const vg_model *model, const int64_t latents[3], int64_t frames[3])
{
    const hv_vae_config *c = &hv_config_of(model)->vae;
    frames[0] = hv_vae_frames(c, latents[0]);
    frames[1] = latents[1] * c->spatial;
    frames[2] = latents[2] * c->spatial;
}

static void vae_latents(const vg_model *model, const int64_t frames[3], int64_t latents[3])
{
    const hv_vae_config *c = &hv_config_of(model)->vae;
    latents[0] = hv_vae_latent_frames(c, frames[0]);
    latents[1] = frames[1] / c->spatial;
    latents[2] = frames[2] / c->spatial;
}

static vg_status vae_open(vg_engine *engine, const vg_model *model, const char *dir,
                          vg_dtype compute, bool encoder, void **vae, vg_err *err)
{
    hv_vae *opened = NULL;
    vg_status status = hv_vae_open(engine, dir, &hv_config_of(model)->vae, compute,
                                   encoder ? HV_VAE_ENCODER : HV_VAE_DECODER, &opened, err);
    *vae = opened;
    return status;
}

static void vae_close(void *vae)
{
    hv_vae_close(vae);
}

static vg_status vae_decode(void *vae, const float *latents, const int64_t shape[4], bool tiled,
                            const vg_hooks *hooks, float *frames, vg_err *err)
{
    return hv_vae_decode(vae, latents, shape, false, tiled, hooks, NULL, frames, err);
}

static vg_status vae_encode(void *vae, const float *sample, const int64_t shape[4], bool tiled,
                            const vg_hooks *hooks, float *latents, vg_err *err)
{
    return hv_vae_encode(vae, sample, shape, tiled, hooks, latents, err);
}

static const vg_vae_part vae_part = {
    .channels = vae_channels,
    .shape_of_frames = vae_frames,
    .shape_of_latents = vae_latents,
    .open = vae_open,
    .close = vae_close,
    .decode = vae_decode,
    .encode = vae_encode,
};

static vg_status run_vae_decode(vg_engine *engine, vg_model *model,
                                const vg_component_params *params, const vg_safetensors *in,
                                vg_safetensors_entry **out, int *out_count, vg_err *err)
{
    return vg_vae_part_decode(&vae_part, engine, model, params, in, out, out_count, err);
}

static vg_status run_vae_encode(vg_engine *engine, vg_model *model,
                                const vg_component_params *params, const vg_safetensors *in,
                                vg_safetensors_entry **out, int *out_count, vg_err *err)
{
    return vg_vae_part_encode(&vae_part, engine, model, params, in, out, out_count, err);
}

const vg_part hv_parts[HV_PARTS] = {
    {"text-encoder",
     "input_ids, attention_mask [B,L] -> prompt_embeds [B,L,d]; of more than 108 tokens the first 108, the chat in front of the prompt, are left out; padding is 0",
     hv_run_text_encoder},
    {"text-encoder-2", "input_ids, attention_mask [B,L] -> last_hidden_state [B,L,d]; padding is 0",
     hv_run_text_encoder_2},
    {"image-encoder", "pixel_values [B,3,S,S] -> image_embeds [B,N,d]", hv_run_image_encoder},
    {"tokenizer",
     "text U8, all texts one behind the other, lengths I64 of each in bytes -> input_ids I64, lengths I64",
     hv_run_tokenizer},
    {"tokenizer-2", "the same, of ByT5, with </s>", hv_run_tokenizer_2},
    {"transformer",
     "hidden_states [B,C,T,h,w], timestep [B], [1] or [], encoder_hidden_states [B,L,text_embed_dim], encoder_attention_mask [B,L]; "
     "if wanted encoder_hidden_states_2 [B,L2,text_embed_2_dim] with encoder_attention_mask_2 [B,L2], image_embeds "
     "[B,N,image_embed_dim], timestep_r [B] or [1] -> sample [B,z,T,h,w]",
     run_transformer},
    {"vae-decode", "latents [B,z,T,h,w], not scaled -> sample [B,3,F,H,W], about [-1,1]",
     run_vae_decode},
    {"vae-encode",
     "sample [B,3,F,H,W] in [-1,1] -> latents [B,z,T,h,w], the posterior mean, not scaled",
     run_vae_encode},
};

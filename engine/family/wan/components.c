/* components.c: single parts of a Wan model for `vgen component`: named tensors in, named FP32 tensors out. Every input is checked, with one
 * clear line about what is wrong; a batch is run row by row. */
#include "engine/family/wan/dit.h"
#include "engine/family/wan/vace_component.h"
#include "engine/family/wan/vae.h"

#include "engine/run/component_io.h"
#include "engine/run/component_vae.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- text encoder ---- */

static vg_status encode_rows(vg_engine *engine, vg_model *model, const vg_component_params *params,
                             const double *ids, const double *mask, const int64_t shape[2],
                             float *values, vg_err *err)
{
    const wan_config *c = wan_config_of(model);
    int64_t rows = shape[0], length = shape[1];
    vg_umt5 *encoder = NULL;
    char *dir = NULL;
    vg_status status;
    int32_t *row_ids = malloc((size_t)length * sizeof *row_ids);
    uint8_t *row_mask = malloc((size_t)length);
    if (!row_ids || !row_mask) {
        status = VG_FAIL(err, VG_E_NOMEM, "out of memory for %lld tokens", (long long)length);
        goto done;
    }
    VG_TRY_GOTO(status, vg_model_weights_dir(model, "text_encoder", &dir, err), done);
    VG_TRY_GOTO(status,
                vg_umt5_open(engine, dir, "text_encoder", &c->text,
                             vg_compute_dtype(params->compute), &encoder, err),
                done);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t i = 0; i < length; i++) {
            double id = ids[r * length + i];
            row_ids[i] = id >= 0 && id < 2147483647.0 ? (int32_t)id : -1;
            row_mask[i] = mask[r * length + i] != 0;
        }
        VG_TRY_GOTO(status,
                    vg_umt5_run(encoder, row_ids, row_mask, length, params->cancel,
                                values + r * length * c->text.d_model, err),
                    done);
    }
done:
    vg_umt5_close(encoder);
    free(dir);
    free(row_mask);
    free(row_ids);
    return status;
}

static vg_status run_text_encoder(vg_engine *engine, vg_model *model,
                                  const vg_component_params *params, const vg_safetensors *in,
                                  vg_safetensors_entry **out, int *out_count, vg_err *err)
{
    const wan_config *c = wan_config_of(model);
    double *ids = NULL, *mask = NULL;
    float *values;
    int64_t shape[2], mask_shape[2];
    vg_status status;
    *out = NULL;
    VG_TRY(vg_model_need(model, "text_encoder", err));
    VG_TRY_GOTO(status, vg_input_numbers(in, "text-encoder", "input_ids", 2, shape, &ids, err),
                done);
    VG_TRY_GOTO(status,
                vg_input_numbers(in, "text-encoder", "attention_mask", 2, mask_shape, &mask, err),
                done);
    if (shape[0] != mask_shape[0] || shape[1] != mask_shape[1]) {
        status =
            VG_FAIL(err, VG_E_SHAPE, "text-encoder: input_ids and attention_mask differ in shape");
        goto done;
    }
    if (shape[1] > 8192) {
        status =
            VG_FAIL(err, VG_E_SHAPE, "text-encoder: rows of %lld tokens; at most 8192 are possible",
                    (long long)shape[1]);
        goto done;
    }
    const int64_t out_shape[3] = {shape[0], shape[1], c->text.d_model};
    VG_TRY_GOTO(status,
                vg_output_f32("last_hidden_state", 3, out_shape, out, out_count, &values, err),
                done);
    status = encode_rows(engine, model, params, ids, mask, shape, values, err);
done:
    free(ids);
    free(mask);
    return vg_output_finish(status, out, out_count);
}

/* ---- transformers ---- */

typedef struct dit_inputs {
    float *x, *text, *image; /* image: NULL where the transformer looks at none */
    wan_dit_time *times;     /* of each row */
    int64_t x_shape[5], text_shape[3], image_shape[3], t_rows;
    wan_control_inputs control;
} dit_inputs;

static int64_t pictures_of(const wan_dit_config *c)
{
    return c->image_places ? 2 : 1;
}

/* One row of timesteps by token: one value for the first tokens, another for the others. */
static vg_status read_tokens_row(const char *part, const double *t, int64_t tokens,
                                 wan_dit_time *time, vg_err *err)
{
    int64_t first = 1, again;
    while (first < tokens && t[first] == t[0])
        first++;
    for (again = first; again < tokens && t[again] == t[first];)
        again++;
    if (again < tokens)
        return VG_FAIL(
            err, VG_E_UNSUPPORTED,
            "%s: timestep changes at tokens %lld and %lld of a row; once is possible: the "
            "first tokens may have another than all others",
            part, (long long)first, (long long)again);
    *time = (wan_dit_time){
        .timestep = t[tokens - 1], .first = t[0], .first_tokens = first < tokens ? first : 0};
    return VG_OK;
}

/* timestep [], [1], [B], or by token [1,N] or [B,N]. */
static vg_status read_times(const vg_safetensors *in, const char *part, const wan_dit_config *c,
                            dit_inputs *i, vg_err *err)
{
    const char *dtype;
    vg_tensor given;
    bool by_token = vg_safetensors_raw(in, "timestep", &dtype, &given) && given.ndim == 2;
    int64_t batch = i->x_shape[0], tokens = wan_dit_tokens(c, i->x_shape + 1), shape[2];
    double *t = NULL;
    vg_status status = VG_OK;
    if (by_token)
        VG_TRY(vg_input_numbers(in, part, "timestep", 2, shape, &t, err));
    else
        VG_TRY(vg_input_timestep(in, part, batch, shape, &t, err));
    i->t_rows = by_token && shape[0] == 1 ? batch : shape[0];
    if (by_token && shape[1] != tokens)
        status = VG_FAIL(err, VG_E_SHAPE, "%s: timestep has %lld tokens; hidden_states has %lld",
                         part, (long long)shape[1], (long long)tokens);
    else if (!(i->times = calloc((size_t)i->t_rows, sizeof *i->times)))
        status = VG_FAIL(err, VG_E_NOMEM, "out of memory for %lld timesteps", (long long)i->t_rows);
    for (int64_t r = 0; status == VG_OK && r < i->t_rows; r++) {
        if (by_token)
            status = read_tokens_row(part, t + (shape[0] == 1 ? 0 : r * tokens), tokens,
                                     &i->times[r], err);
        else
            i->times[r].timestep = t[r];
    }
    free(t);
    return status;
}

static vg_status check_dit_inputs(const char *part, const wan_dit_config *c, const dit_inputs *i,
                                  vg_err *err)
{
    if (i->x_shape[0] != i->t_rows || i->x_shape[0] != i->text_shape[0])
        return VG_FAIL(
            err, VG_E_SHAPE,
            "%s: hidden_states, timestep and encoder_hidden_states have batches of %lld, %lld and %lld",
            part, (long long)i->x_shape[0], (long long)i->t_rows, (long long)i->text_shape[0]);
    if (i->x_shape[1] != c->in_channels)
        return VG_FAIL(err, VG_E_SHAPE, "%s: hidden_states has %lld channels; the model wants %lld",
                       part, (long long)i->x_shape[1], (long long)c->in_channels);
    if (i->text_shape[2] != c->text_dim)
        return VG_FAIL(err, VG_E_SHAPE,
                       "%s: encoder_hidden_states has rows of %lld; the model wants %lld", part,
                       (long long)i->text_shape[2], (long long)c->text_dim);
    if (i->x_shape[3] % c->patch[1] || i->x_shape[4] % c->patch[2])
        return VG_FAIL(
            err, VG_E_SHAPE, "%s: hidden_states is %lldx%lld; multiples of %dx%d are wanted", part,
            (long long)i->x_shape[3], (long long)i->x_shape[4], c->patch[1], c->patch[2]);
    return VG_OK;
}

static vg_status forward_row(wan_dit *dit, vg_arena *arena, vg_dtype compute,
                             const int64_t shape[4], int64_t out_channels, const float *x,
                             const wan_dit_time *time, const atomic_int *cancel, float *out,
                             vg_err *err)
{
    vg_backend *be = vg_arena_backend(arena);
    const int64_t out_shape[4] = {out_channels, shape[1], shape[2], shape[3]};
    vg_tensor raw, in, v, result;
    VG_TRY(vg_arena_tensor(arena, VG_F32, 4, shape, &raw, err));
    VG_TRY(vg_backend_upload(be, &raw, x, err));
    VG_TRY(vg_arena_tensor(arena, compute, 4, out_shape, &v, err));
    in = raw;
    if (compute != VG_F32) {
        VG_TRY(vg_arena_tensor(arena, compute, 4, shape, &in, err));
        VG_TRY(vg_cast(be, &(vg_cast_args){.x = &raw, .y = &in}, err));
    }
    VG_TRY(wan_dit_forward(dit, &in, time, 0, cancel, NULL, NULL, &v, err));
    result = v;
    if (compute != VG_F32) {
        VG_TRY(vg_arena_tensor(arena, VG_F32, 4, out_shape, &result, err));
        VG_TRY(vg_cast(be, &(vg_cast_args){.x = &v, .y = &result}, err));
    }
    return vg_backend_download(be, out, &result, err);
}

static vg_status forward_rows(vg_engine *engine, vg_model *model, const vg_component_params *params,
                              int expert, const dit_inputs *i, float *out, vg_err *err)
{
    const wan_dit_config *c = &wan_config_of(model)->dit[expert];
    const char *name = wan_expert_names[expert];
    vg_precision_policy policy = {.scheme =
                                      params->scheme_given ? (int)params->scheme : VG_SCHEME_AUTO,
                                  .inputs = VG_FP8_ACT_DYNAMIC};
    vg_module_options options = {.compute = vg_compute_dtype(params->compute), .policy = &policy};
    wan_dit *dit = NULL;
    vg_arena *arena = NULL;
    char *dir = NULL;
    vg_status status;
    int64_t plane = i->x_shape[2] * i->x_shape[3] * i->x_shape[4],
            text = i->text_shape[1] * i->text_shape[2],
            pictures = pictures_of(c) * i->image_shape[1];
    VG_TRY_GOTO(status, vg_precision_policy_add(&policy, params->precision, err), done);
    VG_TRY_GOTO(status, vg_model_weights_dir(model, name, &dir, err), done);
    VG_TRY_GOTO(status, wan_dit_open(engine, dir, name, c, &options, &dit, err), done);
    VG_TRY_GOTO(status, vg_arena_new(engine->be, (size_t)1 << 20, &arena, err), done);
    for (int64_t b = 0; b < i->x_shape[0]; b++) {
        VG_TRY_GOTO(status,
                    wan_control_inputs_set(&i->control, b, options.compute, arena, dit, err), done);
        VG_TRY_GOTO(
            status,
            wan_dit_set_text(dit, 0, i->text + b * text, i->text_shape[1], params->cancel, err),
            done);
        if (i->image)
            VG_TRY_GOTO(status,
                        wan_dit_set_image(dit, i->image + b * pictures * c->image_dim, pictures,
                                          params->cancel, err),
                        done);
        VG_TRY_GOTO(status,
                    forward_row(dit, arena, options.compute, i->x_shape + 1, c->out_channels,
                                i->x + b * c->in_channels * plane, &i->times[b], params->cancel,
                                out + b * c->out_channels * plane, err),
                    done);
        vg_arena_reset(arena, 0);
    }
done:
    vg_precision_policy_deinit(&policy);
    vg_arena_free(arena);
    wan_dit_close(dit);
    free(dir);
    return status;
}

static vg_status run_dit(vg_engine *engine, vg_model *model, const vg_component_params *params,
                         int expert, const vg_safetensors *in, vg_safetensors_entry **out,
                         int *out_count, vg_err *err)
{
    const char *part = wan_expert_names[expert];
    dit_inputs i = {0};
    float *values;
    vg_status status;
    *out = NULL;
    if (expert >= wan_config_of(model)->experts)
        return VG_FAIL(err, VG_E_MISSING, "this checkpoint has no %s", part);
    const wan_dit_config *c = &wan_config_of(model)->dit[expert];
    VG_TRY_GOTO(status, vg_input_f32(in, part, "hidden_states", 5, i.x_shape, &i.x, err), done);
    VG_TRY_GOTO(status,
                vg_input_f32(in, part, "encoder_hidden_states", 3, i.text_shape, &i.text, err),
                done);
    if (c->image_dim)
        VG_TRY_GOTO(
            status,
            vg_input_f32(in, part, "encoder_hidden_states_image", 3, i.image_shape, &i.image, err),
            done);
    VG_TRY_GOTO(status, read_times(in, part, c, &i, err), done);
    VG_TRY_GOTO(status, check_dit_inputs(part, c, &i, err), done);
    VG_TRY_GOTO(status, wan_control_inputs_read(in, part, c, i.x_shape[0], &i.control, err), done);
    const int64_t shape[5] = {i.x_shape[0], c->out_channels, i.x_shape[2], i.x_shape[3],
                              i.x_shape[4]};
    VG_TRY_GOTO(status, vg_output_f32("sample", 5, shape, out, out_count, &values, err), done);
    status = forward_rows(engine, model, params, expert, &i, values, err);
done:
    free(i.x);
    free(i.text);
    free(i.image);
    free(i.times);
    wan_control_inputs_deinit(&i.control);
    return vg_output_finish(status, out, out_count);
}

static vg_status run_transformer(vg_engine *engine, vg_model *model,
                                 const vg_component_params *params, const vg_safetensors *in,
                                 vg_safetensors_entry **out, int *out_count, vg_err *err)
{
    return run_dit(engine, model, params, 0, in, out, out_count, err);
}

static vg_status run_transformer_2(vg_engine *engine, vg_model *model,
                                   const vg_component_params *params, const vg_safetensors *in,
                                   vg_safetensors_entry **out, int *out_count, vg_err *err)
{
    return run_dit(engine, model, params, 1, in, out, out_count, err);
}

/* ---- image encoder ---- */

static vg_status encode_pictures(vg_engine *engine, vg_model *model,
                                 const vg_component_params *params, const float *pixels,
                                 int64_t count, float *values, vg_err *err)
{
    const vg_clip_config *c = &wan_config_of(model)->clip;
    vg_clip *clip = NULL;
    char *dir;
    VG_TRY(vg_model_weights_dir(model, "image_encoder", &dir, err));
    vg_status status = vg_clip_open(engine, dir, "image_encoder", c,
                                    vg_compute_dtype(params->compute), &clip, err);
    for (int64_t i = 0; status == VG_OK && i < count; i++)
        status = vg_clip_run(clip, pixels + i * 3 * c->image * c->image, params->cancel,
                             values + i * vg_clip_tokens(c) * c->dim, err);
    vg_clip_close(clip);
    free(dir);
    return status;
}

static vg_status run_image_encoder(vg_engine *engine, vg_model *model,
                                   const vg_component_params *params, const vg_safetensors *in,
                                   vg_safetensors_entry **out, int *out_count, vg_err *err)
{
    const vg_clip_config *c = &wan_config_of(model)->clip;
    float *pixels = NULL, *values;
    int64_t s[4];
    vg_status status;
    *out = NULL;
    VG_TRY(vg_model_need(model, "image_encoder", err));
    VG_TRY(vg_input_f32(in, "image-encoder", "pixel_values", 4, s, &pixels, err));
    const int64_t shape[3] = {s[0], vg_clip_tokens(c), c->dim};
    if (s[1] != 3 || s[2] != c->image || s[3] != c->image) {
        status = VG_FAIL(err, VG_E_SHAPE,
                         "image-encoder: pixel_values is [%lld,%lld,%lld,%lld]; [B,3,%lld,%lld] is "
                         "wanted",
                         (long long)s[0], (long long)s[1], (long long)s[2], (long long)s[3],
                         (long long)c->image, (long long)c->image);
        goto done;
    }
    VG_TRY_GOTO(status, vg_output_f32("image_embeds", 3, shape, out, out_count, &values, err),
                done);
    status = encode_pictures(engine, model, params, pixels, s[0], values, err);
done:
    free(pixels);
    return vg_output_finish(status, out, out_count);
}

/* ---- VAE ---- */

static int64_t vae_channels(const vg_model *model)
{
    return wan_config_of(model)->vae.z_dim;
}

static void vae_frames(const vg_model *model, const int64_t latents[3], int64_t frames[3])
{
    const wan_vae_config *c = &wan_config_of(model)->vae;
    frames[0] = wan_vae_frames(latents[0]);
    frames[1] = latents[1] * c->spatial;
    frames[2] = latents[2] * c->spatial;
}

static void vae_latents(const vg_model *model, const int64_t frames[3], int64_t latents[3])
{
    const wan_vae_config *c = &wan_config_of(model)->vae;
    latents[0] = wan_vae_latent_frames(frames[0]);
    latents[1] = wan_vae_latent_size(c, frames[1]);
    latents[2] = wan_vae_latent_size(c, frames[2]);
}

static vg_status vae_open(vg_engine *engine, const vg_model *model, const char *dir,
                          vg_dtype compute, bool encoder, void **vae, vg_err *err)
{
    wan_vae *opened = NULL;
    vg_status status = wan_vae_open(engine, dir, &wan_config_of(model)->vae, compute,
                                    encoder ? WAN_VAE_ENCODER : WAN_VAE_DECODER, &opened, err);
    *vae = opened;
    return status;
}

static void vae_close(void *vae)
{
    wan_vae_close(vae);
}

static vg_status vae_decode(void *vae, const float *latents, const int64_t shape[4], bool tiled,
                            const vg_hooks *hooks, float *frames, vg_err *err)
{
    return wan_vae_decode(vae, latents, shape, false, tiled, hooks, NULL, frames, err);
}

static vg_status vae_encode(void *vae, const float *sample, const int64_t shape[4], bool tiled,
                            const vg_hooks *hooks, float *latents, vg_err *err)
{
    return wan_vae_encode(vae, sample, shape, tiled, hooks, latents, err);
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

const vg_part wan_parts[WAN_PARTS] = {
    {"text-encoder", "input_ids, attention_mask [B,L] -> last_hidden_state [B,L,d]",
     run_text_encoder},
    {"transformer",
     "hidden_states [B,C,T,h,w], timestep [B], [1] or [], or by token [B,N] or [1,N], encoder_hidden_states [B,L,text_dim], with an image encoder encoder_hidden_states_image [B,n,image_dim] (two rows to each where there are two pictures); of VACE also control_hidden_states [B,96,T,h,w], control_hidden_states_scale [vace_layers] (or 1 each) -> sample [B,C,T,h,w]",
     run_transformer},
    {"transformer_2", "the same, low-noise expert", run_transformer_2},
    {"image-encoder",
     "pixel_values [B,3,size,size] -> image_embeds [B,n,d], the input of its last layer",
     run_image_encoder},
    {"vae-decode", "latents [B,z,T,h,w], not normalised -> sample [B,3,F,H,W] in [-1,1]",
     run_vae_decode},
    {"vae-encode",
     "sample [B,3,F,H,W] in [-1,1] -> latents [B,z,T,h,w], the posterior mean, not normalised",
     run_vae_encode},
};

/* denoiser.c: the transformer as the run sees it: schedule, prompts and picture bound once, then forwards step by step. */
#include "engine/family/hunyuanvideo15/dit.h"

#include <stdlib.h>

typedef struct denoiser {
    hv_dit *dit;
    const hv_dit_config *config;
    vg_dtype compute;
    vg_arena *arena;
    vg_tensor in; /* [channels,T,h,w]: noise, the picture's latents, mask, zeros */
    vg_hooks hooks;
} denoiser;

static void close_denoiser(void *self)
{
    denoiser *d = self;
    vg_arena_free(d->arena);
    hv_dit_close(d->dit);
    free(d);
}

static vg_status open_denoiser(vg_engine *engine, const vg_model *model, int expert,
                               const char *dir, const vg_module_options *options, void **self,
                               vg_err *err)
{
    vg_status status;
    denoiser *d = calloc(1, sizeof *d);
    (void)expert;
    if (!d)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the transformer");
    d->config = &hv_config_of(model)->dit;
    d->compute = options->compute;
    VG_TRY_GOTO(status, vg_arena_new(engine->be, 0, &d->arena, err), fail);
    VG_TRY_GOTO(status, hv_dit_open(engine, dir, d->config, options, &d->dit, err), fail);
    *self = d;
    return VG_OK;
fail:
    close_denoiser(d);
    return status;
}

/* Latent frame 0 of the picture's channels, and ones in that of the mask: no step changes them. */
static vg_status upload_image(denoiser *d, const vg_condition *image, vg_err *err)
{
    vg_backend *be = vg_arena_backend(d->arena);
    int64_t z = d->config->out_channels, plane = d->in.shape[2] * d->in.shape[3];
    size_t mark = vg_arena_mark(d->arena);
    vg_tensor raw;
    float *values = malloc((size_t)((z + 1) * plane) * sizeof *values);
    if (!values)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the picture's latents");
    for (int64_t i = 0; !be->ops->dry && i < (z + 1) * plane; i++)
        values[i] = i < z * plane ? image->values[i] : 1;
    vg_status status =
        vg_arena_tensor(d->arena, VG_F32, 2, (const int64_t[]){z + 1, plane}, &raw, err);
    if (status == VG_OK)
        status = vg_backend_upload(be, &raw, values, err);
    for (int64_t c = 0; c <= z && status == VG_OK; c++) {
        vg_tensor channel = vg_tensor_rows(&d->in, z + c, 1), from = vg_tensor_rows(&raw, c, 1);
        channel = vg_tensor_reshape(&channel, 2, d->in.shape[1], plane);
        vg_tensor to = vg_tensor_rows(&channel, 0, 1);
        status = vg_cast(be, &(vg_cast_args){.x = &from, .y = &to}, err);
    }
    if (status == VG_OK)
        status = vg_backend_sync(be, err);
    vg_arena_reset(d->arena, mark);
    free(values);
    return status;
}

static vg_status bind_input(denoiser *d, const vg_binding *b, vg_err *err)
{
    const vg_condition *image = vg_conditions_find(b->conditions, HV_IMAGE_LATENTS);
    const int64_t shape[4] = {hv_dit_channels(d->config->in_channels), b->latent[1], b->latent[2],
                              b->latent[3]};
    vg_arena_reset(d->arena, 0);
    VG_TRY(vg_arena_tensor(d->arena, d->compute, 4, shape, &d->in, err));
    VG_TRY(vg_backend_zero(vg_arena_backend(d->arena), &d->in, err));
    return image ? upload_image(d, image, err) : VG_OK;
}

static const float *rows_of(const vg_conditions *conditions, const char *name, int64_t *tokens)
{
    const vg_condition *c = vg_conditions_find(conditions, name);
    *tokens = c ? c->shape[0] : 0;
    return c ? c->values : NULL;
}

static vg_status bind_text(denoiser *d, const vg_binding *b, int branch, vg_err *err)
{
    hv_text t;
    t.text = rows_of(b->conditions, branch ? HV_NEGATIVE : HV_PROMPT, &t.text_tokens);
    t.glyphs = rows_of(b->conditions, branch ? HV_NEGATIVE_GLYPHS : HV_GLYPHS, &t.glyph_tokens);
    t.image = rows_of(b->conditions, HV_IMAGE, &t.image_tokens);
    return hv_dit_set_text(d->dit, branch, &t, err);
}

/* Where each step goes: to the timestep of the next. */
static vg_status bind_schedule(denoiser *d, const vg_binding *b, vg_err *err)
{
    double *next = NULL;
    if (d->config->meanflow) {
        if (!(next = malloc((size_t)b->steps * sizeof *next)))
            return VG_FAIL(err, VG_E_NOMEM, "out of memory for a schedule of %d steps", b->steps);
        for (int i = 0; i < b->steps; i++)
            next[i] = i + 1 < b->steps ? b->timesteps[i + 1] : 0;
    }
    vg_status status = hv_dit_set_schedule(d->dit, b->timesteps, next, b->steps, b->cancel, err);
    free(next);
    return status;
}

static vg_status bind(void *self, const vg_binding *b, vg_err *err)
{
    denoiser *d = self;
    VG_TRY(bind_schedule(d, b, err));
    VG_TRY(bind_input(d, b, err));
    VG_TRY(bind_text(d, b, 0, err));
    return b->guided ? bind_text(d, b, 1, err) : VG_OK;
}

static vg_status begin_step(void *self, const vg_denoise_step *step, vg_err *err)
{
    denoiser *d = self;
    vg_tensor noise = vg_tensor_rows(&d->in, 0, d->config->out_channels);
    d->hooks = step->hooks;
    hv_dit_set_attention(d->dit, step->attention);
    VG_TRY(hv_dit_set_timestep(d->dit, step->timestep, err));
    return vg_cast(vg_arena_backend(d->arena), &(vg_cast_args){.x = step->x, .y = &noise}, err);
}

static vg_status forward(void *self, int branch, vg_tensor *v, vg_err *err)
{
    const denoiser *d = self;
    return hv_dit_forward(d->dit, &d->in, branch, d->hooks.cancel, d->hooks.progress, d->hooks.user,
                          v, err);
}

static const vg_module *module(const void *self)
{
    return hv_dit_module(((const denoiser *)self)->dit);
}

static size_t host_bytes(const void *self)
{
    return hv_dit_host_bytes(((const denoiser *)self)->dit);
}

static vg_status calibrate_begin(void *self, vg_err *err)
{
    return hv_dit_calibrate_begin(((denoiser *)self)->dit, err);
}

static vg_status calibrate_each(const void *self,
                                void (*fn)(void *user, const char *layer, float amax), void *user,
                                vg_err *err)
{
    return hv_dit_calibrate_each(((const denoiser *)self)->dit, fn, user, err);
}

static int blocks(const vg_model *model, int expert)
{
    (void)expert;
    return (int)hv_config_of(model)->dit.layers;
}

static int64_t head_dim(const vg_model *model, int expert)
{
    (void)expert;
    return hv_config_of(model)->dit.head_dim;
}

const vg_denoiser hv_denoiser_row = {
    .open = open_denoiser,
    .close = close_denoiser,
    .bind = bind,
    .begin_step = begin_step,
    .forward = forward,
    .module = module,
    .host_bytes = host_bytes,
    .calibrate_begin = calibrate_begin,
    .calibrate_each = calibrate_each,
    .blocks = blocks,
    .head_dim = head_dim,
};

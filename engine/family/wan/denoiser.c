/* denoiser.c: the transformer as the run sees it: prompts and image bound once, then forwards step by step. */
#include "engine/family/wan/vace.h"

#include <stdlib.h>

typedef struct denoiser {
    wan_dit *dit;
    const wan_config *config;
    vg_dtype compute;
    vg_arena *arena;
    vg_tensor
        in; /* what a forward reads when that is not x itself: [Cin,T,h,w], the noise's channels first */
    vg_tensor
        first; /* latents of the first frame [z,1,h,w], compute dtype, absent where noise has its place */
    vg_tensor control;  /* what the control branch of VACE sees: [C,T,h,w] */
    const vg_tensor *x; /* of this step */
    wan_dit_time time;
    vg_hooks hooks;
} denoiser;

static void close_denoiser(void *self)
{
    denoiser *d = self;
    vg_arena_free(d->arena);
    wan_dit_close(d->dit);
    free(d);
}

static vg_status open_denoiser(vg_engine *engine, const vg_model *model, int expert,
                               const char *dir, const vg_module_options *options, void **self,
                               vg_err *err)
{
    const wan_config *c = wan_config_of(model);
    vg_status status;
    denoiser *d = calloc(1, sizeof *d);
    if (!d)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %s", wan_expert_names[expert]);
    d->config = c;
    d->compute = options->compute;
    VG_TRY_GOTO(status, vg_arena_new(engine->be, 0, &d->arena, err), fail);
    VG_TRY_GOTO(
        status,
        wan_dit_open(engine, dir, wan_expert_names[expert], &c->dit[expert], options, &d->dit, err),
        fail);
    *self = d;
    return VG_OK;
fail:
    close_denoiser(d);
    return status;
}

/* The image's channels of the input, once: no step changes them. */
static vg_status upload_image(denoiser *d, const vg_condition *image, int64_t noise_channels,
                              vg_err *err)
{
    vg_backend *be = vg_arena_backend(d->arena);
    size_t mark = vg_arena_mark(d->arena);
    vg_tensor raw, to = vg_tensor_rows(&d->in, noise_channels, image->shape[0]);
    VG_TRY(vg_arena_tensor(d->arena, VG_F32, 4, to.shape, &raw, err));
    VG_TRY(vg_backend_upload(be, &raw, image->values, err));
    VG_TRY(vg_cast(be, &(vg_cast_args){.x = &raw, .y = &to}, err));
    vg_arena_reset(d->arena, mark);
    return VG_OK;
}

/* The first frame's latents, once; their tokens have timestep 0. */
static vg_status bind_first(denoiser *d, const vg_condition *first, vg_err *err)
{
    vg_backend *be = vg_arena_backend(d->arena);
    const int *patch = d->config->dit[0].patch;
    vg_tensor raw;
    VG_TRY(vg_arena_tensor(d->arena, d->compute, 4, first->shape, &d->first, err));
    size_t mark = vg_arena_mark(d->arena);
    VG_TRY(vg_arena_tensor(d->arena, VG_F32, 4, first->shape, &raw, err));
    VG_TRY(vg_backend_upload(be, &raw, first->values, err));
    VG_TRY(vg_cast(be, &(vg_cast_args){.x = &raw, .y = &d->first}, err));
    vg_arena_reset(d->arena, mark);
    d->time.first = 0;
    d->time.first_tokens = first->shape[2] / patch[1] * (first->shape[3] / patch[2]);
    return VG_OK;
}

static vg_status bind_input(denoiser *d, const vg_binding *b, vg_err *err)
{
    const vg_condition *image = vg_conditions_find(b->conditions, WAN_IMAGE);
    const int64_t shape[4] = {b->latent[0] + (image ? image->shape[0] : 0), b->latent[1],
                              b->latent[2], b->latent[3]};
    const vg_condition *first = vg_conditions_find(b->conditions, WAN_FIRST);
    if (d->in.data || (!image && !first && d->compute == VG_F32))
        return VG_OK;
    VG_TRY(vg_arena_tensor(d->arena, d->compute, 4, shape, &d->in, err));
    if (first)
        VG_TRY(bind_first(d, first, err));
    return image ? upload_image(d, image, b->latent[0], err) : VG_OK;
}

static vg_status bind_text(denoiser *d, const vg_binding *b, int branch, const char *name,
                           vg_err *err)
{
    const vg_condition *text = vg_conditions_find(b->conditions, name);
    return wan_dit_set_text(d->dit, branch, text->values, text->shape[0], b->cancel, err);
}

static vg_status bind(void *self, const vg_binding *b, vg_err *err)
{
    denoiser *d = self;
    const vg_condition *clip = vg_conditions_find(b->conditions, WAN_CLIP);
    VG_TRY(bind_input(d, b, err));
    if (clip)
        VG_TRY(wan_dit_set_image(d->dit, clip->values, clip->shape[0], b->cancel, err));
    if (wan_is_vace(d->config))
        VG_TRY(wan_control_bind(b, d->compute, d->arena, &d->control, d->dit, err));
    VG_TRY(bind_text(d, b, 0, WAN_PROMPT, err));
    return b->guided ? bind_text(d, b, 1, WAN_NEGATIVE, err) : VG_OK;
}

/* The first frame of the input, channel by channel: the noise's is not looked at. */
static vg_status put_first(denoiser *d, vg_err *err)
{
    const int64_t frames = d->in.shape[1], height = d->in.shape[2], width = d->in.shape[3];
    for (int64_t k = 0; k < d->first.shape[0]; k++) {
        vg_tensor from = vg_tensor_rows(&d->first, k, 1), channel = vg_tensor_rows(&d->in, k, 1);
        channel = vg_tensor_reshape(&channel, 4, frames, 1, height, width);
        vg_tensor to = vg_tensor_rows(&channel, 0, 1);
        VG_TRY(vg_backend_copy(vg_arena_backend(d->arena), &to, &from, err));
    }
    return VG_OK;
}

static vg_status begin_step(void *self, const vg_denoise_step *step, vg_err *err)
{
    denoiser *d = self;
    d->x = step->x;
    d->time.timestep = step->timestep;
    d->hooks = step->hooks;
    wan_dit_set_attention(d->dit, step->attention);
    if (!d->in.data)
        return VG_OK;
    vg_tensor noise = vg_tensor_rows(&d->in, 0, step->x->shape[0]); /* the image's channels stay */
    d->x = &d->in;
    VG_TRY(vg_cast(vg_arena_backend(d->arena), &(vg_cast_args){.x = step->x, .y = &noise}, err));
    return d->first.data ? put_first(d, err) : VG_OK;
}

static vg_status forward(void *self, int branch, vg_tensor *v, vg_err *err)
{
    const denoiser *d = self;
    return wan_dit_forward(d->dit, d->x, &d->time, branch, d->hooks.cancel, d->hooks.progress,
                           d->hooks.user, v, err);
}

static const vg_module *module(const void *self)
{
    return wan_dit_module(((const denoiser *)self)->dit);
}

static size_t host_bytes(const void *self)
{
    return wan_dit_host_bytes(((const denoiser *)self)->dit);
}

static vg_status calibrate_begin(void *self, vg_err *err)
{
    return wan_dit_calibrate_begin(((denoiser *)self)->dit, err);
}

static vg_status calibrate_each(const void *self,
                                void (*fn)(void *user, const char *layer, float amax), void *user,
                                vg_err *err)
{
    return wan_dit_calibrate_each(((const denoiser *)self)->dit, fn, user, err);
}

static int blocks(const vg_model *model, int expert)
{
    return (int)wan_dit_blocks(&wan_config_of(model)->dit[expert]);
}

static int64_t head_dim(const vg_model *model, int expert)
{
    return wan_config_of(model)->dit[expert].head_dim;
}

const vg_denoiser wan_denoiser_row = {
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

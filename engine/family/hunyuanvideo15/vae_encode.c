/* vae_encode.c: frames to the posterior mean, a latent frame at a time. */
#include "engine/family/hunyuanvideo15/vae.h"

#include <stdlib.h>
#include <string.h>

typedef struct encode_job {
    hv_vae *vae;
    const float *sample; /* host [3,F,H,W] */
    const int64_t *shape;
    const vg_hooks *hooks;
    vg_arena *arena;
    int done, of;
} encode_job;

typedef struct region {
    int64_t y, x, height, width;
} region;

/* The frames of latent frame t, as [count,height,width,3] in the compute dtype. host: room for them. */
static vg_status bring_chunk(encode_job *job, int64_t t, const region *r, float *host,
                             vg_tensor *frames, vg_err *err)
{
    vg_backend *be = job->vae->be;
    const int64_t *s = job->shape;
    int64_t temporal = job->vae->config.temporal, first = t ? 1 + temporal * (t - 1) : 0,
            count = t ? temporal : 1, lines = count * r->height;
    const int64_t shape[4] = {count, r->height, r->width, 3};
    vg_tensor planes;
    for (int64_t i = 0; !be->ops->dry && i < 3 * lines; i++)
        memcpy(
            host + i * r->width,
            job->sample +
                ((i / lines * s[1] + first + i % lines / r->height) * s[2] + r->y + i % r->height) *
                    s[3] +
                r->x,
            (size_t)r->width * sizeof *host);
    VG_TRY(vg_arena_tensor(job->arena, VG_F32, 4, (const int64_t[]){3, count, r->height, r->width},
                           &planes, err));
    VG_TRY(vg_arena_tensor(job->arena, job->vae->compute, 4, shape, frames, err));
    VG_TRY(vg_backend_upload(be, &planes, host, err));
    VG_TRY(vg_channel_affine(
        be, &(vg_channel_affine_args){.x = &planes, .to_channels_last = true, .y = frames}, err));
    return vg_backend_sync(be, err); /* host is filled anew */
}

/* The mean's half of each pixel's channels, to host FP32 [h,w,z]. moments: room for all. */
static vg_status bring_mean(encode_job *job, const vg_tensor *y, float *moments, float *out,
                            vg_err *err)
{
    hv_vae *v = job->vae;
    int64_t z = v->config.z, pixels = vg_tensor_numel(y) / (2 * z);
    vg_tensor wide;
    VG_TRY(vg_arena_tensor(job->arena, VG_F32, 4, y->shape, &wide, err));
    VG_TRY(vg_cast(v->be, &(vg_cast_args){.x = y, .y = &wide}, err));
    VG_TRY(vg_backend_download(v->be, moments, &wide, err));
    for (int64_t i = 0; !v->be->ops->dry && i < pixels; i++)
        memcpy(out + i * z, moments + i * 2 * z, (size_t)z * sizeof *out);
    return VG_OK;
}

/* Encode a region; out->v is [T,h,w,z]. */
static vg_status encode_tile(void *ctx, int64_t y, int64_t x, int64_t height, int64_t width,
                             vg_tile *out, vg_err *err)
{
    encode_job *job = ctx;
    hv_vae *v = job->vae;
    const region r = {y, x, height, width};
    int64_t z = v->config.z, plane = out->height * out->width * z,
            most = out->frames > 1 ? v->config.temporal : 1;
    hv_vae_state *state = NULL;
    vg_status status;
    float *host = malloc((size_t)(3 * most * height * width) * sizeof *host),
          *moments = malloc((size_t)(2 * plane) * sizeof *moments);
    if (!host || !moments) {
        status = VG_FAIL(err, VG_E_NOMEM, "out of memory for frames of %lldx%lld", (long long)width,
                         (long long)height);
        goto done;
    }
    VG_TRY_GOTO(status,
                hv_vae_state_new(v->encoder, v->be, height, width, out->frames, v->config.temporal,
                                 &state, err),
                done);
    for (int64_t t = 0; t < out->frames; t++) {
        size_t mark = vg_arena_mark(job->arena);
        vg_tensor frames, latent;
        VG_TRY_GOTO(status, bring_chunk(job, t, &r, host, &frames, err), done);
        VG_TRY_GOTO(status, hv_vae_net_run(state, &frames, job->hooks->cancel, &latent, err), done);
        VG_TRY_GOTO(status, bring_mean(job, &latent, moments, out->v + t * plane, err), done);
        vg_arena_reset(job->arena, mark);
        if (job->hooks->progress)
            job->hooks->progress(job->hooks->user, ++job->done, job->of);
    }
done:
    hv_vae_state_free(state);
    free(moments);
    free(host);
    return status;
}

/* [T,h,w,z] to [z,T,h,w]. */
static void channels_first(const vg_tile *from, float *to)
{
    int64_t plane = from->frames * from->height * from->width;
    for (int64_t i = 0; i < plane; i++)
        for (int64_t c = 0; c < from->channels; c++)
            to[c * plane + i] = from->v[i * from->channels + c];
}

vg_status hv_vae_encode(hv_vae *v, const float *sample, const int64_t shape[4], bool tiling,
                        const vg_hooks *hooks, float *latents, vg_err *err)
{
    static const vg_hooks none = {0};
    int64_t ratio = v->config.spatial;
    vg_tile whole = {.frames = hv_vae_latent_frames(&v->config, shape[1]),
                     .height = shape[2] / ratio,
                     .width = shape[3] / ratio,
                     .channels = v->config.z};
    encode_job job = {.vae = v,
                      .sample = sample,
                      .shape = shape,
                      .hooks = hooks ? hooks : &none,
                      .of = (int)whole.frames};
    vg_status status;
    if (shape[1] < 1 || shape[2] < ratio || shape[3] < ratio || shape[2] % ratio ||
        shape[3] % ratio)
        return VG_FAIL(err, VG_E_SHAPE, "frames are %lldx%lld; multiples of %lld are wanted",
                       (long long)shape[3], (long long)shape[2], (long long)ratio);
    whole.v = malloc((size_t)(whole.frames * whole.height * whole.width * whole.channels) *
                     sizeof *whole.v);
    if (!whole.v)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the latents");
    VG_TRY_GOTO(status, vg_arena_new(v->be, (size_t)1 << 20, &job.arena, err), done);
    if (tiling && (shape[2] > HV_TILE || shape[3] > HV_TILE)) {
        vg_tiling g = {.height = shape[2],
                       .width = shape[3],
                       .tile = HV_TILE,
                       .stride = HV_TILE_STRIDE,
                       .out_tile = HV_TILE / ratio,
                       .out_stride = HV_TILE_STRIDE / ratio,
                       .out_height = whole.height,
                       .out_width = whole.width,
                       .frames = whole.frames,
                       .channels = whole.channels,
                       .bf16 = v->compute == VG_BF16};
        job.of = (int)(vg_tiles_count(&g) * whole.frames);
        VG_TRY_GOTO(status, vg_tiles_run(&g, encode_tile, &job, whole.v, err), done);
    } else {
        VG_TRY_GOTO(status, encode_tile(&job, 0, 0, shape[2], shape[3], &whole, err), done);
    }
    if (!v->be->ops->dry)
        channels_first(&whole, latents);
done:
    vg_arena_free(job.arena);
    free(whole.v);
    return status;
}

/* vae_encode.c: frames to the posterior mean, in chunks of 1, 4, 4, ... frames. */
#include "kernels/backend/staging.h"
#include "engine/family/wan/vae.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK 4

typedef struct encode_job {
    wan_vae *vae;
    const float *sample; /* host [3,F,H,W] */
    const int64_t *shape;
    const vg_hooks *hooks;
    vg_arena *arena;
    vg_staging *staging; /* frames on their way to the device */
    int done, of;
} encode_job;

typedef struct region {
    int64_t y, x, height, width; /* pixels */
} region;

/* Begin the way of chunk t's frames of the region to the device, as planes [3,count,height,width]. */
static vg_status send_chunk(encode_job *job, int64_t t, const region *r, vg_err *err)
{
    const int64_t *s = job->shape;
    int64_t first = t ? 1 + CHUNK * (t - 1) : 0, count = t ? CHUNK : 1;
    int64_t lines = count * r->height, planes = 3 * lines;
    void *host;
    VG_TRY(vg_staging_in_room(job->staging, &host, err));
    float *to = host;
    for (int64_t i = 0; to && i < planes; i++)
        memcpy(
            to + i * r->width,
            job->sample +
                ((i / lines * s[1] + first + i % lines / r->height) * s[2] + r->y + i % r->height) *
                    s[3] +
                r->x,
            (size_t)r->width * sizeof *to);
    return vg_staging_in_send(job->staging, (size_t)(planes * r->width) * sizeof *to, err);
}

/* The frames that came, in the compute dtype as the net takes them: [count,height,width,3], or patches of that as channels. */
static vg_status take_chunk(encode_job *job, int64_t t, const region *r, vg_tensor *frames,
                            vg_err *err)
{
    vg_backend *be = job->vae->be;
    const int64_t count = t ? CHUNK : 1, shape[4] = {count, r->height, r->width, 3};
    void *device;
    VG_TRY(vg_arena_tensor(job->arena, job->vae->compute, 4, shape, frames, err));
    VG_TRY(vg_staging_in_take(job->staging, &device, err));
    vg_tensor planes = vg_tensor_make(device, VG_F32, 4, 3, count, r->height, r->width);
    VG_TRY(vg_channel_affine(
        be, &(vg_channel_affine_args){.x = &planes, .to_channels_last = true, .y = frames}, err));
    VG_TRY(vg_staging_in_done(job->staging, err));
    int64_t patch = job->vae->config.patch;
    if (patch == 1)
        return VG_OK;
    vg_tensor pixels = *frames;
    const int64_t patches[4] = {count, r->height / patch, r->width / patch, 3 * patch * patch};
    VG_TRY(vg_arena_tensor(job->arena, job->vae->compute, 4, patches, frames, err));
    return vg_regroup(
        be,
        &(vg_regroup_args){
            .x = &pixels, .factor = {1, (int)patch}, .columns_first = true, .y = frames},
        err);
}

/* quant_conv's mean half, to host FP32 [t,h,w,z]. */
static vg_status finish_chunk(encode_job *job, const vg_tensor *y, float *out, vg_err *err)
{
    wan_vae *v = job->vae;
    int64_t n = y->shape[0] * y->shape[1] * y->shape[2], z = v->config.z_dim;
    vg_tensor rows = vg_tensor_reshape(y, 2, n, 2 * z), mean, f32;
    VG_TRY(vg_arena_tensor(job->arena, v->compute, 2, (const int64_t[]){n, z}, &mean, err));
    VG_TRY(vg_linear(
        v->be, &(vg_linear_args){.x = &rows, .w = &v->quant.w, .bias = &v->quant.bias, .y = &mean},
        err));
    f32 = mean;
    if (v->compute != VG_F32) {
        VG_TRY(vg_arena_tensor(job->arena, VG_F32, 2, mean.shape, &f32, err));
        VG_TRY(vg_cast(v->be, &(vg_cast_args){.x = &mean, .y = &f32}, err));
    }
    return vg_backend_download(v->be, out, &f32, err);
}

/* Encode a region, in units of what the net takes; out->v is [T,h,w,z]. */
static vg_status encode_tile(void *ctx, int64_t y, int64_t x, int64_t height, int64_t width,
                             vg_tile *out, vg_err *err)
{
    encode_job *job = ctx;
    wan_vae *v = job->vae;
    int64_t patch = v->config.patch;
    const region r = {y * patch, x * patch, height * patch, width * patch};
    wan_vae_state *state = NULL;
    vg_status status;
    int64_t written = 0, most = out->frames > 1 ? CHUNK : 1;
    VG_TRY_GOTO(status,
                vg_staging_new(v->be, (size_t)(most * r.height * r.width * 3) * sizeof(float),
                               &job->staging, err),
                done);
    VG_TRY_GOTO(status,
                wan_vae_state_new(v->encoder, v->be, height, width, out->frames > 1 ? CHUNK : 0,
                                  &state, err),
                done);
    VG_TRY_GOTO(status, send_chunk(job, 0, &r, err), done);
    for (int64_t t = 0; t < out->frames; t++) {
        size_t mark = vg_arena_mark(job->arena);
        vg_tensor frames, latent;
        VG_TRY_GOTO(status, take_chunk(job, t, &r, &frames, err), done);
        VG_TRY_GOTO(status, wan_vae_net_run(state, &frames, job->hooks->cancel, &latent, err),
                    done);
        if (t + 1 < out->frames) /* while this chunk is computed */
            VG_TRY_GOTO(status, send_chunk(job, t + 1, &r, err), done);
        if (latent.shape[0] != 1 || latent.shape[1] != out->height ||
            latent.shape[2] != out->width) {
            status = VG_FAIL(err, VG_E_SHAPE, "frames of %lldx%lld do not divide into latents",
                             (long long)r.width, (long long)r.height);
            goto done;
        }
        VG_TRY_GOTO(status, finish_chunk(job, &latent, out->v + written, err), done);
        written += latent.shape[1] * latent.shape[2] * v->config.z_dim;
        vg_arena_reset(job->arena, mark);
        if (job->hooks->progress)
            job->hooks->progress(job->hooks->user, ++job->done, job->of);
    }
done:
    wan_vae_state_free(state);
    vg_staging_free(job->staging);
    job->staging = NULL;
    return status;
}

vg_status wan_vae_encode(wan_vae *v, const float *sample, const int64_t shape[4], bool tiling,
                         const vg_hooks *hooks, float *latents, vg_err *err)
{
    static const vg_hooks none = {0};
    int64_t ratio = v->config.spatial, z = v->config.z_dim, patch = v->config.patch,
            frames = wan_vae_latent_frames(shape[1]);
    int64_t h = wan_vae_latent_size(&v->config, shape[2]),
            w = wan_vae_latent_size(&v->config, shape[3]);
    vg_tile whole = {.frames = frames, .height = h, .width = w, .channels = z};
    encode_job job = {.vae = v,
                      .sample = sample,
                      .shape = shape,
                      .hooks = hooks ? hooks : &none,
                      .of = (int)frames};
    vg_status status;
    if (shape[1] < 1 || h < 1 || w < 1)
        return VG_FAIL(err, VG_E_SHAPE, "frames of %lldx%lld are too small for the VAE",
                       (long long)shape[3], (long long)shape[2]);
    if ((tiling || v->config.residual || patch > 1) &&
        (shape[2] % ratio != 0 || shape[3] % ratio != 0))
        return VG_FAIL(err, VG_E_SHAPE,
                       "frames of %lldx%lld; %s wants multiples of %lld in both directions",
                       (long long)shape[3], (long long)shape[2],
                       tiling ? "tiled encoding" : "this VAE", (long long)ratio);
    whole.v = malloc((size_t)(frames * h * w * z) * sizeof *whole.v);
    if (!whole.v)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the latents");
    VG_TRY_GOTO(status, vg_arena_new(v->be, (size_t)1 << 20, &job.arena, err), done);
    if (tiling && (shape[2] > WAN_TILE || shape[3] > WAN_TILE)) {
        vg_tiling g = {.height = shape[2] / patch,
                       .width = shape[3] / patch,
                       .tile = WAN_TILE,
                       .stride = WAN_TILE_STRIDE,
                       .out_tile = WAN_TILE * patch / ratio,
                       .out_stride = WAN_TILE_STRIDE * patch / ratio,
                       .out_height = h,
                       .out_width = w,
                       .frames = frames,
                       .channels = z,
                       .bf16 = v->compute == VG_BF16};
        job.of = (int)(vg_tiles_count(&g) * frames);
        VG_TRY_GOTO(status, vg_tiles_run(&g, encode_tile, &job, whole.v, err), done);
    } else {
        VG_TRY_GOTO(status,
                    encode_tile(&job, 0, 0, shape[2] / patch, shape[3] / patch, &whole, err), done);
    }
    for (int64_t i = 0; i < frames * h * w; i++)
        for (int64_t c = 0; c < z; c++)
            latents[c * frames * h * w + i] = whole.v[i * z + c];
done:
    vg_arena_free(job.arena);
    free(whole.v);
    return status;
}

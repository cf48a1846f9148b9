/* vae_decode.c: latents to frames, one latent frame at a time: the first gives one frame, each later one as many as time is compressed by. */
#include "engine/family/hunyuanvideo15/vae.h"
#include "kernels/backend/staging.h"

#include <stdlib.h>
#include <string.h>

typedef struct decode_job {
    hv_vae *vae;
    const float *latents; /* host [z,T,h,w] */
    const int64_t *shape;
    bool scaled;
    const vg_hooks *hooks;
    int done, of;
    vg_arena *arena;
    vg_staging *staging; /* frames on their way to the host */
    uint8_t *rgb;        /* whole-frame output, one of the two */
    float *sample;
    vg_tile *tile; /* tiled output */
} decode_job;

/* Latents of the region as [T,h,w,z] in the compute dtype, as the decoder takes them. */
static vg_status prepare(decode_job *job, const float *host, const int64_t shape[4], vg_tensor *z,
                         vg_err *err)
{
    hv_vae *v = job->vae;
    vg_tensor raw, x;
    const int64_t frames_last[4] = {shape[1], shape[2], shape[3], shape[0]};
    VG_TRY(vg_arena_tensor(job->arena, VG_F32, 4, shape, &raw, err));
    VG_TRY(vg_backend_upload(v->be, &raw, host, err));
    VG_TRY(vg_backend_sync(v->be, err));
    x = raw;
    if (v->compute != VG_F32) {
        VG_TRY(vg_arena_tensor(job->arena, v->compute, 4, shape, &x, err));
        VG_TRY(vg_cast(v->be, &(vg_cast_args){.x = &raw, .y = &x}, err));
    }
    VG_TRY(vg_arena_tensor(job->arena, v->compute, 4, frames_last, z, err));
    return vg_channel_affine(v->be,
                             &(vg_channel_affine_args){.x = &x,
                                                       .to_channels_last = true,
                                                       .divide = job->scaled,
                                                       .scale = job->scaled ? &v->scale : NULL,
                                                       .shift = job->scaled ? &v->shift : NULL,
                                                       .y = z},
                             err);
}

static void frames_delivered(void *user)
{
    decode_job *job = user;
    if (job->hooks->progress)
        job->hooks->progress(job->hooks->user, ++job->done, job->of);
}

/* Begin the way of a chunk's frames to the host, in the form that is wanted there. */
static vg_status send_frames(decode_job *job, int64_t first, const vg_tensor *frames, vg_err *err)
{
    vg_backend *be = job->vae->be;
    int64_t at = first * frames->shape[1] * frames->shape[2] * 3;
    bool bytes = job->rgb && !job->tile;
    float *values = job->tile ? job->tile->v : job->sample;
    void *to = bytes ? (void *)(job->rgb + at) : (void *)(values + at), *device;
    VG_TRY(vg_staging_out_room(job->staging, &device, err));
    vg_tensor out = vg_tensor_of(device, bytes ? VG_U8 : VG_F32, 4, frames->shape);
    if (bytes)
        VG_TRY(vg_frames_to_u8(be, &(vg_frames_to_u8_args){.x = frames, .y = &out}, err));
    else
        VG_TRY(vg_cast(be, &(vg_cast_args){.x = frames, .y = &out}, err));
    return vg_staging_out_send(job->staging, vg_tensor_bytes(&out), to, frames_delivered, job, err);
}

/* Bytes of the frames of the largest chunk. */
static size_t chunk_bytes(const decode_job *job, const int64_t shape[4])
{
    int64_t frames = 1, height = shape[2], width = shape[3];
    hv_vae_net_shape(job->vae->decoder, shape[1] == 1, &frames, &height, &width);
    return (size_t)(frames * height * width * 3) * (job->rgb && !job->tile ? 1 : sizeof(float));
}

static vg_status decode_region(decode_job *job, const float *host, const int64_t shape[4],
                               vg_err *err)
{
    hv_vae *v = job->vae;
    hv_vae_state *state = NULL;
    vg_tensor z, frames;
    vg_status status;
    size_t mark = vg_arena_mark(job->arena);
    int64_t first = 0;
    VG_TRY_GOTO(status, prepare(job, host, shape, &z, err), done);
    VG_TRY_GOTO(status, vg_staging_new(v->be, chunk_bytes(job, shape), &job->staging, err), done);
    VG_TRY_GOTO(status,
                hv_vae_state_new(v->decoder, v->be, shape[2], shape[3], shape[1], 1, &state, err),
                done);
    for (int64_t t = 0; t < shape[1]; t++) {
        vg_tensor x = vg_tensor_rows(&z, t, 1);
        VG_TRY_GOTO(status, hv_vae_net_run(state, &x, job->hooks->cancel, &frames, err), done);
        VG_TRY_GOTO(status, send_frames(job, first, &frames, err), done);
        first += frames.shape[0];
    }
    status = vg_staging_out_finish(job->staging, err);
done:
    hv_vae_state_free(state);
    vg_staging_free(job->staging);
    job->staging = NULL;
    vg_arena_reset(job->arena, mark);
    return status;
}

static vg_status decode_tile(void *ctx, int64_t y, int64_t x, int64_t height, int64_t width,
                             vg_tile *out, vg_err *err)
{
    decode_job *job = ctx;
    const int64_t *s = job->shape, shape[4] = {s[0], s[1], height, width};
    float *region = malloc((size_t)(s[0] * s[1] * height * width) * sizeof *region);
    if (!region)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for a VAE tile");
    for (int64_t i = 0; i < s[0] * s[1]; i++)
        for (int64_t r = 0; r < height; r++)
            memcpy(region + (i * height + r) * width, job->latents + (i * s[2] + y + r) * s[3] + x,
                   (size_t)width * sizeof *region);
    job->tile = out;
    vg_status status = decode_region(job, region, shape, err);
    job->tile = NULL;
    free(region);
    return status;
}

/* The assembled clip goes through the same byte conversion as untiled frames. */
static vg_status convert_u8(decode_job *job, const float *clip, int64_t frames, int64_t height,
                            int64_t width, vg_err *err)
{
    vg_backend *be = job->vae->be;
    const int64_t frame[4] = {1, height, width, 3};
    vg_tensor x, bytes;
    VG_TRY(vg_arena_tensor(job->arena, VG_F32, 4, frame, &x, err));
    VG_TRY(vg_arena_tensor(job->arena, VG_U8, 4, frame, &bytes, err));
    for (int64_t f = 0; f < frames; f++) {
        int64_t at = f * height * width * 3;
        VG_TRY(vg_backend_upload(be, &x, clip + at, err));
        VG_TRY(vg_frames_to_u8(be, &(vg_frames_to_u8_args){.x = &x, .y = &bytes}, err));
        VG_TRY(vg_backend_download(be, job->rgb + at, &bytes, err));
    }
    return VG_OK;
}

static vg_status decode_tiled(decode_job *job, int64_t frames, vg_err *err)
{
    const int64_t *s = job->shape;
    int64_t ratio = job->vae->config.spatial, height = s[2] * ratio, width = s[3] * ratio;
    vg_tiling g = {.height = s[2],
                   .width = s[3],
                   .tile = HV_TILE / ratio,
                   .stride = HV_TILE_STRIDE / ratio,
                   .out_tile = HV_TILE,
                   .out_stride = HV_TILE_STRIDE,
                   .out_height = height,
                   .out_width = width,
                   .frames = frames,
                   .channels = 3,
                   .bf16 = job->vae->compute == VG_BF16};
    float *clip = job->sample;
    job->of = (int)(vg_tiles_count(&g) * s[1]);
    if (!clip)
        clip = malloc((size_t)(frames * height * width * 3) * sizeof *clip);
    if (!clip)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %lld frames of %lldx%lld",
                       (long long)frames, (long long)width, (long long)height);
    vg_status status = vg_tiles_run(&g, decode_tile, job, clip, err);
    if (status == VG_OK && job->rgb)
        status = convert_u8(job, clip, frames, height, width, err);
    if (clip != job->sample)
        free(clip);
    return status;
}

vg_status hv_vae_decode(hv_vae *v, const float *latents, const int64_t shape[4], bool scaled,
                        bool tiling, const vg_hooks *hooks, uint8_t *rgb, float *sample,
                        vg_err *err)
{
    static const vg_hooks none = {0};
    decode_job job = {.vae = v,
                      .latents = latents,
                      .shape = shape,
                      .scaled = scaled,
                      .hooks = hooks ? hooks : &none,
                      .of = (int)shape[1],
                      .rgb = rgb,
                      .sample = sample};
    int64_t limit = HV_TILE / v->config.spatial;
    vg_status status;
    VG_TRY(vg_arena_new(v->be, (size_t)1 << 20, &job.arena, err));
    if (tiling && (shape[2] > limit || shape[3] > limit))
        status = decode_tiled(&job, hv_vae_frames(&v->config, shape[1]), err);
    else
        status = decode_region(&job, latents, shape, err);
    if (status == VG_OK)
        status = vg_backend_sync(v->be, err);
    vg_arena_free(job.arena);
    return status;
}

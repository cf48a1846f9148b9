/* vae_decode.c: latents to frames, one latent frame at a time: the first gives one frame, each later one four. */
#include "kernels/backend/staging.h"
#include "engine/family/wan/vae.h"

#include <stdlib.h>
#include <string.h>

typedef struct decode_job {
    wan_vae *vae;
    const float *latents; /* host [z,T,h,w] */
    const int64_t *shape;
    bool denormalise;
    const vg_hooks *hooks;
    int done, of;
    vg_arena *arena;
    vg_staging *staging; /* frames on their way to the host */
    uint8_t *rgb;        /* whole-frame output, one of the two */
    float *sample;
    vg_tile *tile; /* tiled output */
} decode_job;

/* Latents of the region as [T,h,w,z] in the compute dtype, through post_quant_conv. */
static vg_status prepare(decode_job *job, const float *host, const int64_t shape[4], vg_tensor *z,
                         vg_err *err)
{
    wan_vae *v = job->vae;
    vg_tensor raw, x, last;
    const int64_t frames_last[4] = {shape[1], shape[2], shape[3], shape[0]};
    VG_TRY(vg_arena_tensor(job->arena, VG_F32, 4, shape, &raw, err));
    VG_TRY(vg_backend_upload(v->be, &raw, host, err));
    VG_TRY(vg_backend_sync(v->be, err));
    x = raw;
    if (v->compute != VG_F32) {
        VG_TRY(vg_arena_tensor(job->arena, v->compute, 4, shape, &x, err));
        VG_TRY(vg_cast(v->be, &(vg_cast_args){.x = &raw, .y = &x}, err));
    }
    VG_TRY(vg_arena_tensor(job->arena, v->compute, 4, frames_last, &last, err));
    VG_TRY(vg_channel_affine(v->be,
                             &(vg_channel_affine_args){.x = &x,
                                                       .to_channels_last = true,
                                                       .divide = job->denormalise,
                                                       .scale = job->denormalise ? &v->scale : NULL,
                                                       .shift = job->denormalise ? &v->shift : NULL,
                                                       .y = &last},
                             err));
    VG_TRY(vg_arena_tensor(job->arena, v->compute, 4, frames_last, z, err));
    int64_t n = shape[1] * shape[2] * shape[3];
    vg_tensor from = vg_tensor_reshape(&last, 2, n, shape[0]),
              to = vg_tensor_reshape(z, 2, n, shape[0]);
    return vg_linear(
        v->be,
        &(vg_linear_args){.x = &from, .w = &v->post_quant.w, .bias = &v->post_quant.bias, .y = &to},
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
    int64_t at = first * frames->shape[1] * frames->shape[2] * frames->shape[3];
    bool bytes = job->rgb && !job->tile;
    float *values = job->tile ? job->tile->v : job->sample;
    void *to = bytes ? (void *)(job->rgb + at) : (void *)(values + at), *device;
    VG_TRY(vg_staging_out_room(job->staging, &device, err));
    vg_tensor out = vg_tensor_of(device, bytes ? VG_U8 : VG_F32, 4, frames->shape);
    if (bytes)
        VG_TRY(vg_frames_to_u8(be, &(vg_frames_to_u8_args){.x = frames, .y = &out}, err));
    else if (frames->dtype == VG_F32)
        VG_TRY(vg_backend_copy(be, &out, frames, err));
    else
        VG_TRY(vg_cast(be, &(vg_cast_args){.x = frames, .y = &out}, err));
    return vg_staging_out_send(job->staging, vg_tensor_bytes(&out), to, frames_delivered, job, err);
}

/* Bytes of the frames of one chunk. */
static size_t chunk_bytes(const decode_job *job, const int64_t shape[4])
{
    int64_t frames = 1, height = shape[2], width = shape[3];
    int64_t patch = job->vae->config.patch;
    wan_vae_net_shape(job->vae->decoder, shape[1] == 1, &frames, &height, &width);
    return (size_t)(frames * height * width * patch * patch * 3) *
           (job->rgb && !job->tile ? 1 : sizeof(float));
}

/* The net's frames as pixels; tiles are blended as patches first, as the reference does it. */
static vg_status unpatch_chunk(decode_job *job, vg_tensor *frames, vg_err *err)
{
    int64_t patch = job->vae->config.patch;
    const int64_t *s = frames->shape,
                  shape[4] = {s[0], s[1] * patch, s[2] * patch, s[3] / (patch * patch)};
    vg_tensor pixels;
    if (patch == 1 || job->tile)
        return VG_OK;
    VG_TRY(vg_arena_tensor(job->arena, frames->dtype, 4, shape, &pixels, err));
    VG_TRY(vg_regroup(job->vae->be,
                      &(vg_regroup_args){.x = frames,
                                         .factor = {1, (int)patch},
                                         .up = true,
                                         .columns_first = true,
                                         .y = &pixels},
                      err));
    *frames = pixels;
    return VG_OK;
}

static vg_status decode_region(decode_job *job, const float *host, const int64_t shape[4],
                               vg_err *err)
{
    wan_vae *v = job->vae;
    wan_vae_state *state = NULL;
    vg_tensor z, frames;
    vg_status status;
    size_t mark = vg_arena_mark(job->arena);
    int64_t first = 0;
    VG_TRY_GOTO(status, prepare(job, host, shape, &z, err), done);
    VG_TRY_GOTO(status, vg_staging_new(v->be, chunk_bytes(job, shape), &job->staging, err), done);
    VG_TRY_GOTO(
        status,
        wan_vae_state_new(v->decoder, v->be, shape[2], shape[3], shape[1] > 1 ? 1 : 0, &state, err),
        done);
    for (int64_t t = 0; t < shape[1]; t++) {
        vg_tensor x = vg_tensor_rows(&z, t, 1);
        size_t chunk = vg_arena_mark(job->arena);
        VG_TRY_GOTO(status, wan_vae_net_run(state, &x, job->hooks->cancel, &frames, err), done);
        VG_TRY_GOTO(status, unpatch_chunk(job, &frames, err), done);
        VG_TRY_GOTO(status, send_frames(job, first, &frames, err), done);
        first += frames.shape[0];
        vg_arena_reset(job->arena, chunk);
    }
    status = vg_staging_out_finish(job->staging, err);
done:
    wan_vae_state_free(state);
    vg_staging_free(job->staging);
    job->staging = NULL;
    vg_arena_reset(job->arena, mark);
    return status;
}

static vg_status download_u8(decode_job *job, const vg_tensor *frames, uint8_t *to, vg_err *err)
{
    size_t mark = vg_arena_mark(job->arena);
    vg_tensor bytes;
    VG_TRY(vg_arena_tensor(job->arena, VG_U8, 4, frames->shape, &bytes, err));
    VG_TRY(vg_frames_to_u8(job->vae->be, &(vg_frames_to_u8_args){.x = frames, .y = &bytes}, err));
    VG_TRY(vg_backend_download(job->vae->be, to, &bytes, err));
    vg_arena_reset(job->arena, mark);
    return VG_OK;
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
    int64_t frame = height * width * 3;
    for (int64_t f = 0; f < frames; f++) {
        size_t mark = vg_arena_mark(job->arena);
        vg_tensor x;
        VG_TRY(vg_arena_tensor(job->arena, VG_F32, 4, (const int64_t[]){1, height, width, 3}, &x,
                               err));
        VG_TRY(vg_backend_upload(job->vae->be, &x, clip + f * frame, err));
        VG_TRY(download_u8(job, &x, job->rgb + f * frame, err));
        vg_arena_reset(job->arena, mark);
    }
    return VG_OK;
}

/* Patches [F,h,w,3 p p], columns before rows, to pixels [F,h p,w p,3]. */
static void unpatch(const float *from, int64_t lines, int64_t width, int64_t p, float *to)
{
    for (int64_t y = 0; y < lines; y++)
        for (int64_t x = 0; x < width; x++, from += 3 * p * p)
            for (int64_t c = 0; c < 3; c++)
                for (int64_t e = 0; e < p; e++)
                    for (int64_t b = 0; b < p; b++)
                        to[((y * p + b) * width * p + x * p + e) * 3 + c] =
                            from[(c * p + e) * p + b];
}

/* All tiles, blended, as [F,H,W,3] in clip. */
static vg_status assemble(decode_job *job, const vg_tiling *g, float *clip, vg_err *err)
{
    int64_t patch = job->vae->config.patch;
    if (patch == 1)
        return vg_tiles_run(g, decode_tile, job, clip, err);
    int64_t lines = g->frames * g->out_height;
    float *patches = malloc((size_t)(lines * g->out_width * g->channels) * sizeof *patches);
    if (!patches)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %lld frames", (long long)g->frames);
    vg_status status = vg_tiles_run(g, decode_tile, job, patches, err);
    if (status == VG_OK)
        unpatch(patches, lines, g->out_width, patch, clip);
    free(patches);
    return status;
}

static vg_status decode_tiled(decode_job *job, int64_t frames, vg_err *err)
{
    const int64_t *s = job->shape;
    int64_t ratio = job->vae->config.spatial, patch = job->vae->config.patch, height = s[2] * ratio,
            width = s[3] * ratio;
    vg_tiling g = {.height = s[2],
                   .width = s[3],
                   .tile = WAN_TILE / ratio,
                   .stride = WAN_TILE_STRIDE / ratio,
                   .out_tile = WAN_TILE / patch,
                   .out_stride = WAN_TILE_STRIDE / patch,
                   .out_height = height / patch,
                   .out_width = width / patch,
                   .frames = frames,
                   .channels = 3 * patch * patch,
                   .bf16 = job->vae->compute == VG_BF16};
    float *clip = job->sample;
    job->of = (int)(vg_tiles_count(&g) * s[1]);
    if (!clip)
        clip = malloc((size_t)(frames * height * width * 3) * sizeof *clip);
    if (!clip)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %lld frames of %lldx%lld",
                       (long long)frames, (long long)width, (long long)height);
    vg_status status = assemble(job, &g, clip, err);
    if (status == VG_OK && job->rgb)
        status = convert_u8(job, clip, frames, height, width, err);
    if (clip != job->sample)
        free(clip);
    return status;
}

vg_status wan_vae_decode(wan_vae *v, const float *latents, const int64_t shape[4], bool denormalise,
                         bool tiling, const vg_hooks *hooks, uint8_t *rgb, float *sample,
                         vg_err *err)
{
    static const vg_hooks none = {0};
    decode_job job = {.vae = v,
                      .latents = latents,
                      .shape = shape,
                      .denormalise = denormalise,
                      .hooks = hooks ? hooks : &none,
                      .of = (int)shape[1],
                      .rgb = rgb,
                      .sample = sample};
    int64_t ratio = v->config.spatial, frames = wan_vae_frames(shape[1]), limit = WAN_TILE / ratio;
    VG_TRY(vg_arena_new(v->be, (size_t)1 << 20, &job.arena, err));
    vg_status status;
    if (tiling && (shape[2] > limit || shape[3] > limit))
        status = decode_tiled(&job, frames, err);
    else
        status = decode_region(&job, latents, shape, err);
    if (status == VG_OK)
        status = vg_backend_sync(v->be, err);
    vg_arena_free(job.arena);
    int64_t count = frames * shape[2] * ratio * shape[3] * ratio * 3;
    if (v->be->ops->dry)
        return status;
    for (int64_t i = 0; status == VG_OK && sample && i < count; i++)
        sample[i] = sample[i] < -1 ? -1 : sample[i] > 1 ? 1 : sample[i];
    return status;
}

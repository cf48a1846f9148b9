/* vae_part.c: see vae_part.h. */
#include "engine/family/wan/vae_part.h"

#include <sys/mman.h>

#define REHEARSED_FRAMES                                                                           \
    9 /* of the encoder: chunks of one, four and four frames; all later ones are like the last */

vg_status wan_vae_part_open(vg_engine *engine, const vg_model *model, const vg_generate_params *p,
                            const char *dir, int half, void **self, vg_err *err)
{
    wan_vae *vae;
    VG_TRY(wan_vae_open(engine, dir, &wan_config_of(model)->vae, vg_compute_dtype(p->vae_compute),
                        half, &vae, err));
    *self = vae;
    return VG_OK;
}

void wan_vae_part_close(void *self)
{
    wan_vae_close(self);
}

size_t wan_vae_part_bytes(const void *self)
{
    const wan_vae *vae = self;
    return vg_module_bytes(vae->module);
}

/* Addresses of host memory for latents and pictures that nobody makes, however large the clip; NULL: none left. */
static void *take_addresses(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void give_addresses(void *memory, size_t bytes)
{
    if (memory)
        munmap(memory, bytes);
}

/* The frames of a tile come to the host as FP32. */
static vg_status run_half(wan_vae *vae, const int64_t latent[4], int frames, bool encoder,
                          bool tile, vg_err *err)
{
    const wan_vae_config *c = &vae->config;
    int64_t height = latent[2] * c->spatial, width = latent[3] * c->spatial;
    int64_t shown = encoder ? (frames < REHEARSED_FRAMES ? frames : REHEARSED_FRAMES) : frames;
    const int64_t shape[4] = {3, shown, height, width};
    size_t latent_bytes = (size_t)(2 * latent[0] * latent[1] * latent[2] * latent[3]) * 4;
    size_t pixel_bytes =
        (size_t)(3 * shown * height * width) * (encoder || tile ? sizeof(float) : 1);
    float *latents = take_addresses(latent_bytes);
    void *pixels = take_addresses(pixel_bytes);
    vg_status status = VG_OK;
    if (!latents || !pixels)
        status = VG_FAIL(err, VG_E_NOMEM, "out of memory for planning %d frames", frames);
    else if (encoder)
        status = wan_vae_encode(vae, pixels, shape, false, NULL, latents, err);
    else
        status = wan_vae_decode(vae, latents, latent, true, false, NULL, tile ? NULL : pixels,
                                tile ? pixels : NULL, err);
    give_addresses(pixels, pixel_bytes);
    give_addresses(latents, latent_bytes);
    return status;
}

vg_status wan_vae_part_rehearse(wan_vae *vae, const vg_generate_params *p, int frames, bool encoder,
                                vg_err *err)
{
    const wan_vae_config *c = &vae->config;
    int64_t limit = WAN_TILE / c->spatial, tile = encoder ? limit * c->patch : limit;
    int64_t latent[4] = {c->z_dim, (frames - 1) / c->temporal + 1, p->height / c->spatial,
                         p->width / c->spatial};
    bool tiled = p->vae_tiling && (latent[2] > limit || latent[3] > limit);
    for (int i = 2; i < 4; i++)
        if (tiled && latent[i] > tile)
            latent[i] = tile;
    return run_half(vae, latent, frames, encoder, tiled, err);
}

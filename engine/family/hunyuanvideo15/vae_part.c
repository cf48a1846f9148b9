/* vae_part.c: see vae_part.h. */
#include "engine/family/hunyuanvideo15/vae_part.h"

#include <sys/mman.h>

vg_status hv_vae_part_open(vg_engine *engine, const vg_model *model, const vg_generate_params *p,
                           const char *dir, int half, void **self, vg_err *err)
{
    hv_vae *vae;
    VG_TRY(hv_vae_open(engine, dir, &hv_config_of(model)->vae, vg_compute_dtype(p->vae_compute),
                       half, &vae, err));
    *self = vae;
    return VG_OK;
}

void hv_vae_part_close(void *self)
{
    hv_vae_close(self);
}

size_t hv_vae_part_bytes(const void *self)
{
    return vg_module_bytes(((const hv_vae *)self)->module);
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
static vg_status run_half(hv_vae *vae, const int64_t latent[4], bool encoder, bool tile,
                          vg_err *err)
{
    const hv_vae_config *c = &vae->config;
    const int64_t shape[4] = {3, hv_vae_frames(c, latent[1]), latent[2] * c->spatial,
                              latent[3] * c->spatial};
    size_t latent_bytes = (size_t)(latent[0] * latent[1] * latent[2] * latent[3]) * sizeof(float);
    size_t pixel_bytes =
        (size_t)(3 * shape[1] * shape[2] * shape[3]) * (encoder || tile ? sizeof(float) : 1);
    float *latents = take_addresses(latent_bytes);
    void *pixels = take_addresses(pixel_bytes);
    vg_status status = VG_OK;
    if (!latents || !pixels)
        status =
            VG_FAIL(err, VG_E_NOMEM, "out of memory for planning %lld frames", (long long)shape[1]);
    else if (encoder)
        status = hv_vae_encode(vae, pixels, shape, false, NULL, latents, err);
    else
        status = hv_vae_decode(vae, latents, latent, true, false, NULL, tile ? NULL : pixels,
                               tile ? pixels : NULL, err);
    give_addresses(pixels, pixel_bytes);
    give_addresses(latents, latent_bytes);
    return status;
}

vg_status hv_vae_part_rehearse(hv_vae *vae, const vg_generate_params *p, bool encoder, vg_err *err)
{
    const hv_vae_config *c = &vae->config;
    int64_t tile = HV_TILE / c->spatial;
    int64_t latent[4] = {c->z, encoder ? 1 : hv_vae_latent_frames(c, p->num_frames),
                         p->height / c->spatial, p->width / c->spatial};
    bool tiled = p->vae_tiling && (latent[2] > tile || latent[3] > tile);
    for (int i = 2; i < 4; i++)
        if (tiled && latent[i] > tile)
            latent[i] = tile;
    return run_half(vae, latent, encoder, tiled, err);
}

/* rng.h: random numbers equal to torch's CPU generator, so that a seed here and in diffusers starts from the same noise. */
#ifndef VG_ENGINE_SAMPLING_RNG_H
#define VG_ENGINE_SAMPLING_RNG_H

#include <stddef.h>
#include <stdint.h>

/* torch.randn(count, generator=torch.Generator("cpu").manual_seed(seed), dtype=float32). Source: wan 7.2. */
void vg_rng_torch_normal(uint64_t seed, float *out, size_t count);
#endif

/* guidance.c: classifier-free guidance; difference, product and sum each rounded to the operands' dtype.
 * Source: wan 7.3. */
#include "kernels/cpu/cpu.h"

#define CHUNK 2048

typedef struct job {
    const vg_guidance_args *a;
} job;

static void range(void *ctx, int64_t begin, int64_t end, int worker)
{
    const vg_guidance_args *a = ((job *)ctx)->a;
    vg_dtype dtype = a->cond->dtype;
    float value[CHUNK], buffer[CHUNK];

    (void)worker;
    for (int64_t i = begin; i < end; i += CHUNK) {
        int64_t n = end - i < CHUNK ? end - i : CHUNK;
        const float *uncond = vg_cpu_view(a->uncond, i, n, buffer);
        vg_cpu_load(a->cond, i, n, value);
        for (int64_t c = 0; c < n; c++)
            value[c] -= uncond[c];
        vg_cpu_round_to(dtype, value, n);
        for (int64_t c = 0; c < n; c++)
            value[c] *= a->scale;
        vg_cpu_round_to(dtype, value, n);
        for (int64_t c = 0; c < n; c++)
            value[c] += uncond[c];
        vg_cpu_store(a->y, i, n, value);
    }
}

vg_status vg_cpu_guidance(vg_backend *be, const vg_guidance_args *a, vg_err *err)
{
    job j = {a};

    (void)err;
    vg_cpu_for(be, vg_tensor_numel(a->y), 8 * CHUNK, range, &j);
    return VG_OK;
}

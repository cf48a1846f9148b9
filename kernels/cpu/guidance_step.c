/* guidance_step.c: y = x + coef (u + scale (c - u)): classifier-free guidance and what a sampler first does with its result. Difference,
 * products and guided sum are each rounded to the operands' dtype. Source: wan 7.3, 8.4 step 1. */
#include "kernels/cpu/cpu.h"

#define CHUNK 1024

typedef struct job {
    const vg_guidance_step_args *a;
} job;

static void scale_by(float factor, vg_dtype dtype, float *value, int64_t n)
{
    for (int64_t c = 0; c < n; c++)
        value[c] *= factor;
    vg_cpu_round_to(dtype, value, n);
}

static void guide(const vg_guided *v, int64_t from, int64_t n, float *value)
{
    float buffer[CHUNK];
    const float *uncond = vg_cpu_view(v->uncond, from, n, buffer);
    vg_dtype dtype = v->cond->dtype;

    for (int64_t c = 0; c < n; c++)
        value[c] -= uncond[c];
    vg_cpu_round_to(dtype, value, n);
    scale_by(v->scale, dtype, value, n);
    for (int64_t c = 0; c < n; c++)
        value[c] += uncond[c];
    vg_cpu_round_to(dtype, value, n);
}

static void range(void *ctx, int64_t begin, int64_t end, int worker)
{
    const vg_guidance_step_args *a = ((job *)ctx)->a;
    float value[CHUNK], buffer[CHUNK];

    (void)worker;
    for (int64_t i = begin; i < end; i += CHUNK) {
        int64_t n = end - i < CHUNK ? end - i : CHUNK;
        const float *x = vg_cpu_view(a->x, i, n, buffer);
        vg_cpu_load(a->v.cond, i, n, value);
        if (a->v.uncond)
            guide(&a->v, i, n, value);
        scale_by(a->coef, a->v.cond->dtype, value, n);
        for (int64_t c = 0; c < n; c++)
            value[c] += x[c];
        vg_cpu_store(a->y, i, n, value);
    }
}

vg_status vg_cpu_guidance_step(vg_backend *be, const vg_guidance_step_args *a, vg_err *err)
{
    job j = {a};

    (void)err;
    vg_cpu_for(be, vg_tensor_numel(a->y), 8 * CHUNK, range, &j);
    return VG_OK;
}

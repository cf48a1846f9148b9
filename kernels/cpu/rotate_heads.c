/* rotate_heads.c: rotary embedding of each head's halves, each head written once or several times. Source: hunyuanvideo15 4.2. */
#include "kernels/cpu/cpu.h"

typedef struct job {
    vg_backend *be;
    const vg_rotate_heads_args *a;
} job;

/* One head in place; products are rounded to `dtype` before they are added. */
static void rotate(vg_dtype dtype, const float *cosine, const float *sine, int64_t half, float *x,
                   float *product)
{
    float *low = x, *high = x + half;
    for (int64_t j = 0; j < half; j++) {
        product[j] = -high[j] * sine[j];
        product[half + j] = low[j] * sine[j];
        low[j] *= cosine[j];
        high[j] *= cosine[j];
    }
    vg_cpu_round_to(dtype, x, 2 * half);
    vg_cpu_round_to(dtype, product, 2 * half);
    for (int64_t j = 0; j < 2 * half; j++)
        x[j] += product[j];
}

/* Scratch: a head, its products. */
static void rows(void *ctx, int64_t begin, int64_t end, int worker)
{
    job *j = ctx;
    const vg_rotate_heads_args *a = j->a;
    int64_t heads = a->x->shape[1], d = a->x->shape[2], half = d / 2,
            times = a->y->shape[1] / heads;
    float *head = vg_cpu_scratch(j->be, worker), *product = head + vg_cpu_round((size_t)d);

    for (int64_t i = begin; i < end; i++)
        for (int64_t h = 0; h < heads; h++) {
            vg_cpu_load(a->x, (i * heads + h) * d, d, head);
            if (a->rope_cos)
                rotate(a->x->dtype, (const float *)a->rope_cos->data + i * half,
                       (const float *)a->rope_sin->data + i * half, half, head, product);
            for (int64_t k = 0; k < times; k++)
                vg_cpu_store(a->y, ((i * heads + h) * times + k) * d, d, head);
        }
}

vg_status vg_cpu_rotate_heads(vg_backend *be, const vg_rotate_heads_args *a, vg_err *err)
{
    job j = {be, a};
    int64_t d = a->x->shape[2];

    VG_TRY(vg_cpu_scratch_reserve(be, 2 * vg_cpu_round((size_t)d), err));
    vg_cpu_for(be, a->x->shape[0], vg_cpu_grain(a->y->shape[1] * d), rows, &j);
    return VG_OK;
}

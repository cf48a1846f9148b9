/* head_norm_rope.c: RMSNorm of each head (rounded before and after the product with w), then rotation of interleaved pairs.
 * Source: hunyuanvideo15 2.3, 2.7. */
#include <math.h>

#include "kernels/cpu/cpu.h"

typedef struct job {
    vg_backend *be;
    const vg_head_norm_rope_args *a;
} job;

static void rotate(float *x, const float *cosine, const float *sine, int64_t pairs)
{
    for (int64_t p = 0; p < pairs; p++) {
        float even = x[2 * p], odd = x[2 * p + 1];
        x[2 * p] = even * cosine[p] - odd * sine[p];
        x[2 * p + 1] = even * sine[p] + odd * cosine[p];
    }
}

/* Scratch: the row, then w. */
static void rows(void *ctx, int64_t begin, int64_t end, int worker)
{
    job *j = ctx;
    const vg_head_norm_rope_args *a = j->a;
    int64_t d = a->x->shape[1], size = d / a->heads, pairs = size / 2;
    float *row = vg_cpu_scratch(j->be, worker);
    const float *w = vg_cpu_view(a->w, 0, size, row + vg_cpu_round((size_t)d));

    for (int64_t i = begin; i < end; i++) {
        vg_cpu_load(a->x, i * d, d, row);
        for (float *head = row; head < row + d; head += size) {
            float scale = 1.0f / sqrtf(vg_cpu_sum_squares(head, size, 0.0f) / (float)size + a->eps);
            for (int64_t c = 0; c < size; c++)
                head[c] *= scale;
            vg_cpu_round_to(a->y->dtype, head, size);
            for (int64_t c = 0; c < size; c++)
                head[c] *= w[c];
            if (!a->rope_cos)
                continue;
            vg_cpu_round_to(a->y->dtype, head, size);
            rotate(head, (const float *)a->rope_cos->data + i * pairs,
                   (const float *)a->rope_sin->data + i * pairs, pairs);
        }
        vg_cpu_store(a->y, i * d, d, row);
    }
}

vg_status vg_cpu_head_norm_rope(vg_backend *be, const vg_head_norm_rope_args *a, vg_err *err)
{
    job j = {be, a};
    int64_t d = a->x->shape[1];

    VG_TRY(vg_cpu_scratch_reserve(be, 2 * vg_cpu_round((size_t)d), err));
    vg_cpu_for(be, a->x->shape[0], vg_cpu_grain(d), rows, &j);
    return VG_OK;
}

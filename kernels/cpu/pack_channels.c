/* pack_channels.c: pixel by pixel of the result. Source: hunyuanvideo15 3.2. */
#include "kernels/cpu/cpu.h"

typedef struct job {
    vg_backend *be;
    const vg_pack_channels_args *a;
} job;

/* All parts of pixel (t, row, column) of the result, one behind the other. */
static void gather(const vg_pack_channels_args *a, const vg_tensor *from, int64_t t, int64_t row,
                   int64_t column, float *to)
{
    const int64_t *s = from->shape;

    for (int i = 0; i < a->times; i++)
        for (int h = 0; h < a->side; h++)
            for (int w = 0; w < a->side; w++, to += s[3])
                vg_cpu_load(from,
                            (((t * a->times + i) * s[1] + row * a->side + h) * s[2] +
                             column * a->side + w) *
                                s[3],
                            s[3], to);
}

/* Scratch: what becomes the result, then the packed input and the packed shortcut. */
static void pixels(void *ctx, int64_t begin, int64_t end, int worker)
{
    job *j = ctx;
    const vg_pack_channels_args *a = j->a;
    const int64_t *y = a->y->shape;
    int64_t c = y[3], factor = a->times * a->side * a->side, packed = factor * a->x->shape[3],
            group = factor * a->shortcut->shape[3] / c;
    float *to = vg_cpu_scratch(j->be, worker), *values = to + vg_cpu_round((size_t)c),
          *shortcut = values + vg_cpu_round((size_t)packed);

    for (int64_t i = begin; i < end; i++) {
        int64_t column = i % y[2], row = i / y[2] % y[1], t = i / y[2] / y[1];
        gather(a, a->x, t, row, column, values);
        gather(a, a->shortcut, t, row, column, shortcut);
        for (int64_t o = 0; o < c; o++) {
            float sum = 0;
            for (int64_t k = 0; k < group; k++)
                sum += shortcut[o * group + k];
            to[o] = sum / (float)group;
        }
        vg_cpu_round_to(a->y->dtype, to, c);
        for (int64_t o = 0; o < c; o++)
            to[o] += values[o % packed];
        vg_cpu_store(a->y, i * c, c, to);
    }
}

vg_status vg_cpu_pack_channels(vg_backend *be, const vg_pack_channels_args *a, vg_err *err)
{
    job j = {be, a};
    int64_t c = a->y->shape[3], factor = a->times * a->side * a->side;

    VG_TRY(vg_cpu_scratch_reserve(be,
                                  vg_cpu_round((size_t)c) +
                                      vg_cpu_round((size_t)(factor * a->x->shape[3])) +
                                      (size_t)(factor * a->shortcut->shape[3]),
                                  err));
    vg_cpu_for(be, vg_tensor_numel(a->y) / c, vg_cpu_grain(factor * a->shortcut->shape[3]), pixels,
               &j);
    return VG_OK;
}

/* unpack_channels.c: pixel by pixel of the result. Source: hunyuanvideo15 3.2. */
#include "kernels/cpu/cpu.h"

typedef struct job {
    vg_backend *be;
    const vg_unpack_channels_args *a;
} job;

/* Scratch: a pixel of the result, then the shortcut's. */
static void pixels(void *ctx, int64_t begin, int64_t end, int worker)
{
    job *j = ctx;
    const vg_unpack_channels_args *a = j->a;
    const int64_t *x = a->x->shape, *y = a->y->shape;
    int64_t c = y[3], s = a->shortcut->shape[3], side = a->side, factor = a->times * side * side,
            repeat = factor * c / s;
    float *to = vg_cpu_scratch(j->be, worker), *add = to + vg_cpu_round((size_t)c);

    for (int64_t i = begin; i < end; i++) {
        int64_t column = i % y[2], row = i / y[2] % y[1], frame = i / y[2] / y[1];
        int64_t part = (frame % a->times * side + row % side) * side + column % side;
        int64_t from = (frame / a->times * x[1] + row / side) * x[2] + column / side;
        int64_t first = part * c / repeat, last = (part * c + c - 1) / repeat;
        vg_cpu_load(a->x, from * x[3] + part * (x[3] / factor), c, to);
        vg_cpu_load(a->shortcut, from * s + first, last - first + 1, add);
        for (int64_t k = 0; k < c; k++)
            to[k] += add[(part * c + k) / repeat - first];
        vg_cpu_store(a->y, i * c, c, to);
    }
}

vg_status vg_cpu_unpack_channels(vg_backend *be, const vg_unpack_channels_args *a, vg_err *err)
{
    job j = {be, a};
    int64_t c = a->y->shape[3];

    VG_TRY(
        vg_cpu_scratch_reserve(be, vg_cpu_round((size_t)c) + (size_t)a->shortcut->shape[3], err));
    vg_cpu_for(be, vg_tensor_numel(a->y) / c, vg_cpu_grain(c), pixels, &j);
    return VG_OK;
}

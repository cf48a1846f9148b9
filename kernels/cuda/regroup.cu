// regroup.cu: blocks of frames, rows and columns to channels, or channels to blocks; see ops.h for the order of channels.
#include "kernels/cuda/cuda.cuh"

struct vg_groups {
    int h, w, c;           // of x
    int rows, columns, co; // of y
    int f0, f1, skip, places;
    int each; // values to a channel of y (down), channels of y to one of x (up)
    bool columns_first;
};

/* gather_up, gather_down    Bytes  size(x) + size(y), x from L1/L2 where it repeats   -> memory-bound
 * Launch   blocks of 256 threads along the channels of a run of pixels: a thread a value of y, so that stores are whole lines; pixels by
 *          the grid. up reads one value (runs of `each` channels read the same one), down `each` values that lie places apart in a handful of pixels
 * Numerics up is a copy; down sums in FP32 by rising number of the place within a channel, times the rounded 1/each, one rounding: the bits of the CPU */
template <typename T>
static __global__ void gather_up(const T *__restrict__ x, T *__restrict__ y, vg_groups g,
                                 int64_t values)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;

    if (i >= values)
        return;
    int64_t pixel = i / g.co;
    int c = (int)(i - pixel * g.co), column = (int)(pixel % g.columns);
    int64_t line = pixel / g.columns;
    int row = (int)(line % g.rows);
    int64_t t = line / g.rows + g.skip;
    int b = row % g.f1, e = column % g.f1;
    int place = (int)(t % g.f0) * g.f1 * g.f1 + (g.columns_first ? e * g.f1 + b : b * g.f1 + e);
    int from = (int)(((int64_t)c * g.places + place) / g.each);
    y[i] = x[((t / g.f0 * g.h + row / g.f1) * g.w + column / g.f1) * g.c + from];
}

template <typename T>
static __global__ void gather_down(const T *__restrict__ x, T *__restrict__ y, vg_groups g,
                                   int64_t values)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;

    if (i >= values)
        return;
    int64_t pixel = i / g.co;
    int o = (int)(i - pixel * g.co), column = (int)(pixel % g.columns);
    int64_t line = pixel / g.columns, t = line / g.rows;
    int row = (int)(line % g.rows);
    int64_t first = (int64_t)o * g.each, last = first + g.each;
    float sum = 0.0f;
    // By rising place, then channel: the order in which the CPU meets them.
    for (int p = 0; p < g.places; p++) {
        int64_t c = (first - p + g.places - 1) /
                    g.places; // the first channel whose place p is in the group
        int slow = p / g.f1 % g.f1, fast = p % g.f1;
        int64_t frame = t * g.f0 + p / (g.f1 * g.f1) - g.skip;
        if (frame < 0)
            continue;
        const T *from = x + ((frame * g.h + row * g.f1 + (g.columns_first ? fast : slow)) * g.w +
                             column * g.f1 + (g.columns_first ? slow : fast)) *
                                g.c;
        for (; c * g.places + p < last; c++)
            sum = __fadd_rn(sum, vg_to_float(from[c]));
    }
    y[i] = vg_from_float<T>(__fmul_rn(sum, __fdiv_rn(1.0f, (float)g.each)));
}

// ---- launcher -------------------------------------------------------------------------------------------------------

vg_status vg_cuda_regroup(vg_backend *be, const vg_regroup_args *a, vg_err *err)
{
    const int64_t *s = a->x->shape, *o = a->y->shape, values = vg_tensor_numel(a->y);
    const int places = a->factor[0] * a->factor[1] * a->factor[1];
    const int64_t wide = (a->up ? o[3] : s[3]) * places, narrow = a->up ? s[3] : o[3];
    const vg_groups g = {(int)s[1],
                         (int)s[2],
                         (int)s[3],
                         (int)o[1],
                         (int)o[2],
                         (int)o[3],
                         a->factor[0],
                         a->factor[1],
                         a->skip,
                         places,
                         (int)(wide / narrow),
                         a->columns_first};

    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_ACT(a->x->dtype, T, {
        const T *x = static_cast<const T *>(a->x->data);
        T *y = static_cast<T *>(a->y->data);
        const unsigned grid = (unsigned)((values + 255) / 256);
        if (a->up)
            VG_CUDA_LAUNCH(be, err, (gather_up<T>), grid, 256, 0, x, y, g, values);
        else
            VG_CUDA_LAUNCH(be, err, (gather_down<T>), grid, 256, 0, x, y, g, values);
    });
    return VG_OK;
}

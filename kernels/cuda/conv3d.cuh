// conv3d.cuh: what the convolution kernels share: the geometry, and how input positions are gathered. Private to kernels/cuda/.
#ifndef VG_KERNELS_CUDA_CONV3D_CUH
#define VG_KERNELS_CUDA_CONV3D_CUH

#include "kernels/cuda/cuda.cuh"
#include "kernels/cuda/mma.cuh"

namespace conv
{

struct geometry {
    int c, o, kt, kh, kw, k; // k = kt*kh*kw*c
    int front, history,
        upto;        // zero frames, then history; more begins at frame `upto` after the zero frames
    int h, w, shift; // of x; virtual size is << shift
    int st, sh, sw, top, left;
    int out_h, out_w;
    int parts,
        part; // channels of an output position, o = parts * part: part i of frame t goes to frame t * parts + i
    int64_t pixels; // output positions: frames before the split * out_h * out_w
    bool pairs;     // outputs can be stored two at a time
};

// The input's frames. Each pointer is moved back so that frames count from the first one behind the zero frames.
template <typename X> struct sources {
    const X *history, *x, *more;

    __device__ __forceinline__ const X *of(const geometry &g, int frame) const
    {
        return frame < g.history ? history : frame < g.upto ? x : more;
    }
};

template <typename B, typename Y> struct results {
    const B *bias;     // or null
    const Y *residual; // or null
    Y *y;
};

// First input position of an output pixel; row < 0 far outside for pixels that do not exist.
struct corner {
    int frame, row, column;
};

__device__ __forceinline__ corner corner_of(const geometry &g, int64_t pixel)
{
    if (pixel >= g.pixels)
        return {0, -(1 << 29), 0};
    int x = (int)(pixel % g.out_w), y = (int)(pixel / g.out_w % g.out_h),
        t = (int)(pixel / g.out_w / g.out_h);
    return {t * g.st - g.front, y * g.sh - g.top, x * g.sw - g.left};
}

// Element offset of input position p + (dt, dy, dx) from sources.of(frame), or -1 where the input is zero.
__device__ __forceinline__ int64_t locate(const geometry &g, const corner &p, int dt, int dy,
                                          int dx, int *frame)
{
    int row = p.row + dy, column = p.column + dx;

    *frame = p.frame + dt;
    if (*frame < 0 || row < 0 || column < 0 || row >= g.h << g.shift || column >= g.w << g.shift)
        return -1;
    return (((int64_t)*frame * g.h + (row >> g.shift)) * g.w + (column >> g.shift)) * g.c;
}

// Element offset of channel o of an output position.
__device__ __forceinline__ int64_t place(const geometry &g, int64_t pixel, int o)
{
    if (g.parts == 1)
        return pixel * g.o + o;
    int64_t area = (int64_t)g.out_h * g.out_w, frame = pixel / area;
    return ((frame * g.parts + o / g.part) * area + (pixel - frame * area)) * g.part + o % g.part;
}

// The sum of the products to an element of y: bias, rounding, residual.
template <typename B, typename Y>
__device__ __forceinline__ float finish(const results<B, Y> &to, int o, int64_t at, float v)
{
    if (to.bias)
        v += vg_to_float(to.bias[o]);
    return to.residual ? vg_rounded<Y>(v) + vg_to_float(to.residual[at]) : v;
}

constexpr int ROWS = 128, DEPTH = 64,
              STAGES = 3; // pixels per block; k per step; slots of the copy pipeline

template <int COLUMNS> constexpr int slot_bytes = (ROWS + COLUMNS) * DEPTH * 2;

// One thread of 256 filling slots: 8 channels `part` of input lines line + 32 i, and of as many lines of the weights. All of a line's
// geometry is worked out once: its pixel, and one bit per spatial tap that says whether the tap meets the picture (kh*kw <= 32).
template <int COLUMNS> struct gather {
    sources<__nv_bfloat16> in;
    const __nv_bfloat16 *w;
    int pixel[4], frame[4];
    uint32_t inside[4];
    int odd; // two bits per line: row, column; only with upsampling
    int part, line, o_first;
    int k, c, dx, dy, dt; // where this thread is in the sum

    __device__ __forceinline__ void start(const geometry &g, const sources<__nv_bfloat16> &from,
                                          const __nv_bfloat16 *weights, int64_t first, int first_o)
    {
        int tap;

        in = from;
        w = weights;
        o_first = first_o;
        part = threadIdx.x % 8;
        line = threadIdx.x / 8;
        odd = 0;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            corner at = corner_of(g, first + line + 32 * i);
            inside[i] = 0;
            for (int t = 0; t < g.kh * g.kw; t++) {
                int row = at.row + t / g.kw, column = at.column + t % g.kw;
                if (row >= 0 && column >= 0 && row < g.h << g.shift && column < g.w << g.shift)
                    inside[i] |= 1u << t;
            }
            frame[i] = at.frame;
            pixel[i] = inside[i]
                           ? (at.frame * g.h + (at.row >> g.shift)) * g.w + (at.column >> g.shift)
                           : 0;
            odd |= g.shift ? ((at.row & 1) << 1 | (at.column & 1)) << 2 * i : 0;
        }
        k = part * 8;
        tap = k / g.c;
        c = k % g.c;
        dx = tap % g.kw;
        dy = tap / g.kw % g.kh;
        dt = tap / g.kw / g.kh;
    }

    // The next DEPTH of the sum into the slot at this shared address.
    __device__ __forceinline__ void fetch(const geometry &g, uint32_t slot)
    {
        uint32_t bit = k < g.k ? 1u << (dy * g.kw + dx) : 0;
        int frames = dt * g.h * g.w;
        int row_even = (dy >> g.shift) * g.w + frames,
            row_odd = ((dy + 1) >> g.shift) * g.w + frames;
        int column_even = dx >> g.shift, column_odd = (dx + 1) >> g.shift;

#pragma unroll
        for (int i = 0; i < 4; i++) {
            int f = frame[i] + dt, at = pixel[i] + (odd >> 2 * i & 2 ? row_odd : row_even) +
                                        (odd >> 2 * i & 1 ? column_odd : column_even);
            bool valid = inside[i] & bit && f >= 0;
            const __nv_bfloat16 *from = in.of(g, f) + ((int64_t)at * g.c + c);
            mma::copy_16(slot + mma::swizzled<DEPTH>(line + 32 * i, part), valid ? from : w, valid);
        }
#pragma unroll
        for (int i = 0; i < COLUMNS; i += 32) {
            int o = o_first + line + i;
            bool valid = k < g.k && o < g.o;
            mma::copy_16(slot + ROWS * DEPTH * 2 + mma::swizzled<DEPTH>(line + i, part),
                         valid ? w + (int64_t)o * g.k + k : w, valid);
        }
        k += DEPTH;
        c += DEPTH;
        while (c >= g.c) {
            c -= g.c;
            if (++dx == g.kw) {
                dx = 0;
                if (++dy == g.kh) {
                    dy = 0;
                    dt++;
                }
            }
        }
    }
};

// Two sums of neighbouring channels; o is even.
template <typename B, typename Y>
__device__ __forceinline__ void store_pair(const geometry &g, const results<B, Y> &to,
                                           int64_t pixel, int o, float low, float high)
{
    float v[2];

    if (pixel >= g.pixels || o >= g.o)
        return;
    int64_t at = place(g, pixel, o);
    v[0] = finish(to, o, at, low);
    if (g.pairs) {
        v[1] = finish(to, o + 1, at + 1, high);
        vg_store<2>(to.y + at, v);
        return;
    }
    to.y[at] = vg_from_float<Y>(v[0]);
    if (o + 1 < g.o) {
        at = place(g, pixel, o + 1);
        to.y[at] = vg_from_float<Y>(finish(to, o + 1, at, high));
    }
}

// ---- for the launchers ----------------------------------------------------------------------------------------------

template <typename X> inline sources<X> sources_of(const vg_conv3d_args *a, const geometry &g)
{
    const X *x = static_cast<const X *>(a->x->data),
            *history = a->history ? static_cast<const X *>(a->history->data) : x;
    const X *more = a->more ? static_cast<const X *>(a->more->data) : x;
    int64_t frame = (int64_t)g.h * g.w * g.c;

    return {history, x - g.history * frame, more - g.upto * frame};
}

template <typename B, typename Y> inline results<B, Y> results_of(const vg_conv3d_args *a)
{
    return {a->bias ? static_cast<const B *>(a->bias->data) : nullptr,
            a->residual ? static_cast<const Y *>(a->residual->data) : nullptr,
            static_cast<Y *>(a->y->data)};
}

} // namespace conv

// conv3d_sm90.cu: the same product by WGMMA, compute capability 9.0.
vg_status vg_cuda_conv3d_sm90(vg_backend *be, const vg_conv3d_args *a, const conv::geometry *g,
                              vg_err *err);

// conv3d_tma.cu: by WGMMA on tiles that the copy engine brings, for what fits it.
bool vg_cuda_conv3d_tma_fits(const vg_conv3d_args *a, const conv::geometry *g);
vg_status vg_cuda_conv3d_tma(vg_backend *be, const vg_conv3d_args *a, const conv::geometry *g,
                             vg_err *err);

#endif

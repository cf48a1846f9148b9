// conv3d.cuh: what the convolution kernels share: the geometry, and how input positions are gathered. Private to kernels/cuda/.
#ifndef VG_KERNELS_CUDA_CONV3D_CUH
#define VG_KERNELS_CUDA_CONV3D_CUH

#include "kernels/cuda/cuda.cuh"
#include "kernels/cuda/mma.cuh"

namespace conv {

struct geometry {
    int c, o, kt, kh, kw, k; // k = kt*kh*kw*c
    int front, history;      // zero frames, then history frames, then x
    int h, w, shift;         // of x; virtual size is << shift
    int st, sh, sw, top, left;
    int out_h, out_w;
    int64_t pixels;          // of the output
    bool pairs;              // outputs can be stored two at a time
};

// First input position of an output pixel; row < 0 far outside for pixels that do not exist.
struct corner {
    int frame, row, column;
};

__device__ __forceinline__ corner corner_of(const geometry &g, int64_t pixel)
{
    if (pixel >= g.pixels)
        return {0, -(1 << 29), 0};
    int x = (int)(pixel % g.out_w), y = (int)(pixel / g.out_w % g.out_h), t = (int)(pixel / g.out_w / g.out_h);
    return {t * g.st - g.front, y * g.sh - g.top, x * g.sw - g.left};
}

// Element offset of input position p + (dt, dy, dx) in *from (history or x), or -1 where the input is zero.
template <typename X>
__device__ __forceinline__ int64_t locate(const geometry &g, const corner &p, int dt, int dy, int dx, const X *x, const X *history, const X **from)
{
    int frame = p.frame + dt, row = p.row + dy, column = p.column + dx;

    if (frame < 0 || row < 0 || column < 0 || row >= g.h << g.shift || column >= g.w << g.shift)
        return -1;
    bool past = frame < g.history;
    *from = past ? history : x;
    frame = past ? frame : frame - g.history;
    return (((int64_t)frame * g.h + (row >> g.shift)) * g.w + (column >> g.shift)) * g.c;
}


constexpr int ROWS = 128, DEPTH = 64, STAGES = 3; // pixels per block; k per step; slots of the copy pipeline

template <int COLUMNS> constexpr int slot_bytes = (ROWS + COLUMNS) * DEPTH * 2;

// One thread of 256 filling slots: 8 channels `part` of input lines line + 32 i, and of as many lines of the weights. All of a line's
// geometry is worked out once: its pixel, and one bit per spatial tap that says whether the tap meets the picture (kh*kw <= 32).
template <int COLUMNS> struct gather {
    const __nv_bfloat16 *x, *history, *w;
    int pixel[4], frame[4];
    uint32_t inside[4];
    int odd; // two bits per line: row, column; only with upsampling
    int part, line, o_first;
    int k, c, dx, dy, dt; // where this thread is in the sum

    __device__ __forceinline__ void start(const geometry &g, const __nv_bfloat16 *from, const __nv_bfloat16 *past, const __nv_bfloat16 *weights,
                                          int64_t first, int first_o)
    {
        int tap;

        x = from - (int64_t)g.history * g.h * g.w * g.c; // frames are counted from the history's first
        history = past;
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
            pixel[i] = inside[i] ? (at.frame * g.h + (at.row >> g.shift)) * g.w + (at.column >> g.shift) : 0;
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
        int row_even = (dy >> g.shift) * g.w + frames, row_odd = ((dy + 1) >> g.shift) * g.w + frames;
        int column_even = dx >> g.shift, column_odd = (dx + 1) >> g.shift;

#pragma unroll
        for (int i = 0; i < 4; i++) {
            int f = frame[i] + dt, at = pixel[i] + (odd >> 2 * i & 2 ? row_odd : row_even) + (odd >> 2 * i & 1 ? column_odd : column_even);
            bool valid = inside[i] & bit && f >= 0;
            const __nv_bfloat16 *from = (f < g.history ? history : x) + ((int64_t)at * g.c + c);
            mma::copy_16(slot + mma::swizzled<DEPTH>(line + 32 * i, part), valid ? from : w, valid);
        }
#pragma unroll
        for (int i = 0; i < COLUMNS; i += 32) {
            int o = o_first + line + i;
            bool valid = k < g.k && o < g.o;
            mma::copy_16(slot + ROWS * DEPTH * 2 + mma::swizzled<DEPTH>(line + i, part), valid ? w + (int64_t)o * g.k + k : w, valid);
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
__device__ __forceinline__ void store_pair(const geometry &g, const B *bias, Y *y, int64_t pixel, int o, float low, float high)
{
    float v[2] = {low, high};

    if (pixel >= g.pixels || o >= g.o)
        return;
    if (bias) {
        v[0] += vg_to_float(bias[o]);
        v[1] += o + 1 < g.o ? vg_to_float(bias[o + 1]) : 0.0f;
    }
    if (g.pairs)
        vg_store<2>(y + pixel * g.o + o, v);
    else {
        y[pixel * g.o + o] = vg_from_float<Y>(v[0]);
        if (o + 1 < g.o)
            y[pixel * g.o + o + 1] = vg_from_float<Y>(v[1]);
    }
}

} // namespace conv

// conv3d_sm90.cu: the same product by WGMMA, compute capability 9.0.
vg_status vg_cuda_conv3d_sm90(vg_backend *be, const vg_conv3d_args *a, const conv::geometry *g, vg_err *err);

#endif

/* conv3d.h: the geometry of one convolution, shared by the two ways of computing it. Private to kernels/cpu/. */
#ifndef VG_KERNELS_CPU_CONV3D_H
#define VG_KERNELS_CPU_CONV3D_H

#include "kernels/cpu/cpu.h"

typedef struct vg_conv_plan {
    vg_backend *be;
    const vg_conv3d_args *a;
    int64_t c, o, kt, kh, kw, k; /* k = kt*kh*kw*c */
    int64_t in_h, in_w;          /* of x; virtual size is upsample times that */
    int64_t out_t, out_h, out_w;
    int64_t front, history; /* zero frames, then history frames, then x, then more */
    const float *w;         /* F32 weights, layout of the way chosen */
} vg_conv_plan;

/* Pixels (y,x..x+n) of input frame f (zero frames excluded) as FP32. */
static inline void vg_conv_load(const vg_conv_plan *p, int64_t f, int64_t y, int64_t x, int64_t n,
                                float *to)
{
    const vg_tensor *t = p->a->history;
    int64_t frame = f - p->front;

    if (frame >= p->history) {
        t = p->a->x;
        frame -= p->history;
        if (frame >= t->shape[0]) {
            frame -= t->shape[0];
            t = p->a->more;
        }
    }
    vg_cpu_load(t, ((frame * p->in_h + y) * p->in_w + x) * p->c, n * p->c, to);
}

/* Store n pixels' sums [n,O], in `row` from pixel `first` of output frame t: bias added, rounded, residual, split (ops.h). */
void vg_conv_store(const vg_conv_plan *p, int64_t t, int64_t first, int64_t n, float *sums,
                   const float *bias, float *residual);

/* The first temporal tap of output frame t that meets a frame which is not all zero; kt when there is none. */
static inline int64_t vg_conv_first_tap(const vg_conv_plan *p, int64_t t)
{
    int64_t tap = p->front - t * p->a->stride[0];

    return tap < 0 ? 0 : tap > p->kt ? p->kt : tap;
}

/* conv3d_direct.c: AVX2 kernel for few channels. Reserves memory, then computes. */
bool vg_conv_direct_fits(const vg_conv_plan *p);
/* The plan without a matrix product, for few channels. Errors: VG_E_NOMEM, VG_E_CANCELLED. */
vg_status vg_conv_direct(vg_conv_plan *p, vg_err *err);

#endif

/* ops.h: the argument struct of every operation in ops.def. The wrappers vg_<op>(be, args, err) check shapes and
 * dtypes once, centrally (kernels/op/<op>.c), then call the backend; a backend without the op answers VG_E_UNSUPPORTED.
 *
 * Common rules. "act dtype" is F32 or BF16: math is FP32 inside, one rounding on store unless said otherwise.
 * Tensors live in memory of the backend `be`. Calls are asynchronous on the backend's stream; operands stay alive
 * until vg_backend_sync. Outputs may alias inputs only where said. [..] are shapes, outermost first.
 * All vg_<op> return VG_OK, VG_E_SHAPE, VG_E_DTYPE, VG_E_ARG, VG_E_UNSUPPORTED, VG_E_NOMEM, VG_E_DEVICE or
 * VG_E_CANCELLED (vg_backend.cancel; the output is then undefined). */
#ifndef VG_KERNELS_OP_OPS_H
#define VG_KERNELS_OP_OPS_H

#include "kernels/base/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vg_backend vg_backend;

#define VG_E4M3_MAX 448.0f
#define VG_QUANT_GROUP                                                                             \
    128 /* input channels per dynamic activation scale, and block edge of weights */
#define VG_QUANT_AMAX_MIN                                                                          \
    1e-10f /* floor of a 1x128 group's absolute maximum (specs: modelopt-fp8 6.6) */

/* How an activation was quantised, and so what the weight beside it must look like. */
typedef enum vg_quant_kind {
    VG_QUANT_NONE,          /* F32 or BF16 values */
    VG_QUANT_TENSOR_STATIC, /* E4M3, one scale known beforehand (calibrated input_scale) */
    VG_QUANT_TENSOR_DYNAMIC, /* E4M3, one scale = amax / 448 of this very tensor (amax 0 -> scale 1) */
    VG_QUANT_GROUP_DYNAMIC, /* E4M3, scale per row and 128 input channels */
    VG_QUANT_KIND_COUNT
} vg_quant_kind;

typedef struct vg_cast_args {
    const vg_tensor *x; /* any of F32, BF16, F16, E4M3 */
    vg_tensor *y;       /* same shape, F32, BF16 or E4M3 */
} vg_cast_args;

/* q = sat_e4m3(x / scale): static and dynamic per tensor multiply by the FP32 reciprocal of the scale, groups
 * divide. Source: modelopt-fp8 6.5, 6.6. */
typedef struct vg_quantize_args {
    const vg_tensor *x; /* [M,K] act dtype */
    vg_quant_kind kind; /* not NONE */
    vg_tensor *q;       /* [M,K] E4M3 */
    vg_tensor *
        scale; /* F32: TENSOR_*: [1] (in for STATIC, out for DYNAMIC); GROUP: [ceil(K/128), M] out, token fastest */
} vg_quantize_args;

/* *most = max(*most, max |x|): the range of a layer's input, gathered over calls without a word to the host. A NaN is passed over. */
typedef struct vg_amax_args {
    const vg_tensor *x; /* any shape, act dtype */
    vg_tensor *most;    /* [1] F32, in and out, >= 0 */
} vg_amax_args;

/* scale = amax / 448 (1 where amax is 0), q = sat_e4m3(w / scale), in FP32. Where w holds NaN or infinity the scale becomes NaN: whoever
 * made it looks. Source: modelopt-fp8 3.4, 3.6. */
typedef struct vg_quantize_weight_args {
    const vg_tensor *w; /* [N,K] F32, BF16 or F16 */
    vg_tensor *q;       /* [N,K] E4M3 */
    vg_tensor *scale;   /* F32 [1], or [ceil(N/128), ceil(K/128)]; out */
} vg_quantize_weight_args;

/* y = q * scale in FP32, one rounding. */
typedef struct vg_dequantize_weight_args {
    const vg_tensor *q;     /* [N,K] E4M3 */
    const vg_tensor *scale; /* F32 [1], [N] or [ceil(N/128), ceil(K/128)] */
    vg_tensor *y;           /* [N,K] act dtype */
} vg_dequantize_weight_args;

/* A second form of an operation's result: E4M3 codes of the rounded result, bit for bit as vg_quantize would make them, so that the
 * producer of a linear layer's input writes what the layer reads. With a kind the operation's own y may be NULL: nobody wants the values;
 * the result is then rounded to the dtype of x (linear: of the bias, BF16 without one) before it is quantised. */
typedef struct vg_quant_out {
    vg_quant_kind
        kind; /* NONE (absent), TENSOR_STATIC or GROUP_DYNAMIC; TENSOR_DYNAMIC would need the whole result first */
    vg_tensor *q;     /* [M,K] E4M3; K is all of a row (attention: heads * head_dim) */
    vg_tensor *scale; /* as vg_quantize_args.scale */
} vg_quant_out;

typedef enum vg_act {
    VG_ACT_NONE,
    VG_ACT_SILU,
    VG_ACT_GELU_TANH,
    VG_ACT_GELU_ERF,
    VG_ACT_COUNT
} vg_act;

/* A backend that applies GELU_TANH to the sum as it is, where the contract of vg_linear rounds it to BF16 first (by up to 2^-9 of it), may be
 * off by this, relative and absolute. |s GELU'(s)| <= 1.13 |GELU(s)| for s > 0, so 1.13 2^-9 relative there; for s < 0 it is at most
 * 0.2, so 0.2 2^-9 absolute. The tangent of the GPU's special function unit, 2^-11 of 1, adds |s| / 2 2^-11, and counts
 * only while |s| < 4. */
#define VG_GELU_FUSED_RELATIVE (1.13 * 0x1p-9 + 0x1p-11)
#define VG_GELU_FUSED_ABSOLUTE (0.2 * 0x1p-9 + 2 * 0x1p-11)

/* y[m,n] = act( sum_k x[m,k] w[n,k] * scales + bias[n] ). FP32 accumulation, one rounding of the sum to y's dtype;
 * with act != NONE and BF16 y the sum is rounded to BF16 before the activation (as two torch calls would). With GELU_TANH a backend
 * may leave that first rounding out, and also the one in front of a static quantisation: within VG_GELU_FUSED_*. */
typedef struct vg_linear_args {
    const vg_tensor *x;       /* [M,K] F32, BF16, or E4M3 (then x_scale) */
    const vg_tensor *x_scale; /* per vg_quantize_args, NULL for F32/BF16 x */
    const vg_tensor *w;       /* [N,K] F32, BF16 or E4M3 */
    const vg_tensor *
        w_scale; /* F32, E4M3 w only: [1], [N], or [ceil(N/128), ceil(K/128)]; F32/BF16 x with E4M3 w = weight-only */
    const vg_tensor *bias; /* [N] F32 or BF16, or NULL */
    vg_act act;
    vg_tensor *y; /* [M,N] act dtype */
    vg_quant_out quant;
} vg_linear_args;

typedef struct vg_embedding_args {
    const vg_tensor *table; /* [V,D] F32 or BF16 */
    const vg_tensor *ids;   /* [N] I32, 0 <= id < V (checked by the engine before upload) */
    vg_tensor *y;           /* [N,D] act dtype */
} vg_embedding_args;

/* y = w * round(x * rsqrt(mean(x^2) + eps)): two roundings with BF16. Source: transformers UMT5LayerNorm. */
typedef struct vg_rms_norm_args {
    const vg_tensor *x; /* [N,D] act dtype */
    const vg_tensor *w; /* [D] F32 or BF16 */
    float eps;
    vg_tensor *y; /* [N,D], may alias x */
} vg_rms_norm_args;

/* y = LN(x) * (1 + scale) + shift, or LN(x) * w + b, or LN(x); biased variance. Source: wan 2.6 steps 1, 7, 9. */
typedef struct vg_layer_norm_modulate_args {
    const vg_tensor *x;     /* [N,D] act dtype */
    const vg_tensor *scale; /* [D] F32 or NULL; modulation (adds 1) */
    const vg_tensor *shift; /* [D] F32 or NULL, together with scale */
    const vg_tensor *w;     /* [D] F32 or NULL; affine weight, instead of scale */
    const vg_tensor *b;     /* [D] F32 or NULL, together with w */
    float eps;
    vg_tensor *y; /* [N,D] act dtype, may alias x */
    vg_quant_out quant;
} vg_layer_norm_modulate_args;

/* sum = round(x + add * gate), or x + add; then y as layer_norm_modulate makes it of that sum: bit for bit gate_residual followed by
 * layer_norm_modulate, in one pass. Source: wan 2.6 steps 6-7, 8-9, and 10 with step 1 of the next block. */
typedef struct vg_residual_norm_args {
    const vg_tensor *x;     /* [N,D] act dtype */
    const vg_tensor *add;   /* [N,D] act dtype */
    const vg_tensor *gate;  /* [D] F32 or NULL */
    vg_tensor *sum;         /* [N,D] act dtype, may alias x or add */
    const vg_tensor *scale; /* as in vg_layer_norm_modulate_args */
    const vg_tensor *shift;
    const vg_tensor *w;
    const vg_tensor *b;
    float eps;
    vg_tensor *y; /* [N,D] act dtype, may alias add, not sum */
    vg_quant_out quant;
} vg_residual_norm_args;

/* y = rope( x * rsqrt(mean_D(x^2) + eps) * w ): norm over the whole D = heads * head_dim, one rounding, then rotation of
 * interleaved pairs in FP32 with one more rounding. Source: wan 2.4, 2.6 steps 3-4. */
typedef struct vg_rms_norm_rope_args {
    const vg_tensor *x; /* [N,D] act dtype */
    const vg_tensor *w; /* [D] F32 or BF16 */
    float eps;
    int heads;                 /* D % heads == 0 */
    const vg_tensor *rope_cos; /* [N, D/heads/2] F32 or NULL for no rotation */
    const vg_tensor *rope_sin;
    vg_tensor *y; /* [N,D], may alias x */
} vg_rms_norm_rope_args;

/* y[i,h,:] = rope( w * round(x[i,h,:] * rsqrt(mean(x[i,h,:]^2) + eps)) ): norm of each head by itself, rounded before and after the product
 * with w, then rotation of interleaved pairs in FP32 with one more rounding. Source: hunyuanvideo15 2.3, 2.7 steps 4-5, 2.9. */
typedef struct vg_head_norm_rope_args {
    const vg_tensor *x; /* [N,D] act dtype */
    const vg_tensor *w; /* [D/heads] F32 or BF16 */
    float eps;
    int heads;                 /* D % heads == 0 */
    const vg_tensor *rope_cos; /* [N, D/heads/2] F32 or NULL for no rotation */
    const vg_tensor *rope_sin;
    vg_tensor *y; /* [N,D], dtype of x; may be x */
} vg_head_norm_rope_args;

/* y[i, h r + k, :] = rotated x[i, h, :] for k = 0 .. r-1: out[j] = x[j] cos[j] - x[j+D/2] sin[j], out[j+D/2] = x[j+D/2] cos[j] + x[j] sin[j]; without
 * tables x as it is. With BF16 each product is rounded, then the sum, as torch's rotate_half does. r > 1 spreads the keys and values of
 * grouped queries. Source: hunyuanvideo15 4.2. */
typedef struct vg_rotate_heads_args {
    const vg_tensor *x;        /* [N,H,D] act dtype */
    const vg_tensor *rope_cos; /* [N,D/2] F32 or NULL */
    const vg_tensor *rope_sin;
    vg_tensor *y; /* [N,H*r,D] dtype of x; may alias x when r is 1 */
} vg_rotate_heads_args;

/* y[i,h,:] = sum_j softmax_j( scale * q[i,h,:].k[j,h,:] + bias[h,i,j] ) v[j,h,:]. Non-causal. The working set is
 * O(tile), never [Nq,Nk]. */
typedef struct vg_attention_args {
    const vg_tensor *q;    /* [Nq,H,D] act dtype */
    const vg_tensor *k;    /* [Nk,H,D] */
    const vg_tensor *v;    /* [Nk,H,D] */
    const vg_tensor *bias; /* [H,Nq,Nk] F32, or [1,Nq,Nk] for all heads, or NULL */
    float scale;
    vg_tensor *y; /* [Nq,H,D] act dtype */
    vg_quant_out quant;
} vg_attention_args;

/* ---- attention on 8-bit operands: head_codes makes those of q and k, value_codes that of v, attention_codes uses them ---- */

#define VG_CODES_BLOCK                                                                             \
    64 /* tokens of k that share a scale; the tokens of value codes are filled up to a multiple of it */
#define VG_CODES_LEAST                                                                             \
    1e-30f /* groups whose largest magnitude is at most this have scale 1 and codes 0 */
#define VG_CODES_SAMPLE 4096 /* about so many tokens, evenly spaced, give the mean of k */

/* codes = rint(t (1 / scale)) of t = rotate(center(r)), where r is what vg_rms_norm_rope makes of x, rounded to its dtype, or x itself without w;
 * scale = max |t| / 127 over the group of tokens (VG_CODES_LEAST). center: minus the mean per channel, taken from every s-th token, s =
 * vg_codes_stride(N): for k, where a constant vector leaves the softmax as it is. rotate: t = H S r / sqrt(head_dim), with H the Hadamard
 * matrix H[i][j] = (-1)^popcount(i & j) and S fixed signs (VG_CODES_NEGATIVE), the same for q and k, so that q.k stays; it spreads channels
 * that stand out. Source: arXiv 2407.08608 3.3 (rotation), 2410.02367 (mean of k). */
typedef struct vg_head_codes_args {
    const vg_tensor *x; /* [N,D] act dtype */
    const vg_tensor *w; /* [D] F32 or BF16, or NULL for neither norm nor rotary embedding */
    float eps;
    int heads;                 /* D % heads == 0; rotate: D / heads is a power of 2 */
    const vg_tensor *rope_cos; /* [N, D/heads/2] F32 or NULL */
    const vg_tensor *rope_sin;
    bool center, rotate;
    vg_tensor *codes; /* [N,H,D/H] I8 */
    vg_tensor *scale; /* [H,N] F32 (by token, for q) or [H, ceil(N/VG_CODES_BLOCK)] (for k) */
} vg_head_codes_args;

/* codes[h,d,at(j)] = sat_e4m3((v[j,h,d] - mean[h,d]) (1 / scale[h,d])), scale = max_j |v - mean| / 448 (VG_CODES_LEAST); 0 behind the last
 * token. at(j): within each 16 tokens, token 8 b + 2 t + e stands at 4 t + 2 b + e (t < 4; b, e < 2), as the product on tensor cores meets
 * them. mean: over all tokens. */
typedef struct vg_value_codes_args {
    const vg_tensor *v; /* [N,H,D] act dtype */
    bool center;        /* false: mean = 0 */
    vg_tensor *codes;   /* [H,D,ceil(N/VG_CODES_BLOCK)*VG_CODES_BLOCK] E4M3 */
    vg_tensor *scale;   /* [H,D] F32 */
    vg_tensor *mean;    /* [H,D] F32 */
} vg_value_codes_args;

/* y[i,h,:] = mean + sum_j p_ij (codes_j scale) / sum_j p_ij with s_ij = q_scale k_scale sum_d q k (exact), p = 2^(scale log2(e) s_ij - m_i). The
 * p that meet v are rounded to E4M3, those of the sum below are not. m_i is a whole number that keeps the largest p of a row between 2^3 and 448;
 * weights below 2^-10 are lost. The GPU kernel is for compute capability 9.0, head size 128 and BF16 results; what it has not is
 * VG_E_UNSUPPORTED. A result that is only quantised is rounded to BF16 before. Source: arXiv 2407.08608, 2505.21136. */
typedef struct vg_attention_codes_args {
    const vg_tensor *q, *q_scale;          /* [Nq,H,D] I8, [H,Nq] F32 */
    const vg_tensor *k, *k_scale;          /* [Nk,H,D] I8, [H,ceil(Nk/VG_CODES_BLOCK)] F32 */
    const vg_tensor *v, *v_scale, *v_mean; /* as vg_value_codes makes them of Nk tokens */
    float scale;                           /* > 0 */
    vg_tensor *y;                          /* [Nq,H,D] act dtype */
    vg_quant_out quant;
} vg_attention_codes_args;

/* Blocks of n tokens; the distance of the tokens whose mean is taken; where token j of value codes stands. */
static inline int64_t vg_codes_blocks(int64_t n)
{
    return (n + VG_CODES_BLOCK - 1) / VG_CODES_BLOCK;
}
/* In tokens; 1: every one is taken. */
static inline int64_t vg_codes_stride(int64_t n)
{
    return n < 2 * VG_CODES_SAMPLE ? 1 : n / VG_CODES_SAMPLE;
}
#define VG_CODES_PLACE(j) ((j) / 16 * 16 + (j) % 8 / 2 * 4 + (j) % 16 / 8 * 2 + (j) % 2)
/* The place of token j, by the macro's formula. */
static inline int64_t vg_codes_place(int64_t j)
{
    return VG_CODES_PLACE(j);
}

/* Bytes of temporaries on a GPU: 1 / rms of each row, a mean, sums of 64 sampled tokens each; three numbers a channel for each 512
 * tokens, and one. */
static inline size_t vg_head_codes_scratch(int64_t n, int64_t dim)
{
    int64_t sampled = n / vg_codes_stride(n) + 1;
    return (size_t)((n + 3) / 4 * 4 + (sampled / 64 + 2) * dim) * sizeof(float);
}
/* Of value codes: n tokens, channels of all heads. */
static inline size_t vg_value_codes_scratch(int64_t n, int64_t channels)
{
    return (size_t)(((n + 511) / 512 * 3 + 1) * channels) * sizeof(float);
}

/* Is the sign of channel d negative in the rotation of head_codes? (Knuth's multiplicative hash; a macro for C and CUDA alike.) */
#define VG_CODES_NEGATIVE(d) ((unsigned)(d)*2654435761u >> 31 & 1u)

/* out = x + y * gate (gate per channel, FP32) or x + y. Source: wan 2.6 steps 6, 8, 10. */
typedef struct vg_gate_residual_args {
    const vg_tensor *x;    /* [N,D] act dtype */
    const vg_tensor *y;    /* [N,D] act dtype */
    const vg_tensor *gate; /* [D] F32 or NULL */
    vg_tensor *out;        /* [N,D], may alias x */
} vg_gate_residual_args;

/* out = round(act(x)) [* mul, rounded again]. */
typedef struct vg_activation_args {
    const vg_tensor *x; /* any shape, act dtype */
    vg_act act;
    const vg_tensor *mul; /* same shape or NULL */
    vg_tensor *y;         /* same shape, may alias x */
    vg_quant_out quant;
} vg_activation_args;

/* rows[n, c*ph*pw*pt + ...] = x[c, t*pt+it, y*ph+ih, z*pw+iw], n = (t*H/ph + y)*W/pw + z. Source: wan 2.3. */
typedef struct vg_patchify_args {
    const vg_tensor *x; /* [C,T,H,W] act dtype */
    int patch[3];       /* t, h, w */
    vg_tensor *y;       /* [N, C*pt*ph*pw] act dtype */
} vg_patchify_args;

/* y[c, t*pt+it, y*ph+ih, z*pw+iw] = rows[n, ((it*ph + ih)*pw + iw)*C + c]. Source: wan 2.7. */
typedef struct vg_unpatchify_args {
    const vg_tensor *x; /* [N, pt*ph*pw*C] act dtype */
    int patch[3];
    vg_tensor *y; /* [C,T,H,W] act dtype */
} vg_unpatchify_args;

#define VG_COMBINE_MAX 8
/* y = sum_i coef[i] * x[i], summed in the order given, in FP32. */
typedef struct vg_linear_combination_args {
    int count;                          /* 1..VG_COMBINE_MAX */
    const vg_tensor *x[VG_COMBINE_MAX]; /* same numel, F32 or BF16 */
    float coef[VG_COMBINE_MAX];
    vg_tensor *y; /* F32 or BF16; may alias any x of the same dtype */
} vg_linear_combination_args;

/* What a model answers with classifier-free guidance, v = u + scale (c - u). BF16: difference, product and sum are each rounded (wan 7.3). */
typedef struct vg_guided {
    const vg_tensor *cond;   /* act dtype */
    const vg_tensor *uncond; /* same dtype and numel; NULL: there is no guidance, v = c */
    float scale;
} vg_guided;

/* y = x + coef * v in FP32. With a BF16 v the product is rounded to BF16 before the sum (torch: 0-dim FP32 times BF16 stays BF16;
 * wan 8.4 step 1). */
typedef struct vg_guidance_step_args {
    const vg_tensor *x; /* F32, numel of v */
    vg_guided v;
    float coef;
    vg_tensor *y; /* F32 or BF16; may alias x */
} vg_guidance_step_args;

/* y[to,yo,xo,o] = b[o] + sum_{dt,dy,dx,c} in(to*st + dt, yo*sh + dy - ph0, xo*sw + dx - pw0, c) w[o,dt,dy,dx,c].
 * in = frames one after the other: pad_front zero frames, history, x, more (each pixel repeated `upsample` times in both directions
 * first); out of range in space is 0. Source: wan 4.2, 4.5.
 * split = s > 1: the channels are cut into s equal parts, and part i of output frame t is frame t*s + i of y.
 * residual: y = residual + round(what stands above), rounded again: the bits of vg_gate_residual after the convolution. */
typedef struct vg_conv3d_args {
    const vg_tensor *x;        /* [T,H,W,C] act dtype */
    const vg_tensor *history;  /* [Th,H,W,C] or NULL; same dtype */
    const vg_tensor *more;     /* [Tm,H,W,C] or NULL; same dtype */
    int pad_front;             /* zero frames before the history */
    int upsample;              /* 1 or 2: nearest in y and x before the convolution */
    const vg_tensor *w;        /* [O,kt,kh,kw,C] F32 or BF16 (re-ordered at load) */
    const vg_tensor *bias;     /* [O] or NULL */
    int stride[3];             /* t, h, w */
    int pad[4];                /* top, bottom, left, right */
    int split;                 /* 0 and 1: whole */
    const vg_tensor *residual; /* as y, same dtype, or NULL; may be y */
    vg_tensor *y;              /* [To*split,Ho,Wo,O/split] act dtype */
} vg_conv3d_args;

typedef struct vg_channel_norm_args {
    const vg_tensor *x;     /* [P,C] act dtype, P = all pixels */
    const vg_tensor *gamma; /* [C] F32 or BF16 */
    bool silu;              /* apply SiLU to the (rounded) result */
    vg_tensor *y;           /* [P,C], may alias x */
} vg_channel_norm_args;

/* y[t,i,j,:] = n(x[t, inside(i - edge), inside(j - edge), :]): n as vg_channel_norm of one pixel, or (gamma NULL) x itself; inside: to the nearest
 * row or column that there is. Source: hunyuanvideo15 3.1, whose convolutions repeat the border. */
typedef struct vg_edge_norm_args {
    const vg_tensor *x;     /* [T,H,W,C] act dtype */
    const vg_tensor *gamma; /* [C] F32 or BF16, or NULL: x is only padded */
    bool silu;              /* with gamma: SiLU of the (rounded) result */
    int edge;               /* pixels on each side, 0 to 64 */
    vg_tensor *y;           /* [T, H + 2 edge, W + 2 edge, C], dtype of x */
} vg_edge_norm_args;

/* With F = times * side^2 and r = (a * side + b) * side + d:
 * y[t*times + a, i*side + b, j*side + d, c] = x[t,i,j, r*K/F + c] + shortcut[t,i,j, (r*C + c) / (F*C/S)].
 * K/F > C: the channels behind the first C of each part are not used. side = times = 1: channels are only repeated and added.
 * Source: hunyuanvideo15 3.2, 3.4. */
typedef struct vg_unpack_channels_args {
    const vg_tensor *x;        /* [T,H,W,K] act dtype; F divides K, K/F >= C */
    const vg_tensor *shortcut; /* [T,H,W,S]; S divides F*C */
    int times, side;           /* 1 or 2 */
    vg_tensor *y;              /* [T*times, H*side, W*side, C]; one dtype for all */
} vg_unpack_channels_args;

/* The way back, with F and r as above: packed p[t,i,j, r*K + c] = x[t*times + a, i*side + b, j*side + d, c], q the same of the shortcut;
 * y[t,i,j,o] = p[t,i,j, o % (F*K)] + round(mean of q[t,i,j, o*g .. o*g + g - 1]), g = F*S/C. Source: hunyuanvideo15 3.2, 3.3. */
typedef struct vg_pack_channels_args {
    const vg_tensor *x;        /* [T*times, H*side, W*side, K] act dtype; F*K divides C */
    const vg_tensor *shortcut; /* [T*times, H*side, W*side, S]; C divides F*S */
    int times, side;           /* 1 or 2 */
    vg_tensor *y;              /* [T,H,W,C]; one dtype for all */
} vg_pack_channels_args;

/* y = x * scale[c] + shift[c] or, with divide, x / scale[c] + shift[c]; layout change between [C,T,H,W] and [T,H,W,C]. */
typedef struct vg_channel_affine_args {
    const vg_tensor *x; /* [C,T,H,W] if to_channels_last, else [T,H,W,C]; act dtype */
    bool to_channels_last;
    const vg_tensor *scale; /* [C] F32 or NULL */
    const vg_tensor *shift; /* [C] F32 or NULL */
    bool divide;
    vg_tensor *y; /* act dtype, the other layout */
} vg_channel_affine_args;

/* Channels-last frames; a block is factor[0] frames of factor[1] rows and as many columns, and (a,b,e) a place in it. Channel c of place (a,b,e)
 * has number q = ((c*f0 + a)*f1 + b)*f1 + e, with columns_first ((c*f0 + a)*f1 + e)*f1 + b.
 * down: y[t,y,x,o] = mean over q = o*g ... o*g+g-1 of x[t*f0+a-skip, y*f1+b, x*f1+e, c], g = C f0 f1^2 / C'; the skip frames in front are 0;
 *       summed in FP32 by rising place, then channel, times the rounded 1/g, rounded once.
 * up:   y[t*f0+a-skip, y*f1+b, x*f1+e, c] = x[t,y,x, q/r], r = C' f0 f1^2 / C; the skip frames in front are left out.
 * Source: AvgDown3D, DupUp3D, patchify and unpatchify of diffusers' AutoencoderKLWan (wan 4.4). */
typedef struct vg_regroup_args {
    const vg_tensor *x; /* [T,H,W,C] act dtype */
    int factor[2];      /* >= 1: frames; rows and columns */
    int skip;           /* 0 to factor[0]-1 */
    bool up, columns_first;
    vg_tensor *
        y; /* down [(T+skip)/f0,H/f1,W/f1,C'], up [T*f0-skip,H*f1,W*f1,C'], as x; C' so that g or r is whole */
} vg_regroup_args;

typedef struct vg_frames_to_u8_args {
    const vg_tensor *x; /* [T,H,W,3] act dtype */
    vg_tensor *y; /* [T,H,W,3] U8. Source: diffusers export_to_video on float frames (wan 7.4) */
} vg_frames_to_u8_args;

typedef enum vg_op {
#define VG_OP(name, help) VG_OP_##name,
#include "kernels/op/ops.def"
#undef VG_OP
    VG_OP_COUNT
} vg_op;

/* "?" for what is no operation. */
const char *vg_op_name(vg_op op);
/* The row's one line. */
const char *vg_op_help(vg_op op);

#define VG_OP(name, help)                                                                          \
    vg_status vg_##name(vg_backend *be, const vg_##name##_args *args, vg_err *err);
#include "kernels/op/ops.def"
#undef VG_OP

#ifdef __cplusplus
}
#endif
#endif

/* linear.h: one linear layer, whatever its precision. The scheme is a property of the weights: model code calls vg_linear_run and
 * never asks. Precision is decided per layer from the tensors of the checkpoint (modelopt-fp8 1.6), or made at load. */
#ifndef VG_ENGINE_LAYERS_LINEAR_H
#define VG_ENGINE_LAYERS_LINEAR_H

#include "engine/checkpoint/checkpoint.h"
#include "kernels/backend/arena.h"

typedef enum vg_scheme {
#define VG_SCHEME(id, name, label, precision, help) VG_SCHEME_##id,
#include "engine/layers/schemes.def"
#undef VG_SCHEME
    VG_SCHEME_COUNT
} vg_scheme;

const char *vg_scheme_name(vg_scheme scheme);  /* "fp8-block" */
const char *vg_scheme_label(vg_scheme scheme); /* "FP8 per-block" */
/* One line for people; static. */
const char *vg_scheme_help(vg_scheme scheme);
/* VG_E_ARG lists the names. */
vg_status vg_scheme_parse(const char *name, vg_scheme *scheme, vg_err *err);

/* How the inputs of FP8 layers are quantised. STATIC, DYNAMIC: where the scale comes from when weights are made FP8 per tensor at load; a
 * checkpoint's own scales, and groups of per-block layers, are what they are. WEIGHT_ONLY: not at all, in any FP8 layer: its weights are
 * dequantised in front of the product, which also runs on GPUs that cannot multiply FP8 (compute capability below 8.9; per block: other
 * than 9.0). */
typedef enum vg_fp8_act {
#define VG_FP8_ACT(id, name) VG_FP8_ACT_##id,
#include "engine/layers/fp8_acts.def"
#undef VG_FP8_ACT
    VG_FP8_ACT_COUNT
} vg_fp8_act;
/* VG_E_UNSUPPORTED, saying what would run, when a device of this compute capability (0: CPU, which runs all) has no product for such inputs. */
vg_status vg_fp8_act_check(int capability, vg_quant_kind act, vg_err *err);

/* Scales along a side of n channels: groups of VG_QUANT_GROUP, the last perhaps not whole. */
static inline int64_t vg_quant_groups(int64_t n)
{
    return (n + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP;
}

typedef struct vg_linear_layer {
    const char *name;    /* e.g. "blocks.0.attn1.to_q", owned by the module's arena of names */
    int64_t n, k;        /* out, in */
    vg_tensor w;         /* [n,k] F32, BF16 or E4M3 */
    vg_tensor w_scale;   /* see vg_linear_args */
    vg_tensor x_scale;   /* [1] F32 on the device, TENSOR_STATIC only */
    float x_scale_value; /* the same, on the host */
    vg_tensor bias;      /* [n] or absent */
    vg_quant_kind act;   /* how x must be quantised */
    vg_tensor
        amax; /* [1] F32 on the device, or absent: running max |x| is recorded there (calibration) */
} vg_linear_layer;

/* What linear layers read, in the form they want: the producer of their input writes values, or codes and scales at once. */
typedef struct vg_feed {
    vg_quant_kind kind; /* NONE: x; else q and scale */
    vg_tensor x;        /* [M,K] act dtype */
    vg_tensor q;        /* [M,K] E4M3 */
    vg_tensor scale;    /* as vg_quantize_args.scale; a layer's own x_scale for TENSOR_STATIC */
} vg_feed;

/* How the weights of one layer are stored, or will be after the scheme asked for has been applied. */
typedef enum vg_precision {
    VG_PRECISION_HIGH,    /* F32, F16 or BF16: computed in the compute dtype */
    VG_PRECISION_TENSOR,  /* E4M3, one scale */
    VG_PRECISION_CHANNEL, /* E4M3, one scale per output row */
    VG_PRECISION_BLOCK,   /* E4M3, 128x128 blocks */
    VG_PRECISION_COUNT
} vg_precision;

/* The feed of `count` layers that share an input of `like`'s shape [M,K] and dtype: codes if all of them want the same ones and these can be
 * made along with a result (not dynamic per tensor, not while calibrating), values otherwise. It lies in `memory` (at least
 * vg_feed_bytes), where nothing else may lie until the layers have run. */
void vg_feed_make(const vg_linear_layer *const *layers, int count, const vg_tensor *like,
                  void *memory, vg_feed *feed);
/* What vg_feed_make needs for the same arguments. */
size_t vg_feed_bytes(const vg_linear_layer *const *layers, int count, const vg_tensor *like);
size_t vg_feed_most_bytes(const vg_tensor *like); /* whatever the layers want */
/* For the argument structs of operations that write a feed: their y and their quant. */
vg_tensor *vg_feed_values(vg_feed *feed);
/* The quant field: codes and scales of the feed, or VG_QUANT_NONE when it is of values. */
vg_quant_out vg_feed_codes(vg_feed *feed);

/* ys[i] = act(layers[i](x)): layers that share an input (q, k, v) quantise it once per distinct (kind, scale). x is [M,K], ys[i]
 * [M,n_i] of the act dtype; scratch memory is given back before returning. Calibration: layers with `amax` record max |x|. */
vg_status vg_linear_run(vg_arena *scratch, const vg_linear_layer *const *layers, int count,
                        const vg_tensor *x, vg_act act, vg_tensor *const *ys, vg_err *err);
/* The same for a single layer. */
vg_status vg_linear_run1(vg_arena *scratch, const vg_linear_layer *layer, const vg_tensor *x,
                         vg_act act, vg_tensor *y, vg_err *err);
/* The same, reading the feed that was made for these layers. */
vg_status vg_linear_run_fed(vg_arena *scratch, const vg_linear_layer *const *layers, int count,
                            const vg_feed *in, vg_act act, vg_tensor *const *ys, vg_err *err);
/* One layer between two feeds: reads its own, writes that of the layers behind it. */
vg_status vg_linear_feed(vg_arena *scratch, const vg_linear_layer *layer, const vg_feed *in,
                         vg_act act, vg_feed *out, vg_err *err);
#endif

/* op_impl.h: what the files of single operations (kernels/op/<op>.c) share; private to this folder. */
#ifndef VG_KERNELS_OP_OP_IMPL_H
#define VG_KERNELS_OP_OP_IMPL_H

#include "kernels/op/ops_check.h"
#include "kernels/op/ops_cost.h"
#include "kernels/op/ops_operands.h"

/* ---- checks. op, arg: names for messages. All return VG_OK, or VG_E_ARG (absent, out of range), VG_E_DTYPE, VG_E_SHAPE. ---- */

/* Sets of dtypes that an operand may have. */
enum {
    VG_TAKES_F32 = 1u << VG_F32,
    VG_TAKES_BF16 = 1u << VG_BF16,
    VG_TAKES_F16 = 1u << VG_F16,
    VG_TAKES_E4M3 = 1u << VG_E4M3,
    VG_TAKES_U8 = 1u << VG_U8,
    VG_TAKES_I8 = 1u << VG_I8,
    VG_TAKES_I32 = 1u << VG_I32,
    VG_TAKES_ACT = VG_TAKES_F32 | VG_TAKES_BF16,
    VG_ANY_RANK = -1,
};

#define VG_SHAPE(...)                                                                              \
    (const int64_t[])                                                                              \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

/* Groups of VG_QUANT_GROUP channels, the last perhaps not whole. */
static inline int64_t vg_groups_of(int64_t n)
{
    return (n + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP;
}

/* Present, of an accepted dtype, of this rank, every dimension at least 1, its size without overflow. */
vg_status vg_need(const char *op, const char *arg, const vg_tensor *t, unsigned accepted, int ndim,
                  vg_err *err);
/* And of exactly this shape. */
vg_status vg_need_shape(const char *op, const char *arg, const vg_tensor *t, unsigned accepted,
                        int ndim, const int64_t *shape, vg_err *err);
/* And of the shape of `model`. */
vg_status vg_need_like(const char *op, const char *arg, const vg_tensor *t, unsigned accepted,
                       const vg_tensor *model, vg_err *err);
/* And [n]. */
vg_status vg_need_vector(const char *op, const char *arg, const vg_tensor *t, unsigned accepted,
                         int64_t n, vg_err *err);
/* The same, for an operand that may be left out. */
vg_status vg_may_vector(const char *op, const char *arg, const vg_tensor *t, unsigned accepted,
                        int64_t n, vg_err *err);
vg_status vg_need_eps(const char *op, float eps, vg_err *err); /* 0 <= eps < 1 */
/* VG_E_ARG for a value that is no activation. */
vg_status vg_need_act(const char *op, vg_act act, vg_err *err);
/* The codes beside, or instead of, a result of m rows and k columns. */
vg_status vg_need_quant_out(const char *op, const vg_quant_out *q, int64_t m, int64_t k,
                            vg_err *err);
/* The values of a result that may be quantised: they may be left out if its codes are there. */
vg_status vg_need_values(const char *op, const vg_tensor *y, const vg_quant_out *q,
                         const vg_tensor *like, vg_err *err);
/* Scales of the 128x128 blocks of w [n,k]. */
vg_status vg_need_blocks(const char *op, const vg_tensor *scale, const vg_tensor *w, vg_err *err);
/* What LayerNorm multiplies and adds: a modulation, an affine pair, or nothing. */
vg_status vg_need_norm(const char *op, const vg_layer_norm_modulate_args *a, vg_err *err);
/* Token rows [N, patch volume * C] beside frames [C,T,H,W]. */
vg_status vg_need_patches(const char *op, const char *frames_name, const vg_tensor *frames,
                          const char *rows_name, const vg_tensor *rows, const int patch[3],
                          vg_err *err);

/* ---- costs ---- */

double vg_cost_bytes(const vg_tensor *t); /* 0 for NULL */
/* Bytes of an operation's result in the forms that were asked for. */
double vg_cost_result_bytes(const vg_tensor *y, const vg_quant_out *quant);
/* As a double, for products. */
double vg_cost_numel(const vg_tensor *t);
const char *vg_cost_dtype(vg_dtype dtype); /* as people say it: "E4M3" */
/* "static", "dynamic", "1x128"; "" for none. */
const char *vg_cost_quant_name(vg_quant_kind kind);
vg_rate vg_cost_rate(vg_dtype dtype); /* of products in it */
/* An operation that moves `bytes` and is told apart by its operand t. */
void vg_cost_moves(vg_op_cost *cost, double bytes, const vg_tensor *t);
/* More of cost->shape. */
void vg_cost_append(vg_op_cost *cost, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* " -> E4M3 static", where there are codes. */
void vg_cost_append_quant(vg_op_cost *cost, const vg_tensor *y, const vg_quant_out *quant);
void vg_cost_append_tensor(vg_op_cost *cost, const vg_tensor *t); /* "75600x5120 BF16" */
/* " SiLU"; nothing for none. */
void vg_cost_append_act(vg_op_cost *cost, vg_act act);

/* ---- operands of a case ---- */

/* The next tensor of the call; the maker says where it lies and fills it. */
#define VG_OPERAND(m, fill, dtype, ndim, ...)                                                      \
    ((m)->tensor((m), (fill), (dtype), (ndim), VG_SHAPE(__VA_ARGS__)))

/* F32 or BF16, as the case has it. */
vg_dtype vg_operand_act_dtype(const vg_operand_maker *m);
/* [rows, columns] quantised: codes into *q and scales into *scale. */
void vg_operand_codes(vg_operand_maker *m, vg_quant_kind kind, vg_fill fill, int64_t rows,
                      int64_t columns, vg_tensor **q, vg_tensor **scale);
/* Where the result goes: y, or (NULL) nothing but its quantised form. */
vg_tensor *vg_operand_result(vg_operand_maker *m, int64_t rows, int64_t columns,
                             vg_quant_out *quant);
/* Of w [n,k] in this form. */
vg_tensor *vg_operand_weight_scale(vg_operand_maker *m, vg_fill fill, vg_op_form form, int64_t n,
                                   int64_t k);

/* d[i] times scale, a multiple of 16, at least 16. */
void vg_case_shrink_rows(vg_op_case *c, int i, double scale);
/* d[i] and d[i + 1], height and width, times the root of scale, even. */
void vg_case_shrink_sides(vg_op_case *c, int i, double scale);
#endif

/* operands.h: operands of an operation's case in guarded host memory (check_tensor), filled at random. */
#ifndef VG_TESTS_OPERANDS_H
#define VG_TESTS_OPERANDS_H

#include "tests/check.h"

#include "kernels/op/ops_operands.h"

#define OPERANDS_MAX 16

typedef struct operands {
    vg_operand_maker base;
    check_rng rng;
    vg_tensor *(*place)(const vg_tensor *host); /* what the call gets instead; NULL: the host's */
    vg_operands call;
    vg_tensor *t[OPERANDS_MAX]; /* in the order made; check_done gives them back */
    vg_tensor *placed[OPERANDS_MAX];
    vg_fill fill[OPERANDS_MAX];
    int count;
} operands;

static inline vg_tensor *operands_keep(operands *o, vg_fill fill, vg_tensor *t)
{
    o->t[o->count] = t;
    o->fill[o->count] = fill;
    o->placed[o->count] = o->place ? o->place(t) : t;
    return o->placed[o->count++];
}

static inline vg_tensor *operands_tensor(vg_operand_maker *base, vg_fill fill, vg_dtype dtype,
                                         int ndim, const int64_t *shape)
{
    operands *o = (operands *)base;
    vg_tensor *t = check_tensor_of(dtype, ndim, shape);
    assert_true(o->count < OPERANDS_MAX);
    if (fill == VG_FILL_NORMAL)
        check_fill(t, &o->rng, 0, dtype == VG_E4M3 ? 200 : dtype == VG_I8 ? 100 : 2);
    else if (fill == VG_FILL_SCALES)
        check_fill(t, &o->rng, 0.01, 0.002);
    return operands_keep(o, fill, t);
}

static inline vg_tensor *operands_ids(vg_operand_maker *base, int64_t n, int64_t below)
{
    operands *o = (operands *)base;
    vg_tensor *t = check_tensor_of(VG_I32, 1, &n);
    for (int64_t i = 0; i < n; i++)
        check_set(t, i, (double)(check_random_bits(&o->rng) % (uint64_t)below));
    return operands_keep(o, VG_FILL_NORMAL, t);
}

/* The same operands at every call with the same case. */
static inline void operands_make(operands *o, vg_op op, const vg_op_case *row,
                                 vg_tensor *(*place)(const vg_tensor *host))
{
    *o = (operands){.base = {row, operands_tensor, operands_ids}, .rng = {41}, .place = place};
    vg_operands_make(op, &o->base, &o->call);
}
#endif

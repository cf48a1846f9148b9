/* activation.c: y = round(act(x)), optionally times a second operand with one more rounding. */
#include "kernels/cpu/cpu.h"

#define CHUNK 2048

typedef struct job {
    vg_backend *be;
    const vg_activation_args *a;
} job;

/* values = act(x) [* mul], n elements from `offset`; unrounded. */
static void compute(const vg_activation_args *a, int64_t offset, int64_t n, float *values,
                    float *buffer)
{
    vg_cpu_load(a->x, offset, n, values);
    vg_cpu_activate(a->act, values, n);
    if (a->mul) {
        const float *mul = vg_cpu_view(a->mul, offset, n, buffer);
        vg_cpu_round_to(a->y ? a->y->dtype : a->x->dtype, values, n);
        for (int64_t c = 0; c < n; c++)
            values[c] *= mul[c];
    }
}

static void range(void *ctx, int64_t begin, int64_t end, int worker)
{
    const vg_activation_args *a = ((job *)ctx)->a;
    float values[CHUNK], buffer[CHUNK];

    (void)worker;
    for (int64_t i = begin; i < end; i += CHUNK) {
        int64_t n = end - i < CHUNK ? end - i : CHUNK;
        compute(a, i, n, values, buffer);
        vg_cpu_store(a->y, i, n, values);
    }
}

/* The same in whole rows, which a quantised result needs. Scratch: result, mul. */
static void rows(void *ctx, int64_t begin, int64_t end, int worker)
{
    job *j = ctx;
    const vg_activation_args *a = j->a;
    int64_t k = a->x->shape[1];
    float *values = vg_cpu_scratch(j->be, worker);

    for (int64_t i = begin; i < end; i++) {
        compute(a, i * k, k, values, values + vg_cpu_round((size_t)k));
        vg_cpu_store_row(a->y, a->y ? a->y->dtype : a->x->dtype, &a->quant, i, values, k);
    }
}

vg_status vg_cpu_activation(vg_backend *be, const vg_activation_args *a, vg_err *err)
{
    job j = {be, a};

    if (a->quant.kind == VG_QUANT_NONE) {
        vg_cpu_for(be, vg_tensor_numel(a->x), 4 * CHUNK, range, &j);
        return VG_OK;
    }
    int64_t k = a->x->shape[1];
    VG_TRY(vg_cpu_scratch_reserve(be, 2 * vg_cpu_round((size_t)k), err));
    vg_cpu_for(be, a->x->shape[0], vg_cpu_grain(k), rows, &j);
    return VG_OK;
}

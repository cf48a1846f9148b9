/* activation.c: y = round(act(x)), optionally times a second operand with one more rounding. */
#include "kernels/cpu/cpu.h"

#define CHUNK 2048

typedef struct job {
    const vg_activation_args *a;
} job;

static void range(void *ctx, int64_t begin, int64_t end, int worker)
{
    const vg_activation_args *a = ((job *)ctx)->a;
    float values[CHUNK], buffer[CHUNK];

    (void)worker;
    for (int64_t i = begin; i < end; i += CHUNK) {
        int64_t n = end - i < CHUNK ? end - i : CHUNK;
        vg_cpu_load(a->x, i, n, values);
        vg_cpu_activate(a->act, values, n);
        if (a->mul) {
            const float *mul = vg_cpu_view(a->mul, i, n, buffer);
            vg_cpu_round_to(a->y->dtype, values, n);
            for (int64_t c = 0; c < n; c++)
                values[c] *= mul[c];
        }
        vg_cpu_store(a->y, i, n, values);
    }
}

vg_status vg_cpu_activation(vg_backend *be, const vg_activation_args *a, vg_err *err)
{
    job j = {a};

    (void)err;
    vg_cpu_for(be, vg_tensor_numel(a->x), 4 * CHUNK, range, &j);
    return VG_OK;
}

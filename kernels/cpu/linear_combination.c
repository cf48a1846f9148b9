/* linear_combination.c: y = sum_i c_i x_i, in the order given, in FP32. Source: wan 8.4. */
#include "kernels/cpu/cpu.h"

#define CHUNK 1024

typedef struct job {
    const vg_linear_combination_args *a;
} job;

static void range(void *ctx, int64_t begin, int64_t end, int worker)
{
    const vg_linear_combination_args *a = ((job *)ctx)->a;
    float sum[CHUNK], term[CHUNK];

    (void)worker;
    for (int64_t i = begin; i < end; i += CHUNK) {
        int64_t n = end - i < CHUNK ? end - i : CHUNK;
        for (int k = 0; k < a->count; k++) {
            vg_cpu_load(a->x[k], i, n, term);
            for (int64_t c = 0; c < n; c++)
                term[c] *= a->coef[k];
            for (int64_t c = 0; c < n; c++)
                sum[c] = k ? sum[c] + term[c] : term[c];
        }
        vg_cpu_store(a->y, i, n, sum);
    }
}

vg_status vg_cpu_linear_combination(vg_backend *be, const vg_linear_combination_args *a,
                                    vg_err *err)
{
    job j = {a};

    (void)err;
    vg_cpu_for(be, vg_tensor_numel(a->y), 8 * CHUNK, range, &j);
    return VG_OK;
}

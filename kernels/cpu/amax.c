/* amax.c: running maximum of |x|; the order does not matter. */
#include <math.h>

#include "kernels/cpu/cpu.h"

#define CHUNK 2048

typedef struct job {
    vg_backend *be;
    const vg_amax_args *a;
} job;

/* The first float of a worker's scratch carries its maximum. */
static void range(void *ctx, int64_t begin, int64_t end, int worker)
{
    job *j = ctx;
    float *most = vg_cpu_scratch(j->be, worker), values[CHUNK];

    for (int64_t i = begin; i < end; i += CHUNK) {
        int64_t n = end - i < CHUNK ? end - i : CHUNK;
        const float *x = vg_cpu_view(j->a->x, i, n, values);
        for (int64_t c = 0; c < n; c++) {
            float v = fabsf(x[c]);
            *most = v > *most ? v : *most; /* a NaN is passed over */
        }
    }
}

vg_status vg_cpu_amax(vg_backend *be, const vg_amax_args *a, vg_err *err)
{
    job j = {be, a};
    float *most = a->most->data;

    VG_TRY(vg_cpu_scratch_reserve(be, 16, err));
    for (int i = 0; i < vg_cpu(be)->threads; i++)
        vg_cpu_scratch(be, i)[0] = 0.0f;
    vg_cpu_for(be, vg_tensor_numel(a->x), 4 * CHUNK, range, &j);
    for (int i = 0; i < vg_cpu(be)->threads; i++)
        if (!(vg_cpu_scratch(be, i)[0] <= *most)) /* also where it was NaN */
            *most = vg_cpu_scratch(be, i)[0];
    return VG_OK;
}

/* cast.c: dtype conversion through FP32, which holds every value of the narrower formats exactly. */
#include "kernels/cpu/cpu.h"

#define CHUNK 4096

typedef struct job {
    const vg_cast_args *a;
} job;

static void cast_range(void *ctx, int64_t begin, int64_t end, int worker)
{
    const vg_cast_args *a = ((job *)ctx)->a;
    float buffer[CHUNK];

    (void)worker;
    for (int64_t i = begin; i < end; i += CHUNK) {
        int64_t n = end - i < CHUNK ? end - i : CHUNK;
        vg_cpu_store(a->y, i, n, vg_cpu_view(a->x, i, n, buffer));
    }
}

vg_status vg_cpu_cast(vg_backend *be, const vg_cast_args *a, vg_err *err)
{
    job j = {a};

    (void)err;
    vg_cpu_for(be, vg_tensor_numel(a->x), 4 * CHUNK, cast_range, &j);
    return VG_OK;
}

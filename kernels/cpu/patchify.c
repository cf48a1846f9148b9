/* patchify.c: frames to token rows, channel slowest in a row. Source: wan 2.3. */
#include "kernels/cpu/cpu.h"

typedef struct job {
    vg_backend *be;
    const vg_patchify_args *a;
} job;

/* Scratch: one token row. */
static void tokens(void *ctx, int64_t begin, int64_t end, int worker)
{
    job *j = ctx;
    const int64_t *s = j->a->x->shape;
    int64_t pt = j->a->patch[0], ph = j->a->patch[1], pw = j->a->patch[2];
    int64_t across = s[3] / pw, down = s[2] / ph, k = j->a->y->shape[1];
    float *row = vg_cpu_scratch(j->be, worker);

    for (int64_t n = begin; n < end; n++) {
        int64_t z = n % across, y = n / across % down, t = n / across / down;
        float *to = row;
        for (int64_t c = 0; c < s[0]; c++)
            for (int64_t it = 0; it < pt; it++)
                for (int64_t ih = 0; ih < ph; ih++, to += pw)
                    vg_cpu_load(j->a->x,
                                ((c * s[1] + t * pt + it) * s[2] + y * ph + ih) * s[3] + z * pw, pw,
                                to);
        vg_cpu_store(j->a->y, n * k, k, row);
    }
}

vg_status vg_cpu_patchify(vg_backend *be, const vg_patchify_args *a, vg_err *err)
{
    job j = {be, a};

    VG_TRY(vg_cpu_scratch_reserve(be, (size_t)a->y->shape[1], err));
    vg_cpu_for(be, a->y->shape[0], vg_cpu_grain(a->y->shape[1]), tokens, &j);
    return VG_OK;
}

/* unpatchify.c: token rows to frames, channel fastest in a row. Source: wan 2.7. */
#include "kernels/cpu/cpu.h"

typedef struct job {
    vg_backend *be;
    const vg_unpatchify_args *a;
} job;

/* Scratch: one token row, then one edge of a patch. Tokens write disjoint pixels. */
static void tokens(void *ctx, int64_t begin, int64_t end, int worker)
{
    job *j = ctx;
    const int64_t *s = j->a->y->shape;
    int64_t pt = j->a->patch[0], ph = j->a->patch[1], pw = j->a->patch[2];
    int64_t across = s[3] / pw, down = s[2] / ph, k = j->a->x->shape[1];
    float *scratch = vg_cpu_scratch(j->be, worker), *edge = scratch + vg_cpu_round((size_t)k);

    for (int64_t n = begin; n < end; n++) {
        int64_t z = n % across, y = n / across % down, t = n / across / down;
        const float *row = vg_cpu_view(j->a->x, n * k, k, scratch);
        for (int64_t c = 0; c < s[0]; c++)
            for (int64_t it = 0; it < pt; it++)
                for (int64_t ih = 0; ih < ph; ih++) {
                    for (int64_t iw = 0; iw < pw; iw++)
                        edge[iw] = row[((it * ph + ih) * pw + iw) * s[0] + c];
                    vg_cpu_store(j->a->y,
                                 ((c * s[1] + t * pt + it) * s[2] + y * ph + ih) * s[3] + z * pw,
                                 pw, edge);
                }
    }
}

vg_status vg_cpu_unpatchify(vg_backend *be, const vg_unpatchify_args *a, vg_err *err)
{
    job j = {be, a};
    int64_t k = a->x->shape[1];

    VG_TRY(vg_cpu_scratch_reserve(be, vg_cpu_round((size_t)k) + (size_t)a->patch[2], err));
    vg_cpu_for(be, a->x->shape[0], vg_cpu_grain(k), tokens, &j);
    return VG_OK;
}

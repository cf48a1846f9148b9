/* embedding.c: row lookup. The engine has checked the ids; here, where it costs nothing, they are checked again. */
#include "kernels/cpu/cpu.h"

typedef struct job {
    vg_backend *be;
    const vg_embedding_args *a;
} job;

static void rows(void *ctx, int64_t begin, int64_t end, int worker)
{
    job *j = ctx;
    const int32_t *ids = j->a->ids->data;
    int64_t d = j->a->table->shape[1];
    float *scratch = vg_cpu_scratch(j->be, worker);

    for (int64_t i = begin; i < end; i++)
        vg_cpu_store(j->a->y, i * d, d, vg_cpu_view(j->a->table, ids[i] * d, d, scratch));
}

vg_status vg_cpu_embedding(vg_backend *be, const vg_embedding_args *a, vg_err *err)
{
    job j = {be, a};
    const int32_t *ids = a->ids->data;
    int64_t n = a->ids->shape[0], d = a->table->shape[1];

    for (int64_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= a->table->shape[0])
            return VG_FAIL(err, VG_E_ARG,
                           "embedding: id %d at position %lld is outside the table of %lld rows",
                           (int)ids[i], (long long)i, (long long)a->table->shape[0]);
    VG_TRY(vg_cpu_scratch_reserve(be, (size_t)d, err));
    vg_cpu_for(be, n, vg_cpu_grain(d), rows, &j);
    return VG_OK;
}

/* bench_operands.c: see bench_operands.h. */
#include "app/bench/bench_operands.h"

#include <math.h>
#include <stdlib.h>
#include "engine/sampling/rng.h"

/* ---- noise ---- */

/* A prime, so that rows of any length differ. */
#define NOISE_COUNT 1048573
#define CODE_SPREAD                                                                                \
    100.0f /* E4M3 codes are of normal numbers times this: 4.5 deviations reach the largest code */

struct vg_bench_noise {
    vg_backend *be;
    vg_arena *arena;
    vg_tensor normal, bf16, codes; /* [NOISE_COUNT] F32, BF16, E4M3 */
    vg_tensor scales;              /* [NOISE_COUNT] F32, around 1 / CODE_SPREAD */
};

static vg_status fill_noise(vg_bench_noise *n, float *host, vg_err *err)
{
    const int64_t shape[1] = {NOISE_COUNT};
    vg_tensor wide;
    VG_TRY(vg_arena_tensor(n->arena, VG_F32, 1, shape, &n->normal, err));
    VG_TRY(vg_arena_tensor(n->arena, VG_F32, 1, shape, &n->scales, err));
    VG_TRY(vg_arena_tensor(n->arena, VG_F32, 1, shape, &wide, err));
    VG_TRY(vg_arena_tensor(n->arena, VG_BF16, 1, shape, &n->bf16, err));
    VG_TRY(vg_arena_tensor(n->arena, VG_E4M3, 1, shape, &n->codes, err));
    vg_rng_torch_normal(1, host, NOISE_COUNT);
    VG_TRY(vg_backend_upload(n->be, &n->normal, host, err));
    VG_TRY(vg_cast(n->be, &(vg_cast_args){.x = &n->normal, .y = &n->bf16}, err));
    VG_TRY(
        vg_linear_combination(n->be,
                              &(vg_linear_combination_args){
                                  .count = 1, .x = {&n->normal}, .coef = {CODE_SPREAD}, .y = &wide},
                              err));
    VG_TRY(vg_cast(n->be, &(vg_cast_args){.x = &wide, .y = &n->codes}, err));
    VG_TRY(vg_backend_sync(n->be, err)); /* the upload below changes host */
    for (int64_t i = 0; i < NOISE_COUNT; i++)
        host[i] = (1 + 0.1f * tanhf(host[i])) / CODE_SPREAD;
    VG_TRY(vg_backend_upload(n->be, &n->scales, host, err));
    return vg_backend_sync(n->be, err);
}

vg_status vg_bench_noise_new(vg_backend *be, vg_bench_noise **noise, vg_err *err)
{
    vg_bench_noise *n = calloc(1, sizeof *n);
    float *host = malloc(NOISE_COUNT * sizeof *host);
    vg_status status;
    if (!n || !host) {
        status = VG_FAIL(err, VG_E_NOMEM, "out of memory for random numbers");
        goto fail;
    }
    n->be = be;
    VG_TRY_GOTO(status, vg_arena_new(be, (size_t)1 << 20, &n->arena, err), fail);
    VG_TRY_GOTO(status, fill_noise(n, host, err), fail);
    free(host);
    *noise = n;
    return VG_OK;
fail:
    free(host);
    vg_bench_noise_free(n);
    return status;
}

void vg_bench_noise_free(vg_bench_noise *noise)
{
    if (!noise)
        return;
    vg_arena_free(noise->arena);
    free(noise);
}

/* The noise again and again; each copy doubles what is filled. */
static vg_status repeat(const vg_bench_noise *n, const vg_tensor *from, vg_tensor *to, vg_err *err)
{
    size_t bytes = vg_tensor_bytes(to), done = vg_tensor_bytes(from);
    done = done < bytes ? done : bytes;
    VG_TRY(n->be->ops->copy(n->be, to->data, from->data, done, err));
    while (done < bytes) {
        size_t more = done < bytes - done ? done : bytes - done;
        VG_TRY(n->be->ops->copy(n->be, (char *)to->data + done, to->data, more, err));
        done += more;
    }
    return VG_OK;
}

/* ---- tensors ---- */

typedef struct maker {
    vg_operand_maker base;
    vg_arena *arena;
    const vg_bench_noise *noise;
    vg_bench_operands *o;
    vg_status status;
    vg_err *err;
} maker;

/* The next tensor; after a failure nothing more is done, and m->status says why. */
static vg_tensor *tensor(vg_operand_maker *base, vg_fill fill, vg_dtype dtype, int ndim,
                         const int64_t *shape)
{
    maker *m = (maker *)base;
    vg_tensor *t = &m->o->t[m->o->count++];
    if (m->status == VG_OK)
        m->status = vg_arena_tensor(m->arena, dtype, ndim, shape, t, m->err);
    if (m->status == VG_OK && fill != VG_FILL_NOT)
        m->status = repeat(m->noise,
                           fill == VG_FILL_SCALES ? &m->noise->scales
                           : dtype == VG_F32      ? &m->noise->normal
                           : dtype == VG_BF16     ? &m->noise->bf16
                                                  : &m->noise->codes,
                           t, m->err);
    return t;
}

static vg_tensor *ids(vg_operand_maker *base, int64_t n, int64_t below)
{
    maker *m = (maker *)base;
    vg_tensor *t = tensor(base, VG_FILL_NOT, VG_I32, 1, (const int64_t[]){n});
    int32_t *host = calloc((size_t)n + 1, sizeof *host);
    for (int64_t i = 0; host && i < n; i++)
        host[i] = (int32_t)(i * 7919 % below);
    if (!host && m->status == VG_OK)
        m->status = VG_FAIL(m->err, VG_E_NOMEM, "out of memory for ids");
    if (m->status == VG_OK)
        m->status = vg_backend_upload(m->noise->be, t, host, m->err);
    if (m->status == VG_OK)
        m->status = vg_backend_sync(m->noise->be, m->err);
    free(host);
    return t;
}

vg_status vg_bench_operands_make(vg_op op, const vg_op_case *row, vg_arena *arena,
                                 const vg_bench_noise *noise, vg_bench_operands *o, vg_err *err)
{
    maker m = {.base = {row, tensor, ids}, .arena = arena, .noise = noise, .o = o, .err = err};
    o->count = 0;
    vg_operands_make(op, &m.base, &o->call);
    return m.status;
}

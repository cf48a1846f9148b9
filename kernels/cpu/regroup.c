/* regroup.c: blocks of frames, rows and columns to channels, or channels to blocks; see ops.h for the order of channels. */
#include "kernels/cpu/cpu.h"

#include <string.h>

typedef struct job {
    vg_backend *be;
    const vg_regroup_args *a;
} job;

/* Place number p of a block: frame, row, column. */
static void place_of(const vg_regroup_args *a, int64_t p, int64_t at[3])
{
    int64_t f = a->factor[1], slow = p / f % f, fast = p % f;

    at[0] = p / (f * f);
    at[1] = a->columns_first ? fast : slow;
    at[2] = a->columns_first ? slow : fast;
}

/* Scratch: the pixel of y, then one of x. */
static void down(void *ctx, int64_t begin, int64_t end, int worker)
{
    job *j = ctx;
    const vg_regroup_args *a = j->a;
    const int64_t *s = a->x->shape, *o = a->y->shape;
    int64_t f = a->factor[1], places = a->factor[0] * f * f, group = s[3] * places / o[3];
    float *sums = vg_cpu_scratch(j->be, worker), *pixel = sums + vg_cpu_round((size_t)o[3]);
    float factor = 1.0f / (float)group;

    for (int64_t n = begin; n < end; n++) {
        int64_t x = n % o[2], y = n / o[2] % o[1], t = n / o[2] / o[1];
        memset(sums, 0, (size_t)o[3] * sizeof *sums);
        for (int64_t p = 0; p < places; p++) {
            int64_t at[3];
            place_of(a, p, at);
            int64_t frame = t * a->factor[0] + at[0] - a->skip;
            if (frame < 0)
                continue;
            const float *from = vg_cpu_view(
                a->x, ((frame * s[1] + y * f + at[1]) * s[2] + x * f + at[2]) * s[3], s[3], pixel);
            for (int64_t c = 0; c < s[3]; c++)
                sums[(c * places + p) / group] += from[c];
        }
        for (int64_t c = 0; c < o[3]; c++)
            sums[c] *= factor;
        vg_cpu_store(a->y, n * o[3], o[3], sums);
    }
}

/* Scratch: the pixel of y, then one of x. */
static void up(void *ctx, int64_t begin, int64_t end, int worker)
{
    job *j = ctx;
    const vg_regroup_args *a = j->a;
    const int64_t *s = a->x->shape, *o = a->y->shape;
    int64_t f = a->factor[1], places = a->factor[0] * f * f, repeats = o[3] * places / s[3];
    float *row = vg_cpu_scratch(j->be, worker), *pixel = row + vg_cpu_round((size_t)o[3]);

    for (int64_t n = begin; n < end; n++) {
        int64_t x = n % o[2], y = n / o[2] % o[1], t = n / o[2] / o[1] + a->skip;
        int64_t slow = a->columns_first ? x % f : y % f, fast = a->columns_first ? y % f : x % f;
        int64_t p = (t % a->factor[0] * f + slow) * f + fast;
        const float *from = vg_cpu_view(
            a->x, ((t / a->factor[0] * s[1] + y / f) * s[2] + x / f) * s[3], s[3], pixel);
        for (int64_t c = 0; c < o[3]; c++)
            row[c] = from[(c * places + p) / repeats];
        vg_cpu_store(a->y, n * o[3], o[3], row);
    }
}

vg_status vg_cpu_regroup(vg_backend *be, const vg_regroup_args *a, vg_err *err)
{
    const int64_t *s = a->x->shape, *o = a->y->shape;
    job j = {be, a};

    VG_TRY(vg_cpu_scratch_reserve(be, vg_cpu_round((size_t)o[3]) + (size_t)s[3], err));
    vg_cpu_for(be, o[0] * o[1] * o[2], vg_cpu_grain(o[3]), a->up ? up : down, &j);
    return VG_OK;
}

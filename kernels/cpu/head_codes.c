/* head_codes.c: INT8 codes of q or k: norm and rotary embedding as rms_norm_rope makes them, minus the mean per channel, a Hadamard rotation
 * per head, one scale per token or per VG_CODES_BLOCK tokens. */
#include <math.h>
#include <string.h>

#include "kernels/cpu/cpu.h"

#define SAMPLE_CHUNK 64 /* sampled tokens whose sum is one term of the mean, whoever computes it */

typedef struct job {
    vg_backend *be;
    const vg_head_codes_args *a;
    vg_rms_norm_rope_args norm;
    int64_t n, d, head_dim, group, sampled, chunks;
    float *sums, *mean; /* [chunks,D], [D] */
} job;

/* What is coded, before its mean is taken away: FP32 values of the dtype of x. w: of the norm, or NULL. */
static void load_row(const job *j, int64_t token, const float *w, float *row)
{
    if (!w) {
        vg_cpu_load(j->a->x, token * j->d, j->d, row);
        return;
    }
    vg_cpu_norm_rope_row(&j->norm, j->a->x->dtype, w, token, row);
    vg_cpu_round_to(j->a->x->dtype, row, j->d);
}

static const float *norm_weight(const job *j, float *scratch)
{
    return j->a->w ? vg_cpu_view(j->a->w, 0, j->d, scratch) : NULL;
}

/* Scratch: a row, then w. */
static void sum_sample(void *ctx, int64_t begin, int64_t end, int worker)
{
    const job *j = ctx;
    float *row = vg_cpu_scratch(j->be, worker);
    const float *w = norm_weight(j, row + vg_cpu_round((size_t)j->d));

    for (int64_t chunk = begin; chunk < end; chunk++) {
        float *sum = j->sums + chunk * j->d;
        memset(sum, 0, (size_t)j->d * sizeof *sum);
        for (int64_t i = chunk * SAMPLE_CHUNK; i < (chunk + 1) * SAMPLE_CHUNK && i < j->sampled;
             i++) {
            load_row(j, i * vg_codes_stride(j->n), w, row);
            for (int64_t c = 0; c < j->d; c++)
                sum[c] += row[c];
        }
    }
}

static void find_mean(job *j)
{
    vg_cpu_for(j->be, j->chunks, 1, sum_sample, j);
    for (int64_t c = 0; c < j->d; c++) {
        float sum = 0.0f;
        for (int64_t chunk = 0; chunk < j->chunks; chunk++)
            sum += j->sums[chunk * j->d + c];
        j->mean[c] = sum / (float)j->sampled;
    }
}

/* x = H S x / sqrt(n), n a power of 2. */
static void rotate(float *x, int64_t n)
{
    const float unit = 1.0f / sqrtf((float)n);

    for (int64_t i = 0; i < n; i++)
        x[i] = VG_CODES_NEGATIVE(i) ? -x[i] : x[i];
    for (int64_t step = 1; step < n; step *= 2)
        for (int64_t i = 0; i < n; i++)
            if (!(i & step)) {
                float low = x[i], high = x[i | step];
                x[i] = low + high;
                x[i | step] = low - high;
            }
    for (int64_t i = 0; i < n; i++)
        x[i] *= unit;
}

static int8_t code_of(float v)
{
    return fabsf(v) <= 127.5f ? (int8_t)rintf(v) : 0; /* NaN and infinity: their scale is NaN */
}

/* The scale of a group with a NaN or an infinity is NaN. Scratch: a row, w, then the rows of a group. */
static void groups(void *ctx, int64_t begin, int64_t end, int worker)
{
    const job *j = ctx;
    const size_t row_size = vg_cpu_round((size_t)j->d);
    float *first = vg_cpu_scratch(j->be, worker), *rows = first + 2 * row_size;
    const float *w = norm_weight(j, first + row_size);

    for (int64_t g = begin; g < end; g++) {
        int64_t token = g * j->group, count = j->n - token < j->group ? j->n - token : j->group;
        for (int64_t i = 0; i < count; i++) {
            float *row = rows + (size_t)i * row_size;
            load_row(j, token + i, w, row);
            for (int64_t c = 0; j->a->center && c < j->d; c++)
                row[c] -= j->mean[c];
            for (int64_t h = 0; j->a->rotate && h < j->a->heads; h++)
                rotate(row + h * j->head_dim, j->head_dim);
        }
        for (int64_t h = 0; h < j->a->heads; h++) {
            float most = 0.0f, nothing = 0.0f, scale, inverse;
            for (int64_t i = 0; i < count; i++)
                for (int64_t c = 0; c < j->head_dim; c++) {
                    float x = rows[(size_t)i * row_size + (size_t)(h * j->head_dim + c)];
                    most = fmaxf(most, fabsf(x));
                    nothing += 0.0f * x;
                }
            scale = (most > VG_CODES_LEAST ? most / 127.0f : 1.0f) + nothing;
            inverse = most > VG_CODES_LEAST ? 127.0f / most : 1.0f;
            ((float *)j->a->scale->data)[h * j->a->scale->shape[1] + g] = scale;
            for (int64_t i = 0; i < count; i++) {
                const float *from = rows + (size_t)i * row_size + h * j->head_dim;
                int8_t *to = (int8_t *)j->a->codes->data + (token + i) * j->d + h * j->head_dim;
                for (int64_t c = 0; c < j->head_dim; c++)
                    to[c] = code_of(from[c] * inverse);
            }
        }
    }
}

vg_status vg_cpu_head_codes(vg_backend *be, const vg_head_codes_args *a, vg_err *err)
{
    int64_t n = a->x->shape[0], d = a->x->shape[1], blocks = vg_codes_blocks(n);
    job j = {.be = be, .a = a, .n = n, .d = d, .head_dim = d / a->heads};

    j.norm = (vg_rms_norm_rope_args){.x = a->x,
                                     .w = a->w,
                                     .eps = a->eps,
                                     .heads = a->heads,
                                     .rope_cos = a->rope_cos,
                                     .rope_sin = a->rope_sin};
    j.group = a->scale->shape[1] == n ? 1 : VG_CODES_BLOCK;
    j.sampled = (n + vg_codes_stride(n) - 1) / vg_codes_stride(n);
    j.chunks = (j.sampled + SAMPLE_CHUNK - 1) / SAMPLE_CHUNK;
    VG_TRY(vg_cpu_scratch_reserve(be, (2 + (size_t)j.group) * vg_cpu_round((size_t)d), err));
    if (a->center) {
        VG_TRY(vg_cpu_shared_reserve(be, (size_t)((j.chunks + 1) * d), err));
        j.mean = vg_cpu(be)->shared;
        j.sums = j.mean + d;
        find_mean(&j);
    }
    vg_cpu_for(be, j.group == 1 ? n : blocks, j.group == 1 ? vg_cpu_grain(d) : 1, groups, &j);
    return VG_OK;
}

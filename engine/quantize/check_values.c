/* check_values.c: the values of a folder, read once in pieces by all threads: codes that are NaN, values that are not finite, and how far they are
 * from those of a source. See check.h.
 *
 * E4M3 rounded to nearest is off by at most 2^-4 of a value where it is normal. An
 * export may have rounded weight, scale and quotient to BF16 before, 2^-9 each. */
#include "engine/checkpoint/host_values.h"
#include "engine/checkpoint/source.h"
#include "engine/quantize/check_impl.h"
#include "kernels/base/numeric.h"
#include "kernels/base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE      ((int64_t)1 << 17) /* values at a time */
#define CODES      256
#define NORMAL_MIN 0.015625 /* 2^-6, the smallest normal value of E4M3 */
#define ERROR_MOST (1.0 / 16 + 3.0 / 512)
#define RMS_MOST   0.05 /* E4M3 makes about 0.026 of normally distributed weights */
#define RANGE_LEAST                                                                                \
    224.0 /* a largest code below half of 448 means a scale that was not made of these weights */
#define LISTED_MOST 12

/* What one thread counted. */
typedef struct tally {
    uint64_t codes[CODES];
    uint64_t bad;     /* not finite */
    uint64_t differ;  /* high precision: not the source's value, rounded */
    double d2, w2;    /* sums of squares: error, source */
    double worst;     /* largest relative error of a normal value */
    double largest_w; /* of the source */
    vg_status status;
    vg_err why;
} tally;

typedef struct piecework {
    vg_source values, source;
    bool fp8, compare;
    float decode[CODES];
    const float *scales;
    vg_precision granularity;
    int64_t k, groups; /* columns; blocks along them */
    tally *tallies;    /* one a thread */
    float *buffers;    /* PIECE source values, PIECE own, a thread */
} piecework;

static float scale_at(const piecework *w, int64_t i)
{
    int64_t row = i / w->k, column = i % w->k;
    switch (w->granularity) {
    case VG_PRECISION_CHANNEL:
        return w->scales[row];
    case VG_PRECISION_BLOCK:
        return w->scales[row / VG_QUANT_GROUP * w->groups + column / VG_QUANT_GROUP];
    default:
        return w->scales[0];
    }
}

static void compare_code(tally *t, float value, float source, float scale)
{
    double d = fabs((double)value - source), magnitude = fabs((double)source);
    t->d2 += d * d;
    t->w2 += magnitude * magnitude;
    t->largest_w = fmax(t->largest_w, magnitude);
    if (magnitude >= NORMAL_MIN * scale && d / magnitude > t->worst)
        t->worst = d / magnitude;
}

static vg_status do_fp8(const piecework *w, tally *t, int64_t begin, int64_t count, float *source,
                        void *own, vg_err *err)
{
    uint8_t *codes = own;
    VG_TRY(vg_source_read(&w->values, VG_E4M3, begin, count, codes, err));
    for (int64_t i = 0; i < count; i++)
        t->codes[codes[i]]++;
    if (!w->compare)
        return VG_OK;
    VG_TRY(vg_source_read(&w->source, VG_F32, begin, count, source, err));
    for (int64_t i = 0; i < count; i++) {
        float scale = scale_at(w, begin + i);
        compare_code(t, w->decode[codes[i]] * scale, source[i], scale);
    }
    return VG_OK;
}

static vg_status do_high(const piecework *w, tally *t, int64_t begin, int64_t count, float *source,
                         void *own, vg_err *err)
{
    float *values = own;
    VG_TRY(vg_source_read(&w->values, VG_F32, begin, count, values, err));
    for (int64_t i = 0; i < count; i++)
        t->bad += !isfinite(values[i]);
    if (!w->compare)
        return VG_OK;
    VG_TRY(vg_source_read(&w->source, VG_F32, begin, count, source, err));
    for (int64_t i = 0; i < count; i++)
        t->differ += values[i] != source[i] && values[i] != vg_round_bf16(source[i]);
    return VG_OK;
}

static void do_range(void *ctx, int64_t begin, int64_t end, int worker)
{
    piecework *w = ctx;
    tally *t = &w->tallies[worker];
    float *buffer = w->buffers + 2 * PIECE * worker;
    if (t->status == VG_OK)
        t->status =
            (w->fp8 ? do_fp8 : do_high)(w, t, begin, end - begin, buffer, buffer + PIECE, &t->why);
}

/* All threads' together, into the first. */
static void sum_tallies(tally *t, int count)
{
    for (int i = 1; i < count; i++) {
        for (int k = 0; k < CODES; k++)
            t->codes[k] += t[i].codes[k];
        t->bad += t[i].bad;
        t->differ += t[i].differ;
        t->d2 += t[i].d2;
        t->w2 += t[i].w2;
        t->worst = fmax(t->worst, t[i].worst);
        t->largest_w = fmax(t->largest_w, t[i].largest_w);
        if (t->status == VG_OK && t[i].status != VG_OK) {
            t->status = t[i].status;
            t->why = t[i].why;
        }
    }
}

/* ---- one tensor ---- */

typedef struct totals {
    double d2, w2;
    int listed, missing, shapes;
    uint64_t done, of;
} totals;

static vg_status judge_codes(vg_checking *c, const char *layer, const piecework *w, const tally *t,
                             vg_err *err)
{
    vg_check_folder *f = c->folder;
    uint64_t nan = t->codes[0x7f] + t->codes[0xff], all = 0;
    float largest = 0;
    for (int k = 0; k < CODES; k++) {
        all += t->codes[k];
        if (t->codes[k] && k != 0x7f && k != 0xff)
            largest = fmaxf(largest, fabsf(w->decode[k]));
    }
    f->codes += all;
    f->nan_codes += nan;
    f->largest_codes += t->codes[0x7e] + t->codes[0xfe];
    f->zero_codes += t->codes[0] + t->codes[0x80];
    if (nan)
        VG_FIND(c, FAILURE, "layer %s: %llu of %llu codes are NaN", layer, (unsigned long long)nan,
                (unsigned long long)all);
    else if (largest == 0)
        VG_FIND(c, WARNING, "layer %s: all codes are 0", layer);
    else if (largest < RANGE_LEAST && w->granularity == VG_PRECISION_TENSOR)
        VG_FIND(
            c, WARNING,
            "layer %s: its codes reach %g of 448 only: weight_scale %g was not made of these weights",
            layer, (double)largest, (double)w->scales[0]);
    return VG_OK;
}

static vg_status judge_error(vg_checking *c, const char *layer, const tally *t, totals *sum,
                             vg_err *err)
{
    vg_check_error *e = &c->folder->error;
    double rms = t->w2 > 0 ? sqrt(t->d2 / t->w2) : t->d2 > 0 ? INFINITY : 0;
    e->layers++;
    sum->d2 += t->d2;
    sum->w2 += t->w2;
    e->worst = fmax(e->worst, t->worst);
    if (rms > e->worst_rms || e->layers == 1) {
        e->worst_rms = rms;
        snprintf(e->worst_layer, sizeof e->worst_layer, "%s", layer);
    }
    if (!(rms <= RMS_MOST) && sum->listed++ < LISTED_MOST)
        VG_FIND(
            c, FAILURE,
            "layer %s is not the source's: its relative error is %.3g (RMS), E4M3 makes about 0.03",
            layer, rms);
    else if (t->worst > ERROR_MOST && rms <= RMS_MOST && sum->listed++ < LISTED_MOST)
        VG_FIND(c, WARNING,
                "layer %s: one value is off by %.3g of itself, rounding makes at most %.3g", layer,
                t->worst, ERROR_MOST);
    return VG_OK;
}

static vg_status judge(vg_checking *c, const char *name, const piecework *w, const tally *t,
                       totals *sum, vg_err *err)
{
    char layer[VG_WEIGHT_NAME_BYTES];
    vg_check_error *e = &c->folder->error;
    if (t->status != VG_OK) {
        VG_FIND(c, FAILURE, "%s cannot be read: %s", name, t->why.message);
        return VG_OK;
    }
    if (w->fp8) {
        snprintf(layer, sizeof layer, "%.*s", (int)(strlen(name) - strlen(".weight")), name);
        VG_TRY(judge_codes(c, layer, w, t, err));
        return w->compare ? judge_error(c, layer, t, sum, err) : VG_OK;
    }
    if (t->bad)
        VG_FIND(c, FAILURE, "tensor %s: %llu values are NaN or infinite", name,
                (unsigned long long)t->bad);
    if (!w->compare)
        return VG_OK;
    e->others++;
    if (t->differ && e->others_differ++ < LISTED_MOST)
        VG_FIND(c, WARNING, "tensor %s: %llu values are not the source's, rounded", name,
                (unsigned long long)t->differ);
    return VG_OK;
}

/* The source's tensor of the same name and shape. */
static bool find_source(vg_checking *c, const char *name, const vg_tensor *t, piecework *w,
                        totals *sum)
{
    const vg_tensor *s = c->source ? vg_weights_find(c->source, name) : NULL;
    bool same = s && s->ndim == t->ndim &&
                !memcmp(s->shape, t->shape, (size_t)t->ndim * sizeof *t->shape) &&
                (s->dtype == VG_F32 || s->dtype == VG_BF16 || s->dtype == VG_F16);
    sum->missing += c->source && !s;
    sum->shapes += s && !same;
    if (same)
        w->source = vg_source_of(c->source, s, NULL, NULL, 0, NULL);
    return same;
}

/* The scales of an FP8 layer on the host, malloc'd; NULL: they are wrong, which was told. */
static float *read_scales(vg_checking *c, const char *name, const vg_tensor *t, piecework *w)
{
    char layer[VG_WEIGHT_NAME_BYTES], scale[VG_WEIGHT_NAME_BYTES + 24];
    vg_layer_choice choice;
    snprintf(layer, sizeof layer, "%.*s", (int)(strlen(name) - strlen(".weight")), name);
    if (t->ndim != 2 || vg_layer_choose(c->weights, &c->census, c->folder->name, layer, t->shape[0],
                                        t->shape[1], true, NULL, &choice, NULL) != VG_OK)
        return NULL;
    snprintf(scale, sizeof scale, "%s.weight_scale", layer);
    const vg_tensor *s = vg_weights_find(c->weights, scale);
    if (!s) {
        snprintf(scale, sizeof scale, "%s.weight_scale_inv", layer);
        s = vg_weights_find(c->weights, scale);
    }
    int64_t count = s ? vg_tensor_numel(s) : 0;
    float *scales = s ? malloc((size_t)count * sizeof *scales) : NULL;
    if (scales && vg_host_to_f32(s, 0, count, scales, NULL) != VG_OK) {
        free(scales);
        return NULL;
    }
    w->granularity = choice.stored;
    w->k = t->shape[1];
    w->groups = vg_quant_groups(t->shape[1]);
    return scales;
}

static vg_status check_tensor(vg_checking *c, int i, piecework *w, totals *sum, vg_err *err)
{
    const char *name = vg_weights_name(c->weights, i);
    const vg_tensor *t = vg_weights_tensor(c->weights, i);
    char layer[VG_WEIGHT_NAME_BYTES];
    float *scales = NULL;
    w->fp8 = vg_check_fp8_layer(c->weights, i, layer);
    if (!w->fp8 && t->dtype != VG_F32 && t->dtype != VG_BF16 && t->dtype != VG_F16)
        return VG_OK;
    bool scale = vg_ends_with(name, "_scale") || vg_ends_with(name, ".weight_scale_inv");
    if (strstr(name, "_quantizer.") || scale) /* looked at with their layer */
        return VG_OK;
    w->values = vg_source_of(c->weights, t, NULL, NULL, 0, NULL);
    w->compare = find_source(c, name, t, w, sum);
    if (w->fp8 && !(scales = read_scales(c, name, t, w)))
        return VG_OK;
    w->scales = scales;
    memset(w->tallies, 0, (size_t)vg_threads_count(c->pool) * sizeof *w->tallies);
    vg_parallel_for_until(c->pool, vg_tensor_numel(t), PIECE, do_range, w, c->options->cancel);
    if (c->options->cancel && atomic_load(c->options->cancel)) {
        free(scales);
        return VG_FAIL(err, VG_E_CANCELLED, "cancelled");
    }
    sum_tallies(w->tallies, vg_threads_count(c->pool));
    vg_status status = judge(c, name, w, &w->tallies[0], sum, err);
    free(scales);
    return status;
}

static vg_status tell_source(vg_checking *c, const totals *sum, vg_err *err)
{
    vg_check_error *e = &c->folder->error;
    e->rms = sum->w2 > 0 ? sqrt(sum->d2 / sum->w2) : 0;
    if (sum->listed > LISTED_MOST)
        VG_FIND(c, FAILURE, "%d more layers differ from the source", sum->listed - LISTED_MOST);
    if (e->others_differ > LISTED_MOST)
        VG_FIND(c, WARNING, "%d more tensors differ from the source",
                e->others_differ - LISTED_MOST);
    if (sum->missing)
        VG_FIND(c, WARNING, "%d tensors are not in the source", sum->missing);
    if (sum->shapes)
        VG_FIND(c, WARNING,
                "%d tensors are of another shape in the source, or no F32, BF16 or F16 there",
                sum->shapes);
    return VG_OK;
}

vg_status vg_check_values(vg_checking *c, vg_err *err)
{
    int threads = vg_threads_count(c->pool);
    totals sum = {0};
    vg_status status = VG_OK;
    piecework w = {.tallies = calloc((size_t)threads, sizeof *w.tallies),
                   .buffers = malloc((size_t)threads * 2 * PIECE * sizeof *w.buffers)};
    if (!w.tallies || !w.buffers)
        status = VG_FAIL(err, VG_E_NOMEM, "out of memory for the values of %s", c->folder->name);
    for (int k = 0; k < CODES; k++)
        w.decode[k] = vg_e4m3_to_f32((uint8_t)k);
    for (int i = 0; i < vg_weights_count(c->weights); i++)
        sum.of += vg_tensor_bytes(vg_weights_tensor(c->weights, i));
    for (int i = 0; status == VG_OK && i < vg_weights_count(c->weights); i++) {
        if (c->options->cancel && atomic_load(c->options->cancel))
            status = VG_FAIL(err, VG_E_CANCELLED, "cancelled");
        else
            status = check_tensor(c, i, &w, &sum, err);
        sum.done += vg_tensor_bytes(vg_weights_tensor(c->weights, i));
        if (c->options->progress)
            c->options->progress(c->options->user, c->folder->name, sum.done, sum.of);
    }
    if (status == VG_OK && c->source)
        status = tell_source(c, &sum, err);
    free(w.tallies);
    free(w.buffers);
    return status;
}

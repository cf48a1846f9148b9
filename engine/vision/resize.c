/* resize.c: separable resampling. An axis is a table: for each output pixel, the run of source pixels it is made of and their weights (sum 1).
 * Source: hunyuanvideo15 5; Pillow's resampling in words: weights in FP64, then rounded to 22 fractional bits for 8-bit samples. */
#include "engine/vision/resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FRACTION_BITS 22 /* 8 bits of sample and 2 of headroom leave 22 of 32 */

typedef struct axis {
    int count; /* output pixels */
    int room;  /* weights per output pixel; those behind the run are unused */
    int *first, *run;
    double *weights; /* [count][room] */
    int32_t *fixed;  /* the same with FRACTION_BITS, for 8-bit samples only */
} axis;

static double bilinear_weight(double x)
{
    return fmax(1 - fabs(x), 0);
}

static double bicubic_weight(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static double sinc(double x)
{
    return x == 0 ? 1 : sin(x * M_PI) / (x * M_PI);
}

static double lanczos_weight(double x)
{
    return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

typedef struct filter {
    double (*weight)(double x);
    double support; /* weight is 0 beyond */
} filter;

static const filter filters[VG_RESAMPLE_COUNT] = {
    [VG_RESAMPLE_BILINEAR] = {bilinear_weight, 1},
    [VG_RESAMPLE_BICUBIC] = {bicubic_weight, 2},
    [VG_RESAMPLE_LANCZOS] = {lanczos_weight, 3},
};

static void axis_deinit(axis *a)
{
    free(a->first);
    free(a->run);
    free(a->weights);
    free(a->fixed);
    *a = (axis){0};
}

static vg_status axis_alloc(axis *a, int count, int room, vg_err *err)
{
    size_t weights;
    *a = (axis){.count = count, .room = room};
    if (!__builtin_mul_overflow((size_t)count, (size_t)room, &weights)) {
        a->first = calloc((size_t)count, sizeof *a->first);
        a->run = calloc((size_t)count, sizeof *a->run);
        a->weights = calloc(weights, sizeof *a->weights);
    }
    if (a->first && a->run && a->weights)
        return VG_OK;
    axis_deinit(a);
    return VG_FAIL(err, VG_E_NOMEM, "out of memory for resizing to %d pixels of %d each", count,
                   room);
}

/* The antialiased table of both references. torch has positions in FP32 (`single`), which large pictures show. */
static vg_status axis_filtered(axis *a, int from, int to, const filter *f, bool single, vg_err *err)
{
    double scale = single ? (float)from / (float)to : (double)from / to;
    double stretch = fmax(scale, 1), support = f->support * stretch,
           inverse = single ? 1 / (float)stretch : 1 / stretch;
    VG_TRY(axis_alloc(a, to, 2 * (int)ceil(support) + 1, err));
    for (int i = 0; i < to; i++) {
        double centre = (i + 0.5) * scale, sum = 0, *w = a->weights + (size_t)i * (size_t)a->room;
        if (single)
            centre = (float)centre;
        int first = centre - support + 0.5 > 0 ? (int)(centre - support + 0.5) : 0;
        int end = centre + support + 0.5 < from ? (int)(centre + support + 0.5) : from;
        for (int k = 0; k < end - first; k++) {
            double at = (k + first - centre + 0.5) * inverse;
            w[k] = f->weight(single ? (float)at : at);
            sum += w[k];
        }
        for (int k = 0; k < end - first && sum != 0; k++)
            w[k] /= sum;
        a->first[i] = first;
        a->run[i] = end - first;
    }
    return VG_OK;
}

/* Two neighbours, whatever the scale; positions in FP32 as torch has them. */
static vg_status axis_neighbours(axis *a, int from, int to, vg_err *err)
{
    float scale = (float)from / (float)to;
    VG_TRY(axis_alloc(a, to, 2, err));
    for (int i = 0; i < to; i++) {
        float at = fmaxf(scale * ((float)i + 0.5f) - 0.5f, 0);
        int first = at < (float)from ? (int)at : from - 1;
        float second = fminf(at - (float)first, 1);
        a->first[i] = first;
        a->run[i] = first + 1 < from ? 2 : 1;
        a->weights[2 * i] = a->run[i] == 2 ? 1 - second : 1;
        a->weights[2 * i + 1] = second;
    }
    return VG_OK;
}

/* ---- 8 bits ---- */

/* axis_filtered, and its weights as integers, rounded half away from zero. */
static vg_status axis_fixed(axis *a, int from, int to, const filter *f, vg_err *err)
{
    VG_TRY(axis_filtered(a, from, to, f, false, err));
    size_t count = (size_t)a->count * (size_t)a->room;
    a->fixed = malloc(count * sizeof *a->fixed);
    if (!a->fixed) {
        axis_deinit(a);
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %zu weights", count);
    }
    for (size_t i = 0; i < count; i++)
        a->fixed[i] =
            (int32_t)(a->weights[i] * (1 << FRACTION_BITS) + (a->weights[i] < 0 ? -0.5 : 0.5));
    return VG_OK;
}

/* The absolute weights of one output pixel sum to at most 1.58 (Lanczos), below the 2.0 at which 255 times them would overflow. */
static uint8_t to_sample(int32_t sum)
{
    int32_t value = sum >> FRACTION_BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

#define HALF (1 << (FRACTION_BITS - 1))

/* [rows,width,3] -> [rows,x->count,3] */
static void filter_rows(const uint8_t *src, int rows, int width, const axis *x, uint8_t *dst)
{
    for (int row = 0; row < rows; row++)
        for (int i = 0; i < x->count; i++) {
            const uint8_t *p = src + 3 * ((size_t)row * (size_t)width + (size_t)x->first[i]);
            const int32_t *w = x->fixed + (size_t)i * (size_t)x->room;
            int32_t sum[3] = {HALF, HALF, HALF};
            for (int k = 0; k < x->run[i]; k++, p += 3)
                for (int c = 0; c < 3; c++)
                    sum[c] += p[c] * w[k];
            for (int c = 0; c < 3; c++)
                *dst++ = to_sample(sum[c]);
        }
}

/* Rows of `samples` bytes; src begins with row `from`. sums: room for one row. */
static void filter_columns(const uint8_t *src, int from, size_t samples, const axis *y,
                           int32_t *sums, uint8_t *dst)
{
    for (int row = 0; row < y->count; row++) {
        const int32_t *w = y->fixed + (size_t)row * (size_t)y->room;
        for (size_t i = 0; i < samples; i++)
            sums[i] = HALF;
        for (int k = 0; k < y->run[row]; k++) {
            const uint8_t *p = src + (size_t)(y->first[row] - from + k) * samples;
            for (size_t i = 0; i < samples; i++)
                sums[i] += p[i] * w[k];
        }
        for (size_t i = 0; i < samples; i++)
            *dst++ = to_sample(sums[i]);
    }
}

static vg_status check_sides(int src_height, int src_width, int height, int width, vg_err *err)
{
    const int sides[4] = {src_height, src_width, height, width};
    for (int i = 0; i < 4; i++)
        if (sides[i] < 1 || sides[i] > VG_RESIZE_SIDE_MAX)
            return VG_FAIL(err, VG_E_ARG,
                           "a picture of %dx%d cannot be resized to %dx%d: sides are 1 to %d",
                           src_width, src_height, width, height, VG_RESIZE_SIDE_MAX);
    return VG_OK;
}

/* Pillow 13 begins with the columns where the height loses more than twice the pixels that the width loses (older ones always with the
 * rows): the 8 bits in between make it another picture, by a level or two. */
static bool columns_first(int src_height, int src_width, int height, int width)
{
    int lost = src_height - height;
    return lost > 0 && lost > 2 * (src_width - width);
}

/* Both directions. The rows pass leaves out source rows that the columns do not look at. */
static vg_status filter_both(const uint8_t *src, int src_height, int src_width, const axis *x,
                             const axis *y, int32_t *sums, uint8_t *dst, vg_err *err)
{
    int width = x->count, height = y->count, from = y->first[0],
        end = y->first[height - 1] + y->run[height - 1];
    bool turned = columns_first(src_height, src_width, height, width);
    size_t row = 3 * (size_t)width, src_row = 3 * (size_t)src_width,
           bytes = turned ? (size_t)height * src_row : (size_t)(end - from) * row;
    uint8_t *between = malloc(bytes);
    if (!between)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %zu bytes of a picture", bytes);
    if (turned) {
        filter_columns(src, 0, src_row, y, sums, between);
        filter_rows(between, height, src_width, x, dst);
    } else {
        filter_rows(src + (size_t)from * src_row, end - from, src_width, x, between);
        filter_columns(between, from, row, y, sums, dst);
    }
    free(between);
    return VG_OK;
}

vg_status vg_resize_pillow(const uint8_t *src, int src_height, int src_width, vg_resample resample,
                           uint8_t *dst, int height, int width, vg_err *err)
{
    bool across = width != src_width, down = height != src_height;
    axis x = {0}, y = {0};
    int32_t *sums = NULL;
    vg_status status = VG_OK;
    VG_TRY(check_sides(src_height, src_width, height, width, err));
    if ((unsigned)resample >= VG_RESAMPLE_COUNT)
        return VG_FAIL(err, VG_E_ARG, "there is no resampling filter %d", (int)resample);
    if (across)
        VG_TRY_GOTO(status, axis_fixed(&x, src_width, width, &filters[resample], err), done);
    if (down) {
        VG_TRY_GOTO(status, axis_fixed(&y, src_height, height, &filters[resample], err), done);
        size_t samples = 3 * (size_t)(width > src_width ? width : src_width);
        sums = malloc(samples * sizeof *sums);
        if (!sums)
            VG_TRY_GOTO(status,
                        VG_FAIL(err, VG_E_NOMEM, "out of memory for a row of %zu samples", samples),
                        done);
    }
    if (across && down)
        status = filter_both(src, src_height, src_width, &x, &y, sums, dst, err);
    else if (across)
        filter_rows(src, src_height, src_width, &x, dst);
    else if (down)
        filter_columns(src, 0, 3 * (size_t)width, &y, sums, dst);
    else
        memcpy(dst, src, 3 * (size_t)height * (size_t)width);
done:
    free(sums);
    axis_deinit(&x);
    axis_deinit(&y);
    return status;
}

/* ---- floats ---- */

static vg_status axis_torch(axis *a, int from, int to, bool antialias, vg_err *err)
{
    return antialias ? axis_filtered(a, from, to, &filters[VG_RESAMPLE_BILINEAR], true, err)
                     : axis_neighbours(a, from, to, err);
}

/* One plane: [rows of the source, width] -> [y->count, x->count]; between: [rows of the source, x->count]. */
static void filter_plane(const float *src, int rows, int width, const axis *x, const axis *y,
                         float *between, float *dst)
{
    for (int row = 0; row < rows; row++)
        for (int i = 0; i < x->count; i++) {
            const float *p = src + (size_t)row * (size_t)width + (size_t)x->first[i];
            const double *w = x->weights + (size_t)i * (size_t)x->room;
            float sum = 0;
            for (int k = 0; k < x->run[i]; k++)
                sum += p[k] * (float)w[k];
            between[(size_t)row * (size_t)x->count + (size_t)i] = sum;
        }
    for (int row = 0; row < y->count; row++) {
        const double *w = y->weights + (size_t)row * (size_t)y->room;
        for (int i = 0; i < x->count; i++) {
            const float *p = between + (size_t)y->first[row] * (size_t)x->count + (size_t)i;
            float sum = 0;
            for (int k = 0; k < y->run[row]; k++)
                sum += p[(size_t)k * (size_t)x->count] * (float)w[k];
            *dst++ = sum;
        }
    }
}

vg_status vg_resize_torch_bilinear(const float *src, int64_t planes, int src_height, int src_width,
                                   bool antialias, float *dst, int height, int width, vg_err *err)
{
    axis x = {0}, y = {0};
    float *between = NULL;
    vg_status status;
    VG_TRY(check_sides(src_height, src_width, height, width, err));
    if (planes < 1)
        return VG_FAIL(err, VG_E_ARG, "%lld planes cannot be resized", (long long)planes);
    VG_TRY_GOTO(status, axis_torch(&x, src_width, width, antialias, err), done);
    VG_TRY_GOTO(status, axis_torch(&y, src_height, height, antialias, err), done);
    size_t from = (size_t)src_height * (size_t)src_width, to = (size_t)height * (size_t)width;
    between = malloc((size_t)src_height * (size_t)width * sizeof *between);
    if (!between)
        status =
            VG_FAIL(err, VG_E_NOMEM, "out of memory for a picture of %dx%d", width, src_height);
    for (int64_t i = 0; between && i < planes; i++)
        filter_plane(src + (size_t)i * from, src_height, src_width, &x, &y, between,
                     dst + (size_t)i * to);
done:
    free(between);
    axis_deinit(&x);
    axis_deinit(&y);
    return status;
}

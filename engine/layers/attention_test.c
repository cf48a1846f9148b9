/* attention_test.c: see attention_test.h. */
#include "engine/layers/attention_test.h"

#include "engine/layers/attention.h"
#include "kernels/base/numeric.h"

#include <math.h>
#include <stdlib.h>

vg_status vg_attention_test_rows(vg_arena *work, const vg_tensor *q, vg_tensor *rows, vg_err *err)
{
    const int64_t n = q->shape[0], wanted = VG_ATTENTION_TEST_RUNS * VG_ATTENTION_TEST_ROWS;
    const int64_t shape[2] = {n < wanted ? n : wanted, q->shape[1]};
    VG_TRY(vg_arena_tensor(work, q->dtype, 2, shape, rows, err));
    if (n <= wanted)
        return vg_backend_copy(vg_arena_backend(work), rows, q, err);
    for (int64_t i = 0; i < VG_ATTENTION_TEST_RUNS; i++) {
        int64_t at = i * (n - VG_ATTENTION_TEST_ROWS) / (VG_ATTENTION_TEST_RUNS - 1);
        vg_tensor from = vg_tensor_rows(q, at, VG_ATTENTION_TEST_ROWS),
                  to = vg_tensor_rows(rows, i * VG_ATTENTION_TEST_ROWS, VG_ATTENTION_TEST_ROWS);
        VG_TRY(vg_backend_copy(vg_arena_backend(work), &to, &from, err));
    }
    return VG_OK;
}

static double value_at(const void *values, vg_dtype dtype, size_t i)
{
    return dtype == VG_BF16 ? (double)vg_bf16_to_f32(((const uint16_t *)values)[i])
                            : (double)((const float *)values)[i];
}

static void compare(const void *a, const void *b, vg_dtype dtype, size_t count,
                    vg_attention_figures *f)
{
    double ab = 0, aa = 0, bb = 0, error = 0, largest = 0;
    for (size_t i = 0; i < count; i++) {
        double x = value_at(a, dtype, i), y = value_at(b, dtype, i), d = x - y;
        ab += x * y;
        aa += x * x;
        bb += y * y;
        error += d * d;
        largest = fabs(d) > largest ? fabs(d) : largest;
    }
    if (error == 0) {
        *f = (vg_attention_figures){.cosine = 1};
        return;
    }
    *f = (vg_attention_figures){
        .cosine = ab / sqrt(aa * bb), .relative_l2 = sqrt(error / bb), .largest_error = largest};
}

vg_status vg_attention_test_compare(vg_backend *be, const vg_tensor *a, const vg_tensor *b,
                                    vg_attention_figures *figures, vg_err *err)
{
    size_t bytes = vg_tensor_bytes(a);
    char *host = calloc(2, bytes); /* a backend that only counts leaves it as it is */
    if (!host)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for a test of 8-bit attention");
    vg_status status = vg_backend_download(be, host, a, err);
    if (status == VG_OK)
        status = vg_backend_download(be, host + bytes, b, err);
    if (status == VG_OK)
        compare(host, host + bytes, a->dtype, (size_t)vg_tensor_numel(a), figures);
    free(host);
    return status;
}

/* What is known only where it is a number: a NaN that came first stays the worst. */
static double worse(double known, double found, bool smaller, bool first)
{
    if (first || isnan(known))
        return first ? found : known;
    return isnan(found) || (smaller ? found < known : found > known) ? found : known;
}

void vg_attention_layer_add(vg_attention_layer *layer, double limit, double cosine,
                            double relative_l2, double largest_error)
{
    const vg_attention_layer before = *layer;
    bool first = layer->tests == 0;
    layer->tests++;
    layer->cosine = worse(before.cosine, cosine, true, first);
    layer->relative_l2 = worse(before.relative_l2, relative_l2, false, first);
    layer->largest_error = worse(before.largest_error, largest_error, false, first);
    layer->missed = before.missed || !(cosine >= limit);
    if (first || layer->missed != before.missed || layer->cosine != before.cosine ||
        layer->relative_l2 != before.relative_l2 || layer->largest_error != before.largest_error)
        layer->told = false;
}

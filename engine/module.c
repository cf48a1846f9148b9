/* module.c: see module.h. */
#include "engine/module.h"

#include "engine/calibrate.h"
#include "engine/dummy.h"
#include "engine/model.h"
#include "engine/quant.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES    256
#define SMALL_CHUNK_BYTES ((size_t)1 << 20)

typedef struct name_node {
    struct name_node *next;
    char text[];
} name_node;

struct vg_module {
    vg_engine *engine;
    vg_backend *be;
    vg_weights *weights;
    vg_module_options options;
    vg_precision_census census;
    vg_arena *arena;   /* big weights that are not views: chunks of just their size */
    vg_arena *small;   /* the others share chunks */
    vg_arena *staging; /* source dtype on a device, on its way to the compute dtype */
    vg_input_scales *scales;
    name_node *names;
    char component[64];
    bool *used; /* per tensor of `weights`: somebody asked for it */
    int dequantised;
    size_t bytes;
};

static bool ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

void vg_precision_census_take(const vg_weights *weights, vg_precision_census *census)
{
    int64_t largest = -1;
    *census = (vg_precision_census){.high = vg_weights_dummy(weights) ? VG_BF16 : VG_F32};
    for (int i = 0; i < vg_weights_count(weights); i++) {
        const char *name = vg_weights_name(weights, i);
        const vg_tensor *t = vg_weights_tensor(weights, i);
        if (strstr(name, "_quantizer.")) /* strays of the quantiser's own state: modelopt-fp8 1.3 */
            continue;
        if (ends_with(name, ".input_scale"))
            census->input_scales++;
        if (!ends_with(name, ".weight"))
            continue;
        if (t->dtype == VG_E4M3) {
            census->fp8++;
        } else if (vg_tensor_numel(t) > largest) {
            largest = vg_tensor_numel(t);
            census->high = t->dtype;
        }
    }
}

static void mark_used(vg_module *m, const char *name)
{
    int i = vg_weights_index(m->weights, name);
    if (i >= 0)
        m->used[i] = true;
}

static const vg_tensor *find_part(const vg_weights *weights, const char *layer, const char *suffix,
                                  char *name)
{
    int n = snprintf(name, NAME_MAX_BYTES, "%s.%s", layer, suffix);
    return n > 0 && n < NAME_MAX_BYTES ? vg_weights_find(weights, name) : NULL;
}

/* Every scale must be a finite positive number: a zero or NaN would turn the layer into noise silently. */
static vg_status check_scale_values(const char *component, const char *name, const vg_tensor *t,
                                    vg_err *err)
{
    int64_t count = vg_tensor_numel(t);
    for (int64_t i = 0; i < count; i++) {
        float v;
        VG_TRY(vg_host_to_f32(t, i, 1, &v, err));
        if (!(v > 0) || !isfinite(v))
            return VG_FAIL(err, VG_E_FORMAT, "%s: %s holds %g; a scale must be finite and above 0",
                           component, name, (double)v);
    }
    return VG_OK;
}

/* Granularity of an FP8 layer from the shape of its weight_scale: [] [1] [1,1] tensor, [n] [n,1] channel, 2-D [a,b] or 4-D [a,1,b,1]
 * block. Source: modelopt-fp8 1.3, 1.6. */
static vg_status scale_granularity(const vg_tensor *s, int64_t n, int64_t k,
                                   vg_precision *precision)
{
    int64_t a = (n + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP,
            b = (k + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP;
    if (s->ndim == 0 || (s->ndim == 1 && s->shape[0] == 1) ||
        (s->ndim == 2 && s->shape[0] == 1 && s->shape[1] == 1))
        *precision = VG_PRECISION_TENSOR;
    else if (s->ndim == 4 && s->shape[0] == a && s->shape[1] == 1 && s->shape[2] == b &&
             s->shape[3] == 1)
        *precision = VG_PRECISION_BLOCK;
    else if ((s->ndim == 1 && s->shape[0] == n) ||
             (s->ndim == 2 && s->shape[0] == n && s->shape[1] == 1))
        *precision = VG_PRECISION_CHANNEL;
    else if (s->ndim == 2 && s->shape[0] == a && s->shape[1] == b)
        *precision = VG_PRECISION_BLOCK;
    else
        return VG_E_SHAPE;
    return VG_OK;
}

static const char *precision_label(vg_precision p)
{
    static const char *const labels[VG_PRECISION_COUNT] = {"high precision", "FP8 per-tensor",
                                                           "FP8 per-channel", "FP8 per-block"};
    return labels[p];
}

static vg_status choose_stored_fp8(const vg_weights *weights, const vg_precision_census *census,
                                   const char *component, const char *layer, int64_t n, int64_t k,
                                   const vg_module_options *options, vg_layer_choice *choice,
                                   vg_err *err)
{
    char name[NAME_MAX_BYTES];
    const vg_tensor *scale = find_part(weights, layer, "weight_scale", name);
    if (!scale)
        return VG_FAIL(err, VG_E_MISSING, "%s: layer %s is FP8 but its weight_scale is missing",
                       component, layer);
    if (scale_granularity(scale, n, k, &choice->stored) != VG_OK) {
        char text[96];
        return VG_FAIL(err, VG_E_SHAPE,
                       "%s: %s is %s, which fits no granularity of a [%lld, %lld] weight",
                       component, name, vg_tensor_describe(scale, text, sizeof text), (long long)n,
                       (long long)k);
    }
    VG_TRY(check_scale_values(component, name, scale, err));
    choice->used = choice->stored;
    if (choice->stored == VG_PRECISION_BLOCK) {
        choice->act = VG_QUANT_GROUP_DYNAMIC;
    } else {
        const vg_tensor *input = find_part(weights, layer, "input_scale", name);
        choice->act = input ? VG_QUANT_TENSOR_STATIC : VG_QUANT_TENSOR_DYNAMIC;
        if (!input && census->input_scales > 0)
            return VG_FAIL(err, VG_E_MISSING, "%s: layer %s is FP8 but its input_scale is missing",
                           component, layer);
        if (input && vg_tensor_numel(input) != 1)
            return VG_FAIL(err, VG_E_SHAPE, "%s: %s must be one number", component, name);
        if (input)
            VG_TRY(check_scale_values(component, name, input, err));
    }
    if (options->fp8_act == VG_FP8_ACT_WEIGHT_ONLY)
        choice->act = VG_QUANT_NONE;
    if (options->scheme == VG_SCHEME_BF16) {
        choice->used = VG_PRECISION_HIGH;
        choice->act = VG_QUANT_NONE;
        choice->dequantised = true;
    } else if ((options->scheme == VG_SCHEME_FP8 && choice->stored == VG_PRECISION_BLOCK) ||
               (options->scheme == VG_SCHEME_FP8_BLOCK && choice->stored != VG_PRECISION_BLOCK)) {
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "scheme %s was asked for, but %s holds %s weights (layer %s)",
                       vg_scheme_name((vg_scheme)options->scheme), component,
                       precision_label(choice->stored), layer);
    }
    return VG_OK;
}

static bool is_high(vg_dtype dtype)
{
    return dtype == VG_F32 || dtype == VG_BF16 || dtype == VG_F16;
}

vg_status vg_layer_choose(const vg_weights *weights, const vg_precision_census *census,
                          const char *component, const char *layer, int64_t n, int64_t k,
                          bool quantisable, const vg_module_options *options,
                          vg_layer_choice *choice, vg_err *err)
{
    char name[NAME_MAX_BYTES], text[96];
    const vg_tensor *w = find_part(weights, layer, "weight", name);
    *choice = (vg_layer_choice){
        .stored = VG_PRECISION_HIGH, .used = VG_PRECISION_HIGH, .act = VG_QUANT_NONE};
    vg_tensor generated = {.dtype = VG_BF16, .ndim = 2, .shape = {n, k}};
    if (!w && vg_weights_dummy(weights))
        w = &generated; /* never read here */
    if (!w)
        return VG_FAIL(err, VG_E_MISSING, "%s: tensor %s.weight is missing", component, layer);
    if (w->ndim != 2 || w->shape[0] != n || w->shape[1] != k)
        return VG_FAIL(err, VG_E_SHAPE, "%s: %s is %s, the config wants [%lld, %lld]", component,
                       name, vg_tensor_describe(w, text, sizeof text), (long long)n, (long long)k);
    if (w->dtype == VG_E4M3)
        return choose_stored_fp8(weights, census, component, layer, n, k, options, choice, err);
    if (!is_high(w->dtype))
        return VG_FAIL(err, VG_E_DTYPE, "%s: %s is %s; F32, BF16, F16 and F8_E4M3 are known",
                       component, name, vg_dtype_name(w->dtype));
    /* A checkpoint that is already FP8 has decided which layers stay in high precision. */
    if (!quantisable || census->fp8 > 0 ||
        (options->scheme != VG_SCHEME_FP8 && options->scheme != VG_SCHEME_FP8_BLOCK))
        return VG_OK;
    choice->made = true;
    if (options->scheme == VG_SCHEME_FP8_BLOCK) {
        choice->used = VG_PRECISION_BLOCK;
        choice->act = VG_QUANT_GROUP_DYNAMIC;
    } else {
        choice->used = VG_PRECISION_TENSOR;
        choice->act = options->fp8_act == VG_FP8_ACT_STATIC ? VG_QUANT_TENSOR_STATIC
                                                            : VG_QUANT_TENSOR_DYNAMIC;
    }
    if (options->fp8_act == VG_FP8_ACT_WEIGHT_ONLY)
        choice->act = VG_QUANT_NONE;
    return VG_OK;
}

vg_status vg_module_open(vg_engine *engine, const char *dir, const char *component,
                         const vg_module_options *options, vg_module **module, vg_err *err)
{
    vg_status status;
    vg_module *m = calloc(1, sizeof *m);
    if (!m)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for component %s", component);
    m->engine = engine;
    m->be = engine->be;
    m->options = *options;
    snprintf(m->component, sizeof m->component, "%s", component);
    VG_TRY_GOTO(status, vg_weights_open(dir, &m->weights, err), fail);
    m->used = calloc((size_t)vg_weights_count(m->weights) + 1, sizeof *m->used);
    if (!m->used) {
        status = VG_FAIL(err, VG_E_NOMEM, "out of memory for component %s", component);
        goto fail;
    }
    vg_precision_census_take(m->weights, &m->census);
    VG_TRY_GOTO(status, vg_arena_new(m->be, 1, &m->arena, err), fail);
    VG_TRY_GOTO(status, vg_arena_new(m->be, SMALL_CHUNK_BYTES, &m->small, err), fail);
    VG_TRY_GOTO(status, vg_arena_new(m->be, SMALL_CHUNK_BYTES, &m->staging, err), fail);
    if (options->scheme == VG_SCHEME_FP8 && options->fp8_act == VG_FP8_ACT_STATIC &&
        m->census.fp8 == 0) {
        if (!options->input_scales) {
            status = VG_FAIL(
                err, VG_E_ARG,
                "static FP8 activation scales need a calibration file; make one, or use dynamic scales");
            goto fail;
        }
        VG_TRY_GOTO(status,
                    vg_input_scales_read(options->input_scales, component, options->identity,
                                         &m->scales, err),
                    fail);
    }
    *module = m;
    return VG_OK;
fail:
    vg_module_close(m);
    return status;
}

void vg_module_close(vg_module *m)
{
    if (!m)
        return;
    while (m->names) {
        name_node *next = m->names->next;
        free(m->names);
        m->names = next;
    }
    free(m->used);
    vg_input_scales_free(m->scales);
    vg_arena_free(m->staging);
    vg_arena_free(m->small);
    vg_arena_free(m->arena);
    vg_weights_close(m->weights);
    free(m);
}

const vg_weights *vg_module_weights(const vg_module *m)
{
    return m->weights;
}

vg_backend *vg_module_backend(const vg_module *m)
{
    return m->be;
}

int vg_module_dequantised(const vg_module *m)
{
    return m->dequantised;
}

int vg_module_unused(const vg_module *m, const char **first)
{
    int count = 0;
    *first = NULL;
    for (int i = 0; i < vg_weights_count(m->weights); i++) {
        const char *name = vg_weights_name(m->weights, i);
        if (m->used[i] || strstr(name, "_quantizer.") || ends_with(name, "_scale"))
            continue;
        *first = *first ? *first : name;
        count++;
    }
    return count;
}

size_t vg_module_bytes(const vg_module *m)
{
    return m->bytes;
}

/* A tensor on the host: a view into the mapped file, or generated into memory of its own. */
typedef struct source {
    vg_tensor t;
    void *owned; /* NULL: a view */
} source;

static void source_free(source *s)
{
    free(s->owned);
}

typedef struct generation {
    vg_dummy_tensor tensor;
    uint16_t *to;
} generation;

#define GENERATION_GRAIN ((int64_t)1 << 16)

static void generate_range(void *ctx, int64_t begin, int64_t end, int worker)
{
    const generation *g = ctx;
    (void)worker;
    vg_dummy_fill(&g->tensor, begin, end - begin, g->to + begin);
}

static vg_status generate(vg_module *m, const char *name, int ndim, const int64_t *shape, source *s,
                          vg_err *err)
{
    generation g;
    size_t bytes;
    vg_threads *pool;
    VG_TRY(vg_shape_bytes(shape, ndim, VG_BF16, &bytes, err));
    VG_TRY(vg_engine_pool(m->engine, &pool, err));
    s->owned = malloc(bytes ? bytes : 1);
    if (!s->owned)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %s of %s", name, m->component);
    s->t = vg_tensor_of(s->owned, VG_BF16, ndim, shape);
    g.to = s->owned;
    vg_dummy_describe(m->component, name, ndim, shape, &g.tensor);
    vg_parallel_for(pool, vg_tensor_numel(&s->t), GENERATION_GRAIN, generate_range, &g);
    return VG_OK;
}

/* The tensor `name`, which must have this shape. The caller frees the source. */
static vg_status find_checked(vg_module *m, const char *name, int ndim, const int64_t *shape,
                              source *s, vg_err *err)
{
    char text[96], want[96];
    *s = (source){0};
    if (vg_weights_dummy(m->weights))
        return generate(m, name, ndim, shape, s, err);
    const vg_tensor *found = vg_weights_find(m->weights, name);
    if (!found)
        return VG_FAIL(err, VG_E_MISSING, "%s: tensor %s is missing", m->component, name);
    bool same = found->ndim == ndim;
    for (int i = 0; same && i < ndim; i++)
        same = found->shape[i] == shape[i];
    if (!same) {
        vg_tensor wanted = vg_tensor_of((void *)found->data, found->dtype, ndim, shape);
        return VG_FAIL(err, VG_E_SHAPE, "%s: %s is %s, the config wants %s", m->component, name,
                       vg_tensor_describe(found, text, sizeof text),
                       vg_tensor_describe(&wanted, want, sizeof want));
    }
    if (!is_high(found->dtype))
        return VG_FAIL(err, VG_E_DTYPE, "%s: %s is %s; only F32, BF16 and F16 are known here",
                       m->component, name, vg_dtype_name(found->dtype));
    s->t = *found;
    mark_used(m, name);
    return VG_OK;
}

static bool aligned(const vg_tensor *t)
{
    return (uintptr_t)t->data % vg_dtype_size(t->dtype) == 0;
}

/* Bring host tensor `src` to the backend as `dtype`; `view` allows handing out src's own memory. */
static vg_status place(vg_module *m, const vg_tensor *src, vg_dtype dtype, bool view, vg_tensor *t,
                       vg_err *err)
{
    bool host = m->be->ops->host_memory;
    if (host && view && src->dtype == dtype && aligned(src)) {
        *t = *src;
        m->bytes += vg_tensor_bytes(src);
        return VG_OK;
    }
    size_t bytes;
    VG_TRY(vg_shape_bytes(src->shape, src->ndim, dtype, &bytes, err));
    VG_TRY(vg_arena_tensor(bytes < SMALL_CHUNK_BYTES / 2 ? m->small : m->arena, dtype, src->ndim,
                           src->shape, t, err));
    m->bytes += vg_tensor_bytes(t);
    if (src->dtype == dtype)
        return vg_backend_upload(m->be, t, src->data, err);
    if (host && aligned(src))
        return vg_cast(m->be, &(vg_cast_args){.x = src, .y = t}, err);
    size_t mark = vg_arena_mark(m->staging);
    vg_tensor raw;
    VG_TRY(vg_arena_tensor(m->staging, src->dtype, src->ndim, src->shape, &raw, err));
    VG_TRY(vg_backend_upload(m->be, &raw, src->data, err));
    VG_TRY(vg_cast(m->be, &(vg_cast_args){.x = &raw, .y = t}, err));
    vg_arena_reset(m->staging, mark); /* same stream: the next upload waits for this cast */
    return VG_OK;
}

/* Generated memory goes away with its source: no views into it, and uploads must be over. */
static vg_status place_source(vg_module *m, const source *s, vg_dtype dtype, vg_tensor *t,
                              vg_err *err)
{
    VG_TRY(place(m, &s->t, dtype, !s->owned, t, err));
    return s->owned ? vg_backend_sync(m->be, err) : VG_OK;
}

vg_status vg_module_tensor(vg_module *m, const char *name, vg_dtype dtype, int ndim,
                           const int64_t *shape, vg_tensor *t, vg_err *err)
{
    source s;
    VG_TRY(find_checked(m, name, ndim, shape, &s, err));
    vg_status status = place_source(m, &s, dtype, t, err);
    source_free(&s);
    return status;
}

vg_status vg_module_host_f32(vg_module *m, const char *name, int ndim, const int64_t *shape,
                             float **values, vg_err *err)
{
    source s;
    VG_TRY(find_checked(m, name, ndim, shape, &s, err));
    int64_t count = vg_tensor_numel(&s.t);
    float *v = malloc((size_t)(count > 0 ? count : 1) * sizeof *v);
    vg_status status =
        v ? vg_host_to_f32(&s.t, 0, count, v, err)
          : VG_FAIL(err, VG_E_NOMEM, "out of memory for %s of %s", name, m->component);
    source_free(&s);
    if (status != VG_OK) {
        free(v);
        return status;
    }
    *values = v;
    return VG_OK;
}

vg_status vg_module_conv(vg_module *m, const char *name, vg_dtype dtype, int ndim,
                         const int64_t *shape, vg_tensor *t, vg_err *err)
{
    source s;
    VG_TRY(find_checked(m, name, ndim, shape, &s, err));
    int64_t o = shape[0], c = shape[1], taps = 1;
    for (int i = 2; i < ndim; i++)
        taps *= shape[i];
    size_t size = vg_dtype_size(s.t.dtype);
    uint8_t *ordered = malloc((size_t)(o * c * taps) * size);
    if (!ordered) {
        source_free(&s);
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %s of %s", name, m->component);
    }
    const uint8_t *from = s.t.data;
    for (int64_t i = 0; i < o; i++)
        for (int64_t j = 0; j < c; j++)
            for (int64_t k = 0; k < taps; k++)
                memcpy(ordered + (size_t)((i * taps + k) * c + j) * size,
                       from + (size_t)((i * c + j) * taps + k) * size, size);
    int64_t kt = ndim == 5 ? shape[2] : 1;
    vg_tensor host =
        vg_tensor_make(ordered, s.t.dtype, 5, o, kt, shape[ndim - 2], shape[ndim - 1], c);
    source_free(&s);
    vg_status status = place(m, &host, dtype, false, t, err);
    if (status == VG_OK)
        status = vg_backend_sync(m->be, err); /* `ordered` goes away */
    free(ordered);
    return status;
}

static vg_status keep_name(vg_module *m, const char *layer, const char **kept, vg_err *err)
{
    size_t n = strlen(layer) + 1;
    name_node *node = malloc(sizeof *node + n);
    if (!node)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for a layer name");
    memcpy(node->text, layer, n);
    node->next = m->names;
    m->names = node;
    *kept = node->text;
    return VG_OK;
}

/* A scale tensor as F32 of the given shape on the backend. */
static vg_status place_scale(vg_module *m, const float *values, int ndim, const int64_t *shape,
                             vg_tensor *t, vg_err *err)
{
    vg_tensor host = vg_tensor_of((void *)(uintptr_t)values, VG_F32, ndim, shape);
    VG_TRY(place(m, &host, VG_F32, false, t, err));
    return vg_backend_sync(m->be, err);
}

static void scale_shape(vg_precision p, int64_t n, int64_t k, int *ndim, int64_t shape[2])
{
    *ndim = p == VG_PRECISION_BLOCK ? 2 : 1;
    shape[0] = p == VG_PRECISION_BLOCK     ? (n + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP
               : p == VG_PRECISION_CHANNEL ? n
                                           : 1;
    shape[1] = (k + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP;
}

static vg_status load_fp8(vg_module *m, const vg_tensor *w, const vg_layer_choice *choice,
                          vg_linear_layer *l, vg_err *err)
{
    vg_status status;
    char name[NAME_MAX_BYTES];
    vg_precision p = choice->made ? choice->used : choice->stored;
    int ndim;
    int64_t shape[2];
    scale_shape(p, l->n, l->k, &ndim, shape);
    int64_t count = ndim == 2 ? shape[0] * shape[1] : shape[0];
    float *scales = malloc((size_t)count * sizeof *scales);
    void *bytes = NULL;
    vg_threads *pool;
    if (!scales)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the scales of %s", l->name);
    VG_TRY_GOTO(status, vg_engine_pool(m->engine, &pool, err), done);
    if (choice->made) {
        bytes = malloc((size_t)(l->n * l->k));
        if (!bytes) {
            status = VG_FAIL(err, VG_E_NOMEM, "out of memory for layer %s", l->name);
            goto done;
        }
        VG_TRY_GOTO(status,
                    vg_quantise_weight(pool, w, p == VG_PRECISION_BLOCK, bytes, scales, err), done);
        vg_tensor host = vg_tensor_make(bytes, VG_E4M3, 2, l->n, l->k);
        VG_TRY_GOTO(status, place(m, &host, VG_E4M3, false, &l->w, err), done);
        VG_TRY_GOTO(status, vg_backend_sync(m->be, err), done);
    } else {
        const vg_tensor *stored = find_part(m->weights, l->name, "weight_scale", name);
        VG_TRY_GOTO(status, vg_host_to_f32(stored, 0, count, scales, err), done);
        if (choice->dequantised) {
            vg_tensor s = vg_tensor_of(scales, VG_F32, ndim, shape), out;
            bytes = malloc((size_t)(l->n * l->k) * vg_dtype_size(m->options.compute));
            if (!bytes) {
                status = VG_FAIL(err, VG_E_NOMEM, "out of memory for layer %s", l->name);
                goto done;
            }
            out = vg_tensor_make(bytes, m->options.compute, 2, l->n, l->k);
            VG_TRY_GOTO(status, vg_dequantise_weight(pool, w, &s, &out, err), done);
            VG_TRY_GOTO(status, place(m, &out, out.dtype, false, &l->w, err), done);
            VG_TRY_GOTO(status, vg_backend_sync(m->be, err), done);
            m->dequantised++;
            goto done;
        }
        VG_TRY_GOTO(status, place(m, w, VG_E4M3, true, &l->w, err), done);
    }
    VG_TRY_GOTO(status, place_scale(m, scales, ndim, shape, &l->w_scale, err), done);
    l->act = choice->act;
    if (l->act == VG_QUANT_TENSOR_STATIC) {
        if (choice->made) {
            VG_TRY_GOTO(status, vg_input_scales_find(m->scales, l->name, &l->x_scale_value, err),
                        done);
        } else {
            const vg_tensor *input = find_part(m->weights, l->name, "input_scale", name);
            VG_TRY_GOTO(status, vg_host_to_f32(input, 0, 1, &l->x_scale_value, err), done);
        }
        VG_TRY_GOTO(status,
                    place_scale(m, &l->x_scale_value, 1, (const int64_t[]){1}, &l->x_scale, err),
                    done);
    }
done:
    if (status != VG_OK && err && !strstr(err->message, l->name))
        vg_err_prefix(err, "%s: layer %s", m->component, l->name);
    free(bytes);
    free(scales);
    return status;
}

/* The weight, and what belongs to its precision. Its shape and dtype were checked when the precision was chosen. */
static vg_status load_matrix(vg_module *m, const vg_layer_choice *choice, vg_dtype dtype,
                             vg_linear_layer *l, vg_err *err)
{
    char name[NAME_MAX_BYTES];
    source s = {0};
    const vg_tensor *w = find_part(m->weights, l->name, "weight", name);
    mark_used(m, name);
    if (w)
        s.t = *w;
    else
        VG_TRY(generate(m, name, 2, (const int64_t[]){l->n, l->k}, &s, err));
    vg_status status = choice->used != VG_PRECISION_HIGH || choice->dequantised
                           ? load_fp8(m, &s.t, choice, l, err)
                           : place_source(m, &s, dtype, &l->w, err);
    source_free(&s);
    return status;
}

vg_status vg_module_linear(vg_module *m, const char *layer, int64_t n, int64_t k, bool bias,
                           bool quantisable, vg_dtype dtype, vg_linear_layer *linear, vg_err *err)
{
    char name[NAME_MAX_BYTES];
    vg_layer_choice choice;
    vg_linear_layer l = {.n = n, .k = k, .act = VG_QUANT_NONE};
    vg_device_info device;
    VG_TRY(vg_layer_choose(m->weights, &m->census, m->component, layer, n, k, quantisable,
                           &m->options, &choice, err));
    VG_TRY(vg_backend_info(m->be, &device, err));
    VG_TRY(vg_fp8_act_check(device.capability, choice.act, err));
    VG_TRY(keep_name(m, layer, &l.name, err));
    VG_TRY(load_matrix(m, &choice, dtype, &l, err));
    if (bias) {
        snprintf(name, sizeof name, "%s.bias", layer);
        VG_TRY(vg_module_tensor(m, name, dtype, 1, &n, &l.bias, err));
    }
    *linear = l;
    return VG_OK;
}

vg_status vg_module_loaded(vg_module *m, vg_err *err)
{
    VG_TRY(vg_backend_sync(m->be, err));
    vg_arena_free(m->staging);
    m->staging = NULL;
    return vg_arena_new(m->be, SMALL_CHUNK_BYTES, &m->staging, err);
}

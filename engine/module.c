/* module.c: see module.h. */
#include "engine/module.h"

#include "engine/calibrate.h"
#include "engine/loader.h"
#include "engine/model.h"
#include "engine/quant.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES    256
#define SMALL_CHUNK_BYTES ((size_t)1 << 20)

typedef struct name_node {
    struct name_node *next;
    char text[];
} name_node;

/* A layer's weights on their way from the stored form to the form they run in. */
typedef struct conversion {
    const char *layer; /* NULL: nothing is pending */
    size_t ticket;
    vg_tensor raw, raw_scale; /* raw_scale.data: dequantise, else quantise */
    vg_tensor w, w_scale;
} conversion;

/* Stored forms wait in turn in a few places of device memory, so that the next ones arrive while one is converted. */
#define STAGES 4

typedef struct staging {
    char *memory;
    size_t bytes; /* of one place */
    int next;
    conversion at[STAGES];
    vg_fence *free[STAGES]; /* behind the conversion that read the place last */
} staging;

/* Scales made here, to be looked at once they are there. */
typedef struct made_scale {
    const char *layer;
    vg_tensor scale;
} made_scale;

struct vg_module {
    vg_engine *engine;
    vg_backend *be;
    vg_weights *weights;
    vg_module_options options;
    vg_precision_census census;
    vg_arena *arena;   /* big weights that are not views: chunks of just their size */
    vg_arena *small;   /* the others share chunks */
    vg_loader *loader; /* NULL: the host writes to the backend's memory itself, or nobody does */
    staging staging;
    struct {
        char *memory;
        size_t bytes, used;
    } into;
    made_scale *made;
    size_t made_count, made_capacity;
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

static vg_status open_scales(vg_module *m, vg_err *err)
{
    const vg_module_options *o = &m->options;
    if (o->scheme != VG_SCHEME_FP8 || o->fp8_act != VG_FP8_ACT_STATIC || m->census.fp8 != 0 ||
        m->be->ops->dry)
        return VG_OK;
    if (!o->input_scales)
        return VG_FAIL(
            err, VG_E_ARG,
            "static FP8 activation scales need a calibration file; make one, or use dynamic scales");
    return vg_input_scales_read(o->input_scales, m->component, o->identity, &m->scales, err);
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
    VG_TRY_GOTO(status, open_scales(m, err), fail);
    if (!vg_backend_reads_host(m->be) && !m->be->ops->dry) {
        VG_TRY_GOTO(status, vg_engine_loader(engine, &m->loader, err), fail);
        vg_loader_expect(m->loader, vg_weights_file_bytes(m->weights));
        VG_TRY_GOTO(status, vg_loader_begin(m->loader, err), fail);
    }
    *module = m;
    return VG_OK;
fail:
    vg_module_close(m);
    return status;
}

static void staging_free(vg_module *m)
{
    for (int i = 0; i < STAGES; i++)
        if (m->staging.free[i])
            m->be->ops->fence_free(m->be, m->staging.free[i]);
    vg_backend_release(m->be, m->staging.memory, m->staging.bytes * STAGES);
    m->staging = (staging){0};
}

void vg_module_close(vg_module *m)
{
    if (!m)
        return;
    if (m->loader) /* readers may still be at the files */
        (void)vg_loader_wait(m->loader, NULL);
    staging_free(m);
    while (m->names) {
        name_node *next = m->names->next;
        free(m->names);
        m->names = next;
    }
    free(m->made);
    free(m->used);
    vg_input_scales_free(m->scales);
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

/* ---- tensors ---- */

/* The tensor `name`, which must have this shape. */
static vg_status find_checked(vg_module *m, const char *name, int ndim, const int64_t *shape,
                              vg_source *s, vg_err *err)
{
    char text[96], want[96];
    if (vg_weights_dummy(m->weights)) {
        *s = vg_source_of(m->weights, NULL, m->component, name, ndim, shape);
        return VG_OK;
    }
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
    *s = vg_source_of(m->weights, found, NULL, NULL, 0, NULL);
    mark_used(m, name);
    return VG_OK;
}

static bool is_view(const vg_module *m, const vg_source *s, vg_dtype dtype)
{
    return vg_backend_reads_host(m->be) && s->t.data && s->t.dtype == dtype &&
           (uintptr_t)s->t.data % vg_dtype_size(dtype) == 0;
}

/* Room for a tensor on the backend. */
static vg_status take(vg_module *m, vg_dtype dtype, int ndim, const int64_t *shape, vg_tensor *t,
                      vg_err *err)
{
    size_t bytes;
    VG_TRY(vg_shape_bytes(shape, ndim, dtype, &bytes, err));
    m->bytes += bytes;
    return vg_arena_tensor(bytes < SMALL_CHUNK_BYTES / 2 ? m->small : m->arena, dtype, ndim, shape,
                           t, err);
}

/* The same for the weights of a linear layer. */
static vg_status take_matrix(vg_module *m, vg_dtype dtype, const int64_t *shape, vg_tensor *t,
                             vg_err *err)
{
    size_t bytes;
    if (!m->into.memory)
        return take(m, dtype, 2, shape, t, err);
    VG_TRY(vg_shape_bytes(shape, 2, dtype, &bytes, err));
    m->bytes += bytes;
    bytes = (bytes + 255) / 256 * 256;
    if (bytes > m->into.bytes - m->into.used)
        return VG_FAIL(err, VG_E_NOMEM, "%s: a block of weights is larger than %zu bytes",
                       m->component, m->into.bytes);
    *t = vg_tensor_of(m->into.memory + m->into.used, dtype, 2, shape);
    m->into.used += bytes;
    return VG_OK;
}

void vg_module_into(vg_module *m, void *memory, size_t bytes)
{
    m->into.memory = memory;
    m->into.bytes = bytes;
    m->into.used = 0;
}

size_t vg_module_into_used(const vg_module *m)
{
    return m->into.used;
}

typedef struct reading {
    const vg_source *source;
    vg_dtype dtype;
    char *to;
    atomic_int status;
} reading;

#define READING_GRAIN ((int64_t)1 << 16)

static void read_range(void *ctx, int64_t begin, int64_t end, int worker)
{
    reading *r = ctx;
    (void)worker;
    vg_status status = vg_source_read(r->source, r->dtype, begin, end - begin,
                                      r->to + (size_t)begin * vg_dtype_size(r->dtype), NULL);
    if (status != VG_OK)
        atomic_store(&r->status, status);
}

/* The whole source to host memory, by all threads. */
static vg_status read_all(vg_module *m, const vg_source *s, vg_dtype dtype, void *to, vg_err *err)
{
    vg_threads *pool;
    reading r = {.source = s, .dtype = dtype, .to = to};
    VG_TRY(vg_engine_pool(m->engine, &pool, err));
    vg_parallel_for(pool, vg_tensor_numel(&s->t), READING_GRAIN, read_range, &r);
    if (atomic_load(&r.status) != VG_OK) /* once more for the message */
        return vg_source_read(s, dtype, 0, vg_tensor_numel(&s->t), to, err);
    return VG_OK;
}

/* The source's values to memory of the backend. */
static vg_status bring(vg_module *m, const vg_source *s, vg_dtype dtype, void *to, size_t *ticket,
                       vg_err *err)
{
    if (m->be->ops->dry)
        return VG_OK;
    return m->loader ? vg_loader_put(m->loader, s, dtype, to, ticket, err)
                     : read_all(m, s, dtype, to, err);
}

static vg_status bring_copy(vg_module *m, const void *from, size_t bytes, void *to, vg_err *err)
{
    if (m->be->ops->dry)
        return VG_OK;
    if (m->loader)
        return vg_loader_put_copy(m->loader, from, bytes, to, err);
    memcpy(to, from, bytes);
    return VG_OK;
}

static vg_status place(vg_module *m, const vg_source *s, vg_dtype dtype, vg_tensor *t, vg_err *err)
{
    if (is_view(m, s, dtype)) {
        *t = s->t;
        m->bytes += vg_tensor_bytes(&s->t);
        return VG_OK;
    }
    VG_TRY(take(m, dtype, s->t.ndim, s->t.shape, t, err));
    return bring(m, s, dtype, t->data, NULL, err);
}

static vg_status place_matrix(vg_module *m, const vg_source *s, vg_dtype dtype, vg_tensor *t,
                              vg_err *err)
{
    if (!m->into.memory)
        return place(m, s, dtype, t, err);
    VG_TRY(take_matrix(m, dtype, s->t.shape, t, err));
    return bring(m, s, dtype, t->data, NULL, err);
}

vg_status vg_module_tensor(vg_module *m, const char *name, vg_dtype dtype, int ndim,
                           const int64_t *shape, vg_tensor *t, vg_err *err)
{
    vg_source s;
    VG_TRY(find_checked(m, name, ndim, shape, &s, err));
    return place(m, &s, dtype, t, err);
}

vg_status vg_module_host_f32(vg_module *m, const char *name, int ndim, const int64_t *shape,
                             float **values, vg_err *err)
{
    vg_source s;
    VG_TRY(find_checked(m, name, ndim, shape, &s, err));
    int64_t count = vg_tensor_numel(&s.t);
    float *v = malloc((size_t)(count > 0 ? count : 1) * sizeof *v);
    vg_status status =
        v ? vg_source_read(&s, VG_F32, 0, count, v, err)
          : VG_FAIL(err, VG_E_NOMEM, "out of memory for %s of %s", name, m->component);
    if (status != VG_OK) {
        free(v);
        return status;
    }
    *values = v;
    return VG_OK;
}

vg_status vg_module_rows(vg_module *m, const char *name, int64_t rows, int64_t dim,
                         const int32_t *ids, int64_t count, vg_dtype dtype, void *to, vg_err *err)
{
    vg_source s;
    VG_TRY(find_checked(m, name, 2, (const int64_t[]){rows, dim}, &s, err));
    for (int64_t i = 0; i < count && !m->be->ops->dry; i++)
        VG_TRY(vg_source_read(&s, dtype, ids[i] * dim, dim,
                              (char *)to + (size_t)(i * dim) * vg_dtype_size(dtype), err));
    return VG_OK;
}

typedef struct reordering {
    const char *from;
    char *to;
    int64_t channels, taps;
    size_t size;
} reordering;

/* [O,C,taps] to [O,taps,C], for some of the O. */
static void reorder_range(void *ctx, int64_t begin, int64_t end, int worker)
{
    const reordering *r = ctx;
    (void)worker;
    for (int64_t i = begin; i < end; i++)
        for (int64_t j = 0; j < r->channels; j++)
            for (int64_t k = 0; k < r->taps; k++)
                memcpy(r->to + (size_t)((i * r->taps + k) * r->channels + j) * r->size,
                       r->from + (size_t)((i * r->channels + j) * r->taps + k) * r->size, r->size);
}

vg_status vg_module_conv(vg_module *m, const char *name, vg_dtype dtype, int ndim,
                         const int64_t *shape, vg_tensor *t, vg_err *err)
{
    vg_source s;
    vg_threads *pool;
    vg_status status = VG_OK;
    int64_t taps = 1, kt = ndim == 5 ? shape[2] : 1;
    VG_TRY(find_checked(m, name, ndim, shape, &s, err));
    for (int i = 2; i < ndim; i++)
        taps *= shape[i];
    const int64_t ordered[5] = {shape[0], kt, shape[ndim - 2], shape[ndim - 1], shape[1]};
    VG_TRY(take(m, dtype, 5, ordered, t, err));
    if (m->be->ops->dry)
        return VG_OK;
    VG_TRY(vg_engine_pool(m->engine, &pool, err));
    size_t bytes = vg_tensor_bytes(t);
    char *memory = malloc(2 * bytes + 1);
    if (!memory)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %s of %s", name, m->component);
    VG_TRY_GOTO(status, read_all(m, &s, dtype, memory, err), done);
    reordering r = {memory, memory + bytes, shape[1], taps, vg_dtype_size(dtype)};
    vg_parallel_for(pool, shape[0], 1, reorder_range, &r);
    status = bring_copy(m, memory + bytes, bytes, t->data, err);
done:
    free(memory);
    return status;
}

/* ---- conversion ---- */

static vg_status note_made(vg_module *m, const char *layer, const vg_tensor *scale, vg_err *err)
{
    if (m->made_count == m->made_capacity) {
        size_t capacity = m->made_capacity ? 2 * m->made_capacity : 64;
        made_scale *grown = realloc(m->made, capacity * sizeof *grown);
        if (!grown)
            return VG_FAIL(err, VG_E_NOMEM, "out of memory for %zu layers", capacity);
        m->made = grown;
        m->made_capacity = capacity;
    }
    m->made[m->made_count++] = (made_scale){layer, *scale};
    return VG_OK;
}

static vg_status check_made(vg_module *m, vg_err *err)
{
    vg_status status = VG_OK;
    for (size_t i = 0; i < m->made_count && status == VG_OK; i++) {
        const made_scale *made = &m->made[i];
        int64_t count = vg_tensor_numel(&made->scale);
        float *values = malloc(vg_tensor_bytes(&made->scale));
        status = values
                     ? vg_backend_download(m->be, values, &made->scale, err)
                     : VG_FAIL(err, VG_E_NOMEM, "out of memory for %lld scales", (long long)count);
        for (int64_t j = 0; status == VG_OK && j < count; j++)
            if (!isfinite(values[j]))
                status = VG_FAIL(err, VG_E_FORMAT, "%s: layer %s: weights hold NaN or infinity",
                                 m->component, made->layer);
        free(values);
    }
    m->made_count = 0;
    return status;
}

static vg_status convert(vg_module *m, const conversion *c, vg_err *err)
{
    vg_tensor w = c->w, scale = c->w_scale;
    if (c->raw_scale.data)
        return vg_dequantize_weight(
            m->be, &(vg_dequantize_weight_args){.q = &c->raw, .scale = &c->raw_scale, .y = &w},
            err);
    VG_TRY(vg_quantize_weight(
        m->be, &(vg_quantize_weight_args){.w = &c->raw, .q = &w, .scale = &scale}, err));
    return note_made(m, c->layer, &scale, err);
}

static vg_status run_stage(vg_module *m, int stage, vg_err *err)
{
    conversion *c = &m->staging.at[stage];
    conversion now = *c;
    if (!now.layer)
        return VG_OK;
    c->layer = NULL;
    if (m->loader)
        VG_TRY(vg_loader_order(m->loader, now.ticket, err));
    VG_TRY(convert(m, &now, err));
    return m->be->ops->fence_set(m->be, VG_QUEUE_COMPUTE, m->staging.free[stage], err);
}

/* In the order in which they were begun. */
static vg_status run_stages(vg_module *m, vg_err *err)
{
    for (int i = 0; i < STAGES; i++)
        VG_TRY(run_stage(m, (m->staging.next + i) % STAGES, err));
    return VG_OK;
}

/* The next place for a stored form; what waits there is converted first. */
static vg_status next_stage(vg_module *m, size_t bytes, int *stage, vg_err *err)
{
    const vg_backend_ops *ops = m->be->ops;
    staging *s = &m->staging;
    bytes = (bytes + 255) / 256 * 256;
    if (bytes > s->bytes) {
        void *memory;
        VG_TRY(run_stages(m, err));
        staging_free(m);
        VG_TRY(vg_backend_alloc(m->be, STAGES * bytes, &memory, err));
        s->memory = memory;
        s->bytes = bytes;
        for (int i = 0; i < STAGES; i++)
            VG_TRY(ops->fence_new(m->be, &s->free[i], err));
        if (m->loader) /* what lay here before, and what will lie where the old places were */
            VG_TRY(vg_loader_begin(m->loader, err));
    }
    *stage = s->next;
    s->next = (s->next + 1) % STAGES;
    VG_TRY(run_stage(m, *stage, err));
    return ops->fence_follow(m->be, VG_QUEUE_COPY, s->free[*stage], err);
}

/* c: layer, w, w_scale, and the dtype and shape of raw; raw_scale, if any, on the host. The stored form `s` is read where it lies if the
 * backend can, and comes to a stage otherwise. */
static vg_status begin_conversion(vg_module *m, const vg_source *s, conversion *c, vg_err *err)
{
    size_t bytes = vg_tensor_bytes(&s->t), scale_bytes = 0;
    int stage;
    c->raw = s->t;
    if (is_view(m, s, s->t.dtype))
        return convert(m, c, err);
    bytes = (bytes + 255) / 256 * 256;
    if (c->raw_scale.data)
        scale_bytes = vg_tensor_bytes(&c->raw_scale);
    VG_TRY(next_stage(m, bytes + scale_bytes, &stage, err));
    c->raw.data = m->staging.memory + (size_t)stage * m->staging.bytes;
    if (scale_bytes) {
        void *to = (char *)c->raw.data + bytes;
        VG_TRY(bring_copy(m, c->raw_scale.data, scale_bytes, to, err));
        c->raw_scale.data = to;
    }
    VG_TRY(bring(m, s, s->t.dtype, c->raw.data, &c->ticket, err));
    m->staging.at[stage] = *c;
    return m->loader ? VG_OK : run_stage(m, stage, err);
}

vg_status vg_module_settle(vg_module *m, vg_err *err)
{
    VG_TRY(run_stages(m, err));
    if (m->loader)
        VG_TRY(vg_loader_order(m->loader, VG_LOADER_ALL, err));
    return check_made(m, err);
}

vg_status vg_module_loaded(vg_module *m, vg_err *err)
{
    VG_TRY(run_stages(m, err));
    if (m->loader)
        VG_TRY(vg_loader_wait(m->loader, err));
    VG_TRY(check_made(m, err));
    VG_TRY(vg_backend_sync(m->be, err));
    staging_free(m);
    return VG_OK;
}

/* ---- linear layers ---- */

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

static void scale_shape(vg_precision p, int64_t n, int64_t k, int *ndim, int64_t shape[2])
{
    *ndim = p == VG_PRECISION_BLOCK ? 2 : 1;
    shape[0] = p == VG_PRECISION_BLOCK     ? (n + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP
               : p == VG_PRECISION_CHANNEL ? n
                                           : 1;
    shape[1] = (k + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP;
}

static vg_status load_stored_fp8(vg_module *m, const vg_source *w, const vg_layer_choice *choice,
                                 vg_linear_layer *l, vg_err *err)
{
    char name[NAME_MAX_BYTES];
    vg_status status;
    int ndim;
    int64_t shape[2];
    scale_shape(choice->stored, l->n, l->k, &ndim, shape);
    const vg_tensor *stored = find_part(m->weights, l->name, "weight_scale", name);
    int64_t count = ndim == 2 ? shape[0] * shape[1] : shape[0];
    float *scales = malloc((size_t)count * sizeof *scales);
    if (!scales)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the scales of %s", l->name);
    VG_TRY_GOTO(status, vg_host_to_f32(stored, 0, count, scales, err), done);
    if (choice->dequantised) {
        conversion c = {.layer = l->name, .raw_scale = vg_tensor_of(scales, VG_F32, ndim, shape)};
        VG_TRY_GOTO(status, take_matrix(m, m->options.compute, w->t.shape, &l->w, err), done);
        c.w = l->w;
        m->dequantised++;
        status = begin_conversion(m, w, &c, err);
        goto done;
    }
    VG_TRY_GOTO(status, place_matrix(m, w, VG_E4M3, &l->w, err), done);
    VG_TRY_GOTO(status, take(m, VG_F32, ndim, shape, &l->w_scale, err), done);
    status = bring_copy(m, scales, (size_t)count * sizeof *scales, l->w_scale.data, err);
done:
    free(scales);
    return status;
}

static vg_status make_fp8(vg_module *m, const vg_source *w, const vg_layer_choice *choice,
                          vg_linear_layer *l, vg_err *err)
{
    int ndim;
    int64_t shape[2];
    scale_shape(choice->used, l->n, l->k, &ndim, shape);
    VG_TRY(take_matrix(m, VG_E4M3, w->t.shape, &l->w, err));
    VG_TRY(take(m, VG_F32, ndim, shape, &l->w_scale, err));
    return begin_conversion(m, w, &(conversion){.layer = l->name, .w = l->w, .w_scale = l->w_scale},
                            err);
}

static vg_status load_input_scale(vg_module *m, const vg_layer_choice *choice, vg_linear_layer *l,
                                  vg_err *err)
{
    char name[NAME_MAX_BYTES];
    const vg_tensor *input = find_part(m->weights, l->name, "input_scale", name);
    if (!choice->made)
        VG_TRY(vg_host_to_f32(input, 0, 1, &l->x_scale_value, err));
    else if (m->scales)
        VG_TRY(vg_input_scales_find(m->scales, l->name, &l->x_scale_value, err));
    VG_TRY(take(m, VG_F32, 1, (const int64_t[]){1}, &l->x_scale, err));
    return bring_copy(m, &l->x_scale_value, sizeof l->x_scale_value, l->x_scale.data, err);
}

static vg_status load_fp8(vg_module *m, const vg_source *w, const vg_layer_choice *choice,
                          vg_linear_layer *l, vg_err *err)
{
    vg_status status =
        choice->made ? make_fp8(m, w, choice, l, err) : load_stored_fp8(m, w, choice, l, err);
    l->act = choice->act;
    if (status == VG_OK && l->act == VG_QUANT_TENSOR_STATIC)
        status = load_input_scale(m, choice, l, err);
    if (status != VG_OK && status != VG_E_CANCELLED && err && !strstr(err->message, l->name))
        vg_err_prefix(err, "%s: layer %s", m->component, l->name);
    return status;
}

/* The weight, and what belongs to its precision. Its shape and dtype were checked when the precision was chosen. */
static vg_status load_matrix(vg_module *m, const vg_layer_choice *choice, vg_dtype dtype,
                             vg_linear_layer *l, vg_err *err)
{
    char name[NAME_MAX_BYTES];
    const vg_tensor *w = find_part(m->weights, l->name, "weight", name);
    vg_source s = vg_source_of(m->weights, w, m->component, name, 2, (const int64_t[]){l->n, l->k});
    mark_used(m, name);
    return choice->used != VG_PRECISION_HIGH || choice->dequantised
               ? load_fp8(m, &s, choice, l, err)
               : place_matrix(m, &s, dtype, &l->w, err);
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

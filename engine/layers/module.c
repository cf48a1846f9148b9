/* module.c: see module.h. */
#include "engine/layers/module_impl.h"
#include "kernels/base/text.h"

#include <stdatomic.h>
#include <stdlib.h>

#define SMALL_CHUNK_BYTES ((size_t)1 << 20)

static void mark_used(vg_module *m, const char *name)
{
    int i = vg_weights_index(m->weights, name);
    if (i >= 0)
        m->used[i] = true;
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

void vg_module_close(vg_module *m)
{
    if (!m)
        return;
    if (m->loader && !m->loaded) /* readers may still be at the files */
        vg_loader_abandon(m->loader);
    vg_module_staging_free(m);
    while (m->names) {
        vg_name_node *next = m->names->next;
        free(m->names);
        m->names = next;
    }
    free(m->made);
    free(m->used);
    vg_arena_free(m->small);
    vg_arena_free(m->arena);
    vg_weights_close(m->weights);
    free(m);
}

const vg_weights *vg_module_weights(const vg_module *m)
{
    return m->weights;
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
        if (m->used[i] || strstr(name, "_quantizer.") || vg_ends_with(name, "_scale") ||
            vg_ends_with(name, "." VG_SCALE_INV))
            continue;
        *first = *first ? *first : name;
        count++;
    }
    return count;
}

void vg_module_elsewhere(vg_module *m, const vg_weight_list *list, int64_t item)
{
    for (int row = 0; row < list->rows_count; row++) {
        vg_weight_place p;
        vg_weight_tensor t;
        vg_weight_place_of(list, item, row, &p);
        vg_weight_resolve(&p, m->weights);
        for (int i = 0; vg_weight_tensor_of(&p, i, &t); i++)
            mark_used(m, t.name);
    }
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
    const vg_tensor *found;
    if (vg_weights_dummy(m->weights)) {
        *s = vg_source_of(m->weights, NULL, m->component, name, ndim, shape);
        return VG_OK;
    }
    VG_TRY(vg_module_find(m->weights, m->component, name, ndim, shape, &found, err));
    *s = vg_source_of(m->weights, found, NULL, NULL, 0, NULL);
    mark_used(m, name);
    return VG_OK;
}

bool vg_module_is_view(const vg_module *m, const vg_source *s, vg_dtype dtype)
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
vg_status vg_module_bring(vg_module *m, const vg_source *s, vg_dtype dtype, void *to,
                          size_t *ticket, vg_err *err)
{
    if (m->be->ops->dry)
        return VG_OK;
    m->loaded = false;
    return m->loader ? vg_loader_put(m->loader, s, dtype, to, ticket, err)
                     : read_all(m, s, dtype, to, err);
}

vg_status vg_module_bring_copy(vg_module *m, const void *from, size_t bytes, void *to, vg_err *err)
{
    if (m->be->ops->dry)
        return VG_OK;
    m->loaded = false;
    if (m->loader)
        return vg_loader_put_copy(m->loader, from, bytes, to, err);
    memcpy(to, from, bytes);
    return VG_OK;
}

static vg_status place(vg_module *m, const vg_source *s, vg_dtype dtype, vg_tensor *t, vg_err *err)
{
    if (vg_module_is_view(m, s, dtype)) {
        *t = s->t;
        m->bytes += vg_tensor_bytes(&s->t);
        return VG_OK;
    }
    VG_TRY(take(m, dtype, s->t.ndim, s->t.shape, t, err));
    return vg_module_bring(m, s, dtype, t->data, NULL, err);
}

static vg_status place_matrix(vg_module *m, const vg_source *s, vg_dtype dtype, vg_tensor *t,
                              vg_err *err)
{
    if (!m->into.memory)
        return place(m, s, dtype, t, err);
    VG_TRY(take_matrix(m, dtype, s->t.shape, t, err));
    return vg_module_bring(m, s, dtype, t->data, NULL, err);
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
    status = vg_module_bring_copy(m, memory + bytes, bytes, t->data, err);
done:
    free(memory);
    return status;
}

/* ---- linear layers ---- */

vg_status vg_module_keep_name(vg_module *m, const char *name, const char **kept, vg_err *err)
{
    size_t n = strlen(name) + 1;
    vg_name_node *node = malloc(sizeof *node + n);
    if (!node)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the name of a layer");
    memcpy(node->text, name, n);
    node->next = m->names;
    m->names = node;
    *kept = node->text;
    return VG_OK;
}

static void scale_shape(vg_precision p, int64_t n, int64_t k, int *ndim, int64_t shape[2])
{
    *ndim = p == VG_PRECISION_BLOCK ? 2 : 1;
    shape[0] = p == VG_PRECISION_BLOCK ? vg_quant_groups(n) : p == VG_PRECISION_CHANNEL ? n : 1;
    shape[1] = vg_quant_groups(k);
}

static vg_status load_stored_fp8(vg_module *m, const vg_source *w, const vg_layer_choice *choice,
                                 vg_linear_layer *l, vg_err *err)
{
    char name[VG_NAME_MAX_BYTES];
    vg_status status;
    int ndim;
    int64_t shape[2];
    scale_shape(choice->stored, l->n, l->k, &ndim, shape);
    const vg_tensor *stored = vg_layer_scale(m->weights, l->name, name);
    int64_t count = ndim == 2 ? shape[0] * shape[1] : shape[0];
    float *scales = malloc((size_t)count * sizeof *scales);
    if (!scales)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the scales of %s", l->name);
    VG_TRY_GOTO(status, vg_host_to_f32(stored, 0, count, scales, err), done);
    if (choice->dequantised) {
        vg_conversion c = {.layer = l->name,
                           .raw_scale = vg_tensor_of(scales, VG_F32, ndim, shape)};
        VG_TRY_GOTO(status, take_matrix(m, m->options.compute, w->t.shape, &l->w, err), done);
        c.w = l->w;
        m->dequantised++;
        status = vg_module_convert(m, w, &c, err);
        goto done;
    }
    VG_TRY_GOTO(status, place_matrix(m, w, VG_E4M3, &l->w, err), done);
    VG_TRY_GOTO(status, take(m, VG_F32, ndim, shape, &l->w_scale, err), done);
    status = vg_module_bring_copy(m, scales, (size_t)count * sizeof *scales, l->w_scale.data, err);
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
    return vg_module_convert(
        m, w, &(vg_conversion){.layer = l->name, .w = l->w, .w_scale = l->w_scale}, err);
}

/* The scale that calibration measured for a layer that was made FP8 here. */
static vg_status find_made_scale(vg_module *m, const char *layer, float *scale, vg_err *err)
{
    if (m->be->ops->dry)
        return VG_OK;
    if (!m->options.input_scales)
        return VG_FAIL(
            err, VG_E_ARG,
            "static FP8 activation scales need a calibration; make one, or use dynamic scales");
    return vg_input_scales_find(m->options.input_scales, m->component, layer, scale, err);
}

static vg_status load_input_scale(vg_module *m, const vg_layer_choice *choice, vg_linear_layer *l,
                                  vg_err *err)
{
    char name[VG_NAME_MAX_BYTES];
    const vg_tensor *input = vg_layer_part(m->weights, l->name, "input_scale", name);
    if (!choice->made)
        VG_TRY(vg_host_to_f32(input, 0, 1, &l->x_scale_value, err));
    else
        VG_TRY(find_made_scale(m, l->name, &l->x_scale_value, err));
    VG_TRY(take(m, VG_F32, 1, (const int64_t[]){1}, &l->x_scale, err));
    return vg_module_bring_copy(m, &l->x_scale_value, sizeof l->x_scale_value, l->x_scale.data,
                                err);
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
    char name[VG_NAME_MAX_BYTES];
    const vg_tensor *w = vg_layer_part(m->weights, l->name, "weight", name);
    vg_source s = vg_source_of(m->weights, w, m->component, name, 2, (const int64_t[]){l->n, l->k});
    mark_used(m, name);
    return choice->used != VG_PRECISION_HIGH || choice->dequantised
               ? load_fp8(m, &s, choice, l, err)
               : place_matrix(m, &s, dtype, &l->w, err);
}

vg_status vg_module_linear(vg_module *m, const char *layer, int64_t n, int64_t k, bool bias,
                           bool quantisable, vg_dtype dtype, vg_linear_layer *linear, vg_err *err)
{
    char name[VG_NAME_MAX_BYTES];
    vg_layer_choice choice;
    vg_linear_layer l = {.n = n, .k = k, .act = VG_QUANT_NONE};
    vg_device_info device;
    VG_TRY(vg_layer_choose(m->weights, &m->census, m->component, layer, n, k, quantisable,
                           m->options.policy, &choice, err));
    VG_TRY(vg_backend_info(m->be, &device, err));
    VG_TRY(vg_fp8_act_check(device.capability, choice.act, err));
    VG_TRY(vg_module_keep_name(m, layer, &l.name, err));
    VG_TRY(load_matrix(m, &choice, dtype, &l, err));
    if (bias) {
        snprintf(name, sizeof name, "%s.bias", layer);
        VG_TRY(vg_module_tensor(m, name, dtype, 1, &n, &l.bias, err));
    }
    *linear = l;
    return VG_OK;
}

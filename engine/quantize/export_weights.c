/* export_weights.c: the tensors of a folder: which become what, and writing them one by one. See export.h. */
#include "engine/checkpoint/safetensors_writer.h"
#include "engine/checkpoint/source.h"
#include "engine/layers/weight_check.h"
#include "engine/quantize/export.h"
#include "engine/quantize/export_impl.h"
#include "kernels/base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEM       "diffusion_pytorch_model"
#define CHUNK      ((int64_t)1 << 23) /* values that are copied at a time */
#define READ_GRAIN ((int64_t)1 << 16)

/* ---- what becomes of each tensor ---- */

enum { SCALE = -1, GENERATED = -2 };

/* One tensor of the export. */
typedef struct piece {
    vg_safetensors_shape shape; /* its name is owned */
    int from; /* tensor of the source; SCALE: its weight brings it; GENERATED: of weights without files */
    vg_precision precision; /* of a weight that becomes FP8: two scales follow behind its bias */
    int weight_scale, input_scale; /* their numbers */
} piece;

typedef struct pieces {
    piece *list;
    int count, capacity;
    bool *taken; /* tensors of the source */
    vg_export_counts counts;
    vg_precision kind; /* of FP8; HIGH: none yet */
    bool all_bf16;
} pieces;

static void pieces_deinit(pieces *p)
{
    for (int i = 0; i < p->count; i++)
        free((char *)(uintptr_t)p->list[i].shape.name);
    free(p->list);
    free(p->taken);
}

static vg_status add_piece(pieces *p, const char *name, vg_dtype dtype, int ndim,
                           const int64_t *shape, int from, vg_err *err)
{
    if (p->count == p->capacity) {
        int capacity = p->capacity ? 2 * p->capacity : 256;
        piece *grown = realloc(p->list, (size_t)capacity * sizeof *grown);
        if (!grown)
            return VG_FAIL(err, VG_E_NOMEM, "out of memory for %d tensors", capacity);
        p->list = grown;
        p->capacity = capacity;
    }
    piece *t = &p->list[p->count];
    *t = (piece){.shape = {.name = strdup(name), .dtype = dtype, .ndim = ndim}, .from = from};
    if (!t->shape.name)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the name of a tensor");
    for (int i = 0; i < ndim; i++)
        t->shape.shape[i] = shape[i];
    p->count++;
    if (from >= 0)
        p->taken[from] = true;
    return VG_OK;
}

static vg_status add_scales(pieces *p, const vg_weight_place *place, int weight, vg_err *err)
{
    char name[VG_WEIGHT_NAME_BYTES + 16];
    piece *w = &p->list[weight];
    const int64_t tiles[4] = {vg_quant_groups(w->shape.shape[0]), 1,
                              vg_quant_groups(w->shape.shape[1]), 1};
    /* A layer that is one tile has a scalar, as ModelOpt leaves it. */
    bool block = w->precision == VG_PRECISION_BLOCK && tiles[0] * tiles[2] > 1;
    w->weight_scale = p->count;
    w->input_scale = p->count + 1;
    snprintf(name, sizeof name, "%s.weight_scale", place->name);
    VG_TRY(add_piece(p, name, VG_F32, block ? 4 : 0, tiles, SCALE, err));
    snprintf(name, sizeof name, "%s.input_scale", place->name);
    return add_piece(p, name, VG_F32, 0, NULL, SCALE, err);
}

static vg_dtype dtype_of(const vg_tensor *t, unsigned flags)
{
    bool high = t->dtype == VG_F32 || t->dtype == VG_BF16 || t->dtype == VG_F16;
    return !high ? t->dtype : flags & VG_WEIGHT_F32 ? VG_F32 : VG_BF16;
}

/* What a layer of the table becomes: HIGH or FP8. */
static vg_status choose(const vg_weight_table *table, const vg_weight_place *place,
                        const vg_weights *weights, const vg_precision_census *census,
                        const vg_precision_policy *policy, pieces *p, vg_precision *used,
                        vg_err *err)
{
    vg_layer_choice choice;
    *used = VG_PRECISION_HIGH;
    if (place->row->kind != VG_WEIGHT_LINEAR)
        return VG_OK;
    VG_TRY(vg_layer_choose_at(table, place, weights, census, policy, &choice, err));
    if (choice.stored != VG_PRECISION_HIGH)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "%s: layer %s is FP8 already; give the checkpoint that it was made of",
                       table->component, place->name);
    *used = choice.used;
    if (!(place->row->flags & VG_WEIGHT_QUANTISABLE))
        return VG_OK;
    p->counts.quantised += choice.made;
    p->counts.kept += !choice.made;
    if (!choice.made)
        return VG_OK;
    if (p->kind != VG_PRECISION_HIGH && p->kind != choice.used)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "%s: layer %s would be another kind of FP8 than those before it; an export "
                       "has one kind, and layers in bf16",
                       table->component, place->name);
    p->kind = choice.used;
    return VG_OK;
}

static vg_status add_place(const vg_weight_table *table, const vg_weight_place *place,
                           const vg_weights *weights, const vg_precision_census *census,
                           const vg_precision_policy *policy, pieces *p, vg_err *err)
{
    vg_weight_tensor t;
    vg_precision used;
    int weight = p->count;
    VG_TRY(choose(table, place, weights, census, policy, p, &used, err));
    for (int i = 0; vg_weight_tensor_of(place, i, &t); i++) {
        int from = vg_weights_index(weights, t.name);
        const vg_tensor made = vg_tensor_of(NULL, VG_BF16, t.ndim, t.shape),
                        *found = vg_weights_tensor(weights, from);
        if (!found && vg_weights_dummy(weights)) {
            from = GENERATED;
            found = &made;
        }
        if (!found)
            return VG_FAIL(err, VG_E_MISSING, "%s: tensor %s is missing", table->component, t.name);
        vg_dtype dtype = i == 0 && used != VG_PRECISION_HIGH
                             ? VG_E4M3
                             : dtype_of(found, p->all_bf16 ? 0 : place->row->flags);
        VG_TRY(add_piece(p, t.name, dtype, found->ndim, found->shape, from, err));
    }
    if (used == VG_PRECISION_HIGH)
        return VG_OK;
    p->list[weight].precision = used;
    return add_scales(p, place, weight, err);
}

/* In the order of the table, then what it does not name; the quantiser's own strays of an earlier attempt are left out. */
static vg_status make_pieces(const vg_weight_table *table, const vg_weights *weights,
                             const vg_precision_policy *policy, pieces *p, vg_err *err)
{
    vg_precision_census census;
    vg_weight_place place = {0};
    VG_TRY(vg_weight_table_check(table, weights, err));
    vg_precision_census_take(weights, &census);
    p->taken = calloc((size_t)vg_weights_count(weights) + 1, sizeof *p->taken);
    if (!p->taken)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the tensors of %s", table->component);
    while (vg_weight_table_next(table, &place)) {
        vg_weight_resolve(&place, weights);
        VG_TRY(add_place(table, &place, weights, &census, policy, p, err));
    }
    for (int i = 0; i < vg_weights_count(weights); i++) {
        const char *name = vg_weights_name(weights, i);
        const vg_tensor *t = vg_weights_tensor(weights, i);
        if (!p->taken[i] && !strstr(name, "_quantizer."))
            VG_TRY(add_piece(p, name, dtype_of(t, 0), t->ndim, t->shape, i, err));
    }
    if (p->counts.quantised == 0)
        return VG_FAIL(err, VG_E_ARG, "%s: no layer is left to quantise", table->component);
    return VG_OK;
}

vg_status vg_export_plan(const vg_weight_table *table, const vg_weights *weights,
                         const vg_export_options *options, vg_export_counts *counts, vg_err *err)
{
    pieces p = {.kind = VG_PRECISION_HIGH, .all_bf16 = options->all_bf16};
    vg_status status = make_pieces(table, weights, options->policy, &p, err);
    for (int i = 0; status == VG_OK && i < p.count; i++) {
        const vg_safetensors_shape *s = &p.list[i].shape;
        size_t bytes;
        status = vg_shape_bytes(s->shape, s->ndim, s->dtype, &bytes, err);
        if (status == VG_OK)
            p.counts.bytes += bytes;
    }
    if (status == VG_OK)
        *counts = p.counts;
    pieces_deinit(&p);
    return status;
}

/* ---- writing ---- */

typedef struct writing {
    const vg_export_options *options;
    const vg_weights *weights;
    const char *component;
    const pieces *pieces;
    vg_safetensors_writer *writer;
    uint64_t done;
} writing;

typedef struct reading {
    const vg_source *source;
    vg_dtype dtype;
    int64_t begin;
    char *to;
    atomic_int status;
} reading;

static void read_range(void *ctx, int64_t begin, int64_t end, int worker)
{
    reading *r = ctx;
    (void)worker;
    vg_status status = vg_source_read(r->source, r->dtype, r->begin + begin, end - begin,
                                      r->to + (size_t)begin * vg_dtype_size(r->dtype), NULL);
    if (status != VG_OK)
        atomic_store(&r->status, status);
}

static vg_source source_of(const writing *w, const piece *p)
{
    return vg_source_of(w->weights, vg_weights_tensor(w->weights, p->from), w->component,
                        p->shape.name, p->shape.ndim, p->shape.shape);
}

static vg_status read_values(const writing *w, const vg_source *s, vg_dtype dtype, int64_t begin,
                             int64_t count, void *to, vg_err *err)
{
    reading r = {.source = s, .dtype = dtype, .begin = begin, .to = to};
    vg_parallel_for(w->options->pool, count, READ_GRAIN, read_range, &r);
    if (atomic_load(&r.status) != VG_OK) /* once more for the message */
        return vg_source_read(s, dtype, begin, count, to, err);
    return VG_OK;
}

static vg_status append(writing *w, int number, const void *bytes, size_t size, vg_err *err)
{
    VG_TRY(vg_safetensors_writer_append(w->writer, number, bytes, size, err));
    w->done += size;
    if (w->options->progress)
        w->options->progress(w->options->user, w->done, vg_safetensors_writer_bytes(w->writer));
    return VG_OK;
}

static vg_status check_cancel(const writing *w, vg_err *err)
{
    if (w->options->cancel && atomic_load(w->options->cancel))
        return VG_FAIL(err, VG_E_CANCELLED, "cancelled");
    return VG_OK;
}

static vg_status copy_piece(writing *w, int at, vg_err *err)
{
    const piece *p = &w->pieces->list[at];
    const vg_source source = source_of(w, p);
    int64_t numel = vg_tensor_numel(&source.t);
    size_t size = vg_dtype_size(p->shape.dtype);
    char *memory = malloc((size_t)(numel < CHUNK ? numel : CHUNK) * size + 1);
    vg_status status =
        memory ? VG_OK : VG_FAIL(err, VG_E_NOMEM, "out of memory for %s", p->shape.name);
    for (int64_t i = 0; status == VG_OK && i < numel; i += CHUNK) {
        int64_t count = numel - i < CHUNK ? numel - i : CHUNK;
        status = check_cancel(w, err);
        if (status == VG_OK)
            status = read_values(w, &source, p->shape.dtype, i, count, memory, err);
        if (status == VG_OK)
            status = append(w, at, memory, (size_t)count * size, err);
    }
    free(memory);
    return status;
}

static vg_status write_layer(writing *w, int at, float *values, float *scales, uint8_t *codes,
                             vg_err *err)
{
    const piece *p = &w->pieces->list[at];
    const vg_source source = source_of(w, p);
    int64_t n = p->shape.shape[0], k = p->shape.shape[1];
    int64_t count =
        p->precision == VG_PRECISION_BLOCK ? vg_quant_groups(n) * vg_quant_groups(k) : 1;
    char layer[VG_WEIGHT_NAME_BYTES];
    float input_scale;
    snprintf(layer, sizeof layer, "%.*s", (int)(strlen(p->shape.name) - strlen(".weight")),
             p->shape.name);
    VG_TRY(vg_input_scales_find(w->options->input_scales, w->component, layer, &input_scale, err));
    VG_TRY(read_values(w, &source, VG_F32, 0, n * k, values, err));
    if (!vg_export_quantise(w->options->pool, values, n, k, p->precision,
                            w->options->compat_rounding, scales, codes))
        return VG_FAIL(err, VG_E_FORMAT, "%s: the weight of layer %s holds NaN or infinity",
                       w->component, layer);
    VG_TRY(append(w, at, codes, (size_t)(n * k), err));
    VG_TRY(append(w, p->weight_scale, scales, (size_t)count * sizeof *scales, err));
    return append(w, p->input_scale, &input_scale, sizeof input_scale, err);
}

static vg_status quantise_piece(writing *w, int at, vg_err *err)
{
    const vg_safetensors_shape *s = &w->pieces->list[at].shape;
    size_t count = (size_t)(s->shape[0] * s->shape[1]);
    float *values = malloc(count * sizeof *values + 1), /* the tiles of any layer are fewer */
        *scales = malloc((size_t)(vg_quant_groups(s->shape[0]) * vg_quant_groups(s->shape[1])) *
                         sizeof *scales);
    uint8_t *codes = malloc(count + 1);
    vg_status status = values && scales && codes
                           ? write_layer(w, at, values, scales, codes, err)
                           : VG_FAIL(err, VG_E_NOMEM, "out of memory for %s", s->name);
    free(values);
    free(scales);
    free(codes);
    return status;
}

static vg_status write_pieces(writing *w, vg_err *err)
{
    for (int i = 0; i < w->pieces->count; i++) {
        const piece *p = &w->pieces->list[i];
        VG_TRY(check_cancel(w, err));
        if (p->from != SCALE)
            VG_TRY(p->shape.dtype == VG_E4M3 && p->precision != VG_PRECISION_HIGH
                       ? quantise_piece(w, i, err)
                       : copy_piece(w, i, err));
    }
    return vg_safetensors_writer_finish(w->writer, err);
}

static vg_status open_writer(const pieces *p, const char *dir, uint64_t shard_bytes,
                             vg_safetensors_writer **writer, vg_err *err)
{
    static const char *const metadata[] = {"format", "pt", NULL};
    vg_safetensors_shape *shapes = calloc((size_t)p->count, sizeof *shapes);
    if (!shapes)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %d tensors", p->count);
    for (int i = 0; i < p->count; i++)
        shapes[i] = p->list[i].shape;
    vg_status status = vg_safetensors_writer_open(dir, STEM, shapes, p->count,
                                                  shard_bytes ? shard_bytes : VG_SHARD_BYTES,
                                                  metadata, writer, err);
    free(shapes);
    return status;
}

vg_status vg_export_weights(const vg_weight_table *table, const vg_weights *weights,
                            const char *dir, const vg_export_options *options,
                            vg_export_counts *counts, vg_err *err)
{
    pieces p = {.kind = VG_PRECISION_HIGH, .all_bf16 = options->all_bf16};
    writing w = {
        .options = options, .weights = weights, .component = table->component, .pieces = &p};
    vg_status status;
    VG_TRY_GOTO(status, make_pieces(table, weights, options->policy, &p, err), done);
    VG_TRY_GOTO(status, open_writer(&p, dir, options->shard_bytes, &w.writer, err), done);
    status = write_pieces(&w, err);
    if (status == VG_OK) {
        p.counts.bytes = vg_safetensors_writer_bytes(w.writer);
        p.counts.files = vg_safetensors_writer_files(w.writer);
        *counts = p.counts;
    }
done:
    vg_safetensors_writer_close(w.writer);
    pieces_deinit(&p);
    return status;
}

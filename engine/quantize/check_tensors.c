/* check_tensors.c: what index and headers say: files, names, shapes, dtypes, scales, and how they fit the architecture. See check.h. */
#include "engine/checkpoint/host_values.h"
#include "engine/layers/weight_check.h"
#include "engine/quantize/check_impl.h"
#include "kernels/base/text.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INDEX_END   ".safetensors.index.json"
#define SHARD_END   ".safetensors"
#define LISTED_MOST 12 /* layers that are named one by one; the others are counted */

/* ---- index and shards ---- */

static int find_name(const vg_weights *weights, const char *file)
{
    for (int i = 0; i < vg_weights_files(weights); i++) {
        const char *path = vg_weights_file(weights, i), *slash = strrchr(path, '/');
        if (!strcmp(slash ? slash + 1 : path, file))
            return i;
    }
    return -1;
}

/* Files of the folder that nobody reads, and the index's name. */
static vg_status check_files(vg_checking *c, char *index, size_t size, vg_err *err)
{
    vg_status status = VG_OK;
    DIR *folder = opendir(c->path);
    index[0] = 0;
    for (struct dirent *item; status == VG_OK && folder && (item = readdir(folder));) {
        if (vg_ends_with(item->d_name, INDEX_END))
            snprintf(index, size, "%s/%s", c->path, item->d_name);
        else if (vg_ends_with(item->d_name, SHARD_END) && find_name(c->weights, item->d_name) < 0)
            status = vg_findings_add(c->findings, VG_FINDING_WARNING, c->folder->name, err,
                                     "%s is not used: no index names it", item->d_name);
    }
    if (folder)
        closedir(folder);
    return status;
}

static vg_status check_total(vg_checking *c, const cJSON *root, vg_err *err)
{
    const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(root, "metadata"),
                *total = cJSON_GetObjectItemCaseSensitive(metadata, "total_size");
    uint64_t bytes = 0;
    for (int i = 0; i < vg_weights_count(c->weights); i++)
        bytes += vg_tensor_bytes(vg_weights_tensor(c->weights, i));
    if (cJSON_IsNumber(total) && c->folder->of_other_dtype == 0 &&
        total->valuedouble != (double)bytes)
        VG_FIND(c, WARNING, "the index says total_size %.0f, its tensors have %llu bytes",
                total->valuedouble, (unsigned long long)bytes);
    return VG_OK;
}

/* Tensors of the shards that the index leaves out are not loaded. */
static vg_status check_left_out(vg_checking *c, const cJSON *root, vg_err *err)
{
    const cJSON *map = cJSON_GetObjectItemCaseSensitive(root, "weight_map");
    char first[VG_WEIGHT_NAME_BYTES] = "";
    int count = 0;
    for (int f = 0; f < vg_weights_files(c->weights); f++) {
        vg_safetensors *st = NULL;
        if (vg_safetensors_open(vg_weights_file(c->weights, f), &st, NULL) != VG_OK)
            continue; /* it was opened before */
        for (int i = 0; i < vg_safetensors_count(st); i++)
            if (!cJSON_GetObjectItemCaseSensitive(map, vg_safetensors_name(st, i)) && count++ == 0)
                snprintf(first, sizeof first, "%s", vg_safetensors_name(st, i));
        vg_safetensors_close(st);
    }
    if (count)
        VG_FIND(c, WARNING, "%d tensors of the shards are not in the index, the first is %s", count,
                first);
    return VG_OK;
}

vg_status vg_check_index(vg_checking *c, vg_err *err)
{
    char index[4096];
    cJSON *root = NULL;
    VG_TRY(check_files(c, index, sizeof index, err));
    if (vg_weights_files(c->weights) == 1 && !index[0])
        return VG_OK;
    if (!index[0] || vg_json_load(index, &root, NULL) != VG_OK)
        return VG_OK; /* opening the weights has read it */
    vg_status status = check_total(c, root, err);
    if (status == VG_OK)
        status = check_left_out(c, root, err);
    cJSON_Delete(root);
    return status;
}

/* ---- tensors ---- */

bool vg_check_fp8_layer(const vg_weights *weights, int i, char layer[VG_WEIGHT_NAME_BYTES])
{
    const char *name = vg_weights_name(weights, i);
    size_t n = strlen(name), end = strlen(".weight");
    if (vg_weights_tensor(weights, i)->dtype != VG_E4M3 || !vg_ends_with(name, ".weight") ||
        n - end >= VG_WEIGHT_NAME_BYTES)
        return false;
    memcpy(layer, name, n - end);
    layer[n - end] = 0;
    return true;
}

static bool is_stray(const char *name)
{
    return strstr(name, "_quantizer.") != NULL;
}

static bool is_scale(const char *name)
{
    return vg_ends_with(name, ".weight_scale") || vg_ends_with(name, ".input_scale") ||
           vg_ends_with(name, ".weight_scale_inv");
}

static void count_tensors(vg_checking *c)
{
    vg_check_folder *f = c->folder;
    f->files = vg_weights_files(c->weights);
    f->tensors = vg_weights_count(c->weights);
    for (int i = 0; i < f->tensors; i++) {
        const char *name = vg_weights_name(c->weights, i);
        const vg_tensor *t = vg_weights_tensor(c->weights, i);
        f->of_dtype[t->dtype]++;
        f->strays += is_stray(name);
        if (is_stray(name) || is_scale(name))
            continue;
        f->parameters += (uint64_t)vg_tensor_numel(t);
        if (!c->table) /* what an FP8 export keeps in F32 is kept in F32 */
            f->bf16_bytes +=
                (uint64_t)vg_tensor_numel(t) * (t->dtype == VG_F32 && c->census.fp8 > 0 ? 4 : 2);
    }
    f->fp8 = c->census.fp8;
    f->input_scales = c->census.input_scales;
}

/* An input scale of just 1 is one that calibration did not set. */
static void count_unset(const vg_checking *c, const char *layer, int *ones, char *first)
{
    char name[VG_WEIGHT_NAME_BYTES + 16];
    float value = 0;
    snprintf(name, sizeof name, "%s.input_scale", layer);
    const vg_tensor *scale = vg_weights_find(c->weights, name);
    if (!scale || vg_tensor_numel(scale) != 1 || vg_host_to_f32(scale, 0, 1, &value, NULL) != VG_OK)
        return;
    if (value == 1 && (*ones)++ == 0)
        snprintf(first, VG_WEIGHT_NAME_BYTES, "%s", layer);
}

/* Every FP8 layer with its scales, by the same rules that loading goes by. */
static vg_status check_fp8_layers(vg_checking *c, vg_err *err)
{
    char layer[VG_WEIGHT_NAME_BYTES], first[VG_WEIGHT_NAME_BYTES] = "";
    int wrong = 0, ones = 0;
    for (int i = 0; i < vg_weights_count(c->weights); i++) {
        const vg_tensor *t = vg_weights_tensor(c->weights, i);
        vg_layer_choice choice = {0};
        vg_err why = {0};
        if (!vg_check_fp8_layer(c->weights, i, layer))
            continue;
        if (t->ndim != 2)
            VG_FIND(c, FAILURE, "layer %s: an FP8 weight of %d dimensions", layer, t->ndim);
        else if (vg_layer_choose(c->weights, &c->census, c->folder->name, layer, t->shape[0],
                                 t->shape[1], true, NULL, &choice, &why) == VG_OK)
            c->folder->layers[choice.stored]++;
        else if (wrong++ < LISTED_MOST)
            VG_FIND(c, FAILURE, "%s", why.message);
        count_unset(c, layer, &ones, first);
    }
    if (wrong > LISTED_MOST)
        VG_FIND(c, FAILURE, "the scales of %d more layers are wrong", wrong - LISTED_MOST);
    if (ones)
        VG_FIND(
            c, WARNING,
            "the input_scale of %d layers is exactly 1, as if nobody had set it; the first is %s",
            ones, first);
    if (c->folder->fp8 > 0 && c->folder->input_scales == 0 &&
        c->folder->layers[VG_PRECISION_TENSOR] > 0)
        VG_FIND(c, WARNING,
                "no layer has an input_scale: its inputs will be measured at every call");
    return VG_OK;
}

/* ---- against the architecture ---- */

typedef struct faults {
    vg_checking *c;
    int count;
    vg_status status;
    vg_err *err;
} faults;

/* What is wrong with FP8 layers was told. */
static void take_fault(void *user, const vg_weight_place *place, const vg_err *why)
{
    faults *f = user;
    char name[VG_WEIGHT_NAME_BYTES + 8];
    snprintf(name, sizeof name, "%s.weight", place->name);
    const vg_tensor *t = vg_weights_find(f->c->weights, name);
    bool told = place->row->kind == VG_WEIGHT_LINEAR && t && t->dtype == VG_E4M3 && t->ndim == 2 &&
                t->shape[0] == place->shape[0] && t->shape[1] == place->shape[1];
    if (told || f->status != VG_OK || f->count++ >= LISTED_MOST)
        return;
    f->status = vg_findings_add(f->c->findings, VG_FINDING_FAILURE, f->c->folder->name, f->err,
                                "%s", why->message);
}

static uint64_t place_bytes(const vg_weight_place *p, bool all_bf16)
{
    uint64_t bytes = 0;
    vg_weight_tensor t;
    for (int i = 0; vg_weight_tensor_of(p, i, &t); i++) {
        uint64_t numel = 1;
        for (int d = 0; d < t.ndim; d++)
            numel *= (uint64_t)t.shape[d];
        bytes += numel * (p->row->flags & VG_WEIGHT_F32 && !all_bf16 ? 4 : 2);
    }
    return bytes;
}

/* Mark the tensors that a place reads. */
static void mark_place(const vg_checking *c, const vg_weight_place *p, bool *known)
{
    vg_weight_tensor t;
    for (int i = 0; vg_weight_tensor_of(p, i, &t); i++) {
        int at = vg_weights_index(c->weights, t.name);
        if (at >= 0)
            known[at] = true;
    }
}

static vg_status check_unknown(vg_checking *c, const bool *known, vg_err *err)
{
    char layer[VG_WEIGHT_NAME_BYTES], first[VG_WEIGHT_NAME_BYTES] = "";
    int unknown = 0;
    for (int i = 0; i < vg_weights_count(c->weights); i++) {
        const char *name = vg_weights_name(c->weights, i);
        if (known[i] || is_stray(name) || is_scale(name))
            continue;
        if (vg_check_fp8_layer(c->weights, i, layer) || !unknown)
            snprintf(first, sizeof first, "%s", name);
        unknown++;
    }
    if (unknown)
        VG_FIND(c, WARNING, "%d tensors are none of this architecture's, one is %s", unknown,
                first);
    return VG_OK;
}

static vg_status check_counts(vg_checking *c, int beyond, const char *beyond_name, vg_err *err)
{
    const vg_check_folder *f = c->folder;
    if (beyond)
        VG_FIND(c, WARNING,
                "%d layers are FP8 that this architecture keeps in high precision, the first is %s",
                beyond, beyond_name);
    if (f->fp8 > 0 && f->fp8 - beyond < f->quantisable)
        VG_FIND(c, NOTE,
                "%d of the %d layers that may be FP8 are; the others stay in high precision",
                f->fp8 - beyond, f->quantisable);
    return VG_OK;
}

static vg_status check_table(vg_checking *c, vg_err *err)
{
    vg_check_folder *f = c->folder;
    vg_weight_place place = {0};
    faults found = {.c = c, .err = err};
    char beyond_name[VG_WEIGHT_NAME_BYTES] = "";
    int beyond = 0;
    bool *known = calloc((size_t)vg_weights_count(c->weights) + 1, sizeof *known);
    if (!known)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the names of %s", f->name);
    f->quantisable = 0;
    while (vg_weight_table_next(c->table, &place)) {
        vg_weight_resolve(&place, c->weights);
        bool quantisable = place.row->flags & VG_WEIGHT_QUANTISABLE;
        f->quantisable += quantisable;
        f->bf16_bytes += place_bytes(&place, c->all_bf16);
        mark_place(c, &place, known);
        char name[VG_WEIGHT_NAME_BYTES + 8];
        snprintf(name, sizeof name, "%s.weight", place.name);
        const vg_tensor *t = vg_weights_find(c->weights, name);
        if (t && quantisable && t->dtype != VG_E4M3)
            f->layers[VG_PRECISION_HIGH]++;
        if (t && !quantisable && t->dtype == VG_E4M3 && beyond++ == 0)
            snprintf(beyond_name, sizeof beyond_name, "%s", place.name);
    }
    vg_weight_table_faults(c->table, c->weights, take_fault, &found);
    vg_status status = found.status;
    if (status == VG_OK && found.count > LISTED_MOST)
        status = vg_findings_add(c->findings, VG_FINDING_FAILURE, f->name, err,
                                 "%d more of its tensors are missing or wrong",
                                 found.count - LISTED_MOST);
    if (status == VG_OK)
        status = check_unknown(c, known, err);
    if (status == VG_OK)
        status = check_counts(c, beyond, beyond_name, err);
    free(known);
    return status;
}

vg_status vg_check_tensors(vg_checking *c, vg_err *err)
{
    vg_precision_census_take(c->weights, &c->census);
    count_tensors(c);
    VG_TRY(check_fp8_layers(c, err));
    c->folder->quantisable = -1;
    if (c->table)
        VG_TRY(check_table(c, err));
    if (c->folder->strays)
        VG_FIND(c, NOTE, "%d states of the quantiser itself (*_quantizer.*) are ignored",
                c->folder->strays);
    return VG_OK;
}

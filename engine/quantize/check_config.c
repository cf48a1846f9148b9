/* check_config.c: the label of a quantised folder: is it there, is it a known one, and do the tensors agree? See check.h. */
#include "engine/checkpoint/quantization.h"
#include "engine/quantize/check_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void take(char *to, size_t size, const cJSON *o, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    if (cJSON_IsString(item) && !*to)
        snprintf(to, size, "%s", item->valuestring);
}

/* The label, in a flat block or one nested under "quantization". */
static void read_label(vg_check_folder *f, const cJSON *q)
{
    const cJSON *nested = cJSON_GetObjectItemCaseSensitive(q, "quantization"),
                *producer = cJSON_GetObjectItemCaseSensitive(q, "producer"),
                *groups = cJSON_GetObjectItemCaseSensitive(q, "config_groups");
    const cJSON *group = groups ? groups->child : NULL;
    char version[48] = "";
    take(f->method, sizeof f->method, q, "quant_method");
    take(f->algo, sizeof f->algo, q, "quant_algo");
    take(f->algo, sizeof f->algo, nested, "quant_algo");
    take(f->producer, sizeof f->producer - sizeof version, producer, "name");
    take(version, sizeof version, producer, "version");
    if (*version)
        snprintf(f->producer + strlen(f->producer), sizeof version + 1, " %s", version);
    if (!*f->method && !strcasecmp(f->producer, "modelopt"))
        snprintf(f->method, sizeof f->method, "modelopt");
    if (!group)
        return;
    const cJSON *weights = cJSON_GetObjectItemCaseSensitive(group, "weights");
    take(f->strategy, sizeof f->strategy, weights, "strategy");
    if (cJSON_IsObject(weights) && !*f->strategy)
        snprintf(f->strategy, sizeof f->strategy, "tensor");
}

static vg_status load(const char *dir, const char *file, cJSON **root)
{
    char *path = vg_path_join(dir, file);
    vg_status status = path && vg_file_exists(path) ? vg_json_load(path, root, NULL) : VG_E_MISSING;
    free(path);
    return status;
}

/* Where exports keep it: the folder's config, hf_quant_config.json in or above the folder, the metadata of the files. *holder is deleted by
 * the caller. */
static const cJSON *find_label(vg_checking *c, cJSON **holder)
{
    const cJSON *q = NULL;
    const char *text = c->weights ? vg_weights_metadata(c->weights, "quantization_config") : NULL;
    *holder = NULL;
    snprintf(c->folder->metadata, sizeof c->folder->metadata, "config.json");
    if (load(c->path, "config.json", holder) == VG_OK &&
        (q = cJSON_GetObjectItemCaseSensitive(*holder, "quantization_config")) && cJSON_IsObject(q))
        return q;
    cJSON_Delete(*holder);
    *holder = NULL;
    snprintf(c->folder->metadata, sizeof c->folder->metadata, "hf_quant_config.json");
    if (load(c->path, "hf_quant_config.json", holder) == VG_OK ||
        load(c->dir, "hf_quant_config.json", holder) == VG_OK)
        return *holder;
    snprintf(c->folder->metadata, sizeof c->folder->metadata, "safetensors metadata");
    if (text && vg_json_parse(text, strlen(text), "quantization_config", holder, NULL) == VG_OK)
        return *holder;
    c->folder->metadata[0] = 0;
    return NULL;
}

static vg_status check_label(vg_checking *c, const cJSON *q, vg_err *err)
{
    vg_check_folder *f = c->folder;
    vg_err why = {0};
    cJSON *wrapped = cJSON_CreateObject();
    bool block_algo = !strcasecmp(f->algo, "FP8_PB_WO") || !strcasecmp(f->algo, "FP8_PB_REAL") ||
                      !strcasecmp(f->algo, "FP8_2D_BLOCKWISE_WEIGHT_ONLY");
    cJSON_AddItemReferenceToObject(wrapped, "quantization_config", (cJSON *)(uintptr_t)q);
    vg_status known = vg_quantization_check(wrapped, f->metadata, &why);
    cJSON_Delete(wrapped);
    if (known != VG_OK)
        VG_FIND(c, FAILURE, "%s", why.message);
    if (*f->method && strcasecmp(f->method, "modelopt"))
        VG_FIND(c, WARNING, "quant_method is \"%s\", not \"modelopt\"", f->method);
    if (*f->strategy && block_algo != !strcasecmp(f->strategy, "block"))
        VG_FIND(c, WARNING,
                "quant_algo %s and the strategy of its weights, \"%s\", contradict each other",
                f->algo, f->strategy);
    if (*f->algo && f->fp8 && block_algo != (f->layers[VG_PRECISION_BLOCK] > 0))
        VG_FIND(c, WARNING, "quant_algo is %s, but the scales are %s", f->algo,
                vg_check_granularity(f));
    return VG_OK;
}

/* An FP8 layer that the metadata call high precision would be dequantised by readers that go by them. */
static vg_status check_ignored(vg_checking *c, const cJSON *q, vg_err *err)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(q, "ignore"), *item;
    const cJSON *nested = cJSON_GetObjectItemCaseSensitive(q, "quantization");
    char layer[VG_WEIGHT_NAME_BYTES], first[VG_WEIGHT_NAME_BYTES] = "";
    const char *pattern = "";
    int count = 0;
    if (!list)
        list = cJSON_GetObjectItemCaseSensitive(nested, "exclude_modules");
    for (int i = 0; i < vg_weights_count(c->weights); i++) {
        if (!vg_check_fp8_layer(c->weights, i, layer))
            continue;
        cJSON_ArrayForEach(item, list)
        {
            if (!cJSON_IsString(item) || !vg_layer_pattern_match(item->valuestring, layer))
                continue;
            if (count++ == 0) {
                memcpy(first, layer, sizeof first);
                pattern = item->valuestring;
            }
            break;
        }
    }
    if (count)
        VG_FIND(c, WARNING,
                "%d FP8 layers are among those that the metadata ignore, the first is %s (\"%s\")",
                count, first, pattern);
    return VG_OK;
}

vg_status vg_check_config(vg_checking *c, vg_err *err)
{
    cJSON *holder;
    const cJSON *q = find_label(c, &holder);
    vg_status status = VG_OK;
    if (q) {
        read_label(c->folder, q);
        status = check_label(c, q, err);
        if (status == VG_OK && c->weights)
            status = check_ignored(c, q, err);
    } else {
        status = vg_findings_add(c->findings, VG_FINDING_FAILURE, c->folder->name, err,
                                 "there is no quantization_config: not in config.json, nor "
                                 "hf_quant_config.json, nor the metadata of the files");
    }
    cJSON_Delete(holder);
    return status;
}

/* check_config.c: the label of a quantised folder: is it there, is it a known one, and do the tensors agree? See check.h. */
#include "engine/checkpoint/quantization.h"
#include "engine/quantize/check_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static vg_status check_label(vg_checking *c, const cJSON *q, vg_err *err)
{
    const vg_check_folder *f = c->folder;
    const vg_quantization_label *l = &f->label;
    vg_err why = {0};
    cJSON *wrapped = cJSON_CreateObject();
    bool block_algo = !strcasecmp(l->algo, "FP8_PB_WO") || !strcasecmp(l->algo, "FP8_PB_REAL") ||
                      !strcasecmp(l->algo, "FP8_2D_BLOCKWISE_WEIGHT_ONLY");
    cJSON_AddItemReferenceToObject(wrapped, "quantization_config", (cJSON *)(uintptr_t)q);
    vg_status known = vg_quantization_check(wrapped, l->where, &why);
    cJSON_Delete(wrapped);
    if (known != VG_OK)
        VG_FIND(c, FAILURE, "%s", why.message);
    if (*l->method && strcasecmp(l->method, "modelopt"))
        VG_FIND(c, WARNING, "quant_method is \"%s\", not \"modelopt\"", l->method);
    if (*l->strategy && block_algo != !strcasecmp(l->strategy, "block"))
        VG_FIND(c, WARNING,
                "quant_algo %s and the strategy of its weights, \"%s\", contradict each other",
                l->algo, l->strategy);
    if (*l->algo && f->fp8 && block_algo != (f->layers[VG_PRECISION_BLOCK] > 0))
        VG_FIND(c, WARNING, "quant_algo is %s, but the scales are %s", l->algo,
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
    const cJSON *q = vg_quantization_find(c->path, c->weights, &holder, &c->folder->label);
    vg_status status = VG_OK;
    if (q) {
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

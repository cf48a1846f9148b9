/* calibrate.c: see calibrate.h. Source of the mathematics: modelopt-fp8 3.4, 3.6. */
#include "engine/layers/calibrate.h"

#include "kernels/op/ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT  "vgen-input-scales"
#define VERSION 1

struct vg_calibration {
    cJSON *components; /* {component: {layer: amax}} */
};

vg_status vg_calibration_new(vg_calibration **calibration, vg_err *err)
{
    vg_calibration *c = calloc(1, sizeof *c);
    if (!c || !(c->components = cJSON_CreateObject())) {
        free(c);
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the calibration");
    }
    *calibration = c;
    return VG_OK;
}

void vg_calibration_free(vg_calibration *calibration)
{
    if (!calibration)
        return;
    cJSON_Delete(calibration->components);
    free(calibration);
}

vg_status vg_calibration_add(vg_calibration *calibration, const char *component, const char *layer,
                             float amax, vg_err *err)
{
    if (!isfinite(amax))
        return VG_FAIL(err, VG_E_FORMAT, "%s: the input of layer %s holds NaN or infinity",
                       component, layer);
    cJSON *layers = cJSON_GetObjectItemCaseSensitive(calibration->components, component);
    if (!layers)
        layers = cJSON_AddObjectToObject(calibration->components, component);
    cJSON *seen = cJSON_GetObjectItemCaseSensitive(layers, layer);
    if (seen && amax > (float)seen->valuedouble)
        cJSON_SetNumberValue(seen, amax);
    else if (!seen && !cJSON_AddNumberToObject(layers, layer, amax))
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the calibration");
    return VG_OK;
}

/* ---- scales ---- */

typedef struct scale_entry {
    const char *component, *layer; /* in components */
    float scale;
} scale_entry;

struct vg_input_scales {
    cJSON *components;    /* {component: {layer: scale}}, in the order they came */
    scale_entry *entries; /* sorted by component and layer */
    size_t count;
};

static int compare_entries(const void *a, const void *b)
{
    const scale_entry *x = a, *y = b;
    int order = strcmp(x->component, y->component);
    return order ? order : strcmp(x->layer, y->layer);
}

/* Fill the sorted entries from the tree. path: of the file, for messages. */
static vg_status sort_entries(vg_input_scales *s, const char *path, vg_err *err)
{
    const cJSON *component, *layer;
    size_t count = 0;
    cJSON_ArrayForEach(component, s->components) count += (size_t)cJSON_GetArraySize(component);
    s->entries = calloc(count ? count : 1, sizeof *s->entries);
    if (!s->entries)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %zu input scales", count);
    cJSON_ArrayForEach(component, s->components)
    {
        cJSON_ArrayForEach(layer, component)
        {
            float scale = cJSON_IsNumber(layer) ? (float)layer->valuedouble : 0;
            if (!(scale > 0) || !isfinite(scale))
                return VG_FAIL(err, VG_E_FORMAT,
                               "%s: the input scale of %s is not a finite number above 0", path,
                               layer->string);
            s->entries[s->count++] = (scale_entry){component->string, layer->string, scale};
        }
    }
    qsort(s->entries, s->count, sizeof *s->entries, compare_entries);
    return VG_OK;
}

/* From a tree, which is taken over. */
static vg_status scales_of(cJSON *components, const char *path, vg_input_scales **scales,
                           vg_err *err)
{
    vg_input_scales *s = components ? calloc(1, sizeof *s) : NULL;
    if (!s) {
        cJSON_Delete(components);
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the input scales");
    }
    s->components = components;
    vg_status status = sort_entries(s, path, err);
    if (status != VG_OK) {
        vg_input_scales_free(s);
        return status;
    }
    *scales = s;
    return VG_OK;
}

vg_status vg_calibration_scales(const vg_calibration *calibration, vg_input_scales **scales,
                                vg_err *err)
{
    cJSON *copy = cJSON_Duplicate(calibration->components, true), *component, *layer;
    cJSON_ArrayForEach(component, copy)
    {
        cJSON_ArrayForEach(layer, component)
        {
            float amax = (float)layer->valuedouble;
            cJSON_SetNumberValue(layer, amax > 0 ? amax / VG_E4M3_MAX : 1.0f);
        }
    }
    return scales_of(copy, "calibration", scales, err);
}

vg_status vg_input_scales_copy(const vg_input_scales *scales, vg_input_scales **copy, vg_err *err)
{
    return scales_of(cJSON_Duplicate(scales->components, true), "calibration", copy, err);
}

void vg_input_scales_free(vg_input_scales *scales)
{
    if (!scales)
        return;
    cJSON_Delete(scales->components);
    free(scales->entries);
    free(scales);
}

vg_status vg_input_scales_find(const vg_input_scales *scales, const char *component,
                               const char *layer, float *scale, vg_err *err)
{
    scale_entry key = {component, layer, 0};
    const scale_entry *found =
        bsearch(&key, scales->entries, scales->count, sizeof key, compare_entries);
    if (!found)
        return VG_FAIL(err, VG_E_MISSING, "the calibration has no input scale for layer %s of %s",
                       layer, component);
    *scale = found->scale;
    return VG_OK;
}

/* ---- the file ---- */

vg_status vg_input_scales_write(const vg_input_scales *scales, const char *identity,
                                cJSON *settings, const char *path, vg_err *err)
{
    cJSON *root = cJSON_CreateObject();
    const cJSON *component;
    bool ok = root && cJSON_AddStringToObject(root, "format", FORMAT) &&
              cJSON_AddNumberToObject(root, "version", VERSION) &&
              cJSON_AddStringToObject(root, "identity", identity);
    if (settings && !(ok && cJSON_AddItemToObject(root, "settings", settings))) {
        cJSON_Delete(settings);
        ok = false;
    }
    cJSON_ArrayForEach(component, scales->components)
    {
        cJSON *copy = ok ? cJSON_Duplicate(component, true) : NULL;
        ok = ok && cJSON_AddItemToObject(root, component->string, copy);
    }
    vg_status status = ok ? vg_json_save(path, root, err)
                          : VG_FAIL(err, VG_E_NOMEM, "out of memory for the calibration file");
    cJSON_Delete(root);
    return status;
}

static vg_status check_header(const cJSON *root, const char *path, const char *identity,
                              vg_err *err)
{
    const char *format = "", *made_for = "";
    int64_t version = 0;
    VG_TRY(vg_json_get_string(root, path, "format", &format, err));
    VG_TRY(vg_json_get_int(root, path, "version", 0, 1 << 20, &version, err));
    VG_TRY(vg_json_get_string(root, path, "identity", &made_for, err));
    if (strcmp(format, FORMAT) != 0 || version != VERSION)
        return VG_FAIL(err, VG_E_FORMAT, "%s is not a calibration file of version %d", path,
                       VERSION);
    if (identity && strcmp(identity, made_for) != 0)
        return VG_FAIL(err, VG_E_FORMAT, "%s was made for other weights (%s, this model is %s)",
                       path, made_for, identity);
    return VG_OK;
}

vg_status vg_input_scales_read(const char *path, const char *identity, vg_input_scales **scales,
                               vg_err *err)
{
    cJSON *root = NULL, *item, *next;
    VG_TRY(vg_json_load(path, &root, err));
    vg_status status = check_header(root, path, identity, err);
    if (status != VG_OK) {
        cJSON_Delete(root);
        return status;
    }
    /* What is left of the file are the components. */
    for (item = root->child; item; item = next) {
        next = item->next;
        if (!cJSON_IsObject(item) || strcmp(item->string, "settings") == 0)
            cJSON_Delete(cJSON_DetachItemViaPointer(root, item));
    }
    return scales_of(root, path, scales, err);
}

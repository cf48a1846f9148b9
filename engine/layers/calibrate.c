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

vg_status vg_calibration_write(const vg_calibration *calibration, const char *identity,
                               cJSON *settings, const char *path, vg_err *err)
{
    cJSON *root = cJSON_CreateObject();
    const cJSON *component, *layer;
    bool ok = root && cJSON_AddStringToObject(root, "format", FORMAT) &&
              cJSON_AddNumberToObject(root, "version", VERSION) &&
              cJSON_AddStringToObject(root, "identity", identity);
    if (settings && !(ok && cJSON_AddItemToObject(root, "settings", settings))) {
        cJSON_Delete(settings);
        ok = false;
    }
    cJSON_ArrayForEach(component, calibration->components)
    {
        cJSON *to = ok ? cJSON_AddObjectToObject(root, component->string) : NULL;
        cJSON_ArrayForEach(layer, component)
        {
            float amax = (float)layer->valuedouble, scale = amax > 0 ? amax / VG_E4M3_MAX : 1.0f;
            ok = ok && to && cJSON_AddNumberToObject(to, layer->string, scale);
        }
    }
    vg_status status = ok ? vg_json_save(path, root, err)
                          : VG_FAIL(err, VG_E_NOMEM, "out of memory for the calibration file");
    cJSON_Delete(root);
    return status;
}

typedef struct scale_entry {
    const char *layer; /* in root */
    float scale;
} scale_entry;

struct vg_input_scales {
    cJSON *root;
    char *path;
    scale_entry *entries; /* sorted by layer */
    size_t count;
};

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const scale_entry *)a)->layer, ((const scale_entry *)b)->layer);
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

static vg_status fill_entries(vg_input_scales *s, const cJSON *layers, vg_err *err)
{
    const cJSON *item;
    size_t count = (size_t)cJSON_GetArraySize(layers);
    s->entries = calloc(count ? count : 1, sizeof *s->entries);
    if (!s->entries)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %zu input scales", count);
    cJSON_ArrayForEach(item, layers)
    {
        float scale = cJSON_IsNumber(item) ? (float)item->valuedouble : 0;
        if (!(scale > 0) || !isfinite(scale))
            return VG_FAIL(err, VG_E_FORMAT,
                           "%s: the input scale of %s is not a finite number above 0", s->path,
                           item->string);
        s->entries[s->count++] = (scale_entry){item->string, scale};
    }
    qsort(s->entries, s->count, sizeof *s->entries, compare_entries);
    return VG_OK;
}

vg_status vg_input_scales_read(const char *path, const char *component, const char *identity,
                               vg_input_scales **scales, vg_err *err)
{
    vg_status status;
    vg_input_scales *s = calloc(1, sizeof *s);
    if (!s || !(s->path = vg_strf("%s", path))) {
        free(s);
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the input scales");
    }
    VG_TRY_GOTO(status, vg_json_load(path, &s->root, err), fail);
    VG_TRY_GOTO(status, check_header(s->root, path, identity, err), fail);
    const cJSON *layers = cJSON_GetObjectItemCaseSensitive(s->root, component);
    if (!cJSON_IsObject(layers)) {
        status = VG_FAIL(err, VG_E_MISSING, "%s has no input scales for %s", path, component);
        goto fail;
    }
    VG_TRY_GOTO(status, fill_entries(s, layers, err), fail);
    *scales = s;
    return VG_OK;
fail:
    vg_input_scales_free(s);
    return status;
}

void vg_input_scales_free(vg_input_scales *scales)
{
    if (!scales)
        return;
    cJSON_Delete(scales->root);
    free(scales->entries);
    free(scales->path);
    free(scales);
}

vg_status vg_input_scales_find(const vg_input_scales *scales, const char *layer, float *scale,
                               vg_err *err)
{
    scale_entry key = {layer, 0};
    const scale_entry *found =
        scales ? bsearch(&key, scales->entries, scales->count, sizeof key, compare_entries) : NULL;
    if (!found)
        return VG_FAIL(err, VG_E_MISSING, "%s has no input scale for layer %s",
                       scales ? scales->path : "the calibration file", layer);
    *scale = found->scale;
    return VG_OK;
}

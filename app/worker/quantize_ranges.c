/* quantize_ranges.c: see quantize_ranges.h. */
#include "app/worker/quantize_ranges.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "app/worker/worker_run.h"
#include "kernels/base/text.h"

#define LAYERS_MAX 100000

void vg_ranges_init(vg_ranges *r, const char *const *experts, int count, int steps)
{
    *r = (vg_ranges){.steps = steps, .count = count};
    for (int e = 0; e < count; e++)
        r->experts[e].name = vg_xstrdup(experts[e]);
}

static void clear_expert(vg_range_expert *e)
{
    for (int i = 0; i < e->count; i++) {
        free(e->layers[i].layer);
        free(e->layers[i].steps);
    }
    free(e->layers);
    e->layers = NULL;
    e->count = e->next = e->samples = 0;
}

void vg_ranges_deinit(vg_ranges *r)
{
    for (int e = 0; e < r->count; e++) {
        clear_expert(&r->experts[e]);
        free(r->experts[e].name);
    }
    *r = (vg_ranges){0};
}

/* Layers come in the same order each time. */
static vg_range_layer *find_layer(vg_range_expert *e, const char *layer, int steps)
{
    for (int k = 0; k < e->count; k++) {
        int i = (e->next + k) % e->count;
        if (!strcmp(e->layers[i].layer, layer)) {
            e->next = i + 1;
            return &e->layers[i];
        }
    }
    e->layers = vg_xrealloc(e->layers, (size_t)(e->count + 1) * sizeof *e->layers);
    vg_range_layer *l = &e->layers[e->count++];
    *l = (vg_range_layer){.layer = vg_xstrdup(layer), .amax = -1};
    l->steps = vg_xcalloc((size_t)steps, sizeof *l->steps);
    for (int i = 0; i < steps; i++)
        l->steps[i] = -1;
    return l;
}

void vg_ranges_add(vg_ranges *r, int expert, int sample, int step, const char *layer, float amax)
{
    vg_range_layer *l = find_layer(&r->experts[expert], layer, r->steps);
    if (step >= 0 && step < r->steps)
        l->steps[step] = fmaxf(l->steps[step], amax);
    if (amax <= l->amax)
        return;
    l->amax = amax;
    l->sample = sample;
    l->step = step;
}

/* ---- the file ---- */

cJSON *vg_range_expert_json(const vg_range_expert *e, int steps)
{
    cJSON *layers = cJSON_CreateObject();
    for (int i = 0; i < e->count; i++) {
        const vg_range_layer *l = &e->layers[i];
        cJSON *o = cJSON_AddObjectToObject(layers, l->layer), *list;
        cJSON_AddNumberToObject(o, "amax", l->amax);
        cJSON_AddNumberToObject(o, "sample", l->sample + 1);
        cJSON_AddNumberToObject(o, "step", l->step + 1);
        list = cJSON_AddArrayToObject(o, "by_step");
        for (int s = 0; s < steps; s++)
            cJSON_AddItemToArray(list, l->steps[s] < 0 ? cJSON_CreateNull()
                                                       : cJSON_CreateNumber(l->steps[s]));
    }
    return layers;
}

vg_status vg_ranges_write(const vg_ranges *r, const char *path, const char *made_with, vg_err *err)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, VG_MADE_WITH, made_with);
    for (int e = 0; e < r->count; e++) {
        cJSON *o = cJSON_AddObjectToObject(root, r->experts[e].name);
        cJSON_AddNumberToObject(o, "samples", r->experts[e].samples);
        cJSON_AddItemToObject(o, "layers", vg_range_expert_json(&r->experts[e], r->steps));
    }
    vg_status status = vg_json_save(path, root, err);
    cJSON_Delete(root);
    return status;
}

/* Nothing in it is trusted. */
static bool read_layer(vg_range_expert *e, const cJSON *item, const char *path, int steps)
{
    double amax = -1;
    int64_t sample = 0, step = 0;
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(item, "by_step"), *value;
    int at = 0;
    if (vg_json_get_double(item, path, "amax", 0, 1e38, &amax, NULL) != VG_OK || amax < 0 ||
        vg_json_get_int(item, path, "sample", 1, 1 << 20, &sample, NULL) != VG_OK ||
        vg_json_get_int(item, path, "step", 1, 1 << 20, &step, NULL) != VG_OK ||
        cJSON_GetArraySize(list) != steps || e->count >= LAYERS_MAX)
        return false;
    vg_range_layer *l = find_layer(e, item->string, steps);
    l->amax = (float)amax;
    l->sample = (int)sample - 1;
    l->step = (int)step - 1;
    cJSON_ArrayForEach(value, list) l->steps[at++] =
        cJSON_IsNumber(value) && value->valuedouble >= 0 ? (float)value->valuedouble : -1;
    return true;
}

static bool read_expert(vg_range_expert *e, const cJSON *root, const char *path, int steps)
{
    const cJSON *o = cJSON_GetObjectItemCaseSensitive(root, e->name), *item;
    int64_t samples = 0;
    if (vg_json_get_int(o, path, "samples", 0, 1 << 20, &samples, NULL) != VG_OK)
        return false;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(o, "layers"))
    {
        if (!read_layer(e, item, path, steps))
            return false;
    }
    e->samples = (int)samples;
    e->next = 0;
    return true;
}

bool vg_ranges_read(vg_ranges *r, const char *path, const char *made_with)
{
    cJSON *root = NULL;
    const char *mark = "";
    if (!vg_file_exists(path) || vg_json_load(path, &root, NULL) != VG_OK)
        return false;
    bool good = vg_json_get_string(root, path, VG_MADE_WITH, &mark, NULL) == VG_OK &&
                !strcmp(mark, made_with);
    for (int e = 0; good && e < r->count; e++)
        good = read_expert(&r->experts[e], root, path, r->steps);
    for (int e = 0; !good && e < r->count; e++)
        clear_expert(&r->experts[e]);
    cJSON_Delete(root);
    return good;
}

vg_status vg_ranges_scales(const vg_ranges *r, vg_input_scales **scales, vg_err *err)
{
    vg_calibration *calibration;
    VG_TRY(vg_calibration_new(&calibration, err));
    vg_status status = VG_OK;
    for (int e = 0; e < r->count; e++)
        for (int i = 0; i < r->experts[e].count && status == VG_OK; i++)
            status =
                vg_calibration_add(calibration, r->experts[e].name, r->experts[e].layers[i].layer,
                                   r->experts[e].layers[i].amax, err);
    if (status == VG_OK)
        status = vg_calibration_scales(calibration, scales, err);
    vg_calibration_free(calibration);
    return status;
}

/* events.c: the vocabulary: events as JSON objects and back. See events.h. */
#include "app/job/events.h"

#include <math.h>
#include <string.h>
#include "app/report/report.h"

#define COUNT_MAX 1000000000
#define BYTES_MAX 1e18

enum {
#define VG_EVENT_FIELD(name, type_, unit, help) FIELD_##name,
#include "app/job/event_fields.def"
#undef VG_EVENT_FIELD
    FIELDS
};

static const vg_event_field all[FIELDS] = {
#define VG_EVENT_FIELD(name, type_, unit, help)                                                    \
    {#name, unit, help, VG_FIELD_##type_, offsetof(vg_job_event, name)},
#include "app/job/event_fields.def"
#undef VG_EVENT_FIELD
};

#define F(name) &all[FIELD_##name],
#define VG_EVENT(name, of, durable, fields_, help)                                                 \
    static const vg_event_field *const fields_of_##name[] = {fields_ NULL};
#include "app/job/events.def"
#undef VG_EVENT
#undef F

enum { OF_JOB, OF_VARIANT };
#define F(name)
static const vg_event_kind_info kinds[VG_JOB_EVENT_COUNT] = {
#define VG_EVENT(name, of, durable, fields_, help)                                                 \
    {#name, help, OF_##of == OF_VARIANT, durable, fields_of_##name},
#include "app/job/events.def"
#undef VG_EVENT
};
#undef F

const vg_event_kind_info *vg_job_event_describe(vg_job_event_type type)
{
    return &kinds[type];
}

static void say_nothing(vg_job_event *event, const vg_event_field *field)
{
    void *at = (char *)event + field->offset;
    switch (field->type) {
    case VG_FIELD_COUNT:
        *(vg_event_COUNT *)at = -1;
        break;
    case VG_FIELD_BYTES:
        *(vg_event_BYTES *)at = 0;
        break;
    case VG_FIELD_REAL:
        *(vg_event_REAL *)at = NAN;
        break;
    case VG_FIELD_TEXT:
        *(vg_event_TEXT *)at = "";
        break;
    case VG_FIELD_FLAG:
        *(vg_event_FLAG *)at = false;
        break;
    case VG_FIELD_GAUGES:
        *(vg_event_GAUGES *)at = (vg_gpu_sample){0};
        break;
    case VG_FIELD_FIGURES:
        for (int i = 0; i < VG_METRIC_COUNT; i++)
            ((vg_event_FIGURES *)at)->of[i] = NAN;
        break;
    }
}

vg_job_event vg_job_event_of(vg_job_event_type type)
{
    vg_job_event event = {.type = type, .t = NAN, .variant = ""};
    for (int i = 0; i < FIELDS; i++)
        say_nothing(&event, &all[i]);
    return event;
}

/* ---- reading ---- */

static double number_in(const cJSON *item, double most)
{
    return cJSON_IsNumber(item) && item->valuedouble >= 0 && item->valuedouble <= most
               ? item->valuedouble
               : NAN;
}

static void read_field(const cJSON *json, const vg_event_field *field, vg_job_event *event)
{
    void *at = (char *)event + field->offset;
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, field->name);
    double value;
    switch (field->type) {
    case VG_FIELD_COUNT:
        value = number_in(item, COUNT_MAX);
        *(vg_event_COUNT *)at = isnan(value) ? -1 : (int)value;
        break;
    case VG_FIELD_BYTES:
        value = number_in(item, BYTES_MAX);
        *(vg_event_BYTES *)at = isnan(value) ? 0 : (uint64_t)value;
        break;
    case VG_FIELD_REAL:
        if (cJSON_IsNumber(item) && isfinite(item->valuedouble))
            *(vg_event_REAL *)at = item->valuedouble;
        break;
    case VG_FIELD_TEXT:
        if (cJSON_IsString(item))
            *(vg_event_TEXT *)at = item->valuestring;
        break;
    case VG_FIELD_FLAG:
        *(vg_event_FLAG *)at = cJSON_IsTrue(item);
        break;
    case VG_FIELD_GAUGES:
        vg_gauges_from_json(json, at);
        break;
    case VG_FIELD_FIGURES:
        for (int i = 0; i < VG_METRIC_COUNT; i++)
            (void)vg_report_figure_read(cJSON_GetObjectItemCaseSensitive(json, vg_metrics[i]->name),
                                        &((vg_event_FIGURES *)at)->of[i]);
        break;
    }
}

bool vg_job_event_read(const cJSON *json, vg_job_event *event)
{
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(json, "type"),
                *t = cJSON_GetObjectItemCaseSensitive(json, "t"),
                *variant = cJSON_GetObjectItemCaseSensitive(json, "variant");
    int i = 0;
    while (i < VG_JOB_EVENT_COUNT &&
           !(cJSON_IsString(type) && !strcmp(type->valuestring, kinds[i].name)))
        i++;
    if (i == VG_JOB_EVENT_COUNT)
        return false;
    *event = vg_job_event_of((vg_job_event_type)i);
    if (cJSON_IsNumber(t) && isfinite(t->valuedouble))
        event->t = t->valuedouble;
    if (cJSON_IsString(variant))
        event->variant = variant->valuestring;
    for (const vg_event_field *const *field = kinds[i].fields; *field; field++)
        read_field(json, *field, event);
    return true;
}

/* ---- writing ---- */

static void write_field(cJSON *json, const vg_event_field *field, const vg_job_event *event)
{
    const void *at = (const char *)event + field->offset;
    const char *name = field->name;
    switch (field->type) {
    case VG_FIELD_COUNT:
        if (*(const vg_event_COUNT *)at >= 0)
            cJSON_AddNumberToObject(json, name, *(const vg_event_COUNT *)at);
        break;
    case VG_FIELD_BYTES:
        if (*(const vg_event_BYTES *)at)
            cJSON_AddNumberToObject(json, name, (double)*(const vg_event_BYTES *)at);
        break;
    case VG_FIELD_REAL:
        if (isfinite(*(const vg_event_REAL *)at))
            cJSON_AddNumberToObject(json, name, *(const vg_event_REAL *)at);
        break;
    case VG_FIELD_TEXT:
        if (**(const vg_event_TEXT *)at)
            cJSON_AddStringToObject(json, name, *(const vg_event_TEXT *)at);
        break;
    case VG_FIELD_FLAG:
        cJSON_AddBoolToObject(json, name, *(const vg_event_FLAG *)at);
        break;
    case VG_FIELD_GAUGES:
        vg_gauges_to_json(at, json);
        break;
    case VG_FIELD_FIGURES:
        for (int i = 0; i < VG_METRIC_COUNT; i++) {
            double figure = ((const vg_event_FIGURES *)at)->of[i];
            if (!isnan(figure))
                cJSON_AddItemToObject(json, vg_metrics[i]->name, vg_report_figure_json(figure));
        }
        break;
    }
}

cJSON *vg_job_event_json(const vg_job_event *event)
{
    const vg_event_kind_info *kind = &kinds[event->type];
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "type", kind->name);
    if (kind->of_variant)
        cJSON_AddStringToObject(json, "variant", event->variant);
    for (const vg_event_field *const *field = kind->fields; *field; field++)
        write_field(json, *field, event);
    return json;
}

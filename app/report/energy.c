/* energy.c: see energy.h. */
#include "app/report/energy.h"

#include <math.h>
#include <stdio.h>

#define GAP_MAX_S 60.0 /* between readings that follow each other: of more, somebody slept */

void vg_energy_break(vg_energy *e)
{
    e->open = false;
}

static void count(vg_energy *e, double joules, double t)
{
    double spent = joules - e->last_j, took = t - e->last_t;
    /* A counter that fell began anew: the driver was loaded again. */
    if (e->open && spent >= 0 && took > 0 && took <= GAP_MAX_S) {
        e->joules += spent;
        e->seconds += took;
    }
    e->open = isfinite(t);
    e->last_j = joules;
    e->last_t = t;
}

void vg_energy_add(vg_energy *e, const vg_gpu_sample *s, double t, bool counts)
{
    if (!counts) {
        vg_energy_break(e);
        return;
    }
    if (vg_gpu_has(s, VG_GPU_energy_j))
        count(e, s->value[VG_GPU_energy_j], t);
    if (vg_gpu_has(s, VG_GPU_power_w)) {
        e->watts += s->value[VG_GPU_power_w];
        e->readings++;
    }
}

double vg_energy_watts(const vg_energy *e, bool *counted)
{
    *counted = e->seconds > 0;
    if (*counted)
        return e->joules / e->seconds;
    return e->readings > 0 ? e->watts / e->readings : NAN;
}

double vg_energy_of(const vg_energy *e, double seconds)
{
    bool counted;
    return vg_energy_watts(e, &counted) * seconds;
}

const char *vg_energy_source(const vg_energy *e)
{
    bool counted;
    double watts = vg_energy_watts(e, &counted);
    return isnan(watts) ? "" : counted ? "energy counter" : "power readings";
}

void vg_energy_json(cJSON *json, const char *key, const vg_energy *e, double seconds)
{
    char from[64];
    double joules = vg_energy_of(e, seconds);
    bool known = isfinite(joules);
    snprintf(from, sizeof from, "%s_from", key);
    cJSON_AddItemToObject(json, key,
                          known ? cJSON_CreateNumber(round(joules * 10) / 10) : cJSON_CreateNull());
    cJSON_AddItemToObject(json, from,
                          known ? cJSON_CreateString(vg_energy_source(e)) : cJSON_CreateNull());
}

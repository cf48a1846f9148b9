/* energy.h: what the work on a GPU costs: joules, from the board's own counter where it has one, else from readings of its power. */
#ifndef VG_APP_REPORT_ENERGY_H
#define VG_APP_REPORT_ENERGY_H

#include "kernels/base/json.h"
#include "kernels/backend/gpu_gauge.h"

/* All zero: nothing was read. */
typedef struct vg_energy {
    double joules, seconds; /* by the counter, between readings that follow each other */
    double watts;           /* sum of the readings of power */
    int readings;
    double last_j, last_t; /* of the counter, while open */
    bool open;
} vg_energy;

/* Take in a reading made at t, s. counts: it belongs to the work; one that does not ends what the counter is followed through. */
void vg_energy_add(vg_energy *energy, const vg_gpu_sample *sample, double t, bool counts);
/* What comes is not a continuation: another process, a pause. */
void vg_energy_break(vg_energy *energy);
/* Mean power, W; NaN unknown. *counted: by the counter. */
double vg_energy_watts(const vg_energy *energy, bool *counted);
/* Joules of `seconds` of this work; NaN unknown. */
double vg_energy_of(const vg_energy *energy, double seconds);
const char *vg_energy_source(const vg_energy *energy); /* "energy counter", "power readings", "" */
/* Add `key` (a number or null) and `key`_from (a text or null): joules of `seconds`. */
void vg_energy_json(cJSON *json, const char *key, const vg_energy *energy, double seconds);
#endif

/* input_ranges.h: the running maximum |x| of each quantisable layer's input, recorded while a component runs (calibration). */
#ifndef VG_ENGINE_LAYERS_INPUT_RANGES_H
#define VG_ENGINE_LAYERS_INPUT_RANGES_H

#include "engine/layers/linear.h"
#include "engine/layers/weight_table.h"

typedef struct vg_input_ranges vg_input_ranges;

/* Every quantisable layer of the loaded table records from here on, from 0. The table outlives the ranges. *ranges: NULL, or those of an
 * earlier call for the same table, which begin anew. */
vg_status vg_input_ranges_begin(vg_backend *be, const vg_weight_table *table,
                                vg_input_ranges **ranges, vg_err *err);
/* What was recorded; fn is called for each layer in the table's order. NULL: for none. */
vg_status vg_input_ranges_each(const vg_input_ranges *ranges,
                               void (*fn)(void *user, const char *layer, float amax), void *user,
                               vg_err *err);
/* The layers' structs still point here: they are not run any more. */
void vg_input_ranges_free(vg_input_ranges *ranges);
#endif

/* weight_check.h: is a component's checkpoint what its table says? Told from the headers of its files, before anything is loaded. */
#ifndef VG_ENGINE_LAYERS_WEIGHT_CHECK_H
#define VG_ENGINE_LAYERS_WEIGHT_CHECK_H

#include "engine/layers/module.h"

/* Every tensor of the table is there, of its shape and of a dtype that can be loaded (F32, BF16, F16; linear weights F8_E4M3 too, with their
 * scales: there, of a shape that fits, finite and above 0). Reads headers and scales, no weights. Generated weights always pass. Tensors that
 * the table does not name are no error. Errors: VG_E_MISSING, VG_E_SHAPE, VG_E_DTYPE, VG_E_FORMAT of the first, naming component and tensor;
 * the message counts the others. */
vg_status vg_weight_table_check(const vg_weight_table *table, const vg_weights *weights,
                                vg_err *err);
/* The same, place by place: fn is called for each that is wrong, with why. */
void vg_weight_table_faults(const vg_weight_table *table, const vg_weights *weights,
                            void (*fn)(void *user, const vg_weight_place *place, const vg_err *why),
                            void *user);
#endif

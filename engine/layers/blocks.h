/* blocks.h: the repeated part of a model, the items of one list of its weight table (weight_table.h) or of several that are run by turns,
 * loaded: each stays on the device, or its linear layers' weights are kept on the host and come when the block is run
 * (engine/checkpoint/stream.h). */
#ifndef VG_ENGINE_LAYERS_BLOCKS_H
#define VG_ENGINE_LAYERS_BLOCKS_H

#include "engine/layers/module.h"

typedef struct vg_blocks vg_blocks;

/* One block: an item of a list with structs to load to, without rows of kind HOST; the list is borrowed until close. */
typedef struct vg_block_place {
    const vg_weight_list *list;
    int64_t item;
} vg_block_place;

/* Bytes of the largest block's linear weights as vg_module_into lays them out; of the files only headers are read. Errors: those of
 * vg_module_load. */
vg_status vg_blocks_measure(const vg_block_place *order, int64_t count, const char *dir,
                            const char *component, const vg_module_options *options, size_t *bytes,
                            vg_err *err);
/* Load blocks in the order in which they are run, which is what streaming goes by; `item` of the calls below is a place in this order.
 *   order    [count], copied. Errors: those of vg_blocks_open */
vg_status vg_blocks_open_order(vg_engine *engine, const char *dir, const char *component,
                               const vg_module_options *options, vg_module *module,
                               const vg_block_place *order, int64_t count, vg_blocks **blocks,
                               vg_err *err);
/* Load all items of a list, into the structs that it names, as options->streamed says: that many lie on the host, evenly between the others.
 *   module  opened from dir with these options; dir is looked at once more for the sizes of what is streamed
 *   list    as in vg_block_place
 * Errors: VG_E_ARG (more streamed than there are), those of vg_module_load and vg_stream_new. Tests: test_model_memory. */
vg_status vg_blocks_open(vg_engine *engine, const char *dir, const char *component,
                         const vg_module_options *options, vg_module *module,
                         const vg_weight_list *list, vg_blocks **blocks, vg_err *err);
/* What stays on the device is the module's. NULL is a no-op. */
void vg_blocks_close(vg_blocks *blocks);
size_t vg_blocks_host_bytes(const vg_blocks *blocks); /* page-locked, of streamed ones */

/* Before and after block `item` is run: its weights lie where its layers point to until _release. What else a block has (biases, scales, norms)
 * is always there. */
vg_status vg_blocks_bind(vg_blocks *blocks, int64_t item, vg_err *err);
/* A block that is not streamed is a no-op. */
vg_status vg_blocks_release(vg_blocks *blocks, int64_t item, vg_err *err);
#endif

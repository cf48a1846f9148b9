/* prefetch.h: a component's files into the page cache, by one thread of low priority, while something else runs. */
#ifndef VG_ENGINE_CHECKPOINT_PREFETCH_H
#define VG_ENGINE_CHECKPOINT_PREFETCH_H

#include "engine/checkpoint/checkpoint.h"

typedef struct vg_prefetch vg_prefetch;

/* weights_dir: as vg_weights_open takes it; generated weights need nothing. Files that would not fit into half of the machine's available
 * memory are left alone. NULL when there is nothing to do, or no thread to do it: a prefetch may always be missing. */
vg_prefetch *vg_prefetch_start(const char *weights_dir);
/* Stops within one read (1 MiB). NULL is a no-op. */
void vg_prefetch_stop(vg_prefetch *prefetch);
#endif

/* source.h: the values of one tensor: read from a checkpoint's file, or generated (engine/checkpoint/dummy.h). Reading is done piece by piece and from
 * any thread. */
#ifndef VG_ENGINE_CHECKPOINT_SOURCE_H
#define VG_ENGINE_CHECKPOINT_SOURCE_H

#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/dummy.h"

typedef struct vg_source {
    vg_tensor
        t; /* dtype and shape; data: host memory (a view into the map, any alignment), NULL when generated */
    int fd;          /* of the file, borrowed from the weights; -1: read t.data */
    uint64_t offset; /* in the file */
    bool generated;
    vg_dummy_tensor dummy;
} vg_source;

/* t is a tensor of `weights`, or NULL: the values of a generated component's `name` in this shape. */
vg_source vg_source_of(const vg_weights *weights, const vg_tensor *t, const char *component,
                       const char *name, int ndim, const int64_t *shape);
/* Host memory of the caller, as it is. */
vg_source vg_source_memory(const vg_tensor *t);

/* Values [begin, begin + count) in `dtype` to host memory: its own dtype byte for byte, or F32 or BF16 from any that vg_host_to_f32
 * knows, rounded to nearest even. Errors: VG_E_IO (truncated file), VG_E_DTYPE. */
vg_status vg_source_read(const vg_source *source, vg_dtype dtype, int64_t begin, int64_t count,
                         void *to, vg_err *err);

/* Are most of these bytes of the file in memory already? True when nobody can tell. */
bool vg_source_cached(const vg_source *source, int64_t begin, int64_t count);
#define VG_SOURCE_PAGE ((size_t)4096)
/* The same values past the page cache, in the source's own dtype: `buffer`, at a multiple of VG_SOURCE_PAGE, has room for two pages more
 * than the values; *data: where in it they begin. VG_E_UNSUPPORTED when the file system cannot do it. */
vg_status vg_source_read_direct(const vg_source *source, int64_t begin, int64_t count, void *buffer,
                                void **data, vg_err *err);
#endif

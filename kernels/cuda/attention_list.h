/* attention_list.h: attention that looks only at some tiles of keys, the ground of sparse attention; for C and CUDA sources. */
#ifndef VG_KERNELS_CUDA_ATTENTION_LIST_H
#define VG_KERNELS_CUDA_ATTENTION_LIST_H

#include "kernels/backend/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Which key tiles a query tile looks at. Row (head * query tiles + query tile) of `tiles` holds `counts` tile numbers, ascending, at
 * least one each. All in device memory. */
typedef struct vg_key_tiles {
    const int32_t *tiles, *counts;
    int stride; /* entries per row of tiles */
} vg_key_tiles;

/* Rows and keys of the tiles that lists for this head size (64 or 128) count in. */
void vg_cuda_attention_tile(int64_t head_dim, int64_t *query_rows, int64_t *keys);

/* As vg_attention for checked arguments without a bias, over the listed tiles only. Errors: VG_E_UNSUPPORTED where attention_sm90.cu
 * does not fit, VG_E_DEVICE. Tests: test_cuda_attention. */
vg_status vg_cuda_attention_listed(vg_backend *be, const vg_attention_args *a,
                                   const vg_key_tiles *list, vg_err *err);

#ifdef __cplusplus
}
#endif
#endif

// tensor_map.cuh: descriptions of tensors for the copy engine (TMA). Private to kernels/cuda/.
#ifndef VG_KERNELS_CUDA_TENSOR_MAP_CUH
#define VG_KERNELS_CUDA_TENSOR_MAP_CUH

#include <cuda.h> /* CUtensorMap; the driver itself is reached through the runtime, libcuda is not linked */

#include "kernels/cuda/cuda.cuh"

// Does this machine's driver describe tensors?
bool vg_cuda_has_tensor_maps();

// BF16 data of `rank` dimensions, innermost first, contiguous; boxes of `box` elements with 64 innermost, 128-byte swizzled; what
// lies outside of the tensor arrives as zero. data and all strides are multiples of 16 bytes. op: for the message.
vg_status vg_cuda_tensor_map(const char *op, const void *data, int rank, const int64_t *dims,
                             const int *box, CUtensorMap *map, vg_err *err);

// The same for bytes: boxes of 64 or 128 innermost, swizzled by as many.
vg_status vg_cuda_tensor_map_bytes(const char *op, const void *data, int rank, const int64_t *dims,
                                   const int *box, CUtensorMap *map, vg_err *err);

#endif

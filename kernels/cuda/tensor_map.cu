// tensor_map.cu: see tensor_map.cuh.
#include "kernels/cuda/tensor_map.cuh"

using encode_fn = CUresult (*)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *,
                               const cuuint64_t *, const cuuint64_t *, const cuuint32_t *,
                               const cuuint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle,
                               CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

static encode_fn encoder()
{
    static const encode_fn found = [] {
        void *function = nullptr;
        cudaDriverEntryPointQueryResult result;
        if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                             cudaEnableDefault, &result) != cudaSuccess ||
            result != cudaDriverEntryPointSuccess)
            function = nullptr;
        return reinterpret_cast<encode_fn>(function);
    }();
    return found;
}

bool vg_cuda_has_tensor_maps()
{
    return encoder() != nullptr;
}

static vg_status make_map(const char *op, const void *data, CUtensorMapDataType type,
                          cuuint64_t element, CUtensorMapSwizzle swizzle, int rank,
                          const int64_t *dims, const int *box, CUtensorMap *map, vg_err *err)
{
    cuuint64_t sizes[5], strides[5], bytes = element;
    cuuint32_t boxes[5], steps[5];

    for (int i = 0; i < rank; i++) {
        sizes[i] = (cuuint64_t)dims[i];
        boxes[i] = (cuuint32_t)box[i];
        steps[i] = 1;
        bytes *= sizes[i];
        strides[i] = bytes; // of dimension i + 1
    }
    CUresult result =
        encoder()(map, type, (cuuint32_t)rank, const_cast<void *>(data), sizes, strides, boxes,
                  steps, CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                  CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (result != CUDA_SUCCESS)
        return VG_FAIL(err, VG_E_DEVICE,
                       "%s: no tensor map of rank %d, innermost %lld: driver error %d", op, rank,
                       (long long)dims[0], (int)result);
    return VG_OK;
}

vg_status vg_cuda_tensor_map(const char *op, const void *data, int rank, const int64_t *dims,
                             const int *box, CUtensorMap *map, vg_err *err)
{
    return make_map(op, data, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, CU_TENSOR_MAP_SWIZZLE_128B, rank,
                    dims, box, map, err);
}

vg_status vg_cuda_tensor_map_bytes(const char *op, const void *data, int rank, const int64_t *dims,
                                   const int *box, CUtensorMap *map, vg_err *err)
{
    CUtensorMapSwizzle swizzle =
        box[0] == 64 ? CU_TENSOR_MAP_SWIZZLE_64B : CU_TENSOR_MAP_SWIZZLE_128B;

    return make_map(op, data, CU_TENSOR_MAP_DATA_TYPE_UINT8, 1, swizzle, rank, dims, box, map, err);
}

// linear.cu: y = act(x W^T + b) by cuBLASLt, for BF16 x BF16 and F32 x F32.
//
// The library is opened at run time (dlopen), because the programs must start on machines without CUDA libraries; only the first
// linear layer on a GPU needs it. FP8 operands and mixed formats answer VG_E_UNSUPPORTED for now, as do BF16 operands whose K or N is
// no multiple of 8: for those the library rounds the sum to BF16 before it adds the bias (seen with M=33 N=65 K=511, wrong by up to
// 2^-9 of the sum where bias and sum cancel), and the contract is one rounding.
#include "kernels/cuda/cuda.cuh"

#include <cublasLt.h>
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>

#define WORKSPACE_BYTES ((size_t)32 << 20)

#define BLAS_FUNCTIONS(X)                                                                          \
    X(Create) X(Destroy) X(GetStatusString) X(Matmul) X(MatmulAlgoGetHeuristic) X(MatmulDescCreate) X(MatmulDescDestroy) \
    X(MatmulDescSetAttribute) X(MatmulPreferenceCreate) X(MatmulPreferenceDestroy)                 \
    X(MatmulPreferenceSetAttribute) X(MatrixLayoutCreate) X(MatrixLayoutDestroy)

struct vg_cuda_blas {
    void *library;
    cublasLtHandle_t handle;
    void *workspace;
#define BLAS_POINTER(name) decltype(&cublasLt##name) name;
    BLAS_FUNCTIONS(BLAS_POINTER)
#undef BLAS_POINTER
};

void vg_cuda_blas_close(vg_cuda_blas *blas)
{
    if (!blas)
        return;
    if (blas->workspace)
        (void)cudaFree(blas->workspace);
    if (blas->handle)
        (void)blas->Destroy(blas->handle);
    if (blas->library)
        dlclose(blas->library);
    free(blas);
}

#define BLAS_TRY(blas, call, err)                                                                  \
    do {                                                                                           \
        cublasStatus_t blas_status_ = (call);                                                      \
        if (blas_status_ != CUBLAS_STATUS_SUCCESS)                                                 \
            return VG_FAIL((err), VG_E_DEVICE, "cuBLASLt: %s: %s", #call, (blas)->GetStatusString(blas_status_)); \
    } while (0)

static vg_status load(vg_backend *be, vg_cuda_blas *blas, vg_err *err)
{
    char name[64];

    snprintf(name, sizeof name, "libcublasLt.so.%d", CUBLAS_VER_MAJOR);
    blas->library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!blas->library)
        return VG_FAIL(err, VG_E_DEVICE, "the CUDA library %s is needed for linear layers and cannot be loaded: %s", name, dlerror());
#define BLAS_LOAD(function)                                                                        \
    blas->function = reinterpret_cast<decltype(&cublasLt##function)>(dlsym(blas->library, "cublasLt" #function)); \
    if (!blas->function)                                                                           \
        return VG_FAIL(err, VG_E_DEVICE, "%s lacks cublasLt%s", name, #function);
    BLAS_FUNCTIONS(BLAS_LOAD)
#undef BLAS_LOAD
    BLAS_TRY(blas, blas->Create(&blas->handle), err);
    VG_TRY(vg_backend_count_allocation(be, WORKSPACE_BYTES, err));
    return be->ops->alloc(be, WORKSPACE_BYTES, &blas->workspace, err);
}

static vg_status open_blas(vg_backend *be, vg_cuda_blas **blas, vg_err *err)
{
    vg_cuda_backend *cuda = vg_cuda(be);

    if (!cuda->blas) {
        vg_cuda_blas *fresh = static_cast<vg_cuda_blas *>(calloc(1, sizeof *fresh));
        if (!fresh)
            return VG_FAIL(err, VG_E_NOMEM, "no memory for the cuBLASLt table");
        vg_status status = load(be, fresh, err);
        if (status != VG_OK) {
            vg_cuda_blas_close(fresh);
            return status;
        }
        cuda->blas = fresh;
    }
    *blas = cuda->blas;
    return VG_OK;
}

static uint32_t alignment_of(const void *p)
{
    uintptr_t low = reinterpret_cast<uintptr_t>(p) & (0 - reinterpret_cast<uintptr_t>(p));
    return low > 256 || low == 0 ? 256u : static_cast<uint32_t>(low);
}

// The objects of one product; freed together.
struct product {
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t w, x, y;
    cublasLtMatmulPreference_t preference;
};

static void close_product(const vg_cuda_blas *blas, product *p)
{
    if (p->preference)
        (void)blas->MatmulPreferenceDestroy(p->preference);
    if (p->y)
        (void)blas->MatrixLayoutDestroy(p->y);
    if (p->x)
        (void)blas->MatrixLayoutDestroy(p->x);
    if (p->w)
        (void)blas->MatrixLayoutDestroy(p->w);
    if (p->operation)
        (void)blas->MatmulDescDestroy(p->operation);
}

static cudaDataType_t type_of(vg_dtype dtype)
{
    return dtype == VG_F32 ? CUDA_R_32F : CUDA_R_16BF;
}

/* Bytes 2*(M*K + N*K + M*N) (BF16)   FLOPs 2*M*N*K. Row-major y = x w^T is column-major y^T[N,M] = w^T x with leading dimensions
 * K, K, N. Numerics: FP32 accumulation (no TF32), bias in the epilogue, one rounding to y; the order of the sum is the library's,
 * repeatable for one shape, GPU and version (tested). Measured NVIDIA H100 80GB HBM3, M=32760 N=K=5120: 1.84-1.96 ms, 875-935 TFLOP/s
 * on zeros (random data runs at lower clocks), 2026-11. Not done: keeping descriptors and the chosen algorithm between calls. */
static vg_status multiply(vg_backend *be, vg_cuda_blas *blas, product *p, const vg_linear_args *a, vg_err *err)
{
    uint64_t m = (uint64_t)a->w->shape[0], n = (uint64_t)a->x->shape[0], k = (uint64_t)a->x->shape[1];
    cublasOperation_t transposed = CUBLAS_OP_T;
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    cublasLtMatmulHeuristicResult_t choice = {};
    uint32_t align_w = alignment_of(a->w->data), align_x = alignment_of(a->x->data), align_y = alignment_of(a->y->data);
    // Split-K kernels must add their parts in FP32: in the output's BF16, sum and bias would be rounded separately.
    uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    size_t workspace = WORKSPACE_BYTES;
    float alpha = 1.0f, beta = 0.0f;
    int found = 0;

    BLAS_TRY(blas, blas->MatmulDescCreate(&p->operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), err);
    BLAS_TRY(blas, blas->MatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed), err);
    if (a->bias) {
        cudaDataType_t bias_type = type_of(a->bias->dtype);
        BLAS_TRY(blas, blas->MatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue), err);
        BLAS_TRY(blas, blas->MatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &a->bias->data, sizeof(void *)), err);
        BLAS_TRY(blas, blas->MatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &bias_type, sizeof bias_type), err);
    }
    BLAS_TRY(blas, blas->MatrixLayoutCreate(&p->w, type_of(a->w->dtype), k, m, (int64_t)k), err);
    BLAS_TRY(blas, blas->MatrixLayoutCreate(&p->x, type_of(a->x->dtype), k, n, (int64_t)k), err);
    BLAS_TRY(blas, blas->MatrixLayoutCreate(&p->y, type_of(a->y->dtype), m, n, (int64_t)m), err);
    BLAS_TRY(blas, blas->MatmulPreferenceCreate(&p->preference), err);
#define PREFER(attribute, value)                                                                   \
    BLAS_TRY(blas, blas->MatmulPreferenceSetAttribute(p->preference, CUBLASLT_MATMUL_PREF_##attribute, &value, sizeof value), err)
    PREFER(MAX_WORKSPACE_BYTES, workspace);
    PREFER(REDUCTION_SCHEME_MASK, reductions);
    PREFER(MIN_ALIGNMENT_A_BYTES, align_w);
    PREFER(MIN_ALIGNMENT_B_BYTES, align_x);
    PREFER(MIN_ALIGNMENT_C_BYTES, align_y);
    PREFER(MIN_ALIGNMENT_D_BYTES, align_y);
#undef PREFER
    if (blas->MatmulAlgoGetHeuristic(blas->handle, p->operation, p->w, p->x, p->y, p->y, p->preference, 1, &choice, &found) !=
            CUBLAS_STATUS_SUCCESS || found == 0)
        return VG_FAIL(err, VG_E_UNSUPPORTED, "linear: cuBLASLt has no kernel for M=%llu N=%llu K=%llu %s", (unsigned long long)n,
                       (unsigned long long)m, (unsigned long long)k, vg_dtype_name(a->x->dtype));
    BLAS_TRY(blas, blas->Matmul(blas->handle, p->operation, &alpha, a->w->data, p->w, a->x->data, p->x, &beta, a->y->data, p->y,
                                a->y->data, p->y, &choice.algo, blas->workspace, workspace, vg_cuda(be)->stream), err);
    return VG_OK;
}

// ---- launcher -------------------------------------------------------------------------------------------------------

vg_status vg_cuda_linear(vg_backend *be, const vg_linear_args *a, vg_err *err)
{
    vg_cuda_blas *blas;
    product p = {};
    vg_status status;

    if (a->x->dtype != a->w->dtype || a->x->dtype == VG_E4M3 || (a->x->dtype == VG_F32 && a->y->dtype != VG_F32))
        return VG_FAIL(err, VG_E_UNSUPPORTED, "linear: %s x %s to %s is not available on the cuda backend yet",
                       vg_dtype_name(a->x->dtype), vg_dtype_name(a->w->dtype), vg_dtype_name(a->y->dtype));
    if (a->bias && a->bias->dtype != a->y->dtype)
        return VG_FAIL(err, VG_E_UNSUPPORTED, "linear: a %s bias for %s results is not available on the cuda backend yet",
                       vg_dtype_name(a->bias->dtype), vg_dtype_name(a->y->dtype));
    if (a->x->dtype == VG_BF16 && (a->x->shape[1] % 8 != 0 || a->w->shape[0] % 8 != 0 || alignment_of(a->x->data) < 16 ||
                                   alignment_of(a->w->data) < 16 || alignment_of(a->y->data) < 16))
        return VG_FAIL(err, VG_E_UNSUPPORTED, "linear: BF16 on the cuda backend needs input and output channels (%lld, %lld) in "
                       "multiples of 8 and 16-byte aligned operands", (long long)a->x->shape[1], (long long)a->w->shape[0]);
    VG_TRY(vg_cuda_enter(be, err));
    VG_TRY(open_blas(be, &blas, err));
    status = multiply(be, blas, &p, a, err);
    close_product(blas, &p);
    if (status != VG_OK || a->act == VG_ACT_NONE)
        return status;
    vg_activation_args act = {};
    act.x = a->y;
    act.act = a->act;
    act.y = a->y;
    return vg_cuda_activation(be, &act, err);
}

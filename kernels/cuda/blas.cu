// blas.cu: the door to cuBLASLt.
//
// The library is opened at run time (dlopen), because the programs must start on machines without CUDA libraries; only the first
// product on a GPU needs it. What a product needs (descriptors, layouts, the chosen algorithm) is kept per shape, so that a
// repeated call costs microseconds; the cache belongs to the backend.
//
// Which algorithm: the library's first proposal, or for large products the fastest of its proposals on this very device, timed once and
// kept in a file (choices.cuh). Different algorithms may add in different orders, so a choice must never change between two runs that
// have to give the same bytes: without a place for the file nothing is timed.
#include "kernels/cuda/blas.cuh"
#include "kernels/cuda/choices.cuh"

#include <cublasLt.h>
#include <dlfcn.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#define WORKSPACE_BYTES VG_CUDA_LIBRARY_BYTES
#define PLANS           256
#define PROPOSALS       16
#define TIMED_FLOP      2e9 // from this size on proposals are timed: smaller products do not show

#define BLAS_FUNCTIONS(X)                                                                          \
    X(Create)                                                                                      \
    X(Destroy)                                                                                     \
    X(GetVersion) X(GetStatusString) X(Matmul) X(MatmulAlgoGetHeuristic) X(MatmulAlgoCheck)        \
        X(MatmulDescCreate) X(MatmulDescDestroy) X(MatmulDescSetAttribute)                         \
            X(MatmulPreferenceCreate) X(MatmulPreferenceDestroy) X(MatmulPreferenceSetAttribute)   \
                X(MatrixLayoutCreate) X(MatrixLayoutDestroy) X(MatrixLayoutSetAttribute)

struct plan_key {
    int64_t values[18];
    int64_t alignments, bias, fast;
};

struct plan {
    plan_key key;
    uint64_t used; // clock of the last use; 0 = empty
    bool refused;  // the library has no kernel: remembered too
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t w, x, y, c; // c: NULL for that of y
    cublasLtMatmulAlgo_t algorithm;
};

struct vg_cuda_blas {
    void *library;
    cublasLtHandle_t handle;
    void *workspace;
    uint64_t clock;
    vg_choices choices;
    plan plans[PLANS];
#define BLAS_POINTER(name) decltype(&cublasLt##name) name;
    BLAS_FUNCTIONS(BLAS_POINTER)
#undef BLAS_POINTER
};

static void close_plan(const vg_cuda_blas *blas, plan *p)
{
    if (p->c)
        (void)blas->MatrixLayoutDestroy(p->c);
    if (p->y)
        (void)blas->MatrixLayoutDestroy(p->y);
    if (p->x)
        (void)blas->MatrixLayoutDestroy(p->x);
    if (p->w)
        (void)blas->MatrixLayoutDestroy(p->w);
    if (p->operation)
        (void)blas->MatmulDescDestroy(p->operation);
    *p = plan();
}

void vg_cuda_blas_close(vg_cuda_blas *blas)
{
    if (!blas)
        return;
    if (blas->handle) {
        for (int i = 0; i < PLANS; i++)
            close_plan(blas, &blas->plans[i]);
        (void)blas->Destroy(blas->handle);
    }
    if (blas->workspace)
        (void)cudaFree(blas->workspace);
    vg_choices_close(&blas->choices);
    if (blas->library)
        dlclose(blas->library);
    free(blas);
}

void vg_cuda_blas_version(const vg_cuda_blas *blas, char *text, size_t size)
{
    int version = blas ? (int)blas->GetVersion() : 0; // 130100 is 13.1.0

    *text = '\0';
    if (version)
        snprintf(text, size, "cuBLASLt %d.%d.%d", version / 10000, version / 100 % 100,
                 version % 100);
}

#define BLAS_TRY(blas, call, err)                                                                  \
    do {                                                                                           \
        cublasStatus_t blas_status_ = (call);                                                      \
        if (blas_status_ != CUBLAS_STATUS_SUCCESS)                                                 \
            return VG_FAIL((err), VG_E_DEVICE, "cuBLASLt: %s: %s", #call,                          \
                           (blas)->GetStatusString(blas_status_));                                 \
    } while (0)

static vg_status load(vg_backend *be, vg_cuda_blas *blas, vg_err *err)
{
    char name[64];

    snprintf(name, sizeof name, "libcublasLt.so.%d", CUBLAS_VER_MAJOR);
    blas->library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!blas->library)
        return VG_FAIL(err, VG_E_DEVICE,
                       "the CUDA library %s is needed for linear layers and cannot be loaded: %s",
                       name, dlerror());
#define BLAS_LOAD(function)                                                                        \
    blas->function = reinterpret_cast<decltype(&cublasLt##function)>(                              \
        dlsym(blas->library, "cublasLt" #function));                                               \
    if (!blas->function)                                                                           \
        return VG_FAIL(err, VG_E_DEVICE, "%s lacks cublasLt%s", name, #function);
    BLAS_FUNCTIONS(BLAS_LOAD)
#undef BLAS_LOAD
    BLAS_TRY(blas, blas->Create(&blas->handle), err);
    vg_choices_open(&blas->choices, be->gemm_cache, vg_cuda(be)->name, blas->GetVersion());
    VG_TRY(vg_backend_count_allocation(be, WORKSPACE_BYTES, err));
    VG_TRY(be->ops->alloc(be, WORKSPACE_BYTES, &blas->workspace, err));
    vg_backend_keep(be, WORKSPACE_BYTES);
    return VG_OK;
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

static cudaDataType_t type_of(int64_t dtype)
{
    return dtype == VG_F32 ? CUDA_R_32F : dtype == VG_E4M3 ? CUDA_R_8F_E4M3 : CUDA_R_16BF;
}

static cublasLtMatmulMatrixScale_t mode_of(int64_t mode)
{
    switch (mode) {
    case VG_SCALE_ROWS:
        return CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
    case VG_SCALE_GROUPS:
        return CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F;
    case VG_SCALE_BLOCKS:
        return CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F;
    default:
        return CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F;
    }
}

#define SET(attribute, value)                                                                      \
    BLAS_TRY(blas,                                                                                 \
             blas->MatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_##attribute,          \
                                          &(value), sizeof(value)),                                \
             err)

static vg_status layout(vg_cuda_blas *blas, cublasLtMatrixLayout_t *to, int64_t type, int64_t rows,
                        int64_t columns, int64_t ld, int64_t batch, int64_t step, vg_err *err)
{
    int32_t count = (int32_t)batch;

    BLAS_TRY(blas,
             blas->MatrixLayoutCreate(to, type_of(type), (uint64_t)rows, (uint64_t)columns, ld),
             err);
    if (batch > 1) {
        BLAS_TRY(blas,
                 blas->MatrixLayoutSetAttribute(*to, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count,
                                                sizeof count),
                 err);
        BLAS_TRY(blas,
                 blas->MatrixLayoutSetAttribute(*to, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                                &step, sizeof step),
                 err);
    }
    return VG_OK;
}

// The pointers of one call; they are also what the heuristic looks at to see that there is a bias or a scale.
static vg_status set_pointers(vg_cuda_blas *blas, plan *p, const vg_product *g, vg_err *err)
{
    if (g->bias)
        SET(BIAS_POINTER, g->bias);
    if (g->w_mode != VG_SCALE_NONE)
        SET(A_SCALE_POINTER, g->w_scale);
    if (g->x_mode != VG_SCALE_NONE)
        SET(B_SCALE_POINTER, g->x_scale);
    if (g->y_type == VG_E4M3)
        SET(D_SCALE_POINTER, g->y_factor);
    return VG_OK;
}

// Partial sums stay in the tensor cores' short accumulators, see linear.cu. Not with block scales, which promote anyway: 25 times slower there.
static bool is_fast(const vg_backend *be, const vg_product *g)
{
    return g->x_type == VG_E4M3 && !be->fp8_exact &&
           (g->x_mode == VG_SCALE_TENSOR || g->x_mode == VG_SCALE_ROWS);
}

/* Row-major y = x w^T is column-major y^T[n,m] = w^T x with leading dimensions ldw, ldx, ldy: the form FP8 needs. */
static vg_status describe(vg_cuda_blas *blas, plan *p, const vg_product *g, bool is_fast_sum,
                          vg_err *err)
{
    cublasOperation_t transposed = g->w_rows ? CUBLAS_OP_N : CUBLAS_OP_T;
    cublasLtEpilogue_t epilogue =
        g->gelu ? g->bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU
                : CUBLASLT_EPILOGUE_BIAS;
    cudaDataType_t bias_type = type_of(g->bias_type);
    cublasLtMatmulMatrixScale_t w_mode = mode_of(g->w_mode), x_mode = mode_of(g->x_mode);
    int8_t fast = is_fast_sum;

    BLAS_TRY(blas, blas->MatmulDescCreate(&p->operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), err);
    SET(TRANSA, transposed);
    if (g->bias || g->gelu)
        SET(EPILOGUE, epilogue);
    if (g->bias)
        SET(BIAS_DATA_TYPE, bias_type);
    if (g->w_mode != VG_SCALE_NONE && w_mode != CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F)
        SET(A_SCALE_MODE, w_mode);
    if (g->x_mode != VG_SCALE_NONE && x_mode != CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F)
        SET(B_SCALE_MODE, x_mode);
    if (g->x_type == VG_E4M3)
        SET(FAST_ACCUM, fast);
    VG_TRY(set_pointers(blas, p, g, err));
    VG_TRY(g->w_rows
               ? layout(blas, &p->w, g->w_type, g->n, g->k, g->ldw, g->batch, g->w_step, err)
               : layout(blas, &p->w, g->w_type, g->k, g->n, g->ldw, g->batch, g->w_step, err));
    VG_TRY(layout(blas, &p->x, g->x_type, g->k, g->m, g->ldx, g->batch, g->x_step, err));
    VG_TRY(layout(blas, &p->y, g->y_type, g->n, g->m, g->ldy, g->batch, g->y_step, err));
    if (g->y_type == VG_E4M3) // C, which is not read, has no 8-bit form
        VG_TRY(layout(blas, &p->c, VG_BF16, g->n, g->m, g->ldy, g->batch, g->y_step, err));
    return VG_OK;
}

static cublasLtMatrixLayout_t c_of(const plan *p)
{
    return p->c ? p->c : p->y;
}

static cublasStatus_t run_plan(vg_backend *be, vg_cuda_blas *blas, plan *p, const vg_product *g,
                               const cublasLtMatmulAlgo_t *algorithm)
{
    float alpha = (float)g->alpha, beta = 0.0f;

    // C is not read; where its type is not that of y it must not be y either.
    return blas->Matmul(blas->handle, p->operation, &alpha, g->w, p->w, g->x, p->x, &beta,
                        p->c ? nullptr : g->y, c_of(p), g->y, p->y, algorithm, blas->workspace,
                        WORKSPACE_BYTES, vg_cuda(be)->stream);
}

// The library's proposals, best guess first; none is an answer too.
static vg_status propose(vg_cuda_blas *blas, plan *p, const vg_product *g, int most,
                         cublasLtMatmulHeuristicResult_t *proposals, int *found, vg_err *err)
{
    uint32_t align_w = alignment_of(g->w), align_x = alignment_of(g->x),
             align_y = alignment_of(g->y);
    cublasLtMatmulPreference_t preference = nullptr;
    // Split-K kernels must add their parts in FP32: in the output's BF16, sum and bias would be rounded separately.
    uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    size_t workspace = WORKSPACE_BYTES;
    cublasStatus_t status;

    *found = 0;
    BLAS_TRY(blas, blas->MatmulPreferenceCreate(&preference), err);
    status = blas->MatmulPreferenceSetAttribute(
        preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
#define PREFER(attribute, value)                                                                   \
    if (status == CUBLAS_STATUS_SUCCESS)                                                           \
    status = blas->MatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_##attribute,      \
                                                &value, sizeof value)
    PREFER(REDUCTION_SCHEME_MASK, reductions);
    PREFER(MIN_ALIGNMENT_A_BYTES, align_w);
    PREFER(MIN_ALIGNMENT_B_BYTES, align_x);
    PREFER(MIN_ALIGNMENT_C_BYTES, align_y);
    PREFER(MIN_ALIGNMENT_D_BYTES, align_y);
#undef PREFER
    if (status == CUBLAS_STATUS_SUCCESS &&
        blas->MatmulAlgoGetHeuristic(blas->handle, p->operation, p->w, p->x, c_of(p), p->y,
                                     preference, most, proposals, found) != CUBLAS_STATUS_SUCCESS)
        *found = 0;
    (void)blas->MatmulPreferenceDestroy(preference);
    BLAS_TRY(blas, status, err);
    return VG_OK;
}

// Milliseconds of one run, the shorter of two times two; 0 when it does not run.
static vg_status time_algorithm(vg_backend *be, vg_cuda_blas *blas, plan *p, const vg_product *g,
                                const cublasLtMatmulAlgo_t *algorithm, cudaEvent_t *events,
                                float *ms, vg_err *err)
{
    *ms = 0.0f;
    if (run_plan(be, blas, p, g, algorithm) != CUBLAS_STATUS_SUCCESS)
        return VG_OK;
    for (int round = 0; round < 2; round++) {
        float two = 0.0f;
        VG_CUDA_TRY(cudaEventRecord(events[0], vg_cuda(be)->stream), err);
        for (int i = 0; i < 2; i++)
            if (run_plan(be, blas, p, g, algorithm) != CUBLAS_STATUS_SUCCESS)
                return VG_OK;
        VG_CUDA_TRY(cudaEventRecord(events[1], vg_cuda(be)->stream), err);
        VG_CUDA_TRY(cudaEventSynchronize(events[1]), err);
        VG_CUDA_TRY(cudaEventElapsedTime(&two, events[0], events[1]), err);
        *ms = round && *ms < two / 2 ? *ms : two / 2;
    }
    return VG_OK;
}

// The fastest proposal on this device, with the operands at hand; y is overwritten, as it will be anyway.
static vg_status fastest(vg_backend *be, vg_cuda_blas *blas, plan *p, const vg_product *g,
                         const cublasLtMatmulHeuristicResult_t *proposals, int count, int *best,
                         float *best_ms, vg_err *err)
{
    cudaEvent_t events[2] = {};
    vg_status status = VG_OK;

    *best = 0;
    *best_ms = 0.0f;
    for (int i = 0; i < 2 && status == VG_OK; i++)
        if (cudaEventCreate(&events[i]) != cudaSuccess)
            status = VG_FAIL(err, VG_E_DEVICE, "CUDA: no event to time products with");
    for (int i = 0; i < count && status == VG_OK; i++) {
        float ms = 0.0f;
        status = time_algorithm(be, blas, p, g, &proposals[i].algo, events, &ms, err);
        if (status == VG_OK && ms > 0.0f && (*best_ms == 0.0f || ms < *best_ms)) {
            *best = i;
            *best_ms = ms;
        }
    }
    for (cudaEvent_t event : events)
        if (event)
            (void)cudaEventDestroy(event);
    return status;
}

// A choice from the file counts only while the library takes it for this very product.
static bool still_valid(vg_cuda_blas *blas, plan *p, const cublasLtMatmulAlgo_t *algorithm)
{
    cublasLtMatmulHeuristicResult_t result = {};

    return blas->MatmulAlgoCheck(blas->handle, p->operation, p->w, p->x, c_of(p), p->y, algorithm,
                                 &result) == CUBLAS_STATUS_SUCCESS &&
           result.state == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= WORKSPACE_BYTES;
}

/* The file's choice, or the fastest proposal, which goes into the file before it is used for a result. Other processes wait at the lock
 * and then read what was chosen, so all of them agree. */
static vg_status choose_timed(vg_backend *be, vg_cuda_blas *blas, plan *p, const vg_product *g,
                              const cublasLtMatmulHeuristicResult_t *proposals, int count,
                              vg_err *err)
{
    vg_choices *choices = &blas->choices;
    vg_status status = VG_OK;
    int best;
    float ms;

    if (!vg_choices_lock(choices))
        return VG_OK;
    if (!vg_choices_find(choices, &p->key, sizeof p->key, &p->algorithm, sizeof p->algorithm) ||
        !still_valid(blas, p, &p->algorithm)) {
        p->algorithm = proposals[0].algo;
        status = fastest(be, blas, p, g, proposals, count, &best, &ms, err);
        if (status == VG_OK && ms > 0.0f &&
            vg_choices_add(choices, &p->key, sizeof p->key, &proposals[best].algo,
                           sizeof p->algorithm))
            p->algorithm = proposals[best].algo;
    }
    vg_choices_unlock(choices);
    return status;
}

static vg_status make_plan(vg_backend *be, vg_cuda_blas *blas, plan *p, const vg_product *g,
                           vg_err *err)
{
    cublasLtMatmulHeuristicResult_t proposals[PROPOSALS] = {};
    bool timed = vg_choices_kept(&blas->choices) &&
                 2.0 * (double)g->m * (double)g->n * (double)g->k * (double)g->batch >= TIMED_FLOP;
    int found = 0;

    VG_TRY(describe(blas, p, g, p->key.fast != 0, err));
    VG_TRY(propose(blas, p, g, timed ? PROPOSALS : 1, proposals, &found, err));
    p->refused = found == 0;
    if (p->refused)
        return VG_OK;
    p->algorithm = proposals[0].algo;
    return timed ? choose_timed(be, blas, p, g, proposals, found, err) : VG_OK;
}

static_assert(offsetof(vg_product, alpha) - offsetof(vg_product, m) == sizeof(plan_key::values),
              "the key is every number of a product");

// The plan for this product, from the cache or new in the place of the one used longest ago.
static vg_status find_plan(vg_backend *be, vg_cuda_blas *blas, const vg_product *g, plan **found,
                           vg_err *err)
{
    plan *oldest = &blas->plans[0];
    plan_key key = {};
    vg_status status;

    memcpy(key.values, &g->m, sizeof key.values);
    key.alignments =
        alignment_of(g->w) | (int64_t)alignment_of(g->x) << 16 | (int64_t)alignment_of(g->y) << 32;
    key.bias = g->bias != nullptr;
    key.fast = is_fast(be, g);
    blas->clock++;
    for (int i = 0; i < PLANS; i++) {
        plan *p = &blas->plans[i];
        if (p->used && memcmp(&p->key, &key, sizeof key) == 0) {
            p->used = blas->clock;
            *found = p;
            return VG_OK;
        }
        if (p->used < oldest->used)
            oldest = p;
    }
    close_plan(blas, oldest);
    oldest->key = key;
    status = make_plan(be, blas, oldest, g, err);
    if (status != VG_OK) {
        close_plan(blas, oldest);
        return status;
    }
    oldest->used = blas->clock;
    *found = oldest;
    return VG_OK;
}

vg_status vg_cuda_multiply(vg_backend *be, const vg_product *g, vg_err *err)
{
    vg_cuda_blas *blas = nullptr;
    plan *p = nullptr;
    cublasStatus_t status;

    VG_TRY(open_blas(be, &blas, err));
    VG_TRY(find_plan(be, blas, g, &p, err));
    if (!p->refused) {
        VG_TRY(set_pointers(blas, p, g, err));
        status = run_plan(be, blas, p, g, &p->algorithm);
        // Some combinations pass the heuristic and are refused by the call itself.
        if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE)
            p->refused = true;
        else
            BLAS_TRY(blas, status, err);
    }
    if (p->refused)
        return VG_FAIL(
            err, VG_E_UNSUPPORTED, "cuBLASLt has no kernel for M=%lld N=%lld K=%lld, %s x %s to %s",
            (long long)g->m, (long long)g->n, (long long)g->k, vg_dtype_name((vg_dtype)g->x_type),
            vg_dtype_name((vg_dtype)g->w_type), vg_dtype_name((vg_dtype)g->y_type));
    return VG_OK;
}

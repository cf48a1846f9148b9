// blas.cuh: one matrix product by cuBLASLt, in row-major terms. Private to kernels/cuda/.
#ifndef VG_KERNELS_CUDA_BLAS_CUH
#define VG_KERNELS_CUDA_BLAS_CUH

#include "kernels/cuda/cuda.cuh"

// How an E4M3 operand is scaled (FP32 factors).
enum vg_scale_mode {
    VG_SCALE_NONE,
    VG_SCALE_TENSOR, // one number
    VG_SCALE_ROWS,   // one per row; both operands or none; compute capability 9.0
    VG_SCALE_GROUPS, // [ceil(k/128)][rows]; compute capability 9.0
    VG_SCALE_BLOCKS // [ceil(rows/128)][ceil(k/128) rounded up to 4]; compute capability 9.0, not both operands
};

// y[m,n] = alpha * x[m,k] w[n,k]^T (+ bias[n]), or with w_rows x[m,k] w[k,n]; FP32 accumulation without TF32, one rounding.
// gelu: the tanh form of it, of the unrounded sum. E4M3 y (E4M3 x and w only): y = codes of the result * *y_factor, one rounding.
// Leading dimensions are distances between rows in elements. batch > 1 repeats it at the given distances (elements).
struct vg_product {
    const void *x, *w, *bias;
    const float *x_scale, *w_scale, *y_factor;
    void *y;
    // From here on the key of the plan cache; no padding between (all 8 bytes wide).
    int64_t m, n, k, ldx, ldw, ldy, batch, x_step, w_step, y_step;
    int64_t x_type, w_type, y_type, bias_type; // vg_dtype; bias_type counts only with a bias
    int64_t w_rows, x_mode, w_mode, gelu;
    double alpha; // not part of the key
};

// VG_E_UNSUPPORTED when the library has no kernel for it: the caller then goes another way.
vg_status vg_cuda_multiply(vg_backend *be, const vg_product *p, vg_err *err);

#endif

// attention.cu: which kernel an attention goes to.
#include "kernels/cuda/attention.cuh"

#include <cstdlib>
#include <cstring>

// VGEN_CUDA_ATTENTION = sm90, mma or rows takes that kernel wherever it fits (tests, timing); the best one otherwise.
static bool allowed(const char *name)
{
    const char *wanted = getenv("VGEN_CUDA_ATTENTION");
    return !wanted || !*wanted || strcmp(wanted, name) == 0;
}

vg_status vg_cuda_attention(vg_backend *be, const vg_attention_args *a, vg_err *err)
{
    if (allowed("sm90") && vg_cuda_attention_sm90_fits(be, a))
        return vg_cuda_attention_sm90(be, a, err);
    if (allowed("mma") && vg_cuda_attention_mma_fits(a))
        return vg_cuda_attention_mma(be, a, err);
    return vg_cuda_attention_rows(be, a, err);
}

// embedding.cu: y[i] = table[ids[i]].
#include "kernels/cuda/cuda.cuh"

/* look_up    Bytes  n*dim*(size(table) + size(y)) + 4*n   -> memory-bound
 * Launch   one block per id, 256 threads. An id outside of the table (the engine has checked them) gives a row of NaN: the GPU
 *          cannot answer with an error. Exact but for the rounding to y's dtype */
template <int N, typename T, typename Y>
static __global__ void look_up(const T *table, const int32_t *ids, Y *y, int64_t dim,
                               int64_t table_rows)
{
    int32_t id = ids[blockIdx.x];
    bool known = id >= 0 && id < table_rows;
    float v[N];

    for (int64_t c = (int64_t)threadIdx.x * N; c < dim; c += (int64_t)blockDim.x * N) {
        if (known)
            vg_load<N>(table + id * dim + c, v);
        else
#pragma unroll
            for (int i = 0; i < N; i++)
                v[i] = NAN;
        vg_store<N>(y + (int64_t)blockIdx.x * dim + c, v);
    }
}

// ---- launcher -------------------------------------------------------------------------------------------------------

vg_status vg_cuda_embedding(vg_backend *be, const vg_embedding_args *a, vg_err *err)
{
    int64_t rows = a->table->shape[0], dim = a->table->shape[1];
    const int32_t *ids = static_cast<const int32_t *>(a->ids->data);
    unsigned n = (unsigned)a->ids->shape[0];

    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_ACT(
        a->table->dtype, T, VG_CUDA_ACT(a->y->dtype, Y, {
            const T *table = static_cast<const T *>(a->table->data);
            Y *y = static_cast<Y *>(a->y->data);
            if (vg_cuda_packs(dim, table, y))
                VG_CUDA_LAUNCH(be, err, (look_up<8, T, Y>), n, 256, 0, table, ids, y, dim, rows);
            else
                VG_CUDA_LAUNCH(be, err, (look_up<1, T, Y>), n, 256, 0, table, ids, y, dim, rows);
        }););
    return VG_OK;
}

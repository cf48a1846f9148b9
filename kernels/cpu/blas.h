/* blas.h: OpenBLAS, opened at run time and only by who computes on the CPU. Linked, it would start a pool of threads in every program,
 * each of which takes 32 to 128 MiB of addresses and, under a limit on them, asks for ever. Private to kernels/cpu/.
 *
 * It gets one thread: its own split of a product would depend on their number, and so would the bits; ours call it on tiles of fixed sizes
 * instead. */
#ifndef VG_KERNELS_CPU_BLAS_H
#define VG_KERNELS_CPU_BLAS_H

#include <cblas.h>
#include <stddef.h>

#include "kernels/base/status.h"

typedef struct vg_cpu_blas {
    __typeof__(&cblas_sgemm) sgemm;
    __typeof__(&cblas_sgemv) sgemv;
} vg_cpu_blas;
extern vg_cpu_blas vg_blas; /* empty until vg_cpu_blas_open */

/* Open the library, once in a process, and have it take the memory that `callers` calls at a time need: it cannot fail later. It stays
 * open. Errors: VG_E_UNSUPPORTED (the library, or a function of it, is not there: says what the loader said), VG_E_NOMEM. */
vg_status vg_cpu_blas_open(int callers, vg_err *err);
/* "OpenBLAS 0.3.21"; "" when it is not open. */
void vg_cpu_blas_name(char *name, size_t size);
#endif

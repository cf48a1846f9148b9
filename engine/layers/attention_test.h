/* attention_test.h: the rows that a test of 8-bit attention takes, and how near two results are. For attention.c. */
#ifndef VG_ENGINE_LAYERS_ATTENTION_TEST_H
#define VG_ENGINE_LAYERS_ATTENTION_TEST_H

#include "kernels/backend/arena.h"

#define VG_ATTENTION_TEST_RUNS 8 /* evenly spaced, of so many rows one after the other */
#define VG_ATTENTION_TEST_ROWS 32

typedef struct vg_attention_figures {
    double cosine;        /* of all rows and heads together; 1 where both are 0 */
    double relative_l2;   /* |a - b| / |b| */
    double largest_error; /* max |a - b| */
} vg_attention_figures;

/* Some rows of q [N,D], all when there are few, copied into `work`. Errors: VG_E_NOMEM, VG_E_DEVICE. */
vg_status vg_attention_test_rows(vg_arena *work, const vg_tensor *q, vg_tensor *rows, vg_err *err);
/* a against b, same shape and dtype (F32 or BF16), on the host; waits. NaN or infinity anywhere: figures that are not numbers.
 * Errors: VG_E_NOMEM, VG_E_DEVICE. */
vg_status vg_attention_test_compare(vg_backend *be, const vg_tensor *a, const vg_tensor *b,
                                    vg_attention_figures *figures, vg_err *err);
#endif

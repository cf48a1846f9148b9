/* profile.h: which operations ran, how often, on which shapes, what they cost, and how long the backend was at each.
 *
 * DESIGN. While vg_backend.profile is set, the wrappers of dispatch.c tell it of every call. A timed profile puts a mark before and one after
 * the call into the backend's order of work (CUDA events, a clock on the CPU); nothing waits. Marks are read by vg_profile_resolve, which
 * does wait, and are used again afterwards: call it where the host waits anyway, such as between denoise steps.
 * The time between the marks of one operation is the backend's, including moments in which it had nothing to do because the host was late. */
#ifndef VG_KERNELS_BACKEND_PROFILE_H
#define VG_KERNELS_BACKEND_PROFILE_H

#include "kernels/backend/backend.h"
#include "kernels/op/ops_cost.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vg_profile_entry {
    vg_op op;
    int section;     /* see vg_profile_section */
    vg_op_cost cost; /* of one call */
    int64_t calls;
    double seconds; /* of all calls; 0 without timing */
} vg_profile_entry;

/* timed: measure, else only count. The backend must outlive the profile; setting be->profile is the caller's. */
vg_status vg_profile_new(vg_backend *be, bool timed, vg_profile **profile, vg_err *err);
void vg_profile_free(vg_profile *profile); /* takes itself off the backend */

/* Calls from now on belong to this section; calls of different sections have entries of their own. The first is 0. */
void vg_profile_section(vg_profile *profile, int section);
/* Wait for the backend and add what was measured since the last time to the entries. */
vg_status vg_profile_resolve(vg_profile *profile, vg_err *err);
/* Forget the calls of a section so far. Resolve first: marks that are under way are forgotten with it. */
void vg_profile_clear(vg_profile *profile, int section);

/* In order of their first call; borrowed until the next call of an operation. */
int vg_profile_count(const vg_profile *profile);
/* index: 0 to count - 1. */
const vg_profile_entry *vg_profile_at(const vg_profile *profile, int index);

/* For the wrappers: around the call of the operation; end only after one that succeeded. Errors: VG_E_NOMEM, VG_E_DEVICE. */
vg_status vg_profile_begin(vg_profile *profile, vg_op op, const vg_op_cost *cost, vg_err *err);
/* Counts the call that the last begin was for. */
vg_status vg_profile_end(vg_profile *profile, vg_err *err);

#ifdef __cplusplus
}
#endif
#endif

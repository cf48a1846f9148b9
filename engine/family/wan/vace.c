/* vace.c: see vace.h. */
#include "engine/family/wan/vace.h"

vg_status wan_control_upload(vg_arena *arena, vg_dtype compute, const float *values,
                             const int64_t shape[4], vg_tensor *control, vg_err *err)
{
    vg_backend *be = vg_arena_backend(arena);
    vg_tensor raw;
    VG_TRY(vg_arena_tensor(arena, compute, 4, shape, control, err));
    size_t mark = vg_arena_mark(arena);
    raw = *control;
    if (compute != VG_F32)
        VG_TRY(vg_arena_tensor(arena, VG_F32, 4, shape, &raw, err));
    VG_TRY(vg_backend_upload(be, &raw, values, err));
    if (compute != VG_F32)
        VG_TRY(vg_cast(be, &(vg_cast_args){.x = &raw, .y = control}, err));
    vg_arena_reset(arena, mark);
    return vg_backend_sync(be, err); /* values belong to the caller */
}

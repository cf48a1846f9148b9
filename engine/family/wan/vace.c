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

vg_status wan_control_bind(const vg_binding *b, vg_dtype compute, vg_arena *arena,
                           vg_tensor *control, wan_dit *dit, vg_err *err)
{
    const vg_condition *c = vg_conditions_find(b->conditions, WAN_CONTROL);
    double scales[WAN_VACE_MAX];
    for (int i = 0; i < WAN_VACE_MAX; i++)
        scales[i] = b->params->conditioning_scale;
    if (!control->data)
        VG_TRY(wan_control_upload(arena, compute, c->values, c->shape, control, err));
    return wan_dit_set_control(dit, control, scales, err);
}

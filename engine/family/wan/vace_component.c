/* vace_component.c: see vace_component.h. */
#include "engine/family/wan/vace_component.h"

#include "engine/family/wan/vace.h"
#include "engine/run/component_io.h"

#include <stdlib.h>

static vg_status check(const char *part, const wan_dit_config *c, int64_t batch,
                       const wan_control_inputs *i, vg_err *err)
{
    const int64_t *s = i->shape;
    if (s[0] != batch)
        return VG_FAIL(err, VG_E_SHAPE,
                       "%s: control_hidden_states has a batch of %lld, hidden_states of %lld", part,
                       (long long)s[0], (long long)batch);
    if (s[1] != c->vace_channels)
        return VG_FAIL(err, VG_E_SHAPE,
                       "%s: control_hidden_states has %lld channels; the model wants %lld", part,
                       (long long)s[1], (long long)c->vace_channels);
    return VG_OK;
}

static vg_status read_scales(const vg_safetensors *in, const char *part, const wan_dit_config *c,
                             wan_control_inputs *i, vg_err *err)
{
    static const char name[] = "control_hidden_states_scale";
    const char *dtype;
    vg_tensor t;
    int64_t count;
    if (!vg_safetensors_raw(in, name, &dtype, &t))
        return VG_OK;
    VG_TRY(vg_input_numbers(in, part, name, 1, &count, &i->scales, err));
    if (count != c->vace_count)
        return VG_FAIL(err, VG_E_SHAPE, "%s: %s has %lld entries; the model has %lld vace_layers",
                       part, name, (long long)count, (long long)c->vace_count);
    return VG_OK;
}

vg_status wan_control_inputs_read(const vg_safetensors *in, const char *part,
                                  const wan_dit_config *config, int64_t batch,
                                  wan_control_inputs *inputs, vg_err *err)
{
    *inputs = (wan_control_inputs){0};
    if (!config->vace_count)
        return VG_OK;
    vg_status status =
        vg_input_f32(in, part, "control_hidden_states", 5, inputs->shape, &inputs->values, err);
    if (status == VG_OK)
        status = check(part, config, batch, inputs, err);
    if (status == VG_OK)
        status = read_scales(in, part, config, inputs, err);
    if (status != VG_OK)
        wan_control_inputs_deinit(inputs);
    return status;
}

void wan_control_inputs_deinit(wan_control_inputs *inputs)
{
    free(inputs->values);
    free(inputs->scales);
    *inputs = (wan_control_inputs){0};
}

vg_status wan_control_inputs_set(const wan_control_inputs *inputs, int64_t row, vg_dtype compute,
                                 vg_arena *arena, wan_dit *dit, vg_err *err)
{
    const int64_t *s = inputs->shape;
    vg_tensor control;
    if (!inputs->values)
        return VG_OK;
    VG_TRY(wan_control_upload(arena, compute, inputs->values + row * s[1] * s[2] * s[3] * s[4],
                              s + 1, &control, err));
    return wan_dit_set_control(dit, &control, inputs->scales, err);
}

/* host_values.c: see host_values.h. */
#include "engine/checkpoint/host_values.h"

#include "kernels/base/numeric.h"

#include <string.h>

vg_status vg_host_to_f32(const vg_tensor *t, int64_t begin, int64_t count, float *out, vg_err *err)
{
    const uint8_t *bytes = (const uint8_t *)t->data + (size_t)begin * vg_dtype_size(t->dtype);
    switch (t->dtype) {
    case VG_F32:
        memcpy(out, bytes, (size_t)count * 4);
        return VG_OK;
    case VG_BF16:
    case VG_F16:
        for (int64_t i = 0; i < count; i++) {
            uint16_t h;
            memcpy(&h, bytes + 2 * i, 2);
            out[i] = t->dtype == VG_BF16 ? vg_bf16_to_f32(h) : vg_f16_to_f32(h);
        }
        return VG_OK;
    case VG_E4M3:
        for (int64_t i = 0; i < count; i++)
            out[i] = vg_e4m3_to_f32(bytes[i]);
        return VG_OK;
    default:
        return VG_FAIL(err, VG_E_DTYPE, "%s values cannot be used as weights",
                       vg_dtype_name(t->dtype));
    }
}

/* conv3d_direct.c: convolution with few channels, without unfolding (AVX2 and FMA). */
#include "kernels/cpu/conv3d.h"

bool vg_conv_direct_fits(const vg_conv_plan *p)
{
    (void)p;
    return false;
}

vg_status vg_conv_direct(vg_conv_plan *p, vg_err *err)
{
    (void)p;
    return VG_FAIL(err, VG_E_UNSUPPORTED, "conv3d: no direct kernel here");
}

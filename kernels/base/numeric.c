/* numeric.c: scalar conversions of the 16- and 8-bit formats, bit-exact and independent of the machine's own.
 * Source: IEEE 754-2019 binary16; OCP 8-bit floating point specification, E4M3. */
#include "kernels/base/numeric.h"

float vg_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, rest = h & 0x7fffu;

    if (rest >= 0x7c00u) /* infinity; NaN keeps its payload and becomes quiet */
        return vg_f32_from_bits(sign | 0x7f800000u | (rest & 0x3ffu) << 13 |
                                (rest > 0x7c00u ? 0x400000u : 0));
    if (rest >= 0x0400u)
        return vg_f32_from_bits(sign | ((rest << 13) + ((127u - 15u) << 23)));
    /* Subnormal: rest * 2^-24, exact. */
    return vg_f32_from_bits(sign | vg_f32_bits((float)rest * 0x1p-24f));
}

uint16_t vg_f32_to_f16(float f)
{
    uint32_t u = vg_f32_bits(f), sign = u >> 16 & 0x8000u, rest = u & 0x7fffffffu;

    if (rest > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | (rest >> 13 & 0x3ffu));
    if (rest >= 0x477ff000u) /* 65520, the tie above the largest finite value, goes to infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (rest >= 0x38800000u) /* 2^-14 */
        return (uint16_t)(sign |
                          ((rest - ((127u - 15u) << 23) + 0xfffu + (rest >> 13 & 1u)) >> 13));
    /* Below: adding 0.5 puts the unit of the last place at 2^-24, and the addition rounds to nearest even. */
    return (uint16_t)(sign | (vg_f32_bits(vg_f32_from_bits(rest) + 0.5f) - 0x3f000000u));
}

float vg_e4m3_to_f32(uint8_t q)
{
    uint32_t sign = (uint32_t)(q & 0x80u) << 24, rest = q & 0x7fu;

    if (rest == 0x7fu)
        return vg_f32_from_bits(sign | 0x7fc00000u);
    /* Exponent and mantissa in FP32's places, then the difference of the biases; subnormals come out right too. */
    return vg_f32_from_bits(sign | vg_f32_bits(vg_f32_from_bits(rest << 20) * 0x1p120f));
}

uint8_t vg_f32_to_e4m3(float f)
{
    uint32_t u = vg_f32_bits(f), sign = u >> 24 & 0x80u, rest = u & 0x7fffffffu;

    if (rest > 0x7f800000u)
        return (uint8_t)(sign | 0x7fu);
    if (rest >= 0x43e00000u) /* 448 */
        return (uint8_t)(sign | 0x7eu);
    if (rest >= 0x3c800000u) /* 2^-6, the smallest normal */
        return (uint8_t)(sign | ((rest - (120u << 23) + 0x7ffffu + (rest >> 20 & 1u)) >> 20));
    /* Below: adding 2^14 puts the unit of the last place at 2^-9, and the addition rounds to nearest even. */
    return (uint8_t)(sign | (vg_f32_bits(vg_f32_from_bits(rest) + 0x1p14f) - 0x46800000u));
}

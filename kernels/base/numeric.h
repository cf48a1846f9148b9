/* numeric.h: scalar conversions shared by the CPU backend, the engine and the tests. Bit-exact: BF16, F16 and OCP
 * E4M3FN, round to nearest even. The CUDA backend uses the hardware conversions and is tested against these. */
#ifndef VG_KERNELS_BASE_NUMERIC_H
#define VG_KERNELS_BASE_NUMERIC_H

#include <stdint.h>
#include <string.h>

/* The bits as they are. */
static inline float vg_f32_from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* The bits as they are. */
static inline uint32_t vg_f32_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* Exact. */
static inline float vg_bf16_to_f32(uint16_t b)
{
    return vg_f32_from_bits((uint32_t)b << 16);
}

/* Round to nearest even; NaN stays a quiet NaN. */
static inline uint16_t vg_f32_to_bf16(float f)
{
    uint32_t u = vg_f32_bits(f);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)((u >> 16) | 0x40u);
    return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

/* The nearest BF16, as FP32. */
static inline float vg_round_bf16(float f)
{
    return vg_bf16_to_f32(vg_f32_to_bf16(f));
}

#ifdef __cplusplus
extern "C" {
#endif
/* Exact. */
float vg_f16_to_f32(uint16_t h);
/* Round to nearest even; beyond 65504 infinity. */
uint16_t vg_f32_to_f16(float f);
float vg_e4m3_to_f32(uint8_t q); /* 0x7f and 0xff are NaN; there is no infinity */
uint8_t
vg_f32_to_e4m3(float f); /* saturates at +-448 (infinities too); NaN -> 0x7f with the sign kept */
#ifdef __cplusplus
}
#endif
#endif

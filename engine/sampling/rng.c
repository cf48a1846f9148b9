/* rng.c: torch's CPU normal numbers. torch has two algorithms: under 16 elements a double-precision Box-Muller with a cached
 * second value; from 16 on blocks of 16 in FP32. torch's own vector code for the latter differs from plain C in the last
 * bits (its sin, cos and log are approximations), so equality with torch is to about 1e-6 absolute.
 * Source: pytorch aten/src/ATen/core/MT19937RNGEngine.h, DistributionsHelper.h, native/cpu/DistributionTemplates.h. */
#include "engine/sampling/rng.h"

#include <math.h>

#define MT_N 624
#define MT_M 397

typedef struct mt19937 {
    uint32_t state[MT_N];
    int next;
} mt19937;

/* torch keeps the low 32 bits of the seed; a negative seed arrives here as its two's complement. */
static void mt_seed(mt19937 *mt, uint64_t seed)
{
    mt->state[0] = (uint32_t)seed;
    for (uint32_t i = 1; i < MT_N; i++)
        mt->state[i] = 1812433253u * (mt->state[i - 1] ^ (mt->state[i - 1] >> 30)) + i;
    mt->next = MT_N;
}

static uint32_t mt_twist(uint32_t high, uint32_t low, uint32_t far)
{
    uint32_t mixed = (high & 0x80000000u) | (low & 0x7fffffffu);

    return far ^ (mixed >> 1) ^ (low & 1u ? 0x9908b0dfu : 0u);
}

static void mt_refill(mt19937 *mt)
{
    uint32_t *s = mt->state;

    for (int i = 0; i < MT_N - MT_M; i++)
        s[i] = mt_twist(s[i], s[i + 1], s[i + MT_M]);
    for (int i = MT_N - MT_M; i < MT_N - 1; i++)
        s[i] = mt_twist(s[i], s[i + 1], s[i + MT_M - MT_N]);
    s[MT_N - 1] = mt_twist(s[MT_N - 1], s[0], s[MT_M - 1]);
    mt->next = 0;
}

static uint32_t mt_next(mt19937 *mt)
{
    if (mt->next == MT_N)
        mt_refill(mt);
    uint32_t y = mt->state[mt->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

static float uniform24(mt19937 *mt)
{
    return (float)(mt_next(mt) & 0xffffffu) * 0x1p-24f;
}

static double uniform53(mt19937 *mt)
{
    uint64_t high = mt_next(mt);
    uint64_t low = mt_next(mt);

    return (double)((high << 32 | low) & ((UINT64_C(1) << 53) - 1)) * 0x1p-53;
}

/* 16 uniforms in place: pairs (j, j+8) become two normals. */
static void box_muller_16(float *v)
{
    for (int j = 0; j < 8; j++) {
        float radius = sqrtf(-2.0f * logf(1.0f - v[j]));
        float angle = 6.28318530717958647692f * v[j + 8], sine, cosine;
        sincosf(angle, &sine, &cosine);
        v[j] = radius * cosine;
        v[j + 8] = radius * sine;
    }
}

static void normal_few(mt19937 *mt, float *out, size_t count)
{
    double kept = 0.0;

    for (size_t i = 0; i < count; i++) {
        if (i % 2 == 1) {
            out[i] = (float)kept;
            continue;
        }
        double u1 = uniform53(mt), u2 = uniform53(mt);
        double radius = sqrt(-2.0 * log1p(-u2)), angle = 6.283185307179586476925 * u1;
        kept = radius * sin(angle);
        out[i] = (float)(radius * cos(angle));
    }
}

void vg_rng_torch_normal(uint64_t seed, float *out, size_t count)
{
    mt19937 mt;

    mt_seed(&mt, seed);
    if (count < 16) {
        normal_few(&mt, out, count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        out[i] = uniform24(&mt);
    for (size_t i = 0; i + 16 <= count; i += 16)
        box_muller_16(out + i);
    if (count % 16 != 0) {
        /* The last 16 are drawn afresh, over values that were finished already. */
        for (size_t i = count - 16; i < count; i++)
            out[i] = uniform24(&mt);
        box_muller_16(out + count - 16);
    }
}

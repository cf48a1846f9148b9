/* hash.h: FNV-1a of 64 bits: identities of files and seeds of generated tensors. Not for anything that an attacker may choose. */
#ifndef VG_KERNELS_BASE_HASH_H
#define VG_KERNELS_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define VG_FNV1A_BEGIN UINT64_C(0xcbf29ce484222325)

/* The hash of what was hashed into `hash` (VG_FNV1A_BEGIN: nothing) with these bytes behind it. */
static inline uint64_t vg_fnv1a(uint64_t hash, const void *bytes, size_t size)
{
    const uint8_t *at = (const uint8_t *)bytes;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* The number's 8 bytes, the lowest first. */
static inline uint64_t vg_fnv1a_number(uint64_t hash, uint64_t value)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    return vg_fnv1a(hash, bytes, sizeof bytes);
}
#endif

/* digest.h: checksums of 64 bits, by which a file is known that is not what was written any more. XXH3 (the xxhash package): as fast as memory,
 * so that even frames are looked at in milliseconds. Not for what an attacker may choose: he can write a checksum too. */
#ifndef VG_KERNELS_BASE_DIGEST_H
#define VG_KERNELS_BASE_DIGEST_H

#include "kernels/base/status.h"

#include <stddef.h>
#include <stdint.h>

/* The digest of `bytes`, carrying on from `before` (0: nothing yet): pieces give another digest than the same bytes in one. */
uint64_t vg_digest(uint64_t before, const void *bytes, size_t size);
/* Of a regular file, and its length; *bytes may be NULL. Links are not followed. Errors: VG_E_IO, VG_E_NOMEM. */
vg_status vg_digest_file(const char *path, uint64_t *digest, uint64_t *bytes, vg_err *err);

#define VG_DIGEST_HEX 16
/* 16 hex digits and a NUL. */
void vg_digest_text(uint64_t digest, char text[VG_DIGEST_HEX + 1]);
#endif

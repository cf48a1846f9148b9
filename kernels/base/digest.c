/* digest.c: see digest.h. The library's header has the whole of it; nothing is linked. */
#include "kernels/base/digest.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE ((size_t)1 << 20) /* of a file */

uint64_t vg_digest(uint64_t before, const void *bytes, size_t size)
{
    return XXH3_64bits_withSeed(size ? bytes : "", size, before);
}

/* As much of a piece as the file has left; -1: errno says why not. */
static ssize_t read_piece(int fd, char *piece)
{
    size_t have = 0;
    while (have < PIECE) {
        ssize_t n = read(fd, piece + have, PIECE - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        have += (size_t)n;
    }
    return (ssize_t)have;
}

static vg_status digest_open(const char *path, int fd, uint64_t *digest, uint64_t *bytes,
                             vg_err *err)
{
    struct stat st;
    uint64_t hash = 0, total = 0;
    ssize_t n;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return VG_FAIL(err, VG_E_IO, "%s: not a regular file", path);
    char *piece = malloc(PIECE);
    if (!piece)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for %zu bytes of it", path, PIECE);
    while ((n = read_piece(fd, piece)) > 0) {
        hash = vg_digest(hash, piece, (size_t)n);
        total += (uint64_t)n;
    }
    int reason = errno;
    free(piece);
    if (n < 0)
        return VG_FAIL(err, VG_E_IO, "%s: cannot read: %s", path, strerror(reason));
    *digest = hash;
    if (bytes)
        *bytes = total;
    return VG_OK;
}

vg_status vg_digest_file(const char *path, uint64_t *digest, uint64_t *bytes, vg_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return VG_FAIL(err, VG_E_IO, "%s: cannot open: %s", path, strerror(errno));
    vg_status status = digest_open(path, fd, digest, bytes, err);
    close(fd);
    return status;
}

void vg_digest_text(uint64_t digest, char text[VG_DIGEST_HEX + 1])
{
    snprintf(text, VG_DIGEST_HEX + 1, "%016" PRIx64, digest);
}

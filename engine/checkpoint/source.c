/* source.c: see source.h. */
#include "engine/checkpoint/source.h"

#include "engine/checkpoint/host_values.h"
#include "kernels/base/numeric.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PART 16384 /* values converted at a time: the buffers lie on the stack */

vg_source vg_source_of(const vg_weights *weights, const vg_tensor *t, const char *component,
                       const char *name, int ndim, const int64_t *shape)
{
    vg_source s = {.fd = -1};
    if (t) {
        s.t = *t;
        if (!vg_weights_locate(weights, t->data, &s.fd, &s.offset))
            s.fd = -1;
        return s;
    }
    s.t = vg_tensor_of(NULL, VG_BF16, ndim, shape);
    s.generated = true;
    vg_dummy_describe(component, name, ndim, shape, &s.dummy);
    return s;
}

vg_source vg_source_memory(const vg_tensor *t)
{
    return (vg_source){.t = *t, .fd = -1};
}

static vg_status read_file(int fd, uint64_t offset, size_t bytes, void *to, vg_err *err)
{
    size_t done = 0;
    while (done < bytes) {
        ssize_t n = pread(fd, (char *)to + done, bytes - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return VG_FAIL(err, VG_E_IO, "cannot read a weight file: %s", strerror(errno));
        if (n == 0)
            return VG_FAIL(err, VG_E_IO, "a weight file has become shorter while it was read");
        done += (size_t)n;
    }
    return VG_OK;
}

/* Values in the source's own dtype. */
static vg_status read_raw(const vg_source *s, int64_t begin, int64_t count, void *to, vg_err *err)
{
    size_t size = vg_dtype_size(s->t.dtype);
    if (s->generated)
        vg_dummy_fill(&s->dummy, begin, count, to);
    else if (s->fd >= 0)
        return read_file(s->fd, s->offset + (uint64_t)begin * size, (size_t)count * size, to, err);
    else
        memcpy(to, (const char *)s->t.data + (size_t)begin * size, (size_t)count * size);
    return VG_OK;
}

vg_status vg_source_read(const vg_source *s, vg_dtype dtype, int64_t begin, int64_t count, void *to,
                         vg_err *err)
{
    uint32_t raw[PART]; /* room for the widest dtype that is converted */
    float values[PART];
    if (s->t.dtype == dtype)
        return read_raw(s, begin, count, to, err);
    if (dtype != VG_F32 && dtype != VG_BF16)
        return VG_FAIL(err, VG_E_DTYPE, "%s weights cannot become %s", vg_dtype_name(s->t.dtype),
                       vg_dtype_name(dtype));
    for (int64_t at = 0; at < count; at += PART) {
        int64_t n = count - at < PART ? count - at : PART;
        vg_tensor t = vg_tensor_make(raw, s->t.dtype, 1, n);
        if (vg_dtype_size(s->t.dtype) > sizeof raw[0])
            return VG_FAIL(err, VG_E_DTYPE, "%s values cannot be used as weights",
                           vg_dtype_name(s->t.dtype));
        VG_TRY(read_raw(s, begin + at, n, raw, err));
        VG_TRY(vg_host_to_f32(&t, 0, n, dtype == VG_F32 ? (float *)to + at : values, err));
        for (int64_t i = 0; dtype == VG_BF16 && i < n; i++)
            ((uint16_t *)to)[at + i] = vg_f32_to_bf16(values[i]);
    }
    return VG_OK;
}

#define PAGES 2048 /* looked at in one call */

bool vg_source_cached(const vg_source *s, int64_t begin, int64_t count)
{
    unsigned char in[PAGES];
    size_t size = vg_dtype_size(s->t.dtype), seen = 0, resident = 0;
    if (s->fd < 0)
        return true;
    uintptr_t at = (uintptr_t)s->t.data + (uintptr_t)begin * size,
              end = at + (uintptr_t)count * size;
    for (at -= at % VG_SOURCE_PAGE; at < end; at += PAGES * VG_SOURCE_PAGE) {
        size_t bytes = end - at < PAGES * VG_SOURCE_PAGE ? end - at : PAGES * VG_SOURCE_PAGE;
        size_t pages = (bytes + VG_SOURCE_PAGE - 1) / VG_SOURCE_PAGE;
        if (mincore((void *)at, bytes, in) != 0)
            return true;
        for (size_t i = 0; i < pages; i++)
            resident += in[i] & 1;
        seen += pages;
    }
    return 2 * resident >= seen;
}

vg_status vg_source_read_direct(const vg_source *s, int64_t begin, int64_t count, void *buffer,
                                void **data, vg_err *err)
{
    size_t size = vg_dtype_size(s->t.dtype), bytes = (size_t)count * size, done = 0;
    uint64_t at = s->offset + (uint64_t)begin * size, from = at - at % VG_SOURCE_PAGE;
    size_t wanted = (size_t)(at - from) + bytes,
           whole = (wanted + VG_SOURCE_PAGE - 1) / VG_SOURCE_PAGE * VG_SOURCE_PAGE;
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", s->fd); /* the same file, opened anew */
    int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (fd < 0)
        return VG_FAIL(err, VG_E_UNSUPPORTED, "no direct reading here: %s", strerror(errno));
    vg_status status = VG_OK;
    while (done < wanted && status == VG_OK) {
        ssize_t n = pread(fd, (char *)buffer + done, whole - done, (off_t)(from + done));
        if (n > 0 && (done + (size_t)n >= wanted || (size_t)n % VG_SOURCE_PAGE == 0))
            done += (size_t)n;
        else if (n < 0 && errno == EINTR)
            continue;
        else if (n < 0)
            status = VG_FAIL(err, errno == EINVAL ? VG_E_UNSUPPORTED : VG_E_IO,
                             "cannot read a weight file: %s", strerror(errno));
        else
            status = VG_FAIL(err, VG_E_IO, "a weight file has become shorter while it was read");
    }
    close(fd);
    *data = (char *)buffer + (at - from);
    return status;
}

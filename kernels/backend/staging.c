/* staging.c: see staging.h.
 *
 * DESIGN. A side has two fences: `moved` is set on COPY behind its copy, `worked` on COMPUTE behind the operations on its device memory. Out:
 * COPY follows `worked` before it reads, and the caller waits for `moved` before the side is used again. In: the caller waits for `moved`
 * before it writes the pinned piece, COPY follows `worked` before it writes the device's, and COMPUTE follows `moved` before it reads. */
#include "kernels/backend/staging.h"

#include <stdlib.h>
#include <string.h>

typedef struct side {
    void *host, *device;
    vg_fence *moved, *worked;
    void *to; /* out: where the pinned bytes go; NULL = nothing waits */
    size_t bytes;
    vg_staging_delivered *delivered;
    void *user;
} side;

struct vg_staging {
    vg_backend *be;
    size_t bytes;
    int next, taken; /* sides of the next transfer, and of the next _in_take */
    side sides[2];
};

static vg_status open_side(vg_staging *f, side *s, vg_err *err)
{
    VG_TRY(f->be->ops->fence_new(f->be, &s->moved, err));
    VG_TRY(f->be->ops->fence_new(f->be, &s->worked, err));
    VG_TRY(vg_backend_alloc(f->be, f->bytes, &s->device, err));
    /* What had this memory before may still be at work on it. */
    VG_TRY(f->be->ops->fence_set(f->be, VG_QUEUE_COMPUTE, s->worked, err));
    return f->be->ops->pin(f->be, f->bytes, &s->host, err);
}

vg_status vg_staging_new(vg_backend *be, size_t bytes, vg_staging **staging, vg_err *err)
{
    vg_status status = VG_OK;
    vg_staging *f = calloc(1, sizeof *f);
    if (!f)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for frames under way");
    f->be = be;
    f->bytes = bytes;
    for (int i = 0; i < 2 && status == VG_OK; i++)
        status = open_side(f, &f->sides[i], err);
    if (status != VG_OK) {
        vg_staging_free(f);
        return status;
    }
    *staging = f;
    return VG_OK;
}

void vg_staging_free(vg_staging *f)
{
    if (!f)
        return;
    const vg_backend_ops *ops = f->be->ops;
    for (int i = 0; i < 2; i++) {
        side *s = &f->sides[i];
        if (s->moved) {
            (void)ops->fence_wait(f->be, s->moved, NULL);
            ops->fence_free(f->be, s->moved);
        }
        if (s->worked)
            ops->fence_free(f->be, s->worked);
        if (s->host)
            ops->unpin(f->be, s->host, f->bytes);
        vg_backend_release(f->be, s->device, f->bytes);
    }
    free(f);
}

/* The side's last transfer has ended, and what came out of it is where it belongs. */
static vg_status settle(vg_staging *f, side *s, vg_err *err)
{
    void *to = s->to;
    VG_TRY(f->be->ops->fence_wait(f->be, s->moved, err));
    s->to = NULL;
    if (!to)
        return VG_OK;
    if (!f->be->ops->dry)
        memcpy(to, s->host, s->bytes);
    if (s->delivered)
        s->delivered(s->user);
    return VG_OK;
}

vg_status vg_staging_out_room(vg_staging *f, void **device, vg_err *err)
{
    side *s = &f->sides[f->next];
    VG_TRY(settle(f, s, err));
    *device = s->device;
    return VG_OK;
}

vg_status vg_staging_out_send(vg_staging *f, size_t bytes, void *to,
                              vg_staging_delivered *delivered, void *user, vg_err *err)
{
    const vg_backend_ops *ops = f->be->ops;
    side *s = &f->sides[f->next];
    VG_TRY(ops->fence_set(f->be, VG_QUEUE_COMPUTE, s->worked, err));
    VG_TRY(ops->fence_follow(f->be, VG_QUEUE_COPY, s->worked, err));
    VG_TRY(ops->stream_out(f->be, s->host, s->device, bytes, err));
    VG_TRY(ops->fence_set(f->be, VG_QUEUE_COPY, s->moved, err));
    s->to = to;
    s->bytes = bytes;
    s->delivered = delivered;
    s->user = user;
    f->next ^= 1;
    return VG_OK;
}

vg_status vg_staging_out_finish(vg_staging *f, vg_err *err)
{
    VG_TRY(settle(f, &f->sides[f->next], err));
    return settle(f, &f->sides[f->next ^ 1], err);
}

vg_status vg_staging_in_room(vg_staging *f, void **host, vg_err *err)
{
    side *s = &f->sides[f->next];
    VG_TRY(f->be->ops->fence_wait(f->be, s->moved, err));
    *host = f->be->ops->dry ? NULL : s->host;
    return VG_OK;
}

vg_status vg_staging_in_send(vg_staging *f, size_t bytes, vg_err *err)
{
    const vg_backend_ops *ops = f->be->ops;
    side *s = &f->sides[f->next];
    VG_TRY(ops->fence_follow(f->be, VG_QUEUE_COPY, s->worked, err));
    VG_TRY(ops->stream_in(f->be, s->device, s->host, bytes, err));
    VG_TRY(ops->fence_set(f->be, VG_QUEUE_COPY, s->moved, err));
    f->next ^= 1;
    return VG_OK;
}

vg_status vg_staging_in_take(vg_staging *f, void **device, vg_err *err)
{
    side *s = &f->sides[f->taken];
    VG_TRY(f->be->ops->fence_follow(f->be, VG_QUEUE_COMPUTE, s->moved, err));
    *device = s->device;
    return VG_OK;
}

vg_status vg_staging_in_done(vg_staging *f, vg_err *err)
{
    VG_TRY(f->be->ops->fence_set(f->be, VG_QUEUE_COMPUTE, f->sides[f->taken].worked, err));
    f->taken ^= 1;
    return VG_OK;
}

/* loader.c: see loader.h.
 *
 * DESIGN. Requests stand in one array in the order asked for; `next` and its `begun` say which piece is handed out next. A thread owns two
 * pinned buffers, each with a fence: it fills one while the other is being copied. A request is issued when its last piece is on the COPY
 * queue; vg_loader_order waits for that and lets COMPUTE follow COPY. Converting on these threads, not on the device, halves what an F32
 * checkpoint sends over the bus; making FP8 needs the whole tensor first and is the device's.
 *
 * Measured, H100 80GB over PCIe 5 x16 (54.7 GB/s for one large pinned copy), 4.7 GB of weights of 14B-sized blocks in one file in the page
 * cache, to ready, 2026-11: 1 thread 5 GB/s, 4: 20, 8: 31, 12: 37 to 45, 16: 28 to 41; BF16 made FP8 on the way 37 GB/s (16 threads).
 * A whole ModelOpt FP8 expert, 14.58 GB in one file: 1 thread 7.8 GB/s, 4: 27, 8: 46, 12: 38 to 49 (0.30 to 0.38 s), median 45.
 * From a cold disk 1.3 GB/s through the cache, 1.0 to 1.5 directly: the disk's own speed either way. */
#include "engine/checkpoint/loader.h"

#include "kernels/base/fileio.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES  ((size_t)4 << 20)
#define BUFFER_BYTES (PIECE_BYTES + 2 * VG_SOURCE_PAGE)
#define THREADS_MAX                                                                                \
    12 /* more are slower: 12 read 45 GB/s from the page cache beside an H100, 16 read 40 */

typedef struct request {
    vg_source source;
    vg_dtype dtype;
    char *to;
    void *owned;                /* memory behind `source`, freed once read */
    int64_t count, begun, left; /* values: of all, handed out, not yet on the queue */
} request;

typedef struct reader {
    vg_loader *loader;
    pthread_t thread;
    char *buffers[2];
    vg_fence *fences[2];
} reader;

struct vg_loader {
    vg_backend *be;
    int threads, running;
    vg_loader_reading reading;
    atomic_bool direct; /* files that are not in the page cache are read past it */
    reader readers[THREADS_MAX];
    char *pinned;
    vg_fence *order;
    pthread_mutex_t lock;
    pthread_cond_t work, progress;
    request *requests;
    size_t count, capacity, next, issued; /* issued: requests in front of it are on the queue */
    bool stop;
    vg_status status; /* first failure */
    vg_err err;
};

static int64_t piece_values(vg_dtype dtype)
{
    return (int64_t)(PIECE_BYTES / vg_dtype_size(dtype));
}

/* The piece's values to host memory: into the buffer, *data says where. */
static vg_status read_piece(vg_loader *l, const request *q, int64_t begin, int64_t count,
                            char *buffer, void **data, vg_err *err)
{
    *data = buffer;
    if (q->source.fd >= 0 && q->dtype == q->source.t.dtype && atomic_load(&l->direct) &&
        !vg_source_cached(&q->source, begin, count)) {
        vg_status status = vg_source_read_direct(&q->source, begin, count, buffer, data, err);
        if (status != VG_E_UNSUPPORTED)
            return status;
        atomic_store(&l->direct, false);
        *data = buffer;
    }
    return vg_source_read(&q->source, q->dtype, begin, count, buffer, err);
}

/* Read one piece and start its copy. Several threads are in here at a time. */
static vg_status bring(reader *r, int buffer, const request *q, int64_t begin, int64_t count,
                       vg_err *err)
{
    const vg_backend_ops *ops = r->loader->be->ops;
    vg_backend *be = r->loader->be;
    size_t size = vg_dtype_size(q->dtype);
    if (vg_backend_cancelled(be))
        return VG_FAIL(err, VG_E_CANCELLED, "cancelled while loading");
    VG_TRY(ops->fence_wait(be, r->fences[buffer], err));
    void *data;
    VG_TRY(read_piece(r->loader, q, begin, count, r->buffers[buffer], &data, err));
    VG_TRY(ops->stream_in(be, q->to + (size_t)begin * size, data, (size_t)count * size, err));
    return ops->fence_set(be, VG_QUEUE_COPY, r->fences[buffer], err);
}

static void finish_piece(vg_loader *l, request *q, int64_t count, vg_status status,
                         const vg_err *err)
{
    if (status != VG_OK && l->status == VG_OK) {
        l->status = status;
        l->err = *err;
    }
    q->left -= count;
    if (q->left == 0) {
        free(q->owned);
        q->owned = NULL;
        while (l->issued < l->count && l->requests[l->issued].left == 0)
            l->issued++;
        pthread_cond_broadcast(&l->progress);
    }
}

static void *reader_main(void *argument)
{
    reader *r = argument;
    vg_loader *l = r->loader;
    pthread_mutex_lock(&l->lock);
    for (int buffer = 0;;) {
        while (!l->stop && l->next == l->count)
            pthread_cond_wait(&l->work, &l->lock);
        if (l->stop)
            break;
        size_t at = l->next;
        request q = l->requests[at]; /* the array may move while we read */
        int64_t begin = q.begun, most = piece_values(q.dtype),
                count = q.count - begin < most ? q.count - begin : most;
        bool drop = l->status != VG_OK;
        vg_err err = {0};
        l->requests[at].begun += count;
        if (l->requests[at].begun == q.count)
            l->next++;
        pthread_mutex_unlock(&l->lock);
        vg_status status = drop ? VG_OK : bring(r, buffer, &q, begin, count, &err);
        buffer = !buffer;
        pthread_mutex_lock(&l->lock);
        finish_piece(l, &l->requests[at], count, status, &err);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static int usable_cpus(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return count < 1 ? 1 : count > THREADS_MAX ? THREADS_MAX : count;
}

static vg_status start(vg_loader *l, vg_err *err)
{
    const vg_backend_ops *ops = l->be->ops;
    void *pinned;
    VG_TRY(ops->pin(l->be, (size_t)l->threads * 2 * BUFFER_BYTES, &pinned, err));
    l->pinned = pinned;
    VG_TRY(ops->fence_new(l->be, &l->order, err));
    for (int i = 0; i < l->threads; i++) {
        reader *r = &l->readers[i];
        r->loader = l;
        for (int j = 0; j < 2; j++) {
            r->buffers[j] = l->pinned + (size_t)(2 * i + j) * BUFFER_BYTES;
            VG_TRY(ops->fence_new(l->be, &r->fences[j], err));
        }
        if (pthread_create(&r->thread, NULL, reader_main, r) != 0)
            return VG_FAIL(err, VG_E_NOMEM, "cannot start a thread that reads weights");
        l->running++;
    }
    return VG_OK;
}

vg_status vg_loader_new(vg_backend *be, int threads, vg_loader **loader, vg_err *err)
{
    vg_loader *l = calloc(1, sizeof *l);
    if (!l)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the loader");
    l->be = be;
    l->threads = threads <= 0 ? usable_cpus() : threads > THREADS_MAX ? THREADS_MAX : threads;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->progress, NULL);
    vg_status status = start(l, err);
    if (status != VG_OK) {
        vg_loader_free(l);
        return status;
    }
    *loader = l;
    return VG_OK;
}

void vg_loader_free(vg_loader *l)
{
    if (!l)
        return;
    const vg_backend_ops *ops = l->be->ops;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->running; i++)
        pthread_join(l->readers[i].thread, NULL);
    for (int i = 0; i < l->threads; i++)
        for (int j = 0; j < 2; j++)
            if (l->readers[i].fences[j]) {
                (void)ops->fence_wait(l->be, l->readers[i].fences[j], NULL);
                ops->fence_free(l->be, l->readers[i].fences[j]);
            }
    if (l->order)
        ops->fence_free(l->be, l->order);
    if (l->pinned)
        ops->unpin(l->be, l->pinned, (size_t)l->threads * 2 * BUFFER_BYTES);
    for (size_t i = 0; i < l->count; i++)
        free(l->requests[i].owned);
    free(l->requests);
    pthread_cond_destroy(&l->progress);
    pthread_cond_destroy(&l->work);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

void vg_loader_set_reading(vg_loader *l, vg_loader_reading reading)
{
    l->reading = reading;
    atomic_store(&l->direct, reading == VG_READ_DIRECT);
}

void vg_loader_expect(vg_loader *l, size_t bytes)
{
    size_t available = vg_memory_available();
    if (l->reading == VG_READ_AUTO)
        atomic_store(&l->direct, available > 0 && bytes > available / 2);
}

/* `queue` waits for all that the other one has now. */
static vg_status follow(vg_loader *l, vg_queue queue, vg_err *err)
{
    vg_queue other = queue == VG_QUEUE_COPY ? VG_QUEUE_COMPUTE : VG_QUEUE_COPY;
    VG_TRY(l->be->ops->fence_set(l->be, other, l->order, err));
    return l->be->ops->fence_follow(l->be, queue, l->order, err);
}

vg_status vg_loader_begin(vg_loader *l, vg_err *err)
{
    return follow(l, VG_QUEUE_COPY, err);
}

static vg_status add(vg_loader *l, const request *q, size_t *ticket, vg_err *err)
{
    vg_status status = VG_OK;
    pthread_mutex_lock(&l->lock);
    if (l->count == l->capacity) {
        size_t capacity = l->capacity ? 2 * l->capacity : 256;
        request *grown = realloc(l->requests, capacity * sizeof *grown);
        if (grown) {
            l->requests = grown;
            l->capacity = capacity;
        } else
            status = VG_FAIL(err, VG_E_NOMEM, "out of memory for %zu requests", capacity);
    }
    if (status == VG_OK) {
        l->requests[l->count++] = *q;
        pthread_cond_broadcast(&l->work);
    }
    if (ticket)
        *ticket = l->count;
    pthread_mutex_unlock(&l->lock);
    return status;
}

vg_status vg_loader_put(vg_loader *l, const vg_source *source, vg_dtype dtype, void *to,
                        size_t *ticket, vg_err *err)
{
    int64_t count = vg_tensor_numel(&source->t);
    request q = {.source = *source, .dtype = dtype, .to = to, .count = count, .left = count};
    if (count == 0) {
        if (ticket)
            *ticket = 0;
        return VG_OK;
    }
    return add(l, &q, ticket, err);
}

vg_status vg_loader_put_copy(vg_loader *l, const void *from, size_t bytes, void *to, vg_err *err)
{
    void *copy = malloc(bytes ? bytes : 1);
    if (!copy)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %zu bytes", bytes);
    memcpy(copy, from, bytes);
    vg_tensor t = vg_tensor_make(copy, VG_U8, 1, (int64_t)bytes);
    request q = {.source = vg_source_memory(&t), .dtype = VG_U8, .to = to, .owned = copy};
    q.count = q.left = (int64_t)bytes;
    vg_status status = bytes ? add(l, &q, NULL, err) : VG_OK;
    if (status != VG_OK || !bytes)
        free(copy);
    return status;
}

static vg_status wait_issued(vg_loader *l, size_t ticket, vg_err *err)
{
    pthread_mutex_lock(&l->lock);
    if (ticket > l->count)
        ticket = l->count;
    while (l->issued < ticket)
        pthread_cond_wait(&l->progress, &l->lock);
    vg_status status = l->status;
    if (status != VG_OK && err)
        *err = l->err;
    pthread_mutex_unlock(&l->lock);
    return status;
}

vg_status vg_loader_order(vg_loader *l, size_t ticket, vg_err *err)
{
    VG_TRY(wait_issued(l, ticket, err));
    return follow(l, VG_QUEUE_COMPUTE, err);
}

vg_status vg_loader_wait(vg_loader *l, vg_err *err)
{
    vg_err inner = {0};
    vg_status status = wait_issued(l, VG_LOADER_ALL, &inner), waited;
    waited = follow(l, VG_QUEUE_COMPUTE, status == VG_OK ? &inner : NULL);
    if (waited == VG_OK)
        waited = l->be->ops->fence_wait(l->be, l->order, status == VG_OK ? &inner : NULL);
    if (status == VG_OK)
        status = waited;
    if (status != VG_OK && err)
        *err = inner;
    pthread_mutex_lock(&l->lock); /* the readers are idle: nothing is left to hand out */
    l->count = l->next = l->issued = 0;
    l->status = VG_OK;
    pthread_mutex_unlock(&l->lock);
    return status;
}

void vg_loader_abandon(vg_loader *l)
{
    pthread_mutex_lock(&l->lock);
    if (l->status == VG_OK)
        l->status = VG_E_CANCELLED; /* the readers drop all that is left */
    pthread_mutex_unlock(&l->lock);
    (void)vg_loader_wait(l, NULL);
}

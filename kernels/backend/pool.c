/* pool.c: see pool.h. One sorted array of pieces, taken and free, that covers the regions without gaps; two free neighbours of one
 * region never stand side by side. A stage has a few thousand pieces, so a walk costs microseconds. */
#include "kernels/backend/pool.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct piece {
    char *memory;
    size_t bytes;
    bool taken, first; /* first: of its region */
} piece;

struct vg_pool {
    piece *pieces; /* by address */
    size_t count, capacity;
    size_t bytes, used, reached;
};

vg_status vg_pool_new(vg_pool **pool, vg_err *err)
{
    vg_pool *p = calloc(1, sizeof *p);

    if (!p)
        return VG_FAIL(err, VG_E_NOMEM, "no memory for a pool");
    *pool = p;
    return VG_OK;
}

void vg_pool_free(vg_pool *pool)
{
    if (pool)
        free(pool->pieces);
    free(pool);
}

static vg_status make_room(vg_pool *pool, vg_err *err)
{
    size_t capacity = pool->capacity ? 2 * pool->capacity : 64;

    if (pool->count < pool->capacity)
        return VG_OK;
    piece *grown = realloc(pool->pieces, capacity * sizeof *grown);
    if (!grown)
        return VG_FAIL(err, VG_E_NOMEM, "no memory for a pool's list of %zu pieces", capacity);
    pool->pieces = grown;
    pool->capacity = capacity;
    return VG_OK;
}

static void insert(vg_pool *pool, size_t at, piece p)
{
    memmove(pool->pieces + at + 1, pool->pieces + at, (pool->count - at) * sizeof p);
    pool->pieces[at] = p;
    pool->count++;
}

static void delete_at(vg_pool *pool, size_t at)
{
    pool->count--;
    memmove(pool->pieces + at, pool->pieces + at + 1, (pool->count - at) * sizeof *pool->pieces);
}

/* Index of the first piece at or behind `memory`. */
static size_t find(const vg_pool *pool, const void *memory)
{
    size_t low = 0, high = pool->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((uintptr_t)pool->pieces[middle].memory < (uintptr_t)memory)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

vg_status vg_pool_add(vg_pool *pool, void *memory, size_t bytes, vg_err *err)
{
    bytes -= bytes % VG_POOL_ALIGNMENT;
    if (bytes == 0)
        return VG_FAIL(err, VG_E_ARG, "a pool's region cannot be empty");
    VG_TRY(make_room(pool, err));
    insert(pool, find(pool, memory), (piece){memory, bytes, false, true});
    pool->bytes += bytes;
    return VG_OK;
}

void *vg_pool_remove_idle(vg_pool *pool)
{
    for (size_t i = 0; i < pool->count; i++) {
        const piece *p = &pool->pieces[i];
        if (p->taken || !p->first || (i + 1 < pool->count && !p[1].first))
            continue;
        void *memory = p->memory;
        pool->bytes -= p->bytes;
        delete_at(pool, i);
        return memory;
    }
    return NULL;
}

vg_status vg_pool_take(vg_pool *pool, size_t bytes, void **memory, vg_err *err)
{
    size_t wanted = bytes ? bytes : 1;

    if (wanted > SIZE_MAX - VG_POOL_ALIGNMENT)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory: wanted %zu bytes", bytes);
    wanted = (wanted + VG_POOL_ALIGNMENT - 1) / VG_POOL_ALIGNMENT * VG_POOL_ALIGNMENT;
    VG_TRY(make_room(pool, err));
    for (size_t i = 0; i < pool->count; i++) {
        piece *p = &pool->pieces[i];
        if (p->taken || p->bytes < wanted)
            continue;
        if (p->bytes > wanted)
            insert(pool, i + 1, (piece){p->memory + wanted, p->bytes - wanted, false, false});
        pool->pieces[i].bytes = wanted;
        pool->pieces[i].taken = true;
        pool->used += wanted;
        if (pool->used > pool->reached)
            pool->reached = pool->used;
        *memory = pool->pieces[i].memory;
        return VG_OK;
    }
    return VG_FAIL(err, VG_E_NOMEM,
                   "out of memory: wanted %zu bytes, the largest free piece has %zu", bytes,
                   vg_pool_largest(pool));
}

bool vg_pool_give(vg_pool *pool, void *memory)
{
    size_t at = find(pool, memory);

    if (at == pool->count || pool->pieces[at].memory != memory || !pool->pieces[at].taken)
        return false;
    pool->pieces[at].taken = false;
    pool->used -= pool->pieces[at].bytes;
    if (at + 1 < pool->count && !pool->pieces[at + 1].first && !pool->pieces[at + 1].taken) {
        pool->pieces[at].bytes += pool->pieces[at + 1].bytes;
        delete_at(pool, at + 1);
    }
    if (!pool->pieces[at].first && !pool->pieces[at - 1].taken) {
        pool->pieces[at - 1].bytes += pool->pieces[at].bytes;
        delete_at(pool, at);
    }
    return true;
}

size_t vg_pool_bytes(const vg_pool *pool)
{
    return pool->bytes;
}

size_t vg_pool_used(const vg_pool *pool)
{
    return pool->used;
}

size_t vg_pool_largest(const vg_pool *pool)
{
    size_t largest = 0;

    for (size_t i = 0; i < pool->count; i++)
        if (!pool->pieces[i].taken && pool->pieces[i].bytes > largest)
            largest = pool->pieces[i].bytes;
    return largest;
}

size_t vg_pool_reached(const vg_pool *pool)
{
    return pool->reached;
}

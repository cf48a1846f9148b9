/* arena.c: a stack of tensors over a list of chunks.
 *
 * DESIGN. A position is one number: chunk ordinals' sizes laid end to end. Chunk i covers [start, start + size); a tensor that
 * does not fit in the rest of the present chunk begins at the next one, and a mark is the position where the next tensor
 * would be looked for. Chunks stay when a reset passes them, until a later request does not fit in the chunk at hand:
 * then all unused chunks behind the position are released and one of the right size is taken. So a loop that takes the same
 * tensors in every round allocates in the first one only. */
#include "kernels/backend/arena.h"

#include <assert.h>
#include <stdlib.h>

#define ALIGNMENT     ((size_t)256)
#define DEFAULT_CHUNK ((size_t)64 << 20)

typedef struct chunk {
    char *memory;
    size_t start, size;
} chunk;

struct vg_arena {
    vg_backend *be;
    size_t chunk_bytes;
    chunk *chunks;
    size_t count, capacity;
    size_t position; /* first free byte */
    size_t taken, peak;
};

static size_t end_of(const vg_arena *arena)
{
    return arena->count
               ? arena->chunks[arena->count - 1].start + arena->chunks[arena->count - 1].size
               : 0;
}

vg_status vg_arena_new(vg_backend *be, size_t chunk_bytes, vg_arena **arena, vg_err *err)
{
    vg_arena *a = calloc(1, sizeof *a);

    if (!a)
        return VG_FAIL(err, VG_E_NOMEM, "no memory for an arena");
    a->be = be;
    a->chunk_bytes = chunk_bytes ? chunk_bytes : DEFAULT_CHUNK;
    *arena = a;
    return VG_OK;
}

static void drop_last_chunk(vg_arena *arena)
{
    chunk *last = &arena->chunks[--arena->count];

    vg_backend_release(arena->be, last->memory, last->size);
    arena->taken -= last->size;
}

void vg_arena_free(vg_arena *arena)
{
    if (!arena)
        return;
    while (arena->count)
        drop_last_chunk(arena);
    free(arena->chunks);
    free(arena);
}

static vg_status add_chunk(vg_arena *arena, size_t bytes, vg_err *err)
{
    size_t size = bytes > arena->chunk_bytes ? bytes : arena->chunk_bytes;
    void *memory;

    if (arena->count == arena->capacity) {
        size_t capacity = arena->capacity ? 2 * arena->capacity : 16;
        chunk *grown = realloc(arena->chunks, capacity * sizeof *grown);
        if (!grown)
            return VG_FAIL(err, VG_E_NOMEM, "no memory for an arena's list of chunks");
        arena->chunks = grown;
        arena->capacity = capacity;
    }
    VG_TRY(vg_backend_alloc(arena->be, size, &memory, err));
    arena->chunks[arena->count] = (chunk){memory, end_of(arena), size};
    arena->count++;
    arena->taken += size;
    if (arena->taken > arena->peak)
        arena->peak = arena->taken;
    return VG_OK;
}

vg_status vg_arena_tensor(vg_arena *arena, vg_dtype dtype, int ndim, const int64_t *shape,
                          vg_tensor *t, vg_err *err)
{
    size_t bytes;

    VG_TRY(vg_shape_bytes(shape, ndim, dtype, &bytes, err));
    bytes = bytes ? (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT : ALIGNMENT;
    for (size_t i = 0; i < arena->count; i++) {
        const chunk *c = &arena->chunks[i];
        size_t from = arena->position > c->start ? arena->position : c->start;
        if (from >= c->start + c->size || c->start + c->size - from < bytes)
            continue;
        arena->position = from + bytes;
        *t = vg_tensor_of(c->memory + (from - c->start), dtype, ndim, shape);
        return VG_OK;
    }
    while (arena->count && arena->chunks[arena->count - 1].start >= arena->position)
        drop_last_chunk(arena);
    VG_TRY(add_chunk(arena, bytes, err));
    arena->position = arena->chunks[arena->count - 1].start + bytes;
    *t = vg_tensor_of(arena->chunks[arena->count - 1].memory, dtype, ndim, shape);
    return VG_OK;
}

size_t vg_arena_mark(const vg_arena *arena)
{
    return arena->position;
}

void vg_arena_reset(vg_arena *arena, size_t mark)
{
    assert(mark <= arena->position);
    arena->position = mark;
}

vg_backend *vg_arena_backend(const vg_arena *arena)
{
    return arena->be;
}

size_t vg_arena_peak_bytes(const vg_arena *arena)
{
    return arena->peak;
}

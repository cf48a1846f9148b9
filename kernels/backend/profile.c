/* profile.c: see profile.h. */
#include "kernels/backend/profile.h"

#include <stdlib.h>
#include <string.h>

/* A call whose marks have not been read yet. */
typedef struct timed_call {
    int entry;
    void *begin, *end; /* marks of the backend; kept for the next use of this place */
} timed_call;

struct vg_profile {
    vg_backend *be;
    bool timed;
    int section;
    vg_profile_entry *entries;
    int count, room;
    int current; /* entry of the call that runs */
    timed_call *calls;
    int calls_count, calls_room; /* under way; places, all with marks */
};

vg_status vg_profile_new(vg_backend *be, bool timed, vg_profile **profile, vg_err *err)
{
    vg_profile *p = calloc(1, sizeof *p);
    if (!p)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for a profile");
    p->be = be;
    p->timed = timed;
    *profile = p;
    return VG_OK;
}

void vg_profile_free(vg_profile *p)
{
    if (!p)
        return;
    if (p->be->profile == p)
        p->be->profile = NULL;
    for (int i = 0; i < p->calls_room; i++) {
        p->be->ops->mark_free(p->be, p->calls[i].begin);
        p->be->ops->mark_free(p->be, p->calls[i].end);
    }
    free(p->calls);
    free(p->entries);
    free(p);
}

void vg_profile_section(vg_profile *p, int section)
{
    p->section = section;
}

int vg_profile_count(const vg_profile *p)
{
    return p->count;
}

const vg_profile_entry *vg_profile_at(const vg_profile *p, int index)
{
    return &p->entries[index];
}

/* A model has a few dozen different calls, so looking through them is quick. */
static int find_entry(const vg_profile *p, vg_op op, const vg_op_cost *cost)
{
    for (int i = 0; i < p->count; i++) {
        const vg_profile_entry *e = &p->entries[i];
        if (e->op == op && e->section == p->section && e->cost.bytes == cost->bytes &&
            !strcmp(e->cost.shape, cost->shape))
            return i;
    }
    return -1;
}

static vg_status add_entry(vg_profile *p, vg_op op, const vg_op_cost *cost, vg_err *err)
{
    if (p->count == p->room) {
        int room = p->room ? 2 * p->room : 64;
        vg_profile_entry *grown = realloc(p->entries, (size_t)room * sizeof *grown);
        if (!grown)
            return VG_FAIL(err, VG_E_NOMEM, "out of memory for a profile of %d entries", room);
        p->entries = grown;
        p->room = room;
    }
    p->entries[p->count++] = (vg_profile_entry){.op = op, .section = p->section, .cost = *cost};
    return VG_OK;
}

/* A place for one more call, with its marks. */
static vg_status add_place(vg_profile *p, vg_err *err)
{
    const vg_backend_ops *ops = p->be->ops;
    timed_call *grown = realloc(p->calls, ((size_t)p->calls_room + 1) * sizeof *grown);
    if (!grown)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for a profile of %d calls", p->calls_room);
    p->calls = grown;
    timed_call fresh = {0};
    VG_TRY(ops->mark_new(p->be, &fresh.begin, err));
    vg_status status = ops->mark_new(p->be, &fresh.end, err);
    if (status != VG_OK) {
        ops->mark_free(p->be, fresh.begin);
        return status;
    }
    p->calls[p->calls_room++] = fresh;
    return VG_OK;
}

vg_status vg_profile_begin(vg_profile *p, vg_op op, const vg_op_cost *cost, vg_err *err)
{
    p->current = find_entry(p, op, cost);
    if (p->current < 0) {
        VG_TRY(add_entry(p, op, cost, err));
        p->current = p->count - 1;
    }
    if (!p->timed)
        return VG_OK;
    if (p->calls_count == p->calls_room)
        VG_TRY(add_place(p, err));
    return p->be->ops->mark_set(p->be, p->calls[p->calls_count].begin, err);
}

vg_status vg_profile_end(vg_profile *p, vg_err *err)
{
    p->entries[p->current].calls++;
    if (!p->timed)
        return VG_OK;
    timed_call *call = &p->calls[p->calls_count];
    VG_TRY(p->be->ops->mark_set(p->be, call->end, err));
    call->entry = p->current;
    p->calls_count++;
    return VG_OK;
}

vg_status vg_profile_resolve(vg_profile *p, vg_err *err)
{
    VG_TRY(vg_backend_sync(p->be, err));
    for (int i = 0; i < p->calls_count; i++) {
        double seconds;
        VG_TRY(p->be->ops->mark_between(p->be, p->calls[i].begin, p->calls[i].end, &seconds, err));
        p->entries[p->calls[i].entry].seconds += seconds;
    }
    p->calls_count = 0;
    return VG_OK;
}

void vg_profile_clear(vg_profile *p, int section)
{
    for (int i = 0; i < p->count; i++) {
        if (p->entries[i].section == section) {
            p->entries[i].calls = 0;
            p->entries[i].seconds = 0;
        }
    }
    p->calls_count = 0;
}

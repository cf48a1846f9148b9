/* inputs.c: see inputs.h. */
#include "engine/run/inputs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *vg_role_name(vg_role role)
{
    static const char *const names[] = {
#define VG_ROLE(id, name, what) name,
#include "engine/run/roles.def"
#undef VG_ROLE
    };
    return (unsigned)role < VG_ROLE_COUNT ? names[role] : "?";
}

const char *vg_role_what(vg_role role)
{
    static const char *const whats[] = {
#define VG_ROLE(id, name, what) what,
#include "engine/run/roles.def"
#undef VG_ROLE
    };
    return (unsigned)role < VG_ROLE_COUNT ? whats[role] : "?";
}

void vg_frames_deinit(vg_frames *f)
{
    free(f->rgb);
    memset(f, 0, sizeof *f);
}

const vg_media *vg_inputs_find(const vg_inputs *inputs, vg_role role, int nth)
{
    for (int i = 0; i < inputs->media_count; i++)
        if (inputs->media[i].role == role && nth-- == 0)
            return &inputs->media[i];
    return NULL;
}

int vg_inputs_count(const vg_inputs *inputs, vg_role role)
{
    int count = 0;
    while (vg_inputs_find(inputs, role, count))
        count++;
    return count;
}

/* ---- modes ---- */

static unsigned given_roles(const vg_inputs *inputs)
{
    unsigned given = 0;
    for (int i = 0; i < inputs->media_count; i++)
        given |= 1u << inputs->media[i].role;
    return given;
}

static vg_role first_role(unsigned roles)
{
    int role = 0;
    while (role < VG_ROLE_COUNT && !(roles >> role & 1))
        role++;
    return (vg_role)role;
}

static int count_roles(unsigned roles)
{
    int count = 0;
    for (; roles; roles &= roles - 1)
        count++;
    return count;
}

static vg_status check_once(const vg_inputs *inputs, vg_err *err)
{
    for (int role = 0; role < VG_ROLE_COUNT; role++)
        if (role != VG_ROLE_REFERENCE && vg_inputs_count(inputs, (vg_role)role) > 1)
            return VG_FAIL(err, VG_E_ARG, "there is more than one %s (--%s); one is possible",
                           vg_role_what((vg_role)role), vg_role_name((vg_role)role));
    return VG_OK;
}

/* "t2v, i2v" into text. */
static const char *list_modes(const vg_mode *const *modes, int count, char *text, size_t size)
{
    size_t at = 0;
    text[0] = 0;
    for (int i = 0; i < count && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%s", i ? ", " : "", modes[i]->name);
    return text;
}

static const vg_mode *find_mode(const vg_mode *const *modes, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(modes[i]->name, name) == 0)
            return modes[i];
    return NULL;
}

static unsigned taken_roles(const vg_mode *m)
{
    return m->needs | m->one_of | m->may;
}

static int lacks(const vg_mode *m, unsigned given)
{
    return count_roles(m->needs & ~given) + (m->one_of && !(m->one_of & given));
}

/* Of the modes that take all of `given`, the one that lacks least. */
static const vg_mode *infer_mode(const vg_mode *const *modes, int count, unsigned given)
{
    const vg_mode *best = NULL;
    for (int i = 0; i < count; i++) {
        const vg_mode *m = modes[i];
        if (given & ~taken_roles(m))
            continue;
        if (!best || lacks(m, given) < lacks(best, given))
            best = m;
    }
    return best;
}

/* No mode takes all that is given: because of one role, or because of how they go together. */
static vg_status refuse(const vg_mode *const *modes, int count, unsigned given, const char *names,
                        vg_err *err)
{
    unsigned taken = 0;
    for (int i = 0; i < count; i++)
        taken |= taken_roles(modes[i]);
    if (!(given & ~taken))
        return VG_FAIL(err, VG_E_ARG,
                       "no mode of this model takes all that is given together; it has: %s", names);
    vg_role role = first_role(given & ~taken);
    return VG_FAIL(err, VG_E_ARG, "this model takes no %s (--%s); its modes: %s",
                   vg_role_what(role), vg_role_name(role), names);
}

vg_status vg_mode_choose(const vg_mode *const *modes, int count, const char *asked,
                         const vg_inputs *inputs, const vg_mode **mode, vg_err *err)
{
    unsigned given = given_roles(inputs);
    const vg_mode *found = asked ? find_mode(modes, count, asked) : infer_mode(modes, count, given);
    char names[160];
    VG_TRY(check_once(inputs, err));
    list_modes(modes, count, names, sizeof names);
    if (!found && asked)
        return VG_FAIL(err, VG_E_ARG, "this model has no mode %.32s; it has: %s", asked, names);
    if (!found)
        return refuse(modes, count, given, names, err);
    unsigned extra = given & ~taken_roles(found);
    if (extra)
        return VG_FAIL(err, VG_E_ARG, "mode %s takes no %s (--%s); this model's modes: %s",
                       found->name, vg_role_what(first_role(extra)),
                       vg_role_name(first_role(extra)), names);
    *mode = found;
    return VG_OK;
}

/* Of several roles one is enough: "mode inpaint needs a picture to begin with, or a video: give --image or --video". */
static vg_status refuse_none(const vg_mode *mode, vg_err *err)
{
    char whats[128] = "", names[96] = "";
    size_t what = 0, name = 0;
    for (int role = 0; role < VG_ROLE_COUNT; role++) {
        if (!(mode->one_of >> role & 1) || what >= sizeof whats || name >= sizeof names)
            continue;
        what += (size_t)snprintf(whats + what, sizeof whats - what, "%sa %s", what ? ", or " : "",
                                 vg_role_what((vg_role)role));
        name += (size_t)snprintf(names + name, sizeof names - name, "%s--%s", name ? " or " : "",
                                 vg_role_name((vg_role)role));
    }
    return VG_FAIL(err, VG_E_ARG, "mode %s needs %s: give %s", mode->name, whats, names);
}

vg_status vg_mode_check(const vg_mode *mode, const vg_inputs *inputs, vg_err *err)
{
    unsigned given = given_roles(inputs), missing = mode->needs & ~given;
    if (missing)
        return VG_FAIL(err, VG_E_ARG, "mode %s needs a %s: give --%s", mode->name,
                       vg_role_what(first_role(missing)), vg_role_name(first_role(missing)));
    if (mode->one_of && !(mode->one_of & given))
        return refuse_none(mode, err);
    for (int i = 0; i < inputs->media_count; i++) {
        const vg_media *m = &inputs->media[i];
        if (!m->frames.rgb || m->frames.count < 1 || m->frames.height < 1 || m->frames.width < 1)
            return VG_FAIL(err, VG_E_ARG, "the %s (--%s) is empty", vg_role_what(m->role),
                           vg_role_name(m->role));
    }
    return VG_OK;
}

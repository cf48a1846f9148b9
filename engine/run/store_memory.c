/* store_memory.c: see store_memory.h. What is loaded is a copy, so that the pieces serve as often as they are asked for. */
#include "engine/run/store_memory.h"

#include <stdlib.h>
#include <string.h>

static vg_status copy(const void *from, size_t bytes, void **to, vg_err *err)
{
    *to = malloc(bytes ? bytes : 1);
    if (!*to)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %zu bytes of a generation", bytes);
    memcpy(*to, from, bytes);
    return VG_OK;
}

static size_t latent_bytes(const int64_t shape[4])
{
    return (size_t)(shape[0] * shape[1] * shape[2] * shape[3]) * sizeof(float);
}

/* ---- conditions ---- */

static vg_status copy_conditions(const vg_conditions *from, vg_conditions *to, vg_err *err)
{
    vg_conditions c = {0};
    for (int i = 0; i < from->count; i++) {
        const vg_condition *f = &from->list[i];
        float *values;
        vg_status status = vg_conditions_add(&c, f->name, f->ndim, f->shape, &values, err);
        if (status != VG_OK) {
            vg_conditions_deinit(&c);
            return status;
        }
        memcpy(values, f->values, (size_t)vg_condition_numel(f) * sizeof *values);
    }
    *to = c;
    return VG_OK;
}

static bool load_conditions(void *user, vg_conditions *conditions)
{
    const vg_memory_store *m = user;
    return m->conditions.count > 0 && copy_conditions(&m->conditions, conditions, NULL) == VG_OK;
}

static vg_status save_conditions(void *user, const vg_conditions *conditions, vg_err *err)
{
    vg_memory_store *m = user;
    vg_conditions_deinit(&m->conditions);
    return copy_conditions(conditions, &m->conditions, err);
}

/* ---- input scales ---- */

static bool load_scales(void *user, vg_input_scales **scales)
{
    const vg_memory_store *m = user;
    return m->scales && vg_input_scales_copy(m->scales, scales, NULL) == VG_OK;
}

static vg_status save_scales(void *user, const vg_input_scales *scales, vg_err *err)
{
    vg_memory_store *m = user;
    vg_input_scales_free(m->scales);
    m->scales = NULL;
    return vg_input_scales_copy(scales, &m->scales, err);
}

/* ---- state ---- */

static vg_status copy_state(const vg_denoise_state *from, vg_denoise_state *to, vg_err *err)
{
    vg_denoise_state s = *from;
    size_t bytes = latent_bytes(from->shape);
    void *values = NULL;
    s.scheduler.count = 0;
    vg_status status = copy(from->latents, bytes, &values, err);
    s.latents = values;
    s.attention = NULL;
    s.attention_count = 0;
    if (status == VG_OK && from->attention_count > 0) {
        status = copy(from->attention, (size_t)from->attention_count * sizeof *from->attention,
                      &values, err);
        s.attention = values;
        s.attention_count = status == VG_OK ? from->attention_count : 0;
    }
    for (int i = 0; status == VG_OK && i < from->scheduler.count; i++) {
        status = copy(from->scheduler.tensors[i].values, bytes, &values, err);
        s.scheduler.tensors[i].values = values;
        s.scheduler.count = i + 1;
    }
    if (status != VG_OK) {
        vg_denoise_state_deinit(&s);
        return status;
    }
    *to = s;
    return VG_OK;
}

static bool load_state(void *user, vg_denoise_state *state)
{
    const vg_memory_store *m = user;
    return m->state.latents && copy_state(&m->state, state, NULL) == VG_OK;
}

static vg_status save_state(void *user, const vg_denoise_state *state, vg_err *err)
{
    vg_memory_store *m = user;
    vg_denoise_state_deinit(&m->state);
    return copy_state(state, &m->state, err);
}

/* ---- latents and frames ---- */

static vg_status copy_latents(const vg_latents *from, vg_latents *to, vg_err *err)
{
    void *values;
    VG_TRY(copy(from->values, latent_bytes(from->shape), &values, err));
    *to = *from;
    to->values = values;
    return VG_OK;
}

static bool load_latents(void *user, vg_latents *latents)
{
    const vg_memory_store *m = user;
    return m->latents.values && copy_latents(&m->latents, latents, NULL) == VG_OK;
}

static vg_status save_latents(void *user, const vg_latents *latents, vg_err *err)
{
    vg_memory_store *m = user;
    vg_latents_deinit(&m->latents);
    return copy_latents(latents, &m->latents, err);
}

static bool have_frames(void *user)
{
    return ((const vg_memory_store *)user)->frames.rgb != NULL;
}

static vg_status save_frames(void *user, const vg_frames *frames, vg_err *err)
{
    vg_memory_store *m = user;
    void *rgb;
    VG_TRY(copy(frames->rgb,
                (size_t)frames->count * (size_t)frames->height * (size_t)frames->width * 3, &rgb,
                err));
    vg_frames_deinit(&m->frames);
    m->frames = *frames;
    m->frames.rgb = rgb;
    return VG_OK;
}

void vg_memory_store_init(vg_memory_store *m)
{
    memset(m, 0, sizeof *m);
    m->store = (vg_store){.user = m,
                          .load_conditions = load_conditions,
                          .save_conditions = save_conditions,
                          .load_scales = load_scales,
                          .save_scales = save_scales,
                          .load_state = load_state,
                          .save_state = save_state,
                          .load_latents = load_latents,
                          .save_latents = save_latents,
                          .have_frames = have_frames,
                          .save_frames = save_frames};
}

void vg_memory_store_deinit(vg_memory_store *m)
{
    vg_conditions_deinit(&m->conditions);
    vg_input_scales_free(m->scales);
    vg_denoise_state_deinit(&m->state);
    vg_latents_deinit(&m->latents);
    vg_frames_deinit(&m->frames);
    memset(m, 0, sizeof *m);
}

/* state.c: see state.h. */
#include "engine/run/state.h"

#include "engine/checkpoint/safetensors.h"
#include "engine/run/attention.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void vg_denoise_state_deinit(vg_denoise_state *state)
{
    free(state->latents);
    free(state->attention);
    vg_scheduler_state_deinit(&state->scheduler);
    memset(state, 0, sizeof *state);
}

/* ---- reading with checks ---- */

static vg_status want(const vg_safetensors *st, const char *name, vg_dtype dtype, int ndim,
                      const int64_t *shape, const vg_tensor **t, vg_err *err)
{
    const vg_tensor *found = vg_safetensors_find(st, name);
    char text[96];
    if (!found)
        return VG_FAIL(err, VG_E_FORMAT, "%s: tensor %s is missing", vg_safetensors_path(st), name);
    bool ok = found->dtype == dtype && found->ndim == ndim;
    for (int i = 0; ok && i < ndim; i++)
        ok = shape[i] < 0 ? found->shape[i] > 0 : found->shape[i] == shape[i];
    if (!ok)
        return VG_FAIL(err, VG_E_FORMAT, "%s: %s is %s, which does not fit",
                       vg_safetensors_path(st), name, vg_tensor_describe(found, text, sizeof text));
    *t = found;
    return VG_OK;
}

static vg_status copy_f32(const vg_tensor *t, float **values, vg_err *err)
{
    size_t bytes = vg_tensor_bytes(t);
    *values = malloc(bytes ? bytes : 1);
    if (!*values)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %zu bytes of state", bytes);
    memcpy(*values, t->data, bytes);
    return VG_OK;
}

/* ---- layers' attention: F64 [layers, ATTENTION_COLUMNS] ---- */

enum { TESTS, MISSED, COSINE, RELATIVE_L2, LARGEST_ERROR, ATTENTION_COLUMNS };

static vg_status attention_rows(const vg_denoise_state *state, double **rows, vg_err *err)
{
    *rows = calloc((size_t)state->attention_count * ATTENTION_COLUMNS + 1, sizeof **rows);
    if (!*rows)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the attention of %d layers",
                       state->attention_count);
    for (int i = 0; i < state->attention_count; i++) {
        const vg_attention_layer *layer = &state->attention[i];
        double *row = *rows + (size_t)i * ATTENTION_COLUMNS;
        row[TESTS] = layer->tests;
        row[MISSED] = layer->missed;
        row[COSINE] = layer->cosine;
        row[RELATIVE_L2] = layer->relative_l2;
        row[LARGEST_ERROR] = layer->largest_error;
    }
    return VG_OK;
}

/* Figures may be NaN: a test may find that. */
static vg_status read_attention(const vg_safetensors *st, vg_denoise_state *s, vg_err *err)
{
    const vg_tensor *t;
    if (!vg_safetensors_find(st, "attention"))
        return VG_OK;
    VG_TRY(want(st, "attention", VG_F64, 2, (const int64_t[]){-1, ATTENTION_COLUMNS}, &t, err));
    if (t->shape[0] > VG_ATTENTION_LAYERS_MAX)
        return VG_FAIL(err, VG_E_FORMAT, "%s: the attention of %lld layers",
                       vg_safetensors_path(st), (long long)t->shape[0]);
    s->attention = calloc((size_t)t->shape[0], sizeof *s->attention);
    if (!s->attention)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the attention of %lld layers",
                       (long long)t->shape[0]);
    s->attention_count = (int)t->shape[0];
    for (int i = 0; i < s->attention_count; i++) {
        double row[ATTENTION_COLUMNS];
        memcpy(row, (const char *)t->data + (size_t)i * sizeof row, sizeof row);
        if (!(row[TESTS] >= 0 && row[TESTS] <= 1e6))
            return VG_FAIL(err, VG_E_FORMAT, "%s: %g tests of an attention layer",
                           vg_safetensors_path(st), row[TESTS]);
        s->attention[i] = (vg_attention_layer){.tests = (int)row[TESTS],
                                               .missed = row[MISSED] != 0,
                                               .cosine = row[COSINE],
                                               .relative_l2 = row[RELATIVE_L2],
                                               .largest_error = row[LARGEST_ERROR]};
    }
    return VG_OK;
}

/* ---- denoise state ---- */

#define PREFIX "scheduler."

vg_status vg_denoise_state_write(const char *path, const vg_denoise_state *state,
                                 const char *const *metadata, vg_err *err)
{
    vg_safetensors_entry entries[4 + VG_SCHEDULER_STATE_MAX];
    char names[VG_SCHEDULER_STATE_MAX][sizeof PREFIX + 16];
    int64_t at[2] = {state->scheduler.at, state->scheduler.last_order};
    double seconds[1] = {state->seconds_done};
    int64_t numel = state->shape[0] * state->shape[1] * state->shape[2] * state->shape[3];
    double *attention;
    int count = 3;
    VG_TRY(attention_rows(state, &attention, err));
    entries[0] = (vg_safetensors_entry){"at", vg_tensor_make(at, VG_I64, 1, 2)};
    entries[1] = (vg_safetensors_entry){"seconds", vg_tensor_make(seconds, VG_F64, 1, 1)};
    entries[2] =
        (vg_safetensors_entry){"latents", vg_tensor_of(state->latents, VG_F32, 4, state->shape)};
    for (int i = 0; i < state->scheduler.count && i < VG_SCHEDULER_STATE_MAX; i++) {
        snprintf(names[i], sizeof names[i], PREFIX "%s", state->scheduler.tensors[i].name);
        entries[count++] = (vg_safetensors_entry){
            names[i], vg_tensor_make(state->scheduler.tensors[i].values, VG_F32, 1, numel)};
    }
    if (state->attention_count > 0)
        entries[count++] = (vg_safetensors_entry){
            "attention", vg_tensor_make(attention, VG_F64, 2, (int64_t)state->attention_count,
                                        (int64_t)ATTENTION_COLUMNS)};
    vg_status status = vg_safetensors_write(path, entries, count, metadata, err);
    free(attention);
    return status;
}

static vg_status read_state(const vg_safetensors *st, vg_denoise_state *s, vg_err *err)
{
    const vg_tensor *t;
    int64_t at[2], numel;
    VG_TRY(want(st, "at", VG_I64, 1, (const int64_t[]){2}, &t, err));
    memcpy(at, t->data, sizeof at);
    if (at[0] < 0 || at[0] > 1000 || at[1] < 0 || at[1] > 8)
        return VG_FAIL(err, VG_E_FORMAT, "%s: step numbers do not fit", vg_safetensors_path(st));
    s->scheduler.at = (int)at[0];
    s->scheduler.last_order = (int)at[1];
    VG_TRY(want(st, "seconds", VG_F64, 1, (const int64_t[]){1}, &t, err));
    memcpy(&s->seconds_done, t->data, sizeof s->seconds_done);
    if (!(s->seconds_done >= 0) || !isfinite(s->seconds_done))
        return VG_FAIL(err, VG_E_FORMAT, "%s: %g seconds cannot be what was done",
                       vg_safetensors_path(st), s->seconds_done);
    VG_TRY(want(st, "latents", VG_F32, 4, (const int64_t[]){-1, -1, -1, -1}, &t, err));
    memcpy(s->shape, t->shape, sizeof s->shape);
    numel = vg_tensor_numel(t);
    VG_TRY(copy_f32(t, &s->latents, err));
    VG_TRY(read_attention(st, s, err));
    for (int i = 0; i < vg_safetensors_count(st); i++) {
        const char *name = vg_safetensors_name(st, i);
        if (strncmp(name, PREFIX, sizeof PREFIX - 1) != 0)
            continue;
        int n = s->scheduler.count;
        if (n == VG_SCHEDULER_STATE_MAX ||
            strlen(name) - (sizeof PREFIX - 1) >= sizeof s->scheduler.tensors[0].name)
            return VG_FAIL(err, VG_E_FORMAT, "%s: too many scheduler tensors, or a name too long",
                           vg_safetensors_path(st));
        VG_TRY(want(st, name, VG_F32, 1, &numel, &t, err));
        snprintf(s->scheduler.tensors[n].name, sizeof s->scheduler.tensors[n].name, "%s",
                 name + sizeof PREFIX - 1);
        s->scheduler.count = n + 1;
        VG_TRY(copy_f32(t, &s->scheduler.tensors[n].values, err));
    }
    return VG_OK;
}

vg_status vg_denoise_state_read(const char *path, vg_denoise_state *state, vg_err *err)
{
    vg_safetensors *st;
    vg_denoise_state s = {0};
    VG_TRY(vg_safetensors_open(path, &st, err));
    vg_status status = read_state(st, &s, err);
    vg_safetensors_close(st);
    if (status == VG_OK)
        *state = s;
    else
        vg_denoise_state_deinit(&s);
    return status;
}

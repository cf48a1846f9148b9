/* dit_schedule.c: what depends on timesteps alone. The layers that make each block's modulations are a third of the model and see one vector
 * a step, so they are run once for all steps of a schedule, a block at a time in one small piece of memory, and are not kept. Source:
 * hunyuanvideo15 2.4. */
#include "engine/family/hunyuanvideo15/dit_impl.h"

#include "kernels/base/numeric.h"

#include <math.h>
#include <stdlib.h>

#define ALIGNMENT ((size_t)256) /* of weights laid out by vg_module_into */

void hv_dit_drop_schedule(hv_dit *d)
{
    free(d->timesteps);
    free(d->next);
    free(d->mods);
    free(d->mod);
    d->timesteps = d->next = NULL;
    d->mods = d->mod = NULL;
    d->steps = 0;
    d->at = -1;
}

static bool is_present(const hv_dit *d, const double *timesteps, const double *next, int steps)
{
    size_t bytes = (size_t)steps * sizeof *timesteps;
    return d->steps == steps && memcmp(d->timesteps, timesteps, bytes) == 0 && !d->next == !next &&
           (!next || memcmp(d->next, next, bytes) == 0);
}

static vg_status keep(const double *values, int count, double **kept, vg_err *err)
{
    *kept = malloc((size_t)count * sizeof **kept);
    if (!*kept)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for a schedule of %d steps", count);
    memcpy(*kept, values, (size_t)count * sizeof **kept);
    return VG_OK;
}

static vg_status take_schedule(hv_dit *d, const double *timesteps, const double *next, int steps,
                               vg_err *err)
{
    size_t count = (size_t)(STREAMS * d->config.layers + 1);
    VG_TRY(keep(timesteps, steps, &d->timesteps, err));
    if (next)
        VG_TRY(keep(next, steps, &d->next, err));
    d->mods = calloc(count, sizeof *d->mods);
    d->mod = calloc(count, sizeof *d->mod);
    return d->mods && d->mod ? VG_OK
                             : VG_FAIL(err, VG_E_NOMEM, "out of memory for %zu modulations", count);
}

/* Cosines, then sines, of the timesteps in the model's dtype. */
static vg_status sinusoids(hv_dit *d, const double *timesteps, int steps, vg_tensor *to,
                           vg_err *err)
{
    const int half = HV_FREQ / 2;
    vg_tensor raw;
    float *values = malloc((size_t)steps * HV_FREQ * sizeof *values);
    if (!values)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the timestep embedding");
    for (int s = 0; s < steps; s++)
        for (int i = 0; i < half; i++) {
            float t = (float)timesteps[s],
                  frequency = expf(-(float)log(10000.0) * (float)i / (float)half);
            t = d->compute == VG_BF16 ? vg_round_bf16(t) : t;
            values[s * HV_FREQ + i] = cosf(t * frequency);
            values[s * HV_FREQ + half + i] = sinf(t * frequency);
        }
    vg_status status = hv_matrix(d->work, VG_F32, steps, HV_FREQ, &raw, err);
    if (status == VG_OK)
        status = hv_matrix(d->work, d->compute, steps, HV_FREQ, to, err);
    if (status == VG_OK)
        status = vg_backend_upload(d->be, &raw, values, err);
    if (status == VG_OK)
        status = vg_cast(d->be, &(vg_cast_args){.x = &raw, .y = to}, err);
    if (status == VG_OK)
        status = vg_backend_sync(d->be, err);
    free(values);
    return status;
}

/* y [steps, dim] = linear_2(SiLU(linear_1(sinusoid))). */
static vg_status embed(hv_dit *d, const vg_linear_layer *linear_1, const vg_linear_layer *linear_2,
                       const double *timesteps, int steps, vg_tensor *y, vg_err *err)
{
    vg_tensor s, hidden;
    size_t mark = vg_arena_mark(d->work);
    VG_TRY(sinusoids(d, timesteps, steps, &s, err));
    VG_TRY(hv_matrix(d->work, d->compute, steps, d->config.dim, &hidden, err));
    VG_TRY(vg_linear_run1(d->work, linear_1, &s, VG_ACT_SILU, &hidden, err));
    VG_TRY(vg_linear_run1(d->work, linear_2, &hidden, VG_ACT_NONE, y, err));
    vg_arena_reset(d->work, mark);
    return VG_OK;
}

/* One of the model's own embedders, loaded for this. */
static vg_status embed_by(hv_dit *d, vg_module *module, int which, const double *timesteps,
                          vg_tensor *y, vg_err *err)
{
    hv_time_embedder e;
    vg_weight_list list;
    hv_dit_time_list(&d->config, which, &e, &list);
    VG_TRY(vg_module_load(module, &list, 0, err));
    VG_TRY(vg_module_settle(module, err));
    return embed(d, &e.linear_1, &e.linear_2, timesteps, d->steps, y, err);
}

/* SiLU(temb) [steps, dim], what every modulation is made of. */
static vg_status embed_times(hv_dit *d, vg_module *module, vg_tensor *silu, vg_err *err)
{
    vg_tensor temb, further;
    VG_TRY(hv_matrix(d->work, d->compute, d->steps, d->config.dim, &temb, err));
    VG_TRY(hv_matrix(d->work, d->compute, d->steps, d->config.dim, silu, err));
    VG_TRY(embed_by(d, module, HV_TIMES, d->timesteps, &temb, err));
    if (d->next) {
        VG_TRY(hv_matrix(d->work, d->compute, d->steps, d->config.dim, &further, err));
        VG_TRY(embed_by(d, module, HV_TIMES_NEXT, d->next, &further, err));
        VG_TRY(vg_gate_residual(
            d->be, &(vg_gate_residual_args){.x = &temb, .y = &further, .out = &temb}, err));
    }
    return vg_activation(d->be, &(vg_activation_args){.x = &temb, .act = VG_ACT_SILU, .y = silu},
                         err);
}

/* mods[at..at+count) = layers of one item of a list, whose weights lie in `memory` (NULL: the module's own) until they have run. */
static vg_status run_item(hv_dit *d, vg_module *module, int which, int64_t item, void *memory,
                          size_t bytes, const vg_tensor *silu, vg_tensor *mods, int count,
                          vg_err *err)
{
    hv_modulation m;
    vg_weight_list list;
    hv_dit_time_list(&d->config, which, &m, &list);
    vg_module_into(module, memory, bytes);
    VG_TRY(vg_module_load(module, &list, item, err));
    VG_TRY(vg_module_settle(module, err));
    for (int i = 0; i < count; i++) {
        VG_TRY(hv_matrix(d->schedule, d->compute, d->steps, m.of[i].n, &mods[i], err));
        VG_TRY(vg_linear_run1(d->work, &m.of[i], silu, VG_ACT_NONE, &mods[i], err));
    }
    return vg_backend_sync(d->be, err); /* the next item's weights come to the same place */
}

static vg_status make_mods(hv_dit *d, vg_module *module, const vg_tensor *silu,
                           const atomic_int *cancel, vg_err *err)
{
    const hv_dit_config *c = &d->config;
    size_t matrix = (size_t)(MODULATIONS * c->dim * c->dim) * vg_dtype_size(d->compute);
    int64_t bytes = (int64_t)(STREAMS * ((matrix + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT));
    vg_tensor room;
    VG_TRY(vg_arena_tensor(d->work, VG_U8, 1, &bytes, &room, err));
    for (int64_t i = 0; i < c->layers; i++) {
        if (vg_cancelled(cancel))
            return VG_FAIL(err, VG_E_CANCELLED, "cancelled while preparing the timesteps");
        VG_TRY(run_item(d, module, HV_BLOCK_MODS, i, room.data, (size_t)bytes, silu,
                        &d->mods[STREAMS * i], STREAMS, err));
    }
    return run_item(d, module, HV_LAST_MOD, 0, NULL, 0, silu, &d->mods[STREAMS * c->layers], 1,
                    err);
}

static vg_status make_schedule(hv_dit *d, const atomic_int *cancel, vg_err *err)
{
    const vg_module_options options = {.compute = d->compute};
    vg_module *module = NULL;
    vg_tensor silu;
    vg_status status;
    VG_TRY(hv_matrix(d->schedule, d->compute, d->steps, d->config.dim, &d->refine_times, err));
    VG_TRY(embed(d, &d->global[REFINE_TIME_1], &d->global[REFINE_TIME_2], d->timesteps, d->steps,
                 &d->refine_times, err));
    VG_TRY(vg_module_open(d->engine, d->dir, "transformer", &options, &module, err));
    VG_TRY_GOTO(status, embed_times(d, module, &silu, err), done);
    VG_TRY_GOTO(status, make_mods(d, module, &silu, cancel, err), done);
    status = vg_module_loaded(module, err);
done:
    vg_module_close(module);
    return status;
}

vg_status hv_dit_set_schedule(hv_dit *d, const double *timesteps, const double *next, int steps,
                              const atomic_int *cancel, vg_err *err)
{
    if (next && !d->config.meanflow)
        return VG_FAIL(err, VG_E_ARG,
                       "transformer: timestep_r is for step-distilled models (use_meanflow)");
    for (int i = 0; i < steps; i++)
        if (!isfinite(timesteps[i]) || (next && !isfinite(next[i])))
            return VG_FAIL(err, VG_E_ARG, "the timestep is not a finite number");
    if (is_present(d, timesteps, next, steps))
        return VG_OK;
    hv_dit_drop_schedule(d);
    vg_arena_reset(d->schedule, 0);
    vg_status status = take_schedule(d, timesteps, next, steps, err);
    d->steps = steps;
    size_t mark = vg_arena_mark(d->work);
    if (status == VG_OK)
        status = make_schedule(d, cancel, err);
    vg_arena_reset(d->work, mark);
    if (status != VG_OK)
        hv_dit_drop_schedule(d);
    return status;
}

/* Row `at` of each table as FP32 vectors. */
static vg_status bring_mods(hv_dit *d, int at, vg_err *err)
{
    vg_arena_reset(d->step, 0);
    for (int64_t i = 0; i <= STREAMS * d->config.layers; i++) {
        int64_t count = d->mods[i].shape[1] / d->config.dim;
        vg_tensor row = vg_tensor_rows(&d->mods[i], at, 1);
        row = vg_tensor_reshape(&row, 2, count, d->config.dim);
        d->mod[i] = row;
        if (d->compute == VG_F32)
            continue;
        VG_TRY(hv_matrix(d->step, VG_F32, count, d->config.dim, &d->mod[i], err));
        VG_TRY(vg_cast(d->be, &(vg_cast_args){.x = &row, .y = &d->mod[i]}, err));
    }
    return VG_OK;
}

vg_status hv_dit_set_timestep(hv_dit *d, double timestep, vg_err *err)
{
    int at = 0;
    while (at < d->steps && d->timesteps[at] != timestep)
        at++;
    if (at == d->steps)
        return VG_FAIL(err, VG_E_ARG, "timestep %g is none of the schedule's %d", timestep,
                       d->steps);
    if (at == d->at)
        return VG_OK;
    d->at = -1;
    VG_TRY(bring_mods(d, at, err));
    d->at = at;
    return VG_OK;
}

vg_tensor hv_dit_modulation(const hv_dit *d, int64_t layer, int stream, int which)
{
    vg_tensor row = vg_tensor_rows(&d->mod[STREAMS * layer + stream], which, 1);
    return vg_tensor_reshape(&row, 1, d->config.dim);
}

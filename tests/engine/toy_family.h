/* toy_family.h: a throw-away model family, to show that one needs nothing but its table: two linear layers as a denoiser, latents and
 * conditions of its own, one expert of another name, guidance below 1 too, references that lengthen the latents, a decoder that drops them.
 *
 * v = down(up(x)) + t/1000 * paint + t'/2000 * x + words, where t' is the next step's timestep, `paint` the pictures' mean colours, and `words`
 * the sum of the letters' vectors. A pixel is the first three channels of its latent pixel. Sources of truth for the test: expect(). */
#ifndef VG_TESTS_ENGINE_TOY_FAMILY_H
#define VG_TESTS_ENGINE_TOY_FAMILY_H

#include "engine/layers/input_ranges.h"
#include "engine/run/family.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { TOY_CHANNELS = 6, TOY_HIDDEN = 8, TOY_LETTERS = 26, TOY_WORDS_MAX = 5 };
enum { TOY_SPATIAL = 4, TOY_TEMPORAL = 2 };

/* ---- weights ---- */

typedef struct toy_core {
    vg_weight_table table;
    vg_linear_layer up, down;
    vg_backend *be;
    vg_module *module;
    vg_arena *bound, *step, *work;
    vg_input_ranges *ranges;
    vg_tensor paint, words[2]; /* [C,T,h,w] F32 */
    vg_denoise_step at;
    vg_dtype compute;
} toy_core;

typedef struct toy_letters {
    vg_module *module;
    float *rows; /* [letters, C] */
} toy_letters;

enum { TOY_C = 1, TOY_H, TOY_L };

static const vg_weight_row toy_core_rows[] = {
    VG_WEIGHT_ROW(toy_core, "up", LINEAR, up, VG_WEIGHT_QUANTISABLE, TOY_H, TOY_C),
    VG_WEIGHT_ROW(toy_core, "down", LINEAR, down, VG_WEIGHT_QUANTISABLE, TOY_C, TOY_H),
};
static const vg_weight_row toy_letters_rows[] = {
    VG_WEIGHT_ROW(toy_letters, "letters", HOST, rows, VG_WEIGHT_F32, TOY_L, TOY_C),
};

static vg_status toy_add_list(vg_weight_table *table, bool core, void *to, vg_err *err)
{
    const vg_weight_list list = {
        .count = 1,
        .rows = core ? toy_core_rows : toy_letters_rows,
        .rows_count = core ? 2 : 1,
        .dims = {[TOY_C] = TOY_CHANNELS, [TOY_H] = TOY_HIDDEN, [TOY_L] = TOY_LETTERS},
        .to = to};
    return vg_weight_table_add(table, &list, err);
}

static vg_status toy_weight_table(const vg_model *model, const char *folder, vg_weight_table *table,
                                  vg_err *err)
{
    (void)model;
    *table = (vg_weight_table){.component = folder};
    return strcmp(folder, "screen") == 0
               ? VG_OK
               : toy_add_list(table, strcmp(folder, "core") == 0, NULL, err);
}

/* ---- configuration ---- */

static bool toy_probe(const vg_checkpoint *checkpoint)
{
    const char *class_name = vg_checkpoint_class(checkpoint);
    return class_name && strcmp(class_name, "ToyPipeline") == 0;
}

static vg_status toy_config_load(const vg_checkpoint *checkpoint, void **config, vg_err *err)
{
    (void)checkpoint;
    *config = malloc(1);
    return *config ? VG_OK : VG_FAIL(err, VG_E_NOMEM, "out of memory");
}

static bool toy_has(const vg_model *model, const char *folder)
{
    (void)model;
    (void)folder;
    return true;
}

static int toy_experts_count(const vg_model *model)
{
    (void)model;
    return 1;
}

static int toy_blocks(const vg_model *model, int expert)
{
    (void)model;
    return 0 * expert; /* nothing to stream */
}

static void toy_geometry(const vg_model *model, vg_geometry *g)
{
    (void)model;
    *g = (vg_geometry){.channels = TOY_CHANNELS,
                       .spatial = TOY_SPATIAL,
                       .temporal = TOY_TEMPORAL,
                       .patch = {1, 1, 1},
                       .longest = 64};
}

static void toy_defaults(const vg_model *model, vg_generate_params *p)
{
    const vg_media *first = vg_inputs_find(&p->inputs, VG_ROLE_REFERENCE, 0);
    (void)model;
    if (p->height == VG_UNSET_INT) /* sizes may follow from what is given */
        p->height = first ? first->frames.height / TOY_SPATIAL * TOY_SPATIAL : 16;
    if (p->width == VG_UNSET_INT)
        p->width = first ? first->frames.width / TOY_SPATIAL * TOY_SPATIAL : 32;
    if (p->num_frames == VG_UNSET_INT)
        p->num_frames = 5;
    if (p->steps == VG_UNSET_INT)
        p->steps = 4;
    if (p->guidance_scale == VG_UNSET_DOUBLE)
        p->guidance_scale = 0.5;
}

static bool toy_guided(const vg_generate_params *p)
{
    return p->guidance_scale != 1;
}

static void toy_latent_shape(const vg_model *model, const vg_generate_params *p, int64_t shape[4])
{
    (void)model;
    shape[0] = TOY_CHANNELS;
    shape[1] =
        (p->num_frames - 1) / TOY_TEMPORAL + 1 + vg_inputs_count(&p->inputs, VG_ROLE_REFERENCE);
    shape[2] = p->height / TOY_SPATIAL;
    shape[3] = p->width / TOY_SPATIAL;
}

static int toy_conditions(const vg_model *model, const vg_generate_params *p,
                          vg_condition_spec specs[VG_CONDITIONS_MAX])
{
    const vg_condition_spec words = {
        .ndim = 2, .shape = {TOY_WORDS_MAX, TOY_CHANNELS}, .at_most = true};
    int count = 0;
    specs[count] = words;
    specs[count++].name = "words";
    if (toy_guided(p)) {
        specs[count] = words;
        specs[count++].name = "no_words";
    }
    if (vg_inputs_count(&p->inputs, VG_ROLE_REFERENCE)) {
        specs[count] = (vg_condition_spec){.name = "paint", .ndim = 4};
        toy_latent_shape(model, p, specs[count++].shape);
    }
    return count;
}

static double toy_flop(const vg_model *model, const vg_generate_params *p)
{
    int64_t s[4];
    toy_latent_shape(model, p, s);
    return 4.0 * TOY_CHANNELS * TOY_HIDDEN * (double)(s[1] * s[2] * s[3]);
}

/* ---- encoders ---- */

static void toy_letters_close(void *self)
{
    toy_letters *l = self;
    free(l->rows);
    vg_module_close(l->module);
    free(l);
}

static vg_status toy_letters_open(vg_engine *engine, const vg_model *model,
                                  const vg_generate_params *p, const char *dir, void **self,
                                  vg_err *err)
{
    const vg_module_options options = {.compute = vg_compute_dtype(p->compute)};
    vg_weight_table table = {.component = "speller"};
    vg_status status;
    toy_letters *l = calloc(1, sizeof *l);
    (void)model;
    if (!l)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory");
    VG_TRY_GOTO(status, toy_add_list(&table, false, l, err), done);
    VG_TRY_GOTO(status, vg_module_open(engine, dir, "speller", &options, &l->module, err), done);
    VG_TRY_GOTO(status, vg_module_load(l->module, &table.lists[0], 0, err), done);
    status = vg_module_loaded(l->module, err);
done:
    vg_weight_table_deinit(&table);
    if (status == VG_OK)
        *self = l;
    else
        toy_letters_close(l);
    return status;
}

static vg_status toy_spell(const toy_letters *l, const char *text, const char *name,
                           vg_conditions *out, vg_err *err)
{
    int64_t shape[2] = {0, TOY_CHANNELS}, at = 0;
    float *values;
    for (const char *c = text; *c; c++)
        shape[0] += *c >= 'a' && *c <= 'z' && shape[0] < TOY_WORDS_MAX;
    if (shape[0] == 0)
        return VG_FAIL(err, VG_E_ARG, "%s: there is no letter from a to z", name);
    VG_TRY(vg_conditions_add(out, name, 2, shape, &values, err));
    for (const char *c = text; *c && at < shape[0]; c++)
        if (*c >= 'a' && *c <= 'z')
            memcpy(values + TOY_CHANNELS * at++, l->rows + TOY_CHANNELS * (*c - 'a'),
                   TOY_CHANNELS * sizeof *values);
    return VG_OK;
}

static vg_status toy_letters_run(void *self, const vg_model *model, const vg_generate_params *p,
                                 const vg_hooks *hooks, vg_conditions *out, vg_err *err)
{
    (void)model;
    (void)hooks;
    VG_TRY(toy_spell(self, p->inputs.prompt, "words", out, err));
    return toy_guided(p) ? toy_spell(self, p->inputs.negative_prompt, "no_words", out, err) : VG_OK;
}

static vg_status toy_nothing(void *self, const vg_model *model, const vg_generate_params *p,
                             vg_err *err)
{
    (void)self;
    (void)model;
    (void)p;
    (void)err;
    return VG_OK;
}

static bool toy_always(const vg_model *model, const vg_generate_params *p)
{
    (void)model;
    (void)p;
    return true;
}

static bool toy_painted(const vg_model *model, const vg_generate_params *p)
{
    (void)model;
    return vg_inputs_count(&p->inputs, VG_ROLE_REFERENCE) > 0;
}

static const vg_encoder toy_speller = {.part = {.name = "spelling",
                                                .stage = VG_STAGE_TEXT,
                                                .component = "speller",
                                                .open = toy_letters_open,
                                                .close = toy_letters_close,
                                                .rehearse = toy_nothing},
                                       .wanted = toy_always,
                                       .run = toy_letters_run};

/* The screen has no weights. */
static vg_status toy_screen_open(vg_engine *engine, const vg_model *model,
                                 const vg_generate_params *p, const char *dir, void **self,
                                 vg_err *err)
{
    (void)engine;
    (void)model;
    (void)p;
    (void)dir;
    *self = malloc(1);
    return *self ? VG_OK : VG_FAIL(err, VG_E_NOMEM, "out of memory");
}

/* Mean colours 0..1 of reference r, as channels 0..2 of latent frame r. */
static vg_status toy_paint(void *self, const vg_model *model, const vg_generate_params *p,
                           const vg_hooks *hooks, vg_conditions *out, vg_err *err)
{
    int64_t s[4];
    float *values;
    (void)self;
    (void)hooks;
    toy_latent_shape(model, p, s);
    VG_TRY(vg_conditions_add(out, "paint", 4, s, &values, err));
    int64_t plane = s[2] * s[3];
    for (int r = 0; r < vg_inputs_count(&p->inputs, VG_ROLE_REFERENCE); r++) {
        const vg_frames *f = &vg_inputs_find(&p->inputs, VG_ROLE_REFERENCE, r)->frames;
        int pixels = f->height * f->width;
        for (int k = 0; k < 3; k++) {
            double sum = 0;
            for (int i = 0; i < pixels; i++)
                sum += f->rgb[3 * i + k];
            for (int64_t i = 0; i < plane; i++)
                values[(k * s[1] + r) * plane + i] = (float)(sum / pixels / 255);
        }
    }
    return VG_OK;
}

static const vg_encoder toy_painter = {.part = {.name = "painting",
                                                .stage = VG_STAGE_ENCODE,
                                                .component = "screen",
                                                .open = toy_screen_open,
                                                .close = free,
                                                .rehearse = toy_nothing},
                                       .wanted = toy_painted,
                                       .run = toy_paint};

/* ---- denoiser ---- */

static void toy_core_close(void *self)
{
    toy_core *c = self;
    vg_input_ranges_free(c->ranges);
    vg_arena_free(c->work);
    vg_arena_free(c->step);
    vg_arena_free(c->bound);
    vg_module_close(c->module);
    vg_weight_table_deinit(&c->table);
    free(c);
}

static vg_status toy_core_open(vg_engine *engine, const vg_model *model, int expert,
                               const char *dir, const vg_module_options *options, void **self,
                               vg_err *err)
{
    vg_status status;
    toy_core *c = calloc(1, sizeof *c);
    (void)model;
    (void)expert;
    if (!c)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory");
    c->table.component = "core";
    c->be = engine->be;
    c->compute = options->compute;
    VG_TRY_GOTO(status, toy_add_list(&c->table, true, c, err), fail);
    VG_TRY_GOTO(status, vg_module_open(engine, dir, "core", options, &c->module, err), fail);
    VG_TRY_GOTO(status, vg_module_load(c->module, &c->table.lists[0], 0, err), fail);
    VG_TRY_GOTO(status, vg_arena_new(c->be, 0, &c->bound, err), fail);
    VG_TRY_GOTO(status, vg_arena_new(c->be, 0, &c->step, err), fail);
    VG_TRY_GOTO(status, vg_arena_new(c->be, 0, &c->work, err), fail);
    VG_TRY_GOTO(status, vg_module_loaded(c->module, err), fail);
    *self = c;
    return VG_OK;
fail:
    toy_core_close(c);
    return status;
}

/* The sum of the words at every place. */
static vg_status toy_bind_words(toy_core *c, const vg_binding *b, const char *name, vg_tensor *to,
                                vg_err *err)
{
    const vg_condition *words = vg_conditions_find(b->conditions, name);
    int64_t plane = b->latent[1] * b->latent[2] * b->latent[3];
    float *field = calloc((size_t)(TOY_CHANNELS * plane), sizeof *field);
    if (!field)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory");
    for (int64_t i = 0; !c->be->ops->dry && i < TOY_CHANNELS * plane; i++)
        for (int64_t w = 0; w < words->shape[0]; w++)
            field[i] += words->values[w * TOY_CHANNELS + i / plane];
    vg_status status = vg_arena_tensor(c->bound, VG_F32, 4, b->latent, to, err);
    if (status == VG_OK)
        status = vg_backend_upload(c->be, to, field, err);
    if (status == VG_OK)
        status = vg_backend_sync(c->be, err);
    free(field);
    return status;
}

static vg_status toy_bind(void *self, const vg_binding *b, vg_err *err)
{
    toy_core *c = self;
    const vg_condition *paint = vg_conditions_find(b->conditions, "paint");
    vg_arena_reset(c->bound, 0);
    c->paint.data = NULL;
    VG_TRY(toy_bind_words(c, b, "words", &c->words[0], err));
    if (b->guided)
        VG_TRY(toy_bind_words(c, b, "no_words", &c->words[1], err));
    if (!paint)
        return VG_OK;
    VG_TRY(vg_arena_tensor(c->bound, VG_F32, 4, b->latent, &c->paint, err));
    VG_TRY(vg_backend_upload(c->be, &c->paint, paint->values, err));
    return vg_backend_sync(c->be, err);
}

static vg_status toy_begin_step(void *self, const vg_denoise_step *step, vg_err *err)
{
    toy_core *c = self;
    (void)err;
    c->at = *step;
    return VG_OK;
}

static vg_status toy_layers(toy_core *c, vg_tensor *core, vg_err *err)
{
    const int64_t *s = c->at.x->shape, n = s[1] * s[2] * s[3];
    vg_tensor x, rows, hidden, out;
    VG_TRY(vg_arena_tensor(c->work, c->compute, 4, s, &x, err));
    VG_TRY(vg_cast(c->be, &(vg_cast_args){.x = c->at.x, .y = &x}, err));
    VG_TRY(vg_arena_tensor(c->work, c->compute, 2, (const int64_t[]){n, TOY_CHANNELS}, &rows, err));
    VG_TRY(vg_arena_tensor(c->work, c->compute, 2, (const int64_t[]){n, TOY_HIDDEN}, &hidden, err));
    VG_TRY(vg_arena_tensor(c->work, c->compute, 2, (const int64_t[]){n, TOY_CHANNELS}, &out, err));
    VG_TRY(vg_arena_tensor(c->work, c->compute, 4, s, core, err));
    VG_TRY(vg_patchify(c->be, &(vg_patchify_args){.x = &x, .patch = {1, 1, 1}, .y = &rows}, err));
    VG_TRY(vg_linear_run1(c->work, &c->up, &rows, VG_ACT_NONE, &hidden, err));
    VG_TRY(vg_linear_run1(c->work, &c->down, &hidden, VG_ACT_NONE, &out, err));
    return vg_unpatchify(c->be, &(vg_unpatchify_args){.x = &out, .patch = {1, 1, 1}, .y = core},
                         err);
}

static vg_status toy_forward(void *self, int branch, vg_tensor *v, vg_err *err)
{
    toy_core *c = self;
    vg_tensor core;
    size_t mark = vg_arena_mark(c->work);
    if (vg_cancelled(c->at.hooks.cancel))
        return VG_FAIL(err, VG_E_CANCELLED, "cancelled in the toy");
    VG_TRY(toy_layers(c, &core, err));
    vg_linear_combination_args sum = {
        .count = 3,
        .x = {&core, &c->words[branch], c->at.x, &c->paint},
        .coef = {1, 1, (float)(c->at.next_timestep / 2000), (float)(c->at.timestep / 1000)},
        .y = v};
    sum.count += c->paint.data != NULL;
    VG_TRY(vg_linear_combination(c->be, &sum, err));
    vg_arena_reset(c->work, mark);
    if (c->at.hooks.progress)
        c->at.hooks.progress(c->at.hooks.user, 1, 1);
    return VG_OK;
}

static const vg_module *toy_module(const void *self)
{
    return ((const toy_core *)self)->module;
}

static size_t toy_host_bytes(const void *self)
{
    (void)self;
    return 0;
}

static vg_status toy_calibrate_begin(void *self, vg_err *err)
{
    toy_core *c = self;
    return vg_input_ranges_begin(c->be, &c->table, &c->ranges, err);
}

static vg_status toy_calibrate_each(const void *self,
                                    void (*fn)(void *user, const char *layer, float amax),
                                    void *user, vg_err *err)
{
    return vg_input_ranges_each(((const toy_core *)self)->ranges, fn, user, err);
}

static const vg_denoiser toy_denoiser = {.open = toy_core_open,
                                         .close = toy_core_close,
                                         .bind = toy_bind,
                                         .begin_step = toy_begin_step,
                                         .forward = toy_forward,
                                         .module = toy_module,
                                         .host_bytes = toy_host_bytes,
                                         .calibrate_begin = toy_calibrate_begin,
                                         .calibrate_each = toy_calibrate_each,
                                         .blocks = toy_blocks};

/* ---- decoder ---- */

static vg_status toy_frames(const vg_model *model, const vg_generate_params *p, const vg_latents *l,
                            vg_frames *size, vg_err *err)
{
    int64_t references = vg_inputs_count(&p->inputs, VG_ROLE_REFERENCE);
    (void)model;
    if (l->shape[0] != TOY_CHANNELS || l->shape[1] <= references)
        return VG_FAIL(err, VG_E_SHAPE, "these are no toy latents");
    *size = (vg_frames){.count = 1 + TOY_TEMPORAL * (int)(l->shape[1] - references - 1),
                        .height = TOY_SPATIAL * (int)l->shape[2],
                        .width = TOY_SPATIAL * (int)l->shape[3]};
    return VG_OK;
}

static vg_status toy_show(void *self, const vg_model *model, const vg_generate_params *p,
                          const vg_latents *l, const vg_hooks *hooks, vg_frames *out, vg_err *err)
{
    int64_t skip = vg_inputs_count(&p->inputs, VG_ROLE_REFERENCE);
    (void)self;
    (void)model;
    (void)err;
    for (int f = 0; f < out->count; f++) {
        for (int i = 0; i < out->height * out->width; i++)
            for (int k = 0; k < 3; k++) {
                int64_t t = skip + (f + TOY_TEMPORAL - 1) / TOY_TEMPORAL,
                        y = i / out->width / TOY_SPATIAL, x = i % out->width / TOY_SPATIAL;
                float v = l->values[((k * l->shape[1] + t) * l->shape[2] + y) * l->shape[3] + x];
                out->rgb[(f * out->height * out->width + i) * 3 + k] = (uint8_t)(v < 0   ? 0
                                                                                 : v > 1 ? 255
                                                                                         : v * 255);
            }
        if (hooks->progress)
            hooks->progress(hooks->user, f + 1, out->count);
    }
    return VG_OK;
}

static const vg_decoder toy_decoder = {.part = {.name = "showing",
                                                .stage = VG_STAGE_DECODE,
                                                .component = "screen",
                                                .open = toy_screen_open,
                                                .close = free,
                                                .rehearse = toy_nothing},
                                       .frames = toy_frames,
                                       .run = toy_show};

/* ---- the family ---- */

static bool toy_allows(const vg_model *model, const vg_mode *mode)
{
    (void)model;
    (void)mode;
    return true;
}

static const vg_component toy_components[] = {{"speller", "speller", true, true},
                                              {"core", "core", true, true}};
static const char *const toy_experts[] = {"core"};
static const vg_encoder *const toy_encoders[] = {&toy_speller, &toy_painter};
static const vg_mode toy_modes[] = {
    {.name = "plain", .help = "letters alone"},
    {.name = "painted", .help = "letters and pictures", .needs = VG_ROLE_BIT(REFERENCE)}};

static const vg_family toy_family = {.name = "toy",
                                     .title = "Toy",
                                     .modes = toy_modes,
                                     .modes_count = 2,
                                     .allows = toy_allows,
                                     .probe = toy_probe,
                                     .config_load = toy_config_load,
                                     .config_free = free,
                                     .components = toy_components,
                                     .components_count = 2,
                                     .has = toy_has,
                                     .weight_table = toy_weight_table,
                                     .experts = toy_experts,
                                     .experts_count = toy_experts_count,
                                     .geometry = toy_geometry,
                                     .defaults = toy_defaults,
                                     .latent_shape = toy_latent_shape,
                                     .guided = toy_guided,
                                     .conditions = toy_conditions,
                                     .flop = toy_flop,
                                     .encoders = toy_encoders,
                                     .encoders_count = 2,
                                     .denoiser = &toy_denoiser,
                                     .decoder = &toy_decoder};
#endif

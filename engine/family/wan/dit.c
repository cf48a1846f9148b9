/* dit.c: see dit.h. One forward is one batch item; guidance calls it twice. The rounding points are those of wan 2.6: every operation
 * rounds its result once to the act dtype, as the operation table says. */
#include "engine/family/wan/dit_impl.h"

#include <math.h>
#include <stdlib.h>

vg_status wan_dit_open(vg_engine *engine, const char *dir, const char *component,
                       const wan_dit_config *config, const vg_module_options *options,
                       wan_dit **dit, vg_err *err)
{
    vg_status status;
    wan_dit *d = calloc(1, sizeof *d);
    if (!d || !(d->blocks = calloc((size_t)config->layers, sizeof *d->blocks))) {
        free(d);
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %s", component);
    }
    d->config = *config;
    d->compute = options->compute;
    d->be = engine->be;
    d->timestep = NAN;
    VG_TRY_GOTO(status, wan_dit_open_weights(d, component, err), fail);
    VG_TRY_GOTO(status, vg_module_open(engine, dir, component, options, &d->module, err), fail);
    vg_arena **arenas[] = {&d->text[0], &d->text[1], &d->rope, &d->step, &d->work};
    for (size_t i = 0; i < sizeof arenas / sizeof arenas[0]; i++)
        VG_TRY_GOTO(status, vg_arena_new(d->be, (size_t)1 << 20, arenas[i], err), fail);
    VG_TRY_GOTO(status, wan_dit_load_globals(d, err), fail);
    VG_TRY_GOTO(status,
                vg_blocks_open(engine, dir, component, options, d->module,
                               &d->weights.lists[WAN_DIT_BLOCKS], &d->loaded, err),
                fail);
    VG_TRY_GOTO(status, vg_module_loaded(d->module, err), fail);
    *dit = d;
    return VG_OK;
fail:
    wan_dit_close(d);
    return status;
}

void wan_dit_close(wan_dit *d)
{
    if (!d)
        return;
    vg_input_ranges_free(d->ranges);
    vg_arena_free(d->work);
    vg_arena_free(d->step);
    vg_arena_free(d->rope);
    for (int i = 0; i < WAN_TEXTS; i++)
        vg_arena_free(d->text[i]);
    vg_module_close(d->module);
    vg_blocks_close(d->loaded);
    vg_weight_table_deinit(&d->weights);
    free(d->blocks);
    free(d);
}

const vg_module *wan_dit_module(const wan_dit *d)
{
    return d->module;
}

size_t wan_dit_host_bytes(const wan_dit *d)
{
    return vg_blocks_host_bytes(d->loaded);
}

void wan_dit_set_attention(wan_dit *d, const vg_attention_step *step)
{
    d->attention = step;
}

/* ---- forward ---- */

/* The residual stream is touched three times a block, each time by one operation that adds the result of a part, normalises the sum and
 * writes what the linear layers of the next part read (`in`). */
typedef struct dit_run {
    int slot;
    vg_tensor h;          /* [N, dim] residual stream */
    vg_tensor a, q, k, v; /* [N, dim] */
    vg_tensor hidden;     /* bytes, for the feed of FFN_DOWN */
    vg_feed in;           /* in a */
} dit_run;

/* What follows LayerNorm, and which layers read the result. */
typedef struct dit_norm {
    const vg_tensor *scale, *shift, *w, *b; /* [dim] F32: a modulation or an affine pair */
    const vg_linear_layer *readers[3];
    int count;
} dit_norm;

static vg_tensor modulation(const wan_dit *d, int64_t layer, int which)
{
    vg_tensor row = vg_tensor_rows(&d->mod, layer * MODULATIONS + which, 1);
    return vg_tensor_reshape(&row, 1, d->config.dim);
}

/* The norm in front of self-attention, or of the head behind the last block. */
typedef struct dit_entry {
    vg_tensor scale, shift;
    dit_norm norm;
} dit_entry;

static void entry_of(const wan_dit *d, int64_t layer, dit_entry *e)
{
    bool head = layer == d->config.layers;
    e->scale = modulation(d, layer, head ? HEAD_SCALE : SCALE_MSA);
    e->shift = modulation(d, layer, head ? HEAD_SHIFT : SHIFT_MSA);
    e->norm = (dit_norm){.scale = &e->scale, .shift = &e->shift};
    if (head) {
        e->norm.readers[e->norm.count++] = &d->global[PROJ_OUT];
        return;
    }
    for (int j = ATTN1_Q; j <= ATTN1_V; j++)
        e->norm.readers[e->norm.count++] = &d->blocks[layer].linear[j];
}

/* in = norm(h), for the first block. */
static vg_status enter(const wan_dit *d, dit_run *r, const dit_norm *n, vg_err *err)
{
    vg_feed_make(n->readers, n->count, &r->a, r->a.data, &r->in);
    return vg_layer_norm_modulate(d->be,
                                  &(vg_layer_norm_modulate_args){.x = &r->h,
                                                                 .scale = n->scale,
                                                                 .shift = n->shift,
                                                                 .eps = (float)d->config.eps,
                                                                 .y = vg_feed_values(&r->in),
                                                                 .quant = vg_feed_codes(&r->in)},
                                  err);
}

/* h += y * gate, in = norm(h). */
static vg_status add_and_norm(const wan_dit *d, dit_run *r, const vg_tensor *y,
                              const vg_tensor *gate, const dit_norm *n, vg_err *err)
{
    vg_feed_make(n->readers, n->count, &r->a, r->a.data, &r->in);
    return vg_residual_norm(d->be,
                            &(vg_residual_norm_args){.x = &r->h,
                                                     .add = y,
                                                     .gate = gate,
                                                     .sum = &r->h,
                                                     .scale = n->scale,
                                                     .shift = n->shift,
                                                     .w = n->w,
                                                     .b = n->b,
                                                     .eps = (float)d->config.eps,
                                                     .y = vg_feed_values(&r->in),
                                                     .quant = vg_feed_codes(&r->in)},
                            err);
}

/* in = attention(q, k, v), for the output projection. */
static vg_status attend(const wan_dit *d, dit_run *r, const vg_linear_layer *reader,
                        const vg_tensor *k, const vg_tensor *v, vg_err *err)
{
    vg_tensor qh = wan_dit_heads_of(d, &r->q), yh = wan_dit_heads_of(d, &r->a);
    vg_feed_make(&reader, 1, &r->a, r->a.data, &r->in);
    return vg_attention(
        d->be,
        &(vg_attention_args){.q = &qh,
                             .k = k,
                             .v = v,
                             .scale = (float)(1.0 / sqrt((double)d->config.head_dim)),
                             .y = vg_feed_values(&r->in) ? &yh : NULL,
                             .quant = vg_feed_codes(&r->in)},
        err);
}

/* The same among the video's own tokens, whose q and k are not normalised yet. */
static vg_status attend_to_itself(const wan_dit *d, int64_t layer, dit_run *r, vg_err *err)
{
    const wan_dit_block *b = &d->blocks[layer];
    const vg_linear_layer *reader = &b->linear[ATTN1_O];
    vg_feed_make(&reader, 1, &r->a, r->a.data, &r->in);
    return vg_self_attention_run(d->work,
                                 &(vg_self_attention){.step = d->attention,
                                                      .layer = (int)layer,
                                                      .q = &r->q,
                                                      .k = &r->k,
                                                      .v = &r->v,
                                                      .norm_q = &b->norm_q1,
                                                      .norm_k = &b->norm_k1,
                                                      .eps = (float)d->config.eps,
                                                      .rope_cos = &d->rope_cos,
                                                      .rope_sin = &d->rope_sin,
                                                      .heads = (int)d->config.heads,
                                                      .y = vg_feed_values(&r->in) ? &r->a : NULL,
                                                      .quant = vg_feed_codes(&r->in)},
                                 err);
}

/* One linear layer of the present feed. */
static vg_status project(const wan_dit *d, dit_run *r, const vg_linear_layer *layer, vg_tensor *y,
                         vg_err *err)
{
    return vg_linear_run_fed(d->work, &layer, 1, &r->in, VG_ACT_NONE, &y, err);
}

static vg_status self_attention(wan_dit *d, int64_t layer, dit_run *r, vg_err *err)
{
    const wan_dit_block *b = &d->blocks[layer];
    vg_tensor gate = modulation(d, layer, GATE_MSA);
    VG_TRY(
        vg_linear_run_fed(d->work,
                          (const vg_linear_layer *const[]){&b->linear[ATTN1_Q], &b->linear[ATTN1_K],
                                                           &b->linear[ATTN1_V]},
                          3, &r->in, VG_ACT_NONE, (vg_tensor *const[]){&r->q, &r->k, &r->v}, err));
    VG_TRY(attend_to_itself(d, layer, r, err));
    VG_TRY(project(d, r, &b->linear[ATTN1_O], &r->q, err));
    return add_and_norm(
        d, r, &r->q, &gate,
        &(dit_norm){
            .w = &b->norm2_w, .b = &b->norm2_b, .readers = {&b->linear[ATTN2_Q]}, .count = 1},
        err);
}

static vg_status cross_attention(wan_dit *d, int64_t layer, dit_run *r, vg_err *err)
{
    const wan_dit_block *b = &d->blocks[layer];
    vg_tensor scale = modulation(d, layer, C_SCALE), shift = modulation(d, layer, C_SHIFT);
    VG_TRY(project(d, r, &b->linear[ATTN2_Q], &r->q, err));
    VG_TRY(wan_dit_norm_heads(d, &b->norm_q2, NULL, NULL, &r->q, err));
    VG_TRY(attend(d, r, &b->linear[ATTN2_O], &b->text[r->slot].k, &b->text[r->slot].v, err));
    VG_TRY(project(d, r, &b->linear[ATTN2_O], &r->q, err));
    return add_and_norm(
        d, r, &r->q, NULL,
        &(dit_norm){.scale = &scale, .shift = &shift, .readers = {&b->linear[FFN_UP]}, .count = 1},
        err);
}

static vg_tensor hidden_like(const wan_dit *d, int64_t rows)
{
    return vg_tensor_make(NULL, d->compute, 2, rows, d->config.ffn_dim);
}

static vg_status feed_forward(wan_dit *d, int64_t layer, dit_run *r, vg_err *err)
{
    const wan_dit_block *b = &d->blocks[layer];
    const vg_linear_layer *down = &b->linear[FFN_DOWN];
    vg_tensor gate = modulation(d, layer, C_GATE), like = hidden_like(d, r->h.shape[0]);
    vg_feed hidden;
    dit_entry next;
    entry_of(d, layer + 1, &next);
    vg_feed_make(&down, 1, &like, r->hidden.data, &hidden);
    VG_TRY(vg_linear_feed(d->work, &b->linear[FFN_UP], &r->in, VG_ACT_GELU_TANH, &hidden, err));
    VG_TRY(vg_linear_run_fed(d->work, &down, 1, &hidden, VG_ACT_NONE, (vg_tensor *const[]){&r->q},
                             err));
    return add_and_norm(d, r, &r->q, &gate, &next.norm, err);
}

static vg_status head(wan_dit *d, dit_run *r, vg_tensor *v, vg_err *err)
{
    const wan_dit_config *c = &d->config;
    vg_tensor out;
    VG_TRY(wan_dit_matrix(d->work, d->compute, r->h.shape[0], d->global[PROJ_OUT].n, &out, err));
    VG_TRY(project(d, r, &d->global[PROJ_OUT], &out, err));
    return vg_unpatchify(
        d->be,
        &(vg_unpatchify_args){.x = &out, .patch = {c->patch[0], c->patch[1], c->patch[2]}, .y = v},
        err);
}

static vg_status embed_patches(wan_dit *d, const vg_tensor *x, dit_run *r, vg_err *err)
{
    const wan_dit_config *c = &d->config;
    size_t mark = vg_arena_mark(d->work);
    vg_tensor rows;
    VG_TRY(wan_dit_matrix(d->work, d->compute, r->h.shape[0], d->patch.k, &rows, err));
    VG_TRY(vg_patchify(
        d->be,
        &(vg_patchify_args){.x = x, .patch = {c->patch[0], c->patch[1], c->patch[2]}, .y = &rows},
        err));
    VG_TRY(vg_linear_run1(d->work, &d->patch, &rows, VG_ACT_NONE, &r->h, err));
    vg_arena_reset(d->work, mark);
    return VG_OK;
}

/* The buffers of a forward. a also holds feeds; hidden is as large as the widest feed of any block's FFN_DOWN, half of the values where
 * its layers read codes. */
static vg_status take_buffers(wan_dit *d, int64_t n, dit_run *r, vg_err *err)
{
    const wan_dit_config *c = &d->config;
    vg_tensor *rows[] = {&r->h, &r->q, &r->k, &r->v}, like = hidden_like(d, n), bytes;
    size_t most = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        VG_TRY(wan_dit_matrix(d->work, d->compute, n, c->dim, rows[i], err));
    VG_TRY(vg_arena_tensor(d->work, VG_U8, 1, (const int64_t[]){(int64_t)vg_feed_most_bytes(&r->h)},
                           &bytes, err));
    r->a = vg_tensor_of(bytes.data, d->compute, 2, r->h.shape);
    for (int64_t i = 0; i < c->layers; i++) {
        const vg_linear_layer *down = &d->blocks[i].linear[FFN_DOWN];
        size_t wanted = vg_feed_bytes(&down, 1, &like);
        most = wanted > most ? wanted : most;
    }
    return vg_arena_tensor(d->work, VG_U8, 1, (const int64_t[]){(int64_t)most}, &r->hidden, err);
}

static vg_status forward(wan_dit *d, const vg_tensor *x, double timestep, int slot,
                         const atomic_int *cancel, wan_dit_progress *progress, void *user,
                         vg_tensor *v, vg_err *err)
{
    const wan_dit_config *c = &d->config;
    const int64_t grid[3] = {x->shape[1] / c->patch[0], x->shape[2] / c->patch[1],
                             x->shape[3] / c->patch[2]};
    int64_t n = grid[0] * grid[1] * grid[2];
    dit_run r = {.slot = slot};
    dit_entry first;
    VG_TRY(wan_dit_prepare_rope(d, grid, err));
    VG_TRY(wan_dit_embed_timestep(d, timestep, err));
    VG_TRY(take_buffers(d, n, &r, err));
    VG_TRY(embed_patches(d, x, &r, err));
    entry_of(d, 0, &first);
    VG_TRY(enter(d, &r, &first.norm, err));
    for (int64_t i = 0; i < c->layers; i++) {
        if (vg_cancelled(cancel))
            return VG_FAIL(err, VG_E_CANCELLED, "cancelled in block %lld", (long long)i);
        VG_TRY(vg_blocks_bind(d->loaded, i, err));
        VG_TRY(self_attention(d, i, &r, err));
        VG_TRY(cross_attention(d, i, &r, err));
        VG_TRY(feed_forward(d, i, &r, err));
        VG_TRY(vg_blocks_release(d->loaded, i, err));
        if (progress)
            progress(user, (int)i + 1, (int)c->layers);
    }
    return head(d, &r, v, err);
}

vg_status wan_dit_forward(wan_dit *d, const vg_tensor *x, double timestep, int slot,
                          const atomic_int *cancel, wan_dit_progress *progress, void *user,
                          vg_tensor *v, vg_err *err)
{
    const wan_dit_config *c = &d->config;
    char text[96];
    if (x->ndim != 4 || x->shape[0] != c->in_channels || x->shape[1] < 1 ||
        x->shape[1] % c->patch[0] || x->shape[2] < 1 || x->shape[2] % c->patch[1] ||
        x->shape[3] < 1 || x->shape[3] % c->patch[2])
        return VG_FAIL(err, VG_E_SHAPE,
                       "latents are %s; [%lld, T, h, w] with h, w multiples of %d, %d are wanted",
                       vg_tensor_describe(x, text, sizeof text), (long long)c->in_channels,
                       c->patch[1], c->patch[2]);
    if (slot < 0 || slot >= WAN_TEXTS || !d->blocks[c->layers - 1].text[slot].k.data) /* set last */
        return VG_FAIL(err, VG_E_ARG, "no prompt was set for this forward");
    if (!isfinite(timestep))
        return VG_FAIL(err, VG_E_ARG, "the timestep is not a finite number");
    size_t mark = vg_arena_mark(d->work);
    vg_status status = forward(d, x, timestep, slot, cancel, progress, user, v, err);
    vg_arena_reset(d->work, mark);
    return status;
}

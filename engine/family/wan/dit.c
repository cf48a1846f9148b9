/* dit.c: see dit.h. One forward is one batch item; guidance calls it twice. The rounding points are those of wan 2.6: every operation
 * rounds its result once to the act dtype, as the operation table says. */
#include "engine/family/wan/dit_impl.h"

#include <math.h>
#include <stdlib.h>

/* A block of the control branch runs behind the block to which it adds its hint. */
static void make_order(wan_dit *d)
{
    const wan_dit_config *c = &d->config;
    int64_t at = 0, hints = 0;
    for (int64_t i = 0; i < c->layers; i++) {
        d->order[at++] = i;
        if (hints < c->vace_count && c->vace_layers[hints] == i)
            d->order[at++] = c->layers + hints++;
    }
}

vg_status wan_dit_open(vg_engine *engine, const char *dir, const char *component,
                       const wan_dit_config *config, const vg_module_options *options,
                       wan_dit **dit, vg_err *err)
{
    vg_status status;
    wan_dit *d = calloc(1, sizeof *d);
    if (!d)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %s", component);
    d->config = *config;
    d->count = wan_dit_blocks(config);
    d->blocks = calloc((size_t)d->count, sizeof *d->blocks);
    d->order = calloc((size_t)d->count, sizeof *d->order);
    if (!d->blocks || !d->order) {
        status = VG_FAIL(err, VG_E_NOMEM, "out of memory for %s", component);
        goto fail;
    }
    make_order(d);
    d->compute = options->compute;
    d->be = engine->be;
    d->timestep[0] = d->timestep[WAN_FIRST_TIME] = NAN;
    VG_TRY_GOTO(status, wan_dit_open_weights(d, component, err), fail);
    VG_TRY_GOTO(status, vg_module_open(engine, dir, component, options, &d->module, err), fail);
    vg_arena **arenas[] = {&d->text[0], &d->text[1], &d->rope, &d->step[0],
                           &d->step[1], &d->work,    &d->image};
    for (size_t i = 0; i < sizeof arenas / sizeof arenas[0]; i++)
        VG_TRY_GOTO(status, vg_arena_new(d->be, (size_t)1 << 20, arenas[i], err), fail);
    VG_TRY_GOTO(status, wan_dit_load_globals(d, err), fail);
    VG_TRY_GOTO(status, wan_dit_load_blocks(d, engine, dir, component, options, err), fail);
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
    for (int i = 0; i < WAN_TIMES; i++)
        vg_arena_free(d->step[i]);
    vg_arena_free(d->rope);
    for (int i = 0; i < WAN_TEXTS; i++)
        vg_arena_free(d->text[i]);
    vg_arena_free(d->image);
    vg_module_close(d->module);
    vg_blocks_close(d->loaded);
    vg_weight_table_deinit(&d->weights);
    free(d->order);
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

/* Tokens one after the other that have the same timestep. */
typedef struct dit_stretch {
    int64_t begin, count;
    int time; /* 0 or WAN_FIRST_TIME */
} dit_stretch;

static vg_tensor modulation(const wan_dit *d, int time, int64_t block, int which)
{
    vg_tensor row = vg_tensor_rows(&d->mod[time], block * MODULATIONS + which, 1);
    return vg_tensor_reshape(&row, 1, d->config.dim);
}

wan_dit_norm wan_dit_entry_of(const wan_dit *d, int64_t block)
{
    bool head = block == d->count;
    wan_dit_norm n = {.block = block,
                      .scale = head ? HEAD_SCALE : SCALE_MSA,
                      .shift = head ? HEAD_SHIFT : SHIFT_MSA};
    if (head)
        n.readers[n.count++] = &d->global[PROJ_OUT];
    for (int j = ATTN1_Q; !head && j <= ATTN1_V; j++)
        n.readers[n.count++] = &d->blocks[block].linear[j];
    return n;
}

/* The tensors of one stretch. */
typedef struct dit_part {
    vg_tensor h, y, gate, scale, shift, values, codes;
    vg_quant_out quant;
} dit_part;

static void part_of(const wan_dit *d, wan_dit_run *r, const dit_stretch *s, const wan_dit_sum *sum,
                    const wan_dit_norm *n, dit_part *p)
{
    *p = (dit_part){.h = vg_tensor_rows(&r->h, s->begin, s->count)};
    if (sum->y) {
        p->y = vg_tensor_rows(sum->y, s->begin, s->count);
        if (sum->gate != WAN_UNGATED)
            p->gate = modulation(d, s->time, sum->block, sum->gate);
    }
    if (!n)
        return;
    if (!n->w) {
        p->scale = modulation(d, s->time, n->block, n->scale);
        p->shift = modulation(d, s->time, n->block, n->shift);
    }
    p->quant = vg_feed_codes(&r->in);
    if (p->quant.kind == VG_QUANT_NONE) {
        p->values = vg_tensor_rows(&r->in.x, s->begin, s->count);
    } else {
        p->codes = vg_tensor_rows(&r->in.q, s->begin, s->count);
        p->quant.q = &p->codes;
    }
}

static vg_tensor *or_null(vg_tensor *t)
{
    return t->data ? t : NULL;
}

static vg_status add_stretch(const wan_dit *d, wan_dit_run *r, const dit_stretch *s,
                             const wan_dit_sum *sum, const wan_dit_norm *n, vg_err *err)
{
    dit_part p;
    part_of(d, r, s, sum, n, &p);
    if (!n)
        return vg_gate_residual(
            d->be,
            &(vg_gate_residual_args){.x = &p.h, .y = &p.y, .gate = or_null(&p.gate), .out = &p.h},
            err);
    if (!sum->y)
        return vg_layer_norm_modulate(d->be,
                                      &(vg_layer_norm_modulate_args){.x = &p.h,
                                                                     .scale = or_null(&p.scale),
                                                                     .shift = or_null(&p.shift),
                                                                     .w = n->w,
                                                                     .b = n->b,
                                                                     .eps = (float)d->config.eps,
                                                                     .y = or_null(&p.values),
                                                                     .quant = p.quant},
                                      err);
    return vg_residual_norm(d->be,
                            &(vg_residual_norm_args){.x = &p.h,
                                                     .add = &p.y,
                                                     .gate = or_null(&p.gate),
                                                     .sum = &p.h,
                                                     .scale = or_null(&p.scale),
                                                     .shift = or_null(&p.shift),
                                                     .w = n->w,
                                                     .b = n->b,
                                                     .eps = (float)d->config.eps,
                                                     .y = or_null(&p.values),
                                                     .quant = p.quant},
                            err);
}

/* Scales of groups lie token by token beside each other, so a part of the tokens cannot write them: then values are written, and quantised
 * when they are read. */
vg_status wan_dit_add(const wan_dit *d, wan_dit_run *r, const wan_dit_sum *sum,
                      const wan_dit_norm *n, vg_err *err)
{
    const dit_stretch stretches[2] = {{0, r->first, WAN_FIRST_TIME},
                                      {r->first, r->h.shape[0] - r->first, 0}};
    if (n)
        vg_feed_make(n->readers, n->count, &r->a, r->a.data, &r->in);
    if (n && r->first && r->in.kind == VG_QUANT_GROUP_DYNAMIC)
        r->in = (vg_feed){.kind = VG_QUANT_NONE, .x = r->a};
    for (int i = 0; i < 2; i++)
        if (stretches[i].count)
            VG_TRY(add_stretch(d, r, &stretches[i], sum, n, err));
    return VG_OK;
}

/* in = attention(q, k, v), for the output projection. */
static vg_status attend(const wan_dit *d, wan_dit_run *r, const vg_linear_layer *reader,
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
static vg_status attend_to_itself(const wan_dit *d, int64_t block, wan_dit_run *r, vg_err *err)
{
    const wan_dit_block *b = &d->blocks[block];
    const vg_linear_layer *reader = &b->linear[ATTN1_O];
    vg_feed_make(&reader, 1, &r->a, r->a.data, &r->in);
    return vg_self_attention_run(d->work,
                                 &(vg_self_attention){.step = d->attention,
                                                      .layer = r->place,
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
static vg_status project(const wan_dit *d, wan_dit_run *r, const vg_linear_layer *layer,
                         vg_tensor *y, vg_err *err)
{
    return vg_linear_run_fed(d->work, &layer, 1, &r->in, VG_ACT_NONE, &y, err);
}

static vg_status self_attention(wan_dit *d, int64_t block, wan_dit_run *r, vg_err *err)
{
    const wan_dit_block *b = &d->blocks[block];
    VG_TRY(
        vg_linear_run_fed(d->work,
                          (const vg_linear_layer *const[]){&b->linear[ATTN1_Q], &b->linear[ATTN1_K],
                                                           &b->linear[ATTN1_V]},
                          3, &r->in, VG_ACT_NONE, (vg_tensor *const[]){&r->q, &r->k, &r->v}, err));
    VG_TRY(attend_to_itself(d, block, r, err));
    VG_TRY(project(d, r, &b->linear[ATTN1_O], &r->q, err));
    return wan_dit_add(
        d, r, &(wan_dit_sum){&r->q, block, GATE_MSA},
        &(wan_dit_norm){
            .w = &b->norm2_w, .b = &b->norm2_b, .readers = {&b->linear[ATTN2_Q]}, .count = 1},
        err);
}

/* a = round(attention to the prompt + attention to the pictures), with the same queries. k is free here. */
static vg_status attend_both(const wan_dit *d, int64_t block, wan_dit_run *r, vg_err *err)
{
    const wan_dit_block *b = &d->blocks[block];
    const wan_dit_context *contexts[] = {&b->text[r->slot], &b->image};
    vg_tensor *to[] = {&r->a, &r->k}, qh = wan_dit_heads_of(d, &r->q);
    for (int i = 0; i < 2; i++) {
        vg_tensor yh = wan_dit_heads_of(d, to[i]);
        VG_TRY(vg_attention(
            d->be,
            &(vg_attention_args){.q = &qh,
                                 .k = &contexts[i]->k,
                                 .v = &contexts[i]->v,
                                 .scale = (float)(1.0 / sqrt((double)d->config.head_dim)),
                                 .y = &yh},
            err));
    }
    r->in = (vg_feed){.kind = VG_QUANT_NONE, .x = r->a};
    return vg_gate_residual(d->be, &(vg_gate_residual_args){.x = &r->a, .y = &r->k, .out = &r->a},
                            err);
}

static vg_status cross_attention(wan_dit *d, int64_t block, wan_dit_run *r, vg_err *err)
{
    const wan_dit_block *b = &d->blocks[block];
    VG_TRY(project(d, r, &b->linear[ATTN2_Q], &r->q, err));
    VG_TRY(wan_dit_norm_heads(d, &b->norm_q2, NULL, NULL, &r->q, err));
    if (d->config.image_dim)
        VG_TRY(attend_both(d, block, r, err));
    else
        VG_TRY(attend(d, r, &b->linear[ATTN2_O], &b->text[r->slot].k, &b->text[r->slot].v, err));
    VG_TRY(project(d, r, &b->linear[ATTN2_O], &r->q, err));
    return wan_dit_add(d, r, &(wan_dit_sum){&r->q, block, WAN_UNGATED},
                       &(wan_dit_norm){.block = block,
                                       .scale = C_SCALE,
                                       .shift = C_SHIFT,
                                       .readers = {&b->linear[FFN_UP]},
                                       .count = 1},
                       err);
}

static vg_tensor hidden_like(const wan_dit *d, int64_t rows)
{
    return vg_tensor_make(NULL, d->compute, 2, rows, d->config.ffn_dim);
}

static vg_status feed_forward(wan_dit *d, int64_t block, wan_dit_run *r, const wan_dit_norm *next,
                              vg_err *err)
{
    const wan_dit_block *b = &d->blocks[block];
    const vg_linear_layer *down = &b->linear[FFN_DOWN];
    vg_tensor like = hidden_like(d, r->h.shape[0]);
    vg_feed hidden;
    vg_feed_make(&down, 1, &like, r->hidden.data, &hidden);
    VG_TRY(vg_linear_feed(d->work, &b->linear[FFN_UP], &r->in, VG_ACT_GELU_TANH, &hidden, err));
    VG_TRY(vg_linear_run_fed(d->work, &down, 1, &hidden, VG_ACT_NONE, (vg_tensor *const[]){&r->q},
                             err));
    return wan_dit_add(d, r, &(wan_dit_sum){&r->q, block, C_GATE}, next, err);
}

vg_status wan_dit_block_run(wan_dit *d, int64_t block, wan_dit_run *r, const wan_dit_norm *next,
                            vg_err *err)
{
    VG_TRY(self_attention(d, block, r, err));
    VG_TRY(cross_attention(d, block, r, err));
    return feed_forward(d, block, r, next, err);
}

static vg_status head(wan_dit *d, wan_dit_run *r, vg_tensor *v, vg_err *err)
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

static vg_status embed_patches(wan_dit *d, const vg_tensor *x, wan_dit_run *r, vg_err *err)
{
    size_t mark = vg_arena_mark(d->work);
    vg_tensor rows;
    VG_TRY(wan_dit_patches(d, x, &d->patch, &rows, err));
    VG_TRY(vg_linear_run1(d->work, &d->patch, &rows, VG_ACT_NONE, &r->h, err));
    vg_arena_reset(d->work, mark);
    return VG_OK;
}

/* The buffers of a forward. a also holds feeds; hidden is as large as the widest feed of any block's FFN_DOWN, half of the values where
 * its layers read codes. */
static vg_status take_buffers(wan_dit *d, int64_t n, wan_dit_run *r, vg_err *err)
{
    const wan_dit_config *c = &d->config;
    vg_tensor *rows[] = {&r->h, &r->q, &r->k, &r->v, &r->c}, like = hidden_like(d, n), bytes;
    size_t most = 0, count = sizeof rows / sizeof rows[0] - (c->vace_count ? 0 : 1);
    for (size_t i = 0; i < count; i++)
        VG_TRY(wan_dit_matrix(d->work, d->compute, n, c->dim, rows[i], err));
    VG_TRY(vg_arena_tensor(d->work, VG_U8, 1, (const int64_t[]){(int64_t)vg_feed_most_bytes(&r->h)},
                           &bytes, err));
    r->a = vg_tensor_of(bytes.data, d->compute, 2, r->h.shape);
    for (int64_t i = 0; i < d->count; i++) {
        const vg_linear_layer *down = &d->blocks[i].linear[FFN_DOWN];
        size_t wanted = vg_feed_bytes(&down, 1, &like);
        most = wanted > most ? wanted : most;
    }
    return vg_arena_tensor(d->work, VG_U8, 1, (const int64_t[]){(int64_t)most}, &r->hidden, err);
}

/* The norm behind what runs at a place of the order. */
static wan_dit_norm norm_behind(const wan_dit *d, int64_t place)
{
    do
        place++;
    while (place < d->count && d->order[place] >= d->config.layers);
    return wan_dit_entry_of(d, place < d->count ? d->order[place] : d->count);
}

/* A block of the transformer; or one of the control branch, which adds to h where that block has left it. */
static vg_status run_place(wan_dit *d, int64_t place, wan_dit_run *r, vg_err *err)
{
    int64_t block = d->order[place], next = place + 1 < d->count ? d->order[place + 1] : 0;
    wan_dit_norm norm = norm_behind(d, place);
    if (block >= d->config.layers)
        return wan_dit_add_hint(d, block, r, &norm, err);
    return wan_dit_block_run(d, block, r, next >= d->config.layers ? NULL : &norm, err);
}

static vg_status run_places(wan_dit *d, wan_dit_run *r, const atomic_int *cancel,
                            wan_dit_progress *progress, void *user, vg_err *err)
{
    for (int64_t i = 0; i < d->count; i++) {
        if (vg_cancelled(cancel))
            return VG_FAIL(err, VG_E_CANCELLED, "cancelled in block %lld", (long long)i);
        VG_TRY(vg_blocks_bind(d->loaded, i, err));
        r->place = (int)i;
        VG_TRY(run_place(d, i, r, err));
        VG_TRY(vg_blocks_release(d->loaded, i, err));
        if (progress)
            progress(user, (int)i + 1, (int)d->count);
    }
    return VG_OK;
}

static vg_status forward(wan_dit *d, const vg_tensor *x, const wan_dit_time *time, int slot,
                         const atomic_int *cancel, wan_dit_progress *progress, void *user,
                         vg_tensor *v, vg_err *err)
{
    const wan_dit_config *c = &d->config;
    const int64_t grid[3] = {x->shape[1] / c->patch[0], x->shape[2] / c->patch[1],
                             x->shape[3] / c->patch[2]};
    int64_t n = grid[0] * grid[1] * grid[2];
    wan_dit_run r = {.slot = slot, .first = time->first_tokens};
    wan_dit_norm first = wan_dit_entry_of(d, 0);
    VG_TRY(wan_dit_check_control(d, n, err));
    VG_TRY(wan_dit_prepare_rope(d, grid, err));
    if (r.first < n)
        VG_TRY(wan_dit_embed_timestep(d, 0, time->timestep, err));
    if (r.first)
        VG_TRY(wan_dit_embed_timestep(d, WAN_FIRST_TIME, time->first, err));
    VG_TRY(take_buffers(d, n, &r, err));
    VG_TRY(embed_patches(d, x, &r, err));
    if (c->vace_count)
        VG_TRY(wan_dit_begin_control(d, &r, err));
    VG_TRY(wan_dit_add(d, &r, &(wan_dit_sum){.y = NULL}, &first, err));
    VG_TRY(run_places(d, &r, cancel, progress, user, err));
    return head(d, &r, v, err);
}

vg_status wan_dit_forward(wan_dit *d, const vg_tensor *x, const wan_dit_time *time, int slot,
                          const atomic_int *cancel, wan_dit_progress *progress, void *user,
                          vg_tensor *v, vg_err *err)
{
    const wan_dit_config *c = &d->config;
    int64_t last = d->order[d->count - 1];
    char text[96];
    if (x->ndim != 4 || x->shape[0] != c->in_channels || x->shape[1] < 1 ||
        x->shape[1] % c->patch[0] || x->shape[2] < 1 || x->shape[2] % c->patch[1] ||
        x->shape[3] < 1 || x->shape[3] % c->patch[2])
        return VG_FAIL(err, VG_E_SHAPE,
                       "latents are %s; [%lld, T, h, w] with h, w multiples of %d, %d are wanted",
                       vg_tensor_describe(x, text, sizeof text), (long long)c->in_channels,
                       c->patch[1], c->patch[2]);
    if (slot < 0 || slot >= WAN_TEXTS || !d->blocks[last].text[slot].k.data) /* set last */
        return VG_FAIL(err, VG_E_ARG, "no prompt was set for this forward");
    if (c->image_dim && !d->blocks[last].image.k.data)
        return VG_FAIL(err, VG_E_ARG, "no picture was set for this forward");
    if (!isfinite(time->timestep) || !isfinite(time->first))
        return VG_FAIL(err, VG_E_ARG, "the timestep is not a finite number");
    if (time->first_tokens < 0 || time->first_tokens > wan_dit_tokens(c, x->shape))
        return VG_FAIL(err, VG_E_ARG, "%lld tokens with a timestep of their own, of %lld",
                       (long long)time->first_tokens, (long long)wan_dit_tokens(c, x->shape));
    size_t mark = vg_arena_mark(d->work);
    vg_status status = forward(d, x, time, slot, cancel, progress, user, v, err);
    vg_arena_reset(d->work, mark);
    return status;
}

/* dit.c: see dit.h. One forward is one batch item; guidance calls it twice. Every operation rounds its result once to the act dtype; where the
 * reference rounds more often (hunyuanvideo15 2.9: modulation three times, gates twice) the operations keep FP32 in between. */
#include "engine/family/hunyuanvideo15/dit_impl.h"

#include <stdlib.h>

static vg_status allocate(const hv_dit_config *config, hv_dit **dit, vg_err *err)
{
    hv_dit *d = calloc(1, sizeof *d);
    if (!d)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the transformer");
    d->config = *config;
    d->at = -1;
    d->blocks = calloc((size_t)config->layers, sizeof *d->blocks);
    d->refiner = calloc((size_t)config->refiner_layers, sizeof *d->refiner);
    *dit = d;
    return d->blocks && d->refiner ? VG_OK
                                   : VG_FAIL(err, VG_E_NOMEM, "out of memory for the transformer");
}

vg_status hv_dit_open(vg_engine *engine, const char *dir, const hv_dit_config *config,
                      const vg_module_options *options, hv_dit **dit, vg_err *err)
{
    hv_dit *d = NULL;
    vg_status status;
    VG_TRY_GOTO(status, allocate(config, &d, err), fail);
    d->compute = options->compute;
    d->engine = engine;
    d->be = engine->be;
    if (!(d->dir = strdup(dir))) {
        status = VG_FAIL(err, VG_E_NOMEM, "out of memory for a path");
        goto fail;
    }
    vg_arena **arenas[] = {&d->own,
                           &d->schedule,
                           &d->rope,
                           &d->step,
                           &d->work,
                           &d->branch[0].memory,
                           &d->branch[1].memory};
    for (size_t i = 0; i < sizeof arenas / sizeof arenas[0]; i++)
        VG_TRY_GOTO(status, vg_arena_new(d->be, (size_t)1 << 20, arenas[i], err), fail);
    VG_TRY_GOTO(status, hv_dit_open_weights(d, err), fail);
    VG_TRY_GOTO(status, vg_module_open(engine, dir, "transformer", options, &d->module, err), fail);
    VG_TRY_GOTO(status, hv_dit_load_globals(d, err), fail);
    VG_TRY_GOTO(status,
                vg_blocks_open(engine, dir, "transformer", options, d->module,
                               &d->weights.lists[HV_DIT_BLOCKS], &d->loaded, err),
                fail);
    VG_TRY_GOTO(status, vg_module_loaded(d->module, err), fail);
    *dit = d;
    return VG_OK;
fail:
    hv_dit_close(d);
    return status;
}

void hv_dit_close(hv_dit *d)
{
    if (!d)
        return;
    vg_input_ranges_free(d->ranges);
    hv_dit_drop_schedule(d);
    for (int i = 0; i < HV_BRANCHES; i++)
        vg_arena_free(d->branch[i].memory);
    vg_arena_free(d->work);
    vg_arena_free(d->step);
    vg_arena_free(d->rope);
    vg_arena_free(d->schedule);
    vg_arena_free(d->own);
    vg_module_close(d->module);
    vg_blocks_close(d->loaded);
    vg_weight_table_deinit(&d->weights);
    free(d->patch_host);
    free(d->refiner);
    free(d->blocks);
    free(d->dir);
    free(d);
}

const vg_module *hv_dit_module(const hv_dit *d)
{
    return d->module;
}

size_t hv_dit_host_bytes(const hv_dit *d)
{
    return vg_blocks_host_bytes(d->loaded);
}

void hv_dit_set_attention(hv_dit *d, const vg_attention_step *step)
{
    d->attention = step;
}

/* ---- forward ---- */

/* One stream of the residual: its rows of every buffer. */
typedef struct dit_stream {
    vg_tensor h;                    /* [n, dim] residual stream */
    vg_tensor a, q, k, v, att, out; /* [n, dim] */
    vg_feed in;                     /* in a: what the next layers read */
} dit_stream;

typedef struct dit_run {
    dit_stream of[STREAMS];
    vg_tensor q, k, v, att; /* [video + text, dim]: both streams, video first */
    void *hidden;           /* feeds of FFN_DOWN; over q, k, v and att, which nothing reads then */
} dit_run;

/* LayerNorm, then modulation; and which layers read the result. */
typedef struct dit_norm {
    vg_tensor scale, shift; /* [dim] F32 */
    const vg_linear_layer *readers[3];
    int count;
} dit_norm;

/* In front of a block's attention, or of the projection behind the last block. */
static dit_norm entry_of(const hv_dit *d, int64_t layer, int stream)
{
    bool head = layer == d->config.layers;
    dit_norm n = {.scale = hv_dit_modulation(d, layer, stream, head ? HEAD_SCALE : SCALE_MSA),
                  .shift = hv_dit_modulation(d, layer, stream, head ? HEAD_SHIFT : SHIFT_MSA)};
    if (head) {
        n.readers[n.count++] = &d->global[PROJ_OUT];
        return n;
    }
    for (int j = ATTN_Q; j <= ATTN_V; j++)
        n.readers[n.count++] = &d->blocks[layer].stream[stream].linear[j];
    return n;
}

/* In front of its feed forward. */
static dit_norm middle_of(const hv_dit *d, int64_t layer, int stream)
{
    return (dit_norm){.scale = hv_dit_modulation(d, layer, stream, SCALE_MLP),
                      .shift = hv_dit_modulation(d, layer, stream, SHIFT_MLP),
                      .readers = {&d->blocks[layer].stream[stream].linear[FFN_UP]},
                      .count = 1};
}

/* in = norm(h), for the first block. */
static vg_status enter(const hv_dit *d, dit_stream *s, const dit_norm *n, vg_err *err)
{
    vg_feed_make(n->readers, n->count, &s->a, s->a.data, &s->in);
    return vg_layer_norm_modulate(d->be,
                                  &(vg_layer_norm_modulate_args){.x = &s->h,
                                                                 .scale = &n->scale,
                                                                 .shift = &n->shift,
                                                                 .eps = HV_EPS,
                                                                 .y = vg_feed_values(&s->in),
                                                                 .quant = vg_feed_codes(&s->in)},
                                  err);
}

/* h += out * gate, in = norm(h). */
static vg_status add_and_norm(const hv_dit *d, dit_stream *s, const vg_tensor *gate,
                              const dit_norm *n, vg_err *err)
{
    vg_feed_make(n->readers, n->count, &s->a, s->a.data, &s->in);
    return vg_residual_norm(d->be,
                            &(vg_residual_norm_args){.x = &s->h,
                                                     .add = &s->out,
                                                     .gate = gate,
                                                     .sum = &s->h,
                                                     .scale = &n->scale,
                                                     .shift = &n->shift,
                                                     .eps = HV_EPS,
                                                     .y = vg_feed_values(&s->in),
                                                     .quant = vg_feed_codes(&s->in)},
                            err);
}

static vg_status norm_heads(const hv_dit *d, const vg_tensor *w, bool rope, vg_tensor *x,
                            vg_err *err)
{
    return vg_head_norm_rope(d->be,
                             &(vg_head_norm_rope_args){.x = x,
                                                       .w = w,
                                                       .eps = HV_EPS,
                                                       .heads = (int)d->config.heads,
                                                       .rope_cos = rope ? &d->rope_cos : NULL,
                                                       .rope_sin = rope ? &d->rope_sin : NULL,
                                                       .y = x},
                             err);
}

/* Queries, keys and values of one stream, to its rows of both streams' buffers. */
static vg_status project_heads(hv_dit *d, int64_t layer, int stream, dit_run *r, vg_err *err)
{
    dit_stream *s = &r->of[stream];
    const vg_linear_layer *l = d->blocks[layer].stream[stream].linear;
    VG_TRY(vg_linear_run_fed(
        d->work, (const vg_linear_layer *const[]){&l[ATTN_Q], &l[ATTN_K], &l[ATTN_V]}, 3, &s->in,
        VG_ACT_NONE, (vg_tensor *const[]){&s->q, &s->k, &s->v}, err));
    VG_TRY(norm_heads(d, &d->blocks[layer].stream[stream].norm_q, stream == VIDEO, &s->q, err));
    return norm_heads(d, &d->blocks[layer].stream[stream].norm_k, stream == VIDEO, &s->k, err);
}

/* Every query against the keys of both streams. alone: those of the video only. */
static vg_status attend(const hv_dit *d, int64_t layer, dit_run *r, bool alone, vg_err *err)
{
    return vg_self_attention_run(d->work,
                                 &(vg_self_attention){.step = d->attention,
                                                      .layer = (int)layer,
                                                      .q = alone ? &r->of[VIDEO].q : &r->q,
                                                      .k = &r->k,
                                                      .v = &r->v,
                                                      .heads = (int)d->config.heads,
                                                      .y = alone ? &r->of[VIDEO].att : &r->att},
                                 err);
}

/* What follows attention in one stream. */
static vg_status finish_stream(hv_dit *d, int64_t layer, int stream, dit_run *r, vg_err *err)
{
    dit_stream *s = &r->of[stream];
    const vg_linear_layer *l = d->blocks[layer].stream[stream].linear, *down = &l[FFN_DOWN];
    vg_tensor gate = hv_dit_modulation(d, layer, stream, GATE_MLP),
              like = vg_tensor_make(NULL, d->compute, 2, s->h.shape[0], d->config.ffn_dim);
    bool head = layer + 1 == d->config.layers;
    dit_norm next = entry_of(d, layer + 1, head ? VIDEO : stream);
    vg_feed hidden;
    vg_feed_make(&down, 1, &like, r->hidden, &hidden);
    VG_TRY(vg_linear_feed(d->work, &l[FFN_UP], &s->in, VG_ACT_GELU_TANH, &hidden, err));
    VG_TRY(vg_linear_run_fed(d->work, &down, 1, &hidden, VG_ACT_NONE, (vg_tensor *const[]){&s->out},
                             err));
    return add_and_norm(d, s, &gate, &next, err);
}

static vg_status run_block(hv_dit *d, int64_t layer, dit_run *r, vg_err *err)
{
    /* Behind the last block nobody reads the text; but its layers have scales, which a calibration wants to know. */
    bool alone = layer + 1 == d->config.layers && !d->ranges;
    int streams = alone ? 1 : STREAMS; /* whose attention is finished */
    for (int i = 0; i < STREAMS; i++)
        VG_TRY(project_heads(d, layer, i, r, err));
    VG_TRY(attend(d, layer, r, alone, err));
    for (int i = 0; i < streams; i++) {
        dit_stream *s = &r->of[i];
        vg_tensor gate = hv_dit_modulation(d, layer, i, GATE_MSA);
        dit_norm middle = middle_of(d, layer, i);
        VG_TRY(vg_linear_run1(d->work, &d->blocks[layer].stream[i].linear[ATTN_O], &s->att,
                              VG_ACT_NONE, &s->out, err));
        VG_TRY(add_and_norm(d, s, &gate, &middle, err));
    }
    for (int i = 0; i < streams; i++)
        VG_TRY(finish_stream(d, layer, i, r, err));
    return VG_OK;
}

static vg_status embed_patches(hv_dit *d, const vg_tensor *x, vg_tensor *h, vg_err *err)
{
    size_t mark = vg_arena_mark(d->work);
    vg_tensor rows;
    VG_TRY(hv_matrix(d->work, d->compute, h->shape[0], d->patch.k, &rows, err));
    VG_TRY(vg_patchify(d->be, &(vg_patchify_args){.x = x, .patch = {1, 1, 1}, .y = &rows}, err));
    VG_TRY(vg_linear_run1(d->work, &d->patch, &rows, VG_ACT_NONE, h, err));
    vg_arena_reset(d->work, mark);
    return VG_OK;
}

static vg_status head(hv_dit *d, const dit_run *r, vg_tensor *v, vg_err *err)
{
    const vg_linear_layer *out = &d->global[PROJ_OUT];
    vg_tensor rows;
    VG_TRY(hv_matrix(d->work, d->compute, r->of[VIDEO].h.shape[0], out->n, &rows, err));
    VG_TRY(vg_linear_run_fed(d->work, &out, 1, &r->of[VIDEO].in, VG_ACT_NONE,
                             (vg_tensor *const[]){&rows}, err));
    return vg_unpatchify(d->be, &(vg_unpatchify_args){.x = &rows, .patch = {1, 1, 1}, .y = v}, err);
}

static vg_status take_bytes(hv_dit *d, size_t bytes, void **memory, vg_err *err)
{
    vg_tensor t;
    VG_TRY(vg_arena_tensor(d->work, VG_U8, 1, (const int64_t[]){(int64_t)bytes}, &t, err));
    *memory = t.data;
    return VG_OK;
}

/* The most that any FFN_DOWN is fed. */
static size_t hidden_bytes(const hv_dit *d, const int64_t tokens[STREAMS])
{
    size_t most = 0;
    for (int i = 0; i < STREAMS; i++) {
        vg_tensor like = vg_tensor_make(NULL, d->compute, 2, tokens[i], d->config.ffn_dim);
        for (int64_t b = 0; b < d->config.layers; b++) {
            const vg_linear_layer *down = &d->blocks[b].stream[i].linear[FFN_DOWN];
            size_t bytes = vg_feed_bytes(&down, 1, &like);
            most = bytes > most ? bytes : most;
        }
    }
    return most;
}

/* The buffers of a forward; those of both streams lie behind one another in memory that the feed forwards take over. */
static vg_status take_buffers(hv_dit *d, const int64_t tokens[STREAMS], dit_run *r, vg_err *err)
{
    const int64_t dim = d->config.dim, all = tokens[VIDEO] + tokens[TEXT];
    vg_tensor h, out, *joint[] = {&r->q, &r->k, &r->v, &r->att};
    char *shared;
    void *memory;
    VG_TRY(hv_matrix(d->work, d->compute, all, dim, &h, err));
    VG_TRY(hv_matrix(d->work, d->compute, all, dim, &out, err));
    size_t one = (vg_tensor_bytes(&h) + 255) / 256 * 256, most = hidden_bytes(d, tokens);
    VG_TRY(take_bytes(d, most > 4 * one ? most : 4 * one, &memory, err));
    r->hidden = shared = memory;
    for (int i = 0; i < 4; i++)
        *joint[i] = vg_tensor_of(shared + (size_t)i * one, d->compute, 2, h.shape);
    for (int i = 0; i < STREAMS; i++) {
        dit_stream *s = &r->of[i];
        int64_t first = i == VIDEO ? 0 : tokens[VIDEO];
        vg_tensor *own[] = {&s->q, &s->k, &s->v, &s->att};
        for (int j = 0; j < 4; j++)
            *own[j] = vg_tensor_rows(joint[j], first, tokens[i]);
        s->h = vg_tensor_rows(&h, first, tokens[i]);
        s->out = vg_tensor_rows(&out, first, tokens[i]);
        VG_TRY(take_bytes(d, vg_feed_most_bytes(&s->h), &memory, err));
        s->a = vg_tensor_of(memory, d->compute, 2, s->h.shape);
    }
    return VG_OK;
}

static vg_status forward(hv_dit *d, const vg_tensor *x, int branch, const atomic_int *cancel,
                         hv_dit_progress *progress, void *user, vg_tensor *v, vg_err *err)
{
    const hv_dit_config *c = &d->config;
    const int64_t tokens[STREAMS] = {x->shape[1] * x->shape[2] * x->shape[3],
                                     hv_text_tokens(&d->branch[branch])};
    dit_run r = {0};
    VG_TRY(hv_dit_prepare_rope(d, x->shape + 1, err));
    VG_TRY(take_buffers(d, tokens, &r, err));
    VG_TRY(embed_patches(d, x, &r.of[VIDEO].h, err));
    VG_TRY(hv_dit_text_rows(d, branch, &r.of[TEXT].h, err));
    for (int i = 0; i < STREAMS; i++) {
        dit_norm first = entry_of(d, 0, i);
        VG_TRY(enter(d, &r.of[i], &first, err));
    }
    for (int64_t i = 0; i < c->layers; i++) {
        if (vg_cancelled(cancel))
            return VG_FAIL(err, VG_E_CANCELLED, "cancelled in block %lld", (long long)i);
        VG_TRY(vg_blocks_bind(d->loaded, i, err));
        VG_TRY(run_block(d, i, &r, err));
        VG_TRY(vg_blocks_release(d->loaded, i, err));
        if (progress)
            progress(user, (int)i + 1, (int)c->layers);
    }
    return head(d, &r, v, err);
}

vg_status hv_dit_forward(hv_dit *d, const vg_tensor *x, int branch, const atomic_int *cancel,
                         hv_dit_progress *progress, void *user, vg_tensor *v, vg_err *err)
{
    char text[96];
    if (x->ndim != 4 || x->shape[0] != d->patch.k || x->shape[1] < 1 || x->shape[2] < 1 ||
        x->shape[3] < 1)
        return VG_FAIL(err, VG_E_SHAPE, "latents are %s; [%lld, T, h, w] are wanted",
                       vg_tensor_describe(x, text, sizeof text), (long long)d->patch.k);
    if (branch < 0 || branch >= HV_BRANCHES || d->branch[branch].text == 0)
        return VG_FAIL(err, VG_E_ARG, "no prompt was set for this forward");
    if (d->at < 0)
        return VG_FAIL(err, VG_E_ARG, "no timestep was set for this forward");
    size_t mark = vg_arena_mark(d->work);
    vg_status status = forward(d, x, branch, cancel, progress, user, v, err);
    vg_arena_reset(d->work, mark);
    return status;
}

/* dit_vace.c: the control branch of a VACE transformer: a second, shorter row of blocks over the embedded control, each of which adds a hint
 * to what is denoised. diffusers runs the whole branch first and keeps its hints; here each block runs when its hint is wanted, behind the
 * block that it adds to, which gives the same numbers and takes one more residual stream, however many hints there are. Source: wan 3.2. */
#include "engine/family/wan/dit_impl.h"
#include "kernels/base/numeric.h"

vg_status wan_dit_set_control(wan_dit *d, const vg_tensor *control, const double *scales,
                              vg_err *err)
{
    const wan_dit_config *c = &d->config;
    char text[96];
    if (control->ndim != 4 || control->shape[0] != c->vace_channels || control->shape[1] < 1 ||
        control->shape[1] % c->patch[0] || control->shape[2] < 1 ||
        control->shape[2] % c->patch[1] || control->shape[3] < 1 || control->shape[3] % c->patch[2])
        return VG_FAIL(
            err, VG_E_SHAPE,
            "the control is %s; [%lld, T, h, w] with h, w multiples of %d, %d are wanted",
            vg_tensor_describe(control, text, sizeof text), (long long)c->vace_channels,
            c->patch[1], c->patch[2]);
    d->control = *control;
    for (int64_t i = 0; i < c->vace_count; i++)
        d->scales[i] = scales ? (float)scales[i] : 1.0f;
    return VG_OK;
}

vg_status wan_dit_check_control(const wan_dit *d, int64_t tokens, vg_err *err)
{
    if (!d->config.vace_count)
        return VG_OK;
    if (!d->control.data)
        return VG_FAIL(err, VG_E_ARG, "no control was set for this forward");
    int64_t given = wan_dit_tokens(&d->config, d->control.shape);
    if (given > tokens)
        return VG_FAIL(
            err, VG_E_SHAPE,
            "the control has %lld tokens, what is denoised has %lld; no more are possible",
            (long long)given, (long long)tokens);
    return VG_OK;
}

/* Tokens that the control lacks are zero behind its embedding, where its bias is in already. */
static vg_status embed_control(wan_dit *d, vg_tensor *embedded, vg_err *err)
{
    vg_tensor rows;
    VG_TRY(wan_dit_patches(d, &d->control, &d->vace_patch, &rows, err));
    int64_t given = rows.shape[0], all = embedded->shape[0];
    vg_tensor front = vg_tensor_rows(embedded, 0, given);
    if (given < all) {
        vg_tensor rest = vg_tensor_rows(embedded, given, all - given);
        VG_TRY(vg_backend_zero(d->be, &rest, err));
    }
    return vg_linear_run1(d->work, &d->vace_patch, &rows, VG_ACT_NONE, &front, err);
}

vg_status wan_dit_begin_control(wan_dit *d, wan_dit_run *r, vg_err *err)
{
    size_t mark = vg_arena_mark(d->work);
    VG_TRY(embed_control(d, &r->q, err));
    VG_TRY(vg_linear_run1(d->work, &d->vace_in, &r->q, VG_ACT_NONE, &r->c, err));
    vg_arena_reset(d->work, mark);
    return vg_gate_residual(d->be, &(vg_gate_residual_args){.x = &r->c, .y = &r->h, .out = &r->c},
                            err);
}

/* hint *= scale, rounded: both are tensors of the compute dtype in the reference. */
static vg_status scale_hint(const wan_dit *d, float scale, vg_tensor *hint, vg_err *err)
{
    float rounded = d->compute == VG_BF16 ? vg_round_bf16(scale) : scale;
    if (rounded == 1.0f)
        return VG_OK;
    return vg_linear_combination(
        d->be, &(vg_linear_combination_args){.count = 1, .x = {hint}, .coef = {rounded}, .y = hint},
        err);
}

vg_status wan_dit_add_hint(wan_dit *d, int64_t block, wan_dit_run *r, const wan_dit_norm *next,
                           vg_err *err)
{
    vg_tensor h = r->h;
    wan_dit_norm entry = wan_dit_entry_of(d, block);
    r->h = r->c; /* the branch's own stream, with the buffers of all blocks */
    VG_TRY(wan_dit_add(d, r, &(wan_dit_sum){.y = NULL}, &entry, err));
    VG_TRY(wan_dit_block_run(d, block, r, NULL, err));
    VG_TRY(vg_linear_run1(d->work, &d->blocks[block].hint, &r->c, VG_ACT_NONE, &r->q, err));
    r->h = h;
    VG_TRY(scale_hint(d, d->scales[block - d->config.layers], &r->q, err));
    return wan_dit_add(d, r, &(wan_dit_sum){&r->q, block, WAN_UNGATED}, next, err);
}

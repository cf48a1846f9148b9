/* conv3d.c: 3-D convolution on channels-last frames, causal history in front, optional nearest upsampling.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

/* Frames of a convolution's input that may be left out; their number is added to *frames. */
static vg_status add_frames(const char *name, const vg_tensor *t, const vg_tensor *x,
                            int64_t *frames, vg_err *err)
{
    if (!t)
        return VG_OK;
    VG_TRY(vg_need("conv3d", name, t, 1u << x->dtype, 4, err));
    VG_TRY(vg_need_shape("conv3d", name, t, 1u << x->dtype, 4,
                         VG_SHAPE(t->shape[0], x->shape[1], x->shape[2], x->shape[3]), err));
    *frames += t->shape[0];
    return VG_OK;
}

vg_status vg_check_conv3d(const vg_conv3d_args *a, vg_err *err)
{
    int64_t in[3], out[3], frames, channels, split;

    VG_TRY(vg_need("conv3d", "x", a->x, VG_TAKES_ACT, 4, err));
    VG_TRY(vg_need("conv3d", "w", a->w, VG_TAKES_ACT, 5, err));
    channels = a->x->shape[3];
    if (a->w->shape[4] != channels)
        return VG_FAIL(err, VG_E_SHAPE, "conv3d: x has %lld channels, w has %lld",
                       (long long)channels, (long long)a->w->shape[4]);
    VG_TRY(vg_may_vector("conv3d", "bias", a->bias, VG_TAKES_ACT, a->w->shape[0], err));
    if (a->upsample != 1 && a->upsample != 2)
        return VG_FAIL(err, VG_E_ARG, "conv3d: upsample is %d, expected 1 or 2", a->upsample);
    if (a->pad_front < 0)
        return VG_FAIL(err, VG_E_ARG, "conv3d: pad_front is %d", a->pad_front);
    for (int i = 0; i < 4; i++)
        if (a->pad[i] < 0 || a->pad[i] > 64)
            return VG_FAIL(err, VG_E_ARG, "conv3d: pad[%d] is %d, expected 0..64", i, a->pad[i]);
    for (int i = 0; i < 3; i++)
        if (a->stride[i] < 1)
            return VG_FAIL(err, VG_E_ARG, "conv3d: stride[%d] is %d, expected at least 1", i,
                           a->stride[i]);
    if (a->split < 0 || (a->split > 1 && a->w->shape[0] % a->split != 0))
        return VG_FAIL(err, VG_E_ARG, "conv3d: %lld channels cannot be split into %d parts",
                       (long long)a->w->shape[0], a->split);
    split = a->split > 1 ? a->split : 1;
    frames = a->pad_front + a->x->shape[0];
    VG_TRY(add_frames("history", a->history, a->x, &frames, err));
    VG_TRY(add_frames("more", a->more, a->x, &frames, err));
    in[0] = frames;
    in[1] = a->x->shape[1] * a->upsample + a->pad[0] + a->pad[1];
    in[2] = a->x->shape[2] * a->upsample + a->pad[2] + a->pad[3];
    for (int i = 0; i < 3; i++) {
        if (in[i] < a->w->shape[i + 1])
            return VG_FAIL(err, VG_E_SHAPE,
                           "conv3d: padded input has %lld positions along axis %d, the kernel %lld",
                           (long long)in[i], i, (long long)a->w->shape[i + 1]);
        out[i] = (in[i] - a->w->shape[i + 1]) / a->stride[i] + 1;
    }
    VG_TRY(vg_need_shape("conv3d", "y", a->y, VG_TAKES_ACT, 4,
                         VG_SHAPE(out[0] * split, out[1], out[2], a->w->shape[0] / split), err));
    if (a->residual)
        VG_TRY(vg_need_like("conv3d", "residual", a->residual, 1u << a->y->dtype, a->y, err));
    return VG_OK;
}

void vg_cost_conv3d(const vg_conv3d_args *a, vg_op_cost *cost)
{
    const int64_t *w = a->w->shape;
    double taps = (double)(w[1] * w[2] * w[3] * w[4]);
    /* Taps on padding count like the others, as everybody counts convolutions. */
    *cost =
        (vg_op_cost){.flops = 2 * vg_cost_numel(a->y) * taps, .rate = vg_cost_rate(a->x->dtype)};
    cost->bytes = vg_cost_bytes(a->x) + vg_cost_bytes(a->history) + vg_cost_bytes(a->more) +
                  vg_cost_bytes(a->w) + vg_cost_bytes(a->bias) + vg_cost_bytes(a->residual) +
                  vg_cost_bytes(a->y);
    vg_cost_append_tensor(cost, a->x);
    if (a->history)
        vg_cost_append(cost, " after %lld", (long long)a->history->shape[0]);
    vg_cost_append(cost, " to %lld, %lldx%lldx%lld%s%s", (long long)w[0], (long long)w[1],
                   (long long)w[2], (long long)w[3], a->upsample > 1 ? " up" : "",
                   a->stride[0] * a->stride[1] * a->stride[2] > 1 ? " down" : "");
    vg_cost_append(cost, "%s", a->residual ? " + residual" : "");
}

void vg_operands_conv3d(vg_operand_maker *m, vg_conv3d_args *a)
{
    int64_t frames = m->row->d[0], h = m->row->d[1], w = m->row->d[2], c = m->row->d[3],
            out = m->row->d[4];
    bool flat = m->row->d[5] == 2;
    a->x = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 4, frames, h, w, c);
    a->history =
        flat ? NULL : VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 4, 2, h, w, c);
    a->upsample = flat ? 2 : 1;
    a->w = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 5, out, flat ? 1 : 3, 3, 3, c);
    a->bias = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 1, out);
    for (int i = 0; i < 3; i++)
        a->stride[i] = 1;
    for (int i = 0; i < 4; i++)
        a->pad[i] = 1;
    a->y = VG_OPERAND(m, VG_FILL_NOT, vg_operand_act_dtype(m), 4, frames, h * a->upsample,
                      w * a->upsample, out);
}

/* d: T H W C O kernel (3: 3x3x3, 2: 1x3x3 on pixels repeated twice). */
static const vg_op_case cases[] = {
    {.use = "VAE, level 1", .in = VG_FORM_BF16, .d = {1, 90, 160, 384, 384, 3}},
    {.use = "VAE, level 2", .in = VG_FORM_BF16, .d = {2, 180, 320, 384, 384, 3}},
    {.use = "VAE, level 3", .in = VG_FORM_BF16, .d = {4, 360, 640, 192, 192, 3}},
    {.use = "VAE, to level 4", .in = VG_FORM_BF16, .d = {4, 360, 640, 192, 96, 2}},
    {.use = "VAE, level 4", .in = VG_FORM_BF16, .d = {4, 720, 1280, 96, 96, 3}},
    {.use = "VAE, pictures", .in = VG_FORM_BF16, .d = {4, 720, 1280, 96, 3, 3}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_sides(c, 1, scale);
}

const vg_op_cases vg_cases_conv3d = {cases, sizeof cases / sizeof *cases, shrink};

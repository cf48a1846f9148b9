/* guidance_step.c: y = x + coef (u + s (c - u)): guidance and what a sampler first does with its result.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

vg_status vg_check_guidance_step(const vg_guidance_step_args *a, vg_err *err)
{
    const char *op = "guidance_step";
    const struct {
        const char *name;
        const vg_tensor *t;
        unsigned accepted;
    } operands[] = {{"x", a->x, 1u << VG_F32},
                    {"cond", a->v.cond, VG_TAKES_ACT},
                    {"uncond", a->v.uncond, VG_TAKES_ACT},
                    {"y", a->y, VG_TAKES_ACT}};

    for (int i = 0; i < 4; i++) {
        if (i == 2 && !operands[i].t)
            continue;
        VG_TRY(
            vg_need(op, operands[i].name, operands[i].t, operands[i].accepted, VG_ANY_RANK, err));
        if (vg_tensor_numel(operands[i].t) != vg_tensor_numel(a->x))
            return VG_FAIL(err, VG_E_SHAPE, "%s: %s has %lld elements, x has %lld", op,
                           operands[i].name, (long long)vg_tensor_numel(operands[i].t),
                           (long long)vg_tensor_numel(a->x));
    }
    if (a->v.uncond && a->v.uncond->dtype != a->v.cond->dtype)
        return VG_FAIL(err, VG_E_DTYPE, "%s: cond is %s, uncond %s", op,
                       vg_dtype_name(a->v.cond->dtype), vg_dtype_name(a->v.uncond->dtype));
    return VG_OK;
}

void vg_cost_guidance_step(const vg_guidance_step_args *a, vg_op_cost *cost)
{
    vg_cost_moves(cost,
                  vg_cost_bytes(a->x) + vg_cost_bytes(a->v.cond) + vg_cost_bytes(a->v.uncond) +
                      vg_cost_bytes(a->y),
                  a->v.cond);
    vg_cost_append(cost, "%s", a->v.uncond ? " guided" : "");
}

void vg_operands_guidance_step(vg_operand_maker *m, vg_guidance_step_args *a)
{
    const int64_t *d = m->row->d;
    a->x = VG_OPERAND(m, VG_FILL_NORMAL, VG_F32, 1, d[0]);
    a->v.cond = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 1, d[0]);
    a->v.uncond = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 1, d[0]);
    a->v.scale = 4;
    a->coef = -0.25f;
    a->y = VG_OPERAND(m, VG_FILL_NOT, VG_F32, 1, d[0]);
}

/* d: n. */
static const vg_op_case cases[] = {
    {.use = "720p", .in = VG_FORM_BF16, .d = {16 * 21 * 90 * 160}},
    {.use = "480p", .in = VG_FORM_BF16, .d = {16 * 21 * 60 * 104}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_rows(c, 0, scale);
}

const vg_op_cases vg_cases_guidance_step = {cases, sizeof cases / sizeof *cases, shrink};

/* cast.c: copy with dtype conversion, round to nearest even (E4M3: saturating).
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

#define VG_SHAPE(...)                                                                              \
    (const int64_t[])                                                                              \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

vg_status vg_check_cast(const vg_cast_args *a, vg_err *err)
{
    VG_TRY(vg_need("cast", "x", a->x, VG_TAKES_F32 | VG_TAKES_BF16 | VG_TAKES_F16 | VG_TAKES_E4M3,
                   VG_ANY_RANK, err));
    return vg_need_like("cast", "y", a->y, VG_TAKES_F32 | VG_TAKES_BF16 | VG_TAKES_E4M3, a->x, err);
}

void vg_cost_cast(const vg_cast_args *a, vg_op_cost *cost)
{
    vg_cost_moves(cost, vg_cost_bytes(a->x) + vg_cost_bytes(a->y), a->x);
    vg_cost_append(cost, " -> %s", vg_cost_dtype(a->y->dtype));
}

void vg_operands_cast(vg_operand_maker *m, vg_cast_args *a)
{
    const int64_t *d = m->row->d;
    a->x = VG_OPERAND(m, VG_FILL_NORMAL, VG_F32, 2, d[0], d[1]);
    a->y = VG_OPERAND(m, VG_FILL_NOT, VG_BF16, 2, d[0], d[1]);
}

/* d: n d. */
static const vg_op_case cases[] = {
    {.use = "VAE latents", .in = VG_FORM_F32, .d = {16 * 21, 90 * 160}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_rows(c, 0, scale);
}

const vg_op_cases vg_cases_cast = {cases, sizeof cases / sizeof *cases, shrink};

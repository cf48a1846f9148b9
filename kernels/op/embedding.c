/* embedding.c: row lookup by token id.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

vg_status vg_check_embedding(const vg_embedding_args *a, vg_err *err)
{
    VG_TRY(vg_need("embedding", "table", a->table, VG_TAKES_ACT, 2, err));
    VG_TRY(vg_need("embedding", "ids", a->ids, VG_TAKES_I32, 1, err));
    return vg_need_shape("embedding", "y", a->y, VG_TAKES_ACT, 2,
                         VG_SHAPE(a->ids->shape[0], a->table->shape[1]), err);
}

void vg_cost_embedding(const vg_embedding_args *a, vg_op_cost *cost)
{
    double row = vg_cost_numel(a->y) * (double)vg_dtype_size(a->table->dtype);
    vg_cost_moves(cost, row + vg_cost_bytes(a->ids) + vg_cost_bytes(a->y), a->y);
}

/* Ids spread over the whole vocabulary. */
void vg_operands_embedding(vg_operand_maker *m, vg_embedding_args *a)
{
    int64_t n = m->row->d[0], dim = m->row->d[1], vocabulary = m->row->d[2];
    a->table = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 2, vocabulary, dim);
    a->ids = m->ids(m, n, vocabulary);
    a->y = VG_OPERAND(m, VG_FILL_NOT, vg_operand_act_dtype(m), 2, n, dim);
}

/* d: n d vocabulary. */
static const vg_op_case cases[] = {
    {.use = "text encoder", .in = VG_FORM_BF16, .d = {512, 4096, 256384}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_rows(c, 0, scale);
    vg_case_shrink_rows(c, 2, scale);
}

const vg_op_cases vg_cases_embedding = {cases, sizeof cases / sizeof *cases, shrink};

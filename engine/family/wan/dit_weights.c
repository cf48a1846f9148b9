/* dit_weights.c: see dit_impl.h. */
#include "engine/family/wan/dit_impl.h"

#include <stdio.h>

const wan_dit_block_linear wan_dit_block_linears[BLOCK_LINEARS] = {
    {"attn1.to_q", DIM, DIM},     {"attn1.to_k", DIM, DIM},     {"attn1.to_v", DIM, DIM},
    {"attn1.to_out.0", DIM, DIM}, {"attn2.to_q", DIM, DIM},     {"attn2.to_k", DIM, DIM},
    {"attn2.to_v", DIM, DIM},     {"attn2.to_out.0", DIM, DIM}, {"ffn.net.0.proj", FFN, DIM},
    {"ffn.net.2", DIM, FFN},
};

const wan_dit_global_linear wan_dit_global_linears[GLOBAL_LINEARS] = {
    {"condition_embedder.time_embedder.linear_1", DIM, FREQ, true},
    {"condition_embedder.time_embedder.linear_2", DIM, DIM, true},
    {"condition_embedder.time_proj", DIM6, DIM, false},
    {"condition_embedder.text_embedder.linear_1", DIM, TEXT, false},
    {"condition_embedder.text_embedder.linear_2", DIM, DIM, false},
    {"proj_out", PATCH_OUT, DIM, false},
};

int64_t wan_dit_dimension(const wan_dit_config *c, int which)
{
    switch (which) {
    case DIM:
        return c->dim;
    case FFN:
        return c->ffn_dim;
    case DIM6:
        return MODULATIONS * c->dim;
    case FREQ:
        return c->freq_dim;
    case TEXT:
        return c->text_dim;
    default:
        return (int64_t)c->patch[0] * c->patch[1] * c->patch[2] * c->out_channels;
    }
}

vg_status wan_dit_load_block(wan_dit *d, int64_t i, vg_err *err)
{
    const wan_dit_config *c = &d->config;
    wan_dit_block *b = &d->blocks[i];
    char name[128];
    for (int j = 0; j < BLOCK_LINEARS; j++) {
        snprintf(name, sizeof name, "blocks.%lld.%s", (long long)i,
                 wan_dit_block_linears[j].suffix);
        VG_TRY(vg_module_linear(d->module, name, wan_dit_dimension(c, wan_dit_block_linears[j].n),
                                wan_dit_dimension(c, wan_dit_block_linears[j].k), true, true,
                                d->compute, &b->linear[j], err));
    }
    const struct {
        const char *suffix;
        vg_tensor *to;
        vg_dtype dtype;
    } vectors[] = {
        {"attn1.norm_q.weight", &b->norm_q1, d->compute},
        {"attn1.norm_k.weight", &b->norm_k1, d->compute},
        {"attn2.norm_q.weight", &b->norm_q2, d->compute},
        {"attn2.norm_k.weight", &b->norm_k2, d->compute},
        {"norm2.weight", &b->norm2_w, VG_F32},
        {"norm2.bias", &b->norm2_b, VG_F32},
    };
    for (size_t j = 0; j < sizeof vectors / sizeof vectors[0]; j++) {
        snprintf(name, sizeof name, "blocks.%lld.%s", (long long)i, vectors[j].suffix);
        VG_TRY(vg_module_tensor(d->module, name, vectors[j].dtype, 1, &c->dim, vectors[j].to, err));
    }
    snprintf(name, sizeof name, "blocks.%lld.scale_shift_table", (long long)i);
    VG_TRY(vg_module_tensor(d->module, name, VG_F32, 3, (const int64_t[]){1, MODULATIONS, c->dim},
                            &b->table, err));
    b->table = vg_tensor_reshape(&b->table, 2, MODULATIONS, c->dim);
    return VG_OK;
}

vg_status wan_dit_load_globals(wan_dit *d, vg_err *err)
{
    const wan_dit_config *c = &d->config;
    int64_t patch = (int64_t)c->patch[0] * c->patch[1] * c->patch[2] * c->in_channels;
    const int64_t conv[5] = {c->dim, c->in_channels, c->patch[0], c->patch[1], c->patch[2]};
    vg_linear_layer *p = &d->patch;
    *p = (vg_linear_layer){.name = "patch_embedding", .n = c->dim, .k = patch};
    VG_TRY(vg_module_tensor(d->module, "patch_embedding.weight", d->compute, 5, conv, &p->w, err));
    p->w = vg_tensor_reshape(&p->w, 2, c->dim, patch);
    VG_TRY(
        vg_module_tensor(d->module, "patch_embedding.bias", d->compute, 1, &c->dim, &p->bias, err));
    for (int i = 0; i < GLOBAL_LINEARS; i++)
        VG_TRY(vg_module_linear(d->module, wan_dit_global_linears[i].name,
                                wan_dit_dimension(c, wan_dit_global_linears[i].n),
                                wan_dit_dimension(c, wan_dit_global_linears[i].k), true, false,
                                wan_dit_global_linears[i].f32 ? VG_F32 : d->compute, &d->global[i],
                                err));
    VG_TRY(vg_module_tensor(d->module, "scale_shift_table", VG_F32, 3,
                            (const int64_t[]){1, 2, c->dim}, &d->table, err));
    d->table = vg_tensor_reshape(&d->table, 2, 2, c->dim);
    return VG_OK;
}

/* generated.h: checkpoints as files out of generated weights (engine/checkpoint/dummy.h), for models of which only configurations are kept. */
#ifndef VG_TESTS_ENGINE_GENERATED_H
#define VG_TESTS_ENGINE_GENERATED_H

#include "engine/checkpoint/dummy.h"
#include "engine/run/model.h"
#include "kernels/base/numeric.h"
#include "tests/model.h"

/* A folder with every tensor that the family's table names, as files: FP32 ones, as the published have them. */
static inline void write_component(void **state, const vg_model *model, const char *folder)
{
    vg_err err;
    vg_weight_table table;
    vg_weight_place place = {0};
    vg_weight_tensor t;
    static char names[1024][VG_WEIGHT_NAME_BYTES];
    vg_safetensors_entry *entries = calloc(1024, sizeof *entries);
    char name[128];
    int count = 0;
    assert_non_null(entries);
    CHECK_OK(model->family->weight_table(model, folder, &table, &err), err);
    while (vg_weight_table_next(&table, &place))
        for (int i = 0; vg_weight_tensor_of(&place, i, &t); i++) {
            vg_dummy_tensor d;
            assert_true(count < 1024);
            snprintf(names[count], sizeof names[count], "%s", t.name);
            vg_dummy_describe(folder, t.name, t.ndim, t.shape, &d);
            vg_tensor x = vg_tensor_of(NULL, VG_F32, t.ndim, t.shape);
            int64_t n = vg_tensor_numel(&x);
            float *values = malloc((size_t)n * sizeof *values);
            uint16_t *codes = malloc((size_t)n * sizeof *codes);
            assert_true(values && codes);
            vg_dummy_fill(&d, 0, n, codes);
            for (int64_t k = 0; k < n; k++)
                values[k] = vg_bf16_to_f32(codes[k]);
            free(codes);
            x.data = values;
            entries[count] = (vg_safetensors_entry){names[count], x};
            count++;
        }
    snprintf(name, sizeof name, "%s/diffusion_pytorch_model.safetensors", folder);
    CHECK_OK(vg_safetensors_write(scratch_path(state, name), entries, count, NULL, &err), err);
    for (int i = 0; i < count; i++)
        free(entries[i].tensor.data);
    free(entries);
    vg_weight_table_deinit(&table);
}

#endif

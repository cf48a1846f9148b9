/* generated.h: checkpoints as files out of generated weights (engine/checkpoint/dummy.h), for models of which only configurations are kept. */
#ifndef VG_TESTS_ENGINE_GENERATED_H
#define VG_TESTS_ENGINE_GENERATED_H

#include "engine/checkpoint/dummy.h"
#include "engine/run/model.h"
#include "kernels/base/numeric.h"
#include "tests/model.h"

/* A model of tests/golden with generated weights. */
static inline vg_model *open_dummy(const char *name)
{
    char dir[512];
    vg_err err;
    vg_model *model;
    snprintf(dir, sizeof dir, GOLDEN "%s", name);
    CHECK_OK(vg_model_open(dir, VG_LOAD_DUMMY, &model, &err), err);
    return model;
}

/* One of its goldens. */
static inline vg_safetensors *open_golden(const char *model, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, GOLDEN "%s/component/%s.safetensors", model, name);
    return open_file(path);
}

/* waves() of make_hunyuan.py: a clip that needs no file. */
static inline vg_safetensors *make_waves(void **state, int64_t frames, int64_t height,
                                         int64_t width)
{
    vg_err err;
    float *v = malloc((size_t)(3 * frames * height * width) * sizeof *v), *at = v;
    assert_non_null(v);
    for (int64_t c = 0; c < 3; c++)
        for (int64_t f = 0; f < frames; f++)
            for (int64_t y = 0; y < height; y++)
                for (int64_t x = 0; x < width; x++)
                    *at++ = (float)((y * (3 + c) + x * (5 - c) + f * 29 + x * y / (17 + c)) % 256 -
                                    128) /
                            128.0f;
    vg_safetensors_entry e = {"sample", vg_tensor_make(v, VG_F32, 5, 1, 3, frames, height, width)};
    CHECK_OK(vg_safetensors_write(scratch_path(state, "waves"), &e, 1, NULL, &err), err);
    free(v);
    return open_file(scratch_path(state, "waves"));
}

/* Relative error against a golden, which may hold every Nth value only. */
static inline double error_of(const vg_tensor *t, const vg_safetensors *golden)
{
    const vg_tensor *g = vg_safetensors_tensor(golden, 0);
    const char *every = vg_safetensors_metadata(golden, "every");
    int64_t step = every ? strtol(every, NULL, 10) : 1, count = vg_tensor_numel(g);
    float *picked = malloc((size_t)count * sizeof *picked);
    assert_non_null(picked);
    assert_int_equal((vg_tensor_numel(t) + step - 1) / step, count);
    if (step == 1)
        assert_true(vg_tensor_same_shape(t, g));
    for (int64_t i = 0; i < count; i++)
        picked[i] = ((const float *)t->data)[i * step];
    double error = rel_l2(picked, g->data, count);
    free(picked);
    return error;
}

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

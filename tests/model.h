/* model.h: what the model tests share: engines, tiny models, goldens, and folders in which single files are replaced. */
#ifndef VG_TESTS_MODEL_H
#define VG_TESTS_MODEL_H

#include "engine/run/run.h"
#include "tests/scratch.h"

#define GOLDEN VG_TEST_DIR "/golden/"

static inline vg_engine *open_engine(void)
{
    vg_err err;
    vg_engine *engine;
    CHECK_OK(vg_engine_open(VG_DEVICE_CPU, 0, 2, &engine, &err), err);
    return engine;
}

static inline vg_model *open_model(const char *dir)
{
    vg_err err;
    vg_model *model;
    CHECK_OK(vg_model_open(dir, VG_LOAD_FILES, &model, &err), err);
    return model;
}

static inline vg_safetensors *open_file(const char *path)
{
    vg_err err;
    vg_safetensors *st;
    CHECK_OK(vg_safetensors_open(path, &st, &err), err);
    return st;
}

static inline double rel_l2(const float *a, const float *b, int64_t count)
{
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(a[i]))
            return INFINITY;
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        norm += (double)b[i] * b[i];
    }
    return norm > 0 ? sqrt(difference / norm) : sqrt(difference);
}

static inline void assert_same_conditions(const vg_conditions *a, const vg_conditions *b)
{
    assert_true(a->count == b->count && a->count > 0);
    for (int i = 0; i < a->count; i++) {
        const vg_condition *x = &a->list[i], *y = vg_conditions_find(b, x->name);
        assert_non_null(y);
        assert_int_equal(x->ndim, y->ndim);
        assert_memory_equal(x->shape, y->shape, (size_t)x->ndim * sizeof *x->shape);
        assert_memory_equal(x->values, y->values, (size_t)vg_condition_numel(x) * 4);
    }
}

/* A model folder whose entries are links to `source`, but `component`, a real folder with its config copied. */
static inline void link_model(void **state, const char *source, const char *component)
{
    static const char *const entries[] = {"model_index.json", "scheduler",     "tokenizer",
                                          "tokenizer_2",      "text_encoder",  "transformer",
                                          "transformer_2",    "vae",           "guider",
                                          "text_encoder_2",   "image_encoder", "feature_extractor",
                                          "image_processor"};
    vg_err err;
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        char *from = vg_path_join(source, entries[i]);
        if (vg_file_exists(from) || vg_file_is_dir(from)) {
            if (component && strcmp(entries[i], component) == 0) {
                char name[128], *text;
                size_t size;
                snprintf(name, sizeof name, "%s/%s", component,
                         vg_checkpoint_config_name(component));
                char *config = vg_path_join(source, name);
                CHECK_OK(vg_file_read(config, 1 << 20, &text, &size, &err), err);
                scratch_write(state, name, text, size);
                free(text);
                free(config);
            } else {
                assert_int_equal(symlink(from, scratch_path(state, entries[i])), 0);
            }
        }
        free(from);
    }
}

/* Write all tensors of `weights` but number `skip` (-1 = none); number `bent` (-1 = none) gets another shape. */
static inline void write_weights(void **state, const char *component, const char *stem,
                                 const vg_weights *weights, int skip, int bent)
{
    vg_err err;
    char name[128];
    int count = 0, all = vg_weights_count(weights);
    vg_safetensors_entry *entries = calloc((size_t)all + 1, sizeof *entries);
    assert_non_null(entries);
    for (int i = 0; i < all; i++) {
        vg_tensor t = *vg_weights_tensor(weights, i);
        if (i == skip)
            continue;
        if (i == bent)
            t = t.ndim == 1 ? vg_tensor_reshape(&t, 2, 1, t.shape[0])
                            : vg_tensor_reshape(&t, 1, vg_tensor_numel(&t));
        entries[count++] = (vg_safetensors_entry){vg_weights_name(weights, i), t};
    }
    snprintf(name, sizeof name, "%s/%s.safetensors", component, stem);
    CHECK_OK(vg_safetensors_write(scratch_path(state, name), entries, count, NULL, &err), err);
    free(entries);
}
#endif

/* test_weight_table.c: the weight tables of the families name exactly what checkpoints hold, and checking a checkpoint against them finds
 * every kind of damage by its name, from the headers alone. */
#include "engine/layers/weight_check.h"
#include "engine/run/model.h"
#include "tests/model.h"

#define F32   VG_WEIGHT_F32
#define QUANT VG_WEIGHT_QUANTISABLE

/* ---- traversal, on a component of a made-up family with every variation that real ones have ---- */

typedef struct block {
    int before;
    vg_linear_layer q;
    vg_tensor norm;
} block;

enum { DIM = 1, IMAGE };

#define ROW(...) VG_WEIGHT_ROW(block, __VA_ARGS__)
static const vg_weight_row block_rows[] = {
    ROW("attn.to_q", LINEAR, q, QUANT, DIM, DIM),
    ROW("norm.weight", TENSOR, norm, F32, VG_FIXED(1), DIM),
};
static const vg_weight_row first_rows[] = {ROW("proj_in", LINEAR, q, QUANT, DIM, IMAGE)};
static const vg_weight_row embed_rows[] = {
    {.name = "shared.weight",
     .alias = "embed_tokens.weight",
     .kind = VG_WEIGHT_ROWS,
     .shape = {VG_FIXED(10), DIM}},
    ROW("conv", CONV, q, 0, DIM, IMAGE, VG_FIXED(3), VG_FIXED(1), VG_FIXED(1)),
    ROW("plain", LINEAR, q, VG_WEIGHT_NO_BIAS, DIM, DIM),
};

static void test_weight_table_walks_all_lists(void **state)
{
    static const struct {
        const char *tensor;
        int ndim;
        int64_t shape[VG_MAX_DIMS];
    } wanted[] = {
        {"shared.weight", 2, {10, 4}},
        {"conv.weight", 5, {4, 6, 3, 1, 1}},
        {"conv.bias", 1, {4}},
        {"plain.weight", 2, {4, 4}},
        {"refiner.0.last.attn.to_q.weight", 2, {4, 4}},
        {"refiner.0.last.attn.to_q.bias", 1, {4}},
        {"refiner.0.last.norm.weight", 2, {1, 4}},
        {"refiner.1.last.attn.to_q.weight", 2, {4, 4}},
        {"refiner.1.last.attn.to_q.bias", 1, {4}},
        {"refiner.1.last.norm.weight", 2, {1, 4}},
        {"vace_blocks.0.proj_in.weight", 2, {4, 6}},
        {"vace_blocks.0.proj_in.bias", 1, {4}},
    };
    static const int64_t none[] = {0, 1};
    vg_err err;
    block blocks[2];
    vg_weight_table table = {.component = "part"};
    vg_weight_list lists[] = {
        {.count = 1, .rows = embed_rows, .rows_count = 3},
        {.prefix = "refiner.%d.last.", .count = 2, .rows = block_rows, .rows_count = 2},
        {.prefix = "absent.%d.", .count = none[0], .rows = block_rows, .rows_count = 2},
        {.prefix = "vace_blocks.0.", .count = 1, .rows = first_rows, .rows_count = 1},
    };
    vg_weight_place p = {0};
    vg_weight_tensor t;
    size_t at = 0;
    (void)state;
    lists[1].to = blocks;
    lists[1].stride = sizeof blocks[0];
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        lists[i].dims[DIM] = 4;
        lists[i].dims[IMAGE] = 6;
        CHECK_OK(vg_weight_table_add(&table, &lists[i], &err), err);
    }
    while (vg_weight_table_next(&table, &p)) {
        for (int i = 0; vg_weight_tensor_of(&p, i, &t); i++, at++) {
            assert_true(at < sizeof wanted / sizeof wanted[0]);
            assert_string_equal(t.name, wanted[at].tensor);
            assert_int_equal(t.ndim, wanted[at].ndim);
            assert_memory_equal(t.shape, wanted[at].shape, (size_t)t.ndim * sizeof t.shape[0]);
        }
        if (strcmp(p.name, "refiner.1.last.norm.weight") == 0)
            assert_ptr_equal(vg_weight_field(&p), &blocks[1].norm);
        if (strcmp(p.name, "conv") == 0)
            assert_null(vg_weight_field(&p));
        assert_int_equal(vg_weight_dtype(p.row, VG_BF16), p.row->flags & F32 ? VG_F32 : VG_BF16);
    }
    assert_int_equal(at, sizeof wanted / sizeof wanted[0]);
    assert_false(vg_weight_table_next(&table, &p)); /* stays behind the last */
    vg_weight_table_deinit(&table);
}

/* ---- the families' tables against real files ---- */

static const char *const tiny[] = {"tiny-a",
                                   "tiny-b",
                                   "tiny-c",
                                   "tiny-i2v",
                                   "tiny-vace",
                                   "tiny-b-modelopt-fp8",
                                   "tiny-a-modelopt-fp8-block"};

static int tensors_named(const vg_weight_table *table, const vg_weights *weights)
{
    vg_weight_place p = {0};
    vg_weight_tensor t;
    int count = 0;
    while (vg_weight_table_next(table, &p)) {
        vg_weight_resolve(&p, weights);
        for (int i = 0; vg_weight_tensor_of(&p, i, &t); i++, count++)
            if (!vg_weights_find(weights, t.name))
                fail_msg("%s: %s is not in the files", table->component, t.name);
    }
    return count;
}

/* Tensors of the files that nobody should ask for: scales, the quantiser's own, the text encoder's second name, half a VAE of a text-to-video model. */
static bool is_extra(const vg_weights *weights, const char *name, bool encoder)
{
    size_t n = strlen(name);
    if (strstr(name, "_quantizer.")) /* left behind by the program that quantised */
        return true;
    if (n > 6 && strcmp(name + n - 6, "_scale") == 0)
        return true;
    if (strcmp(name, "encoder.embed_tokens.weight") == 0)
        return vg_weights_find(weights, "shared.weight") != NULL;
    return !encoder && vg_weights_find(weights, "decoder.conv_in.weight") &&
           (strncmp(name, "encoder.", 8) == 0 || strncmp(name, "quant_conv.", 11) == 0);
}

static void test_weight_tables_name_all_that_files_hold(void **state)
{
    vg_err err;
    (void)state;
    for (size_t i = 0; i < sizeof tiny / sizeof tiny[0]; i++) {
        char *dir = vg_path_join(GOLDEN, tiny[i]);
        vg_model *model = open_model(dir);
        for (int k = 0; k < model->family->components_count; k++) {
            const vg_component *c = &model->family->components[k];
            vg_weight_table table;
            vg_weights *weights;
            int extra = 0;
            char *folder = vg_path_join(dir, c->folder);
            bool there = vg_file_is_dir(folder); /* exports may hold transformers alone */
            free(folder);
            if (!there || !c->weights)
                continue;
            CHECK_OK(vg_model_check_component(model, c->folder, &err), err);
            CHECK_OK(vg_model_weights(model, c->folder, &weights, &err), err);
            CHECK_OK(model->family->weight_table(model, c->folder, &table, &err), err);
            for (int j = 0; j < vg_weights_count(weights); j++)
                extra +=
                    is_extra(weights, vg_weights_name(weights, j),
                             strcmp(tiny[i], "tiny-i2v") == 0 || strcmp(tiny[i], "tiny-vace") == 0);
            assert_int_equal(tensors_named(&table, weights) + extra, vg_weights_count(weights));
            vg_weight_table_deinit(&table);
            vg_weights_close(weights);
        }
        vg_model_close(model);
        free(dir);
    }
}

/* A whole model is asked for all it needs. */
static void test_weight_check_of_a_model(void **state)
{
    vg_err err;
    vg_model *whole = open_model(GOLDEN "tiny-b"), *part = open_model(GOLDEN "tiny-b-modelopt-fp8");
    (void)state;
    CHECK_OK(vg_model_check(whole, &err), err);
    CHECK_FAILS(vg_model_check(part, &err), VG_E_MISSING, err);
    assert_non_null(strstr(err.message, "text_encoder"));
    vg_model_close(whole);
    vg_model_close(part);
}

/* Tensors and parameters of the published transformers and VAEs: wan 1.1, 1.4, 2.1, 4.3, 4.4, modelopt-fp8 1.5. */
static void test_weight_tables_count_as_published(void **state)
{
    static const struct {
        const char *arch, *component;
        int tensors;
        int64_t parameters;
    } cases[] = {
        {"wan2.1-t2v-1.3b", "transformer", 825, 1418996800},
        {"wan2.1-t2v-14b", "transformer", 1095, 14288491584},
        {"wan2.2-i2v-a14b", "transformer_2", 1095, 14288901184},
        {"wan2.1-i2v-14b", "transformer", 1303, 16394878784},
        {"wan2.1-i2v-14b", "vae", 194, 126892531},
        {"wan2.1-flf2v-14b", "transformer", 1304, 16395536704},
        {"wan2.2-ti2v-5b", "transformer", 825, 4999787712},
        {"wan2.2-ti2v-5b", "vae", 196, 704688668},
        {"wan2.1-vace-1.3b", "transformer", 1264, 2153972032},
        {"wan2.1-vace-14b", "transformer", 1331, 17337592896},
    };
    vg_err err;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *dir = vg_strf("%s/presets/arch/%s", VG_SOURCE_DIR, cases[i].arch);
        vg_weight_place p = {0};
        vg_weight_tensor t;
        vg_weight_table table;
        vg_model *model;
        int tensors = 0;
        int64_t parameters = 0;
        CHECK_OK(vg_model_open(dir, VG_LOAD_DUMMY, &model, &err), err);
        CHECK_OK(vg_model_check(model, &err), err); /* generated weights always pass */
        CHECK_OK(model->family->weight_table(model, cases[i].component, &table, &err), err);
        while (vg_weight_table_next(&table, &p))
            for (int j = 0; vg_weight_tensor_of(&p, j, &t); j++, tensors++) {
                int64_t count = 1;
                for (int d = 0; d < t.ndim; d++)
                    count *= t.shape[d];
                parameters += count;
            }
        assert_int_equal(tensors, cases[i].tensors);
        if (parameters != cases[i].parameters)
            fail_msg("%s: %lld parameters", cases[i].arch, (long long)parameters);
        vg_weight_table_deinit(&table);
        vg_model_close(model);
        free(dir);
    }
}

/* ---- damage ---- */

static const char *stem_of(const char *component)
{
    return strcmp(component, "text_encoder") == 0 ? "model" : "diffusion_pytorch_model";
}

/* Each tensor in turn is gone, or of another shape. */
static void damage_each(void **state, const char *name, const char *component)
{
    vg_err err;
    vg_weights *weights;
    char *source = vg_path_join(GOLDEN, name), *dir = vg_path_join(source, component);
    CHECK_OK(vg_weights_open(dir, &weights, &err), err);
    link_model(state, source, component);
    vg_model *model = open_model(*state);
    for (int i = 0; i < vg_weights_count(weights); i++)
        for (int bend = 0; bend < 2; bend++) {
            const char *tensor = vg_weights_name(weights, i);
            write_weights(state, component, stem_of(component), weights, bend ? -1 : i,
                          bend ? i : -1);
            vg_status status = vg_model_check_component(model, component, &err);
            bool scale = strstr(tensor, "_scale") != NULL; /* [] and [1] are both fine */
            if (scale ? bend : is_extra(weights, tensor, true))
                CHECK_OK(status, err);
            else if (status != (bend ? VG_E_SHAPE : VG_E_MISSING) ||
                     !strstr(err.message, scale ? "_scale" : tensor) ||
                     !strstr(err.message, component))
                fail_msg("%s %s: %s", tensor, bend ? "bent" : "gone", err.message);
        }
    vg_model_close(model);
    vg_weights_close(weights);
    free(dir);
    free(source);
    assert_int_equal(scratch_close(state), 0);
    assert_int_equal(scratch_open(state), 0);
}

static void test_weight_check_misses_each_tensor(void **state)
{
    damage_each(state, "tiny-i2v", "vae");
    damage_each(state, "tiny-a", "text_encoder");
    damage_each(state, "tiny-b", "transformer_2");
    damage_each(state, "tiny-vace", "transformer");
    damage_each(state, "tiny-b-modelopt-fp8", "transformer");
}

/* Each tensor in turn of a dtype that cannot be loaded: one that the format knows alone, or integers. */
static void test_weight_check_refuses_dtypes(void **state)
{
    static const char *const components[] = {"vae", "text_encoder", "transformer"};
    vg_err err;
    for (size_t c = 0; c < sizeof components / sizeof components[0]; c++) {
        vg_weights *weights;
        char *dir = vg_path_join(GOLDEN "tiny-a", components[c]), name[128];
        CHECK_OK(vg_weights_open(dir, &weights, &err), err);
        link_model(state, GOLDEN "tiny-a", components[c]);
        vg_model *model = open_model(*state);
        int all = vg_weights_count(weights);
        vg_safetensors_entry *entries = calloc((size_t)all, sizeof *entries);
        double *zeros = calloc(1 << 20, sizeof *zeros);
        for (int i = 0; i < all; i++)
            entries[i] =
                (vg_safetensors_entry){vg_weights_name(weights, i), *vg_weights_tensor(weights, i)};
        snprintf(name, sizeof name, "%s/%s.safetensors", components[c], stem_of(components[c]));
        for (int i = 0; i < all; i++) {
            vg_tensor whole = entries[i].tensor;
            static const vg_dtype foreign[] = {VG_F64, VG_I32, VG_E4M3};
            if (is_extra(weights, entries[i].name, false))
                continue;
            for (size_t d = 0; d < sizeof foreign / sizeof foreign[0]; d++) {
                entries[i].tensor = vg_tensor_of(zeros, foreign[d], whole.ndim, whole.shape);
                assert_true(vg_tensor_bytes(&entries[i].tensor) <= (sizeof *zeros) << 20);
                CHECK_OK(vg_safetensors_write(scratch_path(state, name), entries, all, NULL, &err),
                         err);
                vg_status status = vg_model_check(model, &err);
                /* An FP8 matrix of a linear layer is a matter of its scales. */
                bool layer = status == VG_E_MISSING && strstr(err.message, "weight_scale");
                if ((status != VG_E_DTYPE && !(foreign[d] == VG_E4M3 && layer)) ||
                    !strncmp(err.message, components[c], strlen(components[c])) == 0)
                    fail_msg("%s as %s: %s", entries[i].name, vg_dtype_name(foreign[d]),
                             err.message);
            }
            entries[i].tensor = whole;
        }
        free(zeros);
        free(entries);
        vg_model_close(model);
        vg_weights_close(weights);
        free(dir);
        assert_int_equal(scratch_close(state), 0);
        assert_int_equal(scratch_open(state), 0);
    }
}

/* A config that fits nothing is told in one line, with the number of the others. */
static void test_weight_check_counts_what_is_wrong(void **state)
{
    vg_err err;
    char *text;
    size_t size;
    link_model(state, GOLDEN "tiny-a", "text_encoder");
    char *to = vg_strf("%s", scratch_path(state, "text_encoder/model.safetensors"));
    assert_int_equal(symlink(GOLDEN "tiny-a/text_encoder/model.safetensors", to), 0);
    CHECK_OK(vg_file_read(GOLDEN "tiny-a/text_encoder/config.json", 1 << 16, &text, &size, &err),
             err);
    char *at = strstr(text, "\"d_ff\": ");
    assert_non_null(at);
    at[strlen("\"d_ff\": ")] = at[strlen("\"d_ff\": ")] == '9' ? '8' : '9';
    scratch_write(state, "text_encoder/config.json", text, size);
    vg_model *model = open_model(*state);
    CHECK_FAILS(vg_model_check(model, &err), VG_E_SHAPE, err);
    assert_non_null(strstr(err.message, "DenseReluDense.wi_0"));
    assert_non_null(strstr(err.message, "more of its weights)"));
    CHECK_OK(vg_model_check_component(model, "vae", &err), err);
    vg_model_close(model);
    free(text);
    free(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weight_table_walks_all_lists),
        cmocka_unit_test(test_weight_tables_name_all_that_files_hold),
        cmocka_unit_test(test_weight_tables_count_as_published),
        cmocka_unit_test(test_weight_check_of_a_model),
        cmocka_unit_test_setup_teardown(test_weight_check_misses_each_tensor, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_weight_check_refuses_dtypes, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_weight_check_counts_what_is_wrong, scratch_open,
                                        scratch_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

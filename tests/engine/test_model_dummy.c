/* test_model_dummy.c: generated weights: the same everywhere, of the right scale, runnable in every scheme; and the image condition,
 * which needs a model of a kind that no golden has. */
#include "engine/checkpoint/dummy.h"
#include "kernels/base/numeric.h"
#include "tests/model.h"

static void test_model_dummy_values(void **state)
{
    enum { COUNT = 1 << 18 };
    const int64_t shape[2] = {512, 512}, vector[1] = {512}, table[3] = {1, 6, 64};
    uint16_t *all = malloc(COUNT * sizeof *all), part[100];
    vg_dummy_tensor d, other;
    double sum = 0, squares = 0;
    (void)state;
    assert_non_null(all);
    vg_dummy_describe("transformer", "blocks.0.attn1.to_q.weight", 2, shape, &d);
    vg_dummy_describe("transformer_2", "blocks.0.attn1.to_q.weight", 2, shape, &other);
    assert_true(d.seed != other.seed);
    vg_dummy_fill(&d, 0, COUNT, all);
    vg_dummy_fill(&d, 12345, 100, part);
    assert_memory_equal(part, all + 12345, sizeof part);
    for (int i = 0; i < COUNT; i++) {
        double v = vg_bf16_to_f32(all[i]);
        sum += v;
        squares += v * v;
    }
    /* Standard error of the mean: std / 512; of the variance of this distribution: below 0.3 %. BF16 rounds by 2^-9. */
    assert_true(fabs(sum / COUNT) < 5 / sqrt(512.0) / 512);
    assert_true(fabs(squares / COUNT * 512 - 1) < 0.02);
    vg_dummy_describe("transformer", "blocks.0.attn1.norm_q.weight", 1, vector, &d);
    assert_true(d.mean == 1.0f && d.std > 0 && d.std < 0.5f);
    vg_dummy_describe("transformer", "blocks.0.scale_shift_table", 3, table, &d);
    assert_true(d.mean == 0 && fabsf(d.std - 0.125f) < 1e-6f);
    free(all);
}

static void test_model_dummy_tokens(void **state)
{
    int32_t a[8], b[8];
    (void)state;
    assert_int_equal(vg_dummy_tokens("a red  ball", 100, 8, a), 4);
    assert_true(a[3] == 1 && a[0] >= 3 && a[0] < 100);
    assert_int_equal(vg_dummy_tokens("a red ball", 100, 8, b), 4);
    assert_memory_equal(a, b, 4 * sizeof *a);
    assert_int_equal(vg_dummy_tokens("one two three four", 100, 3, a), 3);
    assert_int_equal(a[2], 1);
    assert_int_equal(vg_dummy_tokens("", 100, 8, a), 1);
}

static vg_latents denoised(vg_engine *engine, vg_model *model, const vg_generate_params *p)
{
    vg_err err;
    vg_conditions text;
    vg_latents latents;
    CHECK_OK(vg_encode(engine, model, p, NULL, &text, &err), err);
    CHECK_OK(vg_denoise(engine, model, p, &text, NULL, NULL, &latents, &err), err);
    vg_conditions_deinit(&text);
    return latents;
}

static int64_t count_of(const vg_latents *l)
{
    return l->shape[0] * l->shape[1] * l->shape[2] * l->shape[3];
}

static vg_generate_params small_params(const vg_model *model)
{
    vg_err err;
    vg_generate_params p;
    vg_generate_params_init(&p);
    p.inputs.prompt = "a red ball";
    p.height = 32;
    p.width = 48;
    p.num_frames = 5;
    p.steps = 2;
    CHECK_OK(vg_model_defaults(model, &p, &err), err);
    return p;
}

static vg_model *open_dummy(const char *dir)
{
    vg_err err;
    vg_model *model;
    CHECK_OK(vg_model_open(dir, VG_LOAD_DUMMY, &model, &err), err);
    return model;
}

static void test_model_dummy_runs(void **state)
{
    vg_err err;
    vg_engine *engine = open_engine();
    vg_model *model = open_dummy(GOLDEN "tiny-b");
    vg_generate_params p = small_params(model);
    vg_frames frames;
    vg_plan plan;
    char identity[17], real[17];
    vg_model *files = open_model(GOLDEN "tiny-b");
    (void)state;
    CHECK_OK(vg_model_identity(model, "vae", identity, &err), err);
    CHECK_OK(vg_model_identity(files, "vae", real, &err), err);
    assert_string_not_equal(identity, real);
    CHECK_OK(vg_plan_make(model, &p, &plan, &err), err);
    vg_latents first = denoised(engine, model, &p), again = denoised(engine, model, &p);
    assert_memory_equal(first.values, again.values, (size_t)count_of(&first) * sizeof(float));
    for (int s = 0; s < VG_SCHEME_COUNT; s++) {
        p.scheme = (vg_scheme)s;
        p.fp8_act = VG_FP8_ACT_DYNAMIC;
        vg_latents other = denoised(engine, model, &p);
        double apart = rel_l2(other.values, first.values, count_of(&first));
        assert_true(isfinite(apart) && apart < 0.3);
        assert_true(s == VG_SCHEME_BF16 ? apart == 0 : apart > 0);
        vg_latents_deinit(&other);
    }
    CHECK_OK(vg_decode(engine, model, &p, &first, NULL, &frames, &err), err);
    vg_frames_deinit(&frames);
    vg_latents_deinit(&first);
    vg_latents_deinit(&again);
    vg_model_close(files);
    vg_model_close(model);
    vg_engine_close(engine);
}

/* ---- image to video ---- */

static void edit_json(void **state, const char *from, const char *name, const char *key,
                      cJSON *value)
{
    vg_err err;
    cJSON *root;
    char *path = vg_path_join(from, name);
    CHECK_OK(vg_json_load(path, &root, &err), err);
    cJSON_DeleteItemFromObjectCaseSensitive(root, key);
    cJSON_AddItemToObject(root, key, value);
    char *text = cJSON_Print(root);
    scratch_write(state, name, text, strlen(text));
    cJSON_free(text);
    cJSON_Delete(root);
    free(path);
}

/* tiny-b's configs as an image-to-video model of two experts. */
static vg_model *open_i2v(void **state)
{
    static const char *const linked[] = {"scheduler", "text_encoder", "vae"};
    const char *source = GOLDEN "tiny-b";
    for (size_t i = 0; i < 3; i++) {
        char *from = vg_path_join(source, linked[i]);
        assert_int_equal(symlink(from, scratch_path(state, linked[i])), 0);
        free(from);
    }
    edit_json(state, source, "model_index.json", "_class_name",
              cJSON_CreateString("WanImageToVideoPipeline"));
    edit_json(state, source, "transformer/config.json", "in_channels", cJSON_CreateNumber(36));
    edit_json(state, source, "transformer_2/config.json", "in_channels", cJSON_CreateNumber(36));
    return open_dummy(*state);
}

static void test_model_dummy_image(void **state)
{
    vg_err err;
    vg_engine *engine = open_engine();
    vg_model *model = open_i2v(state);
    vg_generate_params p = small_params(model);
    vg_media media = {VG_ROLE_IMAGE, {.count = 1, .height = 20, .width = 30}}; /* of any size */
    vg_frames *image = &media.frames;
    vg_conditions conditions;
    vg_latents with, other, none;
    assert_string_equal(vg_model_modes(model), "i2v, flf2v");
    CHECK_FAILS(vg_encode(engine, model, &p, NULL, &conditions, &err), VG_E_ARG, err);
    image->rgb = malloc((size_t)image->height * (size_t)image->width * 3);
    assert_non_null(image->rgb);
    for (int i = 0; i < image->height * image->width * 3; i++)
        image->rgb[i] = (uint8_t)(i * 7);
    p.inputs.media = &media;
    p.inputs.media_count = 1;
    CHECK_OK(vg_encode(engine, model, &p, NULL, &conditions, &err), err);
    const vg_condition *c = vg_conditions_find(&conditions, "image_condition");
    assert_non_null(c);
    assert_true(c->ndim == 4 && c->shape[0] == 20 && c->shape[1] == 2 && c->shape[2] == 4 &&
                c->shape[3] == 6);
    int64_t frame = c->shape[2] * c->shape[3], plane = c->shape[1] * frame;
    for (int64_t i = 0; i < 4 * plane; i++) /* known: the first latent frame alone */
        assert_true(c->values[i] == (i % plane < frame ? 1.0f : 0.0f));
    CHECK_OK(vg_denoise(engine, model, &p, &conditions, NULL, NULL, &with, &err), err);
    assert_int_equal(with.shape[0], 16);
    c->values[5 * plane] += 1; /* it matters what the image is */
    CHECK_OK(vg_denoise(engine, model, &p, &conditions, NULL, NULL, &other, &err), err);
    assert_true(rel_l2(other.values, with.values, count_of(&with)) > 1e-4);
    conditions.list[conditions.count - 1].shape[1]--;
    CHECK_FAILS(vg_denoise(engine, model, &p, &conditions, NULL, NULL, &none, &err), VG_E_SHAPE,
                err);
    snprintf(conditions.list[conditions.count - 1].name, sizeof c->name, "something");
    CHECK_FAILS(vg_denoise(engine, model, &p, &conditions, NULL, NULL, &none, &err), VG_E_MISSING,
                err);
    vg_latents_deinit(&other);
    vg_latents_deinit(&with);
    vg_conditions_deinit(&conditions);
    vg_frames_deinit(image);
    vg_model_close(model);
    vg_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model_dummy_values),
        cmocka_unit_test(test_model_dummy_tokens),
        cmocka_unit_test(test_model_dummy_runs),
        cmocka_unit_test_setup_teardown(test_model_dummy_image, scratch_open, scratch_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_model_hunyuan_text.c: the encoders of HunyuanVideo-1.5 on prompts and pictures against transformers and diffusers' pipeline
 * (tests/oracle/make_hunyuan_text.py), from the layouts that are found in the wild. FP32 agrees to some 1e-6; the limit is 1e-4. What goes wrong
 * silently is shown to miss it: the frame left in, no mask, no glyphs, another number of layers. */
#include "engine/text/hunyuan_prompt.h"
#include "engine/text/qwen25.h"
#include "engine/text/umt5.h"
#include "engine/vision/resize.h"
#include "engine/vision/siglip.h"
#include "tests/model.h"

#define DIR_OF(component) GOLDEN "hunyuan-text/" component
#define LIMIT             1e-4
#define TEXTS_MAX         8
#define GLYPH_TOKENS      67 /* of the oracle's ByT5 runs */

static cJSON *config_of(const char *dir)
{
    cJSON *json;
    vg_err err;
    char path[512];
    snprintf(path, sizeof path, "%s/config.json", dir);
    CHECK_OK(vg_json_load(path, &json, &err), err);
    return json;
}

static const float *values_of(const vg_safetensors *golden, const char *stem, int n,
                              const int64_t **shape)
{
    char name[64];
    if (n >= 0)
        snprintf(name, sizeof name, "%s.%d", stem, n);
    else
        snprintf(name, sizeof name, "%s", stem);
    const vg_tensor *t = vg_safetensors_find(golden, name);
    assert_true(t && t->dtype == VG_F32);
    *shape = t->shape;
    return t->data;
}

/* The prompts that the oracle encoded. */
static cJSON *prompts_of(const vg_safetensors *golden)
{
    cJSON *list = cJSON_Parse(vg_safetensors_metadata(golden, "texts"));
    assert_true(cJSON_GetArraySize(list) >= 3 && cJSON_GetArraySize(list) <= TEXTS_MAX);
    return list;
}

static int most_tokens(const vg_safetensors *golden)
{
    return atoi(vg_safetensors_metadata(golden, "max_tokens"));
}

/* FP32 within the limit; BF16 at about what it costs the reference itself, of which the golden tells. */
static void check_errors(const char *what, double error, double bf16, const char *cost_key)
{
    vg_safetensors *golden = open_file(DIR_OF("encoders.safetensors"));
    double cost = strtod(vg_safetensors_metadata(golden, cost_key), NULL);
    vg_safetensors_close(golden);
    print_message("%s: %.2e; BF16 %.2e, the reference's %.2e\n", what, error, bf16, cost);
    assert_true(error < LIMIT);
    assert_true(cost > LIMIT && bf16 < 1.5 * cost && bf16 > 0.5 * cost);
}

/* A folder whose one file has the tensors of `from` under other names: `before` taken away in front, `after` put there. */
static void save_renamed(void **state, const char *from, const char *before, const char *after,
                         const vg_safetensors_entry *more)
{
    char path[512];
    vg_err err;
    snprintf(path, sizeof path, "%s/model.safetensors", from);
    vg_safetensors *st = open_file(path);
    int count = vg_safetensors_count(st);
    vg_safetensors_entry *entries = calloc((size_t)count + 1, sizeof *entries);
    assert_non_null(entries);
    for (int i = 0; i < count; i++) {
        const char *name = vg_safetensors_name(st, i);
        bool has = strncmp(name, before, strlen(before)) == 0;
        entries[i].name = vg_strf("%s%s", after, has ? name + strlen(before) : name);
        entries[i].tensor = *vg_safetensors_tensor(st, i);
    }
    if (more)
        entries[count] = *more;
    CHECK_OK(vg_safetensors_write(scratch_path(state, "model.safetensors"), entries,
                                  count + (more != NULL), NULL, &err),
             err);
    for (int i = 0; i < count; i++)
        free((char *)entries[i].name);
    free(entries);
    vg_safetensors_close(st);
}

/* ---- Qwen2.5-VL ------------------------------------------------------------------------------------------------------ */

static vg_qwen25_config qwen_config(const char *dir)
{
    vg_qwen25_config c;
    vg_err err;
    cJSON *json = config_of(DIR_OF("text_encoder"));
    CHECK_OK(vg_qwen25_config_read(json, "config.json", &c, &err), err);
    cJSON_Delete(json);
    CHECK_OK(vg_qwen25_find_root(dir, &c, &err), err);
    return c;
}

/* Largest relative error of all golden prompts. skew: layers more or fewer; uncrop: tokens of the frame that stay. */
static double qwen_error(const char *dir, vg_dtype compute, int skew, int uncrop, size_t *peak)
{
    static int32_t ids[TEXTS_MAX][VG_HUNYUAN_CROP + VG_HUNYUAN_TOKENS];
    vg_safetensors *golden = open_file(DIR_OF("encoders.safetensors"));
    cJSON *prompts = prompts_of(golden);
    int texts_count = cJSON_GetArraySize(prompts), most = most_tokens(golden);
    vg_qwen25_config c = qwen_config(dir);
    vg_qwen25_text texts[TEXTS_MAX];
    vg_engine *engine = open_engine();
    vg_qwen25 *encoder;
    vg_bpe *bpe;
    double worst = 0;
    vg_err err;

    c.layers += skew;
    CHECK_OK(vg_bpe_open(DIR_OF("tokenizer"), &bpe, &err), err);
    CHECK_OK(vg_qwen25_open(engine, dir, "text_encoder", &c, compute, &encoder, &err), err);
    for (int i = 0; i < texts_count; i++) {
        int count;
        CHECK_OK(vg_hunyuan_prompt_ids(bpe, cJSON_GetArrayItem(prompts, i)->valuestring, most,
                                       ids[i], &count, NULL, &err),
                 err);
        texts[i] = (vg_qwen25_text){.ids = ids[i],
                                    .length = count,
                                    .crop = VG_HUNYUAN_CROP - uncrop,
                                    .out = malloc((size_t)(count * c.hidden) * sizeof(float))};
        assert_non_null(texts[i].out);
    }
    CHECK_OK(vg_qwen25_run(encoder, texts, texts_count, NULL, NULL, NULL, &err), err);
    for (int i = 0; i < texts_count; i++) {
        const int64_t *shape;
        const float *wanted = values_of(golden, "prompt_embeds", i, &shape);
        int64_t rows = texts[i].length - VG_HUNYUAN_CROP;
        assert_true(shape[0] == most && shape[1] == c.hidden && rows <= most);
        double error = rel_l2(texts[i].out, wanted, rows * c.hidden);
        worst = error > worst ? error : worst;
        free(texts[i].out);
    }
    if (peak)
        *peak = vg_engine_backend(engine)->bytes_peak;
    vg_qwen25_close(encoder);
    assert_int_equal(vg_engine_backend(engine)->bytes_now, 0);
    vg_engine_close(engine);
    vg_bpe_close(bpe);
    cJSON_Delete(prompts);
    vg_safetensors_close(golden);
    return worst;
}

static void test_qwen25_equals_transformers(void **state)
{
    double error = qwen_error(DIR_OF("text_encoder"), VG_F32, 0, 0, NULL),
           bf16 = qwen_error(DIR_OF("text_encoder"), VG_BF16, 0, 0, NULL);
    (void)state;
    check_errors("qwen2.5", error, bf16, "bf16_prompt_embeds");
}

static void test_qwen25_mistakes_miss(void **state)
{
    (void)state;
    assert_true(qwen_error(DIR_OF("text_encoder"), VG_F32, 1, 0, NULL) > 0.05);
    assert_true(qwen_error(DIR_OF("text_encoder"), VG_F32, -1, 0, NULL) > 0.05);
    assert_true(qwen_error(DIR_OF("text_encoder"), VG_F32, 0, 1, NULL) > 0.05);
    assert_true(qwen_error(DIR_OF("text_encoder"), VG_F32, 0, VG_HUNYUAN_CROP, NULL) > 0.05);
}

/* What the reference gives with the frame left in is the same states, from the frame's first token on. */
static void test_qwen25_uncropped(void **state)
{
    vg_safetensors *golden = open_file(DIR_OF("encoders.safetensors"));
    const int64_t *shape;
    const float *whole = values_of(golden, "uncropped", -1, &shape),
                *cropped = values_of(golden, "prompt_embeds", 0, &shape);
    (void)state;
    assert_true(rel_l2(whole + VG_HUNYUAN_CROP * shape[1], cropped, shape[0] * shape[1]) < LIMIT);
    assert_true(rel_l2(whole, cropped, shape[0] * shape[1]) > 0.05);
    vg_safetensors_close(golden);
}

/* The names of a language model alone, of one within a causal model, and of the whole model with its visual part, in transformers 4 and 5. */
static void test_qwen25_key_layouts(void **state)
{
    static const char *const roots[] = {"model.", "language_model.", "model.language_model.",
                                        "language_model.model."};
    const float pixels[6] = {0};
    const vg_safetensors_entry visual = {"visual.patch_embed.proj.weight",
                                         vg_tensor_make((void *)pixels, VG_F32, 2, 2, 3)};
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
        save_renamed(state, DIR_OF("text_encoder"), "", roots[i], &visual);
        assert_string_equal(qwen_config(*state).root, roots[i]);
        assert_true(qwen_error(*state, VG_F32, 0, 0, NULL) < LIMIT);
    }
}

/* One layer's weights are held at a time: twice as many layers do not take more. */
static void test_qwen25_holds_one_layer(void **state)
{
    size_t two, four;
    (void)state;
    qwen_error(DIR_OF("text_encoder"), VG_F32, 0, 0, &two);
    qwen_error(DIR_OF("text_encoder"), VG_F32, 2, 0, &four);
    assert_true(two > 0 && four == two);
}

/* The published sizes, two longest prompts, on a backend that only counts: 26 layers of 12.3 GiB run in 0.8. */
static void test_qwen25_peak_of_the_real_model(void **state)
{
    static int32_t ids[VG_HUNYUAN_CROP + VG_HUNYUAN_TOKENS];
    const vg_qwen25_config c = {.hidden = 3584,
                                .ff = 18944,
                                .layers = 26,
                                .heads = 28,
                                .kv_heads = 4,
                                .vocab = 152064,
                                .eps = 1e-6,
                                .theta = 1e6,
                                .root = ""};
    const int64_t length = VG_HUNYUAN_CROP + VG_HUNYUAN_TOKENS;
    vg_engine engine = {.threads = 1};
    char dir[512];
    vg_qwen25 *encoder;
    vg_err err;
    float *out = malloc((size_t)(VG_HUNYUAN_TOKENS * c.hidden) * sizeof *out);
    assert_non_null(out);
    scratch_text(state, "config.json", "{}");
    snprintf(dir, sizeof dir, "dummy:%s", (const char *)*state);
    CHECK_OK(vg_dry_backend_open(VG_DEVICE_CUDA, &engine.be, &err), err);
    CHECK_OK(vg_qwen25_open(&engine, dir, "text_encoder", &c, VG_BF16, &encoder, &err), err);
    const vg_qwen25_text text = {ids, length, VG_HUNYUAN_CROP, out}, texts[2] = {text, text};
    size_t weights = engine.be->bytes_now;
    CHECK_OK(vg_qwen25_run(encoder, texts, 2, NULL, NULL, NULL, &err), err);
    print_message("qwen2.5-vl-7b: weights %zu MiB, peak %zu MiB\n", weights >> 20,
                  engine.be->bytes_peak >> 20);
    assert_true(weights > (size_t)440 << 20 && engine.be->bytes_peak < (size_t)800 << 20);
    vg_qwen25_close(encoder);
    vg_backend_close(engine.be);
    free(out);
}

static void test_qwen25_configs(void **state)
{
    static const struct {
        const char *edit; /* merged into the golden config.json */
        vg_status wanted;
        const char *says;
    } cases[] = {
        {"{\"rope_parameters\":null,\"rope_theta\":1000000.0,\"rope_scaling\":{\"type\":\"mrope\",\"mrope_section\":[2,1,1]}}",
         VG_OK, NULL},
        {"{\"rope_parameters\":null,\"rope_theta\":1000000.0,\"rope_scaling\":{\"rope_type\":\"default\",\"type\":\"default\"}}",
         VG_OK, NULL},
        {"{\"rope_scaling\":null}", VG_OK, NULL},
        {"{\"rope_parameters\":{\"rope_type\":\"yarn\",\"rope_theta\":1000000.0}}",
         VG_E_UNSUPPORTED, "yarn"},
        {"{\"model_type\":\"qwen2_5_vl\"}", VG_OK, NULL},
        {"{\"model_type\":\"llama\"}", VG_E_UNSUPPORTED, "llama"},
        {"{\"hidden_act\":\"gelu\"}", VG_E_UNSUPPORTED, "hidden_act"},
        {"{\"use_sliding_window\":true}", VG_E_UNSUPPORTED, "use_sliding_window"},
        {"{\"num_hidden_layers\":2}", VG_E_FORMAT, "num_hidden_layers"},
        {"{\"num_attention_heads\":5}", VG_E_FORMAT, "num_attention_heads"},
        {"{\"num_key_value_heads\":3}", VG_E_FORMAT, "num_key_value_heads"},
        {"{\"vocab_size\":\"many\"}", VG_E_FORMAT, "vocab_size"},
        {"{\"hidden_size\":0}", VG_E_FORMAT, "hidden_size"},
        {"{\"text_config\":{}}", VG_E_FORMAT, "must be there"},
    };
    vg_qwen25_config plain = qwen_config(DIR_OF("text_encoder")), c;
    vg_err err;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *json = config_of(DIR_OF("text_encoder")), *edit = cJSON_Parse(cases[i].edit);
        assert_non_null(edit);
        while (edit->child) {
            cJSON *value = cJSON_DetachItemViaPointer(edit, edit->child);
            cJSON_DeleteItemFromObject(json, value->string);
            cJSON_AddItemToObject(json, value->string, value);
        }
        vg_status status = vg_qwen25_config_read(json, "config.json", &c, &err);
        if (status != cases[i].wanted || (cases[i].says && !strstr(err.message, cases[i].says)))
            fail_msg("%s: %s (%s)", cases[i].edit, vg_status_name(status),
                     status == VG_OK ? "" : err.message);
        if (status == VG_OK)
            assert_true(c.theta == plain.theta && c.layers == plain.layers && c.heads == 4 &&
                        c.kv_heads == 2 && c.eps == plain.eps);
        cJSON_Delete(edit);
        cJSON_Delete(json);
    }
    /* inside of the whole model's config */
    cJSON *whole = cJSON_CreateObject();
    cJSON_AddStringToObject(whole, "model_type", "qwen2_5_vl");
    cJSON_AddItemToObject(whole, "text_config", config_of(DIR_OF("text_encoder")));
    CHECK_OK(vg_qwen25_config_read(whole, "config.json", &c, &err), err);
    assert_true(c.hidden == plain.hidden && c.vocab == plain.vocab && c.layers == plain.layers);
    cJSON_Delete(whole);
}

static void test_qwen25_refuses(void **state)
{
    const char *dir = DIR_OF("text_encoder");
    vg_qwen25_config c = qwen_config(dir), other = c;
    vg_engine *engine = open_engine();
    atomic_int cancel = 1;
    int32_t ids[3] = {1, 2, 3};
    float out[3 * 64];
    vg_qwen25_text text = {ids, 3, 0, out};
    vg_qwen25 *encoder;
    vg_err err;
    (void)state;
    other.ff++;
    CHECK_FAILS(vg_qwen25_open(engine, dir, "text_encoder", &other, VG_F32, &encoder, &err),
                VG_E_SHAPE, err);
    CHECK_FAILS(vg_qwen25_open(engine, GOLDEN "none", "text_encoder", &c, VG_F32, &encoder, &err),
                VG_E_MISSING, err);
    CHECK_OK(vg_qwen25_open(engine, dir, "text_encoder", &c, VG_F32, &encoder, &err), err);
    CHECK_FAILS(vg_qwen25_run(encoder, &text, 1, &cancel, NULL, NULL, &err), VG_E_CANCELLED, err);
    text.crop = 3;
    CHECK_FAILS(vg_qwen25_run(encoder, &text, 1, NULL, NULL, NULL, &err), VG_E_ARG, err);
    text.crop = 0;
    ids[1] = (int32_t)c.vocab;
    CHECK_FAILS(vg_qwen25_run(encoder, &text, 1, NULL, NULL, NULL, &err), VG_E_ARG, err);
    ids[1] = -1;
    CHECK_FAILS(vg_qwen25_run(encoder, &text, 1, NULL, NULL, NULL, &err), VG_E_ARG, err);
    ids[1] = 0;
    CHECK_OK(vg_qwen25_run(encoder, &text, 1, NULL, NULL, NULL, &err), err);
    vg_qwen25_close(encoder);
    vg_qwen25_close(NULL);
    vg_engine_close(engine);
}

/* Each allocation of the backend fails in turn: an error that says so, and the next run is as if nothing had been. */
static void test_qwen25_survives_failed_allocations(void **state)
{
    const char *dir = DIR_OF("text_encoder");
    vg_qwen25_config c = qwen_config(dir);
    int32_t ids[300] = {0};
    float *out = malloc(sizeof ids / sizeof *ids * (size_t)c.hidden * sizeof *out);
    const vg_qwen25_text text = {ids, sizeof ids / sizeof *ids, 0, out};
    vg_status status = VG_E_NOMEM;
    int failed = 0;
    vg_err err;
    (void)state;
    assert_non_null(out);
    for (int n = 0; status != VG_OK; n++) {
        vg_engine *engine = open_engine();
        vg_backend *be = vg_engine_backend(engine);
        vg_qwen25 *encoder = NULL;
        err = (vg_err){0};
        vg_backend_fail_after(be, n);
        status = vg_qwen25_open(engine, dir, "text_encoder", &c, VG_F32, &encoder, &err);
        if (status == VG_OK) {
            status = vg_qwen25_run(encoder, &text, 1, NULL, NULL, NULL, &err);
            vg_backend_fail_after(be, -1);
            CHECK_OK(vg_qwen25_run(encoder, &text, 1, NULL, NULL, NULL, &err), err);
        }
        failed += status == VG_E_NOMEM;
        assert_true(status == VG_OK || status == VG_E_NOMEM);
        vg_qwen25_close(encoder);
        assert_int_equal(be->bytes_now, 0);
        vg_engine_close(engine);
    }
    assert_true(failed >= 5);
    free(out);
}

/* ---- ByT5 ------------------------------------------------------------------------------------------------------------ */

/* Largest relative error of the prompts with quotes, in the rows that the golden has valid. masked: padding is hidden, as it should be; quoted: the
 * encoder gets the words within quotes, as it should, not the whole prompt. */
static double byt5_error(vg_dtype compute, bool masked, bool quoted, const char *golden_name)
{
    vg_safetensors *golden = open_file(DIR_OF("encoders.safetensors"));
    cJSON *prompts = prompts_of(golden), *json = config_of(DIR_OF("text_encoder_2"));
    vg_engine *engine = open_engine();
    vg_umt5_config c;
    vg_umt5 *encoder;
    vg_byt5 *tokenizer;
    double worst = 0;
    vg_err err;
    CHECK_OK(vg_umt5_config_read(json, "config.json", &c, &err), err);
    assert_true(c.shared_bias && c.heads * c.d_kv != c.d_model);
    CHECK_OK(vg_byt5_open(DIR_OF("tokenizer_2"), &tokenizer, &err), err);
    assert_true(vg_byt5_vocab(tokenizer) <= c.vocab);
    CHECK_OK(vg_umt5_open(engine, DIR_OF("text_encoder_2"), "text_encoder_2", &c, compute, &encoder,
                          &err),
             err);
    for (int i = 0; i < cJSON_GetArraySize(prompts); i++) {
        int32_t ids[VG_HUNYUAN_GLYPHS] = {0};
        uint8_t mask[VG_HUNYUAN_GLYPHS] = {0};
        float out[GLYPH_TOKENS * 64];
        const int64_t *shape;
        int count, whole;
        CHECK_OK(vg_hunyuan_glyph_ids(tokenizer, cJSON_GetArrayItem(prompts, i)->valuestring, ids,
                                      &count, &whole, &err),
                 err);
        const float *wanted = values_of(golden, "prompt_embeds_2", i, &shape);
        assert_true(shape[0] == GLYPH_TOKENS && shape[1] == c.d_model && whole <= GLYPH_TOKENS);
        if (count == 0) { /* no quotes: zeros, and nothing is seen of them */
            for (int64_t k = 0; k < shape[0] * shape[1]; k++)
                assert_true(wanted[k] == 0);
            continue;
        }
        if (!quoted) {
            const char *prompt = cJSON_GetArrayItem(prompts, i)->valuestring;
            int wanted_count = count;
            CHECK_OK(vg_byt5_encode(tokenizer, prompt, strlen(prompt), GLYPH_TOKENS, ids, &count,
                                    NULL, &err),
                     err);
            count = wanted_count;
        }
        memset(mask, 1, (size_t)count);
        if (golden_name)
            wanted = values_of(golden, golden_name, -1, &shape);
        CHECK_OK(vg_umt5_run(encoder, ids, masked ? mask : NULL, GLYPH_TOKENS, NULL, out, &err),
                 err);
        double error = rel_l2(out, wanted, count * c.d_model);
        worst = error > worst ? error : worst;
        if (masked) { /* valid tokens alone give the same */
            CHECK_OK(vg_umt5_run(encoder, ids, NULL, count, NULL, out, &err), err);
            error = rel_l2(out, wanted, count * c.d_model);
            worst = error > worst ? error : worst;
        }
        if (golden_name)
            break;
    }
    vg_umt5_close(encoder);
    assert_int_equal(vg_engine_backend(engine)->bytes_now, 0);
    vg_engine_close(engine);
    vg_byt5_close(tokenizer);
    cJSON_Delete(json);
    cJSON_Delete(prompts);
    vg_safetensors_close(golden);
    return worst;
}

static void test_byt5_equals_transformers(void **state)
{
    double error = byt5_error(VG_F32, true, true, NULL),
           bf16 = byt5_error(VG_BF16, true, true, NULL);
    (void)state;
    check_errors("byt5", error, bf16, "bf16_prompt_embeds_2");
}

static void test_byt5_mistakes_miss(void **state)
{
    (void)state;
    assert_true(byt5_error(VG_F32, false, true, NULL) > 0.01);
    assert_true(byt5_error(VG_F32, false, true, "unmasked_2") <
                LIMIT); /* as the reference's mistake */
    assert_true(byt5_error(VG_F32, true, true, "unmasked_2") > 0.01);
    assert_true(byt5_error(VG_F32, true, false, NULL) > 0.01);
}

/* ---- SigLIP ------------------------------------------------------------------------------------------------------------ */

static vg_siglip_config siglip_config(const char *dir)
{
    vg_siglip_config c;
    vg_err err;
    cJSON *json = config_of(DIR_OF("image_encoder"));
    CHECK_OK(vg_siglip_config_read(json, "config.json", &c, &err), err);
    cJSON_Delete(json);
    CHECK_OK(vg_siglip_find_root(dir, &c, &err), err);
    return c;
}

/* Largest relative error of all golden pictures. resample < 0: as the processor's file says. */
static double siglip_error(const char *dir, vg_dtype compute, int resample)
{
    vg_safetensors *golden = open_file(DIR_OF("encoders.safetensors"));
    vg_siglip_config c = siglip_config(dir);
    vg_engine *engine = open_engine();
    vg_siglip_processor processor;
    vg_siglip *encoder;
    cJSON *json;
    double worst = 0;
    vg_err err;
    CHECK_OK(vg_json_load(DIR_OF("feature_extractor/preprocessor_config.json"), &json, &err), err);
    CHECK_OK(vg_siglip_processor_read(json, "preprocessor_config.json", &c, &processor, &err), err);
    processor.resample = resample < 0 ? processor.resample : resample;
    CHECK_OK(vg_siglip_open(engine, dir, "image_encoder", &c, compute, &encoder, &err), err);
    for (int n = 0; n < 3; n++) {
        char name[32];
        const int64_t *shape;
        float pixels[3 * 46 * 46], out[9 * 24];
        snprintf(name, sizeof name, "image.%d", n);
        const vg_tensor *image = vg_safetensors_find(golden, name);
        assert_true(image && image->dtype == VG_U8 && c.image == 46);
        CHECK_OK(vg_siglip_pixels(&processor, image->data, (int)image->shape[0],
                                  (int)image->shape[1], pixels, &err),
                 err);
        const float *wanted = values_of(golden, "pixels", n, &shape);
        if (resample < 0)
            assert_true(rel_l2(pixels, wanted, 3 * 46 * 46) < 1e-6);
        wanted = values_of(golden, "image_embeds", n, &shape);
        assert_true(shape[0] == vg_siglip_tokens(&c) && shape[0] == 9 && shape[1] == 24);
        CHECK_OK(vg_siglip_run(encoder, pixels, NULL, out, &err), err);
        double error = rel_l2(out, wanted, 9 * 24);
        worst = error > worst ? error : worst;
    }
    vg_siglip_close(encoder);
    assert_int_equal(vg_engine_backend(engine)->bytes_now, 0);
    vg_engine_close(engine);
    cJSON_Delete(json);
    vg_safetensors_close(golden);
    return worst;
}

static void test_siglip_equals_transformers(void **state)
{
    double error = siglip_error(DIR_OF("image_encoder"), VG_F32, -1),
           bf16 = siglip_error(DIR_OF("image_encoder"), VG_BF16, -1);
    (void)state;
    check_errors("siglip", error, bf16, "bf16_image_embeds");
}

static void test_siglip_mistakes_miss(void **state)
{
    (void)state;
    assert_true(siglip_error(DIR_OF("image_encoder"), VG_F32, VG_RESAMPLE_LANCZOS) > 1e-3);
    assert_true(siglip_error(DIR_OF("image_encoder"), VG_F32, VG_RESAMPLE_BILINEAR) > 1e-3);
}

static void test_siglip_key_layouts(void **state)
{
    const char *own = siglip_config(DIR_OF("image_encoder")).root;
    for (int i = 0; i < 2; i++) {
        const char *root = i ? "vision_model." : "";
        save_renamed(state, DIR_OF("image_encoder"), own, root, NULL);
        assert_string_equal(siglip_config(*state).root, root);
        assert_true(siglip_error(*state, VG_F32, -1) < LIMIT);
    }
}

static void test_siglip_configs(void **state)
{
    static const struct {
        const char *config, *processor, *says;
        vg_status wanted;
    } cases[] = {
        {"{}", "{\"size\":{\"height\":224,\"width\":224}}", NULL, VG_OK},
        {"{\"model_type\":\"siglip\",\"vision_config\":{\"image_size\":384}}", NULL, NULL, VG_OK},
        {"{\"model_type\":\"clip\"}", NULL, "clip", VG_E_UNSUPPORTED},
        {"{\"hidden_act\":\"gelu\"}", NULL, "gelu", VG_E_UNSUPPORTED},
        {"{\"num_channels\":1}", NULL, "num_channels", VG_E_FORMAT},
        {"{\"num_attention_heads\":5}", NULL, "heads", VG_E_FORMAT},
        {"{\"image_size\":10}", NULL, "patches", VG_E_FORMAT},
        {"{}", "{\"size\":{\"height\":224,\"width\":220}}", "220x224", VG_E_UNSUPPORTED},
        {"{}", "{\"do_normalize\":false}", "do_normalize", VG_E_UNSUPPORTED},
        {"{}", "{\"resample\":0}", "resample", VG_E_FORMAT},
        {"{}", "{\"image_std\":[0.5,0,0.5]}", "image_std", VG_E_FORMAT},
        {"{}", "{\"image_mean\":[0.5]}", "image_mean", VG_E_FORMAT},
    };
    vg_siglip_config c;
    vg_siglip_processor p;
    vg_err err;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *config = cJSON_Parse(cases[i].config),
              *processor = cases[i].processor ? cJSON_Parse(cases[i].processor) : NULL;
        vg_status status = vg_siglip_config_read(config, "config.json", &c, &err);
        if (status == VG_OK)
            status = vg_siglip_processor_read(processor, "preprocessor_config.json", &c, &p, &err);
        if (status != cases[i].wanted || (cases[i].says && !strstr(err.message, cases[i].says)))
            fail_msg("%s, %s: %s (%s)", cases[i].config, cases[i].processor, vg_status_name(status),
                     status == VG_OK ? "" : err.message);
        cJSON_Delete(config);
        cJSON_Delete(processor);
    }
}

/* ---- tables ------------------------------------------------------------------------------------------------------------ */

/* The tables say what the files have, and no more than that: all but what nobody needs. */
static void test_tables_fit_the_files(void **state)
{
    vg_qwen25_config qwen = qwen_config(DIR_OF("text_encoder"));
    vg_siglip_config siglip = siglip_config(DIR_OF("image_encoder"));
    cJSON *json = config_of(DIR_OF("text_encoder_2"));
    vg_umt5_config t5;
    vg_weight_table tables[3];
    const char *const dirs[] = {DIR_OF("text_encoder"), DIR_OF("text_encoder_2"),
                                DIR_OF("image_encoder")};
    const int without[] = {2 * 12 + 1, 0,
                           11}; /* two layers and a norm; nothing; the pooling head */
    vg_err err;
    (void)state;
    CHECK_OK(vg_umt5_config_read(json, "config.json", &t5, &err), err);
    CHECK_OK(vg_qwen25_weights(&qwen, "text_encoder", &tables[0], &err), err);
    CHECK_OK(vg_umt5_weights(&t5, "text_encoder_2", &tables[1], &err), err);
    CHECK_OK(vg_siglip_weights(&siglip, "image_encoder", &tables[2], &err), err);
    for (int i = 0; i < 3; i++) {
        vg_weight_place place = {0};
        vg_weight_tensor t;
        vg_weights *weights;
        int count = 0;
        CHECK_OK(vg_weights_open(dirs[i], &weights, &err), err);
        while (vg_weight_table_next(&tables[i], &place)) {
            vg_weight_resolve(&place, weights);
            for (int k = 0; vg_weight_tensor_of(&place, k, &t); k++) {
                const vg_tensor *found = vg_weights_find(weights, t.name);
                if (!found)
                    fail_msg("%s is not in the files", t.name);
                assert_int_equal(found->ndim, t.ndim);
                assert_memory_equal(found->shape, t.shape, (size_t)t.ndim * sizeof *t.shape);
                count++;
            }
        }
        assert_int_equal(count + without[i], vg_weights_count(weights));
        vg_weights_close(weights);
        vg_weight_table_deinit(&tables[i]);
    }
    cJSON_Delete(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_qwen25_equals_transformers),
        cmocka_unit_test(test_qwen25_mistakes_miss),
        cmocka_unit_test(test_qwen25_uncropped),
        cmocka_unit_test_setup_teardown(test_qwen25_key_layouts, scratch_open, scratch_close),
        cmocka_unit_test(test_qwen25_holds_one_layer),
        cmocka_unit_test_setup_teardown(test_qwen25_peak_of_the_real_model, scratch_open,
                                        scratch_close),
        cmocka_unit_test(test_qwen25_configs),
        cmocka_unit_test(test_qwen25_refuses),
        cmocka_unit_test(test_qwen25_survives_failed_allocations),
        cmocka_unit_test(test_byt5_equals_transformers),
        cmocka_unit_test(test_byt5_mistakes_miss),
        cmocka_unit_test(test_siglip_equals_transformers),
        cmocka_unit_test(test_siglip_mistakes_miss),
        cmocka_unit_test_setup_teardown(test_siglip_key_layouts, scratch_open, scratch_close),
        cmocka_unit_test(test_siglip_configs),
        cmocka_unit_test(test_tables_fit_the_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

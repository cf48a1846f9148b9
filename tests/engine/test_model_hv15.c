/* test_model_hv15.c: every part of HunyuanVideo-1.5 against diffusers (tests/oracle/make_hunyuan.py), on weights that both sides generate by
 * name. FP32 parts agree to some 1e-6; the limit is 1e-4. BF16: three times what BF16 costs the reference itself, at most 4e-2. FP8 makes weights
 * and inputs of a few bits: here it must be near FP32, and not the same. */
#include "engine/text/hunyuan_prompt.h"
#include "kernels/base/json.h"
#include "tests/engine/generated.h"

typedef struct part_case {
    const char *model, *part;
    vg_compute compute;
    int scheme; /* -1 = as it is */
    bool tiled;
} part_case;

/* The one output of a part; the caller frees its data. */
static vg_tensor run_part(const char *name, const char *part, const vg_component_params *params,
                          const vg_safetensors *in)
{
    vg_err err;
    vg_engine *engine = open_engine();
    vg_model *model = open_dummy(name);
    vg_safetensors_entry *out;
    int count;
    CHECK_OK(vg_component_run(engine, model, part, params, in, &out, &count, &err), err);
    assert_int_equal(count, 1);
    vg_tensor t = out[0].tensor;
    free(out);
    vg_model_close(model);
    assert_int_equal(vg_engine_backend(engine)->bytes_now, 0);
    vg_engine_close(engine);
    return t;
}

static double run_case(void **state, const part_case *c, const char *golden_name, double *cost)
{
    char input[64];
    bool encode = strcmp(c->part, "vae-encode") == 0;
    vg_safetensors *golden = open_golden(c->model, golden_name), *in;
    vg_component_params params = {.scheme = c->scheme < 0 ? VG_SCHEME_BF16 : (vg_scheme)c->scheme,
                                  .scheme_given = c->scheme >= 0,
                                  .compute = c->compute,
                                  .vae_compute = c->compute,
                                  .vae_tiling = c->tiled};
    snprintf(input, sizeof input, "%s%s.in", c->part, c->tiled ? "-tiled" : "");
    if (!encode)
        in = open_golden(c->model, input);
    else if (c->tiled)
        in = make_waves(state, strcmp(c->model, "tiny-hv-t2v") == 0 ? 5 : 1, 288, 272);
    else
        in = make_waves(state, 9, 32, 48);
    vg_tensor t = run_part(c->model, c->part, &params, in);
    double error = error_of(&t, golden);
    const char *known = vg_safetensors_metadata(golden, "rel_l2_to_float32");
    *cost = known ? strtod(known, NULL) : 0;
    free(t.data);
    vg_safetensors_close(in);
    vg_safetensors_close(golden);
    return error;
}

static const char *const models[] = {"tiny-hv-t2v", "tiny-hv-i2v"};
static const char *const parts[] = {"transformer", "vae-decode", "vae-encode"};

static void test_model_hv15_parts_match_diffusers(void **state)
{
    for (int m = 0; m < 2; m++)
        for (int p = 0; p < 3; p++)
            for (int f = 0; f < 4; f++) {
                bool bf16 = f & 1, tiled = f >> 1;
                char golden[64];
                double cost;
                part_case c = {models[m], parts[p], bf16 ? VG_COMPUTE_BF16 : VG_COMPUTE_F32, -1,
                               tiled};
                if (tiled && p == 0)
                    continue;
                snprintf(golden, sizeof golden, "%s%s.%sout", parts[p], tiled ? "-tiled" : "",
                         bf16 ? "bf16." : "");
                double error = run_case(state, &c, golden, &cost),
                       limit = bf16 ? fmin(4e-2, 3 * cost) : 1e-4;
                if (!(error < limit))
                    fail_msg("%s %s: relative L2 %.2e, limit %.2e", models[m], golden, error,
                             limit);
            }
}

/* The transformer's inputs with one of them left out, or with all of its mask set. */
static vg_safetensors *spoil(void **state, const vg_safetensors *in, const char *left_out,
                             const char *set)
{
    vg_err err;
    vg_safetensors_entry entries[16];
    int count = 0;
    for (int i = 0; i < vg_safetensors_count(in); i++) {
        const char *name = vg_safetensors_name(in, i);
        vg_tensor t = *vg_safetensors_tensor(in, i);
        if (left_out && strncmp(name, left_out, strlen(left_out)) == 0)
            continue;
        if (set && strcmp(name, set) == 0) {
            int64_t *ones = malloc(vg_tensor_bytes(&t));
            assert_non_null(ones);
            assert_int_equal(t.dtype, VG_I64);
            for (int64_t k = 0; k < vg_tensor_numel(&t); k++)
                ones[k] = 1;
            t.data = ones;
        }
        entries[count++] = (vg_safetensors_entry){name, t};
    }
    CHECK_OK(vg_safetensors_write(scratch_path(state, "spoilt"), entries, count, NULL, &err), err);
    for (int i = 0; i < count; i++)
        if (set && strcmp(entries[i].name, set) == 0)
            free(entries[i].tensor.data);
    return open_file(scratch_path(state, "spoilt"));
}

/* What the golden has to notice: each mistake of the kind that still gives a picture. */
static void test_model_hv15_mistakes_are_seen(void **state)
{
    static const struct {
        const char *model, *left_out, *set;
    } cases[] = {{"tiny-hv-t2v", NULL, "encoder_attention_mask"},
                 {"tiny-hv-t2v", NULL, "encoder_attention_mask_2"},
                 {"tiny-hv-t2v", "encoder_hidden_states_2", NULL}, /* no glyphs */
                 {"tiny-hv-i2v", "image_embeds", NULL},
                 {"tiny-hv-i2v", "timestep_r", NULL}};
    vg_component_params params = {.compute = VG_COMPUTE_F32};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vg_safetensors *in = open_golden(cases[i].model, "transformer.in"),
                       *golden = open_golden(cases[i].model, "transformer.out"),
                       *wrong = spoil(state, in, cases[i].left_out, cases[i].set);
        vg_tensor t = run_part(cases[i].model, "transformer", &params, wrong);
        double error = error_of(&t, golden);
        if (!(error > 1e-3))
            fail_msg("%s without %s, all of %s: only %.2e off", cases[i].model, cases[i].left_out,
                     cases[i].set, error);
        free(t.data);
        vg_safetensors_close(wrong);
        vg_safetensors_close(golden);
        vg_safetensors_close(in);
    }
}

/* A picture of zeros is none, as in text to video. */
static void test_model_hv15_zero_picture_is_none(void **state)
{
    vg_component_params params = {.compute = VG_COMPUTE_F32};
    float zeros[2 * 5 * 24] = {0};
    vg_err err;
    vg_safetensors_entry entries[16];
    int count = 0;
    vg_safetensors *in = open_golden("tiny-hv-t2v", "transformer.in");
    for (; count < vg_safetensors_count(in); count++)
        entries[count] = (vg_safetensors_entry){vg_safetensors_name(in, count),
                                                *vg_safetensors_tensor(in, count)};
    entries[count++] =
        (vg_safetensors_entry){"image_embeds", vg_tensor_make(zeros, VG_F32, 3, 2, 5, 24)};
    CHECK_OK(vg_safetensors_write(scratch_path(state, "zeros"), entries, count, NULL, &err), err);
    vg_safetensors *with = open_file(scratch_path(state, "zeros"));
    vg_tensor a = run_part("tiny-hv-t2v", "transformer", &params, in),
              b = run_part("tiny-hv-t2v", "transformer", &params, with);
    assert_memory_equal(a.data, b.data, vg_tensor_bytes(&a));
    free(a.data);
    free(b.data);
    vg_safetensors_close(with);
    vg_safetensors_close(in);
}

static void test_model_hv15_fp8_is_near(void **state)
{
    (void)state;
    for (int m = 0; m < 2; m++)
        for (int block = 0; block < 2; block++) {
            vg_safetensors *in = open_golden(models[m], "transformer.in"),
                           *golden = open_golden(models[m], "transformer.out");
            vg_component_params params = {.scheme = block ? VG_SCHEME_FP8_BLOCK : VG_SCHEME_FP8,
                                          .scheme_given = true,
                                          .compute = VG_COMPUTE_F32};
            vg_tensor t = run_part(models[m], "transformer", &params, in);
            double error = error_of(&t, golden);
            if (!(error < 8e-2 && error > 1e-3))
                fail_msg("%s in FP8%s: relative L2 %.2e", models[m], block ? " by blocks" : "",
                         error);
            free(t.data);
            vg_safetensors_close(golden);
            vg_safetensors_close(in);
        }
}

/* Files in place of generated weights: the same bytes come out, and every tensor of theirs is asked for. */
static void test_model_hv15_reads_files(void **state)
{
    vg_err err;
    const char *unused;
    vg_engine *engine = open_engine();
    vg_model *model = open_dummy("tiny-hv-i2v");
    const vg_component_params params = {.compute = VG_COMPUTE_BF16};
    vg_module_options options = {.compute = VG_BF16, .streamed = 2};
    vg_safetensors *in = open_golden("tiny-hv-i2v", "transformer.in");
    vg_safetensors_entry *out;
    void *denoiser;
    int count;
    link_model(state, GOLDEN "tiny-hv-i2v", "transformer");
    write_component(state, model, "transformer");
    vg_tensor wanted = run_part("tiny-hv-i2v", "transformer", &params, in);
    vg_model *files = open_model(scratch_path(state, "."));
    CHECK_OK(vg_component_run(engine, files, "transformer", &params, in, &out, &count, &err), err);
    assert_memory_equal(out[0].tensor.data, wanted.data, vg_tensor_bytes(&wanted));
    CHECK_OK(files->family->denoiser->open(engine, files, 0, scratch_path(state, "transformer"),
                                           &options, &denoiser, &err),
             err);
    assert_int_equal(vg_module_unused(files->family->denoiser->module(denoiser), &unused), 0);
    files->family->denoiser->close(denoiser);
    vg_entries_free(out, count);
    free(wanted.data);
    vg_safetensors_close(in);
    vg_model_close(files);
    vg_model_close(model);
    vg_engine_close(engine);
}

static void fails(const char *name, const char *part, const vg_safetensors *in, vg_status wanted,
                  const char *says)
{
    vg_err err;
    vg_engine *engine = open_engine();
    vg_model *model = open_dummy(name);
    vg_component_params params = {.compute = VG_COMPUTE_F32};
    vg_safetensors_entry *out;
    int count;
    CHECK_FAILS(vg_component_run(engine, model, part, &params, in, &out, &count, &err), wanted,
                err);
    if (!strstr(err.message, says))
        fail_msg("the message \"%s\" does not say \"%s\"", err.message, says);
    assert_int_equal(vg_engine_backend(engine)->bytes_now, 0);
    vg_model_close(model);
    vg_engine_close(engine);
}

static void test_model_hv15_errors_say_what(void **state)
{
    static const struct {
        const char *from, *to, *part, *left_out;
        vg_status wanted;
        const char *says;
    } cases[] = {
        {"tiny-hv-i2v", "tiny-hv-t2v", "transformer", NULL, VG_E_SHAPE,
         "17 channels; the model wants 9"},
        {"tiny-hv-t2v", "tiny-hv-t2v", "transformer", "hidden_states", VG_E_MISSING,
         "hidden_states"},
        {"tiny-hv-t2v", "tiny-hv-t2v", "transformer", "encoder_attention_mask", VG_E_MISSING,
         "encoder_attention_mask"},
        {"tiny-hv-t2v", "tiny-hv-t2v", "transformer", "timestep", VG_E_MISSING, "timestep"},
        {"tiny-hv-t2v", "tiny-hv-t2v", "vae-decode", NULL, VG_E_MISSING, "latents"},
        {"tiny-hv-t2v", "tiny-hv-t2v", "nonsense", NULL, VG_E_ARG, "vae-encode"},
    };
    vg_err err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vg_safetensors *in = open_golden(cases[i].from, "transformer.in"),
                       *wrong = spoil(state, in, cases[i].left_out, NULL);
        fails(cases[i].to, cases[i].part, wrong, cases[i].wanted, cases[i].says);
        vg_safetensors_close(wrong);
        vg_safetensors_close(in);
    }
    float r[1] = {3}, pixels[3 * 20 * 16] = {0};
    vg_safetensors *in = open_golden("tiny-hv-t2v", "transformer.in");
    vg_safetensors_entry e[16];
    int count = 0;
    for (; count < vg_safetensors_count(in); count++)
        e[count] = (vg_safetensors_entry){vg_safetensors_name(in, count),
                                          *vg_safetensors_tensor(in, count)};
    e[count] = (vg_safetensors_entry){"timestep_r", vg_tensor_make(r, VG_F32, 1, 1)};
    CHECK_OK(vg_safetensors_write(scratch_path(state, "r"), e, count + 1, NULL, &err), err);
    vg_safetensors *with_r = open_file(scratch_path(state, "r"));
    fails("tiny-hv-t2v", "transformer", with_r, VG_E_ARG, "use_meanflow");
    vg_safetensors_close(with_r);
    vg_safetensors_close(in);
    e[0] = (vg_safetensors_entry){"sample", vg_tensor_make(pixels, VG_F32, 5, 1, 3, 1, 20, 16)};
    CHECK_OK(vg_safetensors_write(scratch_path(state, "s"), e, 1, NULL, &err), err);
    vg_safetensors *odd = open_file(scratch_path(state, "s"));
    fails("tiny-hv-t2v", "vae-encode", odd, VG_E_SHAPE, "multiples of 16");
    vg_safetensors_close(odd);
}

/* Whichever allocation of the backend fails, the error says so, everything is given back, and the next run works. */
static void test_model_hv15_failing_memory(void **state)
{
    vg_err err;
    vg_engine *engine = open_engine();
    vg_backend *be = vg_engine_backend(engine);
    vg_model *model = open_dummy("tiny-hv-i2v");
    const vg_component_params params = {.compute = VG_COMPUTE_BF16, .vae_compute = VG_COMPUTE_BF16};
    for (int p = 0; p < 3; p++) {
        vg_safetensors *in = p == 0   ? open_golden("tiny-hv-i2v", "transformer.in")
                             : p == 1 ? open_golden("tiny-hv-i2v", "vae-decode.in")
                                      : make_waves(state, 5, 32, 16);
        bool done = false;
        int failed = 0;
        for (int64_t n = 0; !done; n += 1 + n / 8) {
            vg_safetensors_entry *out;
            int count;
            vg_backend_fail_after(be, n);
            vg_status status =
                vg_component_run(engine, model, parts[p], &params, in, &out, &count, &err);
            vg_backend_fail_after(be, -1);
            if (status == VG_OK) {
                vg_entries_free(out, count);
                done = true;
            } else {
                assert_int_equal(status, VG_E_NOMEM);
                failed++;
            }
            assert_int_equal(be->bytes_now, 0);
        }
        assert_true(failed >= 3);
        vg_safetensors_close(in);
    }
    vg_model_close(model);
    vg_engine_close(engine);
}

/* Keys whose values other models have are refused by name, and so is what contradicts itself. */
static void test_model_hv15_configurations_are_checked(void **state)
{
    static const struct {
        const char *component, *file, *text;
        vg_status wanted;
        const char *says;
    } cases[] = {
        {"transformer", "config.json", "{\"patch_size\": 2}", VG_E_UNSUPPORTED, "patch_size is 2"},
        {"transformer", "config.json", "{\"in_channels\": 98}", VG_E_UNSUPPORTED,
         "super-resolution"},
        {"transformer", "config.json", "{\"rope_axes_dim\": [16, 56, 54]}", VG_E_FORMAT, "128"},
        {"transformer", "config.json", "{\"qk_norm\": \"layer_norm\"}", VG_E_UNSUPPORTED,
         "rms_norm"},
        {"guider", "guider_config.json", "{\"start\": 0.2}", VG_E_UNSUPPORTED, "start is 0.2"},
        {"guider", "guider_config.json", "{\"_class_name\": \"AutoGuidance\"}", VG_E_UNSUPPORTED,
         "ClassifierFreeGuidance"},
        {"vae", "config.json", "{\"latent_channels\": 32, \"spatial_compression_ratio\": 12}",
         VG_E_FORMAT, "power of 2"},
        {"vae", "config.json", "{\"block_out_channels\": [8, 64, 64, 64, 64]}", VG_E_FORMAT,
         "no shortcut"},
        {"vae", "config.json", "{\"upsample_match_channel\": false}", VG_E_UNSUPPORTED,
         "upsample_match_channel is false"},
    };
    vg_err err;
    vg_model *model;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[128];
        link_model(state, GOLDEN "tiny-hv-t2v", cases[i].component);
        snprintf(name, sizeof name, "%s/%s", cases[i].component, cases[i].file);
        scratch_text(state, name, cases[i].text);
        CHECK_FAILS(vg_model_open(scratch_path(state, "."), VG_LOAD_DUMMY, &model, &err),
                    cases[i].wanted, err);
        if (!strstr(err.message, cases[i].says))
            fail_msg("the message \"%s\" does not say \"%s\"", err.message, cases[i].says);
        scratch_close(state);
        scratch_open(state);
    }
}

/* Tensors and parameters of the published sizes, by their configurations. */
static void test_model_hv15_counts_as_published(void **state)
{
    static const struct {
        const char *model, *folder;
        int tensors;
        int64_t parameters;
    } cases[] = {{"t2v", "transformer", 1801, INT64_C(8326608160)},
                 {"i2v", "vae", 218, INT64_C(1260634115)},
                 {"t2v", "text_encoder_2", 111, INT64_C(219314944)}};
    vg_err err;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char dir[512];
        vg_model *model;
        vg_weight_table table;
        vg_weight_place place = {0};
        vg_weight_tensor t;
        int tensors = 0;
        int64_t parameters = 0;
        snprintf(dir, sizeof dir, VG_SOURCE_DIR "/presets/arch/hunyuanvideo-1.5-720p-%s",
                 cases[i].model);
        CHECK_OK(vg_model_open(dir, VG_LOAD_DUMMY, &model, &err), err);
        CHECK_OK(model->family->weight_table(model, cases[i].folder, &table, &err), err);
        while (vg_weight_table_next(&table, &place))
            for (int k = 0; vg_weight_tensor_of(&place, k, &t); k++) {
                vg_tensor x = vg_tensor_of(NULL, VG_F32, t.ndim, t.shape);
                parameters += vg_tensor_numel(&x);
                tensors++;
            }
        if (tensors != cases[i].tensors || parameters != cases[i].parameters)
            fail_msg("%s: %d tensors, %lld parameters", cases[i].folder, tensors,
                     (long long)parameters);
        vg_weight_table_deinit(&table);
        vg_model_close(model);
    }
}

/* ---- encoders: those of hunyuan-text, see make_hunyuan_text.py ---- */

static const vg_tensor *tensor_of(const vg_safetensors *st, const char *name)
{
    const vg_tensor *t = vg_safetensors_find(st, name);
    if (!t)
        fail_msg("no tensor %s", name);
    return t;
}

/* All outputs of a part of the files of tiny-hv-i2v, on these inputs. */
static int run_files(void **state, const char *part, const vg_safetensors_entry *in, int in_count,
                     vg_safetensors_entry **out)
{
    vg_err err;
    vg_engine *engine = open_engine();
    vg_model *model = open_model(GOLDEN "tiny-hv-i2v");
    const vg_component_params params = {.compute = VG_COMPUTE_F32};
    int count;
    CHECK_OK(vg_safetensors_write(scratch_path(state, "in"), in, in_count, NULL, &err), err);
    vg_safetensors *file = open_file(scratch_path(state, "in"));
    CHECK_OK(vg_component_run(engine, model, part, &params, file, out, &count, &err), err);
    vg_safetensors_close(file);
    vg_model_close(model);
    vg_engine_close(engine);
    return count;
}

static void test_model_hv15_image_encoder(void **state)
{
    vg_safetensors *golden = open_file(GOLDEN "hunyuan-text/encoders.safetensors");
    const vg_tensor *pixels = tensor_of(golden, "pixels.0"),
                    *wanted = tensor_of(golden, "image_embeds.0");
    vg_safetensors_entry in = {"pixel_values", *pixels}, *out;
    if (pixels->ndim == 3)
        in.tensor =
            vg_tensor_reshape(pixels, 4, 1, pixels->shape[0], pixels->shape[1], pixels->shape[2]);
    assert_int_equal(run_files(state, "image-encoder", &in, 1, &out), 1);
    assert_string_equal(out[0].name, "image_embeds");
    assert_int_equal(vg_tensor_numel(&out[0].tensor), vg_tensor_numel(wanted));
    double error = rel_l2(out[0].tensor.data, wanted->data, vg_tensor_numel(wanted));
    if (!(error < 1e-4))
        fail_msg("image-encoder: relative L2 %.2e", error);
    vg_entries_free(out, 1);
    vg_safetensors_close(golden);
}

/* Ids of tokens.json through the tokenizers, one batch of all hand-written texts. */
static void check_tokenizer(void **state, const cJSON *cases, const char *part, const char *key,
                            int64_t most)
{
    static uint8_t bytes[1 << 20];
    static int64_t lengths[4096];
    int64_t size = 0, count = 0, at = 0;
    const cJSON *c;
    vg_safetensors_entry *out;
    cJSON_ArrayForEach(c, cases)
    {
        const char *hex = cJSON_GetStringValue(cJSON_GetObjectItem(c, "hex"));
        assert_non_null(hex);
        lengths[count] = (int64_t)strlen(hex) / 2;
        for (int64_t i = 0; i < lengths[count]; i++) {
            unsigned byte;
            assert_true(sscanf(hex + 2 * i, "%2x", &byte) == 1 && size < (int64_t)sizeof bytes);
            bytes[size++] = (uint8_t)byte;
        }
        count++;
    }
    const vg_safetensors_entry in[] = {{"text", vg_tensor_make(bytes, VG_U8, 1, size)},
                                       {"lengths", vg_tensor_make(lengths, VG_I64, 1, count)}};
    assert_int_equal(run_files(state, part, in, 2, &out), 2);
    assert_string_equal(out[0].name, "input_ids");
    const int64_t *ids = out[0].tensor.data, *counts = out[1].tensor.data;
    int64_t i = 0;
    cJSON_ArrayForEach(c, cases)
    {
        const cJSON *wanted = cJSON_GetObjectItem(c, key), *id;
        int64_t k = 0;
        cJSON_ArrayForEach(id, wanted)
        {
            bool end = k + 1 == most && counts[i] > most; /* the golden is cut, with </s> last */
            if (!end && ids[at + k] != (int64_t)id->valuedouble)
                fail_msg("%s, text %lld, token %lld: %lld, not %.0f", part, (long long)i,
                         (long long)k, (long long)ids[at + k], id->valuedouble);
            k++;
        }
        assert_true(counts[i] == k || (k == most && counts[i] > most));
        at += counts[i++];
    }
    assert_int_equal(vg_tensor_numel(&out[0].tensor), at);
    vg_entries_free(out, 2);
}

static void test_model_hv15_tokenizers(void **state)
{
    vg_err err;
    cJSON *json;
    CHECK_OK(vg_json_load(GOLDEN "hunyuan-text/tokens.json", &json, &err), err);
    const cJSON *cases = cJSON_GetObjectItem(json, "cases");
    assert_true(cJSON_GetArraySize(cases) > 20);
    check_tokenizer(state, cases, "tokenizer", "ids", INT64_MAX);
    check_tokenizer(state, cases, "tokenizer-2", "byt5_ids", 256);
    cJSON_Delete(json);
}

/* The chat's ids of a golden prompt through the text encoder, padded on the right; its states behind the crop. */
static void test_model_hv15_text_encoders(void **state)
{
    enum { LENGTH = VG_HUNYUAN_CROP + VG_HUNYUAN_TOKENS };
    vg_err err;
    vg_safetensors *golden = open_file(GOLDEN "hunyuan-text/encoders.safetensors");
    const vg_tensor *wanted = tensor_of(golden, "prompt_embeds.0");
    const cJSON *texts;
    cJSON *json;
    vg_bpe *bpe;
    int most = (int)strtol(vg_safetensors_metadata(golden, "max_tokens"), NULL, 10), count;
    const char *text = vg_safetensors_metadata(golden, "texts");
    json = cJSON_Parse(text);
    assert_true(cJSON_IsArray(json));
    texts = json->child;
    CHECK_OK(vg_bpe_open(GOLDEN "hunyuan-text/tokenizer", &bpe, &err), err);
    int32_t ids[LENGTH];
    int64_t wide[LENGTH], mask[LENGTH];
    CHECK_OK(vg_hunyuan_prompt_ids(bpe, cJSON_GetStringValue(texts), most, ids, &count, NULL, &err),
             err);
    int64_t length = VG_HUNYUAN_CROP + most;
    for (int64_t i = 0; i < length; i++) {
        wide[i] = i < count ? ids[i] : 0;
        mask[i] = i < count;
    }
    const vg_safetensors_entry in[] = {
        {"input_ids", vg_tensor_make(wide, VG_I64, 2, 1, length)},
        {"attention_mask", vg_tensor_make(mask, VG_I64, 2, 1, length)}};
    vg_safetensors_entry *out;
    assert_int_equal(run_files(state, "text-encoder", in, 2, &out), 1);
    assert_string_equal(out[0].name, "prompt_embeds");
    assert_int_equal(out[0].tensor.shape[1], most);
    int64_t valid = (count - VG_HUNYUAN_CROP) * out[0].tensor.shape[2];
    double error = rel_l2(out[0].tensor.data, wanted->data, valid);
    if (!(error < 1e-4))
        fail_msg("text-encoder: relative L2 %.2e", error);
    vg_entries_free(out, 1);
    vg_bpe_close(bpe);
    cJSON_Delete(json);
    vg_safetensors_close(golden);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_open, scratch_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_model_hv15_parts_match_diffusers),
        TEST(test_model_hv15_mistakes_are_seen),
        TEST(test_model_hv15_zero_picture_is_none),
        TEST(test_model_hv15_fp8_is_near),
        TEST(test_model_hv15_reads_files),
        TEST(test_model_hv15_errors_say_what),
        TEST(test_model_hv15_failing_memory),
        TEST(test_model_hv15_configurations_are_checked),
        TEST(test_model_hv15_image_encoder),
        TEST(test_model_hv15_counts_as_published),
        TEST(test_model_hv15_tokenizers),
        TEST(test_model_hv15_text_encoders),
    };
    return cmocka_run_group_tests_name("model_hv15", tests, NULL, NULL);
}

/* test_model_component.c: every part of the tiny models against diffusers and transformers (tests/oracle/make_components.py and
 * make_fp8.py). FP32 parts agree to some 1e-6; the limit 1e-4 is below what a 10 % change of any single weight does (1.4e-4).
 * BF16: 2e-2, and not more than three times what BF16 costs the reference itself, from the golden's metadata. Every rounding is where the
 * reference has it (the VAE of tiny-c comes out bit for bit); what is left is sums in another order and torch's approximate
 * exponential in attention, whose flipped last bits grow along the net: 0 to 1.1e-2 (torch from itself with FP64 sums: 0 to 9.0e-3).
 * FP8: one flipped E4M3 code is worth up to 7e-3 here, so 2e-2 in FP32 compute. With BF16 around it, and where the file is FP32
 * (tiny-b: we quantise from the file's values, the golden from BF16 ones), many codes flip: 8e-2, about the cost of FP8 itself. */
#include "tests/model.h"

#define DEMO VG_SOURCE_DIR "/presets/demo/wan-t2v"

typedef struct part_case {
    const char *model, *part, *input, *golden;
    vg_compute compute;
    int scheme; /* -1 = the checkpoint's own */
    bool tiled;
    double limit; /* 0 = BF16: 2e-2 or three times the golden's own BF16 error, the smaller */
} part_case;

/* Largest relative error of a case; tokens that the attention mask hides are not compared. */
static double run_case(const char *model_dir, const char *part, const char *input,
                       const char *golden, const vg_component_params *params, double *bf16_error)
{
    vg_err err;
    vg_engine *engine = open_engine();
    vg_model *model = open_model(model_dir);
    vg_safetensors *in = open_file(input), *wanted = open_file(golden);
    vg_safetensors_entry *out;
    int count;
    CHECK_OK(vg_component_run(engine, model, part, params, in, &out, &count, &err), err);
    assert_int_equal(count, 1);
    const vg_tensor *reference = vg_safetensors_find(wanted, out[0].name),
                    *mask = vg_safetensors_find(in, "attention_mask");
    assert_non_null(reference);
    assert_true(vg_tensor_same_shape(reference, &out[0].tensor) && out[0].tensor.dtype == VG_F32);
    float *a = out[0].tensor.data;
    const float *b = reference->data;
    int64_t total = vg_tensor_numel(reference);
    for (int64_t i = 0; mask && i < total; i++) {
        int64_t shown;
        memcpy(&shown, (const char *)mask->data + 8 * (i / reference->shape[2]), 8);
        if (!shown)
            a[i] = b[i];
    }
    const char *cost = vg_safetensors_metadata(wanted, "rel_l2_to_float32");
    if (bf16_error)
        *bf16_error = cost ? strtod(cost, NULL) : 0;
    double error = rel_l2(a, b, total);
    vg_entries_free(out, count);
    vg_safetensors_close(wanted);
    vg_safetensors_close(in);
    vg_model_close(model);
    size_t left = vg_engine_backend(engine)->bytes_now;
    vg_engine_close(engine);
    assert_int_equal(left, 0);
    return error;
}

static int compare(const part_case *c)
{
    char dir[512], input[512], golden[512];
    double bf16_error;
    snprintf(dir, sizeof dir, "%s%s", strcmp(c->model, "demo") ? GOLDEN : "",
             strcmp(c->model, "demo") ? c->model : DEMO);
    const char *exported = strstr(c->model, "-modelopt"); /* these take their source's inputs */
    int stem = (int)(exported ? (size_t)(exported - c->model) : strlen(c->model));
    snprintf(input, sizeof input, GOLDEN "%.*s/component/%s.in.safetensors", stem, c->model,
             c->input);
    snprintf(golden, sizeof golden, GOLDEN "%s/component/%s.safetensors", c->model, c->golden);
    if (!vg_file_exists(input) || !vg_file_exists(golden))
        return 0;
    vg_component_params params = {.scheme = c->scheme < 0 ? VG_SCHEME_BF16 : (vg_scheme)c->scheme,
                                  .scheme_given = c->scheme >= 0,
                                  .compute = c->compute,
                                  .vae_compute = c->compute,
                                  .vae_tiling = c->tiled};
    double error = run_case(dir, c->part, input, golden, &params, &bf16_error), limit = c->limit;
    if (limit == 0) {
        assert_true(bf16_error > 1e-4);
        limit = fmin(2e-2, 3 * bf16_error);
    }
    if (!(error < limit))
        fail_msg("%s %s: relative L2 %.2e, limit %.2e", c->model, c->golden, error, limit);
    return 1;
}

static const char *const models[] = {"tiny-a", "tiny-b", "tiny-c", "tiny-i2v", "tiny-vace"};
#define MODELS ((int)(sizeof models / sizeof models[0]))
static const char *const parts[] = {"text-encoder", "transformer", "transformer_2", "vae-decode",
                                    "vae-encode"};

static void test_model_component_f32_and_bf16(void **state)
{
    int done = 0;
    (void)state;
    for (int m = 0; m < MODELS; m++)
        for (int p = 0; p < 5; p++)
            for (int bf16 = 0; bf16 < 2; bf16++) {
                char golden[64];
                snprintf(golden, sizeof golden, "%s.%sout", parts[p], bf16 ? "bf16." : "");
                part_case c = {models[m],
                               parts[p],
                               parts[p],
                               golden,
                               bf16 ? VG_COMPUTE_BF16 : VG_COMPUTE_F32,
                               -1,
                               false,
                               bf16 ? 0 : 1e-4};
                done += compare(&c);
            }
    assert_int_equal(done,
                     42); /* tiny-a has one expert, tiny-vace borrows what is no transformer */
}

/* The demo's VAE is trained: its goldens are of the bundled weights and a clip of their world. */
static void test_model_component_trained_vae(void **state)
{
    static const part_case cases[] = {
        {"demo", "vae-decode", "vae-decode", "vae-decode.out", VG_COMPUTE_F32, -1, false, 1e-4},
        {"demo", "vae-decode", "vae-decode", "vae-decode.bf16.out", VG_COMPUTE_BF16, -1, false, 0},
        {"demo", "vae-encode", "vae-encode", "vae-encode.out", VG_COMPUTE_F32, -1, false, 1e-4},
        {"demo", "vae-encode", "vae-encode", "vae-encode.bf16.out", VG_COMPUTE_BF16, -1, false, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(compare(&cases[i]), 1);
}

static void test_model_component_tiled_as_diffusers(void **state)
{
    int done = 0;
    (void)state;
    for (int m = 0; m < MODELS; m++)
        for (int p = 3; p < 5; p++) {
            char golden[64], input[64];
            snprintf(input, sizeof input, "%s-tiled", parts[p]);
            snprintf(golden, sizeof golden, "%s-tiled.out", parts[p]);
            part_case c = {models[m], parts[p], input, golden, VG_COMPUTE_F32, -1, true, 1e-4};
            done += compare(&c);
        }
    assert_int_equal(done, 4);
}

static void test_model_component_fp8_made_at_load(void **state)
{
    int done = 0;
    (void)state;
    for (int m = 0; m < MODELS; m++)
        for (int p = 1; p < 3; p++)
            for (int bf16 = 0; bf16 < 2; bf16++)
                for (int block = 0; block < 2; block++) {
                    char golden[64];
                    snprintf(golden, sizeof golden, "%s.%s.%sout", parts[p],
                             block ? "fp8-block" : "fp8", bf16 ? "bf16." : "");
                    part_case c = {models[m],
                                   parts[p],
                                   parts[p],
                                   golden,
                                   bf16 ? VG_COMPUTE_BF16 : VG_COMPUTE_F32,
                                   block ? VG_SCHEME_FP8_BLOCK : VG_SCHEME_FP8,
                                   false,
                                   bf16 ? 8e-2 : 2e-2};
                    done += compare(&c);
                }
    assert_int_equal(done, 28);
}

static void test_model_component_modelopt_checkpoints(void **state)
{
    static const part_case cases[] = {
        {"tiny-b-modelopt-fp8", "transformer", "transformer", "transformer.out", VG_COMPUTE_F32, -1,
         false, 2e-2},
        {"tiny-b-modelopt-fp8", "transformer_2", "transformer_2", "transformer_2.out",
         VG_COMPUTE_F32, VG_SCHEME_FP8, false, 2e-2},
        {"tiny-b-modelopt-fp8", "transformer", "transformer", "transformer.bf16.out",
         VG_COMPUTE_BF16, -1, false, 8e-2},
        {"tiny-b-modelopt-fp8", "transformer", "transformer", "transformer.out", VG_COMPUTE_F32,
         VG_SCHEME_BF16, false, 8e-2},
        {"tiny-a-modelopt-fp8-block", "transformer", "transformer", "transformer.out",
         VG_COMPUTE_F32, -1, false, 2e-2},
        {"tiny-a-modelopt-fp8-block", "transformer", "transformer", "transformer.out",
         VG_COMPUTE_F32, VG_SCHEME_FP8_BLOCK, false, 2e-2},
        {"tiny-a-modelopt-fp8-block", "transformer", "transformer", "transformer.bf16.out",
         VG_COMPUTE_BF16, -1, false, 8e-2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(compare(&cases[i]), 1);
}

/* The harness must be able to fail: another expert's weights are far off. */
static void test_model_component_wrong_weights_are_seen(void **state)
{
    (void)state;
    vg_component_params params = {.compute = VG_COMPUTE_F32};
    double error = run_case(GOLDEN "tiny-b", "transformer_2",
                            GOLDEN "tiny-b/component/transformer.in.safetensors",
                            GOLDEN "tiny-b/component/transformer.out.safetensors", &params, NULL);
    assert_true(error > 0.1);
}

static void run_fails(const char *dir, const char *part, const char *input,
                      const vg_component_params *params, vg_status wanted, const char *says)
{
    vg_err err;
    vg_engine *engine = open_engine();
    vg_model *model = open_model(dir);
    vg_safetensors *in = open_file(input);
    vg_safetensors_entry *out;
    int count;
    CHECK_FAILS(vg_component_run(engine, model, part, params, in, &out, &count, &err), wanted, err);
    if (!strstr(err.message, says))
        fail_msg("the message \"%s\" does not say \"%s\"", err.message, says);
    assert_int_equal(vg_engine_backend(engine)->bytes_now, 0);
    vg_safetensors_close(in);
    vg_model_close(model);
    vg_engine_close(engine);
}

/* Two tensors of dtypes that the writer has no name for. Bytes: small numbers, little-endian I16 when there are 8, else ones. */
static void write_raw(void **state, const char *a, const char *a_dtype, const char *a_shape,
                      int a_bytes, const char *b, const char *b_dtype, const char *b_shape,
                      int b_bytes)
{
    static const uint8_t ids[8] = {5, 0, 7, 0, 9, 0, 1, 0}, mask[4] = {1, 1, 1, 0};
    uint8_t file[600] = {0};
    int n = snprintf(
        (char *)file + 8, sizeof file - 8,
        "{\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[0,%d]},\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%d,%d]}}",
        a, a_dtype, a_shape, a_bytes, b, b_dtype, b_shape, a_bytes, a_bytes + b_bytes);
    file[0] = (uint8_t)n;
    file[1] = (uint8_t)(n >> 8);
    memcpy(file + 8 + n, a_bytes == 8 ? ids : mask, (size_t)a_bytes);
    memcpy(file + 8 + n + a_bytes, b_bytes == 8 ? ids : mask, (size_t)b_bytes);
    scratch_write(state, "raw", file, (size_t)(8 + n + a_bytes + b_bytes));
}

static void test_model_component_errors_say_what(void **state)
{
    vg_component_params params = {.compute = VG_COMPUTE_F32},
                        block = {.scheme = VG_SCHEME_FP8_BLOCK, .scheme_given = true},
                        tensor = {.scheme = VG_SCHEME_FP8, .scheme_given = true};
    const char *dit_in = GOLDEN "tiny-b/component/transformer.in.safetensors",
               *a_in = GOLDEN "tiny-a/component/transformer.in.safetensors";
    vg_err err;
    run_fails(GOLDEN "tiny-a", "nonsense", a_in, &params, VG_E_ARG, "vae-decode");
    run_fails(GOLDEN "tiny-a", "transformer_2", a_in, &params, VG_E_MISSING, "transformer_2");
    run_fails(GOLDEN "tiny-a", "text-encoder", a_in, &params, VG_E_MISSING, "input_ids");
    run_fails(GOLDEN "tiny-a", "transformer", dit_in, &params, VG_E_SHAPE, "encoder_hidden_states");
    run_fails(GOLDEN "tiny-b-modelopt-fp8", "transformer", dit_in, &block, VG_E_UNSUPPORTED,
              "per-tensor");
    run_fails(GOLDEN "tiny-a-modelopt-fp8-block", "transformer", a_in, &tensor, VG_E_UNSUPPORTED,
              "per-block");
    run_fails(GOLDEN "tiny-b-modelopt-fp8", "vae-decode", dit_in, &params, VG_E_MISSING, "latents");
    int64_t ids[2] = {5, 1 << 20}, mask[2] = {1, 1};
    vg_safetensors_entry wild[] = {{"input_ids", vg_tensor_make(ids, VG_I64, 2, 1, 2)},
                                   {"attention_mask", vg_tensor_make(mask, VG_I64, 2, 1, 2)}};
    CHECK_OK(vg_safetensors_write(scratch_path(state, "ids"), wild, 2, NULL, &err), err);
    run_fails(GOLDEN "tiny-a", "text-encoder", scratch_path(state, "ids"), &params, VG_E_ARG,
              "1048576");
    write_raw(state, "input_ids", "F8_E5M2", "[1,2]", 2, "attention_mask", "BOOL", "[1,2]", 2);
    run_fails(GOLDEN "tiny-a", "text-encoder", scratch_path(state, "raw"), &params, VG_E_DTYPE,
              "input_ids is F8_E5M2");
    write_raw(state, "input_ids", "BOOL", "[1,1,1,1,1,1,2]", 2, "attention_mask", "BOOL", "[1,2]",
              2);
    run_fails(GOLDEN "tiny-a", "text-encoder", scratch_path(state, "raw"), &params, VG_E_SHAPE,
              "too many dimensions");
}

static void run_works(const char *part, const char *input, vg_tensor *out)
{
    vg_err err;
    vg_component_params params = {.compute = VG_COMPUTE_F32};
    vg_engine *engine = open_engine();
    vg_model *model = open_model(GOLDEN "tiny-a");
    vg_safetensors *in = open_file(input);
    vg_safetensors_entry *entries;
    int count;
    CHECK_OK(vg_component_run(engine, model, part, &params, in, &entries, &count, &err), err);
    *out = entries[0].tensor;
    free(entries);
    vg_safetensors_close(in);
    vg_model_close(model);
    vg_engine_close(engine);
}

/* The same numbers in any dtype give the same result. */
static void test_model_component_takes_inputs_of_any_dtype(void **state)
{
    vg_err err;
    vg_tensor wanted, got;
    int64_t ids64[4] = {5, 7, 9, 1}, mask64[4] = {1, 1, 1, 0};
    int32_t mask32[4] = {1, 1, 1, 0};
    uint8_t ids8[4] = {5, 7, 9, 1};
    double idsd[4] = {5, 7, 9, 1};
    float maskf[4] = {1, 1, 1, 0};
    vg_safetensors_entry e[] = {{"input_ids", vg_tensor_make(ids64, VG_I64, 2, 2, 2)},
                                {"attention_mask", vg_tensor_make(mask64, VG_I64, 2, 2, 2)}};
    const vg_tensor others[][2] = {
        {vg_tensor_make(ids8, VG_U8, 2, 2, 2), vg_tensor_make(mask32, VG_I32, 2, 2, 2)},
        {vg_tensor_make(idsd, VG_F64, 2, 2, 2), vg_tensor_make(maskf, VG_F32, 2, 2, 2)}};
    CHECK_OK(vg_safetensors_write(scratch_path(state, "in"), e, 2, NULL, &err), err);
    run_works("text-encoder", scratch_path(state, "in"), &wanted);
    for (int i = 0; i < 3; i++) {
        const char *file = i < 2 ? "in" : "raw";
        if (i < 2) {
            e[0].tensor = others[i][0];
            e[1].tensor = others[i][1];
            CHECK_OK(vg_safetensors_write(scratch_path(state, "in"), e, 2, NULL, &err), err);
        } else {
            write_raw(state, "attention_mask", "BOOL", "[2,2]", 4, "input_ids", "I16", "[2,2]", 8);
        }
        run_works("text-encoder", scratch_path(state, file), &got);
        assert_memory_equal(got.data, wanted.data, vg_tensor_bytes(&wanted));
        free(got.data);
    }
    free(wanted.data);
    memset(mask64, 0, sizeof mask64); /* the reference runs with nothing to attend to */
    e[1].tensor = vg_tensor_make(mask64, VG_I64, 2, 2, 2);
    CHECK_OK(vg_safetensors_write(scratch_path(state, "in"), e, 2, NULL, &err), err);
    run_works("text-encoder", scratch_path(state, "in"), &got);
    for (int64_t i = 0; i < vg_tensor_numel(&got); i++)
        assert_true(isfinite(((float *)got.data)[i]));
    free(got.data);
}

/* One timestep serves a batch, as pipelines expand it; F64 and scalars are read. */
static void test_model_component_expands_the_timestep(void **state)
{
    vg_err err;
    vg_safetensors *in = open_file(GOLDEN "tiny-a/component/transformer.in.safetensors");
    vg_tensor one[2] = {*vg_safetensors_find(in, "hidden_states"),
                        *vg_safetensors_find(in, "encoder_hidden_states")},
              two[2], out[3];
    const int64_t batch = 2;
    double t[2] = {500, 500};
    for (int i = 0; i < 2; i++) { /* a batch of the same row twice */
        size_t bytes = vg_tensor_bytes(&one[i]);
        assert_int_equal(one[i].shape[0], 1);
        two[i] = one[i];
        two[i].shape[0] = batch;
        two[i].data = malloc(2 * bytes);
        assert_non_null(two[i].data);
        memcpy(two[i].data, one[i].data, bytes);
        memcpy((char *)two[i].data + bytes, one[i].data, bytes);
    }
    for (int i = 0; i < 3; i++) {
        vg_tensor step =
            i == 0 ? vg_tensor_make(t, VG_F64, 1, batch) : vg_tensor_make(t, VG_F64, 1, (int64_t)1);
        if (i == 2)
            step.ndim = 0;
        vg_safetensors_entry e[] = {
            {"hidden_states", two[0]}, {"encoder_hidden_states", two[1]}, {"timestep", step}};
        CHECK_OK(vg_safetensors_write(scratch_path(state, "in"), e, 3, NULL, &err), err);
        run_works("transformer", scratch_path(state, "in"), &out[i]);
        assert_memory_equal(out[i].data, out[0].data, vg_tensor_bytes(&out[0]));
    }
    for (int i = 0; i < 3; i++)
        free(out[i].data);
    free(two[0].data);
    free(two[1].data);
    vg_safetensors_close(in);
}

/* ---- damaged weights ---- */

typedef struct damage {
    const char *component, *stem;
    const char *parts[2]; /* one of them must notice */
} damage;

static vg_status run_part(vg_engine *engine, const vg_model *model, const char *part, vg_err *err)
{
    char input[512];
    vg_safetensors_entry *out = NULL;
    int count = 0;
    vg_component_params params = {.compute = VG_COMPUTE_F32};
    snprintf(input, sizeof input, GOLDEN "tiny-b/component/%s.in.safetensors", part);
    vg_safetensors *in = open_file(input);
    vg_status status = vg_component_run(engine, (vg_model *)(uintptr_t)model, part, &params, in,
                                        &out, &count, err);
    vg_entries_free(out, count);
    vg_safetensors_close(in);
    return status;
}

static void damage_each(void **state, const damage *d)
{
    vg_err err;
    vg_weights *weights;
    char *dir = vg_path_join(GOLDEN "tiny-b", d->component);
    vg_engine *engine = open_engine();
    CHECK_OK(vg_weights_open(dir, &weights, &err), err);
    link_model(state, GOLDEN "tiny-b", d->component);
    for (int i = -1; i < vg_weights_count(weights); i++)
        for (int bend = 0; bend < (i < 0 ? 1 : 2); bend++) {
            write_weights(state, d->component, d->stem, weights, bend ? -1 : i, bend ? i : -1);
            vg_model *model = open_model(*state);
            bool noticed = false;
            for (int p = 0; p < 2 && d->parts[p]; p++) {
                vg_status status = run_part(engine, model, d->parts[p], &err);
                if (i < 0)
                    assert_int_equal(status, VG_OK);
                if (status == (bend ? VG_E_SHAPE : VG_E_MISSING) &&
                    strstr(err.message, vg_weights_name(weights, i)))
                    noticed = true;
                else if (status != VG_OK)
                    fail_msg("%s: %s", vg_weights_name(weights, i), err.message);
            }
            if (i >= 0 && !noticed)
                fail_msg("nobody missed %s %s", vg_weights_name(weights, i),
                         bend ? "(bent)" : "(gone)");
            vg_model_close(model);
            assert_int_equal(vg_engine_backend(engine)->bytes_now, 0);
        }
    vg_weights_close(weights);
    vg_engine_close(engine);
    free(dir);
}

static void test_model_component_misses_each_transformer_tensor(void **state)
{
    damage_each(state,
                &(damage){"transformer_2", "diffusion_pytorch_model", {"transformer_2", NULL}});
}

static void test_model_component_misses_each_text_tensor(void **state)
{
    /* Without encoder.embed_tokens.weight the other name, shared.weight, is what is asked for. */
    vg_err err;
    vg_weights *weights;
    vg_engine *engine = open_engine();
    CHECK_OK(vg_weights_open(GOLDEN "tiny-b/text_encoder", &weights, &err), err);
    link_model(state, GOLDEN "tiny-b", "text_encoder");
    for (int i = 0; i < vg_weights_count(weights); i++) {
        const char *name = vg_weights_name(weights, i);
        write_weights(state, "text_encoder", "model", weights, i, -1);
        vg_model *model = open_model(*state);
        assert_int_equal(run_part(engine, model, "text-encoder", &err), VG_E_MISSING);
        assert_non_null(strstr(err.message, strcmp(name, "encoder.embed_tokens.weight") == 0
                                                ? "shared.weight"
                                                : name));
        vg_model_close(model);
    }
    vg_weights_close(weights);
    vg_engine_close(engine);
}

static void test_model_component_misses_each_vae_tensor(void **state)
{
    damage_each(state, &(damage){"vae", "diffusion_pytorch_model", {"vae-decode", "vae-encode"}});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model_component_f32_and_bf16),
        cmocka_unit_test(test_model_component_trained_vae),
        cmocka_unit_test(test_model_component_tiled_as_diffusers),
        cmocka_unit_test(test_model_component_fp8_made_at_load),
        cmocka_unit_test(test_model_component_modelopt_checkpoints),
        cmocka_unit_test(test_model_component_wrong_weights_are_seen),
        cmocka_unit_test_setup_teardown(test_model_component_errors_say_what, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_model_component_takes_inputs_of_any_dtype,
                                        scratch_open, scratch_close),
        cmocka_unit_test_setup_teardown(test_model_component_expands_the_timestep, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_model_component_misses_each_transformer_tensor,
                                        scratch_open, scratch_close),
        cmocka_unit_test_setup_teardown(test_model_component_misses_each_text_tensor, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_model_component_misses_each_vae_tensor, scratch_open,
                                        scratch_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

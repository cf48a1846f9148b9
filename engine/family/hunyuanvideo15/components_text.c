/* components_text.c: tokenizers and encoders of a HunyuanVideo-1.5 model for `vgen component`; see components.c. */
#include "engine/family/hunyuanvideo15/hv15.h"

#include "engine/run/component_io.h"
#include "engine/text/hunyuan_prompt.h"

#include <stdlib.h>
#include <string.h>

#define TOKENS_MAX 8192 /* of a row */

/* ---- rows of ids with a mask, as both text encoders take them ---- */

typedef struct id_rows {
    double *ids, *mask; /* [rows, length] */
    int64_t shape[2];
} id_rows;

static void id_rows_deinit(id_rows *r)
{
    free(r->ids);
    free(r->mask);
}

static vg_status read_id_rows(const vg_safetensors *in, const char *part, id_rows *r, vg_err *err)
{
    int64_t mask_shape[2];
    VG_TRY(vg_input_numbers(in, part, "input_ids", 2, r->shape, &r->ids, err));
    VG_TRY(vg_input_numbers(in, part, "attention_mask", 2, mask_shape, &r->mask, err));
    if (r->shape[0] != mask_shape[0] || r->shape[1] != mask_shape[1])
        return VG_FAIL(err, VG_E_SHAPE, "%s: input_ids and attention_mask differ in shape", part);
    if (r->shape[1] > TOKENS_MAX)
        return VG_FAIL(err, VG_E_SHAPE, "%s: rows of %lld tokens; at most %d are possible", part,
                       (long long)r->shape[1], TOKENS_MAX);
    return VG_OK;
}

/* The valid tokens of row `row`, which stand in front: ids [length]. */
static vg_status valid_ids(const id_rows *r, const char *part, int64_t row, int32_t *ids,
                           int64_t *count, vg_err *err)
{
    int64_t length = r->shape[1];
    *count = 0;
    for (int64_t i = 0; i < length; i++) {
        double id = r->ids[row * length + i];
        if (r->mask[row * length + i] == 0)
            continue;
        if (*count != i)
            return VG_FAIL(
                err, VG_E_ARG,
                "%s: row %lld of attention_mask has a 0 in front of a 1; padding is on the right",
                part, (long long)row);
        ids[(*count)++] = id >= 0 && id < 2147483647.0 ? (int32_t)id : -1;
    }
    if (*count == 0)
        return VG_FAIL(err, VG_E_ARG, "%s: row %lld has no valid token", part, (long long)row);
    return VG_OK;
}

/* ---- Qwen2.5-VL ---- */

static vg_status run_qwen(vg_engine *engine, vg_model *model, const vg_component_params *params,
                          const id_rows *r, int64_t crop, float *values, vg_err *err)
{
    const hv_config *c = hv_config_of(model);
    int64_t kept = (r->shape[1] - crop) * c->text.hidden;
    vg_qwen25 *encoder = NULL;
    char *dir = NULL;
    vg_status status;
    int32_t *ids = malloc((size_t)r->shape[1] * sizeof *ids);
    if (!ids)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %lld tokens", (long long)r->shape[1]);
    VG_TRY_GOTO(status, vg_model_weights_dir(model, "text_encoder", &dir, err), done);
    VG_TRY_GOTO(status,
                vg_qwen25_open(engine, dir, "text_encoder", &c->text,
                               vg_compute_dtype(params->compute), &encoder, err),
                done);
    for (int64_t row = 0; row < r->shape[0]; row++) {
        vg_qwen25_text text = {.ids = ids, .crop = crop, .out = values + row * kept};
        VG_TRY_GOTO(status, valid_ids(r, "text-encoder", row, ids, &text.length, err), done);
        VG_TRY_GOTO(status, vg_qwen25_run(encoder, &text, 1, params->cancel, NULL, NULL, err),
                    done);
    }
done:
    vg_qwen25_close(encoder);
    free(dir);
    free(ids);
    return status;
}

vg_status hv_run_text_encoder(vg_engine *engine, vg_model *model, const vg_component_params *params,
                              const vg_safetensors *in, vg_safetensors_entry **out, int *out_count,
                              vg_err *err)
{
    id_rows r = {0};
    float *values;
    vg_status status;
    *out = NULL;
    VG_TRY(vg_model_need(model, "text_encoder", err));
    VG_TRY_GOTO(status, read_id_rows(in, "text-encoder", &r, err), done);
    int64_t crop = r.shape[1] > VG_HUNYUAN_CROP ? VG_HUNYUAN_CROP : 0;
    const int64_t shape[3] = {r.shape[0], r.shape[1] - crop, hv_config_of(model)->text.hidden};
    VG_TRY_GOTO(status, vg_output_f32("prompt_embeds", 3, shape, out, out_count, &values, err),
                done);
    status = run_qwen(engine, model, params, &r, crop, values, err);
done:
    id_rows_deinit(&r);
    return vg_output_finish(status, out, out_count);
}

/* ---- ByT5 ---- */

static vg_status run_byt5(vg_engine *engine, vg_model *model, const vg_component_params *params,
                          const id_rows *r, float *values, vg_err *err)
{
    const hv_config *c = hv_config_of(model);
    int64_t length = r->shape[1], valid;
    vg_umt5 *encoder = NULL;
    char *dir = NULL;
    vg_status status;
    int32_t *ids = malloc((size_t)length * sizeof *ids);
    if (!ids)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %lld tokens", (long long)length);
    VG_TRY_GOTO(status, vg_model_weights_dir(model, "text_encoder_2", &dir, err), done);
    VG_TRY_GOTO(status,
                vg_umt5_open(engine, dir, "text_encoder_2", &c->glyphs,
                             vg_compute_dtype(params->compute), &encoder, err),
                done);
    for (int64_t row = 0; row < r->shape[0]; row++) {
        VG_TRY_GOTO(status, valid_ids(r, "text-encoder-2", row, ids, &valid, err), done);
        VG_TRY_GOTO(status,
                    vg_umt5_run(encoder, ids, NULL, valid, params->cancel,
                                values + row * length * c->glyphs.d_model, err),
                    done);
    }
done:
    vg_umt5_close(encoder);
    free(dir);
    free(ids);
    return status;
}

vg_status hv_run_text_encoder_2(vg_engine *engine, vg_model *model,
                                const vg_component_params *params, const vg_safetensors *in,
                                vg_safetensors_entry **out, int *out_count, vg_err *err)
{
    id_rows r = {0};
    float *values;
    vg_status status;
    *out = NULL;
    VG_TRY(vg_model_need(model, "text_encoder_2", err));
    VG_TRY_GOTO(status, read_id_rows(in, "text-encoder-2", &r, err), done);
    const int64_t shape[3] = {r.shape[0], r.shape[1], hv_config_of(model)->glyphs.d_model};
    VG_TRY_GOTO(status, vg_output_f32("last_hidden_state", 3, shape, out, out_count, &values, err),
                done);
    status = run_byt5(engine, model, params, &r, values, err);
done:
    id_rows_deinit(&r);
    return vg_output_finish(status, out, out_count);
}

/* ---- SigLIP ---- */

vg_status hv_run_image_encoder(vg_engine *engine, vg_model *model,
                               const vg_component_params *params, const vg_safetensors *in,
                               vg_safetensors_entry **out, int *out_count, vg_err *err)
{
    const vg_siglip_config *c = &hv_config_of(model)->vision;
    int64_t s[4], tokens = vg_siglip_tokens(c);
    vg_siglip *encoder = NULL;
    float *pixels = NULL, *values;
    char *dir = NULL;
    vg_status status;
    *out = NULL;
    VG_TRY(vg_model_need(model, "image_encoder", err));
    VG_TRY_GOTO(status, vg_input_f32(in, "image-encoder", "pixel_values", 4, s, &pixels, err),
                done);
    if (s[1] != 3 || s[2] != c->image || s[3] != c->image) {
        status = VG_FAIL(
            err, VG_E_SHAPE,
            "image-encoder: pixel_values are [%lld, %lld, %lld, %lld]; [B, 3, %lld, %lld] is wanted",
            (long long)s[0], (long long)s[1], (long long)s[2], (long long)s[3], (long long)c->image,
            (long long)c->image);
        goto done;
    }
    const int64_t shape[3] = {s[0], tokens, c->hidden};
    VG_TRY_GOTO(status, vg_output_f32("image_embeds", 3, shape, out, out_count, &values, err),
                done);
    VG_TRY_GOTO(status, vg_model_weights_dir(model, "image_encoder", &dir, err), done);
    VG_TRY_GOTO(status,
                vg_siglip_open(engine, dir, "image_encoder", c, vg_compute_dtype(params->compute),
                               &encoder, err),
                done);
    for (int64_t b = 0; b < s[0]; b++)
        VG_TRY_GOTO(status,
                    vg_siglip_run(encoder, pixels + b * 3 * c->image * c->image, params->cancel,
                                  values + b * tokens * c->hidden, err),
                    done);
done:
    vg_siglip_close(encoder);
    free(dir);
    free(pixels);
    return vg_output_finish(status, out, out_count);
}

/* ---- tokenizers: bytes of all texts, one behind the other, and the length of each ---- */

typedef struct texts {
    char *bytes;
    int64_t *lengths, count;
} texts;

static void texts_deinit(texts *t)
{
    free(t->bytes);
    free(t->lengths);
}

static vg_status read_texts(const vg_safetensors *in, const char *part, texts *t, vg_err *err)
{
    int64_t size[1], count[1], sum = 0;
    double *bytes = NULL, *lengths = NULL;
    vg_status status;
    VG_TRY_GOTO(status, vg_input_numbers(in, part, "text", 1, size, &bytes, err), done);
    VG_TRY_GOTO(status, vg_input_numbers(in, part, "lengths", 1, count, &lengths, err), done);
    t->count = count[0];
    t->bytes = malloc((size_t)size[0] + 1);
    t->lengths = malloc((size_t)count[0] * sizeof *t->lengths);
    if (!t->bytes || !t->lengths) {
        status =
            VG_FAIL(err, VG_E_NOMEM, "out of memory for %lld bytes of text", (long long)size[0]);
        goto done;
    }
    for (int64_t i = 0; i < size[0]; i++)
        t->bytes[i] = (char)(unsigned char)(bytes[i] >= 0 && bytes[i] < 256 ? bytes[i] : 0);
    for (int64_t i = 0; i < count[0]; i++) {
        bool fits = lengths[i] >= 0 && lengths[i] <= (double)(size[0] - sum);
        sum += t->lengths[i] = fits ? (int64_t)lengths[i] : size[0] + 1 - sum;
    }
    if (sum != size[0])
        status = VG_FAIL(err, VG_E_SHAPE, "%s: lengths do not add up to the %lld bytes of text",
                         part, (long long)size[0]);
done:
    free(bytes);
    free(lengths);
    return status;
}

/* Ids of one text, to ids[0..room): *count says how many there are. */
typedef vg_status encode_fn(const void *tokenizer, const char *text, size_t size, int32_t *ids,
                            int room, int *count, vg_err *err);

static vg_status encode_bpe(const void *tokenizer, const char *text, size_t size, int32_t *ids,
                            int room, int *count, vg_err *err)
{
    return vg_bpe_encode(tokenizer, text, size, ids, room, count, err);
}

static vg_status encode_byt5(const void *tokenizer, const char *text, size_t size, int32_t *ids,
                             int room, int *count, vg_err *err)
{
    return vg_byt5_encode(tokenizer, text, size, room, ids, count, NULL, err);
}

/* input_ids [all] and lengths [texts], both I64. A text has no more tokens than bytes, and one. */
static vg_status encode_texts(const void *tokenizer, encode_fn *encode, const texts *t,
                              vg_safetensors_entry **out, int *out_count, vg_err *err)
{
    int64_t most = 0, all = 0, at = 0;
    for (int64_t i = 0; i < t->count; i++)
        most += 3 * t->lengths[i] +
                1; /* NFC may make three characters of one, a broken byte is three */
    int32_t *ids = malloc((size_t)most * sizeof *ids);
    int64_t *wide = malloc((size_t)most * sizeof *wide),
            *lengths = malloc((size_t)t->count * sizeof *lengths);
    vg_safetensors_entry *entries = calloc(2, sizeof *entries);
    vg_status status = VG_OK;
    if (!ids || !wide || !lengths || !entries)
        status = VG_FAIL(err, VG_E_NOMEM, "out of memory for %lld tokens", (long long)most);
    for (int64_t i = 0; i < t->count && status == VG_OK; i++) {
        int count = 0, room = (int)(3 * t->lengths[i] + 1);
        status = encode(tokenizer, t->bytes + at, (size_t)t->lengths[i], ids, room, &count, err);
        if (status == VG_OK && count > room)
            status = VG_FAIL(err, VG_E_ARG, "text %lld has more tokens than there is room for",
                             (long long)i);
        for (int k = 0; status == VG_OK && k < count; k++)
            wide[all++] = ids[k];
        at += t->lengths[i];
        lengths[i] = count;
    }
    free(ids);
    if (status != VG_OK) {
        free(wide);
        free(lengths);
        free(entries);
        return status;
    }
    entries[0] = (vg_safetensors_entry){"input_ids", vg_tensor_make(wide, VG_I64, 1, all)};
    entries[1] = (vg_safetensors_entry){"lengths", vg_tensor_make(lengths, VG_I64, 1, t->count)};
    *out = entries;
    *out_count = 2;
    return VG_OK;
}

vg_status hv_run_tokenizer(vg_engine *engine, vg_model *model, const vg_component_params *params,
                           const vg_safetensors *in, vg_safetensors_entry **out, int *out_count,
                           vg_err *err)
{
    texts t = {0};
    vg_bpe *tokenizer = NULL;
    char *dir = NULL;
    vg_status status;
    (void)engine;
    (void)params;
    *out = NULL;
    VG_TRY_GOTO(status, read_texts(in, "tokenizer", &t, err), done);
    VG_TRY_GOTO(status, vg_model_component_dir(model, "tokenizer", &dir, err), done);
    VG_TRY_GOTO(status, vg_bpe_open(dir, &tokenizer, err), done);
    status = encode_texts(tokenizer, encode_bpe, &t, out, out_count, err);
done:
    vg_bpe_close(tokenizer);
    free(dir);
    texts_deinit(&t);
    return status;
}

vg_status hv_run_tokenizer_2(vg_engine *engine, vg_model *model, const vg_component_params *params,
                             const vg_safetensors *in, vg_safetensors_entry **out, int *out_count,
                             vg_err *err)
{
    texts t = {0};
    vg_byt5 *tokenizer = NULL;
    char *dir = NULL;
    vg_status status;
    (void)engine;
    (void)params;
    *out = NULL;
    VG_TRY_GOTO(status, read_texts(in, "tokenizer-2", &t, err), done);
    VG_TRY_GOTO(status, vg_model_component_dir(model, "tokenizer_2", &dir, err), done);
    VG_TRY_GOTO(status, vg_byt5_open(dir, &tokenizer, err), done);
    status = encode_texts(tokenizer, encode_byt5, &t, out, out_count, err);
done:
    vg_byt5_close(tokenizer);
    free(dir);
    texts_deinit(&t);
    return status;
}

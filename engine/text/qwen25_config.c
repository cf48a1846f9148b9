/* qwen25_config.c: see qwen25.h: what config.json says, in the spellings of transformers 4 and 5, and how the files name what they hold. */
#include "engine/text/qwen25.h"

#include <string.h>

static vg_status read_positions(const cJSON *json, const char *name, vg_qwen25_config *c,
                                vg_err *err)
{
    const char *const keys[] = {"rope_parameters", "rope_scaling"};
    VG_TRY(vg_json_get_double(json, name, "rope_theta", 1, 1e12, &c->theta, err));
    for (int i = 0; i < 2; i++) {
        const cJSON *rope = NULL;
        const char *type = "default";
        if (!vg_json_is_set(json, keys[i]))
            continue;
        VG_TRY(vg_json_get_object(json, name, keys[i], &rope, err));
        VG_TRY(vg_json_get_double(rope, name, "rope_theta", 1, 1e12, &c->theta, err));
        VG_TRY(vg_json_get_string(rope, name, "type", &type, err)); /* its older name */
        VG_TRY(vg_json_get_string(rope, name, "rope_type", &type, err));
        if (strcmp(type, "default") != 0 && strcmp(type, "mrope") != 0)
            return VG_FAIL(err, VG_E_UNSUPPORTED,
                           "%s: %s has the type \"%s\"; only default and mrope are supported", name,
                           keys[i], type);
    }
    return VG_OK;
}

static vg_status check_shape(const vg_qwen25_config *c, const char *name, vg_err *err)
{
    if (c->hidden % c->heads != 0 || c->hidden / c->heads % 2 != 0 || c->heads % c->kv_heads != 0)
        return VG_FAIL(
            err, VG_E_FORMAT,
            "%s: hidden_size %lld, num_attention_heads %lld and num_key_value_heads %lld do not fit",
            name, (long long)c->hidden, (long long)c->heads, (long long)c->kv_heads);
    return VG_OK;
}

vg_status vg_qwen25_config_read(const cJSON *json, const char *name, vg_qwen25_config *config,
                                vg_err *err)
{
    vg_qwen25_config c = {.eps = 1e-6, .theta = 1e6, .root = ""};
    const char *type = "qwen2_5_vl_text", *act = "silu";
    const cJSON *text = json;
    int64_t layers = 0;
    bool sliding = false;
    VG_TRY(vg_json_get_string(json, name, "model_type", &type, err));
    if (strcmp(type, "qwen2_5_vl_text") != 0 && strcmp(type, "qwen2_5_vl") != 0)
        return VG_FAIL(
            err, VG_E_UNSUPPORTED,
            "%s: model_type is \"%s\"; only qwen2_5_vl and qwen2_5_vl_text are supported", name,
            type);
    VG_TRY(vg_json_get_object(json, name, "text_config", &text, err));
    VG_TRY(vg_json_get_int(text, name, "hidden_size", 1, 1 << 16, &c.hidden, err));
    VG_TRY(vg_json_get_int(text, name, "intermediate_size", 1, 1 << 20, &c.ff, err));
    VG_TRY(vg_json_get_int(text, name, "num_hidden_layers", VG_QWEN25_SKIPPED_LAYERS + 1, 512,
                           &layers, err));
    VG_TRY(vg_json_get_int(text, name, "num_attention_heads", 1, 1024, &c.heads, err));
    VG_TRY(vg_json_get_int(text, name, "vocab_size", 1, 1 << 24, &c.vocab, err));
    if (!c.hidden || !c.ff || !layers || !c.heads || !c.vocab)
        return VG_FAIL(
            err, VG_E_FORMAT,
            "%s: hidden_size, intermediate_size, num_hidden_layers, num_attention_heads and vocab_size must be there",
            name);
    c.kv_heads = c.heads;
    c.layers = layers - VG_QWEN25_SKIPPED_LAYERS;
    if (vg_json_is_set(text, "num_key_value_heads"))
        VG_TRY(vg_json_get_int(text, name, "num_key_value_heads", 1, 1024, &c.kv_heads, err));
    VG_TRY(vg_json_get_double(text, name, "rms_norm_eps", 1e-12, 0.5, &c.eps, err));
    VG_TRY(vg_json_get_string(text, name, "hidden_act", &act, err));
    if (vg_json_is_set(text, "use_sliding_window"))
        VG_TRY(vg_json_get_bool(text, name, "use_sliding_window", &sliding, err));
    if (strcmp(act, "silu") != 0 || sliding)
        return VG_FAIL(err, VG_E_UNSUPPORTED, "%s: %s is not supported", name,
                       sliding ? "use_sliding_window" : "a hidden_act other than silu");
    VG_TRY(read_positions(text, name, &c, err));
    VG_TRY(check_shape(&c, name, err));
    *config = c;
    return VG_OK;
}

vg_status vg_qwen25_find_root(const char *component_dir, vg_qwen25_config *config, vg_err *err)
{
    static const char *const roots[] = {"", "model.", "language_model.", "model.language_model.",
                                        "language_model.model."};
    return vg_weight_root(component_dir, roots, sizeof roots / sizeof *roots, "embed_tokens.weight",
                          &config->root, err);
}

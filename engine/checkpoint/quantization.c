/* quantization.c: see quantization.h. Three layouts: flat (diffusers exports), nested under "quantization" (transformers exports), and the
 * fine-grained one of transformers: {"quant_method": "fp8", "weight_block_size": [128, 128]}. */
#include "engine/checkpoint/quantization.h"

#include "kernels/base/fileio.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define KEY "quantization_config"

/* One format per line, the newer name behind the older. */
static const char *const algos[] = {"FP8",
                                    "FP8_PB_WO",
                                    "FP8_2D_BLOCKWISE_WEIGHT_ONLY",
                                    "FP8_PC_PT",
                                    "FP8_PER_CHANNEL_PER_TOKEN",
                                    "FP8_PB_REAL"};

static bool known_algo(const char *algo)
{
    for (size_t i = 0; i < sizeof algos / sizeof algos[0]; i++)
        if (strcasecmp(algo, algos[i]) == 0)
            return true;
    return false;
}

/* "modelopt", "modelopt_fp8": what other programs call the same export. */
static bool by_modelopt(const char *method)
{
    return strcasecmp(method, "modelopt") == 0 || strcasecmp(method, "modelopt_fp8") == 0;
}

static vg_status check_algo(const char *algo, const char *where, vg_err *err)
{
    if (algo && known_algo(algo))
        return VG_OK;
    return VG_FAIL(err, VG_E_UNSUPPORTED,
                   "%s: quant_algo is %s%s%s; FP8, FP8_PB_WO (FP8_2D_BLOCKWISE_WEIGHT_ONLY) "
                   "and FP8_PC_PT (FP8_PER_CHANNEL_PER_TOKEN) are supported",
                   where, algo ? "\"" : "", algo ? algo : "missing", algo ? "\"" : "");
}

static vg_status check_fine_grained(const cJSON *q, const char *where, vg_err *err)
{
    const char *format = "e4m3";
    double block[2] = {128, 128};
    int count = 2;
    VG_TRY(vg_json_get_string(q, where, "fmt", &format, err));
    if (strcasecmp(format, "e4m3") != 0 && strcasecmp(format, "float8_e4m3fn") != 0)
        return VG_FAIL(err, VG_E_UNSUPPORTED, "%s: fmt is \"%s\"; only e4m3 is supported", where,
                       format);
    if (vg_json_is_set(q, "weight_block_size")) /* null: one scale a tensor */
        VG_TRY(vg_json_get_doubles(q, where, "weight_block_size", block, 2, &count, err));
    if (count != 2 || block[0] != 128 || block[1] != 128)
        return VG_FAIL(err, VG_E_UNSUPPORTED, "%s: weight_block_size must be [128, 128]", where);
    return VG_OK;
}

vg_status vg_quantization_check(const cJSON *config, const char *name, vg_err *err)
{
    const cJSON *q = NULL, *made_by = NULL, *nested = NULL;
    const char *method = NULL, *producer = NULL, *algo = NULL;
    char where[VG_ERR_MESSAGE_MAX]; /* file and key, in front of the keys inside */
    if (!vg_json_is_set(config, KEY))
        return VG_OK;
    VG_TRY(vg_json_get_object(config, name, KEY, &q, err));
    snprintf(where, sizeof where, "%s: " KEY, name);
    VG_TRY(vg_json_get_object(q, where, "producer", &made_by, err));
    VG_TRY(vg_json_get_object(q, where, "quantization", &nested, err));
    VG_TRY(vg_json_get_string(q, where, "quant_method", &method, err));
    VG_TRY(vg_json_get_string(q, where, "quant_algo", &algo, err));
    VG_TRY(vg_json_get_string(made_by, where, "name", &producer, err));
    if (!algo)
        VG_TRY(vg_json_get_string(nested, where, "quant_algo", &algo, err));
    method = method ? method : producer;
    if (method && by_modelopt(method))
        return check_algo(algo, where, err);
    if (method && strcasecmp(method, "fp8") == 0)
        return algo ? check_algo(algo, where, err) : check_fine_grained(q, where, err);
    return VG_FAIL(err, VG_E_UNSUPPORTED,
                   "%s: quant_method is %s%s%s; \"modelopt\" and \"fp8\" are supported", where,
                   method ? "\"" : "", method ? method : "missing", method ? "\"" : "");
}

/* ---- the label ---- */

static void take(char *to, size_t size, const cJSON *o, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    if (cJSON_IsString(item) && !*to)
        snprintf(to, size, "%s", item->valuestring);
}

/* In a flat block, or one nested under "quantization". */
static void read_label(vg_quantization_label *f, const cJSON *q)
{
    const cJSON *nested = cJSON_GetObjectItemCaseSensitive(q, "quantization"),
                *producer = cJSON_GetObjectItemCaseSensitive(q, "producer"),
                *groups = cJSON_GetObjectItemCaseSensitive(q, "config_groups");
    const cJSON *group = groups ? groups->child : NULL;
    char version[48] = "";
    take(f->method, sizeof f->method, q, "quant_method");
    take(f->algo, sizeof f->algo, q, "quant_algo");
    take(f->algo, sizeof f->algo, nested, "quant_algo");
    take(f->producer, sizeof f->producer - sizeof version, producer, "name");
    take(version, sizeof version, producer, "version");
    if (*version)
        snprintf(f->producer + strlen(f->producer), sizeof version + 1, " %s", version);
    if (!*f->method && !strcasecmp(f->producer, "modelopt"))
        snprintf(f->method, sizeof f->method, "modelopt");
    if (!group)
        return;
    const cJSON *weights = cJSON_GetObjectItemCaseSensitive(group, "weights");
    take(f->strategy, sizeof f->strategy, weights, "strategy");
    if (cJSON_IsObject(weights) && !*f->strategy)
        snprintf(f->strategy, sizeof f->strategy, "tensor");
}

static cJSON *load_file(const char *dir, const char *file)
{
    char *path = vg_path_join(dir, file);
    cJSON *root = NULL;
    if (!path || !vg_file_exists(path) || vg_json_load(path, &root, NULL) != VG_OK)
        root = NULL;
    free(path);
    return root;
}

/* The block, in *holder; where: the file. */
static const cJSON *find_block(const char *dir, const vg_weights *weights, cJSON **holder,
                               const char **where)
{
    const char *text = weights ? vg_weights_metadata(weights, KEY) : NULL;
    char *above = vg_path_join(dir, "..");
    *where = "config.json";
    *holder = load_file(dir, *where);
    const cJSON *q = cJSON_GetObjectItemCaseSensitive(*holder, KEY);
    if (!cJSON_IsObject(q)) {
        cJSON_Delete(*holder);
        *where = "hf_quant_config.json";
        *holder = load_file(dir, *where);
        if (!*holder && above)
            *holder = load_file(above, *where);
        q = *holder;
    }
    if (!q && text) {
        *where = "safetensors metadata";
        if (vg_json_parse(text, strlen(text), KEY, holder, NULL) != VG_OK)
            *holder = NULL;
        q = *holder;
    }
    free(above);
    return q;
}

const cJSON *vg_quantization_find(const char *dir, const vg_weights *weights, cJSON **holder,
                                  vg_quantization_label *label)
{
    const char *where;
    *label = (vg_quantization_label){.method = ""};
    const cJSON *q = find_block(dir, weights, holder, &where);
    if (!q)
        return NULL;
    snprintf(label->where, sizeof label->where, "%s", where);
    read_label(label, q);
    return q;
}

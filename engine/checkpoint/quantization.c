/* quantization.c: see quantization.h. Three layouts: flat (diffusers exports), nested under "quantization" (transformers exports), and the
 * fine-grained one of transformers: {"quant_method": "fp8", "weight_block_size": [128, 128]}. */
#include "engine/checkpoint/quantization.h"

#include <stdio.h>
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

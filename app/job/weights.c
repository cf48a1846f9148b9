/* weights.c: see weights.h. */
#include "app/job/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kernels/base/hash.h"
#include "kernels/base/text.h"

#define HEX 16

vg_status vg_job_weights(const vg_model *model, char **weights, vg_err *err)
{
    const char *folders[VG_COMPONENTS_MAX];
    int count = vg_model_components(model, NULL, VG_STAGE_LOAD, folders);
    char *text = vg_xstrdup("");
    for (int i = 0; i < count; i++) {
        char identity[HEX + 1];
        vg_status status = vg_model_identity(model, folders[i], identity, err);
        if (status != VG_OK) {
            free(text);
            return status;
        }
        char *longer = vg_xstrf("%s%s%s:%s", text, i ? "," : "", folders[i], identity);
        free(text);
        text = longer;
    }
    *weights = text;
    return VG_OK;
}

/* Where the identity of a component begins, HEX characters; NULL: the text does not name it. */
static const char *find(const char *weights, const char *folder)
{
    size_t n = strlen(folder);
    for (const char *at = weights; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, folder, n) == 0 && at[n] == ':' && strcspn(at + n + 1, ",") == HEX)
            return at + n + 1;
    return NULL;
}

vg_status vg_job_weights_check(const char *weights, const vg_model *model,
                               const vg_generate_params *params, vg_stage stage, vg_err *err)
{
    const char *folders[VG_COMPONENTS_MAX];
    int count = vg_model_components(model, params, stage, folders);
    for (int i = 0; i < count; i++) {
        const char *was = find(weights, folders[i]);
        char now[HEX + 1];
        if (!was)
            continue;
        VG_TRY(vg_model_identity(model, folders[i], now, err));
        if (strncmp(was, now, HEX) != 0)
            return VG_FAIL(err, VG_E_ARG,
                           "the files of %s are not those the job was made with (%.*s, now %s); "
                           "put them back, or start a new job",
                           folders[i], HEX, was, now);
    }
    return VG_OK;
}

/* The folder's name, and its identity as far as it is known, into the hash. */
static uint64_t add(uint64_t hash, const char *folder, const char *identity)
{
    hash = vg_fnv1a(hash, folder, strlen(folder) + 1);
    return identity ? vg_fnv1a(hash, identity, HEX) : hash;
}

void vg_job_weights_of_latents(const char *weights, const vg_model *model,
                               const vg_generate_params *params, char hex[17])
{
    static const vg_stage stages[] = {VG_STAGE_TEXT, VG_STAGE_ENCODE, VG_STAGE_DENOISE};
    const char *folders[VG_COMPONENTS_MAX];
    uint64_t hash = VG_FNV1A_BEGIN;
    for (size_t k = 0; k < sizeof stages / sizeof *stages; k++) {
        int count = vg_model_components(model, params, stages[k], folders);
        for (int i = 0; i < count; i++)
            hash = add(hash, folders[i], find(weights, folders[i]));
    }
    snprintf(hex, HEX + 1, "%016llx", (unsigned long long)hash);
}

vg_status vg_job_weights_of_decoder(const vg_model *model, char hex[17], vg_err *err)
{
    const char *folders[VG_COMPONENTS_MAX];
    int count = vg_model_components(model, NULL, VG_STAGE_DECODE, folders);
    uint64_t hash = VG_FNV1A_BEGIN;
    for (int i = 0; i < count; i++) {
        char identity[HEX + 1];
        VG_TRY(vg_model_identity(model, folders[i], identity, err));
        hash = add(hash, folders[i], identity);
    }
    snprintf(hex, HEX + 1, "%016llx", (unsigned long long)hash);
    return VG_OK;
}

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
                           "the weights of %s are not those the job was made with (%.*s, now %s); "
                           "start a new job",
                           folders[i], HEX, was, now);
    }
    return VG_OK;
}

void vg_job_weights_stage(const char *weights, const vg_model *model,
                          const vg_generate_params *params, vg_stage stage, char hex[17])
{
    const char *folders[VG_COMPONENTS_MAX];
    int count = vg_model_components(model, params, stage, folders);
    uint64_t hash = VG_FNV1A_BEGIN;
    for (int i = 0; i < count; i++) {
        const char *identity = find(weights, folders[i]);
        hash = vg_fnv1a(hash, folders[i], strlen(folders[i]) + 1);
        if (identity)
            hash = vg_fnv1a(hash, identity, HEX);
    }
    snprintf(hex, 17, "%016llx", (unsigned long long)hash);
}

/* checkpoint_defaults.c: see checkpoint_defaults.h. */
#include "engine/run/checkpoint_defaults.h"
#include "engine/run/limits.h"

#include <stdlib.h>
#include <string.h>

#define NAME "vgen.json"

static vg_status check_keys(const cJSON *object, const char *where, const char *const *known,
                            vg_err *err)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, object)
    {
        int i = 0;
        while (known[i] && strcmp(known[i], item->string) != 0)
            i++;
        if (!known[i])
            return VG_FAIL(err, VG_E_FORMAT, NAME ": unknown key \"%s\"%s", item->string, where);
    }
    return VG_OK;
}

static vg_status read_defaults(const cJSON *d, vg_checkpoint_defaults *o, vg_err *err)
{
    static const char *const known[] = {"height",
                                        "width",
                                        "num_frames",
                                        "num_inference_steps",
                                        "guidance_scale",
                                        "guidance_scale_2",
                                        "flow_shift",
                                        "boundary_ratio",
                                        NULL};
    struct {
        int *to, min, max;
    } ints[] = {{&o->height, VG_SIDE_MIN, VG_SIDE_MAX},
                {&o->width, VG_SIDE_MIN, VG_SIDE_MAX},
                {&o->num_frames, VG_FRAMES_MIN, VG_FRAMES_MAX},
                {&o->steps, VG_STEPS_MIN, VG_STEPS_MAX}};
    struct {
        double *to, min, max;
    } doubles[] = {{&o->guidance_scale, VG_GUIDANCE_MIN, VG_GUIDANCE_MAX},
                   {&o->guidance_scale_2, VG_GUIDANCE_MIN, VG_GUIDANCE_MAX},
                   {&o->flow_shift, VG_FLOW_SHIFT_MIN, VG_FLOW_SHIFT_MAX},
                   {&o->boundary_ratio, VG_BOUNDARY_MIN, VG_BOUNDARY_MAX}};
    enum { INTS = sizeof ints / sizeof *ints, DOUBLES = sizeof doubles / sizeof *doubles };
    _Static_assert(sizeof known / sizeof *known == INTS + DOUBLES + 1, "a key for each, in order");
    if (!d)
        return VG_OK;
    if (!cJSON_IsObject(d))
        return VG_FAIL(err, VG_E_FORMAT, NAME ": \"defaults\" must be an object");
    VG_TRY(check_keys(d, " in \"defaults\"", known, err));
    for (int i = 0; i < INTS; i++) {
        int64_t value = *ints[i].to;
        VG_TRY(vg_json_get_int(d, NAME, known[i], ints[i].min, ints[i].max, &value, err));
        *ints[i].to = (int)value;
    }
    for (int i = 0; i < DOUBLES; i++)
        VG_TRY(vg_json_get_double(d, NAME, known[INTS + i], doubles[i].min, doubles[i].max,
                                  doubles[i].to, err));
    return VG_OK;
}

static vg_status read_preview(const cJSON *root, vg_checkpoint_defaults *o, vg_err *err)
{
    const cJSON *rows = cJSON_GetObjectItemCaseSensitive(root, "latent_rgb_factors"), *row;
    double bias[3] = {0, 0, 0};
    int count = 3;
    VG_TRY(vg_json_get_doubles(root, NAME, "latent_rgb_bias", bias, 3, &count, err));
    if (count != 3)
        return VG_FAIL(err, VG_E_FORMAT, NAME ": \"latent_rgb_bias\" must have 3 numbers, not %d",
                       count);
    if (!rows)
        return VG_OK;
    if (!cJSON_IsArray(rows) || cJSON_GetArraySize(rows) > VG_PREVIEW_CHANNELS_MAX)
        return VG_FAIL(err, VG_E_FORMAT,
                       NAME ": \"latent_rgb_factors\" must be a list of at most %d rows",
                       VG_PREVIEW_CHANNELS_MAX);
    cJSON_ArrayForEach(row, rows)
    {
        for (int j = 0; j < 3; j++) {
            const cJSON *v = cJSON_IsArray(row) && cJSON_GetArraySize(row) == 3
                                 ? cJSON_GetArrayItem(row, j)
                                 : NULL;
            if (!cJSON_IsNumber(v) || !(v->valuedouble >= -1e6 && v->valuedouble <= 1e6))
                return VG_FAIL(err, VG_E_FORMAT,
                               NAME ": \"latent_rgb_factors\"[%d] must have 3 numbers",
                               o->preview.channels);
            o->preview.factor[o->preview.channels][j] = (float)v->valuedouble;
        }
        o->preview.channels++;
    }
    for (int j = 0; j < 3; j++)
        o->preview.bias[j] = (float)bias[j];
    o->has_preview = true;
    return VG_OK;
}

vg_status vg_checkpoint_defaults_read(const vg_checkpoint *checkpoint, vg_checkpoint_defaults *own,
                                      vg_err *err)
{
    static const char *const known[] = {"defaults", "latent_rgb_factors", "latent_rgb_bias", NULL};
    vg_checkpoint_defaults o = {.height = VG_UNSET_INT,
                                .width = VG_UNSET_INT,
                                .num_frames = VG_UNSET_INT,
                                .steps = VG_UNSET_INT,
                                .guidance_scale = VG_UNSET_DOUBLE,
                                .guidance_scale_2 = VG_UNSET_DOUBLE,
                                .flow_shift = VG_UNSET_DOUBLE,
                                .boundary_ratio = VG_UNSET_DOUBLE};
    cJSON *root = NULL;
    vg_status status = VG_OK;
    char *path = vg_path_join(vg_checkpoint_dir(checkpoint), NAME);
    if (!path)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for a path");
    if (vg_file_exists(path)) {
        VG_TRY_GOTO(status, vg_json_load(path, &root, err), done);
        VG_TRY_GOTO(status, check_keys(root, "", known, err), done);
        VG_TRY_GOTO(status,
                    read_defaults(cJSON_GetObjectItemCaseSensitive(root, "defaults"), &o, err),
                    done);
        VG_TRY_GOTO(status, read_preview(root, &o, err), done);
    }
    *own = o;
done:
    cJSON_Delete(root);
    free(path);
    return status;
}

static void take_int(int *value, int ours)
{
    if (*value == VG_UNSET_INT)
        *value = ours;
}

static void take_double(double *value, double ours)
{
    if (*value == VG_UNSET_DOUBLE)
        *value = ours;
}

void vg_checkpoint_defaults_apply(const vg_checkpoint_defaults *o, vg_generate_params *p)
{
    take_int(&p->height, o->height);
    take_int(&p->width, o->width);
    take_int(&p->num_frames, o->num_frames);
    take_int(&p->steps, o->steps);
    if (p->guidance_scale == VG_UNSET_DOUBLE)
        take_double(&p->guidance_scale_2, o->guidance_scale_2);
    take_double(&p->guidance_scale, o->guidance_scale);
    take_double(&p->flow_shift, o->flow_shift);
    take_double(&p->boundary_ratio, o->boundary_ratio);
}

/* cmd_plan.c: vgen plan. */
#include <stdlib.h>
#include <string.h>
#include "app/cli/cli.h"
#include "app/job/job.h"
#include "app/job/job_media.h"
#include "app/settings/paths.h"
#include "engine/run/hub.h"

typedef struct planned {
    const vg_variant *variant;
    vg_attend attention;
    vg_plan plan;
    size_t limit; /* bytes it may take, 0 none */
} planned;

/* *dir: of its model, malloc'd. */
static vg_status plan_variant(const vg_settings *s, planned *p, char **dir, size_t *limit,
                              vg_err *err)
{
    vg_lines presets = {0};
    vg_model *model = NULL;
    vg_generate_params params;
    vg_job_media media; /* which are given is enough: a plan needs no pixels */
    vg_status status;
    vg_job_media_roles(s, &media);
    vg_paths_presets(&presets);
    VG_TRY_GOTO(status,
                vg_model_find(vg_settings_get(s, VG_OPT_model), (const char *const *)presets.items,
                              presets.count, dir, err),
                done);
    VG_TRY_GOTO(status, vg_model_open(*dir, vg_settings_load_format(s), &model, err), done);
    vg_settings_params(s, &params);
    p->attention = params.attention.mode;
    vg_device_budget(s, &params, limit);
    params.memory_limit = *limit;
    vg_job_media_give(&media, &params);
    VG_TRY_GOTO(status, vg_model_defaults(model, &params, err), done);
    status = vg_plan_make(model, &params, &p->plan, err);
done:
    vg_model_close(model);
    vg_lines_free(&presets);
    return status;
}

/* *dir, *limit: of the reference. */
static vg_status make(const vg_settings *settings, const vg_variants *variants, planned *plans,
                      char **dir, size_t *limit, vg_err *err)
{
    vg_status status = VG_OK;
    for (int i = 0; i < variants->count && status == VG_OK; i++) {
        vg_settings s = {{0}};
        char *found = NULL;
        size_t own = 0;
        plans[i].variant = &variants->items[i];
        vg_variant_settings(settings, plans[i].variant, &s);
        status = plan_variant(&s, &plans[i], &found, &own, err);
        vg_settings_deinit(&s);
        plans[i].limit = own;
        if (i == 0) {
            *dir = found;
            *limit = own;
        } else {
            free(found);
        }
    }
    return status;
}

/* What the limit does to a stage: nothing, blocks on the host, or that it does not fit. */
static void print_limited(const vg_plan_stage *stage, size_t limit)
{
    char text[32];
    if (stage->streamed)
        printf("  %-16s %d of %d blocks are streamed from the host (%s page-locked)\n", "",
               stage->streamed, stage->blocks, vg_text_bytes(stage->host, text, sizeof text));
    if (limit && vg_plan_total(stage) > limit)
        printf("  %-16s does not fit into %s\n", "", vg_text_bytes(limit, text, sizeof text));
}

static void print_plan(const planned *p)
{
    char w[32], a[32], s[32], t[32], work[80];
    printf("%s: %s\n", p->variant->label,
           vg_text_work(p->plan.tokens, p->plan.tflop_per_step, work, sizeof work));
    printf("  %-16s %12s %12s %12s %12s\n", "stage", "weights", "activations", "workspace",
           "together");
    for (int i = 0; i < p->plan.count; i++) {
        const vg_plan_stage *stage = &p->plan.stages[i];
        printf("  %-16s %12s %12s %12s %12s%s\n", stage->name,
               vg_text_bytes(stage->weights, w, sizeof w),
               vg_text_bytes(stage->activations, a, sizeof a),
               vg_text_bytes(stage->workspace, s, sizeof s),
               vg_text_bytes(vg_plan_total(stage), t, sizeof t),
               i == p->plan.peak ? "  <- peak" : "");
        print_limited(stage, p->limit);
    }
}

static cJSON *plan_json(const planned *p)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "variant", p->variant->id);
    cJSON_AddStringToObject(o, "label", p->variant->label);
    cJSON_AddStringToObject(o, "quantization", vg_scheme_name(vg_variant_scheme(p->variant)));
    cJSON_AddStringToObject(o, "attention", vg_attend_name(p->attention));
    cJSON_AddNumberToObject(o, "tokens", (double)p->plan.tokens);
    cJSON_AddNumberToObject(o, "tflop_per_step", p->plan.tflop_per_step);
    cJSON *stages = cJSON_AddArrayToObject(o, "stages");
    for (int i = 0; i < p->plan.count; i++) {
        const vg_plan_stage *stage = &p->plan.stages[i];
        cJSON *s = cJSON_CreateObject();
        cJSON_AddStringToObject(s, "stage", stage->name);
        cJSON_AddNumberToObject(s, "weights", (double)stage->weights);
        cJSON_AddNumberToObject(s, "activations", (double)stage->activations);
        cJSON_AddNumberToObject(s, "workspace", (double)stage->workspace);
        cJSON_AddNumberToObject(s, "bytes", (double)vg_plan_total(stage));
        cJSON_AddNumberToObject(s, "blocks", stage->blocks);
        cJSON_AddNumberToObject(s, "streamed_blocks", stage->streamed);
        cJSON_AddNumberToObject(s, "host_bytes", (double)stage->host);
        cJSON_AddBoolToObject(s, "fits", !p->limit || vg_plan_total(stage) <= p->limit);
        cJSON_AddBoolToObject(s, "peak", i == p->plan.peak);
        cJSON_AddItemToArray(stages, s);
    }
    return o;
}

static int run(vg_args *args)
{
    vg_settings settings = {{0}};
    vg_variants variants = {0};
    planned plans[VG_VARIANTS_MAX];
    vg_err err = {0};
    char *dir = NULL;
    size_t limit = 0;
    vg_status status = vg_cli_settings(args, &settings, &err);
    if (status == VG_OK)
        status = vg_cli_variants(args, &settings, &variants, &err);
    if (status == VG_OK)
        status = make(&settings, &variants, plans, &dir, &limit, &err);
    int result = status == VG_OK ? VG_EXIT_OK : vg_cli_fail(args, &err);
    if (status == VG_OK && vg_args_has(args, "json")) {
        cJSON *root = cJSON_CreateObject();
        cJSON_AddStringToObject(root, "model", dir);
        if (limit)
            cJSON_AddNumberToObject(root, "limit_bytes", (double)limit);
        cJSON *list = cJSON_AddArrayToObject(root, "plans");
        for (int i = 0; i < variants.count; i++)
            cJSON_AddItemToArray(list, plan_json(&plans[i]));
        vg_json_print(stdout, root, false);
    } else if (status == VG_OK) {
        char text[32];
        if (limit)
            printf("limit: %s\n", vg_text_bytes(limit, text, sizeof text));
        for (int i = 0; i < variants.count; i++)
            print_plan(&plans[i]);
    }
    free(dir);
    vg_variants_deinit(&variants);
    vg_settings_deinit(&settings);
    return result;
}

static const vg_arg_spec specs[] = {{"preset", 0, "NAME", "begin with these settings; flags win"},
                                    VG_SPEC_VARIANT,
                                    {"json", 0, NULL, "as one JSON object"},
                                    {0}};

extern const vg_command vg_command_plan;
const vg_command vg_command_plan = {
    .name = "plan",
    .arguments = "[--preset NAME] [settings]",
    .summary = "how much memory a job will take, stage by stage, before it runs",
    .text =
        "Say how much memory each stage of a job will take and which one sets the peak, without loading anything; with --vram-limit (or on a GPU: what is free there), how many transformer blocks would be streamed from the host to stay below it.",
    .examples = "  vgen plan --preset wan2.2-t2v-a14b-720p\n",
    .settings = "*",
    .specs = specs,
    .run = run,
};

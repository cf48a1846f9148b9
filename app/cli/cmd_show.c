/* cmd_show.c: vgen show. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "app/cli/attach.h"
#include "app/cli/cmd_job.h"

static void print_settings(const vg_job *job)
{
    for (int i = 0; i < VG_OPT_COUNT; i++) {
        if (!job->resolved.text[i] || !*job->resolved.text[i])
            continue;
        printf("  %-22s", vg_options[i].key);
        vg_text_print(stdout, job->resolved.text[i]);
        printf("%s\n", job->settings.text[i] ? "" : "  (checkpoint)");
    }
}

/* In what the variants differ; of those that are schemes the label says it all. */
static void print_overlays(const vg_job *job)
{
    for (int i = 0; i < job->variants_count; i++) {
        const vg_job_variant *v = &job->variants[i];
        int n = 0;
        for (int k = 0; k < VG_OPT_COUNT; k++) {
            if (!v->overlay.text[k] || k == VG_OPT_quantization)
                continue;
            if (!n++) {
                printf("variant  ");
                vg_text_print(stdout, v->label);
                printf(": ");
            }
            printf("%s%s=", n > 1 ? ", " : "", vg_options[k].key);
            vg_text_print(stdout, v->overlay.text[k]);
        }
        if (n)
            putchar('\n');
    }
}

static void print_variants(const vg_snapshot *snapshot)
{
    const char *names[VG_VARIANTS_MAX];
    const vg_gauge_figures *gauges[VG_VARIANTS_MAX];
    int measured = 0;
    for (int i = 0; i < snapshot->variants_count; i++) {
        if (snapshot->variants[i].precision[0])
            printf("layers   %s: %s\n", snapshot->variants[i].label,
                   snapshot->variants[i].precision);
    }
    for (int i = 0; i < snapshot->variants_count; i++) {
        if (!snapshot->variants[i].gauges)
            continue;
        names[measured] = snapshot->variants[i].label;
        gauges[measured++] = snapshot->variants[i].gauges;
    }
    if (measured)
        vg_gauges_print(stdout, names, gauges, measured);
}

static int show(vg_args *args, const vg_job *job, vg_snapshot *snapshot)
{
    char text[64];
    if (vg_args_has(args, "json")) {
        vg_json_print(stdout, vg_snapshot_json(snapshot), true);
    } else if (vg_args_has(args, "markdown")) {
        vg_attach_print_markdown(snapshot);
    } else {
        vg_attach_print_result(snapshot, false);
        printf("folder   ");
        vg_text_print(stdout, job->dir);
        printf("\nmade     %s, vgen %s\ndevice   %s\nmodel    ",
               vg_text_date(job->created, text, sizeof text),
               job->code_version ? job->code_version : "?", snapshot->device);
        vg_text_print(stdout, job->model_dir);
        printf("\n");
        print_overlays(job);
        print_variants(snapshot);
        printf("settings\n");
        print_settings(job);
    }
    return VG_EXIT_OK;
}

static const vg_arg_spec specs[] = {
    VG_SPEC_JOBS_DIR,
    {"json", 0, NULL, "as one JSON object"},
    {"markdown", 0, NULL, "the table of figures alone, to paste into a text"},
    {0}};

extern const vg_command vg_command_show;
const vg_command vg_command_show = {
    .name = "show",
    .arguments = "JOB [--json | --markdown]",
    .summary = "all about one job: state, figures, clips, settings",
    .text = "State, figures, clips and settings of one job. " VG_JOB_NAMES,
    .examples = "  vgen show last\n  vgen show last --markdown\n",
    .specs = specs,
    VG_JOB_COMMAND(show),
};

/* cmd_check.c: vgen check. Lines [A], [B], [C] are those of the public checker, which scripts read: their words do not change. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "app/cli/cli.h"
#include "app/settings/paths.h"
#include "engine/quantize/check.h"
#include "engine/run/hub.h"

#define GIB           (1024.0 * 1024 * 1024)
#define LISTED_MOST   24 /* findings of a level that are printed; --json has all */
#define REDUCTION_MIN 30 /* percent of the files of the source */

/* ---- sizes ---- */

typedef struct sizes {
    char label[160]; /* "transformer + transformer_2" */
    uint64_t disk, bf16, source;
} sizes;

static sizes add_sizes(const vg_check_report *r)
{
    sizes s = {.disk = 0};
    for (int i = 0; i < r->count; i++) {
        size_t n = strlen(s.label);
        snprintf(s.label + n, sizeof s.label - n, "%s%s", i ? " + " : "", r->folders[i].name);
        s.disk += r->folders[i].disk_bytes;
        s.bf16 += r->folders[i].bf16_bytes;
        s.source += r->folders[i].source_bytes;
    }
    return s;
}

static double share(uint64_t part, uint64_t of)
{
    return of ? 100.0 * (double)part / (double)of : 0;
}

static void print_sizes(const vg_check_report *r, const char *source)
{
    sizes s = add_sizes(r);
    printf("\n[C] FP8 transformer disk size (%s): %.2f GiB\n", s.label, (double)s.disk / GIB);
    if (s.bf16)
        printf("[C] Against true BF16: %.2f GiB, reduction %.1f%%\n", (double)s.bf16 / GIB,
               100 - share(s.disk, s.bf16));
    if (!source) {
        fputs("[C] SKIP - no --source to compare with\n", stdout);
        return;
    }
    printf("[C] BF16 baseline transformer disk size (%s): %.2f GiB (", s.label,
           (double)s.source / GIB);
    vg_text_print(stdout, source);
    fputs(")\n", stdout);
    if (s.source)
        printf("[C] Disk reduction: %.1f%%  (FP8 is %.0f%% of BF16)\n",
               100 - share(s.disk, s.source), share(s.disk, s.source));
    if (s.source && 100 - share(s.disk, s.source) < REDUCTION_MIN)
        fputs("[C] NOTE - below 30%: part of the weights are not FP8, or the model is small\n",
              stdout);
    printf(
        "[C] Whole-repo: FP8 %.2f GiB / BF16 %.2f GiB (reduction %.1f%%, deployment footprint)\n",
        (double)r->repo_bytes / GIB, (double)r->source_repo_bytes / GIB,
        100 - share(r->repo_bytes, r->source_repo_bytes));
    if (s.bf16 && s.source > s.bf16 + s.bf16 / 4)
        printf("[C] The files of the source are %.2f times its size in BF16\n",
               (double)s.source / (double)s.bf16);
}

/* ---- a folder ---- */

static void print_text(const char *before, const char *text, const char *behind)
{
    fputs(before, stdout);
    vg_text_print(stdout, *text ? text : "-");
    fputs(behind, stdout);
}

static void print_error(const vg_check_folder *f)
{
    const vg_check_error *e = &f->error;
    if (!e->layers)
        return;
    printf(
        "[B] %d FP8 layers against the source: relative error %.4f (RMS), one value at most %.4f; worst ",
        e->layers, e->rms, e->worst);
    vg_text_print(stdout, e->worst_layer);
    printf(" %.4f\n", e->worst_rms);
    printf("[B] %d tensors in high precision against the source: %d differ\n", e->others,
           e->others_differ);
}

static void print_folder(const vg_check_folder *f)
{
    print_text("\n[A] ", f->name, ": ");
    print_text("quant_method ", f->label.method, ", ");
    print_text("quant_algo ", f->label.algo, ", ");
    print_text("strategy ", f->label.strategy, ", ");
    print_text("producer ", f->label.producer, " (");
    print_text("", f->label.where, ")\n");
    printf("[B] Tensor dtype counts across %d safetensors file(s):\n", f->files);
    for (int d = 0; d < VG_DTYPE_COUNT; d++)
        if (f->of_dtype[d])
            printf("    %-12s%6d\n", vg_dtype_name((vg_dtype)d), f->of_dtype[d]);
    printf("[B] weight_scale granularity: %s\n", vg_check_granularity(f));
    printf("[B] %d FP8 layers", f->fp8);
    if (f->quantisable >= 0)
        printf(" of %d that the architecture lets be", f->quantisable);
    printf(", %d static input scales, %llu parameters\n", f->input_scales,
           (unsigned long long)f->parameters);
    if (f->codes)
        printf("[B] %llu codes: %llu NaN, %.4f%% at +-448, %.3f%% zero\n",
               (unsigned long long)f->codes, (unsigned long long)f->nan_codes,
               share(f->largest_codes, f->codes), share(f->zero_codes, f->codes));
    print_error(f);
}

/* ---- findings ---- */

static void print_findings(const vg_check_report *r)
{
    static const char *const tags[] = {"[note] ", "[WARN] ", "[FAIL] "};
    for (int level = VG_FINDING_FAILURE; level >= VG_FINDING_NOTE; level--) {
        int told = 0, all = vg_findings_count(&r->findings, (vg_finding_level)level);
        for (int i = 0; i < r->findings.count; i++) {
            const vg_finding *f = &r->findings.items[i];
            if ((int)f->level != level || told++ >= LISTED_MOST)
                continue;
            fputs(tags[level], stdout);
            if (*f->component)
                print_text("", f->component, ": ");
            vg_text_print(stdout, f->text);
            putchar('\n');
        }
        if (all > LISTED_MOST)
            printf("%s%d more (--json has all)\n", tags[level], all - LISTED_MOST);
    }
}

static int exit_status(const vg_check_report *r)
{
    static const int status[] = {VG_EXIT_OK, VG_EXIT_WARNINGS, VG_EXIT_FAILURE};
    return status[vg_check_verdict(r)];
}

static void print_report(const vg_check_report *r, const char *dir, const char *source)
{
    static const char *const verdicts[] = {"ALL CHECKS PASSED", "WARNINGS only",
                                           "FAILURES detected"};
    print_text("Checking: ", dir, "\n");
    for (int i = 0; i < r->count; i++)
        print_folder(&r->folders[i]);
    print_sizes(r, source);
    if (!r->values)
        fputs("\nHeaders only: no weight was read.\n", stdout);
    putchar('\n');
    print_findings(r);
    puts(verdicts[vg_check_verdict(r)]);
}

/* ---- JSON ---- */

static void add_text(cJSON *o, const char *key, const char *text)
{
    char *clean = vg_text_clean(text);
    cJSON_AddStringToObject(o, key, clean);
    free(clean);
}

static cJSON *error_json(const vg_check_error *e)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "layers", e->layers);
    cJSON_AddNumberToObject(o, "rms", e->rms);
    cJSON_AddNumberToObject(o, "largest", e->worst);
    add_text(o, "worst_layer", e->worst_layer);
    cJSON_AddNumberToObject(o, "worst_layer_rms", e->worst_rms);
    cJSON_AddNumberToObject(o, "high_precision_tensors", e->others);
    cJSON_AddNumberToObject(o, "high_precision_differ", e->others_differ);
    return o;
}

static cJSON *folder_json(const vg_check_folder *f)
{
    cJSON *o = cJSON_CreateObject();
    add_text(o, "folder", f->name);
    add_text(o, "quant_method", f->label.method);
    add_text(o, "quant_algo", f->label.algo);
    add_text(o, "strategy", f->label.strategy);
    add_text(o, "producer", f->label.producer);
    add_text(o, "metadata", f->label.where);
    add_text(o, "granularity", vg_check_granularity(f));
    cJSON_AddNumberToObject(o, "files", f->files);
    cJSON_AddNumberToObject(o, "tensors", f->tensors);
    cJSON *dtypes = cJSON_AddObjectToObject(o, "dtypes");
    for (int d = 0; d < VG_DTYPE_COUNT; d++)
        if (f->of_dtype[d])
            cJSON_AddNumberToObject(dtypes, vg_dtype_name((vg_dtype)d), f->of_dtype[d]);
    cJSON_AddNumberToObject(o, "fp8_layers", f->fp8);
    if (f->quantisable >= 0)
        cJSON_AddNumberToObject(o, "quantisable_layers", f->quantisable);
    else
        cJSON_AddNullToObject(o, "quantisable_layers");
    cJSON_AddNumberToObject(o, "input_scales", f->input_scales);
    cJSON_AddNumberToObject(o, "stray_states", f->strays);
    cJSON_AddNumberToObject(o, "parameters", (double)f->parameters);
    cJSON_AddNumberToObject(o, "disk_bytes", (double)f->disk_bytes);
    cJSON_AddNumberToObject(o, "bf16_bytes", (double)f->bf16_bytes);
    cJSON_AddNumberToObject(o, "source_disk_bytes", (double)f->source_bytes);
    cJSON_AddNumberToObject(o, "codes", (double)f->codes);
    cJSON_AddNumberToObject(o, "nan_codes", (double)f->nan_codes);
    cJSON_AddNumberToObject(o, "largest_codes", (double)f->largest_codes);
    cJSON_AddNumberToObject(o, "zero_codes", (double)f->zero_codes);
    cJSON_AddItemToObject(o, "error", f->error.layers ? error_json(&f->error) : cJSON_CreateNull());
    return o;
}

static cJSON *report_json(const vg_check_report *r, const char *dir)
{
    static const char *const verdicts[] = {"pass", "warnings", "fail"};
    sizes s = add_sizes(r);
    cJSON *o = cJSON_CreateObject();
    add_text(o, "model", dir);
    add_text(o, "family", r->family);
    cJSON_AddStringToObject(o, "verdict", verdicts[vg_check_verdict(r)]);
    cJSON_AddNumberToObject(o, "status", exit_status(r));
    cJSON_AddBoolToObject(o, "values_read", r->values);
    cJSON *folders = cJSON_AddArrayToObject(o, "folders");
    for (int i = 0; i < r->count; i++)
        cJSON_AddItemToArray(folders, folder_json(&r->folders[i]));
    cJSON *bytes = cJSON_AddObjectToObject(o, "sizes");
    cJSON_AddNumberToObject(bytes, "disk_bytes", (double)s.disk);
    cJSON_AddNumberToObject(bytes, "bf16_bytes", (double)s.bf16);
    cJSON_AddNumberToObject(bytes, "source_disk_bytes", (double)s.source);
    cJSON_AddNumberToObject(bytes, "repo_bytes", (double)r->repo_bytes);
    cJSON_AddNumberToObject(bytes, "source_repo_bytes", (double)r->source_repo_bytes);
    cJSON *findings = cJSON_AddArrayToObject(o, "findings");
    for (int i = 0; i < r->findings.count; i++) {
        cJSON *f = cJSON_CreateObject();
        cJSON_AddStringToObject(f, "level", vg_finding_level_name(r->findings.items[i].level));
        add_text(f, "component", r->findings.items[i].component);
        add_text(f, "text", r->findings.items[i].text);
        cJSON_AddItemToArray(findings, f);
    }
    return o;
}

/* ---- the command ---- */

static void show_progress(void *user, const char *folder, uint64_t done, uint64_t of)
{
    int *last = user, percent = of ? (int)(100.0 * (double)done / (double)of) : 100;
    if (percent == *last)
        return;
    *last = percent;
    fprintf(stderr, "\r\033[K%s: %d%%", folder, percent);
    if (done == of)
        fputs("\r\033[K", stderr);
    fflush(stderr);
}

/* A folder, a hub id of the local cache, a demo. *dir is malloc'd. */
static vg_status find(const char *model, char **dir, vg_err *err)
{
    vg_lines presets = {0};
    vg_paths_presets(&presets);
    /* A folder without model_index.json is looked at, too: that is what is wrong with it. */
    vg_status status = VG_OK;
    if (vg_file_is_dir(model))
        *dir = vg_xstrdup(model);
    else
        status = vg_model_find(model, (const char *const *)presets.items, presets.count, dir, err);
    vg_lines_free(&presets);
    if (status != VG_OK && err)
        err->code = status = VG_E_ARG;
    return status;
}

/* The value of either flag; NULL without one. *twice: both were given. */
static const char *either(const vg_args *args, const char *name, const char *other, bool *twice)
{
    const char *a = vg_args_get(args, name), *b = vg_args_get(args, other);
    *twice = *twice || (a && b);
    return a ? a : b;
}

static int run_check(vg_args *args, const char *dir, const char *source)
{
    vg_check_report report = {0};
    vg_err err = {0};
    int last = -1;
    bool json = vg_args_has(args, "json");
    vg_check_options options = {.source = source,
                                .headers_only = vg_args_has(args, "headers-only")};
    options.threads = vg_settings_int(&args->settings, VG_OPT_threads);
    options.user = &last;
    if (isatty(STDERR_FILENO) && !vg_args_has(args, "quiet"))
        options.progress = show_progress;
    int status = VG_EXIT_OK;
    if (vg_check(dir, &options, &report, &err) != VG_OK)
        status = vg_cli_fail(args, &err);
    else if (json)
        vg_json_print(stdout, report_json(&report, dir), false);
    else
        print_report(&report, dir, source);
    if (err.code == VG_OK)
        status = exit_status(&report);
    vg_check_report_deinit(&report);
    return status;
}

static int run(vg_args *args)
{
    bool twice = false;
    const char *model = either(args, "model", "output", &twice),
               *source = either(args, "source", "baseline", &twice);
    char *dir = NULL, *source_dir = NULL;
    vg_err err = {0};
    int status;
    if (twice)
        return vg_cli_usage(args,
                            "--model and --output are one thing, --source and --baseline are");
    if (!model)
        return vg_cli_usage(args, "--model DIR is missing: the checkpoint to check");
    if (find(model, &dir, &err) != VG_OK || (source && find(source, &source_dir, &err) != VG_OK))
        status = vg_cli_fail(args, &err);
    else
        status = run_check(args, dir, source_dir);
    free(dir);
    free(source_dir);
    return status;
}

static const vg_arg_spec specs[] = {
    {"model", 0, "DIR",
     "the quantised checkpoint: a diffusers folder, or a hub id in the local cache"},
    {"source", 0, "DIR", "what it was made of, in BF16 or F32: every layer is compared with it"},
    {"output", 0, "DIR", "the same as --model, as the reference checker calls it"},
    {"baseline", 0, "DIR", "the same as --source, as the reference checker calls it"},
    {"headers-only", 0, NULL, "names, shapes and scales alone: no weight is read"},
    {"json", 0, NULL, "the report as one JSON object on stdout"},
    {"quiet", 'q', NULL, "no progress"},
    {0},
};

extern const vg_command vg_command_check;
const vg_command vg_command_check = {
    .name = "check",
    .alias = "verify",
    .arguments = "--model DIR [--source DIR] [--headers-only] [--json]",
    .summary = "check a quantised (ModelOpt FP8) checkpoint, every folder of it",
    .text =
        "Check a quantised checkpoint: its metadata, index and shards, every tensor that the architecture wants, the scales of every FP8 layer, "
        "NaN codes, and sizes on disk and against true BF16. With --source, how far every layer is from the weights it was made of.\n"
        "Exit status: 0 all checks passed, 1 something is wrong, 2 warnings only (this command alone means that by 2), 64 asked wrongly.",
    .examples =
        "  vgen check --model ./wan22-i2v-a14b-fp8-per-tensor --source Wan-AI/Wan2.2-I2V-A14B-Diffusers\n"
        "  vgen check --model exported --headers-only --json\n",
    .settings = "threads",
    .specs = specs,
    .usage_status = VG_EXIT_CHECK_USAGE,
    .run = run,
};

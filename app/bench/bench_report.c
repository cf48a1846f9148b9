/* bench_report.c: what a bench measured, as tables and as JSON. Figures that are not known are "-" in the table and null in JSON. */
#include "app/bench/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbers ---- */

const char *vg_bench_number(char *buf, size_t size, bool known, double value)
{
    int decimals = value < 0.9995 ? 4 : value < 99.95 ? 3 : value < 9999.5 ? 1 : 0;
    if (!known)
        snprintf(buf, size, "-");
    else
        snprintf(buf, size, "%.*f", decimals, value);
    return buf;
}

static const char *percent(char *buf, size_t size, bool known, double share)
{
    if (!known)
        snprintf(buf, size, "-");
    else
        snprintf(buf, size, "%.1f%%", 100 * share);
    return buf;
}

static double tflops(const vg_bench_result *r)
{
    return r->per_it.median > 0 ? r->flop_per_it / r->per_it.median * 1e-12 : 0;
}

/* How often a stage ran in what its entries count. */
static double runs_of(const vg_bench_result *r, int stage)
{
    return stage == VG_BENCH_DENOISE && r->steps > 0 ? r->steps : 1;
}

static double stage_seconds(const vg_bench_result *r, int stage)
{
    double sum = 0;
    for (int i = 0; i < r->ops_count; i++)
        sum += r->ops[i].section == stage ? r->ops[i].seconds : 0;
    return sum;
}

static int by_seconds(const void *a, const void *b)
{
    const vg_profile_entry *x = *(const vg_profile_entry *const *)a,
                           *y = *(const vg_profile_entry *const *)b;
    return (x->seconds < y->seconds) - (x->seconds > y->seconds);
}

/* The entries of a stage, those that took longest first. malloc'd. */
static const vg_profile_entry **sorted(const vg_bench_result *r, int stage, int *count)
{
    const vg_profile_entry **list = vg_xcalloc((size_t)r->ops_count + 1, sizeof *list);
    *count = 0;
    for (int i = 0; i < r->ops_count; i++) {
        if (r->ops[i].section == stage)
            list[(*count)++] = &r->ops[i];
    }
    qsort(list, (size_t)*count, sizeof *list, by_seconds);
    return list;
}

/* ---- tables ---- */

static void print_head(FILE *out, const vg_bench_plan *plan, const vg_bench_result *r)
{
    char memory[32];
    fprintf(out, "%s: ", plan->name);
    vg_text_print(out, vg_settings_get(&plan->settings, VG_OPT_model));
    fprintf(out, ", %dx%dx%d, %lld tokens, guidance %g, %d forward%s a step\n", r->height, r->width,
            r->num_frames, (long long)r->tokens, r->guidance_scale, r->forwards,
            r->forwards > 1 ? "s" : "");
    vg_text_print(out, r->device.name);
    fprintf(out, ", %s", vg_text_bytes(r->device.memory_total, memory, sizeof memory));
    if (*r->device.driver)
        fprintf(out, ", driver %s, CUDA runtime %s", r->device.driver, r->device.runtime);
    fprintf(out, "%s%s, vgen %s\n", *r->device.math_library ? ", " : "", r->device.math_library,
            VG_VERSION);
    fprintf(out, "%d step%s measured after %d to warm up\n", r->steps, r->steps == 1 ? "" : "s",
            r->warm_up);
}

/* Columns that the labels need, and the words that stand above them. */
static int label_width(const vg_bench_result *results, int count)
{
    int width = 14;
    for (int i = 0; i < count; i++) {
        int n = vg_text_columns(results[i].label);
        width = n > width ? n : width;
    }
    return width;
}

static void print_label(FILE *out, int width, const char *label)
{
    fprintf(out, "%s%*s", label, width - vg_text_columns(label), "");
}

static void print_speed(FILE *out, const vg_bench_result *results, int count)
{
    char a[32], b[32], c[32], d[32], e[32], f[32], memory[32];
    int width = label_width(results, count);
    fprintf(out, "\n%*s %31s\n", width, "", "denoise, s/it");
    print_label(out, width, "variant");
    fprintf(out, " %9s %9s %9s %9s %7s %9s %11s  %s\n", "median", "min", "max", "floor", "of it",
            "TFLOP/s", "peak memory", "stage");
    for (int i = 0; i < count; i++) {
        const vg_bench_result *r = &results[i];
        bool floor = r->floor_s_per_it > 0;
        print_label(out, width, r->label);
        fprintf(out, " %9s %9s %9s %9s %7s %9s %11s  %s\n",
                vg_bench_number(a, sizeof a, true, r->per_it.median),
                vg_bench_number(b, sizeof b, true, r->per_it.min),
                vg_bench_number(c, sizeof c, true, r->per_it.max),
                vg_bench_number(d, sizeof d, floor, r->floor_s_per_it),
                percent(e, sizeof e, floor, r->floor_s_per_it / r->per_it.median),
                vg_bench_number(f, sizeof f, true, tflops(r)),
                vg_text_bytes(r->peak_bytes[r->peak_stage], memory, sizeof memory),
                vg_bench_stage_name(r->peak_stage));
    }
}

static void print_wall(FILE *out, const vg_bench_result *results, int count)
{
    char text[32];
    int width = label_width(results, count);
    fputc('\n', out);
    print_label(out, width, "wall, s");
    for (int s = 0; s < VG_BENCH_STAGE_COUNT; s++)
        fprintf(out, " %9s", vg_bench_stage_name((vg_bench_stage)s));
    fprintf(out, " %9s\n", "total");
    for (int i = 0; i < count; i++) {
        const vg_bench_result *r = &results[i];
        print_label(out, width, r->label);
        for (int s = 0; s < VG_BENCH_STAGE_COUNT; s++)
            fprintf(out, " %9s",
                    vg_bench_number(text, sizeof text, r->wall_s[s] > 0, r->wall_s[s]));
        fprintf(out, " %9s\n", vg_bench_number(text, sizeof text, true, r->total_s));
    }
}

/* What is worth a column; JSON has all. */
static const struct {
    vg_gpu_metric metric;
    const char *title;
    double unit;
} columns[] = {
    {VG_GPU_sm_clock_mhz, "SM clock, MHz", 1},          {VG_GPU_power_w, "power, W", 1},
    {VG_GPU_power_limit_w, "power limit, W", 1},        {VG_GPU_temperature_c, "temperature, C", 1},
    {VG_GPU_memory_ours_bytes, "memory, GiB", 0x1p-30},
};
#define COLUMNS (sizeof columns / sizeof *columns)

static void print_energy(FILE *out, const vg_bench_result *r)
{
    double joules = vg_energy_of(&r->clocks.energy, r->per_it.median);
    if (isfinite(joules))
        fprintf(out, "  %.4g (%s)\n", joules, vg_energy_source(&r->clocks.energy));
    else
        fputs("  -\n", out);
}

static void print_clocks(FILE *out, const vg_bench_result *results, int count)
{
    bool any = false;
    for (int i = 0; i < count; i++)
        any = any || results[i].clocks.of[VG_GPU_sm_clock_mhz].count > 0;
    if (!any)
        return;
    int width = label_width(results, count);
    fputc('\n', out);
    print_label(out, width, "while measured");
    for (size_t k = 0; k < COLUMNS; k++)
        fprintf(out, " %19s", columns[k].title);
    fprintf(out, "  %s\n", "J a step");
    for (int i = 0; i < count; i++) {
        print_label(out, width, results[i].label);
        for (size_t k = 0; k < COLUMNS; k++) {
            const vg_bench_range *x = &results[i].clocks.of[columns[k].metric];
            char text[64] = "-";
            if (x->count)
                snprintf(text, sizeof text, "%.4g (%.4g-%.4g)", x->median * columns[k].unit,
                         x->min * columns[k].unit, x->max * columns[k].unit);
            fprintf(out, " %19s", text);
        }
        print_energy(out, &results[i]);
    }
}

static void print_op(FILE *out, const vg_bench_result *r, const vg_profile_entry *e, double all)
{
    const vg_device_rates *rates = vg_device_rates_find(r->device.name);
    double runs = runs_of(r, e->section), seconds = e->seconds / runs,
           calls = (double)e->calls / runs, floor = rates ? vg_op_floor_s(&e->cost, rates) : 0;
    char name[128], ms[32], share[32], speed[32], bandwidth[32], least[32], of[32];
    bool timed = seconds > 0,
         memory = rates ? vg_op_memory_bound(&e->cost, rates) : e->cost.flops <= 0;
    snprintf(name, sizeof name, "%s %s", vg_op_name(e->op), e->cost.shape);
    fprintf(out, "  %-62s %7.4g %10s %7s %8s %7s %10s %7s\n", name, calls,
            vg_bench_number(ms, sizeof ms, timed, 1e3 * seconds),
            percent(share, sizeof share, timed, seconds / all),
            vg_bench_number(speed, sizeof speed, timed && !memory,
                            calls * e->cost.flops / seconds * 1e-12),
            vg_bench_number(bandwidth, sizeof bandwidth, timed && memory,
                            calls * e->cost.bytes / seconds * 1e-9),
            vg_bench_number(least, sizeof least, floor > 0, 1e3 * calls * floor),
            percent(of, sizeof of, timed && floor > 0, calls * floor / seconds));
}

#define FOLD_BELOW 0.001 /* of the time: rows that together take less are one line */

/* The rows in order of time, and the whole. */
static void print_rows(FILE *out, const vg_bench_result *r, const vg_profile_entry **list,
                       int count, double all)
{
    double rest = 0;
    int shown = count;
    char ms[32], share[32];
    while (shown > 0 && rest + list[shown - 1]->seconds < FOLD_BELOW * all)
        rest += list[--shown]->seconds;
    double runs = count ? runs_of(r, list[0]->section) : 1;
    for (int i = 0; i < shown; i++)
        print_op(out, r, list[i], all / runs);
    if (shown < count)
        fprintf(out, "  %-62s %7d %10s %7s\n", "others", count - shown,
                vg_bench_number(ms, sizeof ms, true, 1e3 * rest / runs),
                percent(share, sizeof share, true, rest / all));
    /* What is missing of a step is the host's: gaps between operations, transfers, the sampler. */
    double steps_s = 0;
    for (int i = 0; count && list[0]->section == VG_BENCH_DENOISE && i < r->steps; i++)
        steps_s += r->step_s[i];
    fprintf(out, "  %-62s %7s %10s", "all operations", "",
            vg_bench_number(ms, sizeof ms, true, 1e3 * all / runs));
    if (steps_s > 0)
        fprintf(out, "  %.1f%% of the step", 100 * all / steps_s);
    fputc('\n', out);
}

static void print_ops(FILE *out, const vg_bench_result *r)
{
    for (int s = 0; s < VG_BENCH_STAGE_COUNT; s++) {
        int count;
        double all = stage_seconds(r, s);
        const vg_profile_entry **list = sorted(r, s, &count);
        if (all > 0) {
            fprintf(out, "\n%s, %s by operation%s\n", r->label,
                    vg_bench_stage_name((vg_bench_stage)s),
                    s == VG_BENCH_DENOISE ? ", a step" : "");
            fprintf(out, "  %-62s %7s %10s %7s %8s %7s %10s %7s\n", "operation", "calls", "ms",
                    "share", "TFLOP/s", "GB/s", "floor, ms", "of it");
            print_rows(out, r, list, count, all);
        }
        free(list);
    }
}

void vg_bench_print(FILE *out, const vg_bench_plan *plan, const vg_bench_result *results, int count)
{
    print_head(out, plan, &results[0]);
    print_speed(out, results, count);
    print_wall(out, results, count);
    print_clocks(out, results, count);
    for (int i = 0; i < count; i++) {
        if (results[i].streamed_blocks)
            fprintf(out, "\n%s: %d blocks streamed from the host\n", results[i].label,
                    results[i].streamed_blocks);
        char attention[320];
        if (*vg_layer_attentions_text(&results[i].attentions, &results[i].attention, attention,
                                      sizeof attention))
            fprintf(out, "\n%s: %s\n", results[i].label, attention);
        if (*results[i].scales)
            fprintf(out, "\n%s: input scales %s\n", results[i].label, results[i].scales);
    }
    for (int i = 0; i < count && results[i].timed; i++)
        print_ops(out, &results[i]);
}

/* ---- JSON ---- */

static void add_known(cJSON *o, const char *key, bool known, double value)
{
    if (known)
        cJSON_AddNumberToObject(o, key, value);
    else
        cJSON_AddNullToObject(o, key);
}

static void add_range(cJSON *o, const char *key, const vg_bench_range *range)
{
    if (!range->count) {
        cJSON_AddNullToObject(o, key);
        return;
    }
    cJSON *r = cJSON_AddObjectToObject(o, key);
    cJSON_AddNumberToObject(r, "median", range->median);
    cJSON_AddNumberToObject(r, "min", range->min);
    cJSON_AddNumberToObject(r, "max", range->max);
}

static void add_text(cJSON *o, const char *key, const char *text)
{
    if (*text)
        cJSON_AddStringToObject(o, key, text);
    else
        cJSON_AddNullToObject(o, key);
}

static void add_ops(cJSON *o, const vg_bench_result *r)
{
    const vg_device_rates *rates = vg_device_rates_find(r->device.name);
    cJSON *array = cJSON_AddArrayToObject(o, "ops");
    for (int s = 0; s < VG_BENCH_STAGE_COUNT; s++) {
        int count;
        const vg_profile_entry **list = sorted(r, s, &count);
        double all = stage_seconds(r, s), runs = runs_of(r, s);
        for (int i = 0; i < count; i++) {
            const vg_profile_entry *e = list[i];
            cJSON *row = cJSON_CreateObject();
            cJSON_AddStringToObject(row, "stage", vg_bench_stage_name((vg_bench_stage)s));
            cJSON_AddStringToObject(row, "op", vg_op_name(e->op));
            cJSON_AddStringToObject(row, "shape", e->cost.shape);
            cJSON_AddNumberToObject(row, "calls", (double)e->calls / runs);
            add_known(row, "ms", r->timed, 1e3 * e->seconds / runs);
            add_known(row, "share", r->timed && all > 0, all > 0 ? e->seconds / all : 0);
            cJSON_AddNumberToObject(row, "flops", (double)e->calls * e->cost.flops / runs);
            cJSON_AddNumberToObject(row, "bytes", (double)e->calls * e->cost.bytes / runs);
            add_known(row, "floor_ms", rates != NULL,
                      rates ? 1e3 * (double)e->calls * vg_op_floor_s(&e->cost, rates) / runs : 0);
            cJSON_AddItemToArray(array, row);
        }
        free(list);
    }
}

static cJSON *result_json(const vg_bench_plan *plan, const vg_bench_result *r)
{
    static const vg_bench_stage walls[] = {VG_BENCH_TEXT, VG_BENCH_ENCODE, VG_BENCH_DENOISE,
                                           VG_BENCH_DECODE};
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "case", plan->name);
    cJSON_AddStringToObject(o, "variant", r->id);
    cJSON_AddStringToObject(o, "label", r->label);
    cJSON_AddStringToObject(o, "quantization", vg_scheme_name(r->scheme));
    cJSON_AddStringToObject(o, "device", r->device.name);
    cJSON_AddNumberToObject(o, "tokens", (double)r->tokens);
    cJSON_AddNumberToObject(o, "steps_measured", r->steps);
    cJSON_AddNumberToObject(o, "steps_warm_up", r->warm_up);
    cJSON_AddNumberToObject(o, "forwards_per_step", r->forwards);
    add_range(o, "denoise_s_per_it", &r->per_it);
    cJSON_AddNumberToObject(o, "height", r->height);
    cJSON_AddNumberToObject(o, "width", r->width);
    cJSON_AddNumberToObject(o, "num_frames", r->num_frames);
    cJSON_AddNumberToObject(o, "guidance_scale", r->guidance_scale);
    cJSON *wall = cJSON_AddObjectToObject(o, "wall_s");
    for (size_t i = 0; i < sizeof walls / sizeof *walls; i++)
        cJSON_AddNumberToObject(wall, vg_bench_stage_name(walls[i]), r->wall_s[walls[i]]);
    cJSON_AddNumberToObject(wall, "total", r->total_s);
    cJSON_AddNumberToObject(o, "load_s", r->wall_s[VG_BENCH_LOAD]);
    cJSON_AddNumberToObject(o, "calibrate_s", r->wall_s[VG_BENCH_CALIBRATE]);
    cJSON_AddNumberToObject(o, "peak_device_bytes", (double)r->peak_bytes[r->peak_stage]);
    cJSON_AddStringToObject(o, "peak_stage", vg_bench_stage_name(r->peak_stage));
    cJSON_AddNumberToObject(o, "planned_peak_bytes", (double)r->planned_bytes);
    cJSON_AddNumberToObject(o, "streamed_blocks", r->streamed_blocks);
    cJSON *peaks = cJSON_AddObjectToObject(o, "stage_peak_bytes");
    for (int s = VG_BENCH_TEXT; s < VG_BENCH_STAGE_COUNT; s++)
        cJSON_AddNumberToObject(peaks, vg_bench_stage_name((vg_bench_stage)s),
                                (double)r->peak_bytes[s]);
    cJSON_AddNumberToObject(o, "tflops", tflops(r));
    cJSON_AddNumberToObject(o, "tflop_per_it", r->flop_per_it * 1e-12);
    add_known(o, "floor_s_per_it", r->floor_s_per_it > 0, r->floor_s_per_it);
    add_text(o, "fp8_input_scales", r->scales);
    cJSON_AddItemToObject(o, "attention", vg_layer_attentions_json(&r->attentions, &r->attention));
    cJSON_AddItemToObject(o, "precision", vg_precision_report_json(&r->precision));
    cJSON *clocks = cJSON_AddObjectToObject(o, "clocks");
    vg_energy_json(o, "joules_per_it", &r->clocks.energy, r->per_it.median);
    for (int m = 0; m < VG_GPU_METRIC_COUNT; m++)
        add_range(clocks, vg_gpu_metric_describe((vg_gpu_metric)m)->name, &r->clocks.of[m]);
    add_text(o, "driver", r->device.driver);
    add_text(o, "runtime", r->device.runtime);
    add_text(o, "library", r->device.math_library);
    cJSON_AddStringToObject(o, "vgen", VG_VERSION);
    cJSON_AddItemToObject(o, "settings", vg_settings_to_json(&plan->settings));
    if (r->timed)
        add_ops(o, r);
    return o;
}

cJSON *vg_bench_json(const vg_bench_plan *plan, const vg_bench_result *results, int count)
{
    if (count == 1)
        return result_json(plan, results);
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "case", plan->name);
    cJSON *array = cJSON_AddArrayToObject(root, "results");
    for (int i = 0; i < count; i++)
        cJSON_AddItemToArray(array, result_json(plan, &results[i]));
    return root;
}

/* cmd_bench.c: vgen bench: the command line of app/bench/bench.h. */
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "app/bench/bench.h"
#include "app/cli/cli.h"
#include "app/job/job.h"
#include "app/job/device_lock.h"
#include "app/settings/paths.h"
#include "engine/run/hub.h"

static atomic_int cancelled;

static void on_interrupt(int number)
{
    (void)number;
    atomic_store(&cancelled, 1);
}

static void take_interrupts(void)
{
    struct sigaction on = {.sa_handler = on_interrupt};
    sigemptyset(&on.sa_mask);
    sigaction(SIGINT, &on, NULL);
    sigaction(SIGTERM, &on, NULL);
}

/* ---- what was asked ---- */

/* A whole number within [min, max] of a flag that is not a setting. */
static vg_status whole(const vg_args *args, const char *flag, int min, int max, int *value,
                       vg_err *err)
{
    const char *text = vg_args_get(args, flag);
    char *end, clean[32];
    if (!text)
        return VG_OK;
    long n = strtol(text, &end, 10);
    if (end == text || *end || n < min || n > max)
        return VG_FAIL(err, VG_E_ARG, "--%s: \"%s\" is not a whole number from %d to %d", flag,
                       vg_text_clean_to(clean, sizeof clean, text), min, max);
    *value = (int)n;
    return VG_OK;
}

static vg_status positive(const vg_args *args, const char *flag, double *value, vg_err *err)
{
    const char *text = vg_args_get(args, flag);
    char *end, clean[32];
    if (!text)
        return VG_OK;
    double x = strtod(text, &end);
    if (end == text || *end || !(x > 0) || x > 1e6)
        return VG_FAIL(err, VG_E_ARG, "--%s: \"%s\" is not a number above 0", flag,
                       vg_text_clean_to(clean, sizeof clean, text));
    *value = x;
    return VG_OK;
}

static vg_status make_plan(const vg_args *args, vg_bench_plan *plan, vg_err *err)
{
    const char *name = vg_args_get(args, "case");
    const vg_bench_case *c = NULL;
    *plan = (vg_bench_plan){.name = "custom",
                            .steps_run = 3,
                            .warm_up = 1,
                            .profile = vg_args_has(args, "profile"),
                            .denoise_only = vg_args_has(args, "denoise-only"),
                            .cancel = &cancelled};
    VG_TRY(vg_cli_settings(args, &plan->settings, err));
    VG_TRY(vg_settings_draw_seed(&plan->settings, err));
    VG_TRY(whole(args, "steps-run", 1, VG_BENCH_STEPS_MAX, &plan->steps_run, err));
    VG_TRY(whole(args, "warm-up", 0, VG_BENCH_STEPS_MAX, &plan->warm_up, err));
    if (name) {
        VG_TRY(vg_bench_case_find(name, &c, err));
        VG_TRY(vg_bench_case_settings(c, &plan->settings, err));
        plan->name = c->name;
    }
    if (!*vg_settings_get(&plan->settings, VG_OPT_prompt))
        VG_TRY(vg_settings_set(&plan->settings, VG_OPT_prompt,
                               "a red fox runs through fresh snow at dawn, its breath in the air",
                               err));
    return VG_OK;
}

/* Open the engine and hold the device for it: figures measured beside a job would be worth nothing, and the job's would suffer. */
static vg_status open_engine(const vg_settings *s, vg_engine **engine, int *lock, vg_err *err)
{
    const char *device = vg_settings_get(s, VG_OPT_device);
    int threads = vg_settings_int(s, VG_OPT_threads);
    char holder[160] = "", note[32];
    if (*device)
        VG_TRY(vg_device_check(device, err));
    else
        device = vg_device_default();
    vg_cli_say_device(s, false);
    char *path = vg_device_lock_path(device, NULL);
    snprintf(note, sizeof note, "process %ld", (long)getpid());
    /* Where no lock can be kept, nobody else keeps one either. */
    bool busy = path && vg_lock_take(path, note, lock, NULL) == VG_E_BUSY;
    if (busy)
        vg_device_lock_holder(path, holder, sizeof holder);
    free(path);
    if (busy)
        return VG_FAIL(err, VG_E_BUSY, "the device is at work for %s; wait for it, or cancel it",
                       *holder ? holder : "somebody else");
    return vg_device_open(device, threads, engine, err);
}

/* The results of --json FILE. */
static vg_status keep_json(const vg_args *args, cJSON *root, vg_err *err)
{
    const char *path = vg_args_get(args, "json");
    vg_status status = path ? vg_json_save(path, root, err) : VG_OK;
    cJSON_Delete(root);
    return status;
}

/* ---- a job ---- */

/* A variant with the model that it names. */
static vg_status bench_variant(const vg_bench_plan *plan, const vg_variant *variant,
                               vg_engine *engine, vg_bench_result *result, vg_err *err)
{
    vg_settings s = {{0}};
    vg_lines presets = {0};
    vg_model *model = NULL;
    char *dir = NULL;
    vg_status status;
    vg_variant_settings(&plan->settings, variant, &s);
    vg_paths_presets(&presets);
    VG_TRY_GOTO(status,
                vg_model_find(vg_settings_get(&s, VG_OPT_model), (const char *const *)presets.items,
                              presets.count, &dir, err),
                done);
    VG_TRY_GOTO(status, vg_model_open(dir, vg_settings_load_format(&s), &model, err), done);
    status = vg_bench_run(engine, model, plan, variant, result, err);
done:
    vg_model_close(model);
    vg_lines_free(&presets);
    vg_settings_deinit(&s);
    free(dir);
    return status;
}

static vg_status bench_job(const vg_args *args, vg_err *err)
{
    vg_bench_plan plan;
    vg_bench_result *results = vg_xcalloc(VG_VARIANTS_MAX, sizeof *results);
    vg_variants variants = {0};
    vg_engine *engine = NULL;
    int count = 0, lock = -1;
    vg_status status;
    VG_TRY_GOTO(status, make_plan(args, &plan, err), done);
    VG_TRY_GOTO(status, vg_cli_variants(args, &plan.settings, &variants, err), done);
    VG_TRY_GOTO(status, open_engine(&plan.settings, &engine, &lock, err), done);
    for (; count < variants.count; count++)
        VG_TRY_GOTO(status,
                    bench_variant(&plan, &variants.items[count], engine, &results[count], err),
                    done);
    vg_bench_print(stdout, &plan, results, count);
    status = keep_json(args, vg_bench_json(&plan, results, count), err);
done:
    for (int i = 0; i < count; i++)
        vg_bench_result_deinit(&results[i]);
    vg_variants_deinit(&variants);
    vg_engine_close(engine);
    vg_lock_release(lock);
    vg_settings_deinit(&plan.settings);
    free(results);
    return status;
}

/* ---- single operations ---- */

static void row_done(const vg_bench_op_row *row)
{
    vg_bench_ops_print(stdout, row);
    fflush(stdout);
}

static vg_status bench_ops(const vg_args *args, vg_err *err)
{
    vg_bench_ops_options options = {
        .row_s = 0.5, .filter = vg_args_get(args, "only"), .cancel = &cancelled};
    vg_bench_op_row *rows = NULL;
    vg_engine *engine = NULL;
    int count = 0, lock = -1;
    vg_status status;
    VG_TRY(positive(args, "scale", &options.scale, err));
    VG_TRY(positive(args, "row-seconds", &options.row_s, err));
    VG_TRY_GOTO(status, open_engine(&args->settings, &engine, &lock, err), done);
    vg_engine_backend(engine)->fp8_exact =
        vg_settings_choice(&args->settings, VG_OPT_fp8_sums) != 0;
    vg_engine_backend(engine)->attention =
        (vg_attention_kernel)vg_settings_choice(&args->settings, VG_OPT_attention_kernel);
    vg_bench_ops_print_head(stdout);
    VG_TRY_GOTO(status,
                vg_bench_ops_run(vg_engine_backend(engine), &options, &rows, &count, row_done, err),
                done);
    status = keep_json(args, vg_bench_ops_json(vg_engine_backend(engine), rows, count), err);
done:
    free(rows);
    vg_engine_close(engine);
    vg_lock_release(lock);
    return status;
}

static int run(vg_args *args)
{
    vg_err err = {0};
    take_interrupts();
    vg_status status = vg_args_has(args, "ops") ? bench_ops(args, &err) : bench_job(args, &err);
    if (status == VG_E_CANCELLED)
        return VG_EXIT_CANCELLED;
    return status == VG_OK ? VG_EXIT_OK : vg_cli_fail(args, &err);
}

static const vg_arg_spec specs[] = {
    {"case", 0, "NAME", "a case with a name: its model and sizes; settings given as well win"},
    {"preset", 0, "NAME", "begin with these settings; flags win"},
    VG_SPEC_VARIANT,
    {"steps-run", 0, "N", "denoise steps to measure [3]"},
    {"warm-up", 0, "N", "denoise steps before them that do not count [1]"},
    {"profile", 0, NULL, "time every operation as well"},
    {"denoise-only", 0, NULL,
     "the denoise loop alone, on random text (and image): no text encoder, no encode, no decode"},
    {"ops", 0, NULL, "every operation by itself at the sizes of the cases, instead of a job"},
    {"only", 0, "TEXT", "with --ops: rows whose name, place or shape has this text"},
    {"scale", 0, "X",
     "with --ops: this share of the tokens and pixels [1; on the CPU a small one]"},
    {"row-seconds", 0, "X", "with --ops: how long a row is measured [0.5]"},
    {"json", 0, "FILE", "also write the figures there, as JSON"},
    {0}};

extern const vg_command vg_command_bench;
const vg_command vg_command_bench = {
    .name = "bench",
    .arguments = "[--case NAME] [--ops] [settings]",
    .summary = "how fast a job, or every operation, runs here, beside what the device could do",
    .text =
        "Measure a job in this process and keep nothing of it: text, encode, denoise, decode, each by itself; with several schemes or variants one after the other. "
        "Denoise s/it is of the measured steps alone. The floor is what those operations would take at the device's datasheet rates, in the precision that each of them really ran in. "
        "With two experts all steps run in the first, unless --boundary-ratio is given.\n"
        "Cases, with generated weights unless --model names others:"
#define VG_BENCH_CASE(name, model, mode, height, width, frames, steps, guidance, guidance_2,       \
                      flow_shift, help)                                                            \
    "\n  " name ": " help
#include "app/bench/bench.def"
#undef VG_BENCH_CASE
    ,
    .examples =
        "  vgen bench --case wan22-t2v-a14b-480p --quantization bf16,fp8,fp8-block --profile --json bench.json\n"
        "  vgen bench --model demo --steps-run 5\n"
        "  vgen bench --ops --only attention\n",
    .settings =
        "model load_format mode quantization prompt negative_prompt height width num_frames num_inference_steps guidance_scale guidance_scale_2 "
        "boundary_ratio flow_shift conditioning_scale scheduler flow_grid seed compute vae_compute fp8_act precision fp8_sums attention attention_limit attention_self_test attention_first_blocks attention_last_blocks attention_first_steps attention_last_steps attention_recipe attention_kernel vae_use_tiling device threads vram_limit",
    .specs = specs,
    .run = run,
};

/* cmd_component.c: vgen component: one part of a model on given tensors. */
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "app/cli/cli.h"
#include "app/job/job.h"
#include "app/settings/paths.h"
#include "engine/run/hub.h"

static atomic_int cancelled;

static void on_interrupt(int number)
{
    (void)number;
    atomic_store(&cancelled, 1);
}

/* As jobs do: the VAE in F32 unless asked otherwise, by its own option or by --compute. */
static vg_compute vae_compute(const vg_settings *s)
{
    vg_option_id option =
        !vg_settings_is_set(s, VG_OPT_vae_compute) && vg_settings_is_set(s, VG_OPT_compute)
            ? VG_OPT_compute
            : VG_OPT_vae_compute;
    return (vg_compute)vg_settings_choice(s, option);
}

/* All that can be wrong with what was asked, before a file is read. */
static vg_status check(vg_args *args, const vg_model *model, vg_component_params *params,
                       vg_err *err)
{
    const vg_settings *s = &args->settings;
    vg_scheme schemes[VG_SCHEME_COUNT] = {VG_SCHEME_BF16};
    VG_TRY(vg_component_check(model, args->words[0], err));
    if (vg_settings_schemes(s, schemes) > 1)
        return VG_FAIL(err, VG_E_ARG, "--quantization: one scheme at a time here");
    *params = (vg_component_params){
        .scheme = schemes[0],
        .scheme_given = vg_settings_is_set(s, VG_OPT_quantization),
        .precision = vg_settings_get(s, VG_OPT_precision),
        .compute = (vg_compute)vg_settings_choice(s, VG_OPT_compute),
        .vae_compute = vae_compute(s),
        .vae_tiling = vg_settings_bool(s, VG_OPT_vae_use_tiling),
        .cancel = &cancelled,
    };
    return VG_OK;
}

static vg_status run_part(vg_args *args, vg_model *model, const vg_component_params *params,
                          vg_err *err)
{
    vg_engine *engine = NULL;
    vg_safetensors *in = NULL;
    vg_safetensors_entry *out = NULL;
    int out_count = 0;
    const char *device = vg_settings_get(&args->settings, VG_OPT_device);
    int threads = vg_settings_int(&args->settings, VG_OPT_threads);
    vg_status status;
    if (*device)
        VG_TRY(vg_device_check(device, err));
    vg_cli_say_device(&args->settings, false);
    VG_TRY_GOTO(status, vg_safetensors_open(vg_args_get(args, "in"), &in, err), done);
    VG_TRY_GOTO(status,
                vg_device_open(*device ? device : vg_device_default(), threads, &engine, err),
                done);
    VG_TRY_GOTO(status,
                vg_component_run(engine, model, args->words[0], params, in, &out, &out_count, err),
                done);
    status = vg_safetensors_write(vg_args_get(args, "out"), out, out_count, NULL, err);
done:
    vg_entries_free(out, out_count);
    vg_safetensors_close(in);
    vg_engine_close(engine);
    return status;
}

static int run(vg_args *args)
{
    vg_lines presets = {0};
    vg_model *model = NULL;
    vg_component_params params;
    vg_err err = {0};
    char *dir = NULL;
    struct sigaction on = {.sa_handler = on_interrupt};
    vg_status status;
    if (!vg_args_get(args, "in") || !vg_args_get(args, "out"))
        return vg_cli_usage(args, "--in FILE and --out FILE are needed");
    sigemptyset(&on.sa_mask);
    sigaction(SIGINT, &on, NULL);
    sigaction(SIGTERM, &on, NULL);
    vg_paths_presets(&presets);
    VG_TRY_GOTO(status,
                vg_model_find(vg_settings_get(&args->settings, VG_OPT_model),
                              (const char *const *)presets.items, presets.count, &dir, &err),
                done);
    VG_TRY_GOTO(status, vg_model_open(dir, vg_settings_load_format(&args->settings), &model, &err),
                done);
    VG_TRY_GOTO(status, check(args, model, &params, &err), done);
    status = run_part(args, model, &params, &err);
    if (status == VG_E_ARG) /* what was asked is in order: it is what the file holds */
        err.code = VG_E_FORMAT;
done:
    vg_model_close(model);
    vg_lines_free(&presets);
    free(dir);
    if (status == VG_E_CANCELLED) {
        fputs("vgen component: cancelled, nothing was written\n", stderr);
        return VG_EXIT_CANCELLED;
    }
    return status == VG_OK ? VG_EXIT_OK : vg_cli_fail(args, &err);
}

static const vg_arg_spec specs[] = {{"in", 0, "FILE", "input tensors (safetensors)"},
                                    {"out", 0, "FILE", "where the output tensors go (safetensors)"},
                                    {0}};

extern const vg_command vg_command_component;
const vg_command vg_command_component = {
    .name = "component",
    .arguments = "PART --model DIR --in FILE --out FILE [options]",
    .summary = "run one part of a model on given tensors",
    .text =
        "Run one part of a model on given tensors, for tests and the curious. Every family has transformer (hidden_states, timestep, encoder_hidden_states, ... -> sample), vae-decode (latents "
        "as the VAE takes them -> sample) and vae-encode (sample in [-1,1] -> latents, the posterior's mean); a name that a model does not have lists those that it has, with their tensors.",
    .examples =
        "  vgen component transformer --model demo --in in.safetensors --out out.safetensors --compute f32\n",
    .settings = "model quantization precision compute vae_compute device threads vae_use_tiling",
    .specs = specs,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};

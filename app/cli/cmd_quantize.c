/* cmd_quantize.c: vgen quantize. Flags are those of the three public calibration scripts, under their names; what they say becomes settings. */
#include "app/cli/run_jobs.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static vg_status set(vg_settings *s, vg_option_id id, const char *text)
{
    return vg_settings_set(s, id, text, NULL);
}

/* ---- prompts ---- */

/* One a line in the one setting that there is for them. */
static int take_prompts(vg_args *args, vg_settings *s)
{
    int count, status = VG_EXIT_OK;
    const char **given = vg_args_all(args, "prompt", &count),
               *file = vg_args_get(args, "prompt-file");
    vg_lines lines = {0};
    vg_err err = {0};
    char *text = vg_xstrdup("");
    if (file && count)
        status = vg_cli_usage(args, "--prompt and --prompt-file exclude each other");
    else if (file)
        status = vg_run_read_prompts(args, file, &lines);
    for (int i = 0; i < count; i++) {
        if (!*given[i] || strchr(given[i], '\n'))
            status = vg_cli_usage(args, "--prompt: a prompt of one line is wanted");
        vg_lines_add(&lines, vg_xstrdup(given[i]));
    }
    for (int i = 0; i < lines.count; i++) {
        char *joined = vg_xstrf("%s%s%s", text, *text ? "\n" : "", lines.items[i]);
        free(text);
        text = joined;
    }
    if (status == VG_EXIT_OK && vg_settings_set(s, VG_OPT_prompt, text, &err) != VG_OK)
        status = vg_cli_fail(args, &err);
    free(given);
    free(text);
    vg_lines_free(&lines);
    return status;
}

/* ---- the kind of FP8 ---- */

/* ModelOpt's names of formats, of 0.43 and of 0.47. */
static const struct {
    const char *name, *scheme;
} formats[] = {
    {"fp8", "fp8"},
    {"fp8_pb_wo", "fp8-block"},
    {"fp8_2d_blockwise_weight_only", "fp8-block"},
};

static int take_format(vg_args *args, vg_settings *s)
{
    const char *format = vg_args_get(args, "format"),
               *block = vg_args_get(args, "weight-block-size"), *scheme = "fp8";
    if (format && block)
        return vg_cli_usage(args, "--format and --weight-block-size exclude each other");
    if (block && strcmp(block, "128,128"))
        return vg_cli_usage(args,
                            "--weight-block-size: %s is not supported; blocks of 128,128 are what "
                            "FP8_PB_WO readers take",
                            block);
    if (block)
        scheme = "fp8-block";
    for (size_t i = 0; format && i < sizeof formats / sizeof *formats; i++) {
        if (!strcasecmp(format, formats[i].name)) {
            (void)set(s, VG_OPT_quantization, formats[i].scheme);
            return VG_EXIT_OK;
        }
    }
    if (format)
        return vg_cli_usage(args,
                            "--format: %s is not one of fp8, fp8_pb_wo and "
                            "fp8_2d_blockwise_weight_only",
                            format);
    /* A preset may say it; the flags win. */
    if (block || !vg_settings_is_set(s, VG_OPT_quantization))
        (void)set(s, VG_OPT_quantization, scheme);
    return VG_EXIT_OK;
}

static int take_dtype(vg_args *args, vg_settings *s)
{
    const char *dtype = vg_args_get(args, "dtype");
    if (!dtype)
        return VG_EXIT_OK;
    if (!strcmp(dtype, "float16"))
        return vg_cli_usage(args, "--dtype float16: activations of these models leave its range; "
                                  "bfloat16 or float32 is wanted");
    if (strcmp(dtype, "bfloat16") && strcmp(dtype, "float32"))
        return vg_cli_usage(args, "--dtype: %s is not one of bfloat16 and float32", dtype);
    (void)set(s, VG_OPT_compute, dtype[0] == 'b' ? "bf16" : "f32");
    return VG_EXIT_OK;
}

/* ---- what clips are made from ---- */

static int take_variant(vg_args *args, const vg_settings *s)
{
    const char *variant = vg_args_get(args, "variant");
    bool pictures = *vg_settings_get(s, VG_OPT_reference_images),
         i2v = vg_args_has(args, "is-i2v") || (variant && !strcmp(variant, "i2v"));
    if (variant && strcmp(variant, "auto") && strcmp(variant, "t2v") && strcmp(variant, "i2v"))
        return vg_cli_usage(args, "--variant: %s is not one of auto, t2v and i2v", variant);
    if (i2v && !pictures)
        return vg_cli_usage(args, "image to video needs pictures: --reference-images DIR");
    if (variant && !strcmp(variant, "t2v") && pictures)
        return vg_cli_usage(args, "--variant t2v takes no --reference-images");
    return VG_EXIT_OK;
}

static int take_value(vg_args *args, const char *flag, vg_settings *s, vg_option_id id)
{
    const char *value = vg_args_get(args, flag);
    vg_err err = {0};
    if (!value || vg_settings_set(s, id, value, &err) == VG_OK)
        return VG_EXIT_OK;
    const char *rest = strstr(err.message, ": "); /* behind the key */
    return vg_cli_usage(args, "--%s%s", flag, rest ? rest : err.message);
}

static int take_all(vg_args *args, vg_settings *s)
{
    int status;
    if (vg_args_has(args, "quantize-mha"))
        return vg_cli_usage(args,
                            "--quantize-mha: products inside attention are not quantised in a "
                            "checkpoint (the reference's flag of this name changes nothing "
                            "in its exports); generate has --attention-kernel");
    if (!vg_args_has(args, "output"))
        return vg_cli_usage(args, "--output DIR is missing: the folder to write");
    if ((status = take_prompts(args, s)) != VG_EXIT_OK ||
        (status = take_format(args, s)) != VG_EXIT_OK ||
        (status = take_dtype(args, s)) != VG_EXIT_OK ||
        (status = take_variant(args, s)) != VG_EXIT_OK ||
        (status = take_value(args, "output", s, VG_OPT_output)) != VG_EXIT_OK)
        return status;
    return take_value(args, "calib-steps", s, VG_OPT_num_inference_steps);
}

static int run(vg_args *args)
{
    vg_settings settings = {{0}};
    vg_err err = {0};
    bool went_away = false;
    cJSON *results = cJSON_CreateArray();
    int status = VG_EXIT_OK;
    if (vg_cli_settings(args, &settings, &err) != VG_OK)
        status = vg_cli_fail(args, &err);
    if (status == VG_EXIT_OK)
        status = take_all(args, &settings);
    if (status == VG_EXIT_OK)
        status = vg_run_job(args, &vg_job_kind_quantize, &settings, NULL, 0, results, &went_away);
    if (cJSON_GetArraySize(results))
        vg_json_print(stdout, cJSON_DetachItemFromArray(results, 0), false);
    cJSON_Delete(results);
    vg_settings_deinit(&settings);
    return status;
}

static const vg_arg_spec specs[] = {
    {"output", 0, "DIR", "the folder to write; it appears when it is whole"},
    {"weight-block-size", 0, "128,128",
     "scales of 128x128 tiles (FP8_PB_WO) in place of one a layer (FP8)"},
    {"format", 0, "NAME",
     "the same by ModelOpt's names: fp8, fp8_pb_wo, fp8_2d_blockwise_weight_only"},
    {"prompt", 0, "TEXT...",
     "calibrate with this prompt, in place of the reference's eight; several are taken in turn"},
    {"prompt-file", 0, "FILE", "the same, one prompt a line"},
    {"calib-steps", 0, "N", "denoise steps of a sample [10]"},
    {"is-i2v", 0, NULL, "image to video: needs --reference-images"},
    {"variant", 0, "auto|t2v|i2v", "what clips are made from; auto: as the model does"},
    {"dtype", 0, "bfloat16|float32", "the same as --compute"},
    {"quantize-mha", 0, NULL, "refused, with the reason"},
    {"preset", 0, "NAME", "begin with these settings; flags win"},
    {"jobs-dir", 0, "DIR", "where job folders are made [~/.local/state/vgen/jobs]"},
    {"detach", 'd', NULL, "start, print the job's name, and return at once"},
    {"json", 0, NULL, "print one JSON object, and nothing else, on stdout"},
    {"quiet", 'q', NULL, "no progress"},
    {0},
};

extern const vg_command vg_command_quantize;
const vg_command vg_command_quantize = {
    .name = "quantize",
    .alias = "calibrate",
    .arguments = "--model DIR --output DIR [--weight-block-size 128,128] [options]",
    .summary = "calibrate a checkpoint and export it as ModelOpt FP8",
    .text =
        "Calibrate a BF16 or F32 checkpoint and write it as static FP8, in the layout of nvidia-modelopt: run a few clips, note the largest input of every layer, and "
        "store weights with their scales. Of two experts the first is measured (with --calib-boundary-ratio), then runs quantised while the second is. Everything is "
        "checked before anything is written; a job that was interrupted goes on with vgen resume. vgen check looks at the result; how it was made stands in "
        "its vgen_calibration.json.",
    .examples =
        "  vgen quantize --model Wan-AI/Wan2.2-I2V-A14B-Diffusers --is-i2v --reference-images pictures --calib-boundary-ratio 0.5 --output wan22-i2v-fp8\n"
        "  vgen quantize --model demo --output demo-fp8 --calib-size 2 --weight-block-size 128,128\n",
    .settings =
        "model load_format negative_prompt height width num_frames guidance_scale guidance_scale_2 boundary_ratio flow_shift scheduler "
        "flow_grid seed compute vae_compute attention_kernel precision ignore_layers vae_use_tiling device vram_limit threads calib_size "
        "calib_boundary_ratio reference_images edge_blocks quantize_vace_proj_out modelopt_compat_rounding overwrite",
    .specs = specs,
    .run = run,
};

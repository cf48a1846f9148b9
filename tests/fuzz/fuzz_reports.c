/* fuzz_reports.c: the small JSON files of arbitrary bytes. The first byte chooses: 0 metrics.json, 1 calibration.json, 2 what is sealed (variant.json,
 * files.json), 3 vgen.json of a checkpoint. What is read of metrics can be written, and read again. */
#include "tests/fuzz/fuzz.h"

#include <math.h>

#include "app/report/report.h"
#include "app/worker/worker_run.h"
#include "engine/layers/calibrate.h"
#include "engine/run/checkpoint_defaults.h"

static void fuzz_metrics(void)
{
    vg_report_metrics one = {0}, two = {0};
    const char *dir = fuzz_folder();
    if (vg_report_metrics_read(dir, &one, NULL) != VG_OK)
        return;
    if (vg_report_metrics_write(dir, &one, NULL) != VG_OK ||
        vg_report_metrics_write_csv(fuzz_path("metrics.csv"), &one, NULL) != VG_OK ||
        vg_report_metrics_read(dir, &two, NULL) != VG_OK || one.frames != two.frames)
        abort();
    vg_report_metrics_deinit(&one);
    vg_report_metrics_deinit(&two);
}

static void fuzz_scales(void)
{
    vg_input_scales *scales;
    float scale = 1;
    cJSON *root = vg_worker_open_sealed(fuzz_path("calibration.json"));
    cJSON_Delete(root);
    if (vg_input_scales_read(fuzz_path("calibration.json"), NULL, &scales, NULL) != VG_OK)
        return;
    if (vg_input_scales_find(scales, "transformer", "blocks.0.attn1.to_q", &scale, NULL) == VG_OK &&
        !(scale > 0 && isfinite(scale)))
        abort();
    vg_input_scales_free(scales);
}

static void fuzz_sealed(void)
{
    cJSON *root = vg_worker_open_sealed(fuzz_path("variant.json"));
    /* What was sealed is found whole. */
    if (!root && vg_json_load(fuzz_path("variant.json"), &root, NULL) == VG_OK) {
        vg_worker_seal(root);
        if (vg_json_save(fuzz_path("variant.json"), root, NULL) == VG_OK) {
            cJSON *again = vg_worker_open_sealed(fuzz_path("variant.json"));
            if (!again)
                abort();
            cJSON_Delete(again);
        }
    }
    cJSON_Delete(root);
}

static void fuzz_defaults(void)
{
    static const char index[] = "{\"_class_name\": \"WanPipeline\"}";
    vg_checkpoint *checkpoint;
    vg_checkpoint_defaults own;
    fuzz_write("model_index.json", "wb", index, sizeof index - 1);
    if (vg_checkpoint_open(fuzz_folder(), &checkpoint, NULL) != VG_OK)
        abort();
    if (vg_checkpoint_defaults_read(checkpoint, &own, NULL) == VG_OK) {
        vg_generate_params p;
        vg_generate_params_init(&p);
        vg_checkpoint_defaults_apply(&own, &p);
    }
    vg_checkpoint_close(checkpoint);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } files[] = {{"metrics.json", fuzz_metrics},
                 {"calibration.json", fuzz_scales},
                 {"variant.json", fuzz_sealed},
                 {"vgen.json", fuzz_defaults}};
    if (!size)
        return 0;
    int which = data[0] % 4;
    fuzz_write(files[which].name, "wb", data + 1, size - 1);
    files[which].run();
    return 0;
}

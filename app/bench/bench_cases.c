/* bench_cases.c: the table of cases and what a case sets. */
#include <string.h>
#include "app/bench/bench.h"

const vg_bench_case vg_bench_cases[] = {
#define VG_BENCH_CASE(name, model, mode, height, width, frames, steps, guidance, guidance_2,       \
                      flow_shift, help)                                                            \
    {name, model, mode, height, width, frames, steps, guidance, guidance_2, flow_shift, help},
#include "app/bench/bench.def"
#undef VG_BENCH_CASE
};
const int vg_bench_cases_count = sizeof vg_bench_cases / sizeof vg_bench_cases[0];

vg_status vg_bench_case_find(const char *name, const vg_bench_case **found, vg_err *err)
{
    char list[256] = "", clean[64];
    for (int i = 0; i < vg_bench_cases_count; i++) {
        if (!strcmp(vg_bench_cases[i].name, name)) {
            *found = &vg_bench_cases[i];
            return VG_OK;
        }
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", vg_bench_cases[i].name);
    }
    return VG_FAIL(err, VG_E_ARG, "--case: there is no case %s; there are: %s",
                   vg_text_clean_to(clean, sizeof clean, name), list);
}

static vg_status set_where_unset(vg_settings *s, vg_option_id id, const char *text, vg_err *err)
{
    return vg_settings_is_set(s, id) ? VG_OK : vg_settings_set(s, id, text, err);
}

vg_status vg_bench_case_settings(const vg_bench_case *c, vg_settings *s, vg_err *err)
{
    char text[32];
    const struct {
        vg_option_id id;
        double value;
    } numbers[] = {
        {VG_OPT_height, c->height},
        {VG_OPT_width, c->width},
        {VG_OPT_num_frames, c->num_frames},
        {VG_OPT_num_inference_steps, c->steps},
        {VG_OPT_guidance_scale, c->guidance_scale},
        {VG_OPT_guidance_scale_2, c->guidance_scale_2},
        {VG_OPT_flow_shift, c->flow_shift},
    };
    if (!vg_settings_is_set(s, VG_OPT_model))
        VG_TRY(set_where_unset(s, VG_OPT_load_format, "dummy", err));
    VG_TRY(set_where_unset(s, VG_OPT_model, c->model, err));
    if (*c->mode)
        VG_TRY(set_where_unset(s, VG_OPT_mode, c->mode, err));
    VG_TRY(set_where_unset(s, VG_OPT_vae_compute, "bf16", err));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        snprintf(text, sizeof text, "%g", numbers[i].value);
        VG_TRY(set_where_unset(s, numbers[i].id, text, err));
    }
    return VG_OK;
}

/* quantize_plan.c: see quantize_plan.h. */
#include "app/worker/quantize_plan.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- prompts and pictures ---- */

/* One a line: a single prompt of generate is one, too. */
static void take_prompts(const vg_settings *s, vg_lines *prompts)
{
    for (const char *at = vg_settings_get(s, VG_OPT_prompt); *at;) {
        size_t n = strcspn(at, "\n");
        if (n)
            vg_lines_add(prompts, vg_xstrf("%.*s", (int)n, at));
        at += n + (at[n] == '\n');
    }
}

static bool is_picture(const char *name)
{
    static const char *const ends[] = {".jpg", ".jpeg", ".png", ".webp"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof ends / sizeof *ends; i++)
        if (!strcasecmp(dot, ends[i]))
            return true;
    return false;
}

static vg_status list_pictures(const char *path, vg_lines *pictures, vg_err *err)
{
    DIR *folder = vg_file_is_dir(path) ? opendir(path) : NULL;
    if (!vg_file_exists(path))
        return VG_FAIL(err, VG_E_ARG, "reference_images: %s: there is no such file or folder",
                       path);
    if (!folder) {
        vg_lines_add(pictures, vg_xstrdup(path));
        return VG_OK;
    }
    for (struct dirent *item; (item = readdir(folder));)
        if (is_picture(item->d_name) && item->d_name[0] != '.')
            vg_lines_add(pictures, vg_xstrf("%s/%s", path, item->d_name));
    closedir(folder);
    vg_lines_sort(pictures);
    return pictures->count
               ? VG_OK
               : VG_FAIL(err, VG_E_ARG,
                         "reference_images: %s has no .jpg, .jpeg, .png or .webp file", path);
}

static vg_status take_pictures(const vg_settings *s, const vg_model *model, vg_quantize_plan *plan,
                               vg_err *err)
{
    const char *path = vg_settings_get(s, VG_OPT_reference_images);
    if (!*path)
        return VG_OK;
    VG_TRY(list_pictures(path, &plan->pictures, err));
    return vg_quantize_role(model, &plan->role, err);
}

/* ---- samples ---- */

static vg_calibration_sample sample_of(const vg_quantize_plan *plan, int i)
{
    return vg_calibration_sample_of(i, plan->samples, (const char *const *)plan->prompts.items,
                                    plan->prompts.count, plan->pictures.count,
                                    plan->role == VG_ROLE_REFERENCE);
}

int vg_quantize_sample_picture(const vg_quantize_plan *plan, int i)
{
    return sample_of(plan, i).picture;
}

int vg_quantize_sample_like(const vg_quantize_plan *plan, int i)
{
    vg_calibration_sample s = sample_of(plan, i);
    for (int k = 0; k < i; k++) {
        vg_calibration_sample other = sample_of(plan, k);
        if (other.picture == s.picture && !strcmp(other.prompt, s.prompt))
            return k;
    }
    return i;
}

vg_status vg_quantize_sample(const vg_quantize_plan *plan, int i, vg_generate_params *p,
                             vg_media *media, vg_err *err)
{
    vg_calibration_sample s = sample_of(plan, i);
    vg_settings_params(plan->settings, p);
    p->inputs.prompt = s.prompt;
    p->seed += (uint64_t)i;
    p->max_steps_run = VG_UNSET_INT;
    if (s.picture >= 0) {
        *media = (vg_media){.role = plan->role, .frames = {.count = 1, .height = 1, .width = 1}};
        p->inputs.media = media;
        p->inputs.media_count = 1;
    }
    return vg_model_calibration_defaults(plan->model, p, err);
}

/* Every mode that comes up has what it needs, and all clips are of one size: the memory of a pass is planned once. */
static vg_status check_samples(vg_quantize_plan *plan, vg_generate_params *first, vg_err *err)
{
    for (int i = 0; i < plan->samples; i++) {
        vg_generate_params p;
        vg_media media;
        VG_TRY(vg_quantize_sample(plan, i, &p, &media, err));
        const vg_mode *mode = vg_model_mode(plan->model, &p);
        bool picture = vg_quantize_sample_picture(plan, i) >= 0;
        unsigned given = picture ? 1u << plan->role : 0;
        if (mode && mode->needs & ~given)
            return VG_FAIL(err, VG_E_ARG,
                           "mode %s of this model needs %s: --reference-images DIR gives it",
                           mode->name, picture ? "more than a picture" : "a picture");
        if (i == 0)
            *first = p;
    }
    plan->height = first->height;
    plan->width = first->width;
    plan->num_frames = first->num_frames;
    return VG_OK;
}

/* ---- all of it ---- */

vg_status vg_quantize_plan_make(const vg_settings *settings, const vg_model *model,
                                vg_quantize_plan *plan, vg_err *err)
{
    vg_generate_params first;
    *plan = (vg_quantize_plan){.settings = settings,
                               .model = model,
                               .samples = vg_settings_int(settings, VG_OPT_calib_size)};
    take_prompts(settings, &plan->prompts);
    VG_TRY(take_pictures(settings, model, plan, err));
    VG_TRY(check_samples(plan, &first, err));
    VG_TRY(vg_quantize_passes(model, &first,
                              vg_settings_real(settings, VG_OPT_calib_boundary_ratio), plan->passes,
                              &plan->passes_count, err));
    for (int i = 0; i < plan->passes_count; i++)
        plan->steps += plan->passes[i].steps * plan->samples;
    return VG_OK;
}

void vg_quantize_plan_deinit(vg_quantize_plan *plan)
{
    vg_lines_free(&plan->prompts);
    vg_lines_free(&plan->pictures);
}

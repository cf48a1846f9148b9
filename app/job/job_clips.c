/* job_clips.c: whether the clips of a job can be written at all, asked before the work. See job.h. */
#include "app/job/job.h"
#include "app/media/clip.h"

vg_status vg_job_probe_clips(const vg_job *job, vg_err *err)
{
    int width = (int)vg_settings_int(&job->resolved, VG_OPT_width),
        height = (int)vg_settings_int(&job->resolved, VG_OPT_height);
    double fps = vg_settings_real(&job->resolved, VG_OPT_fps);
    vg_err inner = {0};
    if (!vg_clip_available()) { /* frames are kept all the same */
        if (*vg_settings_get(&job->settings, VG_OPT_output))
            return VG_FAIL(err, VG_E_ARG,
                           "output: this vgen was built without clips (VGEN_CLIP=OFF); "
                           "--save-frames FILE.safetensors keeps the frames");
        return VG_OK;
    }
    if (vg_clip_probe(NULL, width, height, fps, &inner) != VG_OK)
        return VG_FAIL(err, inner.code, "height x width: no clip of %dx%d can be written: %s",
                       height, width, inner.message);
    if (job->variants_count > 1 &&
        vg_clip_probe_comparison(NULL, width, height, job->variants_count, fps, &inner) != VG_OK)
        return VG_FAIL(err, inner.code,
                       "height x width: no comparison of %d clips of %dx%d can be written: %s; "
                       "make them in jobs of their own",
                       job->variants_count, height, width, inner.message);
    return VG_OK;
}

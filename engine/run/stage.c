/* stage.c: see stage.h. */
#include "engine/run/stage.h"

#include "engine/run/emit.h"

#include <stdlib.h>

vg_status vg_part_open(vg_engine *engine, const vg_model *model, const vg_generate_params *p,
                       const vg_stage_part *part, const vg_callbacks *cb, void **self, vg_err *err)
{
    double begin = vg_now();
    char *dir;
    vg_emit_load(cb, VG_EVENT_STAGE_BEGIN, part->stage, part->component, 0);
    VG_TRY(vg_model_weights_dir(model, part->component, &dir, err));
    vg_status status = part->open(engine, model, p, dir, self, err);
    free(dir);
    VG_TRY(status);
    vg_emit_load(cb, VG_EVENT_STAGE_END, part->stage, part->component, vg_now() - begin);
    return VG_OK;
}

static void part_done(void *user, int done, int of)
{
    const vg_part_progress *p = user;
    vg_emit_progress(p->cb, p->stage, "frames", done, of);
}

static void part_note(void *user, const char *text)
{
    const vg_part_progress *p = user;
    vg_emit_note(p->cb, p->stage, "%s", text);
}

vg_hooks vg_part_hooks(vg_part_progress *progress, const vg_callbacks *cb, vg_stage stage)
{
    *progress = (vg_part_progress){cb, stage};
    return (vg_hooks){.cancel = cb ? cb->cancel : NULL,
                      .progress = part_done,
                      .note = part_note,
                      .user = progress};
}

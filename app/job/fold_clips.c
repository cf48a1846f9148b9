/* fold_clips.c: events that only jobs that make clips have. See fold.h. */
#include "app/job/fold.h"

#include <string.h>

static void of_variant(vg_variant_snapshot *v, const vg_job_event *e)
{
    switch (e->type) {
    case VG_JOB_EVENT_preview:
        v->preview_w = e->width > 0 ? e->width : 0;
        v->preview_h = e->height > 0 ? e->height : 0;
        v->preview_serial++;
        break;
    case VG_JOB_EVENT_precision:
        vg_fold_text(&v->precision, e->text);
        break;
    case VG_JOB_EVENT_attention:
        vg_layer_attentions_take(&v->attention,
                                 &(vg_layer_attention){.expert = e->expert,
                                                       .block = e->block,
                                                       .cosine = e->cosine,
                                                       .relative_l2 = e->relative_l2,
                                                       .largest_error = e->largest_error,
                                                       .missed = e->missed});
        break;
    case VG_JOB_EVENT_frames:
        v->frames_ready = true;
        break;
    case VG_JOB_EVENT_clip:
        v->clip_ready = true;
        break;
    case VG_JOB_EVENT_metrics:
        memcpy(v->means, e->means.of, sizeof v->means);
        v->metrics_ready = v->metrics_unread = true;
        break;
    default:
        break;
    }
}

void vg_fold_clips(vg_snapshot *s, int variant, const vg_job_event *e)
{
    if (variant >= 0)
        of_variant(&s->variants[variant], e);
    else if (e->type == VG_JOB_EVENT_comparison)
        s->comparison_ready = true;
}

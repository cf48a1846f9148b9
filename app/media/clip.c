/* clip.c: what is written: single clips, comparison clips, kept frames. How it is encoded is
 * clip_writer.c's. */
#include "app/media/clip.h"

#include <libavutil/crc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "app/media/clip_writer.h"
#include "app/media/frames_compose.h"

bool vg_clip_available(void)
{
    return true;
}

static vg_status check_source(const char *path, const vg_frame_source *s, vg_err *err)
{
    if (s->count < 1 || s->count > VG_FRAMES_COUNT_MAX || s->width < 1 || s->height < 1)
        return VG_FAIL(err, VG_E_ARG, "%s: nothing to write: %d frames of %dx%d", path, s->count,
                       s->width, s->height);
    return VG_OK;
}

static vg_status report(const vg_clip_options *o, const char *path, int done, int total,
                        vg_err *err)
{
    if (o->progress && !o->progress(o->progress_user, done, total))
        return VG_FAIL(err, VG_E_CANCELLED, "%s: cancelled after %d of %d frames", path, done,
                       total);
    return VG_OK;
}

/* Title and comment as metadata pairs. */
static void describe(const vg_clip_options *o, const char *pairs[5])
{
    int n = 0;
    if (o->title) {
        pairs[n++] = "title";
        pairs[n++] = o->title;
    }
    if (o->comment) {
        pairs[n++] = "comment";
        pairs[n++] = o->comment;
    }
    pairs[n] = NULL;
}

vg_status vg_clip_write(const char *path, const vg_frame_source *source, double fps,
                        const vg_clip_options *options, vg_err *err)
{
    const vg_clip_options none = {0};
    const vg_clip_options *o = options ? options : &none;
    const char *pairs[5];
    vg_clip_writer *writer;
    vg_status status = VG_OK;
    describe(o, pairs);
    VG_TRY(check_source(path, source, err));
    VG_TRY(vg_clip_writer_open(path, VG_CLIP_H264_MP4, o->encoder, o->crf, source->width,
                               source->height, fps, pairs, &writer, err));
    if (o->used)
        *o->used = vg_clip_writer_encoder(writer);
    for (int i = 0; i < source->count; i++) {
        const uint8_t *rgb;
        VG_TRY_GOTO(status, report(o, path, i, source->count, err), fail);
        VG_TRY_GOTO(status, source->get(source->user, i, &rgb, err), fail);
        VG_TRY_GOTO(status, vg_clip_writer_add(writer, rgb, err), fail);
    }
    return vg_clip_writer_finish(writer, err);
fail:
    vg_clip_writer_abort(writer);
    return status;
}

static vg_status check_panes(const char *path, const vg_clip_pane *panes, int count, vg_err *err)
{
    if (count < 1 || count > VG_CLIP_PANES_MAX)
        return VG_FAIL(err, VG_E_ARG, "%s: a comparison shows 1 to %d variants, not %d", path,
                       VG_CLIP_PANES_MAX, count);
    const vg_frame_source *a = &panes[0].source;
    VG_TRY(check_source(path, a, err));
    for (int i = 1; i < count; i++) {
        const vg_frame_source *b = &panes[i].source;
        if (a->count != b->count || a->width != b->width || a->height != b->height)
            return VG_FAIL(err, VG_E_SHAPE,
                           "%s: '%s' has %d frames of %dx%d, the reference '%s' %d of %dx%d; "
                           "nothing is rescaled",
                           path, panes[i].label ? panes[i].label : "", b->count, b->width,
                           b->height, panes[0].label ? panes[0].label : "", a->count, a->width,
                           a->height);
    }
    return VG_OK;
}

_Static_assert(VG_CLIP_PANES_MAX == VG_COMPOSE_PANES_MAX, "one limit for panes");

vg_status vg_clip_probe_comparison(const char *encoder, int width, int height, int count,
                                   double fps, vg_err *err)
{
    vg_compose_layout layout;
    VG_TRY(vg_compose_plan(width, height, count, false, VG_COMPOSE_CAPTION_LINES, &layout, err));
    return vg_clip_probe(encoder, layout.width, layout.height, fps, err);
}

vg_status vg_clip_write_comparison(const char *path, const vg_clip_pane *panes, int count,
                                   double diff_gain, double fps, const vg_clip_options *options,
                                   vg_err *err)
{
    const vg_clip_options none = {0};
    const vg_clip_options *o = options ? options : &none;
    const char *pairs[5], *labels[VG_CLIP_PANES_MAX], *captions[VG_CLIP_PANES_MAX];
    const uint8_t *pictures[VG_CLIP_PANES_MAX];
    vg_compose_layout layout;
    vg_clip_writer *writer = NULL;
    vg_status status = VG_OK;
    VG_TRY(check_panes(path, panes, count, err));
    if (!(diff_gain < 1e6))
        return VG_FAIL(err, VG_E_ARG, "%s: difference gain %g is not a sensible factor", path,
                       diff_gain);
    for (int i = 0; i < count; i++) {
        labels[i] = panes[i].label;
        captions[i] = panes[i].caption;
    }
    const vg_frame_source *first = &panes[0].source;
    bool differences = diff_gain > 0;
    VG_TRY(vg_compose_plan(first->width, first->height, count, differences, 0, &layout, err));
    int lines = vg_compose_caption_lines(&layout, captions, count);
    VG_TRY(vg_compose_plan(first->width, first->height, count, differences, lines, &layout, err));

    describe(o, pairs);
    uint8_t *canvas = malloc((size_t)layout.width * layout.height * 3);
    if (!canvas)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for a canvas of %dx%d", path,
                       layout.width, layout.height);
    vg_compose_background(&layout, labels, captions, o->title, diff_gain, canvas);
    VG_TRY_GOTO(status,
                vg_clip_writer_open(path, VG_CLIP_H264_MP4, o->encoder, o->crf, layout.width,
                                    layout.height, fps, pairs, &writer, err),
                done);
    if (o->used)
        *o->used = vg_clip_writer_encoder(writer);
    for (int i = 0; i < first->count; i++) {
        VG_TRY_GOTO(status, report(o, path, i, first->count, err), done);
        for (int k = 0; k < count; k++)
            VG_TRY_GOTO(status, panes[k].source.get(panes[k].source.user, i, &pictures[k], err),
                        done);
        vg_compose_frame(&layout, pictures, first->width, first->height, diff_gain, i, first->count,
                         fps, canvas);
        VG_TRY_GOTO(status, vg_clip_writer_add(writer, canvas, err), done);
    }
    status = vg_clip_writer_finish(writer, err);
    writer = NULL;
done:
    vg_clip_writer_abort(writer);
    free(canvas);
    return status;
}

/* The checksums of all frames travel in the file (8 hex digits each), because decoders conceal
 * damage instead of reporting it; they also say how many frames there must be. Hence two passes
 * over the source. */
vg_status vg_clip_write_lossless(const char *path, const vg_frame_source *source, double fps,
                                 const char *const *metadata, vg_err *err)
{
    vg_clip_writer *writer = NULL;
    vg_status status = VG_OK;
    const uint8_t *rgb;
    char rate[40];
    VG_TRY(check_source(path, source, err));
    int pairs = 0;
    while (metadata && metadata[2 * pairs] && metadata[2 * pairs + 1])
        pairs++;
    char *sums = malloc((size_t)source->count * 8 + 1);
    const char **all = malloc(((size_t)pairs * 2 + 5) * sizeof *all);
    if (!sums || !all) {
        status = VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for metadata", path);
        goto done;
    }
    size_t frame_bytes = (size_t)source->width * source->height * 3;
    for (int i = 0; i < source->count; i++) {
        VG_TRY_GOTO(status, source->get(source->user, i, &rgb, err), done);
        snprintf(sums + (size_t)i * 8, 9, "%08x",
                 (unsigned)av_crc(av_crc_get_table(AV_CRC_32_IEEE_LE), 0, rgb, frame_bytes));
    }
    if (pairs)
        memcpy(all, metadata, (size_t)pairs * 2 * sizeof *all);
    snprintf(rate, sizeof rate, "%.17g", fps);
    int n = pairs * 2;
    all[n++] = "vgen_fps";
    all[n++] = rate;
    all[n++] = "vgen_crc32";
    all[n++] = sums;
    all[n] = NULL;
    VG_TRY_GOTO(status,
                vg_clip_writer_open(path, VG_CLIP_FFV1_MKV, NULL, 0, source->width, source->height,
                                    fps, all, &writer, err),
                done);
    for (int i = 0; i < source->count; i++) {
        VG_TRY_GOTO(status, source->get(source->user, i, &rgb, err), done);
        VG_TRY_GOTO(status, vg_clip_writer_add(writer, rgb, err), done);
    }
    status = vg_clip_writer_finish(writer, err);
    writer = NULL;
done:
    vg_clip_writer_abort(writer);
    free(all);
    free(sums);
    return status;
}

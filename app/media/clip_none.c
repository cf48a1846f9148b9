/* clip_none.c: the answers of a build without the FFmpeg libraries (VGEN_CLIP=OFF). */
#include "app/media/clip.h"

static vg_status refuse(const char *path, vg_err *err)
{
    return VG_FAIL(err, VG_E_UNSUPPORTED, "%s: this vgen was built without clips (VGEN_CLIP=OFF)",
                   path);
}

bool vg_clip_available(void)
{
    return false;
}

const char *vg_clip_encoder_name(void)
{
    return "none";
}

vg_status vg_clip_probe(const char *encoder, int width, int height, double fps, vg_err *err)
{
    (void)encoder, (void)width, (void)height, (void)fps;
    return refuse("clip", err);
}

vg_status vg_clip_probe_comparison(const char *encoder, int width, int height, int count,
                                   double fps, vg_err *err)
{
    (void)encoder, (void)width, (void)height, (void)count, (void)fps;
    return refuse("clip", err);
}

vg_status vg_clip_write(const char *path, const vg_frame_source *source, double fps,
                        const vg_clip_options *options, vg_err *err)
{
    (void)source, (void)fps, (void)options;
    return refuse(path, err);
}

vg_status vg_clip_write_comparison(const char *path, const vg_clip_pane *panes, int count,
                                   double diff_gain, double fps, const vg_clip_options *options,
                                   vg_err *err)
{
    (void)panes, (void)count, (void)diff_gain, (void)fps, (void)options;
    return refuse(path, err);
}

vg_status vg_clip_write_lossless(const char *path, const vg_frame_source *source, double fps,
                                 const char *const *metadata, vg_err *err)
{
    (void)source, (void)fps, (void)metadata;
    return refuse(path, err);
}

vg_status vg_clip_reader_open(const char *path, vg_clip_reader **reader, vg_err *err)
{
    (void)reader;
    return refuse(path, err);
}

void vg_clip_reader_close(vg_clip_reader *reader)
{
    (void)reader;
}

int vg_clip_reader_count(const vg_clip_reader *reader)
{
    (void)reader;
    return 0;
}

int vg_clip_reader_width(const vg_clip_reader *reader)
{
    (void)reader;
    return 0;
}

int vg_clip_reader_height(const vg_clip_reader *reader)
{
    (void)reader;
    return 0;
}

double vg_clip_reader_fps(const vg_clip_reader *reader)
{
    (void)reader;
    return 0;
}

const char *vg_clip_reader_codec(const vg_clip_reader *reader)
{
    (void)reader;
    return "none";
}

const char *vg_clip_reader_metadata(const vg_clip_reader *reader, const char *key)
{
    (void)reader, (void)key;
    return NULL;
}

vg_status vg_clip_reader_packets(vg_clip_reader *reader, int64_t *count, vg_err *err)
{
    (void)reader, (void)count;
    return refuse("clip", err);
}

vg_status vg_clip_reader_get(vg_clip_reader *reader, int index, uint8_t *rgb, vg_err *err)
{
    (void)reader, (void)index, (void)rgb;
    return refuse("clip", err);
}

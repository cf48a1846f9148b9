/* clip_encoder.c: choosing and opening encoders. See clip_encoder.h.
 *
 * Repeatable: bit-exact flags, and a thread count that depends on the picture size only. */
#include "app/media/clip_encoder.h"

#include <libavutil/opt.h>
#include <string.h>

#define FFV1_ROWS_MAX 31 /* of slices: libavcodec looks no further */

static const char *const h264_encoders[] = {"libx264", "libopenh264", "mpeg4"}; /* best first */
#define H264_ENCODERS (sizeof h264_encoders / sizeof *h264_encoders)

const char *vg_clip_encoder_name(void)
{
    for (size_t i = 0; i < H264_ENCODERS; i++)
        if (avcodec_find_encoder_by_name(h264_encoders[i]))
            return h264_encoders[i];
    return "none";
}

/* 4 threads for large pictures, one for small ones, whatever the machine has. */
static int threads_for(int width, int height)
{
    return (int64_t)width * height > 640 * 360 ? 4 : 1;
}

static void set_h264_options(AVCodecContext *c, const char *name, int crf, double fps)
{
    c->pix_fmt = AV_PIX_FMT_YUV420P;
    c->color_range = AVCOL_RANGE_MPEG;
    c->colorspace = AVCOL_SPC_BT709;
    c->color_primaries = AVCOL_PRI_BT709;
    c->color_trc = AVCOL_TRC_BT709;
    c->chroma_sample_location = AVCHROMA_LOC_LEFT;
    c->gop_size =
        fps < 1 ? 1
                : (int)(fps + 0.5); /* a key frame a second: players and our reader scrub quickly */
    if (strcmp(name, "libx264") == 0) {
        av_opt_set(c->priv_data, "preset", "medium", 0);
        av_opt_set_double(c->priv_data, "crf", crf, 0);
#ifdef __x86_64__
        /* x264's AVX-512 code (seen in 0.164, macroblock tree) gives other bytes at every run; the same job must give the same clip. */
        if (__builtin_cpu_supports("avx512f"))
            av_opt_set(c->priv_data, "x264-params", "asm=AVX2", 0);
#endif
    } else if (strcmp(name, "libopenh264") == 0) {
        /* No constant quality there: a rate that is generous at these sizes. */
        c->bit_rate = (int64_t)((double)c->width * c->height * fps * 0.3) + 200000;
    } else {
        c->flags |= AV_CODEC_FLAG_QSCALE;
        c->global_quality = FF_QP2LAMBDA * (crf <= 18 ? 2 : crf <= 26 ? 4 : 8);
    }
}

/* Version 3: each frame is a key frame, each slice has its own CRC. */
static void set_ffv1_options(AVCodecContext *c, int slices)
{
    c->pix_fmt = AV_PIX_FMT_0RGB32;
    c->level = 3;
    c->gop_size = 1;
    c->slices = slices;
    av_opt_set_int(c->priv_data, "slicecrc", 1, 0);
}

/* One attempt. slices: of FFV1. */
static vg_status open_one(const char *path, vg_clip_kind kind, const char *name, int crf,
                          int slices, int width, int height, double fps, AVCodecContext **encoder,
                          vg_err *err)
{
    char reason[AV_ERROR_MAX_STRING_SIZE] = "";
    const AVCodec *codec = avcodec_find_encoder_by_name(name);
    if (!codec || codec->type != AVMEDIA_TYPE_VIDEO)
        return VG_FAIL(err, VG_E_UNSUPPORTED, "%s: these FFmpeg libraries have no encoder '%s'",
                       path, name);
    AVRational rate = av_d2q(fps, 65535); /* MPEG-4 allows no finer clock */
    if (rate.num <= 0 || rate.den <= 0)
        return VG_FAIL(err, VG_E_ARG, "%s: frame rate %g cannot be written", path, fps);
    AVCodecContext *c = avcodec_alloc_context3(codec);
    if (!c)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for the encoder", path);
    c->width = width;
    c->height = height;
    c->framerate = rate;
    c->time_base = av_inv_q(rate);
    c->sample_aspect_ratio = (AVRational){1, 1};
    c->flags |= AV_CODEC_FLAG_BITEXACT | AV_CODEC_FLAG_GLOBAL_HEADER;
    c->thread_count = threads_for(width, height);
    if (kind == VG_CLIP_FFV1_MKV)
        set_ffv1_options(c, slices);
    else
        set_h264_options(c, name, crf, fps);
    int rc = avcodec_open2(c, codec, NULL);
    if (rc < 0) {
        avcodec_free_context(&c);
        av_strerror(rc, reason, sizeof reason);
        return VG_FAIL(err, rc == AVERROR(ENOMEM) ? VG_E_NOMEM : VG_E_UNSUPPORTED,
                       "%s: encoder '%s' refuses %dx%d at %g frames/s: %s", path, name, width,
                       height, fps, reason);
    }
    *encoder = c;
    return VG_OK;
}

/* Which numbers of slices FFV1 takes depends on the size (one only up to 352x288; a slice holds at most about 5 million pixels),
 * on its version, and on the library's. So it is asked, from the smallest number on: v rows of v to 2v-1 slices, 1, 4, 6, 9, 12, ...
 * Not with slices that are 1 pixel wide or high: libavcodec's are not lossless then. */
static vg_status open_ffv1(const char *path, int width, int height, double fps,
                           AVCodecContext **encoder, vg_err *err)
{
    vg_err first = {0};
    for (int rows = 1; rows <= FFV1_ROWS_MAX; rows++) {
        for (int columns = rows; columns < 2 * rows; columns++) {
            vg_err other = {0};
            if (width / columns < 2 || height / rows < 2)
                continue;
            vg_status status = open_one(path, VG_CLIP_FFV1_MKV, "ffv1", 0, rows * columns, width,
                                        height, fps, encoder, first.code ? &other : &first);
            if (status == VG_OK || status == VG_E_NOMEM)
                return status == VG_OK
                           ? status
                           : VG_FAIL(err, status, "%s: out of memory for the encoder", path);
        }
    }
    return VG_FAIL(err, VG_E_UNSUPPORTED, "%s",
                   first.code ? first.message : "frames are too small for FFV1");
}

vg_status vg_clip_encoder_open(const char *path, vg_clip_kind kind, const char *name, int crf,
                               int width, int height, double fps, AVCodecContext **encoder,
                               vg_err *err)
{
    vg_err first = {0};
    if (kind == VG_CLIP_FFV1_MKV)
        return open_ffv1(path, width, height, fps, encoder, err);
    if (name)
        return open_one(path, kind, name, crf, 0, width, height, fps, encoder, err);
    for (size_t i = 0; i < H264_ENCODERS; i++) {
        vg_err other = {0};
        if (!avcodec_find_encoder_by_name(h264_encoders[i]))
            continue;
        if (open_one(path, kind, h264_encoders[i], crf, 0, width, height, fps, encoder,
                     first.code ? &other : &first) == VG_OK)
            return VG_OK;
    }
    return first.code ? VG_FAIL(err, first.code, "%s", first.message)
                      : VG_FAIL(err, VG_E_UNSUPPORTED,
                                "%s: these FFmpeg libraries have no encoder for .mp4", path);
}

vg_status vg_clip_probe(const char *encoder, int width, int height, double fps, vg_err *err)
{
    AVCodecContext *c = NULL;
    vg_clip_quiet();
    VG_TRY(vg_clip_encoder_open("clip", VG_CLIP_H264_MP4, encoder, VG_CLIP_CRF_DEFAULT,
                                width + (width & 1), height + (height & 1), fps, &c, err));
    avcodec_free_context(&c);
    return VG_OK;
}

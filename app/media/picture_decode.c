/* picture_decode.c: one packet into one frame, and the frame into rows of RGB. libavcodec alone: containers are read by
 * picture_png.c and its neighbours, which know the size before a decoder is opened. */
#include "app/media/picture_file.h"

#include <libavcodec/avcodec.h>
#include <libavutil/pixdesc.h>
#include <stdlib.h>
#include <string.h>
#include "app/media/clip_writer.h"
#include "app/media/picture_yuv.h"

static vg_status fail_av(const vg_picture_file *f, int code, const char *what, vg_err *err)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    av_strerror(code, text, sizeof text);
    return VG_FAIL(err,
                   code == AVERROR(ENOMEM)        ? VG_E_NOMEM
                   : code == AVERROR_PATCHWELCOME ? VG_E_UNSUPPORTED
                                                  : VG_E_FORMAT,
                   "%s: this %s %s (%s)", f->path, f->kind, what, text);
}

static vg_status open_decoder(const vg_picture_file *f, AVCodecContext **out, vg_err *err)
{
    const AVCodec *codec = avcodec_find_decoder((enum AVCodecID)f->codec);
    if (!codec)
        return VG_FAIL(err, VG_E_UNSUPPORTED, "%s: the FFmpeg libraries here do not decode %s",
                       f->path, f->kind);
    AVCodecContext *c = avcodec_alloc_context3(codec);
    if (!c)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for a decoder", f->path);
    c->thread_count = 1;
    c->flags |= AV_CODEC_FLAG_BITEXACT;
    c->err_recognition = AV_EF_CRCCHECK | AV_EF_BITSTREAM | AV_EF_BUFFER | AV_EF_EXPLODE;
    c->max_pixels = ((int64_t)f->frame_width + 128) * ((int64_t)f->frame_height + 128);
    int rc = avcodec_open2(c, codec, NULL);
    if (rc < 0) {
        avcodec_free_context(&c);
        return fail_av(f, rc, "cannot be decoded", err);
    }
    *out = c;
    return VG_OK;
}

/* The stream as a packet: borrowed bytes, which the file's owner keeps alive. */
static vg_status decode(const vg_picture_file *f, AVCodecContext *c, AVFrame *frame, vg_err *err)
{
    AVPacket *packet = av_packet_alloc();
    if (!packet)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for a packet", f->path);
    packet->data = f->stream;
    packet->size = (int)f->stream_size;
    packet->flags = AV_PKT_FLAG_KEY;
    int rc = avcodec_send_packet(c, packet);
    if (rc >= 0)
        rc = avcodec_send_packet(c, NULL);
    if (rc >= 0)
        rc = avcodec_receive_frame(c, frame);
    av_packet_free(&packet);
    if (rc < 0)
        return fail_av(f, rc, "is damaged", err);
    if (frame->decode_error_flags || frame->flags & AV_FRAME_FLAG_CORRUPT)
        return VG_FAIL(err, VG_E_FORMAT, "%s: this %s is damaged", f->path, f->kind);
    if (frame->width != f->frame_width || frame->height != f->frame_height)
        return VG_FAIL(err, VG_E_FORMAT, "%s: this %s is damaged: %dx%d pixels instead of %dx%d",
                       f->path, f->kind, frame->width, frame->height, f->frame_width,
                       f->frame_height);
    return VG_OK;
}

/* ---- rows ---- */

/* A sample of `depth` bits as 8: 16-bit ones keep their high byte. */
static uint8_t to_8_bits(unsigned v, int depth, bool clip_16)
{
    if (depth == 8)
        return (uint8_t)v;
    if (depth > 8)
        return clip_16 ? (uint8_t)(v > 255 ? 255 : v) : (uint8_t)(v >> (depth - 8));
    return (uint8_t)(v * 255 / ((1u << depth) - 1));
}

/* Grey, RGB and palettes of any packing, by the format's own description. */
static void plain_row(const vg_picture_file *f, const AVFrame *frame,
                      const AVPixFmtDescriptor *desc, int y, uint16_t *samples, uint8_t *rgb)
{
    bool palette = desc->flags & AV_PIX_FMT_FLAG_PAL, grey = desc->nb_components < 3 && !palette;
    for (int c = 0; c < (palette || grey ? 1 : 3); c++) {
        av_read_image_line2(samples, (const uint8_t **)(void *)frame->data, frame->linesize, desc,
                            0, y, c, frame->width, 0, sizeof *samples);
        for (int x = 0; x < frame->width; x++) {
            uint8_t *out = rgb + 3 * x;
            if (palette) { /* 32-bit words, 0xAARRGGBB */
                uint32_t word;
                memcpy(&word, frame->data[1] + 4 * samples[x], sizeof word);
                out[0] = (uint8_t)(word >> 16);
                out[1] = (uint8_t)(word >> 8);
                out[2] = (uint8_t)word;
            } else {
                out[c] = to_8_bits(samples[x], desc->comp[c].depth, f->clip_16);
                if (grey)
                    out[1] = out[2] = out[0];
            }
        }
    }
}

static vg_status plain_rows(const vg_picture_file *f, const AVFrame *frame,
                            const AVPixFmtDescriptor *desc, uint8_t *rgb, vg_picture_take_row take,
                            void *user, vg_err *err)
{
    uint16_t *samples = malloc((size_t)frame->width * sizeof *samples);
    if (!samples)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for a row", f->path);
    for (int y = 0; y < frame->height; y++) {
        plain_row(f, frame, desc, y, samples, rgb);
        take(user, y, rgb);
    }
    free(samples);
    return VG_OK;
}

static vg_status yuv_rows(const vg_picture_file *f, const AVFrame *frame, uint8_t *rgb,
                          vg_picture_take_row take, void *user, vg_err *err)
{
    vg_picture_yuv p = {.width = frame->width, .height = frame->height};
    for (int i = 0; i < 3; i++) {
        p.data[i] = frame->data[i];
        p.stride[i] = frame->linesize[i];
    }
    uint8_t *scratch = malloc(2 * (size_t)frame->width);
    if (!scratch)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for a row", f->path);
    for (int y = 0; y < frame->height; y++) {
        vg_picture_yuv_row(&p, y, rgb, scratch);
        take(user, y, rgb);
    }
    free(scratch);
    return VG_OK;
}

static bool readable(const vg_picture_file *f, const AVFrame *frame, const AVPixFmtDescriptor *desc)
{
    if (f->yuv)
        return frame->format == AV_PIX_FMT_YUV420P || frame->format == AV_PIX_FMT_YUVA420P;
    return desc && !(desc->flags & (AV_PIX_FMT_FLAG_HWACCEL | AV_PIX_FMT_FLAG_FLOAT)) &&
           (desc->nb_components < 3 || desc->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL));
}

static vg_status rows(const vg_picture_file *f, const AVFrame *frame, vg_picture_take_row take,
                      void *user, vg_err *err)
{
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(frame->format);
    if (!readable(f, frame, desc))
        return VG_FAIL(err, VG_E_UNSUPPORTED, "%s: this %s has a pixel format that is not read: %s",
                       f->path, f->kind, desc ? desc->name : "unknown");
    uint8_t *rgb = malloc((size_t)frame->width * 3);
    if (!rgb)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for a row", f->path);
    vg_status status = f->yuv ? yuv_rows(f, frame, rgb, take, user, err)
                              : plain_rows(f, frame, desc, rgb, take, user, err);
    free(rgb);
    return status;
}

vg_status vg_picture_decode_stream(const vg_picture_file *f, const uint8_t *bytes, size_t size,
                                   vg_picture_take_row take, void *user, vg_err *err)
{
    AVCodecContext *decoder = NULL;
    (void)bytes, (void)size; /* the stream has what is needed of them */
    vg_clip_quiet();
    AVFrame *frame = av_frame_alloc();
    vg_status status = frame ? open_decoder(f, &decoder, err)
                             : VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for a frame", f->path);
    if (status == VG_OK)
        status = decode(f, decoder, frame, err);
    if (status == VG_OK)
        status = rows(f, frame, take, user, err);
    av_frame_free(&frame);
    avcodec_free_context(&decoder);
    return status;
}

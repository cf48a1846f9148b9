/* clip_reader.c: frames of a video file by index. Only Matroska and MP4 with FFV1, H.264 or MPEG-4
 * video are let near a decoder.
 *
 * A frame's index comes from its time stamp. Reading on in order decodes on; a jump seeks to the
 * key frame before it. Files of vg_clip_write_lossless carry a CRC-32 for each frame, which is
 * checked after decoding. */
#include "app/media/clip.h"

#include <errno.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/avstring.h>
#include <libavutil/crc.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "app/media/clip_writer.h"

#define FORMATS     "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2"
#define CODECS      "ffv1,h264,mpeg4"
#define READ_ON_MAX 8 /* frames: nearer than this ahead, decoding on beats seeking */

struct vg_clip_reader {
    char *path;
    AVFormatContext *demux;
    AVCodecContext *decoder;
    AVStream *stream;
    AVFrame *frame;
    AVPacket *packet;
    struct SwsContext *scaler;
    int scaler_format;
    int count, width, height;
    AVRational rate; /* frames per second */
    double fps;
    const char *sums; /* 8 hex digits a frame, or NULL; inside demux's metadata */
    int next;         /* index that decoding on would give, -1 = unknown */
    bool draining, packets_read;
};

static vg_status fail_av(const vg_clip_reader *r, int code, const char *what, vg_err *err)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    av_strerror(code, text, sizeof text);
    vg_status status = code == AVERROR(ENOMEM)   ? VG_E_NOMEM
                       : code == AVERROR(ENOENT) ? VG_E_MISSING
                       : code == AVERROR(EACCES) || code == AVERROR(EIO) || code == AVERROR(EISDIR)
                           ? VG_E_IO
                           : VG_E_FORMAT;
    return VG_FAIL(err, status, "%s: %s (%s)", r->path, what, text);
}

void vg_clip_reader_close(vg_clip_reader *r)
{
    if (!r)
        return;
    sws_freeContext(r->scaler);
    av_packet_free(&r->packet);
    av_frame_free(&r->frame);
    avcodec_free_context(&r->decoder);
    avformat_close_input(&r->demux);
    free(r->path);
    free(r);
}

static vg_status open_container(vg_clip_reader *r, vg_err *err)
{
    AVDictionary *options = NULL;
    char *url = av_asprintf("file:%s", r->path);
    av_dict_set(&options, "format_whitelist", FORMATS, 0);
    av_dict_set(&options, "codec_whitelist", CODECS, 0);
    av_dict_set(&options, "protocol_whitelist", "file", 0);
    int rc = url ? avformat_open_input(&r->demux, url, NULL, &options) : AVERROR(ENOMEM);
    av_dict_free(&options);
    av_free(url);
    if (rc < 0)
        return fail_av(r, rc, "not a clip that vgen can read", err);
    for (unsigned i = 0; i < r->demux->nb_streams && !r->stream; i++)
        if (r->demux->streams[i]->codecpar->codec_type == AVMEDIA_TYPE_VIDEO)
            r->stream = r->demux->streams[i];
    if (!r->stream)
        return VG_FAIL(err, VG_E_FORMAT, "%s: no video in it", r->path);
    for (unsigned i = 0; i < r->demux->nb_streams; i++)
        if (r->demux->streams[i] != r->stream)
            r->demux->streams[i]->discard = AVDISCARD_ALL;
    /* MPEG-4 video in MP4 tells its size only inside the stream. */
    if (r->stream->codecpar->width == 0 && (rc = avformat_find_stream_info(r->demux, NULL)) < 0)
        return fail_av(r, rc, "damaged", err);
    return VG_OK;
}

static vg_status open_decoder(vg_clip_reader *r, vg_err *err)
{
    const AVCodecParameters *p = r->stream->codecpar;
    const char *name = avcodec_get_name(p->codec_id);
    const AVCodec *codec =
        av_match_list(name, CODECS, ',') ? avcodec_find_decoder(p->codec_id) : NULL;
    if (!codec)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "%s: video of kind '%s' is not read; only " CODECS " are", r->path, name);
    if (p->width < 1 || p->height < 1 || p->width > VG_FRAMES_SIDE_MAX ||
        p->height > VG_FRAMES_SIDE_MAX)
        return VG_FAIL(err, VG_E_FORMAT, "%s: frames of %dx%d; sides must be 1 to %d", r->path,
                       p->width, p->height, VG_FRAMES_SIDE_MAX);
    r->width = p->width;
    r->height = p->height;
    r->decoder = avcodec_alloc_context3(codec);
    int rc = r->decoder ? avcodec_parameters_to_context(r->decoder, p) : AVERROR(ENOMEM);
    if (rc < 0)
        return fail_av(r, rc, "cannot prepare the decoder", err);
    r->decoder->pkt_timebase = r->stream->time_base;
    /* A stream whose own headers grow the picture must not take memory for it; decoders' scratch
     * planes are up to 8 times as large as the picture. */
    r->decoder->max_pixels = 8 * (int64_t)(r->width + 128) * (r->height + 128);
    r->decoder->thread_count = (int64_t)r->width * r->height > 640 * 360 ? 4 : 1;
    r->decoder->thread_type = FF_THREAD_SLICE;
    r->decoder->flags |= AV_CODEC_FLAG_BITEXACT;
    rc = avcodec_open2(r->decoder, codec, NULL);
    return rc < 0 ? fail_av(r, rc, "the decoder refuses its description", err) : VG_OK;
}

static vg_status read_rate(vg_clip_reader *r, vg_err *err)
{
    const char *text = vg_clip_reader_metadata(r, "vgen_fps");
    r->rate = r->stream->avg_frame_rate;
    if (r->rate.num <= 0 || r->rate.den <= 0)
        r->rate = r->stream->r_frame_rate;
    r->fps = r->rate.num > 0 && r->rate.den > 0 ? av_q2d(r->rate) : 0;
    if (text) {
        char *end;
        r->fps = strtod(text, &end);
        if (end == text || *end)
            r->fps = 0;
        else
            r->rate = av_d2q(r->fps, 65535); /* as the writer does: time stamps count in it */
    }
    if (!(r->fps >= 0.01 && r->fps <= 1000) || r->rate.num <= 0 || r->rate.den <= 0)
        return VG_FAIL(err, VG_E_FORMAT, "%s: its frame rate is missing or outside 0.01 to 1000",
                       r->path);
    return VG_OK;
}

static int64_t start_time(const vg_clip_reader *r)
{
    return r->stream->start_time == AV_NOPTS_VALUE ? 0 : r->stream->start_time;
}

static vg_status seek_to(vg_clip_reader *r, int index, vg_err *err)
{
    int64_t offset = index <= 0 ? 0 : av_rescale_q(index, av_inv_q(r->rate), r->stream->time_base);
    int rc =
        av_seek_frame(r->demux, r->stream->index, start_time(r) + offset, AVSEEK_FLAG_BACKWARD);
    if (rc < 0)
        return fail_av(r, rc, "cannot be searched for a frame", err);
    avcodec_flush_buffers(r->decoder);
    r->draining = false;
    r->next = -1;
    return VG_OK;
}

static bool is_hex(const char *s, size_t n)
{
    return strspn(s, "0123456789abcdef") == n;
}

vg_status vg_clip_reader_packets(vg_clip_reader *r, int64_t *count, vg_err *err)
{
    int64_t n = 0;
    int rc;
    if (r->packets_read)
        VG_TRY(seek_to(r, 0, err));
    r->packets_read = true;
    while ((rc = av_read_frame(r->demux, r->packet)) >= 0) {
        n += r->packet->stream_index == r->stream->index;
        av_packet_unref(r->packet);
        if (n > VG_FRAMES_COUNT_MAX)
            return VG_FAIL(err, VG_E_FORMAT, "%s: more than %d frames", r->path,
                           VG_FRAMES_COUNT_MAX);
    }
    if (rc != AVERROR_EOF)
        return fail_av(r, rc, "damaged", err);
    r->next = -1;
    *count = n;
    return VG_OK;
}

/* From our checksums where they are; else the packets are counted, not what the file claims. */
static vg_status count_frames(vg_clip_reader *r, vg_err *err)
{
    const char *sums = vg_clip_reader_metadata(r, "vgen_crc32");
    if (sums) {
        size_t n = strlen(sums);
        if (n == 0 || n % 8 || n / 8 > VG_FRAMES_COUNT_MAX || !is_hex(sums, n))
            return VG_FAIL(err, VG_E_FORMAT, "%s: its list of checksums is damaged", r->path);
        r->sums = sums;
        r->count = (int)(n / 8);
        return VG_OK;
    }
    int64_t n = 0;
    VG_TRY(vg_clip_reader_packets(r, &n, err));
    if (n == 0)
        return VG_FAIL(err, VG_E_FORMAT, "%s: no frames in it", r->path);
    r->count = (int)n;
    return VG_OK;
}

vg_status vg_clip_reader_open(const char *path, vg_clip_reader **reader, vg_err *err)
{
    vg_status status = VG_OK;
    vg_clip_quiet();
    vg_clip_reader *r = calloc(1, sizeof *r);
    if (!r)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for reading", path);
    r->path = strdup(path);
    r->frame = av_frame_alloc();
    r->packet = av_packet_alloc();
    r->next = -1;
    r->scaler_format = AV_PIX_FMT_NONE;
    if (!r->path || !r->frame || !r->packet) {
        status = VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for reading", path);
        goto fail;
    }
    VG_TRY_GOTO(status, open_container(r, err), fail);
    VG_TRY_GOTO(status, open_decoder(r, err), fail);
    VG_TRY_GOTO(status, read_rate(r, err), fail);
    VG_TRY_GOTO(status, count_frames(r, err), fail);
    *reader = r;
    return VG_OK;
fail:
    vg_clip_reader_close(r);
    return status;
}

int vg_clip_reader_count(const vg_clip_reader *r)
{
    return r->count;
}

int vg_clip_reader_width(const vg_clip_reader *r)
{
    return r->width;
}

int vg_clip_reader_height(const vg_clip_reader *r)
{
    return r->height;
}

double vg_clip_reader_fps(const vg_clip_reader *r)
{
    return r->fps;
}

const char *vg_clip_reader_codec(const vg_clip_reader *r)
{
    return avcodec_get_name(r->stream->codecpar->codec_id);
}

const char *vg_clip_reader_metadata(const vg_clip_reader *r, const char *key)
{
    const AVDictionaryEntry *e = av_dict_get(r->demux->metadata, key, NULL, 0);
    return e ? e->value : NULL;
}

/* ---- decoding ---- */

/* Decode one more frame into r->frame; *index says which, -1 = the end. */
static vg_status decode_next(vg_clip_reader *r, int *index, vg_err *err)
{
    for (;;) {
        int rc = avcodec_receive_frame(r->decoder, r->frame);
        if (rc == AVERROR_EOF) {
            *index = -1;
            return VG_OK;
        }
        if (rc >= 0)
            break;
        if (rc != AVERROR(EAGAIN))
            return fail_av(r, rc, "a frame cannot be decoded", err);
        rc = r->draining ? AVERROR_EOF : av_read_frame(r->demux, r->packet);
        if (rc >= 0 && r->packet->stream_index != r->stream->index) {
            av_packet_unref(r->packet);
            continue;
        }
        if (rc < 0 && rc != AVERROR_EOF)
            return fail_av(r, rc, "damaged", err);
        r->draining = rc < 0;
        rc = avcodec_send_packet(r->decoder, rc < 0 ? NULL : r->packet);
        av_packet_unref(r->packet);
        if (rc < 0 && rc != AVERROR_EOF)
            return fail_av(r, rc, "a frame cannot be decoded", err);
    }
    int64_t pts = r->frame->best_effort_timestamp;
    if (pts == AV_NOPTS_VALUE)
        return VG_FAIL(err, VG_E_FORMAT, "%s: a frame has no time", r->path);
    double at = (double)(pts - start_time(r)) * av_q2d(r->stream->time_base) * av_q2d(r->rate);
    *index = at > -0.5 && at < VG_FRAMES_COUNT_MAX ? (int)floor(at + 0.5) : VG_FRAMES_COUNT_MAX;
    return VG_OK;
}

static vg_status convert_yuv(vg_clip_reader *r, uint8_t *rgb, vg_err *err)
{
    AVFrame *f = r->frame;
    if (!r->scaler || r->scaler_format != f->format) {
        sws_freeContext(r->scaler);
        r->scaler = sws_getContext(
            r->width, r->height, f->format, r->width, r->height, AV_PIX_FMT_RGB24,
            SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_BITEXACT, NULL, NULL, NULL);
        if (!r->scaler)
            return VG_FAIL(err, VG_E_UNSUPPORTED, "%s: its pixel format is not read", r->path);
        r->scaler_format = f->format;
        const int *matrix =
            sws_getCoefficients(f->colorspace == AVCOL_SPC_BT709 ? SWS_CS_ITU709 : SWS_CS_ITU601);
        sws_setColorspaceDetails(r->scaler, matrix, f->color_range == AVCOL_RANGE_JPEG, matrix, 1,
                                 0, 1 << 16, 1 << 16);
    }
    uint8_t *out[4] = {rgb};
    int stride[4] = {r->width * 3};
    int rc = sws_scale(r->scaler, (const uint8_t *const *)f->data, f->linesize, 0, r->height, out,
                       stride);
    return rc < 0 ? fail_av(r, rc, "a frame cannot be converted", err) : VG_OK;
}

static vg_status take_frame(vg_clip_reader *r, int index, uint8_t *rgb, vg_err *err)
{
    const AVFrame *f = r->frame;
    if (f->width != r->width || f->height != r->height)
        return VG_FAIL(err, VG_E_FORMAT, "%s: frame %d is %dx%d, the clip %dx%d", r->path, index,
                       f->width, f->height, r->width, r->height);
    if (f->format == AV_PIX_FMT_0RGB32) {
        for (int y = 0; y < r->height; y++) {
            const uint32_t *row =
                (const uint32_t *)(const void *)(f->data[0] + (ptrdiff_t)y * f->linesize[0]);
            uint8_t *out = rgb + (size_t)y * r->width * 3;
            for (int x = 0; x < r->width; x++, out += 3) {
                out[0] = (uint8_t)(row[x] >> 16);
                out[1] = (uint8_t)(row[x] >> 8);
                out[2] = (uint8_t)row[x];
            }
        }
    } else {
        VG_TRY(convert_yuv(r, rgb, err));
    }
    if (r->sums) {
        char digits[9] = "";
        memcpy(digits, r->sums + (size_t)index * 8, 8);
        uint32_t want = (uint32_t)strtoul(digits, NULL, 16);
        if (av_crc(av_crc_get_table(AV_CRC_32_IEEE_LE), 0, rgb, (size_t)r->width * r->height * 3) !=
            want)
            return VG_FAIL(err, VG_E_FORMAT, "%s: frame %d is damaged (its checksum does not fit)",
                           r->path, index);
    }
    return VG_OK;
}

vg_status vg_clip_reader_get(vg_clip_reader *r, int index, uint8_t *rgb, vg_err *err)
{
    if (index < 0 || index >= r->count)
        return VG_FAIL(err, VG_E_ARG, "%s: frame %d of %d does not exist", r->path, index,
                       r->count);
    bool from_start = false;
    if (r->next < 0 || index < r->next || index > r->next + READ_ON_MAX)
        VG_TRY(seek_to(r, index, err));
    for (;;) {
        int found;
        r->next = -1; /* unknown, should this fail */
        VG_TRY(decode_next(r, &found, err));
        if (found == index) {
            VG_TRY(take_frame(r, index, rgb, err));
            r->next = index + 1;
            return VG_OK;
        }
        if (found >= 0 && found < index)
            continue;
        /* Behind it already, or at the end: seek tables may be wrong; once more from the start,
         * then give up. */
        if (from_start)
            return VG_FAIL(err, VG_E_FORMAT, "%s: frame %d of %d is missing", r->path, index,
                           r->count);
        from_start = true;
        VG_TRY(seek_to(r, 0, err));
    }
}

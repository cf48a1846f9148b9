/* clip_writer.c: encode RGB frames with libavcodec, mux with libavformat into a file that has no name before it is whole.
 *
 * Repeatable: bit-exact flags in codec, muxer and scaler, no dates. The file is written through our own descriptor, so that a full
 * disk is reported by its errno, and a failed seek is seen at all: muxers do not look. Before the file gets its name it is read
 * again and must hold as many frames as were given. */
#include "app/media/clip_writer.h"

#include <errno.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/avstring.h>
#include <libswscale/swscale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "app/media/clip_encoder.h"
#include "kernels/base/newfile.h"

#define IO_BUFFER_BYTES 65536

struct vg_clip_writer {
    char *path;
    vg_newfile file;
    int io_errno; /* of the first call that failed */
    vg_clip_kind kind;
    int width, height; /* as given; the encoder's may be one more */
    int64_t next;      /* index of the next frame */
    bool header_written;
    AVFormatContext *mux;
    AVIOContext *io;
    AVCodecContext *encoder;
    AVStream *stream;
    AVFrame *frame;
    AVPacket *packet;
    struct SwsContext *scaler;
    uint8_t *padded; /* RGB with even sides, or NULL when they are even already */
};

void vg_clip_quiet(void)
{
    av_log_set_level(AV_LOG_QUIET);
}

static vg_status fail_av(vg_clip_writer *w, int code, const char *what, vg_err *err)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    if (code == AVERROR(ENOMEM))
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory while %s", w->path, what);
    if (w->io_errno)
        return VG_FAIL(err, VG_E_IO, "%s: %s while %s", w->path, strerror(w->io_errno), what);
    av_strerror(code, text, sizeof text);
    return VG_FAIL(err, VG_E_IO, "%s: %s while %s", w->path, text, what);
}

#if LIBAVFORMAT_VERSION_MAJOR >= 61
static int io_write(void *user, const uint8_t *bytes, int size)
#else
static int io_write(void *user, uint8_t *bytes, int size)
#endif
{
    vg_clip_writer *w = user;
    int done = 0;
    while (done < size) {
        ssize_t n = write(w->file.fd, bytes + done, (size_t)(size - done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (!w->io_errno)
                w->io_errno = n < 0 ? errno : EIO;
            return AVERROR(w->io_errno);
        }
        done += (int)n;
    }
    return done;
}

static int64_t io_seek(void *user, int64_t offset, int whence)
{
    vg_clip_writer *w = user;
    struct stat st;
    int64_t at;
    if (whence & AVSEEK_SIZE)
        at = fstat(w->file.fd, &st) == 0 ? st.st_size : -1;
    else
        at = lseek(w->file.fd, offset, whence & ~AVSEEK_FORCE);
    if (at >= 0)
        return at;
    if (!w->io_errno)
        w->io_errno = errno;
    return AVERROR(errno);
}

static void free_writer(vg_clip_writer *w)
{
    if (!w)
        return;
    av_packet_free(&w->packet);
    av_frame_free(&w->frame);
    sws_freeContext(w->scaler);
    avcodec_free_context(&w->encoder);
    if (w->mux)
        w->mux->pb = NULL;
    avformat_free_context(w->mux);
    if (w->io)
        av_freep(&w->io->buffer);
    avio_context_free(&w->io);
    vg_newfile_abort(&w->file);
    free(w->padded);
    free(w->path);
    free(w);
}

void vg_clip_writer_abort(vg_clip_writer *writer)
{
    free_writer(writer);
}

static vg_status open_scaler(vg_clip_writer *w, vg_err *err)
{
    int width = w->encoder->width, height = w->encoder->height;
    if (width != w->width || height != w->height) {
        w->padded = malloc((size_t)width * height * 3);
        if (!w->padded)
            return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for a padded frame", w->path);
    }
    w->scaler = sws_getContext(width, height, AV_PIX_FMT_RGB24, width, height, AV_PIX_FMT_YUV420P,
                               SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INP | SWS_BITEXACT,
                               NULL, NULL, NULL);
    if (!w->scaler)
        return VG_FAIL(err, VG_E_NOMEM, "%s: cannot convert %dx%d to YUV", w->path, width, height);
    const int *bt709 = sws_getCoefficients(SWS_CS_ITU709);
    sws_setColorspaceDetails(w->scaler, bt709, 1, bt709, 0, 0, 1 << 16, 1 << 16);
    return VG_OK;
}

static vg_status open_file(vg_clip_writer *w, vg_err *err)
{
    char name[32];
    VG_TRY(vg_newfile_open(w->path, &w->file, err));
    uint8_t *buffer = av_malloc(IO_BUFFER_BYTES);
    if (buffer)
        w->io = avio_alloc_context(buffer, IO_BUFFER_BYTES, 1, w, NULL, io_write, io_seek);
    if (!w->io) {
        av_free(buffer);
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for writing", w->path);
    }
    w->mux->pb = w->io;
    w->mux->flags |= AVFMT_FLAG_CUSTOM_IO | AVFMT_FLAG_BITEXACT;
    /* Moving the index to the front reads the file again, by this name. */
    vg_newfile_name(&w->file, name);
    w->mux->url = av_asprintf("file:%s", name);
    return w->mux->url ? VG_OK : VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for writing", w->path);
}

static vg_status write_header(vg_clip_writer *w, const char *const *metadata, vg_err *err)
{
    w->stream = avformat_new_stream(w->mux, NULL);
    if (!w->stream)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for writing", w->path);
    w->stream->time_base = w->encoder->time_base;
    w->stream->avg_frame_rate = w->encoder->framerate;
    w->stream->sample_aspect_ratio = (AVRational){1, 1};
    int rc = avcodec_parameters_from_context(w->stream->codecpar, w->encoder);
    if (rc < 0)
        return fail_av(w, rc, "describing the stream", err);
    for (int i = 0; metadata && metadata[i] && metadata[i + 1]; i += 2)
        if ((rc = av_dict_set(&w->mux->metadata, metadata[i], metadata[i + 1], 0)) < 0)
            return fail_av(w, rc, "setting metadata", err);
    AVDictionary *options = NULL;
    if (w->kind == VG_CLIP_H264_MP4)
        av_dict_set(&options, "movflags", "+faststart", 0);
    rc = avformat_write_header(w->mux, &options);
    av_dict_free(&options);
    if (rc < 0)
        return fail_av(w, rc, "writing the header", err);
    w->header_written = true;
    return VG_OK;
}

vg_status vg_clip_writer_open(const char *path, vg_clip_kind kind, const char *encoder, int crf,
                              int width, int height, double fps, const char *const *metadata,
                              vg_clip_writer **writer, vg_err *err)
{
    if (width < 1 || height < 1 || width > VG_FRAMES_SIDE_MAX || height > VG_FRAMES_SIDE_MAX)
        return VG_FAIL(err, VG_E_ARG, "%s: frames of %dx%d cannot be written; sides are 1 to %d",
                       path, width, height, VG_FRAMES_SIDE_MAX);
    if (!(fps >= 0.01 && fps <= 1000))
        return VG_FAIL(err, VG_E_ARG, "%s: frame rate %g is outside 0.01 to 1000", path, fps);
    if (crf < 0 || crf > 51)
        return VG_FAIL(err, VG_E_ARG, "%s: crf %d is outside 0 to 51", path, crf);
    vg_clip_quiet();
    vg_clip_writer *w = calloc(1, sizeof *w);
    if (!w)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for writing", path);
    w->file.fd = -1;
    w->kind = kind;
    w->width = width;
    w->height = height;
    vg_status status = VG_OK;
    w->path = strdup(path);
    w->frame = av_frame_alloc();
    w->packet = av_packet_alloc();
    if (!w->path || !w->frame || !w->packet) {
        status = VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for writing", path);
        goto fail;
    }
    int rc = avformat_alloc_output_context2(&w->mux, NULL,
                                            kind == VG_CLIP_FFV1_MKV ? "matroska" : "mp4", NULL);
    if (rc < 0) {
        status = VG_FAIL(err, VG_E_UNSUPPORTED, "%s: these FFmpeg libraries cannot write %s", path,
                         kind == VG_CLIP_FFV1_MKV ? "Matroska" : "MP4");
        goto fail;
    }
    int odd = kind == VG_CLIP_H264_MP4; /* 4:2:0 needs even sides */
    VG_TRY_GOTO(status,
                vg_clip_encoder_open(path, kind, encoder, crf ? crf : VG_CLIP_CRF_DEFAULT,
                                     width + (width & odd), height + (height & odd), fps,
                                     &w->encoder, err),
                fail);
    VG_TRY_GOTO(status, open_file(w, err), fail);
    VG_TRY_GOTO(status, write_header(w, metadata, err), fail);
    w->frame->format = w->encoder->pix_fmt;
    w->frame->width = w->encoder->width;
    w->frame->height = w->encoder->height;
    rc = av_frame_get_buffer(w->frame, 0);
    if (rc < 0) {
        status = fail_av(w, rc, "preparing", err);
        goto fail;
    }
    if (kind == VG_CLIP_H264_MP4)
        VG_TRY_GOTO(status, open_scaler(w, err), fail);
    *writer = w;
    return VG_OK;
fail:
    free_writer(w);
    return status;
}

/* ---- frames ---- */

static void fill_lossless(vg_clip_writer *w, const uint8_t *rgb)
{
    for (int y = 0; y < w->height; y++) {
        uint32_t *row =
            (uint32_t *)(void *)(w->frame->data[0] + (ptrdiff_t)y * w->frame->linesize[0]);
        const uint8_t *in = rgb + (size_t)y * w->width * 3;
        for (int x = 0; x < w->width; x++, in += 3)
            row[x] = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
    }
}

/* Copy into the even-sided buffer, repeating the last column and row. */
static const uint8_t *pad(vg_clip_writer *w, const uint8_t *rgb)
{
    int width = w->encoder->width, height = w->encoder->height;
    for (int y = 0; y < height; y++) {
        const uint8_t *in = rgb + (size_t)(y < w->height ? y : w->height - 1) * w->width * 3;
        uint8_t *out = w->padded + (size_t)y * width * 3;
        memcpy(out, in, (size_t)w->width * 3);
        if (width > w->width)
            memcpy(out + (size_t)w->width * 3, in + (size_t)(w->width - 1) * 3, 3);
    }
    return w->padded;
}

static vg_status encode(vg_clip_writer *w, const AVFrame *frame, vg_err *err)
{
    int rc = avcodec_send_frame(w->encoder, frame);
    if (rc < 0)
        return fail_av(w, rc, "encoding", err);
    for (;;) {
        rc = avcodec_receive_packet(w->encoder, w->packet);
        if (rc == AVERROR(EAGAIN) || rc == AVERROR_EOF)
            return VG_OK;
        if (rc < 0)
            return fail_av(w, rc, "encoding", err);
        w->packet->stream_index = 0;
        if (w->packet->duration == 0)
            w->packet->duration = 1;
        av_packet_rescale_ts(w->packet, w->encoder->time_base, w->stream->time_base);
        rc = av_interleaved_write_frame(w->mux, w->packet);
        if (rc < 0)
            return fail_av(w, rc, "writing", err);
    }
}

vg_status vg_clip_writer_add(vg_clip_writer *w, const uint8_t *rgb, vg_err *err)
{
    int rc = av_frame_make_writable(w->frame);
    if (rc < 0)
        return fail_av(w, rc, "preparing a frame", err);
    if (w->kind == VG_CLIP_FFV1_MKV) {
        fill_lossless(w, rgb);
    } else {
        const uint8_t *data[4] = {w->padded ? pad(w, rgb) : rgb};
        int stride[4] = {w->encoder->width * 3};
        rc = sws_scale(w->scaler, data, stride, 0, w->encoder->height, w->frame->data,
                       w->frame->linesize);
        if (rc < 0)
            return fail_av(w, rc, "converting a frame", err);
    }
    w->frame->pts = w->next++;
    return encode(w, w->frame, err);
}

/* The file again, as a stranger would find it. */
static vg_status prove(vg_clip_writer *w, vg_err *err)
{
    vg_clip_reader *reader = NULL;
    char name[32];
    vg_err inner = {0};
    int64_t packets = 0;
    vg_newfile_name(&w->file, name);
    vg_status status = vg_clip_reader_open(name, &reader, &inner);
    if (status == VG_OK)
        status = vg_clip_reader_packets(reader, &packets, &inner);
    if (status == VG_OK && (packets != w->next || vg_clip_reader_count(reader) != w->next))
        status = VG_FAIL(&inner, VG_E_IO, "%lld of %lld frames are in it", (long long)packets,
                         (long long)w->next);
    vg_clip_reader_close(reader);
    return status == VG_OK
               ? VG_OK
               : VG_FAIL(err, status == VG_E_NOMEM ? status : VG_E_IO,
                         "%s: what was written cannot be read again: %s", w->path, inner.message);
}

const char *vg_clip_writer_encoder(const vg_clip_writer *w)
{
    return w->encoder->codec->name;
}

vg_status vg_clip_writer_finish(vg_clip_writer *w, vg_err *err)
{
    vg_status status;
    int rc;
    VG_TRY_GOTO(status, encode(w, NULL, err), done);
    rc = av_write_trailer(w->mux);
    avio_flush(w->io);
    if (rc < 0 || w->io->error < 0 || w->io_errno) {
        status = fail_av(w, rc < 0 ? rc : w->io->error, "finishing", err);
        goto done;
    }
    VG_TRY_GOTO(status, prove(w, err), done);
    status = vg_newfile_commit(&w->file, true, err);
done:
    free_writer(w);
    return status;
}

/* journal.c: events.jsonl as a file: appending lines, and reading those that are new. See events.h. */
#include "app/job/events.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "kernels/base/text.h"

vg_status vg_event_writer_open(const char *job_dir, vg_event_writer *writer, vg_err *err)
{
    char *path = vg_xstrf("%s/%s", job_dir, VG_EVENTS_FILE);
    vg_status status = VG_OK;
    struct stat st;
    /* The folder may come from anybody: neither a link is followed nor a pipe waited for. */
    int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0) {
        status = VG_FAIL(err, VG_E_IO, "%s: cannot open for writing: %s", path, strerror(errno));
        goto done;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        status = VG_FAIL(err, VG_E_IO, "%s: not a regular file", path);
        close(fd);
        goto done;
    }
    /* A torn last line: end it, so that the next event has a line of its own. */
    char last = '\n';
    if (fstat(fd, &st) == 0 && st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) == 1 &&
        last != '\n') {
        if (write(fd, "\n", 1) != 1) {
            status = VG_FAIL(err, VG_E_IO, "%s: cannot write: %s", path, strerror(errno));
            close(fd);
            goto done;
        }
    }
    writer->fd = fd;
    pthread_mutex_init(&writer->lock, NULL);
done:
    free(path);
    return status;
}

void vg_event_writer_close(vg_event_writer *writer)
{
    if (writer->fd < 0)
        return;
    close(writer->fd);
    writer->fd = -1;
    pthread_mutex_destroy(&writer->lock);
}

/* The line with time in front, malloc'd, with its newline; NULL: out of memory. */
static char *line_of(const vg_job_event *event, size_t *size)
{
    cJSON *fields = vg_job_event_json(event), *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "t", (double)(int64_t)(vg_now_unix() * 1000) / 1000);
    cJSON_AddNumberToObject(json, "ms", (double)vg_now_monotonic_ms());
    for (cJSON *item = fields ? fields->child : NULL, *next; item; item = next) {
        next = item->next;
        cJSON_AddItemToObject(json, item->string, cJSON_DetachItemViaPointer(fields, item));
    }
    char *text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    cJSON_Delete(fields);
    if (text) {
        *size = strlen(text);
        text[(*size)++] = '\n'; /* the terminator's place: the line is written by length */
    }
    return text;
}

vg_status vg_event_write(vg_event_writer *writer, const vg_job_event *event, vg_err *err)
{
    size_t size = 0;
    vg_status status = VG_OK;
    char *text = line_of(event, &size);
    if (!text)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for an event");
    pthread_mutex_lock(&writer->lock);
    ssize_t written = write(writer->fd, text, size);
    if (written < 0 || (size_t)written != size) {
        status = VG_FAIL(err, VG_E_IO, "%s: cannot write: %s", VG_EVENTS_FILE,
                         written < 0 ? strerror(errno) : "disk full");
        if (written > 0 && write(writer->fd, "\n", 1) != 1)
            status = VG_E_IO;
    } else if (vg_job_event_describe(event->type)->durable) {
        fdatasync(writer->fd);
    }
    pthread_mutex_unlock(&writer->lock);
    cJSON_free(text);
    return status;
}

void vg_event_reader_init(vg_event_reader *reader, const char *job_dir)
{
    *reader = (vg_event_reader){.path = vg_xstrf("%s/%s", job_dir, VG_EVENTS_FILE)};
}

void vg_event_reader_deinit(vg_event_reader *reader)
{
    free(reader->path);
    free(reader->buffer);
    *reader = (vg_event_reader){0};
}

/* One line, without its newline. */
static bool take_line(vg_event_reader *r, char *line, size_t size, vg_event_take take, void *user)
{
    cJSON *json = NULL;
    vg_job_event event;
    line[size] = 0;
    if (size == 0)
        return false;
    if (strlen(line) == size)
        json = cJSON_ParseWithLength(line, size);
    bool good =
        cJSON_IsObject(json) && cJSON_IsString(cJSON_GetObjectItemCaseSensitive(json, "type"));
    if (good)
        take(user, &(vg_event_line){.event = vg_job_event_read(json, &event) ? &event : NULL,
                                    .json = json,
                                    .text = line});
    else
        r->malformed++;
    cJSON_Delete(json);
    return good;
}

int vg_event_reader_poll(vg_event_reader *r, vg_event_take take, void *user)
{
    struct stat st;
    int taken = 0;
    int fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return 0;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return 0;
    }
    if (st.st_size < r->offset) {
        r->offset = r->malformed = 0;
        r->used = 0;
        r->skipping = false;
    }
    for (;;) {
        if (r->capacity - r->used < 16384) {
            r->capacity = r->capacity ? r->capacity * 2 : 65536;
            r->buffer = vg_xrealloc(r->buffer, r->capacity + 1);
        }
        ssize_t n = pread(fd, r->buffer + r->used, r->capacity - r->used, r->offset);
        if (n <= 0)
            break;
        r->offset += n;
        r->used += (size_t)n;
        char *line = r->buffer, *end = r->buffer + r->used, *newline;
        while ((newline = memchr(line, '\n', (size_t)(end - line)))) {
            if (r->skipping)
                r->skipping = false;
            else
                taken += take_line(r, line, (size_t)(newline - line), take, user);
            line = newline + 1;
        }
        r->used = (size_t)(end - line);
        memmove(r->buffer, line, r->used);
        if (r->used > VG_EVENT_LINE_MAX) {
            r->used = 0;
            r->malformed += !r->skipping;
            r->skipping = true;
        }
    }
    close(fd);
    return taken;
}

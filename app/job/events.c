/* events.c: see events.h. */
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
    int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        status = VG_FAIL(err, VG_E_IO, "%s: cannot open for writing: %s", path, strerror(errno));
        goto done;
    }
    /* A torn last line: end it, so that the next event has a line of its own. */
    struct stat st;
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

vg_status vg_event_write(vg_event_writer *writer, const char *type, cJSON *fields, bool sync,
                         vg_err *err)
{
    cJSON *event = cJSON_CreateObject();
    vg_status status = VG_OK;
    cJSON_AddNumberToObject(event, "t", (double)(int64_t)(vg_now_unix() * 1000) / 1000);
    cJSON_AddNumberToObject(event, "ms", (double)vg_now_monotonic_ms());
    cJSON_AddStringToObject(event, "type", type);
    for (cJSON *item = fields ? fields->child : NULL; item;) {
        cJSON *next = item->next;
        cJSON_AddItemToObject(event, item->string, cJSON_DetachItemViaPointer(fields, item));
        item = next;
    }
    char *text = cJSON_PrintUnformatted(event);
    cJSON_Delete(event);
    cJSON_Delete(fields);
    if (!text)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for an event");
    size_t n = strlen(text);
    text[n] = '\n'; /* the terminator's place: the line is written by length */
    pthread_mutex_lock(&writer->lock);
    ssize_t written = write(writer->fd, text, n + 1);
    if (written < 0 || (size_t)written != n + 1) {
        status = VG_FAIL(err, VG_E_IO, "%s: cannot write: %s", VG_EVENTS_FILE,
                         written < 0 ? strerror(errno) : "disk full");
        if (written > 0 && write(writer->fd, "\n", 1) != 1)
            status = VG_E_IO;
    } else if (sync) {
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
static bool take_line(vg_event_reader *r, char *line, size_t size,
                      void (*take)(void *, const cJSON *, const char *), void *user)
{
    cJSON *event = NULL;
    line[size] = 0;
    if (size == 0)
        return false;
    if (strlen(line) == size)
        event = cJSON_ParseWithLength(line, size);
    bool good =
        cJSON_IsObject(event) && cJSON_IsString(cJSON_GetObjectItemCaseSensitive(event, "type"));
    if (good)
        take(user, event, line);
    else
        r->skipped++;
    cJSON_Delete(event);
    return good;
}

int vg_event_reader_poll(vg_event_reader *r,
                         void (*take)(void *user, const cJSON *event, const char *line), void *user)
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
        r->offset = 0;
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
            r->skipped += !r->skipping;
            r->skipping = true;
        }
    }
    close(fd);
    return taken;
}

double vg_event_number(const cJSON *event, const char *key, double absent)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(event, key);
    return cJSON_IsNumber(item) ? item->valuedouble : absent;
}

const char *vg_event_text(const cJSON *event, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(event, key);
    return cJSON_IsString(item) ? item->valuestring : "";
}

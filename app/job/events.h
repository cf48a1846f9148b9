/* events.h: events.jsonl, the journal of a job: one JSON object a line, only ever appended to.
 *
 *   {"t": 1795434900.123, "ms": 81234, "type": "step", "variant": "fp8", "step": 3, "steps": 20, "seconds": 0.52, ...}
 *
 * t is Unix time in s, ms a monotonic clock in ms (comparable within one run of one machine). A kill in the middle of a write leaves a torn
 * last line: readers skip what is not a whole JSON object, and the next writer begins on a fresh line. */
#ifndef VG_APP_JOB_EVENTS_H
#define VG_APP_JOB_EVENTS_H

#include <pthread.h>
#include "kernels/base/json.h"

#define VG_EVENTS_FILE    "events.jsonl"
#define VG_EVENT_LINE_MAX (256u << 10) /* bytes; longer lines are skipped */

typedef struct vg_event_writer {
    int fd;
    pthread_mutex_t lock; /* the memory thread of the worker writes too */
} vg_event_writer;

vg_status vg_event_writer_open(const char *job_dir, vg_event_writer *writer, vg_err *err);
void vg_event_writer_close(vg_event_writer *writer);
/* Append one event: `fields` (taken and deleted; NULL for none) with t, ms and type put in front. One write() a line; state changes are
 * flushed to the disk with sync. A full disk loses the line, not the job: VG_E_IO, which callers may ignore. */
vg_status vg_event_write(vg_event_writer *writer, const char *type, cJSON *fields, bool sync,
                         vg_err *err);

typedef struct vg_event_reader {
    char *path;
    int64_t offset; /* of the first byte not yet handed out */
    char *buffer;   /* bytes of an unfinished line */
    size_t used, capacity;
    bool skipping;   /* inside a line that is too long */
    int64_t skipped; /* lines that were not whole objects */
} vg_event_reader;

void vg_event_reader_init(vg_event_reader *reader, const char *job_dir);
void vg_event_reader_deinit(vg_event_reader *reader);
/* Hand every complete new line that is a JSON object to `take`. Returns how many; 0 when nothing is new or there is no file yet.
 * A file that became shorter (replaced) is read from its beginning. */
int vg_event_reader_poll(vg_event_reader *reader,
                         void (*take)(void *user, const cJSON *event, const char *line),
                         void *user);

/* Fields with a default for what is absent or of another type. */
double vg_event_number(const cJSON *event, const char *key, double absent);
const char *vg_event_text(const cJSON *event, const char *key); /* "" when absent; borrowed */
#endif

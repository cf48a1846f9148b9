/* events.h: events.jsonl, the journal of a job: one JSON object a line, only ever appended to. What can stand in it is events.def
 * and event_fields.def.
 *
 *   {"t": 1795434900.123, "ms": 81234, "type": "step", "variant": "fp8", "step": 3, "steps": 20, "seconds": 0.52, ...}
 *
 * t is Unix time in s, ms a monotonic clock in ms (comparable within one run of one machine). A kill in the middle of a write leaves a torn
 * last line: readers skip and count what is not a whole JSON object, and the next writer begins on a fresh line. Nothing in the file is trusted. */
#ifndef VG_APP_JOB_EVENTS_H
#define VG_APP_JOB_EVENTS_H

#include <pthread.h>
#include "app/report/gauges.h"
#include "engine/metrics/metrics.h"

#define VG_EVENTS_FILE    "events.jsonl"
#define VG_EVENT_LINE_MAX (256u << 10) /* bytes; longer lines are skipped */

typedef enum vg_job_event_type {
#define VG_EVENT(name, of, durable, fields, help) VG_JOB_EVENT_##name,
#include "app/job/events.def"
#undef VG_EVENT
    VG_JOB_EVENT_COUNT
} vg_job_event_type;

typedef enum vg_event_field_type {
    VG_FIELD_COUNT,
    VG_FIELD_BYTES,
    VG_FIELD_REAL,
    VG_FIELD_TEXT,
    VG_FIELD_FLAG,
    VG_FIELD_GAUGES,
    VG_FIELD_FIGURES
} vg_event_field_type;

typedef int vg_event_COUNT;
typedef uint64_t vg_event_BYTES;
typedef double vg_event_REAL;
typedef const char *vg_event_TEXT;
typedef bool vg_event_FLAG;
typedef vg_gpu_sample vg_event_GAUGES;
typedef struct vg_event_FIGURES {
    double of[VG_METRIC_COUNT]; /* NaN not measured, +infinity identical */
} vg_event_FIGURES;

/* One event of any kind; the fields that its kind does not have say nothing. Texts are borrowed from what it was read from. */
typedef struct vg_job_event {
    vg_job_event_type type;
    double t;            /* Unix time, s; NaN not said. Written: the time of writing */
    const char *variant; /* its id; "" of the job */
#define VG_EVENT_FIELD(name, type_, unit, help) vg_event_##type_ name;
#include "app/job/event_fields.def"
#undef VG_EVENT_FIELD
} vg_job_event;

typedef struct vg_event_field {
    const char *name, *unit, *help;
    vg_event_field_type type;
    size_t offset; /* in vg_job_event */
} vg_event_field;

typedef struct vg_event_kind_info {
    const char *name, *help;
    bool of_variant, durable;
    const vg_event_field *const *fields; /* NULL after the last */
} vg_event_kind_info;
/* The row of a kind: its name, fields and what it is for. Static; never NULL. */
const vg_event_kind_info *vg_job_event_describe(vg_job_event_type type);

/* An event that says nothing yet. */
vg_job_event vg_job_event_of(vg_job_event_type type);
/* False: of a kind that is not known here (a later version's). A field that is missing, of another type or out of range says nothing. */
bool vg_job_event_read(const cJSON *json, vg_job_event *event);
/* {"type": ..., ...} without the time; caller deletes. */
cJSON *vg_job_event_json(const vg_job_event *event);

/* ---- writing ---- */
typedef struct vg_event_writer {
    int fd;
    pthread_mutex_t lock; /* the memory thread of the worker writes too */
} vg_event_writer;

/* Open JOB_DIR's journal to append to, made when missing; a torn last line is ended first. Errors: VG_E_IO. */
vg_status vg_event_writer_open(const char *job_dir, vg_event_writer *writer, vg_err *err);
/* Nothing happens to one that is closed (fd -1). */
void vg_event_writer_close(vg_event_writer *writer);
/* Append one event, with the time put in front. One write() a line. A full disk loses the line, not the job: VG_E_IO, which callers may
 * ignore. */
vg_status vg_event_write(vg_event_writer *writer, const vg_job_event *event, vg_err *err);

/* ---- reading ---- */
typedef struct vg_event_reader {
    char *path;
    int64_t offset; /* of the first byte not yet read */
    char *buffer;   /* bytes of an unfinished line */
    size_t used, capacity;
    bool skipping;     /* inside a line that is too long */
    int64_t malformed; /* lines that were not whole objects with a type */
} vg_event_reader;

/* A line that is a JSON object with a type. */
typedef struct vg_event_line {
    const vg_job_event *event; /* NULL: of a kind that is not known here */
    const cJSON *json;
    const char *text; /* as it stands in the file, without its newline */
} vg_event_line;
typedef void (*vg_event_take)(void *user, const vg_event_line *line);

/* Nothing is opened yet, and the file need not be there. */
void vg_event_reader_init(vg_event_reader *reader, const char *job_dir);
/* Free path and buffer and zero the reader. */
void vg_event_reader_deinit(vg_event_reader *reader);
/* Hand every complete new line to `take`. Returns how many; 0 when nothing is new or there is no file yet. A file
 * that became shorter (it was replaced) is read from its beginning. */
int vg_event_reader_poll(vg_event_reader *reader, vg_event_take take, void *user);
#endif

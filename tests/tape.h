/* tape.h: recorded jobs (tests/tapes) played into a job folder as a worker would write it: its journal line by line, the files that a line speaks
 * of, its lock while it lasts, its summary at the end. Previews and frames are painted; metrics are those of the recording. */
#ifndef VG_TESTS_TAPE_H
#define VG_TESTS_TAPE_H

#include <fcntl.h>
#include <unistd.h>
#include "app/job/lock.h"
#include "app/job/snapshot.h"
#include "app/media/frames.h"
#include "tests/check.h"
#include "tests/painted.h"

enum { TAPE_LINES_MAX = 1024 };

typedef struct tape {
    char name[32]; /* folder in tests/tapes */
    char dir[300]; /* of the job that it is played into */
    char *text;    /* of events.jsonl */
    char *line[TAPE_LINES_MAX];
    double at[TAPE_LINES_MAX]; /* seconds after the first */
    int lines, played;
    int lock; /* held while a worker would be on it, else -1 */
} tape;

static inline char *tape_read(const char *name, const char *file)
{
    char *path = vg_xstrf("%s/tapes/%s/%s", VG_TEST_DIR, name, file), *text = NULL;
    vg_err err;
    CHECK_OK(vg_file_read(path, 1u << 20, &text, NULL, &err), err);
    free(path);
    return text;
}

static inline void tape_write(const char *path, const char *text)
{
    vg_err err;
    CHECK_OK(vg_file_write_atomic(path, text, strlen(text), &err), err);
}

static inline double tape_time(const char *line)
{
    cJSON *json = cJSON_Parse(line);
    assert_non_null(json);
    double t = cJSON_GetObjectItem(json, "t")->valuedouble;
    cJSON_Delete(json);
    return t;
}

/* Cut the text into lines. */
static inline void tape_cut(tape *t)
{
    for (char *line = strtok(t->text, "\n"); line; line = strtok(NULL, "\n")) {
        assert_true(t->lines < TAPE_LINES_MAX);
        t->line[t->lines] = line;
        t->at[t->lines] = tape_time(line) - (t->lines ? tape_time(t->line[0]) : tape_time(line));
        t->lines++;
    }
    assert_true(t->lines > 0);
}

/* A job in jobs_dir/id with the settings of the recording, of which nothing has happened yet.
 *   created   when it was made, Unix time      prompt   NULL: that of the recording */
static inline tape *tape_insert(const char *name, const char *jobs_dir, const char *id,
                                double created, const char *prompt)
{
    tape *t = calloc(1, sizeof *t);
    char *text = tape_read(name, "job.json"), path[340];
    cJSON *job = cJSON_Parse(text);
    vg_err err;
    assert_true(t && job);
    snprintf(t->name, sizeof t->name, "%s", name);
    snprintf(t->dir, sizeof t->dir, "%s/%s", jobs_dir, id);
    t->text = tape_read(name, "events.jsonl");
    t->lock = -1;
    tape_cut(t);
    CHECK_OK(vg_file_make_dirs(t->dir, &err), err);
    cJSON_ReplaceItemInObject(job, "created", cJSON_CreateNumber(created));
    if (prompt)
        cJSON_ReplaceItemInObject(cJSON_GetObjectItem(job, "resolved"), "prompt",
                                  cJSON_CreateString(prompt));
    snprintf(path, sizeof path, "%s/%s", t->dir, VG_JOB_FILE);
    CHECK_OK(vg_json_save(path, job, &err), err);
    cJSON_Delete(job);
    free(text);
    return t;
}

static inline void tape_hold(tape *t, bool on)
{
    char path[340];
    vg_err err;
    snprintf(path, sizeof path, "%s/%s", t->dir, VG_JOB_LOCK);
    if (on && t->lock < 0)
        CHECK_OK(vg_lock_take(path, "1", &t->lock, &err), err);
    if (!on) {
        vg_lock_release(t->lock);
        t->lock = -1;
    }
}

static inline void tape_free(tape *t)
{
    if (!t)
        return;
    tape_hold(t, false);
    free(t->text);
    free(t);
}

static inline void tape_preview(const tape *t, const char *variant, const cJSON *event)
{
    int w = cJSON_GetObjectItem(event, "width")->valueint,
        h = cJSON_GetObjectItem(event, "height")->valueint,
        step = cJSON_GetObjectItem(event, "step")->valueint;
    char path[400];
    snprintf(path, sizeof path, "%s/variants/%s/%s", t->dir, variant, VG_VARIANT_PREVIEW);
    FILE *f = fopen(path, "w");
    uint8_t *rgb = malloc((size_t)w * (size_t)h * 3);
    assert_true(f && rgb);
    painted_frame(rgb, w, h, 0.5, 0, 110.0 / (1 + step));
    fprintf(f, "P6\n%d %d\n255\n", w, h);
    fwrite(rgb, 3, (size_t)w * (size_t)h, f);
    fclose(f);
    free(rgb);
}

/* The frames of a variant, painted: the reference's, and others a little off, most of all in one of them. */
static inline void tape_frames(const tape *t, const char *variant)
{
    char *text = tape_read(t->name, "job.json");
    cJSON *job = cJSON_Parse(text), *settings = cJSON_GetObjectItem(job, "resolved");
    vg_frames f = {.count = cJSON_GetObjectItem(settings, "num_frames")->valueint,
                   .width = cJSON_GetObjectItem(settings, "width")->valueint,
                   .height = cJSON_GetObjectItem(settings, "height")->valueint};
    size_t bytes = (size_t)f.width * (size_t)f.height * 3;
    double off = strcmp(variant, "bf16") ? (strcmp(variant, "fp8") ? 0.6 : 1.2) : 0;
    char dir[400];
    vg_err err;
    f.rgb = malloc(bytes * (size_t)f.count);
    assert_non_null(f.rgb);
    for (int i = 0; i < f.count; i++)
        painted_frame(f.rgb + bytes * (size_t)i, f.width, f.height, (double)i / (f.count - 1),
                      off * (i == 11 ? 3 : 1), off * 1.5);
    snprintf(dir, sizeof dir, "%s/variants/%s", t->dir, variant);
    CHECK_OK(vg_frames_store_write(dir, &f, 8, NULL, &err), err);
    free(f.rgb);
    free(text);
    cJSON_Delete(job);
}

/* What was on the disk before the worker said so. */
static inline void tape_files(const tape *t, const cJSON *event)
{
    const char *type = cJSON_GetObjectItem(event, "type")->valuestring;
    const cJSON *item = cJSON_GetObjectItem(event, "variant");
    char path[400], file[80];
    vg_err err;
    if (!item)
        return;
    const char *variant = item->valuestring;
    snprintf(path, sizeof path, "%s/variants/%s", t->dir, variant);
    CHECK_OK(vg_file_make_dirs(path, &err), err);
    if (!strcmp(type, "preview"))
        tape_preview(t, variant, event);
    if (!strcmp(type, "frames"))
        tape_frames(t, variant);
    if (!strcmp(type, "metrics")) {
        snprintf(file, sizeof file, "metrics-%s.json", variant);
        char *text = tape_read(t->name, file);
        snprintf(path, sizeof path, "%s/variants/%s/%s", t->dir, variant, VG_REPORT_METRICS_FILE);
        tape_write(path, text);
        free(text);
    }
}

static inline void tape_append(const tape *t, const char *line)
{
    char path[340];
    snprintf(path, sizeof path, "%s/%s", t->dir, VG_EVENTS_FILE);
    FILE *f = fopen(path, "a");
    assert_non_null(f);
    fprintf(f, "%s\n", line);
    fclose(f);
}

/* As the worker does it when it is done. */
static inline void tape_summarise(const tape *t)
{
    vg_job job = {0};
    vg_snapshot s;
    vg_err err;
    CHECK_OK(vg_job_open(t->dir, &job, &err), err);
    vg_snapshot_init(&s, &job);
    vg_snapshot_refresh(&s, NULL, NULL);
    CHECK_OK(vg_snapshot_summarise(&s, &err), err);
    vg_snapshot_deinit(&s);
    vg_job_deinit(&job);
}

static inline bool tape_is_end(const char *type)
{
    return !strcmp(type, "done") || !strcmp(type, "failed") || !strcmp(type, "cancelled") ||
           !strcmp(type, "stopped");
}

/* Play what lies up to `seconds` after its beginning. True: something was. */
static inline bool tape_play(tape *t, double seconds)
{
    int before = t->played;
    for (; t->played < t->lines && t->at[t->played] <= seconds; t->played++) {
        cJSON *event = cJSON_Parse(t->line[t->played]);
        const char *type = cJSON_GetObjectItem(event, "type")->valuestring;
        tape_hold(t, !tape_is_end(type));
        tape_files(t, event);
        tape_append(t, t->line[t->played]);
        if (tape_is_end(type))
            tape_summarise(t);
        cJSON_Delete(event);
    }
    return t->played != before;
}

/* The rest of it is not played: somebody asked the worker to stop. */
static inline void tape_cancel(tape *t)
{
    tape_append(
        t,
        "{\"t\":1796027145.7,\"ms\":1,\"type\":\"cancelled\",\"message\":\"resume goes on from the "
        "last finished step\"}");
    t->played = t->lines;
    tape_hold(t, false);
    tape_summarise(t);
}

/* The place of the first line that has this text; fails without. */
static inline int tape_line_with(const tape *t, const char *text)
{
    for (int i = 0; i < t->lines; i++)
        if (strstr(t->line[i], text))
            return i;
    fail_msg("tape %s has no line with %s", t->name, text);
    return 0;
}

/* Seconds to its end. */
static inline double tape_length(const tape *t)
{
    return t->at[t->lines - 1];
}
#endif

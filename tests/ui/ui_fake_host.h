/* ui_fake_host.h: a host without an engine, for the tests of the screens. A tape of events (made by a scenario) is applied up to the
 * host's clock, so the same moment always gives the same screen. The form's fields are the rows of app/settings/options.def. */
#ifndef VG_TESTS_UI_UI_FAKE_HOST_H
#define VG_TESTS_UI_UI_FAKE_HOST_H

#include "app/settings/choices.h"
#include "engine/run/limits.h"
#include "ui/host/host.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    FAKE_W = 160,
    FAKE_H = 96,
    FAKE_FRAMES = 17,
    FAKE_STEPS = 20,
    FAKE_JOBS = 12,
    FAKE_VARIANTS = 3,
    FAKE_EVENTS = 512,
    FAKE_GAUGES = 6,
    FAKE_READINGS = 128
};

typedef enum fake_kind {
    EV_START,
    EV_STAGE,
    EV_STEP,
    EV_PART,
    EV_VARIANT_DONE,
    EV_JOB_DONE,
    EV_FAIL,
    EV_CANCEL
} fake_kind;

typedef struct fake_event {
    double at;
    fake_kind kind;
    int variant, value;
    double seconds;
    const char *text;
} fake_event;

typedef struct fake_job {
    vg_ui_job job;
    char id[64], prompt[1024];
    vg_ui_variant variants[FAKE_VARIANTS];
    double steps[FAKE_VARIANTS][FAKE_STEPS], psnr[FAKE_VARIANTS][FAKE_FRAMES],
        ssim[FAKE_VARIANTS][FAKE_FRAMES];
    vg_ui_metric metrics[FAKE_VARIANTS][3];
    uint8_t preview[FAKE_VARIANTS][24 * 40 * 3];
    uint8_t frame[FAKE_VARIANTS][FAKE_W * FAKE_H * 3];
    fake_event tape[FAKE_EVENTS];
    int tape_count, played;
    vg_ui_log_line log[64];
    bool gpu;
    vg_ui_gauge gauges[FAKE_GAUGES];
    double readings[FAKE_GAUGES][FAKE_READINGS];
    double started;
} fake_job;

typedef struct fake_host {
    vg_ui_host host;
    double now, started_at; /* the fake clock, s */
    bool real_clock;        /* the clock follows the real one */
    double speed;
    vg_ui_field fields[64];
    char choice_text[64][128];
    const char *choices[64][8];
    double min[64], max[64];
    char *values[64];
    char defaults[64][96];
    int fields_count;
    fake_job *jobs[FAKE_JOBS];
    const vg_ui_job *list[FAKE_JOBS];
    uint64_t serial;
    int jobs_count;
    int export_state; /* calls left until it is done; -1 none */
    bool frames_slow; /* frame() answers NULL */
    const char *
        broken; /* so does it for the variants after the first, whose frames are broken for this reason */
    bool no_presets;
    int made; /* jobs started, for their names */
    vg_ui_plan_row plan_rows[5];
    bool small_memory, more_stages;
    bool gpu;      /* jobs run on one, with gauges */
    bool pictures; /* the model takes some */
} fake_host;

/* ---- pictures ---- */
/* A ball that moves right over a teal gradient; `error` shifts and discolours it a little, as quantisation would. */
static inline void fake_picture(uint8_t *out, int w, int h, double t, double error, double noise)
{
    double cx = w * (0.15 + 0.7 * t) + error * w * 0.01, cy = h * 0.55,
           radius = h * 0.27 * (1 + error * 0.01);
    uint32_t seed = 12345;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            double d = hypot(x - cx, y - cy) / radius, shade = 0.75 + 0.25 * (double)(h - y) / h;
            double light =
                fmax(0, 1 - hypot(x - cx + radius * 0.35, y - cy + radius * 0.4) / (radius * 1.3));
            double shadow = exp(-pow((y - cy - radius * 1.05) / (radius * 0.18), 2) -
                                pow((x - cx) / (radius * 0.9), 2)) *
                            0.5;
            double r = 24 * shade, g = 128 * shade, b = 128 * shade;
            r *= 1 - shadow, g *= 1 - shadow, b *= 1 - shadow;
            double edge = d < 0.97 ? 1 : d > 1.03 ? 0 : (1.03 - d) / 0.06;
            r += (205 + 50 * light - r) * edge;
            g += (30 + 140 * light * light - g) * edge;
            b += (38 + 130 * light * light - b) * edge;
            seed = seed * 1664525u + 1013904223u;
            double n = ((seed >> 8 & 0xffff) / 65535.0 - 0.5) * 2;
            double e = error * 3 * sin(x * 0.21 + y * 0.13) + noise * n;
            r += e, g += e * 0.6, b -= e * 0.4;
            uint8_t *p = out + ((size_t)y * (size_t)w + (size_t)x) * 3;
            p[0] = (uint8_t)fmin(255, fmax(0, r));
            p[1] = (uint8_t)fmin(255, fmax(0, g));
            p[2] = (uint8_t)fmin(255, fmax(0, b));
        }
}

/* ---- tape ---- */
static inline void fake_event_add(fake_job *j, double at, fake_kind kind, int variant, int value,
                                  double seconds, const char *text)
{
    if (j->tape_count < FAKE_EVENTS)
        j->tape[j->tape_count++] = (fake_event){at, kind, variant, value, seconds, text};
}

static inline void fake_log(fake_job *j, const fake_event *e, vg_ui_log_level level,
                            const char *text)
{
    vg_ui_job *job = &j->job;
    bool of_job = e->kind == EV_START || e->kind == EV_JOB_DONE;
    if (job->log_count == (int)(sizeof j->log / sizeof j->log[0]))
        return;
    if (job->log_count > 0 && level != VG_UI_LOG_NOTE)
        j->log[job->log_count - 1].seconds = e->at - j->started - j->log[job->log_count - 1].at;
    j->log[job->log_count++] =
        (vg_ui_log_line){e->at - j->started, of_job ? -1 : e->variant, level, text, NAN};
    job->log = j->log;
}

/* One reading of the gauges of a GPU that works at its power limit, and the memory of a 14B model. */
static inline void fake_measure(fake_job *j, int n)
{
    static const struct {
        const char *label, *unit;
        double base, swing, limit, low, high;
    } rows[FAKE_GAUGES] = {
        {"utilisation", "%", 96, 4, NAN, 0, 100},         {"power", "W", 620, 78, 700, 60, 700},
        {"SM clock", "MHz", 1755, 120, 1980, 1000, 1980}, {"temperature", "C", 62, 4, NAN, 25, 95},
        {"PCIe in", "MB/s", 9000, 9000, NAN, 0, NAN},     {"PCIe out", "MB/s", 12, 8, NAN, 0, NAN}};
    vg_ui_job *job = &j->job;
    if (!j->gpu)
        return;
    for (int i = 0; i < FAKE_GAUGES; i++) {
        vg_ui_gauge *g = &j->gauges[i];
        double v = rows[i].base + rows[i].swing * sin(n * (0.4 + 0.1 * i));
        int count = g->history_count < FAKE_READINGS ? g->history_count + 1 : FAKE_READINGS;
        if (g->history_count == FAKE_READINGS)
            memmove(j->readings[i], j->readings[i] + 1, sizeof(double) * (FAKE_READINGS - 1));
        j->readings[i][count - 1] = v;
        *g = (vg_ui_gauge){rows[i].label,
                           rows[i].unit,
                           v,
                           rows[i].base,
                           count > 1 ? fmax(g->peak, v) : v,
                           rows[i].limit,
                           rows[i].low,
                           rows[i].high,
                           j->readings[i],
                           count};
    }
    job->gauges = j->gauges;
    job->gauges_count = FAKE_GAUGES;
    job->memory_now = (uint64_t)(24300 + 400 * sin(n)) << 20;
    job->memory_peak = job->memory_now > job->memory_peak ? job->memory_now : job->memory_peak;
    job->memory_others = 5632ull << 20;
    job->memory_planned = 27400ull << 20;
}

static inline void fake_apply(fake_job *j, const fake_event *e)
{
    vg_ui_variant *v = &j->variants[e->variant];
    double since = e->at;
    switch (e->kind) {
    case EV_START:
        j->job.state = VG_UI_JOB_RUNNING;
        j->job.message = "";
        fake_log(j, e, VG_UI_LOG_STAGE, "started on cpu");
        break;
    case EV_STAGE:
        j->job.current = e->variant;
        v->state = VG_UI_JOB_RUNNING;
        v->stage = e->text;
        fake_log(j, e, VG_UI_LOG_STAGE, e->text);
        if (strcmp(e->text, "denoise") == 0 && e->variant == 1)
            fake_log(j, e, VG_UI_LOG_NOTE, "input scales measured in 4 steps");
        v->part = v->parts = 0;
        break;
    case EV_STEP:
        v->step = e->value;
        j->steps[e->variant][e->value - 1] = e->seconds;
        v->denoise_s_per_it = 0;
        for (int i = 0; i < v->step; i++)
            v->denoise_s_per_it += j->steps[e->variant][i] / v->step;
        v->wall_s = since - j->started - e->variant * 5.0;
        v->eta_s = (v->steps - v->step) * v->denoise_s_per_it + 1.1;
        j->job.eta_s = v->eta_s + 5 * (j->job.variants_count - 1 - e->variant);
        fake_picture(j->preview[e->variant], 40, 24, 0.5, e->variant * 0.6,
                     110.0 * pow(1 - (double)v->step / v->steps, 1.5));
        v->preview = j->preview[e->variant];
        v->preview_w = 40, v->preview_h = 24;
        v->preview_serial = (uint64_t)v->step;
        break;
    case EV_PART:
        v->part = e->value;
        v->parts = FAKE_FRAMES;
        v->wall_s = since - j->started - e->variant * 5.0;
        v->eta_s = (FAKE_FRAMES - e->value) * 0.05;
        j->job.eta_s = v->eta_s + 5 * (j->job.variants_count - 1 - e->variant);
        break;
    case EV_VARIANT_DONE:
        fake_log(j, e, VG_UI_LOG_END, "done");
        v->state = VG_UI_JOB_DONE;
        v->stage = "";
        v->step = v->steps;
        v->frames_ready = true;
        v->clip = "/home/person/.local/state/vgen/jobs/demo/variants/clip.mp4";
        v->peak_bytes = (uint64_t)(612 - 70 * e->variant) << 20;
        v->metrics = e->variant ? j->metrics[e->variant] : NULL;
        v->metrics_count = e->variant ? 3 : 0;
        v->precision = e->variant == 0   ? "65 BF16"
                       : e->variant == 1 ? "60 FP8 per-tensor (static), 5 BF16"
                                         : "60 FP8 128x128, 5 BF16";
        break;
    case EV_JOB_DONE:
        j->job.eta_s = NAN;
        fake_log(j, e, VG_UI_LOG_END, "done");
        j->job.state = VG_UI_JOB_DONE;
        j->job.memory_now = j->gpu ? 0 : j->job.memory_now;
        j->job.memory_others = j->job.memory_planned = 0;
        for (int i = 0; i < FAKE_GAUGES; i++)
            j->gauges[i].now = NAN;
        j->job.current = -1;
        break;
    case EV_FAIL:
    case EV_CANCEL:
        j->job.state = v->state = e->kind == EV_FAIL ? VG_UI_JOB_FAILED : VG_UI_JOB_CANCELLED;
        j->job.message = e->text;
        j->job.eta_s = NAN;
        fake_log(j, e, VG_UI_LOG_BAD, e->text);
        j->job.current = -1;
        break;
    }
    if (j->gpu && (e->kind == EV_STEP || e->kind == EV_PART)) {
        fake_measure(j, e->value);
    } else if (e->kind == EV_STEP || e->kind == EV_PART) {
        j->job.memory_now = (uint64_t)(420 + 8 * (e->value % 7) + (e->kind == EV_PART ? 120 : 0))
                            << 20;
        if (j->job.memory_now > j->job.memory_peak)
            j->job.memory_peak = j->job.memory_now;
    }
}

/* The usual course: text, 20 steps with the expert switch at 5, 17 frames decoded, for each variant. stop_step > 0 ends it there. */
static inline void fake_record(fake_job *j, double start, int stop_variant, int stop_step,
                               fake_kind stop)
{
    double t = start + 0.5;
    fake_event_add(j, t, EV_START, 0, 0, 0, NULL);
    for (int v = 0; v < j->job.variants_count; v++) {
        fake_event_add(j, t, EV_STAGE, v, 0, 0, "text");
        t += 0.4;
        fake_event_add(j, t, EV_STAGE, v, 0, 0, "denoise");
        for (int s = 1; s <= FAKE_STEPS; s++) {
            double seconds =
                (0.17 - 0.035 * v) * (1 + 0.08 * sin(s * 1.7 + v)) * (s == 6 ? 1.6 : 1);
            t += seconds;
            fake_event_add(j, t, EV_STEP, v, s, seconds, NULL);
            if (stop_step == s && stop_variant == v) {
                fake_event_add(j, t, stop, v, 0, 0,
                               stop == EV_FAIL
                                   ? "out of memory: 1.2 GiB wanted for the decode, 310 MiB free"
                                   : "cancelled by the person");
                return;
            }
        }
        fake_event_add(j, t, EV_STAGE, v, 0, 0, "decode");
        for (int p = 1; p <= FAKE_FRAMES; p++)
            fake_event_add(j, t += 0.05, EV_PART, v, p, 0, NULL);
        fake_event_add(j, t, EV_VARIANT_DONE, v, 0, 0, NULL);
    }
    fake_event_add(j, t, EV_JOB_DONE, 0, 0, 0, NULL);
}

static inline fake_job *fake_job_new(fake_host *f, const char *id, const char *prompt, int variants,
                                     double age)
{
    static const char *const names[] = {"bf16", "fp8", "fp8-block"}, *const labels[] = {
                                                                         "BF16", "FP8 per-tensor",
                                                                         "FP8 per-block"};
    fake_job *j = calloc(1, sizeof *j);
    if (!j || f->jobs_count == FAKE_JOBS)
        abort();
    memmove(f->jobs + 1, f->jobs, sizeof f->jobs[0] * (size_t)f->jobs_count);
    f->jobs[0] = j;
    f->jobs_count++;
    snprintf(j->id, sizeof j->id, "%s", id);
    snprintf(j->prompt, sizeof j->prompt, "%s", prompt);
    j->started = f->now + 0.5;
    j->gpu = f->gpu;
    j->job = (vg_ui_job){.id = j->id,
                         .dir = "/home/person/.local/state/vgen/jobs/demo",
                         .model = "demo",
                         .prompt = j->prompt,
                         .summary = "96x160x17, 20 steps, seed 42",
                         .state = VG_UI_JOB_QUEUED,
                         .message = "",
                         .created = f->started_at + f->now - age,
                         .fps = 16,
                         .frames = FAKE_FRAMES,
                         .width = FAKE_W,
                         .height = FAKE_H,
                         .variants = j->variants,
                         .variants_count = variants,
                         .current = -1,
                         .eta_s = NAN,
                         .device = "cpu",
                         .memory_label = "RSS",
                         .memory_total = 8ull << 30,
                         .comparison = ""};
    if (f->gpu) {
        j->job.device = "cuda: NVIDIA H100 80GB HBM3";
        j->job.memory_label = "VRAM";
        j->job.memory_total = 80ull << 30;
    }
    for (int v = 0; v < variants; v++) {
        j->variants[v] = (vg_ui_variant){.name = names[v],
                                         .label = labels[v],
                                         .state = VG_UI_JOB_QUEUED,
                                         .stage = "",
                                         .steps = FAKE_STEPS,
                                         .boundary_step = 5,
                                         .denoise_s_per_it = NAN,
                                         .eta_s = NAN,
                                         .step_s = j->steps[v],
                                         .precision = "",
                                         .clip = ""};
        for (int i = 0; i < FAKE_FRAMES; i++) {
            j->psnr[v][i] = 36 + 3 * v - 6 * exp(-pow((i - 11) / 2.5, 2)) - i * 0.12;
            j->ssim[v][i] = 0.985 + 0.004 * v - 0.03 * exp(-pow((i - 11) / 2.5, 2));
        }
        j->psnr[v][0] = INFINITY; /* an identical frame, and one that could not be measured */
        j->psnr[v][3] = NAN;
        j->metrics[v][0] =
            (vg_ui_metric){"PSNR", "dB", true, 34.2 + 2.9 * v, j->psnr[v], FAKE_FRAMES};
        j->metrics[v][1] =
            (vg_ui_metric){"SSIM", "", true, 0.978 + 0.004 * v, j->ssim[v], FAKE_FRAMES};
        j->metrics[v][2] = (vg_ui_metric){"latent rel. L2", "", false, 0.031 * v, NULL, 0};
    }
    return j;
}

/* ---- the host's calls ---- */
static inline int fake_wake_fd(void *self)
{
    (void)self;
    return -1;
}

static inline void fake_update_list(fake_host *f)
{
    for (int i = 0; i < f->jobs_count; i++)
        f->list[i] = &f->jobs[i]->job;
    f->serial++;
}

static inline bool fake_refresh(void *self)
{
    fake_host *f = self;
    bool changed = false;
    if (f->real_clock) {
        struct timespec ts;
        clock_gettime(CLOCK_REALTIME, &ts);
        f->now = ((double)ts.tv_sec + ts.tv_nsec * 1e-9 - f->started_at) * f->speed;
    }
    for (int i = 0; i < f->jobs_count; i++) {
        fake_job *j = f->jobs[i];
        for (; j->played < j->tape_count && j->tape[j->played].at <= f->now; j->played++) {
            fake_apply(j, &j->tape[j->played]);
            changed = true;
        }
    }
    fake_update_list(f);
    return changed;
}

static inline const vg_ui_field *fake_fields(void *self, int *count)
{
    fake_host *f = self;
    *count = f->fields_count;
    return f->fields;
}

static inline int fake_find(fake_host *f, const char *key)
{
    for (int i = 0; i < f->fields_count; i++)
        if (strcmp(f->fields[i].key, key) == 0)
            return i;
    return -1;
}

static inline const char *fake_value(void *self, const char *key)
{
    fake_host *f = self;
    int i = fake_find(f, key);
    return i < 0 || !f->values[i] ? "" : f->values[i];
}

static inline const char *fake_default(void *self, const char *key)
{
    fake_host *f = self;
    int i = fake_find(f, key);
    return i < 0 ? "" : f->defaults[i];
}

static inline bool fake_set(void *self, const char *key, const char *text, char *message,
                            size_t size)
{
    fake_host *f = self;
    int i = fake_find(f, key);
    if (i < 0)
        return false;
    if ((f->fields[i].kind == VG_UI_INT || f->fields[i].kind == VG_UI_REAL) && text[0]) {
        char *end;
        double v = strtod(text, &end);
        if (*end || end == text) {
            snprintf(message, size, "\"%.20s\" is not a number", text);
            return false;
        }
        if (f->max[i] > f->min[i] && (v < f->min[i] || v > f->max[i])) {
            snprintf(message, size, "%.20s is outside %g to %g", text, f->min[i], f->max[i]);
            return false;
        }
    }
    free(f->values[i]);
    f->values[i] = strdup(text);
    return true;
}

/* Three files: pictures/{first,last}.png and pictures/more/. */
static inline void fake_complete(void *self, const char *key, const char *text, char *out,
                                 size_t out_size, char *message, size_t size)
{
    static const char *const files[] = {"pictures/first.png", "pictures/last.png",
                                        "pictures/more/"};
    const char *found = NULL;
    int count = 0;
    (void)self, (void)key;
    for (int i = 0; i < 3; i++)
        if (strncmp(files[i], text, strlen(text)) == 0) {
            found = files[i];
            count++;
        }
    snprintf(out, out_size, "%s", count == 1 ? found : count > 1 ? "pictures/" : text);
    snprintf(message, size, "%s",
             count == 0                            ? "no file begins like this"
             : count > 1 && strcmp(out, text) == 0 ? "first.png  last.png  more/"
                                                   : "");
}

static inline bool fake_check(void *self, const char **key, char *message, size_t size)
{
    fake_host *f = self;
    if (!fake_value(self, "prompt")[0]) {
        *key = "prompt";
        snprintf(message, size, "Prompt: say what the clip shows");
        return false;
    }
    (void)f;
    return true;
}

static inline vg_ui_plan fake_plan(void *self)
{
    fake_host *f = self;
    double h = atof(fake_value(self, "height")), w = atof(fake_value(self, "width"));
    double scale = (h > 0 ? h : 96) * (w > 0 ? w : 160) / (96.0 * 160.0);
    static const char *const stages[] = {"text encoder", "high-noise expert", "low-noise expert",
                                         "decode"};
    static const char *const more_stages[] = {"text", "calibrate", "transformer", "transformer_2",
                                              "decode"};
    static const double mib[] = {64, 140, 140, 412}, more_mib[] = {6, 78.3, 14.3, 14.3, 412};
    int count = f->more_stages ? 5 : 4;
    for (int i = 0; i < count; i++)
        f->plan_rows[i] = (vg_ui_plan_row){
            f->more_stages ? more_stages[i] : stages[i],
            (uint64_t)((f->more_stages ? more_mib[i] : mib[i]) * (i ? scale : 1) * 1024) << 10,
            i == count - 1};
    return (vg_ui_plan){f->plan_rows, count, f->small_memory ? 300ull << 20 : 8ull << 30,
                        "300 tokens, 0.004 TFLOP a step"};
}

static inline const char *const *fake_presets(void *self)
{
    static const char *const names[] = {"demo",
                                        "demo-3-schemes",
                                        "wan2.2-t2v-a14b-480p",
                                        "wan2.2-t2v-a14b-720p",
                                        "wan2.1-t2v-1.3b",
                                        NULL},
                             *const none[] = {NULL};
    return ((fake_host *)self)->no_presets ? none : names;
}

static inline bool fake_preset_load(void *self, const char *name, char *message, size_t size)
{
    fake_set(self, "prompt", "a big red ball moving right on a teal background", message, size);
    fake_set(self, "quantization", strstr(name, "3") ? "bf16,fp8,fp8-block" : "bf16,fp8", message,
             size);
    message[0] = 0;
    if (strstr(name, "720p"))
        snprintf(message, size, "unknown key \"sampel_steps\": did you mean sample_steps?");
    return true;
}

static inline bool fake_preset_save(void *self, const char *name, char *message, size_t size)
{
    (void)self;
    snprintf(message, size, "saved /home/person/.config/vgen/presets/%.40s.json", name);
    return true;
}

static inline vg_ui_job_list fake_jobs(void *self)
{
    fake_host *f = self;
    return (vg_ui_job_list){f->list, f->jobs_count, 0, f->serial};
}

static inline fake_job *fake_job_of(void *self, const char *id)
{
    fake_host *f = self;
    for (int i = 0; i < f->jobs_count; i++)
        if (strcmp(f->jobs[i]->id, id) == 0)
            return f->jobs[i];
    return NULL;
}

static inline const vg_ui_job *fake_job_get(void *self, const char *id)
{
    fake_job *j = fake_job_of(self, id);
    return j ? &j->job : NULL;
}

static inline bool fake_start(void *self, char *id, size_t id_size, const char **key, char *message,
                              size_t size)
{
    *key = NULL;
    fake_host *f = self;
    const char *schemes = fake_value(self, "quantization");
    int variants = 1;
    for (const char *c = schemes; *c; c++)
        variants += *c == ',';
    if (f->jobs_count == FAKE_JOBS) {
        snprintf(message, size, "the disk is full");
        return false;
    }
    char name[64];
    snprintf(name, sizeof name, "demo-%d", ++f->made);
    fake_job *j = fake_job_new(f, name, fake_value(self, "prompt"),
                               variants > FAKE_VARIANTS ? FAKE_VARIANTS : variants, 0);
    fake_record(j, f->now, 0, 0, EV_FAIL);
    fake_update_list(f);
    snprintf(id, id_size, "%s", name);
    return true;
}

static inline bool fake_cancel(void *self, const char *id, char *message, size_t size)
{
    fake_job *j = fake_job_of(self, id);
    (void)message, (void)size;
    if (!j)
        return false;
    fake_event e = {0, EV_CANCEL, j->job.current < 0 ? 0 : j->job.current,
                    0, 0,         "cancelled by the person"};
    fake_apply(j, &e);
    j->played = j->tape_count;
    fake_update_list(self);
    return true;
}

static inline bool fake_resume(void *self, const char *id, char *message, size_t size)
{
    fake_host *f = self;
    fake_job *j = fake_job_of(self, id);
    (void)message, (void)size;
    if (!j)
        return false;
    j->tape_count = j->played = 0;
    j->started = f->now + 0.5;
    fake_record(j, f->now, 0, 0, EV_FAIL);
    return true;
}

static inline bool fake_remove(void *self, const char *id, char *message, size_t size)
{
    fake_host *f = self;
    (void)message, (void)size;
    for (int i = 0; i < f->jobs_count; i++)
        if (strcmp(f->jobs[i]->id, id) == 0) {
            free(f->jobs[i]);
            memmove(f->jobs + i, f->jobs + i + 1,
                    sizeof f->jobs[0] * (size_t)(f->jobs_count - i - 1));
            f->jobs_count--;
            fake_update_list(f);
            return true;
        }
    return false;
}

static inline bool fake_load(void *self, const char *id, char *message, size_t size)
{
    const vg_ui_job *j = fake_job_get(self, id);
    return j && fake_set(self, "prompt", j->prompt, message, size);
}

static inline const char *fake_frames_broken(void *self, const char *id, int variant)
{
    (void)id;
    return variant > 0 ? ((fake_host *)self)->broken : NULL;
}

static inline const uint8_t *fake_frame(void *self, const char *id, int variant, int index)
{
    fake_job *j = fake_job_of(self, id);
    if (!j || ((fake_host *)self)->frames_slow || fake_frames_broken(self, id, variant) ||
        variant >= j->job.variants_count || !j->variants[variant].frames_ready)
        return NULL;
    double worse = exp(-pow((index - 11) / 2.5, 2));
    fake_picture(j->frame[variant], FAKE_W, FAKE_H, (double)index / (FAKE_FRAMES - 1),
                 variant ? (1.2 + worse * 2) / variant : 0, variant * 1.5);
    return j->frame[variant];
}

static inline bool fake_export_start(void *self, const char *id, double gain, char *message,
                                     size_t size)
{
    (void)id, (void)gain, (void)message, (void)size;
    ((fake_host *)self)->export_state = 2;
    return true;
}

static inline vg_ui_export_state fake_export_poll(void *self, char *message, size_t size)
{
    fake_host *f = self;
    if (f->export_state < 0)
        return VG_UI_EXPORT_NONE;
    if (f->export_state-- > 0)
        return VG_UI_EXPORT_RUNNING;
    snprintf(message, size, "/home/person/.local/state/vgen/jobs/demo/comparison.mp4");
    return VG_UI_EXPORT_DONE;
}

static inline const vg_ui_model *fake_models(void *self, int *count)
{
    static const vg_ui_model models[] = {
        {"demo", "wan  t2v  19.6 MiB  bf16", true},
        {"Wan-AI/Wan2.2-T2V-A14B-Diffusers", "wan  t2v  118 GiB  bf16", true},
        {"Wan-AI/Wan2.1-T2V-14B-Diffusers", "transformer: 2 of 12 files are missing", false}};
    (void)self;
    *count = 3;
    return models;
}

/* ---- making one ---- */
static inline vg_ui_kind fake_kind_of(const char *type)
{
    return strcmp(type, "TEXT") == 0   ? VG_UI_TEXT
           : strcmp(type, "INT") == 0  ? VG_UI_INT
           : strcmp(type, "REAL") == 0 ? VG_UI_REAL
           : strcmp(type, "BOOL") == 0 ? VG_UI_BOOL
           : strcmp(type, "ENUM") == 0 ? VG_UI_CHOICE
           : strcmp(type, "LIST") == 0 ? VG_UI_CHOICES
           : strcmp(type, "PATH") == 0 ? VG_UI_PATH
                                       : VG_UI_LINE;
}

static inline void fake_field(fake_host *f, const char *key, const char *type, const char *standard,
                              double min, double max, const char *unit, const char *choices,
                              const char *modes, const char *flags, const char *group,
                              const char *label, const char *help)
{
    if (!strchr(flags, 'F') || (modes[0] && !f->pictures))
        return;
    int i = f->fields_count++, n = 0;
    snprintf(f->choice_text[i], sizeof f->choice_text[i], "%s", choices);
    for (char *c = strtok(f->choice_text[i], "|"); c && n < 7; c = strtok(NULL, "|"))
        f->choices[i][n++] = c;
    f->fields[i] =
        (vg_ui_field){.key = key,
                      .label = label,
                      .unit = strcasestr(label, unit) ? "" : unit,
                      .help = help,
                      .group = group,
                      .kind = strcmp(key, "model") == 0 ? VG_UI_MODEL : fake_kind_of(type),
                      .choices = n ? f->choices[i] : NULL,
                      .advanced = strchr(flags, 'H') != NULL};
    f->min[i] = min, f->max[i] = max;
    f->values[i] = strdup(standard);
    const char *own = strcmp(key, "height") == 0                ? "96 (checkpoint)"
                      : strcmp(key, "width") == 0               ? "160 (checkpoint)"
                      : strcmp(key, "num_frames") == 0          ? "17 (checkpoint)"
                      : strcmp(key, "num_inference_steps") == 0 ? "20 (checkpoint)"
                      : standard[0]                             ? standard
                                                                : "(checkpoint)";
    snprintf(f->defaults[i], sizeof f->defaults[i], "%s", own);
}

/* The form of a model that takes pictures, or none. */
static inline void fake_fill_form(fake_host *f, bool pictures)
{
    char ignored[64];
    for (int i = 0; i < f->fields_count; i++)
        free(f->values[i]);
    f->fields_count = 0;
    f->pictures = pictures;
#define VG_OPTION(key, type, standard, min, max, unit, choices, decides, modes, flags, group,      \
                  label, help)                                                                     \
    fake_field(f, #key, #type, standard, min, max, unit, VG_CHOICES(choices), modes, flags, group, \
               label, help);
#include "app/settings/options.def"
    fake_preset_load(f, "demo", ignored, sizeof ignored);
}

static inline fake_host *fake_new(void)
{
    fake_host *f = calloc(1, sizeof *f);
    if (!f)
        abort();
    f->export_state = -1;
    f->speed = 1;
    f->started_at = 1800000000;
    fake_fill_form(f, false);
    f->host = (vg_ui_host){
        .self = f,
        .wake_fd = fake_wake_fd,
        .refresh = fake_refresh,
        .form = {f, fake_fields, fake_value, fake_default, fake_set, fake_complete, fake_check,
                 fake_plan, fake_presets, fake_preset_load, fake_preset_save, fake_load,
                 fake_start},
        .jobs = {f, fake_jobs, fake_job_get, fake_cancel, fake_resume, fake_remove},
        .media = {f, fake_frame, fake_frames_broken, fake_export_start, fake_export_poll},
        .models = {f, fake_models},
    };
    return f;
}

static inline void fake_free(fake_host *f)
{
    for (int i = 0; i < f->jobs_count; i++)
        free(f->jobs[i]);
    for (int i = 0; i < f->fields_count; i++)
        free(f->values[i]);
    free(f);
}

/* A history of jobs in every state, newest first. */
static inline void fake_history(fake_host *f)
{
    fake_job *j;
    j = fake_job_new(f, "demo-20261101-090000",
                     "a small yellow square growing on a dark background", 1, 3 * 86400);
    fake_record(j, -1000, 0, 0, EV_FAIL);
    j = fake_job_new(f, "wan2.2-20261103-231500", "two cats in boxing gear fight on a lit stage", 3,
                     50 * 3600);
    j->job.model = "Wan-AI/Wan2.2-T2V-A14B-Diffusers";
    fake_record(j, -1000, 1, 4, EV_FAIL);
    j = fake_job_new(
        f, "demo-20261105-101010",
        "\xe4\xb8\x80\xe4\xb8\xaa\xe7\xba\xa2\xe8\x89\xb2\xe7\x9a\x84\xe7\x90\x83 moving left, e\xcc\x81t\xc3\xa9",
        2, 7200);
    fake_record(j, -1000, 0, 13, EV_CANCEL);
    j = fake_job_new(f, "demo-20261105-120000", "a big red ball moving right on a teal background",
                     3, 1500);
    fake_record(j, -1000, 0, 0, EV_FAIL);
    fake_refresh(f);
}

#endif

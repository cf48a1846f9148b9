/* emit.c: see emit.h. */
#include "engine/run/emit.h"

#include <stdarg.h>
#include <stdio.h>

const char *vg_stage_name(vg_stage stage)
{
    static const char *const names[VG_STAGE_COUNT] = {"load",      "text",    "encode",
                                                      "calibrate", "denoise", "decode"};
    return (unsigned)stage < VG_STAGE_COUNT ? names[stage] : "?";
}

void vg_emit(const vg_callbacks *cb, const vg_event *event)
{
    if (cb && cb->event)
        cb->event(cb->user, event);
}

void vg_emit_stage(const vg_callbacks *cb, vg_event_kind kind, vg_stage stage, const char *detail,
                   double seconds)
{
    vg_emit(cb, &(vg_event){.kind = kind, .stage = stage, .detail = detail, .seconds = seconds});
}

void vg_emit_load(const vg_callbacks *cb, vg_event_kind kind, vg_stage load_for,
                  const char *component, double seconds)
{
    vg_emit(cb, &(vg_event){.kind = kind,
                            .stage = VG_STAGE_LOAD,
                            .load_for = load_for,
                            .detail = component,
                            .seconds = seconds});
}

void vg_emit_progress(const vg_callbacks *cb, vg_stage stage, const char *detail, int done, int of)
{
    vg_emit(cb, &(vg_event){.kind = VG_EVENT_PROGRESS,
                            .stage = stage,
                            .detail = detail,
                            .step = done,
                            .steps = of});
}

void vg_emit_note(const vg_callbacks *cb, vg_stage stage, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    vg_emit(cb, &(vg_event){.kind = VG_EVENT_NOTE, .stage = stage, .detail = text});
}

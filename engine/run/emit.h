/* emit.h: telling the caller what happens. Callbacks may be NULL anywhere. */
#ifndef VG_ENGINE_RUN_EMIT_H
#define VG_ENGINE_RUN_EMIT_H

#include "engine/run/run.h"

/* Everything else here ends in this call; the event is borrowed until it returns. */
void vg_emit(const vg_callbacks *cb, const vg_event *event);
/* Begin or end of a stage; seconds: that it took, 0 at the begin. */
void vg_emit_stage(const vg_callbacks *cb, vg_event_kind kind, vg_stage stage, const char *detail,
                   double seconds);
/* Begin or end of loading a component for a stage. */
void vg_emit_load(const vg_callbacks *cb, vg_event_kind kind, vg_stage load_for,
                  const char *component, double seconds);
/* done of `of` units of the stage; detail says of what. */
void vg_emit_progress(const vg_callbacks *cb, vg_stage stage, const char *detail, int done, int of);
/* A note as of printf, cut at 511 bytes. */
void vg_emit_note(const vg_callbacks *cb, vg_stage stage, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#endif

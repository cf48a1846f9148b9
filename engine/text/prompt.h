/* prompt.h: prompt cleaning as the reference does before tokenisation: ftfy's effective part (see prompt.c for what is covered),
 * HTML entities unescaped twice, strip, whitespace runs to one space. Source: diffusers pipeline_wan.py prompt_clean. */
#ifndef VG_ENGINE_TEXT_PROMPT_H
#define VG_ENGINE_TEXT_PROMPT_H

#include "kernels/base/status.h"

#define VG_PROMPT_MAX_BYTES 65536

/* *clean is malloc'd UTF-8. Invalid UTF-8 in `text` is VG_E_ARG with the byte offset. */
vg_status vg_prompt_clean(const char *text, char **clean, vg_err *err);
#endif

/* nfc.h: NFC as HuggingFace's tokenizers makes it. Private to engine/text. */
#ifndef VG_ENGINE_TEXT_NFC_H
#define VG_ENGINE_TEXT_NFC_H

#include "kernels/base/status.h"

#include <stddef.h>

/* NFC of valid UTF-8 with Unicode 9's tables, as that library has them; malloc'd. VG_E_NOMEM. Tests: test_hunyuan_tokens. */
vg_status vg_nfc(const char *text, size_t size, char **out, size_t *out_size, vg_err *err);
#endif

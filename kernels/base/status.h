/* status.h: result codes and the caller-owned error record that every fallible function fills.
 *
 * Nothing in kernels/ and engine/ prints, exits or aborts on bad input; it returns a vg_status and
 * describes the failure in a vg_err that belongs to the caller. */
#ifndef VG_KERNELS_BASE_STATUS_H
#define VG_KERNELS_BASE_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

typedef enum vg_status {
    VG_OK = 0,
    VG_E_ARG = -1,         /* an argument is out of its documented range */
    VG_E_SHAPE = -2,       /* tensor shapes do not fit together */
    VG_E_DTYPE = -3,       /* dtype not accepted here */
    VG_E_NOMEM = -4,       /* host or device allocation failed */
    VG_E_IO = -5,          /* file cannot be opened, read or written */
    VG_E_FORMAT = -6,      /* file is readable but not what it claims to be */
    VG_E_MISSING = -7,     /* a file, tensor, key, component is not there */
    VG_E_UNSUPPORTED = -8, /* known, but this backend or build cannot do it */
    VG_E_DEVICE = -9,      /* CUDA or driver failure */
    VG_E_CANCELLED = -10,  /* the cancel flag was seen */
    VG_E_BUSY = -11,       /* a lock is held by somebody else */
} vg_status;

#define VG_ERR_MESSAGE_MAX 512

/* One failure: code, one clear line (what, where, what would be right), and the source line that found it. */
typedef struct vg_err {
    vg_status code;
    char message[VG_ERR_MESSAGE_MAX];
    const char *file;
    int line;
} vg_err;

/* Fill err (NULL is allowed and ignored) with a printf-formatted line, which loses its middle where it is too long; control characters that come
 * from file names, prompts or file contents are replaced by '?'. Returns code, so that
 * `return VG_FAIL(err, VG_E_IO, "...")` is the whole error path. */
vg_status vg_err_set(vg_err *err, const char *file, int line, vg_status code, const char *format,
                     ...) __attribute__((format(printf, 5, 6)));

/* Put "prefix: " in front of an existing message (cut in the middle when it gets too long). Returns err->code. */
vg_status vg_err_prefix(vg_err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Short lower-case name of a code, e.g. "format"; never NULL. */
const char *vg_status_name(vg_status code);

#define VG_FAIL(err, code, ...) vg_err_set((err), __FILE__, __LINE__, (code), __VA_ARGS__)

/* Return from the enclosing function when expr fails; the callee has filled err. */
#define VG_TRY(expr)                                                                               \
    do {                                                                                           \
        vg_status vg_try_status_ = (expr);                                                         \
        if (vg_try_status_ != VG_OK)                                                               \
            return vg_try_status_;                                                                 \
    } while (0)

/* The same, but jump to `label` with `var` set, for functions that clean up. */
#define VG_TRY_GOTO(var, expr, label)                                                              \
    do {                                                                                           \
        (var) = (expr);                                                                            \
        if ((var) != VG_OK)                                                                        \
            goto label;                                                                            \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif

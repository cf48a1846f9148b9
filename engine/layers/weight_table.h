/* weight_table.h: what a component consists of: names, shapes, dtypes, and where in the model's structs each weight goes, as rows. One table
 * serves loading (vg_module_load), planning (a rehearsal loads it on a backend that only counts), the precision report, calibration,
 * generated weights, checking a checkpoint from its headers (vg_weight_table_check), and quantising one.
 *
 * A component is a few lists, each of rows below a prefix that repeats: "" for what is there once, "blocks.%d." times the number of layers,
 * "context_embedder.token_refiner.refiner_blocks.%d." times two. A family builds its lists from its config; rows are static and name
 * extents by the family's own numbers, which the list's dims translate:
 *
 *   enum { DIM = 1, FFN };
 *   static const vg_weight_row rows[] = {
 *       VG_WEIGHT_ROW(block, "attn1.to_q", LINEAR, q, VG_WEIGHT_QUANTISABLE, DIM, DIM),
 *       VG_WEIGHT_ROW(block, "scale_shift_table", TENSOR, table, VG_WEIGHT_F32, VG_FIXED(1), VG_FIXED(6), DIM)};
 *
 * Variations are lists, not conditions in rows: what only the first block has is a list "vace_blocks.0." that is there once; an image
 * branch, a second time embedder, or the shortcut of a residual block are lists that a config adds or leaves out. Files whose names have an
 * outer prefix that may be absent ("vision_model.") get it in front of each list's: vg_weight_root finds out which. */
#ifndef VG_ENGINE_LAYERS_WEIGHT_TABLE_H
#define VG_ENGINE_LAYERS_WEIGHT_TABLE_H

#include "engine/checkpoint/checkpoint.h"

typedef enum vg_weight_kind {
    VG_WEIGHT_LINEAR, /* vg_linear_layer: NAME.weight [n,k], NAME.bias [n] */
    VG_WEIGHT_PATCH, /* vg_linear_layer: a convolution whose stride is its kernel: NAME.weight [n,c,...] is
                          * used as a matrix [n,k], NAME.bias [n] */
    VG_WEIGHT_CONV,      /* vg_conv_layer: NAME.weight [o,c,t,h,w] or [o,c,h,w], NAME.bias [o] */
    VG_WEIGHT_POINTWISE, /* vg_conv_layer: the same with a kernel of 1, used as a matrix [o,c] */
    VG_WEIGHT_TENSOR,    /* vg_tensor: NAME itself, without the extents that the row fixes to 1 */
    VG_WEIGHT_HOST, /* float *: NAME itself in FP32 on the host, malloc'd, the struct owner's to free */
    VG_WEIGHT_ROWS, /* const char *: NAME [rows, dim] stays where it is; its name, for vg_module_rows */
} vg_weight_kind;

/* One row: VG_WEIGHT_ROW(block, "attn1.to_q", LINEAR, q, VG_WEIGHT_QUANTISABLE, DIM, DIM). */
#define VG_WEIGHT_ROW(type, row_name, row_kind, field, row_flags, ...)                             \
    {                                                                                              \
        .name = row_name, .kind = VG_WEIGHT_##row_kind, .at = offsetof(type, field),               \
        .flags = row_flags, .shape = {                                                             \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

/* A convolution's weights in the form that vg_conv3d takes: [o,t,h,w,c]; pointwise: [o,c]. */
typedef struct vg_conv_layer {
    vg_tensor w, bias;
} vg_conv_layer;

enum {
    VG_WEIGHT_QUANTISABLE = 1, /* a scheme may make this linear layer FP8 */
    VG_WEIGHT_F32 = 2,         /* kept in FP32 whatever the compute dtype */
    VG_WEIGHT_NO_BIAS = 4,
};

#define VG_FIXED(n)            (-(n)) /* an extent that no config changes */
#define VG_WEIGHT_DIMS_MAX     24
#define VG_WEIGHT_NAME_BYTES   192
#define VG_WEIGHT_PREFIX_BYTES 80

typedef struct vg_weight_row {
    const char *name; /* behind the list's prefix; a layer's name, or a tensor's: see the kinds */
    vg_weight_kind kind;
    size_t at; /* offset of the field in the struct that the list's items are loaded to */
    int16_t
        shape[VG_MAX_DIMS]; /* as stored (.weight of layers): numbers of dims, VG_FIXED; 0 ends */
    unsigned flags;         /* VG_WEIGHT_* */
    const char *alias;      /* another name of it in some files, behind the same prefix, or NULL */
} vg_weight_row;

typedef struct vg_weight_list {
    char prefix[VG_WEIGHT_PREFIX_BYTES]; /* "%d" in it: the item's number */
    int64_t count;                       /* of items */
    const vg_weight_row *rows;
    int rows_count;
    int64_t dims[VG_WEIGHT_DIMS_MAX]; /* [0] is not used */
    void *to;                         /* the items' structs, or NULL: nothing is loaded */
    size_t stride;                    /* bytes from one to the next */
} vg_weight_list;

typedef struct vg_weight_table {
    const char *component; /* in messages, calibration files and policies: "transformer" */
    vg_weight_list *lists;
    int count;
} vg_weight_table; /* {.component = ...} is an empty one */

/* One more list, copied. Errors: VG_E_NOMEM. */
vg_status vg_weight_table_add(vg_weight_table *table, const vg_weight_list *list, vg_err *err);
/* Free the lists; empty afterwards. */
void vg_weight_table_deinit(vg_weight_table *table);

/* A place in a table: one row of one item. All zero is in front of the first. */
typedef struct vg_weight_place {
    int list_at, row_at;
    int64_t item;
    bool begun;
    const vg_weight_list *list;
    const vg_weight_row *row;
    char name[VG_WEIGHT_NAME_BYTES]; /* the whole name: of a layer, or of a tensor */
    int ndim;
    int64_t shape[VG_MAX_DIMS]; /* as stored */
} vg_weight_place;

/* The next row in the order of loading: lists, their items, their rows. False behind the last. */
bool vg_weight_table_next(const vg_weight_table *table, vg_weight_place *place);
/* Row number `row` of an item of one list. */
void vg_weight_place_of(const vg_weight_list *list, int64_t item, int row, vg_weight_place *place);
/* Take the row's alias where the files have that and not the name. */
void vg_weight_resolve(vg_weight_place *place, const vg_weights *weights);
/* Which of these outer prefixes the names in a component's files have: that of roots[0..count) behind which `probe` is a tensor. *root stays as it
 * is while files are missing or generated, and where none fits. component_dir: as vg_weights_open takes it. Errors: of damaged files. */
vg_status vg_weight_root(const char *component_dir, const char *const *roots, int count,
                         const char *probe, const char **root, vg_err *err);
/* Where the row's field is; NULL when the list has no structs. */
void *vg_weight_field(const vg_weight_place *place);

/* The stored tensors of a place, number 0 and up: a layer's weight and bias, or the one tensor. False when there is no such. */
typedef struct vg_weight_tensor {
    char name[VG_WEIGHT_NAME_BYTES];
    int ndim;
    int64_t shape[VG_MAX_DIMS];
} vg_weight_tensor;
/* *tensor is filled, nothing is read from files; names that do not fit VG_WEIGHT_NAME_BYTES are cut. */
bool vg_weight_tensor_of(const vg_weight_place *place, int number, vg_weight_tensor *tensor);
/* The dtype that a place's values are loaded in, FP8 weights apart. */
static inline vg_dtype vg_weight_dtype(const vg_weight_row *row, vg_dtype compute)
{
    return row->flags & VG_WEIGHT_F32 ? VG_F32 : compute;
}
#endif

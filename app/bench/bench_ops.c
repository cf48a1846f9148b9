/* bench_ops.c: every operation by itself at the sizes of the cases. A row is measured over many calls between two marks on the backend;
 * what would stay in a cache goes round over several sets of operands. */
#include "app/bench/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "app/bench/bench_operands.h"

#define CPU_SCALE     (1.0 / 1024)
#define ROUND_BYTES   (200e6) /* several times the largest cache */
#define SETS_MAX      32
#define WARM_UP_SHARE 0.2 /* of the measured time */
#define ROUNDS        4   /* of an operation and the library beside it */

/* ---- measuring ---- */

typedef struct runner {
    vg_backend *be;
    const vg_bench_ops_options *options;
    const vg_bench_noise *noise;
    void *from, *to; /* marks */
    vg_bench_operands sets[SETS_MAX];
    int sets_count;
    bool library; /* measure the library's product instead of the operation */
} runner;

static vg_status call(runner *r, int64_t i, vg_err *err)
{
    const vg_bench_operands *o = &r->sets[i % r->sets_count];
    if (r->library)
        return r->be->ops->vendor_product(r->be, &o->call.args.linear, err);
    return vg_operands_run(r->be, &o->call, err);
}

/* Seconds of `calls` calls. */
static vg_status time_calls(runner *r, int64_t calls, double *seconds, vg_err *err)
{
    const vg_backend_ops *ops = r->be->ops;
    VG_TRY(ops->mark_set(r->be, r->from, err));
    for (int64_t i = 0; i < calls; i++)
        VG_TRY(call(r, i, err));
    VG_TRY(ops->mark_set(r->be, r->to, err));
    VG_TRY(vg_backend_sync(r->be, err));
    return ops->mark_between(r->be, r->from, r->to, seconds, err);
}

/* How many calls fill a round: twice as many until they fill the time to warm up. */
static vg_status count_calls(runner *r, double round_s, int64_t *count, vg_err *err)
{
    double took = 0;
    int64_t calls = 1;
    VG_TRY(time_calls(r, 1, &took, err)); /* the first call may choose an algorithm, grow memory */
    VG_TRY(time_calls(r, 1, &took, err));
    while (took < WARM_UP_SHARE * round_s) {
        calls *= 2;
        VG_TRY(time_calls(r, calls, &took, err));
    }
    *count = took < round_s ? (int64_t)ceil(round_s * (double)calls / took) : 1;
    return VG_OK;
}

static vg_status measure(runner *r, double *seconds, vg_err *err)
{
    int64_t calls;
    double took;
    VG_TRY(count_calls(r, r->options->row_s, &calls, err));
    VG_TRY(time_calls(r, calls, &took, err));
    *seconds = took / (double)calls;
    return VG_OK;
}

/* The operation and the library's product by turns, so that both see the same clocks. */
static vg_status measure_both(runner *r, double *seconds, double *library_s, vg_err *err)
{
    double round_s = r->options->row_s / ROUNDS, took, sums[2] = {0};
    int64_t calls[2];
    for (int i = 0; i < 2; i++) {
        r->library = i == 1;
        VG_TRY(count_calls(r, round_s, &calls[i], err));
    }
    for (int i = 0; i < 2 * ROUNDS; i++) {
        r->library = i % 2 == 1;
        VG_TRY(time_calls(r, calls[i % 2], &took, err));
        sums[i % 2] += took;
    }
    *seconds = sums[0] / (double)(ROUNDS * calls[0]);
    *library_s = sums[1] / (double)(ROUNDS * calls[1]);
    return VG_OK;
}

static vg_status make_sets(runner *r, vg_op op, const vg_op_case *row, vg_arena *arena,
                           vg_op_cost *cost, vg_err *err)
{
    VG_TRY(vg_bench_operands_make(op, row, arena, r->noise, &r->sets[0], err));
    vg_operands_cost(&r->sets[0].call, cost);
    double wanted = ceil(ROUND_BYTES / cost->bytes);
    r->sets_count = r->be->ops->host_memory ? 1
                    : wanted < 1            ? 1
                    : wanted > SETS_MAX     ? SETS_MAX
                                            : (int)wanted;
    for (int i = 1; i < r->sets_count; i++)
        VG_TRY(vg_bench_operands_make(op, row, arena, r->noise, &r->sets[i], err));
    return VG_OK;
}

/* Has the library a product to stand beside this operation? Its result needs y, in the operands' dtype. */
static bool has_library_product(runner *r)
{
    const vg_bench_operands *o = &r->sets[0];
    if (o->call.op != VG_OP_linear || !o->call.args.linear.y || !r->be->ops->vendor_product)
        return false;
    return r->be->ops->vendor_product(r->be, &o->call.args.linear, NULL) != VG_E_UNSUPPORTED;
}

static vg_status run_row(runner *r, vg_op op, const vg_op_case *row, vg_bench_op_row *out,
                         vg_err *err)
{
    vg_device_info info;
    vg_arena *arena = NULL;
    vg_status status;
    *out = (vg_bench_op_row){.op = op, .use = row->use};
    VG_TRY(vg_backend_info(r->be, &info, err));
    const vg_device_rates *rates = vg_device_rates_find(info.name);
    VG_TRY(vg_arena_new(r->be, (size_t)1 << 20, &arena, err));
    VG_TRY_GOTO(status, make_sets(r, op, row, arena, &out->cost, err), done);
    out->memory_bound = rates ? vg_op_memory_bound(&out->cost, rates) : out->cost.flops <= 0;
    out->floor_s = rates ? vg_op_floor_s(&out->cost, rates) : 0;
    status = has_library_product(r) ? measure_both(r, &out->seconds, &out->library_s, err)
                                    : measure(r, &out->seconds, err);
    r->library = false;
    if (status == VG_E_UNSUPPORTED) {
        out->unsupported = true;
        status = VG_OK;
    }
done:
    if (status != VG_OK)
        vg_err_prefix(err, "%s %s (%s)", vg_op_name(op), out->cost.shape, row->use);
    vg_arena_free(arena);
    return status;
}

/* ---- rows ---- */

static bool wanted(vg_op op, const vg_op_case *row, const char *filter)
{
    char text[128];
    snprintf(text, sizeof text, "%s, %s", vg_op_name(op), row->use);
    return !filter || strstr(text, filter);
}

/* The cases of one operation. */
static vg_status run_op(runner *r, vg_op op, vg_bench_op_row *rows, int *count,
                        void (*each)(const vg_bench_op_row *row), vg_err *err)
{
    const vg_op_cases *all = vg_op_cases_of(op);
    double scale = r->options->scale > 0     ? r->options->scale
                   : r->be->ops->host_memory ? CPU_SCALE
                                             : 1;
    for (int i = 0; i < all->count; i++) {
        if (!wanted(op, &all->cases[i], r->options->filter))
            continue;
        if (r->options->cancel && atomic_load(r->options->cancel))
            return VG_FAIL(err, VG_E_CANCELLED, "cancelled");
        vg_op_case row = vg_op_case_scaled(op, &all->cases[i], scale);
        VG_TRY(run_row(r, op, &row, &rows[*count], err));
        if (each)
            each(&rows[*count]);
        ++*count;
    }
    return VG_OK;
}

static vg_status run_rows(runner *r, vg_bench_op_row *rows, int *count,
                          void (*each)(const vg_bench_op_row *row), vg_err *err)
{
    for (int op = 0; op < VG_OP_COUNT; op++)
        VG_TRY(run_op(r, (vg_op)op, rows, count, each, err));
    if (*count == 0)
        return VG_FAIL(err, VG_E_ARG, "--only: no row has \"%s\" in it", r->options->filter);
    return VG_OK;
}

static int cases_count(void)
{
    int count = 0;
    for (int op = 0; op < VG_OP_COUNT; op++)
        count += vg_op_cases_of((vg_op)op)->count;
    return count;
}

vg_status vg_bench_ops_run(vg_backend *be, const vg_bench_ops_options *options,
                           vg_bench_op_row **rows, int *count,
                           void (*each)(const vg_bench_op_row *row), vg_err *err)
{
    vg_bench_noise *noise = NULL;
    runner *r = calloc(1, sizeof *r);
    vg_bench_op_row *list = calloc((size_t)cases_count(), sizeof *list);
    vg_status status;
    int n = 0;
    if (!r || !list) {
        status = VG_FAIL(err, VG_E_NOMEM, "out of memory for the rows of a bench");
        goto done;
    }
    VG_TRY_GOTO(status, vg_bench_noise_new(be, &noise, err), done);
    r->be = be;
    r->options = options;
    r->noise = noise;
    VG_TRY_GOTO(status, be->ops->mark_new(be, &r->from, err), done);
    VG_TRY_GOTO(status, be->ops->mark_new(be, &r->to, err), done);
    VG_TRY_GOTO(status, run_rows(r, list, &n, each, err), done);
    *rows = list;
    *count = n;
    list = NULL;
done:
    if (r) {
        be->ops->mark_free(be, r->from);
        be->ops->mark_free(be, r->to);
    }
    free(r);
    free(list);
    vg_bench_noise_free(noise);
    return status;
}

/* ---- results ---- */

void vg_bench_ops_print_head(FILE *out)
{
    fprintf(out, "%-19s %-16s %-42s %9s %8s %8s %10s %7s %11s %7s\n", "operation", "where", "shape",
            "ms", "TFLOP/s", "GB/s", "floor, ms", "of it", "library, ms", "of it");
}

/* A column of `width`: the number, or "-". */
static void column(FILE *out, int width, bool known, double value)
{
    char text[32];
    fprintf(out, " %*s", width, vg_bench_number(text, sizeof text, known, value));
}

static void percent(FILE *out, bool known, double share)
{
    char text[32] = "-";
    if (known)
        snprintf(text, sizeof text, "%.1f%%", 100 * share);
    fprintf(out, " %7s", text);
}

void vg_bench_ops_print(FILE *out, const vg_bench_op_row *row)
{
    bool ran = !row->unsupported, floor = ran && row->floor_s > 0;
    fprintf(out, "%-19s %-16s %-42s", vg_op_name(row->op), row->use, row->cost.shape);
    column(out, 9, ran, 1e3 * row->seconds);
    column(out, 8, ran && !row->memory_bound, row->cost.flops / row->seconds * 1e-12);
    column(out, 8, ran && row->memory_bound, row->cost.bytes / row->seconds * 1e-9);
    column(out, 10, floor, 1e3 * row->floor_s);
    percent(out, floor, row->floor_s / row->seconds);
    column(out, 11, row->library_s > 0, 1e3 * row->library_s);
    percent(out, row->library_s > 0, row->library_s / row->seconds);
    fputs(row->unsupported ? "  not on this backend\n" : "\n", out);
}

static void add_known(cJSON *o, const char *key, bool known, double value)
{
    if (known)
        cJSON_AddNumberToObject(o, key, value);
    else
        cJSON_AddNullToObject(o, key);
}

cJSON *vg_bench_ops_json(vg_backend *be, const vg_bench_op_row *rows, int count)
{
    vg_device_info info = {0};
    cJSON *root = cJSON_CreateObject();
    (void)vg_backend_info(be, &info, NULL); /* without a name the figures stand all the same */
    cJSON_AddStringToObject(root, "device", info.name);
    cJSON_AddStringToObject(root, "driver", info.driver);
    cJSON_AddStringToObject(root, "runtime", info.runtime);
    cJSON_AddStringToObject(root, "library", info.math_library);
    cJSON *array = cJSON_AddArrayToObject(root, "ops");
    for (int i = 0; i < count; i++) {
        const vg_bench_op_row *r = &rows[i];
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "op", vg_op_name(r->op));
        cJSON_AddStringToObject(o, "use", r->use);
        cJSON_AddStringToObject(o, "shape", r->cost.shape);
        cJSON_AddNumberToObject(o, "flops", r->cost.flops);
        cJSON_AddNumberToObject(o, "bytes", r->cost.bytes);
        add_known(o, "ms", !r->unsupported, 1e3 * r->seconds);
        add_known(o, "floor_ms", r->floor_s > 0, 1e3 * r->floor_s);
        add_known(o, "library_ms", r->library_s > 0, 1e3 * r->library_s);
        cJSON_AddItemToArray(array, o);
    }
    return root;
}

/* test_tapes.c: recorded journals through the one fold: whole or in pieces, by their summary, and in the words of events.def. */
#include "tests/tape.h"

#include "tests/scratch.h"

static const struct {
    const char *tape;
    vg_job_state state;
    int variants;
    vg_job_state variant[3];
    int steps[3]; /* done */
} rows[] = {
    {"one", VG_JOB_DONE, 1, {VG_JOB_DONE}, {8}},
    {"two", VG_JOB_DONE, 2, {VG_JOB_DONE, VG_JOB_DONE}, {20, 20}},
    {"three", VG_JOB_DONE, 3, {VG_JOB_DONE, VG_JOB_DONE, VG_JOB_DONE}, {20, 20, 20}},
    {"resumed", VG_JOB_DONE, 2, {VG_JOB_DONE, VG_JOB_DONE}, {10, 10}},
    {"attention", VG_JOB_DONE, 3, {VG_JOB_DONE, VG_JOB_DONE, VG_JOB_DONE}, {4, 4, 4}},
    {"gpu", VG_JOB_DONE, 3, {VG_JOB_DONE, VG_JOB_DONE, VG_JOB_DONE}, {20, 20, 20}},
    {"failed", VG_JOB_FAILED, 2, {VG_JOB_DONE, VG_JOB_FAILED}, {10, -1}},
    {"cancelled", VG_JOB_CANCELLED, 2, {VG_JOB_CANCELLED, VG_JOB_NOT_RUN}, {-1, 0}},
    {"queued", VG_JOB_INTERRUPTED, 1, {VG_JOB_NOT_RUN}, {0}}, /* nobody holds its lock */
};
enum { ROWS = sizeof rows / sizeof *rows };

static tape *insert(const char *name, const char *id)
{
    return tape_insert(name, scratch_group(), id, 1767225600, NULL);
}

/* What a reader would say of the job, as one text. */
static char *told(const vg_snapshot *s)
{
    cJSON *json = vg_snapshot_json(s);
    char *text = cJSON_Print(json);
    cJSON_Delete(json);
    return text;
}

static void test_tapes_fold_to_what_happened(void **state)
{
    (void)state;
    for (int i = 0; i < ROWS; i++) {
        char id[64];
        vg_job job = {0};
        vg_snapshot s;
        vg_err err;
        snprintf(id, sizeof id, "whole-%s", rows[i].tape);
        tape *t = insert(rows[i].tape, id);
        tape_play(t, tape_length(t));
        tape_hold(t, false);
        CHECK_OK(vg_job_open(t->dir, &job, &err), err);
        vg_snapshot_init(&s, &job);
        assert_true(vg_snapshot_refresh(&s, NULL, NULL));
        assert_false(vg_snapshot_refresh(&s, NULL, NULL)); /* nothing more */
        assert_int_equal(s.events_unknown + s.events_malformed, 0);
        assert_int_equal(s.state, rows[i].state);
        assert_int_equal(s.variants_count, rows[i].variants);
        for (int v = 0; v < s.variants_count; v++) {
            assert_int_equal(s.variants[v].state, rows[i].variant[v]);
            if (rows[i].steps[v] >= 0)
                assert_int_equal(s.variants[v].step, rows[i].steps[v]);
            if (s.variants[v].state == VG_JOB_DONE)
                assert_true(s.variants[v].s_per_it > 0 && s.variants[v].frames_ready &&
                            s.variants[v].clip_ready && *s.variants[v].precision);
            for (int m = 0; v > 0 && s.variants[v].state == VG_JOB_DONE && m < VG_METRIC_COUNT; m++)
                assert_true(isfinite(s.variants[v].means[m]));
        }
        assert_true((s.gauges != NULL) == !strcmp(rows[i].tape, "gpu"));
        assert_int_equal(s.runs,
                         !strcmp(rows[i].tape, "queued")                                       ? 0
                         : !strcmp(rows[i].tape, "resumed") || !strcmp(rows[i].tape, "failed") ? 2
                                                                                               : 1);
        vg_snapshot_deinit(&s);
        vg_job_deinit(&job);
        tape_free(t);
    }
}

static void test_tapes_fold_in_pieces_to_the_same(void **state)
{
    (void)state;
    check_rng rng = {11};
    for (int i = 0; i < ROWS; i++) {
        char id[64], path[400];
        vg_job job = {0};
        vg_snapshot whole, pieces;
        vg_err err;
        snprintf(id, sizeof id, "pieces-%s", rows[i].tape);
        tape *t = insert(rows[i].tape, id);
        tape_play(t, tape_length(t));
        tape_hold(t, false);
        CHECK_OK(vg_job_open(t->dir, &job, &err), err);
        vg_snapshot_init(&whole, &job);
        vg_snapshot_refresh(&whole, NULL, NULL);
        char *journal = tape_read(rows[i].tape, "events.jsonl"), *a = told(&whole), *b;
        size_t size = strlen(journal);
        snprintf(path, sizeof path, "%s/%s", t->dir, VG_EVENTS_FILE);
        tape_write(path, "");
        vg_snapshot_init(&pieces, &job);
        for (size_t at = 0; at < size;) { /* also in the middle of a line */
            size_t n = (size_t)(check_random(&rng) * 700) + 1;
            FILE *f = fopen(path, "a");
            n = n < size - at ? n : size - at;
            assert_int_equal(fwrite(journal + at, 1, n, f), n);
            fclose(f);
            at += n;
            vg_snapshot_refresh(&pieces, NULL, NULL);
        }
        b = told(&pieces);
        assert_string_equal(a, b);
        assert_int_equal(whole.log.count, pieces.log.count);
        for (int k = 0; k < whole.log.count; k++)
            assert_string_equal(whole.log.lines[k].text, pieces.log.lines[k].text);
        free(journal);
        free(a);
        free(b);
        vg_snapshot_deinit(&whole);
        vg_snapshot_deinit(&pieces);
        vg_job_deinit(&job);
        tape_free(t);
    }
}

/* JSON keeps 15 digits. */
static bool same(double a, double b)
{
    return (isnan(a) && isnan(b)) || fabs(a - b) <= 1e-12 * fmax(1, fabs(a));
}

static void test_tapes_are_known_by_their_summaries(void **state)
{
    (void)state;
    for (int i = 0; i < ROWS; i++) {
        char id[64];
        vg_job job = {0}, none;
        vg_snapshot s, g;
        vg_err err;
        snprintf(id, sizeof id, "summary-%s", rows[i].tape);
        tape *t = insert(rows[i].tape, id);
        tape_play(t, tape_length(t));
        tape_hold(t, false);
        CHECK_OK(vg_job_open(t->dir, &job, &err), err);
        vg_snapshot_init(&s, &job);
        vg_snapshot_refresh(&s, NULL, NULL);
        CHECK_OK(vg_snapshot_glance(t->dir, &none, &g, &err), err);
        assert_true((none.id == NULL) == (strcmp(rows[i].tape, "queued") != 0)); /* has no end */
        assert_int_equal(g.state, s.state);
        assert_string_equal(g.message, s.message);
        assert_string_equal(g.device, s.device);
        assert_string_equal(g.card.id, s.card.id);
        assert_string_equal(g.card.model, s.card.model);
        assert_string_equal(g.card.prompt, s.card.prompt);
        assert_string_equal(g.card.summary, s.card.summary);
        assert_int_equal(g.card.frames, s.card.frames);
        assert_int_equal(g.variants_count, s.variants_count);
        for (int v = 0; v < s.variants_count; v++) {
            const vg_variant_snapshot *x = &s.variants[v], *y = &g.variants[v];
            assert_string_equal(x->id, y->id);
            assert_string_equal(x->label, y->label);
            assert_string_equal(x->precision, y->precision);
            assert_int_equal(x->state, y->state);
            assert_int_equal(x->step, y->step);
            assert_int_equal(x->frames_ready, y->frames_ready);
            assert_true(same(x->s_per_it, y->s_per_it) && same(x->wall_s, y->wall_s));
            for (int m = 0; m < VG_METRIC_COUNT; m++)
                assert_true(same(x->means[m], y->means[m]));
        }
        vg_snapshot_deinit(&g);
        vg_job_deinit(&none);
        vg_snapshot_deinit(&s);
        vg_job_deinit(&job);
        tape_free(t);
    }
}

static bool has_field(vg_job_event_type type, const char *name)
{
    for (const vg_event_field *const *f = vg_job_event_describe(type)->fields; *f; f++) {
        bool known = !strcmp((*f)->name, name);
        for (int m = 0; (*f)->type == VG_FIELD_GAUGES && m < VG_GPU_METRIC_COUNT; m++)
            known = known || !strcmp(vg_gpu_metric_describe((vg_gpu_metric)m)->name, name);
        if (known || ((*f)->type == VG_FIELD_FIGURES && vg_metric_find(name)))
            return true;
    }
    return false;
}

static void test_tapes_say_what_the_vocabulary_has(void **state)
{
    (void)state;
    static const char *const every[] = {"t", "ms", "type", "variant"};
    bool seen[VG_JOB_EVENT_COUNT] = {false};
    for (int i = 0; i < ROWS; i++) {
        char *text = tape_read(rows[i].tape, "events.jsonl");
        for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
            cJSON *json = cJSON_Parse(line);
            const cJSON *item;
            vg_job_event e;
            assert_true(vg_job_event_read(json, &e));
            seen[e.type] = true;
            cJSON_ArrayForEach(item, json)
            {
                bool known = has_field(e.type, item->string);
                for (size_t k = 0; k < sizeof every / sizeof *every; k++)
                    known = known || !strcmp(every[k], item->string);
                if (!known)
                    fail_msg("%s: %s has no field %s", rows[i].tape,
                             vg_job_event_describe(e.type)->name, item->string);
            }
            cJSON_Delete(json);
        }
        free(text);
    }
    /* Nearly the whole vocabulary is recorded. */
    for (int i = 0; i < VG_JOB_EVENT_COUNT; i++)
        if (!seen[i] && i != VG_JOB_EVENT_stopped)
            fail_msg("no tape has %s", vg_job_event_describe((vg_job_event_type)i)->name);
}

/* A layer that fell back is named where the job is read, and so is what its scheme is called. */
static void test_tapes_name_layers_that_fell_back(void **state)
{
    (void)state;
    tape *t = insert("attention", "attention-of-layers");
    vg_job job = {0};
    vg_snapshot s;
    vg_err err;
    vg_lines paths = {0};
    tape_play(t, tape_length(t));
    tape_hold(t, false);
    CHECK_OK(vg_job_open(t->dir, &job, &err), err);
    vg_snapshot_init(&s, &job);
    vg_snapshot_refresh(&s, NULL, NULL);
    assert_string_equal(s.variants[0].label, "BF16");
    assert_string_equal(s.variants[1].label, "strict");
    assert_string_equal(s.variants[2].label, "FP8 per-tensor + attn8");
    assert_string_equal(s.variants[2].id, "fp8-attn8");
    assert_int_equal(s.variants[0].attention.count, 0);
    assert_int_equal(s.variants[1].attention.count, 6);
    for (int i = 0; i < 6; i++) {
        const vg_layer_attention *l = &s.variants[1].attention.layers[i];
        assert_true(l->expert == i / 3 && l->block == i % 3 && l->missed == (l->cosine < 0.9999));
    }
    vg_report_row *rows_of_table = vg_snapshot_rows(&s, &paths);
    assert_string_equal(rows_of_table[0].attention, "");
    assert_string_equal(
        rows_of_table[1].attention,
        "attention with INT8 q and k, E4M3 v and weights: 6 layers tested, least cosine 0.999709, "
        "3 below 0.9999 and so in BF16: transformer 2 block 0 (0.9997), transformer 2 block 1 "
        "(0.9999), transformer 2 block 2 (0.9998)");
    assert_string_equal(rows_of_table[2].attention,
                        "attention with INT8 q and k, E4M3 v and weights: 6 layers tested, least "
                        "cosine 0.999709, 0 below 0.999");
    char *text = told(&s);
    cJSON *json = cJSON_Parse(text);
    const cJSON *strict = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(json, "variants"), 1),
                *a = cJSON_GetObjectItemCaseSensitive(strict, "attention");
    assert_string_equal(cJSON_GetObjectItem(a, "mode")->valuestring, "qk8v8");
    assert_int_equal(cJSON_GetObjectItem(a, "layers_below_limit")->valueint, 3);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(a, "layers")), 6);
    cJSON_Delete(json);
    free(text);
    free(rows_of_table);
    vg_lines_free(&paths);
    vg_snapshot_deinit(&s);
    vg_job_deinit(&job);
    tape_free(t);
}

/* What is no layer of a model is left out; the newest word of one counts. */
static void test_tapes_layers_are_not_trusted(void **state)
{
    (void)state;
    vg_layer_attentions all = {0};
    static const vg_layer_attention bad[] = {
        {.expert = -1}, {.expert = 2}, {.block = -1}, {.block = 1 << 30}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        vg_layer_attentions_take(&all, &bad[i]);
    assert_int_equal(all.count, 0);
    static const int order[][2] = {{1, 3}, {0, 2}, {1, 0}, {0, 0}, {1, 3}};
    for (int i = 0; i < 5; i++)
        vg_layer_attentions_take(&all, &(vg_layer_attention){.expert = order[i][0],
                                                             .block = order[i][1],
                                                             .cosine = i == 4 ? NAN : 0.5,
                                                             .missed = i == 4});
    assert_int_equal(all.count, 4);
    assert_true(all.layers[0].block == 0 && all.layers[1].block == 2 && all.layers[2].block == 0 &&
                all.layers[3].block == 3 && all.layers[3].missed);
    char text[320];
    const vg_attention_request asked = {.mode = VG_ATTEND_QK8V8, .limit = 0.999};
    vg_layer_attentions_text(&all, &asked, text, sizeof text);
    assert_non_null(strstr(text, "least cosine nan, 1 below 0.999"));
    char small[40]; /* cut, not written behind */
    vg_layer_attentions_text(&all, &asked, small, sizeof small);
    assert_int_equal(strlen(small), sizeof small - 1);
    cJSON *json = vg_layer_attentions_json(&all, &asked);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(json, "least_cosine")));
    cJSON_Delete(json);
    vg_layer_attentions_deinit(&all);
    vg_layer_attentions_text(&all, &asked, text, sizeof text);
    assert_string_equal(text, "attention qk8v8: no layer was tested, all were BF16");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tapes_fold_to_what_happened),
        cmocka_unit_test(test_tapes_fold_in_pieces_to_the_same),
        cmocka_unit_test(test_tapes_are_known_by_their_summaries),
        cmocka_unit_test(test_tapes_say_what_the_vocabulary_has),
        cmocka_unit_test(test_tapes_name_layers_that_fell_back),
        cmocka_unit_test(test_tapes_layers_are_not_trusted),
    };
    return cmocka_run_group_tests(tests, scratch_group_open, scratch_group_close);
}

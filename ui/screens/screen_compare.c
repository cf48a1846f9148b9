/* screen_compare.c: the player and the keys of the compare screen. Playback follows the clock: a slow terminal sees fewer frames, never
 * later ones. */
#include "ui/screens/screen_compare.h"

#include "ui/widgets/widgets.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    DO_PLAY = 1,
    DO_BACK,
    DO_FORWARD,
    DO_SEEK_BACK,
    DO_SEEK,
    DO_HOME,
    DO_END,
    DO_SLOWER,
    DO_FASTER,
    DO_LOOP,
    DO_SWAP,
    DO_DIFFERENCE,
    DO_LESS,
    DO_MORE,
    DO_OTHER,
    DO_PAIR,
    DO_WORST,
    DO_FLICKER,
    DO_METRIC,
    DO_EXPORT
};

static bool pair(const vg_ui *ui, const void *state)
{
    const vg_ui_job *j = vg_ui_job_now(ui);
    return vg_ui_has_frames(ui, state) && j->variants_count > 1;
}
static bool three(const vg_ui *ui, const void *state)
{
    const vg_ui_job *j = vg_ui_job_now(ui);
    return vg_ui_has_frames(ui, state) && j->variants_count > 2;
}
static bool differing(const vg_ui *ui, const void *state)
{
    return pair(ui, state) && ((const vg_compare *)state)->mode == VG_COMPARE_DIFFERENCE;
}

static const vg_binding bindings[] = {
    {{VG_CH(' ')}, DO_PLAY, "play", "play, pause", vg_ui_has_frames},
    {{VG_CH('.'), VG_CH('D')}, DO_FORWARD, "frame", "one frame on", vg_ui_has_frames},
    {{VG_CH(','), VG_CH('A')}, DO_BACK, NULL, "one frame back", vg_ui_has_frames},
    {{VG_CH('d'), VG_CH('0')},
     DO_DIFFERENCE,
     "difference",
     "add the amplified difference to the reference",
     pair},
    {{VG_CH('+'), VG_CH('=')}, DO_MORE, "more", "amplify the difference more", differing},
    {{VG_CH('-')}, DO_LESS, NULL, "amplify the difference less", differing},
    {{VG_CH('f')}, DO_FLICKER, "flicker", "both in one place, in turn", pair},
    {{VG_CH('w')}, DO_WORST, "worst", "to the frame where the figure is worst", pair},
    {{VG_CH('e')},
     DO_EXPORT,
     "export",
     "write the comparison clip (with the difference pane while it is on)",
     pair},
    {{VG_KEY(TAB)}, DO_OTHER, "other", "compare the next variant with the reference", three},
    {{VG_CH('v')}, DO_PAIR, "pair", "show only the pair, or all variants", three},
    {{VG_CH('m')}, DO_METRIC, "metric", "the next figure on the curve", pair},
    {{VG_CH('s')}, DO_SWAP, "swap", "swap the sides", pair},
    {{VG_KEY(LEFT)}, DO_SEEK_BACK, NULL, "back an eighth of the clip", vg_ui_has_frames},
    {{VG_KEY(RIGHT)}, DO_SEEK, NULL, "on an eighth of the clip", vg_ui_has_frames},
    {{VG_KEY(HOME)}, DO_HOME, NULL, "to the first frame", vg_ui_has_frames},
    {{VG_KEY(END)}, DO_END, NULL, "to the last frame", vg_ui_has_frames},
    {{VG_CH('[')}, DO_SLOWER, NULL, "half the speed", vg_ui_has_frames},
    {{VG_CH(']')}, DO_FASTER, NULL, "twice the speed", vg_ui_has_frames},
    {{VG_CH('l')}, DO_LOOP, NULL, "loop, or stop at the end", vg_ui_has_frames},
};

static void reset(vg_compare *s)
{
    bool exporting = s->exporting;
    memset(s, 0, sizeof *s);
    s->other = 1;
    s->gain = 8;
    s->speed = 1;
    s->loop = true;
    s->exporting = exporting;
}

static void init(vg_ui *ui, void *state)
{
    (void)ui;
    reset(state);
}

static void set_frame(vg_ui *ui, vg_compare *s, int frame)
{
    const vg_ui_job *j = vg_ui_job_now(ui);
    int count = j ? j->frames : 0;
    frame = frame >= count ? count - 1 : frame;
    s->frame = frame < 0 ? 0 : frame;
    s->from = ui->now;
    s->from_frame = s->frame;
    ui->dirty = true;
}

/* Another job was chosen, or its variants are fewer: start anew. */
static void follow_job(vg_ui *ui, vg_compare *s)
{
    const vg_ui_job *j = vg_ui_job_now(ui);
    if (!j)
        return;
    if (strcmp(s->job, j->id) != 0) {
        reset(s);
        snprintf(s->job, sizeof s->job, "%s", j->id);
    }
    if (s->other >= j->variants_count)
        s->other = j->variants_count > 1 ? 1 : 0;
    if (s->other == 0 && j->variants_count > 1)
        s->other = 1;
    if (s->frame >= j->frames)
        set_frame(ui, s, j->frames - 1);
}

static void enter(vg_ui *ui, void *state)
{
    follow_job(ui, state);
}

static void set_mode(vg_ui *ui, vg_compare *s, vg_compare_mode mode)
{
    s->mode = s->mode == mode ? VG_COMPARE_SIDE : mode;
    s->flicker_at = ui->now;
    s->flicker_b = false;
}

static void export_clip(vg_ui *ui, vg_compare *s, const vg_ui_job *j)
{
    char message[512] = "";
    double gain = s->mode == VG_COMPARE_DIFFERENCE ? s->gain : 0;
    if (ui->host->media.export_start(ui->host->media.self, j->id, gain, message, sizeof message)) {
        s->exporting = true;
        vg_ui_note(ui, VG_R_DIM, "writing the comparison clip%s ...",
                   gain > 0 ? " with the difference pane" : "");
    } else {
        vg_ui_note(ui, VG_R_BAD, "%s", message[0] ? message : "the clip cannot be written");
    }
}

/* What moves the player; false: another action. */
static bool player_action(vg_ui *ui, vg_compare *s, const vg_ui_job *j, int what)
{
    int eighth = j->frames / 8 > 1 ? j->frames / 8 : 1;
    switch (what) {
    case DO_PLAY:
        s->playing = !s->playing;
        if (s->playing && !s->loop && s->frame + 1 >= j->frames)
            s->frame = 0;
        set_frame(ui, s, s->frame);
        return true;
    case DO_FORWARD:
    case DO_BACK:
        s->playing = false;
        set_frame(ui, s, s->frame + (what == DO_FORWARD ? 1 : -1));
        return true;
    case DO_SEEK:
    case DO_SEEK_BACK:
        set_frame(ui, s, s->frame + (what == DO_SEEK ? eighth : -eighth));
        return true;
    case DO_HOME:
    case DO_END:
        set_frame(ui, s, what == DO_HOME ? 0 : j->frames - 1);
        return true;
    case DO_SLOWER:
    case DO_FASTER:
        s->speed = fmin(8, fmax(0.125, s->speed * (what == DO_FASTER ? 2 : 0.5)));
        set_frame(ui, s, s->frame);
        return true;
    case DO_LOOP:
        s->loop = !s->loop;
        return true;
    default:
        return false;
    }
}

static void to_worst(vg_ui *ui, vg_compare *s, const vg_ui_job *j)
{
    int worst = vg_compare_worst(s, j);
    s->playing = false;
    if (worst >= 0)
        set_frame(ui, s, worst);
    else
        vg_ui_note(ui, VG_R_DIM, "no frame is worse than another");
}

static void next_metric(vg_compare *s, const vg_ui_job *j)
{
    const vg_ui_variant *v = s->other < j->variants_count ? &j->variants[s->other] : NULL;
    for (int i = 0; v && i < v->metrics_count; i++) {
        s->metric = (s->metric + 1) % v->metrics_count;
        if (v->metrics[s->metric].frames) /* one figure for the clip has no curve */
            break;
    }
}

static void action(vg_ui *ui, void *state, int what)
{
    vg_compare *s = state;
    const vg_ui_job *j = vg_ui_job_now(ui);
    if (!j || player_action(ui, s, j, what))
        return;
    switch (what) {
    case DO_SWAP:
        if (s->mode == VG_COMPARE_FLICKER)
            s->flicker_b = !s->flicker_b;
        else
            s->swapped = !s->swapped;
        break;
    case DO_DIFFERENCE:
        set_mode(ui, s, VG_COMPARE_DIFFERENCE);
        break;
    case DO_FLICKER:
        set_mode(ui, s, VG_COMPARE_FLICKER);
        break;
    case DO_MORE:
    case DO_LESS:
        s->gain = fmin(64, fmax(1, s->gain * (what == DO_MORE ? 2 : 0.5)));
        break;
    case DO_OTHER:
        s->other = s->other + 1 < j->variants_count ? s->other + 1 : 1;
        break;
    case DO_PAIR:
        s->only_pair = !s->only_pair;
        break;
    case DO_WORST:
        to_worst(ui, s, j);
        break;
    case DO_METRIC:
        next_metric(s, j);
        break;
    case DO_EXPORT:
        export_clip(ui, s, j);
        break;
    default:
        break;
    }
}

static bool mouse(vg_ui *ui, void *state, vg_rect area, const vg_key *k)
{
    vg_compare *s = state;
    const vg_ui_job *j = vg_ui_job_now(ui);
    if (!j || !vg_ui_has_frames(ui, s))
        return false;
    if (k->code == VG_K_WHEEL) {
        s->playing = false;
        set_frame(ui, s, s->frame + k->step);
        return true;
    }
    vg_layout l;
    vg_compare_layout(ui, s, area, &l);
    vg_rect track = l.r[VG_COMPARE_TRACK], plot = l.r[VG_COMPARE_PLOT];
    if (vg_inside(track, k->row, k->col) || vg_inside(plot, k->row, k->col)) {
        set_frame(ui, s, vg_scrubber_frame(k->col - track.col, track.cols, j->frames));
        return true;
    }
    if (k->mods & VG_MOD_DRAG)
        return false;
    int panes[VG_COMPARE_PANES_MAX + 1], n = vg_compare_panes(s, j, panes);
    for (int i = 0; i < n && VG_COMPARE_PANE0 + i < VG_LAYOUT_MAX; i++)
        if (vg_inside(l.r[VG_COMPARE_PANE0 + i], k->row, k->col)) {
            if (panes[i] > 0)
                s->other = panes[i];
            return true;
        }
    return false;
}

static void poll_export(vg_ui *ui, vg_compare *s)
{
    char message[512] = "";
    vg_ui_export_state state =
        ui->host->media.export_poll(ui->host->media.self, message, sizeof message);
    if (state == VG_UI_EXPORT_RUNNING)
        return;
    s->exporting = false;
    if (state == VG_UI_EXPORT_DONE)
        vg_ui_note(ui, VG_R_GOOD, "written: %s", message);
    else if (state == VG_UI_EXPORT_FAILED)
        vg_ui_note(ui, VG_R_BAD, "the clip was not written: %s", message);
}

static double tick(vg_ui *ui, void *state)
{
    vg_compare *s = state;
    double next = -1;
    follow_job(ui, s);
    const vg_ui_job *j = vg_ui_job_now(ui);
    if (s->exporting) {
        poll_export(ui, s);
        next = 0.2;
    }
    if (!j || !vg_ui_has_frames(ui, s))
        return next;
    if (s->mode == VG_COMPARE_FLICKER) {
        if (ui->now - s->flicker_at >= 0.5) {
            s->flicker_at = ui->now;
            s->flicker_b = !s->flicker_b;
            ui->dirty = true;
        }
        next = next < 0 || next > 0.5 ? 0.5 - fmin(0.49, ui->now - s->flicker_at) : next;
    }
    /* The host wakes the loop when frames are there; that no picture waits for ever does not hang on it alone. */
    if (vg_compare_loading(ui, s, j)) {
        ui->dirty = ui->dirty || ui->now - s->asked_at >= 0.2;
        s->asked_at = ui->dirty ? ui->now : s->asked_at;
        next = next < 0 || next > 0.2 ? 0.2 : next;
    }
    /* While the person looks, the next frames are made ready: stepping and playing then only copy cells. */
    if (ui->now - ui->last_key > 0.12 && vg_compare_prepare(ui, s, j))
        next = 0.002;
    else if (ui->now - ui->last_key <= 0.12)
        next = next < 0 || next > 0.15 ? 0.15 : next;
    if (!s->playing || j->frames < 2)
        return next;
    double rate = (j->fps > 0 ? j->fps : 16) * s->speed;
    long steps = (long)floor((ui->now - s->from) * rate + 1e-6);
    long frame = s->from_frame + steps;
    if (s->loop) {
        frame %= j->frames;
    } else if (frame >= j->frames - 1) {
        frame = j->frames - 1;
        s->playing = false;
        ui->dirty = true;
    }
    if (frame != s->frame) {
        s->frame = (int)frame;
        ui->dirty = true;
    }
    double until = s->from + (double)(steps + 1) / rate - ui->now;
    until = until < 0.001 ? 0.001 : until;
    return next < 0 || until < next ? until : next;
}

static bool hint(const vg_ui *ui, const void *state, vg_text_role *role, char *out, size_t size)
{
    const vg_ui_job *j = vg_ui_job_now(ui);
    (void)state, (void)role;
    if (!j || !j->comparison || !j->comparison[0])
        return false;
    snprintf(out, size, "comparison: %s", j->comparison);
    return true;
}

const vg_screen vg_screen_compare = {
    VG_BINDINGS(bindings),
    .state_size = sizeof(vg_compare),
    .init = init,
    .enter = enter,
    .layout = vg_compare_layout,
    .draw = vg_compare_draw,
    .hint = hint,
    .action = action,
    .mouse = mouse,
    .tick = tick,
};

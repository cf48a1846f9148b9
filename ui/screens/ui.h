/* ui.h: what the screens share: the context, the shape of a screen, bindings, notes and popups. Internal to ui/.
 *
 * DESIGN: one thread. The loop (ui.c) waits for keys, signals, the host's wake-up and the next timer; the shell (shell.c) gives a key to the
 * popup, then to the screen, then to the common bindings; drawing reads snapshots and changes nothing but the picture cache. Everything
 * hangs off vg_ui, its clock included, so that tests replay a tape in no time. */
#ifndef VG_UI_SCREENS_UI_H
#define VG_UI_SCREENS_UI_H

#include "ui/term/grid.h"
#include "ui/host/host.h"
#include "ui/term/input.h"
#include "ui/term/picture.h"
#include "ui/term/term.h"
#include "ui/widgets/editor.h"

typedef struct vg_ui vg_ui;

/* ---- screens ---- */
typedef enum vg_screen_id {
#define VG_SCREEN(name, title, about, back) VG_SCREEN_##name,
#include "ui/screens/screens.def"
#undef VG_SCREEN
    VG_SCREEN_COUNT,
    VG_SCREEN_BEFORE /* no screen: where one came from */
} vg_screen_id;

typedef struct vg_chord {
    vg_key_code code; /* VG_K_NONE ends a list */
    uint32_t cp;      /* of VG_K_CHAR */
    unsigned mods;
} vg_chord;

/* One row: from it come the dispatch, the footer and the help. */
typedef struct vg_binding {
    vg_chord keys[4];
    int action;
    const char *label; /* in the footer, one or two words; NULL: only in the help */
    const char *help;
    bool (*when)(const vg_ui *ui, const void *state); /* NULL: always */
} vg_binding;

#define VG_CH(c)                                                                                   \
    {                                                                                              \
        VG_K_CHAR, (c), 0                                                                          \
    }
#define VG_CTRL(c)                                                                                 \
    {                                                                                              \
        VG_K_CHAR, (c), VG_MOD_CTRL                                                                \
    }
#define VG_KEY(k)                                                                                  \
    {                                                                                              \
        VG_K_##k, 0, 0                                                                             \
    }
/* Both fields of a screen. */
#define VG_BINDINGS(rows) .bindings = (rows), .bindings_count = sizeof(rows) / sizeof(rows)[0]

enum { VG_LAYOUT_MAX = 16 };
typedef struct vg_layout {
    vg_rect
        r[VG_LAYOUT_MAX]; /* what each is, the screen's own enum says; empty ones are not shown */
    int count;
} vg_layout;

typedef struct vg_screen {
    const vg_binding *bindings;
    int bindings_count;
    size_t state_size;
    void (*init)(vg_ui *ui, void *state);
    void (*deinit)(vg_ui *ui, void *state);
    void (*enter)(vg_ui *ui, void *state); /* became the open screen */
    /* Pure: from the area and what is shown to rectangles. */
    void (*layout)(const vg_ui *ui, const void *state, vg_rect area, vg_layout *out);
    /* Reads, writes cells, changes nothing. */
    void (*draw)(const vg_ui *ui, const void *state, vg_grid *g, vg_rect area);
    /* One line for the messages row while there is no note; false: nothing to say. */
    bool (*hint)(const vg_ui *ui, const void *state, vg_text_role *role, char *out, size_t size);
    /* A key before the bindings (typing); true when it was used. */
    bool (*key)(vg_ui *ui, void *state, const vg_key *key);
    /* A binding's action. */
    void (*action)(vg_ui *ui, void *state, int action);
    /* Click or wheel inside the area; true when it was used. */
    bool (*mouse)(vg_ui *ui, void *state, vg_rect area, const vg_key *key);
    /* A popup that this screen opened was answered (tag from the opening). */
    void (*answer)(vg_ui *ui, void *state, int tag, int index, const char *text);
    /* Time passed or the host changed; returns seconds to the next tick wanted (< 0: none). Sets ui->dirty when the picture changes. */
    double (*tick)(vg_ui *ui, void *state);
} vg_screen;

#define VG_SCREEN(name, title, about, back) extern const vg_screen vg_screen_##name;
#include "ui/screens/screens.def"
#undef VG_SCREEN
/* The screen of a number (VG_SCREEN_name); an unknown one gives the first. Never NULL. */
const vg_screen *vg_screen_get(int id);
const char *vg_screen_name(int id);  /* "compare" */
const char *vg_screen_title(int id); /* "Compare" */
/* The key that opens a screen, for texts. */
#define VG_SCREEN_KEY(name) ('1' + VG_SCREEN_##name)

/* ---- popups ---- */
typedef enum vg_popup_kind {
    VG_POPUP_NONE,
    VG_POPUP_LIST,
    VG_POPUP_PROMPT,
    VG_POPUP_CONFIRM
} vg_popup_kind;

typedef struct vg_popup {
    vg_popup_kind kind;
    char title[96], text[256];
    char **items; /* LIST */
    int items_count, selected, top;
    vg_editor editor; /* PROMPT: the answer; LIST: the filter */
    bool filtered;    /* LIST: typing filters */
    int screen, tag;
} vg_popup;

/* ---- context ---- */
struct vg_ui {
    const vg_ui_host *host;
    vg_ui_options options;
    vg_term term;
    vg_grid grid;
    vg_pictures *pictures;
    int screen, before; /* open, and the one that BEFORE goes back to */
    void *states[VG_SCREEN_COUNT];
    char job[256];  /* the job that run and compare show */
    int job_state;  /* its state at the last tick, -1 not looked yet */
    char note[512]; /* the messages line */
    vg_text_role note_role;
    double note_until;
    double note_since;
    vg_popup popup;
    double now;      /* seconds, monotonic */
    double unix_now; /* seconds since 1970 */
    double last_key; /* when the person last did something */
    bool dirty, quit, suspend, redraw_all;
    int status;
    char farewell[256]; /* printed after the screen is given back */
};

enum { VG_MIN_COLS = 60, VG_MIN_ROWS = 16 };

/* ---- shell.c: the frame around a screen ---- */
bool vg_ui_init(vg_ui *ui, const vg_ui_host *host,
                const vg_ui_options *options); /* the terminal is open already */
/* The states of all screens, pictures and grid; the terminal stays open. */
void vg_ui_deinit(vg_ui *ui);
/* Open a screen (VG_SCREEN_name); what was typed in others stays. */
void vg_ui_open(vg_ui *ui, int screen);
/* A key, click or report of the terminal goes to the popup, the screen or the bindings, in this order. */
void vg_ui_key(vg_ui *ui, const vg_key *key);
/* Draw everything into the grid: tabs, screen, messages, footer, popup. Below VG_MIN_COLS x VG_MIN_ROWS, what size is needed. Nothing is sent. */
void vg_ui_draw(vg_ui *ui);
/* Draw and send now, before something that takes its time. */
void vg_ui_show(vg_ui *ui);
/* After time passed or a refresh: seconds until the next tick wanted, < 0 none. */
double vg_ui_tick(vg_ui *ui);
/* Size of the terminal changed. */
void vg_ui_resized(vg_ui *ui);
/* Area of the open screen. */
vg_rect vg_ui_area(const vg_ui *ui);
/* One line on the messages row for some seconds. */
void vg_ui_note(vg_ui *ui, vg_text_role role, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Name of a key as the footer and the help show it. */
void vg_chord_name(const vg_chord *chord, char *out, size_t size);
/* Bindings that hold on every screen. */
const vg_binding *vg_common_bindings(int *count);
/* The job that run and compare show, NULL when there is none. */
const vg_ui_job *vg_ui_job_now(const vg_ui *ui);
/* A `when` of bindings: some variant of that job can be looked at. */
bool vg_ui_has_frames(const vg_ui *ui, const void *state);
/* From now on run and compare show this job (id copied). */
void vg_ui_show_job(vg_ui *ui, const char *id);
/* What several screens offer of a job, said on the messages row: go on with it, fill the form with its settings and open it. */
bool vg_ui_job_resume(vg_ui *ui, const char *id);
/* The form takes the settings of job `id` and opens; when it cannot be read the messages row says why. */
void vg_ui_job_settings(vg_ui *ui, const char *id);
/* "queued", "running", ...; static. */
const char *vg_job_state_name(vg_ui_job_state state);
/* Its colour by meaning; plain states are dim. */
vg_text_role vg_job_state_role(vg_ui_job_state state);
/* A sign that reads without colour: queued, running, done, failed, ... */
uint32_t vg_job_state_sign(const vg_grid *g, vg_ui_job_state state);

/* ---- popup.c ---- */
/* A list to choose from; items end with NULL and are copied. filtered: typing narrows it. The screen's `answer` gets tag, index and text. */
void vg_popup_list(vg_ui *ui, int tag, const char *title, const char *const *items, int selected,
                   bool filtered);
/* One line to type, which begins with `initial`; Enter answers with it. Texts are copied. */
void vg_popup_prompt(vg_ui *ui, int tag, const char *title, const char *text, const char *initial);
/* A question: Enter or y answers (index 1); n, q and Esc close it unanswered. Texts are copied. */
void vg_popup_confirm(vg_ui *ui, int tag, const char *title, const char *text);
/* Free its texts; no answer is told. Nothing is open afterwards. */
void vg_popup_close(vg_ui *ui);
/* A key for the popup that is open: moves, edits, answers or closes. Esc and Ctrl-C close without an answer. */
void vg_popup_key(vg_ui *ui, const vg_key *key);
/* Over what the grid shows; nothing when none is open. */
void vg_popup_draw(const vg_ui *ui, vg_grid *g);

#endif

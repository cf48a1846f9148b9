/* tui_models.c: see tui_models.h. */
#include "app/tui/tui_models.h"

#include <stdlib.h>
#include "app/settings/paths.h"
#include "engine/run/hub.h"

void vg_tui_models_deinit(vg_tui_models *m)
{
    vg_lines_free(&m->names);
    vg_lines_free(&m->what);
    free(m->list);
    *m = (vg_tui_models){0};
}

static void add(vg_tui_models *m, const vg_model_entry *entry)
{
    char size[32];
    char *what = entry->missing
                     ? vg_xstrdup(entry->missing)
                     : vg_xstrf("%s  %s  %s  %s", entry->family, entry->modes,
                                vg_text_bytes(entry->bytes, size, sizeof size), entry->precision);
    vg_lines_add(&m->names, vg_text_clean(entry->id));
    vg_lines_add(&m->what, vg_text_clean(what));
    free(what);
    m->list[m->count] = (vg_ui_model){.name = m->names.items[m->count],
                                      .what = m->what.items[m->count],
                                      .usable = !entry->missing};
    m->count++;
}

static const vg_ui_model *list(void *self, int *count)
{
    vg_tui_models *m = self;
    vg_lines dirs = {0};
    vg_model_entry *entries = NULL;
    int n = 0;
    vg_tui_models_deinit(m);
    vg_paths_presets(&dirs);
    if (vg_model_list((const char *const *)dirs.items, dirs.count, &entries, &n, NULL) == VG_OK) {
        m->list = vg_xcalloc((size_t)n + 1, sizeof *m->list);
        for (int i = 0; i < n; i++)
            add(m, &entries[i]);
        vg_model_list_free(entries, n);
    }
    vg_lines_free(&dirs);
    *count = m->count;
    return m->list;
}

void vg_tui_models_host(vg_tui_models *models, vg_ui_models_host *host)
{
    *host = (vg_ui_models_host){.self = models, .list = list};
}

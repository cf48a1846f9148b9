/* tui_host.c: see tui_host.h. */
#include "app/tui/tui_host.h"

#include <stdlib.h>
#include "app/settings/paths.h"

static void ask_device(vg_tui_host *h)
{
    pid_t pid = 0;
    if (vg_tui_device_ask(&h->device, &pid)) {
        vg_tui_wake_add(&h->wake, h->device.fd);
        vg_tui_wake_child(&h->wake, pid, "");
    }
}

static void changed(void *user, int watch)
{
    vg_tui_store_changed(&((vg_tui_host *)user)->store, watch);
}

static void ended(void *user, const char *dir)
{
    vg_tui_store_ended(&((vg_tui_host *)user)->store, dir);
}

static bool refresh(void *self)
{
    vg_tui_host *h = self;
    const vg_tui_wake_taker taker = {.user = h, .changed = changed, .ended = ended};
    /* A frame that was loaded, an export that ended: the snapshots are the same, what they lead to is not. */
    bool news = vg_tui_wake_take(&h->wake, &taker);
    if (vg_tui_device_take(&h->device)) {
        vg_device_learn(h->device.is_cuda, h->device.reason);
        vg_tui_form_set_device(&h->setup.form, h->device.is_cuda, h->device.limit,
                               h->device.reason);
        news = true;
    }
    news = vg_tui_store_refresh(&h->store) || news;
    if (h->was_alive && !h->store.alive && h->device.is_cuda)
        ask_device(h); /* what the job had of it is free again */
    h->was_alive = h->store.alive;
    return news;
}

static int wake_fd(void *self)
{
    return ((vg_tui_host *)self)->wake.epoll_fd;
}

vg_status vg_tui_host_open(const vg_tui_host_options *options, vg_tui_host **host, vg_err *err)
{
    vg_tui_host *h = vg_xcalloc(1, sizeof *h);
    char *dir = vg_paths_jobs(options->jobs_dir);
    vg_tui_wake_init(&h->wake);
    vg_status status = vg_tui_store_init(&h->store, dir, options->start, &h->wake, err);
    free(dir);
    if (status != VG_OK) {
        vg_tui_wake_deinit(&h->wake);
        free(h);
        return status;
    }
    vg_tui_device_init(&h->device);
    vg_tui_setup_init(&h->setup, options->form, &h->store);
    vg_tui_media_init(&h->media, &h->store);
    if (options->ask_device)
        ask_device(h);
    h->table = (vg_ui_host){.self = h, .wake_fd = wake_fd, .refresh = refresh};
    vg_tui_setup_host(&h->setup, &h->table.form);
    vg_tui_store_host(&h->store, &h->table.jobs);
    vg_tui_media_host(&h->media, &h->table.media);
    vg_tui_models_host(&h->models, &h->table.models);
    *host = h;
    return VG_OK;
}

void vg_tui_host_close(vg_tui_host *h)
{
    if (!h)
        return;
    vg_tui_media_deinit(&h->media);
    vg_tui_setup_deinit(&h->setup);
    vg_tui_store_deinit(&h->store);
    vg_tui_models_deinit(&h->models);
    vg_tui_device_deinit(&h->device);
    vg_tui_wake_deinit(&h->wake);
    free(h);
}

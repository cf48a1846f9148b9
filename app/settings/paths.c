/* paths.c: see paths.h. */
#include "app/settings/paths.h"

#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef VG_SOURCE_PRESETS
#define VG_SOURCE_PRESETS ""
#endif
#ifndef VG_INSTALL_PRESETS
#define VG_INSTALL_PRESETS ""
#endif

static char *home(void)
{
    const char *h = getenv("HOME");
    if (h && *h == '/')
        return vg_xstrdup(h);
    struct passwd *pw = getpwuid(getuid());
    return vg_xstrdup(pw && pw->pw_dir && *pw->pw_dir == '/' ? pw->pw_dir : "");
}

vg_status vg_paths_check(vg_err *err)
{
    static const char *const variables[] = {"XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"};
    char *h = home();
    bool good = *h;
    free(h);
    for (size_t i = 0; i < sizeof variables / sizeof *variables && !good; i++) {
        const char *v = getenv(variables[i]);
        if (!v || *v != '/')
            return VG_FAIL(err, VG_E_IO,
                           "there is no place for jobs and settings: this user has no home "
                           "folder; set HOME, or XDG_STATE_HOME, XDG_CACHE_HOME and "
                           "XDG_CONFIG_HOME, to a folder of your own");
    }
    return VG_OK;
}

/* The XDG rule: a relative value is as good as none. */
static char *xdg(const char *variable, const char *fallback)
{
    const char *v = getenv(variable);
    if (v && *v == '/')
        return vg_xstrf("%s/vgen", v);
    char *h = home();
    char *path = vg_xstrf("%s/%s/vgen", h, fallback);
    free(h);
    return path;
}

char *vg_paths_state(void)
{
    return xdg("XDG_STATE_HOME", ".local/state");
}

char *vg_paths_cache(void)
{
    return xdg("XDG_CACHE_HOME", ".cache");
}

char *vg_paths_config(void)
{
    return xdg("XDG_CONFIG_HOME", ".config");
}

char *vg_paths_absolute(const char *path)
{
    if (*path == '/')
        return vg_xstrdup(path);
    char *cwd = getcwd(NULL, 0);
    while (!strncmp(path, "./", 2))
        path += 2;
    char *result = vg_xstrf("%s/%s", cwd && *cwd == '/' ? cwd : "", !strcmp(path, ".") ? "" : path);
    free(cwd);
    size_t n = strlen(result);
    while (n > 1 && result[n - 1] == '/')
        result[--n] = 0;
    return result;
}

char *vg_paths_jobs(const char *given)
{
    if (given && *given)
        return vg_paths_absolute(given);
    char *state = vg_paths_state();
    char *path = vg_xstrf("%s/jobs", state);
    free(state);
    return path;
}

char *vg_paths_user_presets(void)
{
    char *config = vg_paths_config();
    char *path = vg_xstrf("%s/presets", config);
    free(config);
    return path;
}

/* Takes `owned`. */
static void add_dir(vg_lines *dirs, char *owned)
{
    char *real = owned && *owned && vg_file_is_dir(owned) ? realpath(owned, NULL) : NULL;
    free(owned);
    if (!real)
        return;
    for (int i = 0; i < dirs->count; i++) {
        if (!strcmp(dirs->items[i], real)) {
            free(real);
            return;
        }
    }
    vg_lines_add(dirs, real);
}

void vg_paths_presets(vg_lines *dirs)
{
    const char *env = getenv("VGEN_PRESETS_DIR");
    char exe[PATH_MAX];
    add_dir(dirs, vg_xstrdup(env ? env : ""));
    add_dir(dirs, vg_paths_user_presets());
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n > 0) {
        exe[n] = 0;
        char *slash = strrchr(exe, '/');
        if (slash) {
            *slash = 0;
            add_dir(dirs, vg_xstrf("%s/../share/vgen/presets", exe));
        }
    }
    add_dir(dirs, vg_xstrdup(VG_SOURCE_PRESETS));
    add_dir(dirs, vg_xstrdup(VG_INSTALL_PRESETS));
}

/* fuzz_family.c: one config of a checkpoint of arbitrary bytes, the rest of it good, through the family that claims it: it is refused with one line,
 * or settings, weights and a memory plan follow from it. The first byte chooses model and component. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>

#include "engine/checkpoint/checkpoint.h"
#include "engine/run/run.h"

#define GOLDEN VG_TEST_DIR "/golden/"

static const char *const models[] = {"tiny-a", "tiny-i2v", "tiny-vace", "tiny-hv-t2v",
                                     "tiny-hv-i2v"};
static const char *const parts[] = {"transformer", "transformer_2", "vae",           "text_encoder",
                                    "scheduler",   "tokenizer",     "image_encoder", "guider"};
#define MODELS (sizeof models / sizeof *models)
#define PARTS  (sizeof parts / sizeof *parts)

/* In TO links to all that lies in FROM, but to one name. */
static void link_all(const char *from, const char *to, const char *but)
{
    if (vg_file_make_dirs(to, NULL) != VG_OK)
        abort();
    DIR *dir = opendir(from);
    for (struct dirent *item; dir && (item = readdir(dir));) {
        char source[800], link[800];
        snprintf(source, sizeof source, "%s/%s", from, item->d_name);
        snprintf(link, sizeof link, "%s/%s", to, item->d_name);
        if (item->d_name[0] != '.' && strcmp(item->d_name, but) != 0 && symlink(source, link) != 0)
            abort();
    }
    if (dir)
        closedir(dir);
}

/* Everything of the model by links, but the config of one part, which is ours. */
static void link_model(int which, const char *model, const char *part, const char *config)
{
    char from[600], to[600];
    snprintf(from, sizeof from, GOLDEN "%s", model);
    snprintf(to, sizeof to, "%s/m%d", fuzz_folder(), which);
    link_all(from, to, part);
    snprintf(from, sizeof from, GOLDEN "%s/%s", model, part);
    snprintf(to, sizeof to, "%s/m%d/%s", fuzz_folder(), which, part);
    link_all(from, to, config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool linked[MODELS * PARTS];
    vg_model *model;
    vg_err err = {0};
    if (!size)
        return 0;
    int which = data[0] % (int)(MODELS * PARTS);
    const char *part = parts[which % PARTS], *config = vg_checkpoint_config_name(part);
    char name[100];
    if (!linked[which])
        link_model(which, models[which / PARTS], part, config);
    linked[which] = true;
    snprintf(name, sizeof name, "m%d/%s/%s", which, part, config);
    fuzz_write(name, "wb", data + 1, size - 1);
    snprintf(name, sizeof name, "m%d", which);
    if (vg_model_open(fuzz_path(name), VG_LOAD_FILES, &model, &err) != VG_OK) {
        if (!err.message[0] || strchr(err.message, '\n'))
            abort();
        return 0;
    }
    vg_generate_params p;
    vg_generate_params_init(&p);
    p.height = p.width = 32;
    p.num_frames = 1;
    p.steps = 2;
    p.inputs.prompt = "a cat";
    if (vg_model_check(model, NULL) == VG_OK && vg_model_defaults(model, &p, &err) == VG_OK) {
        vg_plan plan;
        (void)vg_plan_make(model, &p, &plan, &err);
    }
    vg_model_close(model);
    return 0;
}

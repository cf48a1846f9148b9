/* layer_attention.c: see layer_attention.h. */
#include "app/job/layer_attention.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "engine/run/attention.h"
#include "kernels/base/text.h"

#define NAMED_MAX 4 /* layers that a line names */

void vg_layer_attentions_deinit(vg_layer_attentions *all)
{
    free(all->layers);
    *all = (vg_layer_attentions){0};
}

/* Where a layer stands, or belongs. */
static int place_of(const vg_layer_attentions *all, int expert, int block)
{
    int i = 0;
    while (i < all->count && (all->layers[i].expert < expert ||
                              (all->layers[i].expert == expert && all->layers[i].block < block)))
        i++;
    return i;
}

void vg_layer_attentions_take(vg_layer_attentions *all, const vg_layer_attention *found)
{
    if (found->expert < 0 || found->expert > 1 || found->block < 0 ||
        found->block >= VG_ATTENTION_LAYERS_MAX)
        return;
    int i = place_of(all, found->expert, found->block);
    bool there = i < all->count && all->layers[i].expert == found->expert &&
                 all->layers[i].block == found->block;
    if (!there) {
        all->layers = vg_xrealloc(all->layers, (size_t)(all->count + 1) * sizeof *all->layers);
        memmove(all->layers + i + 1, all->layers + i,
                (size_t)(all->count - i) * sizeof *all->layers);
        all->count++;
    }
    all->layers[i] = *found;
}

/* Of all layers: how many missed, and the worst; -1 none. */
static int worst_of(const vg_layer_attentions *all, int *missed)
{
    int worst = -1;
    *missed = 0;
    for (int i = 0; i < all->count; i++) {
        *missed += all->layers[i].missed;
        if (worst < 0 || !(all->layers[i].cosine >= all->layers[worst].cosine))
            worst = i;
    }
    return worst;
}

static void add_figure(cJSON *o, const char *key, double value)
{
    if (isfinite(value))
        cJSON_AddNumberToObject(o, key, value);
    else
        cJSON_AddNullToObject(o, key);
}

cJSON *vg_layer_attentions_json(const vg_layer_attentions *all, const vg_attention_request *asked)
{
    int missed, worst = worst_of(all, &missed);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "mode", vg_attend_name(asked->mode));
    cJSON_AddStringToObject(o, "recipe", vg_attend_recipe_name(asked->recipe));
    cJSON_AddNumberToObject(o, "limit", asked->limit);
    cJSON_AddNumberToObject(o, "layers_tested", all->count);
    cJSON_AddNumberToObject(o, "layers_below_limit", missed);
    add_figure(o, "least_cosine", worst < 0 ? NAN : all->layers[worst].cosine);
    cJSON *layers = cJSON_AddArrayToObject(o, "layers");
    for (int i = 0; i < all->count; i++) {
        const vg_layer_attention *l = &all->layers[i];
        cJSON *row = cJSON_CreateObject();
        cJSON_AddNumberToObject(row, "expert", l->expert);
        cJSON_AddNumberToObject(row, "block", l->block);
        add_figure(row, "cosine", l->cosine);
        add_figure(row, "relative_l2", l->relative_l2);
        add_figure(row, "largest_error", l->largest_error);
        cJSON_AddBoolToObject(row, "below_limit", l->missed);
        cJSON_AddItemToArray(layers, row);
    }
    return o;
}

/* ": transformer 1 block 0 (0.9981), ..." */
static void name_missed(const vg_layer_attentions *all, char *buf, size_t size)
{
    int named = 0;
    size_t n = strlen(buf);
    for (int i = 0; i < all->count && n < size; i++) {
        const vg_layer_attention *l = &all->layers[i];
        if (!l->missed)
            continue;
        if (named++ == NAMED_MAX) {
            snprintf(buf + n, size - n, ", ...");
            return;
        }
        snprintf(buf + n, size - n, "%s transformer %d block %d (%.4f)", named == 1 ? ":" : ",",
                 l->expert + 1, l->block, l->cosine);
        n = strlen(buf);
    }
}

const char *vg_layer_attentions_text(const vg_layer_attentions *all,
                                     const vg_attention_request *asked, char *buf, size_t size)
{
    int missed, worst = worst_of(all, &missed);
    bool full = asked->mode == VG_ATTEND_BF16;
    buf[0] = 0;
    if (full && worst < 0)
        return buf;
    if (worst < 0)
        snprintf(buf, size, "attention %s: no layer was tested, all were BF16",
                 vg_attend_name(asked->mode));
    else if (full)
        snprintf(buf, size,
                 "attention BF16; in 8 bits %d layers would have a cosine of %.6f at least, %d "
                 "below %g",
                 all->count, all->layers[worst].cosine, missed, asked->limit);
    else
        snprintf(buf, size,
                 "attention with INT8 q and k, E4M3 v and weights: %d layers tested, least cosine "
                 "%.6f, %d below %g%s",
                 all->count, all->layers[worst].cosine, missed, asked->limit,
                 missed ? " and so in BF16" : "");
    name_missed(all, buf, size);
    return buf;
}

/* variants.c: see variants.h. */
#include "app/settings/variants.h"
#include "app/settings/variant_text.h"

#include <stdlib.h>
#include <string.h>

void vg_variants_deinit(vg_variants *v)
{
    for (int i = 0; i < v->count; i++) {
        free(v->items[i].id);
        free(v->items[i].label);
        vg_settings_deinit(&v->items[i].overlay);
    }
    free(v->items);
    *v = (vg_variants){0};
}

void vg_variants_copy(vg_variants *to, const vg_variants *from)
{
    to->items = vg_xcalloc((size_t)from->count, sizeof *to->items);
    to->count = from->count;
    for (int i = 0; i < from->count; i++) {
        to->items[i].id = vg_xstrdup(from->items[i].id);
        to->items[i].label = vg_xstrdup(from->items[i].label);
        to->items[i].named = from->items[i].named;
        vg_settings_copy(&to->items[i].overlay, &from->items[i].overlay);
    }
}

void vg_variant_settings(const vg_settings *shared, const vg_variant *variant, vg_settings *out)
{
    vg_settings_copy(out, shared);
    vg_settings_merge(out, &variant->overlay);
}

vg_scheme vg_variant_scheme(const vg_variant *variant)
{
    return (vg_scheme)vg_settings_choice(&variant->overlay, VG_OPT_quantization);
}

void vg_variant_rename(vg_variant *variant, const char *label)
{
    char *fresh = vg_xstrdup(label);
    free(variant->label);
    variant->label = fresh;
}

static vg_variant *append(vg_variants *v)
{
    v->items = vg_xrealloc(v->items, (size_t)(v->count + 1) * sizeof *v->items);
    v->items[v->count] = (vg_variant){0};
    return &v->items[v->count++];
}

static bool id_taken(const vg_variants *v, const char *id)
{
    for (int i = 0; i < v->count; i++) {
        if (v->items[i].id && !strcmp(v->items[i].id, id))
            return true;
    }
    return false;
}

/* "Other seed!" is other-seed, and other-seed-2 where that is taken. malloc'd. */
static char *id_of(const vg_variants *v, const char *label)
{
    char slug[VG_VARIANT_ID_BYTES_MAX - 3]; /* room for a number behind */
    size_t n = 0;
    for (const char *c = label; *c && n + 1 < sizeof slug; c++) {
        bool kept =
            (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || (n && (*c == '.' || *c == '_'));
        if (kept)
            slug[n++] = *c;
        else if (*c >= 'A' && *c <= 'Z')
            slug[n++] = (char)(*c + 'a' - 'A');
        else if (n && slug[n - 1] != '-')
            slug[n++] = '-';
    }
    while (n && slug[n - 1] == '-')
        n--;
    slug[n] = 0;
    char *id = n ? vg_xstrdup(slug) : vg_xstrf("variant");
    for (int i = 2; id_taken(v, id); i++) {
        free(id);
        id = vg_xstrf("%s-%d", n ? slug : "variant", i);
    }
    return id;
}

/* shared: what else the variants have, as far as a scheme is called by it. */
static void add_scheme(vg_variants *v, const vg_settings *shared, vg_scheme scheme)
{
    vg_variant *added = append(v);
    added->id = vg_settings_scheme_id(shared, scheme);
    added->label = vg_settings_scheme_label(shared, scheme);
    (void)vg_settings_set(&added->overlay, VG_OPT_quantization, vg_scheme_name(scheme), NULL);
}

/* ---- from --variant ---- */

static bool same_settings(const vg_settings *shared, const vg_settings *a, const vg_settings *b)
{
    for (int i = 0; i < VG_OPT_COUNT; i++) {
        vg_option_id id = (vg_option_id)i;
        if (i == VG_OPT_seed && a->text[i] && !strcmp(a->text[i], VG_SEED_RANDOM))
            return false; /* each draws its own */
        if (strcmp(vg_settings_get(a->text[i] ? a : shared, id),
                   vg_settings_get(b->text[i] ? b : shared, id)))
            return false;
    }
    return true;
}

static void name_it(vg_variants *v, vg_variant *variant, const char *label, const char *id_from)
{
    char *old = variant->id;
    variant->id = NULL; /* its own is free for itself */
    variant->id = id_of(v, id_from);
    free(old);
    vg_variant_rename(variant, label);
    variant->named = true;
}

/* Is it called by its scheme? Then also by what all variants share, and *id is what its folder is called; malloc'd. */
static void name_by_scheme(const vg_settings *shared, const vg_settings *overlay, char **label,
                           char **id)
{
    vg_scheme scheme = (vg_scheme)vg_settings_choice(overlay, VG_OPT_quantization);
    char *own = vg_settings_scheme_label(overlay, scheme);
    vg_settings all = {{0}};
    if (!strcmp(*label, own)) {
        vg_settings_copy(&all, shared);
        vg_settings_merge(&all, overlay);
        free(*label);
        *label = vg_settings_scheme_label(&all, scheme);
        *id = vg_settings_scheme_id(&all, scheme);
        vg_settings_deinit(&all);
    }
    free(own);
}

static vg_status add_text(vg_variants *v, const vg_settings *shared, const char *text, vg_err *err)
{
    vg_settings overlay = {{0}};
    char *label = NULL, *id = NULL;
    vg_status status = vg_variant_text_parse(text, &label, &overlay, err);
    if (status == VG_OK && overlay.text[VG_OPT_quantization])
        name_by_scheme(shared, &overlay, &label, &id);
    if (status == VG_OK && !overlay.text[VG_OPT_quantization])
        vg_settings_copy_one(&overlay, &v->items[0].overlay, VG_OPT_quantization);
    for (int i = 0; status == VG_OK && i < v->count; i++) {
        vg_variant *other = &v->items[i];
        if (same_settings(shared, &overlay, &other->overlay)) {
            if (other->named)
                status = VG_FAIL(err, VG_E_ARG, "nothing in it differs from \"%s\"", other->label);
            else
                name_it(v, other, label, label);
            goto done;
        }
        if (!strcmp(other->label, label))
            status = VG_FAIL(err, VG_E_ARG, "there is a variant of this label already");
    }
    if (status == VG_OK && v->count == VG_VARIANTS_MAX)
        status = VG_FAIL(err, VG_E_ARG, "a job has %d variants at most", VG_VARIANTS_MAX);
    if (status == VG_OK) {
        vg_variant *added = append(v);
        name_it(v, added, label, id ? id : label);
        added->overlay = overlay;
        overlay = (vg_settings){{0}};
    }
done:
    vg_settings_deinit(&overlay);
    free(label);
    free(id);
    return status;
}

vg_status vg_variants_make(const vg_settings *shared, const char *const *texts, int texts_count,
                           vg_variants *variants, vg_err *err)
{
    vg_scheme schemes[VG_SCHEME_COUNT];
    vg_variants made = {0};
    int n = vg_settings_schemes(shared, schemes);
    for (int i = 0; i < n; i++)
        add_scheme(&made, shared, schemes[i]);
    for (int i = 0; i < texts_count; i++) {
        vg_err inner = {0};
        char quoted[64];
        if (add_text(&made, shared, texts[i], &inner) == VG_OK)
            continue;
        vg_text_clean_to(quoted, sizeof quoted, texts[i]);
        vg_text_cut(quoted, 40);
        vg_variants_deinit(&made);
        return VG_FAIL(err, VG_E_ARG, "--variant \"%s\": %s", quoted, inner.message);
    }
    *variants = made;
    return VG_OK;
}

/* ---- job.json ---- */

cJSON *vg_variant_overlay_json(const vg_settings *overlay)
{
    cJSON *o = vg_settings_to_json(overlay);
    if (overlay->text[VG_OPT_quantization])
        cJSON_ReplaceItemInObjectCaseSensitive(
            o, vg_options[VG_OPT_quantization].key,
            cJSON_CreateString(overlay->text[VG_OPT_quantization]));
    return o;
}

cJSON *vg_variant_to_json(const vg_variant *variant)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "id", variant->id);
    cJSON_AddStringToObject(o, "label", variant->label);
    cJSON_AddItemToObject(o, "settings", vg_variant_overlay_json(&variant->overlay));
    return o;
}

static bool good_id(const char *id)
{
    size_t n = strlen(id);
    return n && n <= VG_VARIANT_ID_BYTES_MAX && id[0] != '.' && id[0] != '-' &&
           strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

static vg_status check_overlay(const vg_settings *overlay, const char *name, const char *id,
                               vg_err *err)
{
    for (int i = 0; i < VG_OPT_COUNT; i++) {
        if (overlay->text[i] && !vg_option_has(&vg_options[i], VG_OPTION_VARIES))
            return VG_FAIL(err, VG_E_FORMAT, "%s: variant %s: %s cannot differ between variants",
                           name, id, vg_options[i].key);
    }
    if (!overlay->text[VG_OPT_quantization] || strchr(overlay->text[VG_OPT_quantization], ','))
        return VG_FAIL(err, VG_E_FORMAT, "%s: variant %s: quantization needs to be one scheme",
                       name, id);
    return VG_OK;
}

vg_status vg_variants_add_json(vg_variants *v, const cJSON *o, const char *name, vg_err *err)
{
    const char *scheme = NULL, *id = NULL, *label = NULL;
    vg_settings overlay = {{0}};
    vg_scheme parsed;
    vg_status status = VG_OK;
    if (!cJSON_IsObject(o))
        return VG_FAIL(err, VG_E_FORMAT, "%s: variants holds something that is not an object",
                       name);
    if (v->count == VG_VARIANTS_MAX)
        return VG_FAIL(err, VG_E_FORMAT, "%s: variants has more than %d entries", name,
                       VG_VARIANTS_MAX);
    VG_TRY(vg_json_get_string(o, name, "id", &id, err));
    VG_TRY(vg_json_get_string(o, name, "label", &label, err));
    VG_TRY(vg_json_get_string(o, name, "quantization", &scheme, err));
    if (!id) {
        if (!scheme || vg_scheme_parse(scheme, &parsed, NULL) != VG_OK)
            return VG_FAIL(err, VG_E_FORMAT, "%s: variants: quantization %s is not known", name,
                           scheme ? scheme : "(missing)");
        if (id_taken(v, scheme))
            return VG_FAIL(err, VG_E_FORMAT, "%s: variants: %s is there twice", name, scheme);
        add_scheme(v, &(vg_settings){{0}}, parsed);
        return VG_OK;
    }
    if (!good_id(id))
        return VG_FAIL(err, VG_E_FORMAT, "%s: variants: an id is 1 to %d of a-z 0-9 . _ -", name,
                       VG_VARIANT_ID_BYTES_MAX);
    if (id_taken(v, id))
        return VG_FAIL(err, VG_E_FORMAT, "%s: variants: %s is there twice", name, id);
    vg_err inner = {0};
    if (vg_variant_label_check(label ? label : "", 2 * VG_VARIANT_LABEL_BYTES_MAX, &inner) != VG_OK)
        return VG_FAIL(err, VG_E_FORMAT, "%s: variant %s: %s", name, id, inner.message);
    VG_TRY_GOTO(status,
                vg_settings_from_json(&overlay, cJSON_GetObjectItemCaseSensitive(o, "settings"),
                                      name, NULL, err),
                done);
    VG_TRY_GOTO(status, check_overlay(&overlay, name, id, err), done);
    vg_variant *added = append(v);
    *added = (vg_variant){
        .id = vg_xstrdup(id), .label = vg_xstrdup(label), .named = true, .overlay = overlay};
    overlay = (vg_settings){{0}};
done:
    vg_settings_deinit(&overlay);
    return status;
}

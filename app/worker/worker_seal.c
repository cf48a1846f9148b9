/* worker_seal.c: by what damage is known. Tensors carry a checksum (VG_SAFETENSORS_CHECKSUM); JSON that is gone on from carries one of its own
 * values; of every other file that a job makes, files.json in its folder says length and digest. See worker_run.h. */
#include "app/worker/worker_run.h"

#include <stdlib.h>
#include <string.h>
#include "kernels/base/digest.h"

#define DIGEST "digest"
#define FILES  "files"
#define BYTES  "bytes"

/* ---- JSON ---- */

/* Over the values, not the bytes: blanks do not matter to people who edit. */
static void digest_of(const cJSON *root, char hex[VG_DIGEST_HEX + 1])
{
    cJSON *copy = cJSON_Duplicate(root, true);
    cJSON_DeleteItemFromObjectCaseSensitive(copy, DIGEST);
    char *text = cJSON_PrintUnformatted(copy);
    vg_digest_text(text ? vg_digest(0, text, strlen(text)) : 0, hex);
    cJSON_free(text);
    cJSON_Delete(copy);
}

void vg_worker_seal(cJSON *root)
{
    char hex[VG_DIGEST_HEX + 1];
    cJSON_DeleteItemFromObjectCaseSensitive(root, DIGEST);
    digest_of(root, hex);
    cJSON_AddStringToObject(root, DIGEST, hex);
}

cJSON *vg_worker_open_sealed(const char *path)
{
    char hex[VG_DIGEST_HEX + 1];
    const char *found = "";
    cJSON *root = NULL;
    if (!vg_file_exists(path) || vg_json_load(path, &root, NULL) != VG_OK)
        return NULL;
    digest_of(root, hex);
    if (vg_json_get_string(root, path, DIGEST, &found, NULL) == VG_OK && !strcmp(found, hex))
        return root;
    cJSON_Delete(root);
    return NULL;
}

/* ---- files.json ---- */

void vg_worker_files_open(vg_worker *w)
{
    char *path = vg_job_path(&w->job, VG_JOB_FILES);
    w->files = vg_worker_open_sealed(path);
    if (!w->files)
        w->files = cJSON_CreateObject();
    if (!cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(w->files, FILES))) {
        cJSON_DeleteItemFromObjectCaseSensitive(w->files, FILES);
        cJSON_AddObjectToObject(w->files, FILES);
    }
    free(path);
}

void vg_worker_files_close(vg_worker *w)
{
    cJSON_Delete(w->files);
    w->files = NULL;
}

static const char *name_of(const vg_worker *w, const char *path)
{
    return path + strlen(w->job.dir) + 1;
}

static cJSON *list_of(const vg_worker *w)
{
    return cJSON_GetObjectItemCaseSensitive(w->files, FILES);
}

vg_piece vg_worker_look(const vg_worker *w, const char *path)
{
    const cJSON *said = cJSON_GetObjectItemCaseSensitive(list_of(w), name_of(w, path));
    const char *digest = "";
    char hex[VG_DIGEST_HEX + 1];
    double bytes = -1;
    uint64_t now, size;
    if (!vg_file_exists(path))
        return VG_PIECE_MISSING;
    if (vg_json_get_string(said, path, DIGEST, &digest, NULL) != VG_OK ||
        vg_json_get_double(said, path, BYTES, 0, 1e18, &bytes, NULL) != VG_OK || !*digest)
        return VG_PIECE_UNKNOWN;
    if (vg_digest_file(path, &now, &size, NULL) != VG_OK)
        return VG_PIECE_DAMAGED;
    vg_digest_text(now, hex);
    return (double)size == bytes && !strcmp(hex, digest) ? VG_PIECE_WHOLE : VG_PIECE_DAMAGED;
}

vg_status vg_worker_note_piece(vg_worker *w, const char *path, vg_err *err)
{
    char hex[VG_DIGEST_HEX + 1];
    uint64_t digest, size;
    const char *name = name_of(w, path);
    cJSON *list = list_of(w);
    if (vg_file_exists(path)) {
        VG_TRY(vg_digest_file(path, &digest, &size, err));
        vg_digest_text(digest, hex);
        cJSON *said = cJSON_CreateObject();
        cJSON_AddNumberToObject(said, BYTES, (double)size);
        cJSON_AddStringToObject(said, DIGEST, hex);
        if (!cJSON_ReplaceItemInObjectCaseSensitive(list, name, said)) /* else in its old place */
            cJSON_AddItemToObject(list, name, said);
    } else
        cJSON_DeleteItemFromObjectCaseSensitive(list, name);
    char *file = vg_job_path(&w->job, VG_JOB_FILES);
    vg_worker_seal(w->files);
    vg_status status = vg_json_save(file, w->files, err);
    free(file);
    return status;
}

#include "registry/azure/pending.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/js.h"

#define MOST_PARTS 64

static int compare_parts(const void *a, const void *b)
{
    return strcasecmp(((const struct az_part *)a)->path, ((const struct az_part *)b)->path);
}

int az_code_hash(const struct az_part *parts, size_t count, char out[HASH_HEX_SIZE],
                 struct error *error)
{
    struct az_part sorted[MOST_PARTS];
    struct hash *hash;
    char text[400];
    CHECK(count <= MOST_PARTS);
    memcpy(sorted, parts, count * sizeof *parts);
    qsort(sorted, count, sizeof *sorted, compare_parts);
    if (hash_create(&hash, error)) return -1;
    hash_update(hash, text, (size_t)snprintf(text, sizeof text, "%zu", count));
    for (size_t i = 0; i < count; i++) {
        int length = snprintf(text, sizeof text, "#%.300s#%zu", sorted[i].path, sorted[i].size);
        hash_update(hash, text, (size_t)length);
    }
    for (size_t i = 0; i < count; i++) hash_update(hash, sorted[i].data, sorted[i].size);
    hash_finish(hash, out);
    return 0;
}

/* The place that the service gives: the container's address, and the SAS for it. */
static int ask_place(struct az_connection *connection, const struct az_pending *pending,
                     struct blob_account *account, struct error *error)
{
    char path[ARM_ID_SIZE + 400];
    struct arm_answer answer;
    json_t *body = json_pack("{s:s}", "pendingUploadType", "TemporaryBlobReference");
    snprintf(path, sizeof path, "%s/startPendingUpload",
             pending->root ? pending->root : pending->path);
    int status = arm_call(&connection->arm,
                          &(struct arm_request){.method = "POST",
                                                .path = pending->root ? NULL : path,
                                                .root = pending->root ? path : NULL,
                                                .body = body,
                                                .what = "asking for a place for the files"},
                          &answer, error);
    json_decref(body);
    if (status) return -1;
    const json_t *place = json_object_get(answer.body, "blobReferenceForConsumption");
    const char *uri = js_text(place, "blobUri"),
               *sas = strchr(js_text(json_object_get(place, "credential"), "sasUri"), '?');
    *account = (struct blob_account){
        .web = connection->web, .credential = connection->credential, .signing = BLOB_SAS};
    if (!*uri || !sas || strlen(uri) >= sizeof account->url ||
        strlen(sas) >= sizeof account->secret)
        status = error_set(error, ERROR_UNAVAILABLE,
                           "asking for a place for the files: the service gives none: try again");
    if (!status) {
        snprintf(account->url, sizeof account->url, "%.*s", (int)strcspn(uri, "?"), uri);
        snprintf(account->secret, sizeof account->secret, "%s", sas + 1);
    }
    json_decref(answer.body);
    return status;
}

static int put_part(struct blob_account *account, const struct az_pending *pending, size_t index,
                    struct error *error)
{
    const struct az_part *part = &pending->parts[index];
    char path[400];
    struct blob_info there;
    snprintf(path, sizeof path, "%.60s%s%.300s", pending->folder ? pending->folder : "",
             pending->folder ? "/" : "", part->path);
    const struct blob_upload upload = {.path = path,
                                       .data = part->data,
                                       .size = part->size,
                                       .overwrite = true,
                                       .progress = pending->progress,
                                       .context = pending->context};
    if (blob_head(account, path, &there, error)) return -1;
    bool whole = there.completed && there.size == (int64_t)part->size;
    if (!whole && blob_put(account, &upload, error)) return -1;
    return whole || index ? 0 : blob_mark(account, path, pending->name, pending->version, error);
}

int az_pending_upload(struct az_connection *connection, const struct az_pending *pending,
                      char **uri, struct error *error)
{
    struct blob_account account;
    int status = ask_place(connection, pending, &account, error);
    /* The first goes last: it carries the mark that all are there. */
    for (size_t i = pending->count; !status && i-- > 0;)
        status = put_part(&account, pending, i, error);
    if (!status) {
        size_t size = strlen(account.url) + 400;
        *uri = malloc(size);
        if (*uri)
            snprintf(*uri, size, "%s/%.300s", account.url,
                     pending->folder ? pending->folder : pending->parts[0].path);
        else
            status = error_set_memory(error, "an address");
    }
    blob_account_clear(&account);
    return status;
}

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/js.h"
#include "base/log.h"
#include "registry/azure/endpoint.h"

#define JOURNAL_LIMIT ((size_t)64 << 10)

const struct az_journal_kind az_endpoints = {"endpoints", "endpoint"}, az_jobs = {"jobs", "job"};

static void journal_folder(const char *home, const struct az_journal_kind *kind, char out[4200])
{
    snprintf(out, 4200, "%.4000s/%s", home, kind->folder);
}

bool az_journal_in(const json_t *data, const struct az_workspace *workspace)
{
    return strcasecmp(js_text(data, "subscription_id"), workspace->subscription) == 0 &&
           strcasecmp(js_text(data, "resource_group"), workspace->resource_group) == 0 &&
           strcasecmp(js_text(data, "workspace_name"), workspace->name) == 0;
}

static bool is_journal(const char *name)
{
    size_t length = strlen(name);
    return *name != '.' && length > 5 && strcmp(name + length - 5, ".json") == 0;
}

int az_journal_list(const char *home, const struct az_journal_kind *kind, json_t **out,
                    struct error *error)
{
    char folder[4200], path[4500];
    journal_folder(home, kind, folder);
    json_t *list = json_array();
    if (!list) return error_set_memory(error, "a list");
    DIR *directory = opendir(folder);
    const struct dirent *entry;
    int status = !directory && errno != ENOENT
                     ? error_set_errno(error, errno, "cannot read %s", folder)
                     : 0;
    while (!status && directory && (entry = readdir(directory))) {
        json_t *data = NULL;
        if (!is_journal(entry->d_name)) continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        /* one that was removed meanwhile is no trouble */
        if (js_read_object(path, JOURNAL_LIMIT, &data, error) && file_exists(path)) status = -1;
        if (data) json_array_append_new(list, data);
    }
    if (directory) closedir(directory);
    if (status) {
        json_decref(list);
        return -1;
    }
    *out = list;
    return 0;
}

/* Two workspaces may have endpoints of one name, in two regions. */
static void journal_path(const char *folder, const struct az_workspace *workspace, const char *name,
                         char *out, size_t size)
{
    char key[600], hex[HASH_HEX_SIZE];
    snprintf(key, sizeof key, "%s/%s/%s", workspace->subscription, workspace->resource_group,
             workspace->name);
    for (char *c = key; *c; c++)
        if (*c >= 'A' && *c <= 'Z') *c = (char)(*c - 'A' + 'a');
    hash_bytes(key, strlen(key), hex);
    snprintf(out, size, "%s/%.120s-%.8s.json", folder, name, hex);
}

int az_journal_open(const char *home, const struct az_journal_kind *kind,
                    const struct az_workspace *workspace, const char *name, struct az_journal *out,
                    struct error *error)
{
    char folder[4200], lock[4600];
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    *out = (struct az_journal){.lock = -1};
    journal_folder(home, kind, folder);
    if (file_make_directories(folder, error)) return -1;
    journal_path(folder, workspace, name, out->path, sizeof out->path);
    snprintf(lock, sizeof lock, "%s.lock", out->path);
    out->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (out->lock < 0) return error_set_errno(error, errno, "cannot write %s", lock);
    if (fcntl(out->lock, F_OFD_SETLK, &whole))
        return error_set(error, ERROR_CONFLICT,
                         "the %s %s is being worked on: wait until that has ended", kind->what,
                         name);
    if (file_exists(out->path)) return js_read_object(out->path, JOURNAL_LIMIT, &out->data, error);
    out->data = json_object();
    return out->data ? 0 : error_set_memory(error, "the journal");
}

int az_journal_write(struct az_journal *journal, struct error *error)
{
    char *text = js_dump(journal->data);
    int status = text ? file_write(journal->path, text, strlen(text), error)
                      : error_set_memory(error, "the journal");
    free(text);
    return status;
}

int az_journal_note(struct az_journal *journal, const char *key, const char *value,
                    struct error *error)
{
    if (json_object_set_new(journal->data, key, json_string(value)))
        return error_set_memory(error, "the journal");
    return az_journal_write(journal, error);
}

void az_journal_remove(struct az_journal *journal)
{
    struct error trouble;
    if (unlink(journal->path) && errno != ENOENT) {
        error_set_errno(&trouble, errno, "cannot remove %s", journal->path);
        log_error(&trouble);
    }
}

void az_journal_close(struct az_journal *journal)
{
    if (journal->lock >= 0) close(journal->lock);
    json_decref(journal->data);
    *journal = (struct az_journal){.lock = -1};
}

#include "http/upload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/js.h"
#include "base/log.h"
#include "base/path.h"
#include "base/text.h"
#include "http/offload.h"
#include "modelfile/modelfile.h"

/* Left free on the disk, for runs in training. */
#define ROOM_KEPT ((uint64_t)256 << 20)

struct uploads {
    struct studio *studio;
    struct upload *first;
    unsigned count; /* ever, for the folders */
};

int uploads_create(struct studio *studio, struct uploads **out, struct error *error)
{
    struct uploads *uploads = calloc(1, sizeof *uploads);
    if (!uploads) return error_set_memory(error, "the uploads");
    uploads->studio = studio;
    *out = uploads;
    return 0;
}

static void upload_free(struct upload *upload)
{
    struct error error;
    if (upload->folder && file_remove_tree(upload->folder, &error)) log_error(&error);
    free(upload->folder);
    free(upload->files);
    free(upload);
}

static void remove_folder(struct store *store, void *folder)
{
    struct error error;
    (void)store;
    if (file_remove_tree(folder, &error)) log_error(&error);
}

/* Its folder may hold many files: a thread removes them. */
static void forget(struct uploads *uploads, struct upload *upload)
{
    struct error ignored;
    struct upload **place = &uploads->first;
    while (*place != upload) place = &(*place)->next;
    *place = upload->next;
    if (!offload_run(uploads->studio->offload, NULL, remove_folder, free, upload->folder, &ignored))
        upload->folder = NULL;
    upload_free(upload);
}

void uploads_destroy(struct uploads *uploads)
{
    while (uploads && uploads->first) {
        struct upload *upload = uploads->first;
        uploads->first = upload->next;
        upload_free(upload);
    }
    free(uploads);
}

void upload_discard(struct uploads *uploads, struct upload *upload)
{
    atomic_store(&upload->stop, true);
    if (!upload->busy) forget(uploads, upload);
}

void upload_free_again(struct uploads *uploads, struct upload *upload)
{
    upload->busy = false;
    upload->used = clock_monotonic();
    if (atomic_load(&upload->stop)) forget(uploads, upload);
}

void uploads_tick(struct uploads *uploads)
{
    double now = clock_monotonic();
    for (struct upload *upload = uploads->first, *next; upload; upload = next) {
        next = upload->next;
        if (!upload->busy && now - upload->used > UPLOAD_IDLE_SECONDS) forget(uploads, upload);
    }
}

/* --- what may come --- */

/* Endings of data files; `.gz` and files of no ending are IDX. */
static const char *const data_endings[] = {"csv", "tsv", "npz", "npy", "parquet",
                                           "zip", "gz",  "bin", NULL};
/* Files beside a model that belong to it: ONNX's weights, the index of shards. */
static const char *const beside_model[] = {"data", "json", NULL};

static bool is_one_of(const char *text, const char *const *list)
{
    while (*list && strcasecmp(*list, text) != 0) list++;
    return *list != NULL;
}

static bool is_model_ending(const char *ending)
{
    for (size_t i = 0; i < modelfile_table_count; i++) {
        const char *word = modelfile_table[i]->extensions;
        for (size_t length; *word; word += length + (word[length] == ' ')) {
            length = strcspn(word, " ");
            if (strlen(ending) == length && strncasecmp(word, ending, length) == 0) return true;
        }
    }
    return false;
}

bool upload_is_data(const char *name)
{
    const char *base = path_base(name);
    return is_one_of(path_extension(name), data_endings) || strstr(base, "ubyte") ||
           strstr(base, "idx");
}

static int check_name(const char *name, struct error *error)
{
    size_t length = strlen(name);
    bool plain = length && length <= UPLOAD_NAME_MAX && name[0] != '.' && !strpbrk(name, "/\\");
    for (const char *c = name; plain && *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127) plain = false;
    if (plain) return 0;
    return error_set(error, ERROR_INPUT,
                     "\"%.60s\" is not a valid file name: use 1 to %d bytes without slashes, and "
                     "no dot in front",
                     text_shown(name), UPLOAD_NAME_MAX);
}

/* One file of the list into the upload. */
static int take_file(const json_t *value, struct upload *upload, struct error *error)
{
    struct upload_file *file = &upload->file[upload->count];
    const char *name;
    int64_t bytes = 0;
    if (js_need_string(value, "name", &name, error) || check_name(name, error) ||
        js_get_integer(value, "bytes", 1, (int64_t)UPLOAD_BYTES_MAX, &bytes, error))
        return -1;
    for (int i = 0; i < upload->count; i++)
        if (strcmp(upload->file[i].name, name) == 0)
            return error_set(error, ERROR_INPUT, "two files are called \"%.60s\": send one of them",
                             name);
    snprintf(file->name, sizeof file->name, "%s", name);
    file->bytes = (uint64_t)bytes;
    upload->count++;
    return 0;
}

/* All files are of data, or all of one model. */
static int find_kind(struct upload *upload, struct error *error)
{
    int models = 0;
    for (int i = 0; i < upload->count; i++) {
        const char *name = upload->file[i].name, *ending = path_extension(name);
        bool model = is_model_ending(ending);
        models += model;
        if (!model && !upload_is_data(name) && !is_one_of(ending, beside_model))
            return error_set(error, ERROR_INPUT,
                             "\"%.60s\" is not a file that the studio opens here: give data (.csv, "
                             ".tsv, .npz, .npy, .parquet, IDX files, a .zip of folders of "
                             "pictures) or a model (.pth, .h5, .keras, .safetensors, .onnx)",
                             name);
    }
    upload->kind = models ? UPLOAD_MODEL : UPLOAD_DATA;
    for (int i = 0; i < upload->count; i++)
        if (models && upload_is_data(upload->file[i].name))
            return error_set(error, ERROR_INPUT,
                             "\"%.60s\" is data beside a model file: send one after the other",
                             upload->file[i].name);
    return 0;
}

/* "emnist-letters" of "emnist-letters-train-images-idx3-ubyte.gz", "iris" of "iris.csv": letters,
 * digits and "_-." only. */
static void propose_name(struct upload *upload)
{
    static const char *const parts[] = {"train", "test", "t10k", "images", "labels", "x_", "y_"};
    char *out = upload->proposed;
    const char *name = upload->file[0].name;
    size_t length = strcspn(name, "."), used = 0;
    for (size_t i = 0; upload->count > 1 && i < sizeof parts / sizeof parts[0]; i++) {
        const char *place = strstr(name, parts[i]);
        if (place && (size_t)(place - name) < length) length = (size_t)(place - name);
    }
    for (size_t i = 0; i < length && used + 1 < sizeof upload->proposed; i++) {
        bool plain = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
                     (name[i] >= '0' && name[i] <= '9') || (name[i] == '_' && used);
        if (plain)
            out[used++] = name[i];
        else if (used && out[used - 1] != '-')
            out[used++] = '-';
    }
    while (used && (out[used - 1] == '-' || out[used - 1] == '_')) used--;
    out[used] = '\0';
    if (!used)
        snprintf(out, sizeof upload->proposed, "%s",
                 upload->kind == UPLOAD_MODEL ? "my-model" : "my-data");
}

static uint64_t total_of(const struct upload *upload)
{
    uint64_t total = 0;
    for (int i = 0; i < upload->count; i++) total += upload->file[i].bytes;
    return total;
}

static int check_room(const char *home, uint64_t bytes, struct error *error)
{
    struct statvfs disk;
    if (bytes > UPLOAD_BYTES_MAX)
        return error_set(error, ERROR_INPUT,
                         "the files have %llu bytes, the most is %llu: put larger data into the "
                         "data folder of the studio's home yourself",
                         (unsigned long long)bytes, (unsigned long long)UPLOAD_BYTES_MAX);
    if (statvfs(home, &disk)) return 0;
    uint64_t room = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (room >= bytes + ROOM_KEPT) return 0;
    return error_set(error, ERROR_IO,
                     "the disk of %s has %llu MB left, the files need %llu MB and %llu MB stay "
                     "free for runs: make room",
                     home, (unsigned long long)(room >> 20), (unsigned long long)(bytes >> 20),
                     (unsigned long long)(ROOM_KEPT >> 20));
}

/* --- receiving --- */

static int make_folders(struct uploads *uploads, struct upload *upload, struct error *error)
{
    const char *home = uploads->studio->home;
    unsigned number = ++uploads->count;
    snprintf(upload->id, sizeof upload->id, "u%u", number);
    if (asprintf(&upload->folder, "%s/scratch/upload-%ld-%u", home, (long)getpid(), number) < 0)
        upload->folder = NULL;
    upload->files = upload->folder ? path_join(upload->folder, upload->proposed) : NULL;
    if (!upload->files) return error_set_memory(error, "a path");
    return file_make_directories(upload->files, error);
}

int upload_begin(struct uploads *uploads, const json_t *files, struct upload **out,
                 struct error *error)
{
    int waiting = 0;
    const json_t *value;
    size_t i;
    for (const struct upload *one = uploads->first; one; one = one->next) waiting++;
    if (waiting >= UPLOADS_MAX)
        return error_set(error, ERROR_CONFLICT,
                         "%d uploads are waiting, the most: keep or discard one first",
                         UPLOADS_MAX);
    struct upload *upload = calloc(1, sizeof *upload);
    if (!upload) return error_set_memory(error, "an upload");
    upload->used = clock_monotonic();
    json_array_foreach(files, i, value)
        if (i >= UPLOAD_FILES_MAX || take_file(value, upload, error)) goto fail;
    if (find_kind(upload, error)) goto fail;
    propose_name(upload);
    if (check_room(uploads->studio->home, total_of(upload), error) ||
        make_folders(uploads, upload, error))
        goto fail;
    upload->next = uploads->first;
    uploads->first = upload;
    *out = upload;
    return 0;
fail:
    upload_free(upload);
    return -1;
}

struct upload *upload_find(struct uploads *uploads, const char *id, struct error *error)
{
    struct upload *upload = uploads->first;
    while (upload && (strcmp(upload->id, id) != 0 || atomic_load(&upload->stop)))
        upload = upload->next;
    if (!upload)
        error_set(error, ERROR_NOT_FOUND,
                  "there is no upload \"%.20s\": after %d minutes without use it is thrown away, "
                  "send the files again",
                  id, UPLOAD_IDLE_SECONDS / 60);
    else
        upload->used = clock_monotonic();
    return upload;
}

static int append(const char *path, const void *bytes, size_t size, uint64_t offset,
                  struct error *error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return error_set_errno(error, errno, "cannot write %s", path);
    const char *next = bytes;
    int status = 0;
    while (size && !status) {
        ssize_t written = pwrite(fd, next, size, (off_t)offset);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) {
            status = error_set_errno(error, errno, "cannot write %s", path);
        } else {
            next += written;
            offset += (uint64_t)written;
            size -= (size_t)written;
        }
    }
    if (close(fd) && !status) status = error_set_errno(error, errno, "cannot write %s", path);
    return status;
}

int upload_take(struct upload *upload, const char *index, uint64_t offset, const void *bytes,
                size_t size, struct error *error)
{
    char *end;
    long place = strtol(index, &end, 10);
    if (*end || index[0] < '0' || index[0] > '9' || place >= upload->count)
        return error_set(error, ERROR_NOT_FOUND, "the upload has no file %.20s: it has 0 to %d",
                         index, upload->count - 1);
    struct upload_file *file = &upload->file[place];
    if (offset != file->received)
        return error_set(error, ERROR_CONFLICT,
                         "%llu bytes of \"%.60s\" have come: go on from there",
                         (unsigned long long)file->received, file->name);
    if (size > UPLOAD_PIECE_MAX || size > file->bytes - offset)
        return error_set(error, ERROR_INPUT,
                         "a piece of %zu bytes is too large: send at most %zu, and no more than "
                         "the file's %llu in all",
                         size, UPLOAD_PIECE_MAX, (unsigned long long)file->bytes);
    char *path = path_join(upload->files, file->name);
    if (!path) return error_set_memory(error, "a path");
    int status = append(path, bytes, size, offset, error);
    free(path);
    if (!status) file->received += size;
    return status;
}

bool upload_complete(const struct upload *upload)
{
    for (int i = 0; i < upload->count; i++)
        if (upload->file[i].received < upload->file[i].bytes) return false;
    return true;
}

json_t *upload_json(const struct upload *upload)
{
    json_t *files = json_array();
    for (int i = 0; i < upload->count; i++)
        json_array_append_new(files, json_pack("{s:s, s:I, s:I}", "name", upload->file[i].name,
                                               "bytes", (json_int_t)upload->file[i].bytes,
                                               "received", (json_int_t)upload->file[i].received));
    return json_pack("{s:s, s:s, s:s, s:b, s:i, s:o}", "id", upload->id, "kind",
                     upload->kind == UPLOAD_MODEL ? "model" : "data", "name", upload->proposed,
                     "complete", (int)upload_complete(upload), "piece_bytes", (int)UPLOAD_PIECE_MAX,
                     "files", files);
}

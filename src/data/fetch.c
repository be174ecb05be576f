#include "data/fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/path.h"

#define ATTEMPTS 4 /* at one mirror, each going on where the last broke off */

static const struct fetch_set sets[] = {
    {"mnist",
     {"https://ossci-datasets.s3.amazonaws.com/mnist/",
      "https://storage.googleapis.com/cvdf-datasets/mnist/"},
     {{"train-images-idx3-ubyte.gz", 9912422,
       "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"},
      {"train-labels-idx1-ubyte.gz", 28881,
       "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"},
      {"t10k-images-idx3-ubyte.gz", 1648877,
       "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"},
      {"t10k-labels-idx1-ubyte.gz", 4542,
       "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"}}},
    {"fashion-mnist",
     {"https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
      "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
      "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"},
     {{"train-images-idx3-ubyte.gz", 26421880,
       "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"},
      {"train-labels-idx1-ubyte.gz", 29515,
       "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"},
      {"t10k-images-idx3-ubyte.gz", 4422102,
       "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"},
      {"t10k-labels-idx1-ubyte.gz", 5148,
       "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"}}},
    {"cifar-10",
     {"https://www.cs.toronto.edu/~kriz/"},
     {{"cifar-10-binary.tar.gz", 170052171,
       "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"}}},
};

const struct fetch_set *fetch_find(const char *name)
{
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
        if (!strcmp(sets[i].name, name)) return &sets[i];
    return NULL;
}

uint64_t fetch_total(const struct fetch_set *set)
{
    uint64_t total = 0;
    for (size_t i = 0; i < FETCH_MAX_FILES && set->files[i].name; i++) total += set->files[i].size;
    return total;
}

/* One file on its way. */
struct transfer {
    const struct fetch_file *file;
    int fd;                 /* of the .part file, locked */
    uint64_t had;           /* bytes in it */
    uint64_t before, total; /* of the whole set: bytes of finished files, of all */
    fetch_progress progress;
    void *context;
    bool stopped, oversized;
    int write_error; /* errno */
};

static bool report(struct transfer *transfer)
{
    if (transfer->progress &&
        !transfer->progress(transfer->context, transfer->file->name,
                            transfer->before + transfer->had, transfer->total))
        transfer->stopped = true;
    return !transfer->stopped;
}

static size_t on_data(char *bytes, size_t one, size_t count, void *context)
{
    struct transfer *transfer = context;
    size_t left = count * one;
    if (transfer->had + left > transfer->file->size) {
        transfer->oversized = true;
        return 0;
    }
    while (left) {
        ssize_t written = write(transfer->fd, bytes, left);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) {
            transfer->write_error = errno;
            return 0;
        }
        bytes += written;
        left -= (size_t)written;
        transfer->had += (size_t)written;
    }
    return count * one;
}

static int on_progress(void *context, curl_off_t total, curl_off_t now, curl_off_t up_total,
                       curl_off_t up_now)
{
    (void)total, (void)now, (void)up_total, (void)up_now;
    return report(context) ? 0 : 1;
}

static void start_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void set_options(CURL *curl, const char *url, char *message, struct transfer *transfer)
{
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "nnstudio/" NNSTUDIO_VERSION);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 5L);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 15L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 100L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, 30L);
    curl_easy_setopt(curl, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)transfer->had);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, transfer);
}

static int start_over(struct transfer *transfer, struct error *error)
{
    transfer->had = 0;
    if (ftruncate(transfer->fd, 0))
        return error_set_errno(error, errno, "cannot write the file being fetched");
    return 0;
}

/* One request for what is still missing. *again: the same mirror may do better on a second try. */
static int request(const char *url, struct transfer *transfer, bool *again, struct error *error)
{
    char message[CURL_ERROR_SIZE] = "";
    uint64_t had = transfer->had;
    *again = false;
    CURL *curl = curl_easy_init();
    if (!curl) return error_set_memory(error, "a connection");
    transfer->oversized = false;
    set_options(curl, url, message, transfer);
    CURLcode result = curl_easy_perform(curl);
    long answer = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer);
    curl_easy_cleanup(curl);
    if (transfer->stopped)
        return error_set(error, ERROR_INTERRUPTED,
                         "stopped: what has come is kept, fetch again to go on from there");
    if (transfer->write_error)
        return error_set_errno(error, transfer->write_error, "cannot write %s",
                               transfer->file->name);
    if (result == CURLE_OK && transfer->had == transfer->file->size) return 0;
    /* A server that cannot give a part, or not this one, is asked for the whole. */
    if (had && (result == CURLE_RANGE_ERROR || answer == 416 || transfer->oversized)) {
        *again = true;
        if (start_over(transfer, error)) return -1;
    } else {
        *again = transfer->had > had && !transfer->oversized;
    }
    if (transfer->oversized)
        return error_set(error, ERROR_INPUT, "%s: more than the %llu bytes it should be", url,
                         (unsigned long long)transfer->file->size);
    if (result == CURLE_OK)
        return error_set(error, ERROR_IO, "%s: only %llu of %llu bytes came", url,
                         (unsigned long long)transfer->had,
                         (unsigned long long)transfer->file->size);
    return error_set(error, ERROR_UNAVAILABLE, "%s: %s", url,
                     *message ? message : curl_easy_strerror(result));
}

/* The whole file from one mirror, checked; on failure the part that may be of use stays. */
static int fetch_from(const char *url, const char *part, struct transfer *transfer,
                      struct error *error)
{
    bool again = true;
    char hex[HASH_HEX_SIZE];
    bool resumed = transfer->had > 0;
    if (transfer->had > transfer->file->size && start_over(transfer, error)) return -1;
    for (int attempt = 0; transfer->had < transfer->file->size; attempt++) {
        if (request(url, transfer, &again, error) == 0) break;
        if (error->code == ERROR_INTERRUPTED || transfer->write_error || !again ||
            attempt + 1 == ATTEMPTS)
            return -1;
    }
    if (hash_file(part, hex, NULL, error)) return -1;
    if (!strcmp(hex, transfer->file->sha256)) return 0;
    if (start_over(transfer, error)) return -1;
    /* What was there before may have been the bad part. */
    if (resumed) return fetch_from(url, part, transfer, error);
    return error_set(error, ERROR_INPUT, "%s: not the file it should be (SHA-256 %s)", url, hex);
}

static int open_part(const char *part, struct transfer *transfer, struct error *error)
{
    struct stat info;
    transfer->fd = open(part, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (transfer->fd < 0 || fstat(transfer->fd, &info))
        return error_set_errno(error, errno, "cannot write %s", part);
    if (flock(transfer->fd, LOCK_EX | LOCK_NB))
        return error_set(error, ERROR_CONFLICT, "%s is being fetched already: wait for that to end",
                         part);
    transfer->had = (uint64_t)info.st_size;
    return 0;
}

static bool is_here(const char *path, const struct fetch_file *file)
{
    struct error ignored;
    char hex[HASH_HEX_SIZE];
    uint64_t size;
    return file_exists(path) && !hash_file(path, hex, &size, &ignored) && size == file->size &&
           !strcmp(hex, file->sha256);
}

/* Asks the mirrors in turn. */
static int fetch_anywhere(const struct fetch_set *set, const char *part, struct transfer *transfer,
                          struct error *error)
{
    const char *own = getenv("NNSTUDIO_MIRROR");
    for (size_t m = 0; m < FETCH_MAX_MIRRORS && (own ? m == 0 : set->mirrors[m] != NULL); m++) {
        char *url;
        bool slash = own && *own && own[strlen(own) - 1] == '/';
        int length = own ? asprintf(&url, "%s%s%s/%s", own, slash ? "" : "/", set->name,
                                    transfer->file->name)
                         : asprintf(&url, "%s%s", set->mirrors[m], transfer->file->name);
        if (length < 0) return error_set_memory(error, "an address");
        int status = fetch_from(url, part, transfer, error);
        free(url);
        if (!status) return 0;
        if (error->code == ERROR_INTERRUPTED || transfer->write_error) return -1;
    }
    struct error last = *error;
    return error_set(error, last.code,
                     "cannot fetch %s (%.600s): connect to the network and try again, or give your "
                     "own folder with --data-dir, "
                     "or use --dataset synthetic",
                     set->name, last.message);
}

static int fetch_file(const struct fetch_set *set, const char *folder, struct transfer *transfer,
                      struct error *error)
{
    int status = -1;
    char *path = path_join(folder, transfer->file->name), *part = NULL;
    if (!path || asprintf(&part, "%s.part", path) < 0) {
        part = NULL;
        error_set_memory(error, "a path");
        goto out;
    }
    if (is_here(path, transfer->file)) {
        status = 0;
        goto out;
    }
    if (open_part(part, transfer, error)) goto out;
    if (fetch_anywhere(set, part, transfer, error)) {
        if (!transfer->had) unlink(part);
        goto out;
    }
    if (fsync(transfer->fd) || rename(part, path)) {
        error_set_errno(error, errno, "cannot write %s", path);
        goto out;
    }
    status = 0;
out:
    if (transfer->fd >= 0) close(transfer->fd);
    free(path);
    free(part);
    return status;
}

int fetch_into(const struct fetch_set *set, const char *folder, fetch_progress progress,
               void *context, struct error *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    uint64_t before = 0, total = fetch_total(set);
    pthread_once(&once, start_curl);
    if (file_make_directories(folder, error)) return -1;
    for (size_t i = 0; i < FETCH_MAX_FILES && set->files[i].name; i++) {
        struct transfer transfer = {.file = &set->files[i],
                                    .fd = -1,
                                    .before = before,
                                    .total = total,
                                    .progress = progress,
                                    .context = context};
        if (fetch_file(set, folder, &transfer, error)) return -1;
        before += set->files[i].size;
    }
    if (progress) progress(context, "", total, total);
    return 0;
}

int data_fetch(const char *name, const char *home, fetch_progress progress, void *context,
               struct error *error)
{
    const struct fetch_set *set = fetch_find(name);
    if (!set)
        return error_set(error, ERROR_NOT_FOUND,
                         "\"%s\" is not a data set to fetch: take mnist, fashion-mnist or cifar-10",
                         name);
    char *folder;
    if (asprintf(&folder, "%s/data/%s", home, name) < 0) return error_set_memory(error, "a path");
    int status = fetch_into(set, folder, progress, context, error);
    free(folder);
    return status;
}

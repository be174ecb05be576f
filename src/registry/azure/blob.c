#include "registry/azure/blob.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define MAX_BLOCKS 50000

void blob_account_clear(struct blob_account *account)
{
    explicit_bzero(account->secret, sizeof account->secret);
}

static void md5_base64(const void *data, size_t size, char out[32])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned count = 0;
    CHECK(EVP_Digest(data, size, digest, &count, EVP_md5(), NULL) == 1 && count == 16);
    EVP_EncodeBlock((unsigned char *)out, digest, (int)count);
}

int az_upload_hash_begin(struct hash **out, struct error *error)
{
    static const char start[] = "Initialize for october 2021 AML CLI version";
    if (hash_create(out, error)) return -1;
    hash_update(*out, start, sizeof start - 1);
    return 0;
}

int az_upload_hash(const void *data, size_t size, char out[HASH_HEX_SIZE], struct error *error)
{
    struct hash *hash;
    if (az_upload_hash_begin(&hash, error)) return -1;
    hash_update(hash, data, size);
    hash_finish(hash, out);
    return 0;
}

/* One request to a blob: what the signer needs to know. */
struct blob_request {
    struct blob_account *account;
    const char *method, *url; /* without a SAS */
    size_t body_size;
    const char *const *lines; /* its own headers, NULL-ended */
    bool fresh;               /* bearer: ask for a new token */
};

/* The value of a header by its lower-case name, or "". */
static const char *header_value(const struct web_headers *headers, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < headers->count; i++) {
        if (strncasecmp(headers->lines[i], name, length) != 0 || headers->lines[i][length] != ':')
            continue;
        return headers->lines[i] + length + 1 + strspn(headers->lines[i] + length + 1, " ");
    }
    return "";
}

static int compare_lines(const void *a, const void *b)
{
    return strcasecmp(*(char *const *)a, *(char *const *)b);
}

static void append_ms_headers(const struct web_headers *headers, struct buffer *text)
{
    char *sorted[WEB_MAX_HEADERS];
    size_t count = 0;
    for (size_t i = 0; i < headers->count; i++)
        if (strncasecmp(headers->lines[i], "x-ms-", 5) == 0) sorted[count++] = headers->lines[i];
    qsort(sorted, count, sizeof sorted[0], compare_lines);
    for (size_t i = 0; i < count; i++) {
        const char *colon = strchr(sorted[i], ':');
        for (const char *c = sorted[i]; c < colon; c++)
            buffer_append_char(text, (char)tolower((unsigned char)*c));
        buffer_printf(text, ":%s\n", colon + 1 + strspn(colon + 1, " "));
    }
}

/* "/ACCOUNT/PATH" and the query's members, sorted, decoded, a line each. */
static void append_resource(const char *account, const char *url, struct buffer *text)
{
    const char *path = strchr(strstr(url, "://") + 3, '/');
    size_t length = strcspn(path, "?");
    buffer_printf(text, "/%s%.*s", account, (int)length, path);
    char members[8][256], *sorted[8];
    size_t count = 0;
    for (const char *place = path[length] ? path + length + 1 : ""; *place && count < 8;) {
        size_t part = strcspn(place, "&");
        snprintf(members[count], sizeof members[count], "%.*s", (int)part, place);
        sorted[count] = members[count];
        count++;
        place += part + (place[part] == '&');
    }
    qsort(sorted, count, sizeof sorted[0], compare_lines);
    for (size_t i = 0; i < count; i++) {
        char *equals = strchr(sorted[i], '='),
             *value = equals ? equals + 1 : sorted[i] + strlen(sorted[i]);
        buffer_printf(text, "\n%.*s:", (int)(equals ? equals - sorted[i] : (long)strlen(sorted[i])),
                      sorted[i]);
        for (const char *c = value; *c; c++) {
            unsigned code = (unsigned char)*c;
            if (*c == '%' && isxdigit((unsigned char)c[1]) && isxdigit((unsigned char)c[2])) {
                char digits[3] = {c[1], c[2], '\0'};
                code = (unsigned)strtoul(digits, NULL, 16);
                c += 2;
            }
            buffer_append_char(text, (char)code);
        }
    }
}

int blob_sign(const char *key, const char *account, const char *method, const char *url,
              size_t body_size, const struct web_headers *headers, char out[64],
              struct error *error)
{
    static const char *const standard[] = {"content-md5",         "content-type", "date",
                                           "if-modified-since",   "if-match",     "if-none-match",
                                           "if-unmodified-since", "range"};
    unsigned char raw[256], digest[EVP_MAX_MD_SIZE];
    unsigned digest_size = 0;
    struct buffer text;
    size_t key_length = strlen(key);
    buffer_init(&text, 16384);
    bool shaped = key_length >= 4 && key_length <= 340 && key_length % 4 == 0 &&
                  strcspn(key, "=") + 2 >= key_length;
    int raw_size = shaped ? EVP_DecodeBlock(raw, (const unsigned char *)key, (int)key_length) : -1;
    if (raw_size < 0)
        return error_set(error, ERROR_INPUT,
                         "the storage account's key is not base64: is it whole?");
    if (key[key_length - 1] == '=') raw_size--;
    if (key[key_length - 2] == '=') raw_size--;
    buffer_printf(&text, "%s\n\n\n", method);
    if (body_size) buffer_printf(&text, "%zu", body_size);
    buffer_append_char(&text, '\n');
    for (size_t i = 0; i < sizeof standard / sizeof standard[0]; i++)
        buffer_printf(&text, "%s\n", header_value(headers, standard[i]));
    append_ms_headers(headers, &text);
    append_resource(account, url, &text);
    int status = buffer_check(&text, "the request to sign", error);
    if (!status) {
        HMAC(EVP_sha256(), raw, raw_size, (const unsigned char *)text.data, text.length, digest,
             &digest_size);
        EVP_EncodeBlock((unsigned char *)out, digest, (int)digest_size);
    }
    explicit_bzero(raw, sizeof raw);
    buffer_free(&text);
    return status;
}

static int blob_headers(void *context, struct web_headers *headers, struct error *error)
{
    struct blob_request *own = context;
    char date[64];
    time_t now = time(NULL);
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    web_header(headers, "x-ms-version: " BLOB_VERSION);
    web_header(headers, "x-ms-date: %s", date);
    for (const char *const *line = own->lines; line && *line; line++)
        web_header(headers, "%s", *line);
    if (own->account->signing == BLOB_BEARER) {
        const char *token;
        if (az_credential_token(own->account->credential, "https://storage.azure.com", own->fresh,
                                &token, error))
            return -1;
        own->fresh = false;
        web_header(headers, "Authorization: Bearer %s", token);
    } else if (own->account->signing == BLOB_KEY) {
        char signature[64];
        if (headers->failed)
            return error_set(error, ERROR_INPUT, "the upload's headers could not be made");
        if (blob_sign(own->account->secret, own->account->account, own->method, own->url,
                      own->body_size, headers, signature, error))
            return -1;
        web_header(headers, "Authorization: SharedKey %s:%s", own->account->account, signature);
    }
    return 0;
}

/* "…/CONTAINER/PATH?QUERY", the path's parts escaped; the container itself has no path. */
static int blob_url(const struct blob_account *account, const char *path, const char *query,
                    struct buffer *url, struct error *error)
{
    buffer_printf(url, "%s%s", account->url, *path ? "/" : "");
    web_escape(url, path, "/");
    if (query) buffer_printf(url, "?%s", query);
    return buffer_check(url, "the blob's address", error);
}

/* What each code of the service asks of the user
 * (learn.microsoft.com/rest/api/storageservices/blob-service-error-codes and
 * common-rest-api-error-codes). */
static const struct {
    const char *code, *fix;
} refusals[] = {
    {"AuthorizationFailure",
     "the storage account's network rules refuse this machine: allow its address under Networking, "
     "or use a network that may"},
    {"AuthorizationSourceIPMismatch",
     "the access is for other addresses: use a network that it allows"},
    {"AuthorizationPermissionMismatch",
     "ask for the role \"Storage Blob Data Contributor\" on the storage account"},
    {"InsufficientAccountPermissions",
     "ask for the role \"Storage Blob Data Contributor\" on the storage account"},
    {"KeyBasedAuthenticationNotPermitted",
     "the storage account allows no keys: ask for the role \"Storage Blob Data Contributor\" on "
     "it"},
    {"AuthenticationFailed",
     "the storage does not accept the access: check the datastore's credentials in Azure ML, and "
     "this machine's clock"},
    {"InvalidAuthenticationInfo", "sign in again"},
    {"AccountIsDisabled", "the storage account is disabled: ask who keeps the subscription"},
    {"ContainerNotFound", "the container is not there: check the workspace's datastore"},
    {"ContainerDisabled", "the container is disabled: ask who keeps the storage account"},
    {"ContainerBeingDeleted", "the container is being deleted: check the workspace's datastore"},
    {"BlobImmutableDueToPolicy",
     "an immutability policy protects the file: register under another file name"},
    {"LeaseIdMissing", "another program holds a lease on the file: end it, then try again"},
    {"Md5Mismatch", "the file was damaged on the way: try again"},
};

/* This machine's clock against the server's, in minutes; 0 when the answer has no date. Azure takes
 * requests up to 15 minutes off. */
static long clock_error(const struct web_answer *answer)
{
    struct tm parts = {0};
    if (!strptime(answer->date, "%a, %d %b %Y %H:%M:%S", &parts)) return 0;
    return (long)(time(NULL) - timegm(&parts)) / 60;
}

static const char *fix_for(const struct web_answer *answer, const char *code)
{
    if (answer->status >= 500 || answer->status == 429)
        return "the storage has trouble: try again, what was sent is kept";
    if (web_answer_is_page(answer))
        return "the answer is a web page: is a proxy or a sign-in page in between?";
    if (strstr(answer->www_authenticate, "insufficient_claims")) return AZ_OTHER_SIGN_INS;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        if (strcmp(code, refusals[i].code) == 0) return refusals[i].fix;
    if (answer->status == 403)
        return "the storage account refuses: check the datastore's credentials and your rights on "
               "it";
    if (answer->status == 404) return "the container is not there: check the workspace's datastore";
    if (answer->status == 401) return "sign in again";
    if (answer->status >= 300 && answer->status < 400)
        return "the address redirects elsewhere, which is not followed: check it";
    return "see what the storage says";
}

/* A blob's error: the code is in the header, or in the body as <Code>. */
static int describe_blob_error(struct blob_account *account, const struct web_answer *answer,
                               const char *what, struct error *error)
{
    char *code = account->refusal;
    snprintf(code, sizeof account->refusal, "%s", answer->error_code);
    const char *tag = answer->body.data ? strstr(answer->body.data, "<Code>") : NULL;
    if (!code[0] && tag)
        snprintf(code, sizeof account->refusal, "%.*s", (int)strcspn(tag + 6, "<"), tag + 6);
    enum error_code kind = answer->status == 401 || answer->status == 403   ? ERROR_DENIED
                           : answer->status >= 500 || answer->status == 429 ? ERROR_UNAVAILABLE
                                                                            : ERROR_INPUT;
    long minutes = clock_error(answer);
    if (kind == ERROR_DENIED && labs(minutes) >= 15)
        return error_set(error, kind,
                         "%s: HTTP %d%s%s: this machine's clock is %ld minutes %s: set it, then "
                         "try again",
                         what, answer->status, code[0] ? " " : "", code, labs(minutes),
                         minutes > 0 ? "fast" : "slow");
    return error_set(error, kind, "%s: HTTP %d%s%s: %s", what, answer->status, code[0] ? " " : "",
                     code, fix_for(answer, code));
}

/* One request about a blob. */
struct blob_call {
    const char *method, *path;
    const char *query;        /* encoded, or NULL */
    const char *const *lines; /* its own headers, NULL-ended, or NULL */
    const void *body;
    size_t size;
    struct web_request base; /* what, answer_limit, progress, save_to */
};

/* Sends it; `answer` is the caller's to clear. A bearer token that was refused is renewed once. A
 * status that is not in `expected` (0-ended) is an error. */
static int blob_send(struct blob_account *account, const struct blob_call *call,
                     const int *expected, struct web_answer *answer, struct error *error)
{
    struct buffer plain, full;
    buffer_init(&plain, 8192);
    buffer_init(&full, 16384);
    *answer = (struct web_answer){0};
    account->refusal[0] = '\0';
    int status = blob_url(account, call->path, call->query, &plain, error);
    if (!status) {
        buffer_append_text(&full, plain.data);
        if (account->signing == BLOB_SAS)
            buffer_printf(&full, "%s%s", call->query ? "&" : "?", account->secret);
        status = buffer_check(&full, "the blob's address", error);
    }
    struct blob_request own = {.account = account,
                               .method = call->method,
                               .url = plain.data,
                               .body_size = call->size,
                               .lines = call->lines};
    struct web_request request = call->base;
    request.method = call->method;
    request.url = full.data;
    request.body = call->body;
    request.body_size = call->size;
    request.prepare = blob_headers;
    request.context = &own;
    if (!status) status = web_send(account->web, &request, answer, error);
    if (!status && answer->status == 401 && account->signing == BLOB_BEARER) {
        web_answer_clear(answer);
        own.fresh = true;
        status = web_send(account->web, &request, answer, error);
    }
    while (*expected && *expected != answer->status) expected++;
    if (!status && (!*expected || web_answer_is_page(answer)))
        status = describe_blob_error(account, answer, request.what, error);
    if (full.data) explicit_bzero(full.data, full.capacity);
    buffer_free(&full);
    buffer_free(&plain);
    return status;
}

int blob_head(struct blob_account *account, const char *path, struct blob_info *out,
              struct error *error)
{
    const struct blob_call call = {
        .method = "HEAD", .path = path, .base.what = "looking for the file in the storage"};
    struct web_answer answer;
    *out = (struct blob_info){0};
    int status = blob_send(account, &call, (int[]){200, 404, 0}, &answer, error);
    if (!status && answer.status == 200) {
        out->exists = true;
        out->completed = strcmp(answer.upload_status, "completed") == 0;
        out->size = answer.content_length;
        snprintf(out->md5, sizeof out->md5, "%s", answer.content_md5);
    } else if (!status && strcmp(answer.error_code, "ContainerNotFound") == 0) {
        status = describe_blob_error(account, &answer, call.base.what, error);
    }
    web_answer_clear(&answer);
    return status;
}

static struct web_request upload_base(const struct blob_upload *upload, bool progress)
{
    return (struct web_request){.what = "uploading the file",
                                .progress = progress ? upload->progress : NULL,
                                .progress_context = upload->context};
}

static int put_whole(struct blob_account *account, const struct blob_upload *upload,
                     const char *md5, struct error *error)
{
    char md5_line[64];
    snprintf(md5_line, sizeof md5_line, "Content-MD5: %s", md5);
    const char *lines[] = {"x-ms-blob-type: BlockBlob", "Content-Type: application/octet-stream",
                           md5_line, upload->overwrite ? NULL : "If-None-Match: *", NULL};
    const struct blob_call call = {.method = "PUT",
                                   .path = upload->path,
                                   .lines = lines,
                                   .body = upload->data,
                                   .size = upload->size,
                                   .base = upload_base(upload, true)};
    const int expected[] = {201, upload->overwrite ? 0 : 409, 0};
    struct web_answer answer;
    int status = blob_send(account, &call, expected, &answer, error);
    if (!status && answer.status == 409) {
        /* Perhaps our own try whose answer was lost: then what is there is what we sent. */
        struct blob_info there;
        struct blob_upload again = *upload;
        again.overwrite = true;
        status = blob_head(account, upload->path, &there, error);
        if (!status && !(there.size == (int64_t)upload->size && strcmp(there.md5, md5) == 0))
            status = put_whole(account, &again, md5, error);
    }
    web_answer_clear(&answer);
    return status;
}

static void block_id(size_t index, char id[16])
{
    char number[16];
    snprintf(number, sizeof number, "%08zu", index);
    EVP_EncodeBlock((unsigned char *)id, (const unsigned char *)number, 8);
}

/* True when the storage has the block, uncommitted, with this size: the list is small XML of a
 * known shape. */
static bool has_block(const char *list, const char *id, size_t size)
{
    char wanted[128];
    const char *uncommitted = list ? strstr(list, "<UncommittedBlocks>") : NULL;
    snprintf(wanted, sizeof wanted, "<Name>%s</Name><Size>%zu</Size>", id, size);
    return uncommitted && strstr(uncommitted, wanted);
}

static int put_block(struct blob_account *account, const struct blob_upload *upload, const char *id,
                     size_t from, size_t size, struct error *error)
{
    char query[128], md5[32], md5_line[64];
    const char *data = (const char *)upload->data + from;
    struct buffer escaped;
    buffer_init(&escaped, 64);
    web_escape(&escaped, id, "");
    snprintf(query, sizeof query, "comp=block&blockid=%s", escaped.data ? escaped.data : "");
    buffer_free(&escaped);
    md5_base64(data, size, md5);
    snprintf(md5_line, sizeof md5_line, "Content-MD5: %s", md5);
    const char *lines[] = {"Content-Type: application/octet-stream", md5_line, NULL};
    const struct blob_call call = {.method = "PUT",
                                   .path = upload->path,
                                   .query = query,
                                   .lines = lines,
                                   .body = data,
                                   .size = size,
                                   .base = upload_base(upload, false)};
    struct web_answer answer;
    int status = blob_send(account, &call, (int[]){201, 0}, &answer, error);
    web_answer_clear(&answer);
    return status;
}

static int commit_blocks(struct blob_account *account, const struct blob_upload *upload,
                         size_t blocks, const char *md5, struct error *error)
{
    char md5_line[96];
    struct buffer xml;
    struct web_answer answer = {0};
    buffer_init(&xml, MAX_BLOCKS * 32);
    buffer_append_text(&xml, "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
    for (size_t i = 0; i < blocks; i++) {
        char id[16];
        block_id(i, id);
        buffer_printf(&xml, "<Latest>%s</Latest>", id);
    }
    buffer_append_text(&xml, "</BlockList>");
    snprintf(md5_line, sizeof md5_line, "x-ms-blob-content-md5: %s", md5);
    const char *lines[] = {"Content-Type: application/xml",
                           "x-ms-blob-content-type: application/octet-stream", md5_line, NULL};
    const struct blob_call call = {.method = "PUT",
                                   .path = upload->path,
                                   .query = "comp=blocklist",
                                   .lines = lines,
                                   .body = xml.data,
                                   .size = xml.length,
                                   .base = upload_base(upload, true)};
    int status = buffer_check(&xml, "the list of blocks", error);
    if (!status) status = blob_send(account, &call, (int[]){201, 0}, &answer, error);
    web_answer_clear(&answer);
    buffer_free(&xml);
    return status;
}

static int put_blocks(struct blob_account *account, const struct blob_upload *upload,
                      size_t block_size, const char *md5, struct error *error)
{
    const struct blob_call list_call = {
        .method = "GET",
        .path = upload->path,
        .query = "comp=blocklist&blocklisttype=all",
        .base = {.what = "looking for the parts that were sent before",
                 .answer_limit = (size_t)8 << 20}};
    struct web_answer list;
    size_t size = upload->size, blocks = (size + block_size - 1) / block_size;
    if (blocks > MAX_BLOCKS)
        return error_set(error, ERROR_INPUT,
                         "uploading the file: %zu bytes are too many for one "
                         "blob: %zu is the limit",
                         size, MAX_BLOCKS * block_size);
    int status = blob_send(account, &list_call, (int[]){200, 404, 0}, &list, error);
    for (size_t i = 0; !status && i < blocks; i++) {
        char id[16];
        size_t from = i * block_size, part = size - from < block_size ? size - from : block_size;
        block_id(i, id);
        if (!(list.status == 200 && has_block(list.body.data, id, part)))
            status = put_block(account, upload, id, from, part, error);
        if (!status && upload->progress) upload->progress(upload->context, from + part, size);
    }
    web_answer_clear(&list);
    return status ? -1 : commit_blocks(account, upload, blocks, md5, error);
}

/* $NNSTUDIO_BLOCK_BYTES: larger files go in blocks of this size, so that less is sent again after a
 * cut on a poor line. */
static size_t block_setting(void)
{
    const char *text = getenv("NNSTUDIO_BLOCK_BYTES");
    unsigned long bytes = text ? strtoul(text, NULL, 10) : 0;
    return bytes >= 4096 && bytes <= BLOB_WHOLE ? bytes : 0;
}

int blob_put(struct blob_account *account, const struct blob_upload *upload, struct error *error)
{
    char md5[32];
    md5_base64(upload->data, upload->size, md5);
    size_t block = block_setting(), whole = block ? block : BLOB_WHOLE;
    if (upload->size <= whole) return put_whole(account, upload, md5, error);
    return put_blocks(account, upload, block ? block : BLOB_BLOCK, md5, error);
}

int blob_mark(struct blob_account *account, const char *path, const char *name, const char *version,
              struct error *error)
{
    char name_line[320], version_line[128];
    snprintf(name_line, sizeof name_line, "x-ms-meta-name: %s", name);
    snprintf(version_line, sizeof version_line, "x-ms-meta-version: %s", version);
    const char *lines[] = {"x-ms-meta-upload_status: completed", name_line, version_line, NULL};
    const struct blob_call call = {.method = "PUT",
                                   .path = path,
                                   .query = "comp=metadata",
                                   .lines = lines,
                                   .body = "",
                                   .base.what = "marking the upload as whole"};
    struct web_answer answer;
    int status = blob_send(account, &call, (int[]){200, 0}, &answer, error);
    web_answer_clear(&answer);
    return status;
}

int blob_get(struct blob_account *account, const char *path, FILE *file, struct error *error)
{
    const struct blob_call call = {
        .method = "GET", .path = path, .base = {.what = "downloading the file", .save_to = file}};
    struct web_answer answer;
    int status = blob_send(account, &call, (int[]){200, 0}, &answer, error);
    web_answer_clear(&answer);
    return status;
}

/* The text of the element <name> in what begins at `from` and ends at `end`, its entities read; -1
 * when there is none or it does not fit. */
static int element(const char *from, const char *end, const char *name, char *out, size_t size)
{
    static const struct {
        const char *entity;
        char sign;
    } entities[] = {
        {"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
    char opening[40];
    snprintf(opening, sizeof opening, "<%s>", name);
    const char *place = strstr(from, opening);
    size_t used = 0;
    if (!place || place >= end) return -1;
    for (place += strlen(opening); *place && *place != '<'; used++) {
        size_t length = 1;
        if (used + 1 >= size) return -1;
        out[used] = *place;
        for (size_t i = 0; *place == '&' && i < sizeof entities / sizeof entities[0]; i++) {
            if (strncmp(place, entities[i].entity, strlen(entities[i].entity)) != 0) continue;
            length = strlen(entities[i].entity);
            out[used] = entities[i].sign;
        }
        place += length;
    }
    out[used] = '\0';
    return 0;
}

static int list_page(const char *text,
                     int (*row)(void *context, const char *path, int64_t size, struct error *error),
                     void *context, struct error *error)
{
    for (const char *blob = text; (blob = strstr(blob, "<Blob>"));) {
        char path[1100], size[32];
        const char *end = strstr(blob, "</Blob>");
        if (!end || element(blob, end, "Name", path, sizeof path) ||
            element(blob, end, "Content-Length", size, sizeof size))
            return error_set(error, ERROR_UNAVAILABLE,
                             "listing the files: the storage's answer is not understood");
        if (row(context, path, strtoll(size, NULL, 10), error)) return -1;
        blob = end;
    }
    return 0;
}

int blob_list(struct blob_account *account, const char *prefix,
              int (*row)(void *context, const char *path, int64_t size, struct error *error),
              void *context, struct error *error)
{
    char marker[600] = "";
    int status = 0, pages = 0;
    do {
        struct buffer query;
        struct web_answer answer = {0};
        buffer_init(&query, 4096);
        buffer_append_text(&query, "restype=container&comp=list&prefix=");
        web_escape(&query, prefix, "");
        if (*marker) {
            buffer_append_text(&query, "&marker=");
            web_escape(&query, marker, "");
        }
        status = buffer_check(&query, "the list's address", error);
        const struct blob_call call = {
            .method = "GET",
            .path = "",
            .query = query.data,
            .base = {.what = "listing the files", .answer_limit = (size_t)16 << 20}};
        if (!status) status = blob_send(account, &call, (int[]){200, 0}, &answer, error);
        const char *text = answer.body.data ? answer.body.data : "";
        if (!status) status = list_page(text, row, context, error);
        if (element(text, text + strlen(text), "NextMarker", marker, sizeof marker)) *marker = '\0';
        web_answer_clear(&answer);
        buffer_free(&query);
    } while (!status && *marker && ++pages < 20);
    return status;
}

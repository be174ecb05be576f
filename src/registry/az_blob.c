#include "registry/az_blob.h"

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

int az_upload_hash(const void *data, size_t size, char out[HASH_HEX_SIZE], struct error *error)
{
    static const char start[] = "Initialize for october 2021 AML CLI version";
    struct hash *hash;
    if (hash_create(&hash, error)) return -1;
    hash_update(hash, start, sizeof start - 1);
    hash_update(hash, data, size);
    hash_finish(hash, out);
    return 0;
}

/* One request to a blob: what the signer needs to know. */
struct blob_request {
    const struct blob_account *account;
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

/* "…/CONTAINER/PATH?QUERY", the path's parts escaped. */
static int blob_url(const struct blob_account *account, const char *path, const char *query,
                    struct buffer *url, struct error *error)
{
    buffer_printf(url, "%s/", account->url);
    web_escape(url, path, "/");
    if (query) buffer_printf(url, "?%s", query);
    return buffer_check(url, "the blob's address", error);
}

/* A blob's error: the code is in the header, or in the body as <Code>. */
static int describe_blob_error(const struct web_answer *answer, const char *what,
                               struct error *error)
{
    char code[96];
    snprintf(code, sizeof code, "%s", answer->error_code);
    const char *tag = answer->body.data ? strstr(answer->body.data, "<Code>") : NULL;
    if (!code[0] && tag) snprintf(code, sizeof code, "%.*s", (int)strcspn(tag + 6, "<"), tag + 6);
    const char *mend =
        answer->status >= 500 || answer->status == 429
            ? "the storage has trouble: try again, what was sent is kept"
        : web_answer_is_page(answer)
            ? "the answer is a web page: is a proxy or a sign-in page in between?"
        : answer->status == 403
            ? "the storage account refuses: check the datastore's credentials and your rights on it"
        : answer->status == 404 ? "the container is not there: check the workspace's datastore"
        : answer->status == 401 ? "sign in again"
        : answer->status >= 300 && answer->status < 400
            ? "the address redirects elsewhere, which is not followed: check it"
            : "see what the storage says";
    enum error_code kind = answer->status == 401 || answer->status == 403   ? ERROR_DENIED
                           : answer->status >= 500 || answer->status == 429 ? ERROR_UNAVAILABLE
                                                                            : ERROR_INPUT;
    return error_set(error, kind, "%s: HTTP %d%s%s: %s", what, answer->status, code[0] ? " " : "",
                     code, mend);
}

/* One request; `answer` is the caller's to clear. A bearer token that was refused is renewed once.
 */
static int blob_send(struct web *web, const struct blob_account *account, const char *method,
                     const char *path, const char *query, const char *const *lines,
                     const void *body, size_t size, const struct web_request *more,
                     struct web_answer *answer, struct error *error)
{
    struct buffer plain, full;
    buffer_init(&plain, 8192);
    buffer_init(&full, 16384);
    *answer = (struct web_answer){0};
    int status = blob_url(account, path, query, &plain, error);
    if (!status) {
        buffer_append_text(&full, plain.data);
        if (account->signing == BLOB_SAS)
            buffer_printf(&full, "%s%s", query ? "&" : "?", account->secret);
        status = buffer_check(&full, "the blob's address", error);
    }
    if (!status) {
        struct blob_request own = {.account = account,
                                   .method = method,
                                   .url = plain.data,
                                   .body_size = size,
                                   .lines = lines};
        struct web_request request = *more;
        request.method = method;
        request.url = full.data;
        request.body = body;
        request.body_size = size;
        request.prepare = blob_headers;
        request.context = &own;
        status = web_send(web, &request, answer, error);
        if (!status && answer->status == 401 && account->signing == BLOB_BEARER) {
            web_answer_clear(answer);
            own.fresh = true;
            status = web_send(web, &request, answer, error);
        }
    }
    /* whatever its status says */
    if (!status && web_answer_is_page(answer))
        status = describe_blob_error(answer, more->what, error);
    if (full.data) explicit_bzero(full.data, full.capacity);
    buffer_free(&full);
    buffer_free(&plain);
    return status;
}

int blob_head(struct web *web, const struct blob_account *account, const char *path,
              struct blob_info *out, struct error *error)
{
    const struct web_request more = {.what = "looking for the file in the storage"};
    struct web_answer answer;
    *out = (struct blob_info){0};
    int status = blob_send(web, account, "HEAD", path, NULL, NULL, NULL, 0, &more, &answer, error);
    if (!status && answer.status == 200) {
        out->exists = true;
        out->completed = strcmp(answer.upload_status, "completed") == 0;
        out->size = answer.content_length;
        snprintf(out->md5, sizeof out->md5, "%s", answer.content_md5);
    } else if (!status && answer.status != 404) {
        status = describe_blob_error(&answer, more.what, error);
    }
    web_answer_clear(&answer);
    return status;
}

static int put_whole(struct web *web, const struct blob_account *account, const char *path,
                     const void *data, size_t size, bool overwrite, const char *md5,
                     const struct web_request *more, struct error *error)
{
    char md5_line[64];
    snprintf(md5_line, sizeof md5_line, "Content-MD5: %s", md5);
    const char *lines[] = {"x-ms-blob-type: BlockBlob", "Content-Type: application/octet-stream",
                           md5_line, overwrite ? NULL : "If-None-Match: *", NULL};
    struct web_answer answer;
    int status = blob_send(web, account, "PUT", path, NULL, lines, data, size, more, &answer,
                           error);
    if (!status && answer.status == 409 && !overwrite) {
        /* Perhaps our own try whose answer was lost: then what is there is what we sent. */
        struct blob_info there;
        status = blob_head(web, account, path, &there, error);
        if (!status && !(there.size == (int64_t)size && strcmp(there.md5, md5) == 0))
            status = put_whole(web, account, path, data, size, true, md5, more, error);
    } else if (!status && answer.status != 201) {
        status = describe_blob_error(&answer, more->what, error);
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

static int put_block(struct web *web, const struct blob_account *account, const char *path,
                     const char *id, const void *data, size_t size, const struct web_request *more,
                     struct error *error)
{
    char query[128], md5[32], md5_line[64];
    struct buffer escaped;
    buffer_init(&escaped, 64);
    web_escape(&escaped, id, "");
    snprintf(query, sizeof query, "comp=block&blockid=%s", escaped.data ? escaped.data : "");
    buffer_free(&escaped);
    md5_base64(data, size, md5);
    snprintf(md5_line, sizeof md5_line, "Content-MD5: %s", md5);
    const char *lines[] = {"Content-Type: application/octet-stream", md5_line, NULL};
    struct web_answer answer;
    int status = blob_send(web, account, "PUT", path, query, lines, data, size, more, &answer,
                           error);
    if (!status && answer.status != 201) status = describe_blob_error(&answer, more->what, error);
    web_answer_clear(&answer);
    return status;
}

static int commit_blocks(struct web *web, const struct blob_account *account, const char *path,
                         size_t blocks, const char *md5, const struct web_request *more,
                         struct error *error)
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
    int status = buffer_check(&xml, "the list of blocks", error);
    if (!status)
        status = blob_send(web, account, "PUT", path, "comp=blocklist", lines, xml.data, xml.length,
                           more, &answer, error);
    if (!status && answer.status != 201) status = describe_blob_error(&answer, more->what, error);
    web_answer_clear(&answer);
    buffer_free(&xml);
    return status;
}

static int put_blocks(struct web *web, const struct blob_account *account, const char *path,
                      const unsigned char *data, size_t size, size_t block_size, const char *md5,
                      const struct web_request *more, struct error *error)
{
    struct web_request list_request = {.what = "looking for the parts that were sent before",
                                       .answer_limit = (size_t)8 << 20};
    struct web_request block_request = {.what = more->what};
    struct web_answer list;
    size_t blocks = (size + block_size - 1) / block_size;
    if (blocks > MAX_BLOCKS)
        return error_set(error, ERROR_INPUT, "%s: the file is too large for one blob", more->what);
    int status = blob_send(web, account, "GET", path, "comp=blocklist&blocklisttype=all", NULL,
                           NULL, 0, &list_request, &list, error);
    for (size_t i = 0; !status && i < blocks; i++) {
        char id[16];
        size_t part = size - i * block_size < block_size ? size - i * block_size : block_size;
        block_id(i, id);
        if (!(list.status == 200 && has_block(list.body.data, id, part)))
            status = put_block(web, account, path, id, data + i * block_size, part, &block_request,
                               error);
        if (!status && more->progress)
            more->progress(more->progress_context, i * block_size + part, size);
    }
    web_answer_clear(&list);
    return status ? -1 : commit_blocks(web, account, path, blocks, md5, more, error);
}

/* $NNSTUDIO_BLOCK_BYTES: larger files go in blocks of this size, so that less is sent again after
 * a cut on a poor line. */
static size_t block_setting(void)
{
    const char *text = getenv("NNSTUDIO_BLOCK_BYTES");
    unsigned long bytes = text ? strtoul(text, NULL, 10) : 0;
    return bytes >= 4096 && bytes <= BLOB_WHOLE ? bytes : 0;
}

int blob_put(struct web *web, const struct blob_account *account, const char *path,
             const void *data, size_t size, bool overwrite,
             void (*progress)(void *context, uint64_t done, uint64_t total), void *context,
             struct error *error)
{
    const struct web_request more = {
        .what = "uploading the file", .progress = progress, .progress_context = context};
    char md5[32];
    md5_base64(data, size, md5);
    size_t block = block_setting(), whole = block ? block : BLOB_WHOLE;
    if (!block) block = BLOB_BLOCK;
    if (size <= whole)
        return put_whole(web, account, path, data, size, overwrite, md5, &more, error);
    return put_blocks(web, account, path, data, size, block, md5, &more, error);
}

int blob_mark(struct web *web, const struct blob_account *account, const char *path,
              const char *name, const char *version, struct error *error)
{
    const struct web_request more = {.what = "marking the upload as whole"};
    char name_line[320], version_line[128];
    snprintf(name_line, sizeof name_line, "x-ms-meta-name: %s", name);
    snprintf(version_line, sizeof version_line, "x-ms-meta-version: %s", version);
    const char *lines[] = {"x-ms-meta-upload_status: completed", name_line, version_line, NULL};
    struct web_answer answer;
    int status = blob_send(web, account, "PUT", path, "comp=metadata", lines, "", 0, &more, &answer,
                           error);
    if (!status && answer.status != 200) status = describe_blob_error(&answer, more.what, error);
    web_answer_clear(&answer);
    return status;
}

int blob_get(struct web *web, const struct blob_account *account, const char *path, FILE *file,
             struct error *error)
{
    const struct web_request more = {.what = "downloading the file", .save_to = file};
    struct web_answer answer;
    int status = blob_send(web, account, "GET", path, NULL, NULL, NULL, 0, &more, &answer, error);
    if (!status && answer.status != 200) status = describe_blob_error(&answer, more.what, error);
    web_answer_clear(&answer);
    return status;
}

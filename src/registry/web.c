#include "registry/web.h"

#include <ctype.h>
#include <curl/curl.h>
#include <math.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/js.h"
#include "base/wanted.h"

#define CONNECT_SECONDS 10L
#define LONGEST_WAIT    60.0

struct web {
    CURL *curl;
    struct web_options options;
    char *ca_file; /* owned, or NULL */
    bool ca_is_folder;
    char pin[80]; /* "sha256//…" of the public key that a request's certificate_sha1 stands for */
    long stall_seconds; /* without a byte: the connection is given up */
};

/* A positive number from the environment, for tests and for slow lines. */
static double from_environment(const char *name, double otherwise)
{
    const char *text = getenv(name);
    double value = text ? strtod(text, NULL) : 0;
    return value > 0 && value < 3600 ? value : otherwise;
}

/* Tokens and keys are in memory from now on. The limit keeps core files away, the flag also cores
 * that are piped to a program (core(5): those heed no limit), and other processes of the same
 * user. */
static void leave_no_core(void)
{
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    prctl(PR_SET_DUMPABLE, 0);
}

int web_create(const struct web_options *options, struct web **out, struct error *error)
{
    leave_no_core();
    struct web *web = calloc(1, sizeof *web);
    if (!web) return error_set_memory(error, "a connection");
    web->options = *options;
    if (web->options.retry_base <= 0)
        web->options.retry_base = from_environment("NNSTUDIO_RETRY_BASE", 0.8);
    web->stall_seconds = (long)from_environment("NNSTUDIO_STALL_SECONDS", 60);
    static const char *const variables[] = {"NNSTUDIO_CA_FILE", "REQUESTS_CA_BUNDLE",
                                            "CURL_CA_BUNDLE", "SSL_CERT_FILE"};
    const char *file = options->ca_file;
    for (size_t i = 0; i < sizeof variables / sizeof variables[0] && (!file || !*file); i++)
        file = getenv(variables[i]);
    if (file && *file) web->ca_file = strdup(file);
    web->ca_is_folder = web->ca_file && file_is_directory(web->ca_file);
    web->curl = curl_easy_init();
    if (!web->curl || (file && *file && !web->ca_file)) {
        web_destroy(web);
        return error_set_memory(error, "a connection");
    }
    *out = web;
    return 0;
}

void web_destroy(struct web *web)
{
    if (!web) return;
    curl_easy_cleanup(web->curl);
    free(web->ca_file);
    free(web);
}

bool web_cancelled(const struct web *web)
{
    return !wanted() || (web->options.cancelled && web->options.cancelled(web->options.context));
}

int web_wait(struct web *web, double seconds, struct error *error)
{
    double until = clock_monotonic() + seconds;
    for (;;) {
        if (web_cancelled(web))
            return error_set(error, ERROR_INTERRUPTED,
                             "stopped: nothing was left half-done; start again to go on");
        double left = until - clock_monotonic();
        if (left <= 0) return 0;
        usleep((useconds_t)(fmin(left, 0.1) * 1e6));
    }
}

void web_header(struct web_headers *headers, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *line = NULL;
    if (headers->count >= WEB_MAX_HEADERS || vasprintf(&line, format, arguments) < 0) {
        headers->failed = true;
    } else if (strpbrk(line, "\r\n")) {
        free(line); /* a header smuggled in by a value */
        headers->failed = true;
    } else {
        headers->lines[headers->count++] = line;
    }
    va_end(arguments);
}

void web_headers_clear(struct web_headers *headers)
{
    for (size_t i = 0; i < headers->count; i++) {
        explicit_bzero(headers->lines[i], strlen(headers->lines[i]));
        free(headers->lines[i]);
    }
    *headers = (struct web_headers){0};
}

void web_answer_clear(struct web_answer *answer)
{
    if (answer->body.data) explicit_bzero(answer->body.data, answer->body.capacity);
    buffer_free(&answer->body);
    *answer = (struct web_answer){0};
}

const char *web_public_url(const char *url)
{
    static _Thread_local char text[512];
    const char *slashes = strstr(url, "://"), *host = slashes ? slashes + 3 : url;
    const char *at = memrchr(host, '@', strcspn(host, "/?#"));
    const char *rest = at ? at + 1 : host;
    snprintf(text, sizeof text, "%.*s%.*s", (int)(host - url), url, (int)strcspn(rest, "?#"), rest);
    return text;
}

void web_escape(struct buffer *out, const char *text, const char *keep)
{
    for (const char *c = text; *c; c++) {
        if (isalnum((unsigned char)*c) || strchr("-._~", *c) || strchr(keep, *c)) {
            buffer_append_char(out, *c);
        } else {
            buffer_printf(out, "%%%02X", (unsigned char)*c);
        }
    }
}

/* The host of an address into `out`, without user, port and brackets. */
static void host_of(const char *url, char *out, size_t size)
{
    const char *start = strstr(url, "://");
    start = start ? start + 3 : url;
    size_t length = strcspn(start, "/?#");
    const char *at = memchr(start, '@', length);
    if (at) start = at + 1;
    if (*start == '[') {
        start++;
        length = strcspn(start, "]");
    } else {
        length = strcspn(start, ":/?#");
    }
    snprintf(out, size, "%.*s", (int)length, start);
}

bool web_is_loopback(const char *url)
{
    char host[256];
    host_of(url, host, sizeof host);
    size_t length = strlen(host);
    return strcmp(host, "127.0.0.1") == 0 || strcmp(host, "::1") == 0 ||
           strcasecmp(host, "localhost") == 0 ||
           (length > 10 && strcasecmp(host + length - 10, ".localhost") == 0);
}

static int check_url(const struct web *web, const struct web_request *request, struct error *error)
{
    if (strncmp(request->url, "https://", 8) == 0) return 0;
    char host[256];
    host_of(request->url, host, sizeof host);
    if (strncmp(request->url, "http://", 7) == 0 &&
        (web->options.insecure_http || web_is_loopback(request->url) ||
         (request->link_local && strncmp(host, "169.254.", 8) == 0)))
        return 0;
    return error_set(
        error, ERROR_INPUT,
        "%s: %s is not https: secrets go over TLS only, plain http only to this machine",
        request->what, web_public_url(request->url));
}

/* What curl's callbacks share about one try. */
struct attempt {
    struct web *web;
    const struct web_request *request;
    struct web_answer *answer;
    size_t sent;
    curl_off_t told; /* of the body, to the progress function */
    bool too_large, unwritable;
};

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct attempt *attempt = context;
    size_t bytes = size * count;
    long status = 0;
    curl_easy_getinfo(attempt->web->curl, CURLINFO_RESPONSE_CODE, &status);
    if (attempt->request->save_to && status >= 200 && status < 300) {
        attempt->unwritable = fwrite(data, 1, bytes, attempt->request->save_to) != bytes;
        return attempt->unwritable ? 0 : bytes;
    }
    if (buffer_append(&attempt->answer->body, data, bytes) == 0) return bytes;
    attempt->too_large = true;
    return 0;
}

static size_t on_header(char *data, size_t size, size_t count, void *context)
{
    struct attempt *attempt = context;
    struct web_answer *answer = attempt->answer;
    const struct {
        const char *name;
        char *place;
        size_t size;
    } wanted[] = {
        {"retry-after", answer->retry_after, sizeof answer->retry_after},
        {"retry-after-ms", answer->retry_after_ms, sizeof answer->retry_after_ms},
        {"x-ms-retry-after-ms", answer->retry_after_ms, sizeof answer->retry_after_ms},
        {"x-ms-error-code", answer->error_code, sizeof answer->error_code},
        {"x-ms-request-id", answer->request_id, sizeof answer->request_id},
        {"content-md5", answer->content_md5, sizeof answer->content_md5},
        {"location", answer->location, sizeof answer->location},
        {"azure-asyncoperation", answer->operation, sizeof answer->operation},
        {"content-type", answer->content_type, sizeof answer->content_type},
        {"x-ms-meta-upload_status", answer->upload_status, sizeof answer->upload_status},
        {"x-ms-meta-version", answer->version, sizeof answer->version},
        {"date", answer->date, sizeof answer->date},
        {"www-authenticate", answer->www_authenticate, sizeof answer->www_authenticate},
    };
    size_t bytes = size * count;
    const char *colon = memchr(data, ':', bytes);
    if (!colon) return bytes;
    const char *value = colon + 1, *end = data + bytes;
    while (value < end && isspace((unsigned char)*value)) value++;
    while (end > value && isspace((unsigned char)end[-1])) end--;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (strlen(wanted[i].name) == (size_t)(colon - data) &&
            strncasecmp(data, wanted[i].name, (size_t)(colon - data)) == 0)
            snprintf(wanted[i].place, wanted[i].size, "%.*s", (int)(end - value), value);
    return bytes;
}

static size_t on_upload(char *data, size_t size, size_t count, void *context)
{
    struct attempt *attempt = context;
    size_t room = size * count, left = attempt->request->body_size - attempt->sent;
    if (room > left) room = left;
    memcpy(data, (const char *)attempt->request->body + attempt->sent, room);
    attempt->sent += room;
    return room;
}

static int on_progress(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up)
{
    (void)down_total;
    (void)down;
    (void)up_total;
    struct attempt *attempt = context;
    if (attempt->request->progress && up > attempt->told) {
        attempt->told = up;
        attempt->request->progress(attempt->request->progress_context, (uint64_t)up,
                                   attempt->request->body_size);
    }
    return web_cancelled(attempt->web);
}

static void set_options(struct web *web, struct attempt *attempt, struct curl_slist *headers)
{
    const struct web_request *request = attempt->request;
    CURL *curl = web->curl;
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, web->stall_seconds);
    /* On a connection that was used before and has died, curl sends a request twice by itself: not
     * one that counts. */
    curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, request->tries == 1 ? 1L : 0L);
    if (request->timeout_ms) curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, request->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "nnstudio/" NNSTUDIO_VERSION);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, attempt);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, attempt);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, attempt);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    if (web->ca_file) /* a folder of hashed certificates is allowed, as in Python's requests */
        curl_easy_setopt(curl, web->ca_is_folder ? CURLOPT_CAPATH : CURLOPT_CAINFO, web->ca_file);
    if (request->link_local || web_is_loopback(request->url))
        curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    if (request->certificate_sha1) {
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L); /* the pin says more */
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
        curl_easy_setopt(curl, CURLOPT_PINNEDPUBLICKEY, web->pin);
    }
    if (strcmp(request->method, "HEAD") == 0) {
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    } else if (request->body && strcmp(request->method, "PUT") == 0) {
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_upload);
        curl_easy_setopt(curl, CURLOPT_READDATA, attempt);
        curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->body_size);
    } else {
        if (request->body) {
            curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
            curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_size);
        }
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    }
}

/* The pin of the certificate's public key when its SHA-1 is the one wanted. */
static bool pin_of(const char *pem, const char *sha1, char pin[80])
{
    unsigned char digest[EVP_MAX_MD_SIZE], key[32], *der = NULL;
    char hex[2 * EVP_MAX_MD_SIZE + 1] = "";
    unsigned size = 0;
    BIO *text = BIO_new_mem_buf(pem, -1);
    X509 *certificate = text ? PEM_read_bio_X509(text, NULL, NULL, NULL) : NULL;
    bool same = certificate && X509_digest(certificate, EVP_sha1(), digest, &size);
    for (unsigned i = 0; same && i < size; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    same = same && strcasecmp(hex, sha1) == 0;
    int length = same ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der) : 0;
    same = length > 0 && EVP_Digest(der, (size_t)length, key, NULL, EVP_sha256(), NULL) == 1;
    if (same) EVP_EncodeBlock((unsigned char *)pin + snprintf(pin, 9, "sha256//"), key, 32);
    OPENSSL_free(der);
    X509_free(certificate);
    BIO_free(text);
    return same;
}

/* Looks at the server's certificate before anything is sent there. */
static int find_pin(struct web *web, const struct web_request *request, struct error *error)
{
    CURL *curl = curl_easy_init();
    struct curl_certinfo *found = NULL;
    bool same = false;
    if (!curl) return error_set_memory(error, "a connection");
    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L); /* it is only read, and compared */
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(curl, CURLOPT_CERTINFO, 1L);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    CURLcode code = curl_easy_perform(curl);
    if (code == CURLE_OK) curl_easy_getinfo(curl, CURLINFO_CERTINFO, &found);
    for (struct curl_slist *line = found && found->num_of_certs ? found->certinfo[0] : NULL;
         line && !same; line = line->next)
        same = strncmp(line->data, "Cert:", 5) == 0 &&
               pin_of(line->data + 5, request->certificate_sha1, web->pin);
    curl_easy_cleanup(curl);
    if (code != CURLE_OK)
        return error_set(error, ERROR_UNAVAILABLE, "%s: no answer from %s (%s): check the address",
                         request->what, web_public_url(request->url), curl_easy_strerror(code));
    if (same) return 0;
    return error_set(error, ERROR_DENIED,
                     "%s: the certificate of %s is not the one with the SHA-1 %.40s: nothing was "
                     "sent there",
                     request->what, web_public_url(request->url), request->certificate_sha1);
}

/* One try. 0: there is an answer; 1: the connection failed in a way that may pass (message set);
 * -1: final. */
static int try_once(struct web *web, const struct web_request *request, struct web_answer *answer,
                    struct error *error)
{
    struct attempt attempt = {.web = web, .request = request, .answer = answer};
    struct web_headers headers = {0};
    struct curl_slist *list = NULL;
    int status = -1;
    if (request->prepare && request->prepare(request->context, &headers, error)) goto out;
    web_header(&headers, "Expect:");
    if (headers.failed) {
        error_set(error, ERROR_INPUT,
                  "%s: a header could not be made: is there a line break in a name or tag?",
                  request->what);
        goto out;
    }
    for (size_t i = 0; i < headers.count; i++) {
        struct curl_slist *longer = curl_slist_append(list, headers.lines[i]);
        if (!longer) {
            error_set_memory(error, "a request");
            goto out;
        }
        list = longer;
    }
    set_options(web, &attempt, list);
    CURLcode code = curl_easy_perform(web->curl);
    long http = 0;
    curl_off_t length = -1;
    curl_easy_getinfo(web->curl, CURLINFO_RESPONSE_CODE, &http);
    curl_easy_getinfo(web->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    answer->status = (int)http;
    answer->content_length = length;
    if (code == CURLE_OK) {
        status = 0;
    } else if (code == CURLE_ABORTED_BY_CALLBACK) {
        error_set(error, ERROR_INTERRUPTED, "stopped while %s: start again to go on",
                  request->what);
    } else if (attempt.too_large) {
        error_set(error, ERROR_INPUT,
                  "%s: the answer is larger than %zu bytes: is this the right address?",
                  request->what, answer->body.limit);
    } else if (attempt.unwritable) {
        error_set(error, ERROR_IO, "%s: the file cannot be written: is the disk full?",
                  request->what);
    } else {
        error_set(error, ERROR_UNAVAILABLE,
                  "%s: no answer from %s (%s): check the address and the network, then try again",
                  request->what, web_public_url(request->url), curl_easy_strerror(code));
        status = code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
                         code == CURLE_URL_MALFORMAT
                     ? -1
                     : 1;
    }
out:
    for (struct curl_slist *item = list; item; item = item->next)
        explicit_bzero(item->data, strlen(item->data));
    curl_slist_free_all(list);
    web_headers_clear(&headers);
    return status;
}

static bool passes(int status)
{
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
           status == 504;
}

double web_pause(const struct web *web, unsigned attempt)
{
    double jitter = 0.75 + 0.5 * ((double)(clock_wall_ms() % 1000) / 1000);
    return fmin(web->options.retry_base * pow(2, attempt) * jitter, LONGEST_WAIT);
}

bool web_retry_after(const char *text, int64_t now, double *seconds)
{
    char *end;
    if (isdigit((unsigned char)*text)) {
        *seconds = strtod(text, &end);
        if (*end) return false;
    } else {
        time_t when = curl_getdate(text, NULL);
        if (when < 0) return false;
        *seconds = (double)when - (double)now;
    }
    *seconds = fmin(fmax(*seconds, 0), LONGEST_WAIT);
    return true;
}

bool web_answer_pause(const struct web_answer *answer, double *seconds)
{
    if (!isdigit((unsigned char)answer->retry_after_ms[0]))
        return web_retry_after(answer->retry_after, time(NULL), seconds);
    *seconds = fmin(strtod(answer->retry_after_ms, NULL) / 1000, LONGEST_WAIT);
    return true;
}

static double wait_before(const struct web *web, const struct web_answer *answer, unsigned attempt)
{
    double seconds;
    return web_answer_pause(answer, &seconds) ? seconds : web_pause(web, attempt);
}

int web_send(struct web *web, const struct web_request *request, struct web_answer *answer,
             struct error *error)
{
    unsigned tries = request->tries ? request->tries : WEB_TRIES;
    *answer = (struct web_answer){0};
    if (check_url(web, request, error)) return -1;
    if (request->certificate_sha1 && find_pin(web, request, error)) return -1;
    for (unsigned attempt = 0;; attempt++) {
        web_answer_clear(answer);
        buffer_init(&answer->body,
                    request->answer_limit ? request->answer_limit : WEB_ANSWER_LIMIT);
        if (request->save_to && attempt &&
            (fseek(request->save_to, 0, SEEK_SET) || ftruncate(fileno(request->save_to), 0)))
            return error_set(error, ERROR_IO, "%s: the file cannot be written anew", request->what);
        int status = try_once(web, request, answer, error);
        if (status < 0) return -1;
        if (status == 0 && !passes(answer->status)) return 0;
        if (attempt + 1 >= tries) return status == 0 ? 0 : -1;
        if (web_wait(web, wait_before(web, answer, attempt), error)) return -1;
    }
}

bool web_answer_is_page(const struct web_answer *answer)
{
    return strcasestr(answer->content_type, "text/html") != NULL;
}

int web_answer_json(const struct web_answer *answer, const char *what, json_t **out,
                    struct error *error)
{
    struct error inner;
    const char *text = answer->body.data ? answer->body.data : "";
    if (js_parse_object(text, answer->body.length, "the answer", out, &inner) == 0) return 0;
    return error_set(
        error, ERROR_UNAVAILABLE,
        "%s: HTTP %d with an answer that is not JSON%s: is a proxy or a sign-in page in between?",
        what, answer->status, web_answer_is_page(answer) ? " but a web page" : "");
}

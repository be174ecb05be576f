/* Signing in without a person: service principal, workload identity, managed identity, the Azure
 * CLI. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/environment.h"
#include "base/file.h"
#include "base/js.h"
#include "registry/azure/token_impl.h"

#define IMDS        "http://169.254.169.254"
#define CLI_SECONDS 10.0
#define CLI_LIMIT   ((size_t)64 << 10)

static int post_client_form(struct az_credential *credential, struct buffer *form,
                            const char *resource, const char *what, struct az_grant *grant,
                            struct error *error)
{
    char scope[512];
    json_t *answer = NULL;
    int http = 0;
    az_scope(credential, resource, false, scope);
    az_form(form, "client_id", credential->client_id);
    az_form(form, "grant_type", "client_credentials");
    az_form(form, "scope", scope);
    int status = az_post_form(credential, "token", form, what, &http, &answer, error);
    if (!status) status = az_read_grant(answer, http, what, grant, error);
    json_decref(answer);
    if (form->data) explicit_bzero(form->data, form->capacity);
    buffer_free(form);
    return status;
}

int az_get_service_principal(struct az_credential *credential, const char *resource,
                             struct az_grant *grant, struct error *error)
{
    struct buffer form;
    buffer_init(&form, 65536);
    const char *secret = getenv("AZURE_CLIENT_SECRET");
    az_form(&form, "client_secret", secret ? secret : "");
    return post_client_form(credential, &form, resource, "signing in as the service principal",
                            grant, error);
}

int az_get_workload(struct az_credential *credential, const char *resource, struct az_grant *grant,
                    struct error *error)
{
    /* Read anew each time: the file is rotated. */
    char *assertion;
    size_t size;
    const char *file = getenv("AZURE_FEDERATED_TOKEN_FILE");
    if (file_read(file ? file : "", CLI_LIMIT, &assertion, &size, error))
        return error_prefix(error, "AZURE_FEDERATED_TOKEN_FILE");
    while (size && strchr(" \r\n\t", assertion[size - 1])) assertion[--size] = '\0';
    struct buffer form;
    buffer_init(&form, 131072);
    az_form(&form, "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    az_form(&form, "client_assertion", assertion + strspn(assertion, " \r\n\t"));
    explicit_bzero(assertion, size);
    free(assertion);
    return post_client_form(credential, &form, resource, "signing in with the workload identity",
                            grant, error);
}

/* The three forms of the managed identity's endpoint: App Service, Azure ML's compute, and a
 * machine's identity service. */
struct identity_form {
    const char *endpoint, *api_version;
    const char *client_id; /* the name of its parameter for a user-assigned identity */
    char header[2048];     /* its whole line */
};

static void find_identity_form(struct identity_form *form, char place[512])
{
    const char *endpoint = getenv("IDENTITY_ENDPOINT"), *secret = getenv("IDENTITY_HEADER");
    const char *msi = getenv("MSI_ENDPOINT"), *msi_secret = getenv("MSI_SECRET"),
               *other = getenv("AZURE_POD_IDENTITY_AUTHORITY_HOST");
    if (endpoint && *endpoint && secret && *secret) {
        *form = (struct identity_form){
            .endpoint = endpoint, .api_version = "2019-08-01", .client_id = "client_id"};
        snprintf(form->header, sizeof form->header, "X-IDENTITY-HEADER: %s", secret);
    } else if (msi && *msi) {
        *form = (struct identity_form){
            .endpoint = msi, .api_version = "2017-09-01", .client_id = "clientid"};
        snprintf(form->header, sizeof form->header, "secret: %s", msi_secret ? msi_secret : "");
    } else {
        snprintf(place, 512, "%s/metadata/identity/oauth2/token", other && *other ? other : IMDS);
        *form = (struct identity_form){.endpoint = place,
                                       .api_version = "2018-02-01",
                                       .client_id = "client_id",
                                       .header = "Metadata: true"};
    }
}

static int identity_headers(void *context, struct web_headers *headers, struct error *error)
{
    (void)error;
    web_header(headers, "%s", ((const struct identity_form *)context)->header);
    return 0;
}

/* Off Azure nobody answers at that address: a single short look comes before the request that is
 * tried again. */
static int ask_identity(struct web *web, struct web_request *request, struct web_answer *answer,
                        struct error *error)
{
    struct web_request probe = *request;
    probe.timeout_ms = 1000;
    probe.tries = 1;
    if (web_send(web, &probe, answer, error)) return -1;
    if (answer->status >= 500 || answer->status == 429) {
        web_answer_clear(answer);
        return web_send(web, request, answer, error);
    }
    for (int tries = 0; (answer->status == 404 || answer->status == 410) && tries < 6; tries++) {
        /* 410: being updated, for up to 70 s */
        double pause = answer->status == 410 ? 12 : web_pause(web, (unsigned)tries);
        web_answer_clear(answer);
        if (web_wait(web, pause, error) || web_send(web, request, answer, error)) return -1;
    }
    return 0;
}

int az_get_managed_identity(struct az_credential *credential, const char *resource,
                            struct az_grant *grant, struct error *error)
{
    static const char what[] = "asking for the managed identity";
    struct identity_form form;
    char place[512];
    struct buffer url;
    find_identity_form(&form, place);
    buffer_init(&url, 4096);
    buffer_printf(&url, "%s?api-version=%s&resource=", form.endpoint, form.api_version);
    web_escape(&url, resource, "");
    if (credential->client_id[0]) {
        buffer_printf(&url, "&%s=", form.client_id);
        web_escape(&url, credential->client_id, "");
    }
    struct web_answer answer = {0};
    json_t *object = NULL;
    int status = buffer_check(&url, "the identity's address", error);
    struct web_request request = {.method = "GET",
                                  .url = url.data,
                                  .what = what,
                                  .link_local = true,
                                  .timeout_ms = 5000,
                                  .prepare = identity_headers,
                                  .context = &form};
    if (!status) status = ask_identity(credential->web, &request, &answer, error);
    if (!status) status = web_answer_json(&answer, what, &object, error);
    if (!status) status = az_read_grant(object, answer.status, what, grant, error);
    json_decref(object);
    web_answer_clear(&answer);
    buffer_free(&url);
    explicit_bzero(&form, sizeof form);
    return status;
}

/* Runs a program without a shell, standard input closed, and takes what it says. */
static int run_program(char *const *words, char *const *environment, struct buffer *out,
                       struct buffer *complaint, int *exit_status, struct error *error)
{
    int pipes[2][2] = {{-1, -1}, {-1, -1}}, status = -1;
    pid_t pid = 0;
    struct buffer *buffers[2] = {out, complaint};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    if (pipe2(pipes[0], O_CLOEXEC) || pipe2(pipes[1], O_CLOEXEC)) {
        error_set_errno(error, errno, "cannot run %s", words[0]);
        goto out;
    }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, pipes[0][1], 1);
    posix_spawn_file_actions_adddup2(&actions, pipes[1][1], 2);
    /* a group of its own: `az` is a script, whose interpreter has to end with it */
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    int number = posix_spawnp(&pid, words[0], &actions, &attributes, words, environment);
    posix_spawnattr_destroy(&attributes);
    if (number) {
        pid = 0;
        error_set_errno(error, number, "cannot run %s", words[0]);
        goto out;
    }
    close(pipes[0][1]);
    close(pipes[1][1]);
    pipes[0][1] = pipes[1][1] = -1;
    double until = clock_monotonic() + CLI_SECONDS;
    for (int open = 2; open;) {
        struct pollfd fds[2] = {{pipes[0][0], POLLIN, 0}, {pipes[1][0], POLLIN, 0}};
        double left = until - clock_monotonic();
        if (left <= 0 || (poll(fds, 2, (int)(left * 1000) + 1) < 0 && errno != EINTR)) {
            error_set(error, ERROR_UNAVAILABLE,
                      "%s did not answer within %.0f seconds: try it in a terminal", words[0],
                      CLI_SECONDS);
            goto out;
        }
        for (int i = 0; i < 2; i++) {
            if (fds[i].fd < 0 || !fds[i].revents) continue;
            char block[4096];
            ssize_t got = read(pipes[i][0], block, sizeof block);
            if (got > 0) {
                buffer_append(buffers[i], block, (size_t)got);
            } else if (got == 0) {
                close(pipes[i][0]);
                pipes[i][0] = -1;
                open--;
            }
            explicit_bzero(block, sizeof block);
        }
    }
    status = 0;
out:
    posix_spawn_file_actions_destroy(&actions);
    for (int i = 0; i < 4; i++)
        if (pipes[i / 2][i % 2] >= 0) close(pipes[i / 2][i % 2]);
    if (pid) {
        int ended = child_reap(-pid, status ? 0 : 2);
        *exit_status = WIFEXITED(ended) ? WEXITSTATUS(ended) : -1;
    }
    return status;
}

/* "expires_on" is seconds since 1970; the older "expiresOn" is local time. */
static double cli_lifetime(const json_t *answer)
{
    const json_t *on = json_object_get(answer, "expires_on");
    const char *text = json_string_value(json_object_get(answer, "expiresOn"));
    struct tm parts = {.tm_isdst = -1};
    if (json_is_integer(on)) return (double)json_integer_value(on) - (double)time(NULL);
    if (text && strptime(text, "%Y-%m-%d %H:%M:%S", &parts))
        return difftime(mktime(&parts), time(NULL));
    return 600;
}

int az_get_cli(struct az_credential *credential, const char *resource, struct az_grant *grant,
               struct error *error)
{
    char resource_word[512], tenant_word[160];
    char program[] = "az", account[] = "account", get[] = "get-access-token", output[] = "--output",
         json[] = "json", resource_option[] = "--resource", tenant_option[] = "--tenant";
    snprintf(resource_word, sizeof resource_word, "%s", resource);
    snprintf(tenant_word, sizeof tenant_word, "%s", credential->tenant);
    bool tenant = strcmp(credential->tenant, AZ_ANY_TENANT) != 0;
    char *const words[] = {program,       account,
                           get,           output,
                           json,          resource_option,
                           resource_word, tenant ? tenant_option : NULL,
                           tenant_word,   NULL};
    struct buffer out, complaint;
    json_t *answer = NULL;
    int exit_status = -1;
    buffer_init(&out, CLI_LIMIT);
    buffer_init(&complaint, CLI_LIMIT);
    static char plain[] = "AZURE_CORE_NO_COLOR=true";
    char **environment = environment_for_child(plain);
    int status = environment
                     ? run_program(words, environment, &out, &complaint, &exit_status, error)
                     : error_set_memory(error, "the environment");
    free(environment);
    if (!status && exit_status != 0) {
        const char *text = complaint.data ? complaint.data : "";
        bool signed_out = strstr(text, "az login") && !strstr(text, "AADSTS");
        status = error_set(
            error, ERROR_DENIED,
            signed_out
                ? "the Azure CLI is not signed in: run `az login`"
                : "the Azure CLI gave no token: run `az account get-access-token` to see why");
    }
    if (!status && out.length == 0)
        status = error_set(error, ERROR_DENIED, "the Azure CLI gave no token: run `az login`");
    if (!status)
        status = js_parse_object(out.data, out.length, "the Azure CLI's answer", &answer, error);
    if (!status) {
        const char *token = json_string_value(json_object_get(answer, "accessToken"));
        if (token && strlen(token) < sizeof grant->token) {
            snprintf(grant->token, sizeof grant->token, "%s", token);
            grant->expires_in = cli_lifetime(answer);
        } else {
            status = error_set(
                error, ERROR_DENIED,
                "the Azure CLI's answer holds no token: update it, then run `az login`");
        }
    }
    json_decref(answer);
    if (out.data) explicit_bzero(out.data, out.capacity);
    buffer_free(&out);
    buffer_free(&complaint);
    return status;
}

/* Signing in without a user: service principal, workload identity, managed identity, the Azure
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

#define CLI_SECONDS 30.0 /* $NNSTUDIO_AZURE_CLI_SECONDS */
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
    buffer_init(&form, 131072);
    const char *secret = getenv("AZURE_CLIENT_SECRET");
    if (secret && *secret) {
        az_form(&form, "client_secret", secret);
    } else {
        char *assertion;
        if (az_certificate_assertion(credential, &assertion, error)) return -1;
        az_form(&form, "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        az_form(&form, "client_assertion", assertion);
        explicit_bzero(assertion, strlen(assertion));
        free(assertion);
    }
    return post_client_form(credential, &form, resource, "signing in as the service principal",
                            grant, error);
}

int az_get_workload(struct az_credential *credential, const char *resource, struct az_grant *grant,
                    struct error *error)
{
    /* Read each time: the file is rotated. */
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

static double cli_seconds(void)
{
    const char *text = getenv("NNSTUDIO_AZURE_CLI_SECONDS");
    double seconds = text ? strtod(text, NULL) : 0;
    return seconds > 0 && seconds <= 600 ? seconds : CLI_SECONDS;
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
    double limit = cli_seconds(), until = clock_monotonic() + limit;
    for (int open = 2; open;) {
        struct pollfd fds[2] = {{pipes[0][0], POLLIN, 0}, {pipes[1][0], POLLIN, 0}};
        double left = until - clock_monotonic();
        if (left <= 0 || (poll(fds, 2, (int)(left * 1000) + 1) < 0 && errno != EINTR)) {
            error_set(error, ERROR_UNAVAILABLE,
                      "%s did not answer within %.0f seconds: try it in a terminal, or set "
                      "NNSTUDIO_AZURE_CLI_SECONDS to more",
                      words[0], limit);
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

/* Why the Azure CLI gave no token: in its own words, as far as they say more than "az login". */
static int describe_cli_failure(const struct buffer *complaint, struct error *error)
{
    const char *text = complaint->data ? complaint->data : "";
    while (strncmp(text, "WARNING", 7) == 0 && strchr(text, '\n')) text = strchr(text, '\n') + 1;
    text += strspn(text, " \t\r\n");
    if (strncmp(text, "ERROR: ", 7) == 0) text += 7;
    size_t length = strcspn(text, "\r\n");
    while (length && strchr(". :", text[length - 1])) length--;
    if (strstr(text, "az login") && !strstr(text, "AADSTS"))
        return error_set(error, ERROR_DENIED, "the Azure CLI is not signed in: run `az login`");
    if (!length)
        return error_set(
            error, ERROR_DENIED,
            "the Azure CLI gave no token: run `az account get-access-token` to see why");
    return error_set(error, ERROR_DENIED, "the Azure CLI gave no token: %.*s: run `az login`",
                     (int)(length < 400 ? length : 400), text);
}

int az_get_cli(struct az_credential *credential, const char *resource, struct az_grant *grant,
               struct error *error)
{
    /* The CLI takes a tenant or a subscription, not both: what was typed comes first. */
    const char *typed_tenant = registry_given(credential->options, REGISTRY_TENANT),
               *subscription = registry_given(credential->options, REGISTRY_SUBSCRIPTION);
    bool by_subscription = subscription && !typed_tenant;
    bool by_tenant = !by_subscription && strcmp(credential->tenant, AZ_ANY_TENANT) != 0;
    const char *words[] = {"az",
                           "account",
                           "get-access-token",
                           "--output",
                           "json",
                           "--resource",
                           resource,
                           by_subscription ? "--subscription"
                           : by_tenant     ? "--tenant"
                                           : NULL,
                           by_subscription ? subscription : credential->tenant,
                           NULL};
    struct buffer out, complaint;
    json_t *answer = NULL;
    int exit_status = -1;
    buffer_init(&out, CLI_LIMIT);
    buffer_init(&complaint, CLI_LIMIT);
    static char plain[] = "AZURE_CORE_NO_COLOR=true";
    char **environment = environment_for_child(plain);
    int status = environment ? run_program((char *const *)(uintptr_t)words, environment, &out,
                                           &complaint, &exit_status, error)
                             : error_set_memory(error, "the environment");
    free(environment);
    if (!status && exit_status != 0) status = describe_cli_failure(&complaint, error);
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

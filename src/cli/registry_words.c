#include "cli/registry_words.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/path.h"
#include "registry/record.h"

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

static bool is_cancelled(void *context)
{
    (void)context;
    return interrupted;
}

static void prompt_words(void *context, const struct az_prompt *prompt)
{
    (void)context;
    if (strcmp(prompt->kind, "device-code") == 0) {
        fprintf(stderr, "To sign in, open %s and enter the code %s\n", prompt->url, prompt->code);
    } else {
        fprintf(stderr, "To sign in, open this address in a browser:\n%s\n", prompt->url);
    }
}

static void prompt_json(void *context, const struct az_prompt *prompt)
{
    (void)context;
    cli_print_json(json_pack("{s:s, s:s, s:s, s:s?, s:i}", "event", "sign-in", "kind", prompt->kind,
                             "url", prompt->url, "code", prompt->code, "expires_in",
                             prompt->expires_in));
}

int registry_words_use(const struct registry_words *words, bool as_json,
                       struct registry_options *out, char **home, struct error *error)
{
    if (path_home(words->home, home, error)) return -1;
    struct sigaction action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    *out = (struct registry_options){
        .home = *home,
        .config = words->config,
        .subscription = words->subscription,
        .resource_group = words->resource_group,
        .workspace = words->workspace,
        .tracking_uri = words->tracking_uri,
        .experiment = words->experiment,
        .ca_file = words->ca_file,
        .sign_in = {.method = words->sign_in,
                    .tenant = words->tenant,
                    .client_id = words->client_id,
                    .prompt = as_json ? prompt_json : prompt_words},
        .cancelled = is_cancelled,
    };
    return 0;
}

void registry_print(const json_t *version)
{
    static const struct {
        const char *key, *label;
    } rows[] = {{"name", "name"}, {"version", "version"}, {"id", "id"},
                {"uri", "file"},  {"sha256", "SHA-256"},  {"link", "see it at"}};
    char when[32];
    const char *key;
    json_t *value;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *text = json_string_value(json_object_get(version, rows[i].key));
        if (text) printf("%-10s %s\n", rows[i].label, text);
    }
    json_int_t at = json_integer_value(json_object_get(version, "created_at"));
    if (at) clock_format_utc(at, when);
    if (at) printf("%-10s %s\n", "registered", when);
    json_object_foreach(json_object_get(version, "tags"), key, value) {
        if (strcmp(key, "sha256") != 0 && json_is_string(value))
            printf("%-10s %s: %s\n", "tag", key, json_string_value(value));
    }
}

int registry_words_publish(const struct registry_target *target,
                           const struct registry_options *options, struct registry_request *request,
                           const struct registry_watch *watch, json_t **out, struct error *error)
{
    struct store *store;
    if (store_open(options->home, &store, error)) return -1;
    int status = registry_record_publish(store, NULL, NULL, target, options, request, watch, out,
                                         error);
    store_close(store);
    return status;
}

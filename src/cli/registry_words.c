#include "cli/registry_words.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/js.h"
#include "base/path.h"

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
    cli_print_json(json_pack("{s:s, s:s, s:s, s:s?, s:i}", "event", "sign-in", "kind", prompt->kind, "url", prompt->url, "code", prompt->code,
                             "expires_in", prompt->expires_in));
}

int registry_words_use(const struct registry_words *words, bool as_json, struct registry_options *out, char **home, struct error *error)
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
        .sign_in = {.method = words->sign_in, .tenant = words->tenant, .client_id = words->client_id, .prompt = as_json ? prompt_json : prompt_words},
        .cancelled = is_cancelled,
    };
    return 0;
}

/* The journal on disk, and the watch it is kept by. */
struct journal {
    char path[4200];
    const struct registry_watch *watch;
};

static void keep_journal(void *context, const json_t *value)
{
    struct journal *journal = context;
    struct error ignored;
    char *text = js_dump(value);
    if (text) file_write(journal->path, text, strlen(text), &ignored);
    free(text);
    if (journal->watch->on_journal) journal->watch->on_journal(journal->watch->context, value);
}

static void pass_step(void *context, unsigned step, unsigned steps, const char *title, uint64_t done, uint64_t total)
{
    const struct registry_watch *watch = ((struct journal *)context)->watch;
    if (watch->on_step) watch->on_step(watch->context, step, steps, title, done, total);
}

int registry_words_publish(const struct registry_target *target, const struct registry_options *options, struct registry_request *request,
                           const struct registry_watch *watch, json_t **out, struct error *error)
{
    char folder[4100], hex[HASH_HEX_SIZE], key[2400], content[HASH_HEX_SIZE];
    struct journal journal = {.watch = watch};
    struct registry_watch own = {.context = &journal, .on_step = pass_step, .on_journal = keep_journal};
    json_t *kept = NULL;
    struct error ignored;
    if (hash_file(request->model_path, content, NULL, error)) return -1;
    /* One journal for the same content under the same name at the same target: the target checks the rest itself. */
    snprintf(key, sizeof key, "%s %s %s", target->id, request->name ? request->name : "", content);
    hash_bytes(key, strlen(key), hex);
    snprintf(folder, sizeof folder, "%s/registrations", options->home);
    snprintf(journal.path, sizeof journal.path, "%s/%.16s.json", folder, hex);
    if (file_make_directories(folder, error)) return -1;
    if (file_exists(journal.path) && js_read_object(journal.path, 1 << 20, &kept, &ignored)) kept = NULL;
    request->journal = kept;
    int status = target->publish(options, request, &own, out, error);
    if (!status) unlink(journal.path);
    json_decref(kept);
    return status;
}

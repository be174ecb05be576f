#include "cli/registry_cli.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/path.h"
#include "base/text.h"

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

static void prompt_text(void *context, const struct registry_prompt *prompt)
{
    (void)context;
    if (strcmp(prompt->kind, "device-code") == 0) {
        fprintf(stderr, "To sign in, open %s and enter the code %s\n", text_shown(prompt->url),
                text_shown(prompt->code));
    } else {
        fprintf(stderr, "To sign in, open this address in a browser:\n%s\n",
                text_shown(prompt->url));
    }
}

static void prompt_json(void *context, const struct registry_prompt *prompt)
{
    (void)context;
    cli_print_json(json_pack("{s:s, s:s, s:s, s:s?, s:i}", "event", "sign-in", "kind", prompt->kind,
                             "url", prompt->url, "code", prompt->code, "expires_in",
                             prompt->expires_in));
}

const struct cli_option *registry_cli_options(struct registry_cli *cli, const char *target,
                                              const struct cli_option *own)
{
    size_t count = 0;
    for (; own->name; own++) cli->options[count++] = *own;
    CHECK(count + REGISTRY_KEYS + 2 <= REGISTRY_CLI_OPTIONS);
    for (unsigned key = 0; key < REGISTRY_KEYS; key++) {
        const struct registry_option *option = &registry_option_table[key];
        if (!(option->places & REGISTRY_ON_COMMAND_LINE) ||
            (target && option->target && strcmp(option->target, target) != 0))
            continue;
        const char *whose = option->target && !target ? option->target : "";
        snprintf(cli->help[key], sizeof cli->help[key], "%s%s%s", whose, *whose ? ": " : "",
                 option->help);
        bool is_switch = option->kind == REGISTRY_SWITCH;
        cli->options[count++] = (struct cli_option){
            option->flag, is_switch ? OPTION_FLAG : OPTION_TEXT,
            is_switch ? (void *)&cli->switches[key] : (void *)&cli->values[key], option->argument,
            cli->help[key]};
    }
    cli->options[count++] = (struct cli_option){"home", OPTION_TEXT, &cli->home, "DIR",
                                                "the studio's home"};
    cli->options[count] = (struct cli_option){0};
    return cli->options;
}

int registry_cli_use(const struct registry_cli *cli, const struct registry_target *target,
                     const char *registry, bool as_json, struct registry_options *out, char **home,
                     struct error *error)
{
    *out = (struct registry_options){.cancelled = is_cancelled,
                                     .prompt = as_json ? prompt_json : prompt_text};
    for (unsigned key = 0; key < REGISTRY_KEYS; key++) {
        const char *of = registry_option_table[key].target;
        bool others = of && strcmp(of, target->id) != 0 && cli->other &&
                      strcmp(of, cli->other->id) == 0;
        if (!others) out->values[key] = cli->switches[key] ? "1" : cli->values[key];
    }
    out->values[REGISTRY_REGISTRY] = registry;
    if (registry_options_check(out, target->id, false, error) || path_home(cli->home, home, error))
        return -1;
    struct sigaction action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    out->home = *home;
    return 0;
}

int registry_cli_confirm(bool yes, bool as_json, const char *question, struct error *error)
{
    char line[16] = "";
    if (yes) return 0;
    if (as_json || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return error_set(error, ERROR_USAGE, "%s Confirm with --yes", question);
    fprintf(stderr, "%s [y/N] ", question);
    if (fgets(line, sizeof line, stdin) && (*line == 'y' || *line == 'Y')) return 0;
    return error_set(error, ERROR_INTERRUPTED, "stopped: nothing was changed");
}

void registry_cli_print(const json_t *version)
{
    static const struct {
        const char *key, *label;
    } rows[] = {{"name", "name"}, {"version", "version"}, {"id", "id"},
                {"uri", "file"},  {"sha256", "SHA-256"},  {"link", "see it at"}};
    char when[32];
    const char *key;
    json_t *value;
    size_t i;
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *text = json_string_value(json_object_get(version, rows[i].key));
        if (text) printf("%-10s %s\n", rows[i].label, text_shown(text));
    }
    json_int_t at = json_integer_value(json_object_get(version, "created_at"));
    if (at) clock_format_utc(at, when);
    if (at) printf("%-10s %s\n", "registered", when);
    const char *description = json_string_value(json_object_get(version, "description"));
    if (description && *description) printf("%-10s %s\n", "about", text_shown(description));
    json_array_foreach(json_object_get(version, "aliases"), i, value)
        printf("%-10s %s\n", "alias", text_shown(json_string_value(value)));
    if (json_is_true(json_object_get(version, "archived"))) printf("%-10s yes\n", "archived");
    json_object_foreach(json_object_get(version, "tags"), key, value) {
        if (strcmp(key, "sha256") != 0 && json_is_string(value))
            printf("%-10s %s: %s\n", "tag", text_shown(key), text_shown(json_string_value(value)));
    }
}

/* --- steps, as they go --- */

void registry_cli_watched(struct registry_showing *showing)
{
    if (showing->bar) fputs("\r\033[K", stderr);
    showing->bar = false;
}

/* A bar of 32 places, redrawn in its line. */
static void draw_bar(struct registry_showing *showing, uint64_t done, uint64_t total)
{
    static const char full[] = "################################";
    double part = (double)done / (double)total;
    fprintf(stderr, "\r    [%-32.*s] %3.0f%%\033[K", (int)(32 * part), full, 100 * part);
    showing->bar = true;
}

static void show_step(void *context, unsigned step, unsigned steps, const char *title,
                      uint64_t done, uint64_t total)
{
    struct registry_showing *showing = context;
    bool same = showing->step == step;
    showing->step = step;
    if (showing->json) {
        if (same && done != total) return;
        cli_print_json(json_pack("{s:s, s:i, s:i, s:s, s:I, s:I}", "event", "step", "step",
                                 (int)step + 1, "steps", (int)steps, "title", title, "done_bytes",
                                 (json_int_t)done, "total_bytes", (json_int_t)total));
        return;
    }
    if (!same) {
        registry_cli_watched(showing);
        fprintf(stderr, "%u/%u %s\n", step + 1, steps, text_shown(title));
    }
    if (showing->terminal && total) draw_bar(showing, done, total);
}

struct registry_watch registry_cli_watch(struct registry_showing *showing, bool as_json)
{
    *showing = (struct registry_showing){
        .json = as_json, .terminal = isatty(STDERR_FILENO), .step = UINT32_MAX};
    return (struct registry_watch){.context = showing, .on_step = show_step};
}

int registry_cli_publish(const struct registry_target *target,
                         const struct registry_options *options, struct registry_request *request,
                         const struct registry_watch *watch, json_t **out, struct error *error)
{
    struct store *store;
    if (store_open(options->home, &store, error)) return -1;
    const struct registry_job job = {
        .store = store, .target = target, .options = options, .watch = watch};
    int status = registry_record_publish(&job, request, out, error);
    store_close(store);
    return status;
}

int registry_cli_find(const struct registry_cli *cli, const char *from, const char *name,
                      const char *version, bool as_json, char **path, struct error *error)
{
    const struct registry_target *target;
    const char *registry;
    struct registry_options where;
    char *home = NULL;
    int status = registry_place_need(from, &target, &registry, error) ||
                         registry_cli_use(cli, target, registry, as_json, &where, &home, error) ||
                         registry_cached(target, &where, name, version, path, NULL, error)
                     ? -1
                     : 0;
    free(home);
    return status;
}

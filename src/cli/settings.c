#include "cli/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/path.h"

int settings_copy_text(char *out, size_t size, const char *text, const char *what,
                       struct error *error)
{
    if ((size_t)snprintf(out, size, "%s", text) < size) return 0;
    return error_set(error, ERROR_USAGE, "the %s is too long: the most is %zu bytes", what,
                     size - 1);
}

/* "activation of the hidden layers: relu, tanh or sigmoid (relu)" */
static void write_help(const struct setting *setting, char out[2 * SETTING_TEXT_SIZE])
{
    char choices[SETTING_TEXT_SIZE] = "", fallback[SETTING_TEXT_SIZE];
    if (setting->kind == SETTING_CHOICE) setting_choices(setting, choices);
    setting_default(setting, fallback);
    snprintf(out, 2 * SETTING_TEXT_SIZE, "%s%s%s%s%s%s", setting->help, choices[0] ? ": " : "",
             choices, fallback[0] ? " (" : "", fallback, fallback[0] ? ")" : "");
}

void settings_insert(struct cli_option options[OPTIONS_MAX], size_t at,
                     struct settings_words *words)
{
    size_t count = 0, added = 0;
    while (options[count].name) count++;
    for (size_t i = 0; i < settings_count; i++) added += settings_table[i].option != NULL;
    CHECK(at <= count && count + added < OPTIONS_MAX);
    memmove(&options[at + added], &options[at], (count + 1 - at) * sizeof *options);
    struct cli_option *option = &options[at];
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *setting = &settings_table[i];
        words->texts[i] = NULL;
        words->flags[i] = false;
        if (!setting->option) continue;
        write_help(setting, words->help[i]);
        if (setting->kind == SETTING_FLAG)
            *option++ = (struct cli_option){setting->option, OPTION_FLAG, &words->flags[i], NULL,
                                            words->help[i]};
        else
            *option++ = (struct cli_option){setting->option, OPTION_TEXT, &words->texts[i],
                                            setting->argument, words->help[i]};
    }
}

const char *settings_given(const struct settings_words *words, const char *key)
{
    const struct setting *setting = setting_find(key);
    CHECK(setting);
    return words->texts[setting - settings_table];
}

/* Paths in a job outlive the folder it was started in: those given, made absolute, go to `texts`.
 * They are the caller's, in `owned`. */
static int make_absolute(const struct settings_words *words, const char *texts[SETTINGS_MAX],
                         char *owned[SETTINGS_MAX], struct error *error)
{
    for (size_t i = 0; i < settings_count; i++) {
        unsigned flags = settings_table[i].flags;
        texts[i] = words->flags[i] ? "true" : words->texts[i];
        if (!texts[i] ||
            !(flags & SETTING_PATH || (flags & SETTING_NAME_OR_PATH && strchr(texts[i], '/'))))
            continue;
        texts[i] = owned[i] = path_absolute(texts[i]);
        if (!owned[i]) return error_set_memory(error, "a path");
    }
    return 0;
}

/* The name of a .json file stands for its text, where a setting says so. */
static int read_text_files(const char *texts[SETTINGS_MAX], char *owned[SETTINGS_MAX],
                           struct error *error)
{
    for (size_t i = 0; i < settings_count; i++) {
        size_t length = texts[i] ? strlen(texts[i]) : 0, size;
        if (!(settings_table[i].flags & SETTING_TEXT_FILE) || length < 5 ||
            strcmp(texts[i] + length - 5, ".json") != 0)
            continue;
        if (file_read(texts[i], settings_table[i].size - 1, &owned[i], &size, error)) return -1;
        texts[i] = owned[i];
    }
    return 0;
}

/* A network given whole leaves nothing for the two that describe dense ones. */
static int refuse_two_networks(const struct settings_words *words, struct error *error)
{
    if (!settings_given(words, "net") ||
        (!settings_given(words, "hidden") && !settings_given(words, "activation")))
        return 0;
    return error_set(error, ERROR_USAGE,
                     "--net describes all layers: leave out --hidden and --activation");
}

int settings_apply(const struct settings_words *words, struct job *job, struct error *error)
{
    const char *texts[SETTINGS_MAX] = {NULL};
    char *owned[SETTINGS_MAX] = {NULL};
    int status = refuse_two_networks(words, error) || make_absolute(words, texts, owned, error) ||
                 read_text_files(texts, owned, error) || settings_take_texts(texts, job, error);
    for (size_t i = 0; i < settings_count; i++) free(owned[i]);
    if (status && error->code == ERROR_INPUT) error->code = ERROR_USAGE;
    return status ? -1 : 0;
}

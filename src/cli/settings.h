/* The settings of a training on the command line: an option per row of the settings table
 * (run/settings.h), the same for every command that takes them. */
#ifndef NNSTUDIO_CLI_SETTINGS_H
#define NNSTUDIO_CLI_SETTINGS_H

#include "cli/cli.h"
#include "run/job.h"
#include "run/settings.h"

/* What was given, before it is a job. */
struct settings_words {
    const char *texts[SETTINGS_MAX]; /* by the index in settings_table; NULL: not given */
    bool flags[SETTINGS_MAX];        /* likewise, of those without a value */
    char help[SETTINGS_MAX][2 * SETTING_TEXT_SIZE];
};

/* Puts the settings' rows before row `at` of a table of options that has room for OPTIONS_MAX;
 * `words` lives as long as the table. */
#define OPTIONS_MAX CLI_OPTIONS_MAX
void settings_insert(struct cli_option options[OPTIONS_MAX], size_t at,
                     struct settings_words *words);
/* What was given for the setting of that key; NULL: nothing. */
const char *settings_given(const struct settings_words *words, const char *key);
/* What the user gave, onto a job that holds the defaults or the run that is to go on. */
int settings_apply(const struct settings_words *words, struct job *job, struct error *error);
/* Text into a field of a job; `what` names it when it is too long. */
int settings_copy_text(char *out, size_t size, const char *text, const char *what,
                       struct error *error);

#endif

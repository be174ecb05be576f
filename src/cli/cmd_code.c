/* nnstudio code: the training as a program in Python or in the C that really runs, a notebook, or a
 * run's bundle. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/path.h"
#include "cli/settings.h"
#include "code/bundle.h"
#include "code/code.h"

#define PROGRAM_LIMIT ((size_t)4 << 20)

struct code_words {
    struct settings_words settings;
    const char *language, *out, *bundle, *home;
    bool notebook;
};

/* MNIST unless another set is named: what is read in Python lies in files. */
static int make_job(const struct code_words *words, struct job *job, struct error *error)
{
    char *home;
    job_init(job);
    snprintf(job->dataset, sizeof job->dataset, "mnist");
    if (settings_given(&words->settings, "from"))
        return error_set(error, ERROR_USAGE,
                         "--from does not apply here: the program takes weights as --initial FILE, "
                         "so give them to it");
    if (path_home(words->home, &home, error)) return -1;
    int status = settings_copy_text(job->home, sizeof job->home, home, "home folder's path", error);
    free(home);
    if (status || settings_apply(&words->settings, job, error)) return -1;
    status = job_check(job, error);
    if (status && error->code == ERROR_INPUT) error->code = ERROR_USAGE;
    return status;
}

/* To the file, or to standard output when none is named. */
static int put(const char *path, const struct buffer *text, struct error *error)
{
    if (path) return file_write(path, text->data, text->length, error);
    fwrite(text->data, 1, text->length, stdout);
    return 0;
}

static int write_program(const struct code_words *words, const char *framework, struct job *job,
                         struct error *error)
{
    const struct code_voice *voice;
    struct code_subject subject;
    struct buffer text;
    if (code_voice_need(framework, words->language, &voice, error) || make_job(words, job, error))
        return -1;
    snprintf(job->engine, sizeof job->engine, "%s", voice->engine->id);
    if (words->notebook && strcmp(voice->language, "python") != 0)
        return error_set(error, ERROR_USAGE,
                         "a notebook holds Python: leave out --lang %s or --notebook",
                         voice->language);
    if (code_subject_of(job, &subject, error)) return -1;
    buffer_init(&text, PROGRAM_LIMIT);
    int status = words->notebook ? code_notebook(voice, &subject, &text, error)
                                 : code_program(voice, &subject, &text, error);
    if (!status) status = put(words->out, &text, error);
    buffer_free(&text);
    return status;
}

static int write_bundle(const struct code_words *words, struct error *error)
{
    struct store *store = NULL;
    char *home = NULL, *absolute = NULL;
    int status = -1;
    if (!words->out)
        return error_set(error, ERROR_USAGE,
                         "a bundle needs a file: --bundle %.60s --out %.60s.zip", words->bundle,
                         words->bundle);
    if (path_home(words->home, &home, error)) return -1;
    absolute = path_absolute(home);
    if (!absolute)
        error_set_memory(error, "a path");
    else if (!store_open(absolute, &store, error))
        status = code_bundle_run(store, words->bundle, words->out, error);
    store_close(store);
    free(absolute);
    free(home);
    return status;
}

static int run(int argc, char **argv)
{
    struct code_words words = {.language = "python"};
    struct cli_option options[OPTIONS_MAX] = {
        {"lang", OPTION_TEXT, &words.language, "LANGUAGE",
         "python or c; the C is what runs in the studio (python)"},
        {"out", OPTION_TEXT, &words.out, "FILE", "the file to write (standard output)"},
        {"notebook", OPTION_FLAG, &words.notebook, NULL,
         "write a Jupyter notebook, one cell per stage"},
        {"bundle", OPTION_TEXT, &words.bundle, "RUN",
         "write all of a run as a .zip: models, programs, weights, curve"},
        {"home", OPTION_TEXT, &words.home, "DIR", "where runs are kept"},
        {0},
    };
    settings_insert(options, 5, &words.settings);
    struct cli_arguments given;
    struct error error;
    int status = cli_parse(&command_code, options, argc, argv, &given);
    if (status != CLI_GO_ON) return status;
    if (!words.bundle && !given.count)
        return cli_usage_error(
            "no framework is named: nnstudio code torch, or nnstudio code tensorflow");
    if (words.bundle && given.count)
        return cli_usage_error("a bundle holds both frameworks: leave out \"%.40s\"",
                               given.words[0]);
    if (words.bundle) return write_bundle(&words, &error) ? cli_fail(&error) : EXIT_OK;

    struct job *job = malloc(sizeof *job);
    if (!job) {
        error_set_memory(&error, "the job");
        return cli_fail(&error);
    }
    status = write_program(&words, given.words[0], job, &error) ? cli_fail(&error) : EXIT_OK;
    free(job);
    return status;
}

const struct command command_code = {
    .name = "code",
    .run = run,
    .summary =
        "write the training as a program: Python for either framework, or the C that runs here",
    .usage = "torch|tensorflow [--lang python|c] [train's settings] [--out FILE] [--notebook]\n"
             "       nnstudio code --bundle RUN --out FILE.zip",
    .details =
        "The Python program needs no studio: `python FILE --data-dir DIR`, where DIR/mnist/ holds "
        "the four IDX files; `nnstudio data export mnist --out DIR` writes them, for any data set. "
        "It prints a line per epoch and saves NAME.pth or NAME.h5 in the current folder.",
    .arguments_max = 1,
};

#include "cli/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"

int settings_copy_text(char *out, size_t size, const char *text, const char *what,
                       struct error *error)
{
    if ((size_t)snprintf(out, size, "%s", text) < size) return 0;
    return error_set(error, ERROR_USAGE, "the %s is too long: the most is %zu bytes", what,
                     size - 1);
}

/* Paths in a job outlive the folder it was started in. */
static int copy_path(char out[JOB_PATH_MAX], const char *path, const char *what,
                     struct error *error)
{
    char *whole = path_absolute(path);
    if (!whole) return error_set_memory(error, "a path");
    int status = settings_copy_text(out, JOB_PATH_MAX, whole, what, error);
    free(whole);
    return status;
}

/* A data set is a name, or a path when it has a slash. */
static int copy_dataset(struct job *job, const char *name, struct error *error)
{
    if (strchr(name, '/')) return copy_path(job->dataset, name, "data set's path", error);
    return settings_copy_text(job->dataset, sizeof job->dataset, name, "data set's name", error);
}

static int apply_optimizer(const struct settings_words *words, const struct cli_arguments *given,
                           const struct cli_option *options, struct optimizer *optimizer,
                           struct error *error)
{
    /* Naming the optimizer that is there already changes nothing: a resumed run keeps its learning
     * rate. */
    if (words->optimizer && strcmp(words->optimizer, optimizer_type_name(optimizer->type)) != 0 &&
        optimizer_init(optimizer, words->optimizer, error))
        return -1;
    if (cli_given(given, options, "lr")) optimizer->learning_rate = words->lr;
    if (cli_given(given, options, "momentum")) optimizer->momentum = words->momentum;
    if (cli_given(given, options, "weight-decay")) optimizer->weight_decay = words->weight_decay;
    return 0;
}

int settings_apply(const struct settings_words *words, const struct cli_arguments *given,
                   const struct cli_option *options, struct job *job, struct error *error)
{
    if (words->dataset && copy_dataset(job, words->dataset, error)) return -1;
    if (words->data_dir && copy_path(job->data_dir, words->data_dir, "data folder", error))
        return -1;
    if (words->name &&
        settings_copy_text(job->name, sizeof job->name, words->name, "model's name", error))
        return -1;
    if (words->from && copy_path(job->from, words->from, "model's path", error)) return -1;
    if (words->hidden && job_parse_hidden(job, words->hidden, error)) return -1;
    if (words->activation && activation_parse(words->activation, &job->activation, error))
        return -1;
    if (words->init && init_scheme_parse(words->init, &job->init, error)) return -1;
    if (words->dtype && dtype_parse(words->dtype, &job->dtype, error)) return -1;
    if (cli_given(given, options, "epochs")) job->epochs = words->epochs;
    if (cli_given(given, options, "batch-size")) job->batch_size = words->batch_size;
    if (cli_given(given, options, "threads")) job->threads = words->threads;
    if (cli_given(given, options, "limit")) job->limit = words->limit;
    if (cli_given(given, options, "seed")) job->seed = words->seed;
    return apply_optimizer(words, given, options, &job->optimizer, error);
}

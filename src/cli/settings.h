/* The settings of a training on the command line: the same options for every command that takes
 * them. */
#ifndef NNSTUDIO_CLI_SETTINGS_H
#define NNSTUDIO_CLI_SETTINGS_H

#include "cli/cli.h"
#include "run/job.h"

/* What was given, before it is a job. */
struct settings_words {
    const char *dataset, *data_dir, *init, *dtype, *hidden, *activation, *optimizer, *from, *name;
    double lr, momentum, weight_decay;
    uint32_t epochs, batch_size, threads, limit;
    uint64_t seed;
};

/* Their rows in a table of options; `words` is a struct settings_words that lives as long as the
 * table. */
#define SETTINGS_OPTIONS(words)                                                                    \
    {"dataset", OPTION_TEXT, &(words).dataset, "NAME|PATH",                                        \
     "synthetic, mnist, fashion-mnist, or a file or folder"},                                      \
        {"data-dir", OPTION_TEXT, &(words).data_dir, "DIR",                                        \
         "a folder with one folder a data set"},                                                   \
        {"epochs", OPTION_U32, &(words).epochs, "N", "passes over the training data, in all (5)"}, \
        {"lr", OPTION_REAL, &(words).lr, "R", "learning rate (sgd 0.01, adam 0.001)"},             \
        {"batch-size", OPTION_U32, &(words).batch_size, "N", "samples a step (32)"},               \
        {"seed", OPTION_U64, &(words).seed, "N", "of the initial weights and the order (0)"},      \
        {"init", OPTION_TEXT, &(words).init, "SCHEME",                                             \
         "initial weights as torch or keras draws them (torch)"},                                  \
        {"threads", OPTION_U32, &(words).threads, "N",                                             \
         "threads an engine (what is usually fastest)"},                                           \
        {"dtype", OPTION_TEXT, &(words).dtype, "TYPE", "float32 or float64 (float32)"},            \
        {"hidden", OPTION_TEXT, &(words).hidden, "N[,N...]", "widths of the hidden layers (128)"}, \
        {"activation", OPTION_TEXT, &(words).activation, "NAME", "relu, tanh or sigmoid (relu)"},  \
        {"optimizer", OPTION_TEXT, &(words).optimizer, "NAME", "sgd or adam (sgd)"},               \
        {"momentum", OPTION_REAL, &(words).momentum, "R", "of sgd (0)"},                           \
        {"weight-decay", OPTION_REAL, &(words).weight_decay, "R",                                  \
         "L2, biases included, as PyTorch's (0)"},                                                 \
        {"from", OPTION_TEXT, &(words).from, "MODEL", "start with the weights of a model file"},   \
        {"limit", OPTION_U32, &(words).limit, "N", "at most so many samples of each split (all)"}, \
    {                                                                                              \
        "name", OPTION_TEXT, &(words).name, "NAME",                                                \
            "of the model files, without the ending (simple_nn)"                                   \
    }

/* What the person gave, onto a job that holds the defaults or the run that is to go on. */
int settings_apply(const struct settings_words *words, const struct cli_arguments *given,
                   const struct cli_option *options, struct job *job, struct error *error);
/* Text into a field of a job; `what` names it when it is too long. */
int settings_copy_text(char *out, size_t size, const char *text, const char *what,
                       struct error *error);

#endif

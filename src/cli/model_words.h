/* What the user says about a model file that the file itself does not: options of every command
 * that reads one. */
#ifndef NNSTUDIO_CLI_MODEL_WORDS_H
#define NNSTUDIO_CLI_MODEL_WORDS_H

#include "modelfile/modelfile.h"

struct model_words {
    const char *activation, *order, *key, *net, *input;
};

#define MODEL_OPTIONS(words)                                                              \
    {"activation", OPTION_TEXT, &(words).activation, "NAME[,NAME...]",                    \
     "of the hidden layers, if the file does not say: relu, tanh, sigmoid, none (relu)"}, \
        {"net", OPTION_TEXT, &(words).net, "SPEC|PRESET|FILE",                            \
         "all layers, if the file holds weights alone; see `nnstudio net`"},              \
        {"input", OPTION_TEXT, &(words).input, "RxC[x3]",                                 \
         "with --net: the picture's rows and columns; x3 for color"},                     \
        {"order", OPTION_TEXT, &(words).order, "A,B,C",                                   \
         "the layers' names, if several orders fit"},                                     \
    {                                                                                     \
        "key", OPTION_TEXT, &(words).key, "NAME",                                         \
            "the state dict in a checkpoint of several; the output of an ONNX model"      \
    }

/* Into options that borrow from `words`. */
int model_words_use(const struct model_words *words, struct modelfile_options *out,
                    struct error *error);
/* What the file says is not contradicted: refuses other activations and layers than it has. */
int model_words_check(const struct modelfile_options *told, const char *path,
                      const struct model *model, struct error *error);
/* All of it: reads the file with what the user says, and checks that. The caller destroys *out. */
int model_words_read(const struct model_words *words, const char *path, struct model **out,
                     struct error *error);
/* "assumed: activation of layer 1: relu" for each, on standard output; how to say it otherwise at
 * the end. */
void model_words_print_assumed(const struct model *model);

#endif

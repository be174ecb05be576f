/* A network as an option's value: the compact form, a preset, or a file that holds either or
 * JSON. */
#ifndef NNSTUDIO_CLI_NETWORK_WORDS_H
#define NNSTUDIO_CLI_NETWORK_WORDS_H

#include "net/network.h"

/* False when `spec` is the path of some other file: a model. */
bool network_words_are(const char *spec);
/* The layers into *network, whose picture the caller has set or not; not finished. */
int network_words_read(const char *spec, struct network *network, struct error *error);
/* "28x28" or "32x32x3": *network becomes one of such a picture without layers. */
int network_words_input(const char *text, struct network *network, struct error *error);

#endif

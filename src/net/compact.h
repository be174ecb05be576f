/* Networks as one line of text, for --net and the page's text field; and the presets by name.
 *
 *   conv 32 3x3 relu, maxpool 2, flatten, dropout 0.5, dense 10
 *
 * One layer per comma. A layer is its word, its numbers, then words in any order:
 *
 *   dense UNITS                  conv FILTERS KERNEL       depthwise KERNEL
 *   maxpool SIZE                 avgpool SIZE              globalavgpool
 *   flatten                      batchnorm                 layernorm
 *   dropout RATE                 rescale SCALE [OFFSET]    normalize MEAN STD
 *   same, valid, pad TOP BOTTOM LEFT RIGHT, stride N, dilation N, groups N (N or NxN)
 *   nobias, epsilon E, momentum M, l1 X, l2 X (also l2=X), and an activation: relu, tanh, sigmoid,
 *   leaky_relu [SLOPE], elu [ALPHA], selu, gelu, gelu_tanh, silu, softplus
 *
 * KERNEL and SIZE are N or ROWSxCOLUMNS. An activation alone between commas belongs to the layer
 * before it. */
#ifndef NNSTUDIO_NET_COMPACT_H
#define NNSTUDIO_NET_COMPACT_H

#include "base/buffer.h"
#include "net/network.h"

#define COMPACT_MAX_LENGTH 4096

struct preset {
    const char *name, *title, *about;
    const char *layers; /* compact */
};
extern const struct preset preset_table[];
extern const size_t preset_count;
const struct preset *preset_find(const char *name);

/* Reads a preset's name, the compact form, or JSON (a list of layers, or a network with "layers")
 * into the layers of *network, whose picture the caller has set, and finishes it. The message says
 * which layer, what is wrong and how to write it. */
int network_parse(const char *text, struct network *network, struct error *error);
/* The same without finishing: what is written, whether it fits or not. */
int network_read(const char *text, struct network *network, struct error *error);
int network_read_layers(const json_t *layers, struct network *network, struct error *error);
/* How a layer of the type is written, with usual numbers: "conv 32 3x3". */
const char *layer_compact_form(enum layer_type type);
/* One layer's words; it need not be finished. */
void layer_to_compact(const struct layer *layer, struct buffer *out);
/* The compact form; what it cannot say (names) is left out. */
void network_to_compact(const struct network *network, struct buffer *out);
/* The same as a JSON text. New reference. */
json_t *network_compact_json(const struct network *network);

#endif

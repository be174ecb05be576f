/* What a layer can be: one row per type in layer.c's table, and nothing about a type anywhere else
 * in this room.
 *
 * A layer is a type, the fields of that type, and an activation that is applied to its output. An
 * activation with no layer to stand on (the first of a network, or a second in a row) is a layer of
 * the type "activation". */
#ifndef NNSTUDIO_NET_LAYER_H
#define NNSTUDIO_NET_LAYER_H

#include <jansson.h>

#include "base/error.h"
#include "net/shape.h"

#define LAYER_NAME_MAX    24
#define LAYER_MAX_WIDTH   65536 /* the most units, filters, rows or columns */
#define LAYER_MAX_TENSORS 4
#define LAYER_MAX_PENALTY 1000 /* the largest l1 or l2 */

enum layer_type {
    LAYER_DENSE,
    LAYER_CONV2D,
    LAYER_MAXPOOL2D,
    LAYER_AVGPOOL2D,
    LAYER_GLOBALAVGPOOL,
    LAYER_FLATTEN,
    LAYER_BATCHNORM,
    LAYER_LAYERNORM,
    LAYER_DROPOUT,
    LAYER_ACTIVATION,
    LAYER_RESCALE,
    LAYER_NORMALIZE,
    LAYER_TYPE_COUNT
};

enum activation {
    ACTIVATION_NONE,
    ACTIVATION_RELU,
    ACTIVATION_TANH,
    ACTIVATION_SIGMOID,
    ACTIVATION_LEAKY_RELU, /* x < 0: slope · x */
    ACTIVATION_ELU,        /* x < 0: alpha · (e^x − 1) */
    ACTIVATION_SELU,
    ACTIVATION_GELU,      /* x · Φ(x) */
    ACTIVATION_GELU_TANH, /* its approximation by tanh */
    ACTIVATION_SILU,      /* x · sigmoid(x) */
    ACTIVATION_SOFTPLUS,  /* ln(1 + e^x) */
    ACTIVATION_COUNT
};

/* What a tensor is to its layer. */
enum tensor_role {
    ROLE_WEIGHT,
    ROLE_BIAS,
    ROLE_RUNNING_MEAN, /* batch normalization's buffers: state that no gradient moves */
    ROLE_RUNNING_VARIANCE,
    ROLE_COUNT
};

enum padding_side { PAD_TOP, PAD_BOTTOM, PAD_LEFT, PAD_RIGHT, PAD_SIDES };

/* A value: owns nothing. `inputs`, `outputs`, `input`, `output` and `name` are filled in by
 * network_finish(). */
struct layer {
    enum layer_type type;
    enum activation activation; /* ACTIVATION_NONE on the last layer: the network ends in logits */
    double slope;               /* leaky_relu's slope, elu's alpha */
    uint32_t inputs, outputs;   /* values per sample: the products of the two shapes */
    struct shape input, output;
    char name[LAYER_NAME_MAX]; /* "fc1", "conv2": the stem of its tensors' names */

    uint32_t units;     /* dense */
    uint32_t filters;   /* conv2d */
    uint32_t kernel[2]; /* rows, columns; conv2d, pooling (there: the size) */
    uint32_t stride[2], dilation[2], groups;
    uint32_t padding[PAD_SIDES];
    bool same;         /* padding "same" was asked for: `padding` follows from the shapes */
    bool without_bias; /* dense, conv2d */
    /* dense, conv2d: l1 · Σ|w| + l2 · Σw² of its weight is part of the loss, as with Keras's
     * kernel_regularizer */
    double l1, l2;
    double epsilon,
        momentum; /* normalizations; momentum: the weight of a batch's own value, PyTorch's way */
    double rate;  /* dropout: the share that is dropped */
    double scale, offset;   /* rescale: x · scale + offset */
    double mean[3], std[3]; /* normalize, per channel: (x − mean) / std */
};

/* A tensor that a layer owns, as net/parameters.h lays it out. */
struct tensor_spec {
    enum tensor_role role;
    struct shape shape;
    /* of the distribution its initial values are drawn from; 0: `initial` everywhere */
    size_t fan_in, fan_out;
    double initial;
};

struct layer_kind {
    const char *name;  /* "conv2d": JSON, command line, page */
    const char *stem;  /* "conv": its layers are conv1, conv2 … */
    const char *title; /* "Convolution": as a palette has it */
    const char *help;  /* what it does, one sentence */
    const char *why;   /* what that is good for, one more */
    bool first_only;
    const struct layer_field *fields; /* ends with a row without a name; layer.c */
    /* The output's shape for layer->input; may fill in what the input decides (padding, groups). -1
     * with a message that says what does not fit and how to fix it; the caller puts the layer's
     * number before it. */
    int (*resolve)(struct layer *layer, struct error *error);
    /* (optional) Its tensors into out[], returns how many; NULL: none. The layer is resolved. */
    uint32_t (*tensors)(const struct layer *layer, struct tensor_spec out[LAYER_MAX_TENSORS]);
    /* (optional) Multiply-additions per sample in a forward pass; NULL: none. */
    uint64_t (*multiply_adds)(const struct layer *layer);
    bool gathers; /* values come from the whole of what goes in, wherever it was */
};

const struct layer_kind *layer_kind(enum layer_type type);
int layer_type_parse(const char *name, enum layer_type *out, struct error *error);
/* The fields' defaults: kernel 1 × 1, stride 1 (pooling: its size), one group, a bias … */
void layer_init(struct layer *layer, enum layer_type type);
uint32_t layer_tensors(const struct layer *layer, struct tensor_spec out[LAYER_MAX_TENSORS]);
bool layer_is_penalized(const struct layer *layer);      /* it has an l1 or l2 */
size_t layer_parameters(const struct layer *layer);      /* trained values: without buffers */
uint64_t layer_multiply_adds(const struct layer *layer); /* per sample, forward */
/* True when an activation behind the layer may become its own: it has none yet, and computes values
 * that one may follow in place. */
bool layer_takes_activation(const struct layer *layer);
/* True of the types whose values an activation may follow in place. */
bool layer_type_activates(enum layer_type type);
/* What comes out is values without a place, each from the whole of a map or of all: dense, global
 * average. */
bool layer_type_gathers(enum layer_type type);
/* A window slides over maps, by kernel, stride, padding: convolution and pooling. */
bool layer_type_slides(enum layer_type type);
/* True when its padding is what the rule "same" gives, whether asked for by that word or by
 * numbers. */
bool layer_pads_same(const struct layer *layer);
bool layer_equal(const struct layer *a, const struct layer *b);
/* The same once trained: but for l1 and l2, and for the last digits of real fields (6 of them
 * count: files keep some as float32). */
bool layer_alike(const struct layer *a, const struct layer *b);

/* A dense layer is {"type":"dense","inputs":784,"outputs":128,"activation":"relu"}, all others
 * {"type", fields that differ from their defaults, "activation" if any}. New reference. */
json_t *layer_to_json(const struct layer *layer);
/* Reads those, and a dense layer's "units"; a member that its type does not know is an error. Not
 * resolved yet. */
int layer_from_json(const json_t *value, struct layer *out, struct error *error);

/* For forms: [{"name":"kernel","label":"Kernel","kind":"pair","low":1,"high":1024,"default":null,
 * "as_size":false},…]; kinds: count, pair, real, channels, padding, bias. `default` null: it must
 * be given; `as_size`: it is the window's own size unless given. New reference. */
json_t *layer_fields_to_json(enum layer_type type);
/* [{"name":"elu","member":"alpha","default":1},…] `member`: its number's name; null: none. */
json_t *activations_to_json(void);

/* The names used in JSON, files and on the command line: "none", "relu", "tanh", "sigmoid" … */
const char *activation_name(enum activation activation);
/* leaky_relu and elu have a number, struct layer's `slope`; and what it usually is. */
bool activation_has_slope(enum activation activation);
double activation_usual_slope(enum activation activation);
int activation_parse(const char *name, enum activation *out, struct error *error);
const char *
tensor_role_name(enum tensor_role role); /* "weight", "bias", "running_mean", "running_var" */
bool tensor_role_is_trained(enum tensor_role role);

#endif

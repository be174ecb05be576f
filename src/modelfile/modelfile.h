/* Model files: .pth (PyTorch state dict), .h5 (whole Keras model), .safetensors, .onnx; read and
 * written in C. Nothing that came in a file is ever run. */
#ifndef NNSTUDIO_MODELFILE_MODELFILE_H
#define NNSTUDIO_MODELFILE_MODELFILE_H

#include <jansson.h>

#include "base/error.h"
#include "net/network.h"
#include "net/parameters.h"

struct model {
    struct network network;
    struct parameters *parameters; /* owned; in the file's dtype */
    /* of the file it was read from: "pth", "h5", "safetensors", "onnx" */
    char format[16];
    /* owned; string → string, what the studio wrote with it; may be NULL */
    json_t *metadata;
    /* owned; texts, what the file does not say and was taken as usual: "activation of layer 1:
     * relu". Belongs beside * every number that the model gives, and into every file made of it.
     * NULL: nothing. */
    json_t *assumed;
};

struct modelfile_options {
    /* What a file may not say. Activations of the hidden layers: none given (relu, which is then
     * put down as assumed), * one for all, or one for each. */
    uint32_t activation_count;
    enum activation activations[NETWORK_MAX_LAYERS];
    const char
        *key; /* borrowed; where a checkpoint of several state dicts has the wanted one, or the
                 output of an ONNX graph; NULL */
    const char *order; /* borrowed; the layers' names, "a,b,c", in the order of the network; NULL */
    /* All layers of a file that holds weights alone, not finished; no layers when that was not
     * told. Its picture may be 0 only when a dense layer stands in front. */
    struct network network;
    /* the picture's shape if known; 0: a square when it fits, else 1 x inputs */
    uint32_t rows, columns;
};

/* A format's entry in the table. */
struct modelfile_format {
    const char *id;         /* "pth" */
    const char *title;      /* "PyTorch state dict" */
    const char *extensions; /* space-separated, first is the usual: "pth pt" */
    int (*read)(const char *path, const struct modelfile_options *options, struct model *out,
                struct error *error);
    /* whole file or nothing */
    int (*write)(const char *path, const struct model *model, struct error *error);
    /* (optional) 0 when the format has words for every layer of the network, else -1 with the layer
     * that it lacks; NULL: it has all */
    int (*carries)(const struct network *network, struct error *error);
};
extern const struct modelfile_format *const modelfile_table[];
extern const size_t modelfile_table_count;

/* By content first, then by name; the message lists the formats. */
int modelfile_format_for_reading(const char *path, const struct modelfile_format **out,
                                 struct error *error);
/* By the ending of the name. */
int modelfile_format_for_writing(const char *path, const struct modelfile_format **out,
                                 struct error *error);
const struct modelfile_format *modelfile_format_find(const char *id);

/* Reads any format; `options` may be NULL. The caller frees with model_destroy(). */
int modelfile_read(const char *path, const struct modelfile_options *options, struct model **out,
                   struct error *error);
/* By the ending of `path`; written to a temporary file, then renamed. */
int modelfile_write(const char *path, const struct model *model, struct error *error);
void model_destroy(struct model *model);

/* {"format":"pth","layers":[{"type":"dense","inputs":784,"outputs":128,"activation":"relu"},…],
 * "parameters":101770,"dtype":"float32","input":[28,28],"activation_known":true,"assumed":[],
 * "metadata":{…}}; what the file left open is in "assumed"; new reference. */
json_t *model_describe_json(const struct model *model);
/* Whether the file itself says every activation. */
bool model_activation_known(const struct model *model);
/* One entry a tensor, for comparing files by eye or machine:
 * [{"name":"fc1.weight","shape":[128,784], "sha256":"…"},…], the digest being of the values' bytes,
 * row-major, little-endian. New reference. */
json_t *model_receipt_json(const struct model *model);
/* True when both have the same network, dtype and values to the bit. */
bool model_equal(const struct model *a, const struct model *b);

#endif

/* From layers as a file tells them to a model: the one way in for all readers. Private to this
 * room. * * A reader hands over layer sources in the order of the network: type, fields, and
 * tensors by role with the order of * their axes. What a file may leave open (the picture's shape,
 * activations) is settled here. */
#ifndef NNSTUDIO_MODELFILE_ASSEMBLE_H
#define NNSTUDIO_MODELFILE_ASSEMBLE_H

#include "modelfile/modelfile.h"
#include "modelfile/state_dict.h"

/* How the axes of a tensor in a file stand to those of net/parameters.h. */
enum axes {
    AXES_PYTORCH,    /* the same */
    AXES_TRANSPOSED, /* a matrix [inputs, outputs]; inputs count as PyTorch's do */
    AXES_KERAS,      /* as net/layout.h says */
};

/* A layer as a file tells it. Borrows the name and the tensors. */
struct layer_source {
    const char *name; /* what the file calls it: for messages, and for putting layers in order */
    /* From layer_init(), then what the file says. A dense layer's sizes come from its weight. */
    struct layer layer;
    const struct named_tensor *tensors[ROLE_COUNT]; /* NULL: the file has none */
    enum axes axes;
};

/* What a file's input is, as far as it says: 0 where it does not. */
struct source_input {
    uint32_t rows, columns, channels;
};

/* What the studio wrote beside the tensors. Borrowed; each may be NULL. */
struct model_note {
    const json_t *network;  /* network_to_json() */
    const json_t *metadata; /* text → text */
    const json_t *assumed;  /* a list of texts */
};

/* Fills all of *out but `format`. The dtype is float64 when any tensor is. `activations_said`: the
 * file itself says * them; else they come from the options, and what is taken without being told is
 * put down in `assumed`. */
int model_from_layers(struct layer_source *sources, size_t count, const struct source_input *input,
                      bool activations_said, const struct model_note *note,
                      const struct modelfile_options *options, struct model *out,
                      struct error *error);

/* Puts layers of which the file says no order into that of the network: as the options tell, else
 * in the only order in * which sizes chain, else in the only such order in which layers of one stem
 * come by rising number. `listed`: the file * has an order of its own, which must not contradict
 * that one. Several orders are an error. */
int sources_order(struct layer_source *sources, size_t count, bool listed,
                  const struct modelfile_options *options, struct error *error);

/* Both names have the same stem and `a` the lower number: "conv1" is before "conv10". */
bool name_is_before(const char *a, const char *b);

/* A state dict's tensors, named LAYER.ROLE as PyTorch names them. "module." and "_orig_mod." in
 * front of all names are * taken off. `listed` as above. */
int model_from_state_dict(const struct state_dict *state, const struct model_note *note,
                          bool listed, const struct modelfile_options *options, struct model *out,
                          struct error *error);

/* model->assumed as one text with a line for each, malloc'd, and back (new reference): for formats
 * whose notes are * texts. NULL for an empty list. */
char *note_text(const json_t *assumed);
json_t *note_lines(const char *text);

/* That a network told without its picture needs one. Returns -1. */
int need_picture(const struct network *told, struct error *error);

/* One more text for model->assumed. */
int model_assume(struct model *model, struct error *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A dense source's sizes as its weight has them; 0 when that is no matrix. */
size_t source_inputs(const struct layer_source *source);
size_t source_outputs(const struct layer_source *source);
/* That a dense layer's tensors are a matrix and a list that fits. */
int source_check_dense(const struct layer_source *source, struct error *error);

#endif

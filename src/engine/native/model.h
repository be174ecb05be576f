/* A network laid out for the kernels, and the phases of a training step on it. */
#ifndef NNSTUDIO_ENGINE_NATIVE_MODEL_H
#define NNSTUDIO_ENGINE_NATIVE_MODEL_H

#include <stdbool.h>

#include "engine/engine.h"
#include "engine/native/kernels.h"
#include "engine/native/pace.h"
#include "engine/native/samples.h"
#include "engine/native/team.h"

#define NATIVE_SETS (1 + OPTIMIZER_MAX_SLOTS) /* the values, then the optimizer's slots */

/* Widths are in numbers and padded to whole lines. The first layer's weights are rows of units, one
 * row a pixel, cut into panels: a part's columns go into panels of kernels->panel columns, the last
 * one narrower. Weight i → j of the panel of columns [from, to) lies at rows · from + i · (to −
 * from) + (j − from), where rows counts the pixels of whole tuples. All other layers are as in
 * net/parameters.h, rows padded. */
struct native_layer {
    uint32_t inputs, outputs;
    size_t input_width, output_width;
    /* outputs, in whole NATIVE_COLUMNS: the rows of every weight but the first layer's */
    size_t unit_rows;
    enum activation activation;
    void *weight[NATIVE_SETS], *bias[NATIVE_SETS];
    void *weight_gradient, *bias_gradient; /* NULL except in a traced step */
    /* [0]: sums of gradients, for a part of a batch; the rest, and it before it is needed, NULL */
    void *weight_sum[NATIVE_SETS], *bias_sum[NATIVE_SETS];
    void *output; /* [rows, output_width]: after the activation; the last layer's are the logits */
    /* [rows, output_width]: the loss's derivative by what goes into the activation; a first layer
     * that is not the last has one such matrix a panel, laid out like its weights */
    void *delta;
    void *before; /* [rows, output_width]: before the activation; NULL except in a traced step */
};

/* The input for every code, in the kernels' dtype. */
union native_table {
    float f32[256];
    double f64[256];
};
void native_table_fill(const struct engine_config *config, union native_table *out);

struct native_model {
    const struct native_kernels *kernels;
    struct team *team;
    struct pace pace; /* how many of the team train */
    uint32_t layer_count;
    struct native_layer layers[NETWORK_MAX_LAYERS];
    struct optimizer optimizer;
    bool fused;             /* the kernels hand gradients to the optimizer as they come … */
    struct formula formula; /* … or there is this, and the gradient as a whole in the sums */
    uint64_t steps;         /* taken so far */
    double numbers[OPTIMIZER_MAX_NUMBERS]; /* the optimizer's */
    size_t batch_size;
    size_t first_rows;        /* the first layer's inputs, in whole tuples */
    size_t rows;              /* what the layers' outputs have room for */
    union native_table table; /* a code's input */
    struct loss_table *loss;  /* owned; NULL: plain cross-entropy */
    bool dense;               /* code 0 is not the input 0 */
    double *losses;           /* [rows] */
    uint8_t *correct;         /* [rows] */
    struct block *blocks;     /* one per thread */
    void **panel_sums;        /* one per thread: [BLOCK_ROWS, kernels->panel] */
    /* the first layer's gradient so far, for batches of several blocks; laid out as its weights; or
     * NULL */
    void *kept;
};

/* Samples as the steps take them. */
struct native_data {
    const uint8_t *labels; /* NULL where only a forward pass is wanted */
    const struct samples *lists;
};

int native_model_create(const struct engine_config *config, struct team *team,
                        struct native_model **out, struct error *error);
/* NULL is fine. */
void native_model_destroy(struct native_model *model);
/* Room for `rows` samples at a time in the layers' outputs. */
int native_model_reserve(struct native_model *model, size_t rows, struct error *error);
/* Room for the gradients and what goes into the activations, until native_model_trace_end(). */
int native_model_trace_begin(struct native_model *model, struct error *error);
void native_model_trace_end(struct native_model *model);

/* Room for the sums of gradients, zeroed; it stays until the model is destroyed. */
int native_model_sums_begin(struct native_model *model, struct error *error);
/* Zeroes sums that there are. */
void native_model_sums_clear(struct native_model *model);

/* How many numbers layer n's weight takes, padding included. */
size_t native_model_weights(const struct native_model *model, uint32_t n);
/* Between the studio's layout and this one; `set` 0 the values, else 1 + slot. */
void native_model_import(struct native_model *model, const struct parameters *source, uint32_t set);
void native_model_export(const struct native_model *model, struct parameters *destination,
                         uint32_t set);
/* The sums of gradients from the studio's layout, each divided by `divisor`. */
void native_model_import_sums(struct native_model *model, const struct parameters *sums,
                              double divisor);
void native_model_export_sums(const struct native_model *model, struct parameters *sums);
/* The same for two matrices given apart: gradients. */
void native_model_export_layer(const struct native_model *model, uint32_t layer, const void *weight,
                               const void *bias, void *weight_out, void *bias_out);

/* Steps over order[0 … count): as engine.h's train. `rates`, of every step, may be NULL. */
void native_model_train(struct native_model *model, const struct native_data *data,
                        const uint32_t *order, size_t count, const double *rates, double *losses,
                        uint32_t *correct);
/* The gradients of order[0 … count), added to sums that native_model_sums_begin() zeroed: as
 * engine.h's gradients. `count` is at most the batch size. */
void native_model_gradients(struct native_model *model, const struct native_data *data,
                            const uint32_t *order, size_t count, double *loss, uint32_t *correct);
/* One step of the optimizer, with the sums as the gradient; `rate` NULL: the optimizer's. */
void native_model_apply(struct native_model *model, const double *rate);
/* The last layer's output for samples [0, count), count at most model->rows; softmax instead of
 * logits if asked. */
void native_model_forward(struct native_model *model, const struct native_data *data, size_t count);

/* The columns of a padded width that are part `part` of as many as the team has threads. */
void native_model_columns(const struct native_model *model, size_t width, uint32_t part,
                          size_t *from, size_t *to);
/* The end of the panel that begins at column `from` of a part's columns, which end at `end`. */
void native_model_panel(const struct native_model *model, size_t end, size_t from, size_t *to);

#endif

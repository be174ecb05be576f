/* A part of a batch, for the engines' gradients() and for those who divide a batch (ranks/).
 *
 * What depends on the whole batch: dropout's masks, which follow from a sample's number in it, and
 * batch normalization, whose sums are added up over all parts, forward and backward. Every part
 * makes the same calls of `add` in the same order: of each batch normalization, from the first
 * layer to the last, the sums of its channels' values and then those of their squared distances
 * from the mean; then, from the last to the first, the sums of the derivatives by its outputs and,
 * behind them, of their products with the normalized values. */
#ifndef NNSTUDIO_ENGINE_PART_H
#define NNSTUDIO_ENGINE_PART_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "net/network.h"
#include "net/parameters.h"

struct engine_part {
    size_t first; /* the number of the part's first sample in the batch, from 0 */
    size_t whole; /* how many samples the batch has */
    /* values[count] of this part become the sums over all parts, the same bits in each; -1 when a
     * part has failed, and with it the batch. NULL: there is no other part. */
    int (*add)(void *context, double *values, size_t count, struct error *error);
    void *context;
};

/* part->add, where there are other parts. */
int engine_part_add(const struct engine_part *part, double *values, size_t count,
                    struct error *error);
/* Values of one channel in the whole batch. */
double engine_part_values(const struct engine_part *part, const struct layer *layer);
/* 1 / √(variance + ε) of a sum of squared distances. */
double engine_part_scale(const struct engine_part *part, const struct layer *layer, double squares);
/* Writes what the running statistics of layer `index` move towards to their places in `sums`: mean
 * and unbiased variance of the batch, from its channels' means and summed squared distances. */
void engine_part_statistics(const struct engine_part *part, const struct network *network,
                            uint32_t index, const double *mean, const double *squares,
                            struct parameters *sums);
/* A running statistic one step on, rounded once. */
double engine_part_moved(const struct layer *layer, double running, double batch);
/* What a part without samples has to say and to hear: the calls of `add`, with zeros, and the
 * statistics; the rest of `sums` becomes zero. */
int engine_part_skip(const struct engine_part *part, const struct network *network,
                     struct parameters *sums, struct error *error);

/* Batch normalization of a part in plain C, for the frameworks, whose own cannot wait for the other
 * parts between the sums and what is made of them. */
struct part_norm {
    const struct layer *layer;
    size_t count, channels, inner; /* samples, and values of one channel in each */
    bool channels_last;            /* how a sample's values lie; else as the studio has them */
    uint32_t *order; /* [channels] where each lies among the channels; owned; NULL: in order */
    double *normal;  /* [count, channels, inner] normalized, before the weight */
    double *mean, *squares, *scale, *weight; /* [channels] */
    double *sums;                            /* [2, channels]: backward, of this part */
};
int part_norm_create(struct part_norm *norm, const struct layer *layer, size_t count,
                     bool channels_last, struct error *error);
void part_norm_destroy(struct part_norm *norm); /* a zeroed one is fine */
/* values: the layer's inputs become its outputs, before the activation. */
int part_norm_forward(struct part_norm *norm, const struct engine_part *part, const double *weight,
                      const double *bias, double *values, struct error *error);
/* values: the derivatives by the outputs become those by the inputs. norm->sums are the gradients
 * of bias and weight by this part's samples. */
int part_norm_backward(struct part_norm *norm, const struct engine_part *part, double *values,
                       struct error *error);

#endif

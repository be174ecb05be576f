/* The loss as data: cross-entropy of logits, whose targets may be smoothed and whose classes may
 * have weights, as PyTorch's CrossEntropyLoss or as Keras's CategoricalCrossentropy with
 * class_weight.
 *
 * A sample with the label y has the loss Σ_c target[y, c] · −log p_c. PyTorch weighs every class's
 * term with that class's weight and divides a batch's sum by the labels' weights; Keras weighs the
 * whole sample and divides by the number of samples. */
#ifndef NNSTUDIO_NET_LOSS_H
#define NNSTUDIO_NET_LOSS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "net/optimizer.h"

#define LOSS_MAX_CLASSES 256
#define LOSS_MAX_WEIGHT  1e6

/* Zeroed: plain cross-entropy. */
struct loss_rules {
    double smoothing; /* the share that goes to all classes alike; 0: none */
    bool weighted;
    double weights[LOSS_MAX_CLASSES]; /* by class, above 0 where there are samples of it */
};
bool loss_is_plain(const struct loss_rules *rules);

/* "" for none, "balanced", or a weight for every class: "1,1,2.5". *count: how many there are. */
int loss_parse_weights(const char *text, double weights[LOSS_MAX_CLASSES], size_t *count,
                       struct error *error);
bool loss_is_balanced(const char *text);
/* samples / (classes · samples of the class); 0 for a class without samples. */
void loss_balance(const uint8_t *labels, size_t count, uint32_t classes,
                  double weights[LOSS_MAX_CLASSES]);

struct loss_table {
    uint32_t classes;
    double *target;  /* [classes, classes]: a row per label */
    double *total;   /* [classes]: the row's sum */
    double *divisor; /* [classes]: what a sample of that label adds to the mean's divisor */
};
/* *out is NULL for plain cross-entropy. The caller destroys it. */
int loss_table_create(const struct loss_rules *rules, enum meaning meaning, uint32_t classes,
                      struct loss_table **out, struct error *error);
void loss_table_destroy(struct loss_table *table); /* NULL is fine */
/* Of the batch order[0 … count); `table` NULL: the number of its samples. */
double loss_divisor(const struct loss_table *table, const uint8_t *labels, const uint32_t *order,
                    size_t count);

#endif

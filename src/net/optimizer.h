/* The optimizer as data, and its state. All engines compute PyTorch's formulas:
 *
 *   g ← g + weight_decay · w
 *   SGD   v ← momentum · v + g;  w ← w − lr · v         (torch.optim.SGD, dampening 0, no Nesterov)
 *   Adam  m ← β1·m + (1−β1)·g;  v ← β2·v + (1−β2)·g²;  t counts steps from 1
 *         w ← w − lr/(1−β1^t) · m / (sqrt(v)/sqrt(1−β2^t) + ε)       (torch.optim.Adam)
 *
 * Keras's Adam puts ε elsewhere ("epsilon hat"); the TensorFlow engine is given PyTorch's meaning.
 */
#ifndef NNSTUDIO_NET_OPTIMIZER_H
#define NNSTUDIO_NET_OPTIMIZER_H

#include "net/parameters.h"

#define OPTIMIZER_MAX_LEARNING_RATE 1000
#define OPTIMIZER_MAX_WEIGHT_DECAY  100

enum optimizer_type { OPTIMIZER_SGD, OPTIMIZER_ADAM };

struct optimizer {
    enum optimizer_type type;
    double learning_rate;
    double momentum; /* SGD: 0 for none */
    /* 0 for none; added to the gradient (L2), biases included, as PyTorch does */
    double weight_decay;
    double beta1, beta2, epsilon; /* Adam */
};

#define OPTIMIZER_MAX_SLOTS 2
/* What an optimizer carries from step to step. Plain SGD: no slots. SGD with momentum: slot 0 is v.
 * Adam: 0 is m, 1 is v. */
struct optimizer_state {
    uint64_t steps; /* steps taken so far */
    uint32_t slot_count;
    struct parameters *slots[OPTIMIZER_MAX_SLOTS]; /* owned */
};

const char *optimizer_type_name(enum optimizer_type type); /* "sgd", "adam" */
/* Defaults of the type: lr 0.01 (sgd) or 0.001 (adam), betas 0.9 and 0.999, epsilon 1e-8. */
int optimizer_init(struct optimizer *optimizer, const char *type_name, struct error *error);
/* Finite and in range; the message names the field. */
int optimizer_check(const struct optimizer *optimizer, struct error *error);
uint32_t optimizer_slot_count(const struct optimizer *optimizer);
/* "momentum", "exp_avg", "exp_avg_sq" */
const char *optimizer_slot_name(const struct optimizer *optimizer, uint32_t slot);

/* {"type":"sgd","lr":0.01,"momentum":0,"weight_decay":0}; Adam adds beta1, beta2, epsilon. New
 * reference. */
json_t *optimizer_to_json(const struct optimizer *optimizer);
int optimizer_from_json(const json_t *value, struct optimizer *out, struct error *error);

/* State at step 0, slots zero. The caller destroys it. */
int optimizer_state_create(const struct optimizer *optimizer, const struct network *network,
                           enum dtype dtype, struct optimizer_state **out, struct error *error);
void optimizer_state_destroy(struct optimizer_state *state);

#endif

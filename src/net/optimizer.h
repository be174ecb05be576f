/* The optimizer as data, and its state. One row of optimizer.c's table says all about one: which
 * fields it has, their defaults, the state it carries and its formula, in either meaning.
 *
 * The *meaning* is whose words the run's settings are: PyTorch and Keras understand different
 * formulas and defaults by the same name. `pytorch` is judged by torch.optim, `keras` by
 * keras.optimizers; every engine computes both. */
#ifndef NNSTUDIO_NET_OPTIMIZER_H
#define NNSTUDIO_NET_OPTIMIZER_H

#include "net/formula.h"
#include "net/parameters.h"

#define OPTIMIZER_MAX_LEARNING_RATE 1000
#define OPTIMIZER_MAX_WEIGHT_DECAY  100
#define OPTIMIZER_MAX_CLIP          1e9
/* Far below what float32 adds to anything, and still no 0 in it, nor when corrected for bias. */
#define OPTIMIZER_MIN_EPSILON 1e-30

enum meaning { MEANING_PYTORCH, MEANING_KERAS, MEANING_COUNT };
const char *meaning_name(enum meaning meaning);  /* "pytorch", "keras" */
const char *meaning_title(enum meaning meaning); /* "PyTorch", "Keras" */

enum optimizer_type {
    OPTIMIZER_SGD,
    OPTIMIZER_ADAM,
    OPTIMIZER_ADAMW,
    OPTIMIZER_RMSPROP,
    OPTIMIZER_ADAGRAD,
    OPTIMIZER_ADADELTA,
    OPTIMIZER_ADAMAX,
    OPTIMIZER_NADAM,
    OPTIMIZER_TYPE_COUNT
};

struct optimizer {
    enum optimizer_type type;
    enum meaning meaning;
    double learning_rate;
    /* 0 for none; pytorch: added to the gradient (L2), except by adamw; keras and adamw: taken off
     * the parameters before the step (decoupled). Biases included. */
    double weight_decay;
    double momentum; /* 0 for none */
    double beta1, beta2;
    double rho; /* torch.optim.RMSprop calls it alpha */
    double epsilon;
    bool nesterov, amsgrad, centered;
    /* Bounds of the gradients, before everything else; at most one of them above 0: of every value;
     * of a norm: keras: each tensor's own, pytorch: that of all, as clip_grad_norm_; of the norm of
     * all tensors together. */
    double clip_value, clip_norm, clip_global_norm;
};

/* The fields that only some optimizers have; learning rate and weight decay belong to all. */
enum optimizer_field {
    OPTIMIZER_MOMENTUM = 1,
    OPTIMIZER_NESTEROV = 2,
    OPTIMIZER_BETAS = 4,
    OPTIMIZER_AMSGRAD = 8,
    OPTIMIZER_RHO = 16,
    OPTIMIZER_EPSILON = 32,
    OPTIMIZER_CENTERED = 64,
};

#define OPTIMIZER_MAX_SLOTS   4
#define OPTIMIZER_MAX_NUMBERS 1
/* What an optimizer carries from step to step: slots, laid out as the parameters, and numbers. */
struct optimizer_state {
    uint64_t steps; /* steps taken so far */
    double numbers[OPTIMIZER_MAX_NUMBERS];
    uint32_t slot_count;
    struct parameters *slots[OPTIMIZER_MAX_SLOTS]; /* owned */
};

const char *optimizer_type_name(enum optimizer_type type);  /* "sgd", "adamw" */
const char *optimizer_type_title(enum optimizer_type type); /* "SGD", "AdamW": a class's name */
bool optimizer_has(enum optimizer_type type, enum optimizer_field field);
/* The defaults of that framework's optimizer, and neutral values for what it does not have. */
void optimizer_defaults(enum optimizer_type type, enum meaning meaning, struct optimizer *out);
/* The same by name, in PyTorch's meaning. */
int optimizer_init(struct optimizer *optimizer, const char *type_name, struct error *error);
/* Finite and in range, and every option goes with the others; the message names the field. */
int optimizer_check(const struct optimizer *optimizer, struct error *error);

uint32_t optimizer_slot_count(const struct optimizer *optimizer);
/* PyTorch's names: "momentum", "exp_avg" … */
const char *optimizer_slot_name(const struct optimizer *optimizer, uint32_t slot);
double optimizer_slot_start(const struct optimizer *optimizer, uint32_t slot);
uint32_t optimizer_number_count(const struct optimizer *optimizer);
const char *optimizer_number_name(const struct optimizer *optimizer, uint32_t number);

/* {"type":"sgd","lr":0.01,"momentum":0,"weight_decay":0,"meaning":"pytorch"} and the other fields
 * of its row. New reference. */
json_t *optimizer_to_json(const struct optimizer *optimizer);
int optimizer_from_json(const json_t *value, struct optimizer *out, struct error *error);

/* State at step 0. The caller destroys it. */
int optimizer_state_create(const struct optimizer *optimizer, const struct network *network,
                           enum dtype dtype, struct optimizer_state **out, struct error *error);
void optimizer_state_destroy(struct optimizer_state *state);

/* --- for engines --- */

/* The formula as text (formula.h): tensors `w`, `g`, the slots by name; numbers `lr`, `wd`, `mu`,
 * `beta1`, `beta2`, `rho`, `eps`, the step `t` from 1, the state's numbers by name. */
const char *optimizer_formula_text(const struct optimizer *optimizer);
/* The lines of it that the options ask for, one by one; begin with *rest = the text. */
bool optimizer_formula_line(const struct optimizer *optimizer, const char **rest, const char **line,
                            size_t *length);
/* The value of a field by its name in formulas; NAN when none has it. */
double optimizer_symbol(const struct optimizer *optimizer, const char *symbol);
/* Symbol `number` of those that fields have in formulas; NULL past the last. */
const char *optimizer_symbol_name(size_t number);
/* Compiled for the optimizer's options. Tensor inputs: w, g, then its slots. */
void optimizer_formula(const struct optimizer *optimizer, struct formula *out);
/* The numbers of step `step` (from 1) with the learning rate `rate`; moves the state's numbers on.
 */
void optimizer_numbers(const struct optimizer *optimizer, const struct formula *formula,
                       double rate, uint64_t step, double state[OPTIMIZER_MAX_NUMBERS],
                       double used[FORMULA_MAX_NUMBERS]);

/* How gradients are bounded before the step. */
enum optimizer_clip {
    OPTIMIZER_CLIP_NONE,
    OPTIMIZER_CLIP_VALUES, /* each value to -bound … bound */
    OPTIMIZER_CLIP_EACH,   /* each tensor by optimizer_clip_factor() of its norm */
    OPTIMIZER_CLIP_ALL,    /* all tensors by that of the norm of them together */
};
enum optimizer_clip optimizer_clip(const struct optimizer *optimizer, double *bound);
/* What is added to a norm before it divides: torch.nn.utils.clip_grad_norm_ does, Keras does
 * not. */
double optimizer_clip_epsilon(const struct optimizer *optimizer);
/* What gradients of this norm (the root of the sum of squares) are multiplied by: at most 1. */
double optimizer_clip_factor(const struct optimizer *optimizer, double norm);

/* The formulas that all engines have a kernel of their own for. Everything else goes by the
 * compiled formula. */
enum optimizer_fused {
    OPTIMIZER_NOT_FUSED,
    OPTIMIZER_FUSED_SGD,  /* g + wd·w; v = mu·v + g (with momentum); w − lr·v */
    OPTIMIZER_FUSED_ADAM, /* g + wd·w; Adam in either meaning, see below */
};
enum optimizer_fused optimizer_fused(const struct optimizer *optimizer);
/* Of OPTIMIZER_FUSED_ADAM: w − size · m / (sqrt(v) · root + epsilon). */
struct optimizer_adam {
    double size, root;
};
struct optimizer_adam optimizer_adam(const struct optimizer *optimizer, double rate, uint64_t step);

#endif

/* The one interface to everything that can train. Adding an engine: a folder here and one line in
 * engine.c's table.
 *
 * An engine takes the studio's own parameters, samples by index and an order, so that all engines
 * compute on the same numbers. What differs between paradigms (a manual loop with autograd, a graph
 * built once, fused kernels) stays inside the engine's folder. An engine is used by one thread at a
 * time; one process opens at most one framework (they clash in one process).
 *
 * Callers use the functions engine_*() at the end of this file: they check what they are given, so
 * that all engines answer a wrong shape alike, and then call the engine's own function. */
#ifndef NNSTUDIO_ENGINE_ENGINE_H
#define NNSTUDIO_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "data/dataset.h"
#include "data/preprocess.h"
#include "engine/part.h"
#include "net/loss.h"
#include "net/network.h"
#include "net/optimizer.h"
#include "net/parameters.h"

#define ENGINE_MAX_DEVICES 9
#define ENGINE_MAX_THREADS 256

/* What is known about an engine without running it. */
struct engine_probe {
    bool found;
    char version[64]; /* "2.13.0"; the studio's own for native */
    char path[1024];  /* the library that would be loaded; "" for native */
    char detail[256]; /* native: the vector code chosen, "AVX-512"; torch: "stable ABI 2.13"; … */
    char missing[512]; /* when not found: one line, what is missing and how to get it */
    char devices[ENGINE_MAX_DEVICES][32]; /* "cpu", "cuda:0" */
    uint32_t device_count;
};

struct engine_config {
    struct network network;
    enum dtype dtype;
    struct optimizer optimizer;
    struct loss_rules loss; /* of training, in the optimizer's meaning; zeroed: plain */
    uint32_t batch_size;    /* 1 or more */
    uint32_t threads;       /* 1 to ENGINE_MAX_THREADS */
    const char *device;     /* one of the probe's devices; NULL: "cpu" */
    uint64_t seed;          /* of dropout's masks (engine/dropout.h) */
    /* what the network receives for every code of attach() and forward(); zeroed: p / 255 */
    struct preprocess preprocess;
    bool infers; /* engine_infer() will be called */
};

/* An open engine. Each engine's own struct starts with this one; engine_open() and engine_attach()
 * fill it. */
struct engine_ops;
struct engine {
    const struct engine_ops *ops;
    struct engine_config config; /* as opened, with the learning rate last set; no device */
    const struct split *split;   /* the samples attached, borrowed; NULL before */
    const double
        *rates; /* in train() and apply(): every step's learning rate; NULL: the config's */
};

/* Receives one tensor of a traced step: row-major, `rank` ≤ 4. Returns 0 to go on, -1 to end the
 * trace as failed. */
typedef int engine_trace_fn(void *context, const char *name, const size_t *shape, uint32_t rank,
                            const double *values);

/* How an engine looks wherever one is drawn: a color, a line pattern and a mark, never the color
 * alone. */
#define ENGINE_MAX_DASHES 4
struct engine_colors {
    const char *line; /* of curves: "#0f9d8f" */
    const char *text; /* readable as text on the surface (WCAG AA) */
    const char *fill; /* of buttons and bars */
    const char *on;   /* text on the fill */
};
struct engine_look {
    struct engine_colors light, dark;  /* by theme; the terminal takes light.line */
    uint8_t dashes[ENGINE_MAX_DASHES]; /* line, gap … in pixels, ended by 0; none: a solid line */
    uint8_t line_width;                /* pixels: where curves coincide, each shows through */
    const char *mark;                  /* of an epoch: "circle", "square", "diamond" */
};

/* What pip brings for an engine that is not part of the program. */
struct engine_package {
    const char *requirement; /* "torch==2.13.0", as in scripts/frameworks.txt */
    const char *note;        /* one line: what will be fetched */
};

/* An engine's own functions. What they are given has been checked by the functions below: shapes,
 * dtypes and indices fit, samples are attached where they are needed, counts are at least 1. So a
 * failure here is the library's or memory's: the function returns -1 with one line in *error, and
 * the engine can still be used and closed. Unless said otherwise, a call that fails may have
 * changed parameters and optimizer state. */
struct engine_ops {
    const char *id;           /* "torch": the word on the command line and in files */
    const char *title;        /* "PyTorch": for users */
    const char *model_format; /* the format its training writes: "pth" */
    const char *paradigm;     /* how it works, in a few words: "imperative, define-by-run" */
    struct engine_look look;
    struct engine_package package; /* requirement NULL: part of the program */

    /* (optional) The number of threads that is usually fastest at small batches on this machine, 1
     * or more. Results do not depend on it. NULL: 1, because a second thread costs more at batch 32
     * than it brings. */
    uint32_t (*default_threads)(void);

    /* Looks for the engine on disk without loading it (milliseconds). Never fails: a missing one
     * says so in *out. */
    void (*probe)(struct engine_probe *out);

    /* What it computes; engine_open() refuses a network of anything else. */
    bool (*has_layer)(enum layer_type type);
    bool (*has_activation)(enum activation activation);

    /* Loads the library and builds what training needs: an engine of its own struct, zeroed but for
     * what it needs, with *config copied where it keeps any of it. `found` is what probe() told
     * (found->found is true), config->device one of its devices, never NULL. The parameters are
     * zero, the optimizer's state fresh. On failure nothing is left behind. */
    int (*open)(const struct engine_config *config, const struct engine_probe *found,
                struct engine **out, struct error *error);

    /* The samples that train(), trace() and gradients() index from then on, in place of those
     * before; there is at least one. The engine may keep its own form. On failure none are
     * attached. */
    int (*attach)(struct engine *engine, const struct split *split, struct error *error);

    /* Values in the config's dtype and the studio's layout (net/parameters.h): copied, bit for bit;
     * the caller keeps its own. */
    int (*set_parameters)(struct engine *engine, const struct parameters *parameters,
                          struct error *error);
    int (*get_parameters)(struct engine *engine, struct parameters *parameters,
                          struct error *error);
    /* Slots and step count as net/optimizer.h says: copied, bit for bit. */
    int (*set_optimizer_state)(struct engine *engine, const struct optimizer_state *state,
                               struct error *error);
    int (*get_optimizer_state)(struct engine *engine, struct optimizer_state *state,
                               struct error *error);

    /* As engine_train. Parameters and state set back to what they were give the same bits again;
     * how the steps are cut into calls changes nothing. */
    int (*train)(struct engine *engine, const uint32_t *order, size_t count, double *losses,
                 uint32_t *correct, struct error *error);

    /* As engine_forward. Changes nothing. */
    int (*forward)(struct engine *engine, const uint8_t *pixels, size_t count, double *logits,
                   struct error *error);

    /* (optional) As engine_infer, of an engine opened for it; NULL when it takes codes alone. */
    int (*infer)(struct engine *engine, const double *inputs, size_t count, double *logits,
                 struct error *error);

    /* As engine_trace. When `emit` returns -1 it is not called again and the result is -1. */
    int (*trace)(struct engine *engine, const uint32_t *order, size_t count, engine_trace_fn *emit,
                 void *context, struct error *error);

    /* As engine_follow; `target` is a class or ENGINE_NO_CLASS. When `emit` returns -1 it is not
     * called again and the result is -1. Changes nothing. */
    int (*follow)(struct engine *engine, const uint8_t *pixels, uint32_t target,
                  engine_trace_fn *emit, void *context, struct error *error);

    /* (optional) As engine_gradients and engine_apply: both, or NULL in both for an engine that
     * cannot train one batch together with others. gradients() changes nothing. */
    int (*gradients)(struct engine *engine, const struct engine_part *part, const uint32_t *order,
                     size_t count, struct parameters *sums, double *loss, uint32_t *correct,
                     struct error *error);
    int (*apply)(struct engine *engine, const struct parameters *sums, double divisor,
                 struct error *error);

    /* (optional) A new learning rate from the next step on; NULL when it is fixed at open. The
     * value is in engine->config already when this is called. */
    int (*set_learning_rate)(struct engine *engine, double learning_rate, struct error *error);

    /* Frees everything; NULL never comes. */
    void (*close)(struct engine *engine);
};

/* The table, in the order users see: torch, tensorflow, native. */
extern const struct engine_ops *const engine_table[];
extern const size_t engine_table_count;

/* By name, for what is about one of them: its code, its benchmark. */
extern const struct engine_ops engine_torch, engine_tensorflow, engine_native;

/* The engine that needs nothing installed: it trains unless another is named, and computes what no
 * engine is named for (predictions, evaluations). */
extern const struct engine_ops *const engine_default;

/* NULL when there is none of that id. */
const struct engine_ops *engine_find(const char *id);
uint32_t engine_default_threads(const struct engine_ops *ops);
/* 0 when the engine computes every layer of the network, which need not be finished; else -1 with
 * what is wrong with the network, or the first layer that the engine lacks and who has it. */
int engine_check_network(const struct engine_ops *ops, const struct network *network,
                         struct error *error);
/* 0 when `count` samples, cut into batches, can train the network: batch normalization of lists of
 * values needs at least two in each. */
int engine_check_batches(const struct network *network, size_t batch_size, size_t count,
                         struct error *error);
/* 0 when the engine, as probed, offers the device; else ERROR_UNAVAILABLE with those it has. */
int engine_check_device(const struct engine_ops *ops, const struct engine_probe *found,
                        const char *device, struct error *error);
/* "torch, tensorflow or native"; with `packaged`, only those that pip brings. Returns `out`. */
#define ENGINE_IDS_SIZE 256
const char *engine_ids(bool packaged, char out[ENGINE_IDS_SIZE]);
/* As engine_find, with a message that lists the ids. */
int engine_need(const char *id, const struct engine_ops **out, struct error *error);

/* Opens an engine: its parameters are zero, its optimizer's state fresh, no samples are attached.
 * `config` is copied. The caller closes it. Refused, with nothing left behind: a network, an
 * optimizer, a batch size or a number of threads out of range (ERROR_INPUT); a library that is
 * missing or unfit, a device that it does not offer (ERROR_UNAVAILABLE). */
int engine_open(const struct engine_ops *ops, const struct engine_config *config,
                struct engine **out, struct error *error);
/* NULL is fine. */
void engine_close(struct engine *engine);

/* The samples that training indexes; `split` must outlive the engine, or the next attach. Its
 * pictures have network_inputs() bytes. Refused: no samples, a label that the network has no class
 * for (ERROR_INPUT). */
int engine_attach(struct engine *engine, const struct split *split, struct error *error);

/* Values in the config's dtype and the studio's layout (net/parameters.h). Refused: parameters of
 * another network or dtype, a state of another optimizer (ERROR_INPUT); nothing is changed then. */
int engine_set_parameters(struct engine *engine, const struct parameters *parameters,
                          struct error *error);
int engine_get_parameters(struct engine *engine, struct parameters *parameters,
                          struct error *error);
int engine_set_optimizer_state(struct engine *engine, const struct optimizer_state *state,
                               struct error *error);
int engine_get_optimizer_state(struct engine *engine, struct optimizer_state *state,
                               struct error *error);

/* Runs ceil(count / batch_size) consecutive training steps over the samples order[0 … count); the
 * last batch may be short. Writes each step's mean loss (before its update; with what the layers'
 * l1 and l2 add) to losses[step], and,
 * when `correct` is not NULL, how many samples of the batch the logits classify correctly (before
 * the update; of equal logits the first counts) to correct[step]. Refused: no samples attached
 * (ERROR_USAGE), an index past the samples (ERROR_INPUT). */
int engine_train(struct engine *engine, const uint32_t *order, size_t count, double *losses,
                 uint32_t *correct, struct error *error);

/* The same with a learning rate for every step, rates[ceil(count / batch_size)]; the engine's own
 * stays as it is. Refused also: a rate that is not finite or below 0 (ERROR_INPUT). */
int engine_train_at_rates(struct engine *engine, const uint32_t *order, size_t count,
                          const double *rates, double *losses, uint32_t *correct,
                          struct error *error);

/* Logits of `count` pictures (bytes, preprocessed as in training): logits[count, classes], as
 * doubles. */
int engine_forward(struct engine *engine, const uint8_t *pixels, size_t count, double *logits,
                   struct error *error);

/* The same of inputs that are the network's own values, already preprocessed: inputs[count,
 * network_inputs()], rounded once to the config's dtype. Refused: an engine that was not opened for
 * it (ERROR_USAGE), one without this (ERROR_UNAVAILABLE). */
int engine_infer(struct engine *engine, const double *inputs, size_t count, double *logits,
                 struct error *error);

/* One real training step over the batch order[0 … count), emitting its tensors under the names of
 * trace_name.h, in this order:
 *   input [count, inputs], or [count, channels, rows, columns] when the first layer is not dense;
 *   of every layer but the last z (where trace_shows_before()) and a: [count] + its output's shape;
 *   logits and probabilities [count, classes]; loss [1];
 *   the gradient of every parameter (of the loss with l1 and l2; without weight decay);
 *   after the update, the new value of every parameter and buffer.
 * All really computed by this engine, in the studio's order of values. Refused as in engine_train,
 * and a count that is not 1 to the batch size (ERROR_INPUT). */
int engine_trace(struct engine *engine, const uint32_t *order, size_t count, engine_trace_fn *emit,
                 void *context, struct error *error);

/* One picture through the network as it is used (nothing is dropped, batch normalization takes its
 * running statistics), emitting under the names of trace_name.h, in this order: input, a of every
 * layer but the last, logits; shapes as in engine_trace, for one sample. With a class `target` also
 * the saliency: the derivative of that class's logit by every value of the input, in the input's
 * shape. Changes nothing. Refused: a class that the network does not have (ERROR_INPUT). */
#define ENGINE_NO_CLASS UINT32_MAX
int engine_follow(struct engine *engine, const uint8_t *pixels, uint32_t target,
                  engine_trace_fn *emit, void *context, struct error *error);

/* Data-parallel training: several engines hold the same parameters and optimizer state, each
 * computes the gradients of its part of a batch, the parts' gradients are added up
 * (parameters_add), and every engine applies the total. That gives what engine_train does with the
 * whole batch, but for rounding: in float64 within 1e-12 per step. What depends on the whole batch
 * comes by `part` (engine/part.h). The layers' l1 and l2 belong to the loss of the whole: no part
 * has them, and who adds the parts up adds them once (parameters_penalty, and
 * parameters_add_penalty times the divisor).
 *
 * engine_gradients writes to `sums` the gradient of the sum (not the mean) of the losses of order[0
 * … count), without weight decay, in the config's dtype; to *loss that sum; to *correct, when it is
 * not NULL, how many of the samples the logits classify correctly. In the places of the running
 * statistics are the whole batch's mean and unbiased variance, the same in every part: these are
 * not added up. `part` NULL: the samples are a whole batch. Refused as in engine_trace, samples
 * that do not lie in the batch, sums of another network or dtype (ERROR_INPUT), an engine without
 * this (ERROR_UNAVAILABLE). */
/* Whether they can be computed at all. */
int engine_check_parts(const struct engine_ops *ops, struct error *error);
int engine_gradients(struct engine *engine, const struct engine_part *part, const uint32_t *order,
                     size_t count, struct parameters *sums, double *loss, uint32_t *correct,
                     struct error *error);
/* One step of the optimizer with the gradient sums / divisor and the learning rate *rate, or the
 * engine's own for NULL; running statistics move towards those in `sums`. The divisor is what the
 * mean of the whole batch's losses is divided by: its number of samples, or loss_divisor().
 * Refused: a divisor that is not above 0, sums of another network or dtype, a rate out of range
 * (ERROR_INPUT), an engine without this (ERROR_UNAVAILABLE). */
int engine_apply(struct engine *engine, const struct parameters *sums, double divisor,
                 const double *rate, struct error *error);

/* A new learning rate, or 0, from the next step on. Refused: one out of range (ERROR_INPUT), an
 * engine whose rate is fixed at open (ERROR_UNAVAILABLE). */
int engine_set_learning_rate(struct engine *engine, double learning_rate, struct error *error);

#endif

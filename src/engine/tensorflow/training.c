#include "engine/tensorflow/layers.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* TensorFlow's variables are named places: a handle of the same name is the same variable, in the
 * graph and in the functions that its loop calls. */
static void declare_variables(const struct tf_training *t, struct graph *g, struct tf_variables *v)
{
    static const char *const set_suffixes[TF_MAX_SETS] = {"", ".slot1", ".slot2", ".slot3",
                                                          ".slot4"};
    const struct network *network = &t->config->network;
    const int64_t samples[] = {-1, network_inputs(network)};
    v->images = graph_variable(g, "images", TF_UINT8, samples, 2);
    v->labels = graph_variable(g, "labels", TF_INT32, samples, 1);
    v->losses = graph_variable(g, "losses", t->real, samples, 1);
    v->correct = graph_variable(g, "correct", TF_INT32, samples, 1);
    for (size_t set = 0; set < t->set_count; set++)
        for (size_t p = 0; p < t->parameter_count; p++) {
            const struct shape *keras = &t->layouts[p].keras;
            int64_t shape[SHAPE_MAX_RANK];
            char name[64];
            if (!tf_training_has_variable(t, set, p)) continue;
            for (uint32_t d = 0; d < keras->rank; d++) shape[d] = keras->sizes[d];
            snprintf(name, sizeof name, "%s%s", t->tensors[p].name, set_suffixes[set]);
            v->values[set][p] = graph_variable(g, name, t->real, shape, (int)keras->rank);
        }
}

static struct tf_access define_access(struct graph *g, TF_Output variable, TF_DataType type)
{
    struct tf_access access = {.fed = graph_placeholder(g, type),
                               .read = graph_read(g, variable, type)};
    access.assign = GRAPH_OP(g, "AssignVariableOp", variable, access.fed).oper;
    return access;
}

/* [stage: data] */
/* A pixel p becomes p / 255, or what the data's own preprocessing says. */
static TF_Output scale(const struct tf_training *t, struct graph *g, TF_Output pixels) /* [scale] */
{
    if (t->config->preprocess.custom)
        return GRAPH_OP_TYPED(
            g, "GatherV2", "Taxis", TF_INT32,
            graph_real_array(g, t->real, &(int64_t){256}, 1, t->config->preprocess.values),
            GRAPH_OP_TYPED(g, "Cast", "DstT", TF_INT32, pixels), graph_int(g, 0)); /* [scale] */
    return GRAPH_OP(g, "RealDiv", GRAPH_OP_TYPED(g, "Cast", "DstT", t->real, pixels),
                    graph_real(g, t->real, 255)); /* [scale] */
}

/* The pictures and labels of one batch, picked by their row numbers. */
static void gather_batch(const struct tf_training *t, struct graph *g, const struct tf_variables *v,
                         TF_Output rows, struct tf_step *step) /* [batches] */
{
    step->input = scale(t, g, /* [batches] */
                        GRAPH_OP_TYPED(g, "ResourceGather", "dtype", TF_UINT8, v->images, rows));
    step->labels = GRAPH_OP_TYPED(g, "ResourceGather", "dtype", TF_INT32, v->labels,
                                  rows); /* [labels] */
}
/* [end] */

static bool is_trained(const struct tf_training *t, size_t p)
{
    return tensor_role_is_trained(t->tensors[p].role);
}

/* [stage: loss and optimizer] */
/* A loss with smoothed targets or class weights (net/loss.h), and its derivative by the logits. */
static TF_Output shaped_loss(const struct tf_training *t, struct graph *g, TF_Output logits,
                             struct tf_step *step)
{
    const int64_t classes[] = {t->loss->classes, t->loss->classes};
    TF_Output axis = graph_int(g, 1), zero = graph_int(g, 0);
    TF_Output rows = graph_real_array(g, t->real, classes, 2, t->loss->target),
              parts = graph_real_array(g, t->real, classes, 1, t->loss->divisor);
    TF_Output target = GRAPH_OP(g, "GatherV2", rows, step->labels, zero);
    TF_Output divisor = GRAPH_OP(g, "Sum", GRAPH_OP(g, "GatherV2", parts, step->labels, zero),
                                 zero);
    TF_Output entropy = GRAPH_OP(
        g, "Neg",
        GRAPH_OP(g, "Sum", GRAPH_OP(g, "Mul", target, GRAPH_OP(g, "LogSoftmax", logits)), axis));
    step->loss = GRAPH_OP(g, "RealDiv", GRAPH_OP(g, "Sum", entropy, zero), divisor); /* [loss] */
    TF_Output total = GRAPH_OP(g, "ExpandDims", GRAPH_OP(g, "Sum", target, axis), axis);
    TF_Output slope = GRAPH_OP(g, "Sub", GRAPH_OP(g, "Mul", total, GRAPH_OP(g, "Softmax", logits)),
                               target);
    return GRAPH_OP(g, "RealDiv", slope, divisor); /* [backward] */
}

/* Plain cross-entropy: its second output is its own gradient by the logits; the mean divides it by
 * the batch's size. */
static TF_Output plain_loss(const struct tf_training *t, struct graph *g, TF_Output logits,
                            struct tf_step *step)
{
    TF_Output entropy = GRAPH_OP(g, "SparseSoftmaxCrossEntropyWithLogits", logits,
                                 step->labels);                 /* [loss] */
    step->loss = GRAPH_OP(g, "Mean", entropy, graph_int(g, 0)); /* [loss] */
    TF_Output batch = GRAPH_OP_TYPED(g, "Cast", "DstT", t->real, GRAPH_OP(g, "Size", step->labels));
    return GRAPH_OP(g, "RealDiv", graph_output(entropy, 1), batch); /* [backward] */
}

static TF_Output sum_of(struct graph *g, TF_Output values)
{
    TF_Output flat = GRAPH_OP(g, "Reshape", values, graph_int_vector(g, -1));
    return GRAPH_OP(g, "Sum", flat, graph_int(g, 0));
}

/* What a layer's l1 and l2 add to the loss, and to its weight's gradient: Keras's
 * kernel_regularizer. */
static void penalize(const struct tf_training *t, struct graph *g, struct tf_step *step, size_t p)
{
    const struct layer *layer = &t->config->network.layers[t->tensors[p].layer];
    TF_Output w = step->parameters[p];
    if (t->tensors[p].role != ROLE_WEIGHT) return;
    if (layer->l1 > 0) {
        TF_Output l1 = graph_real(g, t->real, layer->l1);
        step->loss = GRAPH_OP(
            g, "AddV2", step->loss,
            GRAPH_OP(g, "Mul", l1, sum_of(g, GRAPH_OP(g, "Abs", w)))); /* [loss] */
        step->gradients[p] = GRAPH_OP(
            g, "AddV2", step->gradients[p],
            GRAPH_OP(g, "Mul", l1, GRAPH_OP(g, "Sign", w))); /* [backward] */
    }
    if (layer->l2 > 0) {
        step->loss = GRAPH_OP(g, "AddV2", step->loss,
                              GRAPH_OP(g, "Mul", graph_real(g, t->real, layer->l2),
                                       sum_of(g, GRAPH_OP(g, "Square", w)))); /* [loss] */
        step->gradients[p] = GRAPH_OP(
            g, "AddV2", step->gradients[p],
            GRAPH_OP(g, "Mul", graph_real(g, t->real, 2 * layer->l2), w)); /* [backward] */
    }
}

/* The mean cross-entropy of the batch with the layers' l1 and l2, how many of its samples are
 * classified correctly, and, through TensorFlow's automatic differentiation, the gradient of every
 * parameter. */
static void measure(const struct tf_training *t, struct graph *g, TF_Output logits,
                    struct tf_step *step)
{
    TF_Output gradient = t->loss ? shaped_loss(t, g, logits, step)
                                 : plain_loss(t, g, logits, step); /* [loss] */
    step->slope = gradient;

    TF_Output answer = GRAPH_OP_TYPED(g, "ArgMax", "output_type", TF_INT32, logits,
                                      graph_int(g, 1)); /* [correct] */
    TF_Output right = GRAPH_OP_TYPED(g, "Cast", "DstT", TF_INT32,
                                     GRAPH_OP(g, "Equal", answer, step->labels)); /* [correct] */
    step->correct = GRAPH_OP(g, "Sum", right, graph_int(g, 0));                   /* [correct] */

    TF_Output trained[TF_MAX_PARAMETERS], gradients[TF_MAX_PARAMETERS];
    size_t count = 0;
    for (size_t p = 0; p < t->parameter_count; p++)
        if (is_trained(t, p)) trained[count++] = step->parameters[p];
    graph_gradients(g, logits, gradient, trained, count, gradients); /* [backward] */
    for (size_t p = t->parameter_count; p-- > 0;)
        if (is_trained(t, p)) step->gradients[p] = gradients[--count];
    step->plain_loss = step->loss;
    memcpy(step->plain_gradients, step->gradients, sizeof step->gradients);
    for (size_t p = 0; p < t->parameter_count; p++) penalize(t, g, step, p);
}

/* bound / (norm + epsilon), at most 1, of a sum of squares. */
static TF_Output clip_factor(const struct tf_training *t, struct graph *g, double bound,
                             TF_Output sum)
{
    TF_Output most = graph_real(g, t->real, bound);
    TF_Output norm = GRAPH_OP(
        g, "AddV2", GRAPH_OP(g, "Sqrt", sum),
        graph_real(g, t->real, optimizer_clip_epsilon(&t->config->optimizer)));
    return GRAPH_OP(g, "RealDiv", most, GRAPH_OP(g, "Maximum", norm, most));
}

/* The gradients kept in bounds, as the optimizer says. */
static void clip(const struct tf_training *t, struct graph *g, const TF_Output *gradients,
                 TF_Output *clipped)
{
    double bound;
    enum optimizer_clip kind = optimizer_clip(&t->config->optimizer, &bound);
    TF_Output factor = {0}, all = {0};
    if (kind == OPTIMIZER_CLIP_ALL) all = graph_real(g, t->real, 0);
    for (size_t p = 0; p < t->parameter_count && kind == OPTIMIZER_CLIP_ALL; p++)
        if (is_trained(t, p))
            all = GRAPH_OP(g, "AddV2", all, sum_of(g, GRAPH_OP(g, "Square", gradients[p])));
    if (kind == OPTIMIZER_CLIP_ALL) factor = clip_factor(t, g, bound, all);
    for (size_t p = 0; p < t->parameter_count; p++) {
        clipped[p] = gradients[p];
        if (!is_trained(t, p) || kind == OPTIMIZER_CLIP_NONE) continue;
        if (kind == OPTIMIZER_CLIP_EACH)
            factor = clip_factor(t, g, bound, sum_of(g, GRAPH_OP(g, "Square", gradients[p])));
        clipped[p] = kind == OPTIMIZER_CLIP_VALUES
                         ? GRAPH_OP(g, "ClipByValue", gradients[p], graph_real(g, t->real, -bound),
                                    graph_real(g, t->real, bound))
                         : GRAPH_OP(g, "Mul", gradients[p], factor);
    }
}

/* TensorFlow's own kernels, for the optimizers it has one for. `numbers`: the learning rate, and
 * for Adam epsilon (tf_training_numbers()). */
static TF_Operation *fused_update(const struct tf_training *t, struct graph *g,
                                  const struct tf_variables *v, const TF_Output *numbers,
                                  TF_Output gradient, size_t p)
{
    const struct optimizer *o = &t->config->optimizer;
    const TF_DataType real = t->real;
    TF_Output w = v->values[0][p], done;
    if (optimizer_fused(o) == OPTIMIZER_FUSED_ADAM) {
        TF_Output zero = graph_real(g, real,
                                    0); /* beta's powers: the corrections are in the rate */
        done = GRAPH_OP(g, "ResourceApplyAdam", w, v->values[1][p], v->values[2][p], zero, zero,
                        numbers[0], graph_real(g, real, o->beta1), graph_real(g, real, o->beta2),
                        numbers[1], gradient); /* [optimizer] */
    } else if (o->momentum > 0) {
        done = GRAPH_OP(g, "ResourceApplyMomentum", w, v->values[1][p], numbers[0], gradient,
                        graph_real(g, real, o->momentum)); /* [optimizer] */
    } else {
        done = GRAPH_OP(g, "ResourceApplyGradientDescent", w, numbers[0],
                        gradient); /* [optimizer] */
    }
    return done.oper;
}

/* Any other: its formula (net/formula.h), operation by operation, and then the new values. */
static void update_by_formula(const struct tf_training *t, struct graph *g,
                              const struct tf_variables *v, const TF_Output *numbers,
                              TF_Output gradient, struct tf_step *step, size_t p)
{
    static const char *const operations[] = {
        [FORMULA_ADD] = "AddV2",        [FORMULA_SUBTRACT] = "Sub",    [FORMULA_MULTIPLY] = "Mul",
        [FORMULA_DIVIDE] = "RealDiv",   [FORMULA_MAXIMUM] = "Maximum", [FORMULA_POWER] = "Pow",
        [FORMULA_SQUARE_ROOT] = "Sqrt", [FORMULA_ABSOLUTE] = "Abs",
    };
    const struct formula *f = &t->formula;
    TF_Output tensors[FORMULA_MAX_TENSORS] = {step->parameters[p], gradient};
    for (uint32_t i = 2; i < f->tensor_inputs; i++)
        tensors[i] = graph_read(g, v->values[i - 1][p], t->real);
    for (uint32_t i = 0; i < f->tensor_step_count; i++) {
        const struct formula_step *s = &f->tensor_steps[i];
        TF_Output a = s->a.tensor ? tensors[s->a.index] : numbers[s->a.index];
        TF_Output b = s->b.tensor ? tensors[s->b.index] : numbers[s->b.index];
        tensors[s->result] = formula_op_is_unary(s->op) ? GRAPH_OP(g, operations[s->op], a)
                                                        : GRAPH_OP(g, operations[s->op], a, b);
    }
    for (uint32_t i = 0; i < f->tensor_inputs; i++) {
        size_t set = i ? i - 1 : 0;
        if (i == 1 || f->new_tensors[i] == i) continue; /* the gradient is not kept */
        step->updates[set][p] = GRAPH_OP(g, "AssignVariableOp", v->values[set][p],
                                         tensors[f->new_tensors[i]])
                                    .oper; /* [optimizer] */
    }
}

/* Every parameter moves against its gradient, by the optimizer's numbers of this step. */
static void update(const struct tf_training *t, struct graph *g, const struct tf_variables *v,
                   TF_Output row, struct tf_step *step)
{
    const struct optimizer *o = &t->config->optimizer;
    TF_Output numbers[FORMULA_MAX_NUMBERS], gradients[TF_MAX_PARAMETERS];
    clip(t, g, step->gradients, gradients);
    graph_unpack(g, GRAPH_OP_TYPED(g, "Cast", "DstT", t->real, row), (int32_t)t->number_count,
                 numbers);
    for (size_t p = 0; p < t->parameter_count; p++) {
        TF_Output gradient = gradients[p];
        if (!is_trained(t, p)) continue;
        if (optimizer_fused(o) == OPTIMIZER_NOT_FUSED) {
            update_by_formula(t, g, v, numbers, gradient, step, p);
            continue;
        }
        if (o->weight_decay > 0)
            gradient = GRAPH_OP(
                g, "AddV2", gradient, /* [optimizer] */
                GRAPH_OP(g, "Mul", graph_real(g, t->real, o->weight_decay), step->parameters[p]));
        step->updates[0][p] = fused_update(t, g, v, numbers, gradient, p);
    }
}
/* [end] */

/* [stage: one step] */
static void training_step(const struct tf_training *t, struct graph *g,
                          const struct tf_variables *v, TF_Output rows, TF_Output numbers,
                          TF_Output n, struct tf_step *step)
{ /* [step] */
    struct tf_pass pass = {t, g, v, step, true, n};
    gather_batch(t, g, v, rows, step);                       /* [batches] */
    TF_Output logits = tf_apply_network(&pass, step->input); /* [forward_pass] */
    measure(t, g, logits, step);                             /* [backward] */
    update(t, g, v, numbers, step);                          /* [update] */
}
/* [end] */

/* [stage: loop] */
/* What goes round the loop. The first two change at each step, the others are only handed on. */
enum { STEP, POSITION, STEPS, ORDER, NUMBERS, STEPS_BEFORE, STATE };

static void declare_state(struct graph *g, TF_Output state[STATE])
{
    static const TF_DataType types[STATE] = {TF_INT32, TF_INT32,  TF_INT32,
                                             TF_INT32, TF_DOUBLE, TF_DOUBLE};
    for (int i = 0; i < STATE; i++) state[i] = graph_placeholder(g, types[i]);
}

/* step < steps */
static void define_condition(struct graph *g, const void *context)
{
    (void)context;
    TF_Output state[STATE];
    declare_state(g, state);
    TF_Output more = GRAPH_OP(g, "Less", state[STEP], state[STEPS]); /* [batches] */
    graph_become_function(g, "more_steps", state, STATE, &more, 1, NULL, 0);
}

/* One batch: the next rows of the order, a training step over them, its loss and count written
 * down. */
static void define_body(struct graph *g, const void *context)
{
    const struct tf_training *t = context;
    TF_Output state[STATE], next[STATE];
    struct tf_variables v;
    struct tf_step step = {0};
    declare_state(g, state);
    declare_variables(t, g, &v);
    memcpy(next, state, sizeof next);
    next[STEP] = GRAPH_OP(g, "AddV2", state[STEP], graph_int(g, 1));
    next[POSITION] = GRAPH_OP(g, "AddV2", state[POSITION],
                              graph_int(g, (int32_t)t->config->batch_size));

    /* order[position : position + batch]; as in Python, a slice ends with the list: the last batch
     * may be short. */
    TF_Output rows = GRAPH_OP(g, "StridedSlice", state[ORDER], state[POSITION], next[POSITION],
                              graph_int_vector(g, 1)); /* [batches] */
    TF_Output n = GRAPH_OP(g, "AddV2", state[STEPS_BEFORE],
                           GRAPH_OP_TYPED(g, "Cast", "DstT", TF_DOUBLE, next[STEP]));
    TF_Output numbers = GRAPH_OP(g, "GatherV2", state[NUMBERS], state[STEP], graph_int(g, 0));
    training_step(t, g, &v, rows, numbers, n, &step); /* [step] */

    TF_Operation *effects[TF_MAX_SETS * TF_MAX_PARAMETERS + 2];
    size_t count = 0;
    for (size_t set = 0; set < t->set_count; set++)
        for (size_t p = 0; p < t->parameter_count; p++)
            if (step.updates[set][p]) effects[count++] = step.updates[set][p];
    effects[count++] =
        GRAPH_OP(g, "ResourceScatterUpdate", v.losses, state[STEP], step.loss).oper; /* [report] */
    effects[count++] =                                                               /* [report] */
        GRAPH_OP(g, "ResourceScatterUpdate", v.correct, state[STEP], step.correct).oper;
    graph_become_function(g, "train_batch", state, STATE, next, STATE, effects, count);
}

/* However many steps, one run of the session: the loop is part of the graph. */
static void build_loop(struct tf_training *t)
{
    struct graph *g = &t->graph;
    graph_add_function(g, define_condition, t);
    graph_add_function(g, define_body, t);

    TF_Output length = GRAPH_OP(g, "Reshape", t->steps, graph_int_vector(g, 1));
    TF_Operation *cleared[] = {
        GRAPH_OP(g, "AssignVariableOp", t->variables.losses,
                 GRAPH_OP(g, "Fill", length, graph_real(g, t->real, 0)))
            .oper,
        GRAPH_OP(g, "AssignVariableOp", t->variables.correct,
                 GRAPH_OP(g, "Fill", length, graph_int(g, 0)))
            .oper,
    };
    TF_Output state[STATE] = {graph_int(g, 0), graph_int_vector(g, 0), t->steps, t->order,
                              t->numbers,      t->steps_before};
    TF_Output loop = graph_while(g, "more_steps", "train_batch", state, STATE, cleared,
                                 2);                                             /* [batches] */
    t->losses = graph_read_after(g, t->variables.losses, t->real, loop.oper);    /* [report] */
    t->correct = graph_read_after(g, t->variables.correct, TF_INT32, loop.oper); /* [report] */
}
/* [end] */

/* The step by itself, to look at, and the network by itself, to ask. */
static void build_trace_and_forward(struct tf_training *t)
{
    struct graph *g = &t->graph;
    TF_Output n = GRAPH_OP(g, "AddV2", t->steps_before, graph_real(g, TF_DOUBLE, 1));
    t->step.first = graph_int(g, 0); /* of a part of a batch another is fed */
    TF_Output numbers = GRAPH_OP(g, "GatherV2", t->numbers, graph_int(g, 0), graph_int(g, 0));
    training_step(t, g, &t->variables, t->order, numbers, n, &t->step);
    t->probabilities = GRAPH_OP(g, "Softmax", t->step.a[t->config->network.layer_count - 1]);

    t->asked.input = scale(t, g, t->pixels);
    struct tf_pass pass = {t, g, &t->variables, &t->asked, false, {0}};
    t->logits = tf_apply_network(&pass, t->asked.input);
    TF_Output chosen = GRAPH_OP(g, "OneHot", t->target,
                                graph_int(g, (int32_t)network_classes(&t->config->network)),
                                graph_real(g, t->real, 1), graph_real(g, t->real, 0));
    graph_gradients(g, t->logits, chosen, &t->asked.input, 1, &t->saliency);
}

bool tf_training_has_variable(const struct tf_training *training, size_t set, size_t p)
{
    return set == 0 || is_trained(training, p);
}

/* What the network's tensors are and how Keras keeps them. */
static int list_tensors(struct tf_training *t, struct error *error)
{
    const struct network *network = &t->config->network;
    struct parameters *parameters;
    if (parameters_create(network, DTYPE_FLOAT32, &parameters, error)) return -1;
    memset(t->places, -1, sizeof t->places);
    t->parameter_count = parameters->tensor_count;
    for (size_t p = 0; p < t->parameter_count; p++) {
        t->tensors[p] = parameters->tensors[p];
        t->tensors[p].values = NULL;
        t->layouts[p] = layout_of(network, &t->tensors[p]);
        t->places[t->tensors[p].layer][t->tensors[p].role] = (int)p;
    }
    parameters_destroy(parameters);
    return 0;
}

int tf_training_build(struct tf_training *training, const struct tf_api *tf,
                      const struct engine_config *config, struct error *error)
{
    struct tf_training *t = training;
    *t = (struct tf_training){.config = config,
                              .real = config->dtype == DTYPE_FLOAT64 ? TF_DOUBLE : TF_FLOAT,
                              .set_count = 1 + optimizer_slot_count(&config->optimizer)};
    optimizer_formula(&config->optimizer, &t->formula);
    static const uint32_t fused_numbers[] = {[OPTIMIZER_FUSED_SGD] = 1, [OPTIMIZER_FUSED_ADAM] = 2};
    enum optimizer_fused fused = optimizer_fused(&config->optimizer);
    t->number_count = fused ? fused_numbers[fused] : t->formula.used_count;
    if (list_tensors(t, error) ||
        loss_table_create(&config->loss, config->optimizer.meaning,
                          network_classes(&config->network), &t->loss, error))
        return -1;
    if (graph_init(&t->graph, tf, error)) {
        loss_table_destroy(t->loss);
        return -1;
    }
    struct graph *g = &t->graph;
    t->order = graph_placeholder(g, TF_INT32);
    t->steps = graph_placeholder(g, TF_INT32);
    t->steps_before = graph_placeholder(g, TF_DOUBLE);
    t->numbers = graph_placeholder(g, TF_DOUBLE);
    t->pixels = graph_placeholder(g, TF_UINT8);
    t->target = graph_placeholder(g, TF_INT32);
    declare_variables(t, g, &t->variables);
    t->images = define_access(g, t->variables.images, TF_UINT8);
    t->labels = define_access(g, t->variables.labels, TF_INT32);
    for (size_t set = 0; set < t->set_count; set++)
        for (size_t p = 0; p < t->parameter_count; p++)
            if (tf_training_has_variable(t, set, p))
                t->values[set][p] = define_access(g, t->variables.values[set][p], t->real);
    build_trace_and_forward(t);
    build_loop(t);
    if (graph_check(g, error) == 0) return 0;
    error_prefix(error, "TensorFlow's graph cannot be built");
    tf_training_free(t);
    return -1;
}

void tf_training_numbers(const struct tf_training *training, double rate, uint64_t step,
                         double state[OPTIMIZER_MAX_NUMBERS], double out[FORMULA_MAX_NUMBERS])
{
    const struct optimizer *o = &training->config->optimizer;
    double root = sqrt(1 - pow(o->beta2, (double)step));
    switch (optimizer_fused(o)) {
    case OPTIMIZER_FUSED_SGD:
        out[0] = rate;
        break;
    case OPTIMIZER_FUSED_ADAM:
        /* TensorFlow adds epsilon to the uncorrected root, as Keras does; PyTorch to the corrected
         * one. */
        out[0] = rate * (root / (1 - pow(o->beta1, (double)step)));
        out[1] = o->meaning == MEANING_KERAS ? o->epsilon : o->epsilon * root;
        break;
    case OPTIMIZER_NOT_FUSED:
        optimizer_numbers(o, &training->formula, rate, step, state, out);
        break;
    }
}

void tf_training_free(struct tf_training *training)
{
    graph_free(&training->graph);
    loss_table_destroy(training->loss);
    training->loss = NULL;
}

/* A part of a batch: the traced step's gradients without its update, and its update with gradients
 * that come from outside.
 *
 * A graph cannot wait in the middle of a run for the sums of the other parts. So at each batch
 * normalization the run is cut: what goes into it is fetched, the normalization is computed by
 * part_norm (engine/part.h), and what comes out of it is fed to the next run in place of the
 * operation's own result. Backward likewise, by gradients from one cut to the one before, which are
 * added to the graph when they are first needed. What lies between two cuts is computed twice,
 * forward and backward. */
#include <stdlib.h>
#include <string.h>

#include "engine/tensorflow/tensorflow.h"

/* A stretch of the network that ends in a batch normalization, or, the last, in the loss. */
struct stretch {
    uint32_t from, to; /* its layers: [from, to) */
    bool trains;       /* it, or what is below it, has parameters */
    bool empty;        /* the batch normalization before it is right before the next */
    TF_Output slope;   /* fed, but for the last: the derivative by its end */
    TF_Output start;   /* fetched: the derivative by its beginning; none for the first */
    TF_Output gradients[TF_MAX_PARAMETERS]; /* of its trained parameters */
};

struct tf_cuts {
    uint32_t count; /* batch normalizations; there is one stretch more */
    struct stretch stretches[NETWORK_MAX_LAYERS + 1];
};

/* One part on its way. */
struct passage {
    struct tensorflow_engine *self;
    const struct engine_part *part;
    const uint32_t *order;
    size_t count;
    struct parameters *sums;
    struct {
        struct part_norm norm;
        double *values;
    } each[NETWORK_MAX_LAYERS]; /* by batch normalization */
};

void tensorflow_cuts_free(struct tf_cuts *cuts)
{
    free(cuts);
}

static bool is_trained(const struct tf_training *t, size_t p)
{
    return tensor_role_is_trained(t->tensors[p].role);
}

static bool lies_in(const struct tf_training *t, const struct stretch *stretch, size_t p)
{
    uint32_t layer = t->tensors[p].layer;
    return is_trained(t, p) && layer >= stretch->from && layer < stretch->to &&
           t->config->network.layers[layer].type != LAYER_BATCHNORM;
}

/* ---- the graph ---- */

static uint32_t find_stretches(const struct tf_training *t, struct stretch *stretches)
{
    const struct network *network = &t->config->network;
    uint32_t count = 0, from = 0;
    size_t parameters = 0;
    for (uint32_t i = 0; i <= network->layer_count; i++) {
        if (i == network->layer_count || network->layers[i].type == LAYER_BATCHNORM) {
            stretches[count] = (struct stretch){.from = from, .to = i, .trains = parameters > 0};
            count++;
            from = i;
        }
        if (i < network->layer_count) parameters += layer_parameters(&network->layers[i]);
    }
    return count - 1;
}

/* What goes from the end of a stretch back to its beginning and to its parameters. */
static void add_gradients(struct tf_training *t, struct stretch *stretch, bool first, bool last)
{
    struct graph *g = &t->graph;
    TF_Output wanted[TF_MAX_PARAMETERS + 1], gradients[TF_MAX_PARAMETERS + 1];
    size_t count = 0;
    stretch->slope = last ? t->step.slope : graph_placeholder(g, t->real);
    TF_Output end = last ? t->step.a[stretch->to - 1] : t->step.below[stretch->to];
    TF_Output begin = first ? (TF_Output){0} : t->step.z[stretch->from];
    stretch->empty = !first && begin.oper == end.oper && begin.index == end.index;
    if (!stretch->trains || stretch->empty) return;
    if (!first) wanted[count++] = begin;
    for (size_t p = 0; p < t->parameter_count; p++)
        if (lies_in(t, stretch, p)) wanted[count++] = t->step.parameters[p];
    graph_gradients(g, end, stretch->slope, wanted, count, gradients);
    count = 0;
    if (!first) stretch->start = gradients[count++];
    for (size_t p = 0; p < t->parameter_count; p++)
        if (lies_in(t, stretch, p)) stretch->gradients[p] = gradients[count++];
}

static int need_cuts(struct tensorflow_engine *self, struct error *error)
{
    if (self->cuts) return 0;
    struct tf_cuts *cuts = calloc(1, sizeof *cuts);
    if (!cuts) return error_set_memory(error, "a part of a batch");
    cuts->count = find_stretches(&self->training, cuts->stretches);
    for (uint32_t k = 0; cuts->count && k <= cuts->count; k++)
        add_gradients(&self->training, &cuts->stretches[k], k == 0, k == cuts->count);
    self->cuts = cuts;
    return graph_check(&self->training.graph, error);
}

/* ---- values between TensorFlow and C ---- */

/* Index i of a tensor in the dtype of the network. */
static void set_real(const struct tensorflow_engine *self, void *values, size_t i, double value)
{
    if (self->training.real == TF_DOUBLE)
        ((double *)values)[i] = value;
    else
        ((float *)values)[i] = (float)value;
}

/* The values of a batch normalization as TensorFlow has them: [count, rows, columns, channels], or
 * lists that count as Keras's Flatten does. */
static TF_Tensor *tensor_of_values(const struct passage *pass, uint32_t index, const double *values)
{
    const struct tensorflow_engine *self = pass->self;
    const struct shape *shape = &self->base.config.network.layers[index].input;
    const int64_t maps[] = {(int64_t)pass->count, shape->sizes[1], shape->sizes[2],
                            shape->sizes[0]},
                  list[] = {(int64_t)pass->count, shape->sizes[0]};
    bool is_list = shape->rank == 1;
    TF_Tensor *tensor = tf_tensor_create(self->tf, self->training.real, is_list ? list : maps,
                                         is_list ? 2 : 4);
    if (!tensor) return NULL;
    for (size_t i = 0; i < pass->count * shape_values(shape); i++)
        set_real(self, self->tf->TensorData(tensor), i, values[i]);
    return tensor;
}

static void read_values(const struct passage *pass, const TF_Tensor *tensor, size_t count,
                        double *out)
{
    const void *values = pass->self->tf->TensorData(tensor);
    CHECK(pass->self->tf->TensorByteSize(tensor) == count * dtype_size(pass->sums->dtype));
    for (size_t i = 0; i < count; i++) out[i] = tensorflow_real(pass->self, values, i);
}

/* ---- forward ---- */

/* A run of stretch `k`: what it begins with is fed. */
static void begin_run(struct passage *pass, uint32_t k)
{
    struct tensorflow_engine *self = pass->self;
    struct tf_training *t = &self->training;
    tf_run_init(&self->run, &self->session);
    tf_run_feed(&self->run, t->order, tensorflow_order(self, pass->order, pass->count));
    tf_run_feed_double(&self->run, t->steps_before, (double)self->steps);
    tf_run_feed_int(&self->run, t->step.first, (int32_t)pass->part->first);
    if (k == 0) return;
    uint32_t index = self->cuts->stretches[k].from;
    tf_run_feed(&self->run, t->step.z[index],
                tensor_of_values(pass, index, pass->each[k - 1].values));
}

/* Where the values of a list stand that a flatten made of maps. */
static int find_order(const struct layout *layout, struct part_norm *norm, struct error *error)
{
    uint32_t *numbers = calloc(2 * norm->channels, sizeof *numbers),
             *keras = numbers ? numbers + norm->channels : NULL;
    norm->order = calloc(norm->channels, sizeof *norm->order);
    if (!numbers || !norm->order) {
        free(numbers);
        return error_set_memory(error, "batch normalization");
    }
    for (uint32_t c = 0; c < norm->channels; c++) numbers[c] = c;
    layout_to_keras(layout, numbers, keras, sizeof *numbers);
    for (uint32_t i = 0; i < norm->channels; i++) norm->order[keras[i]] = i;
    free(numbers);
    return 0;
}

/* Room for batch normalization `k`, whose channels are in the studio's order. */
static int make_room(struct passage *pass, uint32_t k, struct error *error)
{
    struct tensorflow_engine *self = pass->self;
    uint32_t index = self->cuts->stretches[k].to;
    const struct layer *layer = &self->base.config.network.layers[index];
    struct part_norm *norm = &pass->each[k].norm;
    size_t values = pass->count * shape_values(&layer->input);
    if (part_norm_create(norm, layer, pass->count, true, error)) return -1;
    const struct layout *layout =
        &self->training.layouts[self->training.places[index][ROLE_WEIGHT]];
    if (!layout_is_plain(layout) && find_order(layout, norm, error)) return -1;
    pass->each[k].values = malloc(values * sizeof *pass->each[k].values);
    return pass->each[k].values ? 0 : error_set_memory(error, "batch normalization");
}

/* What goes into batch normalization `k`, and its weight and bias: [2, channels]. */
static int fetch_inputs(struct passage *pass, uint32_t k, double *channels, struct error *error)
{
    struct tensorflow_engine *self = pass->self;
    const struct stretch *stretch = &self->cuts->stretches[k];
    const struct tf_training *t = &self->training;
    const struct part_norm *norm = &pass->each[k].norm;
    size_t values = norm->count * norm->channels * norm->inner;
    if (stretch->empty)
        memcpy(pass->each[k].values, pass->each[k - 1].values, values * sizeof(double));
    begin_run(pass, k);
    for (int role = ROLE_WEIGHT; role <= ROLE_BIAS; role++)
        tf_run_fetch(&self->run, t->values[0][t->places[stretch->to][role]].read);
    if (!stretch->empty) tf_run_fetch(&self->run, t->step.below[stretch->to]);
    int result = tf_run_go(&self->run, "computing gradients with TensorFlow", error);
    for (int role = 0; result == 0 && role < 2; role++) {
        double *out = channels + (size_t)role * norm->channels;
        const void *data = self->tf->TensorData(self->run.fetched[role]);
        for (size_t c = 0; c < norm->channels; c++)
            out[c] = tensorflow_real(self, data, norm->order ? norm->order[c] : c);
    }
    if (result == 0 && !stretch->empty)
        read_values(pass, self->run.fetched[2], values, pass->each[k].values);
    tf_run_free(&self->run);
    return result;
}

static int normalize(struct passage *pass, uint32_t k, struct error *error)
{
    if (make_room(pass, k, error)) return -1;
    const size_t channels = pass->each[k].norm.channels;
    double *numbers = malloc(2 * channels * sizeof *numbers);
    int result = numbers ? fetch_inputs(pass, k, numbers, error)
                         : error_set_memory(error, "batch normalization");
    if (result == 0)
        result = part_norm_forward(&pass->each[k].norm, pass->part, numbers, numbers + channels,
                                   pass->each[k].values, error);
    free(numbers);
    return result;
}

/* ---- backward ---- */

static void fetch_gradients(struct passage *pass, const struct stretch *stretch, bool all)
{
    const struct tf_training *t = &pass->self->training;
    for (size_t p = 0; p < t->parameter_count; p++)
        if (lies_in(t, stretch, p))
            tf_run_fetch(&pass->self->run,
                         all ? t->step.plain_gradients[p] : stretch->gradients[p]);
}

/* What fetch_gradients() asked for, from fetched[at] on. */
static void take_gradients(struct passage *pass, const struct stretch *stretch, int at)
{
    const struct tf_training *t = &pass->self->training;
    for (size_t p = 0; p < t->parameter_count; p++)
        if (lies_in(t, stretch, p))
            tensorflow_parameter(pass->self, p, pass->self->run.fetched[at++],
                                 &pass->sums->tensors[p]);
}

/* The derivatives by the beginning of a stretch, times `factor`, in place of the values that were
 * there. */
static void take_start(struct passage *pass, uint32_t k, int at, double factor)
{
    const struct part_norm *norm = &pass->each[k - 1].norm;
    size_t count = norm->count * norm->channels * norm->inner;
    read_values(pass, pass->self->run.fetched[at], count, pass->each[k - 1].values);
    for (size_t i = 0; i < count; i++) pass->each[k - 1].values[i] *= factor;
}

/* The last stretch, and the loss. TensorFlow's gradients are of the part's mean, so they are
 * multiplied; all that is computed from them then is of the sum. */
static int measure(struct passage *pass, double *loss, uint32_t *correct, struct error *error)
{
    struct tensorflow_engine *self = pass->self;
    const struct tf_training *t = &self->training;
    uint32_t k = self->cuts->count;
    const struct stretch *last = &self->cuts->stretches[k];
    begin_run(pass, k);
    tf_run_fetch(&self->run, t->step.plain_loss);
    tf_run_fetch(&self->run, t->step.correct);
    if (k) tf_run_fetch(&self->run, last->start);
    fetch_gradients(pass, last, k == 0);
    int result = tf_run_go(&self->run, "computing gradients with TensorFlow", error);
    if (result == 0) {
        const uint8_t *labels = self->base.split->labels;
        double divisor = loss_divisor(t->loss, labels, pass->order, pass->count);
        *loss = divisor * tensorflow_real(self, self->tf->TensorData(self->run.fetched[0]), 0);
        if (correct) memcpy(correct, self->tf->TensorData(self->run.fetched[1]), sizeof *correct);
        if (k) take_start(pass, k, 2, divisor);
        take_gradients(pass, last, k ? 3 : 2);
        parameters_multiply(pass->sums, divisor);
    }
    tf_run_free(&self->run);
    return result;
}

static void set_gradient(struct passage *pass, uint32_t index, enum tensor_role role,
                         const double *values)
{
    struct tensor *tensor = &pass->sums->tensors[pass->self->training.places[index][role]];
    for (size_t c = 0; c < tensor->count; c++) tensor_set(pass->sums, tensor, c, values[c]);
}

/* Batch normalization `k`, whose derivatives by its outputs are known, and the stretch below it. */
static int go_back(struct passage *pass, uint32_t k, struct error *error)
{
    struct tensorflow_engine *self = pass->self;
    const struct stretch *stretch = &self->cuts->stretches[k];
    struct part_norm *norm = &pass->each[k].norm;
    if (part_norm_backward(norm, pass->part, pass->each[k].values, error)) return -1;
    set_gradient(pass, stretch->to, ROLE_BIAS, norm->sums);
    set_gradient(pass, stretch->to, ROLE_WEIGHT, norm->sums + norm->channels);
    if (!stretch->trains) return 0;
    if (stretch->empty) {
        memcpy(pass->each[k - 1].values, pass->each[k].values,
               norm->count * norm->channels * norm->inner * sizeof(double));
        return 0;
    }
    begin_run(pass, k);
    tf_run_feed(&self->run, stretch->slope,
                tensor_of_values(pass, stretch->to, pass->each[k].values));
    if (k) tf_run_fetch(&self->run, stretch->start);
    fetch_gradients(pass, stretch, false);
    int result = tf_run_go(&self->run, "computing gradients with TensorFlow", error);
    if (result == 0 && k) take_start(pass, k, 0, 1);
    if (result == 0) take_gradients(pass, stretch, k ? 1 : 0);
    tf_run_free(&self->run);
    return result;
}

static int compute(struct passage *pass, double *loss, uint32_t *correct, struct error *error)
{
    struct tensorflow_engine *self = pass->self;
    uint32_t count = self->cuts->count;
    memset(pass->sums->values, 0, pass->sums->value_count * dtype_size(pass->sums->dtype));
    for (uint32_t k = 0; k < count; k++)
        if (normalize(pass, k, error)) return -1;
    if (measure(pass, loss, correct, error)) return -1;
    for (uint32_t k = count; k-- > 0;)
        if (go_back(pass, k, error)) return -1;
    for (uint32_t k = 0; k < count; k++)
        engine_part_statistics(pass->part, &self->base.config.network, self->cuts->stretches[k].to,
                               pass->each[k].norm.mean, pass->each[k].norm.squares, pass->sums);
    return 0;
}

int tensorflow_gradients(struct engine *engine, const struct engine_part *part,
                         const uint32_t *order, size_t count, struct parameters *sums, double *loss,
                         uint32_t *correct, struct error *error)
{
    struct tensorflow_engine *self = (struct tensorflow_engine *)engine;
    if (need_cuts(self, error)) return -1;
    struct passage *pass = calloc(1, sizeof *pass);
    if (!pass) return error_set_memory(error, "a part of a batch");
    pass->self = self;
    pass->part = part;
    pass->order = order;
    pass->count = count;
    pass->sums = sums;
    int result = compute(pass, loss, correct, error);
    for (uint32_t k = 0; k < self->cuts->count; k++) {
        part_norm_destroy(&pass->each[k].norm);
        free(pass->each[k].values);
    }
    free(pass);
    return result;
}

/* ---- the update ---- */

/* A tensor's gradient in place of the one that would be computed, or what a running statistic moves
 * towards. */
static void feed_update(struct tensorflow_engine *self, const struct parameters *sums, size_t p,
                        double divisor)
{
    const struct tf_training *t = &self->training;
    const struct tensor *tensor = &sums->tensors[p];
    TF_Tensor *value = tensorflow_tensor(self, p, tensor);
    if (!is_trained(t, p)) {
        tf_run_feed(&self->run, t->step.statistics[p], value);
        return;
    }
    for (size_t i = 0; value && i < tensor->count; i++) {
        void *values = self->tf->TensorData(value);
        set_real(self, values, i, tensorflow_real(self, values, i) / divisor);
    }
    tf_run_feed(&self->run, t->step.gradients[p], value);
}

int tensorflow_apply(struct engine *engine, const struct parameters *sums, double divisor,
                     struct error *error)
{
    struct tensorflow_engine *self = (struct tensorflow_engine *)engine;
    double state[OPTIMIZER_MAX_NUMBERS];
    tf_run_init(&self->run, &self->session);
    for (size_t p = 0; p < self->training.parameter_count; p++) {
        feed_update(self, sums, p, divisor);
        tensorflow_target_updates(self, p);
    }
    tensorflow_feed_numbers(self, 1, state);
    int result = tf_run_go(&self->run, "applying gradients with TensorFlow", error);
    if (result == 0) tensorflow_took_steps(self, 1, state);
    tf_run_free(&self->run);
    return result;
}

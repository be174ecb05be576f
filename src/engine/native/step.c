/* The phases of a training step, as every worker runs them.
 *
 * A worker owns some columns of every layer's units: it alone computes them in the first layer, and it alone changes
 * the weights into them (first layer) or out of them (all others). Samples are shared out only between the first
 * layer and the loss. So a network of L layers needs L barriers a step (two for L = 1; two more for dense data), and every
 * number is computed in one order whatever the number of workers. */
#include <math.h>
#include <string.h>

#include "engine/native/model.h"

struct job {
    struct native_model *model;
    const struct native_data *data;
    const uint32_t *order; /* NULL: 0, 1, 2 … */
    size_t count;
    double *losses;    /* NULL: only the forward pass, of all at once */
    uint32_t *correct; /* may be NULL */
};

/* One worker's view of one batch. */
struct batch {
    struct native_model *model;
    const struct native_data *data;
    const uint32_t *order;
    size_t rows;
    size_t known; /* how far `order` goes past this batch's rows, and with them */
    uint32_t worker;
    struct native_update update;
    struct native_sparse block; /* the last one sorted */
};

static void *at(const struct native_model *model, void *numbers, size_t index)
{
    return numbers ? (char *)numbers + index * model->kernels->size : NULL;
}

/* A parameter matrix from number `from` on. */
static struct native_target target_of(const struct native_model *model, void *const sets[NATIVE_SETS], void *gradient, size_t from,
                                      size_t stride, size_t columns)
{
    return (struct native_target){
        .values = at(model, sets[0], from),
        .slots = {at(model, sets[1], from), at(model, sets[2], from)},
        .gradient = at(model, gradient, from),
        .stride = stride,
        .columns = columns,
    };
}

static struct native_target panel_of(const struct batch *batch, size_t from, size_t to)
{
    const struct native_model *model = batch->model;
    const struct native_layer *layer = &model->layers[0];
    return target_of(model, layer->weight, layer->weight_gradient, model->first_rows * from, to - from, to - from);
}

/* Keeps what goes into the activation when it is asked for, then applies it. */
static void activate(const struct batch *batch, const struct native_layer *layer, size_t row, size_t rows, size_t from,
                     size_t to)
{
    const struct native_model *model = batch->model;
    size_t stride = layer->output_width;
    if (layer->before)
        for (size_t m = row; m < row + rows; m++)
            memcpy(at(model, layer->before, m * stride + from), at(model, layer->output, m * stride + from),
                   (to - from) * model->kernels->size);
    size_t valid = (to < layer->outputs ? to : layer->outputs) - from;
    model->kernels->activate(layer->activation, at(model, layer->output, row * stride + from), stride, rows, valid);
}

static void rows_of(const struct batch *batch, size_t *from, size_t *to)
{
    size_t threads = team_threads(batch->model->team);
    *from = batch->rows * batch->worker / threads;
    *to = batch->rows * (batch->worker + 1) / threads;
}

static void expand_rows(const struct batch *batch)
{
    const struct native_model *model = batch->model;
    const struct native_layer *layer = &model->layers[0];
    size_t from, to;
    rows_of(batch, &from, &to);
    for (size_t m = from; m < to; m++) {
        size_t sample = batch->order ? batch->order[m] : m;
        model->kernels->expand(batch->data->pixels + sample * layer->inputs, layer->inputs, model->table,
                               at(model, model->pixels, m * layer->input_width));
    }
}

/* Samples [from, to) of the batch, sorted by quad. */
static struct native_sparse sort_block(const struct batch *batch, size_t from, size_t to)
{
    struct native_model *model = batch->model;
    struct block *block = &model->blocks[batch->worker];
    const struct samples *lists = batch->data->lists;
    samples_sort(lists, batch->order ? batch->order + from : NULL, from, to - from, batch->known - from, block);
    return (struct native_sparse){block->counts, block->entries, lists->quads, to - from, model->table};
}

static size_t block_end(const struct batch *batch, size_t from)
{
    return batch->rows - from < BLOCK_ROWS ? batch->rows : from + BLOCK_ROWS;
}

/* Blocks outside, panels inside: a block is sorted once for all. */
static void forward_sparse(struct batch *batch, size_t begin, size_t end)
{
    const struct native_model *model = batch->model;
    const struct native_layer *layer = &model->layers[0];
    for (size_t row = 0, next; row < batch->rows; row = next) {
        next = block_end(batch, row);
        batch->block = sort_block(batch, row, next);
        for (size_t from = begin, to; from < end; from = to) {
            native_model_panel(model, end, from, &to);
            struct native_target weight = panel_of(batch, from, to);
            model->kernels->sparse_forward(&batch->block, &weight, at(model, layer->bias[0], from),
                                           at(model, layer->output, row * layer->output_width + from), layer->output_width);
        }
    }
}

static void forward_dense(const struct batch *batch, size_t begin, size_t end)
{
    const struct native_model *model = batch->model;
    const struct native_layer *layer = &model->layers[0];
    struct native_matrix pixels = {model->pixels, layer->input_width};
    for (size_t from = begin, to; from < end; from = to) {
        native_model_panel(model, end, from, &to);
        struct native_target panel = panel_of(batch, from, to);
        struct native_matrix weight = {panel.values, panel.stride};
        model->kernels->multiply(&pixels, &weight, at(model, layer->bias[0], from), batch->rows, layer->inputs, to - from,
                                 at(model, layer->output, from), layer->output_width);
    }
}

static void forward_first(struct batch *batch)
{
    const struct native_model *model = batch->model;
    const struct native_layer *layer = &model->layers[0];
    size_t from, to;
    if (batch->data->dense) {
        team_barrier(model->team); /* the step before has done with the pixels */
        expand_rows(batch);
        team_barrier(model->team);
    }
    native_model_columns(model, layer->output_width, batch->worker, &from, &to);
    if (from == to) return;
    if (batch->data->dense) forward_dense(batch, from, to);
    else forward_sparse(batch, from, to);
    activate(batch, layer, 0, batch->rows, from, to);
}

/* All layers after the first, for this worker's samples. */
static void forward_rest(const struct batch *batch)
{
    const struct native_model *model = batch->model;
    size_t from, to;
    rows_of(batch, &from, &to);
    for (uint32_t n = 1; n < model->layer_count && from < to; n++) {
        const struct native_layer *layer = &model->layers[n], *below = &model->layers[n - 1];
        struct native_matrix input = {at(model, below->output, from * below->output_width), below->output_width};
        struct native_matrix weight = {layer->weight[0], layer->input_width};
        model->kernels->multiply_transposed(&input, &weight, layer->bias[0], to - from, layer->input_width, layer->outputs,
                                            at(model, layer->output, from * layer->output_width), layer->output_width);
        activate(batch, layer, from, to - from, 0, layer->output_width);
    }
}

static void loss(const struct batch *batch)
{
    const struct native_model *model = batch->model;
    const struct native_layer *last = &model->layers[model->layer_count - 1];
    size_t from, to;
    rows_of(batch, &from, &to);
    struct native_matrix logits = {at(model, last->output, from * last->output_width), last->output_width};
    model->kernels->softmax(&logits, batch->data->labels, batch->order + from, to - from, last->outputs,
                            1.0 / (double)batch->rows, at(model, last->delta, from * last->output_width),
                            last->output_width, model->losses + from, model->correct + from);
}

/* Layer n's update, n ≥ 1, and the delta of the layer below, for the columns this worker owns there. */
static void backward_layer(const struct batch *batch, uint32_t n)
{
    const struct native_model *model = batch->model;
    const struct native_kernels *kernels = model->kernels;
    const struct native_layer *layer = &model->layers[n], *below = &model->layers[n - 1];
    struct native_matrix delta = {layer->delta, layer->output_width};
    size_t from, to;
    if (batch->worker == 0) {
        struct native_target bias = target_of(model, layer->bias, layer->bias_gradient, 0, 0, layer->output_width);
        kernels->bias_update(&delta, batch->rows, &bias, &batch->update);
    }
    native_model_columns(model, layer->input_width, batch->worker, &from, &to);
    if (from == to) return;
    struct native_target weight = target_of(model, layer->weight, layer->weight_gradient, from, layer->input_width, to - from);
    struct native_matrix values = {weight.values, weight.stride};
    struct native_matrix output = {at(model, below->output, from), below->output_width};
    void *out = at(model, below->delta, from);
    kernels->multiply(&delta, &values, NULL, batch->rows, layer->outputs, to - from, out, below->output_width);
    kernels->activate_backward(below->activation, &output, batch->rows, to - from, out, below->output_width);
    kernels->multiply_update(&delta, &output, layer->outputs, batch->rows, &weight, &batch->update);
}

static void backward_sparse(struct batch *batch, size_t begin, size_t end)
{
    const struct native_model *model = batch->model;
    const struct native_layer *layer = &model->layers[0];
    for (size_t row = 0, next; row < batch->rows; row = next) {
        next = block_end(batch, row);
        bool first = row == 0, last = next == batch->rows;
        if (!first || !last) batch->block = sort_block(batch, row, next); /* else the forward pass left it */
        for (size_t from = begin, to; from < end; from = to) {
            native_model_panel(model, end, from, &to);
            struct native_target weight = panel_of(batch, from, to);
            struct native_matrix delta = {at(model, layer->delta, row * layer->output_width + from), layer->output_width};
            model->kernels->sparse_backward(&batch->block, &delta, at(model, model->kept, model->first_rows * from), first,
                                            last, &weight, &batch->update);
        }
    }
}

static void backward_dense(const struct batch *batch, size_t begin, size_t end)
{
    const struct native_model *model = batch->model;
    const struct native_layer *layer = &model->layers[0];
    struct native_matrix pixels = {model->pixels, layer->input_width};
    for (size_t from = begin, to; from < end; from = to) {
        native_model_panel(model, end, from, &to);
        struct native_target weight = panel_of(batch, from, to);
        struct native_matrix delta = {at(model, layer->delta, from), layer->output_width};
        model->kernels->multiply_update(&pixels, &delta, layer->inputs, batch->rows, &weight, &batch->update);
    }
}

static void backward_first(struct batch *batch)
{
    const struct native_model *model = batch->model;
    const struct native_layer *layer = &model->layers[0];
    size_t from, to;
    native_model_columns(model, layer->output_width, batch->worker, &from, &to);
    if (from == to) return;
    struct native_target bias = target_of(model, layer->bias, layer->bias_gradient, from, 0, to - from);
    struct native_matrix delta = {at(model, layer->delta, from), layer->output_width};
    model->kernels->bias_update(&delta, batch->rows, &bias, &batch->update);
    if (batch->data->dense) backward_dense(batch, from, to);
    else backward_sparse(batch, from, to);
}

static void backward(struct batch *batch)
{
    const struct native_model *model = batch->model;
    for (uint32_t n = model->layer_count - 1; n > 0; n--) {
        backward_layer(batch, n);
        if (n > 1) team_barrier(model->team);
    }
    backward_first(batch);
}

/* The samples' losses and hits, in their order; only the first worker, after the barrier that follows the loss. */
static void report(const struct batch *batch, double *mean, uint32_t *correct)
{
    const struct native_model *model = batch->model;
    double total = 0;
    uint32_t hits = 0;
    for (size_t m = 0; m < batch->rows; m++) {
        total += model->losses[m];
        hits += model->correct[m];
    }
    *mean = total / (double)batch->rows;
    if (correct) *correct = hits;
}

/* The numbers of step `step`, counted from 1. */
static struct native_update update_of(const struct optimizer *o, uint64_t step)
{
    struct native_update update = {
        .type = o->type,
        .learning_rate = o->learning_rate,
        .momentum = o->momentum,
        .weight_decay = o->weight_decay,
        .beta1 = o->beta1,
        .beta2 = o->beta2,
        .epsilon = o->epsilon,
    };
    if (o->type == OPTIMIZER_ADAM) {
        update.step_size = o->learning_rate / (1 - pow(o->beta1, (double)step));
        update.root_scale = 1 / sqrt(1 - pow(o->beta2, (double)step));
    }
    return update;
}

static void run_steps(void *context, uint32_t worker)
{
    struct job *job = context;
    struct native_model *model = job->model;
    struct batch batch = {.model = model, .data = job->data, .worker = worker};
    for (size_t done = 0, step = 0; done < job->count; done += batch.rows, step++) {
        batch.rows = job->count - done < model->batch_size ? job->count - done : model->batch_size;
        batch.order = job->order + done;
        batch.known = job->count - done;
        batch.update = update_of(&model->optimizer, model->steps + step + 1);
        forward_first(&batch);
        team_barrier(model->team);
        forward_rest(&batch);
        loss(&batch);
        team_barrier(model->team);
        if (worker == 0) report(&batch, &job->losses[step], job->correct ? &job->correct[step] : NULL);
        backward(&batch);
    }
}

void native_model_train(struct native_model *model, const struct native_data *data, const uint32_t *order, size_t count, double *losses,
                 uint32_t *correct)
{
    struct job job = {model, data, order, count, losses, correct};
    team_run(model->team, run_steps, &job);
    model->steps += (count + model->batch_size - 1) / model->batch_size;
}

static void run_forward(void *context, uint32_t worker)
{
    struct job *job = context;
    struct batch batch = {.model = job->model, .data = job->data, .rows = job->count, .known = job->count, .worker = worker};
    forward_first(&batch);
    team_barrier(job->model->team);
    forward_rest(&batch);
}

void native_model_forward(struct native_model *model, const struct native_data *data, size_t count)
{
    struct job job = {.model = model, .data = data, .count = count};
    CHECK(count <= model->rows);
    team_run(model->team, run_forward, &job);
}

/* The phases of a training step, as every worker runs them.
 *
 * Every layer's units are cut into parts, one per thread; a worker owns one part, or several when
 * fewer workers than threads are at it. It alone computes its units in the first layer, and it
 * alone changes the weights into them (first layer) or out of them (all others). Samples are shared
 * out only between the first layer and the loss. So a network of L layers needs L barriers a step
 * (two for L = 1), and every number is computed in one order whatever the number of workers. */
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "engine/native/clip.h"
#include "engine/native/loss.h"
#include "engine/native/model.h"

struct native_job {
    struct native_model *model;
    const struct native_data *data;
    const uint32_t *order; /* NULL: 0, 1, 2 … */
    size_t count;
    const double *rates; /* of every step; NULL: the optimizer's */
    double *losses;      /* NULL: only the forward pass, of all at once */
    uint32_t *correct;   /* may be NULL */
    uint32_t workers;
};

/* Gradients are what plain gradient descent with a rate of -1 adds to zeros: the kernels, which
 * hand gradients to the optimizer as they come, need no second form. */
static const struct native_update into_sums = {.type = OPTIMIZER_SGD, .learning_rate = -1};

/* One worker's view of one batch. */
struct batch {
    struct native_model *model;
    const struct native_data *data;
    const uint32_t *order;
    size_t rows;
    size_t known; /* how far `order` goes past this batch's rows, and with them */
    uint32_t worker, workers;
    uint32_t parts, parts_end; /* the parts this worker owns */
    bool sums;                 /* gradients go to the layers' sums, parameters stay */
    bool total;                /* the loss is the samples' sum, not their mean */
    struct native_update update;
    double numbers[OPTIMIZER_MAX_NUMBERS]; /* the optimizer's, as of this step */
    struct native_sparse block;            /* the last one sorted */
    /* what the sums of each layer's weight and bias are multiplied by, where a norm is bounded; at
     * first their sums of squares */
    struct {
        double weight, bias;
    } clip[NETWORK_MAX_LAYERS];
};

typedef void panel_fn(const struct batch *batch, size_t from, size_t to, size_t row, size_t next);

static void meet(const struct batch *batch)
{
    team_barrier(batch->model->team);
}

static void *at(const struct native_model *model, void *numbers, size_t index)
{
    return numbers ? (char *)numbers + index * model->kernels->size : NULL;
}

/* A parameter matrix from number `from` on. */
static struct native_target target_of(const struct native_model *model,
                                      void *const sets[NATIVE_SETS], void *gradient, size_t from,
                                      size_t stride, size_t columns)
{
    return (struct native_target){
        .values = at(model, sets[0], from),
        .slots = {at(model, sets[1], from), at(model, sets[2], from)}, /* of the fused ones */
        .gradient = at(model, gradient, from),
        .stride = stride,
        .columns = columns,
    };
}

/* What a step changes: the parameters and slots, or the sums. */
static void *const *changed_weight(const struct batch *batch, const struct native_layer *layer)
{
    return batch->sums ? layer->weight_sum : layer->weight;
}

static void *const *changed_bias(const struct batch *batch, const struct native_layer *layer)
{
    return batch->sums ? layer->bias_sum : layer->bias;
}

static struct native_target panel_of(const struct batch *batch, void *const sets[NATIVE_SETS],
                                     size_t from, size_t to)
{
    const struct native_model *model = batch->model;
    return target_of(model, sets, model->layers[0].weight_gradient, model->first_rows * from,
                     to - from, to - from);
}

/* The first layer's delta in columns [from, to). Below other layers each panel's lies apart, for
 * its worker alone: with rows side by side the cores' prefetchers fetch each other's lines. */
static struct native_matrix first_delta(const struct batch *batch, size_t from, size_t to)
{
    const struct native_model *model = batch->model;
    const struct native_layer *layer = &model->layers[0];
    if (model->layer_count == 1)
        return (struct native_matrix){at(model, layer->delta, from), layer->output_width};
    return (struct native_matrix){at(model, layer->delta, model->rows * from), to - from};
}

static void copy_rows(const struct native_model *model, void *out, size_t out_stride,
                      const void *from, size_t stride, size_t rows, size_t columns)
{
    size_t size = model->kernels->size;
    for (size_t m = 0; m < rows; m++)
        memcpy((char *)out + m * out_stride * size, (const char *)from + m * stride * size,
               columns * size);
}

static void rows_of(const struct batch *batch, size_t *from, size_t *to)
{
    *from = batch->rows * batch->worker / batch->workers;
    *to = batch->rows * (batch->worker + 1) / batch->workers;
}

/* The columns of all of a worker's parts. */
static void columns_of(const struct batch *batch, size_t width, size_t *from, size_t *to)
{
    size_t unused;
    native_model_columns(batch->model, width, batch->parts, from, &unused);
    native_model_columns(batch->model, width, batch->parts_end - 1, &unused, to);
}

/* Calls visit for the columns of every panel of the first layer in this worker's parts. */
static void each_panel(const struct batch *batch, size_t row, size_t next, panel_fn *visit)
{
    const struct native_model *model = batch->model;
    for (uint32_t part = batch->parts; part < batch->parts_end; part++) {
        size_t from, to, end;
        native_model_columns(model, model->layers[0].output_width, part, &from, &end);
        for (; from < end; from = to) {
            native_model_panel(model, end, from, &to);
            visit(batch, from, to, row, next);
        }
    }
}

/* Samples [from, to) of the batch, sorted by tuple. */
static void sort_block(struct batch *batch, size_t from, size_t to)
{
    struct native_model *model = batch->model;
    struct block *block = &model->blocks[batch->worker];
    const struct samples *lists = batch->data->lists;
    samples_sort(lists, batch->order ? batch->order + from : NULL, from, to - from,
                 batch->known - from, block);
    batch->block = (struct native_sparse){
        .counts = block->counts,
        .entries = block->entries,
        .tuples = lists->tuples,
        .rows = to - from,
        .table = &model->table,
        .lists = lists,
        .order = batch->order ? batch->order + from : NULL,
        .first = from,
    };
}

static size_t block_end(const struct batch *batch, size_t from)
{
    return batch->rows - from < BLOCK_ROWS ? batch->rows : from + BLOCK_ROWS;
}

/* The sums are the worker's own until they are done, so that no line of the outputs, which others
 * have read, is written more than once. */
static void forward_panel(const struct batch *batch, size_t from, size_t to, size_t row,
                          size_t next)
{
    const struct native_model *model = batch->model;
    const struct native_layer *layer = &model->layers[0];
    struct native_target weight = panel_of(batch, layer->weight, from, to);
    size_t width = to - from, stride = layer->output_width, rows = next - row,
           valid = (to < layer->outputs ? to : layer->outputs) - from;
    void *sums = model->panel_sums[batch->worker];
    model->kernels->sparse_forward(&batch->block, &weight, at(model, layer->bias[0], from), sums,
                                   width);
    if (layer->before)
        copy_rows(model, at(model, layer->before, row * stride + from), stride, sums, width, rows,
                  width);
    model->kernels->activate(layer->activation, sums, width, rows, valid);
    copy_rows(model, at(model, layer->output, row * stride + from), stride, sums, width, rows,
              width);
}

static void forward_first(struct batch *batch)
{
    size_t from, to;
    columns_of(batch, batch->model->layers[0].output_width, &from, &to);
    if (from == to) return;
    for (size_t row = 0, next; row < batch->rows; row = next) {
        next = block_end(batch, row);
        sort_block(batch, row, next);
        each_panel(batch, row, next, forward_panel);
    }
}

/* Keeps what goes into the activation when it is asked for, then applies it. */
static void activate(const struct batch *batch, const struct native_layer *layer, size_t row,
                     size_t rows)
{
    const struct native_model *model = batch->model;
    size_t stride = layer->output_width;
    void *output = at(model, layer->output, row * stride);
    if (layer->before)
        copy_rows(model, at(model, layer->before, row * stride), stride, output, stride, rows,
                  stride);
    model->kernels->activate(layer->activation, output, stride, rows, layer->outputs);
}

/* All layers after the first, for this worker's samples. */
static void forward_rest(const struct batch *batch)
{
    const struct native_model *model = batch->model;
    size_t from, to;
    rows_of(batch, &from, &to);
    for (uint32_t n = 1; n < model->layer_count && from < to; n++) {
        const struct native_layer *layer = &model->layers[n], *below = &model->layers[n - 1];
        struct native_matrix input = {at(model, below->output, from * below->output_width),
                                      below->output_width};
        struct native_matrix weight = {layer->weight[0], layer->input_width};
        model->kernels->multiply_transposed(
            &input, &weight, layer->bias[0], to - from, layer->input_width, layer->unit_rows,
            at(model, layer->output, from * layer->output_width), layer->output_width);
        activate(batch, layer, from, to - from);
    }
}

/* What the samples' losses, summed, are divided by. */
static double divisor_of(const struct batch *batch)
{
    const struct loss_table *table = batch->model->loss;
    if (batch->total) return 1;
    return table ? loss_divisor(table, batch->data->labels, batch->order, batch->rows)
                 : (double)batch->rows;
}

/* Rows [from, to), of which the kernel has left probabilities. */
static void shape_loss(const struct batch *batch, size_t from, size_t to)
{
    const struct native_model *model = batch->model;
    const struct native_layer *last = &model->layers[model->layer_count - 1];
    double divisor = divisor_of(batch);
    for (size_t m = from; m < to; m++)
        native_shape_loss(model->loss, batch->data->labels[batch->order[m]],
                          at(model, last->output, m * last->output_width),
                          at(model, last->delta, m * last->output_width), 1, model->kernels->size,
                          divisor, &model->losses[m]);
}

static void loss(const struct batch *batch)
{
    const struct native_model *model = batch->model;
    const struct native_layer *last = &model->layers[model->layer_count - 1];
    size_t from, to;
    rows_of(batch, &from, &to);
    const struct native_softmax rows = {
        .logits = {at(model, last->output, from * last->output_width), last->output_width},
        .labels = batch->data->labels,
        .order = batch->order + from,
        .rows = to - from,
        .classes = last->outputs,
        .scale = model->loss    ? 0
                 : batch->total ? 1
                                : 1.0 / (double)batch->rows,
        .delta = at(model, last->delta, from * last->output_width),
        .delta_stride = last->output_width,
        .losses = model->losses + from,
        .correct = model->correct + from,
    };
    model->kernels->softmax(&rows);
    if (model->loss) shape_loss(batch, from, to);
}

/* Layer n's delta by its weights and the activation below: the delta of columns [from, to) there,
 * n ≥ 1. */
static void delta_below(const struct batch *batch, uint32_t n, size_t from, size_t to, void *out,
                        size_t out_stride)
{
    const struct native_model *model = batch->model;
    const struct native_layer *layer = &model->layers[n], *below = &model->layers[n - 1];
    struct native_matrix delta = {layer->delta, layer->output_width};
    struct native_matrix values = {at(model, layer->weight[0], from), layer->input_width};
    struct native_matrix output = {at(model, below->output, from), below->output_width};
    model->kernels->multiply(&delta, &values, batch->rows, layer->outputs, to - from, out,
                             out_stride);
    model->kernels->activate_backward(below->activation, &output, batch->rows, to - from, out,
                                      out_stride);
}

static void delta_panel(const struct batch *batch, size_t from, size_t to, size_t row, size_t next)
{
    struct native_matrix delta = first_delta(batch, from, to);
    (void)row, (void)next;
    delta_below(batch, 1, from, to, (void *)delta.values, delta.stride);
}

/* Layer n's update, n ≥ 1, and the delta of the layer below, for the columns this worker owns
 * there. */
static void backward_layer(const struct batch *batch, uint32_t n)
{
    const struct native_model *model = batch->model;
    const struct native_kernels *kernels = model->kernels;
    const struct native_layer *layer = &model->layers[n], *below = &model->layers[n - 1];
    struct native_matrix delta = {layer->delta, layer->output_width};
    size_t from, to;
    if (batch->worker == 0) {
        struct native_target bias = target_of(model, changed_bias(batch, layer),
                                              layer->bias_gradient, 0, 0, layer->output_width);
        kernels->bias_update(&delta, batch->rows, &bias, &batch->update);
    }
    columns_of(batch, layer->input_width, &from, &to);
    if (from == to) return;
    struct native_target weight = target_of(model, changed_weight(batch, layer),
                                            layer->weight_gradient, from, layer->input_width,
                                            to - from);
    struct native_matrix output = {at(model, below->output, from), below->output_width};
    if (n == 1)
        each_panel(batch, 0, batch->rows, delta_panel);
    else
        delta_below(batch, n, from, to, at(model, below->delta, from), below->output_width);
    kernels->multiply_update(&delta, &output, layer->outputs, batch->rows, &weight, &batch->update);
}

static void first_bias_panel(const struct batch *batch, size_t from, size_t to, size_t row,
                             size_t next)
{
    const struct native_model *model = batch->model;
    const struct native_layer *layer = &model->layers[0];
    struct native_target bias = target_of(model, changed_bias(batch, layer), layer->bias_gradient,
                                          from, 0, to - from);
    struct native_matrix delta = first_delta(batch, from, to);
    (void)row, (void)next;
    model->kernels->bias_update(&delta, batch->rows, &bias, &batch->update);
}

static void backward_panel(const struct batch *batch, size_t from, size_t to, size_t row,
                           size_t next)
{
    const struct native_model *model = batch->model;
    const struct native_layer *layer = &model->layers[0];
    struct native_target weight = panel_of(batch, changed_weight(batch, layer), from, to);
    struct native_matrix delta = first_delta(batch, from, to);
    delta.values = at(model, (void *)delta.values, row * delta.stride);
    model->kernels->sparse_backward(&batch->block, &delta,
                                    at(model, model->kept, model->first_rows * from), row == 0,
                                    next == batch->rows, &weight, &batch->update);
    /* What fills up the last tuple is no input: its weights stay zero. */
    if (model->dense && next == batch->rows && model->first_rows > layer->inputs)
        memset(at(model, weight.values, layer->inputs * weight.stride), 0,
               (model->first_rows - layer->inputs) * weight.stride * model->kernels->size);
}

static void backward_first(struct batch *batch)
{
    size_t from, to;
    columns_of(batch, batch->model->layers[0].output_width, &from, &to);
    if (from == to) return;
    each_panel(batch, 0, batch->rows, first_bias_panel);
    for (size_t row = 0, next; row < batch->rows; row = next) {
        next = block_end(batch, row);
        /* a single block is left from the forward pass */
        if (batch->rows > BLOCK_ROWS) sort_block(batch, row, next);
        each_panel(batch, row, next, backward_panel);
    }
}

static void backward(struct batch *batch)
{
    const struct native_model *model = batch->model;
    for (uint32_t n = model->layer_count - 1; n > 0; n--) {
        backward_layer(batch, n);
        if (n > 1) meet(batch);
    }
    backward_first(batch);
}

/* The samples' losses and correct answers, in their order; only the first worker, after the barrier
 * that follows the loss. */
static void report(const struct batch *batch, double *loss, uint32_t *correct)
{
    const struct native_model *model = batch->model;
    double total = 0;
    uint32_t count = 0;
    for (size_t m = 0; m < batch->rows; m++) {
        total += model->losses[m];
        count += model->correct[m];
    }
    *loss = total / divisor_of(batch);
    if (correct) *correct = count;
}

struct native_update native_update_of(const struct optimizer *o, double rate, uint64_t step)
{
    struct native_update update = {
        .type = o->type,
        .learning_rate = rate,
        .momentum = o->momentum,
        .weight_decay = o->weight_decay,
        .beta1 = o->beta1,
        .beta2 = o->beta2,
        .epsilon = o->epsilon,
    };
    if (o->type == OPTIMIZER_ADAM) {
        struct optimizer_adam adam = optimizer_adam(o, rate, step);
        update.step_size = adam.size;
        update.root_scale = adam.root;
    }
    return update;
}

static struct batch batch_of(const struct native_job *job, uint32_t worker)
{
    uint32_t threads = team_threads(job->model->team);
    struct batch batch = {
        .model = job->model,
        .data = job->data,
        .worker = worker,
        .workers = job->workers,
        .parts = threads * worker / job->workers,
        .parts_end = threads * (worker + 1) / job->workers,
    };
    memcpy(batch.numbers, job->model->numbers, sizeof batch.numbers);
    return batch;
}

/* One batch from the pictures to the update; the mean loss (or, into sums, its sum) goes to
 * *loss. */
static void run_batch(struct batch *batch, double *mean, uint32_t *correct)
{
    forward_first(batch);
    meet(batch);
    forward_rest(batch);
    loss(batch);
    meet(batch);
    if (batch->worker == 0) report(batch, mean, correct);
    backward(batch);
}

static double rate_of(const struct native_job *job, size_t step)
{
    return job->rates ? job->rates[step] : job->model->optimizer.learning_rate;
}

/* This worker's share of one matrix, seen as one row. */
static void share_of(const struct batch *batch, size_t count, size_t *from, size_t *to)
{
    size_t line = NATIVE_LINE / batch->model->kernels->size, lines = count / line;
    *from = lines * batch->worker / batch->workers * line;
    *to = lines * (batch->worker + 1) / batch->workers * line;
}

/* A step of the optimizer on this worker's share of one matrix, with the sums as its gradient. */
struct share {
    const double *numbers;
    void *const *sets; /* [NATIVE_SETS] */
    void *sum;
    size_t count;
    double clip;
};
typedef void share_fn(const struct batch *batch, const struct share *share);

static void each_share(const struct batch *batch, const double *numbers, share_fn *visit)
{
    const struct native_model *model = batch->model;
    for (uint32_t n = 0; n < model->layer_count; n++) {
        const struct native_layer *layer = &model->layers[n];
        const struct share weight = {numbers, layer->weight, layer->weight_sum[0],
                                     native_model_weights(model, n), batch->clip[n].weight},
                           bias = {numbers, layer->bias, layer->bias_sum[0], layer->output_width,
                                   batch->clip[n].bias};
        visit(batch, &weight);
        visit(batch, &bias);
    }
}

/* Of a tensor whose gradient has the sum of squares `own`; `all`: of the whole gradient. */
static double clip_factor(const struct native_model *model, enum optimizer_clip kind, double all,
                          double own)
{
    return optimizer_clip_factor(&model->optimizer, sqrt(kind == OPTIMIZER_CLIP_ALL ? all : own));
}

/* Every worker from all of the sums, which none changes before all have. */
static void find_clip_factors(struct batch *batch)
{
    const struct native_model *model = batch->model;
    double bound, all = 0;
    enum optimizer_clip kind = optimizer_clip(&model->optimizer, &bound);
    if (kind != OPTIMIZER_CLIP_EACH && kind != OPTIMIZER_CLIP_ALL) return;
    for (uint32_t n = 0; n < model->layer_count; n++) {
        const struct native_layer *layer = &model->layers[n];
        size_t size = model->kernels->size;
        double weight = native_sum_of_squares(layer->weight_sum[0], native_model_weights(model, n),
                                              size);
        double bias = native_sum_of_squares(layer->bias_sum[0], layer->output_width, size);
        all += weight + bias;
        batch->clip[n].weight = weight;
        batch->clip[n].bias = bias;
    }
    for (uint32_t n = 0; n < model->layer_count; n++) {
        batch->clip[n].weight = clip_factor(model, kind, all, batch->clip[n].weight);
        batch->clip[n].bias = clip_factor(model, kind, all, batch->clip[n].bias);
    }
    meet(batch);
}

/* The sums are zero again afterwards. */
static void formula_share(const struct batch *batch, const struct share *share)
{
    const struct native_model *model = batch->model;
    size_t from, to, size = model->kernels->size;
    double bound;
    share_of(batch, share->count, &from, &to);
    if (from == to) return;
    void *tensors[2 + OPTIMIZER_MAX_SLOTS] = {at(model, share->sets[0], from),
                                              at(model, share->sum, from)};
    for (uint32_t slot = 0; slot < OPTIMIZER_MAX_SLOTS; slot++)
        tensors[2 + slot] = at(model, share->sets[1 + slot], from);
    if (optimizer_clip(&model->optimizer, &bound) != OPTIMIZER_CLIP_NONE)
        native_clip(&model->optimizer, tensors[1], to - from, size, share->clip, tensors[1]);
    model->kernels->formula(&model->formula, share->numbers, tensors, to - from);
    memset(tensors[1], 0, (to - from) * size);
}

static void apply_formula(struct batch *batch, double rate, uint64_t step)
{
    double used[FORMULA_MAX_NUMBERS];
    find_clip_factors(batch);
    optimizer_numbers(&batch->model->optimizer, &batch->model->formula, rate, step, batch->numbers,
                      used);
    each_share(batch, used, formula_share);
}

/* A step of an optimizer without a kernel of its own: the gradient as a whole first, in the sums,
 * which are zero before. */
static void run_unfused(struct batch *batch, double rate, uint64_t step, double *mean,
                        uint32_t *correct)
{
    batch->update = into_sums;
    batch->sums = true;
    run_batch(batch, mean, correct);
    meet(batch);
    apply_formula(batch, rate, step);
    meet(batch);
}

static void run_steps(void *context, uint32_t worker)
{
    struct native_job *job = context;
    struct native_model *model = job->model;
    struct batch batch = batch_of(job, worker);
    for (size_t done = 0, step = 0; done < job->count; done += batch.rows, step++) {
        batch.rows = job->count - done < model->batch_size ? job->count - done : model->batch_size;
        batch.order = job->order + done;
        batch.known = job->count - done;
        double *mean = &job->losses[step], rate = rate_of(job, step);
        uint32_t *correct = job->correct ? &job->correct[step] : NULL;
        uint64_t number = model->steps + step + 1;
        if (!model->fused) {
            run_unfused(&batch, rate, number, mean, correct);
        } else {
            batch.update = native_update_of(&model->optimizer, rate, number);
            run_batch(&batch, mean, correct);
        }
    }
    /* all workers have passed a barrier since they read them */
    if (worker == 0) memcpy(model->numbers, batch.numbers, sizeof model->numbers);
}

void native_model_train(struct native_model *model, const struct native_data *data,
                        const uint32_t *order, size_t count, const double *rates, double *losses,
                        uint32_t *correct)
{
    size_t batch = model->batch_size;
    if (!model->fused) native_model_sums_clear(model);
    while (count > 0) {
        size_t steps = (pace_samples(&model->pace) + batch - 1) / batch;
        size_t part = count / batch < steps ? count : steps * batch;
        struct native_job job = {model, data,   order,   part,
                                 rates, losses, correct, pace_workers(&model->pace)};
        double start = clock_monotonic();
        team_run(model->team, job.workers, run_steps, &job);
        pace_report(&model->pace, clock_monotonic() - start, part);
        steps = (part + batch - 1) / batch;
        model->steps += steps;
        order += part;
        count -= part;
        losses += steps;
        if (rates) rates += steps;
        if (correct) correct += steps;
    }
}

static void run_gradients(void *context, uint32_t worker)
{
    struct native_job *job = context;
    struct batch batch = batch_of(job, worker);
    batch.rows = batch.known = job->count;
    batch.order = job->order;
    batch.update = into_sums;
    batch.sums = batch.total = true;
    run_batch(&batch, job->losses, job->correct);
}

void native_model_gradients(struct native_model *model, const struct native_data *data,
                            const uint32_t *order, size_t count, double *loss_sum,
                            uint32_t *correct)
{
    struct native_job job = {model, data,     order,   count,
                             NULL,  loss_sum, correct, pace_workers(&model->pace)};
    CHECK(count <= model->rows && count <= model->batch_size);
    double start = clock_monotonic();
    team_run(model->team, job.workers, run_gradients, &job);
    pace_report(&model->pace, clock_monotonic() - start, count);
}

static void fused_share(const struct batch *batch, const struct share *share)
{
    const struct native_model *model = batch->model;
    size_t from, to;
    share_of(batch, share->count, &from, &to);
    struct native_target target = target_of(model, share->sets, NULL, from, 0, to - from);
    struct native_matrix gradient = {at(model, share->sum, from), 0};
    model->kernels->bias_update(&gradient, 1, &target, &batch->update);
}

static void run_apply(void *context, uint32_t worker)
{
    struct native_job *job = context;
    struct native_model *model = job->model;
    struct batch batch = batch_of(job, worker);
    if (model->fused) {
        batch.update = native_update_of(&model->optimizer, rate_of(job, 0), model->steps + 1);
        each_share(&batch, NULL, fused_share);
        return;
    }
    apply_formula(&batch, rate_of(job, 0), model->steps + 1);
    meet(&batch);
    if (worker == 0) memcpy(model->numbers, batch.numbers, sizeof model->numbers);
}

void native_model_apply(struct native_model *model, const double *rate)
{
    struct native_job job = {.model = model, .rates = rate, .workers = team_threads(model->team)};
    team_run(model->team, job.workers, run_apply, &job);
    model->steps++;
}

static void run_forward(void *context, uint32_t worker)
{
    struct native_job *job = context;
    struct batch batch = batch_of(job, worker);
    batch.rows = batch.known = job->count;
    forward_first(&batch);
    meet(&batch);
    forward_rest(&batch);
}

void native_model_forward(struct native_model *model, const struct native_data *data, size_t count)
{
    struct native_job job = {
        .model = model, .data = data, .count = count, .workers = team_threads(model->team)};
    CHECK(count <= model->rows);
    team_run(model->team, job.workers, run_forward, &job);
}

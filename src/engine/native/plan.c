#include "engine/native/plan.h"

#include "engine/native/clip.h"
#include "engine/native/loss.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/dropout.h"
#include "engine/native/plan_job.h"

/* --- making one ------------------------------------------------------------------------------- */

static size_t whole_lines(const struct plan *plan, size_t count)
{
    size_t places = plan->kernels->places;
    return (count + places - 1) / places * places;
}

/* Zeroed, on a cache line; NULL when there is no memory. */
static void *zeroed(const struct plan *plan, size_t count)
{
    size_t bytes = (whole_lines(plan, count) + plan->kernels->places) * plan->kernels->size;
    void *memory = aligned_alloc(NATIVE_LINE, bytes);
    return memory ? memset(memory, 0, bytes) : NULL;
}

static void *number_at(const struct plan *plan, void *numbers, size_t index)
{
    return (char *)numbers + index * plan->kernels->size;
}

/* A grid for `shape` with the margin that its reader pads by. */
static void shape_grid(struct grid *grid, const struct shape *shape, const struct layer *reader)
{
    static const uint32_t none[PAD_SIDES];
    const uint32_t *margin = reader && reader->type == LAYER_CONV2D ? reader->padding : none;
    bool maps = shape->rank == 3;
    *grid = (struct grid){.channels = shape->sizes[0],
                          .rows = maps ? shape->sizes[1] : 1,
                          .columns = maps ? shape->sizes[2] : 1};
    grid->height = grid->rows + margin[PAD_TOP] + margin[PAD_BOTTOM];
    grid->width = grid->columns + margin[PAD_LEFT] + margin[PAD_RIGHT];
    grid->origin = (size_t)margin[PAD_TOP] * grid->width + margin[PAD_LEFT];
    grid->lines = (size_t)grid->channels * grid->height * grid->width;
}

/* Which lines a window of a dense or convolutional layer covers, in the order of its weights. */
static int make_taps(struct plan_op *op, struct error *error)
{
    const struct layer *layer = op->layer;
    const struct grid *in = op->in;
    bool dense = layer->type == LAYER_DENSE;
    if (!dense && layer->type != LAYER_CONV2D) return 0;
    uint32_t channels = dense ? layer->inputs : in->channels / layer->groups;
    uint32_t rows = dense ? 1 : layer->kernel[0], columns = dense ? 1 : layer->kernel[1];
    size_t map = dense ? 1 : (size_t)in->height * in->width;
    op->tap_count = channels * rows * columns;
    op->taps = malloc(op->tap_count * sizeof *op->taps);
    if (!op->taps) return error_set_memory(error, "the plan");
    uint32_t *tap = op->taps;
    for (uint32_t c = 0; c < channels; c++)
        for (uint32_t r = 0; r < rows; r++)
            for (uint32_t s = 0; s < columns; s++)
                *tap++ = (uint32_t)(c * map + (size_t)r * layer->dilation[0] * in->width +
                                    (size_t)s * layer->dilation[1]);
    return 0;
}

/* Every tensor at the beginning of a line; trained ones first, so that one stretch is the
 * optimizer's. */
static int place_tensors(struct plan *plan, struct error *error)
{
    size_t offsets[NETWORK_MAX_LAYERS][ROLE_COUNT] = {{0}};
    for (int trained = 1; trained >= 0; trained--) {
        for (uint32_t i = 0; i < plan->op_count; i++) {
            struct tensor_spec specs[LAYER_MAX_TENSORS];
            uint32_t count = layer_tensors(plan->ops[i].layer, specs);
            for (uint32_t k = 0; k < count; k++) {
                if (tensor_role_is_trained(specs[k].role) != (trained == 1)) continue;
                offsets[i][specs[k].role] = plan->value_count;
                plan->ops[i].tensors[specs[k].role].count = shape_values(&specs[k].shape);
                plan->value_count += whole_lines(plan, shape_values(&specs[k].shape));
            }
        }
        if (trained) plan->trained_count = plan->value_count;
    }
    for (uint32_t s = 0; s < 1 + optimizer_slot_count(&plan->optimizer); s++) {
        plan->sets[s] = zeroed(plan, plan->value_count);
        if (!plan->sets[s]) return error_set_memory(error, "the network");
    }
    plan->gradient = zeroed(plan, plan->trained_count);
    double bound;
    bool clips = optimizer_clip(&plan->optimizer, &bound) != OPTIMIZER_CLIP_NONE;
    if (clips) plan->clipped = zeroed(plan, plan->trained_count);
    if (!plan->gradient || (clips && !plan->clipped))
        return error_set_memory(error, "the gradient");
    for (uint32_t i = 0; i < plan->op_count; i++)
        for (int role = 0; role < ROLE_COUNT; role++) {
            struct plan_tensor *tensor = &plan->ops[i].tensors[role];
            if (!tensor->count) continue;
            tensor->values = number_at(plan, plan->sets[0], offsets[i][role]);
            if (tensor_role_is_trained((enum tensor_role)role))
                tensor->gradient = number_at(plan, plan->gradient, offsets[i][role]);
        }
    return 0;
}

static bool shares_memory(const struct plan_op *op)
{
    return op->below && op->layer->type == LAYER_FLATTEN &&
           op->layer->activation == ACTIVATION_NONE;
}

static int make_op(struct plan *plan, uint32_t i, struct error *error)
{
    const struct layer *next = i + 1 < plan->op_count ? &plan->network.layers[i + 1] : NULL;
    struct plan_op *op = &plan->ops[i];
    op->layer = &plan->network.layers[i];
    op->number = i;
    op->in = &plan->grids[i];
    op->out = &plan->grids[i + 1];
    op->below = i ? &plan->ops[i - 1] : NULL;
    shape_grid(op->out, &op->layer->output, next);
    return make_taps(op, error);
}

int plan_create(const struct engine_config *config, struct team *team, struct plan **out,
                struct error *error)
{
    struct plan *plan = calloc(1, sizeof *plan);
    if (!plan) return error_set_memory(error, "the plan");
    plan->kernels = native_plan_kernels_choose(config->dtype);
    plan->dense = native_kernels_choose(config->dtype);
    plan->team = team;
    plan->network = config->network;
    plan->optimizer = config->optimizer;
    plan->fused = optimizer_fused(&config->optimizer) != OPTIMIZER_NOT_FUSED;
    optimizer_formula(&plan->optimizer, &plan->formula);
    plan->seed = config->seed;
    plan->batch_size = config->batch_size;
    plan->penalized = network_is_penalized(&plan->network);
    plan->op_count = config->network.layer_count;
    pace_init(&plan->pace, team_threads(team));
    shape_grid(&plan->grids[0], &plan->network.layers[0].input, &plan->network.layers[0]);
    for (uint32_t i = 0; i < plan->op_count; i++)
        if (make_op(plan, i, error)) goto fail;
    if (place_tensors(plan, error) ||
        loss_table_create(&config->loss, config->optimizer.meaning,
                          network_classes(&config->network), &plan->loss, error))
        goto fail;
    *out = plan;
    return 0;
fail:
    plan_destroy(plan);
    return -1;
}

static void free_grids(struct plan *plan)
{
    for (uint32_t i = 0; i <= plan->op_count; i++) {
        struct grid *grid = &plan->grids[i];
        bool shared = i && shares_memory(&plan->ops[i - 1]);
        if (!shared) {
            free(grid->values);
            free(grid->delta);
        }
        free(grid->before);
        grid->values = grid->delta = grid->before = NULL;
    }
    for (uint32_t i = 0; i < plan->op_count; i++) {
        free(plan->ops[i].mean);
        free(plan->ops[i].scale);
        free(plan->ops[i].sums);
        free(plan->ops[i].squares);
        free(plan->ops[i].kept);
        plan->ops[i].mean = plan->ops[i].scale = NULL;
        plan->ops[i].sums = plan->ops[i].squares = NULL;
        plan->ops[i].kept = NULL;
    }
    free(plan->losses);
    free(plan->correct);
    plan->losses = NULL;
    plan->correct = NULL;
    plan->blocks = 0;
}

void plan_destroy(struct plan *plan)
{
    if (!plan) return;
    free_grids(plan);
    for (uint32_t i = 0; i < plan->op_count; i++) free(plan->ops[i].taps);
    for (size_t s = 0; s < 1 + OPTIMIZER_MAX_SLOTS; s++) free(plan->sets[s]);
    free(plan->gradient);
    free(plan->clipped);
    loss_table_destroy(plan->loss);
    free(plan);
}

/* Activations whose derivative cannot be told from what they gave. */
static bool needs_before(const struct layer *layer)
{
    return layer->activation > ACTIVATION_SIGMOID;
}

static bool make_grid(struct plan *plan, uint32_t i, size_t blocks)
{
    struct grid *grid = &plan->grids[i];
    size_t count = blocks * grid->lines * plan->kernels->places;
    const struct plan_op *op = i ? &plan->ops[i - 1] : NULL;
    if (op && shares_memory(op)) {
        grid->values = plan->grids[i - 1].values;
        grid->delta = plan->grids[i - 1].delta;
        return true;
    }
    grid->values = zeroed(plan, count);
    bool back = op || plan->back_to_picture;
    if (back) grid->delta = zeroed(plan, count);
    if (op && (plan->traced || needs_before(op->layer))) {
        grid->before = zeroed(plan, count);
        if (!grid->before) return false;
    }
    return grid->values && (!back || grid->delta);
}

static bool make_state(struct plan *plan, struct plan_op *op, size_t blocks)
{
    size_t places = plan->kernels->places;
    size_t statistics = op->layer->type == LAYER_BATCHNORM   ? op->in->channels
                        : op->layer->type == LAYER_LAYERNORM ? blocks * places
                                                             : 0;
    if (statistics) {
        op->mean = calloc(statistics, sizeof *op->mean);
        op->scale = calloc(statistics, sizeof *op->scale);
        op->sums = calloc(2 * statistics, sizeof *op->sums);
        op->squares = calloc(statistics, sizeof *op->squares);
        return op->mean && op->scale && op->sums && op->squares;
    }
    if (op->layer->type != LAYER_DROPOUT) return true;
    op->kept = calloc(blocks * op->out->lines * places, 1);
    return op->kept != NULL;
}

int plan_reserve(struct plan *plan, size_t rows, struct error *error)
{
    size_t places = plan->kernels->places, blocks = (rows + places - 1) / places;
    if (blocks <= plan->blocks) return 0;
    free_grids(plan);
    bool made = true;
    for (uint32_t i = 0; i <= plan->op_count && made; i++) made = make_grid(plan, i, blocks);
    for (uint32_t i = 0; i < plan->op_count && made; i++)
        made = make_state(plan, &plan->ops[i], blocks);
    size_t all = blocks * places;
    CHECK(all);
    plan->losses = calloc(all, sizeof *plan->losses);
    plan->correct = calloc(all, sizeof *plan->correct);
    if (!made || !plan->losses || !plan->correct) {
        free_grids(plan);
        return error_set(error, ERROR_MEMORY,
                         "no memory for batches of %zu: use a smaller batch size", rows);
    }
    plan->blocks = blocks;
    return 0;
}

int plan_keep_before(struct plan *plan, bool kept, struct error *error)
{
    size_t rows = plan->blocks * plan->kernels->places;
    if (plan->traced == kept) return 0;
    plan->traced = kept;
    free_grids(plan);
    return rows ? plan_reserve(plan, rows, error) : 0;
}

/* --- values in and out ------------------------------------------------------------------------ */

void *plan_tensor_place(const struct plan *plan, const struct tensor *tensor, void *set)
{
    const struct plan_tensor *stored = &plan->ops[tensor->layer].tensors[tensor->role];
    CHECK(stored->count == tensor->count);
    return (char *)set + ((char *)stored->values - (char *)plan->sets[0]);
}

void plan_import(struct plan *plan, const struct parameters *source, uint32_t set)
{
    for (size_t t = 0; t < source->tensor_count; t++)
        memcpy(plan_tensor_place(plan, &source->tensors[t], plan->sets[set]),
               source->tensors[t].values, source->tensors[t].count * plan->kernels->size);
}

void plan_export(const struct plan *plan, struct parameters *destination, uint32_t set)
{
    for (size_t t = 0; t < destination->tensor_count; t++)
        memcpy(destination->tensors[t].values,
               plan_tensor_place(plan, &destination->tensors[t], plan->sets[set]),
               destination->tensors[t].count * plan->kernels->size);
}

void plan_export_gradient(const struct plan *plan, struct parameters *destination)
{
    for (size_t t = 0; t < destination->tensor_count; t++)
        if (tensor_role_is_trained(destination->tensors[t].role))
            memcpy(destination->tensors[t].values,
                   plan_tensor_place(plan, &destination->tensors[t], plan->gradient),
                   destination->tensors[t].count * plan->kernels->size);
}

void plan_read(const struct plan *plan, const struct grid *grid, const void *values, size_t rows,
               double *out)
{
    size_t places = plan->kernels->places;
    for (size_t n = 0; n < rows; n++)
        for (uint32_t c = 0; c < grid->channels; c++)
            for (uint32_t r = 0; r < grid->rows; r++)
                for (uint32_t s = 0; s < grid->columns; s++) {
                    size_t line = ((size_t)c * grid->height + r) * grid->width + s + grid->origin;
                    size_t at = (n / places * grid->lines + line) * places + n % places;
                    *out++ = plan->kernels->size == sizeof(float)
                                 ? (double)((const float *)values)[at]
                                 : ((const double *)values)[at];
                }
}

/* --- running ---------------------------------------------------------------------------------- */

/* `first` is the number of the first row in its batch. */
static void fill_masks(const struct plan *plan, const struct plan_op *op, size_t first, size_t rows,
                       uint64_t step, size_t block)
{
    size_t places = plan->kernels->places, values = op->layer->outputs;
    uint64_t stream = dropout_stream(step, op->number);
    const struct grid *grid = op->out;
    uint8_t kept[1024];
    for (size_t p = 0; p < places && block * places + p < rows; p++) {
        size_t have = 0, used = 0, next = 0;
        for (uint32_t c = 0; c < grid->channels; c++)
            for (uint32_t r = 0; r < grid->rows; r++)
                for (uint32_t s = 0; s < grid->columns; s++) {
                    if (used == have) {
                        have = values - next < sizeof kept ? values - next : sizeof kept;
                        dropout_mask(plan->seed, stream, op->layer->rate,
                                     (first + block * places + p) * values + next, have, kept);
                        next += have;
                        used = 0;
                    }
                    size_t line = ((size_t)c * grid->height + r) * grid->width + s + grid->origin;
                    op->kept[(block * grid->lines + line) * places + p] = kept[used++];
                }
    }
}

static void load_batch(const struct plan_job *job, const struct plan_batch *batch,
                       const uint32_t *order, uint64_t step, uint32_t worker)
{
    struct plan *plan = job->plan;
    size_t from, to;
    plan_items_of(batch->blocks, worker, job->workers, &from, &to);
    size_t each = network_inputs(&plan->network);
    for (size_t block = from; block < to; block++) {
        if (job->inputs)
            plan->kernels->load_values(&plan->grids[0], job->inputs, each, batch->rows, block);
        else
            plan->kernels->load(&plan->grids[0], job->pixels, each, order, batch->rows, block,
                                job->value);
        for (uint32_t i = 0; batch->training && i < plan->op_count; i++)
            if (plan->ops[i].layer->type == LAYER_DROPOUT)
                fill_masks(plan, &plan->ops[i], job->part ? job->part->first : 0, batch->rows, step,
                           block);
    }
    team_barrier(plan->team);
}

static bool is_apart(const struct plan_batch *batch, const struct plan_op *op)
{
    return batch->apart && op->layer->type == LAYER_BATCHNORM;
}

static bool forward(struct plan_job *job, const struct plan_batch *batch, uint32_t worker)
{
    const struct plan *plan = job->plan;
    for (uint32_t i = 0; i < plan->op_count; i++) {
        const struct plan_op *op = &plan->ops[i];
        const struct plan_kind *kind = plan->kernels->kinds[op->layer->type];
        size_t from, to;
        if (is_apart(batch, op) && (!plan_measure_parts(job, batch, op, MEASURE_SUMS, worker) ||
                                    !plan_measure_parts(job, batch, op, MEASURE_SQUARES, worker)))
            return false;
        plan_items_of(kind->items(op, batch, job->workers), worker, job->workers, &from, &to);
        kind->forward(op, batch, job->workers, from, to);
        team_barrier(plan->team);
    }
    return true;
}

/* From the loss back: each operation's gradients and the derivative by its input need only what
 * lies above. */
static bool backward(struct plan_job *job, struct plan_batch *batch, uint32_t worker)
{
    const struct plan *plan = job->plan;
    for (uint32_t i = plan->op_count; i-- > 0;) {
        const struct plan_op *op = &plan->ops[i];
        const struct plan_kind *kind = plan->kernels->kinds[op->layer->type];
        size_t from, to;
        batch->input_wanted = i > 0 || plan->back_to_picture;
        if (is_apart(batch, op) && !plan_measure_parts(job, batch, op, MEASURE_DERIVATIVES, worker))
            return false;
        if (batch->training && kind->gradient && op->tensors[ROLE_WEIGHT].gradient) {
            plan_items_of(kind->gradient_items(op), worker, job->workers, &from, &to);
            kind->gradient(op, batch, from, to);
        }
        if (batch->input_wanted || (!kind->gradient && op->tensors[ROLE_WEIGHT].gradient)) {
            plan_items_of(kind->backward_items(op, batch, job->workers), worker, job->workers,
                          &from, &to);
            kind->backward(op, batch, job->workers, from, to);
        }
        team_barrier(plan->team);
    }
    return true;
}

static double value_at(const struct plan *plan, const void *numbers, size_t index)
{
    return plan->kernels->size == sizeof(float) ? (double)((const float *)numbers)[index]
                                                : ((const double *)numbers)[index];
}

/* What the layers' l1 and l2 add to the loss. */
static double penalty(const struct plan *plan)
{
    double total = 0;
    for (uint32_t i = 0; i < plan->op_count; i++) {
        const struct layer *layer = plan->ops[i].layer;
        const struct plan_tensor *weight = &plan->ops[i].tensors[ROLE_WEIGHT];
        double sizes = 0, squares = 0;
        for (size_t k = 0; layer_is_penalized(layer) && k < weight->count; k++) {
            double w = value_at(plan, weight->values, k);
            sizes += fabs(w);
            squares += w * w;
        }
        total += layer->l1 * sizes + layer->l2 * squares;
    }
    return total;
}

/* Its gradient, added to the weights'; a part for each worker. */
static void add_penalty_gradient(const struct plan_job *job, uint32_t worker)
{
    const struct plan *plan = job->plan;
    for (uint32_t i = 0; i < plan->op_count; i++) {
        const struct layer *layer = plan->ops[i].layer;
        const struct plan_tensor *weight = &plan->ops[i].tensors[ROLE_WEIGHT];
        size_t from, to;
        if (!layer_is_penalized(layer)) continue;
        plan_items_of(weight->count, worker, job->workers, &from, &to);
        for (size_t k = from; k < to; k++) {
            double w = value_at(plan, weight->values, k);
            double g = value_at(plan, weight->gradient, k) + layer->l1 * ((w > 0) - (w < 0)) +
                       2 * layer->l2 * w;
            if (plan->kernels->size == sizeof(float))
                ((float *)weight->gradient)[k] = (float)g;
            else
                ((double *)weight->gradient)[k] = g;
        }
    }
    team_barrier(plan->team);
}

static void update_fused(const struct plan *plan, double rate, uint64_t step,
                         void *const tensors[2 + OPTIMIZER_MAX_SLOTS], size_t count)
{
    struct native_update numbers = native_update_of(&plan->optimizer, rate, step);
    struct native_matrix gradient = {tensors[1], 0};
    struct native_target target = {
        .values = tensors[0], .slots = {tensors[2], tensors[3]}, .columns = count};
    plan->dense->bias_update(&gradient, 1, &target, &numbers);
}

/* The squares of all of the gradient; between tensors are zeros. */
static double all_squares(const struct plan *plan)
{
    return native_sum_of_squares(plan->gradient, plan->trained_count, plan->kernels->size);
}

/* Numbers [from, to) of the gradient, kept in bounds, into plan->clipped. */
static void clip_gradient(const struct plan *plan, size_t from, size_t to)
{
    double bound, factor = 1;
    size_t size = plan->kernels->size;
    enum optimizer_clip kind = optimizer_clip(&plan->optimizer, &bound);
    if (kind == OPTIMIZER_CLIP_ALL)
        factor = optimizer_clip_factor(&plan->optimizer, sqrt(all_squares(plan)));
    for (uint32_t i = 0; i < plan->op_count; i++)
        for (int role = 0; role < ROLE_COUNT; role++) {
            const struct plan_tensor *tensor = &plan->ops[i].tensors[role];
            if (!tensor->gradient) continue;
            size_t first = (size_t)((char *)tensor->gradient - (char *)plan->gradient) / size,
                   begin = first > from ? first : from,
                   end = first + tensor->count < to ? first + tensor->count : to;
            if (begin >= end) continue;
            if (kind == OPTIMIZER_CLIP_EACH)
                factor = optimizer_clip_factor(
                    &plan->optimizer,
                    sqrt(native_sum_of_squares(tensor->gradient, tensor->count, size)));
            native_clip(&plan->optimizer, number_at(plan, plan->gradient, begin), end - begin, size,
                        factor, number_at(plan, plan->clipped, begin));
        }
}

void plan_update(const struct plan_job *job, double rate, uint64_t step, double *numbers,
                 uint32_t worker)
{
    const struct plan *plan = job->plan;
    size_t places = plan->kernels->places, from, to;
    double used[FORMULA_MAX_NUMBERS];
    plan_items_of(plan->trained_count / places, worker, job->workers, &from, &to);
    void *tensors[2 + OPTIMIZER_MAX_SLOTS] = {
        number_at(plan, plan->sets[0], from * places),
        number_at(plan, plan->clipped ? plan->clipped : plan->gradient, from * places)};
    if (plan->clipped) clip_gradient(plan, from * places, to * places);
    for (uint32_t s = 0; s < optimizer_slot_count(&plan->optimizer); s++)
        tensors[2 + s] = number_at(plan, plan->sets[1 + s], from * places);
    if (plan->fused) {
        if (from < to) update_fused(plan, rate, step, tensors, (to - from) * places);
    } else {
        optimizer_numbers(&plan->optimizer, &plan->formula, rate, step, numbers, used);
        plan->dense->formula(&plan->formula, used, tensors, (to - from) * places);
    }
    team_barrier(plan->team);
}

double plan_rate_of(const struct plan_job *job, size_t step)
{
    return job->rates ? job->rates[step] : job->plan->optimizer.learning_rate;
}

/* Losses and correct answers in the samples' order, by the first worker. */
static void report(const struct plan_job *job, size_t rows, double divisor, double *mean,
                   uint32_t *correct)
{
    const struct plan *plan = job->plan;
    double total = 0;
    uint32_t total_correct = 0;
    for (size_t n = 0; n < rows; n++) {
        total += plan->losses[n];
        total_correct += plan->correct[n];
    }
    *mean = total / divisor + (plan->penalized && !job->part ? penalty(plan) : 0);
    if (correct) *correct = total_correct;
}

/* Losses, correct answers and the derivative by the logits of one block of a batch. */
static void block_loss(const struct plan_job *job, const uint32_t *order, size_t rows, size_t block,
                       double divisor)
{
    const struct plan *plan = job->plan;
    const struct grid *last = &plan->grids[plan->op_count];
    size_t places = plan->kernels->places, first = block * places;
    /* of a shaped loss the probabilities, in place of plain cross-entropy's derivative */
    plan->kernels->loss(last, job->labels, order, rows, block, plan->loss ? 0 : (double)rows,
                        plan->losses, plan->correct);
    if (!plan->loss) return;
    for (size_t n = first; n < rows && n < first + places; n++) {
        size_t place = block * last->lines * places + last->origin * places + n - first;
        native_shape_loss(plan->loss, job->labels[order[n]], number_at(plan, last->values, place),
                          number_at(plan, last->delta, place), places, plan->kernels->size, divisor,
                          &plan->losses[n]);
    }
}

static struct plan_batch batch_of(const struct plan *plan, size_t rows, bool training)
{
    size_t places = plan->kernels->places;
    return (struct plan_batch){
        .rows = rows, .whole = rows, .blocks = (rows + places - 1) / places, .training = training};
}

void plan_run_steps(void *context, uint32_t worker)
{
    struct plan_job *job = context;
    struct plan *plan = job->plan;
    double numbers[OPTIMIZER_MAX_NUMBERS];
    memcpy(numbers, plan->numbers, sizeof numbers);
    for (size_t done = 0, step = 0; done < job->count; done += plan->batch_size, step++) {
        size_t left = job->count - done, from, to;
        struct plan_batch batch = batch_of(plan, left < plan->batch_size ? left : plan->batch_size,
                                           true);
        const uint32_t *order = job->order + done;
        if (job->part) {
            batch.whole = job->part->whole;
            batch.apart = true;
        }
        load_batch(job, &batch, order, plan->steps + step, worker);
        if (!forward(job, &batch, worker)) return;
        plan_items_of(batch.blocks, worker, job->workers, &from, &to);
        double divisor = plan->loss ? loss_divisor(plan->loss, job->labels, order, batch.rows)
                                    : (double)batch.rows;
        for (size_t block = from; block < to; block++)
            block_loss(job, order, batch.rows, block, divisor);
        team_barrier(plan->team);
        if (worker == 0)
            report(job, batch.rows, divisor, &job->losses[step],
                   job->correct ? &job->correct[step] : NULL);
        if (!backward(job, &batch, worker) || job->part) return;
        if (plan->penalized) add_penalty_gradient(job, worker);
        plan_update(job, plan_rate_of(job, step), plan->steps + step + 1, numbers, worker);
    }
    /* all workers have passed a barrier since they read them */
    if (worker == 0) memcpy(plan->numbers, numbers, sizeof numbers);
}

void plan_train(struct plan *plan, const struct plan_samples *samples, const double *rates,
                double *losses, uint32_t *correct)
{
    const uint32_t *order = samples->order;
    size_t batch = plan->batch_size, count = samples->count;
    while (count > 0) {
        size_t steps = (pace_samples(&plan->pace) + batch - 1) / batch;
        size_t part = count / batch < steps ? count : steps * batch;
        struct plan_job job = {.plan = plan,
                               .pixels = samples->split->pixels,
                               .labels = samples->split->labels,
                               .value = samples->value,
                               .order = order,
                               .count = part,
                               .rates = rates,
                               .losses = losses,
                               .correct = correct,
                               .workers = pace_workers(&plan->pace)};
        double start = clock_monotonic();
        team_run(plan->team, job.workers, plan_run_steps, &job);
        pace_report(&plan->pace, clock_monotonic() - start, part);
        steps = (part + batch - 1) / batch;
        plan->steps += steps;
        order += part;
        count -= part;
        losses += steps;
        if (rates) rates += steps;
        if (correct) correct += steps;
    }
}

static void run_forward(void *context, uint32_t worker)
{
    struct plan_job *job = context;
    struct plan_batch batch = batch_of(job->plan, job->count, false);
    load_batch(job, &batch, NULL, 0, worker);
    forward(job, &batch, worker);
}

static void forward_job(struct plan *plan, struct plan_job *job)
{
    CHECK(job->count <= plan->blocks * plan->kernels->places);
    job->plan = plan;
    job->workers = team_threads(plan->team);
    team_run(plan->team, job->workers, run_forward, job);
}

void plan_forward(struct plan *plan, const uint8_t *pixels, const void *value, size_t rows)
{
    struct plan_job job = {.pixels = pixels, .value = value, .count = rows};
    forward_job(plan, &job);
}

void plan_infer(struct plan *plan, const double *inputs, size_t rows)
{
    struct plan_job job = {.inputs = inputs, .count = rows};
    forward_job(plan, &job);
}

static void run_backward(void *context, uint32_t worker)
{
    struct plan_job *job = context;
    struct plan_batch batch = batch_of(job->plan, job->count, false);
    backward(job, &batch, worker);
}

void plan_backward(struct plan *plan, size_t rows)
{
    struct plan_job job = {.plan = plan, .count = rows, .workers = team_threads(plan->team)};
    CHECK(plan->back_to_picture && rows <= plan->blocks * plan->kernels->places);
    team_run(plan->team, job.workers, run_backward, &job);
}

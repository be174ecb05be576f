/* Running an experiment: two trainings that differ in meaning, step by step, on one engine. */
#include "atlas/experiment.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "atlas/atlas.h"
#include "base/js.h"
#include "base/rng.h"
#include "base/wanted.h"
#include "net/compact.h"
#include "train/fit.h"
#include "train/metrics.h"

#define SEED 1

/* What both sides share. */
struct experiment_bench {
    const struct atlas_experiment *experiment;
    const struct engine_ops *ops;
    uint32_t rows, columns, classes, batch;
    size_t samples, steps;
    struct split split; /* owned */
    struct preprocess preprocess;
};

/* One side, and what it left: a value for every step, the weights before the first and after each.
 */
struct trail {
    struct network network;
    struct optimizer optimizer;
    struct schedule schedule;
    struct parameters *parameters; /* owned, as all below */
    struct engine *engine;
    double *losses, *rates; /* [steps] */
    double *weights;        /* [steps + 1, value_count] */
    double *logits;         /* [samples, classes] */
    double *weighted;       /* [samples] */
};

/* --- reading the texts --- */

/* "adam lr=0.01 nesterov=true" as optimizer_from_json() takes it. */
static json_t *optimizer_words(const char *text, enum meaning meaning)
{
    size_t length = strcspn(text, " ");
    json_t *words = json_pack("{s:s%, s:s}", "type", text, length, "meaning",
                              meaning_name(meaning));
    for (text += length; *text == ' '; text += length) {
        char key[32], *end;
        size_t name = strcspn(++text, "=");
        length = strcspn(text, " ");
        CHECK(name < sizeof key && name < length);
        snprintf(key, sizeof key, "%.*s", (int)name, text);
        const char *value = text + name + 1;
        size_t size = length - name - 1;
        double number = strtod(value, &end);
        json_object_set_new(words, key,
                            end == value + size && size         ? json_real(number)
                            : strncmp(value, "true", size) == 0 ? json_true()
                                                                : json_stringn(value, size));
    }
    return words;
}

void atlas_side_optimizer(const struct atlas_experiment *experiment, enum meaning meaning,
                          struct optimizer *out)
{
    struct error error;
    json_t *words = optimizer_words(experiment->sides[meaning].optimizer, meaning);
    CHECK(optimizer_from_json(words, out, &error) == 0);
    json_decref(words);
}

static int read_side(const struct experiment_bench *bench, enum meaning meaning,
                     struct trail *trail, struct error *error)
{
    const struct atlas_side *side = &bench->experiment->sides[meaning],
                            *other = &bench->experiment->sides[MEANING_PYTORCH];
    const char *layers = side->layers ? side->layers : other->layers;
    trail->network = (struct network){.rows = bench->rows, .columns = bench->columns};
    atlas_side_optimizer(bench->experiment, meaning, &trail->optimizer);
    return network_parse(layers ? layers : ATLAS_USUAL_LAYERS, &trail->network, error) ||
                   schedule_parse(side->schedule ? side->schedule : "constant", meaning, 0,
                                  &trail->schedule, error)
               ? -1
               : 0;
}

/* --- the data: drawn, and learnable --- */

/* The class whose share of the values is the largest: value i belongs to class i mod classes. */
static uint8_t brightest(const uint8_t *pixels, size_t inputs, uint32_t classes)
{
    double best = -1;
    uint32_t label = 0;
    for (uint32_t class = 0; class < classes; class ++) {
        double sum = 0;
        size_t count = 0;
        for (size_t i = class; i < inputs; i += classes, count++) sum += pixels[i];
        if (count && sum / (double)count > best) {
            best = sum / (double)count;
            label = class;
        }
    }
    return (uint8_t)label;
}

static int draw_samples(struct experiment_bench *bench, struct error *error)
{
    size_t inputs = (size_t)bench->rows * bench->columns;
    struct rng rng;
    rng_seed(&rng, SEED, RNG_TEST, 0);
    bench->split.count = bench->samples;
    bench->split.pixels = calloc(bench->samples, inputs);
    bench->split.labels = calloc(bench->samples, 1);
    if (!bench->split.pixels || !bench->split.labels) return error_set_memory(error, "the samples");
    for (size_t i = 0; i < bench->samples * inputs; i++)
        bench->split.pixels[i] = (uint8_t)rng_below(&rng, 256);
    for (size_t i = 0; i < bench->samples; i++)
        bench->split.labels[i] = brightest(bench->split.pixels + i * inputs, inputs,
                                           bench->classes);
    double scale = bench->experiment->scale > 0 ? bench->experiment->scale : 1;
    bench->preprocess.custom = true;
    for (int code = 0; code < 256; code++)
        bench->preprocess.values[code] = (2 * code / 255.0 - 1) * scale;
    return 0;
}

static int bench_open(const struct atlas_experiment *experiment, const struct engine_ops *ops,
                      struct experiment_bench *bench, struct error *error)
{
    *bench = (struct experiment_bench){
        .experiment = experiment,
        .ops = ops,
        .rows = experiment->rows ? experiment->rows : 2,
        .columns = experiment->columns ? experiment->columns : 2,
        .classes = experiment->classes ? experiment->classes : 3,
        .samples = experiment->samples ? experiment->samples : 24,
        .batch = experiment->batch ? experiment->batch : 8,
    };
    bench->steps = experiment->epochs * fit_steps_per_epoch(bench->samples, bench->batch);
    return draw_samples(bench, error);
}

/* --- the changes --- */

/* The engines compute PyTorch's unbiased variance: what one step moved is taken back to n. */
static void bias_variance(const struct experiment_bench *bench, const struct trail *trail,
                          struct parameters *parameters)
{
    CHECK(bench->steps == 1);
    double n = bench->batch;
    for (size_t t = 0; t < parameters->tensor_count; t++) {
        struct tensor *tensor = &parameters->tensors[t];
        if (tensor->role != ROLE_RUNNING_VARIANCE) continue;
        double kept = 1 - trail->network.layers[tensor->layer].momentum; /* of the first value, 1 */
        for (size_t i = 0; i < tensor->count; i++)
            tensor_set(parameters, tensor, i,
                       kept + (tensor_get(parameters, tensor, i) - kept) * (n - 1) / n);
    }
}

/* The weight of the first dense layer behind a flatten, its inputs read in the order H, W, C. */
static void turn_flatten(const struct experiment_bench *bench, const struct trail *trail,
                         struct parameters *parameters)
{
    (void)bench;
    const struct layer *layers = trail->network.layers;
    uint32_t at = 0;
    while (layers[at].type != LAYER_FLATTEN) at++;
    struct tensor *weight = parameters_find(parameters, at + 1, ROLE_WEIGHT);
    size_t inputs = layers[at].inputs, channels = layers[at].input.sizes[0],
           places = inputs / channels;
    double *row = calloc(inputs, sizeof *row);
    CHECK(row);
    for (size_t unit = 0; unit < weight->shape[0]; unit++) {
        for (size_t i = 0; i < inputs; i++)
            row[i] = tensor_get(parameters, weight, unit * inputs + i);
        for (size_t c = 0; c < channels; c++)
            for (size_t p = 0; p < places; p++)
                tensor_set(parameters, weight, unit * inputs + c * places + p,
                           row[p * channels + c]);
    }
    free(row);
}

/* Every weight of a depthwise kernel is its share: zeros around the picture count. */
static void count_padding(const struct experiment_bench *bench, const struct trail *trail,
                          struct parameters *parameters)
{
    (void)bench;
    for (size_t t = 0; t < parameters->tensor_count; t++) {
        struct tensor *tensor = &parameters->tensors[t];
        const struct layer *layer = &trail->network.layers[tensor->layer];
        if (layer->type != LAYER_CONV2D || layer->groups != layer->filters || layer->groups < 2)
            continue;
        for (size_t i = 0; i < tensor->count; i++)
            tensor_set(parameters, tensor, i, 1.0 / (layer->kernel[0] * layer->kernel[1]));
    }
}

typedef void change_fn(const struct experiment_bench *bench, const struct trail *trail,
                       struct parameters *parameters);
/* To the parameters, before the evaluation. */
static change_fn *const changes[ATLAS_CHANGE_COUNT] = {
    [ATLAS_BIASED_VARIANCE] = bias_variance,
    [ATLAS_CHANNELS_LAST] = turn_flatten,
    [ATLAS_COUNTED_PADDING] = count_padding,
};

static int change_side(const struct experiment_bench *bench, enum meaning meaning,
                       struct trail *trail, struct error *error)
{
    change_fn *change = changes[bench->experiment->sides[meaning].change];
    if (!change) return 0;
    if (engine_get_parameters(trail->engine, trail->parameters, error)) return -1;
    change(bench, trail, trail->parameters);
    return engine_set_parameters(trail->engine, trail->parameters, error);
}

/* What the penalty adds to the loss of a step, of the weights before it. */
static double penalty_of(const struct trail *trail, size_t step)
{
    const double *weights = trail->weights + step * trail->parameters->value_count;
    double sum = 0;
    for (size_t i = 0; i < trail->parameters->value_count; i++) sum += weights[i] * weights[i];
    return trail->optimizer.weight_decay / 2 * sum;
}

/* --- class weights: the losses are the engine's logits', the mean is the meaning's --- */

static void weigh_losses(const struct experiment_bench *bench, enum meaning meaning,
                         struct trail *trail)
{
    const double *weights = bench->experiment->class_weights;
    double losses = 0, weight = 0;
    for (size_t i = 0; i < bench->samples; i++) {
        struct metrics one = {0};
        const uint8_t *label = &bench->split.labels[i];
        metrics_add(&one, trail->logits + i * bench->classes, 1, bench->classes, label);
        losses += weights[*label] * one.loss;
        weight += meaning == MEANING_PYTORCH ? weights[*label] : 1;
        trail->weighted[i] = losses / weight;
    }
}

/* --- training --- */

static int trail_open(const struct experiment_bench *bench, enum meaning meaning,
                      struct trail *trail, struct error *error)
{
    if (read_side(bench, meaning, trail, error) ||
        parameters_create(&trail->network, DTYPE_FLOAT64, &trail->parameters, error))
        return -1;
    const struct engine_config config = {
        .network = trail->network,
        .dtype = DTYPE_FLOAT64,
        .optimizer = trail->optimizer,
        .batch_size = bench->batch,
        .threads = 1,
        .seed = SEED,
        .preprocess = bench->preprocess,
    };
    size_t values = trail->parameters->value_count;
    trail->losses = calloc(bench->steps + 1, sizeof(double));
    trail->rates = calloc(bench->steps + 1, sizeof(double));
    trail->weights = calloc((bench->steps + 1) * values, sizeof(double));
    trail->logits = calloc(bench->samples * bench->classes, sizeof(double));
    trail->weighted = calloc(bench->samples, sizeof(double));
    if (!trail->weighted || !trail->losses || !trail->rates || !trail->weights || !trail->logits)
        return error_set_memory(error, "the experiment");
    parameters_draw(trail->parameters, &trail->network, bench->experiment->sides[meaning].init,
                    SEED);
    memcpy(trail->weights, trail->parameters->values, values * sizeof(double));
    if (engine_open(bench->ops, &config, &trail->engine, error) ||
        engine_attach(trail->engine, &bench->split, error))
        return -1;
    return engine_set_parameters(trail->engine, trail->parameters, error);
}

static int train_side(const struct experiment_bench *bench, struct trail *trail,
                      struct error *error)
{
    size_t each = fit_steps_per_epoch(bench->samples, bench->batch),
           values = trail->parameters->value_count;
    const struct schedule_span span = {trail->optimizer.learning_rate, each,
                                       bench->experiment->epochs};
    const struct schedule_state fresh = {0};
    uint32_t *order = calloc(bench->samples, sizeof *order);
    int status = order ? 0 : error_set_memory(error, "the order of the samples");
    for (size_t step = 0; step < bench->steps && !status; step++) {
        size_t first = step % each * bench->batch, count = bench->samples - first < bench->batch
                                                               ? bench->samples - first
                                                               : bench->batch;
        if (first == 0) fit_order(SEED, (uint32_t)(step / each), order, bench->samples);
        trail->rates[step] = schedule_rate(&trail->schedule, &span, &fresh, step);
        status = wanted_check(error) ||
                         engine_train_at_rates(trail->engine, order + first, count,
                                               &trail->rates[step], &trail->losses[step], NULL,
                                               error) ||
                         engine_get_parameters(trail->engine, trail->parameters, error)
                     ? -1
                     : 0;
        memcpy(trail->weights + (step + 1) * values, trail->parameters->values,
               values * sizeof(double));
    }
    free(order);
    return status;
}

static int run_side(const struct experiment_bench *bench, enum meaning meaning, struct trail *trail,
                    struct error *error)
{
    if (trail_open(bench, meaning, trail, error) || train_side(bench, trail, error) ||
        change_side(bench, meaning, trail, error))
        return -1;
    if (bench->experiment->sides[meaning].change == ATLAS_PENALTY)
        for (size_t step = 0; step < bench->steps; step++)
            trail->losses[step] += penalty_of(trail, step);
    if (engine_forward(trail->engine, bench->split.pixels, bench->samples, trail->logits, error))
        return -1;
    if (bench->experiment->class_weights[0] > 0) weigh_losses(bench, meaning, trail);
    return 0;
}

static void trail_close(struct trail *trail)
{
    engine_close(trail->engine);
    parameters_destroy(trail->parameters);
    free(trail->losses);
    free(trail->rates);
    free(trail->weights);
    free(trail->logits);
    free(trail->weighted);
}

/* --- curves --- */

/* Values of both sides: `count` of them along the curve, `width` curves side by side. */
struct strip {
    const double *sides[MEANING_COUNT];
    size_t count, width;
};

/* Of curve `column`: the largest difference and where it is. */
static double apart_along(const struct strip *strip, size_t column, size_t *at)
{
    double largest = 0;
    *at = 0;
    for (size_t i = 0; i < strip->count; i++) {
        size_t place = i * strip->width + column;
        double difference = fabs(strip->sides[0][place] - strip->sides[1][place]);
        if (!(difference > largest)) continue;
        largest = difference;
        *at = i;
    }
    return largest;
}

/* The curve whose sides part most. The first of those that do so but for rounding: engines choose
 * the same. */
static size_t widest(const struct strip *strip)
{
    size_t best = 0, at;
    double largest = apart_along(strip, 0, &at);
    for (size_t column = 1; column < strip->width; column++) {
        double apart = apart_along(strip, column, &at);
        if (!(apart > largest * (1 + 1e-6) && apart > ATLAS_AGREE)) continue;
        best = column;
        largest = apart;
    }
    return best;
}

static json_t *column_to_json(const struct strip *strip, int side, size_t column)
{
    json_t *values = json_array();
    for (size_t i = 0; i < strip->count; i++)
        json_array_append_new(values, js_real(strip->sides[side][i * strip->width + column]));
    return values;
}

/* "fc1.weight[0, 2]" */
static void name_weight(const struct trail *trail, size_t index, char out[96])
{
    const struct parameters *parameters = trail->parameters;
    size_t t = 0;
    while (index >= parameters->tensors[t].count) index -= parameters->tensors[t++].count;
    const struct tensor *tensor = &parameters->tensors[t];
    size_t columns = tensor->rank > 1 ? tensor->count / tensor->shape[0] : 0;
    if (columns)
        snprintf(out, 96, "%s[%zu, %zu]", tensor->name, index / columns, index % columns);
    else
        snprintf(out, 96, "%s[%zu]", tensor->name, index);
}

static const struct {
    const char *what, *x;
} quantities[ATLAS_QUANTITY_COUNT] = {
    [ATLAS_WEIGHT] = {"weight", "step"},
    [ATLAS_LOSS] = {"loss", "step"},
    [ATLAS_RATE] = {"learning rate", "step"},
    [ATLAS_LOGIT] = {"logit", "sample"},
    [ATLAS_WEIGHTED] = {"weighted loss", "sample"},
};

static json_t *curve_to_json(const struct experiment_bench *bench,
                             const struct trail trails[MEANING_COUNT], enum atlas_quantity quantity)
{
    const struct trail *p = &trails[MEANING_PYTORCH], *k = &trails[MEANING_KERAS];
    const struct strip strips[ATLAS_QUANTITY_COUNT] = {
        [ATLAS_WEIGHT] = {{p->weights, k->weights}, bench->steps + 1, p->parameters->value_count},
        [ATLAS_LOSS] = {{p->losses, k->losses}, bench->steps, 1},
        [ATLAS_RATE] = {{p->rates, k->rates}, bench->steps, 1},
        [ATLAS_LOGIT] = {{p->logits, k->logits}, bench->samples, bench->classes},
        [ATLAS_WEIGHTED] = {{p->weighted, k->weighted}, bench->samples, 1},
    };
    const struct strip *strip = &strips[quantity];
    size_t column = widest(strip), at;
    double largest = apart_along(strip, column, &at);
    char name[96] = "";
    if (quantity == ATLAS_WEIGHT) name_weight(p, column, name);
    if (quantity == ATLAS_LOGIT) snprintf(name, sizeof name, "class %zu", column);
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:f, s:b, s:I}", "what", quantities[quantity].what,
                     "name", name, "x", quantities[quantity].x, "pytorch",
                     column_to_json(strip, MEANING_PYTORCH, column), "keras",
                     column_to_json(strip, MEANING_KERAS, column), "largest", largest, "equal",
                     largest <= ATLAS_AGREE, "at", (json_int_t)at);
}

static bool is_there(const struct experiment_bench *bench, enum atlas_quantity quantity)
{
    const bool there[ATLAS_QUANTITY_COUNT] = {
        [ATLAS_WEIGHT] = bench->steps > 0,
        [ATLAS_LOSS] = bench->steps > 0,
        [ATLAS_RATE] = bench->experiment->sides[0].schedule != NULL,
        [ATLAS_LOGIT] = true,
        [ATLAS_WEIGHTED] = bench->experiment->class_weights[0] > 0,
    };
    return there[quantity];
}

/* The curve that shows the difference first, then the others that there are. */
static json_t *curves_to_json(const struct experiment_bench *bench,
                              const struct trail trails[MEANING_COUNT])
{
    enum atlas_quantity shows = bench->experiment->shows;
    json_t *curves = json_array();
    json_array_append_new(curves, curve_to_json(bench, trails, shows));
    for (enum atlas_quantity quantity = 0; quantity < ATLAS_QUANTITY_COUNT; quantity++) {
        bool there = is_there(bench, quantity);
        if (quantity != shows && there)
            json_array_append_new(curves, curve_to_json(bench, trails, quantity));
    }
    return curves;
}

int atlas_run(const struct atlas_row *row, const struct engine_ops *ops, json_t **out,
              struct error *error)
{
    struct experiment_bench bench = {0};
    struct trail trails[MEANING_COUNT] = {0};
    struct engine_probe probe;
    int status = -1;
    if (!row->experiment)
        return error_set(error, ERROR_INPUT, "row %u has no experiment: %s", row->number,
                         row->without);
    ops->probe(&probe);
    if (bench_open(row->experiment, ops, &bench, error) ||
        run_side(&bench, MEANING_PYTORCH, &trails[MEANING_PYTORCH], error) ||
        run_side(&bench, MEANING_KERAS, &trails[MEANING_KERAS], error))
        goto out;
    *out = json_pack("{s:i, s:s, s:s, s:o}", "row", (int)row->number, "engine", ops->id, "version",
                     probe.version, "curves", curves_to_json(&bench, trails));
    status = *out ? 0 : error_set_memory(error, "the experiment's result");
out:
    for (int i = 0; i < MEANING_COUNT; i++) trail_close(&trails[i]);
    free(bench.split.pixels);
    free(bench.split.labels);
    if (status) error_prefix(error, "row %u of the atlas on %s", row->number, ops->title);
    return status;
}

double atlas_apart(const json_t *one, const json_t *other)
{
    static const char *const sides[] = {"pytorch", "keras"};
    const json_t *ours = json_object_get(one, "curves"), *theirs = json_object_get(other, "curves");
    double largest = 0;
    if (json_array_size(ours) == 0 || json_array_size(ours) != json_array_size(theirs))
        return INFINITY;
    for (size_t c = 0; c < json_array_size(ours); c++)
        for (int s = 0; s < MEANING_COUNT; s++) {
            const json_t *a = json_object_get(json_array_get(ours, c), sides[s]),
                         *b = json_object_get(json_array_get(theirs, c), sides[s]);
            if (json_array_size(a) != json_array_size(b)) return INFINITY;
            for (size_t i = 0; i < json_array_size(a); i++) {
                double difference = fabs(json_number_value(json_array_get(a, i)) -
                                         json_number_value(json_array_get(b, i)));
                if (!(difference <= largest)) largest = difference;
            }
        }
    return largest;
}

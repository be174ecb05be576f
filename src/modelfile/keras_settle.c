/* What only a Keras model's tensors settle: how many filters a depthwise convolution has, and what
 * the layers in front of a model do for which the studio has no layer. A Normalization of every
 * value by its own mean and variance, and a Permute of the picture, are worked into the kernel of
 * the dense layer that takes the values over. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "modelfile/keras_layers.h"

static double value_at(const struct named_tensor *tensor, size_t i)
{
    return tensor->dtype == DTYPE_FLOAT64 ? ((const double *)tensor->values)[i]
                                          : (double)((const float *)tensor->values)[i];
}

static void set_value(const struct named_tensor *tensor, size_t i, double value)
{
    if (tensor->dtype == DTYPE_FLOAT64)
        ((double *)tensor->values)[i] = value;
    else
        ((float *)tensor->values)[i] = (float)value;
}

/* --- depthwise convolution -------------------------------------------------------------------- */

/* Its kernel is [rows, columns, channels, filters of each]. */
static int settle_depthwise(struct layer_source *source, struct error *error)
{
    const struct named_tensor *kernel = source->tensors[ROLE_WEIGHT];
    uint32_t each = source->layer.filters;
    if (!kernel || kernel->rank != 4 || kernel->shape[3] != each || !kernel->shape[2] ||
        kernel->shape[2] > NETWORK_MAX_WIDTH / each)
        return error_set(error, ERROR_INPUT,
                         "the configuration and the weights of the layer \"%.80s\" do not agree: "
                         "the file is damaged",
                         source->name);
    source->layer.groups = (uint32_t)kernel->shape[2];
    source->layer.filters = (uint32_t)kernel->shape[2] * each;
    return 0;
}

/* --- what is worked into a dense layer -------------------------------------------------------- */

/* The dense layer that takes over the values in front of `from`, when it has so many; NULL when
 * something else comes first. */
static struct layer_source *taker_of(struct layer_source *sources, size_t count, size_t from,
                                     size_t inputs)
{
    while (from < count &&
           (sources[from].layer.type == LAYER_FLATTEN || sources[from].layer.type == LAYER_RESCALE))
        from++;
    if (from == count || sources[from].layer.type != LAYER_DENSE) return NULL;
    const struct named_tensor *kernel = sources[from].tensors[ROLE_WEIGHT];
    struct error unused;
    return kernel && kernel->rank == 2 && kernel->shape[0] == inputs &&
                   !source_check_dense(&sources[from], &unused)
               ? &sources[from]
               : NULL;
}

static double deviation(const struct named_tensor *variance, size_t i)
{
    return fmax(sqrt(fmax(value_at(variance, i), 0)), KERAS_LEAST_DEVIATION);
}

/* kernel · (x − mean) / std + bias: a kernel of kernel / std, and a bias less by its sum with the
 * means. */
static void divide_kernel(const struct layer_source *taker, const struct named_tensor *mean,
                          const struct named_tensor *variance)
{
    const struct named_tensor *kernel = taker->tensors[ROLE_WEIGHT],
                              *bias = taker->tensors[ROLE_BIAS];
    for (size_t o = 0, outputs = kernel->shape[1]; o < outputs; o++) {
        double sum = 0;
        for (size_t i = 0; i < kernel->shape[0]; i++) {
            double weight = value_at(kernel, i * outputs + o) / deviation(variance, i);
            set_value(kernel, i * outputs + o, weight);
            sum += weight * value_at(mean, i);
        }
        set_value(bias, o, value_at(bias, o) - sum);
    }
}

/* One number, or one for each channel: the studio's own layer. */
static void take_deviations(struct layer *layer, const struct named_tensor *mean,
                            const struct named_tensor *variance)
{
    for (size_t c = 0; c < 3; c++) {
        size_t place = mean->count > 1 ? c : 0;
        layer->mean[c] = value_at(mean, place);
        layer->std[c] = deviation(variance, place);
    }
}

/* The same numbers for all values of a channel may as well be used before a flatten. */
static void put_first(struct layer_source *sources, size_t index)
{
    struct layer_source layer = sources[index];
    if (!index || sources[index - 1].layer.type != LAYER_FLATTEN) return;
    sources[index] = sources[index - 1];
    sources[index - 1] = layer;
}

static void leave_out(struct layer_source *sources, size_t *count, size_t index)
{
    memmove(sources + index, sources + index + 1, (--*count - index) * sizeof *sources);
}

static int settle_normalization(const struct keras_layer *keras, struct layer_source *sources,
                                size_t *count, size_t index, bool *worked_in, struct error *error)
{
    struct layer_source *source = &sources[index];
    const struct named_tensor *mean = source->tensors[ROLE_RUNNING_MEAN],
                              *variance = source->tensors[ROLE_RUNNING_VARIANCE];
    if (!mean || !variance) {
        put_first(sources, index);
        return 0;
    }
    if (mean->count != variance->count)
        return error_set(error, ERROR_INPUT,
                         "the layer \"%.80s\" has %zu means and %zu variances: the file is damaged",
                         source->name, mean->count, variance->count);
    if (mean->count == 1 || (mean->count == 3 && keras->rank == 3)) {
        take_deviations(&source->layer, mean, variance);
        source->tensors[ROLE_RUNNING_MEAN] = source->tensors[ROLE_RUNNING_VARIANCE] = NULL;
        put_first(sources, index);
        return 0;
    }
    struct layer_source *taker = taker_of(sources, *count, index + 1, mean->count);
    if (!taker || !taker->tensors[ROLE_BIAS])
        return error_set(error, ERROR_INPUT,
                         "the layer \"%.80s\" is a Normalization of %zu values of their own: the "
                         "studio knows one mean, one per color channel, or one per value before "
                         "a Dense layer",
                         source->name, mean->count);
    divide_kernel(taker, mean, variance);
    *worked_in = true;
    leave_out(sources, count, index);
    return 0;
}

/* Where row `index` of the kernel, which counts the turned picture's values, belongs. */
static size_t straight_row(const struct keras_turn *turn, size_t index)
{
    size_t at[3] = {0}, row = 0;
    for (uint32_t d = turn->rank; d-- > 0;) {
        at[turn->order[d]] = index % turn->sizes[turn->order[d]];
        index /= turn->sizes[turn->order[d]];
    }
    for (uint32_t d = 0; d < turn->rank; d++) row = row * turn->sizes[d] + at[d];
    return row;
}

static int settle_turn(const struct keras_turn *turn, struct layer_source *sources, size_t count,
                       struct error *error)
{
    size_t values = 1;
    for (uint32_t d = 0; d < turn->rank; d++) values *= turn->sizes[d];
    struct layer_source *taker = taker_of(sources, count, 0, values);
    if (!taker)
        return error_set(
            error, ERROR_INPUT,
            "the layer \"%.80s\" is a Permute with no Flatten and Dense behind it: the "
            "studio knows it before those",
            turn->name);
    const struct named_tensor *kernel = taker->tensors[ROLE_WEIGHT];
    size_t row = kernel->shape[1] * dtype_size(kernel->dtype);
    char *turned = malloc(kernel->shape[0] * row);
    if (!turned) return error_set_memory(error, "the parameters");
    memcpy(turned, kernel->values, kernel->shape[0] * row);
    for (size_t i = 0; i < kernel->shape[0]; i++)
        memcpy((char *)kernel->values + straight_row(turn, i) * row, turned + i * row, row);
    free(turned);
    return 0;
}

int keras_settle(const struct keras_chain *chain, struct layer_source *sources, size_t *count,
                 bool *worked_in, struct error *error)
{
    *worked_in = chain->turn.name != NULL;
    for (size_t i = 0; i < *count; i++)
        if (sources[i].layer.type == LAYER_CONV2D && !sources[i].layer.groups &&
            settle_depthwise(&sources[i], error))
            return -1;
    /* before the turn: means behind a Permute are in the order of the turned picture, too */
    for (size_t i = 0; i < *count; i++)
        if (sources[i].layer.type == LAYER_NORMALIZE) {
            if (settle_normalization(&chain->layers[i], sources, count, i, worked_in, error))
                return -1;
            break;
        }
    return chain->turn.name ? settle_turn(&chain->turn, sources, *count, error) : 0;
}

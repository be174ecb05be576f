#include "engine/native/model.h"

#include <stdlib.h>
#include <string.h>

#include "base/large.h"
#include "data/preprocess.h"

/* Zeroed, on a cache line. */
static void *numbers(const struct native_model *model, size_t count, bool *failed)
{
    size_t bytes = count * model->kernels->size;
    void *memory = aligned_alloc(NATIVE_LINE, (bytes + NATIVE_LINE) / NATIVE_LINE * NATIVE_LINE);
    if (!memory) {
        *failed = true;
        return NULL;
    }
    return memset(memory, 0, bytes);
}

static size_t padded(const struct native_model *model, size_t count)
{
    size_t line = NATIVE_LINE / model->kernels->size;
    return (count + line - 1) / line * line;
}

void native_model_columns(const struct native_model *model, size_t width, uint32_t part,
                          size_t *from, size_t *to)
{
    size_t line = NATIVE_LINE / model->kernels->size, lines = width / line,
           threads = team_threads(model->team);
    *from = lines * part / threads * line;
    *to = lines * (part + 1) / threads * line;
}

static bool create_scratch(struct native_model *model)
{
    bool failed = false;
    size_t tuples = model->first_rows / model->kernels->tuple,
           width = model->layers[0].output_width;
    if (model->batch_size > BLOCK_ROWS)
        model->kept = numbers(model, model->first_rows * width, &failed);
    for (uint32_t i = 0; i < team_threads(model->team); i++) {
        struct block *block = &model->blocks[i];
        block->entries = large_alloc(tuples * BLOCK_STRIDE * sizeof *block->entries);
        block->counts = calloc(tuples, sizeof *block->counts);
        if (!block->entries || !block->counts) failed = true;
        model->panel_sums[i] = numbers(model, BLOCK_ROWS * model->kernels->panel, &failed);
    }
    return failed;
}

size_t native_model_weights(const struct native_model *model, uint32_t n)
{
    const struct native_layer *layer = &model->layers[n];
    return n == 0 ? model->first_rows * layer->output_width : layer->unit_rows * layer->input_width;
}

void native_table_fill(const struct engine_config *config, union native_table *out)
{
    if (config->dtype == DTYPE_FLOAT32)
        preprocess_fill_f32(&config->preprocess, out->f32);
    else
        preprocess_fill_f64(&config->preprocess, out->f64);
}

int native_model_create(const struct engine_config *config, struct team *team,
                        struct native_model **out, struct error *error)
{
    struct native_model *model = calloc(1, sizeof *model);
    if (!model) return error_set_memory(error, "the network");
    bool failed = false;
    *model = (struct native_model){
        .kernels = native_kernels_choose(config->dtype),
        .team = team,
        .layer_count = config->network.layer_count,
        .optimizer = config->optimizer,
        .fused = optimizer_fused(&config->optimizer) != OPTIMIZER_NOT_FUSED,
        .batch_size = config->batch_size,
        .blocks = calloc(team_threads(team), sizeof *model->blocks),
        .panel_sums = calloc(team_threads(team), sizeof *model->panel_sums),
    };
    size_t tuple = model->kernels->tuple;
    model->first_rows = (network_inputs(&config->network) + tuple - 1) / tuple * tuple;
    for (uint32_t i = 0; i < model->layer_count; i++) {
        const struct layer *from = &config->network.layers[i];
        struct native_layer *layer = &model->layers[i];
        layer->inputs = from->inputs;
        layer->outputs = from->outputs;
        layer->activation = from->activation;
        layer->input_width = padded(model, from->inputs);
        layer->output_width = padded(model, from->outputs);
        layer->unit_rows = ((size_t)from->outputs + NATIVE_COLUMNS - 1) / NATIVE_COLUMNS *
                           NATIVE_COLUMNS;
        size_t weights = native_model_weights(model, i);
        for (uint32_t set = 0; set < 1 + optimizer_slot_count(&model->optimizer); set++) {
            layer->weight[set] = numbers(model, weights, &failed);
            layer->bias[set] = numbers(model, layer->output_width, &failed);
        }
    }
    pace_init(&model->pace, team_threads(team));
    native_table_fill(config, &model->table);
    model->dense = config->preprocess.custom && config->preprocess.values[0] != 0;
    optimizer_formula(&model->optimizer, &model->formula);
    struct error none;
    if (loss_table_create(&config->loss, config->optimizer.meaning,
                          network_classes(&config->network), &model->loss, &none))
        failed = true;
    if (!model->blocks || !model->panel_sums || create_scratch(model)) failed = true;
    if (!model->fused && native_model_sums_begin(model, &none)) failed = true;
    if (failed) {
        native_model_destroy(model);
        return error_set_memory(error, "the network");
    }
    *out = model;
    return 0;
}

static void free_rows(struct native_model *model)
{
    for (uint32_t i = 0; i < model->layer_count; i++) {
        free(model->layers[i].output);
        free(model->layers[i].delta);
        model->layers[i].output = model->layers[i].delta = NULL;
    }
    free(model->losses);
    free(model->correct);
    model->losses = NULL;
    model->correct = NULL;
    model->rows = 0;
}

void native_model_destroy(struct native_model *model)
{
    if (!model) return;
    free_rows(model);
    native_model_trace_end(model);
    for (uint32_t i = 0; i < model->layer_count; i++) {
        for (uint32_t set = 0; set < NATIVE_SETS; set++) {
            free(model->layers[i].weight[set]);
            free(model->layers[i].bias[set]);
        }
        free(model->layers[i].weight_sum[0]);
        free(model->layers[i].bias_sum[0]);
    }
    for (uint32_t i = 0; model->blocks && i < team_threads(model->team); i++) {
        free(model->blocks[i].entries);
        free(model->blocks[i].counts);
    }
    for (uint32_t i = 0; model->panel_sums && i < team_threads(model->team); i++)
        free(model->panel_sums[i]);
    loss_table_destroy(model->loss);
    free(model->blocks);
    free(model->panel_sums);
    free(model->kept);
    free(model);
}

int native_model_reserve(struct native_model *model, size_t rows, struct error *error)
{
    if (rows <= model->rows) return 0;
    bool failed = false;
    free_rows(model);
    for (uint32_t i = 0; i < model->layer_count; i++) {
        model->layers[i].output = numbers(model, rows * model->layers[i].output_width, &failed);
        model->layers[i].delta = numbers(model, rows * model->layers[i].output_width, &failed);
    }
    model->losses = calloc(rows, sizeof *model->losses);
    model->correct = calloc(rows, sizeof *model->correct);
    if (failed || !model->losses || !model->correct) {
        free_rows(model);
        return error_set(error, ERROR_MEMORY,
                         "no memory for batches of %zu: use a smaller batch size", rows);
    }
    model->rows = rows;
    return 0;
}

int native_model_trace_begin(struct native_model *model, struct error *error)
{
    bool failed = false;
    for (uint32_t i = 0; i < model->layer_count; i++) {
        struct native_layer *layer = &model->layers[i];
        size_t weights = native_model_weights(model, i);
        layer->before = numbers(model, model->rows * layer->output_width, &failed);
        layer->weight_gradient = numbers(model, weights, &failed);
        layer->bias_gradient = numbers(model, layer->output_width, &failed);
    }
    if (!failed) return 0;
    native_model_trace_end(model);
    return error_set_memory(error, "the traced step");
}

void native_model_trace_end(struct native_model *model)
{
    for (uint32_t i = 0; i < model->layer_count; i++) {
        struct native_layer *layer = &model->layers[i];
        free(layer->before);
        free(layer->weight_gradient);
        free(layer->bias_gradient);
        layer->before = layer->weight_gradient = layer->bias_gradient = NULL;
    }
}

void native_model_sums_clear(struct native_model *model)
{
    for (uint32_t i = 0; i < model->layer_count; i++) {
        struct native_layer *layer = &model->layers[i];
        memset(layer->weight_sum[0], 0, native_model_weights(model, i) * model->kernels->size);
        memset(layer->bias_sum[0], 0, layer->output_width * model->kernels->size);
    }
}

int native_model_sums_begin(struct native_model *model, struct error *error)
{
    bool failed = false;
    for (uint32_t i = 0; i < model->layer_count; i++) {
        struct native_layer *layer = &model->layers[i];
        if (!layer->weight_sum[0])
            layer->weight_sum[0] = numbers(model, native_model_weights(model, i), &failed);
        if (!layer->bias_sum[0]) layer->bias_sum[0] = numbers(model, layer->output_width, &failed);
    }
    if (failed) return error_set_memory(error, "the gradients");
    native_model_sums_clear(model);
    return 0;
}

void native_model_panel(const struct native_model *model, size_t end, size_t from, size_t *to)
{
    *to = end - from < model->kernels->panel ? end : from + model->kernels->panel;
}

/* Where the weight from input `i` to unit `j` lies. */
static size_t weight_at(const struct native_model *model, uint32_t layer, size_t i, size_t j)
{
    const struct native_layer *l = &model->layers[layer];
    if (layer > 0) return j * l->input_width + i;
    for (uint32_t part = 0;; part++) {
        size_t from, to, end;
        native_model_columns(model, l->output_width, part, &from, &end);
        if (j >= end) continue;
        from += (j - from) / model->kernels->panel * model->kernels->panel;
        native_model_panel(model, end, from, &to);
        return model->first_rows * from + i * (to - from) + (j - from);
    }
}

/* Copies one number of the kernels' size. */
static void move(const struct native_model *model, void *destination, size_t to, const void *source,
                 size_t from)
{
    if (model->kernels->size == sizeof(float))
        ((float *)destination)[to] = ((const float *)source)[from];
    else
        ((double *)destination)[to] = ((const double *)source)[from];
}

static void import_layer(const struct native_model *model, uint32_t n, const void *weight,
                         const void *bias, void *weight_out, void *bias_out)
{
    const struct native_layer *layer = &model->layers[n];
    for (size_t j = 0; j < layer->outputs; j++) {
        size_t at = weight_at(model, n, 0, j), step = weight_at(model, n, 1, j) - at;
        for (size_t i = 0; i < layer->inputs; i++)
            move(model, weight_out, at + i * step, weight, j * layer->inputs + i);
    }
    memcpy(bias_out, bias, layer->outputs * model->kernels->size);
}

void native_model_import(struct native_model *model, const struct parameters *source, uint32_t set)
{
    for (uint32_t n = 0; n < model->layer_count; n++)
        import_layer(model, n, parameters_get(source, n, ROLE_WEIGHT)->values,
                     parameters_get(source, n, ROLE_BIAS)->values, model->layers[n].weight[set],
                     model->layers[n].bias[set]);
}

static void divide(const struct native_model *model, void *values, size_t value_count, double by)
{
    for (size_t i = 0; i < value_count; i++) {
        if (model->kernels->size == sizeof(float))
            ((float *)values)[i] /= (float)by;
        else
            ((double *)values)[i] /= by;
    }
}

void native_model_import_sums(struct native_model *model, const struct parameters *sums,
                              double divisor)
{
    for (uint32_t n = 0; n < model->layer_count; n++) {
        struct native_layer *layer = &model->layers[n];
        import_layer(model, n, parameters_get(sums, n, ROLE_WEIGHT)->values,
                     parameters_get(sums, n, ROLE_BIAS)->values, layer->weight_sum[0],
                     layer->bias_sum[0]);
        divide(model, layer->weight_sum[0], native_model_weights(model, n), divisor);
        divide(model, layer->bias_sum[0], layer->output_width, divisor);
    }
}

void native_model_export_layer(const struct native_model *model, uint32_t n, const void *weight,
                               const void *bias, void *weight_out, void *bias_out)
{
    const struct native_layer *layer = &model->layers[n];
    for (size_t j = 0; j < layer->outputs; j++) {
        size_t at = weight_at(model, n, 0, j), step = weight_at(model, n, 1, j) - at;
        for (size_t i = 0; i < layer->inputs; i++)
            move(model, weight_out, j * layer->inputs + i, weight, at + i * step);
    }
    memcpy(bias_out, bias, layer->outputs * model->kernels->size);
}

void native_model_export(const struct native_model *model, struct parameters *destination,
                         uint32_t set)
{
    for (uint32_t n = 0; n < model->layer_count; n++)
        native_model_export_layer(model, n, model->layers[n].weight[set],
                                  model->layers[n].bias[set],
                                  parameters_find(destination, n, ROLE_WEIGHT)->values,
                                  parameters_find(destination, n, ROLE_BIAS)->values);
}

void native_model_export_sums(const struct native_model *model, struct parameters *sums)
{
    for (uint32_t n = 0; n < model->layer_count; n++)
        native_model_export_layer(model, n, model->layers[n].weight_sum[0],
                                  model->layers[n].bias_sum[0],
                                  parameters_find(sums, n, ROLE_WEIGHT)->values,
                                  parameters_find(sums, n, ROLE_BIAS)->values);
}

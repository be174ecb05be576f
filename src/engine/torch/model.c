#include <stdlib.h>
#include <string.h>

#include "engine/torch/loop.h"

/* A layer's parameters in the studio's order, for the optimizer, with its state of each. */
static void list_parameters(struct torch_model *model, struct torch_layer *module)
{
    uint32_t slot_count = optimizer_slot_count(&model->optimizer);
    for (int role = 0; role < ROLE_COUNT; role++) {
        torch_tensor parameter = module->tensors[role];
        if (!parameter || !tensor_role_is_trained((enum tensor_role)role)) continue;
        for (uint32_t slot = 0; slot < slot_count; slot++)
            model->slots[slot][model->parameter_count] = module->slots[slot][role] =
                torch_zeros_like(model->torch, parameter);
        model->parameters[model->parameter_count++] = parameter;
    }
}

/* PyTorch's own arguments in its meaning, a table of targets in Keras's. */
static int open_loss(struct torch_model *model, const struct engine_config *config,
                     struct error *error)
{
    const struct loss_rules *rules = &config->loss;
    uint32_t classes = network_classes(&config->network);
    const struct shape shape = {1, {classes}};
    if (config->optimizer.meaning == MEANING_PYTORCH) {
        model->smoothing = rules->smoothing;
        if (rules->weighted)
            model->class_weight = torch_constant_from(model->torch, &shape, rules->weights);
        return torch_check(model->torch, error);
    }
    if (loss_table_create(rules, config->optimizer.meaning, classes, &model->targets, error))
        return -1;
    if (!model->targets) return 0;
    model->rows = calloc((size_t)config->batch_size * classes, sizeof(double));
    return model->rows ? 0 : error_set_memory(error, "the loss");
}

int torch_model_open(struct torch_model *model, struct torch_session *torch,
                     const struct engine_config *config, struct error *error)
{
    *model = (struct torch_model){.torch = torch,
                                  .network = config->network,
                                  .optimizer = config->optimizer,
                                  .batch_size = config->batch_size,
                                  .seed = config->seed,
                                  .preprocess = config->preprocess};
    optimizer_formula(&model->optimizer, &model->formula);
    const struct network *network = &model->network;
    const struct layer *first = &network->layers[0];
    model->input = first->type == LAYER_DENSE ? shape_units(first->inputs) : first->input;
    for (uint32_t i = 0; i < network->layer_count; i++) {
        if (torch_layer_create(torch, &model->layers[i], &network->layers[i], i, config->batch_size,
                               error))
            goto fail;
        list_parameters(model, &model->layers[i]);
    }
    if (torch_check(torch, error) ||
        torch_batch_create(&model->batch, config->batch_size, network_inputs(network),
                           torch->float64, &model->preprocess, error))
        goto fail;
    if (open_loss(model, config, error)) goto fail;
    model->logits = calloc((size_t)config->batch_size * network_classes(network),
                           torch->float64 ? sizeof(double) : sizeof(float));
    if (model->logits) return 0;
    error_set_memory(error, "the logits");
fail:
    torch_model_close(model);
    return -1;
}

void torch_model_close(struct torch_model *model)
{
    for (uint32_t i = 0; i < model->network.layer_count; i++)
        torch_layer_destroy(model->torch, &model->layers[i]);
    torch_batch_destroy(&model->batch);
    torch_release(model->torch, model->class_weight);
    loss_table_destroy(model->targets);
    free(model->rows);
    free(model->logits);
    *model = (struct torch_model){0};
}

uint32_t torch_count_correct(struct torch_model *model, torch_tensor logits)
{
    size_t classes = network_classes(&model->network);
    struct shape shape = {2, {(uint32_t)model->batch.count, (uint32_t)classes}};
    torch_read(model->torch, logits, model->logits, &shape);
    return torch_batch_count_correct(&model->batch, model->logits, classes);
}

static torch_tensor find(const struct torch_model *model, int slot, const struct tensor *tensor)
{
    const struct torch_layer *module = &model->layers[tensor->layer];
    torch_tensor value = module->tensors[tensor->role];
    if (slot == TORCH_VALUES) return value;
    if (!tensor_role_is_trained(tensor->role)) return NULL;
    return slot == TORCH_GRADIENTS ? torch_grad(model->torch, value)
                                   : module->slots[slot][tensor->role];
}

static struct shape shape_of(const struct tensor *tensor)
{
    struct shape shape = {.rank = tensor->rank};
    for (uint32_t d = 0; d < tensor->rank; d++) shape.sizes[d] = (uint32_t)tensor->shape[d];
    return shape;
}

int torch_tensors_write(struct torch_model *model, int slot, const struct parameters *source,
                        struct error *error)
{
    for (size_t i = 0; i < source->tensor_count; i++) {
        const struct tensor *tensor = &source->tensors[i];
        torch_tensor destination = find(model, slot, tensor);
        struct shape shape = shape_of(tensor);
        if (destination)
            torch_copy(model->torch, destination, torch_view(model->torch, tensor->values, &shape));
    }
    torch_release_temporaries(model->torch);
    return torch_check(model->torch, error);
}

int torch_tensors_read(struct torch_model *model, int slot, struct parameters *destination,
                       struct error *error)
{
    for (size_t i = 0; i < destination->tensor_count; i++) {
        struct tensor *tensor = &destination->tensors[i];
        torch_tensor source = find(model, slot, tensor);
        struct shape shape = shape_of(tensor);
        if (source)
            torch_read(model->torch, source, tensor->values, &shape);
        else
            memset(tensor->values, 0, tensor->count * dtype_size(destination->dtype));
    }
    torch_release_temporaries(model->torch);
    return torch_check(model->torch, error);
}

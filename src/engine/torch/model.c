#include <stdlib.h>

#include "engine/torch/loop.h"

static size_t columns_of(const struct tensor *tensor)
{
    return tensor->rank == 2 ? tensor->shape[1] : 0;
}

static void create_slots(struct torch_model *model)
{
    uint32_t slot_count = optimizer_slot_count(&model->optimizer);
    for (uint32_t slot = 0; slot < slot_count; slot++)
        for (size_t i = 0; i < model->parameter_count; i++)
            model->slots[slot][i] = torch_zeros_like(model->torch, model->parameters[i]);
}

int torch_model_open(struct torch_model *model, struct torch_session *torch,
                     const struct engine_config *config, struct error *error)
{
    const struct network *network = &config->network;
    size_t batch_size = config->batch_size;
    *model = (struct torch_model){.torch = torch,
                                  .network = *network,
                                  .optimizer = config->optimizer,
                                  .batch_size = batch_size,
                                  .preprocess = config->preprocess};
    torch_create_parameters(model);
    create_slots(model);
    if (torch_check(torch, error) ||
        torch_batch_create(&model->batch, batch_size, network_inputs(network), torch->float64,
                           &model->preprocess, error))
        goto fail;
    model->logits = calloc(batch_size * network_classes(network),
                           torch->float64 ? sizeof(double) : sizeof(float));
    if (model->logits) return 0;
    error_set_memory(error, "the logits");
fail:
    torch_model_close(model);
    return -1;
}

void torch_model_close(struct torch_model *model)
{
    for (size_t i = 0; i < TORCH_MAX_PARAMETERS; i++) {
        torch_release(model->torch, model->parameters[i]);
        for (size_t slot = 0; slot < OPTIMIZER_MAX_SLOTS; slot++)
            torch_release(model->torch, model->slots[slot][i]);
    }
    torch_batch_destroy(&model->batch);
    free(model->logits);
    *model = (struct torch_model){0};
}

uint32_t torch_count_correct(struct torch_model *model, torch_tensor logits)
{
    size_t classes = network_classes(&model->network);
    torch_read(model->torch, logits, model->logits, model->batch.count, classes);
    return torch_batch_count_correct(&model->batch, model->logits, classes);
}

int torch_tensors_write(struct torch_model *model, const torch_tensor *tensors,
                        const struct parameters *source, struct error *error)
{
    for (size_t i = 0; i < source->tensor_count; i++) {
        const struct tensor *tensor = &source->tensors[i];
        torch_copy(model->torch, tensors[i],
                   torch_view(model->torch, tensor->values, tensor->shape[0], columns_of(tensor)));
    }
    torch_release_temporaries(model->torch);
    return torch_check(model->torch, error);
}

int torch_tensors_read(struct torch_model *model, const torch_tensor *tensors,
                       struct parameters *destination, struct error *error)
{
    for (size_t i = 0; i < destination->tensor_count; i++) {
        struct tensor *tensor = &destination->tensors[i];
        torch_read(model->torch, tensors[i], tensor->values, tensor->shape[0], columns_of(tensor));
    }
    torch_release_temporaries(model->torch);
    return torch_check(model->torch, error);
}

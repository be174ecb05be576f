#include <string.h>

#include "base/hash.h"
#include "modelfile/modelfile.h"
#include "modelfile/state_dict.h"

json_t *model_describe_json(const struct model *model)
{
    const struct network *network = &model->network;
    json_t *assumed = model->assumed ? json_incref(model->assumed) : json_array();
    return json_pack(
        "{s:s, s:o, s:I, s:s, s:[I,I], s:b, s:o, s:O*}", "format", model->format, "layers",
        network_layers_to_json(network), "parameters", (json_int_t)network_parameter_count(network),
        "dtype", dtype_name(model->parameters->dtype), "input", (json_int_t)network->rows,
        (json_int_t)network->columns, "activation_known", (int)model_activation_known(model),
        "assumed", assumed, "metadata", model->metadata);
}

bool model_activation_known(const struct model *model)
{
    size_t index;
    json_t *text;
    json_array_foreach(model->assumed, index, text)
        if (strncmp(json_string_value(text), "activation", 10) == 0) return false;
    return true;
}

json_t *model_receipt_json(const struct model *model)
{
    json_t *tensors = json_array();
    for (size_t i = 0; i < model->parameters->tensor_count; i++) {
        const struct tensor *tensor = &model->parameters->tensors[i];
        char digest[HASH_HEX_SIZE];
        hash_bytes(tensor->values, tensor->count * dtype_size(model->parameters->dtype), digest);
        json_array_append_new(tensors, json_pack("{s:s, s:o, s:s}", "name", tensor->name, "shape",
                                                 shape_to_json(tensor->rank, tensor->shape),
                                                 "sha256", digest));
    }
    return tensors;
}

bool model_equal(const struct model *a, const struct model *b)
{
    const struct parameters *x = a->parameters, *y = b->parameters;
    return network_alike(&a->network, &b->network) && x->dtype == y->dtype &&
           x->value_count == y->value_count &&
           memcmp(x->values, y->values, x->value_count * dtype_size(x->dtype)) == 0;
}

/* A network's numbers: one block of memory, cut into named tensors in PyTorch's layout.
 *
 * Layer i (from 1) has "fc{i}.weight" [outputs, inputs] and "fc{i}.bias" [outputs], in that order,
 * row-major. The same
 * shape holds gradients and optimizer state. */
#ifndef NNSTUDIO_NET_PARAMETERS_H
#define NNSTUDIO_NET_PARAMETERS_H

#include "net/network.h"

enum dtype { DTYPE_FLOAT32, DTYPE_FLOAT64 };

const char *dtype_name(enum dtype dtype); /* "float32", "float64" */
int dtype_parse(const char *name, enum dtype *out, struct error *error);
size_t dtype_size(enum dtype dtype); /* bytes a value */

struct tensor {
    char name[48];
    uint32_t rank;
    size_t shape[4];
    size_t count; /* product of shape */
    void *values; /* within the parameters' block; float or double by dtype */
};

struct parameters {
    enum dtype dtype;
    size_t tensor_count;
    struct tensor tensors[2 * NETWORK_MAX_LAYERS];
    size_t value_count;
    void *values; /* owned; 64-byte aligned; the tensors one after another */
};

/* All zero. The caller destroys it; NULL is fine there. */
int parameters_create(const struct network *network, enum dtype dtype, struct parameters **out,
                      struct error *error);
void parameters_destroy(struct parameters *parameters);
/* A copy of `source` in another or the same dtype. */
int parameters_convert(const struct parameters *source, const struct network *network,
                       enum dtype dtype, struct parameters **out, struct error *error);
/* Same dtype and shapes: copies the values. */
void parameters_copy(struct parameters *destination, const struct parameters *source);
/* One value of a tensor as a double. */
double tensor_get(const struct parameters *parameters, const struct tensor *tensor, size_t index);
void tensor_set(struct parameters *parameters, struct tensor *tensor, size_t index, double value);
/* True when every value is finite. */
bool parameters_finite(const struct parameters *parameters);

/* Initial values. Drawn as float32 and widened, so that float32 and float64 runs start from the
 * same numbers.
 *   torch: weight and bias uniform in ±1/sqrt(inputs) (torch.nn.Linear.reset_parameters:
 *   kaiming_uniform with a=sqrt(5))
 *   keras: weight uniform in ±sqrt(6/(inputs+outputs)) (glorot_uniform), bias zero */
enum init_scheme { INIT_TORCH, INIT_KERAS };
const char *init_scheme_name(enum init_scheme scheme); /* "torch", "keras" */
int init_scheme_parse(const char *name, enum init_scheme *out, struct error *error);
void parameters_draw(struct parameters *parameters, const struct network *network,
                     enum init_scheme scheme, uint64_t seed);

#endif

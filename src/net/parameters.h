/* A network's numbers: one block of memory, cut into named tensors in PyTorch's layout.
 *
 * Every layer's tensors follow one another in the order of its row in net/layer.h: weight, bias,
 * buffers; each is row-major and named as PyTorch's module would name it, "fc1.weight" [outputs,
 * inputs], "conv1.weight" [filters, channels, rows, columns]. They are found by layer and role,
 * never by position. The same form holds gradients and optimizer state. */
#ifndef NNSTUDIO_NET_PARAMETERS_H
#define NNSTUDIO_NET_PARAMETERS_H

#include "net/network.h"

enum dtype { DTYPE_FLOAT32, DTYPE_FLOAT64 };

const char *dtype_name(enum dtype dtype); /* "float32", "float64" */
int dtype_parse(const char *name, enum dtype *out, struct error *error);
size_t dtype_size(enum dtype dtype); /* bytes per value */

#define PARAMETERS_MAX_TENSORS (NETWORK_MAX_LAYERS * LAYER_MAX_TENSORS)

struct tensor {
    char name[48];         /* "fc1.weight" */
    uint32_t layer;        /* index of the layer it belongs to */
    enum tensor_role role; /* what it is there */
    uint32_t rank;
    size_t shape[4];
    size_t count; /* product of shape */
    void *values; /* within the parameters' block; float or double by dtype */
};

/* Whether two shapes are the same. */
bool shapes_equal(uint32_t rank, const size_t *shape, uint32_t other_rank, const size_t *other);
bool tensors_shaped_alike(const struct tensor *a, const struct tensor *b);

struct parameters {
    enum dtype dtype;
    size_t tensor_count;
    struct tensor tensors[PARAMETERS_MAX_TENSORS];
    size_t value_count;
    void *values; /* owned; 64-byte aligned; the tensors one after another */
};

/* All zero. The caller destroys it; NULL is fine there. */
int parameters_create(const struct network *network, enum dtype dtype, struct parameters **out,
                      struct error *error);
void parameters_destroy(struct parameters *parameters);
/* The tensor of a layer in a role; NULL when the layer has none. The second form is for reading. */
struct tensor *parameters_find(struct parameters *parameters, uint32_t layer,
                               enum tensor_role role);
const struct tensor *parameters_get(const struct parameters *parameters, uint32_t layer,
                                    enum tensor_role role);
/* The largest number of values that any tensor of the network has, or that any layer puts out for
 * `samples` samples: the room that showing them one after another takes. */
size_t network_largest_tensor(const struct network *network, size_t samples);
/* A copy of `source` in another or the same dtype. */
int parameters_convert(const struct parameters *source, const struct network *network,
                       enum dtype dtype, struct parameters **out, struct error *error);
/* 0 when `parameters` are of this network and dtype, every tensor by its name and shape; else -1
 * with ERROR_INPUT and the first difference. */
int parameters_check(const struct parameters *parameters, const struct network *network,
                     enum dtype dtype, struct error *error);
/* Same dtype and shapes: copies the values. */
void parameters_copy(struct parameters *destination, const struct parameters *source);
/* Same dtype and shapes: adds the values of `other`. */
void parameters_add(struct parameters *sum, const struct parameters *other);
void parameters_multiply(struct parameters *parameters, double factor);
/* One value of a tensor as a double. */
double tensor_get(const struct parameters *parameters, const struct tensor *tensor, size_t index);
void tensor_set(struct parameters *parameters, struct tensor *tensor, size_t index, double value);
/* What the layers' l1 and l2 add to the loss: l1 · Σ|w| + l2 · Σw² of each one's weight. */
double parameters_penalty(const struct parameters *parameters, const struct network *network);
/* The same's gradient, `factor` times, added to those of the same dtype and shapes. */
void parameters_add_penalty(const struct parameters *parameters, const struct network *network,
                            double factor, struct parameters *gradients);
/* True when every value is finite. */
bool parameters_finite(const struct parameters *parameters);

/* Initial values. Drawn as float32 and widened, so that float32 and float64 runs start from the
 * same numbers.
 *   torch: weight and bias uniform in ±1/sqrt(fan in) (torch.nn.Linear and Conv2d,
 *          reset_parameters: kaiming_uniform with a = sqrt(5))
 *   keras: weight uniform in ±sqrt(6/(fan in + fan out)) (glorot_uniform), bias zero
 * Normalizations begin with weight 1, bias 0, mean 0 and variance 1 in both. */
enum init_scheme { INIT_TORCH, INIT_KERAS };
const char *init_scheme_name(enum init_scheme scheme); /* "torch", "keras" */
void parameters_draw(struct parameters *parameters, const struct network *network,
                     enum init_scheme scheme, uint64_t seed);

#endif

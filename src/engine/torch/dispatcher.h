/* Calls to PyTorch's operators that read like PyTorch.
 *
 * Ownership: a function borrows the tensors it is given; a tensor it returns is a temporary of the
 * session, freed by
 * torch_release_temporaries(), unless the function says "the caller releases it".
 *
 * Errors: the first failure is kept in the session; from then on every call does nothing and
 * returns NULL, so that a
 * training step needs one check at its end, torch_check(). */
#ifndef NNSTUDIO_ENGINE_TORCH_DISPATCHER_H
#define NNSTUDIO_ENGINE_TORCH_DISPATCHER_H

#include "engine/torch/library.h"
#include "net/optimizer.h"

#define TORCH_MAX_TEMPORARIES 1024
#define TORCH_MAX_PARAMETERS  (2 * NETWORK_MAX_LAYERS)

struct torch_session {
    const struct torch_library *library;
    /* of weights and pictures: libtorch's number for float32 or float64 */
    int32_t dtype;
    int32_t device_type, device_index; /* where weights and batches live */
    bool float64;
    bool grad_enabled;
    bool failed;
    struct error error;     /* the first failure */
    torch_tensor undefined; /* Python's None, as a tensor */
    size_t temporary_count;
    torch_tensor temporaries[TORCH_MAX_TEMPORARIES];
};

/* `device` is "cpu" or "cuda:N". Nothing is left behind on failure. */
int torch_session_open(struct torch_session *session, const struct torch_library *library,
                       bool float64, const char *device, struct error *error);
void torch_session_close(struct torch_session *session);
/* 0, or -1 with the first failure since the last check, which is then forgotten. */
int torch_check(struct torch_session *session, struct error *error);
void torch_release_temporaries(struct torch_session *session);

/* How a matrix lies in memory. Its shape and its values do not depend on it, the speed of products
 * does. */
enum torch_layout { TORCH_BY_ROWS, TORCH_BY_COLUMNS };

/* nn.Parameter: zeros [rows, columns] (columns 0: [rows]) in the session's dtype on its device, a
 * leaf that autograd computes
 * gradients for; the caller releases it. */
torch_tensor torch_parameter(struct torch_session *session, size_t rows, size_t columns,
                             enum torch_layout layout);
/* Zeros that are no parameter, of the same shape and lying the same way; the caller releases it. */
torch_tensor torch_zeros_like(struct torch_session *session, torch_tensor tensor);
void torch_release(struct torch_session *session, torch_tensor tensor); /* NULL is fine */

/* A tensor over the caller's memory, on the CPU, without a copy. `columns` 0: [rows]. */
torch_tensor torch_view(struct torch_session *session, void *values, size_t rows, size_t columns);
torch_tensor torch_view_int64(struct torch_session *session, int64_t *values, size_t rows);
/* The tensor itself on the CPU, a copy on another device. */
torch_tensor torch_to_device(struct torch_session *session, torch_tensor tensor, size_t rows,
                             size_t columns);
torch_tensor torch_to_device_int64(struct torch_session *session, torch_tensor tensor, size_t rows);
void torch_copy(struct torch_session *session, torch_tensor destination, torch_tensor source);
/* A tensor's values into the caller's memory, row-major, in the session's dtype. */
void torch_read(struct torch_session *session, torch_tensor tensor, void *values, size_t rows,
                size_t columns);
/* The same as doubles, whatever the session's dtype. */
void torch_read_f64(struct torch_session *session, torch_tensor tensor, double *values, size_t rows,
                    size_t columns);
double torch_item(struct torch_session *session, torch_tensor scalar);

/* Operators. torch_apply: one of a tensor, by name: "aten::relu". */
torch_tensor torch_linear(struct torch_session *session, torch_tensor input, torch_tensor weight,
                          torch_tensor bias);
torch_tensor torch_apply(struct torch_session *session, const char *op, torch_tensor input);
torch_tensor torch_softmax(struct torch_session *session, torch_tensor logits);
/* the mean */
torch_tensor torch_cross_entropy(struct torch_session *session, torch_tensor logits,
                                 torch_tensor labels);
/* reduction="sum" */
torch_tensor torch_cross_entropy_sum(struct torch_session *session, torch_tensor logits,
                                     torch_tensor labels);
/* tensor.div_(number), of a tensor in the session's dtype on its device */
void torch_divide(struct torch_session *session, torch_tensor tensor, double number);

/* Autograd. Recording is on or off for the calling thread; what changes values in place is never
 * recorded. */
void torch_enable_grad(struct torch_session *session, bool enabled);
void torch_backward(struct torch_session *session, torch_tensor loss);
/* parameter.grad: borrowed from the parameter, valid until its gradient is cleared. */
torch_tensor torch_grad(struct torch_session *session, torch_tensor parameter);
/* parameter.grad = gradient, which lies as the parameter does; the caller keeps its reference. */
void torch_set_grad(struct torch_session *session, torch_tensor parameter, torch_tensor gradient);
/* parameter.grad = None */
void torch_clear_grad(struct torch_session *session, torch_tensor parameter);

/* The kernels of torch.optim.SGD(fused=True) and torch.optim.Adam(fused=True), on all parameters
 * and their gradients at
 * once. The state lies as its parameter does. `velocities` are looked at only with momentum;
 * `step` counts from 1. */
void torch_sgd(struct torch_session *session, const struct optimizer *optimizer, size_t count,
               const torch_tensor *parameters, const torch_tensor *velocities);
void torch_adam(struct torch_session *session, const struct optimizer *optimizer, size_t count,
                const torch_tensor *parameters, const torch_tensor *means,
                const torch_tensor *squares, uint64_t step);

#endif

/* Calls to PyTorch's operators that read like PyTorch.
 *
 * Ownership: a function borrows the tensors it is given; a tensor it returns is a temporary of the
 * session, freed by torch_release_temporaries(), unless the function says "the caller releases it".
 *
 * Errors: the first failure is kept in the session; from then on every call does nothing and
 * returns NULL, so that a training step needs one check at its end, torch_check(). */
#ifndef NNSTUDIO_ENGINE_TORCH_DISPATCHER_H
#define NNSTUDIO_ENGINE_TORCH_DISPATCHER_H

#include "engine/torch/library.h"
#include "net/optimizer.h"
#include "net/shape.h"

#define TORCH_MAX_TEMPORARIES 2048
#define TORCH_MAX_PARAMETERS  PARAMETERS_MAX_TENSORS

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
/* Those made since session->temporary_count was `mark`. */
void torch_release_temporaries_since(struct torch_session *session, size_t mark);

/* How a matrix lies in memory. Its shape and its values do not depend on it, the speed of products
 * does. */
enum torch_layout { TORCH_BY_ROWS, TORCH_BY_COLUMNS };

/* nn.Parameter: zeros in the session's dtype on its device, a leaf that autograd computes gradients
 * for; the caller releases it. Only a matrix can lie by columns. */
torch_tensor torch_parameter(struct torch_session *session, const struct shape *shape,
                             enum torch_layout layout);
/* register_buffer: zeros that are no parameter; the caller releases it. */
torch_tensor torch_buffer(struct torch_session *session, const struct shape *shape);
/* A buffer whose values are all `number`; shape NULL: a scalar. The caller releases it. */
torch_tensor torch_constant(struct torch_session *session, const struct shape *shape,
                            double number);
/* A scalar in the session's dtype, on its device: a temporary. */
torch_tensor torch_scalar(struct torch_session *session, double number);
/* One with these values, row-major. */
torch_tensor torch_constant_from(struct torch_session *session, const struct shape *shape,
                                 const double *values);
/* Zeros that are no parameter, of the same shape and lying the same way; the caller releases it. */
torch_tensor torch_zeros_like(struct torch_session *session, torch_tensor tensor);
void torch_release(struct torch_session *session, torch_tensor tensor); /* NULL is fine */

/* A tensor over the caller's memory, row-major, on the CPU, without a copy. */
torch_tensor torch_view(struct torch_session *session, void *values, const struct shape *shape);
torch_tensor torch_view_int64(struct torch_session *session, int64_t *values, size_t count);
/* The tensor itself on the CPU, a copy on another device. */
torch_tensor torch_to_device(struct torch_session *session, torch_tensor tensor,
                             const struct shape *shape);
torch_tensor torch_to_device_int64(struct torch_session *session, torch_tensor tensor,
                                   size_t count);
void torch_copy(struct torch_session *session, torch_tensor destination, torch_tensor source);
/* A tensor's values into the caller's memory, row-major, in the session's dtype. */
void torch_read(struct torch_session *session, torch_tensor tensor, void *values,
                const struct shape *shape);
/* The same as doubles, whatever the session's dtype. */
void torch_read_f64(struct torch_session *session, torch_tensor tensor, double *values,
                    const struct shape *shape);
double torch_item(struct torch_session *session, torch_tensor scalar);

/* Operators, named as ATen's. torch_apply: one of a tensor, by name: "aten::relu";
 * torch_apply_both: one of two, "aten::mul" with the overload "Tensor". `bias`, `weight` NULL:
 * None. */
torch_tensor torch_linear(struct torch_session *session, torch_tensor input, torch_tensor weight,
                          torch_tensor bias);
torch_tensor torch_apply_both(struct torch_session *session, const char *op, const char *overload,
                              torch_tensor a, torch_tensor b);
torch_tensor torch_where(struct torch_session *session, torch_tensor condition, torch_tensor yes,
                         torch_tensor no);
torch_tensor torch_gelu(struct torch_session *session, torch_tensor input, const char *approximate);
/* The same `padding` on both sides, rows then columns. */
torch_tensor torch_conv2d(struct torch_session *session, torch_tensor input, torch_tensor weight,
                          torch_tensor bias, const uint32_t stride[2], const uint32_t padding[2],
                          const uint32_t dilation[2], uint32_t groups);
torch_tensor torch_max_pool2d(struct torch_session *session, torch_tensor input,
                              const uint32_t size[2], const uint32_t stride[2],
                              const uint32_t padding[2]);
/* count_include_pad=False */
torch_tensor torch_avg_pool2d(struct torch_session *session, torch_tensor input,
                              const uint32_t size[2], const uint32_t stride[2],
                              const uint32_t padding[2]);
/* adaptive_avg_pool2d to 1 × 1 */
torch_tensor torch_global_avg_pool2d(struct torch_session *session, torch_tensor input);
/* Rows above and below, columns left and right, filled with `value`. */
torch_tensor torch_pad(struct torch_session *session, torch_tensor input,
                       const uint32_t padding[PAD_SIDES], double value);
torch_tensor torch_flatten(struct torch_session *session,
                           torch_tensor input); /* all but the batch */
/* Training: by the batch's mean and variance, and the running ones take a share `momentum` of them
 * (the variance's unbiased), in place. Otherwise by the running ones. */
struct torch_batch_norm {
    torch_tensor weight, bias, running_mean, running_variance; /* NULL: none */
    bool training;
    double momentum, epsilon;
};
torch_tensor torch_batch_norm(struct torch_session *session, torch_tensor input,
                              const struct torch_batch_norm *norm);
/* Over the last dimensions, which have the sizes of `normalized`. */
torch_tensor torch_layer_norm(struct torch_session *session, torch_tensor input,
                              const struct shape *normalized, torch_tensor weight,
                              torch_tensor bias, double epsilon);
torch_tensor torch_apply(struct torch_session *session, const char *op, torch_tensor input);
torch_tensor torch_sum(struct torch_session *session, torch_tensor input); /* of all values */
torch_tensor torch_softmax(struct torch_session *session, torch_tensor logits);
/* F.cross_entropy(): the mean, or reduction="sum". `target`: labels, or a row of shares for every
 * sample; `weight` by class, NULL: None. */
torch_tensor torch_cross_entropy(struct torch_session *session, torch_tensor logits,
                                 torch_tensor target, torch_tensor weight, double smoothing,
                                 bool sum);
/* tensor += factor · a · b; `factor` has one value, [1]. */
void torch_add_product(struct torch_session *session, torch_tensor tensor, torch_tensor a,
                       torch_tensor b, torch_tensor factor);
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

/* The kernels of torch.optim.SGD(fused=True), Adam and AdamW, on all parameters and their gradients
 * at once. The state lies as its parameter does: `slots` are the optimizer's (net/optimizer.h);
 * `step` counts from 1. Adam and AdamW: in either meaning. */
typedef const torch_tensor torch_slots[TORCH_MAX_PARAMETERS];
void torch_sgd(struct torch_session *session, const struct optimizer *optimizer, size_t count,
               const torch_tensor *parameters, torch_slots *slots);
void torch_adam(struct torch_session *session, const struct optimizer *optimizer, size_t count,
                const torch_tensor *parameters, torch_slots *slots, uint64_t step);

#endif

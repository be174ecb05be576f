#include "engine/torch/dispatcher.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A stack's word for each kind of argument (torch/csrc/stable/stableivalue_conversions.h). A tensor
 * or a list in the stack is consumed by the call, so one that is kept goes in as a new
 * reference. */
typedef uint64_t value;
#define NONE ((value)0)

static value from_int(int64_t number)
{
    return (value)number;
}

static value from_double(double number)
{
    value word;
    memcpy(&word, &number, sizeof word);
    return word;
}

static void fail(struct torch_session *session, const char *what)
{
    if (session->failed) return;
    session->failed = true;
    const char *text = session->library->last_error ? session->library->last_error()
                                                    : "see its words on standard error";
    int line = (int)strcspn(text, "\n"); /* the first line says it; what follows is a trace */
    error_set(&session->error, ERROR_FAILED, "PyTorch failed in %s%s%.*s", what, line ? ": " : "",
              line, text);
}

/* Every library call passes here: `status` is its result. */
static bool succeed(struct torch_session *session, int32_t status, const char *what)
{
    if (status) fail(session, what);
    return !session->failed;
}

static value from_tensor(struct torch_session *session, torch_tensor tensor)
{
    torch_tensor reference = NULL;
    if (!session->failed)
        succeed(session, session->library->new_handle(tensor, &reference), "a tensor reference");
    return (value)(uintptr_t)reference;
}

/* The call that gets the stack takes the box over, as it does everything on the stack. */
static value from_optional(struct torch_session *session, value content)
{
    uint64_t *box = NULL;
    succeed(session, session->library->new_optional(&box), "an optional argument");
    if (box) *box = content;
    return (value)(uintptr_t)box;
}

static value from_tensors(struct torch_session *session, const torch_tensor *tensors, size_t count)
{
    torch_list list = NULL;
    if (session->failed || !succeed(session, session->library->list_new(count, &list), "a list"))
        return NONE;
    for (size_t i = 0; i < count; i++)
        succeed(session, session->library->list_push(list, from_tensor(session, tensors[i])),
                "a list");
    return (value)(uintptr_t)list;
}

static value from_optional_tensor(struct torch_session *session, torch_tensor tensor)
{
    return tensor && !session->failed ? from_optional(session, from_tensor(session, tensor)) : NONE;
}

static value from_ints(struct torch_session *session, const uint32_t *numbers, size_t count)
{
    torch_list list = NULL;
    if (session->failed || !succeed(session, session->library->list_new(count, &list), "a list"))
        return NONE;
    for (size_t i = 0; i < count; i++)
        succeed(session, session->library->list_push(list, from_int(numbers[i])), "a list");
    return (value)(uintptr_t)list;
}

static value from_string(struct torch_session *session, const char *text)
{
    torch_string string = NULL;
    if (session->failed) return NONE;
    succeed(session, session->library->string_new(text, strlen(text), &string), "a string");
    return (value)(uintptr_t)string;
}

static bool call(struct torch_session *session, const char *op, const char *overload, value *stack)
{
    if (session->failed) return false;
    return succeed(session, session->library->call(op, overload, stack, session->library->version),
                   op);
}

/* Takes a new handle over as a temporary. */
static torch_tensor keep_temporary(struct torch_session *session, torch_tensor tensor)
{
    CHECK(session->temporary_count < TORCH_MAX_TEMPORARIES);
    return session->temporaries[session->temporary_count++] = tensor;
}

static torch_tensor call_for_tensor(struct torch_session *session, const char *op,
                                    const char *overload, value *stack)
{
    if (!call(session, op, overload, stack)) return NULL;
    return keep_temporary(session, (torch_tensor)(uintptr_t)stack[0]);
}

int torch_session_open(struct torch_session *session, const struct torch_library *library,
                       bool float64, const char *device, struct error *error)
{
    *session = (struct torch_session){.library = library, .float64 = float64};
    session->dtype = float64 ? library->dtype_float64() : library->dtype_float32();
    session->device_type = library->device_type_cpu();
    session->device_index = -1;
    int index;
    if (sscanf(device, "cuda:%d", &index) == 1) {
        session->device_type = library->device_type_cuda();
        session->device_index = index;
    }
    succeed(session, library->new_undefined(&session->undefined), "set-up");
    return torch_check(session, error);
}

void torch_session_close(struct torch_session *session)
{
    if (!session->library) return;
    torch_release_temporaries(session);
    torch_release(session, session->undefined);
    *session = (struct torch_session){0};
}

int torch_check(struct torch_session *session, struct error *error)
{
    if (!session->failed) return 0;
    *error = session->error;
    session->failed = false;
    return -1;
}

void torch_release(struct torch_session *session, torch_tensor tensor)
{
    if (tensor) session->library->delete_handle(tensor);
}

void torch_release_temporaries(struct torch_session *session)
{
    torch_release_temporaries_since(session, 0);
}

void torch_release_temporaries_since(struct torch_session *session, size_t mark)
{
    while (session->temporary_count > mark)
        torch_release(session, session->temporaries[--session->temporary_count]);
}

/* ---- tensors --------------------------------------------------------------------------------- */

struct extents {
    int64_t rank, sizes[SHAPE_MAX_RANK], strides[SHAPE_MAX_RANK];
};

/* Row-major. */
static struct extents extents_of(const struct shape *shape)
{
    struct extents extents = {.rank = shape->rank};
    int64_t stride = 1;
    for (uint32_t d = shape->rank; d-- > 0;) {
        extents.sizes[d] = shape->sizes[d];
        extents.strides[d] = stride;
        stride *= shape->sizes[d];
    }
    return extents;
}

static struct extents extents_of_list(size_t count)
{
    return (struct extents){.rank = 1, .sizes = {(int64_t)count}, .strides = {1}};
}

static torch_tensor view(struct torch_session *session, void *values, struct extents shape,
                         int32_t dtype)
{
    torch_tensor tensor = NULL;
    if (session->failed) return NULL;
    int32_t status = session->library->from_blob(values, shape.rank, shape.sizes, shape.strides, 0,
                                                 dtype, session->library->device_type_cpu(), -1,
                                                 &tensor);
    return succeed(session, status, "a tensor over memory") ? keep_temporary(session, tensor)
                                                            : NULL;
}

static torch_tensor empty(struct torch_session *session, struct extents shape, int32_t dtype)
{
    torch_tensor tensor = NULL;
    if (session->failed) return NULL;
    int32_t status = session->library->empty_strided(shape.rank, shape.sizes, shape.strides, dtype,
                                                     session->device_type, session->device_index,
                                                     &tensor);
    return succeed(session, status, "a new tensor") ? tensor : NULL;
}

static torch_tensor zeros(struct torch_session *session, struct extents extents)
{
    torch_tensor tensor = empty(session, extents, session->dtype);
    if (tensor) succeed(session, session->library->zero(tensor), "zeros");
    return tensor;
}

torch_tensor torch_parameter(struct torch_session *session, const struct shape *shape,
                             enum torch_layout layout)
{
    struct extents extents = extents_of(shape);
    if (shape->rank == 2 && layout == TORCH_BY_COLUMNS)
        extents.strides[0] = 1, extents.strides[1] = extents.sizes[0];
    torch_tensor tensor = zeros(session, extents);
    if (tensor && !session->failed)
        succeed(session, session->library->set_requires_grad(tensor, true), "requires_grad_");
    return tensor;
}

torch_tensor torch_buffer(struct torch_session *session, const struct shape *shape)
{
    return zeros(session, extents_of(shape));
}

/* copy_ rounds doubles to the tensor's dtype, and stretches a scalar over the whole tensor. */
static torch_tensor constant(struct torch_session *session, struct extents extents,
                             const double *values, struct extents given)
{
    torch_tensor tensor = empty(session, extents, session->dtype);
    torch_copy(
        session, tensor,
        view(session, (double *)(uintptr_t)values, given, session->library->dtype_float64()));
    return tensor;
}

torch_tensor torch_constant(struct torch_session *session, const struct shape *shape, double number)
{
    const struct extents scalar = {.rank = 0};
    return constant(session, shape ? extents_of(shape) : scalar, &number, scalar);
}

torch_tensor torch_scalar(struct torch_session *session, double number)
{
    torch_tensor scalar = torch_constant(session, NULL, number);
    return scalar ? keep_temporary(session, scalar) : NULL;
}

torch_tensor torch_constant_from(struct torch_session *session, const struct shape *shape,
                                 const double *values)
{
    return constant(session, extents_of(shape), values, extents_of(shape));
}

torch_tensor torch_view(struct torch_session *session, void *values, const struct shape *shape)
{
    return view(session, values, extents_of(shape), session->dtype);
}

torch_tensor torch_view_int64(struct torch_session *session, int64_t *values, size_t count)
{
    return view(session, values, extents_of_list(count), session->library->dtype_int64());
}

static torch_tensor to_device(struct torch_session *session, torch_tensor tensor,
                              struct extents shape, int32_t dtype)
{
    if (session->failed || session->device_index < 0) return tensor;
    torch_tensor there = empty(session, shape, dtype);
    if (!there) return NULL;
    torch_copy(session, there, tensor);
    return keep_temporary(session, there);
}

torch_tensor torch_to_device(struct torch_session *session, torch_tensor tensor,
                             const struct shape *shape)
{
    return to_device(session, tensor, extents_of(shape), session->dtype);
}

torch_tensor torch_to_device_int64(struct torch_session *session, torch_tensor tensor, size_t count)
{
    return to_device(session, tensor, extents_of_list(count), session->library->dtype_int64());
}

void torch_copy(struct torch_session *session, torch_tensor destination, torch_tensor source)
{
    if (session->failed) return;
    session->library->set_grad_mode(false);
    succeed(session, session->library->copy(destination, source, 0), "aten::copy_");
    session->library->set_grad_mode(session->grad_enabled);
}

void torch_read(struct torch_session *session, torch_tensor tensor, void *values,
                const struct shape *shape)
{
    torch_copy(session, torch_view(session, values, shape), tensor);
}

void torch_read_f64(struct torch_session *session, torch_tensor tensor, double *values,
                    const struct shape *shape)
{
    /* copy_ converts from the tensor's own dtype and device. */
    torch_copy(session, view(session, values, extents_of(shape), session->library->dtype_float64()),
               tensor);
}

double torch_item(struct torch_session *session, torch_tensor scalar)
{
    double wide = 0;
    float narrow = 0;
    if (session->failed) return 0;
    if (session->float64) {
        succeed(session, session->library->item_float64(scalar, &wide), "aten::item");
        return wide;
    }
    succeed(session, session->library->item_float32(scalar, &narrow), "aten::item");
    return (double)narrow;
}

/* ---- operators ------------------------------------------------------------------------------- */

torch_tensor torch_linear(struct torch_session *session, torch_tensor input, torch_tensor weight,
                          torch_tensor bias)
{
    if (session->failed) return NULL;
    value stack[] = {from_tensor(session, input), from_tensor(session, weight),
                     from_optional_tensor(session, bias)};
    return call_for_tensor(session, "aten::linear", "", stack);
}

torch_tensor torch_apply(struct torch_session *session, const char *op, torch_tensor input)
{
    value stack[] = {from_tensor(session, input)};
    return call_for_tensor(session, op, "", stack);
}

torch_tensor torch_sum(struct torch_session *session, torch_tensor input)
{
    value stack[] = {from_tensor(session, input), NONE};
    return call_for_tensor(session, "aten::sum", "", stack);
}

torch_tensor torch_apply_both(struct torch_session *session, const char *op, const char *overload,
                              torch_tensor a, torch_tensor b)
{
    value stack[] = {from_tensor(session, a), from_tensor(session, b)};
    return call_for_tensor(session, op, overload, stack);
}

torch_tensor torch_where(struct torch_session *session, torch_tensor condition, torch_tensor yes,
                         torch_tensor no)
{
    value stack[] = {from_tensor(session, condition), from_tensor(session, yes),
                     from_tensor(session, no)};
    return call_for_tensor(session, "aten::where", "self", stack);
}

torch_tensor torch_gelu(struct torch_session *session, torch_tensor input, const char *approximate)
{
    value stack[] = {from_tensor(session, input), from_string(session, approximate)};
    return call_for_tensor(session, "aten::gelu", "", stack);
}

torch_tensor torch_conv2d(struct torch_session *session, torch_tensor input, torch_tensor weight,
                          torch_tensor bias, const uint32_t stride[2], const uint32_t padding[2],
                          const uint32_t dilation[2], uint32_t groups)
{
    value stack[] = {from_tensor(session, input),
                     from_tensor(session, weight),
                     from_optional_tensor(session, bias),
                     from_ints(session, stride, 2),
                     from_ints(session, padding, 2),
                     from_ints(session, dilation, 2),
                     from_int(groups)};
    return call_for_tensor(session, "aten::conv2d", "", stack);
}

torch_tensor torch_max_pool2d(struct torch_session *session, torch_tensor input,
                              const uint32_t size[2], const uint32_t stride[2],
                              const uint32_t padding[2])
{
    value stack[] = {from_tensor(session, input),
                     from_ints(session, size, 2),
                     from_ints(session, stride, 2),
                     from_ints(session, padding, 2),
                     from_ints(session, (uint32_t[]){1, 1}, 2), /* dilation */
                     from_int(false)};                          /* ceil_mode */
    return call_for_tensor(session, "aten::max_pool2d", "", stack);
}

torch_tensor torch_avg_pool2d(struct torch_session *session, torch_tensor input,
                              const uint32_t size[2], const uint32_t stride[2],
                              const uint32_t padding[2])
{
    value stack[] = {from_tensor(session, input),
                     from_ints(session, size, 2),
                     from_ints(session, stride, 2),
                     from_ints(session, padding, 2),
                     from_int(false), /* ceil_mode */
                     from_int(false), /* count_include_pad */
                     NONE};           /* divisor_override */
    return call_for_tensor(session, "aten::avg_pool2d", "", stack);
}

torch_tensor torch_global_avg_pool2d(struct torch_session *session, torch_tensor input)
{
    value stack[] = {from_tensor(session, input), from_ints(session, (uint32_t[]){1, 1}, 2)};
    return call_for_tensor(session, "aten::adaptive_avg_pool2d", "", stack);
}

torch_tensor torch_pad(struct torch_session *session, torch_tensor input,
                       const uint32_t padding[PAD_SIDES], double fill)
{
    /* from the last dimension backwards */
    const uint32_t sides[] = {padding[PAD_LEFT], padding[PAD_RIGHT], padding[PAD_TOP],
                              padding[PAD_BOTTOM]};
    if (session->failed) return NULL;
    value stack[] = {from_tensor(session, input), from_ints(session, sides, PAD_SIDES),
                     from_string(session, "constant"), from_optional(session, from_double(fill))};
    return call_for_tensor(session, "aten::pad", "", stack);
}

torch_tensor torch_flatten(struct torch_session *session, torch_tensor input)
{
    value stack[] = {from_tensor(session, input), from_int(1), from_int(-1)};
    return call_for_tensor(session, "aten::flatten", "using_ints", stack);
}

torch_tensor torch_batch_norm(struct torch_session *session, torch_tensor input,
                              const struct torch_batch_norm *norm)
{
    value stack[] = {from_tensor(session, input),
                     from_optional_tensor(session, norm->weight),
                     from_optional_tensor(session, norm->bias),
                     from_optional_tensor(session, norm->running_mean),
                     from_optional_tensor(session, norm->running_variance),
                     from_int(norm->training),
                     from_double(norm->momentum),
                     from_double(norm->epsilon),
                     from_int(true)}; /* cudnn_enabled */
    return call_for_tensor(session, "aten::batch_norm", "", stack);
}

torch_tensor torch_layer_norm(struct torch_session *session, torch_tensor input,
                              const struct shape *normalized, torch_tensor weight,
                              torch_tensor bias, double epsilon)
{
    value stack[] = {from_tensor(session, input),
                     from_ints(session, normalized->sizes, normalized->rank),
                     from_optional_tensor(session, weight),
                     from_optional_tensor(session, bias),
                     from_double(epsilon),
                     from_int(true)}; /* cudnn_enable */
    return call_for_tensor(session, "aten::layer_norm", "", stack);
}

torch_tensor torch_zeros_like(struct torch_session *session, torch_tensor tensor)
{
    if (session->failed) return NULL;
    /* dtype, layout, device, … : its own */
    value stack[] = {from_tensor(session, tensor), NONE, NONE, NONE, NONE, NONE};
    return call(session, "aten::zeros_like", "", stack) ? (torch_tensor)(uintptr_t)stack[0] : NULL;
}

torch_tensor torch_softmax(struct torch_session *session, torch_tensor logits)
{
    value stack[] = {from_tensor(session, logits), from_int(-1), NONE};
    return call_for_tensor(session, "aten::softmax", "int", stack);
}

/* at::Reduction */
enum { REDUCTION_MEAN = 1, REDUCTION_SUM = 2 };

torch_tensor torch_cross_entropy(struct torch_session *session, torch_tensor logits,
                                 torch_tensor target, torch_tensor weight, double smoothing,
                                 bool sum)
{
    enum { IGNORE_INDEX = -100 };
    value stack[] = {from_tensor(session, logits),
                     from_tensor(session, target),
                     from_optional_tensor(session, weight),
                     from_int(sum ? REDUCTION_SUM : REDUCTION_MEAN),
                     from_int(IGNORE_INDEX),
                     from_double(smoothing)};
    return call_for_tensor(session, "aten::cross_entropy_loss", "", stack);
}

void torch_add_product(struct torch_session *session, torch_tensor tensor, torch_tensor a,
                       torch_tensor b, torch_tensor factor)
{
    value stack[] = {from_tensors(session, &tensor, 1), from_tensors(session, &a, 1),
                     from_tensors(session, &b, 1), from_tensor(session, factor)};
    call(session, "aten::_foreach_addcmul_", "Tensor", stack);
}

/* The stable ABI passes no Scalars yet: the number goes as a tensor. */
void torch_divide(struct torch_session *session, torch_tensor tensor, double number)
{
    float narrow = (float)number;
    void *place = session->float64 ? (void *)&number : &narrow;
    const struct shape one = {1, {1}};
    torch_tensor by = torch_to_device(session, torch_view(session, place, &one), &one);
    value stack[] = {from_tensor(session, tensor), from_tensor(session, by)};
    call_for_tensor(session, "aten::div_", "Tensor", stack);
}

/* ---- autograd -------------------------------------------------------------------------------- */

void torch_enable_grad(struct torch_session *session, bool enabled)
{
    session->grad_enabled = enabled;
    session->library->set_grad_mode(enabled);
}

void torch_backward(struct torch_session *session, torch_tensor loss)
{
    /* inputs []: every leaf; gradient None: 1; retain_graph None; create_graph False */
    value stack[] = {from_tensor(session, loss), from_tensors(session, NULL, 0), NONE, NONE,
                     from_int(false)};
    call(session, "aten::_backward", "", stack);
}

torch_tensor torch_grad(struct torch_session *session, torch_tensor parameter)
{
    /* A handle is an at::Tensor, whose only member is the pointer to its TensorImpl. */
    void *tensor_impl = *(void **)(void *)parameter;
    return session->library->grad_slot(tensor_impl);
}

void torch_set_grad(struct torch_session *session, torch_tensor parameter, torch_tensor gradient)
{
    if (session->failed) return;
    succeed(session, session->library->assign(gradient, torch_grad(session, parameter)),
            "setting a gradient");
}

void torch_clear_grad(struct torch_session *session, torch_tensor parameter)
{
    if (session->failed) return;
    succeed(session, session->library->assign(session->undefined, torch_grad(session, parameter)),
            "zero_grad");
}

/* ---- optimizers
 * ------------------------------------------------------------------------------------------------
 */

/* The fused kernels go through memory in order, and copy what does not lie so. They compute every
 * element by itself, so a matrix that lies by columns is shown to them transposed: a view, in
 * order. */
static bool lies_by_columns(struct torch_session *session, torch_tensor tensor)
{
    int64_t rank = 0, step_down = 0, step_right = 0;
    if (session->failed ||
        !succeed(session, session->library->rank(tensor, &rank), "a tensor's rank") || rank != 2)
        return false;
    succeed(session, session->library->stride(tensor, 0, &step_down), "a tensor's stride");
    succeed(session, session->library->stride(tensor, 1, &step_right), "a tensor's stride");
    return step_down == 1 && step_right > 1;
}

/* What one call of a fused kernel works on: a matrix's gradient and state lie as it does (autograd
 * sees to the former). */
struct update {
    bool recording; /* what autograd did before */
    size_t count;
    bool transposed[TORCH_MAX_PARAMETERS];
};

static value from_matching(struct torch_session *session, const struct update *update,
                           const torch_tensor *tensors)
{
    torch_tensor list[TORCH_MAX_PARAMETERS];
    for (size_t i = 0; i < update->count; i++)
        list[i] = update->transposed[i] ? torch_apply(session, "aten::t", tensors[i]) : tensors[i];
    return from_tensors(session, list, update->count);
}

static value from_gradients(struct torch_session *session, const struct update *update,
                            const torch_tensor *parameters)
{
    torch_tensor gradients[TORCH_MAX_PARAMETERS];
    for (size_t i = 0; i < update->count; i++) gradients[i] = torch_grad(session, parameters[i]);
    return from_matching(session, update, gradients);
}

/* Parameters are changed in place: under no_grad, from here to update_end(). */
static struct update update_begin(struct torch_session *session, const torch_tensor *parameters,
                                  size_t count)
{
    struct update update = {.recording = session->grad_enabled, .count = count};
    torch_enable_grad(session, false);
    for (size_t i = 0; i < count; i++)
        update.transposed[i] = lies_by_columns(session, parameters[i]);
    return update;
}

static void update_end(struct torch_session *session, const struct update *update, const char *op,
                       value *stack)
{
    call(session, op, "", stack);
    torch_enable_grad(session, update->recording);
}

void torch_sgd(struct torch_session *session, const struct optimizer *optimizer, size_t count,
               const torch_tensor *parameters, torch_slots *slots)
{
    if (session->failed) return;
    struct update update = update_begin(session, parameters, count);
    value stack[] = {
        from_matching(session, &update, parameters),
        from_gradients(session, &update, parameters),
        optimizer->momentum != 0 ? from_matching(session, &update, slots[0])
                                 : from_tensors(session, NULL, 0),
        from_double(optimizer->weight_decay),
        from_double(optimizer->momentum),
        from_double(optimizer->learning_rate),
        from_double(0.0), /* dampening */
        from_int(optimizer->nesterov),
        from_int(false), /* maximize */
        from_int(false), /* is_first_step: with velocities of zero it is a step like any other */
        NONE,            /* grad_scale */
        NONE,            /* found_inf */
    };
    update_end(session, &update, "aten::_fused_sgd_", stack);
}

/* The kernel wants the step as one float32 scalar a parameter, there where the parameters are. */
static value from_step(struct torch_session *session, uint64_t step, size_t count)
{
    float number = (float)step;
    const struct extents scalar = {.rank = 0};
    int32_t dtype = session->library->dtype_float32();
    torch_tensor there = empty(session, scalar, dtype), steps[TORCH_MAX_PARAMETERS];
    torch_copy(session, there, view(session, &number, scalar, dtype));
    for (size_t i = 0; i < count; i++) steps[i] = there;
    value list = from_tensors(session, steps, count);
    torch_release(session, there);
    return list;
}

/* Keras adds epsilon to the root before the bias correction, the kernel after it. */
static double adam_epsilon(const struct optimizer *o, uint64_t step)
{
    return o->meaning == MEANING_KERAS ? o->epsilon / sqrt(1 - pow(o->beta2, (double)step))
                                       : o->epsilon;
}

void torch_adam(struct torch_session *session, const struct optimizer *optimizer, size_t count,
                const torch_tensor *parameters, torch_slots *slots, uint64_t step)
{
    if (session->failed) return;
    bool decoupled = optimizer->type == OPTIMIZER_ADAMW || optimizer->meaning == MEANING_KERAS;
    struct update update = update_begin(session, parameters, count);
    value stack[] = {
        from_matching(session, &update, parameters),
        from_gradients(session, &update, parameters),
        from_matching(session, &update, slots[0]),
        from_matching(session, &update, slots[1]),
        optimizer->amsgrad ? from_matching(session, &update, slots[2])
                           : from_tensors(session, NULL, 0), /* max_exp_avg_sqs */
        from_step(session, step, count),
        from_double(optimizer->learning_rate),
        from_double(optimizer->beta1),
        from_double(optimizer->beta2),
        from_double(optimizer->weight_decay),
        from_double(adam_epsilon(optimizer, step)),
        from_int(optimizer->amsgrad),
        from_int(false), /* maximize */
        NONE,            /* grad_scale */
        NONE,            /* found_inf */
    };
    update_end(session, &update, decoupled ? "aten::_fused_adamw_" : "aten::_fused_adam_", stack);
}

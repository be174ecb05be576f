/* libtorch, loaded at run time through its stable C ABI: the few functions used, found in one
 * table.
 *
 * Declared as in torch/csrc/stable/c/shim.h and torch/csrc/inductor/aoti_torch/c/shim.h of the
 * PyTorch wheel, whose names and meaning PyTorch keeps from 2.10 on. Every function that returns
 * int32_t returns 0 for success. */
#ifndef NNSTUDIO_ENGINE_TORCH_LIBRARY_H
#define NNSTUDIO_ENGINE_TORCH_LIBRARY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define TORCH_OLDEST_MAJOR 2
#define TORCH_OLDEST_MINOR 10

/* AtenTensorHandle: an at::Tensor on the heap, one counted reference */
typedef struct at_tensor *torch_tensor;
typedef struct at_list *torch_list;     /* StableListHandle */
typedef struct at_string *torch_string; /* StringHandle */

struct torch_library {
    uint64_t (*abi_version)(void);
    int32_t (*dtype_float32)(void);
    int32_t (*dtype_float64)(void);
    int32_t (*dtype_int64)(void);
    int32_t (*device_type_cpu)(void);
    int32_t (*device_type_cuda)(void);

    int32_t (*from_blob)(void *data, int64_t rank, const int64_t *sizes, const int64_t *strides,
                         int64_t offset, int32_t dtype, int32_t device_type, int32_t device_index,
                         torch_tensor *out);
    int32_t (*empty_strided)(int64_t rank, const int64_t *sizes, const int64_t *strides,
                             int32_t dtype, int32_t device_type, int32_t device_index,
                             torch_tensor *out);
    int32_t (*new_undefined)(torch_tensor *out);
    /* another reference to the same tensor */
    int32_t (*new_handle)(torch_tensor tensor, torch_tensor *out);
    int32_t (*delete_handle)(torch_tensor tensor);
    /* destination becomes the same tensor as source */
    int32_t (*assign)(torch_tensor source, torch_tensor destination);
    int32_t (*copy)(torch_tensor destination, torch_tensor source, int32_t non_blocking);
    int32_t (*zero)(torch_tensor tensor);
    int32_t (*rank)(torch_tensor tensor, int64_t *out);
    int32_t (*stride)(torch_tensor tensor, int64_t dimension, int64_t *out);
    int32_t (*item_float32)(torch_tensor tensor, float *out);
    int32_t (*item_float64)(torch_tensor tensor, double *out);

    int32_t (*set_requires_grad)(torch_tensor tensor, bool requires_grad);
    void (*set_grad_mode)(bool enabled); /* of the calling thread */
    /* c10::TensorImpl::mutable_grad(): the address of a tensor's .grad, itself an at::Tensor and so
     * usable as a borrowed handle. The stable ABI has no getter; libc10 exports this one under its
     * C++ name. */
    torch_tensor (*grad_slot)(void *tensor_impl);

    int32_t (*list_new)(size_t capacity, torch_list *out);
    int32_t (*list_push)(torch_list list, uint64_t element);
    int32_t (*list_delete)(torch_list list);
    int32_t (*string_new)(const char *text, size_t length, torch_string *out);

    int32_t (*call)(const char *op, const char *overload, uint64_t *stack, uint64_t build_version);
    /* the box of an optional argument; before 2.13 the library has none to give, and malloc()
     * serves */
    int32_t (*new_optional)(uint64_t **out);
    const char *(*last_error)(void); /* NULL before 2.13 */

    uint64_t version; /* abi_version(): major << 56 | minor << 48 | patch << 40 */
};

/* Loads the library once a process and keeps it: PyTorch cannot be unloaded. `path` is
 * libtorch_cpu.so; with `cuda` the libtorch_cuda.so beside it is loaded too. `threads` holds for
 * the first load. */
int torch_library_load(const char *path, bool cuda, uint32_t threads,
                       const struct torch_library **out, struct error *error);

#endif

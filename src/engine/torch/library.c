#include "engine/torch/library.h"

#include <dlfcn.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"

static const struct symbol {
    const char *name;
    size_t offset; /* of the pointer within struct torch_library */
    bool optional;
    /* clang-format off */
} symbols[] = {
#define NEEDED(member, symbol) {symbol, offsetof(struct torch_library, member), false}
#define OPTIONAL(member, symbol) {symbol, offsetof(struct torch_library, member), true}
    NEEDED(abi_version, "aoti_torch_abi_version"),
    NEEDED(call, "torch_call_dispatcher"),
    NEEDED(list_new, "torch_new_list_reserve_size"),
    NEEDED(list_push, "torch_list_push_back"),
    NEEDED(list_delete, "torch_delete_list"),
    NEEDED(string_new, "torch_new_string_handle"),
    NEEDED(set_requires_grad, "torch_set_requires_grad"),
    NEEDED(dtype_float32, "aoti_torch_dtype_float32"),
    NEEDED(dtype_float64, "aoti_torch_dtype_float64"),
    NEEDED(dtype_int64, "aoti_torch_dtype_int64"),
    NEEDED(device_type_cpu, "aoti_torch_device_type_cpu"),
    NEEDED(device_type_cuda, "aoti_torch_device_type_cuda"),
    NEEDED(from_blob, "aoti_torch_create_tensor_from_blob"),
    NEEDED(empty_strided, "aoti_torch_empty_strided"),
    NEEDED(new_undefined, "aoti_torch_new_uninitialized_tensor"),
    NEEDED(new_handle, "aoti_torch_new_tensor_handle"),
    NEEDED(delete_handle, "aoti_torch_delete_tensor_object"),
    NEEDED(assign, "aoti_torch_assign_tensors"),
    NEEDED(copy, "aoti_torch_copy_"),
    NEEDED(zero, "aoti_torch_zero_"),
    NEEDED(rank, "aoti_torch_get_dim"),
    NEEDED(stride, "aoti_torch_get_stride"),
    NEEDED(item_float32, "aoti_torch_item_float32"),
    NEEDED(item_float64, "aoti_torch_item_float64"),
    NEEDED(set_grad_mode, "aoti_torch_grad_mode_set_enabled"),
    NEEDED(grad_slot, "_ZN3c1010TensorImpl12mutable_gradEv"),
    OPTIONAL(new_optional, "torch_new_stable_ivalue"),
    OPTIONAL(last_error, "torch_exception_get_what_without_backtrace"),
#undef NEEDED
#undef OPTIONAL
};
/* clang-format on */

/* The library frees it like one of its own, with free(). */
static int32_t new_optional(uint64_t **out)
{
    *out = malloc(sizeof **out);
    return *out ? 0 : -1;
}

static int find_symbols(void *handle, const char *path, struct torch_library *library,
                        struct error *error)
{
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        void *address = dlsym(handle, symbols[i].name);
        if (!address && !symbols[i].optional)
            return error_set(error, ERROR_UNAVAILABLE,
                             "PyTorch at %s lacks %s: version %d.%d or newer is needed (pip "
                             "install --upgrade torch)",
                             path, symbols[i].name, TORCH_OLDEST_MAJOR, TORCH_OLDEST_MINOR);
        memcpy((char *)library + symbols[i].offset, &address, sizeof address);
    }
    if (!library->new_optional) library->new_optional = new_optional;
    library->version = library->abi_version();
    uint64_t oldest = (uint64_t)TORCH_OLDEST_MAJOR << 56 | (uint64_t)TORCH_OLDEST_MINOR << 48;
    if (library->version < oldest)
        return error_set(error, ERROR_UNAVAILABLE,
                         "PyTorch at %s is too old: version %d.%d or newer is needed (pip install "
                         "--upgrade torch)",
                         path, TORCH_OLDEST_MAJOR, TORCH_OLDEST_MINOR);
    return 0;
}

static void *open_library(const char *path, struct error *error)
{
    void *handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
    if (!handle) error_set(error, ERROR_UNAVAILABLE, "PyTorch cannot be loaded: %s", dlerror());
    return handle;
}

/* OpenMP and MKL read these when they are loaded, and at no other time. */
static int set_threads(uint32_t threads, struct error *error)
{
    char count[16];
    snprintf(count, sizeof count, "%u", threads);
    if (setenv("OMP_NUM_THREADS", count, 1) || setenv("MKL_NUM_THREADS", count, 1))
        return error_set_memory(error, "the environment");
    return 0;
}

static int open_cuda(const char *cpu_path, struct error *error)
{
    char path[PATH_MAX];
    int folder = (int)(path_base(cpu_path) - cpu_path);
    snprintf(path, sizeof path, "%.*slibtorch_cuda.so", folder, cpu_path);
    return open_library(path, error) ? 0 : -1;
}

int torch_library_load(const char *path, bool cuda, uint32_t threads,
                       const struct torch_library **out, struct error *error)
{
    static struct torch_library library;
    static bool loaded, cuda_loaded;
    if (!loaded) {
        if (set_threads(threads, error)) return -1;
        void *handle = open_library(path, error);
        if (!handle) return -1;
        /* stays mapped: unloading a PyTorch is not safe */
        if (find_symbols(handle, path, &library, error)) return -1;
        loaded = true;
    }
    if (cuda && !cuda_loaded) {
        if (open_cuda(path, error)) return -1;
        cuda_loaded = true;
    }
    *out = &library;
    return 0;
}

/* What a pickle may name. All of it is data: a "call" here makes a value and does nothing else. */
#include <stdlib.h>
#include <string.h>

#include "modelfile/pickle.h"

static const struct pickle_value *argument(const struct pickle_value *arguments, size_t index)
{
    return index < arguments->items.count ? arguments->items.values[index] : NULL;
}

static bool is_kind(const struct pickle_value *value, enum pickle_kind kind)
{
    return value && value->kind == kind;
}

static int read_size(const struct pickle_value *value, size_t *out)
{
    if (!is_kind(value, PICKLE_INTEGER) || value->integer < 0) return -1;
    *out = (size_t)value->integer;
    return 0;
}

static int call_opaque(struct pickle *pickle, const struct pickle_value *arguments,
                       struct pickle_value **out, struct error *error)
{
    (void)arguments;
    return pickle_new(pickle, PICKLE_OPAQUE, out, error);
}

/* What dicts of other kinds are made of does not matter: their items are set afterwards. */
static int call_other_dict(struct pickle *pickle, const struct pickle_value *arguments,
                           struct pickle_value **out, struct error *error)
{
    (void)arguments;
    return pickle_new(pickle, PICKLE_DICT, out, error);
}

static int call_quantized(struct pickle *pickle, const struct pickle_value *arguments,
                          struct pickle_value **out, struct error *error)
{
    (void)pickle;
    (void)arguments;
    (void)out;
    return error_set(error, ERROR_INPUT,
                     "it holds quantized tensors: save the state dict of the model before it is "
                     "quantized");
}

static int call_set(struct pickle *pickle, const struct pickle_value *arguments,
                    struct pickle_value **out, struct error *error)
{
    (void)arguments;
    return pickle_new(pickle, PICKLE_LIST, out, error);
}

/* Python 3 writes an OrderedDict as an empty one, then sets its items. */
static int call_dict(struct pickle *pickle, const struct pickle_value *arguments,
                     struct pickle_value **out, struct error *error)
{
    if (arguments->items.count)
        return error_set(error, ERROR_INPUT,
                         "an OrderedDict is made of something odd: the file is damaged");
    return pickle_new(pickle, PICKLE_DICT, out, error);
}

/* A Parameter is its tensor. */
static int call_parameter(struct pickle *pickle, const struct pickle_value *arguments,
                          struct pickle_value **out, struct error *error)
{
    (void)pickle;
    if (!is_kind(argument(arguments, 0), PICKLE_TENSOR))
        return error_set(error, ERROR_INPUT, "a Parameter is made of no tensor");
    *out = arguments->items.values[0];
    return 0;
}

/* _rebuild_tensor_v2(storage, offset, size, strides, requires_grad, backward_hooks[, metadata]) */
static int call_tensor(struct pickle *pickle, const struct pickle_value *arguments,
                       struct pickle_value **out, struct error *error)
{
    const struct pickle_value *storage = argument(arguments, 0), *shape = argument(arguments, 2),
                              *strides = argument(arguments, 3);
    struct pickle_tensor tensor = {0};
    if (!is_kind(storage, PICKLE_STORAGE) || read_size(argument(arguments, 1), &tensor.offset) ||
        !is_kind(shape, PICKLE_TUPLE) || !is_kind(strides, PICKLE_TUPLE) ||
        shape->items.count != strides->items.count)
        return error_set(error, ERROR_INPUT, "a tensor is described wrongly: the file is damaged");
    if (shape->items.count > STATE_DICT_MAX_RANK)
        return error_set(error, ERROR_INPUT, "a tensor has more than %d dimensions",
                         STATE_DICT_MAX_RANK);
    tensor.rank = (uint32_t)shape->items.count;
    for (uint32_t d = 0; d < tensor.rank; d++)
        if (read_size(shape->items.values[d], &tensor.shape[d]) ||
            read_size(strides->items.values[d], &tensor.strides[d]))
            return error_set(error, ERROR_INPUT,
                             "a tensor is described wrongly: the file is damaged");
    tensor.storage = &storage->storage;
    if (pickle_new(pickle, PICKLE_TENSOR, out, error)) return -1;
    (*out)->tensor = tensor;
    return 0;
}

static const struct pickle_global globals[] = {
    {"collections", "OrderedDict", call_dict},
    {"torch._utils", "_rebuild_tensor", call_tensor},
    {"torch._utils", "_rebuild_tensor_v2", call_tensor},
    {"torch._utils", "_rebuild_parameter", call_parameter},
    {"torch._utils", "_rebuild_parameter_with_state", call_parameter},
    {"torch", "Size", call_opaque},
    {"torch", "device", call_opaque},
    {"builtins", "set", call_set},
    {"__builtin__", "set", call_set},
    /* how protocol 2 writes bytes: stands for them, encodes nothing */
    {"_codecs", "encode", call_opaque},
    {"torch._utils", "_rebuild_qtensor", call_quantized},
    /* what training scripts keep beside the weights */
    {"collections", "defaultdict", call_other_dict},
    {"collections", "Counter", call_other_dict},
    {"collections", "deque", call_set},
    {"numpy.core.multiarray", "scalar", call_opaque},
    {"numpy._core.multiarray", "scalar", call_opaque},
    {"numpy.core.multiarray", "_reconstruct", call_opaque},
    {"numpy._core.multiarray", "_reconstruct", call_opaque},
    {"numpy._core.numeric", "_frombuffer", call_opaque},
    {"numpy.core.numeric", "_frombuffer", call_opaque},
    {"numpy", "dtype", call_opaque},
    {"numpy", "ndarray", NULL},
    {"argparse", "Namespace", call_opaque},
    {"types", "SimpleNamespace", call_opaque},
    {"datetime", "datetime", call_opaque},
    {"datetime", "date", call_opaque},
    {"datetime", "timedelta", call_opaque},
    {"pathlib", "PosixPath", call_opaque},
    {"pathlib", "PurePosixPath", call_opaque},
    {"pathlib", "WindowsPath", call_opaque},
    {"pathlib._local", "PosixPath", call_opaque},
    {"copy_reg", "_reconstructor", call_opaque},
    {"copyreg", "_reconstructor", call_opaque},
    {"builtins", "list", NULL}, /* a defaultdict's factory */
    {"builtins", "dict", NULL},
    {"builtins", "int", NULL},
    {"builtins", "float", NULL},
    {"builtins", "object", NULL},
    {"__builtin__", "list", NULL},
    {"__builtin__", "dict", NULL},
    {"__builtin__", "int", NULL},
    {"__builtin__", "float", NULL},
    {"__builtin__", "object", NULL},
    {"torch", "float32", NULL},
    {"torch", "float64", NULL},
    {"torch", "float16", NULL},
    {"torch", "bfloat16", NULL},
    {"torch", "int64", NULL},
    {"torch", "int32", NULL},
    {"torch", "uint8", NULL},
    {"torch", "bool", NULL},
    {"torch", "FloatStorage", NULL},
    {"torch", "DoubleStorage", NULL},
    {"torch", "HalfStorage", NULL},
    {"torch", "BFloat16Storage", NULL},
    {"torch", "LongStorage", NULL},
    {"torch", "IntStorage", NULL},
    {"torch", "ShortStorage", NULL},
    {"torch", "CharStorage", NULL},
    {"torch", "ByteStorage", NULL},
    {"torch", "BoolStorage", NULL},
};

const struct pickle_global *pickle_global_find(const char *module, const char *name)
{
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
        if (strcmp(globals[i].module, module) == 0 && strcmp(globals[i].name, name) == 0)
            return &globals[i];
    return NULL;
}

bool pickle_module_runs(const char *module)
{
    static const char *const running[] = {
        "os",     "posix",     "nt",      "sys",      "subprocess", "builtins",  "__builtin__",
        "runpy",  "importlib", "socket",  "shutil",   "ctypes",     "pty",       "webbrowser",
        "code",   "codeop",    "pdb",     "timeit",   "operator",   "functools", "multiprocessing",
        "pickle", "_pickle",   "marshal", "tempfile", "urllib",     "http",      "asyncio",
    };
    size_t length = strcspn(module, ".");
    for (size_t i = 0; i < sizeof running / sizeof *running; i++)
        if (strlen(running[i]) == length && memcmp(running[i], module, length) == 0) return true;
    return false;
}

static const struct {
    const char *type;
    bool floating;
    size_t size; /* bytes of a value */
    enum stored_type stored;
} storages[] = {
    {"FloatStorage", true, 4, STORED_FLOAT32},
    {"DoubleStorage", true, 8, STORED_FLOAT64},
    {"HalfStorage", true, 2, STORED_FLOAT16},
    {"BFloat16Storage", true, 2, STORED_BFLOAT16},
    {"LongStorage", false, 8, 0},
    {"IntStorage", false, 4, 0},
    {"ShortStorage", false, 2, 0},
    {"CharStorage", false, 1, 0},
    {"ByteStorage", false, 1, 0},
    {"BoolStorage", false, 1, 0},
};

int pickle_make_storage(struct pickle *pickle, const struct pickle_value *id,
                        struct pickle_value **out, struct error *error)
{
    if (!is_kind(id, PICKLE_TUPLE) || id->items.count < 5 ||
        !is_kind(argument(id, 0), PICKLE_TEXT) || strcmp(argument(id, 0)->text, "storage") != 0 ||
        !is_kind(argument(id, 1), PICKLE_GLOBAL) ||
        !strstr(argument(id, 1)->global->name, "Storage") || !is_kind(argument(id, 2), PICKLE_TEXT))
        return error_set(error, ERROR_INPUT, "a storage is described wrongly: the file is damaged");
    struct pickle_storage storage = {.type = argument(id, 1)->global->name,
                                     .key = argument(id, 2)->text};
    if (read_size(argument(id, 4), &storage.count))
        return error_set(error, ERROR_INPUT, "a storage has no size: the file is damaged");
    for (size_t i = 0; i < sizeof storages / sizeof *storages; i++) {
        if (strcmp(storages[i].type, storage.type) != 0) continue;
        storage.floating = storages[i].floating;
        storage.size = storages[i].size;
        storage.stored = storages[i].stored;
    }
    if (pickle_new(pickle, PICKLE_STORAGE, out, error)) return -1;
    (*out)->storage = storage;
    return 0;
}

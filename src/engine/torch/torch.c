/* The PyTorch engine behind engine.h: finding it, opening it, values in and out. Its heart is
 * loop.c. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/path.h"
#include "engine/engine.h"
#include "engine/exports.h"
#include "engine/locate.h"
#include "engine/torch/loop.h"

/* pictures a forward pass: the pixels of 28 × 28 then stay in the second cache level */
#define FORWARD_CHUNK 256

struct torch_engine {
    struct engine base;
    struct torch_session session;
    struct torch_model model;
    struct torch_batch pictures; /* for forward(); created when first needed */
};

static struct torch_engine *self_of(struct engine *engine)
{
    return (struct torch_engine *)engine;
}

/* ---- probe ----------------------------------------------------------------------------------- */

static bool file_beside(const char *library, const char *name)
{
    char path[PATH_MAX];
    int folder = (int)(path_base(library) - library);
    return snprintf(path, sizeof path, "%.*s%s", folder, library, name) < (int)sizeof path &&
           file_exists(path);
}

static void add_cuda_devices(struct engine_probe *out)
{
    char node[32];
    for (uint32_t i = 0; out->device_count < ENGINE_MAX_DEVICES; i++) {
        snprintf(node, sizeof node, "/dev/nvidia%u", i);
        if (access(node, F_OK)) return;
        snprintf(out->devices[out->device_count++], sizeof out->devices[0], "cuda:%u", i);
    }
}

static void probe(struct engine_probe *out)
{
    *out = (struct engine_probe){0};
    if (engine_locate("torch/lib/libtorch_cpu.so", "NNSTUDIO_TORCH_LIB", out->path,
                      sizeof out->path)) {
        snprintf(out->missing, sizeof out->missing,
                 "PyTorch is not installed: run \"nnstudio engines install torch\", or set "
                 "NNSTUDIO_TORCH_LIB to its "
                 "libtorch_cpu.so");
        return;
    }
    engine_package_version(out->path, "torch", out->version, sizeof out->version);
    /* "2.13.0+cpu": the build is told by `detail` */
    out->version[strcspn(out->version, "+")] = '\0';
    if (engine_version_is_older(out->version, TORCH_OLDEST_MAJOR, TORCH_OLDEST_MINOR)) {
        snprintf(
            out->missing, sizeof out->missing,
            "PyTorch %s is too old: version %d.%d or newer is needed (pip install --upgrade torch)",
            out->version, TORCH_OLDEST_MAJOR, TORCH_OLDEST_MINOR);
        return;
    }
    struct error error;
    if (exports_check(out->path, "aoti_torch_abi_version", &error)) {
        snprintf(
            out->missing, sizeof out->missing,
            "%.300s: set NNSTUDIO_TORCH_LIB to PyTorch's libtorch_cpu.so, or install PyTorch %d.%d "
            "or newer again",
            error.message, TORCH_OLDEST_MAJOR, TORCH_OLDEST_MINOR);
        return;
    }
    bool cuda = file_beside(out->path, "libtorch_cuda.so");
    out->found = true;
    snprintf(out->detail, sizeof out->detail, "stable ABI, %s build", cuda ? "CUDA" : "CPU");
    snprintf(out->devices[out->device_count++], sizeof out->devices[0], "cpu");
    if (cuda) add_cuda_devices(out);
}

/* ---- open and close -------------------------------------------------------------------------- */

static void close_engine(struct engine *engine)
{
    struct torch_engine *self = self_of(engine);
    torch_model_close(&self->model);
    torch_batch_destroy(&self->pictures);
    torch_session_close(&self->session);
    free(self);
}

static int open_engine(const struct engine_config *config, const struct engine_probe *found,
                       struct engine **out, struct error *error)
{
    const struct torch_library *library;
    bool cuda = strcmp(config->device, "cpu") != 0;
    if (torch_library_load(found->path, cuda, config->threads, &library, error)) return -1;
    struct torch_engine *self = calloc(1, sizeof *self);
    if (!self) return error_set_memory(error, "the engine");
    if (torch_session_open(&self->session, library, config->dtype == DTYPE_FLOAT64, config->device,
                           error) ||
        torch_model_open(&self->model, &self->session, config, error)) {
        close_engine(&self->base);
        return -1;
    }
    *out = &self->base;
    return 0;
}

static int attach(struct engine *engine, const struct split *split, struct error *error)
{
    (void)error;
    self_of(engine)->model.split = split;
    return 0;
}

/* ---- values in and out ----------------------------------------------------------------------- */

static int set_parameters(struct engine *engine, const struct parameters *parameters,
                          struct error *error)
{
    struct torch_model *model = &self_of(engine)->model;
    return torch_tensors_write(model, TORCH_VALUES, parameters, error);
}

static int get_parameters(struct engine *engine, struct parameters *parameters, struct error *error)
{
    struct torch_model *model = &self_of(engine)->model;
    return torch_tensors_read(model, TORCH_VALUES, parameters, error);
}

static int set_optimizer_state(struct engine *engine, const struct optimizer_state *state,
                               struct error *error)
{
    struct torch_model *model = &self_of(engine)->model;
    for (uint32_t slot = 0; slot < state->slot_count; slot++)
        if (torch_tensors_write(model, (int)slot, state->slots[slot], error)) return -1;
    model->steps = state->steps;
    memcpy(model->numbers, state->numbers, sizeof model->numbers);
    return 0;
}

static int get_optimizer_state(struct engine *engine, struct optimizer_state *state,
                               struct error *error)
{
    struct torch_model *model = &self_of(engine)->model;
    for (uint32_t slot = 0; slot < state->slot_count; slot++)
        if (torch_tensors_read(model, (int)slot, state->slots[slot], error)) return -1;
    state->steps = model->steps;
    memcpy(state->numbers, model->numbers, sizeof state->numbers);
    return 0;
}

static int set_learning_rate(struct engine *engine, double learning_rate, struct error *error)
{
    (void)error;
    self_of(engine)->model.optimizer.learning_rate = learning_rate;
    return 0;
}

/* ---- training and inference ------------------------------------------------------------------ */

static int train(struct engine *engine, const uint32_t *order, size_t count, double *losses,
                 uint32_t *correct, struct error *error)
{
    struct torch_model *model = &self_of(engine)->model;
    torch_enable_grad(model->torch, true);
    int result = torch_train(model, order, count, engine->rates, losses, correct, error);
    model->optimizer.learning_rate = engine->config.optimizer.learning_rate;
    torch_enable_grad(model->torch, false);
    return result;
}

static void forward_chunk(struct torch_engine *self, const uint8_t *pixels, size_t count,
                          double *logits)
{
    struct torch_model *model = &self->model;
    struct torch_session *torch = &self->session;
    const struct torch_pass pass = {.training = false, .count = count};
    const struct shape input = torch_batch_shape(count, &model->input),
                       output = {2, {(uint32_t)count, network_classes(&model->network)}};
    torch_batch_fill(&self->pictures, pixels, count);
    torch_tensor x = torch_to_device(torch, torch_view(torch, self->pictures.pixels, &input),
                                     &input);
    torch_read_f64(torch, torch_forward(model, x, &pass), logits, &output);
    torch_release_temporaries(torch);
}

static int need_pictures(struct torch_engine *self, struct error *error)
{
    if (self->pictures.capacity) return 0;
    return torch_batch_create(&self->pictures, FORWARD_CHUNK, network_inputs(&self->model.network),
                              self->session.float64, &self->model.preprocess, error);
}

static int forward(struct engine *engine, const uint8_t *pixels, size_t count, double *logits,
                   struct error *error)
{
    struct torch_engine *self = self_of(engine);
    size_t inputs = network_inputs(&self->model.network),
           classes = network_classes(&self->model.network);
    if (need_pictures(self, error)) return -1;
    torch_enable_grad(&self->session, false);
    for (size_t first = 0; first < count; first += FORWARD_CHUNK) {
        size_t chunk = count - first < FORWARD_CHUNK ? count - first : FORWARD_CHUNK;
        forward_chunk(self, pixels + first * inputs, chunk, logits + first * classes);
    }
    return torch_check(&self->session, error);
}

static int gradients(struct engine *engine, const struct engine_part *part, const uint32_t *order,
                     size_t count, struct parameters *sums, double *loss, uint32_t *correct,
                     struct error *error)
{
    struct torch_model *model = &self_of(engine)->model;
    torch_enable_grad(model->torch, true);
    int result = torch_gradients(model, part, order, count, sums, loss, correct, error);
    torch_enable_grad(model->torch, false);
    return result;
}

static int apply(struct engine *engine, const struct parameters *sums, double divisor,
                 struct error *error)
{
    struct torch_model *model = &self_of(engine)->model;
    torch_enable_grad(model->torch, false);
    if (engine->rates) model->optimizer.learning_rate = *engine->rates;
    int result = torch_apply_gradients(model, sums, divisor, error);
    model->optimizer.learning_rate = engine->config.optimizer.learning_rate;
    return result;
}

static int trace_step(struct engine *engine, const uint32_t *order, size_t count,
                      engine_trace_fn *emit, void *context, struct error *error)
{
    struct torch_model *model = &self_of(engine)->model;
    torch_enable_grad(model->torch, true);
    int result = torch_trace(model, order, count, emit, context, error);
    torch_enable_grad(model->torch, false);
    torch_release_temporaries(model->torch);
    return result;
}

static int follow(struct engine *engine, const uint8_t *pixels, uint32_t target,
                  engine_trace_fn *emit, void *context, struct error *error)
{
    struct torch_engine *self = self_of(engine);
    if (need_pictures(self, error)) return -1;
    torch_batch_fill(&self->pictures, pixels, 1);
    torch_enable_grad(&self->session, target != ENGINE_NO_CLASS);
    int result = torch_follow(&self->model, &self->pictures, target, emit, context, error);
    torch_enable_grad(&self->session, false);
    torch_release_temporaries(&self->session);
    return result;
}

const struct engine_ops engine_torch = {
    .id = "torch",
    .title = "PyTorch",
    .model_format = "pth",
    .paradigm = "imperative, define-by-run",
    .look = {.light = {"#0f9d8f", "#0a6e64", "#0b7a6f", "#ffffff"},
             .dark = {"#17b5a5", "#45cfc0", "#17b5a5", "#04201d"},
             .line_width = 4,
             .mark = "circle"},
    .package = {"torch==2.13.0", "PyTorch 2.13.0, the build for CPUs"},
    .probe = probe,
    .has_layer = torch_has_layer,
    .has_activation = torch_has_activation,
    .open = open_engine,
    .attach = attach,
    .set_parameters = set_parameters,
    .get_parameters = get_parameters,
    .set_optimizer_state = set_optimizer_state,
    .get_optimizer_state = get_optimizer_state,
    .train = train,
    .forward = forward,
    .trace = trace_step,
    .follow = follow,
    .gradients = gradients,
    .apply = apply,
    .set_learning_rate = set_learning_rate,
    .close = close_engine,
};

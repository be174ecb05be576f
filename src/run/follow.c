#include "run/follow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/base64.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/js.h"
#include "base/path.h"
#include "modelfile/modelfile.h"
#include "modelfile/safetensors.h"
#include "run/trace.h"
#include "train/metrics.h"

#define FOLLOW_SECONDS 60

/* ---- in this process ---- */

struct keeping {
    struct state_dict *tensors;
    struct error *error;
};

static int keep(void *context, const char *name, const size_t *shape, uint32_t rank,
                const double *values)
{
    struct keeping *keeping = context;
    return state_dict_keep(keeping->tensors, name, rank, shape, values, keeping->error);
}

/* The class whose saliency is wanted. */
static int choose_target(const struct follow *follow, struct engine *engine, uint32_t *target,
                         struct error *error)
{
    uint32_t classes = network_classes(follow->network);
    *target = follow->target;
    if (follow->target != FOLLOW_ANSWER) return 0;
    double *logits = malloc(classes * sizeof *logits);
    if (!logits) return error_set_memory(error, "the logits");
    int status = engine_forward(engine, follow->pixels, 1, logits, error);
    if (!status) *target = metrics_class(logits, classes);
    free(logits);
    return status;
}

static int follow_here(const struct follow *follow, struct state_dict *out, struct error *error)
{
    struct keeping keeping = {out, error};
    struct engine *engine = NULL;
    uint32_t target;
    struct engine_config config = {.network = *follow->network,
                                   .dtype = follow->parameters->dtype,
                                   .batch_size = 1,
                                   .threads = 1,
                                   .preprocess = *follow->preprocess};
    int status = optimizer_init(&config.optimizer, "sgd", error) ||
                         engine_open(follow->ops, &config, &engine, error) ||
                         engine_set_parameters(engine, follow->parameters, error) ||
                         choose_target(follow, engine, &target, error) ||
                         engine_follow(engine, follow->pixels, target, keep, &keeping, error)
                     ? -1
                     : 0;
    engine_close(engine);
    if (status) state_dict_clear(out);
    return status;
}

/* ---- in one of its own: the request is a model file with the rest as metadata ---- */

static json_t *request_metadata(const struct follow *follow)
{
    char target[16];
    char *pixels = base64_encode(follow->pixels, network_inputs(follow->network));
    char *values = follow->preprocess->custom ? base64_encode(follow->preprocess->values,
                                                              sizeof follow->preprocess->values)
                                              : strdup("");
    snprintf(target, sizeof target, "%u", follow->target);
    json_t *metadata = json_pack("{s:s, s:s?, s:s?, s:s}", "follow_engine", follow->ops->id,
                                 "follow_pixels", pixels, "follow_values", values, "follow_target",
                                 target);
    free(pixels);
    free(values);
    return metadata;
}

static int write_request(const struct follow *follow, const char *path, struct error *error)
{
    struct model model = {.network = *follow->network,
                          .parameters = (struct parameters *)(uintptr_t)follow->parameters,
                          .metadata = request_metadata(follow)};
    int status = model.metadata ? modelfile_write(path, &model, error)
                                : error_set_memory(error, "a request");
    json_decref(model.metadata);
    return status;
}

static int read_bytes(const json_t *metadata, const char *key, size_t wanted, void *out,
                      struct error *error)
{
    const char *text = json_string_value(json_object_get(metadata, key));
    unsigned char *bytes;
    size_t size;
    if (!text) return error_set(error, ERROR_INPUT, "the request has no \"%s\"", key);
    if (base64_decode(text, wanted, &bytes, &size, error)) return -1;
    if (size == wanted) memcpy(out, bytes, wanted);
    free(bytes);
    if (size == wanted) return 0;
    return error_set(error, ERROR_INPUT, "\"%s\" has %zu bytes, not %zu", key, size, wanted);
}

/* What request_metadata() wrote; `pixels` has room for the network's inputs. */
static int read_request(const struct model *model, struct follow *follow,
                        struct preprocess *preprocess, uint8_t *pixels, struct error *error)
{
    const json_t *metadata = model->metadata;
    const char *engine = json_string_value(json_object_get(metadata, "follow_engine"));
    const char *values = json_string_value(json_object_get(metadata, "follow_values"));
    const char *target = json_string_value(json_object_get(metadata, "follow_target"));
    if (!engine || !values || !target)
        return error_set(error, ERROR_INPUT, "the file holds no request to follow a picture");
    *preprocess = (struct preprocess){.custom = values[0] != '\0'};
    *follow = (struct follow){.network = &model->network,
                              .parameters = model->parameters,
                              .preprocess = preprocess,
                              .pixels = pixels,
                              .target = (uint32_t)strtoul(target, NULL, 10)};
    if (engine_need(engine, &follow->ops, error) ||
        read_bytes(metadata, "follow_pixels", network_inputs(&model->network), pixels, error))
        return -1;
    if (!preprocess->custom) return 0;
    return read_bytes(metadata, "follow_values", sizeof preprocess->values, preprocess->values,
                      error);
}

int follow_request(const char *request, const char *path, struct error *error)
{
    struct state_dict tensors = {0};
    struct preprocess preprocess;
    struct follow follow;
    struct model *model;
    int status = -1;
    if (modelfile_read(request, NULL, &model, error)) return -1;
    uint8_t *pixels = malloc(network_inputs(&model->network));
    if (!pixels)
        error_set_memory(error, "a picture");
    else if (!read_request(model, &follow, &preprocess, pixels, error) &&
             !follow_here(&follow, &tensors, error))
        status = safetensors_write_state(path, &tensors, NULL, error);
    state_dict_clear(&tensors);
    free(pixels);
    model_destroy(model);
    return status;
}

static int run_child(const char *request, const char *path, const char *said, struct error *error)
{
    const char *const words[] = {"trace", request, path, "--follow", NULL};
    char complaint[512], how[128];
    pid_t pid;
    if (child_start_self(words, said, &pid, error)) return -1;
    double end = clock_monotonic() + FOLLOW_SECONDS;
    int status = child_reap(pid, FOLLOW_SECONDS);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
    child_describe_end(status, FOLLOW_SECONDS, end, how, sizeof how);
    snprintf(complaint, sizeof complaint, "the process that follows the picture %s", how);
    child_complaint(said, complaint, sizeof complaint);
    bool asked_wrong = WIFEXITED(status) && WEXITSTATUS(status) == TRACE_EXIT_INPUT;
    return error_set(error, asked_wrong ? ERROR_INPUT : ERROR_UNAVAILABLE, "%s", complaint);
}

static int follow_apart(const struct follow *follow, const char *scratch, struct state_dict *out,
                        struct error *error)
{
    struct file_scratch work;
    json_t *metadata = NULL;
    int status = -1;
    if (file_scratch_create_in(scratch, "follow", &work, error)) return -1;
    char *request = path_join(work.folder, "request.safetensors"),
         *answer = path_join(work.folder, "answer.safetensors"),
         *said = path_join(work.folder, "said.txt");
    if (!request || !answer || !said)
        status = error_set_memory(error, "a path");
    else
        status = write_request(follow, request, error) || run_child(request, answer, said, error) ||
                         safetensors_read(answer, out, &metadata, error)
                     ? -1
                     : 0;
    json_decref(metadata);
    free(request);
    free(answer);
    free(said);
    file_scratch_remove(&work);
    return status;
}

int follow_picture(const struct follow *follow, const char *scratch, struct state_dict *out,
                   struct error *error)
{
    return follow->ops->package.requirement ? follow_apart(follow, scratch, out, error)
                                            : follow_here(follow, out, error);
}

#include "run/checkpoint.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/path.h"
#include "modelfile/safetensors.h"

#define CHECKPOINT_FORMAT "nnstudio-checkpoint-1"
/* A block of weights, one for each slot, the best epoch's weights. */
#define MAX_BLOCKS      (2 + OPTIMIZER_MAX_SLOTS)
#define MAX_ENTRIES     (MAX_BLOCKS * 2 * NETWORK_MAX_LAYERS)
#define ENTRY_NAME_SIZE 80

/* "fc1.weight" for the weights (no slot name), "momentum/fc1.weight" for a slot. */
static void entry_name(char out[ENTRY_NAME_SIZE], const char *slot, const struct tensor *tensor)
{
    snprintf(out, ENTRY_NAME_SIZE, "%s%s%s", slot ? slot : "", slot ? "/" : "", tensor->name);
}

/* The blocks of numbers of a checkpoint with the slot each belongs to (NULL: the weights
 * themselves). */
struct checkpoint_block {
    const char *slot;
    struct parameters *values;
};

static size_t list_blocks(const struct checkpoint *checkpoint,
                          struct checkpoint_block blocks[MAX_BLOCKS])
{
    size_t count = 0;
    blocks[count++] = (struct checkpoint_block){NULL, checkpoint->parameters};
    for (uint32_t i = 0; i < checkpoint->optimizer_state->slot_count; i++)
        blocks[count++] = (struct checkpoint_block){
            optimizer_slot_name(&checkpoint->job.optimizer, i),
            checkpoint->optimizer_state->slots[i]};
    if (checkpoint->best) blocks[count++] = (struct checkpoint_block){"best", checkpoint->best};
    return count;
}

static json_t *schedule_to_json(const struct schedule_state *state)
{
    return json_pack("{s:f, s:f, s:I, s:I}", "scale", state->scale, "best", state->best, "bad",
                     (json_int_t)state->bad, "rest", (json_int_t)state->rest);
}

/* Only a schedule that has begun to watch the loss has a state. */
static int read_schedule(const json_t *position, struct schedule_state *out, struct error *error)
{
    const json_t *value = json_object_get(position, "schedule");
    *out = (struct schedule_state){0};
    if (!value) return 0;
    out->begun = true;
    return js_get_real(value, "scale", 0, 1, &out->scale, error) ||
                   js_get_real(value, "best", -DBL_MAX, DBL_MAX, &out->best, error) ||
                   js_get_u32(value, "bad", 0, UINT32_MAX, &out->bad, error) ||
                   js_get_u32(value, "rest", 0, UINT32_MAX, &out->rest, error)
               ? -1
               : 0;
}

static json_t *best_to_json(const struct fit_best *best)
{
    return json_pack("{s:I, s:I, s:f}", "epoch", (json_int_t)best->epoch, "since",
                     (json_int_t)best->since, "loss", best->loss);
}

/* Not in the checkpoints of older versions. */
static int read_best(const json_t *position, struct fit_best *out, struct error *error)
{
    const json_t *value = json_object_get(position, "best");
    *out = (struct fit_best){0};
    if (!value) return 0;
    return js_get_u32(value, "epoch", 1, UINT32_MAX, &out->epoch, error) ||
                   js_get_u32(value, "since", 0, UINT32_MAX, &out->since, error) ||
                   js_get_real(value, "loss", -DBL_MAX, DBL_MAX, &out->loss, error)
               ? -1
               : 0;
}

static json_t *change_to_json(const struct fit_change *change)
{
    return json_pack("{s:I, s:f, s:f}", "step", (json_int_t)change->step, "rate", change->rate,
                     "planned", change->planned);
}

/* Only where the learning rate was changed by hand. */
static int read_change(const json_t *position, struct fit_change *out, struct error *error)
{
    const json_t *value = json_object_get(position, "change");
    int64_t step = 0;
    *out = (struct fit_change){0};
    if (!value) return 0;
    if (js_get_integer(value, "step", 0, INT64_MAX, &step, error) ||
        js_get_real(value, "rate", 0, OPTIMIZER_MAX_LEARNING_RATE, &out->rate, error) ||
        js_get_real(value, "planned", 0, OPTIMIZER_MAX_LEARNING_RATE, &out->planned, error))
        return -1;
    out->step = (uint64_t)step;
    if (out->rate > 0 && out->planned > 0) return 0;
    return error_set(error, ERROR_INPUT, "the change of the learning rate must be above 0");
}

static json_t *position_to_json(const struct checkpoint *checkpoint)
{
    const struct fit_position *position = &checkpoint->position;
    const struct optimizer *optimizer = &checkpoint->job.optimizer;
    json_t *value = json_pack(
        "{s:I, s:I, s:I, s:f, s:I, s:f, s:I}", "epoch", (json_int_t)position->epoch, "step",
        (json_int_t)position->step, "global_step", (json_int_t)position->global_step, "loss_sum",
        position->loss_sum, "correct", (json_int_t)position->correct, "train_seconds",
        position->train_seconds, "optimizer_steps", (json_int_t)checkpoint->optimizer_state->steps);
    for (uint32_t i = 0; i < optimizer_number_count(optimizer); i++)
        json_object_set_new(value, optimizer_number_name(optimizer, i),
                            json_real(checkpoint->optimizer_state->numbers[i]));
    if (position->schedule.begun)
        json_object_set_new(value, "schedule", schedule_to_json(&position->schedule));
    if (position->change.rate > 0)
        json_object_set_new(value, "change", change_to_json(&position->change));
    if (position->best.epoch) json_object_set_new(value, "best", best_to_json(&position->best));
    return value;
}

/* The optimizer's own numbers, which a checkpoint of such an optimizer has. */
static int read_numbers(const json_t *position, const struct optimizer *optimizer,
                        double numbers[OPTIMIZER_MAX_NUMBERS], struct error *error)
{
    for (uint32_t i = 0; i < optimizer_number_count(optimizer); i++) {
        const char *name = optimizer_number_name(optimizer, i);
        if (!json_object_get(position, name))
            return error_set(error, ERROR_INPUT, "the optimizer's number %s is missing", name);
        if (js_get_real(position, name, -1e300, 1e300, &numbers[i], error)) return -1;
    }
    return 0;
}

static int position_from_json(const json_t *value, struct fit_position *position,
                              uint64_t *optimizer_steps, struct error *error)
{
    int64_t step = 0, global_step = 0, correct = 0, steps = 0;
    if (js_get_u32(value, "epoch", 0, UINT32_MAX, &position->epoch, error) ||
        js_get_integer(value, "step", 0, INT64_MAX, &step, error) ||
        js_get_integer(value, "global_step", 0, INT64_MAX, &global_step, error) ||
        js_get_real(value, "loss_sum", -1e300, 1e300, &position->loss_sum, error) ||
        js_get_integer(value, "correct", 0, INT64_MAX, &correct, error) ||
        js_get_real(value, "train_seconds", 0, 1e300, &position->train_seconds, error) ||
        js_get_integer(value, "optimizer_steps", 0, INT64_MAX, &steps, error) ||
        read_schedule(value, &position->schedule, error) ||
        read_change(value, &position->change, error) || read_best(value, &position->best, error))
        return -1;
    position->step = (uint64_t)step;
    position->global_step = (uint64_t)global_step;
    position->correct = (uint64_t)correct;
    *optimizer_steps = (uint64_t)steps;
    return 0;
}

/* Safetensors' metadata maps strings to strings, so objects go in as text. Takes the reference of
 * `value`. */
static void set_object(json_t *metadata, const char *key, json_t *value)
{
    char *text = js_dump(value);
    json_object_set_new(metadata, key, text ? json_string(text) : NULL);
    free(text);
    json_decref(value);
}

static int get_object(const json_t *metadata, const char *key, json_t **out, struct error *error)
{
    const char *text;
    if (js_need_string(metadata, key, &text, error)) return -1;
    return js_parse_object(text, strlen(text), key, out, error);
}

char *checkpoint_path(const struct job *job)
{
    return path_join(job->run_dir, "checkpoint.safetensors");
}

int checkpoint_write(const char *path, const struct checkpoint *checkpoint, struct error *error)
{
    struct checkpoint_block blocks[MAX_BLOCKS];
    struct safetensors_entry entries[MAX_ENTRIES];
    char names[MAX_ENTRIES][ENTRY_NAME_SIZE];
    size_t block_count = list_blocks(checkpoint, blocks), count = 0;
    for (size_t b = 0; b < block_count; b++) {
        const struct parameters *values = blocks[b].values;
        for (size_t t = 0; t < values->tensor_count; t++, count++) {
            entry_name(names[count], blocks[b].slot, &values->tensors[t]);
            entries[count] = (struct safetensors_entry){
                names[count], values->dtype, values->tensors[t].rank, values->tensors[t].shape,
                values->tensors[t].values};
        }
    }
    json_t *metadata = json_pack("{s:s}", "format", CHECKPOINT_FORMAT);
    if (!metadata) return error_set_memory(error, "a checkpoint");
    set_object(metadata, "job", job_to_json(&checkpoint->job));
    set_object(metadata, "network", network_to_json(&checkpoint->network));
    set_object(metadata, "position", position_to_json(checkpoint));
    json_object_set_new(metadata, "data_sha256", json_string(checkpoint->data_sha256));
    int status = safetensors_write(path, entries, count, metadata, error);
    json_decref(metadata);
    return status;
}

static int read_metadata(const json_t *metadata, struct checkpoint *out,
                         struct optimizer_state *scalars, struct error *error)
{
    json_t *job = NULL, *network = NULL, *position = NULL;
    const char *format;
    int status = -1;
    if (js_need_string(metadata, "format", &format, error) ||
        strcmp(format, CHECKPOINT_FORMAT) != 0) {
        error_set(error, ERROR_INPUT,
                  "it is not a checkpoint of this studio: name a run of `nnstudio runs list`");
        goto out;
    }
    job_init(&out->job);
    if (get_object(metadata, "job", &job, error) || job_from_json(job, &out->job, error) ||
        get_object(metadata, "network", &network, error) ||
        network_from_json(network, &out->network, error) ||
        get_object(metadata, "position", &position, error) ||
        position_from_json(position, &out->position, &scalars->steps, error) ||
        read_numbers(position, &out->job.optimizer, scalars->numbers, error))
        goto out;
    snprintf(out->data_sha256, sizeof out->data_sha256, "%s", js_text(metadata, "data_sha256"));
    status = 0;
out:
    json_decref(job);
    json_decref(network);
    json_decref(position);
    return status;
}

static int read_block(const struct state_dict *state, const struct checkpoint_block *block,
                      struct error *error)
{
    for (size_t t = 0; t < block->values->tensor_count; t++) {
        struct tensor *tensor = &block->values->tensors[t];
        char name[ENTRY_NAME_SIZE];
        entry_name(name, block->slot, tensor);
        const struct named_tensor *found = state_dict_find(state, name);
        if (!found) return error_set(error, ERROR_INPUT, "the tensor %s is missing", name);
        if (found->dtype != block->values->dtype || found->count != tensor->count ||
            !shapes_equal(found->rank, found->shape, tensor->rank, tensor->shape))
            return error_set(error, ERROR_INPUT,
                             "the tensor %s has another shape or dtype than the job asks for",
                             name);
        memcpy(tensor->values, found->values, tensor->count * dtype_size(found->dtype));
    }
    return 0;
}

int checkpoint_read(const char *path, struct checkpoint *out, struct error *error)
{
    struct state_dict state = {0};
    json_t *metadata = NULL;
    struct checkpoint_block blocks[MAX_BLOCKS];
    struct optimizer_state scalars = {0}; /* what is no tensor */
    *out = (struct checkpoint){0};
    if (safetensors_read(path, &state, &metadata, error)) return -1;
    int status = read_metadata(metadata, out, &scalars, error);
    if (!status) status = parameters_create(&out->network, out->job.dtype, &out->parameters, error);
    if (!status)
        status = optimizer_state_create(&out->job.optimizer, &out->network, out->job.dtype,
                                        &out->optimizer_state, error);
    if (!status && out->job.keep == JOB_KEEP_BEST && out->position.best.epoch)
        status = parameters_create(&out->network, out->job.dtype, &out->best, error);
    if (!status) {
        out->optimizer_state->steps = scalars.steps;
        memcpy(out->optimizer_state->numbers, scalars.numbers, sizeof scalars.numbers);
        size_t count = list_blocks(out, blocks);
        for (size_t b = 0; b < count && !status; b++)
            status = read_block(&state, &blocks[b], error);
    }
    if (status) {
        error_prefix(error, "%s", path);
        checkpoint_clear(out);
    }
    state_dict_clear(&state);
    json_decref(metadata);
    return status;
}

void checkpoint_clear(struct checkpoint *checkpoint)
{
    parameters_destroy(checkpoint->parameters);
    parameters_destroy(checkpoint->best);
    optimizer_state_destroy(checkpoint->optimizer_state);
    *checkpoint = (struct checkpoint){0};
}

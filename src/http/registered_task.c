/* Tasks that ask a target: their request, their steps, and what a user must do meanwhile. */
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "http/registered.h"

/* A request's body for a thread: text, since a context is freed as plain memory. */
struct message {
    size_t size;
    char text[];
};

void *registered_message_of(const json_t *body)
{
    char *text = js_dump(body);
    size_t size = text ? strlen(text) : 0;
    struct message *message = text ? malloc(sizeof *message + size + 1) : NULL;
    if (message) {
        message->size = size;
        memcpy(message->text, text, size + 1);
    }
    free(text);
    return message;
}

int registered_message(const void *context, json_t **body, struct error *error)
{
    const struct message *message = context;
    return js_parse_object(message->text, message->size, "the request", body, error);
}

/* --- progress of a task, and what a user must do meanwhile --- */

void registered_tell(struct registered_telling *telling)
{
    task_set_result(telling->task, json_deep_copy(telling->result));
}

static void on_prompt(void *context, const struct registry_prompt *prompt)
{
    struct registered_telling *telling = context;
    json_object_set_new(telling->result, "prompt",
                        json_pack("{s:s, s:s, s:s?, s:i}", "kind", prompt->kind, "url", prompt->url,
                                  "code", prompt->code, "expires_in", prompt->expires_in));
    registered_tell(telling);
}

void registered_on_step(void *context, unsigned step, unsigned steps, const char *title,
                        uint64_t done, uint64_t total)
{
    struct registered_telling *telling = context;
    json_t *titles = json_object_get(telling->result, "steps");
    task_progress(telling->task, done, total, title);
    if (json_integer_value(json_object_get(telling->result, "step")) == (json_int_t)step + 1 &&
        !done)
        return;
    /* A token is there once the second step begins. */
    if (step > 0) json_object_set_new(telling->result, "prompt", json_null());
    if (json_integer_value(json_object_get(telling->result, "step")) != (json_int_t)step + 1)
        json_array_append_new(titles, json_string(title));
    json_object_set_new(telling->result, "step", json_integer((json_int_t)step + 1));
    json_object_set_new(telling->result, "step_count", json_integer((json_int_t)steps));
    registered_tell(telling);
}

static bool is_cancelled(void *task)
{
    return task_cancelled(task);
}

int registered_begin(struct registered_telling *telling, struct task *task, const json_t *body,
                     struct registry_options *options, struct error *error)
{
    telling->task = task;
    telling->result = json_pack("{s:O?, s:[], s:i, s:i, s:n}", "run", json_object_get(body, "run"),
                                "steps", "step", 0, "step_count", 0, "prompt");
    if (!telling->result) return error_set_memory(error, "a task");
    options->cancelled = is_cancelled;
    options->context = task;
    options->prompt = on_prompt;
    options->prompt_context = telling;
    return 0;
}

void registered_start(struct studio *studio, struct call *call, const json_t *body,
                      const char *kind, const char *subject, const char *title, task_fn *work)
{
    struct error error;
    char id[16];
    struct message *message = registered_message_of(body);
    if (!message) {
        error_set_memory(&error, "a task");
        call_fail(call, &error);
    } else if (tasks_start(studio->tasks, kind, subject, title, work, message, id, &error)) {
        call_fail(call, &error);
    } else {
        call_reply(call, 202, json_pack("{s:s}", "task", id));
    }
}

/* Questions to a registration target, and what a request says of how to get there. */
#ifndef NNSTUDIO_HTTP_REGISTERED_H
#define NNSTUDIO_HTTP_REGISTERED_H

#include "http/routes.h"
#include "http/tasks.h"
#include "registry/registry.h"

/* What the page kept of the workspace that the user picked or uploaded: Azure ML's own config.json
 * in the home. */
void registered_config_path(const struct studio *studio, char out[4200]);
/* Where a request says to go: the members of registry_option_table. The texts stay borrowed from
 * `body`; `config` is filled when there is a kept workspace. `target` NULL: any. */
int registered_options(const struct studio *studio, const json_t *body, const char *target,
                       struct registry_options *out, char config[4200], struct error *error);

enum question_kind {
    QUESTION_LIST,
    QUESTION_SHOW,
    QUESTION_PULL,
    QUESTION_COMPARE,
    QUESTION_CHANGE
};
/* A question to a target: which, and how to get there. Plain memory: threads free it. */
struct registry_question {
    enum question_kind kind;
    char target[16], name[260], version[300], other[300]; /* `other`: compared with `version` */
    char values[REGISTRY_KEYS][512]; /* the target's options; "" for what is not given */
    struct registry_change change;   /* its texts are those below */
    char key[260], value[5100], confirmed[600];
};
/* A compute_fn of a struct registry_question. */
int registered_compute(const struct studio *studio, struct store *store, void *context,
                       json_t **out, struct error *error);
/* A text member into a question; refused when it is too long, or when it is needed and absent. */
int registered_copy(const json_t *body, const char *key, bool needed, char *out, size_t size,
                    struct error *error);

/* --- tasks that ask a target --- */

/* Progress of a task, and what a user must do meanwhile. */
struct registered_telling {
    struct task *task;
    json_t *result; /* owned: {"steps":[…],"step","step_count","prompt",…} */
};
/* Starts a task whose work finds `body` (copied) by registered_message(); answers with it. */
void registered_start(struct studio *studio, struct call *call, const json_t *body,
                      const char *kind, const char *subject, const char *title, task_fn *work);
/* A request's body as plain memory, which a thread frees; NULL when memory is out. */
void *registered_message_of(const json_t *body);
/* The body of the request from a task's context; new reference. */
int registered_message(const void *context, json_t **body, struct error *error);
/* Makes the options tell of their prompts and heed the task's end. `body`'s member "run" is told
 * along. */
int registered_begin(struct registered_telling *telling, struct task *task, const json_t *body,
                     struct registry_options *options, struct error *error);
/* Shows the result as it is now. */
void registered_tell(struct registered_telling *telling);
/* For registry_watch.on_step; the context is the telling. */
void registered_on_step(void *context, unsigned step, unsigned steps, const char *title,
                        uint64_t done, uint64_t total);

#endif

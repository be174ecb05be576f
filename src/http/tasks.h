/* Long work outside training: fetching data, installing engines, registering models. Each on a
 * thread of its own, with progress that the stream tells. */
#ifndef NNSTUDIO_HTTP_TASKS_H
#define NNSTUDIO_HTTP_TASKS_H

#include "http/studio.h"

struct tasks;
struct task;

int tasks_create(struct studio *studio, struct tasks **out, struct error *error);
/* Cancels and waits for all. Call it when the loop has ended. NULL is fine. */
void tasks_destroy(struct tasks *tasks);
/* Tells the stream what has changed; call it a few times per second. */
void tasks_tick(struct tasks *tasks);

/* Runs `work` on a thread; -1 with the error makes the task failed (ERROR_INTERRUPTED: cancelled).
 * `context` is malloc'd and freed when the work has ended, also when the start fails. `subject` is
 * what is worked on ("mnist"): ERROR_CONFLICT while another task of the kind has the same. */
typedef int task_fn(struct task *task, void *context, struct error *error);
int tasks_start(struct tasks *tasks, const char *kind, const char *subject, const char *title,
                task_fn *work, void *context, char id[16], struct error *error);
int tasks_cancel(struct tasks *tasks, const char *id, struct error *error);
/* New references; tasks_get fails with ERROR_NOT_FOUND. */
json_t *tasks_list(struct tasks *tasks);
int tasks_get(struct tasks *tasks, const char *id, json_t **out, struct error *error);

/* From the work's thread. */
/* only what does not change may be used */
const struct studio *task_studio(const struct task *task);
bool task_cancelled(struct task *task);
void task_progress(struct task *task, uint64_t done_bytes, uint64_t total_bytes, const char *text);
/* What the task made, shown with it; takes the reference. */
void task_set_result(struct task *task, json_t *result);

#endif

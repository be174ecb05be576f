#include "http/tasks.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define TASKS_KEPT  50
#define RUNNING_MAX 8
/* A run's tracking takes next to nothing while it waits, and has its own number. */
#define TRACKED_MAX 64

enum task_state { TASK_RUNNING, TASK_DONE, TASK_FAILED, TASK_CANCELLED };
static const char *const state_names[] = {"running", "done", "failed", "cancelled"};

struct task {
    struct studio *studio;
    char id[16], kind[16], subject[160], title[160];
    task_fn *work;
    void *context;
    pthread_t thread;
    struct task *next; /* newest first */
    bool joined;
    uint64_t told;         /* the change the stream was told last */
    pthread_mutex_t mutex; /* of what follows */
    enum task_state state;
    bool cancelled;
    uint64_t done_bytes, total_bytes, changes;
    char text[400], error[1024];
    json_t *result;
};

struct tasks {
    struct studio *studio;
    struct task *first;
    unsigned count; /* ever, for the ids */
};

int tasks_create(struct studio *studio, struct tasks **out, struct error *error)
{
    struct tasks *tasks = calloc(1, sizeof *tasks);
    if (!tasks) return error_set_memory(error, "the tasks");
    tasks->studio = studio;
    *out = tasks;
    return 0;
}

static json_t *task_json(struct task *task)
{
    pthread_mutex_lock(&task->mutex);
    json_t *value = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:s?, s:O?}", "id", task->id, "kind", task->kind,
        "subject", task->subject, "title", task->title, "state", state_names[task->state],
        "done_bytes", (json_int_t)task->done_bytes, "total_bytes", (json_int_t)task->total_bytes,
        "text", task->text, "error", task->error[0] ? task->error : NULL, "result", task->result);
    pthread_mutex_unlock(&task->mutex);
    return value;
}

static void *thread_main(void *context)
{
    struct task *task = context;
    struct error error;
    int status = task->work(task, task->context, &error);
    pthread_mutex_lock(&task->mutex);
    task->state = !status                           ? TASK_DONE
                  : error.code == ERROR_INTERRUPTED ? TASK_CANCELLED
                                                    : TASK_FAILED;
    if (task->state == TASK_FAILED) snprintf(task->error, sizeof task->error, "%s", error.message);
    task->changes++;
    pthread_mutex_unlock(&task->mutex);
    return NULL;
}

static bool is_running(struct task *task)
{
    pthread_mutex_lock(&task->mutex);
    bool running = task->state == TASK_RUNNING;
    pthread_mutex_unlock(&task->mutex);
    return running;
}

static void task_free(struct task *task)
{
    if (!task->joined) pthread_join(task->thread, NULL);
    pthread_mutex_destroy(&task->mutex);
    json_decref(task->result);
    free(task->context);
    free(task);
}

static bool is_tracking(const char *kind)
{
    return strcmp(kind, "track") == 0;
}

/* Whether another task may begin, and the oldest finished ones forgotten. */
static int make_room(struct tasks *tasks, const char *kind, const char *subject,
                     struct error *error)
{
    unsigned running = 0, kept = 0;
    for (struct task **place = &tasks->first; *place;) {
        struct task *task = *place;
        if (is_running(task)) {
            running += is_tracking(task->kind) == is_tracking(kind);
            if (strcmp(task->kind, kind) == 0 && strcmp(task->subject, subject) == 0)
                return error_set(error, ERROR_CONFLICT,
                                 "the same task is running already: see task %s", task->id);
        } else if (++kept > TASKS_KEPT) {
            *place = task->next;
            task_free(task);
            continue;
        }
        place = &task->next;
    }
    return running < (is_tracking(kind) ? TRACKED_MAX : RUNNING_MAX)
               ? 0
               : error_set(error, ERROR_UNAVAILABLE,
                           "too many tasks are running: wait for one to end");
}

int tasks_start(struct tasks *tasks, const char *kind, const char *subject, const char *title,
                task_fn *work, void *context, char id[16], struct error *error)
{
    struct task *task = NULL;
    if (make_room(tasks, kind, subject, error)) goto fail;
    task = calloc(1, sizeof *task);
    if (!task) {
        error_set_memory(error, "a task");
        goto fail;
    }
    *task = (struct task){.studio = tasks->studio, .work = work, .context = context, .changes = 1};
    snprintf(task->id, sizeof task->id, "t%u", ++tasks->count);
    snprintf(task->kind, sizeof task->kind, "%s", kind);
    snprintf(task->subject, sizeof task->subject, "%s", subject);
    snprintf(task->title, sizeof task->title, "%s", title);
    pthread_mutex_init(&task->mutex, NULL);
    if (pthread_create(&task->thread, NULL, thread_main, task)) {
        pthread_mutex_destroy(&task->mutex);
        error_set_memory(error, "a thread");
        goto fail;
    }
    task->next = tasks->first;
    tasks->first = task;
    snprintf(id, 16, "%s", task->id);
    tasks_tick(tasks);
    return 0;
fail:
    free(task);
    free(context);
    return -1;
}

static struct task *find(struct tasks *tasks, const char *id, struct error *error)
{
    for (struct task *task = tasks->first; task; task = task->next)
        if (strcmp(task->id, id) == 0) return task;
    error_set(error, ERROR_NOT_FOUND, "there is no task \"%.20s\"", id);
    return NULL;
}

int tasks_cancel(struct tasks *tasks, const char *id, struct error *error)
{
    struct task *task = find(tasks, id, error);
    if (!task) return -1;
    pthread_mutex_lock(&task->mutex);
    task->cancelled = true;
    pthread_mutex_unlock(&task->mutex);
    return 0;
}

json_t *tasks_list(struct tasks *tasks)
{
    json_t *list = json_array();
    for (struct task *task = tasks->first; task; task = task->next)
        json_array_append_new(list, task_json(task));
    return list;
}

int tasks_get(struct tasks *tasks, const char *id, json_t **out, struct error *error)
{
    struct task *task = find(tasks, id, error);
    if (!task) return -1;
    *out = task_json(task);
    return 0;
}

void tasks_tick(struct tasks *tasks)
{
    struct error error;
    for (struct task *task = tasks->first; task; task = task->next) {
        pthread_mutex_lock(&task->mutex);
        uint64_t changes = task->changes;
        pthread_mutex_unlock(&task->mutex);
        if (changes == task->told) continue;
        task->told = changes;
        json_t *value = task_json(task);
        if (value && store_add_task_event(tasks->studio->store, value, &error)) log_error(&error);
        json_decref(value);
        if (!task->joined && !is_running(task)) {
            pthread_join(task->thread, NULL);
            task->joined = true;
        }
    }
}

void tasks_destroy(struct tasks *tasks)
{
    struct error ignored;
    if (!tasks) return;
    for (struct task *task = tasks->first; task; task = task->next)
        tasks_cancel(tasks, task->id, &ignored);
    while (tasks->first) {
        struct task *task = tasks->first;
        tasks->first = task->next;
        task_free(task);
    }
    free(tasks);
}

const struct studio *task_studio(const struct task *task)
{
    return task->studio;
}

bool task_cancelled(struct task *task)
{
    pthread_mutex_lock(&task->mutex);
    bool cancelled = task->cancelled;
    pthread_mutex_unlock(&task->mutex);
    return cancelled;
}

void task_progress(struct task *task, uint64_t done_bytes, uint64_t total_bytes, const char *text)
{
    pthread_mutex_lock(&task->mutex);
    task->done_bytes = done_bytes;
    task->total_bytes = total_bytes;
    if (text) snprintf(task->text, sizeof task->text, "%s", text);
    task->changes++;
    pthread_mutex_unlock(&task->mutex);
}

void task_set_result(struct task *task, json_t *result)
{
    pthread_mutex_lock(&task->mutex);
    json_decref(task->result);
    task->result = result;
    task->changes++;
    pthread_mutex_unlock(&task->mutex);
}

/* Tasks, and what starts them here: fetching a data set, installing an engine. */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "data/fetch.h"
#include "engine/engine.h"
#include "http/routes.h"
#include "http/tasks.h"
#include "run/install.h"

#define WAIT_US      100000
#define INSTALLS_MAX 16 /* more than engines that there are to install */

static void reply_task(struct studio *studio, struct call *call, const char *id)
{
    struct error error;
    json_t *value;
    if (tasks_get(studio->tasks, id, &value, &error))
        call_fail(call, &error);
    else
        call_reply(call, 200, value);
}

static void get_tasks(struct studio *studio, struct call *call)
{
    call_reply(call, 200, tasks_list(studio->tasks));
}

static void get_task(struct studio *studio, struct call *call)
{
    reply_task(studio, call, call_path(call, "task"));
}

static void delete_task(struct studio *studio, struct call *call)
{
    struct error error;
    if (tasks_cancel(studio->tasks, call_path(call, "task"), &error))
        call_fail(call, &error);
    else
        reply_task(studio, call, call_path(call, "task"));
}

/* Starts a task about the thing called `name` and answers with its id. */
static void start(struct studio *studio, struct call *call, const char *kind, const char *name,
                  const char *title, task_fn *work)
{
    struct error error;
    char id[16], *context = strdup(name);
    if (!context) {
        error_set_memory(&error, "a task");
        call_fail(call, &error);
    } else if (tasks_start(studio->tasks, kind, name, title, work, context, id, &error)) {
        call_fail(call, &error);
    } else {
        call_reply(call, 202, json_pack("{s:s}", "task", id));
    }
}

/* --- data --- */

static bool on_fetch(void *context, const char *file, uint64_t done, uint64_t total)
{
    task_progress(context, done, total, file);
    return !task_cancelled(context);
}

static int work_fetch(struct task *task, void *name, struct error *error)
{
    return data_fetch(name, task_studio(task)->home, on_fetch, task, error);
}

static void post_fetch(struct studio *studio, struct call *call)
{
    struct error error;
    char title[160];
    const char *name = call_path(call, "name");
    const struct dataset_entry *entry = dataset_find(name);
    if (entry && fetch_find(name)) {
        snprintf(title, sizeof title, "Fetch %s", entry->title);
        start(studio, call, "fetch", name, title, work_fetch);
        return;
    }
    error_set(&error, ERROR_NOT_FOUND, "there is no data set \"%.60s\" to fetch: see /api/datasets",
              name);
    call_fail(call, &error);
}

/* --- engines --- */

static void on_install_line(void *context, const char *line)
{
    task_progress(context, 0, 0, line);
}

/* NULL: the text stays, which names the file. */
static void on_install_progress(void *context, uint64_t done, uint64_t total)
{
    task_progress(context, done, total, NULL);
}

static int hear_out(struct task *task, struct install *install, struct error *error)
{
    for (;;) {
        struct pollfd source = {.fd = install_fd(install), .events = POLLIN};
        if (task_cancelled(task))
            return error_set(error, ERROR_INTERRUPTED, "the installation was cancelled");
        if (poll(&source, 1, 200) > 0 && !install_read(install))
            return install_result(install, error);
    }
}

static int install_engine(struct task *task, const char *engine, struct error *error)
{
    const char *engines[] = {engine};
    const struct install_watch watch = {on_install_line, on_install_progress, NULL, task};
    struct install *install;
    task_progress(task, 0, 0, install_note(engine));
    if (install_start(".", engines, 1, &watch, &install, error)) return -1;
    int status = hear_out(task, install, error);
    install_destroy(install);
    return status;
}

/* Installations share .venv, so they go one after the other, in the order in which they were asked
 * for, whichever thread runs first. */
static struct {
    pthread_mutex_t lock;
    char engines[INSTALLS_MAX][16];
    size_t count;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* False when the engine is in it. */
static bool queue_join(const char *engine)
{
    bool joined = true;
    pthread_mutex_lock(&queue.lock);
    for (size_t i = 0; i < queue.count; i++)
        if (strcmp(queue.engines[i], engine) == 0) joined = false;
    if (joined) {
        CHECK(queue.count < INSTALLS_MAX);
        snprintf(queue.engines[queue.count++], sizeof queue.engines[0], "%s", engine);
    }
    pthread_mutex_unlock(&queue.lock);
    return joined;
}

static void queue_leave(const char *engine)
{
    pthread_mutex_lock(&queue.lock);
    for (size_t i = 0; i < queue.count; i++) {
        if (strcmp(queue.engines[i], engine) != 0) continue;
        memmove(queue.engines[i], queue.engines[i + 1],
                (--queue.count - i) * sizeof queue.engines[0]);
        break;
    }
    pthread_mutex_unlock(&queue.lock);
}

static bool is_first(const char *engine)
{
    pthread_mutex_lock(&queue.lock);
    bool first = queue.count && strcmp(queue.engines[0], engine) == 0;
    pthread_mutex_unlock(&queue.lock);
    return first;
}

static int wait_for_turn(struct task *task, const char *engine, struct error *error)
{
    for (bool told = false; !is_first(engine); told = true) {
        if (!told) task_progress(task, 0, 0, "waits for another installation to end");
        if (task_cancelled(task))
            return error_set(error, ERROR_INTERRUPTED, "the installation was cancelled");
        usleep(WAIT_US);
    }
    return 0;
}

static int work_install(struct task *task, void *engine, struct error *error)
{
    int status = wait_for_turn(task, engine, error) || install_engine(task, engine, error) ? -1 : 0;
    queue_leave(engine);
    return status;
}

/* As tasks_start(). */
static int start_install(struct studio *studio, const struct engine_ops *engine, char id[16],
                         struct error *error)
{
    char title[160], *context = strdup(engine->id);
    if (!context) return error_set_memory(error, "a task");
    snprintf(title, sizeof title, "Install %s", engine->title);
    bool joined = queue_join(engine->id);
    if (!tasks_start(studio->tasks, "install", engine->id, title, work_install, context, id, error))
        return 0;
    if (joined) queue_leave(engine->id);
    return -1;
}

void install_missing(struct studio *studio)
{
    for (size_t i = 0; i < engine_table_count; i++) {
        const struct engine_ops *engine = engine_table[i];
        char id[16];
        struct engine_probe probe;
        struct error error;
        engine->probe(&probe);
        if (probe.found || !install_note(engine->id)) continue;
        if (start_install(studio, engine, id, &error))
            log_error(&error);
        else
            log_line("installing %s behind the open studio: see the page, or nnstudio doctor",
                     engine->title);
    }
}

static void post_install(struct studio *studio, struct call *call)
{
    struct error error;
    const char *id = call_path(call, "engine");
    const struct engine_ops *engine = engine_find(id);
    char task[16], ids[ENGINE_IDS_SIZE];
    if (!engine || !install_note(id)) {
        error_set(&error, ERROR_NOT_FOUND, "there is nothing to install for \"%.40s\": use %s", id,
                  engine_ids(true, ids));
        call_fail(call, &error);
    } else if (start_install(studio, engine, task, &error)) {
        call_fail(call, &error);
    } else {
        call_reply(call, 202, json_pack("{s:s}", "task", task));
    }
}

static const struct route routes[] = {
    {"GET", "/api/tasks", get_tasks, "Tasks, newest first", NULL, NULL, "TaskList", 200, 0},
    {"GET", "/api/tasks/{task}", get_task, "One task", NULL, NULL, "Task", 200, 0},
    {"DELETE", "/api/tasks/{task}", delete_task, "Cancel a task", NULL, NULL, "Task", 200, 0},
    {"POST", "/api/datasets/{name}/fetch", post_fetch, "Fetch a data set from its public mirrors",
     NULL, "Nothing", "Started", 202, ROUTE_CHANGES},
    {"POST", "/api/engines/{engine}/install", post_install, "Install a framework with pip", NULL,
     "Nothing", "Started", 202, ROUTE_CHANGES},
};
const struct route_group routes_tasks = ROUTE_GROUP("tasks", routes);

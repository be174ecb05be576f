#include "http/offload.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/js.h"
#include "base/wanted.h"

#define THREADS_MAX 8
#define WAITING_MAX 256

/* How often it is looked whether a call's client still waits. */
#define LOOK_MS 250

struct offload_task {
    struct offload *offload;
    struct call *call;   /* whose answer it makes; NULL: nobody's */
    atomic_bool gave_up; /* its client has gone, or the studio ends */
    struct post post;
    work_fn *work;
    server_fn *done;
    void *context;
    struct offload_task *next;
    struct offload_task *later, **earlier; /* of those that are not delivered; the loop's */
};

struct offload {
    struct studio *studio;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct offload_task *first, **end;
    int waiting;
    struct offload_task *undelivered; /* the loop's */
    struct watch *watch;
    bool closing;
    int thread_count;
    pthread_t threads[THREADS_MAX];
    struct store *stores[THREADS_MAX];
    int stores_taken;
};

static void deliver(void *context)
{
    struct offload_task *task = context;
    if (task->earlier) *task->earlier = task->later;
    if (task->later) task->later->earlier = task->earlier;
    task->done(task->context);
    free(task);
}

static struct offload_task *take(struct offload *offload)
{
    pthread_mutex_lock(&offload->mutex);
    while (!offload->first && !offload->closing)
        pthread_cond_wait(&offload->changed, &offload->mutex);
    struct offload_task *task = offload->closing ? NULL : offload->first;
    if (task) {
        offload->first = task->next;
        if (!offload->first) offload->end = &offload->first;
        offload->waiting--;
    }
    pthread_mutex_unlock(&offload->mutex);
    return task;
}

static void *thread_main(void *context)
{
    struct offload *offload = context;
    pthread_mutex_lock(&offload->mutex);
    struct store *store = offload->stores[offload->stores_taken++];
    pthread_mutex_unlock(&offload->mutex);
    for (struct offload_task *task; (task = take(offload));) {
        wanted_until(&task->gave_up);
        if (wanted()) task->work(store, task->context);
        wanted_until(NULL);
        task->post = (struct post){.fn = deliver, .context = task};
        server_post(offload->studio->server, &task->post);
    }
    return NULL;
}

/* Nobody reads the answer of a client that has gone: the work for it ends early. */
static void look_for_gone(void *context)
{
    struct offload *offload = context;
    for (struct offload_task *task = offload->undelivered; task; task = task->later)
        if (task->call && request_abandoned(call_request(task->call))) task->gave_up = true;
}

int offload_create(struct studio *studio, int threads, struct offload **out, struct error *error)
{
    struct offload *offload = calloc(1, sizeof *offload);
    if (!offload) return error_set_memory(error, "the threads");
    CHECK(threads <= THREADS_MAX);
    offload->studio = studio;
    offload->end = &offload->first;
    pthread_mutex_init(&offload->mutex, NULL);
    pthread_cond_init(&offload->changed, NULL);
    offload->watch = server_every(studio->server, LOOK_MS, look_for_gone, offload);
    if (!offload->watch) {
        error_set_memory(error, "the event loop");
        goto fail;
    }
    for (int i = 0; i < threads; i++) {
        if (store_open(studio->home, &offload->stores[i], error)) goto fail;
        if (pthread_create(&offload->threads[i], NULL, thread_main, offload)) {
            store_close(offload->stores[i]);
            error_set_memory(error, "a thread");
            goto fail;
        }
        offload->thread_count++;
    }
    *out = offload;
    return 0;
fail:
    offload_destroy(offload);
    return -1;
}

void offload_destroy(struct offload *offload)
{
    if (!offload) return;
    server_cancel(offload->watch);
    for (struct offload_task *task = offload->undelivered; task; task = task->later)
        task->gave_up = task->call != NULL;
    pthread_mutex_lock(&offload->mutex);
    offload->closing = true;
    pthread_cond_broadcast(&offload->changed);
    pthread_mutex_unlock(&offload->mutex);
    for (int i = 0; i < offload->thread_count; i++) {
        pthread_join(offload->threads[i], NULL);
        store_close(offload->stores[i]);
    }
    /* What is done already is delivered after this. */
    for (struct offload_task *task = offload->undelivered, *next; task; task = next) {
        next = task->later;
        task->later = NULL;
        task->earlier = NULL;
    }
    /* What was never begun still owns its context and its request. */
    while (offload->first) {
        struct offload_task *task = offload->first;
        offload->first = task->next;
        deliver(task);
    }
    pthread_cond_destroy(&offload->changed);
    pthread_mutex_destroy(&offload->mutex);
    free(offload);
}

int offload_run(struct offload *offload, struct call *call, work_fn *work, server_fn *done,
                void *context, struct error *error)
{
    struct offload_task *task = calloc(1, sizeof *task);
    if (!task) return error_set_memory(error, "a task");
    *task = (struct offload_task){
        .offload = offload, .call = call, .work = work, .done = done, .context = context};
    task->later = offload->undelivered;
    task->earlier = &offload->undelivered;
    pthread_mutex_lock(&offload->mutex);
    bool full = offload->waiting >= WAITING_MAX;
    if (!full) {
        *offload->end = task;
        offload->end = &task->next;
        offload->waiting++;
        pthread_cond_signal(&offload->changed);
    }
    pthread_mutex_unlock(&offload->mutex);
    if (!full) {
        if (task->later) task->later->earlier = &task->later;
        offload->undelivered = task;
        return 0;
    }
    free(task);
    return error_set(error, ERROR_UNAVAILABLE,
                     "the studio has too much to do just now: try again in a moment");
}

/* --- calls answered by a thread --- */

struct computation {
    struct studio *studio;
    struct call *call;
    compute_fn *compute;
    void *context;
    char *text; /* owned: the answer */
    struct error error;
};

static void compute_work(struct store *store, void *context)
{
    struct computation *computation = context;
    struct error error;
    json_t *value = NULL;
    if (computation->compute(computation->studio, store, computation->context, &value, &error)) {
        if (wanted()) computation->error = error;
        return;
    }
    computation->text = value ? js_dump(value) : NULL;
    json_decref(value);
    if (!computation->text) error_set_memory(&computation->error, "the answer");
}

static void compute_done(void *context)
{
    struct computation *computation = context;
    if (computation->text)
        call_reply_text(computation->call, call_route(computation->call)->status,
                        computation->text);
    else
        call_fail(computation->call, &computation->error);
    free(computation->text);
    free(computation->context);
    free(computation);
}

void call_compute(struct studio *studio, struct call *call, compute_fn *compute, void *context)
{
    struct error error;
    struct computation *computation = context ? calloc(1, sizeof *computation) : NULL;
    if (!computation) {
        error_set_memory(&error, "the answer");
    } else {
        *computation = (struct computation){
            .studio = studio, .call = call, .compute = compute, .context = context};
        error_set(&computation->error, ERROR_UNAVAILABLE, "the studio is ending: start it again");
        if (!offload_run(studio->offload, call, compute_work, compute_done, computation, &error))
            return;
    }
    free(computation);
    free(context);
    call_fail(call, &error);
}

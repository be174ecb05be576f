#include "http/offload.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/js.h"

#define THREADS_MAX 8
#define WAITING_MAX 256

struct task {
    struct offload *offload;
    struct post post;
    work_fn *work;
    server_fn *done;
    void *context;
    struct task *next;
};

struct offload {
    struct studio *studio;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct task *first, **end;
    int waiting;
    bool closing;
    int thread_count;
    pthread_t threads[THREADS_MAX];
    struct store *stores[THREADS_MAX];
    int stores_taken;
};

static void deliver(void *context)
{
    struct task *task = context;
    task->done(task->context);
    free(task);
}

static struct task *take(struct offload *offload)
{
    pthread_mutex_lock(&offload->mutex);
    while (!offload->first && !offload->closing)
        pthread_cond_wait(&offload->changed, &offload->mutex);
    struct task *task = offload->closing ? NULL : offload->first;
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
    for (struct task *task; (task = take(offload));) {
        task->work(store, task->context);
        task->post = (struct post){.fn = deliver, .context = task};
        server_post(offload->studio->server, &task->post);
    }
    return NULL;
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
    pthread_mutex_lock(&offload->mutex);
    offload->closing = true;
    pthread_cond_broadcast(&offload->changed);
    pthread_mutex_unlock(&offload->mutex);
    for (int i = 0; i < offload->thread_count; i++) {
        pthread_join(offload->threads[i], NULL);
        store_close(offload->stores[i]);
    }
    /* What was never begun still owns its context and its request. */
    while (offload->first) {
        struct task *task = offload->first;
        offload->first = task->next;
        deliver(task);
    }
    pthread_cond_destroy(&offload->changed);
    pthread_mutex_destroy(&offload->mutex);
    free(offload);
}

int offload_run(struct offload *offload, work_fn *work, server_fn *done, void *context,
                struct error *error)
{
    struct task *task = calloc(1, sizeof *task);
    if (!task) return error_set_memory(error, "a task");
    *task = (struct task){.offload = offload, .work = work, .done = done, .context = context};
    pthread_mutex_lock(&offload->mutex);
    bool full = offload->waiting >= WAITING_MAX;
    if (!full) {
        *offload->end = task;
        offload->end = &task->next;
        offload->waiting++;
        pthread_cond_signal(&offload->changed);
    }
    pthread_mutex_unlock(&offload->mutex);
    if (!full) return 0;
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
    json_t *value = NULL;
    if (computation->compute(computation->studio, store, computation->context, &value,
                             &computation->error))
        return;
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
        if (!offload_run(studio->offload, compute_work, compute_done, computation, &error)) return;
    }
    free(computation);
    free(context);
    call_fail(call, &error);
}

#include "serving/scorer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Samples that are computed together at most; a larger request is computed alone. */
#define BATCH_SAMPLES 1024
#define BATCH_JOBS    64
#define ANSWER_MAX    ((size_t)64 << 20)

struct scoring_job {
    const struct scoring_form *form;
    char *body; /* owned */
    size_t size;
    scored_fn *done;
    void *context;
    struct scoring_request request;
    struct buffer answer;
    struct error error;
    bool failed;
    size_t batch;
    struct post post;
    struct scoring_job *next;
};

struct seat { /* one thread's */
    struct scorer *scorer;
    struct predictor predictor; /* its engine; the model is the shared one */
    pthread_t thread;
    double *values, *logits; /* of a batch of several requests, owned */
};

struct scorer {
    struct scorer_options options;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct scoring_job *first, **end;
    uint32_t queued;
    bool closing;
    uint32_t started;
    struct seat seats[SCORER_THREADS_MAX];
};

static void job_free(struct scoring_job *job)
{
    scoring_request_free(&job->request);
    buffer_free(&job->answer);
    free(job->body);
    free(job);
}

static void deliver(void *context)
{
    struct scoring_job *job = context;
    const struct scored scored = {.answer = job->failed ? NULL : &job->answer,
                                  .error = &job->error,
                                  .samples = job->request.count,
                                  .batch = job->batch};
    job->done(job->context, &scored);
    job_free(job);
}

/* --- on a thread --- */

/* Up to BATCH_JOBS requests in the order they came; 0: it is time to end. */
static size_t take(struct scorer *scorer, struct scoring_job *jobs[BATCH_JOBS])
{
    size_t count = 0;
    pthread_mutex_lock(&scorer->mutex);
    while (!scorer->first && !scorer->closing) pthread_cond_wait(&scorer->changed, &scorer->mutex);
    /* Others who wait get their share of a crowd. */
    size_t share = scorer->queued / scorer->options.threads + 1;
    while (scorer->first && count < share && count < BATCH_JOBS) {
        struct scoring_job *job = scorer->first;
        scorer->first = job->next;
        if (!scorer->first) scorer->end = &scorer->first;
        scorer->queued--;
        jobs[count++] = job;
    }
    pthread_mutex_unlock(&scorer->mutex);
    return count;
}

static void compute(struct seat *seat, struct scoring_job *const *jobs, size_t count,
                    size_t samples)
{
    const struct scoring_model *model = seat->scorer->options.model;
    size_t inputs = model->predictor->inputs, classes = model->predictor->classes, at = 0;
    struct error error;
    const double *values = jobs[0]->request.values;
    double *logits = seat->logits, *own = NULL;
    if (samples > BATCH_SAMPLES) logits = own = malloc(samples * classes * sizeof *own);
    for (size_t j = 0; count > 1 && j < count; at += jobs[j++]->request.count)
        memcpy(seat->values + at * inputs, jobs[j]->request.values,
               jobs[j]->request.count * inputs * sizeof *values);
    if (count > 1) values = seat->values;
    bool failed = logits ? engine_infer(seat->predictor.engine, values, samples, logits, &error)
                         : error_set_memory(&error, "the logits");
    at = 0;
    for (size_t j = 0; j < count; at += jobs[j++]->request.count) {
        jobs[j]->batch = samples;
        if (failed) jobs[j]->error = error;
        jobs[j]->failed = failed || scoring_answer(model, &jobs[j]->request, logits + at * classes,
                                                   &jobs[j]->answer, &jobs[j]->error);
    }
    free(own);
}

/* Reads the requests, and computes as many at a time as fit a batch. */
static void serve_jobs(struct seat *seat, struct scoring_job *const *jobs, size_t count)
{
    struct scoring_job *ready[BATCH_JOBS];
    size_t ready_count = 0, samples = 0;
    for (size_t j = 0; j < count; j++) {
        struct scoring_job *job = jobs[j];
        job->failed = scoring_read(seat->scorer->options.model, job->form, job->body, job->size,
                                   &job->request, &job->error);
        if (job->failed) continue;
        if (ready_count && samples + job->request.count > BATCH_SAMPLES) {
            compute(seat, ready, ready_count, samples);
            ready_count = samples = 0;
        }
        ready[ready_count++] = job;
        samples += job->request.count;
    }
    if (ready_count) compute(seat, ready, ready_count, samples);
    for (size_t j = 0; j < count; j++) {
        jobs[j]->post = (struct post){.fn = deliver, .context = jobs[j]};
        server_post(seat->scorer->options.server, &jobs[j]->post);
    }
}

static void *seat_main(void *context)
{
    struct seat *seat = context;
    struct scoring_job *jobs[BATCH_JOBS];
    for (size_t count; (count = take(seat->scorer, jobs));) serve_jobs(seat, jobs, count);
    return NULL;
}

/* --- the loop's side --- */

static int start_seat(struct scorer *scorer, struct seat *seat, struct error *error)
{
    const struct predictor *shared = scorer->options.model->predictor;
    seat->scorer = scorer;
    seat->predictor = *shared;
    seat->predictor.engine = NULL;
    seat->predictor.infers = true;
    seat->values = malloc(BATCH_SAMPLES * shared->inputs * sizeof *seat->values);
    seat->logits = malloc(BATCH_SAMPLES * shared->classes * sizeof *seat->logits);
    if (!seat->values || !seat->logits) return error_set_memory(error, "a batch");
    if (predictor_start(&seat->predictor, scorer->options.ops, 1, NULL, error)) return -1;
    if (pthread_create(&seat->thread, NULL, seat_main, seat))
        return error_set_memory(error, "a thread");
    scorer->started++;
    return 0;
}

int scorer_create(const struct scorer_options *options, struct scorer **out, struct error *error)
{
    struct scorer *scorer = calloc(1, sizeof *scorer);
    if (!scorer) return error_set_memory(error, "the threads");
    scorer->options = *options;
    scorer->end = &scorer->first;
    pthread_mutex_init(&scorer->mutex, NULL);
    pthread_cond_init(&scorer->changed, NULL);
    for (uint32_t i = 0; i < options->threads; i++) {
        if (!start_seat(scorer, &scorer->seats[i], error)) continue;
        scorer_destroy(scorer);
        return -1;
    }
    *out = scorer;
    return 0;
}

void scorer_destroy(struct scorer *scorer)
{
    if (!scorer) return;
    pthread_mutex_lock(&scorer->mutex);
    scorer->closing = true;
    pthread_cond_broadcast(&scorer->changed);
    pthread_mutex_unlock(&scorer->mutex);
    for (uint32_t i = 0; i < scorer->started; i++) pthread_join(scorer->seats[i].thread, NULL);
    for (uint32_t i = 0; i < scorer->options.threads; i++) {
        engine_close(scorer->seats[i].predictor.engine);
        free(scorer->seats[i].values);
        free(scorer->seats[i].logits);
    }
    pthread_cond_destroy(&scorer->changed);
    pthread_mutex_destroy(&scorer->mutex);
    free(scorer);
}

int scorer_ask(struct scorer *scorer, const struct scoring_form *form, const char *body,
               size_t size, scored_fn *done, void *context, struct error *error)
{
    struct scoring_job *job = calloc(1, sizeof *job);
    char *copy = malloc(size + 1);
    if (!job || !copy) {
        free(job);
        free(copy);
        return error_set_memory(error, "a request");
    }
    memcpy(copy, body, size);
    copy[size] = '\0';
    *job = (struct scoring_job){
        .form = form, .body = copy, .size = size, .done = done, .context = context};
    buffer_init(&job->answer, ANSWER_MAX);
    pthread_mutex_lock(&scorer->mutex);
    bool full = scorer->queued >= scorer->options.queue_max;
    if (!full) {
        *scorer->end = job;
        scorer->end = &job->next;
        scorer->queued++;
        pthread_cond_signal(&scorer->changed);
    }
    pthread_mutex_unlock(&scorer->mutex);
    if (!full) return 0;
    job_free(job);
    return error_set(error, ERROR_UNAVAILABLE, "%u requests wait already: try again in a moment",
                     scorer->options.queue_max);
}

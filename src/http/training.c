#include "http/training.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/path.h"
#include "store/recorder.h"

/* All three engines at once are the usual showdown; more only where there are cores for them. */
#define PARALLEL_MIN 3

struct training_run {
    struct training *training;
    char run[64];
    char after[64];        /* starts when that one has ended; "" */
    struct worker *worker; /* NULL while queued, and again once it has ended */
    struct watch *watch;
    struct recorder *recorder;
    bool started, ended, broken;
    bool accept_changed_data;
    bool unwritten; /* it was said that the store cannot be written */
    struct training_run *next;
};

struct training {
    struct studio *studio;
    struct training_run *sessions; /* in the order they came */
    long parallel_max;
    bool stopping;
};

/* The last of a run: the one before may just be ending. */
static struct training_run *find(const struct training *training, const char *run)
{
    struct training_run *found = NULL;
    for (struct training_run *session = training->sessions; session; session = session->next)
        if (strcmp(session->run, run) == 0) found = session;
    return found;
}

int training_create(struct studio *studio, struct training **out, struct error *error)
{
    struct training *training = calloc(1, sizeof *training);
    if (!training) return error_set_memory(error, "the training");
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    *training = (struct training){.studio = studio,
                                  .parallel_max = cores > PARALLEL_MIN ? cores : PARALLEL_MIN};
    *out = training;
    return 0;
}

static void session_free(struct training_run *session)
{
    server_cancel(session->watch);
    worker_destroy(session->worker);
    recorder_destroy(session->recorder);
    free(session);
}

int training_add(struct training *training, const char *run, const char *after, struct error *error)
{
    struct training_run *session = calloc(1, sizeof *session), **end = &training->sessions;
    if (!session) return error_set_memory(error, "a run");
    session->training = training;
    snprintf(session->run, sizeof session->run, "%s", run);
    snprintf(session->after, sizeof session->after, "%s", after ? after : "");
    if (recorder_create(training->studio->store, run, &session->recorder, error)) {
        session_free(session);
        return -1;
    }
    while (*end) end = &(*end)->next;
    *end = session;
    return 0;
}

void training_accept_changed_data(struct training *training, const char *run)
{
    find(training, run)->accept_changed_data = true;
}

static void on_worker_event(void *context, struct worker *worker, const json_t *event)
{
    (void)worker;
    struct training_run *session = context;
    struct error error;
    if (session->broken || !recorder_event(session->recorder, event, &error)) return;
    /* What cannot be kept must not go on: the checkpoint on disk stays. */
    session->broken = true;
    log_error(&error);
    worker_kill(session->worker);
}

static void on_readable(void *context)
{
    struct training_run *session = context;
    if (worker_read(session->worker)) return;
    server_cancel(session->watch);
    session->watch = NULL;
    session->ended = true;
}

/* The job as it is started: with the checkpoint, when there is one. */
static int start_worker(struct training_run *session, struct error *error)
{
    struct run_record record;
    struct store *store = session->training->studio->store;
    if (store_run_get(store, session->run, &record, error)) return -1;
    struct job *job = &record.job;
    char *path = path_join(job->run_dir, "checkpoint.safetensors");
    if (!path) return error_set_memory(error, "a path");
    job->ranks = 0; /* the studio starts one process, however many a terminal has had */
    if (file_exists(path)) snprintf(job->resume, sizeof job->resume, "%s", path);
    free(path);
    if (session->accept_changed_data)
        snprintf(job->changed_data, sizeof job->changed_data, "accept");
    if (file_make_directories(job->run_dir, error) ||
        store_run_set_state(store, session->run, RUN_STARTING, NULL, error) ||
        worker_start(job, on_worker_event, session, &session->worker, error))
        return -1;
    recorder_watch(session->recorder, worker_pid(session->worker));
    session->watch = server_on_readable(session->training->studio->server,
                                        worker_fd(session->worker), on_readable, session);
    return session->watch ? 0 : error_set_memory(error, "a worker's events");
}

static void start(struct training_run *session)
{
    struct error error, ignored;
    session->started = true;
    if (!start_worker(session, &error)) return;
    session->ended = true;
    store_run_set_state(session->training->studio->store, session->run, RUN_FAILED, error.message,
                        &ignored);
}

static void start_waiting(struct training *training)
{
    long busy = 0;
    for (struct training_run *session = training->sessions; session; session = session->next)
        busy += session->started;
    for (struct training_run *session = training->sessions; session && !training->stopping;
         session = session->next) {
        if (session->started || busy >= training->parallel_max) continue;
        if (session->after[0] && find(training, session->after)) continue;
        start(session);
        busy++;
    }
}

/* Writes a session's events. 1 when all is done with it. */
static int settle(struct training_run *session)
{
    struct error error;
    /* A full disk may have room later: what waits is kept and tried again, until it is too much
     * (on_worker_event()). */
    if (recorder_flush(session->recorder, &error)) {
        if (!session->unwritten) log_error(&error);
        session->unwritten = true;
        return 0;
    }
    session->unwritten = false;
    return session->ended;
}

void training_tick(struct training *training)
{
    for (struct training_run **place = &training->sessions; *place;) {
        struct training_run *session = *place;
        if (!settle(session)) {
            place = &session->next;
            continue;
        }
        *place = session->next;
        session_free(session);
    }
    start_waiting(training);
}

static int drop_queued(struct training *training, struct training_run *session, struct error *error)
{
    struct training_run **place = &training->sessions;
    while (*place != session) place = &(*place)->next;
    *place = session->next;
    int status = store_run_set_state(training->studio->store, session->run, RUN_STOPPED, NULL,
                                     error);
    session_free(session);
    return status;
}

int training_command(struct training *training, const char *run, enum worker_command command,
                     struct error *error)
{
    struct run_record record;
    struct training_run *session = find(training, run);
    if (store_run_get(training->studio->store, run, &record, error)) return -1;
    /* A worker's last word is written before the process has ended. */
    if (!session || session->ended || !run_state_is_live(record.state))
        return error_set(
            error, ERROR_CONFLICT,
            "run %.60s is %s: only a run that trains in this studio can be paused, resumed or "
            "stopped",
            run, run_state_name(record.state));
    if (!session->started && command == WORKER_STOP) return drop_queued(training, session, error);
    if (!session->started)
        return error_set(error, ERROR_CONFLICT,
                         "run %.60s waits in the queue: it can only be stopped", run);
    if (record.state == RUN_STOPPING)
        return error_set(error, ERROR_CONFLICT, "run %.60s is stopping already", run);
    if (worker_command(session->worker, command, error)) return -1;
    return command == WORKER_STOP
               ? store_run_set_state(training->studio->store, run, RUN_STOPPING, NULL, error)
               : 0;
}

void training_stop_all(struct training *training)
{
    struct error ignored;
    training->stopping = true;
    for (struct training_run *session = training->sessions, *next; session; session = next) {
        next = session->next;
        if (!session->started)
            drop_queued(training, session, &ignored);
        else if (!session->ended)
            worker_command(session->worker, WORKER_STOP, &ignored);
    }
}

bool training_idle(const struct training *training)
{
    return !training->sessions;
}

void training_destroy(struct training *training)
{
    if (!training) return;
    while (training->sessions) {
        struct training_run *next = training->sessions->next;
        session_free(training->sessions);
        training->sessions = next;
    }
    free(training);
}

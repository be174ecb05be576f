#include "run/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/js.h"
#include "base/path.h"
#include "modelfile/modelfile.h"
#include "run/checkpoint.h"
#include "run/control.h"
#include "run/events.h"
#include "run/job.h"
#include "run/journal.h"
#include "run/rank.h"
#include "run/rate.h"
#include "run/settings.h"
#include "run/setup.h"
#include "train/predictor.h"

/* How long the run's folder may still be another's. */
#define LOCK_SECONDS 2.0

/* All that one run needs. It lives as long as the process. */
struct worker_run {
    double started;
    struct events events;
    struct control control;
    const struct engine_ops *ops;
    struct engine_probe probe;
    struct dataset *dataset;
    struct ranks *ranks;   /* NULL: trains alone */
    double train_seconds;  /* of the epochs that ended in this process */
    double seconds_before; /* in communication, before the epoch under way */
    double communication;  /* seconds, of the epochs that ended in this process */
    struct engine *engine;
    /* the job, and the state as of the last snapshot; position is always up to date */
    struct checkpoint now;
    uint64_t saved_step; /* global step of the last checkpoint written; UINT64_MAX: none */
    uint64_t said_step;  /* likewise, of the last that was told of */
    /* the epoch whose weights the model has, if it ends now: the last one, or the best that is
     * kept; epoch 0: none that was measured */
    struct fit_epoch last;
    uint32_t threads;
    struct journal journal; /* of every loss and epoch, beside the events */
    struct error failed;    /* what a callback of fit() could not do; no message: nothing */
    bool unkept;            /* it was said that the checkpoint cannot be written */
};

/* Weights and slots out of the engine into session->now. */
static int take_snapshot(struct worker_run *session, struct error *error)
{
    if (engine_get_parameters(session->engine, session->now.parameters, error)) return -1;
    return engine_get_optimizer_state(session->engine, session->now.optimizer_state, error);
}

static int write_checkpoint(struct worker_run *session, struct error *error)
{
    if (session->saved_step == session->now.position.global_step) return 0;
    char *path = checkpoint_path(&session->now.job);
    if (!path) return error_set_memory(error, "a path");
    int status = take_snapshot(session, error) || checkpoint_write(path, &session->now, error) ? -1
                                                                                               : 0;
    if (!status) session->saved_step = session->now.position.global_step;
    free(path);
    return status;
}

/* Once for each that was written. */
static void say_checkpoint(struct worker_run *session)
{
    const struct fit_position *position = &session->now.position;
    if (session->said_step == session->saved_step) return;
    char *path = checkpoint_path(&session->now.job);
    session->said_step = session->saved_step;
    events_send(&session->events,
                json_pack("{s:s, s:s, s:s?, s:I, s:I, s:I}", "event", "checkpoint", "engine",
                          session->ops->id, "path", path, "epoch", (json_int_t)position->epoch,
                          "step", (json_int_t)position->step, "global_step",
                          (json_int_t)position->global_step));
    free(path);
}

static int save_checkpoint(struct worker_run *session, struct error *error)
{
    int status = write_checkpoint(session, error);
    if (!status) say_checkpoint(session);
    return status;
}

/* A disk that is full now may have room later, and the model may go elsewhere: the training goes
 * on, and the next epoch tries again. Said once as long as it lasts. */
static void say_kept(struct worker_run *session, bool failed, const struct error *error)
{
    if (!failed) say_checkpoint(session);
    if (failed && !session->unkept)
        events_send_log(&session->events, session->ops->id,
                        "the checkpoint was not written, and the training goes on without it: %s",
                        error->message);
    if (!failed && session->unkept)
        events_send_log(&session->events, session->ops->id, "the checkpoint is written again");
    session->unkept = failed;
}

static void keep_checkpoint(struct worker_run *session)
{
    struct error error;
    bool failed = write_checkpoint(session, &error) != 0;
    say_kept(session, failed, &error);
}

/* Keeps an event in the run's journal and says it. Takes the reference. */
static void tell(struct worker_run *session, json_t *event)
{
    if (event) journal_add_event(&session->journal, event);
    events_send(&session->events, event);
}

static void send_state(struct worker_run *session, const char *state)
{
    events_send(&session->events, json_pack("{s:s, s:s, s:s}", "event", "state", "engine",
                                            session->ops->id, "state", state));
}

/* Looks whether a command has come. A paused run has its checkpoint on disk: the machine may
 * be switched off. */
static enum fit_request heed(struct worker_run *session)
{
    enum control_state state = control_state(&session->control);
    if (state == CONTROL_PAUSE) {
        keep_checkpoint(session);
        send_state(session, "paused");
        state = control_wait(&session->control);
        if (state == CONTROL_GO_ON) send_state(session, "running");
    }
    return state == CONTROL_STOP ? FIT_STOP : FIT_GO_ON;
}

static enum fit_request on_steps(void *context, const struct fit_position *position,
                                 uint64_t first_step, const double *losses, size_t count)
{
    struct worker_run *session = context;
    journal_add_losses(&session->journal, first_step, losses, count);
    events_send_steps(&session->events, session->ops->id, first_step, position->train_seconds,
                      losses, count);
    return heed(session);
}

static double wanted_rate(void *context)
{
    const struct worker_run *session = context;
    return rate_take(session->now.job.run_dir);
}

/* The change is part of the run: in its journal, and in a checkpoint before the next step. */
static void on_rate(void *context, const struct fit_position *position, bool taken)
{
    struct worker_run *session = context;
    const struct fit_change *change = &position->change;
    if (!taken) {
        events_send_log(&session->events, session->ops->id,
                        "the learning rate stays: the schedule has a rate of 0 at step %llu, which "
                        "cannot be multiplied",
                        (unsigned long long)position->global_step);
        return;
    }
    tell(session,
         json_pack("{s:s, s:s, s:s, s:I, s:f, s:f}", "event", "rate", "run", session->now.job.run,
                   "engine", session->ops->id, "global_step", (json_int_t)change->step, "rate",
                   change->rate, "planned", change->planned));
    session->saved_step = session->said_step = UINT64_MAX;
    keep_checkpoint(session);
}

static bool keeps_best(const struct worker_run *session)
{
    return session->now.job.keep == JOB_KEEP_BEST;
}

/* The epoch's weights, until there is a better one. */
static int keep_best(struct worker_run *session, struct error *error)
{
    struct checkpoint *now = &session->now;
    if (take_snapshot(session, error)) return -1;
    if (!now->best && parameters_create(&now->network, now->job.dtype, &now->best, error))
        return -1;
    memcpy(now->best->values, now->parameters->values,
           now->best->value_count * dtype_size(now->job.dtype));
    return 0;
}

/* What the others cost in the epoch that ended: the evaluation is rank 0's alone. */
static void add_communication(struct worker_run *session, json_t *event)
{
    double seconds = ranks_seconds(session->ranks), epoch = seconds - session->seconds_before;
    session->seconds_before = seconds;
    session->communication += epoch;
    json_object_set_new(event, "ranks", json_integer(ranks_size(session->ranks)));
    json_object_set_new(event, "communication_seconds", js_real(epoch));
}

static enum fit_request on_epoch_end(void *context, const struct fit_position *position,
                                     const struct fit_epoch *epoch)
{
    struct worker_run *session = context;
    struct error error;
    if (keeps_best(session) && epoch->best && keep_best(session, &error)) {
        session->failed = error;
        return FIT_STOP;
    }
    if (!keeps_best(session) || epoch->best) session->last = *epoch;
    session->train_seconds += epoch->seconds;
    json_t *event = json_pack("{s:s, s:s, s:I}", "event", "epoch", "engine", session->ops->id,
                              "epoch", (json_int_t)epoch->epoch);
    json_object_set_new(event, "loss", js_real(epoch->loss));
    json_object_set_new(event, "accuracy", js_real(epoch->accuracy));
    json_object_set_new(event, "val_loss", js_real(epoch->val_loss));
    json_object_set_new(event, "val_accuracy", js_real(epoch->val_accuracy));
    if (session->dataset->validation.count) {
        json_object_set_new(event, "validation_loss", js_real(epoch->validation_loss));
        json_object_set_new(event, "validation_accuracy", js_real(epoch->validation_accuracy));
    }
    json_object_set_new(event, "seconds", js_real(epoch->seconds));
    json_object_set_new(event, "samples_per_second", js_real(epoch->samples_per_second));
    json_object_set_new(event, "learning_rate", js_real(epoch->learning_rate));
    json_object_set_new(event, "global_step", json_integer((json_int_t)position->global_step));
    json_object_set_new(event, "cpu_seconds", js_real(clock_cpu_seconds()));
    json_object_set_new(event, "peak_rss_bytes", json_integer((json_int_t)clock_peak_rss()));
    if (session->ranks) add_communication(session, event);
    /* An epoch that was shown is one that the run can go on from: its checkpoint is there before,
     * wherever the process is killed. */
    if (event) journal_add_event(&session->journal, event);
    bool failed = write_checkpoint(session, &error) != 0;
    events_send(&session->events, event);
    say_kept(session, failed, &error);
    return heed(session);
}

/* Makes the run's folder, locks it against a second worker, and keeps the job there. */
static int claim_run_dir(struct worker_run *session, struct error *error)
{
    const struct job *job = &session->now.job;
    if (!job->run[0] || !job->run_dir[0])
        return error_set(error, ERROR_INPUT, "the job names no run and no folder for it");
    if (file_make_directories(job->run_dir, error)) return -1;
    char *lock = path_join(job->run_dir, "lock"), *kept = path_join(job->run_dir, "job.json");
    char *checkpoint = checkpoint_path(job), *text = NULL;
    json_t *value = job_to_json(job);
    int status = -1;
    if (value) text = js_dump_as(value, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    if (!lock || !kept || !checkpoint || !text) {
        error_set_memory(error, "the job");
        goto out;
    }
    /* stays open: the lock lasts as long as the process */
    int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        error_set_errno(error, errno, "cannot write %s", lock);
        goto out;
    }
    /* The worker before may have said its last word and not be gone yet. */
    double patience = clock_monotonic() + LOCK_SECONDS;
    while ((status = flock(fd, LOCK_EX | LOCK_NB)) && clock_monotonic() < patience)
        poll(NULL, 0, 5);
    if (status) {
        close(fd);
        error_set(error, ERROR_CONFLICT,
                  "the run %s is being trained already: wait for it, or stop it first", job->run);
        goto out;
    }
    file_remove_unfinished(checkpoint);
    /* What was asked of a worker that is gone holds for this one, unless the run begins anew. */
    if (!job->resume[0]) rate_take(job->run_dir);
    status = file_write(kept, text, strlen(text), error);
out:
    json_decref(value);
    free(text);
    free(lock);
    free(kept);
    free(checkpoint);
    return status;
}

static int open_dataset(struct worker_run *session, struct error *error)
{
    struct checkpoint *now = &session->now;
    int status = claim_run_dir(session, error) ||
                 setup_dataset(&now->job, &session->dataset, error) ||
                 dataset_hash(session->dataset, now->data_sha256, error);
    /* the model file names it, too */
    if (!status) memcpy(session->dataset->hash, now->data_sha256, sizeof session->dataset->hash);
    return session->ranks ? rank_agree_on_data(session->ranks, status, now->data_sha256, error)
                          : status;
}

/* A run is trained on the same data from beginning to end, unless someone has said otherwise. */
static int check_same_data(struct worker_run *session, const struct checkpoint *begun,
                           struct error *error)
{
    const char *then = begun->data_sha256, *now = session->now.data_sha256;
    if (!then[0] || strcmp(then, now) == 0) return 0;
    if (strcmp(session->now.job.changed_data, "accept") == 0) {
        events_send_log(&session->events, session->ops->id,
                        "continues with changed data, as requested: SHA-256 %.12s until step %llu, "
                        "%.12s from there on",
                        then, (unsigned long long)begun->position.global_step, now);
        return 0;
    }
    return error_set(error, ERROR_CONFLICT,
                     "%s has changed since the run was begun (SHA-256 %.12s then, %.12s now): put "
                     "the data back, or resume with the changed data (--accept-changed-data)",
                     session->dataset->title, then, now);
}

/* The parameters a run starts with, and the optimizer's first state. */
static int make_start(struct worker_run *session, struct error *error)
{
    struct checkpoint *now = &session->now;
    if (setup_parameters(&now->job, session->dataset, &now->network, &now->parameters, error))
        return -1;
    return optimizer_state_create(&now->job.optimizer, &now->network, now->job.dtype,
                                  &now->optimizer_state, error);
}

/* The folder of the run whose checkpoint this one goes on from, malloc'd; NULL when there is
 * none. */
static char *source_folder(const struct worker_run *session)
{
    const char *checkpoint = session->now.job.resume, *slash = strrchr(checkpoint, '/');
    return slash ? strndup(checkpoint, (size_t)(slash - checkpoint)) : NULL;
}

/* Of the epochs that the run which goes on has done, the one whose weights the model has until
 * another takes its place: its figures are the model's. */
static void recall_epoch(struct worker_run *session)
{
    char *folder = source_folder(session);
    json_t *epochs = folder
                         ? journal_read_events(folder, "epoch", session->now.position.global_step)
                         : NULL;
    uint32_t wanted = keeps_best(session) ? session->now.position.best.epoch
                                          : session->now.position.epoch;
    const json_t *event;
    size_t index;
    json_array_foreach(epochs, index, event) {
        uint32_t epoch = (uint32_t)json_integer_value(json_object_get(event, "epoch"));
        if (!epoch || epoch != wanted) continue;
        session->last = (struct fit_epoch){
            .epoch = epoch,
            .loss = json_number_value(json_object_get(event, "loss")),
            .accuracy = json_number_value(json_object_get(event, "accuracy")),
            .val_loss = json_number_value(json_object_get(event, "val_loss")),
            .val_accuracy = json_number_value(json_object_get(event, "val_accuracy")),
        };
    }
    json_decref(epochs);
    free(folder);
}

static int read_start(struct worker_run *session, struct error *error)
{
    struct checkpoint begun;
    struct job job = session->now.job;
    if (checkpoint_read(job.resume, &begun, error)) return -1;
    if (settings_same_run(&job, &begun.job, error) || check_same_data(session, &begun, error) ||
        setup_check_network(&begun.network, session->dataset, job.resume, error)) {
        checkpoint_clear(&begun);
        return -1;
    }
    memcpy(begun.data_sha256, session->now.data_sha256, sizeof begun.data_sha256);
    /* another rate in the settings is a new beginning */
    if (job.optimizer.learning_rate != begun.job.optimizer.learning_rate) {
        begun.position.change = (struct fit_change){0};
        rate_take(job.run_dir);
    }
    session->now = begun;
    session->now.job = job;
    session->now.job.changed_data[0] = '\0'; /* said of this change, not of the next */
    recall_epoch(session);
    return 0;
}

static int open_engine(struct worker_run *session, struct error *error)
{
    const struct checkpoint *now = &session->now;
    session->ops->probe(&session->probe);
    if (setup_engine(&now->job, session->ops, session->threads, &now->network, session->dataset,
                     now->parameters, &session->engine, error))
        return -1;
    return engine_set_optimizer_state(session->engine, now->optimizer_state, error);
}

static void send_start(struct worker_run *session)
{
    const struct job *job = &session->now.job;
    const struct fit_position *position = &session->now.position;
    const struct dataset *dataset = session->dataset;
    json_t *event = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:f, s:I, s:I}",
                              "event", "start", "run", job->run, "engine", session->ops->id,
                              "engine_version", session->probe.version, "dataset", dataset->name,
                              "samples", (json_int_t)dataset->train.count, "parameters",
                              (json_int_t)network_parameter_count(&session->now.network), "epochs",
                              (json_int_t)job->epochs, "batch_size", (json_int_t)job->batch_size,
                              "lr", job->optimizer.learning_rate, "seed", (json_int_t)job->seed,
                              "threads", (json_int_t)session->threads);
    json_t *more = json_pack(
        "{s:s, s:s, s:s, s:I, s:b, s:I, s:I, s:I, s:I, s:s, s:s, s:o, s:o}", "engine_title",
        session->ops->title, "engine_detail", session->probe.detail, "dataset_title",
        dataset->title, "test_samples", (json_int_t)dataset->test.count, "synthetic",
        (int)dataset->synthetic, "steps_per_epoch",
        (json_int_t)fit_steps_per_epoch(dataset->train.count, job->batch_size), "epoch",
        (json_int_t)position->epoch, "step", (json_int_t)position->step, "global_step",
        (json_int_t)position->global_step, "dtype", dtype_name(job->dtype), "meaning",
        meaning_name(job->optimizer.meaning), "optimizer", optimizer_to_json(&job->optimizer),
        "network", network_to_json(&session->now.network));
    if (dataset->validation.count)
        json_object_set_new(more, "validation_samples",
                            json_integer((json_int_t)dataset->validation.count));
    char *summary = dataset_summary(dataset);
    if (summary) json_object_set_new(more, "data", js_shown(summary));
    free(summary);
    json_object_set_new(more, "schedule", json_string(job->schedule));
    json_object_set_new(more, "warmup", json_integer(job->warmup));
    json_object_set_new(more, "data_sha256", json_string(session->now.data_sha256));
    /* of an epoch that was begun before */
    json_object_set_new(more, "seconds", js_real(position->train_seconds));
    if (session->ranks) {
        json_object_set_new(more, "ranks", json_integer(job->ranks));
        events_send_log(&session->events, session->ops->id,
                        "trains on %u ranks by %s, each computing its part of every batch",
                        ranks_size(session->ranks), ranks_library(session->ranks));
    }
    json_object_update_missing(event, more);
    json_decref(more);
    tell(session, event);
}

static int begin(struct worker_run *session, struct error *error)
{
    const struct job *job = &session->now.job;
    if (job->resume[0] ? read_start(session, error) : make_start(session, error)) return -1;
    /* One that has done all of them may still have its model to write. */
    if (session->now.position.epoch > job->epochs)
        return error_set(error, ERROR_INPUT,
                         "the run has done %u epochs, more than the %u asked for: give more with "
                         "--epochs",
                         session->now.position.epoch, job->epochs);
    if (session->ranks && engine_check_parts(session->ops, error)) return -1;
    return open_engine(session, error);
}

static int prepare(struct worker_run *session, struct error *error)
{
    const struct job *job = &session->now.job;
    session->threads = job->threads ? job->threads : engine_default_threads(session->ops);
    if (job->ranks > 1) {
        if (!job->threads) session->threads = rank_threads(session->threads);
        if (rank_share_job(job, &session->ranks, error)) return -1;
    }
    if (open_dataset(session, error)) return -1;
    int status = begin(session, error);
    return session->ranks
               ? rank_lead(session->ranks, status, &session->now.network, &session->engine, error)
               : status;
}

static json_t *model_metadata(const struct worker_run *session, struct error *error)
{
    const struct job *job = &session->now.job;
    json_t *metadata = json_pack("{s:s, s:s, s:s, s:s}", "studio", NNSTUDIO_VERSION, "run",
                                 job->run, "engine", session->ops->id, "engine_version",
                                 session->probe.version);
    if (predictor_describe_data(session->dataset, metadata, error)) {
        json_decref(metadata);
        return NULL;
    }
    if (job->limit) json_object_set_new(metadata, "dataset_limit", json_sprintf("%u", job->limit));
    const struct {
        const char *key;
        double value;
    } figures[] = {{"epochs", session->now.best ? session->now.position.best.epoch
                                                : session->now.position.epoch},
                   {"seed", (double)job->seed},
                   /* of a run that was stopped in its first epoch nothing was measured */
                   {"accuracy", session->last.val_accuracy},
                   {"loss", session->last.val_loss}};
    for (size_t i = 0; i < (session->last.epoch ? 4 : 2); i++) {
        char text[32];
        snprintf(text, sizeof text, "%.17g", figures[i].value);
        json_object_set_new(metadata, figures[i].key, json_string(text));
    }
    return metadata;
}

/* The engine's own format; where that has no words for some layer, the one that carries every
 * network, and the log says why. */
static const char *format_to_write(struct worker_run *session)
{
    const struct modelfile_format *own = modelfile_format_find(session->ops->model_format);
    struct error why;
    if (!own->carries || own->carries(&session->now.network, &why) == 0) return own->id;
    events_send_log(&session->events, session->ops->id, "the model is saved as .safetensors: %s",
                    why.message);
    return "safetensors";
}

/* OUT/NAME.pth and so on; *path is the caller's. */
static int write_model(struct worker_run *session, char **path, char sha256[HASH_HEX_SIZE],
                       uint64_t *bytes, struct error *error)
{
    const struct job *job = &session->now.job;
    const struct checkpoint *now = &session->now;
    struct model model = {.network = now->network,
                          .parameters = now->best ? now->best : now->parameters};
    if (file_make_directories(job->out_dir, error) || take_snapshot(session, error)) return -1;
    char name[128];
    const char *format = format_to_write(session);
    snprintf(name, sizeof name, "%s.%s", job->name, format);
    snprintf(model.format, sizeof model.format, "%s", format);
    *path = path_join(job->out_dir, name);
    if (!*path) return error_set_memory(error, "a path");
    model.metadata = model_metadata(session, error);
    if (!model.metadata) return -1;
    int status = modelfile_write(*path, &model, error);
    json_decref(model.metadata);
    return status ? -1 : hash_file(*path, sha256, bytes, error);
}

static json_t *end_event(const struct worker_run *session, const char *state)
{
    json_t *event = json_pack("{s:s, s:s, s:s, s:s}", "event", "end", "run", session->now.job.run,
                              "engine", session->now.job.engine, "state", state);
    json_object_set_new(event, "seconds", js_real(clock_monotonic() - session->started));
    json_object_set_new(event, "cpu_seconds", js_real(clock_cpu_seconds()));
    json_object_set_new(event, "peak_rss_bytes", json_integer((json_int_t)clock_peak_rss()));
    return event;
}

/* What several ranks cost, in the run's log. */
static void tell_communication(struct worker_run *session)
{
    double seconds = session->communication;
    if (session->ranks && session->train_seconds > 0)
        events_send_log(&session->events, session->ops->id,
                        "%u ranks: %.3g of %.3g s of training went into communication and waiting "
                        "for one another (%.0f %%)",
                        ranks_size(session->ranks), seconds, session->train_seconds,
                        100 * seconds / session->train_seconds);
}

/* Why a run ends before its last epoch, in its log. */
static void tell_early_stop(struct worker_run *session, bool finished)
{
    const struct fit_position *position = &session->now.position;
    const struct fit_best *best = &position->best;
    if (!finished || position->epoch >= session->now.job.epochs) return;
    events_send_log(&session->events, session->ops->id,
                    "stopped after epoch %u of %u: no smaller %s loss for %u epoch%s (%.6g in "
                    "epoch %u); the model has the weights of epoch %u",
                    position->epoch, session->now.job.epochs,
                    session->dataset->validation.count ? "validation" : "test", best->since,
                    best->since == 1 ? "" : "s", best->loss, best->epoch,
                    session->now.best ? best->epoch : position->epoch);
}

/* The last words: the model, the figures. */
static int finish(struct worker_run *session, struct error *error)
{
    char *path = NULL, sha256[HASH_HEX_SIZE];
    uint64_t bytes;
    const struct fit_position *position = &session->now.position;
    const struct fit_config config = {.epochs = session->now.job.epochs,
                                      .patience = session->now.job.early_stop};
    bool finished = fit_is_over(&config, position);
    tell_communication(session);
    if (finished) keep_checkpoint(session); /* the model is what matters */
    int status = finished ? 0 : save_checkpoint(session, error);
    struct error other;
    if (write_model(session, &path, sha256, &bytes, status ? &other : error)) status = -1;
    if (status) {
        free(path);
        return -1;
    }
    json_t *event = end_event(session, finished ? "finished" : "stopped");
    json_object_set_new(event, "model", json_string(path));
    char *absolute = realpath(path, NULL);
    json_object_set_new(event, "model_path", absolute ? json_string(absolute) : json_null());
    free(absolute);
    json_object_set_new(event, "sha256", json_string(sha256));
    json_object_set_new(event, "bytes", json_integer((json_int_t)bytes));
    json_object_set_new(event, "epoch", json_integer(position->epoch));
    json_object_set_new(event, "global_step", json_integer((json_int_t)position->global_step));
    tell_early_stop(session, finished);
    if (session->now.best)
        json_object_set_new(event, "best_epoch", json_integer(position->best.epoch));
    if (session->last.epoch) {
        json_object_set_new(event, "loss", js_real(session->last.loss));
        json_object_set_new(event, "val_loss", js_real(session->last.val_loss));
        json_object_set_new(event, "val_accuracy", js_real(session->last.val_accuracy));
    }
    tell(session, event);
    free(path);
    return 0;
}

static int train(struct worker_run *session, struct error *error)
{
    const struct job *job = &session->now.job;
    struct fit_config config = {
        .epochs = job->epochs,
        .batch_size = job->batch_size,
        .seed = job->seed,
        .patience = job->early_stop,
        .needs_best = keeps_best(session),
    };
    if (job_schedule(job, &config.schedule, error)) return -1;
    const struct fit_callbacks callbacks = {session, on_steps, on_epoch_end, wanted_rate, on_rate};
    if (session->ranks) session->seconds_before = ranks_seconds(session->ranks);
    if (fit(session->engine, session->dataset, &config, &session->now.position, &callbacks, error))
        return -1;
    if (session->failed.message[0]) {
        *error = session->failed;
        return -1;
    }
    return session->ranks ? ranks_check_equal(session->ranks, session->engine, error) : 0;
}

/* On the control thread: the main thread may be deep in a framework's loading, so the process ends
 * here. */
static void stop_early(void *context)
{
    struct worker_run *session = context;
    json_t *event = end_event(session, "stopped");
    json_object_set_new(event, "model", json_null());
    events_send(&session->events, event);
    _exit(0);
}

static int receive_job(struct worker_run *session, struct error *error)
{
    const char *line;
    size_t length;
    json_t *value;
    if (control_read_line(&session->control, &line, &length, error) ||
        js_parse_object(line, length, "the job", &value, error))
        return -1;
    int status = job_from_json(value, &session->now.job, error);
    json_decref(value);
    if (status) return -1;
    session->ops = engine_find(session->now.job.engine);
    return control_listen(&session->control, length + 1, error);
}

static int work(struct worker_run *session, struct error *error)
{
    if (receive_job(session, error) || prepare(session, error)) return -1;
    if (control_begin_training(&session->control)) stop_early(session);
    char *source = source_folder(session);
    journal_open(&session->journal, session->now.job.run_dir, source,
                 session->now.position.global_step);
    free(source);
    send_start(session);
    return train(session, error) || finish(session, error) ? -1 : 0;
}

void worker_main(void)
{
    static struct worker_run session;
    struct error error;
    session.started = clock_monotonic();
    session.saved_step = session.said_step = UINT64_MAX;
    session.journal = (struct journal){-1, -1};
    /* Frameworks print to standard output when they please; the events get a descriptor nobody else
     * knows. */
    int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (fd < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) _exit(1);
    events_init(&session.events, fd);
    control_init(&session.control);
    session.control.on_early_stop = stop_early;
    session.control.context = &session;
    job_init(&session.now.job);
    int status = 0;
    if (work(&session, &error)) {
        tell(&session, events_error(session.now.job.run, session.now.job.engine, &error));
        status = 1;
    }
    ranks_leave(session.ranks);
    /* No destructors: the frameworks' own now and then crash or hang, and everything of ours is on
     * disk. */
    _exit(status);
}

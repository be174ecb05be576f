#include "run/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/child.h"
#include "base/environment.h"
#include "base/file.h"
#include "base/js.h"
#include "base/path.h"
#include "run/checkpoint.h"

#define LINE_LIMIT ((size_t)16 << 20)
/* The most read in one call, so that one worker cannot keep the loop to itself. */
#define READ_AT_ONCE ((size_t)1 << 20)
/* How long a worker whose output ended may take to be gone. */
#define GRACE_SECONDS 2.0

struct worker {
    struct job job;
    worker_event_fn *on_event;
    void *context;
    pid_t pid;   /* 0 once reaped */
    int input;   /* commands; -1 when closed */
    int output;  /* events, non-blocking; -1 when closed */
    bool ended;  /* "end" or "error" was handed on */
    bool broken; /* it said something that is not an event */
    struct buffer line;
};

/* What frameworks print goes here: the last words of a worker that crashes are worth having. */
static char *log_path(const struct job *job)
{
    return path_join(job->run_dir, "worker.log");
}

static int open_log(const struct job *job)
{
    struct error ignored;
    char *path = NULL;
    int fd = -1;
    if (job->run_dir[0] && !file_make_directories(job->run_dir, &ignored) && (path = log_path(job)))
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    free(path);
    return fd >= 0 ? fd : open("/dev/null", O_WRONLY | O_CLOEXEC);
}

/* The child gets its own process group: a Ctrl-C in the terminal is for us, and we tell the
 * workers. */
static int spawn(pid_t *pid, int input, int output, int log, struct error *error)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    char *const argv[] = {(char[]){"nnstudio"}, (char[]){"worker"}, NULL};
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGINT);
    sigaddset(&defaults, SIGTERM);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, log, STDERR_FILENO);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    char **environment = environment_for_child(NULL);
    int number = environment
                     ? posix_spawn(pid, "/proc/self/exe", &actions, &attributes, argv, environment)
                     : ENOMEM;
    free(environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return number ? error_set_errno(error, number, "cannot start a worker process") : 0;
}

static int send_line(struct worker *worker, json_t *value, struct error *error)
{
    char *text = value ? js_dump(value) : NULL;
    json_decref(value);
    if (!text) return error_set_memory(error, "a message to the worker");
    size_t length = strlen(text);
    text[length] = '\n'; /* in place of the NUL */
    ssize_t done;
    do done = worker->input >= 0 ? write(worker->input, text, length + 1) : (errno = EPIPE, -1);
    while (done < 0 && errno == EINTR);
    free(text);
    if (done == (ssize_t)length + 1) return 0;
    return error_set(error, ERROR_CONFLICT, "the worker of %s no longer listens",
                     worker->job.engine);
}

static void close_end(int *fd)
{
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

int worker_start(const struct job *job, worker_event_fn *on_event, void *context,
                 struct worker **out, struct error *error)
{
    int input[2] = {-1, -1}, output[2] = {-1, -1}, log = -1, status = -1;
    struct worker *worker = calloc(1, sizeof *worker);
    if (!worker) return error_set_memory(error, "a worker");
    *worker = (struct worker){
        .job = *job, .on_event = on_event, .context = context, .input = -1, .output = -1};
    buffer_init(&worker->line, LINE_LIMIT);
    if (pipe2(input, O_CLOEXEC) || pipe2(output, O_CLOEXEC)) {
        error_set_errno(error, errno, "cannot make a pipe to a worker");
        goto out;
    }
    log = open_log(job);
    if (spawn(&worker->pid, input[0], output[1], log, error)) goto out;
    worker->input = input[1];
    worker->output = output[0];
    input[1] = output[0] = -1;
    /* room for a busy reader; the default does as well */
    fcntl(worker->output, F_SETPIPE_SZ, 1 << 20);
    fcntl(worker->output, F_SETFL, O_NONBLOCK);
    fcntl(worker->input, F_SETFL, O_NONBLOCK);
    if (send_line(worker, job_to_json(job), error)) goto out;
    *out = worker;
    status = 0;
out:
    close_end(&input[0]);
    close_end(&input[1]);
    close_end(&output[0]);
    close_end(&output[1]);
    close_end(&log);
    if (status) worker_destroy(worker);
    return status;
}

const struct job *worker_job(const struct worker *worker)
{
    return &worker->job;
}

pid_t worker_pid(const struct worker *worker)
{
    return worker->pid;
}

int worker_fd(const struct worker *worker)
{
    return worker->output;
}

static void hand_on(struct worker *worker, const json_t *event)
{
    const char *kind = json_string_value(json_object_get(event, "event"));
    if (worker->ended || !kind) return;
    worker->ended = strcmp(kind, "end") == 0 || strcmp(kind, "error") == 0;
    worker->on_event(worker->context, worker, event);
}

static void take_lines(struct worker *worker)
{
    char *start = worker->line.data, *end;
    size_t used = 0;
    while (worker->line.length > used &&
           (end = memchr(start + used, '\n', worker->line.length - used))) {
        json_t *event;
        struct error error;
        size_t length = (size_t)(end - start) - used;
        if (js_parse_object(start + used, length, "an event", &event, &error)) {
            worker->broken = true;
        } else {
            hand_on(worker, event);
            json_decref(event);
        }
        used += length + 1;
    }
    if (used) buffer_consume(&worker->line, used);
}

/* The last line of the worker's log that has something on it, into `out`; "" if there is none. */
static void last_words(const struct job *job, char *out, size_t size)
{
    char *path = log_path(job), *text = NULL;
    size_t length;
    struct error ignored;
    out[0] = '\0';
    if (path && !file_read(path, (size_t)64 << 20, &text, &length, &ignored)) {
        while (length && (text[length - 1] == '\n' || text[length - 1] == ' '))
            text[--length] = '\0';
        const char *line = strrchr(text, '\n');
        snprintf(out, size, "%s", line ? line + 1 : text);
    }
    free(text);
    free(path);
}

/* How the process ended, for a worker that did not say so itself. */
static void explain_death(const struct worker *worker, int status, struct error *error)
{
    char words[300];
    last_words(&worker->job, words, sizeof words);
    if (WIFSIGNALED(status)) {
        int number = WTERMSIG(status);
        error_set(error, ERROR_FAILED, "the worker of %s was killed by signal %d (%s)%s",
                  worker->job.engine, number, strsignal(number),
                  number == SIGKILL ? ": out of memory, or ended from outside?" : "");
    } else if (worker->broken) {
        error_set(error, ERROR_FAILED, "the worker of %s said something that is not an event",
                  worker->job.engine);
    } else {
        error_set(error, ERROR_FAILED, "the worker of %s ended with status %d before its run did",
                  worker->job.engine, WEXITSTATUS(status));
    }
    if (words[0]) {
        size_t used = strlen(error->message);
        snprintf(error->message + used, sizeof error->message - used, "; its last words: %s",
                 words);
    }
}

static void bury(struct worker *worker)
{
    close_end(&worker->output);
    close_end(&worker->input);
    int status = child_reap(worker->pid, GRACE_SECONDS);
    worker->pid = 0;
    if (worker->ended) return;
    char *checkpoint = checkpoint_path(&worker->job);
    if (checkpoint && worker->job.run_dir[0]) file_remove_unfinished(checkpoint);
    free(checkpoint);
    struct error error;
    explain_death(worker, status, &error);
    json_t *event = json_pack("{s:s, s:s, s:s, s:s}", "event", "error", "run", worker->job.run,
                              "engine", worker->job.engine, "message", error.message);
    if (event) hand_on(worker, event);
    json_decref(event);
}

int worker_read(struct worker *worker)
{
    if (worker->output < 0) return 0;
    for (size_t total = 0; total < READ_AT_ONCE;) {
        char *place = buffer_reserve(&worker->line, 65536);
        if (!place) { /* a line over the cap: not one of ours */
            worker->broken = true;
            worker_kill(worker);
            bury(worker);
            return 0;
        }
        ssize_t got = read(worker->output, place, 65536);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) break;
        if (got <= 0) {
            take_lines(worker);
            bury(worker);
            return 0;
        }
        worker->line.length += (size_t)got;
        total += (size_t)got;
        take_lines(worker);
    }
    return 1;
}

int worker_command(struct worker *worker, enum worker_command command, struct error *error)
{
    static const char *const words[] = {
        [WORKER_PAUSE] = "pause", [WORKER_RESUME] = "resume", [WORKER_STOP] = "stop"};
    return send_line(worker, json_pack("{s:s}", "command", words[command]), error);
}

void worker_kill(struct worker *worker)
{
    if (worker->pid > 0) kill(worker->pid, SIGKILL);
}

void worker_destroy(struct worker *worker)
{
    if (!worker) return;
    worker_kill(worker);
    close_end(&worker->output);
    close_end(&worker->input);
    if (worker->pid > 0) child_reap(worker->pid, 0);
    buffer_free(&worker->line);
    free(worker);
}

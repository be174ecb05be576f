#include "run/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/js.h"

#define INPUT_LIMIT ((size_t)1 << 20)

/* A signal handler may do little more than write a byte; it may run on any thread, a framework's
 * included. */
static int signal_pipe[2] = {-1, -1};

static void on_signal(int number)
{
    int kept = errno;
    char byte = (char)number;
    ssize_t ignored = write(signal_pipe[1], &byte, 1);
    (void)ignored;
    errno = kept;
}

void control_init(struct control *control)
{
    *control = (struct control){.mutex = PTHREAD_MUTEX_INITIALIZER,
                                .changed = PTHREAD_COND_INITIALIZER};
    buffer_init(&control->input, INPUT_LIMIT);
}

/* 1: more bytes; 0: the end; -1: full or broken. */
static int read_more(struct control *control)
{
    char *place = buffer_reserve(&control->input, 4096);
    if (!place) return -1;
    ssize_t got;
    do got = read(STDIN_FILENO, place, 4096);
    while (got < 0 && errno == EINTR);
    if (got <= 0) return got < 0 ? -1 : 0;
    control->input.length += (size_t)got;
    return 1;
}

static char *line_end(const struct control *control)
{
    return control->input.length ? memchr(control->input.data, '\n', control->input.length) : NULL;
}

int control_read_line(struct control *control, const char **line, size_t *length,
                      struct error *error)
{
    char *end;
    while (!(end = line_end(control)))
        if (read_more(control) <= 0)
            return error_set(error, ERROR_INPUT, "no job came: give one as a line of JSON");
    *line = control->input.data;
    *length = (size_t)(end - control->input.data);
    return 0;
}

static void ask(struct control *control, bool stop, bool pause)
{
    pthread_mutex_lock(&control->mutex);
    control->stopped |= stop;
    control->paused = pause && !control->stopped;
    bool early = control->stopped && !control->training;
    pthread_cond_broadcast(&control->changed);
    pthread_mutex_unlock(&control->mutex);
    if (early) control->on_early_stop(control->context);
}

static void obey(struct control *control, const char *line, size_t length)
{
    json_t *value;
    const char *command;
    struct error error;
    /* the supervisor never sends such */
    if (js_parse_object(line, length, "a command", &value, &error)) return;
    if (!js_need_string(value, "command", &command, &error)) {
        if (strcmp(command, "stop") == 0) ask(control, true, false);
        if (strcmp(command, "pause") == 0) ask(control, false, true);
        if (strcmp(command, "resume") == 0) ask(control, false, false);
    }
    json_decref(value);
}

static void *listen_thread(void *argument)
{
    struct control *control = argument;
    struct pollfd sources[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                {.fd = signal_pipe[0], .events = POLLIN}};
    for (;;) {
        char *end;
        while ((end = line_end(control))) {
            obey(control, control->input.data, (size_t)(end - control->input.data));
            buffer_consume(&control->input, (size_t)(end - control->input.data) + 1);
        }
        if (poll(sources, 2, -1) < 0 && errno != EINTR) break;
        if (sources[1].revents & POLLIN) {
            char byte;
            ssize_t ignored = read(signal_pipe[0], &byte, 1);
            (void)ignored;
            ask(control, true, false);
        }
        if (sources[0].revents && read_more(control) <= 0) {
            ask(control, true, false);
            sources[0].fd = -1; /* poll() passes over it */
        }
    }
    return NULL;
}

int control_listen(struct control *control, size_t used, struct error *error)
{
    buffer_consume(&control->input, used);
    if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK))
        return error_set_errno(error, errno, "cannot make a pipe");
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    pthread_t thread;
    int number = pthread_create(&thread, NULL, listen_thread, control);
    if (number) return error_set_errno(error, number, "cannot start a thread");
    pthread_detach(thread);
    return 0;
}

static enum control_state state_of(const struct control *control)
{
    if (control->stopped) return CONTROL_STOP;
    return control->paused ? CONTROL_PAUSE : CONTROL_GO_ON;
}

bool control_begin_training(struct control *control)
{
    pthread_mutex_lock(&control->mutex);
    control->training = true;
    bool stopped = control->stopped;
    pthread_mutex_unlock(&control->mutex);
    return stopped;
}

enum control_state control_state(struct control *control)
{
    pthread_mutex_lock(&control->mutex);
    enum control_state state = state_of(control);
    pthread_mutex_unlock(&control->mutex);
    return state;
}

enum control_state control_wait(struct control *control)
{
    pthread_mutex_lock(&control->mutex);
    while (state_of(control) == CONTROL_PAUSE)
        pthread_cond_wait(&control->changed, &control->mutex);
    enum control_state state = state_of(control);
    pthread_mutex_unlock(&control->mutex);
    return state;
}

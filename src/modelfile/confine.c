#include "modelfile/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/js.h"
#include "base/wanted.h"

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))
#define HAVE_FILTER 1
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#ifdef __x86_64__
#define MACHINE AUDIT_ARCH_X86_64
#else
#define MACHINE AUDIT_ARCH_AARCH64
#endif
#endif

#define TEXT_MAX ((size_t)4 << 20)

/* What the child answers: this, the network's JSON, the notes' JSON, then the values. */
struct child_answer {
    int status;
    struct error error; /* when status is not 0 */
    enum dtype dtype;
    size_t network_size, notes_size;
};

/* The sanitizers need system calls of their own, and their reports should be seen. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#ifdef HAVE_FILTER
/* Every system call but these fails with EPERM: memory, the answer's write, the end, and what
 * abort() needs. */
static void filter_system_calls(void)
{
#define ALLOW(call)                                        \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
    struct sock_filter code[] = {
        /* Another machine's numbers (32-bit calls on x86-64) would mean other calls. */
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(write),
        ALLOW(exit_group),
        ALLOW(brk),
        ALLOW(mmap),
        ALLOW(munmap),
        ALLOW(mremap),
        ALLOW(madvise),
        ALLOW(futex),
        ALLOW(rt_sigprocmask),
        ALLOW(rt_sigreturn),
        ALLOW(rt_sigaction),
        ALLOW(getpid),
        ALLOW(gettid),
        ALLOW(tgkill),
        ALLOW(clock_gettime),
        ALLOW(gettimeofday),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    };
#undef ALLOW
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    /* Where the kernel has no seccomp the limits still hold. */
    if (!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}
#else
static void filter_system_calls(void)
{
}
#endif

static void limit(int resource, rlim_t most)
{
    struct rlimit limits;
    if (getrlimit((__rlimit_resource_t)resource, &limits) || limits.rlim_max < most) return;
    limits.rlim_cur = limits.rlim_max = most;
    setrlimit((__rlimit_resource_t)resource, &limits);
}

/* Bytes of memory that this process can write to and has not shared; 0 when it is not known. */
static rlim_t memory_in_use(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file) return 0;
    if (fscanf(file, "%*u %*u %*u %*u %*u %llu", &pages) != 1) pages = 0;
    fclose(file);
    return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

/* `seconds`: of computing, after which it is an endless loop; `memory`: bytes beyond what is in
 * use. */
static void confine(rlim_t seconds, rlim_t memory)
{
    rlim_t used = memory_in_use();
    /* A crash is a crash, whatever handlers this program has. */
    static const int fatal[] = {SIGSEGV, SIGBUS,  SIGFPE, SIGILL,  SIGABRT,
                                SIGXCPU, SIGPIPE, SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++) signal(fatal[i], SIG_DFL);
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    /* a crash speaks through the parent, in one line; and whoever reads what the parent prints need
     * not wait for this process too */
    for (int fd = STDIN_FILENO; nothing >= 0 && fd <= STDERR_FILENO; fd++)
        if (fd != STDERR_FILENO || !SANITIZED) dup2(nothing, fd);
    limit(RLIMIT_CPU, seconds);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0);
    if (SANITIZED) return;
    if (used) limit(RLIMIT_DATA, used + memory);
    limit(RLIMIT_NOFILE, 0);
    filter_system_calls();
}

static int send_all(int pipe, const void *bytes, size_t size)
{
    for (const char *place = bytes; size;) {
        ssize_t sent = write(pipe, place, size);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return -1;
        place += sent;
        size -= (size_t)sent;
    }
    return 0;
}

/* Milliseconds after which a look is taken whether the model is still wanted. */
#define LOOK_MS 100

/* Where the answer comes from, and until when (clock_monotonic()) it is waited for. */
struct answer_pipe {
    int pipe;
    pid_t child;
    double deadline;
};

static int receive_all(const struct answer_pipe *source, void *bytes, size_t size)
{
    for (char *place = bytes; size;) {
        struct pollfd ready = {.fd = source->pipe, .events = POLLIN};
        double left = source->deadline - clock_monotonic();
        if (left <= 0 || !wanted()) return -1;
        if (poll(&ready, 1, left < LOOK_MS / 1000.0 ? (int)(left * 1000) + 1 : LOOK_MS) <= 0)
            continue;
        ssize_t got = read(source->pipe, place, size);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return -1;
        place += got;
        size -= (size_t)got;
    }
    return 0;
}

/* Seconds of computing after which the child is in an endless loop. */
static rlim_t computing_limit(size_t size)
{
    return 2 + (size >> 22);
}

/* What a reader works on. */
struct reader_work {
    confined_reader *read;
    const char *data;
    size_t size;
    const struct modelfile_options *options;
};

static void answer_model(int pipe, const void *context)
{
    const struct reader_work *own = context;
    struct model model = {0};
    struct child_answer answer;
    char *network = NULL, *notes = NULL;
    memset(&answer, 0, sizeof answer); /* no stray bytes in the padding */
    /* Well above what the largest honest file takes: its bytes twice, the tensors as doubles twice,
     * gzip's gain. */
    confine(computing_limit(own->size), ((rlim_t)512 << 20) + (rlim_t)own->size * 16);
    answer.status = own->read(own->data, own->size, own->options, &model, &answer.error);
    if (!answer.status) {
        network = js_dump(network_to_json(&model.network));
        notes = js_dump(
            json_pack("{s:O*, s:O*}", "metadata", model.metadata, "assumed", model.assumed));
        if (!network || !notes) answer.status = error_set_memory(&answer.error, "the model");
    }
    if (answer.status) {
        send_all(pipe, &answer, sizeof answer);
        return;
    }
    answer.dtype = model.parameters->dtype;
    answer.network_size = strlen(network);
    answer.notes_size = strlen(notes);
    if (!send_all(pipe, &answer, sizeof answer) && !send_all(pipe, network, answer.network_size) &&
        !send_all(pipe, notes, answer.notes_size))
        send_all(pipe, model.parameters->values,
                 model.parameters->value_count * dtype_size(answer.dtype));
}

/* Starts a child whose whole life is answer(pipe, context). It leaves without cleaning up, which is
 * the kernel's work. `what` is for a message. */
static int begin(void (*answer)(int pipe, const void *context), const void *context, double seconds,
                 const char *what, struct answer_pipe *out, struct error *error)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) return error_set_errno(error, errno, "cannot %s the model", what);
    pid_t parent = getpid(), child = fork();
    if (child < 0) {
        int number = errno;
        close(ends[0]);
        close(ends[1]);
        return error_set_errno(error, number, "cannot start a process to %s the model in", what);
    }
    if (child == 0) {
        child_end_with_parent(parent);
        child_close_others(ends[1]);
        answer(ends[1], context);
        _exit(0);
    }
    close(ends[1]);
    *out = (struct answer_pipe){ends[0], child, clock_monotonic() + seconds};
    return 0;
}

/* All was said, or nothing more is wanted: the child need not end by itself. */
static void end(const struct answer_pipe *source)
{
    close(source->pipe);
    kill(source->child, SIGKILL);
    child_reap(source->child, 0);
}

static int receive_object(const struct answer_pipe *source, size_t size, json_t **out,
                          struct error *error)
{
    if (size > TEXT_MAX) return error_set(error, ERROR_INPUT, "its description is too large");
    char *text = malloc(size + 1);
    if (!text) return error_set_memory(error, "the model");
    int status = receive_all(source, text, size)
                     ? error_set(error, ERROR_INPUT, "the answer is cut short")
                     : js_parse_object(text, size, "the answer", out, error);
    free(text);
    return status;
}

/* Says what it is when reading stopped without an answer. */
static int crashed(struct error *error)
{
    return error_set(error, ERROR_INPUT,
                     "the file is damaged, so badly that its reader crashed or never ended: "
                     "save it again");
}

static int receive(const struct answer_pipe *source, struct model *out, struct error *error)
{
    struct child_answer answer;
    json_t *network = NULL, *notes = NULL;
    if (receive_all(source, &answer, sizeof answer)) return crashed(error);
    if (answer.status) {
        answer.error.message[sizeof answer.error.message - 1] = '\0';
        *error = answer.error;
        return -1;
    }
    if (answer.dtype != DTYPE_FLOAT32 && answer.dtype != DTYPE_FLOAT64) return crashed(error);
    int status = -1;
    if (receive_object(source, answer.network_size, &network, error) ||
        receive_object(source, answer.notes_size, &notes, error) ||
        network_from_json(network, &out->network, error) ||
        parameters_create(&out->network, answer.dtype, &out->parameters, error))
        goto out;
    out->metadata = json_incref(json_object_get(notes, "metadata"));
    out->assumed = json_incref(json_object_get(notes, "assumed"));
    status = receive_all(source, out->parameters->values,
                         out->parameters->value_count * dtype_size(answer.dtype))
                 ? crashed(error)
                 : 0;
out:
    json_decref(network);
    json_decref(notes);
    return status;
}

/* Seconds for the whole answer. The processor time is limited in the child; this is for one that
 * waits instead, and leaves a busy machine twenty times as long. */
static double patience_for(size_t size)
{
    return 40 + 20 * (double)computing_limit(size);
}

int confined_read(confined_reader *read, const char *data, size_t size,
                  const struct modelfile_options *options, struct model *out, struct error *error)
{
    return confined_read_within(patience_for(size), read, data, size, options, out, error);
}

int confined_read_within(double seconds, confined_reader *read, const char *data, size_t size,
                         const struct modelfile_options *options, struct model *out,
                         struct error *error)
{
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* in a child the fuzzer would see nothing */
    if (size < SIZE_MAX) return read(data, size, options, out, error);
#endif
    struct answer_pipe source;
    if (begin(answer_model, &(struct reader_work){read, data, size, options}, seconds, "read",
              &source, error))
        return -1;
    int status = receive(&source, out, error);
    end(&source);
    return status && wanted_check(error) ? -1 : status;
}

/* ---- making ---- */

struct maker_work {
    confined_maker *make;
    const void *context;
    size_t about;
};

/* What the maker's child answers: this, then the bytes. */
struct made {
    int status;
    struct error error; /* when status is not 0 */
    size_t size;
};

static void answer_bytes(int pipe, const void *context)
{
    const struct maker_work *own = context;
    struct made made;
    char *bytes = NULL;
    memset(&made, 0, sizeof made);
    confine(computing_limit(own->about), ((rlim_t)512 << 20) + (rlim_t)own->about * 16);
    made.status = own->make(own->context, &bytes, &made.size, &made.error);
    if (!send_all(pipe, &made, sizeof made) && !made.status) send_all(pipe, bytes, made.size);
}

static int receive_bytes(const struct answer_pipe *source, char **out, size_t *size,
                         struct error *error)
{
    struct made made;
    int status = receive_all(source, &made, sizeof made);
    char *bytes = NULL;
    if (!status && made.status) {
        made.error.message[sizeof made.error.message - 1] = '\0';
        *error = made.error;
        return -1;
    }
    if (!status && !(bytes = malloc(made.size + 1))) return error_set_memory(error, "the file");
    if (status || receive_all(source, bytes, made.size)) {
        free(bytes);
        return error_set(error, ERROR_MEMORY,
                         "the file could not be made: its library crashed or never ended; is "
                         "memory short?");
    }
    *out = bytes;
    *size = made.size;
    return 0;
}

int confined_make(confined_maker *make, const void *context, size_t about, char **out, size_t *size,
                  struct error *error)
{
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    if (about < SIZE_MAX) return make(context, out, size, error);
#endif
    struct answer_pipe source;
    if (begin(answer_bytes, &(struct maker_work){make, context, about}, patience_for(about),
              "write", &source, error))
        return -1;
    int status = receive_bytes(&source, out, size, error);
    end(&source);
    return status && wanted_check(error) ? -1 : status;
}

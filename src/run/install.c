#include "run/install.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/child.h"
#include "base/environment.h"
#include "base/file.h"
#include "base/path.h"
#include "engine/engine.h"

#define MAX_PACKAGES 8

/* Where PyTorch publishes its builds without CUDA, as its own installation page says; a torch of
 * the same version there ("+cpu") ranks above the one of the public package index. */
#define TORCH_INDEX "https://download.pytorch.org/whl/cpu"

/* A download of more than this is confirmed by the user first. */
#define LARGE_BYTES 1000000000ULL

/* Asks what pip would do (install_plan.py). */
static const char plan_program[] =
#include "run/install_plan.h"
    ;

enum step {
    STEP_VENV,
    STEP_PLAN,
    STEP_FETCH,
};

/* How long pip may take to end once it was asked to, or has closed its output. */
#define GRACE_SECONDS 10.0

struct install {
    struct install_watch watch;             /* on_progress also NULL when pip is too old to tell */
    char *venv, *python;                    /* FOLDER/.venv and its interpreter */
    const char *requirements[MAX_PACKAGES]; /* from the engine table */
    size_t count;
    bool makes_venv; /* there was none */
    enum step step;
    char torch[128];  /* exactly the CPU build that was found, in place of its requirement */
    char index[1024]; /* of CPU builds, when it answers; else empty */
    unsigned long long plan_bytes; /* to download for a PyTorch that is not a CPU build */
    unsigned plan_unknown;         /* how many of its files have no known size */
    unsigned plan_files;           /* 0: there is nothing to confirm */
    bool plan_failed;              /* this pip cannot report what it would download */
    bool unreachable;              /* pip complained of connections */
    /* this pip does not know "raw", by which it would tell its progress */
    bool too_old;
    bool ended;
    pid_t pid;
    int output; /* -1 when closed */
    int folder; /* locked: one installation at a time in it */
    struct buffer line;
    struct error error;  /* code ERROR_NONE when all went well */
    char complaint[512]; /* the last line that said "ERROR" */
};

static const struct engine_package *find_package(const char *engine)
{
    const struct engine_ops *ops = engine_find(engine);
    return ops && ops->package.requirement ? &ops->package : NULL;
}

const char *install_note(const char *engine)
{
    const struct engine_package *package = find_package(engine);
    return package ? package->note : NULL;
}

/* Runs argv with its output and errors into our pipe, in a process group of its own. */
static int launch(struct install *install, char *const argv[], struct error *error)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) return error_set_errno(error, errno, "cannot make a pipe");
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    char **environment = environment_for_child(NULL);
    int number = environment ? posix_spawnp(&install->pid, argv[0], &actions, &attributes, argv,
                                            environment)
                             : ENOMEM;
    free(environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    close(ends[1]);
    if (number) {
        close(ends[0]);
        install->pid = 0;
        if (number == ENOENT)
            return error_set(
                error, ERROR_UNAVAILABLE,
                "%s is not here: install Python 3 (Debian, Ubuntu: apt install python3 "
                "python3-venv)",
                argv[0]);
        return error_set_errno(error, number, "cannot start %s", argv[0]);
    }
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    install->output = ends[0];
    return 0;
}

static const char *setting(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

static int make_venv(struct install *install, struct error *error)
{
    char *argv[] = {(char *)(uintptr_t)setting("NNSTUDIO_PYTHON", "python3"), (char[]){"-m"},
                    (char[]){"venv"}, install->venv, NULL};
    install->step = STEP_VENV;
    install->watch.on_line(install->watch.context, "making the virtual environment .venv");
    return launch(install, argv, error);
}

static int plan(struct install *install, struct error *error)
{
    char *argv[6 + MAX_PACKAGES] = {
        install->python, (char[]){"-c"}, (char *)(uintptr_t)plan_program,
        install->makes_venv ? (char[]){"new"} : (char[]){"old"},
        (char *)(uintptr_t)setting("NNSTUDIO_TORCH_INDEX", TORCH_INDEX)};
    size_t used = 5;
    for (size_t i = 0; i < install->count; i++)
        argv[used++] = (char *)(uintptr_t)install->requirements[i];
    install->step = STEP_PLAN;
    install->watch.on_line(install->watch.context,
                           "asking the package index what there is to download");
    return launch(install, argv, error);
}

static int fetch(struct install *install, struct error *error)
{
    char raw[] = "raw", off[] = "off", extra[] = "--extra-index-url";
    char *argv[16 + MAX_PACKAGES] = {install->python,
                                     (char[]){"-m"},
                                     (char[]){"pip"},
                                     (char[]){"install"},
                                     (char[]){"--disable-pip-version-check"},
                                     (char[]){"--no-input"},
                                     (char[]){"--progress-bar"},
                                     install->watch.on_progress ? raw : off};
    size_t used = 8;
    if (install->index[0]) {
        argv[used++] = extra;
        argv[used++] = install->index;
    }
    for (size_t i = 0; i < install->count; i++)
        argv[used++] = install->torch[0] && strncmp(install->requirements[i], "torch=", 6) == 0
                           ? install->torch
                           : (char *)(uintptr_t)install->requirements[i];
    install->step = STEP_FETCH;
    return launch(install, argv, error);
}

/* The plan is known. A PyTorch with CUDA is gigabytes: never without the user's consent. */
static int confirm(struct install *install, struct error *error)
{
    if (!install->plan_failed &&
        (!install->plan_files || (install->plan_bytes <= LARGE_BYTES && !install->plan_unknown)))
        return 0;
    char what[256];
    if (install->plan_failed)
        snprintf(what, sizeof what,
                 "this pip cannot say what it would download, which may be a PyTorch with CUDA of "
                 "several gigabytes");
    else
        snprintf(what, sizeof what,
                 "only a PyTorch that is not a CPU build is available: %u packages, %s%.1f GB to "
                 "download",
                 install->plan_files, install->plan_unknown ? "more than " : "",
                 (double)install->plan_bytes / 1e9);
    install->watch.on_line(install->watch.context, what);
    if (strcmp(setting("NNSTUDIO_ALLOW_CUDA", "0"), "1") == 0) return 0;
    if (install->watch.on_ask && install->watch.on_ask(install->watch.context, "Download it?"))
        return 0;
    return error_set(error, ERROR_UNAVAILABLE,
                     "%s: name an index of CPU builds that answers in NNSTUDIO_TORCH_INDEX, or "
                     "allow this download with NNSTUDIO_ALLOW_CUDA=1",
                     what);
}

int install_start(const char *folder, const char *const *engines, size_t count,
                  const struct install_watch *watch, struct install **out, struct error *error)
{
    struct install *install = calloc(1, sizeof *install);
    if (!install) return error_set_memory(error, "the installation");
    *install = (struct install){.watch = *watch, .output = -1, .folder = -1};
    buffer_init(&install->line, 1 << 20);
    install->venv = path_join(folder, ".venv");
    install->python = install->venv ? path_join(install->venv, "bin/python") : NULL;
    if (!install->python) {
        error_set_memory(error, "a path");
        goto fail;
    }
    for (size_t i = 0; i < count; i++) {
        const struct engine_package *package = find_package(engines[i]);
        if (!package || install->count == MAX_PACKAGES) {
            char ids[ENGINE_IDS_SIZE];
            error_set(error, ERROR_USAGE, "nothing is to be installed for \"%.40s\": use %s",
                      engines[i], engine_ids(true, ids));
            goto fail;
        }
        install->requirements[install->count++] = package->requirement;
    }
    if (file_check_writable(folder, error)) goto fail;
    install->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (install->folder < 0 || flock(install->folder, LOCK_EX | LOCK_NB)) {
        error_set(error, ERROR_UNAVAILABLE,
                  "another installation into .venv is running: wait for it to end, then try again");
        goto fail;
    }
    install->makes_venv = !file_exists(install->venv);
    if (install->makes_venv ? make_venv(install, error) : plan(install, error)) goto fail;
    *out = install;
    return 0;
fail:
    install_destroy(install);
    return -1;
}

bool install_runs(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return false;
    bool locked = flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
    close(fd);
    return locked;
}

int install_fd(const struct install *install)
{
    return install->output;
}

/* What install_plan.py found. */
static void take_plan(struct install *install, const char *line)
{
    sscanf(line, "index %1023s", install->index);
    sscanf(line, "torch %127s", install->torch);
    if (sscanf(line, "size %llu %u %u", &install->plan_bytes, &install->plan_unknown,
               &install->plan_files) == 3)
        return;
    if (strcmp(line, "unknown") == 0) install->plan_failed = true;
}

static void take_line(struct install *install, const char *line)
{
    if (install->step == STEP_PLAN && strncmp(line, "plan: ", 6) == 0) {
        take_plan(install, line + 6);
        return;
    }
    if (strstr(line, "Failed to establish a new connection") || strstr(line, "NameResolution"))
        install->unreachable = true;
    unsigned long long done, total;
    if (install->watch.on_progress && sscanf(line, "Progress %llu of %llu", &done, &total) == 2) {
        install->watch.on_progress(install->watch.context, done, total);
        return;
    }
    if (install->watch.on_progress && strstr(line, "--progress-bar")) install->too_old = true;
    const char *complaint = strstr(line, "ERROR:");
    if (complaint)
        snprintf(install->complaint, sizeof install->complaint, "%s", complaint + strlen("ERROR:"));
    if (strstr(line, "ensurepip is not"))
        snprintf(install->complaint, sizeof install->complaint,
                 " Python's venv module is incomplete: apt install python3-venv");
    if (*line) install->watch.on_line(install->watch.context, line);
}

static void take_lines(struct install *install)
{
    char *end;
    while (install->line.length && (end = memchr(install->line.data, '\n', install->line.length))) {
        *end = '\0';
        size_t length = (size_t)(end - install->line.data);
        take_line(install, install->line.data);
        buffer_consume(&install->line, length + 1);
    }
}

/* pip's complaint in words that help. */
static void explain(struct install *install)
{
    static const char none[] = "No matching distribution found for ";
    const char *found = strstr(install->complaint, none);
    if (found && install->unreachable)
        error_set(&install->error, ERROR_UNAVAILABLE,
                  "the package index cannot be reached: check the network and pip's settings "
                  "(pip config list)");
    else if (found)
        error_set(&install->error, ERROR_UNAVAILABLE,
                  "the package index has no %.80s for this Python and machine: remove .venv and "
                  "name another Python, as in NNSTUDIO_PYTHON=python3.13",
                  found + strlen(none));
    else
        error_set(&install->error, ERROR_FAILED, "%s failed:%s",
                  install->step == STEP_FETCH  ? "pip"
                  : install->step == STEP_PLAN ? "asking pip what it would download"
                                               : "making .venv",
                  install->complaint[0] ? install->complaint : " see the lines above");
}

/* The process of a step is gone: the next step, or the end. */
static void finish_step(struct install *install)
{
    close(install->output);
    install->output = -1;
    /* it has closed its output, so it is at its end */
    int status = child_reap(-install->pid, GRACE_SECONDS);
    install->pid = 0;
    if (status == 0 && install->step == STEP_VENV) {
        if (plan(install, &install->error) == 0) return;
    } else if (status == 0 && install->step == STEP_PLAN) {
        if (confirm(install, &install->error) == 0 && fetch(install, &install->error) == 0) return;
    } else if (status && install->too_old && install->watch.on_progress) {
        install->watch.on_progress = NULL;
        install->complaint[0] = '\0';
        if (fetch(install, &install->error) == 0) return;
    } else if (status) {
        explain(install);
    } else {
        install->makes_venv = false; /* it is complete now */
    }
    install->ended = true;
}

int install_read(struct install *install)
{
    while (!install->ended) {
        char *place = buffer_reserve(&install->line, 4096);
        if (!place) { /* a line without an end */
            buffer_clear(&install->line);
            continue;
        }
        ssize_t got = read(install->output, place, 4096);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) return 1;
        if (got <= 0) {
            finish_step(install);
        } else {
            install->line.length += (size_t)got;
            take_lines(install);
        }
    }
    return 0;
}

int install_result(const struct install *install, struct error *error)
{
    CHECK(install->ended);
    if (install->error.code == ERROR_NONE) return 0;
    *error = install->error;
    return -1;
}

void install_destroy(struct install *install)
{
    if (!install) return;
    if (install->pid > 0) {
        kill(-install->pid, SIGTERM);
        child_reap(-install->pid, GRACE_SECONDS);
    }
    if (install->output >= 0) close(install->output);
    struct error ignored;
    if (install->makes_venv) file_remove_tree(install->venv, &ignored);
    if (install->folder >= 0) close(install->folder);
    buffer_free(&install->line);
    free(install->venv);
    free(install->python);
    free(install);
}

#include "http/serve.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/path.h"
#include "http/hub.h"
#include "http/kept.h"
#include "http/library.h"
#include "http/offload.h"
#include "http/router.h"
#include "http/routes.h"
#include "http/schema.h"
#include "http/security.h"
#include "http/tasks.h"
#include "http/training.h"
#include "http/upload.h"

/* How often workers' words are written and listeners told. */
#define TICK_MS           80
#define TICKS_A_TASK_TICK 3
#define HOUSEKEEPING_MS   1000 /* also how soon a dead process's run is seen */
#define PURGE_SECONDS     600
#define UNDO_MS           ((int64_t)24 * 3600 * 1000)
#define THREADS           2
/* How long runs may take to write their checkpoints at the end. */
#define FAREWELL_SECONDS 15.0

struct life {
    const struct serve_options *options;
    struct studio studio;
    double end_by; /* clock at which it ends though runs still train; 0: not ending */
    unsigned ticks;
    double next_purge;
};

static void tick(void *context)
{
    struct life *life = context;
    training_tick(life->studio.training);
    if (++life->ticks % TICKS_A_TASK_TICK == 0) tasks_tick(life->studio.tasks);
    hub_tick(life->studio.hub);
    if (life->end_by > 0 &&
        (training_idle(life->studio.training) || clock_monotonic() > life->end_by))
        server_stop(life->studio.server);
}

static void keep_house(void *context)
{
    struct life *life = context;
    struct error error;
    uint32_t count;
    if (store_mark_interrupted(life->studio.store, &count, &error)) log_error(&error);
    uploads_tick(life->studio.uploads);
    malloc_trim(0); /* what a crowd of listeners needed goes back */
    if (clock_monotonic() < life->next_purge) return;
    life->next_purge = clock_monotonic() + PURGE_SECONDS;
    if (store_purge(life->studio.store, clock_wall_ms() - UNDO_MS, &error)) log_error(&error);
    kept_purge(life->studio.home, clock_wall_ms() - UNDO_MS);
}

/* The first signal lets runs write their checkpoints, a second one ends at once. */
static void on_signal(void *context)
{
    struct life *life = context;
    if (life->end_by > 0) {
        server_stop(life->studio.server);
        return;
    }
    life->end_by = clock_monotonic() + FAREWELL_SECONDS;
    if (!training_idle(life->studio.training))
        log_line("stopping: the runs in training write their checkpoints");
    training_stop_all(life->studio.training);
}

/* Several servers may share a home: the store keeps them from each other's runs. Whoever starts
 * beside another is told of it. The lock lasts as long as the process. */
static void claim_home(const struct studio *studio)
{
    char line[80] = "";
    char *path = path_join(studio->home, "server.lock");
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    free(path);
    if (fd < 0) return;
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        ssize_t length = pread(fd, line, sizeof line - 1, 0);
        line[length > 0 ? length : 0] = '\0';
        log_line("another server (%s) owns the home %s, too: both show its runs, each trains its "
                 "own",
                 line[0] ? line : "just starting", studio->home);
        close(fd);
        return;
    }
    snprintf(line, sizeof line, "process %d, port %u", (int)getpid(), server_port(studio->server));
    if (ftruncate(fd, 0) || pwrite(fd, line, strlen(line), 0) < 0)
        log_line("cannot say in %s/server.lock that this server owns it", studio->home);
}

static int open_parts(struct life *life, const struct serve_options *options, struct error *error)
{
    struct studio *studio = &life->studio;
    uint32_t interrupted;
    if (schema_load(error) || gate_open(&studio->gate, options->host, options->token, error) ||
        store_open(studio->home, &studio->store, error) ||
        server_create(options->host, options->port, router_handle, studio, &studio->server,
                      error) ||
        store_mark_interrupted(studio->store, &interrupted, error) ||
        training_create(studio, &studio->training, error) ||
        hub_create(studio, &studio->hub, error) ||
        library_create(studio->home, &studio->library, error) ||
        tasks_create(studio, &studio->tasks, error) ||
        uploads_create(studio, &studio->uploads, error) ||
        offload_create(studio, THREADS, &studio->offload, error))
        return -1;
    store_tidy(studio->home);
    claim_home(studio);
    if (interrupted)
        log_line("%u run%s did not end well: see them under Runs", interrupted,
                 interrupted == 1 ? "" : "s");
    return 0;
}

static void announce(void *context)
{
    struct life *life = context;
    const struct gate *gate = &life->studio.gate;
    char address[GATE_ADDRESS_SIZE];
    gate_address(gate, server_port(life->studio.server), address);
    life->options->on_ready(life->options->context, address, gate->own_pass ? NULL : gate->token);
    if (life->options->install) install_missing(&life->studio);
}

static int run(struct life *life, struct error *error)
{
    struct server *server = life->studio.server;
    struct watch *const watches[] = {
        server_every(server, TICK_MS, tick, life),
        server_every(server, HOUSEKEEPING_MS, keep_house, life),
        server_on_signal(server, SIGINT, on_signal, life),
        server_on_signal(server, SIGTERM, on_signal, life),
    };
    return server_run(server, watches, sizeof watches / sizeof watches[0], announce, life, error);
}

int serve(const struct serve_options *options, struct error *error)
{
    struct life life = {.options = options,
                        .studio = {.home = options->home, .data_dir = options->data_dir}};
    struct studio *studio = &life.studio;
    studio->started = clock_monotonic();
    int status = open_parts(&life, options, error);
    if (!status) status = run(&life, error);
    offload_destroy(studio->offload);
    tasks_destroy(studio->tasks);
    training_destroy(studio->training);
    server_destroy(studio->server);
    uploads_destroy(studio->uploads);
    hub_destroy(studio->hub);
    library_destroy(studio->library);
    store_close(studio->store);
    return status;
}

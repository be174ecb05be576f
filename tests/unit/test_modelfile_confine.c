/* The child in which damaged files are read: it can answer, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/wanted.h"
#include "modelfile/confine.h"

#if defined(__SANITIZE_ADDRESS__)
#define CONFINED 0 /* the sanitizers need what is otherwise forbidden */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CONFINED 0
#endif
#endif
#ifndef CONFINED
#define CONFINED 1
#endif

static void run(confined_reader *reader, struct model *model, struct error *error, int expected)
{
    *model = (struct model){0};
    *error = (struct error){0};
    assert_int_equal(confined_read(reader, "data", 4, NULL, model, error), expected);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left behind */
}

static void clear(struct model *model)
{
    parameters_destroy(model->parameters);
    json_decref(model->metadata);
    json_decref(model->assumed);
}

static int read_well(const char *data, size_t size, const struct modelfile_options *options,
                     struct model *out, struct error *error)
{
    (void)options;
    if (size != 4 || memcmp(data, "data", 4) != 0)
        return error_set(error, ERROR_INPUT, "the data did not arrive");
    if (network_build(&out->network, 2, 3, (uint32_t[]){4}, 1, ACTIVATION_TANH, 2, error) ||
        parameters_create(&out->network, DTYPE_FLOAT64, &out->parameters, error))
        return -1;
    parameters_draw(out->parameters, &out->network, INIT_TORCH, 3);
    out->metadata = json_pack("{s:s}", "a", "b");
    out->assumed = json_pack("[s]", "activation of layer 1: tanh");
    return 0;
}

static void a_model_comes_back_whole(void **state)
{
    (void)state;
    struct model here = {0}, there;
    struct error error;
    run(read_well, &there, &error, 0);
    assert_int_equal(read_well("data", 4, NULL, &here, &error), 0);
    assert_true(model_equal(&here, &there));
    assert_true(json_equal(here.assumed, there.assumed));
    assert_true(json_equal(here.metadata, there.metadata));
    clear(&here);
    clear(&there);
}

static int read_badly(const char *data, size_t size, const struct modelfile_options *options,
                      struct model *out, struct error *error)
{
    (void)data, (void)size, (void)options, (void)out;
    return error_set(error, ERROR_INPUT, "it is damaged: fix it");
}

static int crash(const char *data, size_t size, const struct modelfile_options *options,
                 struct model *out, struct error *error)
{
    (void)data, (void)size, (void)options, (void)out, (void)error;
    abort();
}

static int leave(const char *data, size_t size, const struct modelfile_options *options,
                 struct model *out, struct error *error)
{
    (void)data, (void)size, (void)options, (void)out, (void)error;
    _exit(0);
}

static int loop(const char *data, size_t size, const struct modelfile_options *options,
                struct model *out, struct error *error)
{
    (void)data, (void)size, (void)options, (void)out, (void)error;
    volatile unsigned int i = 1;
    while (i) i |= 1;
    return 0;
}

static void trouble_there_is_an_error_here(void **state)
{
    (void)state;
    struct model model;
    struct error error;
    run(read_badly, &model, &error, -1);
    assert_string_equal(error.message, "it is damaged: fix it");
    confined_reader *const readers[] = {crash, leave, loop};
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) {
        run(readers[i], &model, &error, -1);
        assert_non_null(strstr(error.message, "crashed or never ended"));
    }
}

static int try_everything(const char *data, size_t size, const struct modelfile_options *options,
                          struct model *out, struct error *error)
{
    (void)data, (void)size, (void)options, (void)out;
    bool opened = open("/dev/null", O_RDONLY) >= 0,
         connected = socket(AF_UNIX, SOCK_STREAM, 0) >= 0;
    pid_t child = fork();
    if (child == 0) _exit(0);
    char *volatile much = malloc((size_t)3 << 30);
    execl("/bin/true", "true", (char *)NULL);
    return error_set(error, ERROR_INPUT, "opened %d connected %d split %d got %d", opened,
                     connected, child > 0, much != NULL);
}

static void it_can_do_nothing_else(void **state)
{
    (void)state;
    struct model model;
    struct error error;
    if (!CONFINED) skip();
    run(try_everything, &model, &error, -1);
    assert_string_equal(error.message, "opened 0 connected 0 split 0 got 0");
}

/* Waits for what never comes, with the system calls that the filter allows. */
static int wait_for_ever(const char *data, size_t size, const struct modelfile_options *options,
                         struct model *out, struct error *error)
{
    (void)data, (void)size, (void)options, (void)out, (void)error;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex);
    pthread_mutex_lock(&mutex);
    return 0;
}

static void one_that_waits_is_not_waited_for(void **state)
{
    (void)state;
    struct model model = {0};
    struct error error = {0};
    assert_int_equal(confined_read_within(0.2, wait_for_ever, "data", 4, NULL, &model, &error), -1);
    assert_non_null(strstr(error.message, "crashed or never ended"));
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void one_that_nobody_wants_is_ended(void **state)
{
    (void)state;
    static const atomic_bool given_up = true;
    struct model model = {0};
    struct error error = {0};
    wanted_until(&given_up);
    int status = confined_read_within(600, wait_for_ever, "data", 4, NULL, &model, &error);
    wanted_until(NULL);
    assert_int_equal(status, -1);
    assert_int_equal(error.code, ERROR_INTERRUPTED);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* A descriptor of the test's, which the reader should not have. */
static int descriptor = -1;

static int use_descriptor(const char *data, size_t size, const struct modelfile_options *options,
                          struct model *out, struct error *error)
{
    (void)data, (void)size, (void)options, (void)out;
    return error_set(error, ERROR_INPUT, "wrote %d", (int)write(descriptor, "x", 1));
}

static void it_holds_nothing_of_ours(void **state)
{
    (void)state;
    int ends[2];
    struct model model;
    struct error error;
    assert_int_equal(pipe(ends), 0);
    descriptor = ends[1];
    run(use_descriptor, &model, &error, -1);
    assert_string_equal(error.message, "wrote -1");
    close(ends[0]);
    close(ends[1]);
}

/* A process in whose middle the reader waits for ever; killed as by a memory shortage. */
static void it_ends_with_its_parent(void **state)
{
    (void)state;
    int status;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    pid_t parent = fork();
    if (parent == 0) {
        struct model model = {0};
        struct error error;
        confined_read(wait_for_ever, "data", 4, NULL, &model, &error);
        _exit(0);
    }
    poll(NULL, 0, 300); /* for it to be there; were it not yet, the test would still hold */
    assert_int_equal(kill(parent, SIGKILL), 0);
    assert_int_equal(waitpid(parent, &status, 0), parent);
    pid_t orphan = 0;
    for (int i = 0; i < 2000 && (orphan = waitpid(-1, &status, WNOHANG)) == 0; i++)
        poll(NULL, 0, 10);
    assert_true(orphan > 0 || orphan == -1); /* 0: it lives on */
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_comes_back_whole),
        cmocka_unit_test(trouble_there_is_an_error_here),
        cmocka_unit_test(it_can_do_nothing_else),
        cmocka_unit_test(one_that_waits_is_not_waited_for),
        cmocka_unit_test(one_that_nobody_wants_is_ended),
        cmocka_unit_test(it_holds_nothing_of_ours),
        cmocka_unit_test(it_ends_with_its_parent),
    };
    return cmocka_run_group_tests_name("modelfile_confine", tests, NULL, NULL);
}

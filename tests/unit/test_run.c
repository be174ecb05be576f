/* run/: jobs as JSON, checkpoints, workers and their deaths. This program is its own worker. */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"
#include "run/checkpoint.h"
#include "run/settings.h"
#include "run/supervisor.h"
#include "run/tracing.h"
#include "run/worker.h"

static char home[] = "/tmp/nnstudio-run-XXXXXX";

static void a_job_survives_json(void **state)
{
    (void)state;
    struct job job, again;
    struct error error;
    job_init(&job);
    job_make_id("torch", job.run);
    assert_int_equal(job_set_home(&job, "/somewhere", &error), 0);
    assert_int_equal(setting_set_text(setting_find("hidden"), "64,32", &job, &error), 0);
    assert_int_equal(optimizer_init(&job.optimizer, "adam", &error), 0);
    job.optimizer.learning_rate = 0.1 + 0.2;
    job.activation = ACTIVATION_TANH;
    job.dtype = DTYPE_FLOAT64;
    job.init = INIT_KERAS;
    job.epochs = 7;
    job.batch_size = 11;
    job.limit = 100;
    job.seed = INT64_MAX;
    json_t *value = job_to_json(&job);
    job_init(&again);
    assert_int_equal(job_from_json(value, &again, &error), 0);
    json_t *other = job_to_json(&again);
    assert_true(json_equal(value, other));
    assert_true(again.optimizer.learning_rate == 0.1 + 0.2);
    assert_int_equal(again.hidden_count, 2);
    assert_string_equal(again.run_dir + strlen("/somewhere/runs/"), job.run);
    json_decref(value);
    json_decref(other);
}

static void refuse(const char *text, const char *message)
{
    struct job job;
    struct error error;
    json_t *value = json_loads(text, 0, NULL);
    assert_non_null(value);
    job_init(&job);
    assert_int_equal(job_from_json(value, &job, &error), -1);
    if (!strstr(error.message, message))
        fail_msg("\"%s\" does not say \"%s\"", error.message, message);
    json_decref(value);
}

static void a_bad_job_is_refused_by_name(void **state)
{
    (void)state;
    refuse("{\"epoch\":3}", "no member \"epoch\"");
    refuse("{\"epochs\":0}", "epochs 0 is out of range: give a whole number from 1 to 1,000,000");
    refuse("{\"epochs\":\"3\"}", "epochs \"3\" is not valid: give a whole number");
    refuse("{\"batch_size\":65537}", "batch size 65537 is out of range");
    refuse("{\"engine\":\"jax\"}", "unknown engine \"jax\"");
    refuse("{\"optimizer\":{\"type\":\"sgd\",\"lr\":-1}}", "learning rate -1");
    refuse("{\"optimizer\":{\"type\":\"adam\",\"momentum\":0.9}}", "momentum belongs to sgd");
    refuse("{\"hidden\":[0]}", "hidden layers [0] is not valid");
    refuse("{\"hidden\":128}", "hidden layers 128 is out of range");
    refuse("{\"activation\":\"none\"}", "hidden layers need an activation");
    refuse("{\"seed\":-1}", "seed -1 is out of range");
    refuse("{\"name\":\"../x\"}", "\"../x\" is not a valid model name");
    refuse("{\"run\":\"a/b\"}", "\"a/b\" is not a valid run id");
    refuse("{\"dataset\":\"\"}", "data set \"\" is not valid");
    refuse("[]", "must be a JSON object");
}

static void an_old_job_still_opens(void **state)
{
    (void)state;
    struct job job;
    struct error error;
    json_t *value = json_loads(
        "{\"engine\":\"native\",\"optimizer\":{\"type\":\"adam\",\"lr\":0.5,\"momentum\":0.0,"
        "\"weight_decay\":0.25,\"beta1\":0.5,\"beta2\":0.75,\"epsilon\":0.001},\"limit\":"
        "4294967295,"
        "\"seed\":9223372036854775807,\"hidden\":[],\"activation\":\"none\"}",
        0, NULL);
    assert_non_null(value);
    job_init(&job);
    if (job_from_json(value, &job, &error)) fail_msg("%s", error.message);
    assert_int_equal(job.optimizer.type, OPTIMIZER_ADAM);
    assert_true(job.optimizer.learning_rate == 0.5 && job.optimizer.weight_decay == 0.25);
    assert_true(job.optimizer.beta1 == 0.5 && job.optimizer.beta2 == 0.75);
    assert_true(job.optimizer.epsilon == 0.001);
    assert_int_equal(job.limit, UINT32_MAX);
    assert_true(job.seed == INT64_MAX);
    /* A new run may not be begun with what only old ones have. */
    assert_int_equal(job_check(&job, &error), -1);
    job.resume[0] = 'x';
    assert_int_equal(job_check(&job, &error), 0);
    json_decref(value);
}

/* A value that is in range, and another. */
static const char *const two_values[][2] = {
    [SETTING_INTEGER] = {"3", "4"},     [SETTING_NUMBER] = {"0.25", "0.5"},
    [SETTING_TEXT] = {"a", "b"},        [SETTING_WIDTHS] = {"8,4", "8"},
    [SETTING_FLAG] = {"false", "true"},
};

static void every_setting_is_carried_and_compared(void **state)
{
    (void)state;
    struct job job, other, back;
    struct error error;
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *setting = &settings_table[i];
        bool choice = setting->kind == SETTING_CHOICE;
        const char *one = choice ? setting->choice((uint32_t)setting->low)
                                 : two_values[setting->kind][0],
                   *two = choice ? setting->choice((uint32_t)setting->high)
                                 : two_values[setting->kind][1];
        if (strcmp(setting->key, "schedule") == 0) one = "constant", two = "step:every=2";
        if (strcmp(setting->key, "class_weight") == 0) one = "balanced", two = "1,2.5";
        job_init(&job);
        for (int type = 0; !setting_belongs(setting, job.optimizer.type); type++)
            optimizer_defaults((enum optimizer_type)type, MEANING_PYTORCH, &job.optimizer);
        if (strcmp(setting->key, "nesterov") == 0) job.optimizer.momentum = 0.9;
        other = job;
        assert_int_equal(setting_set_text(setting, one, &job, &error), 0);
        assert_int_equal(setting_set_text(setting, two, &other, &error), 0);
        json_t *value = job_to_json(&other), *a = setting_value(setting, &job),
               *b = setting_value(setting, &other);
        assert_false(json_equal(a, b));
        job_init(&back);
        if (job_from_json(value, &back, &error)) fail_msg("%s: %s", setting->key, error.message);
        json_t *again = job_to_json(&back);
        assert_true(json_equal(value, again));
        assert_int_equal(settings_same_run(&job, &job, &error), 0);
        assert_int_equal(settings_same_run(&job, &other, &error),
                         setting->flags & SETTING_FIXED ? -1 : 0);
        json_decref(value);
        json_decref(again);
        json_decref(a);
        json_decref(b);
    }
}

static struct job small_job(const char *run)
{
    struct job job;
    struct error error;
    job_init(&job);
    snprintf(job.run, sizeof job.run, "%s", run);
    assert_int_equal(job_set_home(&job, home, &error), 0);
    snprintf(job.out_dir, sizeof job.out_dir, "%s/models", home);
    job.threads = 1;
    job.limit = 500;
    job.hidden[0] = 16;
    job.epochs = 2;
    return job;
}

static void a_checkpoint_survives_the_disk(void **state)
{
    (void)state;
    struct checkpoint checkpoint = {.job = small_job("kept"),
                                    .position = {1, 3, 19, 0.1, 77, 0.25}},
                      again;
    struct error error;
    assert_int_equal(network_build(&checkpoint.network, 28, 28, checkpoint.job.hidden, 1,
                                   ACTIVATION_RELU, 10, &error),
                     0);
    assert_int_equal(optimizer_init(&checkpoint.job.optimizer, "adam", &error), 0);
    assert_int_equal(
        parameters_create(&checkpoint.network, DTYPE_FLOAT32, &checkpoint.parameters, &error), 0);
    assert_int_equal(optimizer_state_create(&checkpoint.job.optimizer, &checkpoint.network,
                                            DTYPE_FLOAT32, &checkpoint.optimizer_state, &error),
                     0);
    parameters_draw(checkpoint.parameters, &checkpoint.network, INIT_TORCH, 1);
    parameters_draw(checkpoint.optimizer_state->slots[0], &checkpoint.network, INIT_KERAS, 2);
    parameters_draw(checkpoint.optimizer_state->slots[1], &checkpoint.network, INIT_TORCH, 3);
    checkpoint.optimizer_state->steps = 19;
    char *path = path_join(home, "c.safetensors");
    assert_int_equal(checkpoint_write(path, &checkpoint, &error), 0);
    assert_int_equal(checkpoint_read(path, &again, &error), 0);
    assert_memory_equal(&again.position, &checkpoint.position, sizeof again.position);
    assert_true(network_equal(&again.network, &checkpoint.network));
    assert_int_equal(again.optimizer_state->steps, 19);
    size_t bytes = checkpoint.parameters->value_count * sizeof(float);
    assert_memory_equal(again.parameters->values, checkpoint.parameters->values, bytes);
    for (int i = 0; i < 2; i++)
        assert_memory_equal(again.optimizer_state->slots[i]->values,
                            checkpoint.optimizer_state->slots[i]->values, bytes);
    assert_string_equal(again.job.run, "kept");
    checkpoint_clear(&again);

    /* One that lost its end, and a model that is no checkpoint. */
    char *data;
    size_t size;
    assert_int_equal(file_read(path, 1 << 24, &data, &size, &error), 0);
    assert_int_equal(file_write(path, data, size - 100, &error), 0);
    assert_int_equal(checkpoint_read(path, &again, &error), -1);
    assert_null(again.parameters);
    free(data);
    free(path);
    checkpoint_clear(&checkpoint);
}

/* What a worker said. */
struct story {
    char kinds[4096]; /* "start step step epoch … " */
    char message[1024], state[16], model[JOB_PATH_MAX];
    int steps, epochs, lasts;
    int kill_after, stop_after, pause_after; /* steps events; 0: never */
};

/* A string member of an event, "" when it has none. */
static const char *text_of(const json_t *event, const char *key)
{
    const char *text = json_string_value(json_object_get(event, key));
    return text ? text : "";
}

static void listen(void *context, struct worker *worker, const json_t *event)
{
    struct story *story = context;
    struct error error;
    const char *kind = text_of(event, "event");
    size_t used = strlen(story->kinds);
    if (strcmp(kind, "step") != 0)
        snprintf(story->kinds + used, sizeof story->kinds - used, "%s ", kind);
    if (strcmp(kind, "step") == 0) {
        story->steps++;
        if (story->steps == story->kill_after) kill(worker_pid(worker), SIGKILL);
        if (story->steps == story->stop_after)
            assert_int_equal(worker_command(worker, WORKER_STOP, &error), 0);
        if (story->steps == story->pause_after)
            assert_int_equal(worker_command(worker, WORKER_PAUSE, &error), 0);
    } else if (strcmp(kind, "state") == 0) {
        if (strcmp(text_of(event, "state"), "paused") == 0)
            assert_int_equal(worker_command(worker, WORKER_RESUME, &error), 0);
    } else if (strcmp(kind, "error") == 0) {
        snprintf(story->message, sizeof story->message, "%s", text_of(event, "message"));
        story->lasts++;
    } else if (strcmp(kind, "end") == 0) {
        snprintf(story->state, sizeof story->state, "%s", text_of(event, "state"));
        snprintf(story->model, sizeof story->model, "%s", text_of(event, "model"));
        story->lasts++;
    }
}

static struct worker *begin(const struct job *job, struct story *story)
{
    struct worker *worker;
    struct error error;
    assert_int_equal(worker_start(job, listen, story, &worker, &error), 0);
    return worker;
}

static void hear_out(struct worker *worker)
{
    for (;;) {
        struct pollfd source = {.fd = worker_fd(worker), .events = POLLIN};
        assert_int_equal(poll(&source, 1, 60000), 1);
        if (!worker_read(worker)) break;
    }
    worker_destroy(worker);
}

static void tell(const struct job *job, struct story *story)
{
    hear_out(begin(job, story));
    assert_int_equal(story->lasts, 1);
}

static void a_worker_trains_and_writes_its_files(void **state)
{
    (void)state;
    struct job job = small_job("whole");
    struct story story = {0};
    struct error error;
    tell(&job, &story);
    assert_string_equal(story.kinds, "start epoch checkpoint epoch checkpoint end ");
    assert_string_equal(story.state, "finished");
    assert_true(file_exists(story.model));
    struct checkpoint checkpoint;
    char *path = path_join(job.run_dir, "checkpoint.safetensors");
    assert_int_equal(checkpoint_read(path, &checkpoint, &error), 0);
    assert_int_equal(checkpoint.position.epoch, 2);
    assert_int_equal(checkpoint.position.global_step, 32);
    checkpoint_clear(&checkpoint);
    free(path);
}

static void a_killed_worker_is_told_as_such(void **state)
{
    (void)state;
    struct job job = small_job("killed");
    job.epochs = 100000;
    struct story story = {.kill_after = 3};
    tell(&job, &story);
    assert_non_null(strstr(story.message, "killed by signal 9"));
}

static void a_stopped_worker_keeps_its_place(void **state)
{
    (void)state;
    struct job job = small_job("stopped");
    job.epochs = 100000;
    struct story story = {.stop_after = 2};
    tell(&job, &story);
    assert_string_equal(story.state, "stopped");
    struct checkpoint checkpoint;
    struct error error;
    char *path = path_join(job.run_dir, "checkpoint.safetensors");
    assert_int_equal(checkpoint_read(path, &checkpoint, &error), 0);
    assert_true(checkpoint.position.global_step > 0);
    assert_int_equal(checkpoint.optimizer_state->steps, checkpoint.position.global_step);
    checkpoint_clear(&checkpoint);
    free(path);
}

static void a_paused_worker_goes_on(void **state)
{
    (void)state;
    struct job job = small_job("paused");
    job.epochs = 200;
    struct story story = {.pause_after = 2};
    tell(&job, &story);
    assert_string_equal(story.state, "finished");
    assert_non_null(strstr(story.kinds, "state state"));
}

static void two_workers_never_share_a_run(void **state)
{
    (void)state;
    struct job job = small_job("shared");
    job.epochs = 100000;
    struct story first = {0}, second = {0};
    struct worker *worker = begin(&job, &first);
    while (!first.steps) {
        struct pollfd source = {.fd = worker_fd(worker), .events = POLLIN};
        assert_int_equal(poll(&source, 1, 60000), 1);
        assert_int_equal(worker_read(worker), 1);
    }
    tell(&job, &second);
    assert_non_null(strstr(second.message, "is being trained already"));
    first.stop_after = first.steps + 1;
    hear_out(worker);
    assert_string_equal(first.state, "stopped");
}

static void a_bad_data_set_ends_in_an_error(void **state)
{
    (void)state;
    struct job job = small_job("lost");
    snprintf(job.dataset, sizeof job.dataset, "%s", "/nowhere/at/all");
    struct story story = {0};
    tell(&job, &story);
    assert_string_equal(story.kinds, "error ");
    assert_non_null(strstr(story.message, "/nowhere/at/all"));
}

static void a_run_is_not_resumed_as_another(void **state)
{
    (void)state;
    struct job job = small_job("whole");
    char *path = path_join(job.run_dir, "checkpoint.safetensors");
    snprintf(job.resume, sizeof job.resume, "%s", path);
    free(path);
    struct story story = {0};
    job.epochs = 1;
    tell(&job, &story);
    assert_non_null(strstr(story.message, "has done 2 epochs, more than the 1 asked for"));
    job.epochs = 3;
    job.seed = 9;
    struct story other = {0};
    tell(&job, &other);
    assert_non_null(strstr(other.message, "a run cannot change its seed on the way"));
}

static int make_home(void **state)
{
    (void)state;
    return mkdtemp(home) ? 0 : -1;
}

static int remove_home(void **state)
{
    (void)state;
    struct error error;
    return file_remove_tree(home, &error);
}

/* What stands in for `nnstudio trace`: says nothing, and dies as its option asks, or waits. */
static int stand_in_for_trace(const char *option)
{
    if (strcmp(option, "--status") == 0) return 9;
    if (strcmp(option, "--signal") == 0) raise(SIGTERM);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) pause();
}

static void a_trace_that_says_nothing_is_told_by_its_end(void **state)
{
    static const struct {
        const char *option, *words;
        double seconds;
    } cases[] = {{"--status", "the process of Native ended with status 9 and said nothing", 600},
                 {"--signal", "the process of Native was killed by signal 15: try again", 600},
                 {"--wait", "the process of Native did not finish within ", 0}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tracing tracing = {0};
        struct error error;
        struct job *job = calloc(1, sizeof *job);
        job_init(job);
        snprintf(job->engine, sizeof job->engine, "native");
        assert_int_equal(tracing_start(&tracing, job, cases[i].option, 1, home, "t", &error), 0);
        tracing_finish(&tracing, clock_monotonic() + cases[i].seconds);
        assert_non_null(strstr(tracing.error, cases[i].words));
        assert_int_equal(tracing.code, ERROR_UNAVAILABLE);
        tracing_clear(&tracing);
        free(job);
    }
}

int main(int argc, char **argv)
{
    if (argc > 4 && strcmp(argv[1], "trace") == 0) return stand_in_for_trace(argv[4]);
    if (argc > 1 && strcmp(argv[1], "worker") == 0) worker_main();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_survives_json),
        cmocka_unit_test(a_bad_job_is_refused_by_name),
        cmocka_unit_test(an_old_job_still_opens),
        cmocka_unit_test(every_setting_is_carried_and_compared),
        cmocka_unit_test(a_checkpoint_survives_the_disk),
        cmocka_unit_test(a_worker_trains_and_writes_its_files),
        cmocka_unit_test(a_killed_worker_is_told_as_such),
        cmocka_unit_test(a_stopped_worker_keeps_its_place),
        cmocka_unit_test(a_paused_worker_goes_on),
        cmocka_unit_test(two_workers_never_share_a_run),
        cmocka_unit_test(a_bad_data_set_ends_in_an_error),
        cmocka_unit_test(a_run_is_not_resumed_as_another),
        cmocka_unit_test(a_trace_that_says_nothing_is_told_by_its_end),
    };
    return cmocka_run_group_tests(tests, make_home, remove_home);
}

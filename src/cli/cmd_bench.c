/* nnstudio bench: the engines' speed and memory, side by side with the frameworks in Python. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/path.h"
#include "cli/bench_lane.h"
#include "cli/cli.h"
#include "engine/engine.h"

enum {
    LANE_NATIVE,
    LANE_TORCH,
    LANE_TENSORFLOW,
    LANE_PY_TORCH,
    LANE_PY_TORCH_ONE,
    LANE_PY_TORCH_BARE,
    LANE_KERAS,
    LANE_JAX,
    LANE_COUNT
};

/* Who is measured: our engines, whose ids are the lanes', and the scripts in bench/. */
static const struct {
    const struct engine_ops *engine; /* NULL: a script */
    const char *id, *title, *script, *more[3];
} lanes_known[LANE_COUNT] = {
    [LANE_NATIVE] = {&engine_native, NULL, "native engine", NULL, {0}},
    [LANE_TORCH] = {&engine_torch, NULL, "PyTorch lane (libtorch from C)", NULL, {0}},
    [LANE_TENSORFLOW] =
        {&engine_tensorflow, NULL, "TensorFlow lane (libtensorflow from C)", NULL, {0}},
    [LANE_PY_TORCH] = {NULL,
                       "python-torch",
                       "PyTorch in Python",
                       "python_torch.py",
                       {"--record", "--threads", "0"}},
    [LANE_PY_TORCH_ONE] = {NULL,
                           "python-torch-1",
                           "PyTorch in Python, one thread",
                           "python_torch.py",
                           {"--record", "--threads", "1"}},
    [LANE_PY_TORCH_BARE] = {NULL,
                            "python-torch-bare",
                            "PyTorch in Python, one thread, no figures kept",
                            "python_torch.py",
                            {"--threads", "1"}},
    [LANE_KERAS] = {NULL, "keras", "Keras model.fit in Python", "python_keras.py", {0}},
    [LANE_JAX] = {NULL, "jax", "JAX in Python, epoch in one lax.scan", "python_jax.py", {0}},
};

static const char *lane_id(int index)
{
    const struct engine_ops *engine = lanes_known[index].engine;
    return engine ? engine->id : lanes_known[index].id;
}

/* The goals: A is at least `least` times as fast as B. 0: shown, without a goal. */
static const struct {
    int a, b;
    double least;
} goals[] = {
    {LANE_TORCH, LANE_PY_TORCH, 2},      {LANE_TENSORFLOW, LANE_KERAS, 3},
    {LANE_NATIVE, LANE_PY_TORCH, 10},    {LANE_NATIVE, LANE_KERAS, 20},
    {LANE_NATIVE, LANE_JAX, 1},          {LANE_TORCH, LANE_PY_TORCH_ONE, 0},
    {LANE_TORCH, LANE_PY_TORCH_BARE, 0},
};

struct bench {
    const char *dataset, *data_dir, *python, *scripts, *optimizer;
    uint32_t epochs, batch_size, runs;
    bool against, json, markdown;
    char *self, *scratch; /* owned */
    struct bench_lane lanes[LANE_COUNT];
};

static void make_engine_lane(struct bench *bench, int index)
{
    struct bench_lane *lane = &bench->lanes[index];
    bench_lane_word(lane, "%s", bench->self);
    bench_lane_word(lane, "train");
    bench_lane_word(lane, "--json");
    bench_lane_word(lane, "--engine=%s", lanes_known[index].engine->id);
    bench_lane_word(lane, "--dataset=%s", bench->dataset);
    if (bench->data_dir) bench_lane_word(lane, "--data-dir=%s", bench->data_dir);
    bench_lane_word(lane, "--epochs=%u", bench->epochs);
    bench_lane_word(lane, "--batch-size=%u", bench->batch_size);
    bench_lane_word(lane, "--optimizer=%s", bench->optimizer);
    bench_lane_word(lane, "--out=%s", bench->scratch);
    bench_lane_word(lane, "--home=%s", bench->scratch);
}

static void make_script_lane(struct bench *bench, int index)
{
    struct bench_lane *lane = &bench->lanes[index];
    bench_lane_word(lane, "%s", bench->python);
    bench_lane_word(lane, "%s/%s", bench->scripts, lanes_known[index].script);
    bench_lane_word(lane, "--json");
    bench_lane_word(lane, "--data-dir=%s", bench->data_dir ? bench->data_dir : ".");
    bench_lane_word(lane, "--data=%s", bench->dataset);
    bench_lane_word(lane, "--epochs=%u", bench->epochs);
    bench_lane_word(lane, "--batch-size=%u", bench->batch_size);
    bench_lane_word(lane, "--optimizer=%s", bench->optimizer);
    for (size_t i = 0; i < 3 && lanes_known[index].more[i]; i++)
        bench_lane_word(lane, "%s", lanes_known[index].more[i]);
}

static double epoch_of(const struct bench *bench, int lane)
{
    return bench_median(bench->lanes[lane].epoch, bench->lanes[lane].runs);
}

static void print_json(const struct bench *bench)
{
    for (int i = 0; i < LANE_COUNT; i++) {
        const struct bench_lane *lane = &bench->lanes[i];
        if (!lane->word_count) continue;
        if (lane->missing) {
            cli_print_json(json_pack("{s:s, s:s, s:s}", "event", "missing", "lane", lane->id,
                                     "message", lane->complaint));
            continue;
        }
        cli_print_json(json_pack("{s:s, s:s, s:I, s:f, s:f, s:f, s:f}", "event", "lane", "lane",
                                 lane->id, "runs", (json_int_t)lane->runs, "seconds_per_epoch",
                                 epoch_of(bench, i), "wall_seconds",
                                 bench_median(lane->wall, lane->runs), "cpu_seconds",
                                 bench_median(lane->cpu, lane->runs), "peak_rss_bytes",
                                 bench_median(lane->peak, lane->runs)));
    }
    for (size_t i = 0; i < sizeof goals / sizeof goals[0]; i++) {
        double ratio = epoch_of(bench, goals[i].b) / epoch_of(bench, goals[i].a);
        if (isfinite(ratio))
            cli_print_json(json_pack("{s:s, s:s, s:s, s:f, s:f}", "event", "ratio", "faster",
                                     lane_id(goals[i].a), "slower", lane_id(goals[i].b), "ratio",
                                     ratio, "goal", goals[i].least));
    }
}

static void print_table(const struct bench *bench)
{
    const char *row = bench->markdown ? "| %s | %.3f | %.0fk | %.2f | %.2f | %.0f MB |\n"
                                      : "%-48s %8.3f %9.0fk %9.2f %8.2f %6.0f MB\n";
    if (bench->markdown) {
        printf("| %s, batch %u, %s | s/epoch | samples/s | whole process, %u epochs: s | CPU s | "
               "peak memory |\n|---|---|---|---|---|---|\n",
               bench->dataset, bench->batch_size, bench->optimizer, bench->epochs);
    } else {
        printf("%-48s %8s %10s %9s %8s %9s\n", "", "s/epoch", "samples/s", "whole s", "CPU s",
               "peak");
    }
    for (int i = 0; i < LANE_COUNT; i++) {
        const struct bench_lane *lane = &bench->lanes[i];
        if (!lane->runs) continue;
        printf(row, lane->title, epoch_of(bench, i), 60.0 / epoch_of(bench, i),
               bench_median(lane->wall, lane->runs), bench_median(lane->cpu, lane->runs),
               bench_median(lane->peak, lane->runs) / 1e6);
    }
    for (int i = 0; i < LANE_COUNT; i++)
        if (bench->lanes[i].missing)
            printf("%s%s: not measured: %s\n", bench->markdown ? "\n" : "", lanes_known[i].title,
                   bench->lanes[i].complaint);
    putchar('\n');
    for (size_t i = 0; i < sizeof goals / sizeof goals[0]; i++) {
        double ratio = epoch_of(bench, goals[i].b) / epoch_of(bench, goals[i].a);
        if (!isfinite(ratio)) continue;
        printf("%s%s is %.1f times as fast as %s", bench->markdown ? "- " : "",
               lanes_known[goals[i].a].title, ratio, lanes_known[goals[i].b].title);
        if (goals[i].least > 0)
            printf(" (goal: at least %.0f×%s)", goals[i].least,
                   ratio >= goals[i].least ? "" : ", not reached");
        putchar('\n');
    }
}

/* The scripts' folder and the Python that has the frameworks: beside the build folder when they are
 * not named. */
static int find_python(struct bench *bench, char **scripts, char **python, struct error *error)
{
    static const char *const interpreters[] = {".venv-bench/bin/python", ".venv/bin/python"};
    char root[4096];
    snprintf(root, sizeof root, "%.*s", (int)(path_base(bench->self) - bench->self), bench->self);
    if (!bench->scripts) {
        if (asprintf(scripts, "%s../bench", root) < 0) return error_set_memory(error, "a path");
        bench->scripts = *scripts;
    }
    for (size_t i = 0; !bench->python && i < 2; i++) {
        char *place;
        if (asprintf(&place, "%s../%s", root, interpreters[i]) < 0)
            return error_set_memory(error, "a path");
        if (file_exists(place)) {
            bench->python = *python = place;
        } else {
            free(place);
        }
    }
    if (bench->python && file_exists(bench->scripts)) return 0;
    return error_set(error, ERROR_NOT_FOUND,
                     "the scripts to compare with are not at %s, or no Python has the frameworks: "
                     "run `make bench`",
                     bench->scripts);
}

static void measure(struct bench *bench)
{
    for (int i = 0; i < LANE_COUNT; i++) {
        bench->lanes[i].id = lane_id(i);
        bench->lanes[i].title = lanes_known[i].title;
        if (lanes_known[i].engine) {
            make_engine_lane(bench, i);
        } else if (bench->against) {
            make_script_lane(bench, i);
        }
    }
    /* In turn, so that a machine whose speed drifts treats all alike. */
    for (uint32_t run = 0; run < bench->runs; run++) {
        for (int i = 0; i < LANE_COUNT; i++) {
            if (!bench->lanes[i].word_count || bench->lanes[i].missing) continue;
            fprintf(stderr, "run %u of %u: %s\n", run + 1, bench->runs, bench->lanes[i].title);
            bench_lane_run(&bench->lanes[i]);
        }
    }
    if (bench->json) {
        print_json(bench);
    } else {
        print_table(bench);
    }
}

static int run(int argc, char **argv)
{
    struct bench bench = {
        .dataset = "mnist", .optimizer = "sgd", .epochs = 4, .batch_size = 32, .runs = 3};
    const char *against = NULL;
    const struct cli_option options[] = {
        {"against", OPTION_TEXT, &against, "python",
         "measure PyTorch, Keras and JAX in Python as well"},
        {"dataset", OPTION_TEXT, &bench.dataset, "NAME", "what to train on (mnist)"},
        CLI_DATA_DIR(&bench.data_dir),
        {"epochs", OPTION_U32, &bench.epochs, "N",
         "epochs per run, the first of which is not counted (4)"},
        {"batch-size", OPTION_U32, &bench.batch_size, "N", "samples per step (32)"},
        {"optimizer", OPTION_TEXT, &bench.optimizer, "NAME", "sgd or adam (sgd)"},
        {"runs", OPTION_U32, &bench.runs, "N", "runs per lane (3)"},
        {"python", OPTION_TEXT, &bench.python, "FILE", "a Python with the frameworks installed"},
        {"scripts", OPTION_TEXT, &bench.scripts, "DIR",
         "the folder of python_torch.py and the other programs"},
        {"markdown", OPTION_FLAG, &bench.markdown, NULL, "print the table as Markdown"},
        {"json", OPTION_FLAG, &bench.json, NULL, "one JSON object per line"},
        {0},
    };
    struct cli_arguments arguments;
    struct error error;
    char *scripts = NULL, *python = NULL, scratch[] = "/tmp/nnstudio-bench-XXXXXX";
    int status = cli_parse(&command_bench, options, argc, argv, &arguments);
    if (status != CLI_GO_ON) return status;
    if (against && strcmp(against, "python") != 0)
        return cli_usage_error("--against %s is not known: use python", against);
    if (!bench.runs || bench.runs > BENCH_MAX_RUNS || !bench.epochs ||
        bench.epochs > BENCH_MAX_EPOCHS)
        return cli_usage_error("--runs is 1 to %d, --epochs 1 to %d", BENCH_MAX_RUNS,
                               BENCH_MAX_EPOCHS);
    bench.against = against != NULL;
    if (path_self(&bench.self, &error)) return cli_fail(&error);
    if (bench.against && find_python(&bench, &scripts, &python, &error)) {
        status = cli_fail(&error);
    } else if (!mkdtemp(scratch)) {
        error_set(&error, ERROR_IO, "cannot write in /tmp: make room there");
        status = cli_fail(&error);
    } else {
        struct error ignored;
        bench.scratch = scratch;
        measure(&bench);
        status = EXIT_OK;
        file_remove_tree(scratch, &ignored);
    }
    for (int i = 0; i < LANE_COUNT; i++) bench_lane_clear(&bench.lanes[i]);
    free(scripts);
    free(python);
    free(bench.self);
    return status;
}

const struct command command_bench = {
    .name = "bench",
    .run = run,
    .summary = "measure the engines, side by side with the frameworks in Python",
    .usage = "[--against python] [options]",
    .details = "Every lane is a whole program, run several times in turn with the others; the "
               "table shows medians. Seconds per epoch are training alone, without the first "
               "epoch; memory is that of the largest single process.",
};

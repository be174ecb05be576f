/* code/: the voices follow the settings, and the shown C is the built C. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/path.h"
#include "code/code.h"
#include "code/text.h"

static struct job seed_job(void)
{
    struct job job;
    struct error error;
    memset(&job, 0, sizeof job);
    snprintf(job.name, sizeof job.name, "simple_nn");
    snprintf(job.dataset, sizeof job.dataset, "mnist");
    snprintf(job.schedule, sizeof job.schedule, "constant");
    assert_int_equal(optimizer_init(&job.optimizer, "sgd", &error), 0);
    job.hidden_count = 1;
    job.hidden[0] = 128;
    job.activation = ACTIVATION_RELU;
    job.epochs = 5;
    job.batch_size = 32;
    return job;
}

static struct code_subject subject_of(const struct job *job)
{
    struct code_subject subject;
    struct error error;
    assert_int_equal(code_subject_of(job, &subject, &error), 0);
    return subject;
}

static char *program(const char *engine, const struct job *job)
{
    const struct code_voice *voice;
    struct error error;
    struct buffer text;
    buffer_init(&text, 1 << 20);
    assert_int_equal(code_voice_need(engine, "python", &voice, &error), 0);
    struct code_subject subject;
    assert_int_equal(code_subject_of(job, &subject, &error), 0);
    assert_int_equal(code_program(voice, &subject, &text, &error), 0);
    return text.data;
}

static void python_follows_the_settings(void **state)
{
    (void)state;
    struct job job = seed_job();
    char *torch = program("torch", &job), *keras = program("tensorflow", &job);
    assert_non_null(strstr(torch, "self.fc1 = nn.Linear(784, 128)"));
    assert_non_null(strstr(torch, "torch.optim.SGD(model.parameters(), lr=0.01)"));
    assert_non_null(strstr(keras, "epochs=5"));
    free(torch);
    free(keras);
    job.hidden_count = 2;
    job.hidden[1] = 64;
    job.activation = ACTIVATION_TANH;
    job.optimizer.momentum = 0.9;
    job.optimizer.learning_rate = 1e-5;
    torch = program("torch", &job);
    keras = program("tensorflow", &job);
    assert_non_null(strstr(torch, "self.fc2 = nn.Linear(128, 64)"));
    assert_non_null(strstr(torch, "nn.Tanh()"));
    assert_non_null(strstr(torch, "lr=1e-05, momentum=0.9)"));
    assert_non_null(strstr(
        keras, "keras.layers.Dense(64, activation=\"tanh\", name=\"fc2\", **torch_init(128)),"));
    free(torch);
    free(keras);
}

/* What the job says and where; the engine's program has each of the words. */
static void has_words(const char *engine, const struct job *job, const char *const *words)
{
    char *text = program(engine, job);
    for (; *words; words++)
        if (!strstr(text, *words)) fail_msg("\"%s\" is not in the program of %s", *words, engine);
    free(text);
}

static void python_uses_the_frameworks_own_words(void **state)
{
    (void)state;
    struct job job = seed_job();
    snprintf(job.schedule, sizeof job.schedule, "step:every=2,gamma=0.5");
    job.optimizer.clip_norm = 1;
    job.label_smoothing = 0.1;
    job.early_stop = 3;
    has_words("torch", &job,
              (const char *const[]){"lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)",
                                    "clip_grad_norm_(model.parameters(), 1.0)",
                                    "nn.CrossEntropyLoss(label_smoothing=0.1)", NULL});
    job.optimizer.meaning = MEANING_KERAS;
    has_words("tensorflow", &job,
              (const char *const[]){"schedules.ExponentialDecay(", "decay_steps=2 * steps",
                                    "clipnorm=1.0", "CategoricalCrossentropy(", "EarlyStopping(",
                                    NULL});
    snprintf(job.class_weight, sizeof job.class_weight, "1,2,3");
    struct code_subject subject = subject_of(&job);
    struct code_text text;
    struct error error;
    assert_int_equal(code_stage_text(&code_torch_python, CODE_DATA, &subject, &text, &error), -1);
    assert_string_equal(error.message, "there are 3 class weights, and the network has 10 "
                                       "classes: give one for each");
}

static void numbers_read_as_python(void **state)
{
    (void)state;
    assert_string_equal(code_real(0.01), "0.01");
    assert_string_equal(code_real(1), "1.0");
    assert_string_equal(code_real(0.1 + 0.2), "0.30000000000000004");
    assert_string_equal(code_quoted("a \"b\"\\c\nd é"), "a \\\"b\\\"\\\\c\\x0ad é");
}

/* The next line, when nothing stands before it but the mark of the shown line's idea. */
static const char *after_mark(const char *place, const char *idea)
{
    if (*place != '\n') {
        char mark[64];
        assert_non_null(idea);
        place += strspn(place, " ");
        snprintf(mark, sizeof mark, "/* [%s] */", idea);
        assert_memory_equal(place, mark, strlen(mark));
        place += strlen(mark);
    }
    assert_int_equal(*place, '\n');
    return place + 1;
}

static void the_shown_c_is_the_built_c(void **state)
{
    (void)state;
    const char *root = getenv("NNSTUDIO_SOURCE");
    assert_non_null(root);
    for (size_t i = 0; i < code_extract_count; i++) {
        struct error error;
        char *path = path_join(root, code_extracts[i].file), *source;
        size_t size;
        assert_int_equal(file_read(path, 1 << 20, &source, &size, &error), 0);
        const char *place = source;
        for (unsigned line = 1; line < code_extracts[i].first_line; line++)
            place = strchr(place, '\n') + 1;
        for (size_t l = 0; l < code_extracts[i].count; l++) {
            const char *text = code_extracts[i].lines[l].text;
            assert_memory_equal(place, text, strlen(text));
            place = after_mark(place + strlen(text), code_extracts[i].lines[l].idea);
        }
        assert_non_null(strstr(place, "[end]"));
        free(source);
        free(path);
    }
}

static void both_engines_show_their_c(void **state)
{
    (void)state;
    struct job job = seed_job();
    struct code_subject subject = subject_of(&job);
    static const char *const engines[] = {"torch", "tensorflow"};
    for (size_t i = 0; i < 2; i++) {
        const struct code_voice *voice;
        struct error error;
        assert_int_equal(code_voice_need(engines[i], "c", &voice, &error), 0);
        for (int stage = CODE_DATA; stage <= CODE_LOOP; stage++) {
            struct code_text text;
            assert_int_equal(
                code_stage_text(voice, (enum code_stage)stage, &subject, &text, &error), 0);
            assert_true(text.count > 2);
            code_text_free(&text);
        }
    }
}

static void a_comparison_joins_ideas_and_names_what_has_no_counterpart(void **state)
{
    (void)state;
    struct job job = seed_job();
    struct code_subject subject = subject_of(&job);
    struct error error;
    json_t *value;
    assert_int_equal(
        code_compare(&code_torch_python, &code_tensorflow_python, &subject, &value, &error), 0);
    assert_int_equal(json_array_size(json_object_get(value, "stages")), CODE_STAGE_COUNT);
    json_t *ideas = json_object_get(value, "ideas");
    json_t *layer = json_object_get(ideas, "layer"), *zero = json_object_get(ideas, "zero_grad");
    assert_true(json_is_null(json_object_get(layer, "only")));
    assert_string_equal(json_string_value(json_object_get(zero, "only")), "left");
    assert_non_null(json_string_value(json_object_get(zero, "why")));
    json_decref(value);
}

/* A mark that names no idea would join nothing. */
static void every_mark_names_an_idea(void **state)
{
    (void)state;
    struct job job = seed_job();
    struct code_subject subject = subject_of(&job);
    struct error error;
    json_t *value;
    assert_int_equal(code_compare(&code_torch_c, &code_tensorflow_c, &subject, &value, &error), 0);
    size_t marked = 0;
    for (size_t i = 0; i < code_extract_count; i++) {
        for (size_t l = 0; l < code_extracts[i].count; l++) {
            const char *idea = code_extracts[i].lines[l].idea;
            if (!idea) continue;
            marked++;
            if (!json_object_get(json_object_get(value, "ideas"), idea))
                fail_msg("%s marks \"%s\", which code.c does not know", code_extracts[i].file,
                         idea);
        }
    }
    assert_true(marked > 50);
    json_decref(value);
}

static void shape(struct job *job)
{
    snprintf(job->schedule, sizeof job->schedule, "step:every=2");
    job->warmup = 20;
    job->optimizer.clip_norm = 1;
    job->label_smoothing = 0.1;
    snprintf(job->class_weight, sizeof job->class_weight, "balanced");
}

static void watch(struct job *job)
{
    job->validation = 0.1;
    job->early_stop = 3;
    job->keep = JOB_KEEP_BEST;
}

/* Whatever stands in one voice alone, the reader is told why. */
static void each_lonely_idea_has_a_reason(void **state)
{
    (void)state;
    for (int variant = 0; variant < 32; variant++) {
        struct job job = seed_job();
        struct code_subject subject = subject_of(&job);
        job.init = variant & 1 ? INIT_KERAS : INIT_TORCH;
        job.optimizer.weight_decay = variant & 2 ? 0.1 : 0;
        if (variant & 4) job.optimizer.meaning = MEANING_KERAS;
        if (variant & 8) shape(&job);
        if (variant & 16) watch(&job);
        for (size_t i = 0; i < code_voice_count * code_voice_count; i++) {
            const struct code_voice *left = code_voices[i / code_voice_count],
                                    *right = code_voices[i % code_voice_count];
            json_t *value, *idea;
            const char *name;
            struct error error;
            assert_int_equal(code_compare(left, right, &subject, &value, &error), 0);
            json_object_foreach(json_object_get(value, "ideas"), name, idea) {
                if (json_is_null(json_object_get(idea, "only")) ||
                    json_is_string(json_object_get(idea, "why")))
                    continue;
                fail_msg("%s of %s and %s: no reason why one lacks it", name, left->id, right->id);
            }
            json_decref(value);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(python_follows_the_settings),
        cmocka_unit_test(python_uses_the_frameworks_own_words),
        cmocka_unit_test(numbers_read_as_python),
        cmocka_unit_test(the_shown_c_is_the_built_c),
        cmocka_unit_test(every_mark_names_an_idea),
        cmocka_unit_test(both_engines_show_their_c),
        cmocka_unit_test(each_lonely_idea_has_a_reason),
        cmocka_unit_test(a_comparison_joins_ideas_and_names_what_has_no_counterpart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

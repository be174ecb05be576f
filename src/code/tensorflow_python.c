/* The training program in TensorFlow with Keras: declarative, defined and then run. */
#include "code/text.h"

#include <stdio.h>
#include <string.h>

#include "code/layers.h"
#include "code/losses.h"
#include "code/optimizers.h"
#include "code/python.h"
#include "code/schedules.h"
#include "modelfile/modelfile.h"

#define CALLBACK_WIDTH 80

static void write_strategy(struct code_text *out)
{
    code_line(out, NULL, "# TF_CONFIG in each worker's environment says who is who");
    code_line(out, NULL, "strategy = tf.distribute.MultiWorkerMirroredStrategy()");
    code_line(out, NULL, "rank = strategy.cluster_resolver.task_id or 0");
    code_line(out, NULL, "size = strategy.num_replicas_in_sync");
    code_line(out, NULL, "%s", "");
}

static void write_data(const struct code_subject *subject, struct code_text *out)
{
    const char *dtype = dtype_name(subject->job->dtype);
    if (subject->several)
        python_write_header(subject, "TensorFlow: a loop by hand, on several workers.",
                            "import tensorflow as tf\nfrom tensorflow import keras", "keras", out);
    else
        python_write_header(subject, "TensorFlow: declared, compiled, fitted.",
                            "from tensorflow import keras", "keras", out);
    if (subject->several) write_strategy(out);
    const struct network *network = &subject->network;
    char shape[48];
    if (python_takes_maps(network))
        snprintf(shape, sizeof shape, "%u, %u, 1", network->rows, network->columns);
    else
        snprintf(shape, sizeof shape, "%u", network_inputs(network));
    python_write_arrays(subject, shape, out);
    static const char *const names[] = {"x_train", "x_val", "x_test"};
    char scaled[160];
    for (size_t i = 0; i < 3; i++) {
        if (i == 1 && subject->job->validation == 0) continue;
        if (python_is_usual_form(subject))
            code_line(out, "scale", "%s = %s.astype(\"%s\") / 255", names[i], names[i], dtype);
        else
            code_line(out, "scale", "%s = %s.astype(\"%s\")", names[i],
                      python_scaled(subject, names[i], scaled), dtype);
    }
    if (subject->job->dtype == DTYPE_FLOAT64)
        code_line(out, "scale", "keras.config.set_floatx(\"float64\")  # the layers likewise");
    keras_write_labels(subject, out);
}

static int check(const struct code_subject *subject, struct error *error)
{
    return python_check(subject, error) || keras_check_layers(&subject->network, error) ? -1 : 0;
}

static void write_model(const struct code_subject *subject, struct code_text *out)
{
    const struct job *job = subject->job;
    const struct network *network = &subject->network;
    code_line(out, "seed", "keras.utils.set_random_seed(%llu)",
              (unsigned long long)(job->seed & 0xffffffffu));
    code_line(out, NULL, "%s", "");
    keras_write_definitions(subject, out);
    code_line(out, "network", "model = keras.Sequential([");
    if (python_takes_maps(network))
        code_line(out, "network", "    keras.Input((%u, %u, 1)),", network->rows, network->columns);
    else
        code_line(out, "network", "    keras.Input((%u,)),", network_inputs(network));
    keras_write_layers(subject, out);
    code_line(out, "network", "])");
    keras_write_exact(network, job, out);
    code_line(out, "initial", "if args.initial:");
    code_line(out, "initial", "    model.load_weights(args.initial)");
    keras_write_masks(network, out);
}

/* Variables that are made within the strategy's scope are the same in every worker. */
static void write_network(const struct code_subject *subject, struct code_text *out)
{
    if (!subject->several) {
        write_model(subject, out);
        return;
    }
    code_line(out, "network", "with strategy.scope():  # variables are the same in every worker");
    size_t first = out->count;
    write_model(subject, out);
    code_indent(out, first);
}

/* No compile(): fit() divides a batch in its own way. */
static void write_part_optimizer(const struct code_subject *subject, struct code_text *out)
{
    keras_write_optimizer_class(subject, out);
    code_line(out, "loss",
              "# the sum: parts of a batch are divided by the size of the whole of it");
    code_line(out, "loss", "loss_function = keras.losses.SparseCategoricalCrossentropy(");
    code_line(out, "loss", "    from_logits=True, reduction=\"sum\"");
    code_line(out, "loss", ")");
    code_line(out, "optimizer", "with strategy.scope():");
    code_line(out, "optimizer", "    optimizer = %s", keras_optimizer_call(subject).text);
    code_line(out, "optimizer", "    optimizer.build(model.trainable_variables)");
}

static void write_optimizer(const struct code_subject *subject, struct code_text *out)
{
    if (subject->several) {
        write_part_optimizer(subject, out);
        return;
    }
    const struct job *job = subject->job;
    keras_write_optimizer_class(subject, out);
    keras_write_loss_parts(subject, out);
    keras_write_schedule(subject, out);
    code_line(out, "compile", "model.compile(  # computes nothing: says what fit() will do");
    code_line(out, "optimizer", "    optimizer=%s,", keras_optimizer_call(subject).text);
    keras_write_loss(job, out);
    keras_write_metrics(subject, out);
    code_line(out, "compile", ")");
}

static void write_part_step(const struct code_subject *subject, struct code_text *out)
{
    bool decays = keras_decays_by_layers(subject);
    code_line(out, "step", "def part_step(x, y, count):");
    code_line(out, "step", "    \"\"\"One worker's part of a batch of `count` samples.\"\"\"");
    code_line(out, "forward_pass", "    with tf.GradientTape() as tape:");
    code_line(out, "forward_pass", "        logits = model(x, training=True)");
    code_line(out, "loss_value", "        loss = loss_function(y, logits) / count");
    if (network_is_penalized(&subject->network))
        code_line(out, "penalty", "        loss += tf.add_n(model.losses) / size  # once in all");
    if (decays)
        code_line(out, "decay",
                  "        aim = loss + tf.add_n(model.losses) / size  # once in all");
    code_line(out, "backward", "    gradients = tape.gradient(%s, model.trainable_variables)",
              decays ? "aim" : "loss");
    code_line(out, "update", "    # the gradients of all workers are added up here");
    code_line(out, "update",
              "    optimizer.apply_gradients(zip(gradients, model.trainable_variables))");
    code_line(out, "correct", "    right = tf.argmax(logits, 1, tf.int32) == tf.cast(y, tf.int32)");
    code_line(out, "step", "    return loss, tf.reduce_sum(tf.cast(right, loss.dtype))");
    code_line(out, NULL, "%s", "");
    code_line(out, NULL, "%s", "");
    code_line(out, "step", "@tf.function(reduce_retracing=True)");
    code_line(out, "step", "def train_step(x, y, count):");
    code_line(out, "step", "    told = strategy.run(part_step, (x, y, count))");
    code_line(out, "step",
              "    return [strategy.reduce(\"SUM\", value, axis=None) for value in told]");
}

/* Every worker evaluates: what it reads lies in all of them, and none waits for another. */
static void write_part_loop(const struct code_subject *subject, struct code_text *out)
{
    const struct job *job = subject->job;
    code_line(out, "order", "orders = np.load(args.order) if args.order else None");
    code_line(out, "order", "random = np.random.default_rng(%llu)  # the same in every worker",
              (unsigned long long)job->seed);
    code_line(out, "epochs", "for epoch in range(%u):", job->epochs);
    code_line(out, "order",
              "    order = random.permutation(len(x_train)) if orders is None else orders[epoch]");
    code_line(out, "report", "    losses, correct = [], 0");
    code_line(out, "batches", "    for begin in range(0, len(order), %u):", job->batch_size);
    code_line(out, "batches", "        batch = order[begin : begin + %u]", job->batch_size);
    code_line(out, "batches", "        part = np.array_split(batch, size)[rank]");
    code_line(out, "step", "        count = tf.constant(len(batch), \"%s\")",
              dtype_name(job->dtype));
    code_line(out, "step",
              "        loss, right = train_step(tf.constant(x_train[part]), "
              "tf.constant(y_train[part]), count)");
    code_line(out, "report", "        losses.append(float(loss))");
    code_line(out, "report", "        correct += float(right)");
    code_line(out, "evaluate", "    logits = np.concatenate([");
    code_line(out, "evaluate",
              "        model(x_test[i : i + 500]) for i in range(0, len(x_test), 500)");
    code_line(out, "evaluate", "    ])");
    code_line(out, "evaluate", "    val_loss = float(loss_function(y_test, logits)) / len(y_test)");
    if (network_is_penalized(&subject->network))
        code_line(out, "penalty", "    val_loss += float(tf.add_n(model.losses))");
    code_line(out, "evaluate", "    val_accuracy = np.mean(logits.argmax(1) == y_test)");
    code_line(out, "report", "    if rank == 0:");
    python_write_report("epoch + 1", "np.mean(losses)", "correct / len(x_train)", "val_loss",
                        "val_accuracy", "        ", out);
}

static void write_step(const struct code_subject *subject, struct code_text *out)
{
    if (subject->several) {
        write_part_step(subject, out);
        return;
    }
    const char *watched = keras_watched(subject);
    char now[32], later[32];
    snprintf(now, sizeof now, "logs['%s']", keras_told(subject));
    snprintf(later, sizeof later, "logs['%s']", watched);
    code_line(out, "callback",
              "# The step itself is inside fit(): forward, loss, gradients, update,");
    code_line(out, "callback", "# compiled into one graph. A callback is asked in from there.");
    code_line(out, "callback", "class Report(keras.callbacks.Callback):");
    code_line(out, "callback", "    def on_epoch_end(self, epoch, logs=None):");
    python_write_report("epoch + 1", now, "logs['accuracy']", later, "logs['val_accuracy']",
                        "        ", out);
}

static bool watches(const struct job *job)
{
    return job->early_stop || job->keep == JOB_KEEP_BEST;
}

/* One callback of the list; `call` may be as long as its arguments are many. */
static void write_callback(const char *idea, const char *call, struct code_text *out)
{
    size_t name = strcspn(call, "(") + 1;
    if (strlen(call) <= CALLBACK_WIDTH) {
        code_line(out, idea, "        %s,", call);
        return;
    }
    code_line(out, idea, "        %.*s", (int)name, call);
    code_line(out, idea, "            %.*s", (int)(strlen(call) - name - 1), call + name);
    code_line(out, idea, "        ),");
}

/* fit()'s list of them: Keras's own for early stopping and the best epoch. */
static void write_callbacks(const struct code_subject *subject, struct code_text *out)
{
    const struct job *job = subject->job;
    bool forgets;
    struct code_arguments schedule = keras_schedule_callback(subject, &forgets), stop = {""};
    char call[512];
    bool keeps = job->keep == JOB_KEEP_BEST;
    if (!schedule.text[0] && !watches(job)) {
        code_line(out, "report", "    \"callbacks\": [Report()],");
        return;
    }
    code_line(out, "report", "    \"callbacks\": [");
    code_line(out, "report", "        Report(),");
    if (schedule.text[0]) write_callback("schedule", schedule.text, out);
    if (watches(job)) {
        keras_add_monitor(subject, &stop);
        code_argument(&stop, "patience=%u", job->early_stop ? job->early_stop : job->epochs);
        if (keeps) code_argument(&stop, "restore_best_weights=True");
        if (!job->early_stop)
            code_line(out, "best", "        # stops nothing, but gives the best epoch back");
        snprintf(call, sizeof call, "keras.callbacks.EarlyStopping(%.400s)", stop.text);
        write_callback(job->early_stop ? "stop" : "best", call, out);
    }
    code_line(out, "report", "    ],");
}

/* One fit() for all epochs: another would begin its callbacks anew. It takes no class weights
 * beside a generator. */
static void write_batches(const struct job *job, struct code_text *out)
{
    const char *weight = keras_weighs(job) ? ", sample_weights[batch]" : "";
    if (keras_weighs(job)) {
        code_line(out, "weights",
                  "# what class_weight means, which fit() does not take with batches");
        code_line(out, "weights", "sample_weights = np.take(weights, y_train%s)",
                  job->label_smoothing > 0 ? ".argmax(axis=1)" : "");
    }
    code_blank(out, 2);
    code_line(out, "order", "def batches(orders):");
    code_line(out, "order",
              "    \"\"\"The training samples in the given order, a row per epoch.\"\"\"");
    code_line(out, "order", "    for order in orders:");
    code_line(out, "order", "        for first in range(0, len(order), %u):", job->batch_size);
    code_line(out, "order", "            batch = order[first : first + %u]", job->batch_size);
    code_line(out, "order", "            yield x_train[batch], y_train[batch]%s", weight);
    code_blank(out, 2);
}

static void write_fit(const struct job *job, bool ordered, struct code_text *out)
{
    struct code_arguments a = {"x_train, y_train"};
    code_line(out, "order", "if not args.order:");
    if (ordered) {
        if (keras_weighs(job)) code_argument(&a, "sample_weight=sample_weights");
        code_argument(&a, "batch_size=%u", job->batch_size);
        code_line(out, "batches", "    model.fit(%s, **options)  # the whole loop", a.text);
        code_line(out, "order", "else:");
        code_line(out, "order", "    steps = int(np.ceil(len(x_train) / %u))", job->batch_size);
        code_line(out, "order",
                  "    model.fit(batches(np.load(args.order)), steps_per_epoch=steps, "
                  "**options)");
        return;
    }
    code_line(out, "epochs",
              "    model.fit(x_train, y_train, epochs=%u, **options)  # the whole loop",
              job->epochs);
    code_line(out, "order", "else:  # one call per epoch, its samples laid out in the given order");
    code_line(out, "order",
              "    for epoch, order in enumerate(np.load(args.order)[:%u]):", job->epochs);
    code_line(out, "order", "        model.fit(");
    code_line(out, "order", "            x_train[order], y_train[order], shuffle=False,");
    code_line(out, "order", "            initial_epoch=epoch, epochs=epoch + 1, **options,");
    code_line(out, "order", "        )");
}

static void write_test(const struct code_subject *subject, struct code_text *out)
{
    char loss[32];
    snprintf(loss, sizeof loss, "test['%s']", keras_watched(subject) + strlen("val_"));
    code_line(out, "evaluate",
              "test = model.evaluate(x_test, y_test, verbose=0, return_dict=True)");
    python_write_test(loss, "test['accuracy']", out);
}

static void write_loop(const struct code_subject *subject, struct code_text *out)
{
    const struct job *job = subject->job;
    bool validates = job->validation > 0, forgets;
    if (subject->several) {
        write_part_loop(subject, out);
        return;
    }
    keras_schedule_callback(subject, &forgets);
    bool ordered = watches(job) || forgets;
    if (ordered) write_batches(job, out);
    code_line(out, NULL, "options = {");
    if (ordered)
        code_line(out, "epochs", "    \"epochs\": %u,", job->epochs);
    else
        code_line(out, "batches", "    \"batch_size\": %u,", job->batch_size);
    code_line(out, "evaluate", "    \"validation_data\": (%s),",
              validates ? "x_val, y_val" : "x_test, y_test");
    if (keras_weighs(job) && !ordered)
        code_line(out, "weights", "    \"class_weight\": dict(enumerate(weights)),");
    write_callbacks(subject, out);
    code_line(out, NULL, "    \"verbose\": 0,");
    code_line(out, NULL, "}");
    write_fit(job, ordered, out);
    if (validates) write_test(subject, out);
}

/* What Keras itself loses in its .h5 is saved in its newer format. */
static const char *saved_ending(const struct network *network)
{
    struct error why;
    bool lost = modelfile_format_find("h5")->carries(network, &why) &&
                !modelfile_format_find("keras")->carries(network, &why);
    return lost ? "keras" : "h5";
}

static void write_save(const struct code_subject *subject, struct code_text *out)
{
    const char *name = subject->job->name, *ending = saved_ending(&subject->network);
    if (subject->several) {
        code_line(out, "save", "if rank == 0:");
        code_line(out, "save",
                  "    model.save(\"%s.%s\", include_optimizer=False)  # as one process's", name,
                  ending);
        return;
    }
    const char *own = keras_has_class(subject)          ? "class"
                      : keras_has_loss(subject->job)    ? "loss"
                      : keras_has_metric_class(subject) ? "metric"
                                                        : NULL;
    if (own)
        code_line(out, "save",
                  "model.save(\"%s.%s\", include_optimizer=False)  # other programs lack its %s",
                  name, ending, own);
    else
        code_line(out, "save", "model.save(\"%s.%s\")  # the whole model: layers and numbers", name,
                  ending);
}

const struct code_voice code_tensorflow_python = {
    .id = "tensorflow.python",
    .engine = &engine_tensorflow,
    .language = "python",
    .kind = CODE_KIND_KERAS,
    .title = "TensorFlow, Python",
    .file = "model_tf.py",
    .notebook = "model_tf.ipynb",
    .check = check,
    .write_stage = python_write_stage,
    .stages = {write_data, write_network, write_optimizer, write_step, write_loop, write_save},
};

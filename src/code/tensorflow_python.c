/* The training program in TensorFlow with Keras: declarative, defined and then run. */
#include "code/text.h"

#include <stdio.h>

#include "code/layers.h"
#include "code/optimizers.h"
#include "code/python.h"

static void write_data(const struct code_subject *subject, struct code_text *out)
{
    const char *dtype = dtype_name(subject->job->dtype);
    python_write_header(subject, "TensorFlow: declared, compiled, fitted.",
                        "from tensorflow import keras", "h5", out);
    const struct network *network = &subject->network;
    char shape[48];
    if (python_takes_maps(network))
        snprintf(shape, sizeof shape, "%u, %u, 1", network->rows, network->columns);
    else
        snprintf(shape, sizeof shape, "%u", network_inputs(network));
    python_write_arrays(subject, shape, out);
    static const char *const names[] = {"x_train", "x_test"};
    char scaled[160];
    for (size_t i = 0; i < 2; i++)
        if (python_is_usual_form(subject))
            code_line(out, "scale", "%s = %s.astype(\"%s\") / 255", names[i], names[i], dtype);
        else
            code_line(out, "scale", "%s = %s.astype(\"%s\")", names[i],
                      python_scaled(subject, names[i], scaled), dtype);
    if (subject->job->dtype == DTYPE_FLOAT64)
        code_line(out, "scale", "keras.config.set_floatx(\"float64\")  # the layers likewise");
}

static int check(const struct code_subject *subject, struct error *error)
{
    return python_check(subject, error) || keras_check_layers(&subject->network, error) ? -1 : 0;
}

static void write_network(const struct code_subject *subject, struct code_text *out)
{
    const struct job *job = subject->job;
    const struct network *network = &subject->network;
    code_line(out, "seed", "keras.utils.set_random_seed(%llu)",
              (unsigned long long)(job->seed & 0xffffffffu));
    code_line(out, NULL, "%s", "");
    keras_write_definitions(network, job, out);
    code_line(out, "network", "model = keras.Sequential([");
    if (python_takes_maps(network))
        code_line(out, "network", "    keras.Input((%u, %u, 1)),", network->rows, network->columns);
    else
        code_line(out, "network", "    keras.Input((%u,)),", network_inputs(network));
    keras_write_layers(network, job, out);
    code_line(out, "network", "])");
    keras_write_exact(network, job, out);
    code_line(out, "initial", "if args.initial:");
    code_line(out, "initial", "    model.load_weights(args.initial)");
    keras_write_masks(network, out);
}

static void write_optimizer(const struct code_subject *subject, struct code_text *out)
{
    keras_write_optimizer_class(subject->job, out);
    code_line(out, "compile", "model.compile(  # computes nothing: says what fit() will do");
    code_line(out, "optimizer", "    optimizer=%s,", keras_optimizer_call(subject->job).text);
    code_line(out, "loss",
              "    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),");
    if (keras_decays_by_layers(subject->job)) {
        code_line(out, "correct", "    metrics=[");
        code_line(out, "correct", "        \"accuracy\",");
        code_line(out, "decay",
                  "        # the loss has the penalty in it; this is the cross-entropy alone");
        code_line(
            out, "decay",
            "        keras.metrics.SparseCategoricalCrossentropy(\"entropy\", from_logits=True),");
        code_line(out, "correct", "    ],");
    } else {
        code_line(out, "correct", "    metrics=[\"accuracy\"],");
    }
    code_line(out, "compile", ")");
}

static void write_step(const struct code_subject *subject, struct code_text *out)
{
    const char *loss = keras_decays_by_layers(subject->job) ? "entropy" : "loss";
    char now[32], later[32];
    snprintf(now, sizeof now, "logs['%s']", loss);
    snprintf(later, sizeof later, "logs['val_%s']", loss);
    code_line(out, "callback",
              "# The step itself is inside fit(): forward, loss, gradients, update,");
    code_line(out, "callback", "# compiled into one graph. A callback is asked in from there.");
    code_line(out, "callback", "class Report(keras.callbacks.Callback):");
    code_line(out, "callback", "    def on_epoch_end(self, epoch, logs=None):");
    python_write_report("epoch + 1", now, "logs['accuracy']", later, "logs['val_accuracy']",
                        "        ", out);
}

static void write_loop(const struct code_subject *subject, struct code_text *out)
{
    const struct job *job = subject->job;
    code_line(out, NULL, "options = {");
    code_line(out, "batches", "    \"batch_size\": %u,", job->batch_size);
    code_line(out, "evaluate", "    \"validation_data\": (x_test, y_test),");
    code_line(out, "report", "    \"callbacks\": [Report()],");
    code_line(out, NULL, "    \"verbose\": 0,");
    code_line(out, NULL, "}");
    code_line(out, "order", "if not args.order:");
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

static void write_save(const struct code_subject *subject, struct code_text *out)
{
    const char *name = subject->job->name;
    if (keras_has_class(subject->job))
        code_line(out, "save",
                  "model.save(\"%s.h5\", include_optimizer=False)  # other programs lack its class",
                  name);
    else
        code_line(out, "save", "model.save(\"%s.h5\")  # the whole model: layers and numbers",
                  name);
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

/* The training program in TensorFlow with Keras: declarative, defined and then run. */
#include "code/text.h"

#include <math.h>
#include <string.h>

#include "code/python.h"

static void write_data(const struct job *job, struct code_text *out)
{
    const char *dtype = dtype_name(job->dtype);
    python_write_header(job, "TensorFlow: declared, compiled, fitted", "import keras", "a weights or model file of Keras, .h5", out);
    if (job->dtype == DTYPE_FLOAT64) code_line(out, "scale", "keras.backend.set_floatx(\"float64\")");
    python_write_reader(job, out);
    code_line(out, "split", "x_train, y_train = read(\"train\")");
    code_line(out, "split", "x_test, y_test = read(\"t10k\")");
    code_line(out, "scale", "# pixels 0 … 255 become numbers 0 … 1");
    code_line(out, "scale", "x_train = x_train / np.%s(255)", dtype);
    code_line(out, "scale", "x_test = x_test / np.%s(255)", dtype);
}

/* PyTorch's default distribution in Keras's words: uniform in ±1/sqrt(inputs), which is VarianceScaling with 1/3. */
static void write_torch_init(uint32_t inputs, struct code_text *out)
{
    code_line(out, "init", "        kernel_initializer=keras.initializers.VarianceScaling(1 / 3, \"fan_in\", \"uniform\"),");
    code_line(out, "init", "        bias_initializer=keras.initializers.RandomUniform(-(%u**-0.5), %u**-0.5),", inputs, inputs);
}

static void write_layer(const struct job *job, uint32_t index, uint32_t inputs, uint32_t outputs, struct code_text *out)
{
    bool last = index == job->hidden_count;
    char activation[48] = "";
    if (!last) snprintf(activation, sizeof activation, ", activation=\"%s\"", activation_name(job->activation));
    const char *idea = last ? "layer" : "activation";
    double decay = job->optimizer.weight_decay;
    if (job->init == INIT_KERAS && decay <= 0) {
        code_line(out, idea, "    keras.layers.Dense(%u%s, name=\"fc%u\"),%s", outputs, activation, index + 1,
                  last ? "  # logits: no softmax here, the loss does it" : "");
        return;
    }
    code_line(out, idea, "    keras.layers.Dense(");
    code_line(out, idea, "        %u%s, name=\"fc%u\",%s", outputs, activation, index + 1,
              last ? "  # logits: no softmax here, the loss does it" : "");
    if (job->init == INIT_TORCH) write_torch_init(inputs, out);
    if (decay > 0) {
        code_line(out, "optimizer", "        kernel_regularizer=keras.regularizers.L2(%s),  # weight decay / 2", code_real(decay / 2));
        code_line(out, "optimizer", "        bias_regularizer=keras.regularizers.L2(%s),", code_real(decay / 2));
    }
    code_line(out, idea, "    ),");
}

static void write_network(const struct job *job, struct code_text *out)
{
    uint32_t inputs = python_inputs(job);
    code_line(out, "seed", "keras.utils.set_random_seed(%llu)", (unsigned long long)(job->seed & 0xffffffffu));
    code_line(out, NULL, "%s", "");
    code_line(out, "network", "model = keras.Sequential([");
    code_line(out, "network", "    keras.Input((%u,)),", inputs);
    for (uint32_t i = 0; i <= job->hidden_count; i++) {
        uint32_t outputs = i < job->hidden_count ? job->hidden[i] : python_classes(job);
        write_layer(job, i, inputs, outputs, out);
        inputs = outputs;
    }
    code_line(out, "network", "])");
    code_line(out, "initial", "if args.initial:");
    code_line(out, "initial", "    model.load_weights(args.initial)");
}

static void write_optimizer(const struct job *job, struct code_text *out)
{
    const struct optimizer *o = &job->optimizer;
    char rest[96] = "";
    if (o->momentum > 0) snprintf(rest, sizeof rest, ", momentum=%s", code_real(o->momentum));
    if (o->type == OPTIMIZER_ADAM) snprintf(rest, sizeof rest, ", epsilon=%s", code_real(o->epsilon));
    code_line(out, "loss", "cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)");
    code_line(out, "compile", "model.compile(  # nothing is computed yet: this says what fit() will do");
    if (o->type == OPTIMIZER_ADAM)
        code_line(out, "optimizer", "    # epsilon is added before the bias correction here, after it in PyTorch: losses part by some 1e-4");
    code_line(out, "optimizer", "    optimizer=keras.optimizers.%s(learning_rate=%s%s),",
              o->type == OPTIMIZER_ADAM ? "Adam" : "SGD", code_real(o->learning_rate), rest);
    code_line(out, "loss", "    loss=cross_entropy,");
    if (o->weight_decay > 0) {
        code_line(out, "correct", "    metrics=[\"accuracy\", keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name=\"ce\")],");
    } else {
        code_line(out, "correct", "    metrics=[\"accuracy\"],");
    }
    code_line(out, "compile", ")");
}

static void write_step(const struct job *job, struct code_text *out)
{
    /* With L2 terms Keras's "loss" contains the penalty; the plain cross-entropy is a metric of its own then. */
    const char *loss = job->optimizer.weight_decay > 0 ? "ce" : "loss";
    code_line(out, "callback", "# The step itself is inside fit(): forward, loss, gradients, update, compiled into one graph.");
    code_line(out, "callback", "# What a person can hook into is its end:");
    code_line(out, "callback", "class Report(keras.callbacks.Callback):");
    code_line(out, "callback", "    def on_epoch_end(self, epoch, logs):");
    char now[32], later[32];
    snprintf(now, sizeof now, "logs['%s']", loss);
    snprintf(later, sizeof later, "logs['val_%s']", loss);
    python_write_report(job, "epoch + 1", now, "logs['accuracy']", later, "logs['val_accuracy']", "        ", out);
}

static void write_loop(const struct job *job, struct code_text *out)
{
    code_line(out, "evaluate", "options = dict(batch_size=%u, validation_data=(x_test, y_test), callbacks=[Report()], verbose=0)",
              job->batch_size);
    code_line(out, "order", "if args.order:  # a given order: one call a pass, the samples already shuffled");
    code_line(out, "order", "    for epoch, order in enumerate(np.load(args.order)[:%u]):", job->epochs);
    code_line(out, "order", "        model.fit(x_train[order], y_train[order], shuffle=False, initial_epoch=epoch, epochs=epoch + 1, **options)");
    code_line(out, "epochs", "else:");
    code_line(out, "epochs", "    model.fit(x_train, y_train, epochs=%u, **options)  # the whole loop, batches and all", job->epochs);
}

static void write_save(const struct job *job, struct code_text *out)
{
    code_line(out, "save", "model.save(\"%s.h5\")  # the whole model: layers and numbers", job->name);
}

static void write_stage(enum code_stage stage, const struct job *job, struct code_text *out)
{
    static void (*const stages[CODE_STAGE_COUNT])(const struct job *, struct code_text *) = {
        write_data, write_network, write_optimizer, write_step, write_loop, write_save,
    };
    stages[stage](job, out);
}

const struct code_voice code_tensorflow_python = {
    .id = "tensorflow.python",
    .engine = "tensorflow",
    .language = "python",
    .title = "TensorFlow, Python",
    .file = "model_tf.py",
    .write_stage = write_stage,
};

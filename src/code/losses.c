#include "code/losses.h"

#include <stdio.h>
#include <string.h>

#include "code/optimizers.h"
#include "code/text.h"
#include "net/loss.h"

#define LIST_WIDTH 88

static bool is_weighted(const struct job *job)
{
    return job->class_weight[0] != 0;
}

/* Whether the weights are meant as CrossEntropyLoss's; else as class_weight's. */
static bool weighs_as_pytorch(const struct job *job)
{
    return is_weighted(job) && job->optimizer.meaning == MEANING_PYTORCH;
}

static bool weighs_as_keras(const struct job *job)
{
    return is_weighted(job) && job->optimizer.meaning == MEANING_KERAS;
}

int losses_check(const struct code_subject *subject, struct error *error)
{
    const struct job *job = subject->job;
    uint32_t classes = network_classes(&subject->network);
    double weights[LOSS_MAX_CLASSES];
    size_t count;
    if (loss_parse_weights(job->class_weight, weights, &count, error)) return -1;
    if (!count || count == classes) return 0;
    return error_set(error, ERROR_INPUT,
                     "there are %zu class weights, and the network has %u classes: give one for "
                     "each",
                     count, classes);
}

/* "weights = [1.0, 1.0, 2.5]" inside of what `before` and `after` make of the list; lines are
 * filled. */
static void write_list(const struct job *job, const char *before, const char *after,
                       struct code_text *out)
{
    double weights[LOSS_MAX_CLASSES];
    struct error error;
    size_t count;
    char line[LIST_WIDTH + 64];
    CHECK(!loss_parse_weights(job->class_weight, weights, &count, &error));
    int used = snprintf(line, sizeof line, "weights = %s[", before);
    for (size_t i = 0; i < count; i++) {
        const char *number = code_real(weights[i]);
        if (used + (int)strlen(number) + 4 > LIST_WIDTH) {
            code_line(out, "weights", "%.*s", used - (line[used - 1] == ' '), line);
            used = snprintf(line, sizeof line, "    ");
        }
        used += snprintf(line + used, sizeof line - (size_t)used, i + 1 < count ? "%s, " : "%s",
                         number);
    }
    code_line(out, "weights", "%s]%s", line, after);
}

/* --- PyTorch ---------------------------------------------------------------------------------- */

static void write_torch_weights(const struct code_subject *subject, struct code_text *out)
{
    const struct job *job = subject->job;
    const char *dtype = dtype_name(job->dtype);
    char after[40];
    if (!loss_is_balanced(job->class_weight)) {
        snprintf(after, sizeof after, ", dtype=torch.%s)", dtype);
        write_list(job, "torch.tensor(", after, out);
        return;
    }
    code_line(out, "weights", "# balanced: rare classes weigh more, so that all weigh the same");
    code_line(out, "weights", "counts = torch.bincount(y_train, minlength=%u)",
              network_classes(&subject->network));
    code_line(out, "weights", "weights = len(y_train) / (len(counts) * counts.double())");
    code_line(out, "weights", "weights[counts == 0] = 0");
    if (job->dtype != DTYPE_FLOAT64)
        code_line(out, "weights", "weights = weights.to(torch.%s)", dtype);
}

/* PyTorch has no regularizer of a layer: weight_decay is of all parameters alike. */
void torch_write_penalty(const struct code_subject *subject, struct code_text *out)
{
    const struct network *network = &subject->network;
    bool first = true;
    if (!network_is_penalized(network)) return;
    code_blank(out, 2);
    code_line(out, "penalty", "def penalty():");
    code_line(out, "penalty", "    # what kernel_regularizer of Keras adds to the loss");
    code_line(out, "penalty", "    return (");
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        const struct {
            double factor;
            const char *sum;
        } terms[] = {{layer->l1, "abs().sum()"}, {layer->l2, "square().sum()"}};
        out->layers = 1ull << i;
        for (size_t k = 0; k < 2; k++) {
            if (!(terms[k].factor > 0)) continue;
            code_line(out, "penalty", "        %s%s * model.%s.weight.%s", first ? "" : "+ ",
                      code_real(terms[k].factor), layer->name, terms[k].sum);
            first = false;
        }
    }
    out->layers = 0;
    code_line(out, "penalty", "    )");
    code_blank(out, 2);
}

void torch_write_loss_parts(const struct code_subject *subject, struct code_text *out)
{
    const struct job *job = subject->job;
    struct code_arguments a = {"logits, y"};
    if (!is_weighted(job)) return;
    write_torch_weights(subject, out);
    if (!weighs_as_keras(job)) return;
    code_argument(&a, "reduction=\"none\"");
    if (job->label_smoothing > 0)
        code_argument(&a, "label_smoothing=%s", code_real(job->label_smoothing));
    code_blank(out, 2);
    code_line(out, "loss", "def loss_function(logits, y):");
    code_line(out, "loss", "    # as class_weight of Keras: the mean over the samples;");
    code_line(out, "loss", "    # CrossEntropyLoss(weight=…) divides by the labels' weights");
    code_line(out, "loss", "    losses = nn.functional.cross_entropy(%s)", a.text);
    code_line(out, "loss", "    return (weights[y] * losses).mean()");
    code_blank(out, 2);
}

void torch_write_loss(const struct job *job, struct code_text *out)
{
    struct code_arguments a = {""};
    if (weighs_as_keras(job)) return;
    if (is_weighted(job)) code_argument(&a, "weight=weights");
    if (job->label_smoothing > 0)
        code_argument(&a, "label_smoothing=%s", code_real(job->label_smoothing));
    if (is_weighted(job))
        code_line(out, "loss", "# takes logits, divides by the weights of the batch's labels");
    code_line(out, "loss", "loss_function = nn.CrossEntropyLoss(%s)%s", a.text,
              is_weighted(job) ? "" : "  # takes logits, gives the batch's mean");
}

const char *torch_evaluation_loss(const struct job *job)
{
    return is_weighted(job) || job->label_smoothing > 0 ? "nn.functional.cross_entropy"
                                                        : "loss_function";
}

/* --- Keras ------------------------------------------------------------------------------------ */

bool keras_weighs(const struct job *job)
{
    return weighs_as_keras(job);
}

bool keras_has_loss(const struct job *job)
{
    return weighs_as_pytorch(job);
}

/* Keras's sparse loss has no smoothing. */
static bool takes_rows(const struct job *job)
{
    return job->label_smoothing > 0 && !keras_has_loss(job);
}

/* Whether the loss is not what is watched: the samples that are not trained with have plain
 * cross-entropy. */
static bool has_entropy(const struct code_subject *subject)
{
    const struct job *job = subject->job;
    return keras_decays_by_layers(subject) || job->label_smoothing > 0 || keras_has_loss(job);
}

const char *keras_told(const struct code_subject *subject)
{
    return keras_decays_by_layers(subject) ? "entropy" : "loss";
}

const char *keras_watched(const struct code_subject *subject)
{
    return has_entropy(subject) ? "val_entropy" : "val_loss";
}

void keras_add_monitor(const struct code_subject *subject, struct code_arguments *a)
{
    if (!has_entropy(subject)) return;
    code_argument(a, "monitor=\"val_entropy\"");
    code_argument(a, "mode=\"min\"");
}

void keras_write_labels(const struct code_subject *subject, struct code_text *out)
{
    static const char *const names[] = {"train", "val", "test"};
    if (!takes_rows(subject->job)) return;
    code_line(out, "labels", "# label smoothing asks for a row per label: 0, …, 1, …, 0");
    for (size_t i = 0; i < 3; i++)
        if (i != 1 || subject->job->validation > 0)
            code_line(out, "labels", "y_%s = keras.utils.to_categorical(y_%s, %u)", names[i],
                      names[i], network_classes(&subject->network));
}

static void write_keras_weights(const struct code_subject *subject, struct code_text *out)
{
    const struct job *job = subject->job;
    const char *dtype = dtype_name(job->dtype);
    char after[40];
    if (!loss_is_balanced(job->class_weight)) {
        snprintf(after, sizeof after, ", \"%s\")", dtype);
        write_list(job, keras_has_loss(job) ? "np.array(" : "", keras_has_loss(job) ? after : "",
                   out);
        return;
    }
    code_line(out, "weights", "# balanced: rare classes weigh more, so that all weigh the same");
    if (takes_rows(job))
        code_line(out, "weights", "counts = y_train.sum(axis=0)");
    else
        code_line(out, "weights", "counts = np.bincount(y_train, minlength=%u)",
                  network_classes(&subject->network));
    code_line(out, "weights", "weights = len(y_train) / (len(counts) * np.maximum(counts, 1))");
    code_line(out, "weights", "weights[counts == 0] = 0");
    if (keras_has_loss(job) && job->dtype != DTYPE_FLOAT64)
        code_line(out, "weights", "weights = weights.astype(\"%s\")", dtype);
}

/* "keras.metrics.SparseCategoricalCrossentropy" */
static const char *entropy_class(const struct job *job)
{
    return takes_rows(job) ? "keras.metrics.CategoricalCrossentropy"
                           : "keras.metrics.SparseCategoricalCrossentropy";
}

/* What is watched has the layers' penalties beside the plain cross-entropy. */
bool keras_has_metric_class(const struct code_subject *subject)
{
    return has_entropy(subject) && network_is_penalized(&subject->network);
}

static void write_penalized_entropy(const struct code_subject *subject, struct code_text *out)
{
    code_blank(out, 2);
    code_line(out, "penalty", "class Entropy(%s):", entropy_class(subject->job));
    code_line(out, "penalty", "    # with what the layers' regularizers add, as the loss has it");
    code_line(out, "penalty", "    def result(self):");
    code_line(out, "penalty", "        return super().result() + sum(model.losses)");
    code_blank(out, 2);
}

static void write_cross_entropy(const struct code_subject *subject, struct code_text *out)
{
    const struct job *job = subject->job;
    uint32_t classes = network_classes(&subject->network);
    code_blank(out, 2);
    code_line(out, "loss", "def cross_entropy(y, logits):");
    code_line(out, "loss", "    # CrossEntropyLoss(weight=…) of PyTorch: divides by the labels'");
    code_line(out, "loss", "    # weights, class_weight by the number of samples");
    code_line(out, "loss", "    y = keras.ops.cast(keras.ops.reshape(y, (-1,)), \"int32\")");
    code_line(out, "loss", "    labels = keras.ops.one_hot(y, %u, dtype=logits.dtype)", classes);
    if (job->label_smoothing > 0)
        code_line(out, "loss", "    targets = labels * (1 - %s) + %s / %u  # label smoothing",
                  code_real(job->label_smoothing), code_real(job->label_smoothing), classes);
    code_line(out, "loss",
              "    losses = -keras.ops.sum(%s * weights * keras.ops.log_softmax(logits), axis=1)",
              job->label_smoothing > 0 ? "targets" : "labels");
    code_line(out, "loss", "    return keras.ops.sum(losses) / keras.ops.sum(labels * weights)");
    code_blank(out, 2);
}

void keras_write_loss_parts(const struct code_subject *subject, struct code_text *out)
{
    if (is_weighted(subject->job)) write_keras_weights(subject, out);
    if (keras_has_loss(subject->job)) write_cross_entropy(subject, out);
    if (keras_has_metric_class(subject)) write_penalized_entropy(subject, out);
}

void keras_write_loss(const struct job *job, struct code_text *out)
{
    if (keras_has_loss(job)) {
        code_line(out, "loss", "    loss=cross_entropy,");
    } else if (takes_rows(job)) {
        code_line(out, "loss", "    loss=keras.losses.CategoricalCrossentropy(");
        code_line(out, "loss", "        from_logits=True, label_smoothing=%s",
                  code_keras_real(job->label_smoothing, job->dtype == DTYPE_FLOAT64));
        code_line(out, "loss", "    ),");
    } else {
        code_line(out, "loss",
                  "    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),");
    }
}

void keras_write_metrics(const struct code_subject *subject, struct code_text *out)
{
    const struct job *job = subject->job;
    if (!has_entropy(subject)) {
        code_line(out, "correct", "    metrics=[\"accuracy\"],");
        return;
    }
    bool decays = keras_decays_by_layers(subject), penalized = keras_has_metric_class(subject);
    const char *idea = decays ? "decay" : "evaluate";
    code_line(out, "correct", "    metrics=[");
    code_line(out, "correct", "        \"accuracy\",");
    code_line(out, idea, "        # the loss %s; this is the cross-entropy%s",
              decays                     ? "has the penalty in it"
              : job->label_smoothing > 0 ? "smooths the labels"
                                         : "weighs the classes",
              penalized ? "" : " alone");
    code_line(out, idea, "        %s(%s, from_logits=True),",
              penalized ? "Entropy" : entropy_class(job), "\"entropy\"");
    code_line(out, "correct", "    ],");
}

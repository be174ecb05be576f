/* The rows. What the table of optimizers knows (formulas, defaults) is not repeated here. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "atlas/atlas.h"
#include "atlas/experiment.h"

#define BOTH(text)              \
    {                           \
        {.optimizer = (text)},  \
        {                       \
            .optimizer = (text) \
        }                       \
    }
#define SIDES(pytorch, keras)     \
    {                             \
        {.optimizer = (pytorch)}, \
        {                         \
            .optimizer = (keras)  \
        }                         \
    }

/* clang-format off */
const struct atlas_row atlas_rows[] = {
    {1, "sgd-momentum", "SGD with momentum at a constant rate", "optimizer",
     .affects = "Nobody: both reach the same weights while the learning rate does not change.",
     .migrate = "Nothing to do. Once a schedule changes the rate, see row 2.",
     .closes = true,
     .experiment = &(const struct atlas_experiment){
         .about = "SGD, rate 0.1, momentum 0.9, 20 steps at a constant rate.",
         .samples = 80, .epochs = 2, .shows = ATLAS_WEIGHT,
         .sides = BOTH("sgd lr=0.1 momentum=0.9")},
     .code = "optimizer=sgd&momentum=0.9"},
    {2, "sgd-momentum-schedule", "SGD with momentum when the rate changes", "optimizer",
     .affects = "Every run with momentum and a schedule, a warm-up or a rate that is changed by hand.",
     .migrate = "No argument closes it: Keras's buffer holds steps at the old rate, which go on after the rate fell. "
                "Lower the rate gradually, or take the other framework's formula (meaning).",
     .experiment = &(const struct atlas_experiment){
         .about = "SGD, momentum 0.9, inputs up to 6; the rate falls from 0.1 to 0.01 at step 10 of 20.",
         .scale = 6, .samples = 80, .epochs = 2, .shows = ATLAS_WEIGHT,
         .sides = {{.optimizer = "sgd lr=0.1 momentum=0.9", .schedule = "step:every=1,gamma=0.1,unit=epoch"},
                   {.optimizer = "sgd lr=0.1 momentum=0.9", .schedule = "step:every=1,gamma=0.1,unit=epoch"}}},
     .code = "optimizer=sgd&momentum=0.9"},
    {3, "adam-epsilon", "Adam: where epsilon is added, and how large it is", "optimizer",
     .affects = "Networks with tiny gradients: late in training, deep networks, losses that are scaled down. amsgrad likewise.",
     .migrate = "No constant epsilon closes it: PyTorch's acts on the corrected root, Keras's on the plain one, so their "
                "ratio changes with the step. Scale the loss up, or take the other formula (meaning).",
     .experiment = &(const struct atlas_experiment){
         .about = "Adam with each framework's defaults, inputs up to 3e-8, so that gradients are, too; 20 steps.",
         .samples = 80, .epochs = 2, .scale = 3e-8, .shows = ATLAS_WEIGHT,
         .sides = {{.layers = "dense 3 nobias", .optimizer = "adam"}, {.optimizer = "adam"}}},
     .code = "optimizer=adam"},
    {4, "adamw-decay", "AdamW: the default weight decay", "optimizer",
     .affects = "Everyone who takes AdamW without naming weight_decay.",
     .migrate = "Name weight_decay on both sides.",
     .closes = true,
     .experiment = &(const struct atlas_experiment){
         .about = "AdamW at a rate of 0.01 with each framework's default decay, epsilon 1e-8 on both sides; 60 steps.",
         .epochs = 20, .shows = ATLAS_WEIGHT, .sides = BOTH("adamw lr=0.01 epsilon=1e-8")},
     .code = "optimizer=adamw"},
    {5, "adam-decay", "Adam(weight_decay=…): L2 or decoupled", "optimizer",
     .affects = "Everyone who gives Adam a weight decay: PyTorch's is divided by the root of the mean square, Keras's is not.",
     .migrate = "Take AdamW in PyTorch for what Keras's Adam does with a decay. What PyTorch's Adam does with it has no "
                "counterpart in Keras but an L2 regularizer of every layer.",
     .closes = true,
     .experiment = &(const struct atlas_experiment){
         .about = "Adam, rate 0.01, weight decay 0.05, epsilon 1e-8 on both sides; 20 steps.",
         .samples = 80, .epochs = 2, .shows = ATLAS_WEIGHT, .sides = BOTH("adam lr=0.01 weight_decay=0.05 epsilon=1e-8")},
     .code = "optimizer=adam&weight_decay=0.1"},
    {6, "sgd-decay", "SGD(weight_decay=…) without momentum", "optimizer",
     .affects = "Nobody: without momentum both take the same step.",
     .migrate = "Nothing to do. With momentum see row 7.",
     .closes = true,
     .experiment = &(const struct atlas_experiment){
         .about = "SGD, rate 0.1, weight decay 0.1, no momentum; 60 steps.",
         .epochs = 20, .shows = ATLAS_WEIGHT, .sides = BOTH("sgd lr=0.1 weight_decay=0.1")},
     .code = "optimizer=sgd&weight_decay=0.1"},
    {7, "sgd-decay-momentum", "SGD(weight_decay=…) with momentum", "optimizer",
     .affects = "Every run with SGD, momentum and weight decay, the usual recipe for convolutional networks.",
     .migrate = "PyTorch's decay goes through the momentum, Keras's does not: for PyTorch's in Keras leave weight_decay out "
                "and give every layer an L2 regularizer of half the decay.",
     .closes = true,
     .experiment = &(const struct atlas_experiment){
         .about = "SGD, rate 0.1, momentum 0.9, weight decay 0.08; 20 steps.",
         .samples = 80, .epochs = 2, .shows = ATLAS_WEIGHT,
         .sides = BOTH("sgd lr=0.1 momentum=0.9 weight_decay=0.08")},
     .code = "optimizer=sgd&momentum=0.9&weight_decay=0.1"},
    {8, "rmsprop-defaults", "RMSprop: the defaults", "optimizer",
     .affects = "Everyone who takes RMSprop as it is: PyTorch's rate is ten times Keras's, and its mean looks ten times as far back.",
     .migrate = "Name lr, alpha or rho, and epsilon on both sides; row 9 remains.",
     .closes = true,
     .experiment = &(const struct atlas_experiment){
         .about = "RMSprop with each framework's defaults; 60 steps.",
         .epochs = 20, .shows = ATLAS_LOSS, .sides = BOTH("rmsprop")},
     .code = "optimizer=rmsprop"},
    {9, "rmsprop-epsilon", "RMSprop: where epsilon is added", "optimizer",
     .affects = "Networks whose gradients are below 1e-3: there Keras's steps are the smaller ones.",
     .migrate = "No constant epsilon closes it. Keras's ε under the root acts like PyTorch's √ε for the smallest gradients: "
                "take a smaller ε in Keras, or the other formula (meaning).",
     .experiment = &(const struct atlas_experiment){
         .about = "RMSprop, rate 0.01, ρ 0.9, ε 1e-7 on both sides, inputs up to 0.02; 20 steps.",
         .samples = 80, .epochs = 2, .scale = 0.02, .shows = ATLAS_WEIGHT,
         .sides = {{.layers = "dense 3 nobias", .optimizer = "rmsprop lr=0.01 rho=0.9 epsilon=1e-7"},
                   {.optimizer = "rmsprop lr=0.01 rho=0.9 epsilon=1e-7"}}},
     .code = "optimizer=rmsprop&rho=0.9&epsilon=1e-7"},
    {10, "rmsprop-momentum", "RMSprop with momentum when the rate changes", "optimizer",
     .affects = "RMSprop with momentum and a schedule; at a constant rate both are the same.",
     .migrate = "As in row 2: lower the rate gradually, or take the other formula (meaning).",
     .experiment = &(const struct atlas_experiment){
         .about = "RMSprop, momentum 0.9, ε 1e-14 so that its place does not matter; the rate falls from 0.01 to 0.001 "
                  "at step 10 of 20.",
         .samples = 80, .epochs = 2, .shows = ATLAS_WEIGHT,
         .sides = {{.optimizer = "rmsprop lr=0.01 rho=0.9 momentum=0.9 epsilon=1e-14",
                    .schedule = "step:every=1,gamma=0.1,unit=epoch"},
                   {.optimizer = "rmsprop lr=0.01 rho=0.9 momentum=0.9 epsilon=1e-14",
                    .schedule = "step:every=1,gamma=0.1,unit=epoch"}}},
     .code = "optimizer=rmsprop&momentum=0.9"},
    {11, "adagrad", "Adagrad: the accumulator's start, and epsilon", "optimizer",
     .affects = "Everyone who takes Adagrad: Keras's first steps are smaller, for its sum begins at 0.1.",
     .migrate = "In PyTorch give initial_accumulator_value=0.1, or in Keras initial_accumulator_value=0; with the same "
                "lr and epsilon nearly nothing remains.",
     .closes = true,
     .experiment = &(const struct atlas_experiment){
         .about = "Adagrad at a rate of 0.01 on both sides, everything else by default; 60 steps.",
         .epochs = 20, .shows = ATLAS_WEIGHT, .sides = BOTH("adagrad lr=0.01")},
     .code = "optimizer=adagrad"},
    {12, "adadelta", "Adadelta: the defaults alone", "optimizer",
     .affects = "Everyone who takes Adadelta as it is: Keras's rate is a thousandth of PyTorch's.",
     .migrate = "Name lr, rho and epsilon on both sides: the formulas are the same.",
     .closes = true,
     .experiment = &(const struct atlas_experiment){
         .about = "Adadelta with PyTorch's values on both sides (rate 1, ρ 0.9, ε 1e-6): equal; 60 steps.",
         .epochs = 20, .shows = ATLAS_WEIGHT, .sides = BOTH("adadelta lr=1 rho=0.9 epsilon=1e-6")},
     .code = "optimizer=adadelta"},
    {13, "adamax-epsilon", "Adamax: where epsilon is added", "optimizer",
     .affects = "Networks with tiny gradients trained with Adamax.",
     .migrate = "No argument closes it; it matters where gradients come near epsilon.",
     .experiment = &(const struct atlas_experiment){
         .about = "Adamax, rate 0.002, ε 1e-7 on both sides, inputs up to 1e-5; 20 steps.",
         .samples = 80, .epochs = 2, .scale = 1e-5, .shows = ATLAS_WEIGHT,
         .sides = {{.layers = "dense 3 nobias", .optimizer = "adamax lr=0.002 epsilon=1e-7"},
                   {.optimizer = "adamax lr=0.002 epsilon=1e-7"}}},
     .code = "optimizer=adamax"},
    {14, "nadam-momentum", "NAdam: how its momentum grows", "optimizer",
     .affects = "Everyone who takes NAdam: Keras's momentum reaches its value 250 times as fast.",
     .migrate = "In PyTorch give momentum_decay=1 for Keras's, and the same lr and epsilon.",
     .closes = true,
     .experiment = &(const struct atlas_experiment){
         .about = "NAdam, rate 0.001, ε 1e-8 on both sides; 60 steps.",
         .epochs = 20, .shows = ATLAS_WEIGHT, .sides = BOTH("nadam lr=0.001 epsilon=1e-8")},
     .code = "optimizer=nadam"},
    {15, "clip-norm", "Clipping by norm: one norm per variable, or one of all", "optimizer",
     .formula = {"g = g * min(1, max/(norm + 1e-6)), norm over all parameters (clip_grad_norm_)",
                 "g = g * min(1, max/norm): clipnorm takes the norm of each variable, global_clipnorm of all"},
     .defaults = {"none", "none"},
     .affects = "Recurrent and deep networks that are clipped: clipnorm of Keras is not clip_grad_norm_ of PyTorch.",
     .migrate = "Take global_clipnorm in Keras for clip_grad_norm_; the 1e-6 in PyTorch's denominator remains.",
     .experiment = &(const struct atlas_experiment){
         .about = "SGD, rate 0.1, gradients clipped to a norm of 0.1: of all of them (PyTorch), of each tensor (Keras's clipnorm); 60 steps.",
         .epochs = 20, .shows = ATLAS_WEIGHT, .sides = BOTH("sgd lr=0.1 clip_norm=0.1")}},
    {16, "batchnorm-defaults", "BatchNorm: epsilon, and what momentum means", "layer",
     .formula = {"(x - mean)/sqrt(var + eps); running = (1 - momentum)*running + momentum*batch",
                 "(x - mean)/sqrt(var + eps); moving = momentum*moving + (1 - momentum)*batch"},
     .defaults = {"eps 1e-5, momentum 0.1", "epsilon 1e-3, momentum 0.99"},
     .affects = "Every network with BatchNorm: after a short training Keras evaluates with statistics that are still near their start.",
     .migrate = "Give the same epsilon; PyTorch's momentum is 1 minus Keras's. Row 17 remains.",
     .closes = true,
     .experiment = &(const struct atlas_experiment){
         .about = "One network with each framework's epsilon and momentum, SGD at a rate of 0.1; the loss of 30 steps, "
                  "then the logits in evaluation.",
         .epochs = 10, .shows = ATLAS_LOGIT,
         .sides = {{.layers = "dense 5 nobias, batchnorm epsilon 0.00001 momentum 0.1 tanh, dense 3", .optimizer = "sgd lr=0.1"},
                   {.layers = "dense 5 nobias, batchnorm epsilon 0.001 momentum 0.01 tanh, dense 3", .optimizer = "sgd lr=0.1"}}}},
    {17, "batchnorm-variance", "BatchNorm: the running variance is unbiased or biased", "layer",
     .formula = {"running_var takes the batch's variance * n/(n - 1)", "moving_variance takes the batch's variance as it is"},
     .defaults = {"unbiased", "biased (TensorFlow's own FusedBatchNorm: unbiased)"},
     .affects = "Evaluation after training with small batches: n is batch size times positions.",
     .migrate = "No argument closes it. When weights move from PyTorch to Keras nothing needs to be done: the buffers are what was measured.",
     .experiment = &(const struct atlas_experiment){
         .about = "One step of SGD over a batch of 200 samples with inputs up to 4, the weight of the new value 0.01; then the logits in evaluation.",
         .samples = 200, .batch = 200, .epochs = 1, .scale = 4, .shows = ATLAS_LOGIT,
         .sides = {{.layers = "dense 3 nobias, batchnorm momentum 0.01, dense 3", .optimizer = "sgd lr=0.1"},
                   {.optimizer = "sgd lr=0.1", .change = ATLAS_BIASED_VARIANCE}}}},
    {18, "layernorm-epsilon", "LayerNorm, GroupNorm: epsilon", "layer",
     .formula = {"(x - mean)/sqrt(var + eps)", "(x - mean)/sqrt(var + eps)"},
     .defaults = {"eps 1e-5", "epsilon 1e-3"},
     .affects = "Networks whose normalized values vary little within a sample.",
     .migrate = "Give the same epsilon on both sides.",
     .closes = true,
     .experiment = &(const struct atlas_experiment){
         .about = "One network with each framework's epsilon, inputs up to 0.1, SGD at a rate of 0.1; 30 steps.",
         .epochs = 10, .scale = 0.1, .shows = ATLAS_LOSS,
         .sides = {{.layers = "dense 5, layernorm epsilon 0.00001 tanh, dense 3", .optimizer = "sgd lr=0.1"},
                   {.layers = "dense 5, layernorm epsilon 0.001 tanh, dense 3", .optimizer = "sgd lr=0.1"}}}},
    {19, "same-padding", "SAME padding at stride 2", "layer",
     .formula = {"padding=1: a row of zeros on every side (padding='same' is refused with a stride)",
                 "padding='same': what is missing, the odd row at the bottom and on the right"},
     .defaults = {"none", "none"},
     .affects = "Every convolution with a stride: the same weights look at positions that are one pixel apart.",
     .migrate = "Pad explicitly: nn.ZeroPad2d((0, 1, 0, 1)) in PyTorch, or ZeroPadding2D(1) before a valid convolution in Keras.",
     .closes = true,
     .experiment = &(const struct atlas_experiment){
         .about = "A 3×3 convolution with stride 2 on 6×6 pictures with the same weights, padded in either way; nothing is trained.",
         .rows = 6, .columns = 6, .shows = ATLAS_LOGIT,
         .sides = {{.layers = "conv 2 3x3 stride 2 pad 1 1 1 1 relu, flatten, dense 3", .optimizer = "sgd"},
                   {.layers = "conv 2 3x3 stride 2 pad 0 1 0 1 relu, flatten, dense 3", .optimizer = "sgd"}}}},
    {20, "average-padding", "Average pooling with padding", "layer",
     .formula = {"divides by the window's size: the padding counts", "divides by the values that are no padding"},
     .defaults = {"count_include_pad=True", "does not count"},
     .affects = "Average pooling with padding: PyTorch's borders are darker.",
     .migrate = "Give count_include_pad=False in PyTorch.",
     .closes = true,
     .experiment = &(const struct atlas_experiment){
         .about = "Windows of 3×3 over padded 4×4 maps: a depthwise convolution whose weights are 1/9, which counts the "
                  "padding, and the engines' average pooling, which does not; nothing is trained.",
         .rows = 4, .columns = 4, .classes = 8, .shows = ATLAS_LOGIT,
         .sides = {{.layers = "conv 2 1x1, depthwise 3x3 stride 2 pad 1 1 1 1 nobias, flatten", .optimizer = "sgd",
                    .change = ATLAS_COUNTED_PADDING},
                   {.layers = "conv 2 1x1, avgpool 3 stride 2 pad 1 1 1 1, flatten", .optimizer = "sgd"}}}},
    {21, "flatten-order", "Flatten: the order of the values", "layer",
     .formula = {"channel, row, column", "row, column, channel"},
     .defaults = {"channels first", "channels last"},
     .affects = "Whoever moves a dense weight that stands behind a Flatten of several channels.",
     .migrate = "Permute that weight's inputs. The studio does when it reads and writes files.",
     .closes = true,
     .experiment = &(const struct atlas_experiment){
         .about = "The dense weight behind a Flatten of two channels, taken for one in the other order; nothing is trained.",
         .rows = 4, .columns = 4, .shows = ATLAS_LOGIT,
         .sides = {{.layers = "conv 2 3x3 relu, flatten, dense 3", .optimizer = "sgd"},
                   {.optimizer = "sgd", .change = ATLAS_CHANNELS_LAST}}}},
    {22, "python-floats", "Constants that are given as Python floats", "data",
     .formula = {"0.9 is the double 0.9", "0.9 becomes the float32 0.89999997615814 on the way, with float64 as well"},
     .defaults = {"double", "float32 unless given as np.float64"},
     .affects = "Proofs of equality in float64, and nothing else.",
     .migrate = "Give np.float64(0.9) in Keras. The programs that the studio writes do.",
     .closes = true,
     .experiment = &(const struct atlas_experiment){
         .about = "Keras's Adam with its constants as doubles, and rounded to float32; 60 steps.",
         .epochs = 20, .shows = ATLAS_WEIGHT,
         .sides = SIDES("adam meaning=keras", "adam lr=0.0010000000474974513 beta1=0.8999999761581421 "
                        "beta2=0.9990000128746033 epsilon=1.0000000116860974e-07")}},
    {23, "initial-values", "Initial values of dense and convolutional layers", "layer",
     .formula = {"weight and bias uniform in ±1/sqrt(inputs)", "weight uniform in ±sqrt(6/(inputs + outputs)) (Glorot), bias 0"},
     .defaults = {"784→128: ±0.0357, bias too", "784→128: ±0.0811, bias 0"},
     .affects = "Every comparison that begins from the framework's own initial values.",
     .migrate = "Draw the values once and give them to both, as the studio does (--init torch or keras).",
     .closes = true,
     .experiment = &(const struct atlas_experiment){
         .about = "One network from either framework's initial values, drawn from one seed; SGD at a rate of 0.1, 60 steps.",
         .epochs = 20, .shows = ATLAS_LOSS,
         .sides = {{.optimizer = "sgd lr=0.1", .init = INIT_TORCH}, {.optimizer = "sgd lr=0.1", .init = INIT_KERAS}}},
     .code = "init=keras"},
    {27, "leaky-relu", "LeakyReLU: the slope", "layer",
     .formula = {"max(0, x) + slope*min(0, x)", "max(0, x) + slope*min(0, x)"},
     .defaults = {"0.01", "layer 0.3, function 0.2"},
     .affects = "Everyone who takes LeakyReLU without naming the slope.",
     .migrate = "Name it: negative_slope on both sides.",
     .closes = true,
     .experiment = &(const struct atlas_experiment){
         .about = "One network with each framework's default slope, SGD at a rate of 0.1; 60 steps.",
         .epochs = 20, .shows = ATLAS_LOSS,
         .sides = {{.layers = "dense 5 leaky_relu 0.01, dense 3", .optimizer = "sgd lr=0.1"},
                   {.layers = "dense 5 leaky_relu 0.3, dense 3", .optimizer = "sgd lr=0.1"}}},
     .code = "activation=leaky_relu"},
    {28, "prelu", "PReLU: the initial slope", "layer",
     .formula = {"max(0, x) + a*min(0, x), a is trained", "max(0, x) + a*min(0, x), a is trained"},
     .defaults = {"a = 0.25, one for all channels", "a = 0, one per value"},
     .affects = "Everyone who takes PReLU.",
     .migrate = "Give the initial value; share the slope over positions in Keras (shared_axes).",
     .closes = true,
     .without = "the studio has no PReLU layer"},
    {29, "probabilities", "Cross-entropy of probabilities", "loss",
     .formula = {"takes logits: log_softmax inside", "takes probabilities unless from_logits=True, and clips them at 1e-7"},
     .defaults = {"logits", "probabilities"},
     .affects = "Networks that end in a softmax: a loss cannot exceed 16, and such a sample has no gradient.",
     .migrate = "End in logits and give from_logits=True.",
     .closes = true,
     .without = "the engines take logits in both meanings"},
    {30, "class-weights", "Class weights: what the sum is divided by", "loss",
     .formula = {"sum(w*loss)/sum(w)", "sum(w*loss)/N"},
     .defaults = {"none", "none"},
     .affects = "Everyone who weights classes: Keras's loss and steps are larger by the mean weight.",
     .migrate = "Divide the weights by their mean over the batch, or change the rate by it.",
     .experiment = &(const struct atlas_experiment){
         .about = "The losses of 24 samples under an untrained network, weighted by class with 1, 2 and 7.5; the mean over "
                  "the samples so far.",
         .class_weights = {1, 2, 7.5}, .scale = 7, .shows = ATLAS_WEIGHTED,
         .sides = {{.layers = "dense 3", .optimizer = "sgd"}, {.optimizer = "sgd"}}}},
    {33, "cosine-end", "The cosine schedule after its end", "schedule",
     .formula = {"min + (lr - min)*(1 + cos(pi*t/T))/2 for every t", "the same with min(t, T) for t"},
     .defaults = {"eta_min 0", "alpha 0"},
     .affects = "Runs that go on after T: PyTorch's rate rises again, Keras's stays at its end.",
     .migrate = "End the run with the schedule, or state T for the whole run.",
     .closes = true,
     .experiment = &(const struct atlas_experiment){
         .about = "A cosine over 15 of 30 steps, from 0.1 to 0, with SGD.",
         .epochs = 10, .shows = ATLAS_RATE,
         .sides = {{.optimizer = "sgd lr=0.1", .schedule = "cosine:epochs=5,unit=step"},
                   {.optimizer = "sgd lr=0.1", .schedule = "cosine:epochs=5,unit=step"}}},
     .code = "schedule=cosine"},
    {34, "schedule-unit", "A schedule's unit", "schedule",
     .formula = {"scheduler.step() changes the rate, usually once per epoch", "a LearningRateSchedule changes it with every step"},
     .defaults = {"per epoch", "per step"},
     .affects = "Every schedule that is carried over: its length is in epochs there, in steps here.",
     .migrate = "Multiply or divide lengths by the steps per epoch, or state the unit (unit=step).",
     .closes = true,
     .experiment = &(const struct atlas_experiment){
         .about = "An exponential decay of 0.7 per epoch over 10 epochs of 3 steps, changed once per epoch or with every step.",
         .epochs = 10, .shows = ATLAS_RATE,
         .sides = {{.optimizer = "sgd lr=0.1", .schedule = "exponential:gamma=0.7"},
                   {.optimizer = "sgd lr=0.1", .schedule = "exponential:gamma=0.7"}}},
     .code = "schedule=exponential:gamma=0.7"},
    {35, "penalty-in-loss", "The L2 penalty in the reported loss", "loss",
     .formula = {"loss; weight_decay adds wd*w to the gradient alone", "loss + l*sum(w*w): an L2 regularizer is part of what is reported"},
     .defaults = {"not in it", "in it"},
     .affects = "Every comparison of losses: the same training shows two curves.",
     .migrate = "Report both, as the studio's programs do: the loss, and the cross-entropy as a metric.",
     .closes = true,
     .experiment = &(const struct atlas_experiment){
         .about = "One training with SGD, rate 0.1, weight decay 0.1, its loss reported without and with 0.05 Σw²; 60 steps.",
         .epochs = 20, .shows = ATLAS_LOSS,
         .sides = {{.optimizer = "sgd lr=0.1 weight_decay=0.1"},
                   {.optimizer = "sgd lr=0.1 weight_decay=0.1 meaning=pytorch", .change = ATLAS_PENALTY}}},
     .code = "optimizer=sgd&weight_decay=0.1"},
    {36, "dropout-masks", "Dropout: whose masks", "layer",
     .formula = {"its own generator", "its own generator"},
     .defaults = {"per device", "per layer, from a seed"},
     .affects = "Every comparison of two trainings with dropout: the masks are never equal.",
     .migrate = "Give the masks from outside, as the studio does.",
     .without = "the studio draws the masks itself and gives every engine the same"},
    {37, "rest-batch", "The last short batch, and the validation split", "data",
     .formula = {"DataLoader keeps the last short batch (drop_last=False); a split is yours to make",
                 "fit keeps it; validation_split takes the last part, floor(N*(1 - s)) train"},
     .defaults = {"kept", "kept"},
     .affects = "Data that is sorted by class: Keras validates on the classes that come last.",
     .migrate = "Shuffle before splitting, or split explicitly on both sides.",
     .closes = true,
     .without = "it is about which samples are taken, not about what is computed of them"},
};
/* clang-format on */
const size_t atlas_row_count = sizeof atlas_rows / sizeof *atlas_rows;

const struct atlas_row *atlas_find(const char *word)
{
    char *end;
    errno = 0;
    unsigned long number = strtoul(word, &end, 10);
    bool numeric = end != word && !*end && !errno;
    for (size_t i = 0; i < atlas_row_count; i++)
        if (numeric ? atlas_rows[i].number == number : strcmp(atlas_rows[i].id, word) == 0)
            return &atlas_rows[i];
    return NULL;
}

int atlas_need(const char *word, const struct atlas_row **out, struct error *error)
{
    *out = atlas_find(word);
    if (*out) return 0;
    return error_set(error, ERROR_NOT_FOUND,
                     "the atlas has no row \"%.40s\": `nnstudio atlas` lists its numbers and names",
                     word);
}

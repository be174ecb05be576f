/* The table of settings, and the words of its choices. */
#include "run/settings.h"

#include "engine/engine.h"

/* The largest integer that every reader of JSON holds exactly, 2^53 − 1 (RFC 8259, section 6). */
#define EXACT_MAX 9007199254740991.0

static const char *activation_choice(uint32_t value)
{
    return activation_name((enum activation)value);
}

static const char *optimizer_choice(uint32_t value)
{
    return optimizer_type_name((enum optimizer_type)value);
}

static const char *dtype_choice(uint32_t value)
{
    return dtype_name((enum dtype)value);
}

static const char *init_choice(uint32_t value)
{
    return init_scheme_name((enum init_scheme)value);
}

static const char *init_label(uint32_t value)
{
    return value == INIT_KERAS ? "Keras default" : "PyTorch default";
}

static const char *meaning_choice(uint32_t value)
{
    return meaning_name((enum meaning)value);
}

static const char *meaning_label(uint32_t value)
{
    return meaning_title((enum meaning)value);
}

static const char *optimizer_label(uint32_t value)
{
    return optimizer_type_title((enum optimizer_type)value);
}

static const char *part_label(uint32_t value)
{
    return value == DATASET_PART_LAST ? "the last ones" : "of every class alike";
}

static const char *keep_choice(uint32_t value)
{
    return value == JOB_KEEP_BEST ? "best" : "last";
}

static const char *keep_label(uint32_t value)
{
    return value == JOB_KEEP_BEST ? "best epoch" : "last epoch";
}

/* Another optimizer comes with its own defaults, and so does another meaning. */
static void choose_optimizer(struct job *job, uint32_t value)
{
    optimizer_defaults((enum optimizer_type)value, job->optimizer.meaning, &job->optimizer);
}

static void choose_meaning(struct job *job, uint32_t value)
{
    optimizer_defaults(job->optimizer.type, (enum meaning)value, &job->optimizer);
}

#define IN_JOB(member) \
    .offset = offsetof(struct job, member), .size = sizeof((struct job *)0)->member

/* In the order the command line's help shows them. */
const struct setting settings_table[] = {
    /* clang-format off */
    {.key = "dataset", .option = "dataset", .argument = "NAME|PATH", .label = "Data set",
     .help = "synthetic, mnist, fashion-mnist, or a file or folder",
     .kind = SETTING_TEXT, IN_JOB(dataset), .low = 1, .high = JOB_PATH_MAX - 1,
     .fallback = "synthetic",
     .flags = SETTING_BASIC | SETTING_FIXED | SETTING_PROGRAM | SETTING_NAME_OR_PATH},
    {.key = "data_dir", .option = "data-dir", .argument = "DIR", .label = "Data folder",
     .help = "a folder with one folder per data set",
     .kind = SETTING_TEXT, IN_JOB(data_dir), .high = JOB_PATH_MAX - 1, .fallback = "",
     .flags = SETTING_PRIVATE | SETTING_PATH},
    {.key = "epochs", .option = "epochs", .argument = "N", .label = "Epochs", .unit = "epochs",
     .help = "passes over the training data, in all",
     .kind = SETTING_INTEGER, IN_JOB(epochs), .low = 1, .high = 1000000, .fallback = "5",
     .flags = SETTING_BASIC | SETTING_PROGRAM},
    {.key = "lr", .option = "lr", .argument = "R", .label = "Learning rate",
     .help = "learning rate",
     .kind = SETTING_NUMBER, IN_JOB(optimizer.learning_rate), .low = 0, .low_open = true,
     .high = OPTIMIZER_MAX_LEARNING_RATE,
     .flags = SETTING_BASIC | SETTING_PROGRAM},
    {.key = "batch_size", .option = "batch-size", .argument = "N", .label = "Batch size",
     .unit = "samples per step", .help = "samples per step",
     .kind = SETTING_INTEGER, IN_JOB(batch_size), .low = 1, .high = 65536, .fallback = "32",
     .flags = SETTING_BASIC | SETTING_FIXED | SETTING_PROGRAM},
    {.key = "seed", .option = "seed", .argument = "N", .label = "Seed",
     .help = "seed of the initial weights and of the order of the samples",
     .kind = SETTING_INTEGER, IN_JOB(seed), .low = 0, .high = EXACT_MAX,
     .begun_low = 0, .begun_high = (double)INT64_MAX, .fallback = "0",
     .flags = SETTING_BASIC | SETTING_FIXED | SETTING_PROGRAM},
    {.key = "init", .option = "init", .argument = "SCHEME", .label = "Initial weights",
     .help = "initial weights, drawn as that framework does by default",
     .kind = SETTING_CHOICE, IN_JOB(init), .low = INIT_TORCH, .high = INIT_KERAS,
     .choice = init_choice, .choice_label = init_label, .fallback = "torch",
     .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "dtype", .option = "dtype", .argument = "TYPE", .label = "Precision",
     .help = "dtype of all computations",
     .kind = SETTING_CHOICE, IN_JOB(dtype), .low = DTYPE_FLOAT32, .high = DTYPE_FLOAT64,
     .choice = dtype_choice, .fallback = "float32",
     .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "threads", .option = "threads", .argument = "N", .label = "Threads", .unit = "threads",
     .help = "threads per engine; results do not depend on them",
     .kind = SETTING_INTEGER, IN_JOB(threads), .low = 0, .high = ENGINE_MAX_THREADS, .fallback = "0",
     .zero = "engine default"},
    {.key = "hidden", .option = "hidden", .argument = "N[,N...]", .label = "Hidden layers",
     .unit = "units per layer", .help = "widths of the hidden layers, such as 128,64, or none",
     .kind = SETTING_WIDTHS, IN_JOB(hidden), .low = 1, .high = NETWORK_MAX_WIDTH,
     .fallback = "128", .zero = "none",
     .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "activation", .option = "activation", .argument = "NAME", .label = "Activation",
     .help = "activation of the hidden layers",
     .kind = SETTING_CHOICE, IN_JOB(activation), .low = ACTIVATION_RELU,
     .high = ACTIVATION_COUNT - 1, .begun_low = ACTIVATION_NONE, .begun_high = ACTIVATION_COUNT - 1,
     .choice = activation_choice, .fallback = "relu",
     .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "net", .option = "net", .argument = "SPEC|PRESET|FILE", .label = "Network",
     .help = "all layers as text, a preset or a .json file, in place of --hidden and --activation; "
             "see `nnstudio net`",
     .kind = SETTING_TEXT, IN_JOB(net), .high = COMPACT_MAX_LENGTH - 1, .fallback = "",
     .zero = "dense layers of the widths above",
     .flags = SETTING_BASIC | SETTING_FIXED | SETTING_PROGRAM | SETTING_TEXT_FILE},
    {.key = "meaning", .option = "meaning", .argument = "WHOSE", .label = "Meaning",
     .help = "whose formulas and defaults the optimizer and the schedule have, on every engine",
     .kind = SETTING_CHOICE, IN_JOB(optimizer.meaning), .low = MEANING_PYTORCH,
     .high = MEANING_COUNT - 1, .choice = meaning_choice, .choice_label = meaning_label,
     .chosen = choose_meaning, .fallback = "pytorch",
     .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "optimizer", .option = "optimizer", .argument = "NAME", .label = "Optimizer",
     .help = "optimizer",
     .kind = SETTING_CHOICE, IN_JOB(optimizer.type), .low = OPTIMIZER_SGD,
     .high = OPTIMIZER_TYPE_COUNT - 1, .choice = optimizer_choice, .choice_label = optimizer_label,
     .chosen = choose_optimizer, .fallback = "sgd",
     .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "momentum", .option = "momentum", .argument = "R", .label = "Momentum",
     .help = "momentum",
     .kind = SETTING_NUMBER, IN_JOB(optimizer.momentum), .low = 0, .high = 1, .high_open = true,
     .optimizer_field = OPTIMIZER_MOMENTUM,
     .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "nesterov", .option = "nesterov", .label = "Nesterov",
     .help = "Nesterov momentum: the gradient looks ahead",
     .kind = SETTING_FLAG, IN_JOB(optimizer.nesterov), .optimizer_field = OPTIMIZER_NESTEROV,
     .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "weight_decay", .option = "weight-decay", .argument = "R", .label = "Weight decay",
     .help = "biases included; pytorch: added to the gradient (L2), except by adamw; keras and "
             "adamw: taken off the weights",
     .kind = SETTING_NUMBER, IN_JOB(optimizer.weight_decay), .low = 0,
     .high = OPTIMIZER_MAX_WEIGHT_DECAY,
     .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "beta1", .option = "beta1", .argument = "R", .label = "Beta 1",
     .help = "decay of the mean of gradients",
     .kind = SETTING_NUMBER, IN_JOB(optimizer.beta1), .low = 0, .high = 1, .high_open = true,
     .optimizer_field = OPTIMIZER_BETAS, .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "beta2", .option = "beta2", .argument = "R", .label = "Beta 2",
     .help = "decay of the mean of squared gradients",
     .kind = SETTING_NUMBER, IN_JOB(optimizer.beta2), .low = 0, .high = 1, .high_open = true,
     .optimizer_field = OPTIMIZER_BETAS, .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "amsgrad", .option = "amsgrad", .label = "AMSGrad",
     .help = "AMSGrad: divides by the largest mean of squared gradients so far",
     .kind = SETTING_FLAG, IN_JOB(optimizer.amsgrad), .optimizer_field = OPTIMIZER_AMSGRAD,
     .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "rho", .option = "rho", .argument = "R", .label = "Rho",
     .help = "decay of the mean of squared gradients (alpha of torch.optim.RMSprop)",
     .kind = SETTING_NUMBER, IN_JOB(optimizer.rho), .low = 0, .high = 1, .high_open = true,
     .optimizer_field = OPTIMIZER_RHO, .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "epsilon", .option = "epsilon", .argument = "R", .label = "Epsilon",
     .help = "added to the denominator of the step",
     .kind = SETTING_NUMBER, IN_JOB(optimizer.epsilon), .low = OPTIMIZER_MIN_EPSILON, .high = 1,
     .optimizer_field = OPTIMIZER_EPSILON, .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "centered", .option = "centered", .label = "Centered",
     .help = "divides by the deviation of the gradients, not by their root mean square",
     .kind = SETTING_FLAG, IN_JOB(optimizer.centered), .optimizer_field = OPTIMIZER_CENTERED,
     .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "clip_value", .option = "clip-value", .argument = "R", .label = "Clip value",
     .help = "every value of a gradient is kept from -R to R",
     .kind = SETTING_NUMBER, IN_JOB(optimizer.clip_value), .low = 0, .high = OPTIMIZER_MAX_CLIP,
     .fallback = "0", .zero = "off", .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "clip_norm", .option = "clip-norm", .argument = "R", .label = "Clip norm",
     .help = "gradients are shortened to a norm of R; keras: each tensor's (clipnorm), pytorch: of "
             "all together (clip_grad_norm_)",
     .kind = SETTING_NUMBER, IN_JOB(optimizer.clip_norm), .low = 0, .high = OPTIMIZER_MAX_CLIP,
     .fallback = "0", .zero = "off", .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "clip_global_norm", .option = "clip-global-norm", .argument = "R",
     .label = "Global clip norm",
     .help = "gradients are shortened so that the norm of all together is at most R",
     .kind = SETTING_NUMBER, IN_JOB(optimizer.clip_global_norm), .low = 0,
     .high = OPTIMIZER_MAX_CLIP, .fallback = "0", .zero = "off",
     .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "label_smoothing", .option = "label-smoothing", .argument = "SHARE",
     .label = "Label smoothing",
     .help = "the share of each training target that goes to all classes alike; the test loss has "
             "none",
     .kind = SETTING_NUMBER, IN_JOB(label_smoothing), .low = 0, .high = 1, .high_open = true,
     .fallback = "0", .zero = "none", .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "class_weight", .option = "class-weight", .argument = "balanced|W,W,...",
     .label = "Class weights",
     .help = "weights in the training loss: balanced, or a number for every class; pytorch divides by the "
             "batch's weights, keras by its samples",
     .kind = SETTING_TEXT, IN_JOB(class_weight), .high = JOB_CLASS_WEIGHT_MAX - 1, .fallback = "",
     .zero = "all alike", .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "schedule", .option = "schedule", .argument = "KIND[:NAME=VALUE,...]",
     .label = "Schedule", .help = SCHEDULE_HELP,
     .kind = SETTING_TEXT, IN_JOB(schedule), .low = 1, .high = SCHEDULE_MAX_LENGTH - 1,
     .fallback = "constant", .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "warmup", .option = "warmup", .argument = "STEPS", .label = "Warm-up", .unit = "steps",
     .help = "steps over which the rate rises linearly to what the schedule says",
     .kind = SETTING_INTEGER, IN_JOB(warmup), .low = 0, .high = 1e9, .fallback = "0",
     .zero = "none", .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "validation", .option = "validation", .argument = "SHARE",
     .label = "Validation share",
     .help = "share of the training samples that is set aside and measured after each epoch",
     .kind = SETTING_NUMBER, IN_JOB(validation), .low = 0, .high = 1, .high_open = true,
     .fallback = "0", .zero = "none", .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "validation_part", .option = "validation-part", .argument = "WHICH",
     .label = "Validation samples",
     .help = "which samples are set aside: the same share of every class, drawn by the seed, or, like "
             "Keras's validation_split, the last",
     .kind = SETTING_CHOICE, IN_JOB(validation_part), .low = DATASET_PART_STRATIFIED,
     .high = DATASET_PART_COUNT - 1, .choice = dataset_part_name, .choice_label = part_label,
     .fallback = "stratified", .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "early_stop", .option = "early-stop", .argument = "EPOCHS", .label = "Early stopping",
     .unit = "epochs",
     .help = "ends the run after this many epochs without a smaller validation loss (without a "
             "validation share: test loss)",
     .kind = SETTING_INTEGER, IN_JOB(early_stop), .low = 0, .high = 1000000, .fallback = "0",
     .zero = "off", .before = "val_loss:patience=", .flags = SETTING_PROGRAM},
    {.key = "keep", .option = "keep", .argument = "EPOCH", .label = "Keep",
     .help = "the model has the weights of the last epoch, or of the best: that of the smallest "
             "validation loss (without a validation share: test loss)",
     .kind = SETTING_CHOICE, IN_JOB(keep), .low = JOB_KEEP_LAST, .high = JOB_KEEP_BEST,
     .choice = keep_choice, .choice_label = keep_label, .fallback = "last",
     .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "limit", .option = "limit", .argument = "N", .label = "Sample limit",
     .unit = "samples", .help = "at most this many samples of each split",
     .kind = SETTING_INTEGER, IN_JOB(limit), .low = 0, .high = UINT32_MAX, .fallback = "0",
     .zero = "all samples", .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "label_column", .option = "label-column", .argument = "NAME|N",
     .label = "Label column",
     .help = "the label in a CSV file: a header's name, or a number from 0 (-1: last)",
     .kind = SETTING_TEXT, IN_JOB(label_column), .high = DATASET_NAME_MAX - 1, .fallback = "",
     .zero = "by the header, or by the values if certain",
     .flags = SETTING_FIXED | SETTING_PROGRAM | SETTING_OWN_DATA},
    {.key = "scale", .option = "scale", .argument = "auto|X", .label = "Scale",
     .help = "values are divided by it",
     .kind = SETTING_NUMBER, IN_JOB(scale), .low = 0, .high = 1e6, .fallback = "0",
     .zero = "auto: the largest value", .zero_word = "auto",
     .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "mean", .option = "mean", .argument = "M", .label = "Mean",
     .help = "subtracted from the scaled values",
     .kind = SETTING_NUMBER, IN_JOB(mean), .low = -1e6, .high = 1e6, .fallback = "0",
     .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "std", .option = "std", .argument = "S", .label = "Standard deviation",
     .help = "then they are divided by it",
     .kind = SETTING_NUMBER, IN_JOB(std), .low = 0, .low_open = true, .high = 1e6,
     .fallback = "1", .flags = SETTING_FIXED | SETTING_PROGRAM},
    {.key = "invert", .option = "invert", .argument = "WHEN", .label = "Invert",
     .help = "dark on light becomes light on dark; auto: if the data is dark on light",
     .kind = SETTING_CHOICE, IN_JOB(invert), .low = DATASET_INVERT_AUTO,
     .high = DATASET_INVERT_NO, .choice = dataset_invert_name, .fallback = "auto",
     .flags = SETTING_FIXED | SETTING_PROGRAM | SETTING_OWN_DATA},
    {.key = "device", .label = "Device", .help = "one of the engine's devices",
     .kind = SETTING_TEXT, IN_JOB(device), .high = 31, .fallback = "cpu"},
    {.key = "from", .option = "from", .argument = "MODEL", .label = "Start from",
     .help = "start with the weights of a model file",
     .kind = SETTING_TEXT, IN_JOB(from), .high = JOB_PATH_MAX - 1, .fallback = "",
     .zero = "new weights", .flags = SETTING_FIXED | SETTING_NULLABLE | SETTING_PATH},
    {.key = "name", .option = "name", .argument = "NAME", .label = "Name",
     .help = "name of the model files, without the ending",
     .kind = SETTING_TEXT, IN_JOB(name), .low = 1, .high = 99, .fallback = "simple_nn",
     .flags = SETTING_PRIVATE},
    /* clang-format on */
};
const size_t settings_count = sizeof settings_table / sizeof settings_table[0];
_Static_assert(sizeof settings_table / sizeof settings_table[0] <= SETTINGS_MAX,
               "raise SETTINGS_MAX");

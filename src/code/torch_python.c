/* The training program in PyTorch: imperative, defined by running it. */
#include "code/text.h"

#include <stdio.h>

#include "code/layers.h"
#include "code/losses.h"
#include "code/optimizers.h"
#include "code/python.h"
#include "code/schedules.h"

static void write_group(struct code_text *out)
{
    code_line(out, NULL, "dist.init_process_group(\"gloo\")  # torchrun has said who is who");
    code_line(out, NULL, "rank, size = dist.get_rank(), dist.get_world_size()");
    code_line(out, NULL, "%s", "");
}

static void write_data(const struct code_subject *subject, struct code_text *out)
{
    const char *dtype = dtype_name(subject->job->dtype);
    if (subject->several)
        python_write_header(subject, "PyTorch: a module and a loop by hand, on several processes.",
                            "import torch\nimport torch.distributed as dist\n"
                            "from torch import nn\n"
                            "from torch.nn.parallel import DistributedDataParallel",
                            "pth", out);
    else
        python_write_header(subject, "PyTorch: a module and a loop by hand.",
                            "import torch\nfrom torch import nn", "pth", out);
    if (subject->several) write_group(out);
    const struct network *network = &subject->network;
    char shape[48];
    if (python_takes_maps(network))
        snprintf(shape, sizeof shape, "1, %u, %u", network->rows, network->columns);
    else
        snprintf(shape, sizeof shape, "%u", network_inputs(network));
    python_write_arrays(subject, shape, out);
    static const char *const names[] = {"train", "val", "test"};
    bool validates = subject->job->validation > 0;
    char scaled[160], name[16];
    for (size_t i = 0; i < 3; i++) {
        if (i == 1 && !validates) continue;
        snprintf(name, sizeof name, "x_%s", names[i]);
        if (python_is_usual_form(subject))
            code_line(out, "scale", "%s = torch.tensor(%s, dtype=torch.%s) / 255", name, name,
                      dtype);
        else
            code_line(out, "scale", "%s = torch.tensor(%s, dtype=torch.%s)", name,
                      python_scaled(subject, name, scaled), dtype);
    }
    for (size_t i = 0; i < 3; i++)
        if (i != 1 || validates)
            code_line(out, "labels", "y_%s = torch.tensor(y_%s, dtype=torch.int64)", names[i],
                      names[i]);
}

static void write_network(const struct code_subject *subject, struct code_text *out)
{
    const struct job *job = subject->job;
    code_line(out, "seed", "torch.manual_seed(%llu)", (unsigned long long)job->seed);
    code_line(out, NULL, "%s", "");
    code_line(out, NULL, "%s", "");
    torch_write_masked(&subject->network, out);
    code_line(out, "network", "class Network(nn.Module):");
    code_line(out, "network", "    def __init__(self):");
    code_line(out, "network", "        super().__init__()");
    torch_write_layers(&subject->network, job->init == INIT_KERAS, out);
    code_line(out, NULL, "%s", "");
    code_line(out, "forward", "    def forward(self, x):");
    torch_write_forward(&subject->network, out);
    code_line(out, NULL, "%s", "");
    code_line(out, NULL, "%s", "");
    code_line(out, "network", "model = Network()%s",
              job->dtype == DTYPE_FLOAT64 ? ".double()" : "");
    code_line(out, "initial", "if args.initial:");
    code_line(out, "initial",
              "    model.load_state_dict(torch.load(args.initial, weights_only=True))");
    torch_write_masks(&subject->network, out);
    if (subject->several)
        code_line(out, "network",
                  "parallel = DistributedDataParallel(model)  # averages the processes' gradients");
}

static void write_optimizer(const struct code_subject *subject, struct code_text *out)
{
    const struct job *job = subject->job;
    if (job->dtype == DTYPE_FLOAT64 && job->optimizer.type == OPTIMIZER_NADAM)
        code_line(
            out, "optimizer",
            "torch.set_default_dtype(torch.float64)  # NAdam keeps a number of its own in it");
    torch_write_optimizer_class(job, out);
    torch_write_penalty(subject, out);
    torch_write_loss_parts(subject, out);
    torch_write_schedule_parts(subject, out);
    if (subject->several)
        code_line(
            out, "loss",
            "loss_function = nn.CrossEntropyLoss(reduction=\"sum\")  # of a part of the batch");
    else
        torch_write_loss(job, out);
    code_line(out, "optimizer", "optimizer = %s", torch_optimizer_call(job).text);
    torch_write_scheduler(subject, out);
}

/* Parts of a batch may differ in size, so DDP's mean over the processes is of sums. */
static void write_part_step(const struct code_subject *subject, struct code_text *out)
{
    code_line(out, "step", "def train_step(x, y, count):");
    code_line(out, "step", "    \"\"\"One process's part of a batch of `count` samples.\"\"\"");
    code_line(out, "zero_grad", "    optimizer.zero_grad()  # forget the last step's gradients");
    code_line(out, "forward_pass", "    logits = parallel(x)");
    code_line(out, "loss_value", "    loss = loss_function(logits, y) / count%s",
              network_is_penalized(&subject->network) ? " + penalty() / size" : "");
    code_line(out, "backward",
              "    (loss * size).backward()  # sums of all processes, divided by their number");
    code_line(out, "update", "    optimizer.step()  # the same step everywhere");
    code_line(out, "correct", "    correct = (logits.argmax(1) == y).sum()");
    code_line(out, "step", "    told = torch.stack([loss.detach(), correct.to(loss.dtype)])");
    code_line(out, "step", "    dist.all_reduce(told)  # the batch's");
    code_line(out, "step", "    return told.tolist()");
}

static void write_step(const struct code_subject *subject, struct code_text *out)
{
    const struct job *job = subject->job;
    if (subject->several) {
        write_part_step(subject, out);
        return;
    }
    code_line(out, "step", "def train_step(x, y):");
    code_line(out, "zero_grad", "    optimizer.zero_grad()  # forget the last step's gradients");
    code_line(out, "forward_pass",
              "    logits = model(x)  # forward: autograd notes every operation");
    code_line(out, "loss_value", "    loss = loss_function(logits, y)%s",
              network_is_penalized(&subject->network) ? " + penalty()" : "");
    code_line(out, "backward", "    loss.backward()  # backward: from the notes, every gradient");
    torch_write_clip(job, out);
    torch_write_rate_of_step(subject, out);
    code_line(out, "update", "    optimizer.step()  # move each weight against its gradient");
    torch_write_after_step(subject, out);
    code_line(out, "correct", "    correct = (logits.argmax(1) == y).sum()");
    code_line(out, "step", "    return loss.item(), correct.item()");
}

/* Dropout and batch normalization compute otherwise when they are evaluated. */
static bool has_modes(const struct network *network)
{
    return python_has_type(network, LAYER_DROPOUT) || python_has_type(network, LAYER_BATCHNORM);
}

/* The lines that measure samples that are not trained with, of the names x and y. */
static void write_measure(const struct code_subject *subject, const char *indent, const char *x,
                          const char *y, const char *loss, const char *accuracy,
                          struct code_text *out)
{
    code_line(out, "evaluate",
              "%swith torch.no_grad():  # nothing is learned here, so nothing is "
              "noted",
              indent);
    if (python_takes_maps(&subject->network))
        code_line(out, "evaluate",
                  "%s    logits = torch.cat([model(part) for part in %s.split(500)])  # maps are "
                  "large",
                  indent, x);
    else
        code_line(out, "evaluate", "%s    logits = model(%s)", indent, x);
    code_line(out, "evaluate", "%s    %s = %s(logits, %s).item()%s", indent, loss,
              torch_evaluation_loss(subject->job), y, subject->several ? " / len(y_test)" : "");
    if (network_is_penalized(&subject->network))
        code_line(out, "penalty", "%s    %s += penalty().item()", indent, loss);
    code_line(out, "evaluate", "%s    %s = (logits.argmax(1) == %s).float().mean().item()", indent,
              accuracy, y);
}

static void write_eval_mode(const struct code_subject *subject, const char *indent,
                            struct code_text *out)
{
    if (has_modes(&subject->network))
        code_line(out, "mode",
                  "%smodel.eval()  # dropout keeps all, batch normalization has its averages",
                  indent);
}

/* After an epoch: the best one so far, and whether to go on. */
static void write_best(const struct job *job, struct code_text *out)
{
    bool keeps = job->keep == JOB_KEEP_BEST;
    if (!keeps && !job->early_stop) return;
    const char *idea = job->early_stop ? "stop" : "best";
    code_line(out, idea, "    if val_loss < best:");
    code_line(out, idea,
              job->early_stop ? "        best, waited = val_loss, 0" : "        best = val_loss");
    if (keeps) {
        code_line(out, "best", "        kept = {");
        code_line(out, "best",
                  "            name: tensor.clone() for name, tensor in "
                  "model.state_dict().items()");
        code_line(out, "best", "        }");
    }
    if (!job->early_stop) return;
    code_line(out, "stop", "    else:");
    code_line(out, "stop", "        waited += 1");
    code_line(out, "stop", "    if waited == %u:  # epochs without a better one", job->early_stop);
    code_line(out, "stop", "        break");
}

static void write_end(const struct code_subject *subject, struct code_text *out)
{
    const struct job *job = subject->job;
    if (job->keep == JOB_KEEP_BEST)
        code_line(out, "best", "model.load_state_dict(kept)  # of the best epoch");
    if (job->validation == 0) return;
    if (job->keep == JOB_KEEP_BEST) write_eval_mode(subject, "", out);
    write_measure(subject, "", "x_test", "y_test", "test_loss", "test_accuracy", out);
    python_write_test("test_loss", "test_accuracy", out);
}

static void write_loop(const struct code_subject *subject, struct code_text *out)
{
    const struct job *job = subject->job;
    bool validates = job->validation > 0;
    code_line(out, "order", "orders = np.load(args.order) if args.order else None");
    if (job->early_stop)
        code_line(out, "stop", "best, waited = float(\"inf\"), 0");
    else if (job->keep == JOB_KEEP_BEST)
        code_line(out, "best", "best = float(\"inf\")");
    code_line(out, "epochs", "for epoch in range(%u):", job->epochs);
    if (has_modes(&subject->network))
        code_line(out, "mode",
                  "    model.train()  # dropout drops, batch normalization looks at the batch");
    code_line(out, "order", "    if orders is None:");
    code_line(out, "order", "        order = torch.randperm(len(x_train))");
    code_line(out, "order", "    else:");
    code_line(out, "order", "        order = torch.from_numpy(orders[epoch])");
    code_line(out, "report", "    losses, correct = [], 0");
    code_line(out, "batches", "    for batch in order.split(%u):", job->batch_size);
    if (subject->several) {
        code_line(out, "batches", "        part = batch.tensor_split(size)[rank]");
        code_line(out, "step",
                  "        loss, right = train_step(x_train[part], y_train[part], len(batch))");
    } else {
        code_line(out, "step", "        loss, right = train_step(x_train[batch], y_train[batch])");
    }
    code_line(out, "report", "        losses.append(loss)");
    code_line(out, "report", "        correct += right");
    write_eval_mode(subject, "    ", out);
    if (subject->several) {
        code_line(out, "evaluate", "    if rank > 0:");
        code_line(out, "evaluate", "        continue  # the first one evaluates, tells and saves");
    }
    write_measure(subject, "    ", validates ? "x_val" : "x_test", validates ? "y_val" : "y_test",
                  "val_loss", "val_accuracy", out);
    python_write_report("epoch + 1", "np.mean(losses)", "correct / len(x_train)", "val_loss",
                        "val_accuracy", "    ", out);
    torch_write_after_epoch(subject, out);
    write_best(job, out);
    write_end(subject, out);
}

static void write_save(const struct code_subject *subject, struct code_text *out)
{
    if (subject->several) code_line(out, "save", "if rank == 0:");
    code_line(out, "save",
              "%storch.save(model.state_dict(), \"%s.pth\")  # names and numbers, no layers",
              subject->several ? "    " : "", subject->job->name);
    if (subject->several) code_line(out, NULL, "dist.destroy_process_group()");
}

const struct code_voice code_torch_python = {
    .id = "torch.python",
    .engine = &engine_torch,
    .language = "python",
    .kind = CODE_KIND_TORCH,
    .title = "PyTorch, Python",
    .file = "model.py",
    .notebook = "model.ipynb",
    .check = python_check,
    .write_stage = python_write_stage,
    .stages = {write_data, write_network, write_optimizer, write_step, write_loop, write_save},
};

int code_torch_module(const struct network *network, struct buffer *out, struct error *error)
{
    struct code_text text = {0};
    struct network named = *network;
    for (uint32_t i = 0; i < named.layer_count; i++)
        snprintf(named.layers[i].name, sizeof named.layers[i].name, "layer%u", i);
    code_line(&text, "network", "class Network(nn.Module):");
    code_line(&text, "network", "    def __init__(self):");
    code_line(&text, "network", "        super().__init__()");
    torch_write_layers(&named, false, &text);
    code_line(&text, NULL, "%s", "");
    code_line(&text, "forward", "    def forward(self, x):");
    torch_write_forward(&named, &text);
    for (size_t i = 0; i < text.count; i++) buffer_printf(out, "%s\n", text.lines[i].text);
    int status = text.failed ? error_set_memory(error, "the network's module")
                             : buffer_check(out, "the network's module", error);
    code_text_free(&text);
    return status;
}

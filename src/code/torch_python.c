/* The training program in PyTorch: imperative, defined by running it. */
#include "code/text.h"

#include <string.h>

#include "code/python.h"

static const char *activation_module(enum activation activation)
{
    switch (activation) {
    case ACTIVATION_TANH: return "nn.Tanh()";
    case ACTIVATION_SIGMOID: return "nn.Sigmoid()";
    default: return "nn.ReLU()";
    }
}

static void write_data(const struct job *job, struct code_text *out)
{
    const char *dtype = dtype_name(job->dtype);
    python_write_header(job, "PyTorch: the loop by hand", "import torch\nfrom torch import nn", "a state dict, .pth", out);
    python_write_reader(job, out);
    code_line(out, "split", "x_train, y_train = read(\"train\")");
    code_line(out, "split", "x_test, y_test = read(\"t10k\")");
    code_line(out, "scale", "# pixels 0 … 255 become numbers 0 … 1");
    code_line(out, "scale", "x_train = torch.from_numpy(x_train / np.%s(255))", dtype);
    code_line(out, "scale", "x_test = torch.from_numpy(x_test / np.%s(255))", dtype);
    code_line(out, "labels", "y_train = torch.from_numpy(y_train.astype(np.int64))");
    code_line(out, "labels", "y_test = torch.from_numpy(y_test.astype(np.int64))");
}

static void write_layers(const struct job *job, uint32_t inputs, uint32_t classes, struct code_text *out)
{
    for (uint32_t i = 0; i <= job->hidden_count; i++) {
        uint32_t outputs = i < job->hidden_count ? job->hidden[i] : classes;
        code_line(out, "layer", "        self.fc%u = nn.Linear(%u, %u)", i + 1, inputs, outputs);
        inputs = outputs;
    }
    if (job->init == INIT_KERAS) {
        code_line(out, "init", "        for layer in self.children():  # Keras's initial values instead of PyTorch's");
        code_line(out, "init", "            nn.init.xavier_uniform_(layer.weight)");
        code_line(out, "init", "            nn.init.zeros_(layer.bias)");
    }
    if (job->hidden_count) code_line(out, "activation", "        self.activation = %s", activation_module(job->activation));
}

static void write_network(const struct job *job, struct code_text *out)
{
    code_line(out, "seed", "torch.manual_seed(%llu)", (unsigned long long)job->seed);
    code_line(out, NULL, "%s", "");
    code_line(out, NULL, "%s", "");
    code_line(out, "network", "class Network(nn.Module):");
    code_line(out, "network", "    def __init__(self):");
    code_line(out, "network", "        super().__init__()");
    write_layers(job, python_inputs(job), python_classes(job), out);
    code_line(out, NULL, "%s", "");
    code_line(out, "forward", "    def forward(self, x):");
    for (uint32_t i = 0; i < job->hidden_count; i++)
        code_line(out, "forward", "        x = self.activation(self.fc%u(x))", i + 1);
    code_line(out, "forward", "        return self.fc%u(x)  # logits: no softmax here, the loss does it", job->hidden_count + 1);
    code_line(out, NULL, "%s", "");
    code_line(out, NULL, "%s", "");
    code_line(out, "network", "model = Network()%s", job->dtype == DTYPE_FLOAT64 ? ".double()" : "");
    code_line(out, "initial", "if args.initial:");
    code_line(out, "initial", "    model.load_state_dict(torch.load(args.initial, weights_only=True))");
}

static void write_optimizer(const struct job *job, struct code_text *out)
{
    const struct optimizer *o = &job->optimizer;
    code_line(out, "loss", "loss_function = nn.CrossEntropyLoss()  # from logits; the mean over the batch");
    char rest[160] = "";
    size_t used = 0;
    if (o->momentum > 0) used += (size_t)snprintf(rest, sizeof rest, ", momentum=%s", code_real(o->momentum));
    if (o->weight_decay > 0) snprintf(rest + used, sizeof rest - used, ", weight_decay=%s", code_real(o->weight_decay));
    code_line(out, "optimizer", "optimizer = torch.optim.%s(model.parameters(), lr=%s%s)",
              o->type == OPTIMIZER_ADAM ? "Adam" : "SGD", code_real(o->learning_rate), rest);
}

static void write_step(const struct job *job, struct code_text *out)
{
    (void)job;
    code_line(out, "step", "def train_step(x, y):");
    code_line(out, "zero_grad", "    optimizer.zero_grad()  # forget the gradients of the step before");
    code_line(out, "forward_pass", "    logits = model(x)  # forward: autograd notes down every operation as it runs");
    code_line(out, "loss_value", "    loss = loss_function(logits, y)");
    code_line(out, "backward", "    loss.backward()  # backward: the notes read from the end give every gradient");
    code_line(out, "update", "    optimizer.step()  # each weight moves a little against its gradient");
    code_line(out, "correct", "    return loss.item(), (logits.argmax(1) == y).sum().item()");
}

static void write_loop(const struct job *job, struct code_text *out)
{
    code_line(out, "order", "given = np.load(args.order) if args.order else None");
    code_line(out, "epochs", "for epoch in range(%u):", job->epochs);
    code_line(out, "order", "    order = torch.randperm(len(x_train)) if given is None else torch.from_numpy(given[epoch].astype(np.int64))");
    code_line(out, "report", "    losses, correct = [], 0");
    code_line(out, "batches", "    for batch in order.split(%u):", job->batch_size);
    code_line(out, "step", "        loss, right = train_step(x_train[batch], y_train[batch])");
    code_line(out, "report", "        losses.append(loss)");
    code_line(out, "report", "        correct += right");
    code_line(out, "evaluate", "    with torch.no_grad():  # no notes needed: nothing is learned here");
    code_line(out, "evaluate", "        logits = model(x_test)");
    code_line(out, "evaluate", "        val_loss = loss_function(logits, y_test).item()");
    code_line(out, "evaluate", "        val_accuracy = (logits.argmax(1) == y_test).%s().mean().item()",
              job->dtype == DTYPE_FLOAT64 ? "double" : "float");
    python_write_report(job, "epoch + 1", "np.mean(losses)", "correct / len(x_train)", "val_loss", "val_accuracy", "    ", out);
}

static void write_save(const struct job *job, struct code_text *out)
{
    code_line(out, "save", "torch.save(model.state_dict(), \"%s.pth\")  # the numbers alone: names and tensors", job->name);
}

static void write_stage(enum code_stage stage, const struct job *job, struct code_text *out)
{
    static void (*const stages[CODE_STAGE_COUNT])(const struct job *, struct code_text *) = {
        write_data, write_network, write_optimizer, write_step, write_loop, write_save,
    };
    stages[stage](job, out);
}

const struct code_voice code_torch_python = {
    .id = "torch.python",
    .engine = "torch",
    .language = "python",
    .title = "PyTorch, Python",
    .file = "model.py",
    .write_stage = write_stage,
};

#include "registry/mlflow_folder.h"

#include <openssl/rand.h>
#include <string.h>

#include "base/clock.h"

#define TEXT_LIMIT     ((size_t)256 << 10)
#define MLFLOW_VERSION "2.22.0" /* the oldest whose form of MLmodel this is; newer ones read it */

static struct buffer *add_file(struct mlflow_folder *folder, const char *path)
{
    CHECK(folder->count < MLFLOW_FILES);
    struct mlflow_file *file = &folder->files[folder->count++];
    snprintf(file->path, sizeof file->path, "%s", path);
    buffer_init(&file->text, TEXT_LIMIT);
    return &file->text;
}

static const char torch_loader[] =
    "import torch\n"
    "from torch import nn\n"
    "\n"
    "\n"
    "class Model:\n"
    "    def __init__(self, path):\n"
    "        state = torch.load(path, weights_only=True)\n"
    "        self.net = nn.Sequential()\n"
    "        for i, (inputs, outputs, activation) in enumerate(LAYERS, 1):\n"
    "            layer = nn.Linear(inputs, outputs, dtype=state[f\"fc{i}.weight\"].dtype)\n"
    "            layer.load_state_dict({\"weight\": state[f\"fc{i}.weight\"], \"bias\": "
    "state[f\"fc{i}.bias\"]})\n"
    "            self.net.append(layer)\n"
    "            if activation:\n"
    "                self.net.append({\"relu\": nn.ReLU, \"tanh\": nn.Tanh, \"sigmoid\": "
    "nn.Sigmoid}[activation]())\n"
    "        self.net.eval()\n"
    "\n"
    "    def logits(self, x):\n"
    "        with torch.no_grad():\n"
    "            return self.net(torch.as_tensor(x, dtype=self.net[0].weight.dtype)).numpy()\n";

static const char keras_loader[] =
    "import keras\n"
    "\n"
    "\n"
    "class Model:\n"
    "    def __init__(self, path):\n"
    "        self.net = keras.models.load_model(path, compile=False)\n"
    "\n"
    "    def logits(self, x):\n"
    "        return np.asarray(self.net(x))\n";

static const char onnx_loader[] =
    "import onnxruntime\n"
    "\n"
    "\n"
    "class Model:\n"
    "    def __init__(self, path):\n"
    "        self.net = onnxruntime.InferenceSession(path, providers=[\"CPUExecutionProvider\"])\n"
    "\n"
    "    def logits(self, x):\n"
    "        return self.net.run(None, {self.net.get_inputs()[0].name: x})[0]\n";

static const char numpy_loader[] =
    "import json\n"
    "\n"
    "\n"
    "class Model:\n"
    "    def __init__(self, path):\n"
    "        with open(path, \"rb\") as file:  # safetensors: header length, header, numbers\n"
    "            header = json.loads(file.read(int.from_bytes(file.read(8), \"little\")))\n"
    "            data = file.read()\n"
    "        types = {\"F32\": \"<f4\", \"F64\": \"<f8\"}\n"
    "        self.tensors = {\n"
    "            name: np.frombuffer(data[slice(*t[\"data_offsets\"])], "
    "types[t[\"dtype\"]]).reshape(t[\"shape\"])\n"
    "            for name, t in header.items()\n"
    "            if name != \"__metadata__\"\n"
    "        }\n"
    "\n"
    "    def logits(self, x):\n"
    "        bend = {\"relu\": lambda z: np.maximum(z, 0), \"tanh\": np.tanh, \"sigmoid\": lambda "
    "z: 1 / (1 + np.exp(-z)), None: lambda z: z}\n"
    "        for i, (_, _, activation) in enumerate(LAYERS, 1):\n"
    "            x = bend[activation](x @ self.tensors[f\"fc{i}.weight\"].T + "
    "self.tensors[f\"fc{i}.bias\"])\n"
    "        return x\n";

/* What belongs to each format: its loader and what pip must bring. */
static const struct {
    const char *format, *loader, *requirements;
} kinds[] = {
    {"pth", torch_loader, "numpy\ntorch>=2.4\n"},
    {"h5", keras_loader, "numpy\ntensorflow>=2.16\n"},
    {"onnx", onnx_loader, "numpy\nonnxruntime\n"},
    {"safetensors", numpy_loader, "numpy\n"},
};

static void write_loader(const struct model *model, const char *loader, const char *file,
                         struct buffer *out)
{
    buffer_append_text(out, "\"\"\"Loads the network for MLflow. Made by Neural Net "
                            "Studio.\"\"\"\n\nfrom pathlib import Path\n\nimport numpy as np\n");
    buffer_append_text(out, loader);
    buffer_append_text(out,
                       "\n    def predict(self, x, params=None):\n"
                       "        x = np.asarray(x, dtype=np.float32).reshape(-1, LAYERS[0][0])\n"
                       "        return self.logits(x)\n"
                       "\n\n# inputs, outputs, activation\nLAYERS = [\n");
    for (uint32_t i = 0; i < model->network.layer_count; i++) {
        const struct layer *layer = &model->network.layers[i];
        if (layer->activation == ACTIVATION_NONE) {
            buffer_printf(out, "    (%u, %u, None),\n", layer->inputs, layer->outputs);
        } else {
            buffer_printf(out, "    (%u, %u, \"%s\"),\n", layer->inputs, layer->outputs,
                          activation_name(layer->activation));
        }
    }
    buffer_printf(
        out, "]\n\n\ndef _load_pyfunc(path):\n    return Model(str(Path(path) / \"%s\"))\n", file);
}

static void write_mlmodel(const struct model *model, const char *run_id, const char *loader,
                          struct buffer *out)
{
    unsigned char id[16] = {0};
    char time[32];
    RAND_bytes(id, sizeof id);
    clock_format_utc(clock_wall_ms(), time);
    time[10] = ' ';
    time[strlen(time) - 1] = '\0';
    buffer_append_text(out, "artifact_path: model\n"
                            "flavors:\n"
                            "  python_function:\n"
                            "    code: code\n"
                            "    data: data\n"
                            "    env:\n"
                            "      conda: conda.yaml\n"
                            "      virtualenv: python_env.yaml\n"
                            "    loader_module: ");
    buffer_printf(
        out,
        "%s\n    python_version: 3.11.0\nmlflow_version: " MLFLOW_VERSION "\nmodel_uuid: ", loader);
    for (size_t i = 0; i < sizeof id; i++) buffer_printf(out, "%02x", id[i]);
    buffer_printf(out,
                  "\nrun_id: %s\nsignature:\n"
                  "  inputs: '[{\"type\": \"tensor\", \"tensor-spec\": {\"dtype\": \"float32\", "
                  "\"shape\": [-1, %u]}}]'\n"
                  "  outputs: '[{\"type\": \"tensor\", \"tensor-spec\": {\"dtype\": \"%s\", "
                  "\"shape\": [-1, %u]}}]'\n"
                  "utc_time_created: '%s'\n",
                  run_id, network_inputs(&model->network), dtype_name(model->parameters->dtype),
                  network_classes(&model->network), time);
}

int mlflow_folder_make(const struct model *model, const char *file, const char *run_id,
                       struct mlflow_folder *out, struct error *error)
{
    size_t kind = 0;
    *out = (struct mlflow_folder){0};
    while (kind < sizeof kinds / sizeof kinds[0] && strcmp(kinds[kind].format, model->format) != 0)
        kind++;
    if (kind == sizeof kinds / sizeof kinds[0])
        return error_set(error, ERROR_INPUT,
                         "a %s file cannot be registered with MLflow: convert it to .pth or .h5",
                         model->format);
    /* Python keeps a module by its name: two models loaded in one process need two names. */
    char loader[64], loader_path[80];
    snprintf(loader, sizeof loader, "nnstudio_loader_%.32s", run_id);
    snprintf(loader_path, sizeof loader_path, "code/%s.py", loader);
    write_mlmodel(model, run_id, loader, add_file(out, "MLmodel"));
    write_loader(model, kinds[kind].loader, file, add_file(out, loader_path));
    buffer_append_text(add_file(out, "requirements.txt"), kinds[kind].requirements);
    buffer_append_text(
        add_file(out, "python_env.yaml"),
        "python: 3.11.0\nbuild_dependencies:\n- pip\ndependencies:\n- -r requirements.txt\n");
    buffer_append_text(add_file(out, "conda.yaml"),
                       "name: mlflow-env\nchannels:\n- conda-forge\ndependencies:\n- "
                       "python=3.11\n- pip\n- pip:\n  - -r requirements.txt\n");
    for (size_t i = 0; i < out->count; i++) {
        if (!buffer_check(&out->files[i].text, out->files[i].path, error)) continue;
        mlflow_folder_clear(out);
        return -1;
    }
    return 0;
}

void mlflow_folder_clear(struct mlflow_folder *folder)
{
    for (size_t i = 0; i < folder->count; i++) buffer_free(&folder->files[i].text);
    folder->count = 0;
}

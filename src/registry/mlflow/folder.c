#include "registry/mlflow/folder.h"

#include <openssl/rand.h>
#include <string.h>

#include "base/clock.h"
#include "base/js.h"
#include "data/preprocess.h"
#include "engine/engine.h"
#include "registry/targets.h"

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

/* The loader is Python text in parts: the head, what the format imports, what all share, the
 * format's class, and what is filled in for the network (LAYERS, INPUTS, the file). */
static const char loader_head[] =
    "\"\"\"Loads the network for MLflow. Made by Neural Net Studio.\"\"\"\n"
    "\n"
    "import re\n"
    "from pathlib import Path\n"
    "\n"
    "import numpy as np\n";
static const char loader_shared[] =
    "\n"
    "\n"
    "def by_layer(tensors):\n"
    "    \"\"\"(layer, weight, bias or None) for each of LAYERS: tensors belong together by the "
    "part of\n"
    "    their names before the last dot, and to a layer by the weight's shape.\"\"\"\n"
    "    groups = {}\n"
    "    for name, tensor in tensors.items():\n"
    "        stem, _, role = name.rpartition(\".\")\n"
    "        groups.setdefault(stem, {})[role] = tensor\n"
    "    left = list(groups.values())\n"
    "    for layer in LAYERS:\n"
    "        shape = (layer[\"outputs\"], layer[\"inputs\"])\n"
    "        found = next((i for i, group in enumerate(left) if tuple(group[\"weight\"].shape) == "
    "shape), None)\n"
    "        if found is None:\n"
    "            raise ValueError(f\"the model file holds no weight of shape {shape}\")\n"
    "        group = left.pop(found)\n"
    "        yield layer, group[\"weight\"], group.get(\"bias\")\n"
    "\n"
    "\n"
    "def pixels_of(x):\n"
    "    \"\"\"What the network receives, [N, INPUTS]: floats are that already, uint8 0 … 255 is "
    "brought to it as\n"
    "    in training; as [N, INPUTS], [N, rows, columns] or a table.\"\"\"\n"
    "    x = np.asarray(next(iter(x.values())) if isinstance(x, dict) and len(x) == 1 else x)\n"
    "    if x.dtype == np.uint8:\n"
    "        x = of_bytes(x)\n"
    "    elif x.dtype.kind != \"f\":\n"
    "        raise TypeError(f\"pixels of dtype {x.dtype} are ambiguous: give uint8 (0 to 255) or "
    "floats, as the network receives them\")\n"
    "    if x.ndim == 0 or x.size % INPUTS or (x.ndim > 1 and x[0].size != INPUTS):\n"
    "        raise ValueError(f\"pixels of shape {x.shape} do not fit: give [N, {INPUTS}] or [N, "
    "rows, columns]\")\n"
    "    return x.reshape(-1, INPUTS)\n"
    "\n"
    "\n"
    "class Base:\n"
    "    def predict(self, x, params=None):\n"
    "        return self.logits(pixels_of(x).astype(self.dtype))\n";

static const char torch_imports[] = "import torch\n"
                                    "from torch import nn\n";
static const char torch_class[] =
    "\n"
    "\n"
    "class Model(Base):\n"
    "    ACTIVATIONS = {\"relu\": nn.ReLU, \"tanh\": nn.Tanh, \"sigmoid\": nn.Sigmoid}\n"
    "\n"
    "    def __init__(self, path):\n"
    "        self.net = nn.Sequential()\n"
    "        for layer, weight, bias in by_layer(torch.load(path, map_location=\"cpu\", "
    "weights_only=True)):\n"
    "            linear = nn.Linear(layer[\"inputs\"], layer[\"outputs\"], bias=bias is not None, "
    "dtype=weight.dtype)\n"
    "            linear.load_state_dict({\"weight\": weight} if bias is None else {\"weight\": "
    "weight, \"bias\": bias})\n"
    "            self.net.append(linear)\n"
    "            if layer[\"activation\"]:\n"
    "                self.net.append(self.ACTIVATIONS[layer[\"activation\"]]())\n"
    "        self.net.eval()\n"
    "        self.dtype = str(weight.dtype).rpartition(\".\")[2]\n"
    "\n"
    "    def logits(self, x):\n"
    "        with torch.no_grad():\n"
    "            return self.net(torch.from_numpy(np.ascontiguousarray(x))).numpy()\n";

static const char keras_imports[] = "import keras\n";
static const char keras_class[] =
    "\n"
    "\n"
    "class Model(Base):\n"
    "    def __init__(self, path):\n"
    "        self.net = keras.models.load_model(path, compile=False)\n"
    "        self.dtype = self.net.layers[-1].compute_dtype\n"
    "\n"
    "    def logits(self, x):\n"
    "        return np.asarray(self.net(x))\n";

static const char onnx_imports[] = "import onnxruntime\n";
static const char onnx_class[] =
    "\n"
    "\n"
    "class Model(Base):\n"
    "    def __init__(self, path):\n"
    "        self.net = onnxruntime.InferenceSession(path, providers=[\"CPUExecutionProvider\"])\n"
    "        self.dtype = {\"tensor(float)\": \"float32\", \"tensor(double)\": "
    "\"float64\"}[self.net.get_inputs()[0].type]\n"
    "\n"
    "    def logits(self, x):\n"
    "        return self.net.run(None, {self.net.get_inputs()[0].name: x})[0]\n";

static const char numpy_imports[] = "import json\n";
static const char numpy_class[] =
    "\n"
    "\n"
    "class Model(Base):\n"
    "    ACTIVATIONS = {\n"
    "        \"relu\": lambda z: np.maximum(z, 0),\n"
    "        \"tanh\": np.tanh,\n"
    "        \"sigmoid\": lambda z: 1 / (1 + np.exp(-z)),\n"
    "        None: lambda z: z,\n"
    "    }\n"
    "\n"
    "    def __init__(self, path):\n"
    "        with open(path, \"rb\") as file:  # safetensors: header length, header, values\n"
    "            header = json.loads(file.read(int.from_bytes(file.read(8), \"little\")))\n"
    "            data = file.read()\n"
    "        types = {\"F32\": \"<f4\", \"F64\": \"<f8\"}\n"
    "        header.pop(\"__metadata__\", None)\n"
    "        natural = sorted(header, key=lambda name: [int(p) if p.isdigit() else p for p in "
    "re.split(r\"(\\d+)\", name)])\n"
    "        tensors = {\n"
    "            name: np.frombuffer(data[slice(*t[\"data_offsets\"])], "
    "types[t[\"dtype\"]]).reshape(t[\"shape\"])\n"
    "            for name, t in ((name, header[name]) for name in natural)\n"
    "        }\n"
    "        self.layers = list(by_layer(tensors))\n"
    "        self.dtype = self.layers[0][1].dtype\n"
    "\n"
    "    def logits(self, x):\n"
    "        for layer, weight, bias in self.layers:\n"
    "            x = x @ weight.T\n"
    "            x = self.ACTIVATIONS[layer[\"activation\"]](x if bias is None else x + bias)\n"
    "        return x\n";

#define NUMPY "numpy==2.4.6\n"
/* What belongs to each format: its loader, and what pip must bring. `engine`'s own package is
 * pinned to the version that trained the run, else to the one the studio is tested with. */
static const struct {
    const char *format, *imports, *class, *engine, *requirements;
} kinds[] = {
    {"pth", torch_imports, torch_class, "torch", NUMPY},
    {"h5", keras_imports, keras_class, "tensorflow", NUMPY},
    {"onnx", onnx_imports, onnx_class, NULL, NUMPY "onnxruntime==1.32.0\n"},
    {"safetensors", numpy_imports, numpy_class, NULL, NUMPY},
};

/* What training did to a byte, by the model's own form (data/preprocess.h). */
static void write_of_bytes(const struct input_form *form, struct buffer *out)
{
    char range[JS_SHORTEST_SIZE], scale[JS_SHORTEST_SIZE], mean[JS_SHORTEST_SIZE],
        std[JS_SHORTEST_SIZE];
    buffer_append_text(out, "\n\ndef of_bytes(x):\n");
    if (form->range > 0 && form->range != 255)
        buffer_printf(out, "    x = x / 255 * %s\n", js_shortest(form->range, range));
    if (form->mean == 0 && form->std == 1)
        buffer_printf(out, "    return x / np.float32(%s)\n", js_shortest(form->scale, scale));
    else
        buffer_printf(out, "    return ((x / %s - %s) / %s).astype(np.float32)\n",
                      js_shortest(form->scale, scale), js_shortest(form->mean, mean),
                      js_shortest(form->std, std));
}

static void write_loader(const struct model *model, const struct input_form *form, size_t kind,
                         const char *file, struct buffer *out)
{
    buffer_append_text(out, loader_head);
    buffer_append_text(out, kinds[kind].imports);
    buffer_append_text(out, "\nLAYERS = [\n");
    for (uint32_t i = 0; i < model->network.layer_count; i++) {
        const struct layer *layer = &model->network.layers[i]; /* dense: check_layers() */
        bool bends = layer->activation != ACTIVATION_NONE;
        buffer_printf(out, "    {\"inputs\": %u, \"outputs\": %u, \"activation\": %s%s%s},\n",
                      layer->inputs, layer->outputs, bends ? "\"" : "",
                      bends ? activation_name(layer->activation) : "None", bends ? "\"" : "");
    }
    buffer_printf(out, "]\nINPUTS = %u\n", network_inputs(&model->network));
    write_of_bytes(form, out);
    buffer_append_text(out, loader_shared);
    buffer_append_text(out, kinds[kind].class);
    buffer_printf(out, "\n\ndef _load_pyfunc(path):\n    return Model(str(Path(path) / \"%s\"))\n",
                  file);
}

/* The pinned requirement of what trained the model, or of what reads its file. */
static void write_requirements(size_t kind, const json_t *run, struct buffer *out)
{
    const char *engine = kinds[kind].engine,
               *trained = json_string_value(json_object_get(run, "engine")),
               *version = json_string_value(json_object_get(run, "engine_version"));
    buffer_append_text(out, kinds[kind].requirements);
    if (!engine) return;
    const char *tested = engine_find(engine)->package.requirement;
    if (trained && version && *version && strcmp(trained, engine) == 0)
        buffer_printf(out, "%.*s==%.*s\n", (int)strcspn(tested, "="), tested,
                      (int)strcspn(version, "+ "), version);
    else
        buffer_printf(out, "%s\n", tested);
}

/* The signature names no inputs: MLflow would refuse every dtype and shape but one, before the
 * loader, which takes several, sees them. */
static void write_mlmodel(const struct model *model, const struct input_form *form,
                          const char *run_id, const char *loader, struct buffer *out)
{
    unsigned char id[16] = {0};
    char time[32], words[128];
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
    buffer_printf(
        out,
        "\nrun_id: %s\nsignature:\n"
        "  outputs: '[{\"type\": \"tensor\", \"tensor-spec\": {\"dtype\": \"%s\", "
        "\"shape\": [-1, %u]}}]'\n"
        "metadata:\n"
        "  inputs: 'pixels [N, %u] or [N, %u, %u]: uint8 0 to 255, or floats as the network "
        "receives them (%s)'\n"
        "utc_time_created: '%s'\n",
        run_id, dtype_name(model->parameters->dtype), network_classes(&model->network),
        network_inputs(&model->network), model->network.rows, model->network.columns,
        input_form_words(form, words), time);
}

/* The loaders of state dicts build dense layers; Keras and ONNX files hold their own network. */
static int check_layers(const struct model *model, size_t kind, struct error *error)
{
    bool builds = kinds[kind].class == torch_class || kinds[kind].class == numpy_class;
    for (uint32_t i = 0; builds && i < model->network.layer_count; i++) {
        const struct layer *layer = &model->network.layers[i];
        if (layer->type == LAYER_DENSE && layer->activation <= ACTIVATION_SIGMOID) continue;
        return error_set(error, ERROR_INPUT,
                         "layer %u (%s) cannot be loaded from a .%s file in MLflow: convert the "
                         "model to .h5 or .onnx",
                         i + 1, layer_kind(layer->type)->name, model->format);
    }
    return 0;
}

int mlflow_folder_make(const struct mlflow_folder_parts *parts, struct mlflow_folder *out,
                       struct error *error)
{
    const struct model *model = parts->model;
    size_t kind = 0;
    *out = (struct mlflow_folder){0};
    while (kind < sizeof kinds / sizeof kinds[0] && strcmp(kinds[kind].format, model->format) != 0)
        kind++;
    if (kind == sizeof kinds / sizeof kinds[0])
        return error_set(error, ERROR_INPUT,
                         "a %s file cannot be registered with MLflow: convert it to .pth or .h5",
                         model->format);
    struct input_form form;
    if (check_layers(model, kind, error) || input_form_from_metadata(model->metadata, &form, error))
        return -1;
    /* Python keeps a module by its name: two models loaded in one process need two names. */
    char loader[64], loader_path[80];
    snprintf(loader, sizeof loader, "nnstudio_loader_%.32s", parts->run_id);
    snprintf(loader_path, sizeof loader_path, "code/%s.py", loader);
    write_mlmodel(model, &form, parts->run_id, loader, add_file(out, "MLmodel"));
    write_loader(model, &form, kind, parts->file, add_file(out, loader_path));
    write_requirements(kind, parts->request->run, add_file(out, "requirements.txt"));
    buffer_append_text(
        add_file(out, "python_env.yaml"),
        "python: 3.11.0\nbuild_dependencies:\n- pip\ndependencies:\n- -r requirements.txt\n");
    buffer_append_text(add_file(out, "conda.yaml"),
                       "name: mlflow-env\nchannels:\n- conda-forge\ndependencies:\n- "
                       "python=3.11\n- pip\n- pip:\n  - -r requirements.txt\n");
    if (registry_model_card(parts->request, parts->name, parts->sha256,
                            add_file(out, REGISTRY_CARD), error)) {
        mlflow_folder_clear(out);
        return -1;
    }
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

#include "registry/loader.h"

#include <string.h>

#include "base/js.h"
#include "engine/engine.h"

/* The loader is Python text in parts: the head, what the format imports, what all share, the
 * format's class, and what is filled in for the network (LAYERS, INPUTS, the file). */
static const char loader_head[] =
    "\"\"\"Loads the network without the studio. Made by Neural Net Studio.\"\"\"\n"
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
/* What belongs to each format: its loader, and what pip must bring beside the package of the engine
 * that writes the format. */
static const struct {
    const char *format, *imports, *class, *requirements;
} kinds[] = {
    {"pth", torch_imports, torch_class, NUMPY},
    {"h5", keras_imports, keras_class, NUMPY},
    {"onnx", onnx_imports, onnx_class, NUMPY "onnxruntime==1.32.0\n"},
    {"safetensors", numpy_imports, numpy_class, NUMPY},
};
#define KIND_COUNT (sizeof kinds / sizeof kinds[0])

/* The engine whose package reads the format; NULL: none is needed. */
static const struct engine_ops *engine_of(const char *format)
{
    for (size_t i = 0; i < engine_table_count; i++)
        if (strcmp(engine_table[i]->model_format, format) == 0)
            return engine_table[i]->package.requirement ? engine_table[i] : NULL;
    return NULL;
}

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

void loader_write(const struct loader *loader, struct buffer *out)
{
    const struct network *network = &loader->model->network;
    buffer_append_text(out, loader_head);
    buffer_append_text(out, kinds[loader->kind].imports);
    buffer_append_text(out, "\nLAYERS = [\n");
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i]; /* dense: check_layers() */
        bool bends = layer->activation != ACTIVATION_NONE;
        buffer_printf(out, "    {\"inputs\": %u, \"outputs\": %u, \"activation\": %s%s%s},\n",
                      layer->inputs, layer->outputs, bends ? "\"" : "",
                      bends ? activation_name(layer->activation) : "None", bends ? "\"" : "");
    }
    buffer_printf(out, "]\nINPUTS = %u\n", network_inputs(network));
    write_of_bytes(&loader->form, out);
    buffer_append_text(out, loader_shared);
    buffer_append_text(out, kinds[loader->kind].class);
}

/* The engine's package is pinned to the version that trained the run, else to the one that the
 * studio is tested with. */
void loader_write_requirements(const struct loader *loader, const json_t *run, struct buffer *out)
{
    const struct engine_ops *engine = engine_of(kinds[loader->kind].format);
    const char *trained = json_string_value(json_object_get(run, "engine")),
               *version = json_string_value(json_object_get(run, "engine_version"));
    buffer_append_text(out, kinds[loader->kind].requirements);
    if (!engine) return;
    const char *tested = engine->package.requirement;
    if (trained && version && *version && strcmp(trained, engine->id) == 0)
        buffer_printf(out, "%.*s==%.*s\n", (int)strcspn(tested, "="), tested,
                      (int)strcspn(version, "+ "), version);
    else
        buffer_printf(out, "%s\n", tested);
}

/* The loaders of state dicts build dense layers; Keras and ONNX files hold their own network. */
static int check_layers(const struct model *model, size_t kind, struct error *error)
{
    bool builds = kinds[kind].class == torch_class || kinds[kind].class == numpy_class;
    for (uint32_t i = 0; builds && i < model->network.layer_count; i++) {
        const struct layer *layer = &model->network.layers[i];
        if (layer->type == LAYER_DENSE && layer->activation <= ACTIVATION_SIGMOID) continue;
        return error_set(error, ERROR_INPUT,
                         "layer %u (%s) cannot be loaded in Python from a .%s file: convert the "
                         "model to .h5 or .onnx",
                         i + 1, layer_kind(layer->type)->name, model->format);
    }
    return 0;
}

int loader_of(const struct model *model, struct loader *out, struct error *error)
{
    *out = (struct loader){.model = model};
    while (out->kind < KIND_COUNT && strcmp(kinds[out->kind].format, model->format) != 0)
        out->kind++;
    if (out->kind == KIND_COUNT)
        return error_set(error, ERROR_INPUT,
                         "a %s file cannot be loaded in Python here: convert it to .pth or .h5",
                         model->format);
    return check_layers(model, out->kind, error) ||
                   input_form_from_metadata(model->metadata, &out->form, error)
               ? -1
               : 0;
}

#include "registry/loader.h"

#include <string.h>

#include "base/js.h"
#include "code/code.h"
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
/* For the dense networks of formats that hold nothing but tensors. */
static const char by_layer[] =
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
    "        yield layer, group[\"weight\"], group.get(\"bias\")\n";

static const char loader_shared[] =
    "\n"
    "\n"
    "def pixels_of(x):\n"
    "    \"\"\"What the network receives, [N, INPUTS]: floats are that already, uint8 0 … 255 is "
    "brought to it as\n"
    "    in training; as [N, INPUTS], [N, rows, columns] or a table.\"\"\"\n"
    "    x = np.asarray(next(iter(x.values())) if isinstance(x, dict) and len(x) == 1 else x)\n"
    "    if x.ndim == 4 and x.shape[1:] == (*PICTURE[1:], PICTURE[0]) != PICTURE:  # channels "
    "last\n"
    "        x = x.transpose(0, 3, 1, 2)\n"
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
    "def arranged(x, shape, channels_last):\n"
    "    \"\"\"The pixels as a model takes them whose input has this shape, the batch "
    "apart.\"\"\"\n"
    "    pictures = x.reshape(-1, *PICTURE)\n"
    "    if channels_last:\n"
    "        pictures = pictures.transpose(0, 2, 3, 1)\n"
    "    return pictures.reshape(-1, *shape)\n"
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

/* Any network, as a module of PyTorch's. */
static const char module_class[] =
    "\n"
    "\n"
    "def fitted(tensors, wanted):\n"
    "    \"\"\"The file's tensors under the module's names.\"\"\"\n"
    "    state = {}\n"
    "    for name in wanted:\n"
    "        layer, _, role = name.rpartition(\".\")\n"
    "        if role != \"num_batches_tracked\":\n"
    "            state[name] = tensors[f\"{STEMS[layer]}.{role}\"]\n"
    "    return state\n"
    "\n"
    "\n"
    "class Model(Base):\n"
    "    def __init__(self, path):\n"
    "        tensors = tensors_of(path)\n"
    "        self.net = Network().to(next(iter(tensors.values())).dtype)\n"
    "        self.net.load_state_dict(fitted(tensors, self.net.state_dict()), strict=False)\n"
    "        self.net.eval()\n"
    "        self.dtype = str(next(self.net.parameters()).dtype).rpartition(\".\")[2]\n"
    "\n"
    "    def logits(self, x):\n"
    "        x = x.reshape(-1, *PICTURE) if MAPS else x\n"
    "        with torch.no_grad():\n"
    "            return self.net(torch.from_numpy(np.ascontiguousarray(x))).numpy()\n";
static const char torch_tensors[] =
    "\n"
    "\n"
    "def tensors_of(path):\n"
    "    return torch.load(path, map_location=\"cpu\", weights_only=True)\n";

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
    "        return np.asarray(self.net(arranged(x, self.net.input_shape[1:], True)))\n";

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
    "        (given, *_) = self.net.get_inputs()\n"
    "        x = np.ascontiguousarray(arranged(x, given.shape[1:], False))\n"
    "        return self.net.run(None, {given.name: x})[0]\n";

static const char numpy_imports[] = "import json\n";
static const char numpy_module_imports[] = "import json\n"
                                           "import torch\n"
                                           "from torch import nn\n";
static const char numpy_tensors[] =
    "\n"
    "\n"
    "def arrays_of(path):\n"
    "    with open(path, \"rb\") as file:  # safetensors: header length, header, values\n"
    "        header = json.loads(file.read(int.from_bytes(file.read(8), \"little\")))\n"
    "        data = file.read()\n"
    "    types = {\"F32\": \"<f4\", \"F64\": \"<f8\"}\n"
    "    header.pop(\"__metadata__\", None)\n"
    "    natural = sorted(header, key=lambda name: [int(p) if p.isdigit() else p for p in "
    "re.split(r\"(\\d+)\", name)])\n"
    "    return {\n"
    "        name: np.frombuffer(data[slice(*t[\"data_offsets\"])], "
    "types[t[\"dtype\"]]).reshape(t[\"shape\"])\n"
    "        for name, t in ((name, header[name]) for name in natural)\n"
    "    }\n";
static const char numpy_to_torch[] =
    "\n"
    "\n"
    "def tensors_of(path):\n"
    "    return {name: torch.from_numpy(np.array(array)) for name, array in "
    "arrays_of(path).items()}\n";
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
    "        self.layers = list(by_layer(arrays_of(path)))\n"
    "        self.dtype = self.layers[0][1].dtype\n"
    "\n"
    "    def logits(self, x):\n"
    "        for layer, weight, bias in self.layers:\n"
    "            x = x @ weight.T\n"
    "            x = self.ACTIVATIONS[layer[\"activation\"]](x if bias is None else x + bias)\n"
    "        return x\n";

#define NUMPY "numpy==2.4.6\n"
enum network_text {
    TEXT_NONE,   /* the file holds its own network */
    TEXT_LAYERS, /* a list of dense layers: networks of other layers are the format's next row's */
    TEXT_MODULE  /* a module of PyTorch's */
};
#define PARTS 4
/* What belongs to each format: its loader, and what pip must bring beside the package of the engine
 * that writes `package`, a format. */
static const struct {
    const char *format, *imports, *parts[PARTS], *requirements, *package;
    enum network_text network;
} kinds[] = {
    {"pth", torch_imports, {by_layer, torch_class}, NUMPY, "pth", TEXT_LAYERS},
    {"pth", torch_imports, {torch_tensors, module_class}, NUMPY, "pth", TEXT_MODULE},
    {"h5", keras_imports, {keras_class}, NUMPY, "h5", TEXT_NONE},
    {"onnx", onnx_imports, {onnx_class}, NUMPY "onnxruntime==1.32.0\n", "onnx", TEXT_NONE},
    {"safetensors",
     numpy_imports,
     {by_layer, numpy_tensors, numpy_class},
     NUMPY,
     "safetensors",
     TEXT_LAYERS},
    {"safetensors",
     numpy_module_imports,
     {numpy_tensors, numpy_to_torch, module_class},
     NUMPY,
     "pth",
     TEXT_MODULE},
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

static void write_layers(const struct network *network, struct buffer *out)
{
    buffer_append_text(out, "\nLAYERS = [\n");
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        bool bends = layer->activation != ACTIVATION_NONE;
        buffer_printf(out, "    {\"inputs\": %u, \"outputs\": %u, \"activation\": %s%s%s},\n",
                      layer->inputs, layer->outputs, bends ? "\"" : "",
                      bends ? activation_name(layer->activation) : "None", bends ? "\"" : "");
    }
    buffer_append_text(out, "]\n");
}

static int write_module(const struct network *network, struct buffer *out, struct error *error)
{
    buffer_append_text(out, "\nSTEMS = {\n");
    for (uint32_t i = 0; i < network->layer_count; i++)
        buffer_printf(out, "    \"layer%u\": \"%s\",\n", i, network->layers[i].name);
    buffer_printf(out, "}\nMAPS = %s  # whether the first layer takes a picture or its values\n",
                  network->layers[0].type == LAYER_DENSE ? "False" : "True");
    buffer_append_text(out, "\n\n");
    return code_torch_module(network, out, error);
}

int loader_write(const struct loader *loader, struct buffer *out, struct error *error)
{
    const struct network *network = &loader->model->network;
    enum network_text text = kinds[loader->kind].network;
    buffer_append_text(out, loader_head);
    buffer_append_text(out, kinds[loader->kind].imports);
    if (text == TEXT_LAYERS) write_layers(network, out);
    if (text == TEXT_MODULE && write_module(network, out, error)) return -1;
    buffer_printf(out, "%sINPUTS = %u\nPICTURE = (%u, %u, %u)  # channels, rows, columns\n",
                  text == TEXT_LAYERS   ? ""
                  : text == TEXT_MODULE ? "\n\n"
                                        : "\n",
                  network_inputs(network), network->channels, network->rows, network->columns);
    write_of_bytes(&loader->form, out);
    buffer_append_text(out, loader_shared);
    for (size_t i = 0; i < PARTS && kinds[loader->kind].parts[i]; i++)
        buffer_append_text(out, kinds[loader->kind].parts[i]);
    return buffer_check(out, "the loader", error);
}

/* The engine's package is pinned to the version that trained the run, else to the one that the
 * studio is tested with. */
void loader_write_requirements(const struct loader *loader, const json_t *run, struct buffer *out)
{
    const struct engine_ops *engine = engine_of(kinds[loader->kind].package);
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

int loader_of(const struct model *model, struct loader *out, struct error *error)
{
    bool classic = network_is_classic(&model->network);
    *out = (struct loader){.model = model};
    while (out->kind < KIND_COUNT && (strcmp(kinds[out->kind].format, model->format) != 0 ||
                                      (kinds[out->kind].network == TEXT_LAYERS && !classic)))
        out->kind++;
    if (out->kind == KIND_COUNT)
        return error_set(error, ERROR_INPUT,
                         "a %s file cannot be loaded in Python here: convert it to .pth or .h5",
                         model->format);
    return input_form_from_metadata(model->metadata, &out->form, error);
}

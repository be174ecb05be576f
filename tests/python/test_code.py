"""Code Diff: the exported Python runs unchanged, gives the studio's numbers, and what it saves comes back."""

import ast
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile

import pytest

HERE = pathlib.Path(__file__).parent
LIMIT = 640  # a multiple of all batch sizes: Keras weighs an epoch's loss by samples, the studio by steps
COMMON = {"dataset": "mnist", "epochs": 2, "limit": LIMIT}
SETTINGS = {
    "usual": {},
    "two-layers": {"hidden": [64, 32], "activation": "tanh"},
    "no-hidden": {"hidden": [], "lr": 0.05},
    "sigmoid": {"activation": "sigmoid", "lr": 0.1, "batch_size": 64},
    "momentum": {"momentum": 0.9},
    "adam": {"optimizer": "adam", "lr": 0.001},
    "decay": {"weight_decay": 0.01},
    "nadam": {"optimizer": "nadam", "weight_decay": 0.01},
    "keras-rmsprop": {"meaning": "keras", "optimizer": "rmsprop", "momentum": 0.9, "centered": True},
    "double": {"dtype": "float64"},
    "keras-init": {"init": "keras", "seed": 7},
    "fashion": {"dataset": "fashion-mnist", "batch_size": 128, "epochs": 3, "hidden": [32]},
    "keras-dropout": {"net": "dense 20 relu, dropout 0.4, dense 10", "limit": 320},  # of TensorFlow: its .h5
    "lenet5": {"net": "lenet5"},
    "map-norm": {"net": "conv 3 3 relu, layernorm, maxpool 2, flatten, dense 10", "limit": 320, "dtype": "float64"},  # .h5 has no words for it
    "mean-std": {"scale": 300, "mean": 0.1307, "std": 0.3081},
    "dropout": {"net": "conv 3 3 relu, maxpool 3, dropout 0.2, batchnorm, flatten, dropout 0.5, dense 12 relu, dropout 0.3, dense 10", "dtype": "float64", "seed": 11, "limit": 320},
}
PROGRAMS = {"torch": ("model.py", "initial.pth", ".pth"), "tensorflow": ("model_tf.py", "initial.keras", ".h5")}
EPOCH = re.compile(r"epoch (\d+)  loss ([\d.]+)  accuracy ([\d.]+)  val_loss ([\d.]+)  val_accuracy ([\d.]+)")


class Server:
    """`nnstudio serve` with a home of its own."""

    def __init__(self, binary, home, data_dir):
        self.process = subprocess.Popen([binary, "serve", "--port", "0", "--home", str(home), "--data-dir", data_dir],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # fmt: skip
        self.address = re.search(r"http://\S+", self.process.stdout.readline())[0].rstrip("/")

    def call(self, path, body=None):
        request = urllib.request.Request(self.address + path, headers={"Content-Type": "application/json"},
                                         data=None if body is None else json.dumps(body).encode())  # fmt: skip
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.read()

    def json(self, path, body=None):
        return json.loads(self.call(path, body))

    def finished(self, run):
        for _ in range(1200):
            value = self.json(f"/api/runs/{run}")
            if value["state"] == "finished":
                return value
            assert value["state"] not in ("failed", "interrupted", "stopped"), value["error"]
            time.sleep(0.1)
        raise AssertionError(f"run {run} never finished")

    def close(self):
        self.process.terminate()
        self.process.wait(30)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def server(binary, data_dir, tmp_path_factory):
    server = Server(binary, tmp_path_factory.mktemp("home"), data_dir)
    yield server
    server.close()


@pytest.fixture(scope="module")
def engines(server):
    return [engine["id"] for engine in server.json("/api/system")["engines"] if engine["found"]]


@pytest.fixture(scope="module")
def bundles(server, engines, tmp_path_factory):
    """Name of settings → the finished run and the folder its bundle was unpacked to."""
    started = {}
    for i, (name, chosen) in enumerate(SETTINGS.items()):
        body = {"engine": engines[i % len(engines)], "settings": COMMON | chosen, "name": name, "tags": []}
        started[name] = server.json("/api/runs", body)["id"]
    made = {}
    for name, run in started.items():
        value = server.finished(run)
        folder = tmp_path_factory.mktemp(name)
        (folder / "bundle.zip").write_bytes(server.call(f"/api/runs/{run}/bundle"))
        with zipfile.ZipFile(folder / "bundle.zip") as archive:
            archive.extractall(folder / "bundle")
        made[name] = value, folder / "bundle"
    return made


def readme_command(folder, program, data_dir):
    """The arguments that the bundle's README tells the user to type."""
    command = re.search(rf"^python {re.escape(program)} (.*)$", (folder / "README.md").read_text(), re.MULTILINE)[1]
    return [data_dir if word == "DIR" else word for word in command.split()]


@pytest.fixture(scope="module")
def printed(bundles, data_dir, tmp_path_factory):
    """framework → name of settings → the epochs its program printed, started as the bundle's README says."""
    outputs = {}

    def of(framework):
        if framework not in outputs:
            program, initial, _ = PROGRAMS[framework]
            jobs = [{"folder": str(folder), "arguments": readme_command(folder, program, data_dir)} for _, folder in bundles.values()]
            assert all(initial in job["arguments"] for job in jobs)
            file = tmp_path_factory.mktemp("jobs") / "jobs.json"
            file.write_text(json.dumps(jobs))
            ran = subprocess.run([sys.executable, HERE / "run_programs.py", program, file], capture_output=True, text=True, timeout=600)
            assert ran.returncode == 0, ran.stderr[-3000:]
            texts = json.loads(ran.stdout.splitlines()[-1])
            outputs[framework] = {name: [tuple(map(float, found)) for found in EPOCH.findall(text)] for name, text in zip(bundles, texts)}
        return outputs[framework]

    return of


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("framework", PROGRAMS)
def test_a_program_gives_the_studios_losses(framework, name, printed, bundles, engines):
    if framework not in engines:
        pytest.skip(f"{framework} is not there")
    run, _ = bundles[name]
    epochs = printed(framework)[name]
    assert len(epochs) == len(run["epochs"]) == run["settings"]["epochs"]
    for (number, loss, accuracy, val_loss, val_accuracy), ours in zip(epochs, run["epochs"]):
        assert number == ours["epoch"]
        assert abs(loss - ours["loss"]) <= 1e-5, (loss, ours)
        assert abs(val_loss - ours["val_loss"]) <= 1e-5, (val_loss, ours)
        assert abs(accuracy - ours["accuracy"]) <= 2 / LIMIT + 1e-4
        assert abs(val_accuracy - ours["val_accuracy"]) <= 2 / LIMIT + 1e-4


# A state dict does not say how convolutions stand together, so only one of the programs of map-norm is here.
@pytest.mark.parametrize(("framework", "name"), [*((framework, name) for framework in PROGRAMS for name in ("usual", "keras-init", "fashion")), ("tensorflow", "map-norm")])
def test_what_a_program_saved_loads_in_the_studio(framework, name, printed, bundles, engines, studio, data_dir):
    if framework not in engines:
        pytest.skip(f"{framework} is not there")
    run, folder = bundles[name]
    (_, _, _, val_loss, _) = printed(framework)[name][-1]
    ending = ".keras" if name == "map-norm" else PROGRAMS[framework][2]
    answer = studio("evaluate", folder / f"{name}{ending}", "--engine", "native", "--dataset", run["settings"]["dataset"],
                    "--data-dir", data_dir, "--limit", run["settings"]["limit"], "--json")  # fmt: skip
    assert abs(json.loads(answer.stdout)["loss"] - val_loss) <= 1e-5


def test_a_bundle_holds_what_its_readme_says(bundles, studio, data_dir):
    import numpy

    run, folder = bundles["two-layers"]
    expected = {"README.md", "settings.json", "curve.csv", "requirements.txt", "order.npy", "initial.pth", "initial.keras"}
    expected |= {"model.py", "model_tf.py", "model.ipynb", "model_tf.ipynb"}
    expected |= {f"two-layers.{ending}" for ending in ("pth", "h5", "keras", "safetensors", "onnx")}
    with zipfile.ZipFile(folder.parent / "bundle.zip") as archive:
        assert set(archive.namelist()) == expected and archive.testzip() is None
    readme = (folder / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in expected - {"README.md"})
    settings = json.loads((folder / "settings.json").read_text())
    assert settings["hidden"] == [64, 32] and settings["activation"] == "tanh" and settings["run"] == run["id"]
    assert "/" not in json.dumps(settings), "a place on this machine"
    order = numpy.load(folder / "order.npy")
    assert order.shape == (2, LIMIT) and (numpy.sort(order, axis=1) == numpy.arange(LIMIT)).all()
    lines = (folder / "curve.csv").read_text().splitlines()
    assert lines[0] == "step,loss,seconds" and len(lines) - 1 == run["progress"]["total_steps"]
    (evaluate, inspect) = re.findall(r"^nnstudio (.*)$", readme, re.MULTILINE)
    studio(*evaluate.replace("DIR", data_dir).split(), cwd=folder)
    studio(*inspect.split(), cwd=folder)


def test_a_bundle_leaves_out_what_a_format_cannot_hold(server, tmp_path):
    settings = {"dataset": "mnist", "epochs": 1, "limit": 64, "net": "conv 2 3 stride 2 dilation 2 relu, flatten, dense 10"}
    run = server.json("/api/runs", {"engine": "native", "settings": settings, "name": "dilated", "tags": []})["id"]
    server.finished(run)
    (tmp_path / "bundle.zip").write_bytes(server.call(f"/api/runs/{run}/bundle"))
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        names, readme = archive.namelist(), archive.read("README.md").decode()
    assert "model.py" in names and "model_tf.py" not in names and "model_tf.ipynb" not in names
    assert "python model_tf.py" not in readme and "| `model_tf.py`" not in readme
    assert "- `model_tf.py`: layer 1 (conv1): Keras has no convolution with both a stride and a dilation" in readme
    assert {name for name in re.findall(r"^\| `([^`]+)`", readme, re.MULTILINE)} <= set(names)


def test_a_bundle_keeps_no_scratch(server, bundles):
    home = pathlib.Path(server.json("/api/system")["home"])
    assert list((home / "scratch").iterdir()) == []


def test_a_runs_bundle_on_the_command_line(server, bundles, studio, tmp_path):
    run, folder = bundles["usual"]
    home = server.json("/api/system")["home"]
    studio("code", "--bundle", run["id"], "--home", home, "--out", tmp_path / "run.zip")
    with zipfile.ZipFile(tmp_path / "run.zip") as archive:
        assert archive.read("model.py") == (folder.joinpath("model.py")).read_bytes()
        assert archive.read("initial.pth") == (folder.joinpath("initial.pth")).read_bytes()
    assert "no run" in studio("code", "--bundle", "nothing", "--home", home, "--out", tmp_path / "no.zip", status=1).stderr
    assert not (tmp_path / "no.zip").exists()


@pytest.mark.parametrize("name", SETTINGS)
def test_terminal_page_and_bundle_give_the_same_program(name, bundles, server, studio):
    run, folder = bundles[name]
    chosen = COMMON | SETTINGS[name]
    hidden = ",".join(map(str, chosen.get("hidden", [128]))) or "none"
    words = {key: value for key, value in chosen.items() if key != "hidden"} | ({} if "net" in chosen else {"hidden": hidden})
    options = [part for key, value in words.items() for part in (f"--{key.replace('_', '-')}", value) if part is not True]
    query = urllib.parse.urlencode({key: "true" if value is True else value for key, value in words.items()})
    for framework, (file, _, _) in PROGRAMS.items():
        terminal = studio("code", framework, *options, "--name", name).stdout
        assert terminal == (folder / file).read_text()
        page = server.call(f"/api/code/program?voice={framework}.python&{query}").decode()
        assert page == terminal.replace(f'"{name}.', '"simple_nn.')


def test_what_is_not_asked_for_has_a_default(server):
    """Each address of the studio answers without its parameters; the choices are those that its description calls default."""
    seen = server.json("/api/code")
    assert (seen["left"]["id"], seen["right"]["id"]) == ("torch.python", "tensorflow.python")
    assert server.call("/api/code/program") == server.call("/api/code/program?voice=torch.python&format=file&optimizer=sgd")
    described = {parameter["name"]: parameter["schema"] for parameter in server.json("/api/openapi.json")["paths"]["/api/code"]["get"]["parameters"]}
    assert "torch.python" in described["left"]["enum"] and described["activation"]["default"] == "relu"


@pytest.fixture(scope="module")
def own_set(tmp_path_factory):
    """A data set of one's own: 4 x 4 pixels, three classes, told apart by their bright row."""
    import random

    chance = random.Random(5)
    lines = ["label," + ",".join(f"pixel{i}" for i in range(16))]
    for i in range(210):
        pixels = [chance.randrange(60) for _ in range(16)]
        pixels[4 * (i % 3) : 4 * (i % 3) + 4] = [255 - chance.randrange(60) for _ in range(4)]
        lines.append(f"{i % 3}," + ",".join(map(str, pixels)))
    file = tmp_path_factory.mktemp("own") / "bars.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_a_data_set_of_ones_own_comes_along(own_set, studio, tmp_path, engines, server):
    """Any data set can be written as the four files that the programs read, and the network fits its shape."""
    said = studio("data", "export", own_set, "--out", "data").stdout
    assert "4 x 4 pixels, 3 classes" in said and "bars.csv" in said
    home = pathlib.Path(server.json("/api/system")["home"])
    (home / "data").mkdir(exist_ok=True)
    (home / "data" / "bars.csv").write_bytes(own_set.read_bytes())
    options = ("--dataset", own_set, "--epochs", 20, "--lr", 0.3, "--hidden", 8)
    for framework, (file, _, ending) in PROGRAMS.items():
        if framework not in engines:
            continue
        studio("code", framework, *options, "--out", file)
        page = server.call(f"/api/code/program?voice={framework}.python&dataset=bars.csv&epochs=20&lr=0.3&hidden=8").decode()
        assert page == (tmp_path / file).read_text()
        ran = subprocess.run([sys.executable, file, "--data-dir", "data"], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert float(EPOCH.findall(ran.stdout)[-1][4]) > 0.9
        answer = studio("evaluate", f"simple_nn{ending}", "--dataset", own_set, "--json").stdout
        assert json.loads(answer)["samples"] == 30
    asked = server.json("/api/code?dataset=bars.csv")["stages"][1]["left"]
    assert "        self.fc1 = nn.Linear(16, 128)" in [line["text"] for line in asked]
    with pytest.raises(urllib.error.HTTPError):
        server.call("/api/code?dataset=../../etc")


def test_a_name_cannot_become_code(studio, own_set, tmp_path):
    odd = tmp_path / 'a"""\\ b'
    odd.mkdir()
    (odd / "train.csv").write_bytes(own_set.read_bytes())
    for framework in PROGRAMS:
        program = studio("code", framework, "--dataset", odd).stdout
        names = [node.value for node in ast.walk(ast.parse(program)) if isinstance(node, ast.Constant)]
        assert odd.name in names
    assert "does not apply here" in studio("code", "torch", "--from", "x.pth", status=2).stderr


def test_a_program_refuses_a_word_it_does_not_know(studio, tmp_path, engines):
    if "torch" not in engines:
        pytest.skip("PyTorch is not there")
    studio("code", "torch", "--out", "mine.py")
    ran = subprocess.run([sys.executable, "mine.py", "--intial", "x.pth"], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 2 and "--intial" in ran.stderr


def test_a_program_needs_nothing_but_the_data(binary, data_dir, tmp_path, engines):
    if "torch" not in engines:
        pytest.skip("PyTorch is not there")
    subprocess.run([binary, "code", "torch", "--limit", "320", "--epochs", "1", "--out", "mine.py"], cwd=tmp_path, check=True)
    ran = subprocess.run([sys.executable, "mine.py", "--data-dir", data_dir], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert len(EPOCH.findall(ran.stdout)) == 1 and len(ran.stdout.splitlines()) == 1
    assert (tmp_path / "simple_nn.pth").stat().st_size > 400_000


@pytest.mark.parametrize("framework", PROGRAMS)
def test_a_notebook_executes(framework, studio, data_dir, tmp_path, engines):
    if framework not in engines:
        pytest.skip(f"{framework} is not there")
    import nbformat
    from nbclient import NotebookClient

    (tmp_path / "data").symlink_to(data_dir)
    studio("code", framework, "--notebook", "--limit", 320, "--epochs", 1, "--out", tmp_path / "it.ipynb")
    notebook = nbformat.read(tmp_path / "it.ipynb", 4)
    nbformat.validate(notebook)
    assert [cell.cell_type for cell in notebook.cells] == ["markdown", "code"] * 6
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    text = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert len(EPOCH.findall(text)) == 1
    assert (tmp_path / f"simple_nn{PROGRAMS[framework][2]}").exists()


NETWORKS = {
    "lenet5": "lenet5",
    "every-layer": "rescale 2 -1, conv 6 5x3 stride 2 same relu, batchnorm, depthwise 3x3 leaky_relu, avgpool 3 stride 2 same, batchnorm epsilon 0.01 momentum 0.3 tanh, "
    "conv 8 3 groups 2 dilation 2 same elu 0.7 nobias, layernorm, maxpool 3x2 stride 1x2 same gelu, conv 8 1 sigmoid, globalavgpool, dense 16 gelu_tanh, batchnorm, layernorm softplus, "
    "dropout 0.25, dense 10",
    "uneven": "conv 4 3 pad 0 1 2 0 silu, maxpool 2 stride 3 same, avgpool 4 stride 3 same, conv 5 2x3 pad 1 1 0 0 elu 2, flatten, dropout 0.5, dense 12 selu, dense 10",
    "picture": "normalize 0.1307 0.3081, dense 20 relu, dense 10 nobias",
    "values": "dense 20 leaky_relu 0.2, batchnorm, dense 10",
}
NETWORK_OPTIONS = {"every-layer": ["--weight-decay", "0.01"], "uneven": ["--init", "keras", "--optimizer", "adam"], "values": ["--init", "keras"]}


@pytest.fixture(scope="module")
def networks(binary, data_dir, engines, tmp_path_factory):
    """Name of a network → what net_programs.py says of its two programs."""
    if not {"torch", "tensorflow"} <= set(engines):
        pytest.skip("needs both frameworks")
    folders = []
    for name, net in NETWORKS.items():
        folders.append(tmp_path_factory.mktemp(name))
        for engine, file in (("torch", "model.py"), ("tensorflow", "model_tf.py")):
            options = ["--net", net, "--epochs", "1", "--limit", "96", "--dtype", "float64", *NETWORK_OPTIONS.get(name, [])]
            made = subprocess.run([binary, "code", engine, *options, "--out", folders[-1] / file], capture_output=True, text=True)
            assert made.returncode == 0, made.stderr
    ran = subprocess.run([sys.executable, HERE / "net_programs.py", data_dir, *map(str, folders)], capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return dict(zip(NETWORKS, json.loads(ran.stdout.splitlines()[-1])))


@pytest.mark.parametrize("name", NETWORKS)
def test_both_programs_of_a_network_are_the_same_network(name, networks, studio):
    found = networks[name]
    shown = studio("net", "show", NETWORKS[name], "--json")
    assert found["torch_parameters"] == found["keras_parameters"] == json.loads(shown.stdout)["parameters"]
    assert len(EPOCH.findall(found["torch_printed"])) == len(EPOCH.findall(found["keras_printed"])) == 1
    assert found["spread"] > 0
    assert found["difference"] <= 1e-11


@pytest.mark.parametrize(
    ("net", "words"),
    [
        ("conv 4 3 stride 2 dilation 2, flatten, dense 10", "layer 1 (conv1): Keras has no convolution with both a stride and a dilation"),
        ("conv 4 3, depthwise 3 stride 2x1, flatten, dense 10", "layer 2 (conv2): Keras's DepthwiseConv2D has one stride"),
        ("maxpool 3 stride 2 pad 1 1 1 1, flatten, dense 10", "layer 1 (pool1): Keras's pooling pads by its rule"),
        ('{"layers":[{"type":"dense","outputs":10,"name":"a=1"}]}', 'layer 1 has the name "a=1"'),
        ('{"layers":[{"type":"dense","outputs":10,"name":"forward"}]}', 'layer 1 has the name "forward"'),
    ],
)
def test_what_a_program_cannot_say_is_refused_by_name(net, words, studio):
    answer = studio("code", "tensorflow", "--net", net, status=1)
    assert answer.stdout == ""
    assert words in answer.stderr and answer.stderr.count("\n") == 1


def test_the_command_line_says_what_is_wrong(studio):
    for words, said in {("code",): "no framework is named", ("code", "jax"): "there is torch in python, tensorflow in python", ("code", "torch", "--lang", "rust"): "torch in c",
                        ("code", "torch", "--lang", "c", "--notebook"): "a notebook holds Python", ("code", "torch", "--epochs", "0"): "epochs",
                        ("code", "--bundle", "x"): "--out"}.items():  # fmt: skip
        result = studio(*words, status=2)
        assert said in result.stderr and len(result.stderr.splitlines()) == 1 and result.stdout == ""


def test_the_c_is_the_source(studio):
    source = pathlib.Path(HERE.parents[1])
    for framework in PROGRAMS:
        text = studio("code", framework, "--lang", "c").stdout
        parts = re.split(r"/\* (src/\S+):(\d+) \*/\n", text)[1:]
        assert len(parts) >= 3 * 6
        for file, line, shown in zip(*[iter(parts)] * 3):
            there = (source / file).read_text().split("\n")[int(line) - 1 :]
            shown = shown.rstrip("\n").split("\n")
            without_marks = [re.sub(r" +/\* \[[a-z_]+\] \*/$", "", text) for text in there[: len(shown)]]
            assert without_marks == shown and there[len(shown)].strip() == "/* [end] */"


def test_the_microscope_sees_one_step_in_all_engines(server, engines):
    seen = server.json("/api/microscope", {"settings": {"dataset": "mnist", "hidden": [16]}, "engines": engines, "batch": 5})
    assert [stage["id"] for stage in seen["stages"]] == ["batch", "hidden", "logits", "loss", "gradients", "update"]
    assert [engine["error"] for engine in seen["engines"]] == [None] * len(engines)
    assert len(seen["batch"]["indices"]) == len(seen["batch"]["labels"]) == 32
    tensors = {tensor["name"]: tensor for stage in seen["stages"] for tensor in stage["tensors"]}
    assert tensors["input"]["shape"] == [32, 784] and tensors["input"]["max_difference"] == 0
    assert tensors["grad/fc1.weight"]["shape"] == [16, 784] and tensors["logits"]["shape"] == [32, 10]
    for tensor in tensors.values():
        assert tensor["max_difference"] <= 1e-6
        assert [histogram["engine"] for histogram in tensor["histogram"]] == engines
        size = 1
        for n in tensor["shape"]:
            size *= n
        assert all(sum(histogram["counts"]) == size for histogram in tensor["histogram"])


def test_each_stage_of_the_step_has_lines_in_each_voice(server):
    seen = server.json("/api/microscope", {"settings": {"limit": 64, "hidden": [8]}, "engines": ["native"], "batch": 0})
    for left, right in (("torch.python", "tensorflow.python"), ("torch.c", "tensorflow.c")):
        stages = {stage["id"]: stage for stage in server.json(f"/api/code?left={left}&right={right}&hidden=8")["stages"]}
        for stage in seen["stages"]:
            for side, voice in (("left", left), ("right", right)):
                lit = [line for line in stages[stage["code_stage"]][side] if line["idea"] in stage["ideas"]]
                assert lit, f"{stage['id']} lights nothing in {voice}"


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_microscopes_step_is_the_step_that_trains(server, engines, optimizer, tmp_path):
    """A run of one single step ends with the very weights, to the last bit, that the microscope shows."""
    from safetensors.numpy import load_file

    settings = {"dataset": "mnist", "limit": 32, "epochs": 1, "hidden": [16], "optimizer": optimizer, "threads": 1}
    if optimizer == "adam":  # a quarter of the learning rate
        settings |= {"schedule": "cosine", "warmup": 4}
    seen = server.json("/api/microscope", {"settings": settings, "engines": engines, "batch": 0})
    (update,) = (stage for stage in seen["stages"] if stage["id"] == "update")
    runs = {engine: server.json("/api/runs", {"engine": engine, "settings": settings, "name": "one-step", "tags": []})["id"] for engine in engines}
    for engine, run in runs.items():
        server.finished(run)
        (tmp_path / "run.zip").write_bytes(server.call(f"/api/runs/{run}/bundle"))
        with zipfile.ZipFile(tmp_path / "run.zip") as archive:
            archive.extract("one-step.safetensors", tmp_path)
        weights = load_file(tmp_path / "one-step.safetensors")
        assert {f"new/{name}" for name in weights} == {tensor["name"] for tensor in update["tensors"]}
        for tensor in update["tensors"]:
            (here,) = (histogram["sha256"] for histogram in tensor["histogram"] if histogram["engine"] == engine)
            assert hashlib.sha256(weights[tensor["name"][4:]].astype("<f8").tobytes()).hexdigest() == here, (engine, tensor["name"])


def test_the_microscope_shows_numbers_that_ran_away(server, engines):
    """Infinite numbers are no reason to show nothing: JSON has no word for them, so they are counted."""
    settings = {"dataset": "mnist", "limit": 128, "epochs": 1, "lr": 1000, "weight_decay": 100}  # four steps: huge, still finite
    run = server.json("/api/runs", {"engine": "native", "settings": settings, "name": "wild", "tags": []})["id"]
    server.finished(run)
    seen = server.json("/api/microscope", {"settings": settings, "engines": engines, "batch": 0, "run": run})
    tensors = {tensor["name"]: tensor for stage in seen["stages"] for tensor in stage["tensors"]}
    lost = tensors["new/fc1.weight"]["histogram"]
    assert [histogram["engine"] for histogram in lost] == engines
    assert all(histogram["not_finite"] + sum(histogram["counts"]) == 100352 for histogram in lost)
    assert any(histogram["not_finite"] for tensor in tensors.values() for histogram in tensor["histogram"])


def test_the_microscope_starts_from_a_runs_weights(server, bundles):
    run, _ = bundles["usual"]
    looked = {"settings": COMMON, "engines": ["native"], "batch": 0}
    at_first, trained = (server.json("/api/microscope", body) for body in (looked, looked | {"run": run["id"]}))
    loss = [next(t for stage in seen["stages"] for t in stage["tensors"] if t["name"] == "loss")["low"] for seen in (at_first, trained)]
    assert loss[1] < loss[0]


def test_a_batch_past_the_end_is_named_with_the_limit(server):
    with pytest.raises(urllib.error.HTTPError) as refused:
        server.call("/api/microscope", {"engines": ["native"], "batch": 2, "settings": {"limit": 64, "batch_size": 32}})
    assert refused.value.code == 400
    assert "2 batches of 32 samples, numbered from 0 to 1" in json.loads(refused.value.read())["error"]["message"]


@pytest.mark.parametrize("body", [{"engines": []}, {"engines": ["jax"]}, {"engines": ["native"], "batch": -1}, {"engines": ["native"], "x": 1},
                                  {"engines": ["native"], "batch": 1900, "settings": COMMON}, {"engines": ["native"], "run": "none"}])  # fmt: skip
def test_the_microscope_says_what_is_wrong(server, body):
    with pytest.raises(urllib.error.HTTPError) as refused:
        server.call("/api/microscope", body)
    assert refused.value.code in (400, 404)
    assert json.loads(refused.value.read())["error"]["message"]

"""Networks nobody chose, as one line of text each: odd sizes, strides, paddings, groups, every activation."""

ACTIVATIONS = ["", " relu", " tanh", " sigmoid", " leaky_relu 0.3", " elu 0.7", " selu", " gelu", " gelu_tanh", " silu", " softplus"]
FIRST = ["", "", "rescale 3 -0.1, ", "normalize 0.1307 0.3081, "]
NORM = ["batchnorm epsilon 0.001", "batchnorm momentum 0.3", "layernorm", "dropout 0.3", "dropout 0.5"]


def sides(chance, least, most):
    return f"{chance.randint(least, most)}x{chance.randint(least, most)}"


def padding(chance, most):
    return chance.choice(["", " same", " pad " + " ".join(str(chance.randint(0, most)) for _ in range(4))])


def conv(chance, keras):
    """For Keras a stride or a dilation, the same along both axes."""
    kind = chance.choice(["conv", "conv", "depthwise"])
    text = f"{kind}{f' {chance.choice([2, 4, 6])}' if kind == 'conv' else ''} {sides(chance, 1, 4)}{padding(chance, 1)}"
    if keras:
        text += chance.choice(["", "", " stride 2", " dilation 2"])
    else:
        text += chance.choice(["", "", f" stride {sides(chance, 1, 3)}"]) + chance.choice(["", "", f" dilation {sides(chance, 1, 2)}"])
    return text + chance.choice(["", "", " nobias"]) + chance.choice(ACTIVATIONS)


def grouped(chance, keras):
    """A convolution in groups behind one whose filters they divide."""
    return f"conv 6 {sides(chance, 1, 3)}, conv {chance.choice([6, 12])} {sides(chance, 1, 3)} groups {chance.choice([2, 3])}{chance.choice(ACTIVATIONS)}"


def pool(chance, keras):
    kind = chance.choice(["maxpool", "avgpool"])
    if keras:
        return f"{kind} {chance.randint(2, 3)}{chance.choice(['', ' same', ' stride 2'])}"
    return f"{kind} {sides(chance, 2, 4)}{chance.choice(['', f' stride {sides(chance, 1, 3)}'])}{padding(chance, 1)}{chance.choice(ACTIVATIONS)}"


def norm(chance, keras):
    return chance.choice(NORM)


def dense(chance, keras):
    return f"dense {chance.randint(5, 20)}{chance.choice(ACTIVATIONS)}"


def drawn(chance, keras=False):
    """One line; `keras`: with what Keras has words for. It need not fit."""
    layers = [conv(chance, keras), *(chance.choice([conv, grouped, pool, norm])(chance, keras) for _ in range(chance.randint(1, 3)))]
    layers.append(chance.choice(["flatten", "globalavgpool"]))
    layers += [make(chance, keras) for make in chance.sample([norm, norm, norm, dense], chance.randint(1, 3))]
    return chance.choice(FIRST) + ", ".join([*layers, "dense 10"])


def fitting(chance, count, fits, keras=False):
    """The first `count` drawn for which fits(line) is true."""
    found = []
    while len(found) < count:
        line = drawn(chance, keras)
        if fits(line):
            found.append(line)
    return found

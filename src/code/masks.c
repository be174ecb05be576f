/* Dropout by given masks: neither framework's generator draws the studio's, so both programs take
 * them as an array. */
#include "code/layers.h"

#include <stdio.h>

#include "code/python.h"
#include "code/text.h"
#include "net/layout.h"

static void write_lines(const char *const *lines, struct code_text *out)
{
    for (; *lines; lines++) code_line(out, **lines ? "masks" : NULL, "%s", *lines);
}

void torch_write_masked(const struct network *network, struct code_text *out)
{
    static const char *const lines[] = {
        "class Masked(nn.Module):",
        "    \"\"\"Dropout by given masks: per sample a row of 0 and 1, in training's order.\"\"\"",
        "",
        "    def __init__(self, rate, kept):",
        "        super().__init__()",
        "        self.rate, self.kept, self.seen = rate, kept, 0",
        "",
        "    def forward(self, x):",
        "        if not self.training:",
        "            return x",
        "        kept = self.kept[self.seen : self.seen + len(x)].reshape(x.shape)",
        "        self.seen += len(x)",
        "        return x * kept / (1 - self.rate)",
        "",
        "",
        NULL,
    };
    if (python_has_type(network, LAYER_DROPOUT)) write_lines(lines, out);
}

void torch_write_masks(const struct network *network, struct code_text *out)
{
    static const char *const lines[] = {
        "if args.masks:  # in place of those that PyTorch draws",
        "    for name, kept in np.load(args.masks).items():",
        "        rate = getattr(model, name).p",
        "        setattr(model, name, Masked(rate, torch.from_numpy(kept)))",
        NULL,
    };
    if (python_has_type(network, LAYER_DROPOUT)) write_lines(lines, out);
}

/* A mask's values are counted channels first; what Keras counts otherwise is told its shape. */
void keras_write_masks(const struct network *network, struct code_text *out)
{
    static const char *const lines[] = {
        "",
        "",
        "def use_masks(name, maps=None):",
        "    \"\"\"Dropout by given masks: per sample a row of 0 and 1, in training's order.\"\"\"",
        "    layer, kept = model.get_layer(name), masks[name]",
        "    if maps:  # they count channels first",
        "        kept = kept.reshape(-1, *maps).transpose(0, 2, 3, 1)",
        "    kept = keras.ops.convert_to_tensor(kept.reshape(-1, *layer.output.shape[1:]))",
        "    seen = keras.Variable(0, dtype=\"int32\", trainable=False)",
        "",
        "    def call(x, training=False):",
        "        if not training:",
        "            return x",
        "        count = keras.ops.shape(x)[0]",
        "        rows = keras.ops.take(kept, seen + keras.ops.arange(count), axis=0)",
        "        seen.assign_add(count)",
        "        return x * keras.ops.cast(rows, x.dtype) / (1 - layer.rate)",
        "",
        "    layer.call = call",
        "",
        "",
        "if args.masks:  # in place of those that Keras draws",
        "    masks = np.load(args.masks)",
        NULL,
    };
    if (!python_has_type(network, LAYER_DROPOUT)) return;
    write_lines(lines, out);
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        struct layout layout = layout_of_output(network, i);
        char maps[64] = "";
        if (layer->type != LAYER_DROPOUT) continue;
        if (layout.rank == 3)
            snprintf(maps, sizeof maps, ", (%zu, %zu, %zu)", layout.sizes[0], layout.sizes[1],
                     layout.sizes[2]);
        out->layers = 1ull << i;
        code_line(out, "masks", "    use_masks(\"%s\"%s)", layer->name, maps);
    }
    out->layers = 0;
}

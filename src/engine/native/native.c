#include "engine/engine_impl.h"

#include <stdio.h>

static void probe(struct engine_probe *out)
{
    *out = (struct engine_probe){0};
    snprintf(out->missing, sizeof out->missing, "this engine is being built");
}

static int open_engine(const struct engine_config *config, struct engine **out, struct error *error)
{
    (void)config;
    *out = NULL;
    return error_set(error, ERROR_UNAVAILABLE, "this engine is being built");
}

const struct engine_ops engine_native = {.id = "native", .title = "native", .model_format = "safetensors", .colour = "#7c5cff", .probe = probe, .open = open_engine};

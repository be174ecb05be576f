#include "engine/engine.h"

#include <string.h>

#include "base/buffer.h"
#include "engine/engine_impl.h"

const struct engine_ops *const engine_table[] = {
    &engine_torch,
    &engine_tensorflow,
    &engine_native,
};
const size_t engine_table_count = sizeof engine_table / sizeof engine_table[0];

const struct engine_ops *engine_find(const char *id)
{
    for (size_t i = 0; i < engine_table_count; i++)
        if (strcmp(engine_table[i]->id, id) == 0) return engine_table[i];
    return NULL;
}

int engine_need(const char *id, const struct engine_ops **out, struct error *error)
{
    *out = engine_find(id);
    if (*out) return 0;
    struct buffer ids;
    buffer_init(&ids, 256);
    for (size_t i = 0; i < engine_table_count; i++)
        buffer_printf(&ids, "%s%s",
                      i == 0                        ? ""
                      : i + 1 == engine_table_count ? " or "
                                                    : ", ",
                      engine_table[i]->id);
    error_set(error, ERROR_USAGE, "unknown engine \"%.40s\": use %s", id,
              ids.data ? ids.data : "native");
    buffer_free(&ids);
    return -1;
}

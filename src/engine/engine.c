#include "engine/engine.h"

#include <stdio.h>
#include <string.h>

#include "engine/engine_impl.h"

const struct engine_ops *const engine_table[] = {
    &engine_torch,
    &engine_tensorflow,
    &engine_native,
};
const size_t engine_table_count = sizeof engine_table / sizeof engine_table[0];
const struct engine_ops *const engine_default = &engine_native;

const struct engine_ops *engine_find(const char *id)
{
    for (size_t i = 0; i < engine_table_count; i++)
        if (strcmp(engine_table[i]->id, id) == 0) return engine_table[i];
    return NULL;
}

const char *engine_ids(bool packaged, char out[ENGINE_IDS_SIZE])
{
    size_t count = 0, seen = 0, length = 0;
    out[0] = '\0';
    for (size_t i = 0; i < engine_table_count; i++)
        count += !packaged || engine_table[i]->package.requirement;
    for (size_t i = 0; i < engine_table_count; i++) {
        if (packaged && !engine_table[i]->package.requirement) continue;
        const char *before = seen == 0 ? "" : seen + 1 == count ? " or " : ", ";
        length += (size_t)snprintf(out + length, ENGINE_IDS_SIZE - length, "%s%s", before,
                                   engine_table[i]->id);
        CHECK(length < ENGINE_IDS_SIZE);
        seen++;
    }
    return out;
}

int engine_need(const char *id, const struct engine_ops **out, struct error *error)
{
    char ids[ENGINE_IDS_SIZE];
    *out = engine_find(id);
    if (*out) return 0;
    return error_set(error, ERROR_USAGE, "unknown engine \"%.40s\": use %s", id,
                     engine_ids(false, ids));
}

#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "registry/targets.h"

int progress_begin(struct progress *progress, const struct registry_watch *watch,
                   const char *const *titles, const json_t *journal, const char *key,
                   struct error *error)
{
    *progress = (struct progress){.watch = watch, .titles = titles};
    while (titles[progress->steps]) progress->steps++;
    const char *kept = json_string_value(json_object_get(journal, "key"));
    progress->journal = kept && strcmp(kept, key) == 0 ? json_deep_copy(journal) : json_object();
    if (!progress->journal || json_object_set_new(progress->journal, "key", json_string(key)))
        return error_set_memory(error, "the journal");
    return 0;
}

void progress_step(struct progress *progress, unsigned step)
{
    progress->step = step;
    progress_bytes(progress, 0, 0);
}

void progress_bytes(void *context, uint64_t done, uint64_t total)
{
    struct progress *progress = context;
    if (progress->watch && progress->watch->on_step)
        progress->watch->on_step(progress->watch->context, progress->step, progress->steps,
                                 progress->titles[progress->step], done, total);
}

int progress_note(struct progress *progress, const char *key, const char *value,
                  struct error *error)
{
    if (json_object_set_new(progress->journal, key, json_string(value)))
        return error_set_memory(error, "the journal");
    if (progress->watch && progress->watch->on_journal)
        progress->watch->on_journal(progress->watch->context, progress->journal);
    return 0;
}

const char *progress_noted(const struct progress *progress, const char *key)
{
    return json_string_value(json_object_get(progress->journal, key));
}

int progress_attempt(struct progress *progress, char out[64], struct error *error)
{
    const char *noted = progress_noted(progress, "attempt");
    if (noted) {
        snprintf(out, 64, "%s", noted);
        return 0;
    }
    random_hex(out, 32);
    return progress_note(progress, "attempt", out, error);
}

void progress_end(struct progress *progress)
{
    json_decref(progress->journal);
    progress->journal = NULL;
}

/* The table's entries and what targets share: for this room only. */
#ifndef NNSTUDIO_REGISTRY_TARGETS_H
#define NNSTUDIO_REGISTRY_TARGETS_H

#include "base/buffer.h"
#include "registry/registry.h"

extern const struct registry_target registry_local, registry_azure, registry_mlflow;

/* "auto" and the ids of the ways to sign in, ended by NULL. */
const char *const *azure_sign_in_choices(void);

/* Appends the version's model card: Markdown with YAML front matter, from the request's tags, its
 * run and the file's hash. */
int registry_model_card(const struct registry_request *request, const char *name,
                        const char *sha256, struct buffer *out, struct error *error);
#define REGISTRY_CARD       "README.md"
#define REGISTRY_CARD_LIMIT ((size_t)256 << 10)

/* How a format is known outside the studio: the first part of a model's usual name and its tag
 * "framework", and the library that Hugging Face would load it with. Both are the format's id for
 * one that is not in the table. */
struct registry_framework {
    const char *format, *name, *library;
};
struct registry_framework registry_framework_of(const char *format);

/* A value as a user would write it: a string as it is, a number in the fewest digits that read back
 * the same, other things as JSON; malloc'd, NULL for null. */
char *registry_value_text(const json_t *value);

/* A registration in progress: reports steps and keeps the journal. */
struct progress {
    const struct registry_watch *watch;
    const char *const *titles; /* of the steps, ended by NULL */
    unsigned step, steps;
    json_t *journal; /* owned */
};
/* `journal` (borrowed, may be NULL) is copied when its "key" equals `key`: what must be the same to
 * continue. */
int progress_begin(struct progress *progress, const struct registry_watch *watch,
                   const char *const *titles, const json_t *journal, const char *key,
                   struct error *error);
void progress_step(struct progress *progress, unsigned step);
void progress_bytes(void *progress, uint64_t done, uint64_t total);
/* Notes a text under `key` and hands the journal out. */
int progress_note(struct progress *progress, const char *key, const char *value,
                  struct error *error);
/* NULL when there is none */
const char *progress_noted(const struct progress *progress, const char *key);
/* A mark that is this registration's own, noted before anything is made, so that what an
 * interrupted try made is found again. */
int progress_attempt(struct progress *progress, char out[64], struct error *error);
void progress_end(struct progress *progress);

#endif

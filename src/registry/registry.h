/* Where trained models are deployed: one interface, three targets in a table.
 *
 * A registration is a list of named steps. Each can be taken up again: what a step found or chose
 * is kept in a journal
 * (JSON, given to on_journal after each step, before anything outside depends on it), and a second
 * registration that is
 * given the journal of an unfinished one goes on from there, so that a cut never makes a second or
 * half version. It ends by
 * reading back from the target what is there. */
#ifndef NNSTUDIO_REGISTRY_REGISTRY_H
#define NNSTUDIO_REGISTRY_REGISTRY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "registry/az_token.h"
#include "registry/web.h"

/* Where and as whom: the union of what targets need; NULL or "" for what is not given. */
struct registry_options {
    const char *home;   /* the studio's home: local models, scratch */
    const char *config; /* azure: config.json or a folder to look from */
    /* azure: instead of a file; environment else */
    const char *subscription, *resource_group, *workspace;
    const char *tracking_uri; /* mlflow: "http://127.0.0.1:5000"; $MLFLOW_TRACKING_URI else */
    const char *experiment;   /* mlflow: "nnstudio" */
    const char *ca_file;
    struct az_sign_in sign_in; /* azure */
    bool (*cancelled)(void *context);
    void *context;
};

struct registry_request {
    const char *model_path; /* the file */
    /* NULL: the target's default, pytorch_mnist or tensorflow_mnist by the format */
    const char *name;
    const char *version;     /* NULL: by the target */
    const char *description; /* NULL: none */
    const json_t *tags;      /* string → string; borrowed */
    /* the run it came from: {"settings":{…},"epochs":[…]}, or NULL; mlflow logs it */
    const json_t *run;
    const json_t *journal; /* of an unfinished registration, or NULL */
};

/* What is told while it goes on. All may be NULL. */
struct registry_watch {
    void *context;
    /* `step` from 0 below `steps`; done and total in bytes (0, 0 when it is no matter of bytes). */
    void (*on_step)(void *context, unsigned step, unsigned steps, const char *title, uint64_t done,
                    uint64_t total);
    /* To be kept before the next step begins; borrowed. */
    void (*on_journal)(void *context, const json_t *journal);
};

struct registry_target {
    const char *id, *title, *where; /* "azure", "Azure ML", "in Azure ML" */
    /* What was found, for people:
     * {"ready":bool,"place":"…","sign_in":[{"id","title","found","available","interactive"}],
     * "problem":"…"|null: what is wrong with what was given}. New reference. Asks no server. */
    json_t *(*describe)(const struct registry_options *options);
    /* Refuses what could never work (names, missing settings) before any request. */
    int (*check)(const struct registry_options *options, const struct registry_request *request,
                 struct error *error);
    /* *out: {"target","name","version","id","uri","sha256","bytes","created_at","place",
     * "link"|null,"tags":{…},"reused":bool},
     * read back from the target. New reference. */
    int (*publish)(const struct registry_options *options, const struct registry_request *request,
                   const struct registry_watch *watch, json_t **out, struct error *error);
    /* [{"name","version","sha256"|null,"created_at","tags"}], newest first. `name` NULL: each
     * model's latest version. New
     * reference. */
    int (*list)(const struct registry_options *options, const char *name, json_t **out,
                struct error *error);
    /* As publish's *out, of what is there. `version` NULL: the latest. */
    int (*show)(const struct registry_options *options, const char *name, const char *version,
                json_t **out, struct error *error);
    /* Downloads into the folder `directory` (made when missing) and checks the hash; *path
     * (malloc'd) is the file. */
    int (*pull)(const struct registry_options *options, const char *name, const char *version,
                const char *directory, char **path, struct error *error);
};

extern const struct registry_target *const registry_targets[];
extern const size_t registry_target_count;
int registry_target_need(const char *id, const struct registry_target **out, struct error *error);

/* "pytorch_mnist", "tensorflow_mnist" or "native_mnist": by the file's framework and the tag
 * "dataset". */
void registry_default_name(const struct registry_request *request, char out[128]);

#endif

/* Where trained models are registered: one interface, and a table of targets behind it.
 *
 * A registration is a list of named steps. Each can be taken up again: what a step found or chose
 * is kept in a journal (JSON, given to on_journal after each step, before anything outside depends
 * on it), and a second registration that is given the journal of an unfinished one continues from
 * there, so that an interruption never makes a second or half version. It ends by reading back from
 * the target what is there. */
#ifndef NNSTUDIO_REGISTRY_REGISTRY_H
#define NNSTUDIO_REGISTRY_REGISTRY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "run/job.h"
#include "store/store.h"

/* --- options: where, and as whom --- */

/* The rows of registry_option_table, in this order. */
enum registry_key {
    REGISTRY_CONFIG,
    REGISTRY_SUBSCRIPTION,
    REGISTRY_RESOURCE_GROUP,
    REGISTRY_WORKSPACE,
    REGISTRY_REGISTRY,
    REGISTRY_SIGN_IN,
    REGISTRY_TENANT,
    REGISTRY_CLIENT_ID,
    REGISTRY_TRACKING_URI,
    REGISTRY_EXPERIMENT,
    REGISTRY_INSECURE_HTTP,
    REGISTRY_CA_FILE,
    REGISTRY_FORM,
    REGISTRY_KEYS
};

enum registry_option_kind {
    REGISTRY_TEXT,
    REGISTRY_FILE,   /* a path on this machine */
    REGISTRY_CHOICE, /* one of a list of words, registry_choices() */
    REGISTRY_SWITCH  /* on when it has a value; true or false in JSON */
};

/* The places an option is offered in, as bits. */
enum registry_place {
    REGISTRY_ON_COMMAND_LINE = 1, /* --flag */
    REGISTRY_IN_REQUEST = 2,      /* a member of the API's requests */
    REGISTRY_ON_PAGE = 4          /* a field of the page's form */
};

/* One option: the command line's options, the requests' members and the form's fields are made from
 * these rows. Secrets have no row: they come from the environment only (registry_secret_table). */
struct registry_option {
    const char *key;    /* in JSON: "workspace_name" */
    const char *target; /* the id of the target it is for; NULL: all */
    enum registry_option_kind kind;
    unsigned places;      /* enum registry_place, combined */
    unsigned max_length;  /* bytes */
    const char *flag;     /* on the command line, without the dashes: "workspace" */
    const char *argument; /* the value's name in the help: "NAME" */
    const char *help;     /* one line */
    const char *title;    /* the form field's label */
    const char *fallback; /* the value when none is given; NULL: none */
    const char *variable; /* the environment variable that is used when it is not given, or NULL */
};
extern const struct registry_option registry_option_table[REGISTRY_KEYS];
/* The words of an option of kind REGISTRY_CHOICE, ended by NULL. */
const char *const *registry_choices(enum registry_key key);
/* {"key","kind","title","help","on_page","max_length","fallback"|null,"variable"|null,
 * "choices":[…]}
 * for each option that `place` offers for the target; new reference. */
json_t *registry_options_json(const char *target, unsigned place);

/* An environment variable that holds a secret, or the name of who holds it. */
struct registry_secret {
    const char *target, *variable, *help;
};
extern const struct registry_secret registry_secret_table[];
extern const size_t registry_secret_count;

/* What a user must do to sign in. */
struct registry_prompt {
    const char *kind; /* "device-code": open `url` and enter `code`; "browser": open `url` */
    const char *url, *code;
    int expires_in; /* seconds */
};

struct registry_options {
    const char *home; /* the studio's home: local models, scratch */
    /* by enum registry_key; NULL or "" for what is not given; borrowed */
    const char *values[REGISTRY_KEYS];
    bool (*cancelled)(void *context);
    void *context;
    /* NULL: ways to sign in that need a user are refused */
    void (*prompt)(void *context, const struct registry_prompt *prompt);
    void *prompt_context;
};
/* The option's value, else that of its environment variable, else its fallback; NULL: none. */
const char *registry_value(const struct registry_options *options, enum registry_key key);
/* Only what was given. */
const char *registry_given(const struct registry_options *options, enum registry_key key);
/* Refuses an option that was given and is not for this target, a value that is too long, and a word
 * that is not one of the choices. The message names the option as `flag` or, with `as_json`, as
 * `key`. */
int registry_options_check(const struct registry_options *options, const char *target, bool as_json,
                           struct error *error);

/* --- a registration --- */

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

/* What is reported during a registration. All may be NULL. */
struct registry_watch {
    void *context;
    /* `step` from 0 below `steps`; done and total in bytes (0, 0 when nothing is transferred). */
    void (*on_step)(void *context, unsigned step, unsigned steps, const char *title, uint64_t done,
                    uint64_t total);
    /* To be kept before the next step begins; borrowed. */
    void (*on_journal)(void *context, const json_t *journal);
};

/* --- working with what is registered --- */

/* What can be changed of a version: the rows of registry_change_table, in this order. */
enum registry_change_kind {
    REGISTRY_ALIAS,
    REGISTRY_DROP_ALIAS,
    REGISTRY_TAG,
    REGISTRY_DROP_TAG,
    REGISTRY_DESCRIPTION,
    REGISTRY_ARCHIVE,
    REGISTRY_RESTORE,
    REGISTRY_DELETE,
    REGISTRY_CHANGES
};
struct registry_change_row {
    const char *id;    /* "drop-alias" */
    const char *title; /* as in "Azure ML cannot …": "remove an alias" */
    const char *key;   /* what the key is, for messages; NULL: it takes none */
    bool value;        /* it takes a value */
};
extern const struct registry_change_row registry_change_table[REGISTRY_CHANGES];

struct registry_change {
    enum registry_change_kind kind;
    /* NULL or "": the latest; "@NAME": the one with that alias. A deletion needs a number. */
    const char *name, *version;
    const char *key, *value; /* an alias or a tag's name; a tag's value or the description */
    /* of a deletion: "NAME:VERSION", as the user typed it once more */
    const char *confirmed;
};

struct registry_target {
    const char *id, *title, *where; /* "azure", "Azure ML", "in Azure ML" */
    /* What was found, for users:
     * {"ready":bool,"place":"…","sign_in":[{"id","title","found","available","interactive"}],
     * "problem":"…"|null: what is wrong with what was given}. New reference. Asks no server. */
    json_t *(*describe)(const struct registry_options *options);
    /* Refuses what could never work (names, missing settings) before any request. */
    int (*check)(const struct registry_options *options, const struct registry_request *request,
                 struct error *error);
    /* *out: {"target","name","version","id","uri","sha256","bytes","created_at","place",
     * "link"|null,"tags":{…},"aliases":[…],"description"|null,"archived":bool},
     * read back from the target. New reference. */
    int (*publish)(const struct registry_options *options, const struct registry_request *request,
                   const struct registry_watch *watch, json_t **out, struct error *error);
    /* [{"name","version","sha256"|null,"created_at","tags"}], newest first. `name` NULL: each
     * model's latest version. New reference. */
    int (*list)(const struct registry_options *options, const char *name, json_t **out,
                struct error *error);
    /* As publish's *out, of what is there. `version` NULL: the latest. */
    int (*show)(const struct registry_options *options, const char *name, const char *version,
                json_t **out, struct error *error);
    /* Downloads into the folder `directory` (made when missing) and checks the hash; *path
     * (malloc'd) is the file. */
    int (*pull)(const struct registry_options *options, const char *name, const char *version,
                const char *directory, char **path, struct error *error);
    unsigned changes; /* what it can: bit 1 << kind */
    /* One of those, of an exact version. Doing it twice is as doing it once. */
    int (*change)(const struct registry_options *options, const struct registry_change *change,
                  struct error *error);
};

extern const struct registry_target *const registry_targets[];
extern const size_t registry_target_count;
int registry_target_need(const char *id, const struct registry_target **out, struct error *error);
/* Where a user's word leads: a target's id, or "azureml://registries/NAME", which is the target
 * "azure" with NAME as its option REGISTRY_REGISTRY. *registry is borrowed from `word`, NULL for an
 * id. */
int registry_place_need(const char *word, const struct registry_target **out, const char **registry,
                        struct error *error);

/* Changes a version; refuses by name what the target cannot do, and a deletion that was not
 * confirmed. *out is the version as it is then, a new reference; NULL after a deletion. */
int registry_change(const struct registry_target *target, const struct registry_options *options,
                    const struct registry_change *change, json_t **out, struct error *error);
/* Two versions side by side: {"a","b": as show() tells them, "same_file":bool,
 * "runs_known":bool: the settings and metrics of both runs are in the store,
 * "differences":[{"group":"file"|"tag"|"setting"|"metric","key","a"|null,"b"|null}]}. `store` may
 * be NULL. */
int registry_compare(const struct registry_target *target, const struct registry_options *options,
                     struct store *store, const char *name, const char *a, const char *b,
                     json_t **out, struct error *error);

/* "pytorch_mnist", "tensorflow_mnist" or "native_mnist": by the file's framework and the tag
 * "dataset". */
void registry_default_name(const struct registry_request *request, char out[128]);

/* *tags (a new reference, string → string): framework, format, parameters, sha256, and what the
 * studio wrote into the file when it was trained: dataset, epochs, accuracy, run. */
int registry_describe_model(const char *path, json_t **tags, struct error *error);

/* --- the history --- */

/* A registration that the store keeps: what to register, where, and for whom to retry it. */
struct registry_job {
    struct store *store;
    const char *run;   /* an id, or NULL: the one that the tag "run" names */
    const json_t *ask; /* kept as "data.request", for a retry; holds no secret; may be NULL */
    const struct registry_target *target;
    const struct registry_options *options;
    const struct registry_watch *watch; /* may be NULL */
};
/* Publishes as target->publish() does; the store keeps the registration and its journal, so that
 * one that was interrupted is taken up again by the next try. `request`'s run and journal are
 * filled in here; a run that the store knows gives its settings and epochs. The same file under the
 * same name is registered with a target once at a time: ERROR_CONFLICT meanwhile. */
int registry_record_publish(const struct registry_job *job, struct registry_request *request,
                            json_t **out, struct error *error);

/* Rows of store_registration_list() that say "running" although their process has ended become
 * "failed", with that as their error. */
void registry_record_tell_cut(const char *home, json_t *rows);

/* Downloads a version once: later calls find the file, by its hash, in HOME/models. *path is
 * malloc'd, *found (may be NULL) what show() says, a new reference. */
int registry_cached(const struct registry_target *target, const struct registry_options *options,
                    const char *name, const char *version, char **path, json_t **found,
                    struct error *error);

/* --- Azure ML's workspaces and sign-in --- */

/* The subscriptions and workspaces the user may see, for choosers:
 * [{"subscription_id","resource_group","workspace_name","location"}]; new reference. */
int registry_workspaces(const struct registry_options *options, json_t **out, struct error *error);
/* Reads a config.json and checks what it names; nothing is kept. */
int registry_workspace_check(const char *file, struct error *error);
/* A user's last sign-in stays in this process's memory: whether there is one (its way in `method`),
 * and forgetting it. */
bool registry_signed_in(char method[32]);
void registry_sign_out(void);

/* --- tracking: a run's parameters, metrics and model at an MLflow server --- */

/* A run is followed from outside, by what the store knows of it: a slow or lost server costs the
 * training nothing. What was sent is noted in the run's folder (tracking.json), so that the rest
 * can be sent later, once, by anybody. */
struct registry_tracking {
    struct store *store;
    const struct registry_options *options;
    const char *run;
    bool follow; /* until the run ends; else only one that has ended is sent */
    /* Told, as registry_track_told() tells it, when it has changed; may be NULL. */
    void (*on_change)(void *context, const json_t *state);
    void *context;
};
/* Refuses an address that no MLflow server can have. Asks no server. */
int registry_track_check(const struct registry_options *options, struct error *error);
/* Whether an MLflow server answers there, and lets this user in; asked once, for some seconds. */
int registry_track_reach(const struct registry_options *options, struct error *error);
/* Notes that a run is to be sent, before anything is: whoever finds it later knows where to. */
int registry_track_plan(const struct registry_options *options, const char *run,
                        struct error *error);
/* Sends what was not sent yet. *out, also after a failure, unless it is NULL then: as
 * registry_track_told(); new reference. */
int registry_track(const struct registry_tracking *tracking, json_t **out, struct error *error);
/* Sends the runs in `options->home` that have ended and that the server at `uri` has not got whole.
 * One that fails is left for later. */
void registry_track_rest(struct store *store, const struct registry_options *options,
                         const char *uri);
/* What registry_track() noted last of a run; NULL when it was never tracked. New reference. */
json_t *registry_track_state(const char *home, const char *run);
/* Fills in what was not given with what was noted; borrowed from `state`. */
void registry_track_options(const json_t *state, struct registry_options *options);
/* {"run","state": off, sending, waiting (the rest is sent later) or sent,"uri"|null,"link"|null,
 * "steps": sent,"all_steps","complete":bool,"problem"|null: why the server has not got it all,
 * "model_problem"|null: why it has no model}. New reference. */
json_t *registry_track_told(const char *home, const char *run);
/* The ids of the runs in `home` that are not sent whole. New reference. */
json_t *registry_track_pending(const char *home);

/* --- Azure ML's own files --- */

/* What Azure ML's command line makes of a model file: see registry_export_azureml(). */
struct registry_export {
    const char *model_path, *name; /* name NULL: registry_default_name() */
    const char *description;       /* may be NULL */
    const json_t *tags;            /* of registry_describe_model(); borrowed */
    const char *endpoint;          /* NULL: made of the name and the file's hash */
    const char *instance_type;
    uint32_t instances;
    /* The training job; NULL: none is written. Its engine names the framework that trains. */
    const struct job *job;
    const char *engine_version; /* that trained the model, or NULL */
    const char *data;    /* the job's: a folder of this machine or an Azure ML address, which holds
                          * the data set's folder */
    const char *compute; /* the job's cluster; NULL: serverless, by instance_type */
};
#define REGISTRY_MAX_INSTANCES 20
/* Writes the new folder `directory`: model.yml, environment.yml, endpoint.yml, deployment.yml and,
 * with a job, job.yml (Azure ML CLI v2), and the files that they name. The same arguments give the
 * same bytes. All or nothing. */
int registry_export_azureml(const struct registry_export *export, const char *directory,
                            struct error *error);

/* --- online endpoints: a registered version that Azure ML serves --- */

#define REGISTRY_INSTANCE_TYPE "Standard_DS3_v2"

/* What is sent to an endpoint to test it. All NULL: the first test sample of the data set that the
 * model was trained on, or a blank one when that is not here. */
struct registry_sample {
    const char *image;   /* a picture's file */
    const uint8_t *gray; /* a drawing [height, width], 255 is ink */
    uint32_t width, height;
    const char *data_dir; /* a folder with one folder per data set, or NULL */
};

struct registry_deployment {
    const char *model, *version;          /* registered in Azure ML; version NULL: the latest */
    const char *endpoint;                 /* NULL: the model's name and six random digits */
    const char *instance_type;            /* NULL: REGISTRY_INSTANCE_TYPE */
    uint32_t instances;                   /* 0: one */
    const struct registry_sample *sample; /* NULL: as one that is all NULL */
    /* Asked before anything is made: {"endpoint","model","version","workspace","instance_type",
     * "instances","resumes":bool}. -1 with an error stops. NULL: agreed. */
    int (*agree)(void *context, const json_t *plan, struct error *error);
    /* The container's last lines, when a deployment fails; may be NULL. */
    void (*on_logs)(void *context, const char *text);
    void *context;
};
/* Makes the endpoint and its deployment, sends it the traffic and tests it. Each step can be taken
 * up again: the same call goes on with what an interrupted or failed one has made, which
 * HOME/endpoints notes before it is made. *out: {"endpoint","model","version","scoring_uri",
 * "instance_type","instances","workspace","test": as registry_endpoint_test() tells it}. */
int registry_endpoint_create(const struct registry_options *options,
                             const struct registry_deployment *deployment,
                             const struct registry_watch *watch, json_t **out, struct error *error);
/* All endpoints of the workspace, and those that this home made or began elsewhere: [{"endpoint",
 * "state","workspace","model"|null,"version"|null,"made_here":bool,"scoring_uri"|null,
 * "deployments":[{"name","state","instance_type","instances","traffic"}],"billed": instances}]. */
int registry_endpoint_list(const struct registry_options *options, json_t **out,
                           struct error *error);
/* Asks the endpoint, and the same file on this machine. *out: {"endpoint","sample","class",
 * "class_name","probabilities":[…],"expected_class","max_difference","same":bool,"milliseconds",
 * "picture":[codes], "rows", "columns", "channels"}. */
int registry_endpoint_test(const struct registry_options *options, const char *endpoint,
                           const struct registry_sample *sample, json_t **out, struct error *error);
/* The last lines of its container; malloc'd. */
int registry_endpoint_logs(const struct registry_options *options, const char *endpoint,
                           char **text, struct error *error);
/* Deletes it with its deployments and waits until it is gone. */
int registry_endpoint_delete(const struct registry_options *options, const char *endpoint,
                             struct error *error);

/* --- training on a cluster of Azure ML: a command job is sent once, followed to its end, and the
 * run and its model are brought here --- */

/* What stands in the command for the folder whose content comes back: home/ with the run, and the
 * model in model/. */
#define REGISTRY_JOB_FOLDER "${{outputs.run}}"

struct registry_cluster_job {
    const char *name;      /* its job's name begins so */
    const char *command;   /* what every rank runs */
    const char *image;     /* a container image */
    const char *compute;   /* a compute cluster of the workspace */
    uint32_t nodes, ranks; /* ranks per node */
    unsigned seconds;      /* that it may take; 0: the cluster's own limit */
    bool another;          /* send it even if the same is under way */
    void *context;
    /* Asked before it is sent: {"job","workspace","compute","nodes","ranks","resumes":bool}. NULL:
     * yes. */
    int (*agree)(void *context, const json_t *plan, struct error *error);
    /* Each state that Azure tells ("Queued", "Running", …), once; and where the job is shown. */
    void (*on_state)(void *context, const char *state, const char *link);
};

/* Sends the job, or takes up the same one that this home sent and did not see the end of: it is
 * never sent twice, wherever this is cut. Then as registry_job_follow(). */
int registry_job_submit(const struct registry_options *options,
                        const struct registry_cluster_job *job, const struct registry_watch *watch,
                        json_t **out, struct error *error);
/* Waits for the end of a job that this home sent, and puts its run into the list of runs. *out:
 * {"job","state","run"|null,"model"|null,"link"}, a new reference. A job that failed or was
 * canceled is ERROR_FAILED; what it left of its run is here then. `job`: on_state and context. */
int registry_job_follow(const struct registry_options *options, const char *name,
                        const struct registry_cluster_job *job, const struct registry_watch *watch,
                        json_t **out, struct error *error);
int registry_job_cancel(const struct registry_options *options, const char *name,
                        struct error *error);
/* Those that this home sent, as its journals tell: [{"job","workspace_name","compute","nodes",
 * "ranks","state","run"|null}]; new reference. Asks no server. */
int registry_job_list(const struct registry_options *options, json_t **out, struct error *error);

#endif

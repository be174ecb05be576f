/* A command job, sent once: its name is in the journal before Azure hears of it, and what is there
 * under that name is looked at before it is sent. Then its status is asked for until it ends. */
#include "registry/azure/job.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/js.h"
#include "base/random.h"
#include "registry/azure/endpoint.h"
#include "registry/targets.h"

#define ENVIRONMENT   "nnstudio-job"
#define SENDING       "sending"
#define SENT          "sent"
#define USUAL_PAUSE   5.0 /* seconds between two looks, when the service does not say */
#define LONGEST_PAUSE 60.0

enum { STEP_FIND, STEP_ENVIRONMENT, STEP_SEND, STEP_FOLLOW, STEP_RESULTS };
static const char *const step_titles[] = {"Find the workspace and the compute cluster",
                                          "Register the environment",
                                          "Send the job",
                                          "Follow the job to its end",
                                          "Bring the run and its model here",
                                          NULL};

/* One job on its way. */
struct sending {
    const struct registry_options *options;
    const struct registry_cluster_job *of;
    struct az_connection *connection;
    struct progress progress;
    struct az_journal journal;
    char name[AZ_JOB_LIMIT + 1], fingerprint[HASH_HEX_SIZE];
    char environment[ARM_ID_SIZE];
    char state[40]; /* the last that was told */
};

static const char *noted(const struct sending *own, const char *key)
{
    return js_text(own->journal.data, key);
}

static void job_path(const struct sending *own, const char *rest, char out[256])
{
    snprintf(out, 256, "/jobs/%.120s%s", own->name, rest);
}

/* --- which job --- */

/* What makes two the same: all that is sent, but its name. */
static void find_fingerprint(struct sending *own)
{
    char text[16384];
    const struct registry_cluster_job *of = own->of;
    snprintf(text, sizeof text, "%s\n%s\n%s\n%u %u %u\n%s", of->command, of->image, of->compute,
             of->nodes, of->ranks, of->seconds, of->name);
    hash_bytes(text, strlen(text), own->fingerprint);
}

static bool is_over(const char *state)
{
    return strcmp(state, SENDING) != 0 && strcmp(state, SENT) != 0;
}

/* The same job, that this home has begun to send and has not seen the end of. */
static int find_begun(struct sending *own, struct error *error)
{
    json_t *list, *entry;
    size_t i;
    if (az_journal_list(own->options->home, &az_jobs, &list, error)) return -1;
    json_array_foreach(list, i, entry)
        if (az_journal_in(entry, &own->connection->arm.workspace) &&
            strcmp(js_text(entry, "fingerprint"), own->fingerprint) == 0 &&
            !is_over(js_text(entry, "state")) && !own->of->another)
            snprintf(own->name, sizeof own->name, "%s", js_text(entry, "job"));
    json_decref(list);
    return 0;
}

/* Letters, digits, '-' and '_' only, and digits that make it the workspace's only one. */
static void choose_name(struct sending *own)
{
    char digits[8] = "";
    random_hex(digits, 6);
    snprintf(own->name, sizeof own->name, "%.100s-%s", own->of->name, digits);
    for (char *c = own->name; *c; c++)
        if (*c == '.') *c = '-';
}

static int begin_journal(struct sending *own, struct error *error)
{
    const struct az_workspace *workspace = &own->connection->arm.workspace;
    const struct registry_cluster_job *of = own->of;
    char mark[33] = "";
    random_hex(mark, 32);
    json_t *data = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:s, s:I}", "job", own->name,
        "subscription_id", workspace->subscription, "resource_group", workspace->resource_group,
        "workspace_name", workspace->name, "fingerprint", own->fingerprint, "command", of->command,
        "compute", of->compute, "nodes", (json_int_t)of->nodes, "ranks", (json_int_t)of->ranks,
        "mark", mark, "datastore", own->connection->datastore, "state", SENDING, "begun_at",
        (json_int_t)clock_wall_ms());
    if (!data) return error_set_memory(error, "the journal");
    json_decref(own->journal.data);
    own->journal.data = data;
    return 0;
}

static int open_journal(struct sending *own, struct error *error)
{
    return az_journal_open(own->options->home, &az_jobs, &own->connection->arm.workspace, own->name,
                           &own->journal, error);
}

static int agree(const struct sending *own, bool resumes, struct error *error)
{
    if (!own->of->agree) return 0;
    json_t *plan = json_pack("{s:s, s:s, s:s, s:I, s:I, s:b}", "job", own->name, "workspace",
                             own->connection->arm.workspace.name, "compute", own->of->compute,
                             "nodes", (json_int_t)own->of->nodes, "ranks",
                             (json_int_t)own->of->ranks, "resumes", (int)resumes);
    int status = plan ? own->of->agree(own->of->context, plan, error)
                      : error_set_memory(error, "a plan");
    json_decref(plan);
    return status;
}

static int check_compute(struct sending *own, struct error *error)
{
    char path[320];
    struct arm_answer answer;
    snprintf(path, sizeof path, "/computes/%.255s", own->of->compute);
    if (arm_call(&own->connection->arm,
                 &(struct arm_request){
                     .path = path, .may_be_absent = true, .what = "looking for the cluster"},
                 &answer, error))
        return -1;
    const char *type = js_text(json_object_get(answer.body, "properties"), "computeType");
    int status = 0;
    if (!answer.body)
        status = error_set(error, ERROR_NOT_FOUND,
                           "the workspace %s has no compute cluster \"%.60s\": see its name in "
                           "Azure ML under Compute",
                           own->connection->arm.workspace.name, own->of->compute);
    else if (strcmp(type, "AmlCompute") != 0)
        status = error_set(error, ERROR_INPUT,
                           "\"%.60s\" is of the type %.40s: name a compute cluster (AmlCompute)",
                           own->of->compute, *type ? type : "unknown");
    json_decref(answer.body);
    return status;
}

static int find(struct sending *own, struct error *error)
{
    progress_step(&own->progress, STEP_FIND);
    find_fingerprint(own);
    if (az_connection_check(own->connection, error) ||
        az_connection_may(own->connection, "jobs/write", error) || find_begun(own, error))
        return -1;
    bool resumes = *own->name != '\0';
    if (!resumes) {
        choose_name(own);
        if (check_compute(own, error) || az_connection_datastore(own->connection, NULL, error))
            return -1;
    }
    if (open_journal(own, error)) return -1;
    if (!json_object_size(own->journal.data) && begin_journal(own, error)) return -1;
    return agree(own, resumes, error) || az_journal_write(&own->journal, error) ? -1 : 0;
}

/* --- sending --- */

/* A version is named by its image, so one that is there is the same. */
static int put_environment(struct sending *own, struct error *error)
{
    char path[128], hex[HASH_HEX_SIZE];
    struct arm_answer answer;
    progress_step(&own->progress, STEP_ENVIRONMENT);
    hash_bytes(own->of->image, strlen(own->of->image), hex);
    snprintf(path, sizeof path, "/environments/" ENVIRONMENT "/versions/%.12s", hex);
    if (arm_call(&own->connection->arm,
                 &(struct arm_request){
                     .path = path, .may_be_absent = true, .what = "looking for the environment"},
                 &answer, error))
        return -1;
    int status = 0;
    if (!answer.body) {
        json_t *body = json_pack("{s:{s:s, s:s}}", "properties", "image", own->of->image, "osType",
                                 "Linux");
        status = arm_call(
            &own->connection->arm,
            &(struct arm_request){
                .method = "PUT", .path = path, .body = body, .what = "registering the environment"},
            &answer, error);
        json_decref(body);
    }
    if (!status)
        snprintf(own->environment, sizeof own->environment, "%s", js_text(answer.body, "id"));
    json_decref(answer.body);
    return status;
}

/* The API's form of the command job that `nnstudio job azureml` writes. */
static json_t *job_body(const struct sending *own)
{
    char workspace[ARM_ID_SIZE], compute[ARM_ID_SIZE + 300], place[400], limit[32];
    const struct registry_cluster_job *of = own->of;
    arm_workspace_id(&own->connection->arm, workspace);
    snprintf(compute, sizeof compute, "%s/computes/%.255s", workspace, of->compute);
    snprintf(place, sizeof place, "azureml://datastores/%.127s/paths/" AZ_JOB_PLACE "/%s/",
             noted(own, "datastore"), own->name);
    json_t *properties = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:{s:s, s:i}, s:{s:i, s:{}}, s:{s:{s:s, s:s, s:s}}, s:b, "
        "s:{}, s:{s:s, s:s}}",
        "jobType", "Command", "displayName", of->name, "experimentName", "nnstudio", "command",
        of->command, "environmentId", own->environment, "computeId", compute, "distribution",
        "distributionType", "Mpi", "processCountPerInstance", (int)of->ranks, "resources",
        "instanceCount", (int)of->nodes, "properties", "outputs", "run", "jobOutputType",
        "uri_folder", "mode", "Upload", "uri", place, "isArchived", 0, "properties", "tags", "made",
        "nnstudio", AZ_MARK_TAG, noted(own, "mark"));
    if (properties && of->seconds) {
        snprintf(limit, sizeof limit, "PT%uS", of->seconds);
        json_object_set_new(properties, "limits",
                            json_pack("{s:s, s:s}", "jobLimitsType", "Command", "timeout", limit));
    }
    return json_pack("{s:o}", "properties", properties);
}

static int look(struct sending *own, bool may_be_absent, struct arm_answer *answer,
                struct error *error)
{
    char path[256];
    job_path(own, "", path);
    return arm_call(&own->connection->arm,
                    &(struct arm_request){
                        .path = path, .may_be_absent = may_be_absent, .what = "asking for the job"},
                    answer, error);
}

static int send_job(struct sending *own, struct error *error)
{
    char path[256];
    struct arm_answer answer;
    if (strcmp(noted(own, "state"), SENDING) != 0) return 0;
    if (look(own, true, &answer, error)) return -1;
    const json_t *tags = json_object_get(json_object_get(answer.body, "properties"), "tags");
    bool there = answer.body != NULL,
         ours = strcmp(js_text(tags, AZ_MARK_TAG), noted(own, "mark")) == 0;
    json_decref(answer.body);
    if (there && !ours)
        return error_set(error, ERROR_CONFLICT,
                         "the workspace has a job %s that was not sent from here: try again",
                         own->name);
    if (!there) {
        if (put_environment(own, error)) return -1;
        progress_step(&own->progress, STEP_SEND);
        json_t *body = job_body(own);
        job_path(own, "", path);
        int status = body ? arm_call(&own->connection->arm,
                                     &(struct arm_request){.method = "PUT",
                                                           .path = path,
                                                           .body = body,
                                                           .what = "sending the job"},
                                     &answer, error)
                          : error_set_memory(error, "a request");
        json_decref(body);
        if (status) return -1;
        json_decref(answer.body);
    }
    return az_journal_note(&own->journal, "state", SENT, error);
}

/* --- following --- */

static void tell_state(struct sending *own, const json_t *properties)
{
    const char *state = js_text(properties, "status");
    const json_t *studio = json_object_get(json_object_get(properties, "services"), "Studio");
    if (strcmp(state, own->state) == 0) return;
    snprintf(own->state, sizeof own->state, "%s", state);
    if (own->of && own->of->on_state)
        own->of->on_state(own->of->context, own->state, js_text(studio, "endpoint"));
}

/* The states it does not leave again; any other word means that it goes on. */
static bool has_ended(const char *state)
{
    static const char *const ends[] = {"Completed", "Failed", "Canceled"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (strcmp(state, ends[i]) == 0) return true;
    return false;
}

static int follow(struct sending *own, struct error *error)
{
    progress_step(&own->progress, STEP_FOLLOW);
    for (double usual = USUAL_PAUSE;; usual = usual < LONGEST_PAUSE / 2 ? 1.5 * usual : usual) {
        struct arm_answer answer;
        if (look(own, true, &answer, error)) return -1;
        if (!answer.body)
            return error_set(error, ERROR_NOT_FOUND,
                             "the workspace has no job %s anymore: it was deleted", own->name);
        const json_t *properties = json_object_get(answer.body, "properties");
        const char *link = js_text(
            json_object_get(json_object_get(properties, "services"), "Studio"), "endpoint");
        if (*link) json_object_set_new(own->journal.data, "link", json_string(link));
        tell_state(own, properties);
        json_decref(answer.body);
        if (has_ended(own->state)) return 0;
        if (web_wait(own->connection->web, answer.pause >= 0 ? answer.pause : usual, error))
            return -1;
    }
}

/* The state, the run and the model; a failure is told once what it left is here. */
static int finish(struct sending *own, json_t **out, struct error *error)
{
    char *run = NULL, *model = NULL;
    const char *link = noted(own, "link");
    progress_step(&own->progress, STEP_RESULTS);
    int status = az_job_results(own->connection, own->options, own->name, noted(own, "datastore"),
                                progress_bytes, &own->progress, &run, &model, error);
    if (!status) {
        json_object_set_new(own->journal.data, "run", run ? json_string(run) : json_null());
        status = az_journal_note(&own->journal, "state", own->state, error);
    }
    if (!status && strcmp(own->state, "Completed") != 0)
        status = error_set(error, ERROR_FAILED, "the job %s ended as %s%s%s%s%s", own->name,
                           own->state, run ? "; what it had trained is the run " : "",
                           run ? run : "", *link ? "; see why at " : "", link);
    if (!status && !run)
        status = error_set(error, ERROR_FAILED,
                           "the job %s is completed and has left no run: look at its output in "
                           "Azure ML%s%s",
                           own->name, *link ? ", " : "", link);
    if (!status)
        *out = json_pack("{s:s, s:s, s:s, s:s?, s:s?}", "job", own->name, "state", own->state,
                         "run", run, "model", model, "link", *link ? link : NULL);
    free(run);
    free(model);
    return status;
}

/* What goes on without this process. */
static void tell_rest(const struct sending *own, struct error *error)
{
    char before[sizeof error->message];
    if (!*noted(own, "state") || is_over(noted(own, "state"))) return;
    snprintf(before, sizeof before, "%s", error->message);
    if (strcmp(noted(own, "state"), SENDING) == 0)
        error_set(error, error->code, "%.600s; the same command goes on with the job %s", before,
                  own->name);
    else
        error_set(error, error->code,
                  "%.600s; the job %s goes on in Azure: `nnstudio job follow %s` waits for it, "
                  "`nnstudio job cancel %s` ends it",
                  before, own->name, own->name, own->name);
}

static int end(struct sending *own, int status, struct error *error)
{
    if (status) tell_rest(own, error);
    progress_end(&own->progress);
    az_journal_close(&own->journal);
    az_connection_close(own->connection);
    return status;
}

int registry_job_submit(const struct registry_options *options,
                        const struct registry_cluster_job *job, const struct registry_watch *watch,
                        json_t **out, struct error *error)
{
    struct sending own = {.options = options, .of = job, .journal = {.lock = -1}};
    *out = NULL;
    int status = progress_begin(&own.progress, watch, step_titles, NULL, "job", error) ||
                         az_connection_open(options, true, &own.connection, error) ||
                         find(&own, error) || send_job(&own, error) || follow(&own, error) ||
                         finish(&own, out, error)
                     ? -1
                     : 0;
    return end(&own, status, error);
}

static int take_name(struct sending *own, const char *name, struct error *error)
{
    snprintf(own->name, sizeof own->name, "%.*s", AZ_JOB_LIMIT, name);
    if (strlen(name) <= AZ_JOB_LIMIT && !az_model_name_check(name, error)) return 0;
    return error_set(error, ERROR_USAGE, "\"%.60s\" is not the name of a job", name);
}

/* The journal of a job that this home sent. */
static int open_known(struct sending *own, const char *name, struct error *error)
{
    if (take_name(own, name, error) ||
        az_connection_open(own->options, true, &own->connection, error) || open_journal(own, error))
        return -1;
    if (json_object_size(own->journal.data)) return 0;
    return error_set(error, ERROR_NOT_FOUND,
                     "no job %s was sent from here to the workspace %s: see `nnstudio job list`",
                     own->name, own->connection->arm.workspace.name);
}

int registry_job_follow(const struct registry_options *options, const char *name,
                        const struct registry_cluster_job *job, const struct registry_watch *watch,
                        json_t **out, struct error *error)
{
    struct sending own = {.options = options, .of = job, .journal = {.lock = -1}};
    *out = NULL;
    int status = progress_begin(&own.progress, watch, step_titles, NULL, "job", error) ||
                         open_known(&own, name, error)
                     ? -1
                     : 0;
    if (!status && strcmp(noted(&own, "state"), SENDING) == 0)
        status = error_set(error, ERROR_CONFLICT, "the job %s was not sent to its end", own.name);
    if (!status) status = follow(&own, error) || finish(&own, out, error) ? -1 : 0;
    return end(&own, status, error);
}

int registry_job_cancel(const struct registry_options *options, const char *name,
                        struct error *error)
{
    struct sending own = {.options = options};
    struct arm_answer answer = {0};
    char path[256];
    /* without the lock: who follows it may go on, and sees its end */
    int status = az_connection_open(options, true, &own.connection, error);
    if (!status) status = take_name(&own, name, error) || look(&own, true, &answer, error);
    if (!status && !answer.body)
        status = error_set(error, ERROR_NOT_FOUND, "the workspace %s has no job %s",
                           own.connection->arm.workspace.name, own.name);
    const char *state = js_text(json_object_get(answer.body, "properties"), "status");
    if (!status && has_ended(state))
        status = error_set(error, ERROR_CONFLICT, "the job %s is over already: it is %s", own.name,
                           state);
    json_decref(answer.body);
    answer.body = NULL;
    job_path(&own, "/cancel", path);
    if (!status)
        status = arm_call(
            &own.connection->arm,
            &(struct arm_request){.method = "POST", .path = path, .what = "canceling the job"},
            &answer, error);
    json_decref(answer.body);
    az_connection_close(own.connection);
    return status ? -1 : 0;
}

int registry_job_list(const struct registry_options *options, json_t **out, struct error *error)
{
    static const char *const shown[] = {"job",   "workspace_name", "compute", "nodes",
                                        "ranks", "state",          "run"};
    json_t *journals, *entry;
    size_t i;
    *out = json_array();
    if (!*out) return error_set_memory(error, "a list");
    if (az_journal_list(options->home, &az_jobs, &journals, error)) {
        json_decref(*out);
        *out = NULL;
        return -1;
    }
    json_array_foreach(journals, i, entry) {
        json_t *row = json_object();
        for (size_t k = 0; k < sizeof shown / sizeof shown[0]; k++) {
            json_t *value = json_object_get(entry, shown[k]);
            json_object_set(row, shown[k], value ? value : json_null());
        }
        json_array_append_new(*out, row);
    }
    json_decref(journals);
    return 0;
}

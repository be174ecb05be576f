#include "run/rank.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/js.h"
#include "base/log.h"
#include "run/setup.h"

/* Jobs and networks as text. */
#define TEXT_LIMIT ((size_t)1 << 20)

/* Tells all ranks a value, which is consumed; `what` names it. */
static int share_json(struct ranks *ranks, json_t *value, const char *what, struct error *error)
{
    char *text = value ? js_dump(value) : NULL, *copy = NULL;
    int status = text ? ranks_share_text(ranks, text, TEXT_LIMIT, &copy, error)
                      : error_set_memory(error, what);
    json_decref(value);
    free(copy);
    free(text);
    return status;
}

int rank_share_job(const struct job *job, struct ranks **out, struct error *error)
{
    *out = NULL;
    if (ranks_join(out, error)) return -1;
    if (ranks_size(*out) != job->ranks)
        return error_set(error, ERROR_FAILED,
                         "the launcher started %u ranks, and MPI joined %u: is the module built "
                         "for this launcher's MPI? (%s)",
                         job->ranks, ranks_size(*out), ranks_library(*out));
    return share_json(*out, job_to_json(job), "the job", error);
}

int rank_agree_on_data(struct ranks *ranks, int status, const char sha256[], struct error *error)
{
    return ranks_agree(ranks, status, "SHA-256 of its data", sha256, error);
}

uint32_t rank_threads(uint32_t usual)
{
    struct launch launch;
    struct error ignored;
    if (launch_read(&launch, &ignored)) return usual;
    return usual > launch.local_size ? usual / launch.local_size : 1;
}

int rank_lead(struct ranks *ranks, int status, const struct network *network,
              struct engine **engine, struct error *error)
{
    struct engine *leading;
    if (ranks_agree(ranks, status, "state", "", error) ||
        share_json(ranks, network_to_json(network), "the network", error) ||
        ranks_agree(ranks, 0, "state", "", error) || ranks_lead(ranks, *engine, &leading, error))
        return -1;
    *engine = leading;
    return 0;
}

/* ---- the others ---- */

struct follower {
    struct ranks *ranks;
    struct job job;
    struct dataset *dataset;
    struct network network;
    struct parameters *parameters; /* the leader's come later */
    struct engine *engine;
};

static int receive_json(struct follower *self, json_t **out, struct error *error)
{
    char *text;
    *out = NULL;
    if (ranks_share_text(self->ranks, NULL, TEXT_LIMIT, &text, error)) return -1;
    int status = js_parse_object(text, strlen(text), "what rank 0 sent", out, error);
    free(text);
    return status;
}

static int receive_job(struct follower *self, struct error *error)
{
    json_t *value;
    job_init(&self->job);
    if (receive_json(self, &value, error)) return -1;
    int status = job_from_json(value, &self->job, error);
    json_decref(value);
    return status;
}

/* Each rank reads the data by itself, from the same path. */
static int open_data(struct follower *self, struct error *error)
{
    char sha256[HASH_HEX_SIZE] = "";
    int status = setup_dataset(&self->job, &self->dataset, error);
    if (!status) status = dataset_hash(self->dataset, sha256, error);
    return rank_agree_on_data(self->ranks, status, sha256, error);
}

static int open_engine(struct follower *self, struct error *error)
{
    const struct engine_ops *ops;
    const struct job *job = &self->job;
    if (engine_need(job->engine, &ops, error) ||
        parameters_create(&self->network, job->dtype, &self->parameters, error))
        return -1;
    uint32_t threads = job->threads ? job->threads : rank_threads(engine_default_threads(ops));
    return setup_engine(job, ops, threads, &self->network, self->dataset, self->parameters,
                        &self->engine, error);
}

static int follow(struct follower *self, struct error *error)
{
    json_t *network;
    /* rank 0 opens its engine while the others wait to agree */
    if (receive_job(self, error) || open_data(self, error) ||
        ranks_agree(self->ranks, 0, "state", "", error) || receive_json(self, &network, error))
        return -1;
    int status = network_from_json(network, &self->network, error) || open_engine(self, error);
    json_decref(network);
    if (ranks_agree(self->ranks, status, "state", "", error)) return -1;
    return ranks_follow(self->ranks, self->engine, error);
}

int rank_follow_main(void)
{
    struct error error;
    struct follower self = {0};
    /* A stop is rank 0's to hear: the others go on until it lets them go. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    if (ranks_join(&self.ranks, &error)) {
        log_error(&error);
        return 1;
    }
    follow(&self, &error);
    /* What fails is rank 0's to say, in the run's own words, and the launcher shall wait for it. */
    return ranks_leave(self.ranks) ? 1 : 0;
}

/* One MLflow run on its way: what registering and tracking share. For this folder only. */
#ifndef NNSTUDIO_REGISTRY_MLFLOW_REGISTRATION_H
#define NNSTUDIO_REGISTRY_MLFLOW_REGISTRATION_H

#include "base/hash.h"
#include "modelfile/modelfile.h"
#include "registry/mlflow/server.h"
#include "registry/targets.h"

#define MLFLOW_METRICS_PER_CALL 1000 /* MLflow's limits */
#define MLFLOW_PARAMS_PER_CALL  100

struct mlflow_registration {
    const struct registry_request *request;
    const struct registry_options *options;
    struct mlflow_server server;
    struct progress progress;
    struct model *model;
    char *data;
    size_t size;
    char sha256[HASH_HEX_SIZE]; /* of the file; "" while there is none */
    char name[MLFLOW_NAME_SIZE], experiment[64], attempt[64], run_id[64], artifact_uri[512],
        version[64];
};

/* Finds the experiment or makes it. One whose artifacts the server leaves to clients cannot take
 * the model's folder: it is refused before anything else is made, and removed if it was made
 * here. */
int mlflow_find_experiment(struct mlflow_server *server, const char *name, char id[64],
                           struct error *error);
/* Makes the run, or finds the one that an earlier try with this journal made. */
int mlflow_start_run(struct mlflow_registration *own, struct error *error);
/* Takes both lists. */
int mlflow_send_batch(struct mlflow_registration *own, json_t *metrics, json_t *params,
                      struct error *error);
/* Settings as parameters; the figures of an epoch as metrics of that step. New references. */
json_t *mlflow_params(const json_t *settings);
void mlflow_add_epoch(json_t *metrics, const json_t *epoch, json_int_t at);
/* The model's folder as the run's artifact: own->model, its file and its hash must be there. */
int mlflow_upload_folder(struct mlflow_registration *own, struct error *error);
/* "RUNNING", "FINISHED", "FAILED" or "KILLED". */
int mlflow_set_status(struct mlflow_registration *own, const char *status, const char *what,
                      struct error *error);

#endif

/* An MLflow tracking server (REST API 2.0). For this folder and its tests only. */
#ifndef NNSTUDIO_REGISTRY_MLFLOW_SERVER_H
#define NNSTUDIO_REGISTRY_MLFLOW_SERVER_H

#include "registry/registry.h"
#include "registry/web.h"

#define MLFLOW_NAME_SIZE 256

struct az_tracking;

struct mlflow_server {
    struct web *web;
    struct az_tracking *azure; /* owned: of an Azure ML workspace; NULL: any other server */
    bool fresh_token;          /* the next call signs in anew */
    char uri[512];             /* as it is kept and shown, without a slash at the end */
    char base
        [640]; /* where requests go: the same, or the workspace's server, "" until it is asked */
    char authorization[4096]; /* "Bearer …", "Basic …" or "" */
    char user[256];           /* of basic authentication, for messages; "" for none */
    long timeout_ms;          /* of each of the next calls; 0: none */
    bool once; /* the next calls are not tried again: what they make could be made twice */
};

/* The address from the options or $MLFLOW_TRACKING_URI, without a slash at the end. An Azure ML
 * workspace's is one for tracking only. Asks nobody. */
int mlflow_server_uri(const struct registry_options *options, bool for_tracking, char out[512],
                      struct error *error);
int mlflow_open(const struct registry_options *options, bool for_tracking,
                struct mlflow_server *server, struct error *error);
void mlflow_close(struct mlflow_server *server);
struct mlflow_request {
    const char *method;
    const char *path; /* below {uri}/api/2.0/mlflow/, with its query */
    json_t *body;     /* taken; NULL: none */
    const char *fine; /* an error_code that is as good as success (*out is then NULL), or NULL */
    const char *what; /* begins messages */
};
int mlflow_call(struct mlflow_server *server, struct mlflow_request request, json_t **out,
                struct error *error);

/* For requests of other shapes: their headers (context: the server), and what a refusal means;
 * returns -1. */
int mlflow_json_headers(void *context, struct web_headers *headers, struct error *error);
int mlflow_file_headers(void *context, struct web_headers *headers, struct error *error);
int mlflow_refusal(const struct mlflow_server *server, const struct web_answer *answer,
                   const char *what, struct error *error);

/* What MLflow refuses as a model's name, and a quote, which would end the name in a search. */
int mlflow_check_name(const char *name, struct error *error);
int mlflow_check_tags(const json_t *tags, struct error *error);
/* A version as the studio reports it; `version` NULL or "": the newest. */
int mlflow_get_version(struct mlflow_server *server, const char *name, const char *version,
                       json_t **out, struct error *error);
/* What lies in the run's folder model/data: {"files":[{"path","file_size"},…]}; new reference. */
int mlflow_list_data(struct mlflow_server *server, const char *run_id, json_t **out,
                     struct error *error);
#define MLFLOW_ARCHIVED "Archived" /* a stage */
int mlflow_change(const struct registry_options *options, const struct registry_change *change,
                  struct error *error);
int mlflow_check(const struct registry_options *options, const struct registry_request *request,
                 struct error *error);
int mlflow_publish(const struct registry_options *options, const struct registry_request *request,
                   const struct registry_watch *watch, json_t **out, struct error *error);

#endif

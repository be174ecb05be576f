/* An MLflow tracking server as one calls it (REST API 2.0): for this room only. */
#ifndef NNSTUDIO_REGISTRY_MLFLOW_SERVER_H
#define NNSTUDIO_REGISTRY_MLFLOW_SERVER_H

#include "registry/registry.h"

struct mlflow_server {
    struct web *web;
    char uri[512];            /* without a slash at the end */
    char authorization[4096]; /* "Bearer …", "Basic …" or "" */
    bool once; /* the next calls are not tried again: what they make could be made twice */
};

/* The address from the options or $MLFLOW_TRACKING_URI, without a slash at the end. Asks nobody. */
int mlflow_tracking_uri(const struct registry_options *options, char out[512], struct error *error);
int mlflow_open(const struct registry_options *options, struct mlflow_server *server,
                struct error *error);
void mlflow_close(struct mlflow_server *server);
/* METHOD {uri}/api/2.0/mlflow/PATH. `fine`: an error_code that is as good as success (then *out is
 * NULL), or NULL. Takes
 * `body`. */
int mlflow_call(struct mlflow_server *server, const char *method, const char *path, json_t *body,
                const char *fine, const char *what, json_t **out, struct error *error);

/* For requests of other shapes: their headers (context: the server), and what a refusal means;
 * returns -1. */
int mlflow_json_headers(void *context, struct web_headers *headers, struct error *error);
int mlflow_file_headers(void *context, struct web_headers *headers, struct error *error);
int mlflow_refusal(const struct web_answer *answer, const char *what, struct error *error);

#endif

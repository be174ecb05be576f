/* What an online endpoint runs: the scoring script around a model file, and the environment that it
 * needs. For this folder only. */
#ifndef NNSTUDIO_REGISTRY_AZURE_SCORING_H
#define NNSTUDIO_REGISTRY_AZURE_SCORING_H

#include "registry/loader.h"

#define AZ_ENVIRONMENT    "nnstudio" /* its versions are named by what they hold */
#define AZ_IMAGE          "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04:latest"
#define AZ_ENDPOINT_LIMIT 32 /* characters, Azure's limit */
#define AZ_SCRIPT         "score.py"

struct az_scoring_parts {
    const char *model_path;
    const char *engine, *engine_version; /* that trained it; NULL: not known */
    const char *requirement; /* a framework that is needed besides ("torch==2.4"), or NULL */
};
struct az_scoring {
    struct model *model; /* owned */
    struct loader loader;
    struct buffer packages;
    char file[256];  /* the model file's name, which the script looks for */
    char version[9]; /* of the environment: the same packages are the same version */
};
/* Refuses a file whose name or layers the script cannot take. The caller closes it in any case. */
int az_scoring_open(const struct az_scoring_parts *parts, struct az_scoring *out,
                    struct error *error);
void az_scoring_close(struct az_scoring *scoring);
int az_scoring_script(const struct az_scoring *scoring, struct buffer *out, struct error *error);
void az_scoring_conda(const struct az_scoring *scoring, struct buffer *out);

/* An endpoint's name, unique in the region over all customers: `given`, checked, or else made of
 * the model's name and six digits of `suffix`. */
int az_endpoint_name(const char *given, const char *model, const char *suffix,
                     char out[AZ_ENDPOINT_LIMIT + 1], struct error *error);

#endif

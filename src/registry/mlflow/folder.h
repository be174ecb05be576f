/* The folder that mlflow.pyfunc.load_model takes: for this room only. */
#ifndef NNSTUDIO_REGISTRY_MLFLOW_FOLDER_H
#define NNSTUDIO_REGISTRY_MLFLOW_FOLDER_H

#include "base/buffer.h"
#include "modelfile/modelfile.h"
#include "registry/registry.h"

/* One file of it. `text` is owned; the model file itself has none: it is sent as it is. */
struct mlflow_file {
    char path[160]; /* "MLmodel", "data/simple_nn.pth", "code/nnstudio_loader_ID.py", … */
    struct buffer text;
};
#define MLFLOW_FILES 6 /* with the model card */

struct mlflow_folder {
    struct mlflow_file files[MLFLOW_FILES];
    size_t count;
};
struct mlflow_folder_parts {
    const struct model *model;
    const char *file;   /* the model file's name: its place is data/FILE */
    const char *run_id; /* MLflow's run: 32 hexadecimal digits */
    /* 0: of a run, made now. Else the folder stands for itself: `run_id` is any such mark, the
     * time is this one (milliseconds since 1970), and the same parts give the same bytes. */
    int64_t made_at;
    const struct registry_request *request; /* its run, for what trained it, may be NULL */
    const char *name, *sha256;              /* of the registered model, of the file */
};
/* All files but the model's own. The loader builds the network from `model` and loads the file with
 * the framework it belongs to; predict() gives logits [N, classes] for pixels [N, inputs] or [N,
 * rows, columns], uint8, brought to the model's form here, or floats as
 * the network receives them. */
int mlflow_folder_make(const struct mlflow_folder_parts *parts, struct mlflow_folder *out,
                       struct error *error);
void mlflow_folder_clear(struct mlflow_folder *folder);

#endif

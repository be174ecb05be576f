/* The folder that mlflow.pyfunc.load_model takes: for this room only. */
#ifndef NNSTUDIO_REGISTRY_MLFLOW_FOLDER_H
#define NNSTUDIO_REGISTRY_MLFLOW_FOLDER_H

#include "base/buffer.h"
#include "modelfile/modelfile.h"

/* One file of it. `text` is owned; the model file itself has none: it is sent as it is. */
struct mlflow_file {
    char path[160]; /* "MLmodel", "data/simple_nn.pth", "code/nnstudio_loader_ID.py", … */
    struct buffer text;
};
#define MLFLOW_FILES 6

struct mlflow_folder {
    struct mlflow_file files[MLFLOW_FILES];
    size_t count;
};
/* All files but the model's own, whose place is data/FILE. The loader builds the network from
 * `model` and loads the file
 * with the framework it belongs to; predict() gives logits [N, classes] for [N, inputs] pixels in
 * 0 … 1. */
int mlflow_folder_make(const struct model *model, const char *file, const char *run_id,
                       struct mlflow_folder *out, struct error *error);
void mlflow_folder_clear(struct mlflow_folder *folder);

#endif

/* A data set of any kind as the four files that MNIST has, which everyone can read. */
#ifndef NNSTUDIO_DATA_EXPORT_H
#define NNSTUDIO_DATA_EXPORT_H

#include "data/dataset.h"

/* folder/train-images-idx3-ubyte.gz and so on, each whole or not at all; makes the folder. */
int dataset_export(const struct dataset *dataset, const char *folder, struct error *error);

#endif

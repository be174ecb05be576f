/* Writing .h5 as Keras's own model.save("model.h5") does, in the words that Keras 2 and 3 both
 * read. The file is made
 * in memory, then written in one piece. The same model gives the same bytes. */
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/js.h"
#include "modelfile/h5.h"
#include "modelfile/h5_file.h"
#include "modelfile/keras_config.h"

#define KERAS_VERSION "3.0.0" /* of the form, not of a program that ran */

/* A text, or with `count` > 0 a list of texts; of any length, as an attribute of fixed room may
 * not exceed 64 kB. */
static int put_attribute(hid_t object, const char *name, const char *const *texts, size_t count)
{
    hsize_t extent = count;
    hid_t space = count ? H5Screate_simple(1, &extent, NULL) : H5Screate(H5S_SCALAR);
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    int status = attribute < 0 || H5Awrite(attribute, type, texts) < 0 ? -1 : 0;
    if (attribute >= 0) H5Aclose(attribute);
    H5Tclose(type);
    H5Sclose(space);
    return status;
}

static int put_text(hid_t object, const char *name, const char *text)
{
    return put_attribute(object, name, &text, 0);
}

/* Keras keeps a kernel as [inputs, outputs]. */
static void *transpose(const struct tensor *tensor, enum dtype dtype)
{
    size_t size = dtype_size(dtype), rows = tensor->shape[0], columns = tensor->shape[1];
    char *out = calloc(tensor->count, size);
    for (size_t r = 0; out && r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            memcpy(out + (c * rows + r) * size,
                   (const char *)tensor->values + (r * columns + c) * size, size);
    return out;
}

static int put_tensor(hid_t group, const char *name, const struct tensor *tensor, enum dtype dtype)
{
    bool kernel = tensor->rank == 2;
    hsize_t extent[2] = {tensor->shape[kernel ? 1 : 0], tensor->shape[0]};
    void *values = kernel ? transpose(tensor, dtype) : NULL;
    if (kernel && !values) return -1;
    hid_t space = H5Screate_simple((int)tensor->rank, extent, NULL);
    hid_t create = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(create, 0); /* no clock in the file */
    hid_t dataset = H5Dcreate2(group, name,
                               dtype == DTYPE_FLOAT64 ? H5T_IEEE_F64LE : H5T_IEEE_F32LE, space,
                               H5P_DEFAULT, create, H5P_DEFAULT);
    int status = -1;
    if (dataset >= 0) {
        status = H5Dwrite(dataset, dtype == DTYPE_FLOAT64 ? H5T_NATIVE_DOUBLE : H5T_NATIVE_FLOAT,
                          H5S_ALL, H5S_ALL, H5P_DEFAULT, kernel ? values : tensor->values) < 0
                     ? -1
                     : 0;
        H5Dclose(dataset);
    }
    H5Pclose(create);
    H5Sclose(space);
    free(values);
    return status;
}

/* [stage: saving] */
/* model_weights/fc1, with attribute weight_names, and below it fc1/kernel:0 and fc1/bias:0. */
static int put_layer(hid_t weights, const char *layer, const struct tensor *weight,
                     const struct tensor *bias, enum dtype dtype)
{
    char kernel_name[48], bias_name[48];
    const char *names[2] = {kernel_name, bias_name};
    snprintf(kernel_name, sizeof kernel_name, "%s/kernel:0", layer);
    snprintf(bias_name, sizeof bias_name, "%s/bias:0", layer);
    hid_t outer = H5Gcreate2(weights, layer, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    hid_t inner = outer < 0 ? -1 : H5Gcreate2(outer, layer, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    int status = inner < 0 || put_attribute(outer, "weight_names", names, 2) ||
                         put_tensor(inner, "kernel:0", weight, dtype) ||
                         put_tensor(inner, "bias:0", bias, dtype)
                     ? -1
                     : 0;
    if (inner >= 0) H5Gclose(inner);
    if (outer >= 0) H5Gclose(outer);
    return status;
}

static int put_weights(hid_t file, const struct model *model)
{
    char names[NETWORK_MAX_LAYERS][16];
    const char *list[NETWORK_MAX_LAYERS];
    uint32_t count = model->network.layer_count;
    hid_t weights = H5Gcreate2(file, "model_weights", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (weights < 0) return -1;
    int status = put_text(weights, "backend", "tensorflow") ||
                         put_text(weights, "keras_version", KERAS_VERSION)
                     ? -1
                     : 0;
    for (uint32_t i = 0; !status && i < count; i++) {
        const struct tensor *tensors = &model->parameters->tensors[2 * i];
        snprintf(names[i], sizeof names[i], "fc%u", i + 1);
        list[i] = names[i];
        status = put_layer(weights, names[i], &tensors[0], &tensors[1], model->parameters->dtype);
    }
    if (!status) status = put_attribute(weights, "layer_names", list, count);
    H5Gclose(weights);
    return status;
}

static int put_model(hid_t file, const struct model *model)
{
    int status = -1;
    json_t *config = keras_chain_write(&model->network, dtype_name(model->parameters->dtype));
    json_t *note = json_pack("{s:o, s:O*}", "network", network_to_json(&model->network), "metadata",
                             model->metadata);
    char *config_text = js_dump(config), *note_text = js_dump(note);
    if (config_text && note_text && !put_text(file, "backend", "tensorflow") &&
        !put_text(file, "keras_version", KERAS_VERSION) &&
        !put_text(file, "model_config", config_text) &&
        !put_text(file, H5_NOTE_ATTRIBUTE, note_text) && !put_weights(file, model))
        status = 0;
    free(config_text);
    free(note_text);
    json_decref(config);
    json_decref(note);
    return status;
}
/* [end] */

/* The finished file's bytes, malloc'd. */
static int take_image(hid_t file, char **out, size_t *size)
{
    if (H5Fflush(file, H5F_SCOPE_LOCAL) < 0) return -1;
    ssize_t length = H5Fget_file_image(file, NULL, 0);
    char *image = length > 0 ? malloc((size_t)length) : NULL;
    if (!image) return -1;
    if (H5Fget_file_image(file, image, (size_t)length) != length) {
        free(image);
        return -1;
    }
    *out = image;
    *size = (size_t)length;
    return 0;
}

int h5_write_model(const char *path, const struct model *model, struct error *error)
{
    char *image = NULL;
    size_t size = 0;
    int status = -1;
    h5_lock();
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_core(access, 1 << 20, 0);
    /* in memory: the name is only a name */
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    H5Pclose(access);
    if (file >= 0) {
        status = put_model(file, model) || take_image(file, &image, &size) ? -1 : 0;
        H5Fclose(file);
    }
    h5_unlock();
    if (status)
        return error_set(error, ERROR_MEMORY, "cannot make the HDF5 file: is memory short?");
    status = file_write(path, image, size, error);
    free(image);
    return status;
}

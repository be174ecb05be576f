/* Writing .h5 as Keras's own model.save("model.h5") does, in the words that Keras 2 and 3 both
 * read. The file is made in memory, then written in one piece. The same model gives the same
 * bytes. */
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/js.h"
#include "modelfile/confine.h"
#include "modelfile/h5.h"
#include "modelfile/h5_file.h"
#include "modelfile/keras_config.h"
#include "net/layout.h"

#define KERAS_VERSION "3.0.0" /* of the form, not of a program that ran */

/* A text, or with `count` > 0 a list of texts; of any length, as an attribute of fixed room may not
 * exceed 64 kB. */
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

/* A tensor with its axes and values as Keras has them. */
static int put_tensor(hid_t group, const char *name, const struct network *network,
                      const struct tensor *tensor, enum dtype dtype)
{
    struct layout layout = layout_of(network, tensor);
    hsize_t extent[SHAPE_MAX_RANK];
    void *values = malloc(tensor->count * dtype_size(dtype));
    if (!values) return -1;
    layout_to_keras(&layout, tensor->values, values, dtype_size(dtype));
    for (uint32_t d = 0; d < layout.keras.rank; d++) extent[d] = layout.keras.sizes[d];
    hid_t space = H5Screate_simple((int)layout.keras.rank, extent, NULL);
    hid_t create = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(create, 0); /* no clock in the file */
    hid_t dataset = H5Dcreate2(group, name,
                               dtype == DTYPE_FLOAT64 ? H5T_IEEE_F64LE : H5T_IEEE_F32LE, space,
                               H5P_DEFAULT, create, H5P_DEFAULT);
    int status = -1;
    if (dataset >= 0) {
        status = H5Dwrite(dataset, dtype == DTYPE_FLOAT64 ? H5T_NATIVE_DOUBLE : H5T_NATIVE_FLOAT,
                          H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0
                     ? -1
                     : 0;
        H5Dclose(dataset);
    }
    H5Pclose(create);
    H5Sclose(space);
    free(values);
    return status;
}

/* A model while it is written, with what its layers are in Keras. */
struct h5_writing {
    const struct model *model;
    struct keras_chain chain;
};

/* [stage: saving, save] */
/* model_weights/fc1, with attribute weight_names, and below it fc1/kernel:0 and fc1/bias:0. */
static int put_layer(hid_t weights, const struct h5_writing *writing, uint32_t index)
{
    const struct keras_layer *written = &writing->chain.layers[index];
    const struct model *model = writing->model;
    const char *layer = model->network.layers[index].name;
    char names[KERAS_MAX_WEIGHTS][64];
    const char *list[KERAS_MAX_WEIGHTS];
    for (uint32_t w = 0; w < written->weight_count; w++) {
        snprintf(names[w], sizeof names[w], "%s/%s:0", layer, written->weights[w].name);
        list[w] = names[w];
    }
    hid_t outer = H5Gcreate2(weights, layer, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    hid_t inner = outer < 0 ? -1 : H5Gcreate2(outer, layer, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    int status = inner < 0 || put_attribute(outer, "weight_names", list, written->weight_count) ? -1
                                                                                                : 0;
    for (uint32_t w = 0; !status && w < written->weight_count; w++)
        status = put_tensor(inner, names[w] + strlen(layer) + 1, &model->network,
                            parameters_get(model->parameters, index, written->weights[w].role),
                            model->parameters->dtype);
    if (inner >= 0) H5Gclose(inner);
    if (outer >= 0) H5Gclose(outer);
    return status;
}

static int put_weights(hid_t file, const struct h5_writing *writing)
{
    const char *list[NETWORK_MAX_LAYERS];
    uint32_t count = writing->model->network.layer_count, used = 0;
    hid_t weights = H5Gcreate2(file, "model_weights", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (weights < 0) return -1;
    int status = put_text(weights, "backend", "tensorflow") ||
                         put_text(weights, "keras_version", KERAS_VERSION)
                     ? -1
                     : 0;
    for (uint32_t i = 0; !status && i < count; i++) {
        if (!writing->chain.layers[i].weight_count) continue;
        list[used++] = writing->model->network.layers[i].name;
        status = put_layer(weights, writing, i);
    }
    if (!status) status = put_attribute(weights, "layer_names", list, used);
    H5Gclose(weights);
    return status;
}
/* [end] */

/* What the studio knows of the model and Keras has no word for. */
static int put_note(hid_t file, const struct model *model)
{
    json_t *note = json_pack("{s:o, s:O*, s:O*}", "network", network_to_json(&model->network),
                             "metadata", model->metadata, "assumed", model->assumed);
    char *text = js_dump(note);
    int status = text ? put_text(file, H5_NOTE_ATTRIBUTE, text) : -1;
    free(text);
    json_decref(note);
    return status;
}

/* [stage: saving, save] */
static int put_model(hid_t file, const struct h5_writing *writing, const json_t *config)
{
    char *text = js_dump(config);
    int status = text && !put_text(file, "backend", "tensorflow") &&
                         !put_text(file, "keras_version", KERAS_VERSION) &&
                         !put_text(file, "model_config", text) && !put_note(file, writing->model) &&
                         !put_weights(file, writing)
                     ? 0
                     : -1;
    free(text);
    return status;
}
/* [end] */

/* Keras 3's weights: layers/dense_1/vars with data sets 0, 1, … */
static int put_vars(hid_t file, const struct h5_writing *writing, uint32_t index)
{
    const struct keras_layer *written = &writing->chain.layers[index];
    const struct model *model = writing->model;
    char path[KERAS_MAX_PATH + 8], number[16];
    snprintf(path, sizeof path, "%s/vars", written->path);
    hid_t links = H5Pcreate(H5P_LINK_CREATE);
    H5Pset_create_intermediate_group(links, 1);
    hid_t vars = H5Gcreate2(file, path, links, H5P_DEFAULT, H5P_DEFAULT);
    H5Pclose(links);
    int status = vars < 0 || put_text(vars, "name", model->network.layers[index].name) ? -1 : 0;
    for (uint32_t w = 0; !status && w < written->weight_count; w++) {
        snprintf(number, sizeof number, "%u", w);
        status = put_tensor(vars, number, &model->network,
                            parameters_get(model->parameters, index, written->weights[w].role),
                            model->parameters->dtype);
    }
    if (vars >= 0) H5Gclose(vars);
    return status;
}

static int put_all_vars(hid_t file, const struct h5_writing *writing)
{
    hid_t vars = H5Gcreate2(file, "vars", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    int status = vars < 0 ? -1 : put_note(file, writing->model);
    for (uint32_t i = 0; !status && i < writing->model->network.layer_count; i++)
        status = put_vars(file, writing, i);
    if (vars >= 0) H5Gclose(vars);
    return status;
}

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

struct weights_order {
    const struct model *model;
    const json_t *config;
};

/* A file in memory. */
static int make_image(const void *context, char **out, size_t *size, struct error *error)
{
    const struct weights_order *order = context;
    const struct model *model = order->model;
    struct h5_writing *writing = malloc(sizeof *writing);
    int status = -1;
    if (!writing) return error_set_memory(error, "the model file");
    writing->model = model;
    if (keras_chain_of(&model->network, &writing->chain, error)) {
        free(writing);
        return -1;
    }
    h5_lock();
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_core(access, 1 << 20, 0);
    /* in memory: the name is only a name */
    hid_t file = H5Fcreate("model.h5", H5F_ACC_TRUNC, H5P_DEFAULT, access);
    H5Pclose(access);
    if (file >= 0) {
        status = order->config ? put_model(file, writing, order->config)
                               : put_all_vars(file, writing);
        if (!status) status = take_image(file, out, size);
        H5Fclose(file);
    }
    h5_unlock();
    free(writing);
    return status ? error_set(error, ERROR_MEMORY, "cannot make the HDF5 file: is memory short?")
                  : 0;
}

/* With a configuration the whole model, without one Keras 3's weights alone. */
static int make_file(const struct model *model, const json_t *config, char **out, size_t *size,
                     struct error *error)
{
    const struct parameters *parameters = model->parameters;
    return confined_make(make_image, &(struct weights_order){model, config},
                         parameters->value_count * dtype_size(parameters->dtype), out, size, error);
}

int h5_make_weights(const struct model *model, char **out, size_t *size, struct error *error)
{
    return make_file(model, NULL, out, size, error);
}

/* "x.weights.h5" is the name under which Keras 3 looks for weights alone. */
static bool names_weights(const char *path)
{
    static const char ending[] = ".weights.h5";
    size_t length = strlen(path);
    return length >= sizeof ending - 1 &&
           strcasecmp(path + length - (sizeof ending - 1), ending) == 0;
}

int h5_write_model(const char *path, const struct model *model, struct error *error)
{
    char *image = NULL;
    size_t size = 0;
    json_t *config = NULL;
    if (!names_weights(path) &&
        !(config = keras_chain_write(&model->network, dtype_name(model->parameters->dtype), false,
                                     error)))
        return -1;
    int status = make_file(model, config, &image, &size, error);
    if (!status) status = file_write(path, image, size, error);
    free(image);
    json_decref(config);
    return status;
}

/* Careful access to an HDF5 file from outside: nothing but the file itself is ever opened. Private
 * to this room.
 *
 * Links are followed only when they are hard ones (soft and external links, external storage and
 * virtual data sets would reach elsewhere), filters only when they are the library's own; plug-ins
 * are never loaded. For what libhdf5 itself gets wrong see confine.h. It is not thread-safe as
 * packaged: hold h5_lock() around all use of it. */
#ifndef NNSTUDIO_MODELFILE_H5_FILE_H
#define NNSTUDIO_MODELFILE_H5_FILE_H

#include <hdf5.h>

#include "modelfile/confine.h"
#include "modelfile/state_dict.h"

#define H5_MAX_TEXT  ((size_t)4 << 20) /* bytes of an attribute: Keras's JSON */
#define H5_MAX_DEPTH 20                /* models within models: two groups each */

void h5_lock(void);
void h5_unlock(void);

/* Opens a file whose bytes are in memory, for reading. Close with H5Fclose(). */
int h5_open(const char *data, size_t size, hid_t *out, struct error *error);
/* The group at `path` ("a/b") below `parent`; *out is negative when it is not there. Close with
 * H5Gclose(). */
int h5_group(hid_t parent, const char *path, hid_t *out, struct error *error);
/* Whether the member `name` of a group is worth trying as a group: a data set is not. */
bool h5_may_be_group(hid_t parent, const char *name);
/* A text attribute, malloc'd; *out is NULL when it is not there. */
int h5_attribute_text(hid_t object, const char *name, char **out, struct error *error);

struct h5_names {
    size_t count;
    char **items; /* owned */
};
/* A list-of-texts attribute; `found` false when it is not there. Free with h5_names_free(). */
int h5_attribute_names(hid_t object, const char *name, struct h5_names *out, bool *found,
                       struct error *error);
/* The names of the links in a group, sorted. */
int h5_members(hid_t group, struct h5_names *out, struct error *error);
void h5_names_free(struct h5_names *names);

/* Reads a model file that needs the library in a confined child, which gets its bytes. */
#define H5_FILE_MAX (STATE_DICT_MAX_VALUES * sizeof(double)) /* with an optimizer's state */
int h5_read_confined(const char *path, confined_reader *read,
                     const struct modelfile_options *options, struct model *out,
                     struct error *error);

/* Reads the data set at `path` below `group` into `state` under the name `as`. */
int h5_dataset(hid_t group, const char *path, const char *as, struct state_dict *state,
               struct error *error);

#endif

/* LZF (liblzf's format), which h5py writes as HDF5's filter 32000. For this room only. */
#ifndef NNSTUDIO_MODELFILE_H5_LZF_H
#define NNSTUDIO_MODELFILE_H5_LZF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define H5_LZF_FILTER 32000

/* True when `in` unpacks to at most `room` bytes; *done says how many. */
bool lzf_unpack(const uint8_t *in, size_t size, uint8_t *out, size_t room, size_t *done);
/* Makes the filter known to libhdf5, for reading. */
void h5_lzf_register(void);

#endif

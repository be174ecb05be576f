/* Where a framework's shared libraries are. Searched in this order: the environment variable
 * NNSTUDIO_TORCH_LIB or NNSTUDIO_TENSORFLOW_LIB (the library file or its folder), the project's
 * .venv (beside the binary's folder or in the current folder), the active VIRTUAL_ENV and
 * CONDA_PREFIX, python3's site-packages on PATH. */
#ifndef NNSTUDIO_ENGINE_LOCATE_H
#define NNSTUDIO_ENGINE_LOCATE_H

#include <stdbool.h>
#include <stddef.h>

/* `package_library` is the path below site-packages, "torch/lib/libtorch_cpu.so"; `variable` the
 * environment variable. Writes the found path, returns 0; -1 when there is none. Runs no
 * program. */
int engine_locate(const char *package_library, const char *variable, char *out, size_t size);

/* The version of the package that owns `library` from its "NAME-*.dist-info" folder; "" when
 * unknown. `package` is the distribution's name as in the folder, "torch" or "tensorflow"; for
 * TensorFlow the several distribution names (tensorflow, tensorflow_cpu, intel_tensorflow…) are all
 * tried when it is "tensorflow". */
void engine_package_version(const char *library, const char *package, char *out, size_t size);

/* False of an unknown version, too: it is given a try. */
bool engine_version_is_older(const char *version, int major, int minor);

#endif

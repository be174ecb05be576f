#include "engine/tensorflow/api.h"

#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct tf_api api;

/* What TensorFlow reads from the environment while its library is being loaded. The user's own
 * setting wins. */
static void set_environment(void)
{
    static const char *const settings[][2] = {
        {"TF_CPP_MIN_LOG_LEVEL", "3"}, /* its greetings and hints are no words of ours */
        /* slower at such batch sizes: docs/internals/tensorflow.md */
        {"TF_ENABLE_ONEDNN_OPTS", "0"},
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        setenv(settings[i][0], settings[i][1], 0);
}

/* Loading walks through 250 MB of symbol tables that are not needed again. They are clean pages of
 * the file: given back, those that are needed come again by themselves, and the process is 100 MB
 * smaller. */
static int give_back_pages(struct dl_phdr_info *object, size_t size, void *context)
{
    (void)size, (void)context;
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    if (!strstr(object->dlpi_name, "libtensorflow")) return 0;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W)) continue;
        const uintptr_t start = (object->dlpi_addr + segment->p_vaddr) & ~(page - 1);
        madvise((void *)start, object->dlpi_addr + segment->p_vaddr + segment->p_memsz - start,
                MADV_DONTNEED);
    }
    return 0;
}

int tf_api_load(const char *library, const struct tf_api **out, struct error *error)
{
    static const struct {
        const char *name;
        size_t offset;
    } functions[] = {
#define TF_NAME(result, name, parameters) {"TF_" #name, offsetof(struct tf_api, name)},
        TF_FUNCTIONS(TF_NAME)
#undef TF_NAME
    };
    set_environment();
    /* Local, so that TensorFlow's protobuf, abseil and oneDNN never meet another library's. Never
     * closed: its static objects and threads do not survive that. */
    void *handle = dlopen(library, RTLD_LAZY | RTLD_LOCAL);
    if (!handle)
        return error_set(error, ERROR_UNAVAILABLE,
                         "TensorFlow cannot be loaded: %.400s: install it anew", dlerror());
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *function = dlsym(handle, functions[i].name);
        if (!function)
            return error_set(error, ERROR_UNAVAILABLE,
                             "%.400s has no function %s: install TensorFlow %d.%d or newer",
                             library, functions[i].name, TENSORFLOW_OLDEST_MAJOR,
                             TENSORFLOW_OLDEST_MINOR);
        memcpy((char *)&api + functions[i].offset, &function, sizeof function);
    }
    dl_iterate_phdr(give_back_pages, NULL);
    *out = &api;
    return 0;
}

int tf_api_check(const struct tf_api *tf, const TF_Status *status, const char *what,
                 struct error *error)
{
    if (tf->GetCode(status) == TF_OK) return 0;
    const char *message = tf->Message(status);
    return error_set(error, ERROR_FAILED, "%s: %.*s", what, (int)strcspn(message, "\n"), message);
}

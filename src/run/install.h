/* Puts the frameworks' wheels where the studio looks for them: `python3 -m venv FOLDER/.venv` (or
 * NNSTUDIO_PYTHON) when there is none, then pip with the versions the studio was tested with.
 * PyTorch comes from its own index of CPU builds where that answers (NNSTUDIO_TORCH_INDEX names
 * another); otherwise pip says what it would download, and more than 1 GB is taken only when
 * `on_ask` or NNSTUDIO_ALLOW_CUDA=1 agrees. Python is a tool of the installation only.
 * Non-blocking, as the supervisor: wait for install_fd() to be readable, then call
 * install_read(). */
#ifndef NNSTUDIO_RUN_INSTALL_H
#define NNSTUDIO_RUN_INSTALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct install;

/* A line of what is going on, without its newline. */
typedef void install_line_fn(void *context, const char *line);
/* Of the file that is being fetched. Only from a pip that tells (24.1 and newer). */
typedef void install_progress_fn(void *context, uint64_t done_bytes, uint64_t total_bytes);

/* Asks the user a question that is answered with yes or no; it may wait for the answer. */
typedef bool install_ask_fn(void *context, const char *question);

/* Who is told, and asked. `on_progress` and `on_ask` may be NULL. */
struct install_watch {
    install_line_fn *on_line;
    install_progress_fn *on_progress;
    install_ask_fn *on_ask;
    void *context;
};

/* What is installed for an engine, for users; NULL for an engine that needs nothing. */
const char *install_note(const char *engine);

/* Starts installing the named engines' packages into FOLDER/.venv. `watch` is copied. The caller
 * destroys. */
int install_start(const char *folder, const char *const *engines, size_t count,
                  const struct install_watch *watch, struct install **out, struct error *error);
/* Whether one runs in the folder just now, of whichever process. */
bool install_runs(const char *folder);
int install_fd(const struct install *install);
/* Reads what there is. Returns 1 while it runs, 0 once it has ended. */
int install_read(struct install *install);
/* After the end: 0, or -1 with what went wrong. */
int install_result(const struct install *install, struct error *error);
/* Ends it if it still runs; a .venv that was made and not finished is removed. */
void install_destroy(struct install *install);

#endif

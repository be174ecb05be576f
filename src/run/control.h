/* What a worker is told: the job on standard input's first line, then one command a line, and
 * signals. A thread listens, so that a stop is heard while a framework loads. For the run room
 * only. */
#ifndef NNSTUDIO_RUN_CONTROL_H
#define NNSTUDIO_RUN_CONTROL_H

#include <pthread.h>
#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"

struct control {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool paused, stopped; /* what was asked for */
    bool training;        /* the loop looks at the above now and then */
    struct buffer input;  /* read, not yet used */
    /* Called on the listening thread when a stop comes before training has begun: there is nothing
     * to keep. */
    void (*on_early_stop)(void *context);
    void *context;
};

void control_init(struct control *control);
/* Waits for the job's line. *line lies in the control's buffer and is good until control_listen().
 */
int control_read_line(struct control *control, const char **line, size_t *length,
                      struct error *error);
/* Forgets the first line and listens from now on; SIGINT and SIGTERM mean stop, and so does the end
 * of the input: then whoever started this worker is gone. */
int control_listen(struct control *control, size_t used, struct error *error);
/* From now on stops are the loop's business. Returns true when one has come already. */
bool control_begin_training(struct control *control);

enum control_state { CONTROL_GO_ON, CONTROL_PAUSE, CONTROL_STOP };
enum control_state control_state(struct control *control);
/* Waits until resumed (CONTROL_GO_ON) or stopped. */
enum control_state control_wait(struct control *control);

#endif

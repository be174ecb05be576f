/* Running a graph: a session with its threads, tensors in and out. */
#ifndef NNSTUDIO_ENGINE_TENSORFLOW_SESSION_H
#define NNSTUDIO_ENGINE_TENSORFLOW_SESSION_H

#include "engine/tensorflow/graph.h"

struct session {
    const struct tf_api *tf;
    TF_Session *handle;
    TF_Status *status;
};

/* `graph` must be complete, and outlive the session. */
int session_open(struct session *session, const struct graph *graph, uint32_t threads,
                 struct error *error);
void session_close(struct session *session);

/* A tensor over the caller's memory, which must stay as it is while TensorFlow may read it. No copy
 * if `data` is aligned to 64 bytes. NULL when memory is out. */
TF_Tensor *tensor_borrow(const struct tf_api *tf, TF_DataType type, const int64_t *dims, int rank,
                         const void *data);
/* One with memory of its own, not filled. */
TF_Tensor *tensor_create(const struct tf_api *tf, TF_DataType type, const int64_t *dims, int rank);

#define RUN_MAX 640
/* One run: what goes in, what comes out, what must happen. Begin with run_init(), end with
 * run_free(). */
struct run {
    struct session *session;
    TF_Output feeds[RUN_MAX], fetches[RUN_MAX];
    TF_Tensor *fed[RUN_MAX], *fetched[RUN_MAX]; /* owned by the run */
    const TF_Operation *targets[RUN_MAX];
    int feed_count, fetch_count, target_count;
    bool failed; /* a tensor could not be had */
};

void run_init(struct run *run, struct session *session);
/* Takes over `value`; NULL makes the run fail. */
void run_feed(struct run *run, TF_Output where, TF_Tensor *value);
void run_feed_int(struct run *run, TF_Output where, int32_t value);
void run_feed_double(struct run *run, TF_Output where, double value);
/* Returns the index of the value in `fetched`. */
int run_fetch(struct run *run, TF_Output what);
void run_target(struct run *run, const TF_Operation *what);
/* `what` begins the message of a failure: "training with TensorFlow". */
int run_go(struct run *run, const char *what, struct error *error);
void run_free(struct run *run);

#endif

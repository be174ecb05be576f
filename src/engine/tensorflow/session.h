/* Running a graph: a session with its threads, tensors in and out. */
#ifndef NNSTUDIO_ENGINE_TENSORFLOW_SESSION_H
#define NNSTUDIO_ENGINE_TENSORFLOW_SESSION_H

#include "engine/tensorflow/graph.h"

struct tf_session {
    const struct tf_api *tf;
    TF_Session *handle;
    TF_Status *status;
};

/* `graph` must be complete, and outlive the session. */
int tf_session_open(struct tf_session *session, const struct graph *graph, uint32_t threads,
                    struct error *error);
void tf_session_close(struct tf_session *session);

/* A tensor over the caller's memory, which must stay as it is while TensorFlow may read it. No copy
 * if `data` is aligned to 64 bytes. NULL when memory is out. */
TF_Tensor *tf_tensor_borrow(const struct tf_api *tf, TF_DataType type, const int64_t *dims,
                            int rank, const void *data);
/* One with memory of its own, not filled. */
TF_Tensor *tf_tensor_create(const struct tf_api *tf, TF_DataType type, const int64_t *dims,
                            int rank);

#define TF_RUN_MAX 1408
/* One run: what goes in, what comes out, what must happen. Begin with tf_run_init(), end with
 * tf_run_free(). */
struct tf_run {
    struct tf_session *session;
    TF_Output feeds[TF_RUN_MAX], fetches[TF_RUN_MAX];
    TF_Tensor *fed[TF_RUN_MAX], *fetched[TF_RUN_MAX]; /* owned by the run */
    const TF_Operation *targets[TF_RUN_MAX];
    int feed_count, fetch_count, target_count;
    bool failed; /* a tensor could not be had */
};

void tf_run_init(struct tf_run *run, struct tf_session *session);
/* Takes over `value`; NULL makes the run fail. */
void tf_run_feed(struct tf_run *run, TF_Output where, TF_Tensor *value);
void tf_run_feed_int(struct tf_run *run, TF_Output where, int32_t value);
void tf_run_feed_double(struct tf_run *run, TF_Output where, double value);
/* Returns the index of the value in `fetched`. */
int tf_run_fetch(struct tf_run *run, TF_Output what);
void tf_run_target(struct tf_run *run, const TF_Operation *what);
/* `what` begins the message of a failure: "training with TensorFlow". */
int tf_run_go(struct tf_run *run, const char *what, struct error *error);
void tf_run_free(struct tf_run *run);

#endif

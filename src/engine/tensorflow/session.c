#include "engine/tensorflow/session.h"

#include <string.h>

/* A ConfigProto, written by hand as protocol-buffer bytes (tensorflow/core/protobuf/config.proto,
 * rewriter_config.proto). */
static size_t write_config(uint8_t *out, uint32_t threads)
{
    static const uint8_t start[] = {
        /* graph_options { rewrite_options { disable_meta_optimizer: true } }: the graph is run as
         * it is written. The rewriter would turn x / 255 into a product that differs in the last
         * bit, and costs memory and start-up time. */
        0x52, 5, 0x52, 3, 0x98, 0x01, 1,
        /* device_count { "GPU": 0 } */
        0x0a, 7, 0x0a, 3, 'G', 'P', 'U', 0x10, 0,
        /* inter_op_parallelism_threads: -1: operations run on the calling thread, as a step is one
         * chain of small ones. */
        0x28, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
        /* experimental { executor_type }: one that keeps no queues for other threads. */
        0x82, 0x01, 0x1a, 0x1a, 0x18, 'S', 'I', 'N', 'G', 'L', 'E', '_', 'T', 'H', 'R', 'E', 'A',
        'D', 'E', 'D', '_', 'E', 'X', 'E', 'C', 'U', 'T', 'O', 'R',
        /* intra_op_parallelism_threads: … */
        0x10};
    memcpy(out, start, sizeof start);
    out[sizeof start] = (uint8_t)(threads < 127 ? threads : 127);
    return sizeof start + 1;
}

int tf_session_open(struct tf_session *session, const struct graph *graph, uint32_t threads,
                    struct error *error)
{
    const struct tf_api *tf = graph->tf;
    uint8_t config[128];
    *session = (struct tf_session){.tf = tf, .status = tf->NewStatus()};
    TF_SessionOptions *options = tf->NewSessionOptions();
    int result = -1;
    if (!session->status || !options) {
        error_set_memory(error, "TensorFlow's session");
        goto out;
    }
    tf->SetConfig(options, config, write_config(config, threads), session->status);
    if (tf_api_check(tf, session->status, "TensorFlow refuses the session's settings", error))
        goto out;
    session->handle = tf->NewSession(graph->handle, options, session->status);
    if (tf_api_check(tf, session->status, "TensorFlow cannot open a session", error)) goto out;
    result = 0;
out:
    if (options) tf->DeleteSessionOptions(options);
    if (result) tf_session_close(session);
    return result;
}

void tf_session_close(struct tf_session *session)
{
    if (session->handle) {
        session->tf->CloseSession(session->handle, session->status);
        session->tf->DeleteSession(session->handle, session->status);
    }
    if (session->status) session->tf->DeleteStatus(session->status);
    session->handle = NULL;
    session->status = NULL;
}

static size_t tensor_bytes(TF_DataType type, const int64_t *dims, int rank)
{
    static const size_t sizes[] = {[TF_FLOAT] = 4, [TF_DOUBLE] = 8, [TF_INT32] = 4, [TF_UINT8] = 1};
    size_t bytes = sizes[type];
    for (int i = 0; i < rank; i++) bytes *= (size_t)dims[i];
    return bytes;
}

static void keep_memory(void *data, size_t bytes, void *argument)
{
    (void)data, (void)bytes, (void)argument;
}

TF_Tensor *tf_tensor_borrow(const struct tf_api *tf, TF_DataType type, const int64_t *dims,
                            int rank, const void *data)
{
    return tf->NewTensor(type, dims, rank, (void *)data, tensor_bytes(type, dims, rank),
                         keep_memory, NULL);
}

TF_Tensor *tf_tensor_create(const struct tf_api *tf, TF_DataType type, const int64_t *dims,
                            int rank)
{
    return tf->AllocateTensor(type, dims, rank, tensor_bytes(type, dims, rank));
}

void tf_run_init(struct tf_run *run, struct tf_session *session)
{
    run->session = session;
    run->feed_count = run->fetch_count = run->target_count = 0;
    run->failed = false;
}

void tf_run_feed(struct tf_run *run, TF_Output where, TF_Tensor *value)
{
    if (!value) {
        run->failed = true;
        return;
    }
    CHECK(run->feed_count < TF_RUN_MAX);
    run->feeds[run->feed_count] = where;
    run->fed[run->feed_count++] = value;
}

static void feed_scalar(struct tf_run *run, TF_Output where, TF_DataType type, const void *value,
                        size_t bytes)
{
    TF_Tensor *tensor = tf_tensor_create(run->session->tf, type, NULL, 0);
    if (tensor) memcpy(run->session->tf->TensorData(tensor), value, bytes);
    tf_run_feed(run, where, tensor);
}

void tf_run_feed_int(struct tf_run *run, TF_Output where, int32_t value)
{
    feed_scalar(run, where, TF_INT32, &value, sizeof value);
}

void tf_run_feed_double(struct tf_run *run, TF_Output where, double value)
{
    feed_scalar(run, where, TF_DOUBLE, &value, sizeof value);
}

int tf_run_fetch(struct tf_run *run, TF_Output what)
{
    CHECK(run->fetch_count < TF_RUN_MAX);
    run->fetches[run->fetch_count] = what;
    run->fetched[run->fetch_count] = NULL;
    return run->fetch_count++;
}

void tf_run_target(struct tf_run *run, const TF_Operation *what)
{
    CHECK(run->target_count < TF_RUN_MAX);
    run->targets[run->target_count++] = what;
}

int tf_run_go(struct tf_run *run, const char *what, struct error *error)
{
    const struct tf_api *tf = run->session->tf;
    if (run->failed) return error_set_memory(error, what);
    tf->SessionRun(run->session->handle, NULL, run->feeds, run->fed, run->feed_count, run->fetches,
                   run->fetched, run->fetch_count, run->targets, run->target_count, NULL,
                   run->session->status);
    return tf_api_check(tf, run->session->status, what, error);
}

void tf_run_free(struct tf_run *run)
{
    const struct tf_api *tf = run->session->tf;
    for (int i = 0; i < run->feed_count; i++) tf->DeleteTensor(run->fed[i]);
    for (int i = 0; i < run->fetch_count; i++)
        if (run->fetched[i]) tf->DeleteTensor(run->fetched[i]);
    tf_run_init(run, run->session);
}

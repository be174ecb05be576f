/* Building a TensorFlow graph from C in the words of TensorFlow: GRAPH_OP(g, "MatMul", x, w).
 *
 * A graph remembers the first thing that went wrong and does nothing from then on, so that a
 * network can be written down without a check per line; graph_check() at the end tells. */
#ifndef NNSTUDIO_ENGINE_TENSORFLOW_GRAPH_H
#define NNSTUDIO_ENGINE_TENSORFLOW_GRAPH_H

#include <stdbool.h>

#include "engine/tensorflow/api.h"

struct graph {
    const struct tf_api *tf;
    TF_Graph *handle;
    TF_Status *status;
    unsigned serial;       /* makes operation names differ */
    TF_Function *function; /* what graph_become_function() made */
    bool failed;
    struct error error; /* the first failure */
};

int graph_init(struct graph *graph, const struct tf_api *tf, struct error *error);
void graph_free(struct graph *graph);
/* 0, or -1 with the first failure. */
int graph_check(const struct graph *graph, struct error *error);

/* An operation whose attributes all follow from its inputs; its first output. */
#define GRAPH_OP(graph, type, ...)                    \
    graph_op(graph, type, (TF_Output[]){__VA_ARGS__}, \
             sizeof((TF_Output[]){__VA_ARGS__}) / sizeof(TF_Output), NULL, 0)
/* One that needs a data type told: GRAPH_OP_TYPED(g, "Cast", "DstT", TF_FLOAT, x). */
#define GRAPH_OP_TYPED(graph, type, attribute, data_type, ...) \
    graph_op(graph, type, (TF_Output[]){__VA_ARGS__},          \
             sizeof((TF_Output[]){__VA_ARGS__}) / sizeof(TF_Output), attribute, data_type)

/* One that needs more told; an attribute is a list of integers, a text, or a flag. */
struct graph_attribute {
    const char *name; /* NULL ends a list of them */
    const int64_t *ints;
    int count;
    const char *text;
    bool flag;
};
TF_Output graph_op_with(struct graph *graph, const char *type, const TF_Output *inputs,
                        size_t input_count, const struct graph_attribute *attributes);
/* One whose inputs are a list and, when `axis` has an operation, an axis: Pack, ConcatV2. */
TF_Output graph_join(struct graph *graph, const char *type, const TF_Output *inputs,
                     size_t input_count, TF_Output axis);
/* parts[i] = the i-th of `count` equal parts of x along `axis`. */
void graph_split(struct graph *graph, TF_Output x, int32_t axis, int32_t count, TF_Output *parts);

/* parts[i] = x[i], for the `count` rows of x. */
void graph_unpack(struct graph *graph, TF_Output x, int32_t count, TF_Output *parts);

TF_Output graph_op(struct graph *graph, const char *type, const TF_Output *inputs,
                   size_t input_count, const char *attribute, TF_DataType data_type);
/* Another output of the same operation. */
TF_Output graph_output(TF_Output of, int index);

/* A value that is fed at each run. */
TF_Output graph_placeholder(struct graph *graph, TF_DataType type);
TF_Output graph_int(struct graph *graph, int32_t value);        /* constant [] */
TF_Output graph_int_vector(struct graph *graph, int32_t value); /* constant [1] */
/* constant [count], or [count / columns, columns] */
TF_Output graph_ints(struct graph *graph, const int32_t *values, int64_t count);
TF_Output graph_int_matrix(struct graph *graph, const int32_t *values, int64_t count,
                           int64_t columns);
TF_Output graph_uint64(struct graph *graph, uint64_t value);        /* constant [] */
TF_Output graph_uint64_vector(struct graph *graph, uint64_t value); /* constant [1] */
/* constant [] of TF_FLOAT or TF_DOUBLE */
TF_Output graph_real(struct graph *graph, TF_DataType type, double value);
/* constant of that shape, of TF_FLOAT or TF_DOUBLE */
TF_Output graph_real_array(struct graph *graph, TF_DataType type, const int64_t *dims, int rank,
                           const double *values);
/* The handle of the session's variable of that name; a dimension -1 may be any. */
TF_Output graph_variable(struct graph *graph, const char *name, TF_DataType type,
                         const int64_t *dims, int rank);
TF_Output graph_read(struct graph *graph, TF_Output variable, TF_DataType type);
/* The same, but only once `after` has run. */
TF_Output graph_read_after(struct graph *graph, TF_Output variable, TF_DataType type,
                           TF_Operation *after);

/* gradients[i] = d(loss)/d(x[i]), given d(loss)/dy: TensorFlow's own automatic differentiation. */
void graph_gradients(struct graph *graph, TF_Output y, TF_Output dy, const TF_Output *x,
                     size_t count, TF_Output *gradients);

/* Adds a function to a graph: `define` writes its body into a graph of its own and ends with
 * graph_become_function(). */
typedef void graph_define_fn(struct graph *body, const void *context);
void graph_add_function(struct graph *graph, graph_define_fn *define, const void *context);
/* `inputs` are placeholders; `effects` run although no output needs them. */
void graph_become_function(struct graph *body, const char *name, const TF_Output *inputs,
                           size_t input_count, const TF_Output *outputs, size_t output_count,
                           TF_Operation *const *effects, size_t effect_count);
/* while (condition(state)) state = body(state), once every one of `after` has run; the first
 * output. */
TF_Output graph_while(struct graph *graph, const char *condition, const char *body,
                      const TF_Output *state, size_t state_count, TF_Operation *const *after,
                      size_t after_count);

#endif

#include "engine/tensorflow/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int graph_init(struct graph *graph, const struct tf_api *tf, struct error *error)
{
    *graph = (struct graph){.tf = tf, .handle = tf->NewGraph(), .status = tf->NewStatus()};
    if (graph->handle && graph->status) return 0;
    graph_free(graph);
    return error_set_memory(error, "TensorFlow's graph");
}

void graph_free(struct graph *graph)
{
    if (graph->function) graph->tf->DeleteFunction(graph->function);
    if (graph->handle) graph->tf->DeleteGraph(graph->handle);
    if (graph->status) graph->tf->DeleteStatus(graph->status);
    graph->function = NULL;
    graph->handle = NULL;
    graph->status = NULL;
}

int graph_check(const struct graph *graph, struct error *error)
{
    if (!graph->failed) return 0;
    *error = graph->error;
    return -1;
}

/* Keeps the first failure; true when all is well. */
static bool note(struct graph *graph, const char *what)
{
    if (!graph->failed && tf_api_check(graph->tf, graph->status, what, &graph->error))
        graph->failed = true;
    return !graph->failed;
}

static TF_OperationDescription *begin(struct graph *graph, const char *type)
{
    char name[96];
    snprintf(name, sizeof name, "%s_%u", type[0] == '_' ? type + 1 : type, graph->serial++);
    return graph->tf->NewOperation(graph->handle, type, name);
}

static TF_Output finish(struct graph *graph, TF_OperationDescription *description, const char *type)
{
    TF_Operation *operation = graph->tf->FinishOperation(description, graph->status);
    return note(graph, type) ? (TF_Output){operation, 0} : (TF_Output){0};
}

TF_Output graph_op(struct graph *graph, const char *type, const TF_Output *inputs,
                   size_t input_count, const char *attribute, TF_DataType data_type)
{
    if (graph->failed) return (TF_Output){0};
    TF_OperationDescription *description = begin(graph, type);
    for (size_t i = 0; i < input_count; i++) graph->tf->AddInput(description, inputs[i]);
    if (attribute) graph->tf->SetAttrType(description, attribute, data_type);
    return finish(graph, description, type);
}

TF_Output graph_op_with(struct graph *graph, const char *type, const TF_Output *inputs,
                        size_t input_count, const struct graph_attribute *attributes)
{
    if (graph->failed) return (TF_Output){0};
    const struct tf_api *tf = graph->tf;
    TF_OperationDescription *description = begin(graph, type);
    for (size_t i = 0; i < input_count; i++) tf->AddInput(description, inputs[i]);
    for (const struct graph_attribute *a = attributes; a->name; a++) {
        if (a->ints)
            tf->SetAttrIntList(description, a->name, a->ints, a->count);
        else if (a->text)
            tf->SetAttrString(description, a->name, a->text, strlen(a->text));
        else
            tf->SetAttrBool(description, a->name, a->flag);
    }
    return finish(graph, description, type);
}

TF_Output graph_join(struct graph *graph, const char *type, const TF_Output *inputs,
                     size_t input_count, TF_Output axis)
{
    if (graph->failed) return (TF_Output){0};
    TF_OperationDescription *description = begin(graph, type);
    graph->tf->AddInputList(description, inputs, (int)input_count);
    if (axis.oper) graph->tf->AddInput(description, axis);
    return finish(graph, description, type);
}

void graph_split(struct graph *graph, TF_Output x, int32_t axis, int32_t count, TF_Output *parts)
{
    TF_Output where = graph_int(graph, axis);
    if (graph->failed) return;
    TF_OperationDescription *description = begin(graph, "Split");
    graph->tf->AddInput(description, where);
    graph->tf->AddInput(description, x);
    graph->tf->SetAttrInt(description, "num_split", count);
    TF_Output first = finish(graph, description, "Split");
    for (int32_t i = 0; i < count; i++) parts[i] = graph_output(first, i);
}

void graph_unpack(struct graph *graph, TF_Output x, int32_t count, TF_Output *parts)
{
    if (graph->failed) return;
    TF_OperationDescription *description = begin(graph, "Unpack");
    graph->tf->AddInput(description, x);
    graph->tf->SetAttrInt(description, "num", count);
    TF_Output first = finish(graph, description, "Unpack");
    for (int32_t i = 0; i < count; i++) parts[i] = graph_output(first, i);
}

TF_Output graph_output(TF_Output of, int index)
{
    return (TF_Output){of.oper, index};
}

TF_Output graph_placeholder(struct graph *graph, TF_DataType type)
{
    return graph_op(graph, "Placeholder", NULL, 0, "dtype", type);
}

static TF_Output constant(struct graph *graph, TF_DataType type, const int64_t *dims, int rank,
                          const void *value, size_t bytes)
{
    if (graph->failed) return (TF_Output){0};
    const struct tf_api *tf = graph->tf;
    TF_Tensor *tensor = tf->AllocateTensor(type, dims, rank, bytes);
    if (!tensor) {
        error_set_memory(&graph->error, "a constant");
        graph->failed = true;
        return (TF_Output){0};
    }
    memcpy(tf->TensorData(tensor), value, bytes);
    TF_OperationDescription *description = begin(graph, "Const");
    tf->SetAttrTensor(description, "value", tensor, graph->status);
    tf->SetAttrType(description, "dtype", type);
    TF_Output result = finish(graph, description, "Const");
    tf->DeleteTensor(tensor);
    return result;
}

TF_Output graph_int(struct graph *graph, int32_t value)
{
    return constant(graph, TF_INT32, NULL, 0, &value, sizeof value);
}

TF_Output graph_int_vector(struct graph *graph, int32_t value)
{
    return graph_ints(graph, &value, 1);
}

TF_Output graph_ints(struct graph *graph, const int32_t *values, int64_t count)
{
    return constant(graph, TF_INT32, &count, 1, values, (size_t)count * sizeof *values);
}

TF_Output graph_int_matrix(struct graph *graph, const int32_t *values, int64_t count,
                           int64_t columns)
{
    const int64_t dims[] = {count / columns, columns};
    return constant(graph, TF_INT32, dims, 2, values, (size_t)count * sizeof *values);
}

TF_Output graph_uint64(struct graph *graph, uint64_t value)
{
    return constant(graph, TF_UINT64, NULL, 0, &value, sizeof value);
}

TF_Output graph_uint64_vector(struct graph *graph, uint64_t value)
{
    return constant(graph, TF_UINT64, &(int64_t){1}, 1, &value, sizeof value);
}

TF_Output graph_real(struct graph *graph, TF_DataType type, double value)
{
    return graph_real_array(graph, type, NULL, 0, &value);
}

TF_Output graph_real_array(struct graph *graph, TF_DataType type, const int64_t *dims, int rank,
                           const double *values)
{
    size_t count = 1;
    for (int d = 0; d < rank; d++) count *= (size_t)dims[d];
    if (type == TF_DOUBLE) return constant(graph, type, dims, rank, values, count * sizeof *values);
    float *narrow = malloc(count * sizeof *narrow);
    if (!narrow) {
        error_set_memory(&graph->error, "a constant");
        graph->failed = true;
        return (TF_Output){0};
    }
    for (size_t i = 0; i < count; i++) narrow[i] = (float)values[i];
    TF_Output result = constant(graph, type, dims, rank, narrow, count * sizeof *narrow);
    free(narrow);
    return result;
}

TF_Output graph_variable(struct graph *graph, const char *name, TF_DataType type,
                         const int64_t *dims, int rank)
{
    if (graph->failed) return (TF_Output){0};
    TF_OperationDescription *description = begin(graph, "VarHandleOp");
    graph->tf->SetAttrType(description, "dtype", type);
    graph->tf->SetAttrShape(description, "shape", dims, rank);
    graph->tf->SetAttrString(description, "shared_name", name, strlen(name));
    return finish(graph, description, "VarHandleOp");
}

TF_Output graph_read(struct graph *graph, TF_Output variable, TF_DataType type)
{
    return graph_op(graph, "ReadVariableOp", &variable, 1, "dtype", type);
}

TF_Output graph_read_after(struct graph *graph, TF_Output variable, TF_DataType type,
                           TF_Operation *after)
{
    if (graph->failed) return (TF_Output){0};
    TF_OperationDescription *description = begin(graph, "ReadVariableOp");
    graph->tf->AddInput(description, variable);
    graph->tf->AddControlInput(description, after);
    graph->tf->SetAttrType(description, "dtype", type);
    return finish(graph, description, "ReadVariableOp");
}

void graph_gradients(struct graph *graph, TF_Output y, TF_Output dy, const TF_Output *x,
                     size_t count, TF_Output *gradients)
{
    if (graph->failed) return;
    graph->tf->AddGradients(graph->handle, &y, 1, (TF_Output *)x, (int)count, &dy, graph->status,
                            gradients);
    note(graph, "AddGradients");
}

void graph_become_function(struct graph *body, const char *name, const TF_Output *inputs,
                           size_t input_count, const TF_Output *outputs, size_t output_count,
                           TF_Operation *const *effects, size_t effect_count)
{
    if (body->failed) return;
    body->function = body->tf->GraphToFunctionWithControlOutputs(
        body->handle, name, 0, -1, NULL, (int)input_count, inputs, (int)output_count, outputs, NULL,
        (int)effect_count, (const TF_Operation *const *)effects, NULL, NULL, NULL, body->status);
    note(body, name);
}

void graph_add_function(struct graph *graph, graph_define_fn *define, const void *context)
{
    struct graph body;
    if (graph->failed) return;
    if (graph_init(&body, graph->tf, &graph->error)) {
        graph->failed = true;
        return;
    }
    define(&body, context);
    if (graph_check(&body, &graph->error)) {
        graph->failed = true;
    } else {
        graph->tf->GraphCopyFunction(graph->handle, body.function, NULL, graph->status);
        note(graph, "GraphCopyFunction");
    }
    graph_free(&body);
}

TF_Output graph_while(struct graph *graph, const char *condition, const char *body,
                      const TF_Output *state, size_t state_count, TF_Operation *const *after,
                      size_t after_count)
{
    if (graph->failed) return (TF_Output){0};
    const struct tf_api *tf = graph->tf;
    TF_OperationDescription *description = begin(graph, "While");
    tf->AddInputList(description, state, (int)state_count);
    for (size_t i = 0; i < after_count; i++) tf->AddControlInput(description, after[i]);
    tf->SetAttrFuncName(description, "cond", condition, strlen(condition));
    tf->SetAttrFuncName(description, "body", body, strlen(body));
    /* each step needs the weights of the one before */
    tf->SetAttrInt(description, "parallel_iterations", 1);
    return finish(graph, description, "While");
}

/* The part of TensorFlow's C API that is used, declared here because the user's machine need not
 * have its headers, and loaded at run time because the studio runs without TensorFlow, too.
 *
 * Names, types and meaning: tensorflow/c/c_api.h, tf_tensor.h, tf_datatype.h and tf_status.h of
 * TensorFlow 2. The C API is stable: https://www.tensorflow.org/guide/versions. A function reads
 * `tf->NewGraph()` for TF_NewGraph(). */
#ifndef NNSTUDIO_ENGINE_TENSORFLOW_API_H
#define NNSTUDIO_ENGINE_TENSORFLOW_API_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* The oldest that has what is used: older wheels have no libtensorflow_cc. */
#define TENSORFLOW_OLDEST_MAJOR 2
#define TENSORFLOW_OLDEST_MINOR 10

typedef struct TF_Status TF_Status;
typedef struct TF_Tensor TF_Tensor;
typedef struct TF_Graph TF_Graph;
typedef struct TF_OperationDescription TF_OperationDescription;
typedef struct TF_Operation TF_Operation;
typedef struct TF_Function TF_Function;
typedef struct TF_FunctionOptions TF_FunctionOptions;
typedef struct TF_SessionOptions TF_SessionOptions;
typedef struct TF_Session TF_Session;
typedef struct TF_Buffer TF_Buffer;

/* One output of an operation: what other operations take as input. */
typedef struct TF_Output {
    TF_Operation *oper;
    int index;
} TF_Output;

typedef enum TF_DataType {
    TF_FLOAT = 1,
    TF_DOUBLE = 2,
    TF_INT32 = 3,
    TF_UINT8 = 4,
    TF_BOOL = 10,
    TF_RESOURCE = 20,
    TF_UINT32 = 22,
    TF_UINT64 = 23,
} TF_DataType;

enum { TF_OK = 0 };

/* X(result, name without "TF_", parameters) */
#define TF_FUNCTIONS(X)                                                                          \
    X(const char *, Version, (void))                                                             \
    X(TF_Status *, NewStatus, (void))                                                            \
    X(void, DeleteStatus, (TF_Status *))                                                         \
    X(int, GetCode, (const TF_Status *))                                                         \
    X(const char *, Message, (const TF_Status *))                                                \
    X(TF_Tensor *, NewTensor,                                                                    \
      (TF_DataType, const int64_t *dims, int rank, void *data, size_t bytes,                     \
       void (*free_data)(void *data, size_t bytes, void *argument), void *argument))             \
    X(TF_Tensor *, AllocateTensor, (TF_DataType, const int64_t *dims, int rank, size_t bytes))   \
    X(void, DeleteTensor, (TF_Tensor *))                                                         \
    X(void *, TensorData, (const TF_Tensor *))                                                   \
    X(size_t, TensorByteSize, (const TF_Tensor *))                                               \
    X(TF_Graph *, NewGraph, (void))                                                              \
    X(void, DeleteGraph, (TF_Graph *))                                                           \
    X(TF_OperationDescription *, NewOperation, (TF_Graph *, const char *type, const char *name)) \
    X(void, AddInput, (TF_OperationDescription *, TF_Output))                                    \
    X(void, AddInputList, (TF_OperationDescription *, const TF_Output *, int count))             \
    X(void, AddControlInput, (TF_OperationDescription *, TF_Operation *))                        \
    X(void, SetAttrType, (TF_OperationDescription *, const char *name, TF_DataType))             \
    X(void, SetAttrInt, (TF_OperationDescription *, const char *name, int64_t))                  \
    X(void, SetAttrIntList,                                                                      \
      (TF_OperationDescription *, const char *name, const int64_t *values, int count))           \
    X(void, SetAttrBool, (TF_OperationDescription *, const char *name, unsigned char))           \
    X(void, SetAttrString,                                                                       \
      (TF_OperationDescription *, const char *name, const void *text, size_t length))            \
    X(void, SetAttrShape,                                                                        \
      (TF_OperationDescription *, const char *name, const int64_t *dims, int rank))              \
    X(void, SetAttrTensor,                                                                       \
      (TF_OperationDescription *, const char *name, TF_Tensor *, TF_Status *))                   \
    X(void, SetAttrFuncName,                                                                     \
      (TF_OperationDescription *, const char *name, const char *function, size_t length))        \
    X(TF_Operation *, FinishOperation, (TF_OperationDescription *, TF_Status *))                 \
    X(void, AddGradients,                                                                        \
      (TF_Graph *, TF_Output * y, int ny, TF_Output *x, int nx, TF_Output *dx, TF_Status *,      \
       TF_Output *dy))                                                                           \
    X(TF_Function *, GraphToFunctionWithControlOutputs,                                          \
      (const TF_Graph *, const char *name, unsigned char append_hash, int operation_count,       \
       const TF_Operation *const *operations, int input_count, const TF_Output *inputs,          \
       int output_count, const TF_Output *outputs, const char *const *output_names,              \
       int control_count, const TF_Operation *const *controls, const char *const *control_names, \
       const TF_FunctionOptions *, const char *description, TF_Status *))                        \
    X(void, GraphCopyFunction,                                                                   \
      (TF_Graph *, const TF_Function *, const TF_Function *gradient, TF_Status *))               \
    X(void, DeleteFunction, (TF_Function *))                                                     \
    X(TF_SessionOptions *, NewSessionOptions, (void))                                            \
    X(void, DeleteSessionOptions, (TF_SessionOptions *))                                         \
    X(void, SetConfig, (TF_SessionOptions *, const void *proto, size_t bytes, TF_Status *))      \
    X(TF_Session *, NewSession, (TF_Graph *, const TF_SessionOptions *, TF_Status *))            \
    X(void, CloseSession, (TF_Session *, TF_Status *))                                           \
    X(void, DeleteSession, (TF_Session *, TF_Status *))                                          \
    X(void, SessionRun,                                                                          \
      (TF_Session *, const TF_Buffer *run_options, const TF_Output *inputs,                      \
       TF_Tensor *const *input_values, int input_count, const TF_Output *outputs,                \
       TF_Tensor **output_values, int output_count, const TF_Operation *const *targets,          \
       int target_count, TF_Buffer *run_metadata, TF_Status *))

struct tf_api {
#define TF_DECLARE(result, name, parameters) result(*name) parameters;
    TF_FUNCTIONS(TF_DECLARE)
#undef TF_DECLARE
};

/* Opens the library and fills the table. TensorFlow cannot be unloaded: the table stays valid until
 * the process ends. The error is one line. */
int tf_api_load(const char *library, const struct tf_api **out, struct error *error);

/* 0 when `status` is good; else -1 with "WHAT: TensorFlow's message", cut to its first line. */
int tf_api_check(const struct tf_api *tf, const TF_Status *status, const char *what,
                 struct error *error);

#endif

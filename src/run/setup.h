/* What a run and a traced step begin with: the job's data, its network with the initial values, an
 * engine that holds both. */
#ifndef NNSTUDIO_RUN_SETUP_H
#define NNSTUDIO_RUN_SETUP_H

#include "data/dataset.h"
#include "engine/engine.h"
#include "modelfile/modelfile.h"
#include "run/job.h"

/* How the model file of a run, or one that it starts from, is read: the run knows the activation
 * that a bare state dict does not tell. */
struct modelfile_options setup_model_options(const struct job *job);
/* The job's data set, which has training samples; the caller closes it. */
int setup_dataset(const struct job *job, struct dataset **out, struct error *error);
/* ERROR_INPUT when the network takes other pictures or has other classes than the data; `source` is
 * the file that it came from. */
int setup_check_network(const struct network *network, const struct dataset *dataset,
                        const char *source, struct error *error);
/* The network and the values it starts with: those of job->from, else drawn. The caller destroys
 * *out, which is NULL after a failure. */
int setup_parameters(const struct job *job, const struct dataset *dataset, struct network *network,
                     struct parameters **out, struct error *error);
/* What can be known before a run of the job begins, its data not opened: an engine that lacks its
 * device or a layer, a network too large for the program, or for this machine's memory, batches
 * that cannot train it. ERROR_INPUT then. Networks for data whose shape only its files tell are not
 * looked at, and those of a file (`from`) neither. */
int setup_foresee(const struct job *job, struct error *error);
/* The values that a network which is known starts with: those of job->from, which must hold the
 * same network, else drawn. The caller destroys *out, which is NULL after a failure. */
int setup_weights(const struct job *job, const struct network *network, struct parameters **out,
                  struct error *error);
/* The engine, open, with the training samples attached and the parameters set; the caller closes
 * it. `dataset` must outlive it. */
int setup_engine(const struct job *job, const struct engine_ops *ops, uint32_t threads,
                 const struct network *network, const struct dataset *dataset,
                 const struct parameters *parameters, struct engine **out, struct error *error);

#endif

/* One training run, described as data: what a worker is started with, what is kept with the run. */
#ifndef NNSTUDIO_RUN_JOB_H
#define NNSTUDIO_RUN_JOB_H

#include <jansson.h>
#include <limits.h>

#include "base/error.h"
#include "data/dataset.h"
#include "net/compact.h"
#include "net/network.h"
#include "net/optimizer.h"
#include "net/parameters.h"
#include "train/schedule.h"

#define JOB_PATH_MAX         4096
#define JOB_CLASS_WEIGHT_MAX 4096

enum job_keep { JOB_KEEP_LAST, JOB_KEEP_BEST };

struct job {
    char run[64]; /* id of the run: "20261124-142233-torch-9f3a"; names its folder */
    char engine[32];
    char dataset[JOB_PATH_MAX];
    char data_dir[JOB_PATH_MAX]; /* "" when not given */
    char home[JOB_PATH_MAX];
    char run_dir[JOB_PATH_MAX]; /* HOME/runs/RUN: job.json, checkpoint.safetensors */
    char out_dir[JOB_PATH_MAX]; /* where the model file goes: OUT/NAME.pth */
    char name[100];             /* "simple_nn" */
    char from[JOB_PATH_MAX];    /* model file with the starting weights, or "" */
    char resume[JOB_PATH_MAX];  /* checkpoint to go on from, or "" */
    /* "accept": goes on though its data is not that of the checkpoint; "": refused */
    char changed_data[8];
    char device[32]; /* "cpu" */
    /* the whole network: compact text, a preset or JSON (net/compact.h); "": dense layers of the
     * widths `hidden` */
    char net[COMPACT_MAX_LENGTH];
    uint32_t hidden[NETWORK_MAX_LAYERS];
    uint32_t hidden_count;
    enum activation activation;
    struct optimizer optimizer;
    double label_smoothing;                  /* of the training's targets; 0: none */
    char class_weight[JOB_CLASS_WEIGHT_MAX]; /* net/loss.h: "", "balanced" or "1,2.5,…" */
    char schedule[SCHEDULE_MAX_LENGTH];      /* of the learning rate (train/schedule.h) */
    uint32_t warmup;                         /* steps; 0: none */
    enum dtype dtype;
    enum init_scheme init;
    uint32_t epochs; /* in all, counting those before a resume */
    uint32_t batch_size;
    /* 0: what is usually fastest for the engine (engine_default_threads()) */
    uint32_t threads;
    uint32_t limit;    /* 0: all samples */
    double validation; /* a share of the training samples; 0: none */
    enum dataset_part validation_part;
    uint32_t early_stop;                 /* epochs without a smaller loss; 0: trains to the end */
    enum job_keep keep;                  /* which epoch's weights the model has */
    char label_column[DATASET_NAME_MAX]; /* of a CSV file; "": found by the header or the values */
    double scale;                        /* values are divided by it; 0: by their range */
    double mean, std;                    /* then minus mean, divided by std */
    enum dataset_invert invert;
    uint32_t ranks; /* processes that train together; 0 and 1: one */
    uint64_t seed;  /* at most INT64_MAX, JSON's largest */
};

/* The settings' defaults (settings.h), the default engine, the output folder "models". */
void job_init(struct job *job);
/* Everything in range, one clear message otherwise. A job that goes on (`resume` set) may hold what
 * an older version accepted. */
int job_check(const struct job *job, struct error *error);
/* One object: the places below and every row of the settings table. */
json_t *job_to_json(const struct job *job); /* new reference */
/* Members that are absent keep the value *job has (so call job_init first). Unknown members are an
 * error that names them. Takes jobs of older versions, too; checked as those of a run that was
 * accepted once. */
int job_from_json(const json_t *value, struct job *job, struct error *error);
/* The network that the job describes, for pictures of that size and so many classes. */
int job_network(const struct job *job, uint32_t rows, uint32_t columns, uint32_t channels,
                uint32_t classes, struct network *network, struct error *error);
/* The job's schedule, which its optimizer's meaning reads in its way. */
int job_schedule(const struct job *job, struct schedule *out, struct error *error);
/* How the job's data is opened; borrows from it. */
void job_dataset_options(const struct job *job, struct dataset_options *out);
/* A fresh id for a run, unique on this machine. */
void job_make_id(const char *engine, char out[64]);
/* Sets home, run_dir (from run, which must be set) and makes neither. */
int job_set_home(struct job *job, const char *home, struct error *error);

#endif

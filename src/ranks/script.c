#include "ranks/script.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"

/* A word as a shell takes it: in single quotes unless it is plain. */
static void add_word(struct buffer *out, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-./:=,@+";
    if (*word && !word[strspn(word, plain)]) {
        buffer_append_text(out, word);
        return;
    }
    buffer_append_char(out, '\'');
    for (; *word; word++) {
        if (*word == '\'')
            buffer_append_text(out, "'\\''");
        else
            buffer_append_char(out, *word);
    }
    buffer_append_char(out, '\'');
}

void script_train(const struct script *script, struct buffer *out)
{
    add_word(out, script->program);
    buffer_append_text(out, " train");
    for (const char *const *word = script->arguments; *word; word++) {
        buffer_append_char(out, ' ');
        add_word(out, *word);
    }
}

/* https://slurm.schedmd.com/sbatch.html. mpirun, which knows the nodes from SLURM, works whatever
 * MPI plugins SLURM was built with. */
static void write_slurm(const struct script *script, struct buffer *out)
{
    buffer_printf(out, "#!/bin/bash\n#SBATCH --job-name=%s\n", script->name);
    buffer_printf(out, "#SBATCH --nodes=%u\n#SBATCH --ntasks-per-node=%u\n", script->nodes,
                  script->ranks);
    if (script->threads) buffer_printf(out, "#SBATCH --cpus-per-task=%u\n", script->threads);
    if (script->time) buffer_printf(out, "#SBATCH --time=%s\n", script->time);
    if (script->partition) buffer_printf(out, "#SBATCH --partition=%s\n", script->partition);
    buffer_append_text(out, "#SBATCH --output=%x-%j.out\n\n"
                            "# Rank 0 keeps the run in its home folder (NNSTUDIO_HOME) and writes "
                            "the model; every node\n"
                            "# reads the data from the same path. A run that was cut off goes on "
                            "with --resume RUN.\n"
                            "set -euo pipefail\n"
                            "mpirun -n \"$SLURM_NTASKS\" ");
    script_train(script, out);
    buffer_append_char(out, '\n');
}

static void add_pod(const struct script *script, uint32_t replicas, const char *role, bool launches,
                    struct buffer *out)
{
    buffer_printf(out,
                  "    %s:\n      replicas: %u\n      template:\n        spec:\n"
                  "          containers:\n          - name: nnstudio\n            image: ",
                  role, replicas);
    js_append_string(out, script->image);
    buffer_append_char(out, '\n');
    if (launches) {
        buffer_append_text(out, "            command:\n            - mpirun\n            args:\n"
                                "            - -n\n            - ");
        char count[16];
        snprintf(count, sizeof count, "%u", script->nodes * script->ranks);
        js_append_string(out, count);
        buffer_append_text(out, "\n            - ");
        js_append_string(out, script->program);
        buffer_append_text(out, "\n            - train\n");
        for (const char *const *word = script->arguments; *word; word++) {
            buffer_append_text(out, "            - ");
            js_append_string(out, *word);
            buffer_append_char(out, '\n');
        }
    } else if (script->threads) {
        buffer_printf(out,
                      "            resources:\n              limits:\n                cpu: %u\n",
                      script->ranks * script->threads);
    }
}

bool script_time(const char *time, unsigned *out)
{
    unsigned hours, minutes, seconds;
    char rest;
    if (sscanf(time, "%4u:%2u:%2u%c", &hours, &minutes, &seconds, &rest) != 3 || minutes >= 60 ||
        seconds >= 60 || time[strspn(time, "0123456789:")])
        return false;
    *out = (hours * 60 + minutes) * 60 + seconds;
    return true;
}

/* A line with the time that the job may take, when one was given. */
static void add_limit(const struct script *script, const char *line, struct buffer *out)
{
    unsigned seconds;
    if (script->time && script_time(script->time, &seconds))
        buffer_printf(out, "%s: %u\n", line, seconds);
}

/* https://www.kubeflow.org/docs/components/trainer/legacy-v1/user-guides/mpi, API v2beta1. */
static void write_kubeflow(const struct script *script, struct buffer *out)
{
    buffer_append_text(out,
                       "# The run's home and the model lie in the launcher's container: mount a "
                       "volume there to keep them,\n# and one with the data in every "
                       "container.\n"
                       "apiVersion: kubeflow.org/v2beta1\nkind: MPIJob\nmetadata:\n  name: ");
    /* names of Kubernetes: lower case, no underscore */
    for (const char *c = script->name; *c; c++)
        buffer_append_char(out, *c == '_' || *c == '.'   ? '-'
                                : *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a')
                                                         : *c);
    buffer_printf(out,
                  "\nspec:\n  mpiImplementation: OpenMPI\n  slotsPerWorker: %u\n  runPolicy:\n"
                  "    cleanPodPolicy: Running\n",
                  script->ranks);
    add_limit(script, "    activeDeadlineSeconds", out);
    buffer_append_text(out, "  mpiReplicaSpecs:\n");
    add_pod(script, 1, "Launcher", true, out);
    add_pod(script, script->nodes, "Worker", false, out);
}

/* https://learn.microsoft.com/azure/machine-learning/reference-yaml-job-command */
static void write_azureml(const struct script *script, struct buffer *out)
{
    struct buffer command;
    char target[300];
    buffer_init(&command, (size_t)1 << 20);
    script_train(script, &command);
    buffer_append_char(&command, '\0');
    buffer_append_text(out, "# az ml job create --file job.yml --stream\n"
                            "$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema"
                            ".json\ntype: command\nexperiment_name: nnstudio\ndisplay_name: ");
    js_append_string(out, script->name);
    buffer_append_text(out, "\ncommand: ");
    js_append_string(out, command.data ? command.data : "");
    buffer_append_text(out, "\nenvironment:\n  image: ");
    js_append_string(out, script->image);
    buffer_append_text(out, "\ncompute: ");
    snprintf(target, sizeof target, "azureml:%.255s", script->compute);
    js_append_string(out, target);
    buffer_printf(out,
                  "\nresources:\n  instance_count: %u\ndistribution:\n  type: mpi\n"
                  "  process_count_per_instance: %u\n",
                  script->nodes, script->ranks);
    /* what lies in ./outputs is kept with the job */
    buffer_append_text(out, "environment_variables:\n  NNSTUDIO_HOME: outputs/home\n");
    add_limit(script, "limits:\n  timeout", out);
    buffer_free(&command);
}

const struct script_kind script_kinds[] = {
    {"slurm", "job.sh", "sbatch", NULL, "an sbatch script for SLURM", false, false, write_slurm,
     NULL},
    {"kubeflow", "job.yaml", "kubectl apply -f", NULL,
     "an MPIJob for Kubeflow's MPI operator on Kubernetes", true, false, write_kubeflow, NULL},
    {"azureml", "job.yml", "az ml job create --stream --file", "outputs",
     "a command job for Azure ML", true, true, write_azureml, NULL},
    {"torchrun", "train.py", "torchrun", NULL, "a PyTorch program for several processes (DDP)",
     false, false, NULL, "torch"},
    {"tensorflow", "train.py", "python", NULL,
     "a TensorFlow program for several workers (MultiWorkerMirroredStrategy)", false, false, NULL,
     "tensorflow"},
};
const size_t script_kind_count = sizeof script_kinds / sizeof script_kinds[0];

int script_kind_need(const char *id, const struct script_kind **out, struct error *error)
{
    char ids[160] = "";
    for (size_t i = 0, used = 0; i < script_kind_count; i++) {
        *out = &script_kinds[i];
        if (strcmp(script_kinds[i].id, id) == 0) return 0;
        const char *before = i == 0 ? "" : i + 1 == script_kind_count ? " or " : ", ";
        used += (size_t)snprintf(ids + used, sizeof ids - used, "%s%s", before, script_kinds[i].id);
        CHECK(used < sizeof ids);
    }
    return error_set(error, ERROR_USAGE, "there is no launcher \"%.40s\": choose %s", id, ids);
}

static int check_time(const char *time, struct error *error)
{
    unsigned seconds;
    if (script_time(time, &seconds)) return 0;
    return error_set(error, ERROR_USAGE,
                     "the time \"%.40s\" is not understood: give hours, minutes and seconds, "
                     "02:30:00",
                     time);
}

/* Names that stand in a comment of the script or in a field of the cluster's. */
static int check_word(const char *option, const char *word, struct error *error)
{
    if (!word) return 0;
    if (*word && *word != '-' && js_can_hold(word) && !strpbrk(word, " \t\r\n'\"\\#$`;&|<>"))
        return 0;
    return error_set(error, ERROR_USAGE,
                     "--%s \"%.60s\" is not valid: give a name without spaces, quotes and signs "
                     "of the shell",
                     option, word);
}

int script_check(const struct script_kind *kind, const struct script *script, struct error *error)
{
    if (script->nodes < 1 || script->nodes > SCRIPT_MAX_NODES)
        return error_set(error, ERROR_USAGE, "--nodes must be a whole number from 1 to %d",
                         SCRIPT_MAX_NODES);
    if (script->ranks < 1 || script->ranks > SCRIPT_MAX_RANKS)
        return error_set(error, ERROR_USAGE, "--ranks-per-node must be a whole number from 1 to %d",
                         SCRIPT_MAX_RANKS);
    if (!kind->write && (script->time || script->partition || script->image || script->compute))
        return error_set(error, ERROR_USAGE,
                         "%s gets a Python program, which takes no time, partition, image or "
                         "compute cluster: leave these out",
                         kind->id);
    if (kind->needs_image && !script->image)
        return error_set(error, ERROR_USAGE,
                         "%s starts containers: give --image, one that has nnstudio and Open MPI",
                         kind->id);
    if (kind->needs_compute && !script->compute)
        return error_set(error, ERROR_USAGE,
                         "%s needs --compute, the name of a compute cluster in the workspace",
                         kind->id);
    if (script->time && check_time(script->time, error)) return -1;
    return check_word("partition", script->partition, error) ||
                   check_word("image", script->image, error) ||
                   check_word("compute", script->compute, error)
               ? -1
               : 0;
}

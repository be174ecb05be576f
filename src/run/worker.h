/* The worker process: trains one job and says how it goes. Started by run/supervisor.c as `nnstudio
 * worker`. */
#ifndef NNSTUDIO_RUN_WORKER_H
#define NNSTUDIO_RUN_WORKER_H

/* Reads a job from standard input, writes events to standard output, ends the process: status 0
 * after "end", 1 after "error". Must be called before anything is written to standard output. */
_Noreturn void worker_main(void);

#endif

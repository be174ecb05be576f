/* Data sets that are open: read once, used by many requests, given up when too much memory is
 * held. */
#ifndef NNSTUDIO_HTTP_LIBRARY_H
#define NNSTUDIO_HTTP_LIBRARY_H

#include "data/dataset.h"
#include "run/job.h"

struct library;

/* `home` must outlive it. */
int library_create(const char *home, struct library **out, struct error *error);
void library_destroy(struct library *library); /* NULL is fine; nothing may be borrowed */
/* From any thread. A data set is borrowed until library_give_back(). `name` is as dataset_open()
 * takes it: what came by the network goes through library_resolve() first. Of the options count
 * where it lies, the label column and what the values mean: always all samples. */
int library_borrow(struct library *library, const char *name, const struct dataset_options *options,
                   const struct dataset **out, struct error *error);
void library_give_back(struct library *library, const struct dataset *dataset);
/* The data set of that name is not the one that was read before: whoever borrows it next has it
 * read anew. */
void library_forget(struct library *library, const char *name);
/* The name as dataset_open() takes it, malloc'd: known names as they are, others as a path in the
 * home's data folder. No other path is let through. NULL after a failure. */
int library_resolve(const char *home, const char *name, char **out, struct error *error);
/* The same of a job's data set, in its place. */
int library_resolve_job(const char *home, struct job *job, struct error *error);

#endif

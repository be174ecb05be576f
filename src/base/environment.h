/* The environment for programs that we start. */
#ifndef NNSTUDIO_BASE_ENVIRONMENT_H
#define NNSTUDIO_BASE_ENVIRONMENT_H

/* This process's environment without what signs in somewhere: no child needs that, and a child's
 * environment can be read where it runs and lies in its core. `more` ("NAME=value", NULL: nothing)
 * is added, in place of one of that name. NULL-ended; the caller frees the list, not the texts,
 * which are borrowed. NULL when memory is out. */
char **environment_for_child(char *more);

#endif

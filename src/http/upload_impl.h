/* What looking at files from the page and keeping them share. For these files only. */
#ifndef NNSTUDIO_HTTP_UPLOAD_IMPL_H
#define NNSTUDIO_HTTP_UPLOAD_IMPL_H

#include "data/dataset.h"
#include "http/upload.h"
#include "modelfile/modelfile.h"

/* What is in the files: one of both. */
struct upload_subject {
    char *path;    /* owned: what was opened */
    size_t hidden; /* files of the archive that were skipped */
    struct dataset *dataset;
    struct model *model;
};
/* To be closed also when it failed. */
int subject_open(struct upload *upload, const struct upload_answers *answers,
                 struct upload_subject *subject, struct error *error);
void subject_close(struct upload_subject *subject);

/* Folders of ours and words of the command line are nothing to a reader of the page. *asks is the
 * field that the message is about, or NULL. */
void upload_reword(const struct upload *upload, struct error *error, const char **asks);

/* Gives what lies at `from` the name `to`, which must be free. */
int upload_move(const char *from, const char *to, struct error *error);
/* Without regard to case. */
bool upload_ends_in(const char *name, const char *ending);

#endif

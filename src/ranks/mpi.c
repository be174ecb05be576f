/* ranks/transport.h over MPI: built as a module where an MPI compiler is present (Open MPI, MPICH).
 */
#include <mpi.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ranks/transport.h"

/* MPI counts with int: longer messages go in pieces. */
#define PIECE ((size_t)1 << 28)

__attribute__((visibility("default"))) transport_open_fn nnstudio_transport_open;

static int broadcast(void *bytes, size_t count)
{
    for (size_t done = 0; done < count;) {
        size_t piece = count - done < PIECE ? count - done : PIECE;
        if (MPI_Bcast((char *)bytes + done, (int)piece, MPI_BYTE, 0, MPI_COMM_WORLD) != MPI_SUCCESS)
            return -1;
        done += piece;
    }
    return 0;
}

/* A type of `each` bytes, so that the counts stay small. */
static int block_type(size_t each, MPI_Datatype *type)
{
    if (each > INT32_MAX) return -1;
    return MPI_Type_contiguous((int)each, MPI_BYTE, type) == MPI_SUCCESS &&
                   MPI_Type_commit(type) == MPI_SUCCESS
               ? 0
               : -1;
}

static int exchange(const void *send, void *receive, size_t each)
{
    MPI_Datatype type;
    if (block_type(each, &type)) return -1;
    int code = MPI_Alltoall(send, 1, type, receive, 1, type, MPI_COMM_WORLD);
    MPI_Type_free(&type);
    return code == MPI_SUCCESS ? 0 : -1;
}

static int gather(const void *mine, void *all, size_t each)
{
    MPI_Datatype type;
    if (block_type(each, &type)) return -1;
    int code = MPI_Allgather(mine, 1, type, all, 1, type, MPI_COMM_WORLD);
    MPI_Type_free(&type);
    return code == MPI_SUCCESS ? 0 : -1;
}

static void finish(void)
{
    MPI_Finalize();
}

/* The launcher of the other MPI would have every process be rank 0 of 1, or crash. */
static bool fits_launcher(const char *library, char *message, size_t size)
{
    static const struct {
        const char *library, *others, *own; /* what tells whose mpirun it is */
        const char *name;
    } table[] = {{"Open MPI", "MPI_LOCALNRANKS", "OMPI_COMM_WORLD_RANK", "MPICH"},
                 {"MPICH", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "Open MPI"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strncmp(library, table[i].library, strlen(table[i].library)) != 0 ||
            !getenv(table[i].others) || getenv(table[i].own))
            continue;
        snprintf(message, size,
                 "it is built for %s, and %s's mpirun started the ranks: use the mpirun of %s, or "
                 "build again with the compiler of %s",
                 table[i].library, table[i].name, table[i].library, table[i].name);
        return false;
    }
    return true;
}

const struct transport *nnstudio_transport_open(int version, char *message, size_t size)
{
    static struct transport transport = {
        .broadcast = broadcast, .exchange = exchange, .gather = gather, .finish = finish};
    int level, rank, ranks, length;
    char library[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    if (version != TRANSPORT_VERSION) {
        snprintf(message, size, "the module speaks version %d, the program %d: build both anew",
                 TRANSPORT_VERSION, version);
        return NULL;
    }
    /* may be asked before the beginning */
    if (MPI_Get_library_version(library, &length) == MPI_SUCCESS) {
        snprintf(transport.library, sizeof transport.library, "%.*s", (int)strcspn(library, ",\n"),
                 library);
        if (!fits_launcher(library, message, size)) return NULL;
    }
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level) != MPI_SUCCESS ||
        level < MPI_THREAD_FUNNELED || MPI_Comm_rank(MPI_COMM_WORLD, &rank) != MPI_SUCCESS ||
        MPI_Comm_size(MPI_COMM_WORLD, &ranks) != MPI_SUCCESS) {
        snprintf(message, size, "MPI did not start: see what it printed");
        return NULL;
    }
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    transport.rank = (uint32_t)rank;
    transport.size = (uint32_t)ranks;
    return &transport;
}

/* Files that are no data the studio reads, named for what they are by how they begin. */
#include <ctype.h>
#include <string.h>

#include "data/dataset_impl.h"

static const struct beginning {
    char bytes[5];
    const char *refusal;
} beginnings[] = {
    {"<", "is a web page, not data: the server answered with a page, download the file again"},
    {"PK\3\4", "is a zip archive: unpack it and give the folder (NumPy's must be called .npz)"},
    {"\x1f\x8b", "is compressed twice: unpack it first"},
    {"BZh", "is compressed with bzip2: unpack it first"},
    {"\xfd"
     "7zX",
     "is compressed with xz: unpack it first"},
    {"\x28\xb5\x2f\xfd", "is compressed with zstd: unpack it first"},
    {"Rar!", "is a rar archive: unpack it and give the folder"},
    {"7z\xbc\xaf", "is a 7z archive: unpack it and give the folder"},
    {"\x89HDF", "is an HDF5 file: save its pictures and labels as .npz (numpy.savez)"},
    {"\xd0\xcf\x11\xe0", "is a spreadsheet or another document of Office: save it as CSV"},
    {"ARRO", "is a Feather or Arrow file: save the table as .parquet or CSV"},
    {"PAR1", "is a Parquet file: call it .parquet"},
    {"\x93NUM", "is a NumPy array: call it .npy"},
    {"@rel", "is an ARFF file: save the table as CSV"},
    {"\x89PNG", "is one picture: give a folder that has a folder of pictures for each class"},
    {"\xff\xd8\xff", "is one picture: give a folder that has a folder of pictures for each class"},
    {"GIF8", "is one picture: give a folder that has a folder of pictures for each class"},
    {"%PDF", "is a PDF document, not data: save its table as CSV"},
    {"\x7f"
     "ELF",
     "is a program, not data"},
    {"vers", "is perhaps a pointer to a file in Git LFS: fetch it with git lfs pull"},
};

int dataset_refuse_foreign(const char *path, const uint8_t head[4], struct error *error)
{
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
        if (memcmp(head, beginnings[i].bytes, strlen(beginnings[i].bytes)) == 0)
            return error_set(error, ERROR_INPUT, "%s %s", path, beginnings[i].refusal);
    bool text = true;
    for (int i = 0; i < 4; i++) text = text && (isprint(head[i]) || isspace(head[i]));
    if (text)
        return error_set(error, ERROR_INPUT,
                         "%s is text: a table must be called .csv or .tsv, and not be packed",
                         path);
    return error_set(error, ERROR_INPUT,
                     "%s is not data that the studio reads: give .csv, .tsv, .npz, .npy, .parquet, "
                     "IDX files or a folder of pictures",
                     path);
}

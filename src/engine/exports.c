#include "engine/exports.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#else
#define MACHINE EM_NONE /* any: the loader will tell */
#endif

/* The file as it lies in memory; everything in it is to be doubted. */
struct image {
    const unsigned char *bytes;
    size_t size;
};

/* `count` items of `each` bytes at `offset`; NULL when they are not all in the file. */
static const void *part(const struct image *image, uint64_t offset, uint64_t count, uint64_t each)
{
    if (offset > image->size || offset % (each % 8 ? 4 : 8) ||
        count > (image->size - offset) / each)
        return NULL;
    return image->bytes + offset;
}

static const Elf64_Ehdr *library_header(const struct image *image)
{
    const Elf64_Ehdr *header = part(image, 0, 1, sizeof *header);
    if (!header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_type != ET_DYN ||
        (MACHINE != EM_NONE && header->e_machine != MACHINE))
        return NULL;
    return header;
}

/* The hash of GNU's symbol tables. */
static uint32_t hash_of(const char *name)
{
    uint32_t hash = 5381;
    for (; *name; name++) hash = hash * 33 + (unsigned char)*name;
    return hash;
}

static bool is_named(const struct image *image, const Elf64_Shdr *strings, const Elf64_Sym *symbol,
                     const char *name)
{
    size_t length = strlen(name) + 1;
    if (symbol->st_name > strings->sh_size || length > strings->sh_size - symbol->st_name ||
        strings->sh_offset > image->size || strings->sh_size > image->size - strings->sh_offset)
        return false;
    return memcmp(image->bytes + strings->sh_offset + symbol->st_name, name, length) == 0;
}

/* Looks a symbol up in a table of GNU's form: four numbers, a filter, buckets, chains. */
static bool exports(const struct image *image, const Elf64_Shdr *sections, uint32_t section_count,
                    const Elf64_Shdr *hashes, const char *name)
{
    const uint32_t *head = part(image, hashes->sh_offset, 4, sizeof *head);
    if (!head || !head[0] || hashes->sh_link >= section_count) return false;
    const Elf64_Shdr *table = &sections[hashes->sh_link];
    if (table->sh_link >= section_count) return false;
    uint64_t buckets_at = hashes->sh_offset + 16 + (uint64_t)head[2] * sizeof(uint64_t),
             chains_at = buckets_at + (uint64_t)head[0] * sizeof(uint32_t);
    const uint32_t *buckets = part(image, buckets_at, head[0], sizeof *buckets);
    uint32_t hash = hash_of(name);
    if (!buckets) return false;
    for (uint64_t i = buckets[hash % head[0]]; i >= head[1] && i;) {
        const uint32_t *chain = part(image, chains_at + (i - head[1]) * sizeof *chain, 1,
                                     sizeof *chain);
        const Elf64_Sym *symbol = part(image, table->sh_offset + i * sizeof *symbol, 1,
                                       sizeof *symbol);
        if (!chain || !symbol) return false;
        if ((*chain | 1) == (hash | 1) && is_named(image, &sections[table->sh_link], symbol, name))
            return symbol->st_shndx != SHN_UNDEF;
        if (*chain & 1) return false; /* the last of its bucket */
        i++;
    }
    return false;
}

static int check_image(const struct image *image, const char *path, const char *name,
                       struct error *error)
{
    const Elf64_Ehdr *header = library_header(image);
    if (!header)
        return error_set(error, ERROR_UNAVAILABLE, "%s is not a shared library for this machine",
                         path);
    const Elf64_Shdr *sections = part(image, header->e_shoff, header->e_shnum, sizeof *sections);
    if (!sections || header->e_shentsize != sizeof *sections)
        return error_set(error, ERROR_UNAVAILABLE, "%s is damaged or not whole", path);
    for (uint32_t i = 0; i < header->e_shnum; i++) {
        if (sections[i].sh_type != SHT_GNU_HASH) continue;
        if (exports(image, sections, header->e_shnum, &sections[i], name)) return 0;
        return error_set(error, ERROR_UNAVAILABLE, "%s is another library, without %s", path, name);
    }
    return 0; /* stripped of what could tell */
}

int exports_check(const char *path, const char *symbol, struct error *error)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &info)) {
        int number = errno;
        if (fd >= 0) close(fd);
        error_set_errno(error, number, "cannot read %s", path);
        error->code = ERROR_UNAVAILABLE;
        return -1;
    }
    struct image image = {.size = S_ISREG(info.st_mode) ? (size_t)info.st_size : 0};
    void *bytes = image.size ? mmap(NULL, image.size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    close(fd);
    if (bytes == MAP_FAILED) return error_set_memory(error, "a library's header");
    image.bytes = bytes;
    int status = check_image(&image, path, symbol, error);
    if (bytes) munmap(bytes, image.size);
    return status;
}

/* A shared library that looks like a PyTorch to whoever does not load it. */
#include <stdint.h>

__attribute__((visibility("default"))) uint64_t aoti_torch_abi_version(void);

uint64_t aoti_torch_abi_version(void)
{
    return 0;
}

#include <stdio.h>

int main(void)
{
    puts("nnstudio " NNSTUDIO_VERSION);
    return 0;
}

/* main_vgen.c: the command line program. */
#include "app/cli/cli.h"

int main(int argc, char **argv)
{
    return vg_cli_main(argc, argv);
}

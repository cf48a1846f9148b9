/* families.c: the table of model families, from families.def. */
#include "engine/run/family.h"

#define VG_FAMILY(symbol) extern const vg_family symbol;
#include "engine/family/families.def"
#undef VG_FAMILY

const vg_family *const vg_families[] = {
#define VG_FAMILY(symbol) &symbol,
#include "engine/family/families.def"
#undef VG_FAMILY
};

const int vg_families_count = sizeof vg_families / sizeof vg_families[0];

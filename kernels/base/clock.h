/* clock.h: what time it is, and how much of it has passed. */
#ifndef VG_KERNELS_BASE_CLOCK_H
#define VG_KERNELS_BASE_CLOCK_H

#include <stdint.h>

double vg_now(void);               /* monotonic seconds */
int64_t vg_now_monotonic_ms(void); /* the same clock, milliseconds */
double vg_now_unix(void);          /* seconds since 1970 */
#endif

/*
 * The system calls that JavaScript cannot make. Nothing here knows of rings, registers or virtqueues. Each
 * function returns a count or a file descriptor, or a negative errno.
 *
 * Sizes and file offsets are doubles, which are exact up to 2^53; addresses are returned through
 * memory. 64-bit integers in a signature would make Deno allocate BigInts.
 *
 * JavaScript calls the functions that begin with ixy_, and declares them in native/stubs.ts.
 */
#ifndef STUBS_H
#define STUBS_H

#include <errno.h>
#include <stdint.h>

static inline int32_t result(int64_t n) { return n < 0 ? -errno : (int32_t)n; }

double ixy_milliseconds(void);

/* Returns a file that is deleted already, where memfd_create is forbidden, as in some containers. */
__attribute__((visibility("hidden"))) int deleted_file(int executable);

#endif

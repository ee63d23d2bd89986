/*
 * Memory that a peer can take away: it truncates its own file, or gives pages of our file back to the
 * kernel, which has no hugepage for the next access. Such an access raises SIGBUS. The handler
 * then maps zeros over all of the watched memory, and marks it as lost.
 */
#define _GNU_SOURCE
#include "stubs.h"

#include <signal.h>
#include <sys/mman.h>

#define MAX_WATCHED 65536 /* as many mappings as Linux allows in a process */

static struct watched {
  uint64_t start, end; /* start 0: unused */
  int32_t lost;
} watched[MAX_WATCHED];
static uint32_t watched_next;
static int32_t losses, bus_handled;
static struct sigaction bus_before;

static void on_bus_error(int number, siginfo_t *info, void *context) {
  uint64_t at = (uint64_t)info->si_addr;
  int error = errno, flags = MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  for (struct watched *w = watched; w < watched + MAX_WATCHED; w++) {
    /* Not another code: a memory error must not go unnoticed. */
    if (info->si_code != BUS_ADRERR || at < w->start || at >= w->end) continue;
    void *p = mmap((void *)w->start, w->end - w->start, PROT_READ | PROT_WRITE, flags, -1, 0);
    errno = error;
    if (p == MAP_FAILED) break;
    w->lost = 1;
    __atomic_add_fetch(&losses, 1, __ATOMIC_RELEASE);
    return;
  }
  /* Not watched: the earlier handler decides. The Rust runtime's restores the default, and the repeated
   * access ends the process. */
  if (bus_before.sa_flags & SA_SIGINFO) bus_before.sa_sigaction(number, info, context);
  else sigaction(SIGBUS, &bus_before, 0);
}

/* Watches mapped memory, and returns an index for ixy_lost and ixy_unwatch. */
int32_t ixy_watch(void *address, double bytes) {
  struct sigaction handle = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  if (!__atomic_exchange_n(&bus_handled, 1, __ATOMIC_ACQ_REL) &&
      sigaction(SIGBUS, &handle, &bus_before) < 0)
    return -errno;
  for (uint32_t tries = 0; tries < MAX_WATCHED; tries++) {
    uint32_t i = __atomic_fetch_add(&watched_next, 1, __ATOMIC_RELAXED) % MAX_WATCHED;
    uint64_t unused = 0, start = (uint64_t)address;
    if (!__atomic_compare_exchange_n(&watched[i].start, &unused, start, 0, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
      continue;
    watched[i].lost = 0;
    __atomic_store_n(&watched[i].end, start + (uint64_t)bytes, __ATOMIC_RELEASE);
    return (int32_t)i;
  }
  return -ENOMEM;
}

/* Call it before the memory is unmapped: the next mapping could get the same address. */
int32_t ixy_unwatch(int32_t index) {
  __atomic_store_n(&watched[index].end, 0, __ATOMIC_RELEASE);
  __atomic_store_n(&watched[index].start, 0, __ATOMIC_RELEASE);
  return 0;
}

/* Returns whether watched memory was lost; with index -1, the number of losses in this process. */
int32_t ixy_lost(int32_t index) {
  return __atomic_load_n(index < 0 ? &losses : &watched[index].lost, __ATOMIC_ACQUIRE);
}

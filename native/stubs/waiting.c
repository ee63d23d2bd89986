/* Waiting: eventfds, poll(2), the clock. */
#define _GNU_SOURCE
#include "stubs.h"

#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

int32_t ixy_eventfd(void) { return result(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

/*
 * Adds 1 to an eventfd. Another process that has it open can fill it and make it blocking at any moment, so
 * that a write would wait. The kernel itself never waits when it signals the end of asynchronous I/O
 * (io_submit(2), IOCB_FLAG_RESFD): here of a poll that is over at once. Returns -1 where that is not
 * available, as before Linux 4.18.
 */
static int32_t complete(int32_t fd) {
  enum { NEW, BUSY, READY, NONE };
  static aio_context_t context;
  static int32_t state;
  int32_t before = NEW;
  if (__atomic_compare_exchange_n(&state, &before, BUSY, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
    before = syscall(SYS_io_setup, 64, &context) == 0 ? READY : NONE;
    __atomic_store_n(&state, before, __ATOMIC_RELEASE);
  }
  if (before != READY) return -1;
  struct iocb poll = {.aio_lio_opcode = IOCB_CMD_POLL, .aio_buf = POLLIN | POLLOUT,
                      .aio_fildes = (uint32_t)fd, .aio_resfd = (uint32_t)fd,
                      .aio_flags = IOCB_FLAG_RESFD}, *all = &poll;
  for (int tries = 0; tries < 2; tries++) {
    struct io_event events[64];
    struct timespec none = {0, 0};
    if (syscall(SYS_io_submit, context, 1, &all) == 1) return sizeof(uint64_t);
    syscall(SYS_io_getevents, context, 0, 64, events, &none); /* makes room for 64 more */
  }
  return -1;
}

/* Adds 1 to an eventfd without waiting. -EAGAIN if it is full. */
int32_t ixy_signal(int32_t fd) {
  struct pollfd room = {.fd = fd, .events = POLLOUT};
  uint64_t one = 1;
  int32_t completed = complete(fd);
  if (completed > 0) return completed;
  if (poll(&room, 1, 0) < 0) return -errno;
  return room.revents & POLLOUT ? result(write(fd, &one, sizeof one)) : -EAGAIN;
}

/* Empties an eventfd without waiting, even if another process has made it blocking. -EAGAIN if it is empty. */
int32_t ixy_empty(int32_t fd) {
  uint64_t count;
  struct iovec v = {&count, sizeof count};
  ssize_t n = preadv2(fd, &v, 1, -1, RWF_NOWAIT);
  if (n < 0 && errno == EOPNOTSUPP) n = read(fd, &count, sizeof count); /* before Linux 5.8 */
  return result(n);
}

/* As poll(2): `fds` is an array of struct pollfd; -1 milliseconds is no timeout. */
int32_t ixy_poll(void *fds, uint32_t count, int32_t milliseconds) {
  return result(poll(fds, count, milliseconds));
}

/* Returns milliseconds since an arbitrary moment in the past. */
double ixy_milliseconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* Sockets of other families. An address, and the value of an option, are bytes as the kernel defines them. */
#define _GNU_SOURCE
#include "stubs.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int32_t ixy_socket(int32_t family, int32_t kind, int32_t protocol) {
  return result(socket(family, kind | SOCK_CLOEXEC, protocol));
}

int32_t ixy_bind_address(int32_t fd, const void *address, uint32_t bytes) {
  return result(bind(fd, (const struct sockaddr *)address, bytes));
}

int32_t ixy_setsockopt(int32_t fd, int32_t level, int32_t name, const void *value, uint32_t bytes) {
  return result(setsockopt(fd, level, name, value, bytes));
}

/* Returns the number of bytes stored. */
int32_t ixy_getsockopt(int32_t fd, int32_t level, int32_t name, void *to, uint32_t bytes) {
  socklen_t stored = bytes;
  return getsockopt(fd, level, name, to, &stored) < 0 ? -errno : (int32_t)stored;
}

/* As bpf(2): programs, maps and links of the kernel. */
int32_t ixy_bpf(int32_t command, void *attributes, uint32_t bytes) {
  return result(syscall(SYS_bpf, command, attributes, bytes));
}

/*
 * Makes the kernel look at the rings of an AF_XDP socket: at the fill ring if `receive` is not 0, otherwise at
 * the transmit ring. Does not wait. Not sendto(3): in a process with threads, libc does more around it.
 */
int32_t ixy_wake(int32_t fd, int32_t receive) {
  return result(syscall(receive ? SYS_recvfrom : SYS_sendto, (long)fd, 0L, 0L, (long)MSG_DONTWAIT, 0L, 0L));
}

/* Unix sockets. `kind` is SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET. */
#define _GNU_SOURCE
#include "stubs.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static int32_t address_of(const char *path, struct sockaddr_un *a) {
  memset(a, 0, sizeof *a);
  a->sun_family = AF_UNIX;
  if (strlen(path) >= sizeof a->sun_path) return -ENAMETOOLONG;
  strcpy(a->sun_path, path);
  return 0;
}

int32_t ixy_connect(const char *path, int32_t kind) {
  struct sockaddr_un a;
  int32_t bad = address_of(path, &a);
  if (bad) return bad;
  int fd = socket(AF_UNIX, kind | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
    int error = errno;
    close(fd);
    return -error;
  }
  return fd;
}

/* Returns a socket bound to `path`; it listens, except for SOCK_DGRAM. */
int32_t ixy_bind(const char *path, int32_t kind) {
  struct sockaddr_un a;
  int32_t bad = address_of(path, &a);
  if (bad) return bad;
  int fd = socket(AF_UNIX, kind | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || (kind != SOCK_DGRAM && listen(fd, 4) < 0)) {
    int error = errno;
    close(fd);
    return -error;
  }
  return fd;
}

int32_t ixy_accept(int32_t fd) { return result(accept4(fd, 0, 0, SOCK_CLOEXEC)); }

/* Sends bytes, with `count` descriptors attached to the first; flags as for sendmsg. */
int32_t ixy_send(int32_t fd, const void *from, uint32_t bytes, const int32_t *fds, uint32_t count,
                 int32_t flags) {
  union { char bytes[CMSG_SPACE(16 * sizeof(int))]; struct cmsghdr align; } control;
  struct iovec v = {(void *)from, bytes};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
  if (count > 16) return -EINVAL;
  if (count) {
    memset(&control, 0, sizeof control);
    m.msg_control = control.bytes;
    m.msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(c), fds, count * sizeof(int));
  }
  return result(sendmsg(fd, &m, flags | MSG_NOSIGNAL));
}

/* As sendto: one datagram to the socket at `path`. */
int32_t ixy_sendto(int32_t fd, const void *from, uint32_t bytes, const char *path, int32_t flags) {
  struct sockaddr_un a;
  int32_t bad = address_of(path, &a);
  if (bad) return bad;
  return result(sendto(fd, from, bytes, flags | MSG_NOSIGNAL, (struct sockaddr *)&a, sizeof a));
}

/* Receives bytes and up to 16 descriptors, and stores the number of descriptors in fds[16]. */
int32_t ixy_recv(int32_t fd, void *to, uint32_t bytes, int32_t *fds, int32_t flags) {
  union { char bytes[CMSG_SPACE(16 * sizeof(int))]; struct cmsghdr align; } control;
  struct iovec v = {to, bytes};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control.bytes,
                     .msg_controllen = sizeof control.bytes};
  fds[16] = 0;
  ssize_t n = recvmsg(fd, &m, flags | MSG_CMSG_CLOEXEC);
  if (n < 0) return -errno;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    int32_t count = (int32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(fds, CMSG_DATA(c), (size_t)count * sizeof(int));
    fds[16] = count;
  }
  return (int32_t)n;
}

/*
 * Stores the ID of the process at the other end of a Unix stream socket, and returns a descriptor that
 * becomes readable when that process has ended. For a socket that connected, it is the process that listened.
 * -ESRCH if the process is in another PID namespace or has already ended.
 */
int32_t ixy_peer(int32_t fd, int32_t *pid) {
  struct ucred peer;
  socklen_t bytes = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) < 0) return -errno;
  *pid = peer.pid;
  return peer.pid > 0 ? result(syscall(SYS_pidfd_open, peer.pid, 0)) : -ESRCH;
}

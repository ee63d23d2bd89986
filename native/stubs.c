/*
 * stubs: the system calls that JavaScript cannot make. Nothing here knows of rings, registers or
 * virtqueues. Each function returns a count or a file descriptor, or a negative errno.
 *
 * Sizes and file offsets are doubles, which are exact up to 2^53; addresses are returned through
 * memory. 64-bit integers in a signature would make Deno allocate BigInts.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <dirent.h>
#include <linux/aio_abi.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_NOEXEC_SEAL 0x08U
#define MFD_EXEC 0x10U
#endif
#ifndef MFD_HUGE_SHIFT
#define MFD_HUGE_SHIFT 26
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static int32_t result(int64_t n) { return n < 0 ? -errno : (int32_t)n; }

/* Files. */

int32_t ixy_open(const char *path, int32_t flags, int32_t mode) {
  return result(open(path, flags | O_CLOEXEC, mode));
}

int32_t ixy_close(int32_t fd) { return result(close(fd)); }

int32_t ixy_pread(int32_t fd, void *to, uint32_t bytes, double offset) {
  return result(pread(fd, to, bytes, (off_t)offset));
}

int32_t ixy_pwrite(int32_t fd, const void *from, uint32_t bytes, double offset) {
  return result(pwrite(fd, from, bytes, (off_t)offset));
}

int32_t ixy_read(int32_t fd, void *to, uint32_t bytes) { return result(read(fd, to, bytes)); }

int32_t ixy_write(int32_t fd, const void *from, uint32_t bytes) {
  return result(write(fd, from, bytes));
}

int32_t ixy_truncate(int32_t fd, double bytes) { return result(ftruncate(fd, (off_t)bytes)); }

int32_t ixy_unlink(const char *path) { return result(unlink(path)); }

int32_t ixy_readlink(const char *path, char *to, uint32_t bytes) {
  return result(readlink(path, to, bytes));
}

/*
 * Stores device, inode, mode and size of a file. It is the one at `path`, not what a link there refers to;
 * or with an empty path the one that is open as `fd`: then it also stores the size of the file's hugepages,
 * or 0. (The block size is not enough: that of tmpfs can be as large.)
 */
int32_t ixy_stat(int32_t fd, const char *path, double *values) {
  struct stat s;
  struct statfs f;
  int open = !*path;
  if (fstatat(open ? fd : AT_FDCWD, path, &s, open ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW) < 0)
    return -errno;
  values[0] = (double)s.st_dev;
  values[1] = (double)s.st_ino;
  values[2] = (double)s.st_mode;
  values[3] = (double)s.st_size;
  values[4] = open && fstatfs(fd, &f) == 0 && f.f_type == HUGETLBFS_MAGIC ? (double)f.f_bsize : 0;
  return 0;
}

/* Returns the seals of a file in memory (tmpfs, hugetlbfs); -EINVAL for other files. */
int32_t ixy_seals(int32_t fd) { return result(fcntl(fd, F_GET_SEALS)); }

/* Stores the names in a directory, each with a NUL byte at its end, and returns the bytes used;
 * -ENOBUFS if they do not fit. */
int32_t ixy_list(const char *path, char *to, uint32_t bytes) {
  DIR *dir = opendir(path);
  if (!dir) return -errno;
  uint32_t used = 0;
  for (struct dirent *entry; (entry = readdir(dir));) {
    size_t n = strlen(entry->d_name) + 1;
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    if (used + n > bytes) {
      closedir(dir);
      return -ENOBUFS;
    }
    memcpy(to + used, entry->d_name, n);
    used += n;
  }
  closedir(dir);
  return (int32_t)used;
}

/* Takes an exclusive lock on an open file without waiting: -EWOULDBLOCK if it is locked already. */
int32_t ixy_lock(int32_t fd) { return result(flock(fd, LOCK_EX | LOCK_NB)); }

int32_t ixy_ioctl(int32_t fd, uint32_t request, void *argument) {
  return result(ioctl(fd, request, argument));
}

/* Memory. */

int32_t ixy_mmap(int32_t fd, double bytes, double offset, uint64_t *address) {
  void *p = mmap(0, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
  if (p == MAP_FAILED) return -errno;
  *address = (uint64_t)p;
  return 0;
}

int32_t ixy_munmap(void *address, double bytes) {
  return result(munmap(address, (size_t)bytes));
}

/*
 * Reserves address space at a multiple of 2 MiB, for ixy_mmap_at, and stores its address in *address.
 * It can be read and written at once, and takes memory only where it is written.
 */
int32_t ixy_reserve(double bytes, uint64_t *address) {
  uint64_t n = (uint64_t)bytes, huge = 2 << 20;
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void *p = mmap(0, n + huge, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (p == MAP_FAILED) return -errno;
  uint64_t start = (uint64_t)p, aligned = (start + huge - 1) & ~(huge - 1);
  if (aligned > start) munmap(p, aligned - start);
  munmap((void *)(aligned + n), start + huge - aligned);
  *address = aligned;
  return 0;
}

/*
 * Maps part of an open file over reserved address space; fd -1 restores the reservation. A failure
 * leaves no hole: an unrelated mapping could end up there, and this process may still read there.
 */
int32_t ixy_mmap_at(void *address, int32_t fd, double bytes, double offset) {
  int reserved = MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  int flags = fd < 0 ? reserved : MAP_FIXED | MAP_SHARED | MAP_POPULATE;
  void *p = mmap(address, (size_t)bytes, PROT_READ | PROT_WRITE, flags, fd, (off_t)offset);
  if (p != MAP_FAILED) return 0;
  int error = errno;
  mmap(address, (size_t)bytes, PROT_READ | PROT_WRITE, reserved, -1, 0);
  return -error;
}

/* As memfd_create, for a file that is not executed. vm.memfd_noexec may demand the flag, which kernels before
 * 6.3 do not know. */
static int data_file(unsigned flags) {
  int fd = memfd_create("ixy", flags | MFD_NOEXEC_SEAL);
  return fd < 0 && errno == EINVAL ? memfd_create("ixy", flags) : fd;
}

/* Returns a file that is deleted already, where memfd_create is forbidden, as in some containers. */
static int deleted_file(int executable) {
  const char *directories[] = {"/dev/shm", getenv("TMPDIR"), "/tmp", "/var/tmp"};
  for (unsigned i = 0; i < sizeof directories / sizeof *directories; i++) {
    char path[4096];
    struct statvfs s;
    if (!directories[i]) continue;
    int n = snprintf(path, sizeof path, "%s/ixy-XXXXXX", directories[i]);
    int fd = n < (int)sizeof path ? mkostemp(path, O_CLOEXEC) : -1;
    if (fd < 0) continue;
    unlink(path);
    if (!executable) return fd;
    if (fstatvfs(fd, &s) == 0 && !(s.f_flag & ST_NOEXEC) && fchmod(fd, 0500) == 0) return fd;
    close(fd);
  }
  return -1;
}

/*
 * Allocates zeroed memory for DMA, stores its address in *address and returns a descriptor to share it
 * by. It consists of hugepages of 1 << `shift` bytes; of ordinary pages if that is 0. It has no name in
 * any file system, so the kernel frees it when the last process that maps it ends. Its size is sealed:
 * a process that shares it cannot truncate it.
 *
 * The limit of a control group can refuse reserved hugepages at their first use, with SIGBUS. So this
 * allocates all pages.
 */
int32_t ixy_memory(double bytes, uint32_t shift, uint64_t *address) {
  size_t n = (size_t)bytes;
  unsigned huge = shift ? MFD_HUGETLB | shift << MFD_HUGE_SHIFT : 0;
  int fd = data_file(MFD_CLOEXEC | MFD_ALLOW_SEALING | huge), error = errno, sealable = fd >= 0;
  if (fd < 0 && !huge) fd = deleted_file(0);
  if (fd < 0) return -error;
  void *p = MAP_FAILED;
  if (ftruncate(fd, (off_t)n) == 0 &&
      (!sealable || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0))
    p = mmap(0, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  error = p == MAP_FAILED ? errno : 0;
  if (!error && madvise(p, n, MADV_POPULATE_WRITE) < 0) /* not known before Linux 5.14 */
    do error = fallocate(fd, 0, 0, (off_t)n) < 0 ? errno : 0;
    while (error == EINTR);
  if (!error) {
    *address = (uint64_t)p;
    return fd;
  }
  if (p != MAP_FAILED) munmap(p, n);
  close(fd);
  return -error;
}

/*
 * Stores the pagemap entry of every `step` bytes of memory in `entries`. /proc/self/pagemap shows
 * frame numbers to root only; to others they read as 0, beside the flags.
 */
int32_t ixy_pagemap(void *address, uint32_t step, uint32_t count, uint64_t *entries) {
  int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
  for (uint32_t i = 0; i < count; i++) {
    uint64_t at = ((uint64_t)address + (uint64_t)i * step) / page * 8;
    ssize_t n = pread(fd, entries + i, 8, (off_t)at);
    if (n != 8) {
      int error = n < 0 ? errno : EIO;
      close(fd);
      return -error;
    }
  }
  close(fd);
  return 0;
}

/*
 * Memory that a peer can take away: it truncates its own file, or gives pages of our file back to the
 * kernel, which has no hugepage for the next access. Such an access raises SIGBUS. The handler
 * then maps zeros over all of the watched memory, and marks it as lost.
 */

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

/* Unix sockets. `kind` is SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET. */

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

/* Sockets of other families. An address, and the value of an option, are bytes as the kernel defines them. */

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

/* Processes. */

/*
 * Returns a file that can be executed. Kernels before 6.3 do not know MFD_EXEC; later ones may demand it, or
 * forbid it (vm.memfd_noexec).
 */
static int executable(const char *name, const void *bytes, uint32_t count) {
  int fd = memfd_create(name, MFD_CLOEXEC | MFD_EXEC);
  if (fd < 0 && errno == EINVAL) fd = memfd_create(name, MFD_CLOEXEC);
  int refused = errno;
  if (fd < 0 && (fd = deleted_file(1)) < 0) return -refused;
  ssize_t n = write(fd, bytes, count);
  int error = n < 0 ? errno : ENOSPC, program = -1;
  if (n == (ssize_t)count) {
    /* A deleted file cannot be executed while it is open for writing. */
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    program = open(path, O_RDONLY | O_CLOEXEC);
    error = errno;
  }
  close(fd);
  return program < 0 ? -error : program;
}

/*
 * Starts an executable that is in memory, with its name and one argument, and returns its process ID.
 * It gets two descriptors: 0 is one end of a pair of stream sockets, whose other end is stored in
 * *socket, and 1 is `fd`. It has a session of its own and blocks all signals, so signals of a terminal
 * or a process group do not end it.
 */
int32_t ixy_start(const void *bytes, uint32_t count, const char *name, const char *argument,
                  int32_t fd, int32_t *socket) {
  int program = executable(name, bytes, count), ends[2];
  if (program < 0) return program;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
    int error = errno;
    close(program);
    return -error;
  }
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", program);
  char *arguments[] = {(char *)name, (char *)argument, 0}, *environment[] = {0};
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  sigset_t all;
  sigfillset(&all);
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
  posix_spawnattr_setsigmask(&attributes, &all);
  int error = posix_spawn_file_actions_adddup2(&actions, ends[1], 0);
  if (!error) error = posix_spawn_file_actions_adddup2(&actions, fd, 1);
  pid_t pid;
  if (!error) error = posix_spawn(&pid, path, &actions, &attributes, arguments, environment);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  close(program);
  close(ends[1]);
  if (error) close(ends[0]);
  else *socket = ends[0];
  return error ? -error : pid;
}

/* Kills a process that ixy_start has started, even a stopped one, and waits for its end; returns its
 * status as waitpid does. */
int32_t ixy_end(int32_t pid) {
  int status;
  if (kill(pid, SIGKILL) < 0) return -errno;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return -errno;
  return status;
}

/* Waiting. */

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

/*
 * The stop flag: a signal that would end the process stores its number. A signal that comes more than
 * a second later ends the process; an earlier one does not, because one Ctrl-C can arrive twice: at the
 * process and through its parent.
 */

/* Signals to which Deno listens too, see native/stop.ts. */
static const int listened[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR2, SIGALRM, SIGXCPU, SIGXFSZ};
/* Other signals whose default is to end the process. They are caught only if nothing else uses them: a
 * profiler of V8 uses SIGPROF. Real-time signals follow. Signals of a crash are not caught. */
static const int unlistened[] = {SIGUSR1, SIGABRT, SIGVTALRM, SIGPROF, SIGSTKFLT, SIGIO, SIGPWR};
#define COUNT(array) (sizeof array / sizeof *array)
#define STOP_GRACE_MS 1000

static volatile int32_t stop;
static double stopped_at;
static struct sigaction before[_NSIG];
static char caught[_NSIG];
static int active;

static void on_signal(int number) {
  int error = errno;
  double now = ixy_milliseconds();
  if (!active) return; /* Deno's handler calls this one, which was there before it */
  if (!stop) {
    stopped_at = now;
    stop = number;
  } else if (now - stopped_at >= STOP_GRACE_MS) {
    signal(number, SIG_DFL);
    raise(number); /* takes effect when the handler returns */
  }
  errno = error;
}

/* Installs the handler of a signal, and stores the previous one. With `only_default`, leaves a signal that has
 * a handler as it is. */
static int catch_signal(int number, int only_default) {
  struct sigaction handle = {.sa_handler = on_signal}, now;
  if (sigaction(number, 0, &now) < 0) return -errno;
  if (now.sa_handler == on_signal) return 0;
  if (only_default && (now.sa_flags & SA_SIGINFO || now.sa_handler != SIG_DFL)) return 0;
  if (number == SIGHUP && !caught[number] && now.sa_handler == SIG_IGN) return 0;
  if (sigaction(number, &handle, before + number) < 0) return -errno;
  caught[number] = 1;
  return 0;
}

/* Installs the handlers, clears the flag and stores its address; -EBUSY if they are installed already.
 * SIGHUP stays ignored if it is, as under nohup(1). After an error, call ixy_stop_end. */
int32_t ixy_stop_begin(uint64_t *address) {
  int error = 0;
  if (active) return -EBUSY;
  stop = 0;
  *address = (uint64_t)&stop;
  active = 1;
  for (unsigned i = 0; i < COUNT(listened) && !error; i++) error = catch_signal(listened[i], 0);
  for (unsigned i = 0; i < COUNT(unlistened) && !error; i++) error = catch_signal(unlistened[i], 1);
  for (int i = SIGRTMIN; i <= SIGRTMAX && !error; i++) error = catch_signal(i, 1);
  return error;
}

/* Installs the handlers again, over those that Deno has installed since. Deno's call those that they
 * have replaced, so no signal is lost in between. */
int32_t ixy_stop_cover(void) {
  struct sigaction ignore = {.sa_handler = SIG_IGN};
  int error = 0;
  for (unsigned i = 0; i < COUNT(listened) && !error; i++) {
    if (caught[listened[i]]) error = catch_signal(listened[i], 0);
    else if (sigaction(listened[i], &ignore, 0) < 0) error = -errno;
  }
  return error;
}

/* Restores the previous handlers. */
int32_t ixy_stop_end(void) {
  int error = 0;
  active = 0;
  for (int i = 1; i < _NSIG; i++) {
    if (caught[i] && sigaction(i, before + i, 0) < 0) error = -errno;
    caught[i] = 0;
  }
  return error;
}

/* Processes. */
#define _GNU_SOURCE
#include "stubs.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x10U
#endif

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

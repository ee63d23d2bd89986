/* Files and directories. */
#define _GNU_SOURCE
#include "stubs.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

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

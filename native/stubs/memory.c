/* Memory: mappings, and memory for DMA. */
#define _GNU_SOURCE
#include "stubs.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x08U
#endif
#ifndef MFD_HUGE_SHIFT
#define MFD_HUGE_SHIFT 26
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

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

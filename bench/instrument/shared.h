/* What instrument.c and limit.c share: registers, and memory by physical address, as without an IOMMU. */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { /* registers; those of queues have a copy each STRIDE bytes */
  CTRL = 0x0, STATUS = 0x8, RXCTRL = 0x3000, RDRXCTL = 0x2f00, AUTOC = 0x42a0, LINKS = 0x42a4,
  ANLP1 = 0x42b0, DMATXCTL = 0x4a80, SECTXSTAT = 0x8804, SECRXSTAT = 0x8d04, RAL = 0xa200, RAH = 0xa204,
  RETA = 0xeb00, MRQC = 0xec80, EEC = 0x10010, EERD = 0x10014, EEMNGCTL = 0x10110, USED = 0x16000, BAR = 0x80000,
  RX = 0x1000, TX = 0x6000, STRIDE = 0x40, /* of a queue: */
  BASE = 0x0, BASE_HIGH = 0x4, LENGTH = 0x8, HEAD = 0x10, TAIL = 0x18, DCTL = 0x28
};
enum { GIO_DIS = 1 << 2, LRST = 1 << 3, RST = 1 << 26, GIO_MASTER_ENABLE = 1 << 19, ENABLE = 1 << 25 };
#define TX_REPORT (1ull << 27) /* RS */
typedef uint64_t pair __attribute__((vector_size(16))); /* a descriptor */
#define REG(bar, offset) (*(volatile uint32_t *)((bar) + (offset)))

enum { PAGE_BITS = 21, HUGEPAGE = 1 << PAGE_BITS, FRAMES = 1 << 20, SEARCHES = 100 }; /* of 2 MiB, in 2 TiB */
static uint8_t *page_of[FRAMES];
static uint8_t *find_page(uint64_t address);

/* Maps the registers of a port, in its directory of sysfs. */
static volatile uint8_t *map_registers(const char *directory) {
  char name[512];
  snprintf(name, sizeof name, "%s/resource0", directory);
  int fd = open(name, O_RDWR);
  void *bar = fd < 0 ? MAP_FAILED : mmap(NULL, BAR, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (bar == MAP_FAILED) err(1, "cannot map %s", name);
  return bar;
}

/* Returns the memory at a physical address; NULL if no process shares a hugepage there. */
static inline uint8_t *reach(uint64_t address) {
  uint64_t frame = address >> PAGE_BITS;
  if (__builtin_expect(frame >= FRAMES || !page_of[frame], 0)) return find_page(address);
  return page_of[frame] + address % HUGEPAGE;
}

/* Returns the physical address of memory of a process; 0 if it is not there. */
static uint64_t physical(int pagemap, const uint8_t *at) {
  uint64_t entry;
  if (pread(pagemap, &entry, 8, (off_t)((uintptr_t)at / 4096 * 8)) != 8 || entry >> 63 == 0) return 0;
  return (entry & ((1ull << 55) - 1)) * 4096 + (uintptr_t)at % 4096;
}

/* Maps the new pages of a shared range of a process, if it is made of hugepages. */
static void map_range(int pid, int pagemap, uint8_t *from, uint8_t *to, uint64_t offset) {
  char path[80];
  snprintf(path, sizeof path, "/proc/%d/map_files/%lx-%lx", pid, (uintptr_t)from, (uintptr_t)to);
  int fd = open(path, O_RDWR);
  struct statfs kind;
  if (fd < 0 || fstatfs(fd, &kind) < 0 || kind.f_type != HUGETLBFS_MAGIC || kind.f_bsize != HUGEPAGE) to = from;
  for (uint8_t *at = from; at < to; at += HUGEPAGE) {
    uint64_t frame = physical(pagemap, at) >> PAGE_BITS;
    if (frame == 0 || frame >= FRAMES || page_of[frame]) continue;
    off_t position = (off_t)offset + (at - from);
    void *page = mmap(NULL, HUGEPAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, position);
    if (page != MAP_FAILED) page_of[frame] = page;
  }
  if (fd >= 0) close(fd);
}

/* Maps the shared hugepages of the process whose file "maps" this is; neither file opens if it has ended. */
static void map_process(const char *name) {
  char path[40], line[512], shared;
  int pid = atoi(name + strlen("/proc/"));
  snprintf(path, sizeof path, "/proc/%d/pagemap", pid);
  FILE *maps = pid == getpid() ? NULL : fopen(name, "r");
  int pagemap = open(path, O_RDONLY);
  for (uint64_t from, to, offset; maps && fgets(line, sizeof line, maps);)
    if (sscanf(line, "%lx-%lx %*3s%c %lx", &from, &to, &shared, &offset) == 4 && shared == 's')
      map_range(pid, pagemap, (uint8_t *)from, (uint8_t *)to, offset);
  if (pagemap >= 0) close(pagemap);
  if (maps) fclose(maps);
}

static uint8_t *find_page(uint64_t address) {
  static int searches; /* each takes milliseconds */
  if (address >> PAGE_BITS >= FRAMES || searches++ >= SEARCHES) return NULL;
  glob_t all;
  if (glob("/proc/[0-9]*/maps", GLOB_NOSORT, NULL, &all) != 0) return NULL;
  for (size_t i = 0; i < all.gl_pathc; i++) map_process(all.gl_pathv[i]);
  globfree(&all);
  if (page_of[address >> PAGE_BITS]) return reach(address);
  fprintf(stderr, "no process shares a hugepage of 2 MiB at the physical address 0x%lx\n", address);
  return NULL;
}

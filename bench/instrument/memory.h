/* Memory of other processes by physical address, as a device without an IOMMU reaches it. Included once. */
#include <fcntl.h>
#include <glob.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { PAGE_BITS = 21, HUGEPAGE = 1 << PAGE_BITS, FRAMES = 1 << 20, SEARCHES = 100 }; /* of 2 MiB, in 2 TiB */
static uint8_t *page_of[FRAMES];
static uint8_t *find_page(uint64_t address);

/* Returns the memory at a physical address; NULL if no process shares a hugepage there. */
static inline uint8_t *reach(uint64_t address) {
  uint64_t frame = address >> PAGE_BITS;
  if (__builtin_expect(frame >= FRAMES || !page_of[frame], 0)) return find_page(address);
  return page_of[frame] + address % HUGEPAGE;
}

/* Maps the new pages of a shared range of a process, if it is made of hugepages. */
static void map_range(int pid, int pagemap, uint64_t from, uint64_t to, uint64_t offset) {
  char path[80];
  snprintf(path, sizeof path, "/proc/%d/map_files/%lx-%lx", pid, from, to);
  int fd = open(path, O_RDWR);
  struct statfs kind;
  if (fd < 0 || fstatfs(fd, &kind) < 0 || kind.f_type != HUGETLBFS_MAGIC) to = from;
  for (uint64_t at = from, entry; at < to; at += HUGEPAGE) {
    if (pread(pagemap, &entry, sizeof entry, (off_t)(at / 4096 * 8)) != sizeof entry) break;
    uint64_t frame = (entry & ((1ull << 55) - 1)) >> (PAGE_BITS - 12);
    if (entry >> 63 == 0 || frame >= FRAMES || page_of[frame]) continue; /* bit 63: the page is there */
    void *page = mmap(NULL, HUGEPAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
                      (off_t)(offset + at - from));
    if (page != MAP_FAILED) page_of[frame] = page;
  }
  if (fd >= 0) close(fd);
}

/* Maps the shared hugepages of the process whose file "maps" this is; neither file opens if it has ended. */
static void map_process(const char *name) {
  char path[40], line[512], mode[5];
  int pid = atoi(name + strlen("/proc/"));
  snprintf(path, sizeof path, "/proc/%d/pagemap", pid);
  FILE *maps = pid == getpid() ? NULL : fopen(name, "r");
  int pagemap = open(path, O_RDONLY);
  for (uint64_t from, to, offset; maps && fgets(line, sizeof line, maps);) {
    if (sscanf(line, "%lx-%lx %4s %lx", &from, &to, mode, &offset) < 4) continue;
    if (mode[3] == 's' && (from | to) % HUGEPAGE == 0) map_range(pid, pagemap, from, to, offset);
  }
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

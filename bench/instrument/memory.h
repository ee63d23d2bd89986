/* Memory of other processes by physical address, as a device without an IOMMU reaches it. */
#include <stdint.h>

#define PAGE_BITS 21       /* hugepages of 2 MiB */
#define FRAMES (1u << 20) /* of 2 TiB of physical memory */
extern uint8_t *page_of[FRAMES];
uint8_t *find_page(uint64_t address);

/* Returns the memory at a physical address; NULL if no process shares a hugepage there. */
static inline uint8_t *reach(uint64_t address) {
  uint64_t frame = address >> PAGE_BITS;
  if (__builtin_expect(frame >= FRAMES || !page_of[frame], 0)) return find_page(address);
  return page_of[frame] + (address & ((1u << PAGE_BITS) - 1));
}

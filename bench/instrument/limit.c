/*
 * The leanest forwarder on the instrument that C allows, to show how much a forwarder could reach. Each way of
 * each pair of queues has rings and buffers of its own. As all of the ixy family, it changes a byte of each packet.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ENTRIES = 512, MASK = ENTRIES - 1, REPORT = 32, BUFFER = 2048, BUFFERS = 1536, PAGE = 1 << 21, PAGES = 4 };
enum { CTRL = 0x0, RXCTRL = 0x3000, DMATXCTL = 0x4a80, RETA = 0xeb00, MRQC = 0xec80, RX = 0x1000, TX = 0x6000 };
enum { BASE = 0x0, BASE_HIGH = 0x4, LENGTH = 0x8, TAIL = 0x18, DCTL = 0x28, ENABLE = 1 << 25, RST = 1 << 26 };
#define COMMAND 0x23300000ull /* DEXT, IFCS, EOP, DTYP */
#define RS (1ull << 27)
#define REG(bar, offset) (*(volatile uint32_t *)((bar) + (offset)))
typedef volatile uint8_t bar;

static struct lane {
  volatile uint64_t *rx, *tx;
  volatile uint32_t *rx_tail, *tx_tail;
  uint32_t next, sent, cleaned, free; /* positions in the rings, and the number of free buffers */
  uint16_t of_rx[ENTRIES], of_tx[ENTRIES], stack[BUFFERS]; /* buffers */
  uint64_t physical[BUFFERS];
  uint8_t *buffers;
} lanes[32];

/* Maps a file, or hugepages without one. */
static void *map(const char *name, size_t bytes) {
  int fd = name ? open(name, O_RDWR) : -1, flags = name ? MAP_SHARED : MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB;
  void *memory = name && fd < 0 ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags | MAP_POPULATE, fd, 0);
  if (memory == MAP_FAILED) err(1, "cannot map %s", name ? name : "hugepages");
  return memory;
}

static uint64_t physical(uint8_t *page) {
  int pagemap = open("/proc/self/pagemap", O_RDONLY);
  uint64_t entry;
  if (pread(pagemap, &entry, 8, (off_t)((uintptr_t)page / 4096 * 8)) != 8) err(1, "cannot read /proc/self/pagemap");
  close(pagemap);
  return (entry & ((1ull << 55) - 1)) * 4096;
}

/* Sets up a ring and enables its queue; returns the tail register. */
static volatile uint32_t *enable(bar *registers, uint64_t ring) {
  REG(registers, BASE) = (uint32_t)ring, REG(registers, BASE_HIGH) = (uint32_t)(ring >> 32);
  REG(registers, LENGTH) = ENTRIES * 16, REG(registers, DCTL) = ENABLE;
  return &REG(registers, TAIL);
}

static void open_lane(struct lane *l, bar *from, bar *to, unsigned queue) {
  l->buffers = map(NULL, PAGES * PAGE); /* the last page has the rings */
  l->rx = (void *)(l->buffers + BUFFERS * BUFFER), l->tx = l->rx + 2 * ENTRIES;
  for (uint32_t i = 0; i < BUFFERS; i++) l->physical[i] = physical(l->buffers + i * BUFFER) + i * BUFFER % 4096;
  for (uint16_t i = 0; i < ENTRIES; i++) l->rx[2 * i] = l->physical[l->of_rx[i] = i];
  for (uint16_t i = ENTRIES; i < BUFFERS; i++) l->stack[l->free++] = i;
  l->tx_tail = enable(to + TX + 0x40 * queue, physical((uint8_t *)l->tx));
  l->rx_tail = enable(from + RX + 0x40 * queue, physical((uint8_t *)l->rx));
  *l->rx_tail = MASK;
}

/* Takes sent buffers back, then passes at most a batch on: no more than the transmit ring has room for. */
static void forward(struct lane *l, uint32_t batch) {
  while (((l->sent - l->cleaned) & MASK) >= REPORT && l->tx[2 * ((l->cleaned + REPORT - 1) & MASK) + 1] >> 32 & 1)
    for (int i = 0; i < REPORT; i++, l->cleaned = (l->cleaned + 1) & MASK) l->stack[l->free++] = l->of_tx[l->cleaned];
  uint32_t next = l->next, sent = l->sent, room = (l->cleaned - sent - 1) & MASK, n = batch < room ? batch : room;
  for (; n > 0 && l->rx[2 * next + 1] & 1; n--) {
    uint64_t size = l->rx[2 * next + 1] >> 32 & 0xffff;
    uint16_t buffer = l->of_rx[next], fresh = l->stack[--l->free];
    l->buffers[(size_t)buffer * BUFFER + 1]++;
    l->rx[2 * next] = l->physical[l->of_rx[next] = fresh];
    l->rx[2 * next + 1] = 0;
    l->tx[2 * sent] = l->physical[l->of_tx[sent] = buffer];
    l->tx[2 * sent + 1] = COMMAND | ((sent + 1) % REPORT ? 0 : RS) | size | size << 46;
    next = (next + 1) & MASK, sent = (sent + 1) & MASK;
  }
  if (next == l->next) return;
  atomic_thread_fence(memory_order_release);
  *l->rx_tail = (next - 1) & MASK, *l->tx_tail = sent;
  l->next = next, l->sent = sent;
}

int main(int argc, char **argv) {
  unsigned batch = argc == 5 ? (unsigned)atoi(argv[3]) : 0, queues = argc == 5 ? (unsigned)atoi(argv[4]) : 0;
  if (batch < 1 || queues < 1 || queues > 16) errx(2, "takes two PCI addresses, the batch size and 1 to 16 queues");
  bar *bars[2];
  for (int i = 0; i < 2; i++) {
    char name[200];
    snprintf(name, sizeof name, "/sys/bus/pci/devices/%s/resource0", argv[1 + i]);
    bars[i] = map(name, 0x80000);
    for (REG(bars[i], CTRL) = RST; REG(bars[i], CTRL) & RST;) {}
  }
  for (unsigned i = 0; i < 2 * queues; i++) open_lane(&lanes[i], bars[i % 2], bars[1 - i % 2], i / 2);
  for (int i = 0; i < 2; i++) {
    for (unsigned entry = 0; entry < 128; entry++) bars[i][RETA + entry] = (uint8_t)(entry % queues);
    REG(bars[i], MRQC) = queues > 1;
    REG(bars[i], DMATXCTL) = REG(bars[i], RXCTRL) = 1;
  }
  for (;;) for (unsigned i = 0; i < 2 * queues; i++) forward(&lanes[i], batch);
}

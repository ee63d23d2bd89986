/*
 * The leanest forwarder that C allows on the instrument: no header of a packet, no count, no statistics, no
 * error but those of opening. It shows how much a forwarder could reach. Each way of each pair of queues has a
 * pool of buffers, its own two rings, and changes one byte of each packet. usage: limit A B BATCH QUEUES
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

enum { ENTRIES = 512, MASK = ENTRIES - 1, REPORT = 32, BUFFER = 2048, SPARE = 1024, PAGE = 1 << 21 };
enum { CTRL = 0x0, RXCTRL = 0x3000, DMATXCTL = 0x4a80, RETA = 0xeb00, MRQC = 0xec80, RX = 0x1000, TX = 0x6000 };
enum { BASE = 0x0, BASE_HIGH = 0x4, LENGTH = 0x8, TAIL = 0x18, DCTL = 0x28, ENABLE = 1 << 25, RST = 1 << 26 };
#define COMMAND 0x23300000ull /* DEXT, IFCS, EOP, DTYP */
#define RS (1ull << 27)
#define REG(bar, offset) (*(volatile uint32_t *)((bar) + (offset)))

struct lane {
  volatile uint64_t *rx, *tx;
  volatile uint32_t *rx_tail, *tx_tail;
  uint32_t next, sent, cleaned, free; /* positions in the rings, and the free buffers */
  uint16_t of_rx[ENTRIES], of_tx[ENTRIES], stack[ENTRIES + SPARE];
  uint64_t physical[ENTRIES + SPARE];
  uint8_t *buffers;
};

/* Returns hugepages, and the physical address of each 2 MiB. */
static uint8_t *allocate(unsigned pages, uint64_t *physical) {
  uint8_t *memory = mmap(NULL, (size_t)pages * PAGE, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
  int pagemap = open("/proc/self/pagemap", O_RDONLY);
  if (memory == MAP_FAILED || pagemap < 0) err(1, "cannot get %u hugepages and their addresses", pages);
  for (unsigned i = 0; i < pages; i++) {
    uint64_t at = (uintptr_t)(memory + (size_t)i * PAGE);
    if (pread(pagemap, &physical[i], 8, (off_t)(at / 4096 * 8)) != 8) err(1, "cannot read addresses");
    physical[i] = (physical[i] & ((1ull << 55) - 1)) * 4096;
  }
  close(pagemap);
  return memory;
}

static volatile uint8_t *map(const char *address) {
  char name[200];
  snprintf(name, sizeof name, "/sys/bus/pci/devices/%s/resource0", address);
  int fd = open(name, O_RDWR);
  volatile uint8_t *bar = fd < 0 ? MAP_FAILED : mmap(NULL, 0x80000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (bar == MAP_FAILED) err(1, "cannot map %s", name);
  for (REG(bar, CTRL) = RST; REG(bar, CTRL) & RST;) {}
  return bar;
}

static volatile uint32_t *enable(volatile uint8_t *bar, int way, unsigned queue, uint64_t ring) {
  volatile uint8_t *registers = bar + way + 0x40 * queue;
  REG(registers, BASE) = (uint32_t)ring;
  REG(registers, BASE_HIGH) = (uint32_t)(ring >> 32);
  REG(registers, LENGTH) = ENTRIES * 16;
  REG(registers, DCTL) = ENABLE;
  return &REG(registers, TAIL);
}

static void open_lane(struct lane *l, volatile uint8_t *from, volatile uint8_t *to, unsigned queue) {
  uint64_t pages[4];
  uint8_t *memory = allocate(4, pages); /* three pages of buffers, one of rings */
  l->buffers = memory, l->rx = (void *)(memory + 3 * PAGE), l->tx = (void *)(memory + 3 * PAGE + ENTRIES * 16);
  for (uint32_t i = 0; i < ENTRIES + SPARE; i++) l->physical[i] = pages[i / (PAGE / BUFFER)] + i % (PAGE / BUFFER) * BUFFER;
  for (uint16_t i = 0; i < ENTRIES; i++) l->rx[2 * i] = l->physical[l->of_rx[i] = i];
  for (uint16_t i = ENTRIES; i < ENTRIES + SPARE; i++) l->stack[l->free++] = i;
  l->tx_tail = enable(to, TX, queue, pages[3] + ENTRIES * 16);
  l->rx_tail = enable(from, RX, queue, pages[3]);
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
  if (argc != 5) errx(2, "takes two PCI addresses, the batch size and the number of queues");
  uint32_t batch = (uint32_t)atoi(argv[3]), queues = (uint32_t)atoi(argv[4]), lanes = 0;
  if (batch < 1 || queues < 1 || queues > 16) errx(2, "batch or queues out of range");
  volatile uint8_t *bars[2] = {map(argv[1]), map(argv[2])};
  static struct lane all[32];
  for (int i = 0; i < 2; i++) {
    for (unsigned queue = 0; queue < queues; queue++) open_lane(&all[lanes++], bars[i], bars[1 - i], queue);
    for (unsigned entry = 0; entry < 128; entry++) bars[i][RETA + entry] = (uint8_t)(entry % queues);
    REG(bars[i], MRQC) = queues > 1;
  }
  for (int i = 0; i < 2; i++) REG(bars[i], DMATXCTL) = REG(bars[i], RXCTRL) = 1;
  for (;;) for (uint32_t i = 0; i < lanes; i++) forward(&all[i], batch);
}

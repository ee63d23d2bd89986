/*
 * The leanest forwarder on the instrument that C allows, to show how much a forwarder could reach. Each way of
 * each pair of queues has rings and buffers of its own. As all of the ixy family, it changes a byte of each packet.
 * Between buffers lie 128 bytes, so that packets begin in different sets of the caches; no packet of the bench lies in two hugepages.
 */
#include "shared.h"

enum { ENTRIES = 512, MASK = ENTRIES - 1, REPORT = 32, TURN = 32, BUFFER = 2048 + 128, BUFFERS = 1536, PAGES = 2 };
#define COMMAND 0x23300000ull /* DEXT, IFCS, EOP, DTYP */
#define HUGE (MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE)

static struct lane {
  volatile uint64_t *rx, *tx;
  volatile uint32_t *rx_tail, *tx_tail;
  uint32_t next, armed, sent, cleaned, free; /* positions in the rings, and the number of free buffers */
  uint16_t of_rx[ENTRIES], of_tx[ENTRIES], stack[BUFFERS]; /* buffers */
  uint64_t physical[BUFFERS];
  uint8_t *buffers;
} lanes[32];

/* Sets up a ring and enables its queue; returns the tail register. */
static volatile uint32_t *enable(volatile uint8_t *registers, uint64_t ring) {
  REG(registers, BASE) = (uint32_t)ring, REG(registers, BASE_HIGH) = (uint32_t)(ring >> 32);
  REG(registers, LENGTH) = ENTRIES * 16, REG(registers, DCTL) = ENABLE;
  return &REG(registers, TAIL);
}

static void open_lane(struct lane *l, volatile uint8_t *from, volatile uint8_t *to, unsigned queue) {
  int pagemap = open("/proc/self/pagemap", O_RDONLY);
  l->buffers = mmap(NULL, PAGES * HUGEPAGE, PROT_READ | PROT_WRITE, HUGE, -1, 0); /* rings follow the buffers */
  if (l->buffers == MAP_FAILED) err(1, "cannot get %d hugepages", PAGES);
  l->rx = (void *)(l->buffers + BUFFERS * BUFFER), l->tx = l->rx + 2 * ENTRIES;
  for (uint32_t i = 0; i < BUFFERS; i++) l->physical[i] = physical(pagemap, l->buffers + i * BUFFER);
  for (uint16_t i = 0; i < ENTRIES; i++) l->rx[2 * i] = l->physical[l->of_rx[i] = i];
  for (uint16_t i = ENTRIES; i < BUFFERS; i++) l->stack[l->free++] = i;
  l->tx_tail = enable(to + TX + STRIDE * queue, physical(pagemap, (uint8_t *)l->tx));
  l->rx_tail = enable(from + RX + STRIDE * queue, physical(pagemap, (uint8_t *)l->rx));
  *l->rx_tail = MASK;
}

/* Writes a descriptor at once. */
static inline void put(volatile uint64_t *ring, uint32_t at, uint64_t address, uint64_t rest) {
  *(volatile pair *)(ring + 2 * at) = (pair){address, rest};
}

/* Takes sent buffers back, then passes at most a batch on: no more than the transmit ring has room for. Each step is
 * a loop of its own, so that its cache misses overlap. Descriptors get buffers again REPORT at a time. Returns the
 * number of packets. */
static inline uint32_t forward(struct lane *l, uint32_t batch) {
  while (((l->sent - l->cleaned) & MASK) >= REPORT && l->tx[2 * ((l->cleaned + REPORT - 1) & MASK) + 1] >> 32 & 1)
    for (int i = 0; i < REPORT; i++, l->cleaned = (l->cleaned + 1) & MASK) l->stack[l->free++] = l->of_tx[l->cleaned];
  uint32_t room = (l->cleaned - l->sent - 1) & MASK, filled = (l->armed - l->next - 1) & MASK, n = 0;
  uint32_t most = batch < room ? batch : room;
  if (most > filled) most = filled;
  uint64_t sizes[MASK];
  uint16_t buffers[MASK];
  for (; n < most && l->rx[2 * l->next + 1] & 1; n++, l->next = (l->next + 1) & MASK)
    sizes[n] = l->rx[2 * l->next + 1] >> 32 & 0xffff, buffers[n] = l->of_rx[l->next];
  if (n == 0) return 0;
  for (uint32_t i = 0; i < n; i++) l->buffers[(size_t)buffers[i] * BUFFER + 1]++;
  for (uint32_t i = 0; i < n; i++, l->sent = (l->sent + 1) & MASK) {
    uint64_t report = (l->sent + 1) % REPORT ? 0 : TX_REPORT;
    put(l->tx, l->sent, l->physical[l->of_tx[l->sent] = buffers[i]], COMMAND | report | sizes[i] | sizes[i] << 46);
  }
  atomic_thread_fence(memory_order_release);
  *l->tx_tail = l->sent;
  if (((l->next - l->armed) & MASK) < REPORT) return n;
  for (; l->armed != l->next; l->armed = (l->armed + 1) & MASK)
    put(l->rx, l->armed, l->physical[l->of_rx[l->armed] = l->stack[--l->free]], 0);
  atomic_thread_fence(memory_order_release);
  *l->rx_tail = (l->next - 1) & MASK;
  return n;
}

int main(int argc, char **argv) {
  unsigned batch = argc == 5 ? (unsigned)atoi(argv[3]) : 0, queues = argc == 5 ? (unsigned)atoi(argv[4]) : 0;
  if (batch < 1 || queues < 1 || queues > 16) errx(2, "takes two directories, the batch size and 1 to 16 queues");
  volatile uint8_t *bars[2];
  for (int i = 0; i < 2; i++) {
    bars[i] = map_registers(argv[1 + i]);
    for (REG(bars[i], CTRL) = RST; REG(bars[i], CTRL) & RST;) {}
  }
  for (unsigned i = 0; i < 2 * queues; i++) open_lane(&lanes[i], bars[i % 2], bars[1 - i % 2], i / 2);
  for (int i = 0; i < 2; i++) {
    for (unsigned entry = 0; entry < 128; entry++) bars[i][RETA + entry] = (uint8_t)(entry % queues);
    REG(bars[i], MRQC) = queues > 1;
    REG(bars[i], DMATXCTL) = REG(bars[i], RXCTRL) = 1;
  }
  for (unsigned i = 0;; i = i + 1 == 2 * queues ? 0 : i + 1)
    for (uint32_t total = 0, n = 1; n > 0 && total < TURN; total += n) n = forward(&lanes[i], batch);
}

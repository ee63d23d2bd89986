/*
 * Two ports of an 82599 in shared memory, to measure forwarders on. A port's registers are a file that the
 * forwarder maps as BAR 0. bench/README.md says what is modelled. Names are the datasheet's.
 */
#define _GNU_SOURCE
#include "memory.h"
#include <err.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

enum { /* registers; those of queues have a copy each STRIDE bytes */
  CTRL = 0x0, STATUS = 0x8, RXCTRL = 0x3000, RDRXCTL = 0x2f00, AUTOC = 0x42a0, LINKS = 0x42a4,
  ANLP1 = 0x42b0, DMATXCTL = 0x4a80, SECTXSTAT = 0x8804, SECRXSTAT = 0x8d04, RAL = 0xa200, RAH = 0xa204,
  RETA = 0xeb00, MRQC = 0xec80, EEC = 0x10010, EERD = 0x10014, EEMNGCTL = 0x10110, USED = 0x16000, BAR = 0x80000,
  RX = 0x1000, TX = 0x6000, STRIDE = 0x40, BASE = 0x0, BASE_HIGH = 0x4, LENGTH = 0x8, HEAD = 0x10, TAIL = 0x18,
  DCTL = 0x28
};
enum { GIO_DIS = 1 << 2, LRST = 1 << 3, RST = 1 << 26, GIO_MASTER_ENABLE = 1 << 19, ENABLE = 1 << 25 };
/* The second word of descriptors (sections 7.1.6 and 7.2.3). */
#define RX_DONE 3ull           /* DD, EOP */
#define TX_DONE (1ull << 32)   /* DD */
#define TX_REPORT (1ull << 27) /* RS */
enum { QUEUES = 16, BURST = 64, MAX_FLOWS = 64, BINS = 4096, FIRST_BIN = 0x3f80, SLICES = 400 };
/* A frame: Ethernet addresses, which a forwarder may change; type; flow; number; time; a pattern. */
enum { FIXED = 12, FLOW = 14, NUMBER = 44, TIME = 52, MIN_FRAME = 60, MAX_FRAME = 1514, WHOLE_EACH = 64 };
typedef uint64_t __attribute__((may_alias, aligned(1))) word;
#define WORD(packet, at) (*(word *)((packet) + (at)))
#define STALL_NS 2e5 /* after a stall, a generator makes up for this time at most */
#define SLICE_NS 1e7

struct ring { volatile uint64_t *descriptors; uint32_t head, tail, entries; bool enabled; };
struct port {
  volatile uint8_t *bar;
  struct port *peer;
  struct ring rx[QUEUES], tx[QUEUES];
  bool receiving;
  unsigned rx_queues, tx_queues; /* one more than the highest that was enabled */
  uint8_t queue_of[MAX_FLOWS], frames[MAX_FLOWS][MAX_FRAME + 6];
  uint64_t next_sent[MAX_FLOWS], next_received[MAX_FLOWS]; /* numbers of packets for, and from, this port */
  uint64_t sent, missed, received, gaps, reordered, corrupt; /* gaps: numbers left out, for any reason */
  unsigned flow; /* the next packet's */
  uint64_t last; /* when packets were last sent */
  double due;    /* packets that the rate allows now */
  uint32_t latencies[BINS];
};
static struct port ports[2];
static unsigned size, flows;
static bool latency, sending;
static double rate, ns_per_tick; /* rate: packets a second for each port; 0: as fast as descriptors come back */
static uint64_t begun, progress[SLICES], slices; /* packets that are back, by time since the first start */

#define REG(port, offset) (*(volatile uint32_t *)((port)->bar + (offset)))
#define QUEUE_REG(port, way, queue, offset) REG(port, (way) + STRIDE * (queue) + (offset))

/* RST is cleared last: the driver goes on then, and DPDK's gives a reset only 10 us. */
static void reset(struct port *p) {
  memset((uint8_t *)p->bar + STATUS, 0, USED - STATUS);
  for (int queue = 0; queue < QUEUES; queue++) p->rx[queue].enabled = p->tx[queue].enabled = false;
  p->rx_queues = p->tx_queues = 0;
  REG(p, STATUS) = GIO_MASTER_ENABLE;
  REG(p, EEC) = 3 << 8, REG(p, EEMNGCTL) = 3 << 18, REG(p, RDRXCTL) = 1 << 3; /* EEPROM, firmware, DMA: ready */
  REG(p, AUTOC) = 1 << 13, REG(p, ANLP1) = 1 << 16, REG(p, LINKS) = 7 << 28; /* 10 Gbit/s, up */
  REG(p, SECRXSTAT) = REG(p, SECTXSTAT) = 1; /* idle */
  REG(p, RAL) = 2, REG(p, RAH) = 1u << 31 | (p > p->peer) << 8; /* 02:00:00:00:00:00 and :01 */
  atomic_thread_fence(memory_order_release);
  REG(p, CTRL) = 0;
}

static void create(struct port *p, const char *directory) {
  char name[512];
  snprintf(name, sizeof name, "%s/resource0", directory);
  int fd = open(name, O_RDWR);
  p->bar = fd < 0 ? MAP_FAILED : mmap(NULL, BAR, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (p->bar == MAP_FAILED) err(1, "cannot map %s", name);
  p->peer = &ports[p == ports];
  static const uint8_t header[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5}; /* type: experiments */
  for (unsigned flow = 0; flow < flows; flow++) {
    uint8_t *frame = p->frames[flow];
    for (unsigned i = 0; i < size; i++) frame[i] = (uint8_t)(7 * i + 13 * flow + (p == ports));
    memcpy(frame, header, sizeof header);
    frame[FLOW] = (uint8_t)flow;
  }
  reset(p);
}

/* A bin of the histogram has the exponent and 7 bits of the mantissa of its times. */
union bin { float ns; uint32_t bits; };
static unsigned bin_of(float ns) { return (((union bin){ns < 1 ? 1 : ns < 4e9f ? ns : 4e9f}).bits >> 16) - FIRST_BIN; }
static float shortest_of(unsigned bin) { return ((union bin){.bits = (bin + FIRST_BIN) << 16}).ns; }

/* Checks a packet that a port transmits: its peer has received it. Every 64th is compared to its end. */
static inline void check(struct port *p, uint8_t *packet, unsigned length) {
  p->received++;
  unsigned flow = packet ? packet[FLOW] : MAX_FLOWS;
  if (length != size || flow >= flows) { p->corrupt++; return; }
  uint8_t *frame = p->peer->frames[flow];
  uint64_t number = WORD(packet, NUMBER), expected = p->next_received[flow], different = 0;
  for (int at = FIXED; at < NUMBER; at += 8) different |= WORD(packet, at) ^ WORD(frame, at);
  if (number % WHOLE_EACH == 0) different |= memcmp(packet + MIN_FRAME, frame + MIN_FRAME, size - MIN_FRAME) != 0;
  if (different || number >= p->peer->next_sent[flow]) { p->corrupt++; return; }
  if (number < expected) { p->reordered++; return; }
  p->gaps += number - expected;
  p->next_received[flow] = number + 1;
  if (latency) p->latencies[bin_of((float)((double)(__rdtsc() - WORD(packet, TIME)) * ns_per_tick))]++;
}

/* Writes a packet of a flow to the next descriptor of a ring, which must be free. */
static inline void deliver(struct port *p, struct ring *ring, unsigned flow) {
  volatile uint64_t *descriptor = ring->descriptors + 2 * ring->head;
  uint8_t *buffer = reach(descriptor[0]);
  if (buffer) {
    memcpy(buffer, p->frames[flow], 64);
    if (size > 64) memcpy(buffer + 64, p->frames[flow] + 64, size - 64);
    WORD(buffer, NUMBER) = p->next_sent[flow];
    WORD(buffer, TIME) = latency ? __rdtsc() : 0;
  }
  p->next_sent[flow]++, p->sent++;
  descriptor[0] = 0; /* no hash, no packet type */
  atomic_thread_fence(memory_order_release);
  descriptor[1] = RX_DONE | (uint64_t)size << 32;
  if (++ring->head == ring->entries) ring->head = 0;
}

/* Reads a queue's tail, and its other registers when it gets enabled; returns whether it is enabled. */
static inline bool is_on(struct port *p, struct ring *ring, unsigned way, unsigned queue) {
  if (!(QUEUE_REG(p, way, queue, DCTL) & ENABLE)) ring->enabled = false;
  else if (!ring->enabled) {
    uint64_t base = (uint64_t)QUEUE_REG(p, way, queue, BASE_HIGH) << 32 | QUEUE_REG(p, way, queue, BASE);
    ring->descriptors = (volatile uint64_t *)reach(base);
    ring->entries = QUEUE_REG(p, way, queue, LENGTH) / 16;
    ring->head = QUEUE_REG(p, way, queue, HEAD);
    ring->enabled = ring->descriptors && ring->head < ring->entries;
  }
  ring->tail = ring->enabled ? QUEUE_REG(p, way, queue, TAIL) : ring->head;
  return ring->enabled;
}

/* Takes what a transmit queue has; writes back only descriptors with RS, as a card does. */
static inline void transmit(struct port *p, unsigned queue) {
  struct ring *ring = &p->tx[queue];
  for (int n = 0; n < BURST && ring->head != ring->tail; n++) {
    volatile uint64_t *descriptor = ring->descriptors + 2 * ring->head;
    uint64_t command = descriptor[1];
    check(p, reach(descriptor[0]), command & 0xffff);
    if (command & TX_REPORT) descriptor[1] = TX_DONE;
    if (++ring->head == ring->entries) ring->head = 0;
  }
}

/* Sends packets of all flows in turn: a burst, or what is due, which is missed if there is no descriptor. */
static inline void offer(struct port *p, uint64_t now) {
  double elapsed = (double)(now - p->last) * ns_per_tick;
  p->due = rate > 0 ? p->due + (elapsed < STALL_NS ? elapsed : STALL_NS) * 1e-9 * rate : BURST;
  p->last = now;
  for (int n = (int)p->due; n > 0; n--, p->due--) {
    struct ring *ring = &p->rx[p->queue_of[p->flow]];
    if (ring->head != ring->tail) deliver(p, ring, p->flow);
    else if (rate > 0) p->next_sent[p->flow]++, p->sent++, p->missed++;
    if (++p->flow == flows) p->flow = 0;
  }
}

/* Does what is not urgent: answers what a driver waits for in its set-up, and looks for new queues. */
static void attend(struct port *p) {
  uint32_t read = REG(p, EERD);
  REG(p, STATUS) = REG(p, CTRL) & GIO_DIS ? 0 : GIO_MASTER_ENABLE;
  if (REG(p, AUTOC) & 1 << 12) REG(p, AUTOC) &= ~(1u << 12); /* the link has restarted */
  if (read & 1) REG(p, EERD) = (read & 0xfffc) | 2 | ((read & 0xfffc) == 0x3f << 2 ? 0xbaba0000 : 0); /* checksum */
  for (unsigned f = 0; f < flows; f++) /* with RSS, a flow's number stands for its hash */
    p->queue_of[f] = (REG(p, MRQC) & 0xf) == 1 ? p->bar[RETA + f] % QUEUES : 0;
  for (unsigned queue = 0; queue < QUEUES; queue++) {
    if (QUEUE_REG(p, RX, queue, DCTL) & ENABLE && p->rx_queues <= queue) p->rx_queues = queue + 1;
    if (QUEUE_REG(p, TX, queue, DCTL) & ENABLE && p->tx_queues <= queue) p->tx_queues = queue + 1;
    if (p->tx[queue].enabled) QUEUE_REG(p, TX, queue, HEAD) = p->tx[queue].head;
  }
}

static void poll_port(struct port *p, uint64_t now) {
  if (__builtin_expect((REG(p, CTRL) & (RST | LRST)) != 0, 0)) { reset(p); return; }
  for (unsigned queue = 0; queue < p->tx_queues; queue++)
    if (is_on(p, &p->tx[queue], TX, queue) && REG(p, DMATXCTL) & 1) transmit(p, queue);
  for (unsigned queue = 0; queue < p->rx_queues; queue++) is_on(p, &p->rx[queue], RX, queue);
  bool before = p->receiving;
  p->receiving = REG(p, RXCTRL) & 1;
  if (p->receiving && !before) attend(p);
  if (sending && p->receiving) offer(p, now);
  else p->last = now;
}

/* Prints the counts as a line of JSON. */
static void report(bool total) {
  printf("{\"seconds\":%.6f,%s\"progress\":[0", (double)__rdtsc() * ns_per_tick / 1e9, total ? "\"total\":true," : "");
  for (uint64_t i = 0; total && i < slices; i++) printf(",%lu", progress[i]);
  for (struct port *p = ports; p < ports + 2; p++) {
    printf("%s{\"wireStatistics\":{\"sent\":%lu,\"missed\":%lu,\"received\":%lu,\"gaps\":%lu,\"reordered\":%lu,"
           "\"corrupt\":%lu},\"latency\":[", p == ports ? "],\"ports\":[" : ",", p->sent, p->missed, p->received,
           p->gaps, p->reordered, p->corrupt);
    const char *between = "";
    for (unsigned bin = 0; bin < BINS; bin++)
      if (p->latencies[bin]) printf("%s[%.0f,%u]", between, shortest_of(bin), p->latencies[bin]), between = ",";
    printf("]}");
  }
  printf("]}\n");
}

/* Executes the commands that have arrived; returns whether to go on. The end of the input means quit. */
static bool execute(void) {
  char text[4096];
  ssize_t n = read(STDIN_FILENO, text, sizeof text - 1);
  if (n <= 0) return n < 0 && (errno == EAGAIN || errno == EINTR);
  text[n] = 0;
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    if (strcmp(line, "quit") == 0) return false;
    if (strcmp(line, "stats") == 0) report(false);
    else sending = strcmp(line, "start") == 0; /* or stop */
    if (sending && begun == 0) begun = __rdtsc();
  }
  return true;
}

static double clock_ns(void) {
  struct timespec now;
  return clock_gettime(CLOCK_MONOTONIC, &now), (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc != 7) errx(2, "takes two directories, the size of packets, flows, rate, and 1 for latency");
  size = (unsigned)atoi(argv[3]), flows = (unsigned)atoi(argv[4]), rate = atof(argv[5]), latency = atoi(argv[6]);
  if (size < MIN_FRAME || size > MAX_FRAME || flows < 1 || flows > MAX_FLOWS) errx(2, "size or flows out of range");
  double start = clock_ns();
  uint64_t ticks = __rdtsc();
  usleep(20000);
  ns_per_tick = (clock_ns() - start) / (double)(__rdtsc() - ticks);
  for (int i = 0; i < 2; i++) create(&ports[i], argv[1 + i]);
  fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
  puts("{\"ready\":true}");
  for (uint64_t round = 0;; round++) {
    uint64_t now = __rdtsc();
    for (int i = 0; i < 2; i++) poll_port(&ports[i], now);
    if (round % 1024) continue;
    for (int i = 0; i < 2; i++) attend(&ports[i]);
    while (begun && slices < SLICES && (double)(now - begun) * ns_per_tick >= (double)(slices + 1) * SLICE_NS)
      progress[slices++] = ports[0].received + ports[1].received;
    if (!execute()) break;
    fflush(stdout);
  }
  report(true);
}

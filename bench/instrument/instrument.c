/*
 * Two ports of an 82599 in shared memory, fast enough to measure forwarders on. A port's registers are a
 * file that the forwarder maps as BAR 0. bench/README.md says what is modelled and what is not. Names of
 * registers and fields are the datasheet's.
 */
#define _GNU_SOURCE
#include "memory.h"
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

enum { /* registers; those of queues have a copy each STRIDE bytes */
  CTRL = 0x0, STATUS = 0x8, RXCTRL = 0x3000, RDRXCTL = 0x2f00, MSCA = 0x425c, AUTOC = 0x42a0, LINKS = 0x42a4,
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
#define TX_TYPE 0x20f00000ull  /* DEXT, DTYP */
#define TX_CONTEXT 0x20200000ull
enum { QUEUES = 16, BURST = 64, MAX_FLOWS = 64, BINS = 4096, SLICES = 400 };
/* A frame: Ethernet addresses, which a forwarder may change; type; flow; number; time; a pattern. */
enum { FIXED = 12, FLOW = 14, NUMBER = 44, TIME = 52, MIN_FRAME = 60, MAX_FRAME = 1514, WHOLE_EACH = 64 };
#define STALL_NS 2e5 /* after a stall, a generator makes up for this time at most */
#define SLICE_NS 1e7

struct ring { volatile uint64_t *descriptors; uint32_t head, entries; bool enabled; };
struct port {
  volatile uint8_t *bar;
  struct port *peer;
  struct ring rx[QUEUES], tx[QUEUES];
  unsigned rx_queues, tx_queues; /* one more than the highest that was enabled */
  uint8_t queue_of[MAX_FLOWS], flows_of[QUEUES][MAX_FLOWS], flows[QUEUES], next_flow[QUEUES];
  uint8_t frames[MAX_FLOWS][MAX_FRAME + 6];
  uint64_t next_sent[MAX_FLOWS], next_received[MAX_FLOWS]; /* numbers of packets for, and from, this port */
  uint64_t sent, missed, received, gaps, reordered, corrupt; /* gaps: numbers left out, for any reason */
  uint64_t last, turn;
  double due; /* packets that the rate allows now */
  uint32_t latencies[BINS];
};
static struct port ports[2];
static unsigned size, flows;
static double rate; /* packets a second for each port; 0: as fast as descriptors come back */
static bool latency, sending;
static double ns_per_tick;
static uint64_t begun, progress[SLICES], slices; /* packets that are back, by time since the first start */

#define REG(port, offset) (*(volatile uint32_t *)((port)->bar + (offset)))
#define QUEUE_REG(port, way, queue, offset) REG(port, (way) + STRIDE * (queue) + (offset))

/* RST is cleared last: the driver goes on then, and DPDK's gives a reset only 10 us. */
static void reset(struct port *p) {
  memset((uint8_t *)p->bar + STATUS, 0, USED - STATUS);
  for (int queue = 0; queue < QUEUES; queue++) p->rx[queue].enabled = p->tx[queue].enabled = false;
  p->rx_queues = p->tx_queues = 0;
  REG(p, STATUS) = GIO_MASTER_ENABLE;
  REG(p, EEC) = 3 << 8;        /* EE_PRES, AUTO_RD */
  REG(p, EEMNGCTL) = 3 << 18;  /* CFG_DONE of both ports */
  REG(p, RDRXCTL) = 1 << 3;    /* DMAIDONE */
  REG(p, AUTOC) = 1 << 13;     /* LMS: 10 Gbit/s without negotiation */
  REG(p, ANLP1) = 1 << 16;     /* the partner can do it */
  REG(p, LINKS) = 7 << 28;     /* up, 10 Gbit/s */
  REG(p, SECRXSTAT) = REG(p, SECTXSTAT) = 1; /* ready */
  REG(p, RAL) = 0x00000002;    /* 02:00:00:00:00:00 and :01 */
  REG(p, RAH) = 1u << 31 | (p > p->peer) << 8;
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

static unsigned bin_of(double ns) { /* exact below 256 ns, then to 1/128 */
  uint64_t time = ns < 4e9 ? (uint64_t)ns : 4000000000;
  unsigned shift = time < 256 ? 0 : 56 - (unsigned)__builtin_clzll(time);
  return shift * 128 + (unsigned)(time >> shift);
}

static unsigned long shortest_of(unsigned bin) {
  unsigned shift = bin < 256 ? 0 : bin / 128 - 1;
  return (unsigned long)(bin - shift * 128) << shift;
}

static inline uint64_t word(const uint8_t *at) {
  uint64_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

/* Checks a packet that a port transmits: its peer has received it. Every 64th is compared to its end. */
static inline void check(struct port *p, const uint8_t *packet, unsigned length) {
  p->received++;
  unsigned flow = packet ? packet[FLOW] : MAX_FLOWS;
  if (length != size || flow >= flows) { p->corrupt++; return; }
  const uint8_t *frame = p->peer->frames[flow];
  uint64_t number = word(packet + NUMBER), expected = p->next_received[flow], different = 0;
  for (int at = FIXED; at < NUMBER; at += 8) different |= word(packet + at) ^ word(frame + at);
  if (number % WHOLE_EACH == 0) different |= memcmp(packet + MIN_FRAME, frame + MIN_FRAME, size - MIN_FRAME) != 0;
  if (different || number >= p->peer->next_sent[flow]) { p->corrupt++; return; }
  if (number < expected) { p->reordered++; return; }
  p->gaps += number - expected;
  p->next_received[flow] = number + 1;
  if (latency) p->latencies[bin_of((double)(__rdtsc() - word(packet + TIME)) * ns_per_tick)]++;
}

/* Writes a packet of a flow to the next descriptor of a ring, which must be free. */
static inline void deliver(struct port *p, struct ring *ring, unsigned flow) {
  volatile uint64_t *descriptor = ring->descriptors + 2 * ring->head;
  uint8_t *buffer = reach(descriptor[0]);
  uint64_t number = p->next_sent[flow]++, now = latency ? __rdtsc() : 0;
  p->sent++;
  if (buffer) {
    memcpy(buffer, p->frames[flow], 64);
    if (size > 64) memcpy(buffer + 64, p->frames[flow] + 64, size - 64);
    memcpy(buffer + NUMBER, &number, sizeof number);
    memcpy(buffer + TIME, &now, sizeof now);
  }
  descriptor[0] = 0; /* no hash, no packet type */
  atomic_thread_fence(memory_order_release);
  descriptor[1] = RX_DONE | (uint64_t)size << 32;
  if (++ring->head == ring->entries) ring->head = 0;
}

/* Returns whether a queue is enabled; takes its registers over when it gets enabled. */
static inline bool is_on(struct port *p, struct ring *ring, unsigned way, unsigned queue) {
  if (!(QUEUE_REG(p, way, queue, DCTL) & ENABLE)) return ring->enabled = false;
  if (__builtin_expect(ring->enabled, 1)) return true;
  uint64_t base = (uint64_t)QUEUE_REG(p, way, queue, BASE_HIGH) << 32 | QUEUE_REG(p, way, queue, BASE);
  ring->descriptors = (volatile uint64_t *)reach(base);
  ring->entries = QUEUE_REG(p, way, queue, LENGTH) / 16;
  ring->head = QUEUE_REG(p, way, queue, HEAD);
  return ring->enabled = ring->descriptors && ring->head < ring->entries;
}

/* Takes what a transmit queue has; writes back only descriptors with RS, as a card does. */
static inline void transmit(struct port *p, unsigned queue) {
  struct ring *ring = &p->tx[queue];
  uint32_t tail = QUEUE_REG(p, TX, queue, TAIL);
  for (int n = 0; n < BURST && ring->head != tail; n++) {
    volatile uint64_t *descriptor = ring->descriptors + 2 * ring->head;
    uint64_t command = descriptor[1];
    if ((command & TX_TYPE) != TX_CONTEXT) check(p, reach(descriptor[0]), command & 0xffff);
    if (command & TX_REPORT) descriptor[1] = TX_DONE;
    if (++ring->head == ring->entries) ring->head = 0;
  }
}

/* Fills the free descriptors of a receive queue with its flows in turn. */
static inline void saturate(struct port *p, unsigned queue) {
  struct ring *ring = &p->rx[queue];
  uint32_t tail = QUEUE_REG(p, RX, queue, TAIL);
  for (int n = 0; n < BURST && ring->head != tail && p->flows[queue]; n++) {
    if (p->next_flow[queue] >= p->flows[queue]) p->next_flow[queue] = 0;
    deliver(p, ring, p->flows_of[queue][p->next_flow[queue]++]);
  }
}

/* Sends at the given rate, all flows in turn; a packet without a free descriptor is missed. */
static void pace(struct port *p, uint64_t now) {
  double elapsed = (double)(now - p->last) * ns_per_tick;
  p->due += (elapsed < STALL_NS ? elapsed : STALL_NS) * 1e-9 * rate;
  for (p->last = now; p->due >= 1; p->due--) {
    unsigned flow = (unsigned)(p->turn++ % flows), queue = p->queue_of[flow];
    struct ring *ring = &p->rx[queue];
    if (is_on(p, ring, RX, queue) && ring->head != QUEUE_REG(p, RX, queue, TAIL)) deliver(p, ring, flow);
    else p->next_sent[flow]++, p->sent++, p->missed++;
  }
}

static void poll_port(struct port *p, uint64_t now) {
  if (__builtin_expect((REG(p, CTRL) & (RST | LRST)) != 0, 0)) { reset(p); return; }
  for (unsigned queue = 0; queue < p->tx_queues; queue++)
    if (is_on(p, &p->tx[queue], TX, queue) && REG(p, DMATXCTL) & 1) transmit(p, queue);
  if (!sending || !(REG(p, RXCTRL) & 1)) p->last = now;
  else if (rate > 0) pace(p, now);
  else for (unsigned queue = 0; queue < p->rx_queues; queue++)
    if (is_on(p, &p->rx[queue], RX, queue)) saturate(p, queue);
}

/* Does what is not urgent: answers what a driver waits for in its set-up, and looks for new queues. */
static void attend(struct port *p) {
  uint32_t read = REG(p, EERD);
  REG(p, STATUS) = REG(p, CTRL) & GIO_DIS ? 0 : GIO_MASTER_ENABLE;
  if (REG(p, MSCA) & 1 << 30) REG(p, MSCA) &= ~(1u << 30);   /* the command to the PHY is done */
  if (REG(p, AUTOC) & 1 << 12) REG(p, AUTOC) &= ~(1u << 12); /* the link has restarted */
  if (read & 1) REG(p, EERD) = (read & 0xfffc) | 2 | ((read & 0xfffc) == 0x3f << 2 ? 0xbaba0000 : 0); /* checksum */
  memset(p->flows, 0, sizeof p->flows);
  for (unsigned flow = 0; flow < flows; flow++) { /* its number stands for its hash */
    unsigned queue = p->queue_of[flow] = (REG(p, MRQC) & 0xf) == 1 ? p->bar[RETA + flow] % QUEUES : 0;
    p->flows_of[queue][p->flows[queue]++] = (uint8_t)flow;
  }
  for (unsigned queue = 0; queue < QUEUES; queue++) {
    if (QUEUE_REG(p, RX, queue, DCTL) & ENABLE && p->rx_queues <= queue) p->rx_queues = queue + 1;
    if (QUEUE_REG(p, TX, queue, DCTL) & ENABLE && p->tx_queues <= queue) p->tx_queues = queue + 1;
    if (p->rx[queue].enabled) QUEUE_REG(p, RX, queue, HEAD) = p->rx[queue].head;
    if (p->tx[queue].enabled) QUEUE_REG(p, TX, queue, HEAD) = p->tx[queue].head;
  }
}

static void report(bool total) {
  printf("{\"seconds\":%.6f,%s\"progress\":[0", (double)__rdtsc() * ns_per_tick / 1e9, total ? "\"total\":true," : "");
  for (uint64_t i = 0; total && i < slices; i++) printf(",%lu", progress[i]);
  for (struct port *p = ports; p < ports + 2; p++) {
    printf("%s{\"wireStatistics\":{\"sent\":%lu,\"missed\":%lu,\"received\":%lu,\"gaps\":%lu,\"reordered\":%lu,"
           "\"corrupt\":%lu},\"latency\":[", p == ports ? "],\"ports\":[" : ",", p->sent, p->missed, p->received,
           p->gaps, p->reordered, p->corrupt);
    const char *between = "";
    for (unsigned bin = 0; bin < BINS; bin++)
      if (p->latencies[bin]) printf("%s[%lu,%u]", between, shortest_of(bin), p->latencies[bin]), between = ",";
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
  fflush(stdout);
  return true;
}

int main(int argc, char **argv) {
  if (argc != 7) errx(2, "takes two directories, the size of packets, flows, rate, and 1 for latency");
  size = (unsigned)atoi(argv[3]), flows = (unsigned)atoi(argv[4]), rate = atof(argv[5]), latency = atoi(argv[6]);
  if (size < MIN_FRAME || size > MAX_FRAME || flows < 1 || flows > MAX_FLOWS) errx(2, "size or flows out of range");
  struct timespec from, to;
  clock_gettime(CLOCK_MONOTONIC, &from);
  uint64_t ticks = __rdtsc();
  usleep(20000);
  clock_gettime(CLOCK_MONOTONIC, &to);
  ns_per_tick = ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) / (double)(__rdtsc() - ticks);
  for (int i = 0; i < 2; i++) create(&ports[i], argv[1 + i]);
  fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
  puts("{\"ready\":true}");
  fflush(stdout);
  for (uint64_t round = 0; round % 1024 || execute(); round++) {
    uint64_t now = __rdtsc();
    for (int i = 0; i < 2; i++) poll_port(&ports[i], now);
    for (int i = 0; i < 2 && round % 1024 == 0; i++) attend(&ports[i]);
    while (round % 1024 == 0 && begun && slices < SLICES && (double)(now - begun) * ns_per_tick >= (double)(slices + 1) * SLICE_NS)
      progress[slices++] = ports[0].received + ports[1].received;
  }
  report(true);
  return 0;
}

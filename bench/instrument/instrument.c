/*
 * Two ports of an 82599 in shared memory, to measure forwarders on. A port's registers are a file that the
 * forwarder maps as BAR 0. bench/README.md says what is modelled. Names are the datasheet's.
 */
#include "shared.h"
#include <errno.h>
#include <stdbool.h>
#include <time.h>
#include <x86intrin.h>

/* The second word of descriptors (sections 7.1.6 and 7.2.3). */
#define RX_DONE 3ull           /* DD, EOP */
#define TX_DONE (1ull << 32)   /* DD */
enum { QUEUES = 16, BURST = 64, MAX_FLOWS = 64, BINS = 4096, FIRST_BIN = 0x3f80, SLICES = 400 };
#define CHECKSUM (0xbabau << 16) /* the EEPROM's, of words that are 0 */
/* A frame: Ethernet addresses, which a forwarder may change; type; flow; number; time; a pattern. */
enum { FIXED = 12, FLOW = 14, NUMBER = 44, TIME = 52, MIN_FRAME = 60, MAX_FRAME = 1514, WHOLE_EACH = 64 };
typedef uint64_t __attribute__((may_alias, aligned(1))) word;
#define WORD(packet, at) (*(word *)((packet) + (at)))
#define STALL_NS 2e5 /* after a stall, a generator makes up for this time at most */
#define SLICE_NS 1e7
/* Between two looks at a port's tails, for each queue. A card is told; each look here takes a line from the driver's core. */
#define LOOK_NS (latency ? 200 : 2000)

struct ring { volatile pair *descriptors; uint32_t head, tail, entries; bool enabled; };
static struct port {
  volatile uint8_t *bar;
  struct port *peer;
  struct ring rx[QUEUES], tx[QUEUES];
  unsigned receiving, rx_queues, tx_queues; /* one more than the highest queue that was enabled */
  uint8_t queue_of[MAX_FLOWS], frames[MAX_FLOWS][MAX_FRAME + 6];
  uint64_t next_sent[MAX_FLOWS], next_received[MAX_FLOWS]; /* numbers of packets for, and from, this port */
  uint64_t sent, missed, received, gaps, reordered, corrupt; /* gaps: numbers left out, for any reason */
  unsigned flow; /* the next packet's */
  uint64_t last, looked; /* when packets were last sent, and tails last looked at */
  double due; /* packets that the rate allows now */
  uint32_t latencies[BINS];
} ports[2];
static unsigned size, flows;
static bool latency, sending;
static double rate, ns_per_tick; /* rate: packets a second for each port; 0: as fast as descriptors come back */
static uint64_t begun, progress[SLICES], slices; /* packets that are back, by time since the first start */

#define QUEUE_REG(port, way, queue, offset) REG((port)->bar, (way) + STRIDE * (queue) + (offset))

/* RST is cleared last: the driver goes on then, and DPDK's gives a reset only 10 us. */
static void reset(struct port *p) {
  memset((uint8_t *)p->bar + STATUS, 0, USED - STATUS);
  memset(p->rx, 0, sizeof p->rx), memset(p->tx, 0, sizeof p->tx);
  p->rx_queues = p->tx_queues = 0;
  REG(p->bar, STATUS) = GIO_MASTER_ENABLE;
  REG(p->bar, EEC) = 3 << 8, REG(p->bar, EEMNGCTL) = 3 << 18, REG(p->bar, RDRXCTL) = 1 << 3; /* all is ready */
  REG(p->bar, AUTOC) = 1 << 13, REG(p->bar, ANLP1) = 1 << 16, REG(p->bar, LINKS) = 7 << 28; /* 10 Gbit/s, up */
  REG(p->bar, SECRXSTAT) = REG(p->bar, SECTXSTAT) = 1; /* idle */
  REG(p->bar, RAL) = 2, REG(p->bar, RAH) = 1u << 31 | (p > p->peer) << 8; /* 02:00:00:00:00:00 and :01 */
  atomic_thread_fence(memory_order_release);
  REG(p->bar, CTRL) = 0;
}

static void create(struct port *p, const char *directory) {
  p->bar = map_registers(directory);
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
static inline void check(struct port *p, const uint8_t *packet, unsigned length) {
  unsigned flow = packet ? packet[FLOW] : MAX_FLOWS;
  if (length != size || flow >= flows) { p->corrupt++; return; }
  const uint8_t *frame = p->peer->frames[flow];
  uint64_t number = WORD(packet, NUMBER), expected = p->next_received[flow], different = 0;
  for (int at = FIXED; at < NUMBER; at += 8) different |= WORD(packet, at) ^ WORD(frame, at);
  if (number % WHOLE_EACH == 0) different |= memcmp(packet + MIN_FRAME, frame + MIN_FRAME, size - MIN_FRAME) != 0;
  if (different || number >= p->peer->next_sent[flow]) { p->corrupt++; return; }
  if (number < expected) { p->reordered++; return; }
  if (number > expected) p->gaps += number - expected;
  p->next_received[flow] = number + 1;
  if (latency) p->latencies[bin_of((float)((double)(__rdtsc() - WORD(packet, TIME)) * ns_per_tick))]++;
}

/* Writes packets of a flow to the next descriptors of a ring, which must be free. */
static inline void deliver(struct port *p, struct ring *ring, unsigned flow, unsigned count) {
  uint64_t number = p->next_sent[flow];
  uint32_t head = ring->head;
  for (unsigned n = 0; n < count; n++) {
    volatile pair *descriptor = ring->descriptors + head;
    uint8_t *buffer = reach((*descriptor)[0]);
    if (buffer) {
      memcpy(buffer, p->frames[flow], 64);
      if (size > 64) memcpy(buffer + 64, p->frames[flow] + 64, size - 64);
      WORD(buffer, NUMBER) = number + n;
      WORD(buffer, TIME) = latency ? __rdtsc() : 0;
    }
    atomic_thread_fence(memory_order_release);
    *descriptor = (pair){0, RX_DONE | (uint64_t)size << 32}; /* no hash, no packet type */
    if (++head == ring->entries) head = 0;
  }
  ring->head = head, p->next_sent[flow] += count, p->sent += count;
}

/*
 * Reads a queue's tail, and its other registers when it gets enabled. Of receive descriptors it takes whole
 * cache lines: the two cores would wait for each other in the line that the driver is writing.
 */
static inline void look(struct port *p, struct ring *ring, unsigned way, unsigned queue) {
  if (!(QUEUE_REG(p, way, queue, DCTL) & ENABLE)) ring->enabled = false;
  else if (!ring->enabled) {
    uint64_t base = (uint64_t)QUEUE_REG(p, way, queue, BASE_HIGH) << 32 | QUEUE_REG(p, way, queue, BASE);
    ring->descriptors = (volatile pair *)reach(base & ~127ull); /* bits that a card ignores */
    ring->entries = QUEUE_REG(p, way, queue, LENGTH) / 16;
    ring->head = QUEUE_REG(p, way, queue, HEAD);
    ring->enabled = ring->descriptors && ring->head < ring->entries && (way == TX || ring->head % 4 == 0);
  }
  ring->tail = ring->enabled ? QUEUE_REG(p, way, queue, TAIL) & (way == RX ? ~3u : ~0u) : ring->head;
}

/* Descriptors from a ring's head to its tail, at most a number of them. */
static inline unsigned waiting(const struct ring *ring, unsigned most) {
  uint32_t count = ring->tail - ring->head + (ring->tail < ring->head ? ring->entries : 0);
  return count < most ? count : most;
}

/* Begins to load a ring's next descriptors: all cache misses overlap, as the reads of a card do. */
static inline void load_descriptors(const struct ring *ring, bool write) {
  uint32_t at = ring->head;
  for (unsigned count = waiting(ring, BURST); count > 0; count--) {
    if (write) __builtin_prefetch((void *)(ring->descriptors + at), 1);
    else __builtin_prefetch((void *)(ring->descriptors + at), 0);
    if (++at == ring->entries) at = 0;
  }
}
/* The same for their packets. */
static inline void load_packets(const struct ring *ring) {
  uint32_t at = ring->head;
  for (unsigned count = waiting(ring, BURST); count > 0; count--) {
    __builtin_prefetch(reach(ring->descriptors[at][0]), 1); /* to write: it will receive into them later */
    if (++at == ring->entries) at = 0;
  }
}

/* Takes what a transmit queue has; writes back only descriptors with RS, as a card does. */
static inline void transmit(struct port *p, struct ring *ring) {
  unsigned count = waiting(ring, BURST);
  uint32_t head = ring->head;
  for (unsigned n = 0; n < count; n++) {
    volatile pair *descriptor = ring->descriptors + head;
    pair words = *descriptor;
    check(p, reach(words[0]), words[1] & 0xffff);
    if (words[1] & TX_REPORT) ((volatile uint64_t *)descriptor)[1] = TX_DONE;
    if (++head == ring->entries) head = 0;
  }
  ring->head = head, p->received += count;
}

/* Sends bursts of all flows in turn, one for each queue; or what is due, which is missed if there is no descriptor. */
static inline void offer(struct port *p, uint64_t now) {
  double elapsed = (double)(now - p->last) * ns_per_tick;
  p->due = rate > 0 ? p->due + (elapsed < STALL_NS ? elapsed : STALL_NS) * 1e-9 * rate : BURST * p->rx_queues;
  p->last = now;
  while (p->due >= 1) {
    struct ring *ring = &p->rx[p->queue_of[p->flow]];
    unsigned burst = p->due < BURST ? (unsigned)p->due : BURST, count = waiting(ring, burst);
    deliver(p, ring, p->flow, count);
    p->due -= burst;
    if (rate > 0) p->next_sent[p->flow] += burst - count, p->sent += burst - count, p->missed += burst - count;
    if (++p->flow == flows) p->flow = 0;
  }
}

/* Does what is not urgent: answers what a driver waits for in its set-up, and looks for new queues. */
static void attend(struct port *p) {
  uint32_t read = REG(p->bar, EERD);
  REG(p->bar, STATUS) = REG(p->bar, CTRL) & GIO_DIS ? 0 : GIO_MASTER_ENABLE;
  if (REG(p->bar, AUTOC) & 1 << 12) REG(p->bar, AUTOC) &= ~(1u << 12); /* the link has restarted */
  if (read & 1) REG(p->bar, EERD) = (read & 0xfffc) | 2 | ((read & 0xfffc) == 0x3f << 2 ? CHECKSUM : 0);
  for (unsigned f = 0; f < flows; f++) /* with RSS, a flow's number stands for its hash */
    p->queue_of[f] = (REG(p->bar, MRQC) & 0xf) == 1 ? p->bar[RETA + f] % QUEUES : 0;
  for (unsigned queue = 0; queue < QUEUES; queue++) {
    if (QUEUE_REG(p, RX, queue, DCTL) & ENABLE && p->rx_queues <= queue) p->rx_queues = queue + 1;
    if (QUEUE_REG(p, TX, queue, DCTL) & ENABLE && p->tx_queues <= queue) p->tx_queues = queue + 1;
    if (p->tx[queue].enabled) QUEUE_REG(p, TX, queue, HEAD) = p->tx[queue].head;
  }
}

/* Looks at the registers that drivers write while packets pass, and begins to load descriptors. */
static inline void prepare(struct port *p, uint64_t now) {
  bool due = (double)(now - p->looked) * ns_per_tick >= LOOK_NS * p->rx_queues;
  if (due) p->looked = now;
  for (unsigned queue = 0; due && queue < p->tx_queues; queue++) look(p, &p->tx[queue], TX, queue);
  for (unsigned queue = 0; due && queue < p->rx_queues; queue++) look(p, &p->rx[queue], RX, queue);
  for (unsigned queue = 0; queue < p->tx_queues; queue++) load_descriptors(&p->tx[queue], false);
  /* At a rate, most are not needed now, and a driver polls the line of the first one. */
  for (unsigned queue = 0; rate == 0 && queue < p->rx_queues; queue++) load_descriptors(&p->rx[queue], true);
}

static void poll_ports(uint64_t now) {
  for (struct port *p = ports; p < ports + 2; p++)
    if (__builtin_expect((REG(p->bar, CTRL) & (RST | LRST)) != 0, 0)) reset(p);
    else prepare(p, now);
  for (struct port *p = ports; p < ports + 2; p++)
    for (unsigned queue = 0; queue < p->tx_queues; queue++) load_packets(&p->tx[queue]);
  for (struct port *p = ports; p < ports + 2; p++) { /* while packets are loaded */
    bool receiving = REG(p->bar, RXCTRL) & 1;
    if (!p->receiving && receiving) attend(p); /* RETA is complete now */
    p->receiving = receiving;
    if (sending && p->receiving) offer(p, now);
    else p->last = now;
  }
  for (struct port *p = ports; p < ports + 2; p++)
    for (unsigned queue = 0; queue < p->tx_queues; queue++)
      if (REG(p->bar, DMATXCTL) & 1) transmit(p, &p->tx[queue]);
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

int main(int argc, char **argv) {
  if (argc != 7) errx(2, "takes two directories, bytes of packets (60 to 1514), flows (1 to 64), rate, 1 for latency");
  size = (unsigned)atoi(argv[3]), flows = (unsigned)atoi(argv[4]), rate = atof(argv[5]), latency = atoi(argv[6]);
  struct timespec start, end;
  uint64_t ticks = (clock_gettime(CLOCK_MONOTONIC, &start), __rdtsc());
  usleep(20000);
  ticks = (clock_gettime(CLOCK_MONOTONIC, &end), __rdtsc()) - ticks;
  ns_per_tick = ((double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec)) / (double)ticks;
  for (int i = 0; i < 2; i++) create(&ports[i], argv[1 + i]);
  fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
  puts("{\"ready\":true}");
  for (uint64_t round = 0;; round++) {
    uint64_t now = __rdtsc();
    poll_ports(now);
    if (round % (1024 / (ports[0].rx_queues ? ports[0].rx_queues : 1))) continue; /* more queues, longer rounds */
    for (int i = 0; i < 2; i++) attend(&ports[i]);
    while (begun && slices < SLICES && (double)(now - begun) * ns_per_tick >= (double)(slices + 1) * SLICE_NS)
      progress[slices++] = ports[0].received + ports[1].received;
    if (!execute()) break;
    fflush(stdout);
  }
  report(true);
}

/*
 * The forwarder of fwd.ts on DPDK, to compare with: both ways between two ports, one queue each, on one core.
 * It increments a byte of each packet. peers.md says how to build and start it.
 *
 *   dpdk_forwarder EAL-OPTIONS -- BATCH [full] [no-touch]
 */
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As in fwd.ts: descriptors of a ring, buffers of the pool, packets of a turn. Buffers that a core keeps for itself. */
enum { RING = 512, BUFFERS = 4096, CACHE = 250, MOST = 256, TURN = 32 };

static void check(int result, const char *what) {
  if (result >= 0) return;
  fprintf(stderr, "error: %s: %s\n", what, rte_strerror(-result));
  exit(1);
}

/*
 * Waits, which DPDK's driver does only while it sets a card up, and there for 10 us at least. A card answers at
 * once; the instrument needs a processor for it, which it may have to wait for.
 */
static void wait_for_instrument(unsigned microseconds) { usleep(microseconds < 1000 ? 1000 : microseconds); }

/* Opens a port. DPDK leaves its fast paths if frames may have several buffers, or few are freed at a time. */
static void open_port(uint16_t port, struct rte_mempool *pool, int full) {
  struct rte_eth_dev_info info;
  struct rte_eth_conf conf = {0};
  check(rte_eth_dev_info_get(port, &info), "port");
  struct rte_eth_rxconf rx = info.default_rxconf;
  struct rte_eth_txconf tx = info.default_txconf;
  if (full) {
    rx.rx_free_thresh = 16;
    tx.offloads = conf.txmode.offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
  }
  check(rte_eth_dev_configure(port, 1, 1, &conf), "configure");
  check(rte_eth_rx_queue_setup(port, 0, RING, rte_eth_dev_socket_id(port), &rx, pool), "receive queue");
  check(rte_eth_tx_queue_setup(port, 0, RING, rte_eth_dev_socket_id(port), &tx), "transmit queue");
  check(rte_eth_dev_start(port), "start");
  check(rte_eth_promiscuous_enable(port), "promiscuous mode");
}

/* Forwards packets in batches, until a turn is over or none is left. */
static inline void forward(uint16_t from, uint16_t to, uint16_t batch, int touch) {
  struct rte_mbuf *packets[MOST];
  for (uint16_t total = 0, received; total < TURN; total += received) {
    received = rte_eth_rx_burst(from, 0, packets, batch);
    if (received == 0) return;
    for (uint16_t i = 0; touch && i < received; i++) rte_pktmbuf_mtod(packets[i], uint8_t *)[1]++;
    uint16_t sent = rte_eth_tx_burst(to, 0, packets, received);
    if (sent < received) rte_pktmbuf_free_bulk(packets + sent, received - sent);
  }
}

int main(int argc, char **argv) {
  rte_delay_us_callback_register(wait_for_instrument);
  int used = rte_eal_init(argc, argv);
  check(used, "EAL");
  int batch = argc > used + 1 ? atoi(argv[used + 1]) : 0;
  if (batch < 1 || batch > MOST) {
    fprintf(stderr, "error: the batch size is 1 to %d\n", MOST);
    return 2;
  }
  int full = 0, touch = 1;
  for (int i = used + 2; i < argc; i++) {
    if (strcmp(argv[i], "full") == 0) full = 1;
    else if (strcmp(argv[i], "no-touch") == 0) touch = 0;
    else {
      fprintf(stderr, "error: %s is neither full nor no-touch\n", argv[i]);
      return 2;
    }
  }
  struct rte_mempool *pool =
    rte_pktmbuf_pool_create("packets", BUFFERS, CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
  check(pool ? 0 : -rte_errno, "pool");
  for (uint16_t port = 0; port < 2; port++) open_port(port, pool, full);
  for (;;) {
    forward(0, 1, (uint16_t)batch, touch);
    forward(1, 0, (uint16_t)batch, touch);
  }
}

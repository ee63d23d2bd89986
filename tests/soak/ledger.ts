/**
 * Accounts for every packet of a soak run.
 *
 * Both generators number what they send, and check what the forwarder brings them. In the life of
 * one forwarder, a packet sent has come back, or its port missed it (no free descriptor), or the
 * forwarder dropped it (transmit ring full), or it is lost. Where a fault ends the forwarder or the
 * NIC, the packets in their rings and buffers are lost, `inFlight`: there are limits for these.
 * Every other lost packet is a defect.
 *
 * @module
 */

/** What a generator has sent, and what its checker has received, since the NIC started. */
export interface WireCounts {
  readonly sent: number;
  readonly missed: number;
  readonly received: number;
  readonly reordered: number;
  readonly corrupt: number;
  readonly foreign: number;
}

/** The totals of a run, in packets unless stated. */
export interface Totals {
  /** Came back, in order and unchanged. */
  received: number;
  /** Found no free descriptor. */
  missed: number;
  /** Found no room in a transmit ring. */
  dropped: number;
  /** Were in a ring or buffer when a fault ended forwarder or NIC. */
  inFlight: number;
  /** Are missing without a reason. */
  lost: number;
  reordered: number;
  /** Came back changed, or were never sent. */
  corrupt: number;
  /** Times that the driver broke a rule of the datasheet. */
  violations: number;
}

/** Names of the counts, in the order in which they are shown. */
export const COUNTS = [
  "received",
  "missed",
  "dropped",
  "inFlight",
  "lost",
  "reordered",
  "corrupt",
  "violations",
] as const satisfies readonly (keyof Totals)[];

/** Returns totals of 0. */
export function zero(): Totals {
  return Object.fromEntries(COUNTS.map((name) => [name, 0])) as unknown as Totals;
}

/** Adds totals to others. */
export function add(to: Totals, more: Totals): void {
  for (const name of COUNTS) to[name] += more[name];
}

/** The number of defects in totals. */
export function defects(totals: Totals): number {
  return totals.lost + totals.reordered + totals.corrupt + totals.violations;
}

/**
 * Accounts for the life of one forwarder.
 *
 * @param before Counts of one or two ports when it started.
 * @param after Counts of the ports after its end, or before the end of the NIC.
 * @param dropped Packets that the forwarder dropped instead of sending them to each port, until
 * `after`.
 * @param limit Packets of each direction that may be in flight at the end; 0 if all had time to
 * arrive.
 */
export function account(
  before: readonly WireCounts[],
  after: readonly WireCounts[],
  dropped: readonly number[],
  limit: number,
): Totals {
  const totals = zero();
  for (let i = 0; i < after.length; i++) {
    const other = after.length - 1 - i; // a single port gets its own packets back
    const sum = (port: number, name: keyof WireCounts) => after[port][name] - before[port][name];
    const received = sum(other, "received"), missed = sum(i, "missed");
    const missing = sum(i, "sent") - missed - received - dropped[other];
    totals.received += received;
    totals.missed += missed;
    totals.dropped += dropped[other];
    // More arrivals than departures are a defect too: packets that came back twice.
    totals.inFlight += Math.max(0, Math.min(missing, limit));
    totals.lost += missing < 0 ? -missing : Math.max(0, missing - limit);
    totals.reordered += sum(i, "reordered");
    totals.corrupt += sum(i, "corrupt") + sum(i, "foreign");
  }
  return totals;
}

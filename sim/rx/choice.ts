/**
 * Why a received packet goes to its queue (datasheet section 7.1.2). `offloads.ts` chooses the queue;
 * this says what it was that did.
 *
 * @module
 */

import { ERETA, ETQF, FDIRCTRL, MRQC, RETA, RTRUP2TC, SYNQF } from "../../ixgbe/registers.ts";
import { hex, nameOf } from "../../src/registers.ts";
import type { FlowDirector } from "../flow/director.ts";
import type { RegisterFile } from "../registers/register_file.ts";
import type { ReceiveOffloads } from "./offloads.ts";
import type { Reason } from "./reason.ts";
import type { Rss } from "./rss.ts";

/** RSS types of hashes without ports (7.1.6.2). */
const ADDRESSES_ONLY: readonly number[] = [2, 5];
/** Entries in a copy of RETA or ERETA, and in all copies of RETA. */
const ENTRIES = 4, RETA_ENTRIES = RETA.count * ENTRIES;

/** A queue, and what chose it. */
export interface QueueChoice extends Reason {
  readonly queue: number;
  /** The RSS hash, 32 bits, and its entry in the redirection table: if these chose the queue. */
  readonly hash?: number;
  readonly entry?: number;
}

/** Says what chose the queue of the packet that was inspected last. */
export function explainQueue(
  offloads: ReceiveOffloads,
  director: FlowDirector,
  file: RegisterFile,
): QueueChoice {
  const { queue, rss } = offloads;
  if (offloads.steers && offloads.queueFilters.queue >= 0) return byFilter(offloads);
  if (offloads.directs && director.queue >= 0) return byDirector(queue, file);
  if (offloads.classes.count > 0) return byClass(offloads);
  if (rss.type > 0) return byHash(queue, rss);
  const reason = rss.enabled
    ? "MRQC selects no fields to hash in such a packet, so it goes to queue 0."
    : "No filter gives the packet a queue, and MRQC.MRQE enables no receive side scaling, so it " +
      "goes to queue 0.";
  return { by: rss.enabled ? "MRQC" : "MRQC.MRQE", reason, section: MRQC.section, queue };
}

function byFilter({ queue, queueFilters: { register, index } }: ReceiveOffloads): QueueChoice {
  const by = nameOf(register, index);
  const [what, section] = register === (ETQF as typeof register)
    ? ["EtherType", "7.1.2.3"]
    : register === (SYNQF as typeof register)
    ? ["SYN flag", "7.1.2.6"]
    : ["five-tuple", "7.1.2.5"];
  return { by, reason: `The packet's ${what} matches ${by}: queue ${queue}.`, section, queue };
}

function byDirector(queue: number, file: RegisterFile): QueueChoice {
  const control = file.get(FDIRCTRL), dropQueue = (control & FDIRCTRL.DROP_QUEUE) >>> 8;
  const drops = (control & FDIRCTRL.PERFECT_MATCH) !== 0 && queue === dropQueue;
  const by = drops ? "FDIRCTRL.DROP_QUEUE" : "FDIRCMD.RX_QUEUE";
  const reason = drops
    ? `A flow director filter drops the packet: it goes to queue ${queue}, the queue for that.`
    : `A flow director filter matches the packet: queue ${queue}.`;
  return { by, reason, section: "7.1.2.7", queue };
}

function byClass({ queue, tag, trafficClass, classes }: ReceiveOffloads): QueueChoice {
  const priority = tag < 0
    ? "A packet without VLAN tag has priority 0"
    : `The packet's VLAN tag has priority ${tag >>> 13}`;
  const reason = `${priority}, which RTRUP2TC maps to traffic class ${trafficClass} of ` +
    `${classes.count}: queue ${queue}.`;
  return { by: "RTRUP2TC", reason, section: RTRUP2TC.section, queue };
}

function byHash(queue: number, { hash, entry, type }: Rss): QueueChoice {
  const by = entry < RETA_ENTRIES
    ? nameOf(RETA, Math.floor(entry / ENTRIES))
    : nameOf(ERETA, Math.floor((entry - RETA_ENTRIES) / ENTRIES));
  const fields = ADDRESSES_ONLY.includes(type) ? "addresses" : "addresses and ports";
  const reason = `The RSS hash of the packet's ${fields} is ${hex(hash >>> 0)}. Its lowest bits ` +
    `select entry ${entry} of the redirection table, which is in ${by}: queue ${queue}.`;
  return { by, reason, section: "7.1.2.8", queue, hash: hash >>> 0, entry };
}

/**
 * The commands by which a driver adds, removes and queries flow director filters, and their
 * counters (datasheet sections 7.1.2.7 and 8.2.3.21). The registers are FDIRCMD, FDIRHASH and the
 * fields of perfect filters. A command completes at once.
 *
 * Pools, tunnels, low latency interrupts and perfect IPv6 filters are not modelled. A filter that
 * needs them is recorded as a violation, and counted as a failure to add.
 *
 * @module
 */

import {
  EICR,
  FDIRCMD,
  FDIRCTRL,
  FDIRFREE,
  FDIRFSTAT,
  FDIRHASH,
  FDIRIPDA,
  FDIRIPSA,
  FDIRLEN,
  FDIRPORT,
  FDIRUSTAT,
  FDIRVLAN,
} from "../../ixgbe/registers.ts";
import { hex, offsetOf, type Register } from "../../src/registers.ts";
import type { RegisterCore } from "../registers/core.ts";
import type { InterruptCauses } from "../registers/interrupt_causes.ts";
import type { RegisterFile } from "../registers/register_file.ts";
import type { Rules } from "../registers/rules.ts";
import type { Statistics } from "../registers/statistics.ts";
import { type FilterTable, NONE, type PerfectMatch } from "./filter_table.ts";
import { swapped } from "./key.ts";

const SECTION = "8.2.3.21";
/** Filters in one unit of FDIRCTRL.FULL_THRESH. */
const THRESHOLD_UNIT = 16;
const ID_BITS = 0x7fff;
const { COLLISION, DROP } = FDIRCMD;
/** Bits of FDIRCMD that a filter keeps. */
const KEPT = FDIRCMD.L4TYPE | FDIRCMD.IPV6 | DROP | FDIRCMD.LAST | COLLISION | FDIRCMD.QUEUE_EN |
  FDIRCMD.RX_QUEUE;
/** Bits of FDIRCMD that are not modelled, with the rule that they break. */
const REFUSED: readonly (readonly [number, string])[] = [
  [FDIRCMD.INT, "no low latency interrupt (not modelled)"],
  [FDIRCMD.TUNNEL_FILTER, "no tunnel filter (not modelled)"],
  [FDIRCMD.VT_POOL, "pool 0 (pools are not modelled)"],
];

/** Executes commands on a table of filters. */
export class FlowCommands {
  readonly #file: RegisterFile;
  readonly #rules: Rules;
  readonly #statistics: Statistics;
  readonly #causes: InterruptCauses;
  readonly #filters: FilterTable;
  #perfect = false;
  #lists = 0;

  constructor({ file, rules, statistics, causes }: RegisterCore, filters: FilterTable) {
    this.#file = file;
    this.#rules = rules;
    this.#statistics = statistics;
    this.#causes = causes;
    this.#filters = filters;
  }

  /** Takes the mode of a new table, and the mask for the bits of the hash that choose a list. */
  begin(perfect: boolean, lists: number): void {
    this.#perfect = perfect;
    this.#lists = lists;
    this.#showFree();
  }

  /** Executes the command in a value of FDIRCMD; returns the value that the register takes. */
  carryOut(value: number): number {
    const command = value & FDIRCMD.CMD;
    value = (value & ~(FDIRCMD.CMD | FDIRCMD.FILTER_VALID)) >>> 0;
    const hash = this.#file.get(FDIRHASH);
    const list = hash & this.#lists, id = hash >>> 16 & ID_BITS;
    if (command === FDIRCMD.CMD_QUERY) return this.#query(value, list, id);
    if (command === FDIRCMD.CMD_REMOVE_FLOW) this.#remove(list, id);
    else this.#add(value, list, id);
    this.#showFree();
    return value;
  }

  #query(value: number, list: number, id: number): number {
    const filters = this.#filters, file = this.#file, filter = filters.find(list, id);
    const valid = filters.has(list) ? FDIRHASH.BUCKET_VALID : 0;
    file.set(FDIRHASH, file.get(FDIRHASH) & ~FDIRHASH.BUCKET_VALID | valid);
    if (filter === NONE) return value;
    return (value & ~KEPT | filters.commands[filter] | FDIRCMD.FILTER_VALID) >>> 0;
  }

  #remove(list: number, id: number): void {
    const filters = this.#filters, filter = filters.find(list, id);
    if (filter === NONE) return this.#tally(FDIRFSTAT, 8, 0xff);
    if (filters.commands[filter] & COLLISION) filters.collisions--;
    filters.remove(list, filter);
    this.#tally(FDIRUSTAT, 16, 0xffff);
  }

  #add(value: number, list: number, id: number): void {
    if (this.#refuses(value)) return this.#tally(FDIRFSTAT, 0, 0xff);
    const filters = this.#filters, fields = this.#perfect ? this.#fields(value) : undefined;
    const known = fields === undefined ? filters.find(list, id) : filters.match(list, fields);
    const command = value & KEPT & ~COLLISION;
    if (known === NONE) {
      if (filters.add(list, id, command, fields) === NONE) this.#tally(FDIRFSTAT, 0, 0xff);
      else this.#added(list);
    } else if (value & FDIRCMD.FILTER_UPDATE) {
      filters.commands[known] = command | filters.commands[known] & COLLISION;
      filters.ids[known] = id;
    } else {
      if ((filters.commands[known] & COLLISION) === 0) filters.collisions++;
      filters.commands[known] |= COLLISION;
      this.#tally(FDIRFSTAT, 0, 0xff);
    }
  }

  #refuses(value: number): boolean {
    const rules = this.#rules;
    if ((value & FDIRCMD.LAST) === 0) {
      rules.violate("FDIRCMD", SECTION, "LAST is set in a filter that is added", hex(value));
    }
    const wrong = REFUSED.filter(([bits]) => value & bits).map(([, rule]) => rule);
    if (!this.#perfect && value & DROP) wrong.push("only perfect filters drop");
    if (this.#perfect && value & (FDIRCMD.IPV6 | FDIRCMD.IPV6DMATCH)) {
      wrong.push("no perfect IPv6 filter (not modelled)");
    }
    for (const rule of wrong) rules.violate("FDIRCMD", SECTION, rule, hex(value));
    return wrong.length > 0;
  }

  // Masked fields must be 0: masks apply to a packet's fields, not to those of a filter.
  #fields(value: number): PerfectMatch {
    const file = this.#file, ports = file.get(FDIRPORT), vlan = file.get(FDIRVLAN);
    return {
      flow: (value & FDIRCMD.L4TYPE) >>> 5,
      source: swapped(file.get(FDIRIPSA)),
      destination: swapped(file.get(FDIRIPDA)),
      ports: ports << 16 | ports >>> 16,
      vlan: vlan & 0xffff,
      flex: (vlan >>> 16 & 0xff) << 8 | vlan >>> 24,
    };
  }

  #added(list: number): void {
    const { free, distance } = this.#filters, statistics = this.#statistics;
    this.#tally(FDIRUSTAT, 0, 0xffff);
    const longest = statistics.peek(offsetOf(FDIRLEN) / 4);
    const length = Math.min(distance, FDIRLEN.MAXLEN);
    if (length > (longest & FDIRLEN.MAXLEN)) {
      statistics.add(FDIRLEN, (list << 16 | length) - longest);
    }
    const threshold = this.#file.get(FDIRCTRL) >>> 28;
    if (free <= threshold * THRESHOLD_UNIT) this.#causes.raiseOther(EICR.FLOW_DIRECTOR);
  }

  #showFree(): void {
    const { free, collisions } = this.#filters;
    this.#file.set(FDIRFREE, collisions << 16 | free);
  }

  // One register holds two counts; each stops at its maximum.
  #tally(register: Register, shift: number, most: number): void {
    const count = this.#statistics.peek(offsetOf(register) / 4) >>> shift & most;
    if (count < most) this.#statistics.add(register, 2 ** shift);
  }
}

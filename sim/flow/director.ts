/**
 * The flow director of the modelled device: filters that direct the packets of a flow to a queue,
 * before receive side scaling (datasheet sections 7.1.2.7 and 8.2.3.21). A filter compares the
 * signature of a hash, or in perfect match mode the fields themselves.
 *
 * It is off until FDIRCTRL gives it memory. `key.ts` has the fields and hashes of packets,
 * `filter_table.ts` the table, `commands.ts` the driver's commands on it.
 *
 * @module
 */

import { FDIRCMD, FDIRCTRL, FDIRMATCH, FDIRMISS, RXPBSIZE } from "../../ixgbe/registers.ts";
import { hex, type Register } from "../../src/registers.ts";
import type { RegisterCore } from "../registers/core.ts";
import type { RegisterFile } from "../registers/register_file.ts";
import type { Rules } from "../registers/rules.ts";
import type { Statistics } from "../registers/statistics.ts";
import { RX_STATUS } from "../rings/descriptors.ts";
import { FlowCommands } from "./commands.ts";
import { FilterTable } from "./filter_table.ts";
import { FlowKey } from "./key.ts";

const SECTION = "8.2.3.21";
const { FLM, ERROR_FDIR_LENGTH, ERROR_FDIR_DROP, ERROR_FDIR_COLLISION } = RX_STATUS;
/** Filters in the smallest memory (64 KB): signature filters, and perfect ones. */
const SIGNATURES = 8192, PERFECTS = 2048;
const ID_BITS = 0x7fff;
/** Bit above a signature in descriptors, set if a filter matched. */
const SIGNATURE_MATCHED = 1 << 15;
const { DROP, COLLISION, QUEUE_EN, RX_QUEUE } = FDIRCMD;
const QUEUE_SHIFT = 16;
const MATCHES: Register = FDIRMATCH, MISSES: Register = FDIRMISS;

/** The filters, and their result for the last packet. */
export class FlowDirector {
  /**
   * Whether there is a table of filters: if not, packets need no {@linkcode
   * FlowDirector.prototype.look}.
   */
  enabled = false;
  /** The queue for the packet, or -1 if no filter gives one. */
  queue = -1;
  /** Bits to add to status and errors of the descriptor. */
  status = 0;
  /** Whether the descriptor has {@linkcode FlowDirector.prototype.id} as hash, and RSS type 15. */
  reports = false;
  /** Hash in bits 30:16; below it the signature, or the software's number of the filter. */
  id = 0;
  readonly #file: RegisterFile;
  readonly #rules: Rules;
  readonly #statistics: Statistics;
  readonly #commands: FlowCommands;
  readonly #key = new FlowKey();
  readonly #filters = new FilterTable();
  #matched = false;
  /** Whether the driver has seen FDIRCTRL.INIT_DONE. */
  #sawInitDone = false;
  /** Whether FDIRCMD.CLEARHT was set since the table was created, as a new table requires. */
  #mayInitialise = true;
  // Fields of FDIRCTRL.
  #perfect = false;
  #reportsMatches = false;
  #reportsAll = false;
  #dropQueue = 0;
  #maxLength = 0;
  #lists = 0;

  constructor(core: RegisterCore) {
    this.#file = core.file;
    this.#rules = core.rules;
    this.#statistics = core.statistics;
    this.#commands = new FlowCommands(core, this.#filters);
  }

  /** Drops the table; to be called after a reset of the registers. */
  reset(): void {
    this.enabled = false;
    this.#mayInitialise = true;
    this.#sawInitDone = false;
  }

  /** Loads keys and masks from the registers; a driver sets them before it adds filters. */
  load(): void {
    this.#key.load(this.#file);
  }

  /**
   * Matches an IP packet that is not a fragment; parameters as of {@linkcode
   * FlowKey.prototype.take}.
   */
  look(
    bytes: Uint8Array,
    ip: number,
    l4: number,
    flow: number,
    tag: number,
    length: number,
  ): void {
    const key = this.#key, filters = this.#filters;
    key.take(bytes, ip, l4, flow, tag, length);
    const list = key.hash & this.#lists, signature = key.hash >>> 16 & ID_BITS;
    const filter = this.#perfect ? filters.match(list, key) : filters.find(list, signature);
    this.miss();
    if (filters.distance > this.#maxLength) this.status = ERROR_FDIR_LENGTH;
    if (filter >= 0) this.#follow(filter);
    this.reports = this.#reportsAll || this.#matched && this.#reportsMatches;
    if (!this.#perfect) this.id = list << 16 | signature | (this.#matched ? SIGNATURE_MATCHED : 0);
    else this.id = list << 16 | (this.#matched ? filters.ids[filter] : 0);
  }

  /** Sets the result to no match, for packets that filters do not examine. */
  miss(): void {
    this.queue = -1;
    this.status = 0;
    this.reports = false;
    this.#matched = false;
  }

  /** Counts the last packet as a match or a miss. */
  count(): void {
    if (this.enabled) this.#statistics.add(this.#matched ? MATCHES : MISSES, 1);
  }

  #follow(filter: number): void {
    const command = this.#filters.commands[filter];
    this.#matched = true;
    this.status |= FLM;
    if (command & COLLISION) this.status |= ERROR_FDIR_COLLISION;
    if (command & QUEUE_EN) this.queue = (command & RX_QUEUE) >>> QUEUE_SHIFT;
    if ((command & DROP) === 0) return;
    // A filter too far down its list does not drop the packet, but sets an error bit.
    if (this.status & ERROR_FDIR_LENGTH) this.status |= ERROR_FDIR_DROP;
    else this.queue = this.#dropQueue;
  }

  /**
   * Creates an empty table, after a write to FDIRCTRL.
   *
   * @param control Value of FDIRCTRL.
   * @param packetMemory Memory that packet buffers and the table share, in KB.
   */
  initialise(control: number, packetMemory: number): void {
    this.#sawInitDone = false;
    const size = control & FDIRCTRL.PBALLOC;
    if (size !== 0 && !this.#mayInitialise) {
      const rule = "written again only after FDIRCMD.CLEARHT was set and cleared (82599 errata)";
      this.#rules.violate("FDIRCTRL", SECTION, rule, hex(control));
    }
    this.enabled = size !== 0;
    if (!this.enabled) return;
    this.#mayInitialise = false;
    this.#checkControl(control, packetMemory);
    this.#perfect = (control & FDIRCTRL.PERFECT_MATCH) !== 0;
    this.#reportsMatches = (control & FDIRCTRL.REPORT_STATUS) !== 0;
    this.#reportsAll = (control & FDIRCTRL.REPORT_STATUS_ALWAYS) !== 0;
    this.#dropQueue = (control & FDIRCTRL.DROP_QUEUE) >>> 8;
    this.#maxLength = (control & FDIRCTRL.MAX_LENGTH) >>> 24;
    const capacity = (this.#perfect ? PERFECTS : SIGNATURES) << size - 1;
    this.#lists = capacity - 1;
    this.#filters.clear(capacity);
    this.#commands.begin(this.#perfect, this.#lists);
  }

  #checkControl(control: number, packetMemory: number): void {
    const file = this.#file;
    const other = control & (FDIRCTRL.FILTERMODE | FDIRCTRL.DROP_NO_MATCH);
    if (other !== 0) {
      const rule = "FILTERMODE and DROP_NO_MATCH are 0 (other modes are not modelled)";
      this.#rules.violate("FDIRCTRL", SECTION, rule, hex(control));
    }
    let kilobytes = 32 << (control & FDIRCTRL.PBALLOC);
    for (let i = 0; i < RXPBSIZE.count; i++) {
      kilobytes += (file.get(RXPBSIZE, i) & RXPBSIZE.SIZE) >>> 10;
    }
    if (kilobytes > packetMemory) {
      const rule = `PBALLOC and RXPBSIZE add up to ${packetMemory} KB at most`;
      this.#rules.violate("FDIRCTRL", "7.1.2.7", rule, `${kilobytes} KB in all`);
    }
  }

  /** Returns the value that a read of FDIRCTRL gives: INIT_DONE is 0 in the first one. */
  readControl(control: number): number {
    if (!this.enabled) return control;
    this.#file.set(FDIRCTRL, (control | FDIRCTRL.INIT_DONE) >>> 0);
    this.#sawInitDone = (control & FDIRCTRL.INIT_DONE) !== 0;
    return control;
  }

  /** Executes the command written to FDIRCMD; returns the value that the register takes. */
  command(value: number): number {
    if (value & FDIRCMD.CLEARHT) this.#mayInitialise = true;
    if ((value & FDIRCMD.CMD) === 0) return value;
    if (!this.#sawInitDone) {
      const rule = "a command comes after FDIRCTRL.INIT_DONE was seen";
      this.#rules.violate("FDIRCMD", SECTION, rule, "not seen since FDIRCTRL was written");
    }
    return this.enabled ? this.#commands.carryOut(value) : (value & ~FDIRCMD.CMD) >>> 0;
  }
}

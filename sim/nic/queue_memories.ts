/**
 * Settings of queues that are reached by an index register: the transmit arbiter's credits (RTTDT1C), the
 * rate limiter (RTTBCNRC), and drop enable (PFQDE). CTRL.RST does not clear these memories: their values
 * after a reset are not defined (X550 datasheet, sections 8.2.2.11.5 and 8.2.2.11.8), and Intel's drivers
 * clear the rate limiters after each reset.
 *
 * @module
 */

import {
  MTQC,
  PFQDE,
  PFVTCTL,
  RTTBCNRC,
  RTTDQSEL,
  RTTDT1C,
  TXDCTL,
} from "../../ixgbe/registers.ts";
import type { RegisterFile } from "../registers/register_file.ts";
import type { Rules } from "../registers/rules.ts";

const QUEUES = TXDCTL.count, QUEUE = 0x7f;
const FACTOR_SHIFT = 14, INDEX_SHIFT = 8;

/** The memories of all queues. */
export class QueueMemories {
  /** Rounds of the model that a queue with a rate limit takes for what it could send in one; 0: no limit. */
  readonly rates: Uint16Array<ArrayBuffer> = new Uint16Array(QUEUES);
  readonly #file: RegisterFile;
  readonly #rules: Rules;
  readonly #credits = new Uint32Array(QUEUES);
  readonly #rateConfig = new Uint32Array(QUEUES);
  readonly #drop = new Uint8Array(QUEUES);

  /** Installs the effects of accesses to the memories. `onRate` is called after a rate has changed. */
  constructor(file: RegisterFile, rules: Rules, onRate: () => void) {
    this.#file = file;
    this.#rules = rules;
    const queue = () => file.get(RTTDQSEL) & QUEUE;
    file.onWrite(RTTDT1C, (value) => this.#credits[queue()] = value);
    file.onRead(RTTDT1C, () => this.#credits[queue()]);
    file.onRead(RTTBCNRC, () => this.#rateConfig[queue()]);
    file.onWrite(RTTBCNRC, (value) => {
      const factor = (value & RTTBCNRC.RF_INT) >>> FACTOR_SHIFT;
      this.#rateConfig[queue()] = value;
      this.rates[queue()] = value & RTTBCNRC.RS_ENA ? factor : 0;
      onRate();
      return value;
    });
    file.onWrite(PFQDE, (value) => {
      const index = value >>> INDEX_SHIFT & QUEUE;
      if (value & PFQDE.WE) this.#drop[index] = value & PFQDE.QDE;
      return value & PFQDE.RE ? value & ~PFQDE.QDE | this.#drop[index] : value;
    });
  }

  /** Clears everything, as power-on does here. */
  clear(): void {
    for (const memory of [this.rates, this.#credits, this.#rateConfig, this.#drop]) memory.fill(0);
  }

  /** Checks the memories before transmission is enabled. */
  checkTransmit(): void {
    if (this.#file.get(MTQC) & (MTQC.RT_ENA | MTQC.VT_ENA)) return;
    this.#check("RTTDT1C", this.#credits);
  }

  /** Checks the memories before reception is enabled. */
  checkReceive(): void {
    if (this.#file.get(PFVTCTL) & PFVTCTL.VT_ENA) return;
    this.#check("PFQDE", this.#drop);
  }

  #check(name: string, memory: ArrayLike<number>): void {
    const queue = Array.from(memory).findIndex((value) => value !== 0);
    if (queue < 0) return;
    const rule = "0 for all queues without traffic classes and virtualization";
    this.#rules.violate(name, "4.6.11.3.4", rule, `${memory[queue]} for queue ${queue}`);
  }
}

/**
 * Interrupt causes: which vector each leads to, and when its message is sent (datasheet section
 * 7.3). The registers are EICR, EICS, EIMS, EIMC, EIAC and EIAM with their extended copies, IVAR,
 * GPIE and EITR. The caller's function sends the messages.
 *
 * With GPIE.MULTIPLE_MSIX, a queue's cause is the number of the vector that IVAR gives it. Without,
 * it is a bit of EICR, and every cause leads to vector 0.
 *
 * @module
 */

import {
  EIAC,
  EIAM,
  EIAM_EX,
  EICR,
  EICS,
  EICS_EX,
  EIMC,
  EIMC_EX,
  EIMS,
  EIMS_EX,
  EITR,
  GPIE,
  IVAR,
  IVAR_MISC,
} from "../../ixgbe/registers.ts";
import type { DeviceObserver } from "./observer.ts";
import type { RegisterFile } from "./register_file.ts";

/** Bits of EICR for queues, and for all other causes (bit 31 is reserved). */
const QUEUES = EIMS.RTX_QUEUE, OTHERS = 0x7fff_0000;
const VECTORS = 64;
const ENTRY = IVAR.ALLOC0, ENTRY_VALID = IVAR.ALLOC_VAL0;
const ITR_SHIFT = 3;
/** The unit of EITR: 2 µs at 10 Gb/s (8.2.3.5.12). */
const ITR_UNIT_MILLISECONDS = 0.002;
const NONE = -1;

/** Pending causes, masks, and when messages are sent. */
export class InterruptCauses {
  /** Vector of each receive queue, or -1 without one. */
  readonly receiveVectors: Int8Array = new Int8Array(128).fill(NONE);
  /** Vector of each transmit queue, or -1 without one. */
  readonly transmitVectors: Int8Array = new Int8Array(128).fill(NONE);
  /**
   * Whether there may be messages to send: call {@linkcode InterruptCauses.prototype.service} then.
   */
  waiting = false;
  readonly #file: RegisterFile;
  readonly #send: (vector: number) => void;
  readonly #observer: DeviceObserver | undefined;
  /** Causes of queues, by vector; bits 15:0 of the first word are those of EICR. */
  readonly #causes = new Uint32Array(2);
  /** Causes whose message has not been sent. */
  readonly #unsent = new Uint32Array(2);
  #othersUnsent = 0;
  /** When each vector may send next, in milliseconds of `performance.now()`. */
  readonly #notBefore = new Float64Array(VECTORS);

  /**
   * Creates the causes, and installs the effects of their registers.
   *
   * @param send Sends the message of a vector.
   */
  constructor(file: RegisterFile, send: (vector: number) => void, observer?: DeviceObserver) {
    this.#file = file;
    this.#send = send;
    this.#observer = observer;
    this.#installCauses();
    this.#installMasks();
    file.onSettled(IVAR, () => this.#loadVectors());
  }

  /** Drops all causes; to be called after a reset of the registers. */
  reset(): void {
    this.#causes.fill(0);
    this.#unsent.fill(0);
    this.#othersUnsent = 0;
    this.#notBefore.fill(0);
    this.waiting = false;
    this.#loadVectors();
  }

  /** Raises the cause of a queue that has this vector. */
  raise(vector: number): void {
    const word = vector >>> 5, bit = 1 << (vector & 31);
    this.#causes[word] |= bit;
    this.#unsent[word] |= bit;
    this.waiting = true;
    this.#tellQueue(vector);
  }

  /** Raises causes of events other than queues: bits 30:16 of EICR. */
  raiseOther(bits: number): void {
    this.#file.set(EICR, (this.#file.get(EICR) | bits & OTHERS) >>> 0);
    this.#othersUnsent |= bits & OTHERS;
    this.waiting = true;
    this.#observer?.causeRaised(bits & OTHERS, NONE);
  }

  /** Sends the messages of causes that neither a mask nor a throttle holds back. */
  service(): void {
    this.waiting = false;
    const file = this.#file;
    if ((file.get(GPIE) & GPIE.MULTIPLE_MSIX) === 0) return this.#serviceSingle();
    for (let word = 0; word < 2; word++) {
      const ready = this.#unsent[word] & file.get(EIMS_EX, word);
      for (let bit = 0, rest = ready; rest !== 0; bit++, rest >>>= 1) {
        if (rest & 1 && this.#mayNow(word * 32 + bit)) this.#sendQueues(word, bit);
      }
    }
    const ready = this.#othersUnsent & file.get(EIMS);
    if (ready === 0) return;
    const entry = (file.get(IVAR_MISC) & IVAR_MISC.ALLOC1) >>> 8;
    if ((file.get(IVAR_MISC) & IVAR_MISC.ALLOC_VAL1) === 0 || !this.#mayNow(entry)) return;
    this.#othersUnsent &= ~ready;
    file.set(EICR, (file.get(EICR) & ~(file.get(EIAC) & ready)) >>> 0);
    if (this.#maskByMessage) this.#clearMask(file.get(EIAM) & OTHERS);
    this.#sendMessage(entry);
  }

  get #maskByMessage(): boolean {
    return (this.#file.get(GPIE) & GPIE.EIAME) !== 0;
  }

  #sendQueues(word: number, bit: number): void {
    const file = this.#file;
    const mask = 1 << bit;
    this.#unsent[word] &= ~mask;
    // A message always clears its cause if EICR does not show it.
    const cleared = word === 0 ? file.get(EIAC) & QUEUES | ~QUEUES : ~0;
    this.#causes[word] &= ~(mask & cleared);
    if (this.#maskByMessage) this.#clearQueueMask(word, file.get(EIAM_EX, word) & mask);
    this.#sendMessage(word * 32 + bit);
  }

  #sendMessage(vector: number): void {
    this.#observer?.messageSent(vector);
    this.#send(vector);
  }

  // Legacy interrupts and MSI: one message for all causes.
  #serviceSingle(): void {
    const file = this.#file;
    const enabled = file.get(EIMS);
    const queues = this.#unsent[0] & enabled & QUEUES;
    const others = this.#othersUnsent & enabled;
    if ((queues | others) === 0 || !this.#mayNow(0)) return;
    this.#unsent[0] &= ~queues;
    this.#othersUnsent &= ~others;
    this.#sendMessage(0);
  }

  /** Whether the vector's throttle lets a message pass; if so, it holds back the next one. */
  #mayNow(vector: number): boolean {
    const now = performance.now();
    if (now < this.#notBefore[vector]) {
      this.waiting = true;
      this.#observer?.messageHeld(vector, this.#notBefore[vector] - now);
      return false;
    }
    const interval = (this.#file.get(EITR, vector) & EITR.ITR_INTERVAL) >>> ITR_SHIFT;
    this.#notBefore[vector] = now + interval * ITR_UNIT_MILLISECONDS;
    return true;
  }

  #shown(): number {
    return (this.#file.get(EICR) & ~QUEUES | this.#causes[0] & QUEUES) >>> 0;
  }

  #clearCauses(bits: number): void {
    const file = this.#file;
    file.set(EICR, (file.get(EICR) & ~bits & ~QUEUES) >>> 0);
    this.#causes[0] &= ~(bits & QUEUES);
    this.#unsent[0] &= ~(bits & QUEUES);
    this.#othersUnsent &= ~bits;
    // Without GPIE.EIAME, the driver's access to EICR masks (8.2.3.5.6).
    if (!this.#maskByMessage) {
      const masked = file.get(EIAM) & 0x7fff_ffff;
      this.#clearMask(masked);
      this.#clearQueueMask(0, masked & QUEUES);
    }
  }

  #clearMask(bits: number): void {
    this.#file.set(EIMS, (this.#file.get(EIMS) & ~bits) >>> 0);
  }

  #clearQueueMask(word: number, bits: number): void {
    const file = this.#file;
    file.set(EIMS_EX, (file.get(EIMS_EX, word) & ~bits) >>> 0, word);
    if (word === 0) this.#clearMask(bits & QUEUES);
  }

  #installCauses(): void {
    const file = this.#file;
    file.onRead(EICR, () => {
      const shown = this.#shown();
      this.#clearCauses(0x7fff_ffff);
      return shown;
    }, () => this.#shown());
    file.onWrite(EICR, (value) => {
      this.#clearCauses(value);
      return file.get(EICR);
    });
    // EICS is write only in the datasheet. Linux reads causes from it, since that clears none.
    file.onRead(EICS, () => this.#shown());
    file.onWrite(EICS, (value) => {
      this.#set(0, value & QUEUES);
      if (value & OTHERS) this.raiseOther(value);
      this.service();
      return 0;
    });
    file.onWrite(EICS_EX, (value, _old, index) => {
      this.#set(index, value);
      this.service();
      return 0;
    });
  }

  #set(word: number, bits: number): void {
    this.#causes[word] |= bits;
    this.#unsent[word] |= bits;
    if (this.#observer === undefined) return;
    for (let bit = 0; bit < 32; bit++) {
      if (bits >>> bit & 1) this.#tellQueue(word * 32 + bit);
    }
  }

  #tellQueue(vector: number): void {
    this.#observer?.causeRaised(vector < 16 ? 1 << vector : 0, vector);
  }

  #installMasks(): void {
    const file = this.#file;
    file.onWrite(EIMS, (value, old) => {
      this.#unmaskQueues(0, value & QUEUES);
      this.#othersUnsent |= value & ~old & file.get(EICR) & OTHERS;
      return (old | value) >>> 0;
    });
    file.onSettled(EIMS, () => this.service());
    file.onWrite(EIMS_EX, (value, old, index) => {
      this.#unmaskQueues(index, value);
      if (index === 0) file.set(EIMS, (file.get(EIMS) | value & QUEUES) >>> 0);
      return (old | value) >>> 0;
    });
    file.onSettled(EIMS_EX, () => this.service());
    file.onWrite(EIMC, (value) => {
      this.#clearMask(value);
      this.#clearQueueMask(0, value & QUEUES);
      return 0;
    });
    file.onWrite(EIMC_EX, (value, _old, index) => {
      this.#clearQueueMask(index, value);
      return 0;
    });
  }

  /** Unmasks causes of queues; those that are pending are sent next. */
  #unmaskQueues(word: number, bits: number): void {
    const old = this.#file.get(EIMS_EX, word);
    this.#unsent[word] |= bits & ~old & this.#causes[word];
    this.#file.set(EIMS_EX, (old | bits) >>> 0, word);
  }

  // Each IVAR has four entries: receive and transmit of one queue, then of the next.
  #loadVectors(): void {
    for (let index = 0; index < IVAR.count; index++) {
      const entries = this.#file.get(IVAR, index);
      for (let part = 0; part < 4; part++) {
        const entry = entries >>> (8 * part);
        const vectors = part & 1 ? this.transmitVectors : this.receiveVectors;
        vectors[index * 2 + (part >>> 1)] = entry & ENTRY_VALID ? entry & ENTRY : NONE;
      }
    }
  }
}

/**
 * An observer of the NIC model that writes down what it is told, one line each. Not a test itself.
 *
 * @module
 */

import type { DeviceObserver, TransmitKind } from "../../sim/registers/observer.ts";
import { IOVA } from "./model_driver.ts";

/** The lines; addresses are offsets in the memory of `TestDriver`. */
export class EventLog implements DeviceObserver {
  readonly lines: string[] = [];
  /** For each line, the function of the model that told of it. */
  readonly tellers: string[] = [];
  /** What the device wrote to buffers, in order. */
  readonly written: Uint8Array[] = [];

  /** Returns the lines since the last call. */
  take(): string[] {
    return this.lines.splice(0);
  }

  bufferWritten(queue: number, descriptor: number, address: number, bytes: Uint8Array): void {
    this.written.push(bytes.slice());
    this.#add(`rx${queue}[${descriptor}] ${bytes.length} bytes to ${hex(address)}`);
  }

  descriptorRead(queue: number, descriptor: number, kind: TransmitKind): void {
    this.#add(`tx${queue}[${descriptor}] is ${kind}`);
  }

  bufferRead(queue: number, descriptor: number, address: number, bytes: Uint8Array): void {
    this.#add(`tx${queue}[${descriptor}] ${bytes.length} bytes from ${hex(address)}`);
  }

  writtenBack(ring: "rx" | "tx", queue: number, first: number, count: number): void {
    this.#add(`${ring}${queue}[${first}] written back, ${count}`);
  }

  headWritten(queue: number, head: number): void {
    this.#add(`tx${queue} head ${head} written`);
  }

  frameKept(queue: number, length: number): void {
    this.#add(`rx${queue} ${length} bytes kept`);
  }

  frameReleased(queue: number, length: number): void {
    this.#add(`rx${queue} ${length} bytes released`);
  }

  causeRaised(bits: number, vector: number): void {
    this.#add(`cause 0x${bits.toString(16)} of vector ${vector}`);
  }

  messageSent(vector: number): void {
    this.#add(`message ${vector}`);
  }

  messageHeld(vector: number, milliseconds: number): void {
    this.#add(`message ${vector} held for ${milliseconds.toFixed(1)} ms`);
  }

  #add(line: string): void {
    this.lines.push(line);
    // The first line of a stack is the error, then come this method and the one that was told.
    this.tellers.push(new Error().stack!.split("\n")[3].trim().split(" ")[1]);
  }
}

function hex(address: number): string {
  return `0x${(address - IOVA).toString(16)}`;
}

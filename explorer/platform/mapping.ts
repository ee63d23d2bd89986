/**
 * Stands in for `native/mapping.ts` where there are no system calls: in a browser. All memory is that of
 * this thread, so none can be lost.
 *
 * @module
 */

import { Errno, SystemError } from "./stubs.ts";

type Original = typeof import("../../native/mapping.ts");
/** The public face of the original class, without its private fields. */
type Shape = Pick<Original["Mapping"]["prototype"], keyof Original["Mapping"]["prototype"]>;
/** The original's static members. */
type Statics = {
  [Name in Exclude<keyof Original["Mapping"], "prototype">]: Original["Mapping"][Name] extends
    (...parameters: infer Parameters) => unknown ? (...parameters: Parameters) => Shape
    : Original["Mapping"][Name];
};

/** Sizes of hugepages in bytes, as in the original. */
export const PageSize = { MIB_2: 2 ** 21, GIB_1: 2 ** 30 } as const satisfies Original["PageSize"];

const PAGE = 4096n;
/** Virtual addresses that no memory has had: they only need to differ. */
let nextAddress = 0x7f00_0000_0000n;

/** Memory that stands for memory mapped into this process. Unmapping detaches every view of it. */
export class Mapping implements Shape {
  /** Memory of this thread stays. */
  static readonly losses = 0;
  readonly bytes: number;
  readonly fd = -1;
  readonly huge = false;
  readonly lost = false;
  readonly #address: bigint;
  #buffer: ArrayBuffer | undefined;

  private constructor(bytes: number) {
    this.bytes = bytes;
    this.#buffer = new ArrayBuffer(bytes);
    this.#address = nextAddress;
    nextAddress += BigInt(bytes) + PAGE;
  }

  /** Allocates zeroed memory. There are no hugepages: asking for them throws as without free ones. */
  static memory(bytes: number, huge: boolean): Mapping {
    if (huge) throw new SystemError(`map ${bytes} bytes of hugepages`, Errno.ENOMEM);
    return new Mapping(bytes);
  }

  /** Allocates zeroed memory. */
  static reserve(bytes: number): Mapping {
    return new Mapping(bytes);
  }

  /** Always throws: there are no files. */
  static file(what: string): never {
    throw new SystemError(`mmap ${what}`, Errno.ENODEV);
  }

  /** Always throws: there are no files. */
  static peerFile(what: string): never {
    throw new SystemError(`mmap ${what}`, Errno.ENODEV);
  }

  /** Always throws: memory of another thread is out of reach. */
  static adopted(address: bigint): never {
    throw new SystemError(`map the memory at 0x${address.toString(16)}`, Errno.ENODEV);
  }

  get buffer(): ArrayBuffer {
    if (this.#buffer === undefined) throw new Error("memory used after it was unmapped");
    return this.#buffer;
  }

  get address(): bigint {
    if (this.#buffer === undefined) throw new Error("memory used after it was unmapped");
    return this.#address;
  }

  /** Always throws: there are no files. */
  place(what: string): never {
    throw new SystemError(`mmap ${what}`, Errno.ENODEV);
  }

  watch(): void {}

  /** There are no physical addresses, as for a process without privileges. */
  physicalAddresses(): undefined {}

  unmap(): void {
    this.detach();
  }

  detach(): void {
    this.#buffer?.transfer();
    this.#buffer = undefined;
  }

  [Symbol.dispose](): void {
    this.unmap();
  }
}

Mapping satisfies Statics;

/**
 * How far the process of a target is: memory that it shares with `main.ts`, which reads it when the
 * process crashes or stalls.
 *
 * @module
 */

import { Mapping } from "../../native/mapping.ts";
import { checkErrno, Open, path, stubs } from "../../native/stubs.ts";

/** The number of the attempt that a process has begun, in a file that it shares. */
export class Progress implements Disposable {
  readonly path: string;
  readonly #mapping: Mapping;
  readonly #words: Uint32Array;

  constructor() {
    this.path = Deno.makeTempFileSync({ prefix: "ixy-fuzz-" });
    Deno.truncateSync(this.path, 4096);
    this.#mapping = mapProgress(this.path);
    this.#words = new Uint32Array(this.#mapping.buffer);
  }

  get attempt(): number {
    return this.#words[0];
  }

  [Symbol.dispose](): void {
    this.#mapping.unmap();
    Deno.removeSync(this.path);
  }
}

/** Maps the file of a {@linkcode Progress}. */
export function mapProgress(file: string): Mapping {
  return Mapping.file(file, checkErrno(file, stubs.ixy_open(path(file), Open.RDWR, 0)), 4096);
}

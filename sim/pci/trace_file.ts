/**
 * The file of a trace.
 *
 * @module
 */

import { visible } from "../../native/files.ts";
import { OutputFile } from "../../native/output_file.ts";
import { SystemError } from "../../native/stubs.ts";
import { err } from "../../programs/output.ts";
import type { TraceSink } from "./trace.ts";

/** Takes the lines of a trace. It writes each at once, in case the process is killed. */
export class TraceFile implements TraceSink, Disposable {
  /** The file, for comparison with others. */
  readonly file: OutputFile;
  #failed = false;

  /**
   * Opens the file, or creates it. The first line empties it.
   *
   * @throws {UsageError} if it cannot be written.
   */
  constructor(name: string) {
    this.file = new OutputFile(name);
  }

  /** Whether a line could not be written, which was reported on stderr. */
  get failed(): boolean {
    return this.#failed;
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.file[Symbol.dispose]();
  }

  /** Writes a line. The first failure ends the trace, and is reported on stderr. */
  line(line: string): void {
    if (this.#failed) return;
    const bytes = new TextEncoder().encode(`${line}\n`);
    for (let done = 0; done < bytes.length;) {
      const rest = bytes.subarray(done);
      const n = this.file.write(rest);
      if (n < 0) {
        this.#failed = true;
        const { message } = new SystemError(this.file.name, -n);
        err.print(visible(`${message}: the trace is cut short here`));
        return;
      }
      done += n;
    }
  }
}

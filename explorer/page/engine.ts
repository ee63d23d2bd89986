/**
 * The worker in which driver and device run.
 *
 * @module
 */

import type { Report, Request } from "../recording/messages.ts";

/** Starts the worker and speaks with it. */
export class Engine {
  readonly #worker: Worker;

  /**
   * Starts the worker.
   *
   * @param onReport Called with each of its reports; also if it cannot be started.
   */
  constructor(onReport: (report: Report) => void) {
    this.#worker = new Worker("engine.js", { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<Report>) => onReport(data);
    this.#worker.onerror = (event) => {
      const detail = event.message ? `: ${event.message}` : "";
      onReport({
        type: "error",
        message: `the worker engine.js has ended${detail}: load the page again`,
      });
    };
  }

  /** Sends a request. Reports answer it. */
  send(request: Request): void {
    this.#worker.postMessage(request);
  }

  /** Ends the worker. No report comes after that. */
  close(): void {
    this.#worker.terminate();
  }
}

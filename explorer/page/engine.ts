/**
 * The worker in which driver and device run.
 *
 * @module
 */

import type { Report, Request } from "../recording/messages.ts";
import { SharedTexts } from "./shared_texts.ts";

/** Starts the worker and speaks with it. */
export class Engine {
  readonly #onReport: (report: Report) => void;
  readonly #texts = new SharedTexts();
  /** Undefined after it has ended by an error, until the next request. */
  #worker: Worker | undefined;

  /**
   * Starts the worker.
   *
   * @param onReport Called with each of its reports; also if it cannot be started.
   */
  constructor(onReport: (report: Report) => void) {
    this.#onReport = onReport;
    this.#worker = this.#start();
  }

  /** Sends a request, to a new worker if the last one has ended by an error. Reports answer it. */
  send(request: Request): void {
    this.#worker ??= this.#start();
    this.#worker.postMessage(request);
  }

  /** Ends the worker. */
  close(): void {
    this.#worker?.terminate();
  }

  /** Ends the worker, whatever it does, and starts it anew. */
  restart(): void {
    this.close();
    this.#worker = this.#start();
  }

  #start(): Worker {
    const worker = new Worker("engine.js", { type: "module" });
    // Reports that were on their way when the worker was ended are not passed on.
    worker.onmessage = ({ data }: MessageEvent<Report>) => {
      if (worker !== this.#worker) return;
      if (data.type === "steps") this.#texts.share(data.steps);
      this.#onReport(data);
    };
    worker.onerror = ({ message }) => {
      if (worker === this.#worker) this.#worker = undefined;
      const detail = message ? `: ${message}` : "";
      this.#onReport({
        type: "error",
        message: `the worker engine.js has ended${detail}: load the page again`,
      });
    };
    return worker;
  }
}

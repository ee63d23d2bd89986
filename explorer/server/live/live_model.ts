/**
 * The software NIC in a thread of this process, from the main thread's side, with the pages that look
 * on.
 *
 * @module
 */

import type { Options } from "../../../sim/options.ts";
import { familyOf } from "../../../sim/nic/boards.ts";
import { UsageError } from "../../../src/errors.ts";
import type { LiveCommand } from "../../recording/live.ts";
import { type LiveIdentity, LivePage } from "./live_page.ts";
import { ModelControl } from "./model_control.ts";
import { STATISTICS_NAMES } from "./model_state.ts";
import type { ModelFailure, ModelReport, ModelTask } from "./model_thread.ts";

/** The model and its pages. Disposing closes the ports. */
export class LiveModel implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #control = new ModelControl();
  readonly #identity: LiveIdentity;
  readonly #pages = new Set<LivePage>();
  readonly #ready = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<void>();

  private constructor(options: Options) {
    this.#identity = {
      device: familyOf(options.deviceId),
      ports: addressesOf(options),
      statistics: STATISTICS_NAMES,
    };
    this.#ended.promise.catch(() => {}); // who waits for it gets the error
    this.#worker = new Worker(import.meta.resolve("./model_thread.ts"), { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<ModelReport>) => this.#hear(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(new Error(event.message));
    };
    const task: ModelTask = { options, control: this.#control.share() };
    this.#worker.postMessage(task);
  }

  /**
   * Opens the ports, and serves them to drivers.
   *
   * @throws {UsageError} if a port cannot be opened.
   */
  static async start(options: Options): Promise<LiveModel> {
    const model = new LiveModel(options);
    try {
      await model.#ready.promise;
    } catch (error) {
      await model[Symbol.asyncDispose]();
      throw error;
    }
    return model;
  }

  /** Resolves once the ports are closed; rejects with the error that closed them. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** Takes the WebSocket of a page that looks on. */
  take(socket: WebSocket): void {
    const page: LivePage = new LivePage(
      socket,
      this.#identity,
      (command) => this.#obey(command),
      () => {
        this.#pages.delete(page);
        this.#control.watch(this.#pages.size);
        if (this.#pages.size === 0) this.#control.pause(false); // nobody could resume it
      },
    );
    this.#pages.add(page);
    socket.onopen = () => this.#control.watch(this.#pages.size);
  }

  /** Ends the connections of the pages. */
  dismiss(): void {
    for (const page of this.#pages) page.close();
  }

  /** Ends the thread, whose ports close, and the connections of the pages. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.dismiss();
    this.#control.stop();
    await this.#ended.promise.catch(() => {}); // reported by `start` or `ended`
    this.#worker.terminate();
    this.#control.close();
  }

  #hear(report: ModelReport): void {
    if (report.type === "ready") this.#ready.resolve();
    else if (report.type === "snapshot") {
      for (const page of this.#pages) page.show(report.snapshot);
    } else if (report.failure !== undefined) this.#fail(errorOf(report.failure));
    else this.#ended.resolve();
  }

  #fail(error: Error): void {
    this.#ready.reject(error);
    this.#ended.reject(error);
  }

  #obey(command: LiveCommand["type"]): void {
    if (command === "round") this.#control.round();
    else this.#control.pause(command === "pause");
  }
}

/** Returns what a program opens, for each port. */
export function addressesOf({ ports }: Options): string[] {
  return ports.map(({ plain, socket }) => plain ? socket : `vfio-user:${socket}`);
}

function errorOf({ usage, message, stack }: ModelFailure): Error {
  const error = usage ? new UsageError(message) : new Error(message);
  error.stack = stack;
  return error;
}

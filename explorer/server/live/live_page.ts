/**
 * A page that looks on: what it has been sent so far, and its commands.
 *
 * @module
 */

import type { LiveBegin, LiveCommand, LiveState } from "../../recording/live.ts";
import type { Snapshot } from "./model_thread.ts";

/** Bytes that may wait for a page to read them. A page that is slower misses states. */
const MAX_WAITING = 64 * 1024;
/** Longest command in characters. */
const MAX_COMMAND = 100;
/** Status codes of WebSockets: the server goes away; a message that breaks the rules. */
const GOING_AWAY = 1001, POLICY = 1008;

/** What stays the same for all pages. */
export type LiveIdentity = Pick<LiveBegin, "device" | "ports" | "statistics">;

/** The server's side of a page. */
export class LivePage {
  readonly #socket: WebSocket;
  readonly #identity: LiveIdentity;
  /** What the page has: its layout as text, and its cells. */
  #sections = "";
  #cells = new Uint32Array(0);

  /**
   * @param onCommand Takes the page's commands.
   * @param onClose Called once the page is gone.
   */
  constructor(
    socket: WebSocket,
    identity: LiveIdentity,
    onCommand: (command: LiveCommand["type"]) => void,
    onClose: () => void,
  ) {
    this.#socket = socket;
    this.#identity = identity;
    socket.onmessage = ({ data }) => {
      const command = readCommand(data);
      if (command === undefined) socket.close(POLICY, "not a command");
      else onCommand(command);
    };
    socket.onclose = onClose;
    socket.onerror = () => {}; // its close follows
  }

  /** Sends what has changed, unless the page is still reading what it was sent before. */
  show(snapshot: Snapshot): void {
    const socket = this.#socket;
    if (socket.readyState !== WebSocket.OPEN || socket.bufferedAmount > MAX_WAITING) return;
    const { sections, state, ...rest } = snapshot, layout = JSON.stringify(sections);
    if (layout !== this.#sections) {
      this.#sections = layout;
      this.#cells = state.slice();
      this.#send({ ...this.#identity, type: "begin", sections, state: [...state] });
    }
    this.#send({ ...rest, type: "state", cells: this.#changes(state) });
  }

  /** Ends the connection. */
  close(): void {
    this.#socket.close(GOING_AWAY); // without a code, Chromium complains of a broken frame
  }

  #changes(state: Uint32Array): number[] {
    const cells = this.#cells, changes: number[] = [];
    for (let i = 0; i < state.length; i++) {
      if (state[i] === cells[i]) continue;
      changes.push(i, state[i]);
      cells[i] = state[i];
    }
    return changes;
  }

  #send(message: LiveBegin | LiveState): void {
    this.#socket.send(JSON.stringify(message));
  }
}

/** Reads a command; undefined if a message is none. */
function readCommand(data: unknown): LiveCommand["type"] | undefined {
  if (typeof data !== "string" || data.length > MAX_COMMAND) return undefined;
  try {
    const type = (JSON.parse(data) as Partial<LiveCommand> | null)?.type;
    return type === "pause" || type === "resume" || type === "round" ? type : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

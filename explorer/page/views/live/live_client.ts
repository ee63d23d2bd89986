/**
 * The connection to a server whose software NIC a driver in another process uses.
 *
 * @module
 */

import type { LiveBegin, LiveCommand, LiveState } from "../../../recording/live.ts";
import type { Step } from "../../../recording/step.ts";
import { Observable } from "../../observable.ts";
import type { Player } from "../../player.ts";
import { LiveRates } from "./live_rates.ts";

/** The most states that are kept as steps. */
const MOST_STATES = 1000;

/** What became of the connection. */
type LiveStatus = "connecting" | "connected" | "ended";

/**
 * A connection. Each state that arrives is a step of the player's recording, so that the pictures show it
 * as they show any step. Listeners are told of each message.
 */
export class LiveClient extends Observable {
  readonly rates = new LiveRates();
  readonly #player: Player;
  readonly #socket: WebSocket;
  #status: LiveStatus = "connecting";
  #begin: LiveBegin | undefined;
  #last: LiveState | undefined;

  /**
   * Connects.
   *
   * @param player Gets a new recording.
   * @param address Of the WebSocket.
   */
  constructor(player: Player, address: URL) {
    super();
    this.#player = player;
    this.#socket = new WebSocket(address);
    this.#socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
    this.#socket.onclose = () => {
      this.#status = "ended";
      this.changed();
    };
  }

  /** What became of the connection. */
  get status(): LiveStatus {
    return this.#status;
  }

  /** The last state; undefined before the first one. */
  get last(): LiveState | undefined {
    return this.#last;
  }

  /** Sends a command. After the end it has no effect. */
  send(command: LiveCommand): void {
    if (this.#status === "connected") this.#socket.send(JSON.stringify(command));
  }

  /** Ends the connection. */
  close(): void {
    this.#socket.close();
  }

  #take(message: LiveBegin | LiveState): void {
    if (message.type === "begin") {
      this.#begin = message;
      this.#status = "connected";
      this.#load(Uint32Array.from(message.state));
    } else {
      this.#last = message;
      this.rates.add(message);
      this.#append(message);
    }
    this.changed();
  }

  #load(state: Uint32Array): void {
    const { sections, statistics, device, ports } = this.#begin!;
    this.#player.load({ type: "begin", sections, state, statistics, device, ports });
  }

  #append(message: LiveState): void {
    const { recording } = this.#player;
    if (recording.end >= MOST_STATES) this.#load(recording.state.slice());
    this.#player.push([stepOf(message, this.#player.recording.state)]);
    this.#player.moveTo(this.#player.recording.end - 1);
  }
}

/** Returns a step that leads from the state so far to a new one. */
function stepOf({ seconds, cells }: LiveState, state: Uint32Array): Step {
  const changes = new Uint32Array(cells.length / 2 * 3);
  for (let i = 0, at = 0; i < cells.length; i += 2, at += 3) {
    changes.set([cells[i], state[cells[i]], cells[i + 1]], at);
  }
  const title = `State ${seconds.toFixed(1)} seconds after the start`;
  return { kind: "idle", actor: "device", port: -1, title, changes };
}

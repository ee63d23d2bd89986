/**
 * The player: a recording, the step that is shown, and the speed at which it goes on by itself.
 *
 * @module
 */

import { Layout } from "../recording/layout.ts";
import type { Begin } from "../recording/messages.ts";
import { Recording } from "../recording/recording.ts";
import type { Step } from "../recording/step.ts";
import { Observable, useObservable } from "./observable.ts";

/** The part of a frame's time on the screen that steps may take at full speed, in milliseconds. */
const FRAME_BUDGET = 10;

const NOTHING: Begin = {
  type: "begin",
  sections: {},
  state: new Uint32Array(0),
  statistics: [],
  device: "",
  ports: [],
};

/** Plays a recording. Listeners are told of each change of position, of steps, and of speed. */
export class Player extends Observable {
  #begin: Begin = NOTHING;
  #recording = new Recording(new Layout(), NOTHING.state);
  #speed = 0;
  /** Counts loops of {@linkcode Player.prototype.play}: an older one ends. */
  #loop = 0;

  /** How the recording began: its device, ports and sections. */
  get begin(): Begin {
    return this.#begin;
  }

  /** The recording. Only the player moves its cursor. */
  get recording(): Recording {
    return this.#recording;
  }

  /** Number of the step that is shown, from 0; -1 before the first one. */
  get position(): number {
    return this.#recording.position;
  }

  /** The step that is shown; undefined before the first one. */
  get step(): Step | undefined {
    return this.#recording.at(this.#recording.position);
  }

  /** Speed in steps a second; 0 while paused. */
  get speed(): number {
    return this.#speed;
  }

  /** Begins a new recording. */
  load(begin: Begin, steps: readonly Step[] = []): void {
    this.#speed = 0;
    this.#begin = begin;
    this.#recording = new Recording(new Layout(begin.sections), begin.state);
    this.push(steps);
  }

  /** Appends steps. The position stays, unless its step is among the oldest, which have to go. */
  push(steps: readonly Step[]): void {
    for (const step of steps) this.#recording.push(step);
    this.changed();
  }

  /** Shows a step. `number` is limited to the steps that there are; -1 is before the first one. */
  moveTo(number: number): void {
    this.#recording.moveTo(number);
    this.changed();
  }

  /**
   * Goes on by itself, up to the last step.
   *
   * @param speed Steps a second; `Infinity` for as many as the page can draw.
   */
  play(speed: number): void {
    this.#speed = speed;
    this.changed();
    this.#advance(++this.#loop);
  }

  /** Stays at the step that is shown. */
  pause(): void {
    if (this.#speed === 0) return;
    this.#speed = 0;
    this.changed();
  }

  async #advance(loop: number): Promise<void> {
    let due = 0; // steps; a fraction stays for the next frame
    let last = await nextFrame();
    while (loop === this.#loop && this.#speed > 0) {
      const now = await nextFrame();
      due = this.#speed === Infinity ? Infinity : due + (now - last) * this.#speed / 1000;
      last = now;
      while (due >= 1 && performance.now() - now < FRAME_BUDGET && this.#speed > 0) {
        this.moveTo(this.position + 1);
        if (this.position >= this.#recording.end - 1) return this.pause();
        due--;
        await Promise.resolve(); // components render in a microtask
      }
      due = Math.min(due, this.#speed / 60 + 1); // what was not drawn in time is not made up for
    }
  }
}

function nextFrame(): Promise<number> {
  return new Promise((resolve) => requestAnimationFrame(resolve));
}

/** A hook: renders the component again after each change of the player. Returns the player. */
export function usePlayer(player: Player): Player {
  return useObservable(player);
}

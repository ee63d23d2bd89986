/**
 * The state of running ports as cells: registers, rings, statistics, links. To look changes nothing.
 *
 * @module
 */

import { LINKS, REGISTERS } from "../../../ixgbe/registers.ts";
import { nameOf, offsetOf } from "../../../src/registers.ts";
import type { Port } from "../../../sim/port.ts";
import { Layout, linkSection, registerSection, statisticsSection } from "../../recording/layout.ts";
import { addRing, type RingPlace, ringsOf, viewRing } from "./ring_state.ts";

/** Bytes of BAR0 whose registers are shown. */
const BYTES = 128 * 1024;
/** Words of BAR0 with registers. */
const WORDS = Uint32Array.from(
  Object.values(REGISTERS).flatMap((register) =>
    Array.from({ length: register.count }, (_, i) => offsetOf(register, i))
  ).filter((offset) => offset < BYTES),
  (offset) => offset / 4,
);
/** Section of the datasheet with the statistics registers. */
const STATISTICS_SECTION = "8.2.3.23";
/** Copies of a statistics register that are shown: of the first queues. */
const MAX_COPIES = 8;
/** Statistics registers: name and offset. */
const STATISTICS = Object.values(REGISTERS)
  .filter(({ access, section }) => access === "RC" && section.startsWith(STATISTICS_SECTION))
  .flatMap((register) =>
    Array.from({ length: Math.min(register.count, MAX_COPIES) }, (_, i) => ({
      name: nameOf(register, i),
      offset: offsetOf(register, i),
    }))
  );
/** LINKS.SPEED: 100 Mb/s, 1 Gb/s, 10 Gb/s. */
const SPEEDS: readonly number[] = [0, 100, 1000, 10_000];

/** Names of the statistics registers in the sections for statistics. */
export const STATISTICS_NAMES: readonly string[] = STATISTICS.map(({ name }) => name);

/** The cells of some ports. */
export class ModelState {
  readonly #ports: readonly Pick<Port, "nic">[];
  #rings: readonly RingPlace[] = [];
  #layout: Layout;

  /** @param ports The ports to look at. */
  constructor(ports: readonly Pick<Port, "nic">[]) {
    this.#ports = ports;
    this.#layout = this.#arrange();
  }

  /** The present layout. Enabling or disabling a queue, or another length, makes a new one. */
  get layout(): Layout {
    return this.#layout;
  }

  /** Returns the state now. The layout is up to date after this. */
  view(): Uint32Array<ArrayBuffer> {
    const rings = this.#ports.flatMap(({ nic }, port) => ringsOf(nic, port));
    if (JSON.stringify(rings) !== JSON.stringify(this.#rings)) {
      this.#rings = rings;
      this.#layout = this.#arrange();
    }
    const layout = this.#layout, state = new Uint32Array(layout.length);
    this.#ports.forEach(({ nic }, port) => {
      const registers = layout.view(state, registerSection(port));
      for (const word of WORDS) registers[word] = nic.view32(word * 4);
      layout.view(state, statisticsSection(port))
        .set(STATISTICS.map(({ offset }) => registers[offset / 4]));
      const links = registers[offsetOf(LINKS) / 4];
      layout.view(state, linkSection(port)).set([
        Number((links & LINKS.UP) !== 0),
        SPEEDS[(links & LINKS.SPEED) >>> 28],
      ]);
    });
    for (const ring of rings) viewRing(this.#ports[ring.port].nic, ring, layout, state);
    return state;
  }

  #arrange(): Layout {
    const layout = new Layout();
    this.#ports.forEach((_, port) => {
      layout.add(registerSection(port), BYTES / 4);
      layout.add(statisticsSection(port), STATISTICS.length);
      layout.add(linkSection(port), 2);
    });
    for (const ring of this.#rings) addRing(layout, ring);
    return layout;
  }
}

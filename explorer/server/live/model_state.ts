/**
 * The state of running ports as cells: registers, rings, statistics, links. To look changes nothing.
 *
 * @module
 */

import { linkStatus } from "../../../ixgbe/link.ts";
import { type Model, modelOf } from "../../../ixgbe/models.ts";
import { REGISTERS } from "../../../ixgbe/registers.ts";
import { nameOf, offsetOf, Registers } from "../../../src/registers.ts";
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
/** Names of the statistics registers in the sections for statistics. */
export const STATISTICS_NAMES: readonly string[] = STATISTICS.map(({ name }) => name);

/** The cells of some ports. */
export class ModelState {
  readonly #ports: readonly Pick<Port, "nic">[];
  readonly #model: Model;
  readonly #registers: readonly Registers[];
  #rings: readonly RingPlace[] = [];
  #layout: Layout;

  /**
   * @param ports The ports to look at.
   * @param deviceId Their PCI device ID.
   */
  constructor(ports: readonly Pick<Port, "nic">[], deviceId: number) {
    this.#ports = ports;
    this.#model = modelOf("model", deviceId);
    this.#registers = ports.map(viewOf);
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
      const { up, megabits } = linkStatus(this.#registers[port], this.#model);
      layout.view(state, linkSection(port)).set([Number(up), megabits]);
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

/** Returns access to a port's registers that can only read, without side effects. */
function viewOf({ nic }: Pick<Port, "nic">): Registers {
  const refuse = (): never => {
    throw new Error("a view of registers is only for reading");
  };
  return new Registers(
    { size: BYTES, read: (offset) => nic.view32(offset), write: refuse, doorbell: refuse },
    "model",
  );
}

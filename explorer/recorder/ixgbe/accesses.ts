/**
 * The driver's accesses to a card, as steps.
 *
 * @module
 */

import * as R from "../../../ixgbe/registers.ts";
import { offsetOf, type Register } from "../../../src/registers.ts";
import { stackAbove } from "../stack.ts";
import type { Card, CardWatcher } from "./card.ts";
import { chapterOf } from "./chapters.ts";
import type { DeviceWatcher } from "./device_watcher.ts";
import { BUS_MASTER, READ_PLACES, WRITE_PLACES } from "./model_places.ts";
import type { PortContext } from "./port.ts";
import { reasonFor } from "./reasons.ts";
import { type NamedRegister, registerAt, type RegisterCells } from "./register_cells.ts";

/** What an access to a register over PCIe takes, in milliseconds. */
const READ_MS = 0.0012, WRITE_MS = 0.0002;

/** A port whose card is accessed. */
export interface AccessedPort {
  readonly card: Card;
  readonly registers: RegisterCells;
  /** Whether the device works while the driver accesses it: while it waits for the device. */
  readonly working: boolean;
  /** What accesses are for, where the table of reasons does not say it. */
  readonly reason: string | undefined;
  /** Records what the driver has written to memory before it writes a register. */
  beforeWrite(register: Register, index: number, value: number): void;
  /** Looks at a register that was accessed, and at all that may have changed with it. */
  look(offset: number): void;
}

/** A read or a write. */
interface Access {
  readonly kind: "read" | "write";
  readonly offset: number;
  readonly named: NamedRegister | undefined;
  readonly old: number;
  readonly value: number;
}

/** Makes and records the driver's accesses. */
export class Accesses implements CardWatcher {
  readonly #context: PortContext;
  readonly #port: AccessedPort;
  readonly #device: DeviceWatcher;
  /** Index and stack of the last access to each register. */
  readonly #stacks = new Map<string, { readonly index: number; readonly stack: string }>();

  constructor(context: PortContext, port: AccessedPort, device: DeviceWatcher) {
    this.#context = context;
    this.#port = port;
    this.#device = device;
  }

  read(offset: number): number {
    const { clock } = this.#context, { card: { nic }, registers, working } = this.#port;
    clock.pass(READ_MS);
    if (working) nic.poll();
    const old = registers.at(offset);
    let value = 0;
    this.#device.after(() => {
      value = nic.read32(offset);
      this.#port.look(offset);
      if (this.#isRepeated(offset, value) || this.#isOnBus(offset)) return;
      this.#add({ kind: "read", offset, named: registerAt(offset), old, value }, this.read);
    });
    return value;
  }

  write(offset: number, value: number): void {
    const { clock } = this.#context, { card: { nic }, registers } = this.#port;
    const named = registerAt(offset);
    clock.pass(WRITE_MS);
    if (named !== undefined) this.#port.beforeWrite(named.register, named.index, value);
    const old = registers.at(offset);
    this.#device.after(() => {
      nic.write32(offset, value);
      this.#port.look(offset);
      if (named?.register === R.CTRL as Register) registers.lookAtAll(); // it may reset the device
      if (this.#isOnBus(offset)) return;
      this.#add({ kind: "write", offset, named, old, value: value >>> 0 }, this.write);
    });
  }

  setBusMaster(on: boolean): void {
    const { journal, port } = this.#context, { nic } = this.#port.card;
    const stack = stackAbove(this.setBusMaster);
    this.#setChapter(stack);
    this.#device.after(() => {
      nic.setBusMaster(on);
      this.#port.look(offsetOf(R.STATUS));
      journal.add({
        kind: "configuration",
        actor: "driver",
        port,
        title: `COMMAND: bus master ${on ? "on" : "off"}`,
        why: on
          ? "Only a bus master may access host memory. The reset has stopped all old DMA, so it is safe now."
          : "Without bus mastering the device cannot reach host memory, whatever its queues do.",
        section: "9.3.3.3",
        stack,
        model: BUS_MASTER,
      });
    });
  }

  /** Whether a read is the same as the step before: the driver waits. */
  #isRepeated(offset: number, value: number): boolean {
    return this.#context.journal.repeat(({ kind, port, register }) => {
      return kind === "read" && port === this.#context.port && register?.offset === offset &&
        register.value === value;
    });
  }

  /**
   * Whether an access goes on with the last step: the module's bus is moved bit by bit, and thousands of
   * steps would tell no more than one.
   */
  #isOnBus(offset: number): boolean {
    if (offset !== offsetOf(R.I2CCTL)) return false;
    return this.#context.journal.extend(({ port, register }) => {
      return port === this.#context.port && register?.offset === offset;
    });
  }

  #add(access: Access, above: (...parameters: never[]) => unknown): void {
    const { kind, offset, named, old, value } = access;
    const { journal, port } = this.#context, stack = this.#stackOf(access, above);
    this.#setChapter(stack);
    const { name = "", section } = named?.register ?? {};
    const title = named?.title ?? `offset 0x${offset.toString(16)}`;
    const why = this.#port.reason ?? (named && reasonFor(kind, named.register));
    const model = (kind === "read" ? READ_PLACES : WRITE_PLACES)[name];
    journal.add({
      kind,
      actor: "driver",
      port,
      title: `${kind} ${title}`,
      ...why === undefined ? {} : { why },
      ...section === undefined ? {} : { section },
      register: { name, index: named?.index ?? 0, offset, old, value },
      stack,
      ...model === undefined ? {} : { model },
    });
  }

  /**
   * Returns the stack of an access. The next copy of a register is accessed by the same loop: its stack is
   * not taken again, which would be most of the time that recording takes.
   */
  #stackOf({ kind, named }: Access, above: (...parameters: never[]) => unknown): string {
    if (named === undefined) return stackAbove(above);
    const { register: { name }, index } = named, key = `${kind} ${name}`;
    const before = this.#stacks.get(key);
    const stack = before?.index === index - 1 ? before.stack : stackAbove(above);
    this.#stacks.set(key, { index, stack });
    return stack;
  }

  #setChapter(stack: string): void {
    const chapter = this.#port.working ? chapterOf(stack) : undefined;
    if (chapter !== undefined) this.#context.journal.chapter = chapter;
  }
}

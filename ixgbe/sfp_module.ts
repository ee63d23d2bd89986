/**
 * Identifies the module in an 82599's SFP+ cage, by the memory that it has on an I2C bus (SFF-8472,
 * chapters 4 to 8).
 *
 * @module
 */

import { delay } from "../native/clock.ts";
import type { LinkModule } from "../src/device.ts";
import type { Registers } from "../src/registers.ts";
import { BusStuck, I2cBus } from "./i2c.ts";
import { ESDP } from "./registers.ts";
import { phySemaphore, withSemaphore } from "./semaphore.ts";

/** Addresses on the bus: what the module is (A0h), and its diagnostics (A2h). */
const IDENTITY = 0x50, DIAGNOSTICS = 0x51;
/** Bytes of the memory that the standard assigns, with both checksums. */
const IDENTITY_BYTES = 96;

// Fields of the memory (SFF-8472, table 4-1), and values.
const IDENTIFIER = 0, SFP = 3;
const ETHERNET_10G = 3, ETHERNET_1G = 6, CABLE = 8;
const PASSIVE = 1 << 2, ACTIVE = 1 << 3;
const VENDOR = 20, OUI = 37, PART = 40, BASE_SUM = 63, OPTIONS = 65, SERIAL = 68;
const DIAGNOSTIC_TYPE = 92, EXTENDED_SUM = 95;
const TEXT_BYTES = 16;
/** OPTIONS: the module reports loss of signal. DIAGNOSTIC_TYPE: there are diagnostics. */
const REPORTS_LOSS = 1 << 1, HAS_DIAGNOSTICS = 1 << 6;
/** Status byte of the diagnostics, and its bit for loss of signal. */
const STATUS = 110, LOSS = 1 << 1;

/** Kinds of modules by bit of the code bytes (table 5-3), those that the driver knows. */
const KINDS_10G: readonly [number, string][] = [
  [1 << 4, "10GBASE-SR"],
  [1 << 5, "10GBASE-LR"],
  [1 << 6, "10GBASE-LRM"],
  [1 << 7, "10GBASE-ER"],
];
const KINDS_1G: readonly [number, string][] = [
  [1 << 0, "1000BASE-SX"],
  [1 << 1, "1000BASE-LX"],
  [1 << 3, "1000BASE-T"],
  [1 << 6, "1000BASE-BX10"],
];

/** Attempts to read a module, and the time between them: it may take 300 ms after it is plugged in. */
const ATTEMPTS = 4, RETRY_MS = 100;
/** Attempts if no module is known to be there. */
const BLIND_ATTEMPTS = 2;

/** The OUI of Intel. */
const INTEL_OUI = 0x001b21;

/** A module, and what the driver needs to know about it. */
export interface SfpModule extends LinkModule {
  /** Whether it is a direct attach cable without electronics. */
  readonly passive: boolean;
  /** Whether it transmits light. */
  readonly optical: boolean;
  /** Whether a pin selects one of its two speeds. */
  readonly dualRate: boolean;
  /** Whether its diagnostics tell if a signal arrives. */
  readonly reportsLoss: boolean;
  /** The OUI of its vendor, 24 bits. */
  readonly oui: number;
}

/** What reading a module has found: the module, or why there is none. */
export type Found =
  | { readonly module: SfpModule }
  | { readonly module?: undefined; readonly problem: string };

/**
 * Returns whether a cage is empty, as far as the board says so: Intel's connects the module's pin to
 * SDP2, which is high while a module is there.
 */
export function isCageEmpty(regs: Registers): boolean {
  return (regs.read(ESDP) & (ESDP.SDP2 | ESDP.SDP2_DIR)) === 0;
}

/**
 * Identifies the module. Takes less than half a second, or as long as firmware holds the bus: a second
 * more at most.
 */
export async function identifyModule(regs: Registers): Promise<Found> {
  const empty = isCageEmpty(regs);
  let problem = "";
  for (let left = empty ? BLIND_ATTEMPTS : ATTEMPTS; left > 0; left--) {
    try {
      const memory = await withBus(regs, readIdentity);
      if (memory) return { module: parseIdentity(memory) };
      problem = empty ? "no module is in the cage" : "the module does not answer on its I2C bus";
    } catch (error) {
      if (error instanceof BusHeld) return { problem: error.message };
      if (!(error instanceof BusStuck)) throw error;
      problem = error.message;
    }
    if (left > 1) await delay(RETRY_MS);
  }
  return { problem };
}

/** Returns whether a signal arrives at a module; undefined if the module does not tell. */
export async function seesSignal(
  regs: Registers,
  { reportsLoss }: SfpModule,
): Promise<boolean | undefined> {
  if (!reportsLoss) return undefined;
  try {
    const status = await withBus(regs, (bus) => bus.read(DIAGNOSTICS, STATUS, 1));
    return status && (status[0] & LOSS) === 0;
  } catch (error) {
    if (error instanceof BusHeld || error instanceof BusStuck) return undefined;
    throw error;
  }
}

/** Firmware does not release the bus. */
class BusHeld extends Error {
  override readonly name = "BusHeld";
}

/** Uses the bus while its semaphore is held, which is that of the port's PHY (section 10.5.4). */
function withBus<T>(regs: Registers, use: (bus: I2cBus) => T): Promise<T> {
  const held = (): never => {
    throw new BusHeld("firmware does not release the I2C bus of the module");
  };
  return withSemaphore(regs, "82599", phySemaphore(regs), () => use(new I2cBus(regs)), held);
}

/** Reads the memory: at once, and byte by byte if the checksums are wrong, as some modules need it. */
function readIdentity(bus: I2cBus): Uint8Array | undefined {
  const memory = bus.read(IDENTITY, 0, IDENTITY_BYTES);
  if (memory === undefined || isIntact(memory)) return memory;
  return memory.map((byte, i) => bus.read(IDENTITY, i, 1)?.[0] ?? byte);
}

function isIntact(memory: Uint8Array): boolean {
  const sum = (from: number, to: number) =>
    memory.subarray(from, to).reduce((total, byte) => total + byte & 0xff, 0);
  return sum(0, BASE_SUM) === memory[BASE_SUM] &&
    sum(BASE_SUM + 1, EXTENDED_SUM) === memory[EXTENDED_SUM];
}

/** Interprets a module's memory. Modules of all vendors and kinds are accepted, with warnings. */
export function parseIdentity(memory: Uint8Array): SfpModule {
  const named = (kinds: readonly [number, string][], codes: number) =>
    kinds.filter(([bit]) => codes & bit).map(([, name]) => name);
  const cable = memory[CABLE] & (PASSIVE | ACTIVE);
  const passive = (cable & PASSIVE) !== 0;
  const isSfp = memory[IDENTIFIER] === SFP;
  // A cable may also have codes of modules that it replaces: it is set up as a cable nevertheless.
  const fast = isSfp && !cable ? named(KINDS_10G, memory[ETHERNET_10G]) : [];
  const slow = isSfp && !cable ? named(KINDS_1G, memory[ETHERNET_1G]) : [];
  const warnings: string[] = [];
  if (!isIntact(memory)) warnings.push("the checksums of its memory are wrong");
  let kind = [...fast, ...slow].join(" and ");
  let megabits = [...fast.length > 0 ? [10000] : [], ...slow.length > 0 ? [1000] : []];
  if (isSfp && cable) {
    kind = `direct attach cable, ${passive ? "passive" : "active"}`;
    megabits = [10000];
  } else if (kind === "") {
    kind = "unknown";
    megabits = [10000, 1000];
    warnings.push("its memory names no kind that the driver knows: it is set up as one for fibre");
  }
  return {
    kind,
    vendor: textAt(memory, VENDOR),
    part: textAt(memory, PART),
    serial: textAt(memory, SERIAL),
    megabits,
    warnings,
    passive: isSfp && passive,
    optical: !cable && slow[0] !== "1000BASE-T",
    dualRate: fast.length > 0 && slow.length > 0,
    reportsLoss: (memory[DIAGNOSTIC_TYPE] & HAS_DIAGNOSTICS) !== 0 &&
      (memory[OPTIONS] & REPORTS_LOSS) !== 0,
    oui: memory[OUI] << 16 | memory[OUI + 1] << 8 | memory[OUI + 2],
  };
}

/** Returns a text field: ASCII, padded with spaces. Other bytes become question marks. */
function textAt(memory: Uint8Array, offset: number): string {
  return Array.from(
    memory.subarray(offset, offset + TEXT_BYTES),
    (byte) => byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : byte === 0 ? " " : "?",
  ).join("").trim();
}

/** Returns whether Intel has made a module. */
export function isIntels({ oui }: SfpModule): boolean {
  return oui === INTEL_OUI;
}

/**
 * The SFP+ module of the modelled board: a memory on an I2C bus, whose two lines a driver sets bit
 * by bit through I2CCTL (datasheet section 8.2.3.1.5). The memory has the layout of SFF-8472. A module
 * for fibre also has the status byte at the second address, which says whether light arrives.
 *
 * Writes and measured values (temperature, power) are not modelled.
 *
 * @module
 */

/** The module's addresses on the bus: what it is, and its diagnostics. */
const DEVICE = 0x50, DIAGNOSTICS = 0x51;
const MEMORY_BYTES = 256;

/** Kinds of modules: for 10 Gb/s, for 1 Gb/s, for both; cables with plugs at both ends. */
export const MODULE_KINDS = [
  ...["10G-SR", "10G-LR", "1G-SX", "1G-LX", "1G-T", "dual-SR", "dual-LR"] as const,
  ...["passive-cable", "active-cable", "unknown"] as const,
] as const;

/** A kind of module. */
export type ModuleKind = typeof MODULE_KINDS[number];

/** A kind: its codes in the memory, by offset, the speeds that pass it in Mb/s, and its medium. */
interface Kind {
  readonly codes: Readonly<Record<number, number>>;
  readonly speeds: readonly number[];
  readonly medium: "fibre" | "copper";
}

// Fields of the memory (SFF-8472, table 4-1).
const IDENTIFIER = 0, IDENTIFIER_SFP = 3;
const EXTENDED_IDENTIFIER = 1, BY_SERIAL_ID = 4;
const CONNECTOR = 2, CONNECTOR_LC = 7;
const CONNECTOR_COPPER = 0x21;
const COMPLIANCE_10G = 3, COMPLIANCE_10G_SR = 1 << 4, COMPLIANCE_10G_LR = 1 << 5;
const COMPLIANCE_1G = 6, COMPLIANCE_1G_SX = 1 << 0, COMPLIANCE_1G_LX = 1 << 1;
const COMPLIANCE_1G_T = 1 << 3;
const CABLE = 8, CABLE_PASSIVE = 1 << 2, CABLE_ACTIVE = 1 << 3;
const CABLE_SPECIFICATION = 60, CABLE_LIMITING = 1 << 2;
const RATE = 12, RATE_10G = 103, RATE_1G = 13; // in units of 100 Mb/s
const VENDOR = 20, OUI = 37, PART = 40, SERIAL = 68;
const OPTIONS = 65, OPTION_LOS = 1 << 1;
const DIAGNOSTIC_TYPE = 92, DIAGNOSTICS_THERE = 1 << 6 | 1 << 5;
const ENHANCED_OPTIONS = 93, ENHANCED_LOS = 1 << 4;
/** Status byte of the diagnostics, and its bit that no light arrives. */
const STATUS = 110, STATUS_LOS = 1 << 1;
/** Ends of the ranges of the two checksums, each of which is in the next byte. */
const BASE_END = 62, EXTENDED_START = 64, EXTENDED_END = 94;

const KINDS: Readonly<Record<ModuleKind, Kind>> = {
  "10G-SR": { codes: { [COMPLIANCE_10G]: COMPLIANCE_10G_SR }, speeds: [10000], medium: "fibre" },
  "10G-LR": { codes: { [COMPLIANCE_10G]: COMPLIANCE_10G_LR }, speeds: [10000], medium: "fibre" },
  "1G-SX": { codes: { [COMPLIANCE_1G]: COMPLIANCE_1G_SX }, speeds: [1000], medium: "fibre" },
  "1G-LX": { codes: { [COMPLIANCE_1G]: COMPLIANCE_1G_LX }, speeds: [1000], medium: "fibre" },
  "1G-T": { codes: { [COMPLIANCE_1G]: COMPLIANCE_1G_T }, speeds: [1000], medium: "copper" },
  "dual-SR": {
    codes: { [COMPLIANCE_10G]: COMPLIANCE_10G_SR, [COMPLIANCE_1G]: COMPLIANCE_1G_SX },
    ...{ speeds: [10000, 1000], medium: "fibre" },
  },
  "dual-LR": {
    codes: { [COMPLIANCE_10G]: COMPLIANCE_10G_LR, [COMPLIANCE_1G]: COMPLIANCE_1G_LX },
    ...{ speeds: [10000, 1000], medium: "fibre" },
  },
  "passive-cable": { codes: { [CABLE]: CABLE_PASSIVE }, speeds: [10000, 1000], medium: "copper" },
  "active-cable": {
    codes: { [CABLE]: CABLE_ACTIVE, [CABLE_SPECIFICATION]: CABLE_LIMITING },
    ...{ speeds: [10000], medium: "copper" },
  },
  "unknown": { codes: {}, speeds: [10000], medium: "fibre" },
};

/** How a module is to behave. */
export interface ModuleOptions {
  /** Its kind. */
  readonly kind: ModuleKind;
  /** Clocks for which it holds the data line down, as one does that a reset has cut short. */
  readonly stuckClocks?: number;
  /** Whether light arrives. */
  readonly light: () => boolean;
  /** Whether the checksums are wrong, as in some modules of careless makers. */
  readonly badChecksum?: boolean;
}

/** What the module does at the next clock. */
type State = "idle" | "receive" | "acknowledge" | "send" | "await";

/** The module and the two lines. */
export class SfpModule {
  /** Its kind. */
  readonly kind: ModuleKind;
  /** Whether it is at the end of a copper cable or connects to one. */
  readonly copper: boolean;
  readonly #memory: Uint8Array;
  readonly #light: () => boolean;
  #stuck: number;
  /** The address that the driver has called. */
  #address = DEVICE;
  #state: State = "idle";
  #clock = true;
  #data = true;
  /** Whether the module releases the data line; false pulls it low. */
  #released = true;
  #byte = 0;
  #bits = 0;
  /** Bytes since the start condition. */
  #bytes = 0;
  #reading = false;
  #refused = false;
  #offset = 0;

  /** Makes a module that has just been plugged in. */
  constructor({ kind, light, stuckClocks = 0, badChecksum = false }: ModuleOptions) {
    this.kind = kind;
    this.copper = KINDS[kind].medium === "copper";
    this.#memory = makeMemory(kind);
    if (badChecksum) this.#memory[BASE_END + 1] ^= 0xff;
    this.#light = light;
    this.#stuck = stuckClocks;
  }

  /** The highest speed that passes, in Mb/s. */
  get fastest(): number {
    return KINDS[this.kind].speeds[0];
  }

  /**
   * Whether a speed passes.
   *
   * @param mbps The speed in Mb/s.
   * @param rateSelect Whether the pin that selects the rate is high, which only modules for two rates
   * look at.
   */
  passes(mbps: number, rateSelect: boolean): boolean {
    if (this.kind.startsWith("dual")) return mbps === (rateSelect ? 10000 : 1000);
    return KINDS[this.kind].speeds.includes(mbps);
  }

  /**
   * Takes the driver's levels of the lines.
   *
   * @returns Level of the data line: low if either end pulls it low.
   */
  drive(clock: boolean, data: boolean): boolean {
    const before = this.#data, rose = clock && !this.#clock, fell = !clock && this.#clock;
    const held = clock && this.#clock;
    this.#clock = clock;
    this.#data = data;
    if (this.#stuck > 0) {
      if (rose) this.#stuck--;
      return data && this.#stuck === 0;
    }
    if (rose) this.#sample(data && this.#released);
    else if (fell) this.#advance();
    else if (held && before && !data) this.#start();
    else if (held && !before && data) this.#stop();
    return data && this.#released;
  }

  #start(): void {
    this.#state = "receive";
    this.#released = true;
    this.#bits = this.#bytes = 0;
    this.#reading = false;
  }

  #stop(): void {
    this.#state = "idle";
    this.#released = true;
  }

  // Samples the line at a rising clock: it is valid.
  #sample(line: boolean): void {
    if (this.#state === "receive") {
      this.#byte = (this.#byte << 1 | Number(line)) & 0xff;
      this.#bits++;
    } else if (this.#state === "await") {
      this.#refused = line;
    }
  }

  // Advances at a falling clock: the line may change.
  #advance(): void {
    switch (this.#state) {
      case "receive":
        if (this.#bits === 8) this.#take();
        return;
      case "acknowledge":
        this.#bits = 0;
        this.#released = true;
        this.#state = "receive";
        if (this.#reading) this.#load();
        return;
      case "send":
        if (this.#bits < 8) return this.#shift();
        this.#released = true;
        this.#state = "await";
        return;
      case "await":
        if (this.#refused) return this.#stop();
        this.#load();
    }
  }

  // Takes a byte: first the address, then the offset to read from. Further bytes would be writes.
  #take(): void {
    if (this.#bytes === 0 && !this.#answers(this.#byte >>> 1)) return this.#stop();
    if (this.#bytes === 0) this.#reading = (this.#byte & 1) !== 0;
    else if (this.#bytes === 1) this.#offset = this.#byte;
    this.#bytes++;
    this.#released = false;
    this.#state = "acknowledge";
  }

  #answers(address: number): boolean {
    this.#address = address;
    return address === DEVICE || (address === DIAGNOSTICS && this.#memory[DIAGNOSTIC_TYPE] !== 0);
  }

  #load(): void {
    this.#byte = this.#address === DEVICE ? this.#memory[this.#offset] : this.#diagnostic();
    this.#offset = (this.#offset + 1) % MEMORY_BYTES;
    this.#bits = 0;
    this.#state = "send";
    this.#shift();
  }

  #diagnostic(): number {
    return this.#offset === STATUS && !this.#light() ? STATUS_LOS : 0;
  }

  #shift(): void {
    this.#released = (this.#byte & 0x80 >>> this.#bits) !== 0;
    this.#bits++;
  }
}

function makeMemory(kind: ModuleKind): Uint8Array {
  const { codes, speeds, medium } = KINDS[kind];
  const memory = new Uint8Array(MEMORY_BYTES);
  memory[IDENTIFIER] = IDENTIFIER_SFP;
  memory[EXTENDED_IDENTIFIER] = BY_SERIAL_ID;
  memory[CONNECTOR] = medium === "fibre" ? CONNECTOR_LC : CONNECTOR_COPPER;
  for (const [offset, code] of Object.entries(codes)) memory[Number(offset)] = code;
  memory[RATE] = speeds[0] === 10000 ? RATE_10G : RATE_1G;
  const text = (at: number, value: string, bytes: number) =>
    memory.set(new TextEncoder().encode(value.padEnd(bytes)), at);
  text(VENDOR, "SOFTWARE", 16);
  memory.set([0x02, 0x69, 0x78], OUI); // locally administered
  text(PART, `SIM-${kind.replace(/^10G-/, "")}`, 16);
  text(SERIAL, "1", 16);
  if (medium === "fibre") {
    memory[OPTIONS] = OPTION_LOS;
    memory[DIAGNOSTIC_TYPE] = DIAGNOSTICS_THERE;
    memory[ENHANCED_OPTIONS] = ENHANCED_LOS;
  }
  const total = (from: number, to: number) =>
    memory.subarray(from, to + 1).reduce((sum, byte) => sum + byte & 0xff, 0);
  memory[BASE_END + 1] = total(0, BASE_END);
  memory[EXTENDED_END + 1] = total(EXTENDED_START, EXTENDED_END);
  return memory;
}

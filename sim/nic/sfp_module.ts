/**
 * The SFP+ module of the modelled board: a memory on an I2C bus, whose two lines a driver sets bit
 * by bit through I2CCTL (datasheet section 8.2.3.1.5). The memory has the layout of SFF-8472, and
 * describes a 10GBASE-SR module.
 *
 * Writes, and the diagnostics at the second address, are not modelled.
 *
 * @module
 */

/** The module's address on the bus. */
const DEVICE = 0x50;
const MEMORY_BYTES = 256;

// Fields of the memory (SFF-8472, table 4-1).
const IDENTIFIER = 0, IDENTIFIER_SFP = 3;
const EXTENDED_IDENTIFIER = 1, BY_SERIAL_ID = 4;
const CONNECTOR = 2, CONNECTOR_LC = 7;
const COMPLIANCE_10G = 3, COMPLIANCE_10G_SR = 1 << 4;
const RATE = 12, RATE_100_MBPS = 103;
const VENDOR = 20, OUI = 37, PART = 40, SERIAL = 68;
/** Ends of the ranges of the two checksums, each of which is in the next byte. */
const BASE_END = 62, EXTENDED_START = 64, EXTENDED_END = 94;

/** What the module does at the next clock. */
type State = "idle" | "receive" | "acknowledge" | "send" | "await";

/** The module and the two lines. */
export class SfpModule {
  readonly #memory = makeMemory();
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
    if (this.#bytes === 0 && this.#byte >>> 1 !== DEVICE) return this.#stop();
    if (this.#bytes === 0) this.#reading = (this.#byte & 1) !== 0;
    else if (this.#bytes === 1) this.#offset = this.#byte;
    this.#bytes++;
    this.#released = false;
    this.#state = "acknowledge";
  }

  #load(): void {
    this.#byte = this.#memory[this.#offset];
    this.#offset = (this.#offset + 1) % MEMORY_BYTES;
    this.#bits = 0;
    this.#state = "send";
    this.#shift();
  }

  #shift(): void {
    this.#released = (this.#byte & 0x80 >>> this.#bits) !== 0;
    this.#bits++;
  }
}

function makeMemory(): Uint8Array {
  const memory = new Uint8Array(MEMORY_BYTES);
  memory[IDENTIFIER] = IDENTIFIER_SFP;
  memory[EXTENDED_IDENTIFIER] = BY_SERIAL_ID;
  memory[CONNECTOR] = CONNECTOR_LC;
  memory[COMPLIANCE_10G] = COMPLIANCE_10G_SR;
  memory[RATE] = RATE_100_MBPS;
  const text = (at: number, value: string, bytes: number) =>
    memory.set(new TextEncoder().encode(value.padEnd(bytes)), at);
  text(VENDOR, "SOFTWARE", 16);
  memory.set([0x02, 0x69, 0x78], OUI); // locally administered
  text(PART, "SIM-SR", 16);
  text(SERIAL, "1", 16);
  const total = (from: number, to: number) =>
    memory.subarray(from, to + 1).reduce((sum, byte) => sum + byte & 0xff, 0);
  memory[BASE_END + 1] = total(0, BASE_END);
  memory[EXTENDED_END + 1] = total(EXTENDED_START, EXTENDED_END);
  return memory;
}

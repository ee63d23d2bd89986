/**
 * The SPI EEPROM behind the pins of EEC: SK, CS, DI and DO (82599 datasheet, section 8.2.3.2.1). It
 * takes a command of 8 bits and an address of 16 bits, the highest bit first, and stores bytes; the
 * low byte of a word comes first.
 *
 * Its select pin is active low, as Intel's drivers use it. A write is complete at once.
 *
 * @module
 */

const READ = 0x03, WRITE = 0x02, WRITE_ENABLE = 0x06, WRITE_DISABLE = 0x04, READ_STATUS = 0x05;
/** The status bit that says that writes are enabled. The one below it, for busy, is always 0. */
const STATUS_ENABLED = 1 << 1;
const COMMAND_BITS = 8, ADDRESS_BITS = 16;
/** Bytes that one write can reach: its address wraps around in them. */
const PAGE = 32;

/** The pins of one EEPROM, and its state between two clocks. */
export class SpiEeprom {
  readonly #words: Uint16Array;
  #selected = false;
  #clock = false;
  /** Bits since the EEPROM was selected, and the last ones of them. */
  #bits = 0;
  #input = 0;
  #command = 0;
  #address = 0;
  #output = false;
  #writeEnabled = false;
  /** Bytes to write by address, until the EEPROM is no longer selected. */
  readonly #written = new Map<number, number>();

  /** @param words Its content, which writes change. */
  constructor(words: Uint16Array) {
    this.#words = words;
  }

  /**
   * Sets the pins.
   *
   * @param select CS: the EEPROM is selected while it is low.
   * @param clock SK: data enters at its rising edge, and leaves at its falling edge.
   * @param data DI.
   * @returns DO; low while no bits are read.
   */
  drive(select: boolean, clock: boolean, data: boolean): boolean {
    if (select) this.#deselect();
    else if (!this.#selected) this.#begin();
    else if (clock && !this.#clock) this.#shiftIn(data);
    else if (!clock && this.#clock) this.#output = this.#shiftOut();
    this.#clock = clock;
    return this.#output;
  }

  #begin(): void {
    this.#selected = true;
    this.#bits =
      this.#input =
      this.#command =
      this.#address =
        0;
  }

  #deselect(): void {
    if (!this.#selected) return;
    this.#selected = this.#output = false;
    if (this.#bits === COMMAND_BITS && this.#command === WRITE_ENABLE) this.#writeEnabled = true;
    if (this.#bits === COMMAND_BITS && this.#command === WRITE_DISABLE) this.#writeEnabled = false;
    if (this.#written.size === 0) return;
    for (const [address, byte] of this.#written) {
      const word = address >>> 1, shift = 8 * (address & 1);
      this.#words[word] = this.#words[word] & ~(0xff << shift) | byte << shift;
    }
    this.#written.clear();
    this.#writeEnabled = false;
  }

  #shiftIn(data: boolean): void {
    this.#input = (this.#input << 1 | Number(data)) & 0xffff;
    this.#bits++;
    const behind = this.#bits - COMMAND_BITS - ADDRESS_BITS;
    if (this.#bits === COMMAND_BITS) this.#command = this.#input & 0xff;
    if (behind === 0) this.#address = this.#input;
    const byteEnds = behind > 0 && behind % 8 === 0;
    if (!byteEnds || this.#command !== WRITE || !this.#writeEnabled) return;
    const start = this.#address & ~(PAGE - 1), place = this.#address + behind / 8 - 1;
    this.#written.set(this.#wrapped(start | place & PAGE - 1), this.#input & 0xff);
  }

  #shiftOut(): boolean {
    const behind = this.#bits - COMMAND_BITS - ADDRESS_BITS;
    if (this.#command === READ && behind >= 0) {
      return this.#bit(this.#byte(this.#wrapped(this.#address + (behind >>> 3))), behind);
    }
    if (this.#command !== READ_STATUS || this.#bits < COMMAND_BITS) return false;
    return this.#bit(this.#writeEnabled ? STATUS_ENABLED : 0, this.#bits);
  }

  #bit(byte: number, place: number): boolean {
    return (byte >>> 7 - (place & 7) & 1) !== 0;
  }

  #byte(address: number): number {
    return this.#words[address >>> 1] >>> 8 * (address & 1) & 0xff;
  }

  #wrapped(address: number): number {
    return address % (this.#words.length * 2);
  }
}

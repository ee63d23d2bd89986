/**
 * The 10GBASE-T PHY of the X540 and X550, as drivers see it through MDIO (clause 45 of IEEE 802.3):
 * its devices, identifiers, abilities, power, link and speed. The 82599 of this model has no PHY:
 * reads are all ones, as on a bus without a device.
 *
 * Advertisement is not modelled: the link has the partner's speed, and no flow control.
 *
 * @module
 */

// Devices of a PHY (45.2, table 45-1), and the vendor's device for the whole PHY.
const PMA_PMD = 1, PCS = 3, PHY_XS = 4, AUTO_NEGOTIATION = 7, GLOBAL = 30;
const DEVICES = [PMA_PMD, PCS, PHY_XS, AUTO_NEGOTIATION, GLOBAL];
// Registers.
const CONTROL = 0, STATUS = 1, ID_HIGH = 2, ID_LOW = 3, SPEED_ABILITY = 4;
const DEVICES_LOW = 5, DEVICES_HIGH = 6, STATUS_2 = 8, EXTENDED_ABILITY = 11;
const VENDOR_STATUS = 0xc800;
const RESET = 1 << 15, RESTART = 1 << 9, LOW_POWER = 1 << 11;
const LINK_UP = 1 << 2, COMPLETE = 1 << 5;
/** STATUS_2: a device answers at this address. */
const PRESENT = 2 << 14;
/** SPEED_ABILITY: 10 Gb/s, 1 Gb/s, 100 Mb/s. */
const SPEEDS = 0x0031;
/** EXTENDED_ABILITY: 10GBASE-T, 1000BASE-T, 100BASE-TX. */
const KINDS = 0x00a4;
/** Result of a read that no device answers. */
const NO_DEVICE = 0xffff;

/** The PHY at MDIO address 0, if there is one. */
export class Phy {
  /** Whether there is a link partner. */
  partner = true;
  /** Speed of the link in Mb/s. */
  mbps = 10_000;
  readonly #identifier: number;
  readonly #written = new Map<number, number>();

  /**
   * Creates a PHY.
   *
   * @param identifier The 32-bit PHY identifier, or 0 for none.
   */
  constructor(identifier: number) {
    this.#identifier = identifier;
  }

  /** Resets all registers. */
  reset(): void {
    this.#written.clear();
  }

  /** Whether there is a link partner, and the PHY is not in low power. */
  get linkUp(): boolean {
    return this.partner && (this.#stored(GLOBAL, CONTROL) & LOW_POWER) === 0;
  }

  /** Reads a register: 16 bits. */
  read(phy: number, device: number, address: number): number {
    if (this.#identifier === 0 || phy !== 0 || !DEVICES.includes(device)) return NO_DEVICE;
    switch (address) {
      case ID_HIGH:
        return this.#identifier >>> 16;
      case ID_LOW:
        return this.#identifier & 0xffff;
      case DEVICES_LOW:
        return devices(0);
      case DEVICES_HIGH:
        return devices(16);
      case STATUS:
        if (!this.linkUp) return 0;
        return device === AUTO_NEGOTIATION ? LINK_UP | COMPLETE : LINK_UP;
    }
    if (address === STATUS_2 && device !== AUTO_NEGOTIATION) return PRESENT;
    if (address === SPEED_ABILITY && device === PMA_PMD) return SPEEDS;
    if (address === EXTENDED_ABILITY && device === PMA_PMD) return KINDS;
    if (address === VENDOR_STATUS && device === AUTO_NEGOTIATION) return this.#vendorSpeed();
    return this.#stored(device, address);
  }

  /**
   * Writes a register; reset and restart bits clear themselves.
   *
   * @returns Whether the link changes or goes down for a moment.
   */
  write(phy: number, device: number, address: number, value: number): boolean {
    if (this.#identifier === 0 || phy !== 0 || !DEVICES.includes(device)) return false;
    const before = this.linkUp;
    const kept = address === CONTROL ? value & ~(RESET | RESTART) : value;
    this.#written.set(device << 16 | address, kept & 0xffff);
    const restarts = device === AUTO_NEGOTIATION && address === CONTROL && (value & RESTART) !== 0;
    return restarts || this.linkUp !== before;
  }

  #stored(device: number, address: number): number {
    return this.#written.get(device << 16 | address) ?? 0;
  }

  #vendorSpeed(): number {
    if (!this.linkUp) return 0;
    if (this.mbps === 10_000) return 7;
    if (this.mbps === 1000) return 5;
    return this.mbps === 100 ? 3 : 1;
  }
}

/** Returns a bit for each of 16 devices: whether the PHY has it. */
function devices(first: number): number {
  return DEVICES.reduce((bits, device) => bits | 1 << device - first, 0) & 0xffff;
}

/**
 * The 10GBASE-T PHY of the X540 and X550, as drivers see it through MDIO (clause 45 of IEEE 802.3):
 * its devices, identifiers, abilities, power, and the negotiation of the link's speed (X550
 * datasheet, section 10.4). The 82599 of this model has no PHY: reads are all ones, as on a bus
 * without a device.
 *
 * @module
 */

// Devices of a PHY (45.2, table 45-1), and the vendor's device for the whole PHY.
const PMA_PMD = 1, PCS = 3, PHY_XS = 4, AUTO_NEGOTIATION = 7, GLOBAL = 30;
const DEVICES = [PMA_PMD, PCS, PHY_XS, AUTO_NEGOTIATION, GLOBAL];
// Registers.
const CONTROL = 0, STATUS = 1, ID_HIGH = 2, ID_LOW = 3, SPEED_ABILITY = 4;
const DEVICES_LOW = 5, DEVICES_HIGH = 6, STATUS_2 = 8, EXTENDED_ABILITY = 11;
// Registers of auto-negotiation (10.4): what is advertised, what the partner offers, vendor status.
const ADVERTISEMENT = 0x10, PARTNER_BASE = 0x13, CONTROL_10G = 0x20, STATUS_10G = 0x21;
const PROVISIONING = 0xc400, VENDOR_STATUS = 0xc800, VENDOR_STATE = 0xc810, PARTNER = 0xe820;
const RESET = 1 << 15, RESTART = 1 << 9, LOW_POWER = 1 << 11;
/** Auto-negotiation's control (10.4.1): without ENABLE, "the link is forced to its down state". */
const ENABLE = 1 << 12, EXTENDED_PAGES = 1 << 13;
/** Status of a device (10.4.2). */
const PARTNER_NEGOTIATES = 1 << 0,
  LINK_UP = 1 << 2,
  ABLE = 1 << 3,
  COMPLETE = 1 << 5,
  PAGE = 1 << 6;
/** Base pages (10.4.10 and 10.4.11): IEEE 802.3, acknowledged, with (extended) next pages. */
const BASE_PAGE = 0x9001, ACKNOWLEDGED = 1 << 14;
/** STATUS_2: a device answers at this address. */
const PRESENT = 2 << 14;
/** SPEED_ABILITY: 10 Gb/s, 1 Gb/s, 100 Mb/s. */
const SPEEDS = 0x0031;
/** EXTENDED_ABILITY: 10GBASE-T, 1000BASE-T, 100BASE-TX. */
const KINDS = 0x00a4;
/** Result of a read that no device answers. */
const NO_DEVICE = 0xffff;

/** VENDOR_STATE (10.4.24): state of the connection, and whether another device is at its end. */
const STATE = { negotiating: 0x02 << 9, connected: 0x04 << 9, lowPower: 0x08 << 9, cut: 0x0b << 9 };
const DEVICE_PRESENT = 1 << 14, ENERGY = 1 << 15;
/** VENDOR_STATUS (10.4.23): full duplex, and the rate from bit 1 on. */
const FULL_DUPLEX = 1, RATES = [0, 100, 1000, 10000, 2500, 5000];

/** Where a speed in Mb/s is advertised, and where the partner's ability shows: register, bit. */
const ABILITIES: readonly (readonly [
  mbps: number,
  advertised: readonly [number, number],
  offered: readonly [number, number],
])[] = [
  [100, [ADVERTISEMENT, 1 << 8], [PARTNER_BASE, 1 << 8]],
  [1000, [PROVISIONING, 1 << 15], [PARTNER, 1 << 15]],
  [2500, [PROVISIONING, 1 << 10], [PARTNER, 1 << 10]],
  [5000, [PROVISIONING, 1 << 11], [PARTNER, 1 << 11]],
  [10000, [CONTROL_10G, 1 << 12], [STATUS_10G, 1 << 11]],
];

/** Speeds of the family in Mb/s. */
export const ALL_SPEEDS: readonly number[] = ABILITIES.map(([mbps]) => mbps);

/**
 * Values after power-on: those of the datasheet, with 100 Mb/s and 1 Gb/s, which a board's NVM
 * provisions. 2.5 and 5 Gb/s are 0 (10.4.20).
 */
const PROVISIONED: readonly (readonly [register: number, value: number])[] = [
  [CONTROL, ENABLE | EXTENDED_PAGES],
  [ADVERTISEMENT, BASE_PAGE | 1 << 8],
  [CONTROL_10G, 1 << 12 | 1],
  [PROVISIONING, 0x8054],
];

/** What distinguishes the PHYs. */
export interface PhyKind {
  /** The 32-bit PHY identifier, or 0 for none. */
  readonly identifier: number;
  /** Its address on the MDIO bus. */
  readonly address: number;
  /** The speeds that it can have, in Mb/s. */
  readonly speeds: readonly number[];
}

/** The PHY of a port, if there is one. */
export class Phy {
  readonly #kind: PhyKind;
  readonly #registers = new Map<number, number>();
  #partner: readonly number[] = [];
  #mbps = 0;

  /** Creates a PHY that has just been powered on, without a link partner. */
  constructor(kind: PhyKind) {
    this.#kind = kind;
    this.reset();
  }

  /** Does what power-on does: all registers have their defaults, and the PHY negotiates. */
  reset(): void {
    this.#registers.clear();
    for (const [register, value] of PROVISIONED) this.#store(AUTO_NEGOTIATION, register, value);
    this.#negotiate();
  }

  /** The speed of the link in Mb/s; 0 without one. */
  get mbps(): number {
    return this.#mbps;
  }

  /** Connects a partner that offers speeds in Mb/s; none: there is no partner. */
  connect(partner: readonly number[]): void {
    if (partner.join() === this.#partner.join()) return;
    this.#partner = partner;
    this.#negotiate();
  }

  /** Reads a register: 16 bits. */
  read(phy: number, device: number, address: number): number {
    if (!this.#answers(phy, device)) return NO_DEVICE;
    const { identifier } = this.#kind, negotiation = device === AUTO_NEGOTIATION;
    switch (address) {
      case ID_HIGH:
        return identifier >>> 16;
      case ID_LOW:
        return identifier & 0xffff;
      case DEVICES_LOW:
        return devices(0);
      case DEVICES_HIGH:
        return devices(16);
      case STATUS:
        return (this.#mbps > 0 ? LINK_UP : 0) | (negotiation ? this.#status() : 0);
    }
    if (negotiation) return this.#negotiation(address);
    if (address === STATUS_2) return PRESENT;
    if (address === SPEED_ABILITY && device === PMA_PMD) return SPEEDS;
    if (address === EXTENDED_ABILITY && device === PMA_PMD) return KINDS;
    return this.#stored(device, address);
  }

  /**
   * Writes a register; reset and restart bits clear themselves. What is advertised takes effect when
   * negotiation is restarted: "The software device driver is responsible to re-start auto-negotiation
   * when it changes the setting" (X550 datasheet, section 5.3.5).
   *
   * @returns Whether the link changes or goes down for a moment.
   */
  write(phy: number, device: number, address: number, value: number): boolean {
    if (!this.#answers(phy, device)) return false;
    const { enabled } = this;
    const kept = address === CONTROL ? value & ~(RESET | RESTART) : value;
    this.#store(device, address, kept & 0xffff);
    const control = device === AUTO_NEGOTIATION && address === CONTROL;
    const restarts = control && (value & RESTART) !== 0 || this.enabled !== enabled;
    if (restarts) this.#negotiate();
    return restarts;
  }

  /** Whether the PHY has power, and negotiation is on. */
  get enabled(): boolean {
    return !this.#sleeps && (this.#stored(AUTO_NEGOTIATION, CONTROL) & ENABLE) !== 0;
  }

  get #sleeps(): boolean {
    return (this.#stored(GLOBAL, CONTROL) & LOW_POWER) !== 0;
  }

  /** The best speed that both ends offer. */
  #negotiate(): void {
    const { speeds } = this.#kind;
    const advertised = ABILITIES.flatMap(([mbps, [register, bit]]) =>
      speeds.includes(mbps) && this.#stored(AUTO_NEGOTIATION, register) & bit ? [mbps] : []
    );
    const common = advertised.filter((mbps) => this.#partner.includes(mbps));
    this.#mbps = this.enabled ? Math.max(0, ...common) : 0;
  }

  /** Whether link pulses of a partner arrive. */
  get #hears(): boolean {
    return this.enabled && this.#partner.length > 0;
  }

  #status(): number {
    const heard = this.#hears ? PARTNER_NEGOTIATES | PAGE : 0;
    return ABLE | heard | (this.#mbps > 0 ? COMPLETE : 0);
  }

  /** A register of auto-negotiation. */
  #negotiation(address: number): number {
    switch (address) {
      case PARTNER_BASE:
        return this.#hears ? BASE_PAGE | ACKNOWLEDGED | this.#offered(address) : 0;
      case STATUS_10G:
      case PARTNER:
        return this.#hears ? this.#offered(address) : 0;
      case VENDOR_STATUS:
        return this.#mbps > 0 ? RATES.indexOf(this.#mbps) << 1 | FULL_DUPLEX : 0;
      case VENDOR_STATE:
        return this.#state();
    }
    return this.#stored(AUTO_NEGOTIATION, address);
  }

  #offered(address: number): number {
    return ABILITIES.reduce((bits, [mbps, , [register, bit]]) => {
      return register === address && this.#partner.includes(mbps) ? bits | bit : bits;
    }, 0);
  }

  #state(): number {
    if (this.#sleeps) return STATE.lowPower;
    if (!this.#hears) return STATE.cut;
    return (this.#mbps > 0 ? STATE.connected : STATE.negotiating) | DEVICE_PRESENT | ENERGY;
  }

  #answers(phy: number, device: number): boolean {
    const { identifier, address } = this.#kind;
    return identifier !== 0 && phy === address && DEVICES.includes(device);
  }

  #store(device: number, address: number, value: number): void {
    this.#registers.set(device << 16 | address, value);
  }

  #stored(device: number, address: number): number {
    return this.#registers.get(device << 16 | address) ?? 0;
  }
}

/** Returns a bit for each of 16 devices: whether the PHY has it. */
function devices(first: number): number {
  return DEVICES.reduce((bits, device) => bits | 1 << device - first, 0) & 0xffff;
}

/**
 * The 10GBASE-T PHY of the X540 and X550 as their drivers see it through MDIO (clause 45 of IEEE
 * 802.3): identifiers, abilities, link and speed. The 82599 of this model has no PHY: its reads are
 * all ones, as of a bus without a device.
 *
 * @module
 */

const PMA_PMD = 1;
const AUTO_NEGOTIATION = 7;
const CONTROL = 0;
const STATUS = 1;
const ID_HIGH = 2;
const ID_LOW = 3;
const SPEED_ABILITY = 4;
const EXTENDED_ABILITY = 11;
const VENDOR_STATUS = 0xc800;
const RESET = 1 << 15;
const RESTART = 1 << 9;
const LINK_UP = 1 << 2;
const COMPLETE = 1 << 5;

/** A PHY, or none, at MDIO address 0. */
export class Phy {
  /** Link as the PHY has it. */
  linkUp = true;
  /** Speed of the link in Mb/s. */
  mbps = 10_000;
  readonly #identifier: number;
  readonly #written = new Map<number, number>();

  /** @param identifier The 32-bit PHY identifier, or 0 for no PHY. */
  constructor(identifier: number) {
    this.#identifier = identifier;
  }

  /** Forgets what was written. */
  reset(): void {
    this.#written.clear();
  }

  /** Reads a register: 16 bits. */
  read(phy: number, device: number, address: number): number {
    if (this.#identifier === 0 || phy !== 0) return 0xffff;
    switch (address) {
      case ID_HIGH:
        return this.#identifier >>> 16;
      case ID_LOW:
        return this.#identifier & 0xffff;
      case SPEED_ABILITY:
        return 0x0031; // 10 Gb/s, 1 Gb/s, 100 Mb/s
      case EXTENDED_ABILITY:
        if (device === PMA_PMD) return 0x00a4; // 10GBASE-T, 1000BASE-T, 100BASE-TX
        break;
      case STATUS:
        if (device === AUTO_NEGOTIATION) return this.linkUp ? LINK_UP | COMPLETE : 0;
        return this.linkUp ? LINK_UP : 0;
      case VENDOR_STATUS:
        if (device === AUTO_NEGOTIATION) return this.#vendorSpeed();
        break;
    }
    return this.#written.get(device << 16 | address) ?? 0;
  }

  /** Writes a register; reset and restart bits clear themselves. */
  write(phy: number, device: number, address: number, value: number): void {
    if (this.#identifier === 0 || phy !== 0) return;
    const kept = address === CONTROL ? value & ~(RESET | RESTART) : value;
    this.#written.set(device << 16 | address, kept & 0xffff);
  }

  #vendorSpeed(): number {
    if (!this.linkUp) return 0;
    if (this.mbps === 10_000) return 7;
    if (this.mbps === 1000) return 5;
    return this.mbps === 100 ? 3 : 1;
  }
}

/**
 * Why the driver accesses the registers of the link.
 *
 * @module
 */

/** A sentence for each register. */
export const LINK_REASONS: Readonly<Record<string, string>> = {
  LINKS:
    "UP tells whether there is a link, SPEED how fast it is. The first read may show an earlier state.",
  MMNGC: "MNG_VETO: a management controller uses the link, which must then stay as it is.",
  ESDP:
    "Pins of the board: SDP3 turns the laser of the module off, SDP2 tells that the cage is empty.",
  I2CCTL:
    "The two lines of the bus to the module, moved bit by bit: the driver reads what the module is.",
  CORECTL: "Fits the analog core to the kind of module, by a list in the EEPROM.",
  AUTOC: "The mode of the link: speed and negotiation. Writing it restarts the link.",
  AUTOC2: "The interface to the module at 10 Gbit/s: SFI.",
  ANLP1: "The state of the negotiation, which is reset with the pipeline behind AUTOC.",
  MSCA: "Accesses a register of the PHY over MDIO: address first, then data.",
  MSRWD: "The data of the MDIO access.",
};

/**
 * Where the software NIC acts on an access to a register. Each text is on exactly one line of its file,
 * which `tests/explorer/recorder/places_test.ts` checks.
 *
 * @module
 */

import type { Place } from "../../recording/step.ts";

const ACCESS = "sim/nic/register_access.ts", QUEUES = "sim/nic/queue_effects.ts";
const DATA = "sim/nic/data_path_effects.ts", CAUSES = "sim/registers/interrupt_causes.ts";
const CONTROL = "sim/nic/control_effects.ts", LINK = "sim/nic/link_effects.ts";

const effect = (file: string, kind: "Read" | "Write" | "Settled", name: string): Place => {
  return { file, text: `file.on${kind}(${name},` };
};

/** Bus mastering, which is not a register of BAR0. */
export const BUS_MASTER: Place = {
  file: "sim/nic/nic.ts",
  text: "setBusMaster(on: boolean): void {",
};

/** Places by the name of the register that is read. */
export const READ_PLACES: Readonly<Record<string, Place>> = {
  CTRL: effect(CONTROL, "Read", "CTRL"),
  EEC: effect(CONTROL, "Read", "EEC"),
  RDRXCTL: effect(CONTROL, "Read", "RDRXCTL"),
  SWSM: effect(CONTROL, "Read", "SWSM"),
  SW_FW_SYNC: effect(CONTROL, "Read", "SW_FW_SYNC"),
  EEMNGCTL: effect("sim/nic/firmware.ts", "Read", "EEMNGCTL"),
  ESDP: effect(LINK, "Read", "ESDP"),
  LINKS: effect(LINK, "Read", "LINKS"),
  TXDCTL: effect(QUEUES, "Read", "TXDCTL"),
  SECRXSTAT: effect(DATA, "Read", "SECRXSTAT"),
  EICR: effect(CAUSES, "Read", "EICR"),
};

/** Places by the name of the register that is written. */
export const WRITE_PLACES: Readonly<Record<string, Place>> = {
  RDT: { file: ACCESS, text: "this.#state.receiver.checkTail(index);" },
  TDT: { file: ACCESS, text: "else this.#state.transmitter.checkTail(index);" },
  ...Object.fromEntries(
    ["RDH", "TDH", "RXDCTL", "TXDCTL", "SRRCTL"].map((name) => [
      name,
      effect(QUEUES, "Write", name),
    ]),
  ),
  ...Object.fromEntries(
    ["FCTRL", "RAH", "RXCTRL", "RXPBSIZE", "CTRL_EXT", "DMATXCTL", "MTQC", "SECRXCTRL"]
      .map((name) => [name, effect(DATA, "Write", name)]),
  ),
  ...Object.fromEntries(
    ["EICR", "EIMS", "EIMS_EX", "EIMC", "EIMC_EX"].map((name) => [
      name,
      effect(CAUSES, "Write", name),
    ]),
  ),
  IVAR: effect(CAUSES, "Settled", "IVAR"),
  ...Object.fromEntries(
    ["CTRL", "EEC", "RDRXCTL", "EERD", "SWSM", "SW_FW_SYNC"].map((name) => [
      name,
      effect(CONTROL, "Write", name),
    ]),
  ),
  ...Object.fromEntries(
    ["AUTOC", "MSCA", "I2CCTL", "ESDP", "CORECTL"].map((
      name,
    ) => [name, effect(LINK, "Write", name)]),
  ),
};

/** Cards that the ixgbe driver refuses, or opens with a warning: each says what is wrong with it. */

import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { ixgbe } from "../../ixgbe/device.ts";
import * as R from "../../ixgbe/registers.ts";
import { UsageError } from "../../mod.ts";
import { offsetOf, type Register } from "../../src/registers.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import type { NicOptions } from "../../sim/nic/nic.ts";
import { ModelFunction } from "../support/model_function.ts";
import { Bench, OWN } from "../support/ixgbe_on_model.ts";

/**
 * Registers that are no state of the card: how words of the EEPROM are read, and clocks. The semaphore of
 * SWSM is taken and released.
 */
const NO_STATE: readonly Register[] = [R.EERD, R.HICR, R.FLEX_MNG, R.FWSTS, R.SWSM, R.FRTIMER];

/** Resources in SW_FW_SYNC that a driver can hold; other bits are firmware's, or taken and released. */
const SOFTWARES = R.SW_FW_SYNC.SW_EEP_SM | R.SW_FW_SYNC.SW_PHY_SM0 | R.SW_FW_SYNC.SW_PHY_SM1 |
  R.SW_FW_SYNC.SW_MAC_CSR_SM | R.SW_FW_SYNC.SW_FLASH_SM | R.SW_FW_SYNC.SW_MNG_SM;

/** A card that compares its registers when the driver has given it up with those before. */
class RecordedFunction extends ModelFunction {
  #before: ReadonlyMap<string, number>;
  /** Registers that have changed. */
  changed: string[] | undefined;

  constructor(options: NicOptions) {
    super(options);
    this.registers(); // the first read of some differs
    this.#before = this.registers();
  }

  override setBusMaster(on: boolean): void {
    this.changed ??= [...this.registers()].filter(([name, now]) => this.#before.get(name) !== now)
      .map(([name]) => name);
    super.setBusMaster(on);
  }

  registers(): Map<string, number> {
    const registers = Object.values(R.REGISTERS).filter((register) => !NO_STATE.includes(register));
    return new Map(
      registers.flatMap((register) =>
        Array.from({ length: register.count }, (_, i) => {
          const value = this.nic.peek32(offsetOf(register, i));
          const kept = register.name === "SW_FW_SYNC" ? value & SOFTWARES : value;
          return [`${register.name}[${i}]`, kept] as const;
        })
      ),
    );
  }
}

/** A card: its options, and the sentence with which it is refused. */
type BadCard = readonly [what: string, options: NicOptions, sentence: RegExp];

const restore = "restore its (EEPROM|Flash memory) with the manufacturer's tool$";
const BAD_CARDS: readonly BadCard[] = [
  [
    "a blank EEPROM",
    { blankEeprom: true },
    new RegExp(`EEPROM with a valid signature \\(EEC, 0x00010010, is 0x0000\\w{4}\\): ${restore}`),
  ],
  ["an EEPROM with a wrong checksum", { damagedEeprom: true }, /read by EERD, 0x00010014\) is 0x/],
  [
    "an EEPROM with a wrong checksum, X540",
    { deviceId: DEVICE.X540, damagedEeprom: true },
    new RegExp(`\\(word 0x3f, read by EERD, 0x00010014\\) is 0x\\w{4}, not 0x\\w{4}: ${restore}`),
  ],
  [
    "an EEPROM with a wrong checksum, X550",
    { deviceId: DEVICE.X550, damagedEeprom: true },
    new RegExp(`\\(word 0x3f, read by HICR, 0x00015f00\\) is 0x\\w{4}, not 0x\\w{4}: ${restore}`),
  ],
  [
    "a MAC address of zeros",
    { mac: new Uint8Array(6) },
    /^model: its MAC address 00:00:00:00:00:00 \(RAL, RAH\) .*: restore its EEPROM/,
  ],
  [
    "a multicast MAC address",
    { mac: Uint8Array.of(1, 0, 0x5e, 1, 2, 3) },
    /01:00:5e:01:02:03 \(RAL, RAH\) is not a unicast address: restore/,
  ],
  ["the broadcast address", { mac: new Uint8Array(6).fill(0xff) }, /ff:ff:ff:ff:ff:ff/],
  [
    "firmware in recovery mode",
    { deviceId: DEVICE.X550, firmware: { recovery: true } },
    new RegExp(`in recovery mode \\(FWSM, 0x00010148, is 0x00008020\\): ${restore}`),
  ],
  [
    "an EEPROM that firmware does not release",
    { deviceId: DEVICE.X540, firmware: { holdsEeprom: true } },
    /does not release the EEPROM, SW_FW_SYNC \(0x00010160\) is 0x800000\w\w: wait .* power-cycle/,
  ],
  [
    "an EEPROM that firmware does not release, X550",
    { deviceId: DEVICE.X550, firmware: { holdsEeprom: true } },
    /does not release the EEPROM, SW_FW_SYNC \(0x00010160\)/,
  ],
  [
    "a semaphore between drivers that is never free",
    { firmware: { stuck: "SMBI" } },
    /SWSM\.SMBI \(0x00010140 is 0x\w{8}\) is never free: end other drivers .* power-cycle it/,
  ],
  [
    "a semaphore of firmware that is never free",
    { firmware: { stuck: "SWESMBI" } },
    /SWSM\.SWESMBI \(0x00010140 is 0x\w{8}\) is never free/,
  ],
  [
    "a semaphore of firmware that is never free, X540",
    { deviceId: DEVICE.X540, firmware: { stuck: "REGSMP" } },
    /SW_FW_SYNC\.REGSMP \(0x00010160 is 0x8\w{7}\) is never free/,
  ],
];

for (const [what, options, sentence] of BAD_CARDS) {
  Deno.test(`ixgbe.attach() refuses ${what}, in one sentence, and leaves the card as it was`, async () => {
    const pci = new RecordedFunction(options);
    const error = await assertRejects(() => ixgbe.attach(pci, {}), UsageError);
    assertMatch(error.message, sentence);
    assertMatch(error.message, /^model: [^\n]+$/);
    assertEquals(pci.changed, []);
    assertEquals(pci.log, ["claim", "bus master off", "close"]);
    assertEquals(pci.nic.rules.violations, []);
  });
}

Deno.test("ixgbe.attach() refuses an address of the EEPROM that another driver has replaced", async () => {
  const pci = new ModelFunction({ mac: new Uint8Array(6) });
  pci.nic.write32(offsetOf(R.RAL), 2);
  await assertRejects(() => ixgbe.attach(pci, {}), UsageError, "00:00:00:00:00:00");
  assertEquals(pci.log.includes("bus master on"), false);
});

Deno.test("ixgbe.attach() opens cards that may still have a link, and linkStatus() says what is wrong", async () => {
  const cases: [what: string, options: NicOptions, reason: RegExp][] = [
    ["no module", { module: null }, /^no module is in the cage$/],
    ["a module whose bus is stuck", { stuckClocks: Infinity }, /I2C/],
    [
      "a PHY that firmware does not release",
      { deviceId: DEVICE.X540, firmware: { holdsPhy: Infinity } },
      /^SW_FW_SYNC \(0x00010160\) is .* power-cycle/,
    ],
    [
      "an error of firmware",
      { firmware: { error: 1 } },
      /^firmware reports an error \(FWSM, 0x00010148, is 0x00088000\): update it/,
    ],
  ];
  for (const [what, options, sentence] of cases) {
    const pci = new ModelFunction({ mac: Uint8Array.from(OWN), ...options });
    pci.nic.setLink(false);
    using bench = await Bench.start({}, pci);
    const { up, reason = "" } = bench.device.linkStatus();
    assertEquals(up, false, what);
    assertMatch(reason, sentence, what);
  }
});

Deno.test("ixgbe.attach() opens an unsupported module, and linkStatus() warns of it", async () => {
  const mac = Uint8Array.from(OWN);
  for (const options of [{ anyModule: false }, { badChecksum: true }]) {
    using bench = await Bench.start({}, new ModelFunction({ mac, ...options }));
    const { up, module } = await bench.device.waitForLink(1000);
    assertEquals([up, module?.warnings.length], [true, 1]);
  }
});

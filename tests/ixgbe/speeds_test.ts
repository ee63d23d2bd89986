/** The ixgbe driver on the NIC model: the speeds that a link may have, on each kind of board. */

import { assert, assertEquals, assertMatch, assertObjectMatch, assertRejects } from "@std/assert";
import { ixgbe } from "../../ixgbe/device.ts";
import * as R from "../../ixgbe/registers.ts";
import { DeviceError, UsageError } from "../../mod.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import type { NicOptions } from "../../sim/nic/nic.ts";
import { offsetOf, type Register } from "../../src/registers.ts";
import { Bench } from "../support/ixgbe_on_model.ts";
import { ModelFunction } from "../support/model_function.ts";

/** The MDIO device for auto-negotiation, its control register, and a restart. */
const AUTO_NEGOTIATION = 7, CONTROL = 0, RESTART = 1 << 9, ENABLE = 1 << 12;

/** Returns the values that the driver wrote to a register. */
function written(pci: ModelFunction, register: Register): number[] {
  return pci.writes.flatMap(([offset, value]) => offset === offsetOf(register) ? [value] : []);
}

/** Returns what the driver wrote to the PHY, in order: register and value. */
function writtenToPhy(pci: ModelFunction): [register: number, value: number][] {
  let data = 0, address = 0;
  return pci.writes.flatMap(([offset, value]): [number, number][] => {
    if (offset === offsetOf(R.MSRWD)) data = value;
    if (offset !== offsetOf(R.MSCA)) return [];
    const operation = value & R.MSCA.OP_CODE;
    if (operation === R.MSCA.OP_ADDRESS) address = value & R.MSCA.MDI_ADD;
    return operation === R.MSCA.OP_WRITE ? [[address, data]] : [];
  });
}

/** Writes a register of the PHY's auto-negotiation as an earlier driver does. */
function leave(pci: ModelFunction, register: number, value: number): void {
  const write = (to: Register, value: number) => pci.nic.write32(offsetOf(to), value);
  write(R.SW_FW_SYNC, R.SW_FW_SYNC.SW_PHY_SM0);
  write(R.MSRWD, value);
  for (const code of [R.MSCA.OP_ADDRESS, R.MSCA.OP_WRITE]) {
    write(R.MSCA, register | AUTO_NEGOTIATION << 16 | code | R.MSCA.MDI_COMMAND);
  }
  write(R.SW_FW_SYNC, 0);
}

/** Opens a device with speeds; returns the speed of its link. */
async function speedOf(options: NicOptions, speeds?: readonly number[]): Promise<number> {
  const pci = new ModelFunction(options);
  using bench = await Bench.start(speeds ? { speeds } : {}, pci);
  return (await bench.device.waitForLink(1000)).megabits;
}

/** Expects that opening is refused, that nothing was written to the card, and returns why. */
async function refusal(pci: ModelFunction, speeds: readonly number[]): Promise<string> {
  const { message, option } = await assertRejects(
    () => ixgbe.attach(pci, { speeds }),
    UsageError,
  ) as UsageError & { option: string };
  assertEquals(option, "speeds");
  for (const register of [R.CTRL, R.AUTOC, R.MSCA, R.EIMC] as Register[]) {
    assertEquals(written(pci, register), [], register.name);
  }
  return message;
}

Deno.test("ixgbe.attach() refuses a speed that the model cannot have, before it changes anything", async () => {
  const cases: [deviceId: number, speeds: number[], message: string][] = [
    [DEVICE.SFP, [100], "an 82599 SFP+ can have 1000 and 10000 Mbit/s, not 100"],
    [DEVICE.X540, [2500, 10000], "an X540 10GBASE-T can have 100, 1000 and 10000 Mbit/s, not 2500"],
    [DEVICE.X550, [1000, 40], "can have 100, 1000, 2500, 5000 and 10000 Mbit/s, not 40"],
    [DEVICE.KX4, [5000], "an 82599 KX4 can have 1000 and 10000 Mbit/s, not 5000"],
    [0x10f9, [1000], "an 82599 CX4 can have 10000 Mbit/s, not 1000"],
    [0x1558, [10000], "the driver cannot set the speed of an 82599 QSFP+ quad port"],
    [0x151c, [1000], "the driver cannot set the speed of an 82599 T3 10GBASE-T"],
  ];
  for (const [deviceId, speeds, message] of cases) {
    const pci = new ModelFunction({ deviceId });
    assert((await refusal(pci, speeds)).startsWith("model: "));
    assertMatch(await refusal(pci, speeds), new RegExp(message.replaceAll("+", "\\+")));
    assertEquals(pci.log, []);
  }
});

Deno.test("ixgbe.attach() refuses speeds that the module cannot have, before it resets the card", async () => {
  const cases = [
    ["1G-T", [10000], "its module (1000BASE-T) can have 1000 Mbit/s, not 10000 Mbit/s"],
    ["10G-SR", [1000], "its module (10GBASE-SR) can have 10000 Mbit/s, not 1000 Mbit/s"],
  ] as const;
  for (const [module, speeds, message] of cases) {
    assert((await refusal(new ModelFunction({ module }), speeds)).includes(message));
  }
});

Deno.test("ixgbe.attach() refuses speeds while a management controller uses the link", async () => {
  for (const deviceId of [DEVICE.SFP, DEVICE.KX4, DEVICE.X540]) {
    const pci = new ModelFunction({ deviceId, firmware: { veto: true } });
    assertMatch(await refusal(pci, [1000]), /\(MMNGC\.MNG_VETO\), so its speeds cannot be set/);
  }
});

Deno.test("ixgbe.attach() refuses speeds that the EEPROM of a backplane's board does not have", async () => {
  const pci = new ModelFunction({ deviceId: DEVICE.KX4 });
  const autoc = pci.nic.read32(offsetOf(R.AUTOC)) & ~R.AUTOC.KX_SUPP_KX;
  pci.overrides.set(offsetOf(R.AUTOC), autoc >>> 0);
  await assertRejects(
    () => ixgbe.attach(pci, { speeds: [1000] }),
    UsageError,
    "the board's EEPROM (AUTOC) does not have 1000 Mbit/s",
  );
});

Deno.test("Device.linkStatus(): the link has the highest of `speeds` that the partner has, too", async () => {
  const all = [100, 1000, 2500, 5000, 10000];
  const cases: [options: NicOptions, speeds: number[] | undefined, megabits: number][] = [
    ...all.map((n) => [{ deviceId: DEVICE.X550 }, [n], n] as never),
    ...[100, 1000, 10000].map((n) => [{ deviceId: DEVICE.X540 }, [n], n] as never),
    [{ deviceId: DEVICE.X550, partner: [2500, 100] }, all, 2500],
    [{ deviceId: DEVICE.X550, partner: [2500, 5000, 100] }, undefined, 100],
    [{ deviceId: DEVICE.X550, lanId: 1 }, [1000, 5000], 5000],
    [{ deviceId: DEVICE.X540, lanId: 1, partner: [1000] }, undefined, 1000],
    [{ deviceId: DEVICE.KX4 }, [1000], 1000],
    [{ deviceId: DEVICE.KX4 }, [10000, 1000], 10000],
    [{ deviceId: DEVICE.KX4, partner: [1000] }, undefined, 1000],
    [{ deviceId: DEVICE.KR }, [1000], 1000],
    [{ deviceId: 0x10fc }, [10000], 10000],
    [{ module: "dual-SR", partner: [1000] }, [1000], 1000],
    [{ module: "dual-SR", partner: [1000] }, [10000, 1000], 1000],
    [{ module: "10G-SR" }, [10000, 1000], 10000],
  ];
  for (const [options, speeds, megabits] of cases) {
    assertEquals(await speedOf(options, speeds), megabits, JSON.stringify({ options, speeds }));
  }
});

Deno.test("ixgbe.attach() advertises nothing but `speeds`", async () => {
  const cases: [NicOptions, number[]][] = [
    [{ deviceId: DEVICE.X550 }, [100, 1000]],
    [{ deviceId: DEVICE.KX4 }, [1000]],
    [{ deviceId: DEVICE.KR }, [1000]],
    [{ module: "dual-SR" }, [1000]],
  ];
  for (const [options, speeds] of cases) {
    const pci = new ModelFunction({ ...options, partner: [10000] });
    using bench = await Bench.start({ speeds }, pci);
    await assertRejects(() => bench.device.waitForLink(50), DeviceError);
  }
});

Deno.test("ixgbe.attach() writes only the PHY's registers that change, and then restarts negotiation", async () => {
  const cases: [number[], [number, number][]][] = [
    [[100, 1000, 10000], []],
    [[10000, 1000], [[0x10, 0x9001]]],
    [[2500, 1000, 100], [[0xc400, 0x8454], [0x20, 0x0001]]],
    [[10000], [[0x10, 0x9001], [0xc400, 0x0054]]],
  ];
  for (const [speeds, registers] of cases) {
    const pci = new ModelFunction({ deviceId: DEVICE.X550 });
    using _bench = await Bench.start({ speeds }, pci);
    const restart: [number, number][] = registers.length > 0 ? [[CONTROL, 0x3000 | RESTART]] : [];
    assertEquals(writtenToPhy(pci), [...registers, ...restart]);
  }
});

Deno.test("ixgbe.attach() brings up the link of a PHY that an earlier driver left with other speeds", async () => {
  const residues: [register: number, value: number][] = [
    [CONTROL, 0x2000], // negotiation is off
    [0x20, 0x0001],
    [0xc400, 0x0054],
    [0x10, 0x9081], // half duplex only
  ];
  for (const deviceId of [DEVICE.X540, DEVICE.X550]) {
    const pci = new ModelFunction({ deviceId, partner: [10000] });
    for (const [register, value] of residues) leave(pci, register, value);
    using bench = await Bench.start({}, pci);
    assertObjectMatch(await bench.device.waitForLink(1000), { up: true, megabits: 10000 });
    assertEquals(writtenToPhy(pci), [
      ...[[0x10, 0x9101], [0xc400, 0x8054], [0x20, 0x1001], [CONTROL, ENABLE | 0x2000 | RESTART]],
    ]);
  }
});

Deno.test("ixgbe.attach() turns negotiation on if that is all that an earlier driver changed", async () => {
  const pci = new ModelFunction({ deviceId: DEVICE.X540 });
  leave(pci, CONTROL, 0x2000);
  using bench = await Bench.start({}, pci);
  assertEquals((await bench.device.waitForLink(1000)).up, true);
  assertEquals(writtenToPhy(pci), [[CONTROL, 0x2000 | ENABLE | RESTART]]);
});

Deno.test("ixgbe.attach() leaves the bits for 2.5 and 5 Gbit/s alone on an X540, which has others there", async () => {
  const pci = new ModelFunction({ deviceId: DEVICE.X540 });
  leave(pci, 0xc400, 0x8c54);
  using _bench = await Bench.start({}, pci);
  assertEquals(writtenToPhy(pci), []);
});

Deno.test("ixgbe.attach() leaves the PHY's speeds alone while a management controller uses the link", async () => {
  const pci = new ModelFunction({ deviceId: DEVICE.X550, firmware: { veto: true } });
  leave(pci, 0x20, 0x0001);
  using bench = await Bench.start({}, pci);
  assertEquals(writtenToPhy(pci), []);
  pci.nic.setLink(false);
  await assertRejects(() => bench.device.waitForLink(20), DeviceError, "(MMNGC.MNG_VETO)");
});

Deno.test("ixgbe.attach() resets the pipeline of a backplane only to advertise other speeds", async () => {
  for (const [speeds, toggled] of [[[1000], true], [[1000, 10000], false]] as const) {
    const pci = new ModelFunction({ deviceId: DEVICE.KX4 });
    using _bench = await Bench.start({ speeds }, pci);
    const modes = written(pci, R.AUTOC).map((value) => value & R.AUTOC.LMS);
    assertEquals(modes, toggled ? [0, R.AUTOC.LMS_KX4_KX_KR] : [R.AUTOC.LMS_KX4_KX_KR]);
    assert(written(pci, R.AUTOC).every((value) => value & R.AUTOC.RESTART_AN));
  }
});

Deno.test("Device.linkStatus() says why a copper link is down", async () => {
  const cases: [NicOptions, partner: boolean, reason: RegExp][] = [
    [{ deviceId: DEVICE.X550 }, false, /^no signal arrives: /],
    [{ deviceId: DEVICE.X540, partner: [] }, true, /^no signal arrives: /],
    [
      { deviceId: DEVICE.X550, partner: [100, 2500] },
      true,
      /^the other end offers 100 and 2500 Mbit\/s, and this port 1000 and 10000 Mbit\/s: set a/,
    ],
  ];
  for (const [options, partner, reason] of cases) {
    const pci = new ModelFunction(options);
    pci.nic.setLink(partner);
    using bench = await Bench.start({ speeds: [10000, 1000] }, pci);
    const { message } = await assertRejects(() => bench.device.waitForLink(20), DeviceError);
    const { up, reason: said = "" } = bench.device.linkStatus();
    assertEquals(up, false);
    assertMatch(said, reason);
    assert(message.endsWith(said));
  }
});

Deno.test("Device.linkStatus() forgets why a copper link was down once it is up", async () => {
  const pci = new ModelFunction({ deviceId: DEVICE.X540, partner: [100] });
  using bench = await Bench.start({ speeds: [1000] }, pci);
  await assertRejects(() => bench.device.waitForLink(20), DeviceError, "offers 100 Mbit/s");
  pci.nic.setLink(true, 1000);
  assertEquals((await bench.device.waitForLink(1000)).up, true);
  pci.nic.setLink(false);
  assertEquals(bench.device.linkStatus().reason, undefined);
  await assertRejects(() => bench.device.waitForLink(20), DeviceError, "no signal arrives");
});

Deno.test("Device.linkStatus() says why a backplane's link is down", async () => {
  for (
    const [partner, reason] of [[true, /^a signal arrives, but/], [false, /^no signal arrives/]]
  ) {
    const pci = new ModelFunction({ deviceId: DEVICE.KX4, partner: [1000] });
    pci.nic.setLink(partner as boolean);
    using bench = await Bench.start({ speeds: [10000] }, pci);
    assertMatch(bench.device.linkStatus().reason!, reason as RegExp);
  }
});

Deno.test("Device.linkStatus() says that a module cannot have any of `speeds`", async () => {
  const pci = new ModelFunction({ module: "1G-SX", stuckClocks: 0 });
  const pins = offsetOf(R.ESDP), bus = offsetOf(R.I2CCTL);
  pci.nic.setLink(false);
  pci.overrides.set(pins, R.ESDP.SDP3_DIR).set(bus, 0xf); // an empty cage
  using bench = await Bench.start({ speeds: [10000] }, pci);
  pci.overrides.clear();
  pci.nic.setLink(true);
  await assertRejects(() => bench.device.waitForLink(1000), DeviceError);
  assertEquals(
    bench.device.linkStatus().reason,
    "the module can have 1000 Mbit/s, which `speeds` leaves out",
  );
});

Deno.test("Device.linkStatus() believes no link while the cage is empty", async () => {
  const pci = new ModelFunction({ module: null, crosstalk: true });
  using bench = await Bench.start({}, pci);
  assertEquals(bench.device.linkStatus(), {
    ...{ up: false, megabits: 0, reason: "no module is in the cage" },
  });
  await assertRejects(() => bench.device.waitForLink(20), DeviceError, "no module is in the cage");
});

Deno.test("ixgbe.attach() turns the laser of a module for two speeds off and on, once", async () => {
  for (const [module, flaps] of [["dual-SR", 1], ["10G-SR", 0], ["passive-cable", 0]] as const) {
    const pci = new ModelFunction({ module, partnerGaveUp: flaps > 0 });
    using bench = await Bench.start({}, pci);
    assertEquals((await bench.device.waitForLink(1000)).up, true);
    const dark = written(pci, R.ESDP).filter((value) => value & R.ESDP.SDP3);
    assertEquals(dark.length, flaps, module);
  }
});

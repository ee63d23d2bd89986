/** How `fwd.ts` ends or goes on with cards that have a fault, on the software NIC. */

import { assertEquals } from "@std/assert";
import { DEVICE } from "../../sim/nic/boards.ts";
import {
  assertRefused,
  ffiOnly,
  run,
  Sim,
  TemporaryDirectory,
  until,
} from "../support/processes.ts";
import { startForwarder } from "../support/programs.ts";

/** Faults with which a card is refused, the device ID of a board that can have it, and what is said. */
const REFUSED: readonly (readonly [fault: string, deviceId: number, sentence: RegExp])[] = [
  ["blank-eeprom", DEVICE.SFP, /\(EEC, 0x00010010, .*: restore its EEPROM/],
  ["damaged-eeprom", DEVICE.SFP, /\(word 0x3f, read by EERD, .*: restore its EEPROM/],
  ["damaged-eeprom", DEVICE.X550, /\(word 0x3f, read by HICR, .*: restore its EEPROM/],
  ["held-eeprom", DEVICE.X540, /SW_FW_SYNC \(0x00010160\) .*: wait for an update/],
  ["zero-mac", DEVICE.SFP, /00:00:00:00:00:00 \(RAL, RAH\) .*: restore its EEPROM/],
  ["multicast-mac", DEVICE.X540, /01:00:5e:00:00:01 \(RAL, RAH\) .*: restore its EEPROM/],
  ["recovery", DEVICE.X550, /recovery mode \(FWSM, 0x00010148, .*: restore its Flash memory/],
  ["semaphore", DEVICE.SFP, /SWSM\.SMBI \(0x00010140 .*: end other drivers/],
];

Deno.test("fwd.ts refuses cards with a fault in one sentence, with exit code 2", async (t) => {
  for (const [fault, deviceId, sentence] of REFUSED) {
    await t.step(`${fault} on 0x${deviceId.toString(16)}`, async () => {
      await using directory = await TemporaryDirectory.make();
      const options = [`--fault=${fault}`, `--device-id=0x${deviceId.toString(16)}`];
      await using sim = await Sim.start(directory, ["none", "none"], options);
      assertRefused(await run(ffiOnly("fwd.ts", sim.addresses)), sentence);
      await sim.quit();
    });
  }
});

Deno.test("fwd.ts goes on with cards that may get a link, and says what is wrong", async (t) => {
  const cases: [options: string[], sentence: RegExp][] = [
    [["--module=none"], /: link down: no module is in the cage$/m],
    [["--fault=held-phy", "--device-id=0x1528", "--partner=1000"], /: link down: .* power-cycle/],
  ];
  for (const [options, sentence] of cases) {
    await t.step(options.join(" "), async () => {
      await using directory = await TemporaryDirectory.make();
      await using sim = await Sim.start(directory, ["none", "none"], options);
      await sim.command("link 0 down");
      await using program = await startForwarder(sim.addresses);
      await until("a sentence", () => sentence.test(program.stderr));
      program.kill("SIGINT");
      const { code, stderr } = await program.finish();
      assertEquals(code, 0, stderr);
      await sim.quit();
    });
  }
});

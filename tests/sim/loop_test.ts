/** The model's loop: what an error in one port means for the others. */

import { assertEquals, assertRejects } from "@std/assert";
import { SystemError } from "../../native/stubs.ts";
import { Loop } from "../../sim/loop.ts";
import type { Port } from "../../sim/port.ts";

/** A port whose NIC fails in a round, and whose server fails in a round. */
class TestPort {
  readonly socket = "";
  readonly plain = false;
  readonly wireText = "none";
  readonly wire = { fd: -1 } as Port["wire"];
  /** Rounds of NIC and server so far. */
  rounds = 0;
  served = 0;
  /** Errors that have ended a driver. */
  readonly ended: unknown[] = [];
  readonly nic: Port["nic"];
  readonly server: Port["server"];

  constructor(connected: boolean, error?: Error, failing: "nic" | "server" = "nic") {
    this.nic = {
      receiving: true,
      poll: () => {
        if (++this.rounds === 5 && error && failing === "nic") throw error;
        return 1;
      },
    } as unknown as Port["nic"];
    this.server = {
      ...{ connected, busMaster: true, fd: -1, reads: 0 },
      poll: () => {
        if (++this.served === 3 && error && failing === "server") throw error;
        return true;
      },
      fail: (cause) => connected && this.ended.push(cause) > 0,
      close() {},
    };
  }
}

/** Runs ports for some looks. */
async function run(...ports: TestPort[]): Promise<void> {
  let looks = 0;
  await new Loop(ports, -1).run(() => ++looks < 10);
}

Deno.test("Loop ends the driver whose descriptors make the model fail, and serves the others", async () => {
  for (const failing of ["nic", "server"] as const) {
    const error = new RangeError("offset is out of bounds");
    const ports = [new TestPort(true), new TestPort(true, error, failing), new TestPort(true)];
    await run(...ports);
    assertEquals(ports.map(({ ended }) => ended), [[], [error], []]);
    for (const { rounds, served } of ports) assertEquals([rounds > 100, served], [true, 10]);
  }
});

Deno.test("Loop throws an error that no driver can have caused", async () => {
  const wire = new SystemError("write to tap0", 5), bug = new TypeError("x is undefined");
  await assertRejects(() => run(new TestPort(true, wire)), SystemError, "write to tap0");
  await assertRejects(() => run(new TestPort(false, bug)), TypeError, "x is undefined");
});

Deno.test("Loop.paused stops the rounds of all NICs, not the servers; round() does one", async () => {
  const ports = [new TestPort(true), new TestPort(true)];
  const loop = new Loop(ports, -1);
  let looks = 0;
  loop.paused = true;
  await loop.run(() => {
    if (++looks === 5) loop.round();
    return looks < 10;
  });
  assertEquals(ports.map(({ rounds, served }) => [rounds, served]), [[1, 10], [1, 10]]);
});

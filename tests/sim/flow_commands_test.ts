/** The commands for the NIC model's flow director filters, and the counts of these. */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  EICR,
  FDIRCMD,
  FDIRCTRL,
  FDIRFREE,
  FDIRFSTAT,
  FDIRHASH,
  FDIRLEN,
  FDIRMATCH,
  FDIRUSTAT,
  QPRDC,
  RXPBSIZE,
} from "../../ixgbe/registers.ts";
import {
  ADD,
  COLLISION,
  DROPPED,
  ERRORS,
  FILTER,
  FlowDriver,
  IPV6,
  LENGTH,
  PERFECT,
  QUEUE,
  SIGNATURE,
  UDP,
  UPDATE,
  V4,
} from "../support/flow_director.ts";
import { TestDriver } from "../support/model_driver.ts";
import { packet } from "../support/ip_packets.ts";

Deno.test("FDIRCMD adds, updates, queries and removes like a table of hashes and signatures", () => {
  const driver = FlowDriver.start(SIGNATURE);
  const small = fc.integer({ min: 0, max: 2 });
  const step = fc.record({
    verb: fc.constantFrom("add", "update", "remove", "query"),
    hash: small,
    id: small,
    queue: fc.integer({ min: 0, max: 127 }),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
    driver.initialise(SIGNATURE);
    const table = new Map<string, { queue: number; collision: boolean }>();
    const expected = { added: 0, removed: 0, notAdded: 0, notRemoved: 0 };
    for (const register of [FDIRUSTAT, FDIRFSTAT]) driver.read(register);
    for (const { verb, hash, id, queue } of steps) {
      const name = `${hash} ${id}`, known = table.get(name);
      if (verb === "query") {
        const found = driver.command(FDIRCMD.CMD_QUERY, hash, id);
        assertEquals((found & FDIRCMD.FILTER_VALID) !== 0, known !== undefined);
        const full = [...table.keys()].some((other) => other.startsWith(`${hash} `));
        assertEquals((driver.read(FDIRHASH) & FDIRHASH.BUCKET_VALID) !== 0, full);
        if (known === undefined) continue;
        assertEquals((found & FDIRCMD.RX_QUEUE) >>> 16, known.queue);
        assertEquals((found & FDIRCMD.COLLISION) !== 0, known.collision);
      } else if (verb === "remove") {
        driver.command(FDIRCMD.CMD_REMOVE_FLOW, hash, id);
        table.delete(name) ? expected.removed++ : expected.notRemoved++;
      } else {
        const update = verb === "update" ? FDIRCMD.FILTER_UPDATE : 0;
        driver.command(ADD | update | queue << 16, hash, id);
        if (known === undefined) {
          expected.added++;
          table.set(name, { queue, collision: false });
        } else if (update) known.queue = queue;
        else {
          expected.notAdded++;
          known.collision = true;
        }
      }
    }
    const collisions = [...table.values()].filter(({ collision }) => collision).length;
    assertEquals(driver.read(FDIRFREE), (collisions << 16 | 8192 - table.size) >>> 0);
    assertEquals(driver.read(FDIRUSTAT), (expected.removed << 16 | expected.added) >>> 0);
    assertEquals(driver.read(FDIRFSTAT), expected.notRemoved << 8 | expected.notAdded);
  }));
  assertEquals(driver.broken(), []);
});

Deno.test("FlowDirector reports in descriptors that a filter was added twice, or is far down its list", () => {
  const driver = FlowDriver.start(SIGNATURE & ~FDIRCTRL.MAX_LENGTH | 2 << 24);
  driver.read(FDIRLEN);
  driver.command(ADD, 0x143c, 1);
  driver.command(UPDATE, 0x143c, 0x6230);
  assertEquals(driver.take(packet(V4)).status & ERRORS, 0);
  driver.command(ADD, 0x143c, 0x6230);
  const collided = driver.take(packet(V4));
  assertEquals([collided.queue, collided.status & ERRORS], [QUEUE, COLLISION], "the first stays");
  driver.command(FDIRCMD.CMD_REMOVE_FLOW, 0x143c, 0x6230);
  driver.command(ADD, 0x143c, 2);
  driver.command(UPDATE, 0x143c, 0x6230);
  const far = driver.take(packet(V4));
  assertEquals([far.queue, far.status & ERRORS], [QUEUE, LENGTH]);
  driver.command(ADD, 0x143d, 1);
  assertEquals(driver.read(FDIRLEN), 0x143c << 16 | 3, "a shorter list is not reported");
  assertEquals(driver.read(FDIRLEN), 0, "cleared by reading");
});

Deno.test("FlowDirector has the room of FDIRCTRL.PBALLOC, and interrupts when little is left", () => {
  for (const [control, filters] of [[SIGNATURE, 8192], [PERFECT, 2048]]) {
    for (const size of [1, 2, 3]) {
      const driver = FlowDriver.start(control & ~FDIRCTRL.PBALLOC | size);
      assertEquals(driver.read(FDIRFREE), filters << size - 1);
    }
  }
  const driver = FlowDriver.start(PERFECT | (4 << 28) >>> 0);
  const add = (from: number, to: number) => {
    for (let n = from; n < to; n++) driver.addPerfect({ ...FILTER, vlan: n }, UDP, n, n);
  };
  driver.read(EICR);
  add(0, 2048 - 65);
  assertEquals(driver.read(EICR) & EICR.FLOW_DIRECTOR, 0);
  add(2048 - 65, 2048 - 64);
  assert(driver.read(EICR) & EICR.FLOW_DIRECTOR, "64 are left");
  add(2048 - 64, 2050);
  assertEquals([driver.read(FDIRFREE), driver.read(FDIRFSTAT)], [2, 4], "two are reserved");
  driver.command(FDIRCMD.CMD_REMOVE_FLOW, 7, 7);
  add(2049, 2050);
  assertEquals([driver.read(FDIRFREE), driver.read(FDIRFSTAT)], [2, 0]);
});

Deno.test("FDIRFSTAT and FDIRUSTAT stop at their maximum", () => {
  const driver = FlowDriver.start(SIGNATURE);
  for (let n = 0; n < 257; n++) driver.command(FDIRCMD.CMD_REMOVE_FLOW, 1, 1);
  driver.command(ADD, 1, 1);
  for (let n = 0; n < 300; n++) driver.command(ADD, 1, 1);
  assertEquals(driver.read(FDIRFSTAT), 0xffff);
});

Deno.test("FDIRCMD gives an updated perfect filter its new number and queue", () => {
  const driver = FlowDriver.start(PERFECT);
  driver.addPerfect(FILTER, UDP, 0x43c, 1);
  driver.addPerfect(FILTER, UDP, 0x43c, 2, FDIRCMD.FILTER_UPDATE);
  assertEquals(driver.take(packet(V4)).id, 0x43c << 16 | 2);
  driver.command(ADD | FDIRCMD.FILTER_UPDATE | 0 << 16 | UDP << 5, 0x43c, 3);
  const { queue, id } = driver.take(packet(V4));
  assertEquals([queue, id], [0, 0x43c << 16 | 3]);
  assertEquals(driver.read(FDIRFREE), 2047);
});

Deno.test("FDIRCMD keeps the settings of a filter, and a query returns them", () => {
  const driver = FlowDriver.start(SIGNATURE);
  driver.command(ADD | FDIRCMD.COLLISION | QUEUE << 16, 0x143c, 0x6230);
  assertEquals(driver.take(packet(V4)).status & ERRORS, 0, "only the device sets a collision");
  const found = driver.command(FDIRCMD.CMD_QUERY | FDIRCMD.RX_QUEUE, 0x143c, 0x6230);
  assertEquals((found & FDIRCMD.RX_QUEUE) >>> 16, QUEUE);
});

Deno.test("FlowDirector drops packets of a perfect filter by a disabled queue", () => {
  const driver = FlowDriver.start(PERFECT & ~FDIRCTRL.MAX_LENGTH | 127 << 8 | 1 << 24);
  driver.addPerfect(FILTER, UDP, 0x43c, 1, FDIRCMD.DROP);
  assertEquals(driver.take(packet(V4)).queue, -1);
  assertEquals([driver.read(FDIRMATCH), driver.read(QPRDC)], [1, 1]);
  driver.command(FDIRCMD.CMD_REMOVE_FLOW, 0x43c, 1);
  driver.addPerfect({ ...FILTER, vlan: 1 }, UDP, 0x43c, 2);
  driver.addPerfect(FILTER, UDP, 0x43c, 3, FDIRCMD.DROP);
  const { queue, status } = driver.take(packet(V4));
  assertEquals(
    [queue, status & ERRORS],
    [QUEUE, LENGTH | DROPPED],
    "too far down its list to drop",
  );
});

Deno.test("FlowDirector records what the datasheet forbids, and what the model does not support", () => {
  const FDIR = "FDIRCMD: ";
  const expected: [string, (driver: FlowDriver) => void][] = [
    [FDIR + "LAST is set in a filter that is added", (driver) => {
      driver.command(FDIRCMD.CMD_ADD_FLOW, 1, 1);
    }],
    [FDIR + "no low latency interrupt (not modelled)", (driver) => {
      driver.command(ADD | FDIRCMD.INT, 1, 1);
    }],
    [FDIR + "no tunnel filter (not modelled)", (driver) => {
      driver.command(ADD | FDIRCMD.TUNNEL_FILTER, 1, 1);
    }],
    [FDIR + "pool 0 (pools are not modelled)", (driver) => driver.command(ADD | 1 << 24, 1, 1)],
    [FDIR + "no perfect IPv6 filter (not modelled)", (driver) => {
      driver.addPerfect(FILTER, IPV6 | UDP, 1, 1);
    }],
    [
      "FDIRCTRL: written again only after FDIRCMD.CLEARHT was set and cleared (82599 errata)",
      (driver) => driver.write(FDIRCTRL, PERFECT),
    ],
    [FDIR + "a command comes after FDIRCTRL.INIT_DONE was seen", (driver) => {
      driver.write(FDIRCMD, FDIRCMD.CLEARHT);
      driver.write(FDIRCTRL, PERFECT);
      driver.command(ADD, 1, 1);
    }],
    ["FDIRCTRL: FILTERMODE and DROP_NO_MATCH are 0 (other modes are not modelled)", (driver) => {
      driver.initialise(PERFECT | 1 << 21);
    }],
  ];
  for (const [rule, act] of expected) {
    const driver = FlowDriver.start(PERFECT);
    act(driver);
    assertEquals(driver.broken(), [rule]);
  }
  const signature = FlowDriver.start(SIGNATURE);
  signature.command(ADD | FDIRCMD.DROP, 1, 1);
  assertEquals(signature.broken(), [FDIR + "only perfect filters drop"]);
  assertEquals([signature.read(FDIRFREE), signature.read(FDIRFSTAT)], [8192, 1], "refused");
  for (const [deviceId, memory] of [[0x10fb, 512], [0x1528, 384]]) {
    const driver = new TestDriver({ deviceId });
    driver.reset();
    driver.configure();
    driver.write(RXPBSIZE, memory - 63 << 10);
    driver.write(FDIRCTRL, SIGNATURE);
    assertEquals(driver.broken(), [
      `FDIRCTRL: PBALLOC and RXPBSIZE add up to ${memory} KB at most`,
    ]);
  }
});

/** Opening a device that does not answer: a signal ends every wait, and all is released. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { ixgbe } from "../../ixgbe/device.ts";
import * as R from "../../ixgbe/registers.ts";
import { DeviceError, Mempool, open, type OpenOptions, StopError, StopFlag } from "../../mod.ts";
import { delay } from "../../native/clock.ts";
import { checkStop, stoppable, unstoppable } from "../../native/stop.ts";
import { checkErrno, path, stubs } from "../../native/stubs.ts";
import type { NicOptions } from "../../sim/nic/nic.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import type { Bar } from "../../src/pci/function.ts";
import { offsetOf, type Register } from "../../src/registers.ts";
import { ModelFunction } from "../support/model_function.ts";
import { TemporaryDirectory } from "../support/processes.ts";
import { ADDRESS, Tree } from "../support/sysfs_tree.ts";
import { waitForLink } from "../../src/driver.ts";

const SIGNAL = "SIGUSR2", NUMBER = 12, SOCK_STREAM = 1;

/** Sends the signal to this process, and waits until the flag has caught it, perhaps in another thread. */
function raise(stop: StopFlag): void {
  Deno.kill(Deno.pid, SIGNAL);
  while (stop.signal === 0);
}

/** A card whose register keeps a value. A signal arrives at the third read. */
class StuckFunction extends ModelFunction {
  /** Reads of the register after the signal. */
  reads = -3;
  readonly #offset: number;
  readonly #stuck: (value: number) => number;

  readonly #stop: StopFlag;

  constructor(
    stop: StopFlag,
    options: NicOptions,
    register: Register,
    stuck: (value: number) => number,
  ) {
    super(options);
    this.#stop = stop;
    this.#offset = offsetOf(register, 0);
    this.#stuck = stuck;
  }

  override bar(index: number): Bar {
    const bar = super.bar(index);
    return {
      ...bar,
      read: (offset, bytes) => {
        const value = bar.read(offset, bytes);
        if (offset !== this.#offset) return value;
        if (++this.reads === 0) raise(this.#stop);
        return this.#stuck(value);
      },
    };
  }
}

type StuckCard = readonly [
  what: string,
  register: Register,
  stuck: (value: number) => number,
  options?: NicOptions,
  open?: OpenOptions,
];

const X540 = { deviceId: DEVICE.X540 };
const STUCK: readonly StuckCard[] = [
  ["a receive queue that does not stop", R.RXDCTL, () => R.RXDCTL.ENABLE],
  ["a reset that does not end", R.CTRL, (value) => value | R.CTRL.RST],
  ["an EEPROM that is not read", R.EEC, (value) => value & ~R.EEC.AUTO_RD],
  ["a semaphore that another driver holds", R.SWSM, (value) => value | R.SWSM.SMBI],
  ["a semaphore that firmware holds", R.SWSM, (value) => value & ~R.SWSM.SWESMBI],
  [
    "a PHY that firmware holds",
    R.SW_FW_SYNC,
    (value) => value | R.SW_FW_SYNC.SW_PHY_SM0 << 5,
    X540,
  ],
  ["an MDIO frame that does not end", R.MSCA, (value) => value | R.MSCA.MDI_COMMAND, X540],
  [
    "firmware that does not end a command",
    R.HICR,
    (value) => value | R.HICR.EN | R.HICR.C,
    { deviceId: DEVICE.X550 },
  ],
  ["a module that holds its bus", R.I2CCTL, () => 0],
  ["a queue that is not enabled", R.TXDCTL, (value) => value & ~R.TXDCTL.ENABLE],
  ["a security block that is not ready", R.SECRXSTAT, () => 0],
  [
    "a link with a signal that does not come up",
    R.LINKS,
    (value) => value & ~R.LINKS.UP | R.LINKS.SIGNAL,
  ],
];

for (const [what, register, stuck, options = {}] of STUCK) {
  Deno.test(`open() ends with a signal during the wait for ${what}`, async () => {
    using stop = new StopFlag();
    using pool = new Mempool({ buffers: 1024, memory: "pages" });
    const pci = new StuckFunction(stop, options, register, stuck);
    const error = await assertRejects(
      () =>
        stoppable(async () => {
          try {
            await ixgbe.attach(pci, { pool });
          } catch (error) {
            pci.close(); // as open() does
            throw error;
          }
        }),
      StopError,
    );
    assertEquals(error.message, "SIGUSR2 ended the wait for the device");
    assertEquals([error.signal, pci.log.at(-1), pool.memory.pinned], [NUMBER, "close", false]);
    assertEquals(pool.freeCount, pool.buffers);
    assert(pci.reads < 20, `${pci.reads} reads after the signal`);
  });
}

/** Sends the signal from another process while this thread waits. */
function signalSoon(): Deno.ChildProcess {
  const script = `sleep 0.05; kill -${NUMBER} ${Deno.pid}`;
  return new Deno.Command("sh", { args: ["-c", script] }).spawn();
}

for (const scheme of ["vfio-user", "vhost-user"]) {
  Deno.test(`open() ends with a signal while a ${scheme} server does not answer`, async () => {
    await using directory = await TemporaryDirectory.make();
    const socket = directory.file("mute.sock");
    const listener = checkErrno("bind", stubs.ixy_bind(path(socket), SOCK_STREAM));
    {
      using _stop = new StopFlag();
      const sender = signalSoon();
      await assertRejects(() => open(`${scheme}:${socket}`), StopError);
      await sender.status;
    }
    stubs.ixy_close(listener);
  });

  Deno.test(`open() ends with a signal while a ${scheme} server does not accept`, async () => {
    await using directory = await TemporaryDirectory.make();
    const socket = directory.file("full.sock");
    const listener = checkErrno("bind", stubs.ixy_bind(path(socket), SOCK_STREAM));
    const waiting: number[] = [];
    for (let fd; (fd = stubs.ixy_connect(path(socket), SOCK_STREAM | 0x800)) >= 0;) {
      waiting.push(fd);
    }
    {
      using _stop = new StopFlag();
      const sender = signalSoon();
      await assertRejects(() => open(`${scheme}:${socket}`), StopError);
      await sender.status;
    }
    for (const fd of [listener, ...waiting]) stubs.ixy_close(fd);
  });
}

Deno.test("SysfsFunction ends the wait for the lock with a signal, and closes its file", async () => {
  using tree = new Tree();
  const holder = tree.open();
  const open = () => [...Deno.readDirSync("/proc/self/fd")].length;
  {
    using _stop = new StopFlag();
    const before = open(), sender = signalSoon();
    await assertRejects(() => stoppable(() => Promise.resolve(tree.open())), StopError);
    await sender.status;
    assertEquals(open(), before);
  }
  holder.close();
  assertEquals(holder.address, ADDRESS);
});

Deno.test("open() that begins after a signal changes nothing", async () => {
  using stop = new StopFlag();
  raise(stop);
  await assertRejects(() => open("0000:00:00.0"), StopError);
  assertEquals(stop.signal, NUMBER);
});

Deno.test("waitForLink() ends with a signal", async () => {
  using stop = new StopFlag();
  const status = () => {
    raise(stop);
    return { up: false, megabits: 0 };
  };
  await assertRejects(() => waitForLink("a", status, 60000), StopError);
});

Deno.test("delay() is not ended by a signal outside open(), nor without a StopFlag", async () => {
  {
    using stop = new StopFlag();
    raise(stop);
    await delay(1);
    assertEquals(stop.signal, NUMBER);
  }
  await stoppable(() => delay(1));
});

Deno.test("unstoppable() runs to its end while open() is ended", async () => {
  using stop = new StopFlag();
  await assertRejects(() =>
    stoppable(() => {
      raise(stop);
      assertEquals(
        unstoppable(() => {
          checkStop();
          return "closed";
        }),
        "closed",
      );
      return Promise.resolve(checkStop());
    }), StopError);
});

Deno.test("a StopError has no stack trace", () => {
  assertEquals(new StopError(40).stack, "StopError: signal 40 ended the wait for the device");
  assert(!(new StopError(2) instanceof DeviceError));
});

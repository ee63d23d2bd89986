/** The C stubs and their binding. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { checkErrno, Errno, path, stubs, SystemError, unsupported } from "../../native/stubs.ts";
import { UsageError } from "../../native/errors.ts";
import { Mapping } from "../../native/mapping.ts";
import { Program } from "../../programs/process.ts";
import { until } from "../support/processes.ts";

Deno.test("stubs report a failure as the negative errno", () => {
  assertEquals(stubs.ixy_open(path("/no/such/file"), 0, 0), -Errno.ENOENT);
  assertEquals(stubs.ixy_connect(path("/no/such/socket"), 1), -Errno.ENOENT);
  assertEquals(stubs.ixy_connect(path("/" + "x".repeat(200)), 1), -36);
});

Deno.test("path() refuses a NUL character, which would end the path", () => {
  assertEquals(path("a"), Uint8Array.of(97, 0));
  for (const text of ["a\0b", "\0a", "a\0"]) {
    assertThrows(() => path(text), UsageError, "leave out the NUL character");
  }
});

Deno.test("checkErrno() throws what failed, and why", () => {
  const error = assertThrows(() => checkErrno("open nic0.sock", -Errno.EACCES), SystemError);
  assertEquals(error.message, "open nic0.sock: permission denied");
  assertEquals(checkErrno("open", 5), 5);
});

Deno.test("Mapping.memory() is zeroed, and shared by its descriptor", () => {
  using memory = Mapping.memory(2 * 1024 * 1024, false);
  using again = Mapping.file("the same memory", memory.fd, memory.bytes);
  const one = new Uint32Array(memory.buffer), two = new Uint32Array(again.buffer);
  assert(one.every((word) => word === 0));
  one[12345] = 0xdeadbeef;
  assertEquals(two[12345], 0xdeadbeef);
});

Deno.test("Mapping.unmap() empties every view, and is idempotent", () => {
  const memory = Mapping.memory(4096, false);
  const buffer = memory.buffer;
  const view = new Uint8Array(buffer), part = new Uint8Array(buffer).subarray(100, 200);
  memory.unmap();
  memory.unmap();
  assertEquals([buffer.byteLength, view.length, part.length, view[0]], [0, 0, 0, undefined]);
  assertThrows(() => memory.buffer, Error, "after it was unmapped");
  assertThrows(() => memory.physicalAddresses(4096), Error, "after it was unmapped");
});

Deno.test("Mapping.file() maps from an offset", () => {
  using memory = Mapping.memory(8192, false);
  new Uint8Array(memory.buffer)[4096] = 77;
  using second = Mapping.file("the second page", memory.fd, 4096, 4096);
  assertEquals(new Uint8Array(second.buffer)[0], 77);
});

Deno.test("Mapping.place() maps part of a file over reserved zeros, and restores the zeros", () => {
  const page = 4096, bytes = 2 ** 31;
  using space = Mapping.reserve(bytes);
  using memory = Mapping.memory(2 * page, false);
  const words = new Uint32Array(space.buffer);
  assertEquals([words.length, words[0], words.at(-1)], [bytes / 4, 0, 0]);
  assertEquals(Number(space.address % 2n ** 21n), 0);
  new Uint32Array(memory.buffer)[page / 4] = 0xcafe;
  space.place("a page", 8 * page, page, memory.fd, page);
  assertEquals([words[7 * page / 4], words[8 * page / 4], words[9 * page / 4]], [0, 0xcafe, 0]);
  words[8 * page / 4] = 0xbabe;
  assertEquals(new Uint32Array(memory.buffer)[page / 4], 0xbabe);
  space.place("nothing", 8 * page, page, -1);
  assertEquals(words[8 * page / 4], 0);
  assertThrows(() => space.place("a page", bytes, page, memory.fd), RangeError, "outside");
});

Deno.test("ixy_send() and ixy_recv() pass bytes and descriptors", () => {
  const name = path(Deno.makeTempDirSync() + "/socket");
  const listener = checkErrno("bind", stubs.ixy_bind(name, 1));
  const client = checkErrno("connect", stubs.ixy_connect(name, 1));
  const server = checkErrno("accept", stubs.ixy_accept(listener));
  using memory = Mapping.memory(4096, false);
  new Uint8Array(memory.buffer)[9] = 9;
  const fds = new Int32Array(17);
  const got = new Uint8Array(16);
  assertEquals(stubs.ixy_recv(server, got, 16, fds, 0x40), -Errno.EAGAIN);
  stubs.ixy_send(client, Uint8Array.of(1, 2, 3), 3, Int32Array.of(memory.fd), 1, 0);
  assertEquals(stubs.ixy_recv(server, got, 16, fds, 0), 3);
  assertEquals([...got.slice(0, 3), fds[16]], [1, 2, 3, 1]);
  using received = Mapping.file("the memory received", fds[0], 4096);
  assertEquals(new Uint8Array(received.buffer)[9], 9);
  stubs.ixy_close(client);
  assertEquals(stubs.ixy_recv(server, got, 16, fds, 0), 0);
  for (const fd of [fds[0], server, listener]) stubs.ixy_close(fd);
  stubs.ixy_unlink(name);
});

Deno.test("ixy_poll() waits for an eventfd", () => {
  const event = checkErrno("eventfd", stubs.ixy_eventfd());
  const pollfd = Int32Array.of(event, 1);
  assertEquals(stubs.ixy_poll(pollfd, 1, 1), 0);
  stubs.ixy_write(event, BigUint64Array.of(1n), 8);
  assertEquals(stubs.ixy_poll(pollfd, 1, 1000), 1);
  stubs.ixy_close(event);
});

Deno.test("ixy_list() stores the names in a directory, or fails if they do not fit", () => {
  const directory = Deno.makeTempDirSync();
  for (const name of ["one", "two"]) Deno.writeTextFileSync(`${directory}/${name}`, "");
  const bytes = new Uint8Array(64);
  const n = stubs.ixy_list(path(directory), bytes, bytes.length);
  const names = new TextDecoder().decode(bytes.subarray(0, n - 1)).split("\0").sort();
  assertEquals(names, ["one", "two"]);
  assertEquals(stubs.ixy_list(path(directory), bytes, 5), -Errno.ENOBUFS);
  Deno.removeSync(directory, { recursive: true });
});

Deno.test("ixy_lock() refuses a second lock", () => {
  const file = Deno.makeTempFileSync();
  const one = stubs.ixy_open(path(file), 0, 0), two = stubs.ixy_open(path(file), 0, 0);
  assertEquals([stubs.ixy_lock(one), stubs.ixy_lock(two)], [0, -Errno.EAGAIN]);
  stubs.ixy_close(one);
  assertEquals(stubs.ixy_lock(two), 0);
  stubs.ixy_close(two);
  Deno.removeSync(file);
});

Deno.test("StopFlag.signal is the signal that was caught; disposing restores the handlers", async () => {
  const script = `
    import { StopFlag } from ${
    JSON.stringify(new URL("../../native/stop.ts", import.meta.url).href)
  };
    { using stop = new StopFlag();
      console.log("ready");
      while (stop.signal === 0);
      console.log("signal", stop.signal); }
    console.log("disposed");
    for (;;);`;
  const file = Deno.makeTempFileSync({ suffix: ".ts" });
  Deno.writeTextFileSync(file, script);
  await using program = Program.start([Deno.execPath(), "run", "--quiet", "--allow-ffi", file]);
  await program.line((line) => line === "ready");
  program.kill("SIGTERM");
  await program.line((line) => line === "signal 15");
  await program.line((line) => line === "disposed");
  program.kill("SIGTERM");
  assertEquals((await program.finish()).code, 128 + 15);
  Deno.removeSync(file);
});

/** The signals that a StopFlag catches. */
const STOP_SIGNALS: readonly (Deno.Signal | number)[] = [
  ...[
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGTERM",
    "SIGUSR2",
    "SIGALRM",
    "SIGXCPU",
    "SIGXFSZ",
  ] as const,
  ...["SIGUSR1", "SIGABRT", "SIGVTALRM", "SIGPROF", "SIGSTKFLT", "SIGIO", "SIGPWR"] as const,
  ...[34, 50, 64], // real-time signals
];

/** Starts a program that prints the signal that its StopFlag has caught, and goes on with `after`. */
function startStopped(before: readonly string[] = [], after = "for (;;);"): Program {
  const module = JSON.stringify(new URL("../../native/stop.ts", import.meta.url).href);
  const script = `
    const { StopFlag } = await import(${module});
    using stop = new StopFlag();
    console.log("ready");
    while (stop.signal === 0);
    console.log("signal", stop.signal);
    ${after}`;
  return Program.start([...before, Deno.execPath(), "eval", "--quiet", script]);
}

Deno.test("StopFlag catches each signal that would end the process", async () => {
  const module = JSON.stringify(new URL("../../native/stop.ts", import.meta.url).href);
  const script = `
    const { StopFlag } = await import(${module});
    for (let i = 0; i < ${STOP_SIGNALS.length}; i++) {
      using stop = new StopFlag();
      console.log("ready");
      while (stop.signal === 0);
      console.log("signal", stop.signal);
    }`;
  await using program = Program.start([Deno.execPath(), "eval", "--quiet", script]);
  for (const signal of STOP_SIGNALS) {
    await program.line((line) => line === "ready");
    kill(program.pid, signal);
    const line = await program.line((line) => line.startsWith("signal"));
    if (typeof signal === "number") assertEquals(line, `signal ${signal}`);
  }
  assertEquals((await program.finish()).code, 0);
});

/** Sends a signal by name or number. */
function kill(pid: number, signal: Deno.Signal | number): void {
  const number = typeof signal === "number" ? `${signal}` : signal.slice(3);
  const { success } = new Deno.Command("kill", { args: [`-${number}`, `${pid}`] }).outputSync();
  assert(success);
}

Deno.test("StopFlag lets a signal end the process a second after the first", async () => {
  await using program = startStopped([], 'console.log("closing"); for (;;);');
  await program.line((line) => line === "ready");
  program.kill("SIGTERM");
  await program.line((line) => line === "signal 15");
  program.kill("SIGTERM"); // ends the process only if it arrives later than that
  await program.line((line) => line === "closing");
  await until("the end", () => {
    program.kill("SIGTERM");
    return program.ended;
  });
  assertEquals((await program.finish()).code, 128 + 15);
});

Deno.test("StopFlag catches a signal that arrives while it is created", async () => {
  const script = `
    import { StopFlag } from ${
    JSON.stringify(new URL("../../native/stop.ts", import.meta.url).href)
  };
    const add = Deno.addSignalListener;
    Deno.addSignalListener = (signal, listener) => {
      add(signal, listener);
      if (signal === "SIGINT") Deno.kill(Deno.pid, signal);
    };
    using stop = new StopFlag();
    while (stop.signal === 0); // no listener of Deno's runs
    console.log("signal", stop.signal);`;
  await using program = Program.start([Deno.execPath(), "eval", "--quiet", script]);
  assertEquals((await program.finish()).stdout, "signal 2\n");
});

Deno.test("StopFlag leaves SIGHUP ignored under nohup", async () => {
  await using program = startStopped(["nohup"], "");
  await program.line((line) => line === "ready");
  program.kill("SIGHUP");
  program.kill("SIGTERM");
  await program.line((line) => line === "signal 15");
  assertEquals((await program.finish()).code, 0);
});

Deno.test("StopFlag refuses to exist twice; disposing the first leaves no handler", async () => {
  const twice = `
    try {
      new StopFlag();
    } catch (error) {
      console.log(error.message);
    }
    stop[Symbol.dispose]();
    const again = new StopFlag();
    again[Symbol.dispose]();
    console.log("disposed");
    for (;;);`;
  await using program = startStopped([], twice);
  await program.line((line) => line === "ready");
  program.kill("SIGINT");
  await program.line((line) => line.startsWith("another StopFlag exists"));
  await program.line((line) => line === "disposed");
  program.kill("SIGINT");
  assertEquals((await program.finish()).code, 128 + 2);
});

Deno.test("unsupported() names the systems that the stubs run on, in a sentence", () => {
  assertEquals(unsupported("linux", "x86_64"), undefined);
  const sentence = "ixy.ts runs only on Linux on x86-64, and this is ";
  assertEquals(unsupported("darwin", "aarch64"), sentence + "darwin on aarch64");
  assertEquals(unsupported("linux", "aarch64"), sentence + "linux on aarch64");
});

Deno.test("ixy_signal and ixy_empty do not block on an eventfd that another process has made blocking", () => {
  const fd = checkErrno("eventfd", stubs.ixy_eventfd()), FIONBIO = 0x5421, FULL = 2n ** 64n - 2n;
  const count = new BigUint64Array(1);
  assertEquals(stubs.ixy_empty(fd), -Errno.EAGAIN);
  assertEquals(stubs.ixy_signal(fd), 8);
  assertEquals([stubs.ixy_read(fd, count, 8), count[0]], [8, 1n]);
  assertEquals(stubs.ixy_ioctl(fd, FIONBIO, Int32Array.of(0)), 0);
  assertEquals(stubs.ixy_empty(fd), -Errno.EAGAIN);
  assertEquals(stubs.ixy_write(fd, BigUint64Array.of(FULL), 8), 8);
  stubs.ixy_signal(fd); // -EAGAIN without asynchronous I/O
  assertEquals(stubs.ixy_read(fd, count, 8), 8);
  assert(count[0] >= FULL, String(count[0]));
  stubs.ixy_close(fd);
  assertEquals(stubs.ixy_signal(fd) < 0, true);
});

Deno.test("ixy_signal does not wait, whenever another process fills the eventfd", async () => {
  const fd = checkErrno("eventfd", stubs.ixy_eventfd()),
    stop = new Int32Array(new SharedArrayBuffer(4));
  assertEquals(stubs.ixy_ioctl(fd, 0x5421, Int32Array.of(0)), 0);
  assertEquals(stubs.ixy_write(fd, BigUint64Array.of(2n ** 64n - 2n), 8), 8);
  if (stubs.ixy_signal(fd) === -Errno.EAGAIN) {
    stubs.ixy_close(fd);
    return void console.log("  skipped: no asynchronous I/O (io_setup)");
  }
  const module = new URL("../../native/stubs.ts", import.meta.url).href;
  // Fills it whenever it is empty, and never empties it: nothing would wake this thread.
  const script = `const { stubs } = await import("${module}");
    const full = BigUint64Array.of(2n ** 64n - 2n), pollfd = new Int32Array(2);
    self.onmessage = ({ data: stop }) => {
      self.postMessage("begun");
      while (Atomics.load(stop, 0) === 0) {
        pollfd.set([${fd}, 1]);
        if (stubs.ixy_poll(pollfd, 1, 0) === 0) stubs.ixy_write(${fd}, full, 8);
      }
      self.postMessage("ended");
    };
    self.postMessage("ready");`;
  const url = `data:text/javascript,${encodeURIComponent(script)}`;
  const worker = new Worker(url, { type: "module" });
  const said = () => new Promise((resolve) => worker.onmessage = ({ data }) => resolve(data));
  assertEquals(await said(), "ready");
  worker.postMessage(stop);
  assertEquals(await said(), "begun");
  const ended = said();
  let filled = 0;
  for (let i = 0; i < 50_000; i++) {
    if (stubs.ixy_empty(fd) === 8) filled++;
    stubs.ixy_signal(fd);
  }
  Atomics.store(stop, 0, 1);
  stubs.ixy_empty(fd); // the worker may wait
  assertEquals(await ended, "ended");
  assertEquals(filled > 0, true);
  worker.terminate();
  stubs.ixy_close(fd);
});

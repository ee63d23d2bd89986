/**
 * A program that has PCI functions with bus mastering on, for tests of their guards. Not a test itself.
 *
 *     deno run --allow-ffi [--allow-read] tests/support/guarded.ts MODE DEVICES ADDRESS…
 *
 * MODE is `main` or `worker`, the thread that opens the functions, or `hugepages`, for memory that the
 * first function reaches. DEVICES is the directory of the functions. It prints {"ready":true}, and then
 * does what a line on its standard input says.
 *
 * @module
 */

import { DmaMemory, HUGEPAGE } from "../../src/dma.ts";
import { SysfsFunction } from "../../src/pci/sysfs.ts";

/** Size of the memory in hugepages; half of it is mapped before `claim`, half after it. */
export const PAGES = 4;
/** The memory's content. */
export const PATTERN = 0x5a;

function openAll(devices: string, addresses: readonly string[], memory: boolean): SysfsFunction[] {
  return addresses.map((address, i) => {
    const pci = new SysfsFunction(address, devices);
    const map = () => {
      const half = DmaMemory.allocate(PAGES / 2 * HUGEPAGE, "hugepages");
      new Uint8Array(half.buffer).fill(PATTERN);
      pci.mapDma(half);
    };
    if (memory && i === 0) map();
    pci.claim(false);
    if (memory && i === 0) map();
    pci.setBusMaster(true);
    return pci;
  });
}

async function main([mode, devices, ...addresses]: string[]): Promise<void> {
  const opened = mode === "worker" ? [] : openAll(devices, addresses, mode === "hugepages");
  if (mode === "worker") {
    const worker = new Worker(import.meta.url, { type: "module" });
    const ready = Promise.withResolvers<void>();
    worker.onmessage = () => ready.resolve();
    worker.postMessage({ devices, addresses });
    await ready.promise;
  }
  console.log('{"ready":true}');
  for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    switch (text.trim()) {
      case "close":
        for (const pci of opened) pci.close();
        console.log('{"closed":true}');
        break;
      case "exit":
        Deno.exit(0);
        break;
      case "throw":
        throw new Error("nothing is closed");
      case "crash":
        new Deno.UnsafePointerView(Deno.UnsafePointer.create(8n)!).getUint32();
    }
  }
}

if (self.constructor.name === "DedicatedWorkerGlobalScope") { // `import.meta.main` is true there too
  self.addEventListener("message", (event) => {
    const { devices, addresses } = (event as MessageEvent).data;
    openAll(devices, addresses, false);
    (self as unknown as { postMessage(message: unknown): void }).postMessage("opened");
  });
} else if (import.meta.main) {
  await main(Deno.args);
}

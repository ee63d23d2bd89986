/** Descriptions of regions in VFIO and vfio-user, and mapping of their areas. */

import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { checkBar, mapAreas, parseRegionInfo } from "../../src/pci/vfio_regions.ts";
import { DeviceError } from "../../mod.ts";
import { DmaMemory } from "../../src/dma.ts";

const MMAP = 4;

/** Builds a description: flags, capability offset, then 64-bit words: size, file offset, capabilities. */
function info(flags: number, capabilities: number, ...words: bigint[]): Uint8Array {
  const bytes = new Uint8Array(16 + 8 * words.length);
  new Uint32Array(bytes.buffer, 0, 4).set([bytes.length, flags, 2, capabilities]);
  new BigUint64Array(bytes.buffer, 16).set(words);
  return bytes;
}

/** Returns the first word of a capability. */
function capability(id: number, next: number): bigint {
  return BigInt(id) | 1n << 16n | BigInt(next) << 32n;
}

Deno.test("parseRegionInfo() reads size and offset, and maps all or nothing without areas", () => {
  const offset = 7n << 40n;
  assertEquals(parseRegionInfo(info(3, 0, 0x8000n, offset)), {
    size: 0x8000,
    offset: 7 * 2 ** 40,
    areas: [],
  });
  assertEquals(parseRegionInfo(info(3 | MMAP, 0, 0x8000n, offset))?.areas, [[0, 0x8000]]);
});

Deno.test("parseRegionInfo() finds the areas behind other capabilities", () => {
  const words = [capability(3, 40), capability(1, 0), 2n, 0n, 0x1000n, 0x3000n, 0x2000n];
  const areas = parseRegionInfo(info(MMAP, 32, 0x8000n, 0n, ...words))?.areas;
  assertEquals(areas, [[0, 0x1000], [0x3000, 0x2000]]);
});

Deno.test("parseRegionInfo() ends on capability lists that go back, lie outside or claim too much", () => {
  const all = [[0, 0x8000]];
  const areas = (at: number, ...words: bigint[]) =>
    parseRegionInfo(info(MMAP, at, 0x8000n, 0n, ...words))?.areas;
  assertEquals(areas(32, capability(3, 32), 0n), all);
  assertEquals(areas(4096, capability(1, 0), 1n), all);
  assertEquals(areas(8, capability(1, 0), 1n), all);
  assertEquals(areas(32, capability(1, 0), 1000n, 0n, 0x1000n), [[0, 0x1000]]);
  assertEquals(parseRegionInfo(new Uint8Array(31)), undefined);
});

Deno.test("mapAreas() maps each area at its offset", () => {
  const memory = DmaMemory.allocate(1, "pages");
  new Uint32Array(memory.buffer, 0x5000)[1] = 0xcafe;
  const areas = mapAreas("nic", 2, memory.fd, {
    size: 0x8000,
    offset: 0x1000,
    areas: [[0, 0x1000], [0x4000, 0x2000]],
  });
  const area = areas[1];
  const inside = [0x3fff, 0x4000, 0x5fff, 0x6000].map((at) => area.has(at));
  assertEquals(inside, [false, true, true, false]);
  const { words } = area;
  assertEquals([words[1][4], words[2][2], words[4][1]], [0xfe, 0xcafe, 0xcafe]);
  for (const each of areas) each.unmap();
  assertEquals(area.words[4].length, 0);
  memory.free();
});

Deno.test("checkBar() accepts whole pages, and refuses impossible sizes and areas", () => {
  const size = 0x8000, offset = 0x1000;
  checkBar("nic", 2, { size, offset, areas: [[0x4000, 0x4000], [0, 0x4000]] });
  checkBar("nic", 2, { size: 256, offset: 1, areas: [] }); // not mappable, such as I/O ports
  const cases: [Partial<Parameters<typeof checkBar>[2]>, RegExp][] = [
    [{ size: 0 }, /has no BAR 2$/],
    [{ size: 0x6000 }, /BAR 2 has 24576 bytes, which is not a power of two: update/],
    [{ size: 2 ** 64, areas: [[0, 2 ** 40]] }, /larger than 1073741824/],
    [{ areas: [[0x7000, 0x2000]] }, /area of BAR 2, 8192 bytes at 28672, lies outside the BAR/],
    [{ areas: [[0x1000, 0]] }, /0 bytes at 4096, lies outside/],
    [{ areas: [[2 ** 64, 0x1000]] }, /lies outside/],
    [{ areas: [[0, 0x1001]] }, /4097 bytes at 0, does not consist of whole pages/],
    [{ areas: [[2, 0x1000]] }, /whole pages/],
    [{ offset: 0x800, areas: [[0, 0x1000]] }, /whole pages of the file, from 2048 on/],
    [{ areas: [[0x1000, 0x2000], [0, 0x2000]] }, /4096, overlaps another/],
  ];
  for (const [wrong, message] of cases) {
    const check = () => checkBar("nic", 2, { size, offset, areas: [], ...wrong });
    assertMatch(assertThrows(check, DeviceError).message, message);
  }
});

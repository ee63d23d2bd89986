/**
 * Capture files that the software NIC replays: valid, damaged and any bytes. A file is refused with a
 * sentence, or read to its end: no frame is longer than its record, and what is not delivered is
 * counted.
 *
 * @module
 */

import fc from "fast-check";
import { FrameBuffer } from "../../sim/frames/frame.ts";
import { PcapWire } from "../../sim/wires/pcap.ts";
import { NO_FRAME, PcapReader } from "../../sim/wires/pcap_file.ts";
import { UsageError } from "../../src/errors.ts";
import { type Fuzzer, holds, type Target, values } from "./target.ts";

const FILE_HEADER = 24, RECORD_HEADER = 16;
const MIN_FRAME = 60, MAX_FRAME = 15_868;
/** Most frames that the wire delivers in a round. */
const BUDGET = 64;

/** Numbers of a header, of which most are as they must be. */
const number = (usual: number) =>
  fc.oneof({ weight: 8, arbitrary: fc.constant(usual) }, fc.nat(0xffffffff), fc.nat(300));

const little = fc.boolean();

const header = fc.tuple(
  little,
  fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(0xa1b2c3d4, 0xa1b23c4d) },
    fc.constantFrom(0x0a0d0d0a, 0xa1b2cd34, 0xd4c3b2a1),
    fc.nat(0xffffffff),
  ),
  number(0x00040002), // version
  number(65535), // snap length
  number(1), // link type
);

const record = fc.tuple(
  fc.oneof(
    fc.nat(100),
    fc.nat(20_000),
    fc.constantFrom(0, 13, 14, 15_868, 15_869, 16_384, 262_144),
  ),
  // Difference of the length in the record's header from the bytes that follow, or another length.
  fc.oneof({ weight: 12, arbitrary: fc.constant(0) }, fc.integer({ min: -20, max: 20 })),
  fc.oneof({ weight: 30, arbitrary: fc.constant(0) }, fc.nat(0xffffffff)),
  number(0), // original length
);

/** What a file is made of. */
const file = fc.record({
  head: header,
  records: fc.array(record, { maxLength: 12 }),
  /** Bytes to change: a place, modulo the length, and a value. */
  changes: fc.oneof(
    { weight: 2, arbitrary: fc.constant([]) },
    fc.array(fc.tuple(fc.nat(0xffff), fc.nat(255)), { maxLength: 3 }),
  ),
  /** Bytes to leave out at the end. */
  cut: fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.nat(100)),
});

/** Returns the bytes of a file. */
function bytesOf({ head, records, changes, cut }: FileCase): Uint8Array<ArrayBuffer> {
  const size = FILE_HEADER + records.reduce((sum, [length]) => sum + RECORD_HEADER + length, 0);
  const view = new DataView(new ArrayBuffer(size)), bytes = new Uint8Array(view.buffer);
  const [little, magic, version, snaplen, link] = head;
  [magic, version, 0, 0, snaplen, link].forEach((word, i) => view.setUint32(4 * i, word, little));
  let at = FILE_HEADER;
  for (const [length, captured, huge, original] of records) {
    const given = huge || Math.max(0, length + captured);
    [0, 0, given, original || given].forEach((word, i) => view.setUint32(at + 4 * i, word, little));
    at += RECORD_HEADER;
    bytes.fill(length, at, at + length);
    at += length;
  }
  for (const [place, value] of changes) bytes[place % size] = value;
  return bytes.slice(0, Math.max(0, size - cut));
}

/** A case. */
type FileCase = typeof file extends fc.Arbitrary<infer Case> ? Case : never;

/** Returns what a call returns; undefined if it refuses a file with a sentence. */
function accepted<T>(open: () => T): T | undefined {
  try {
    return open();
  } catch (error) {
    if (!(error instanceof UsageError) || /\n/.test(error.message)) throw error;
    return undefined;
  }
}

function openFiles(): Fuzzer {
  const name = Deno.makeTempFileSync({ prefix: "ixy-fuzz-" });
  const frame = new FrameBuffer();

  /** Reads the file; returns its frames, and those that a port can receive. */
  function read(bytes: number): { all: number; good: number; broken: boolean } | undefined {
    const reader = accepted(() => new PcapReader(name));
    if (reader === undefined) return undefined;
    let all = 0, good = 0, sum = FILE_HEADER;
    for (let length; (length = reader.next(frame)) >= 0; all++) {
      sum += RECORD_HEADER + length;
      holds(sum <= bytes, `frames of ${sum} bytes are read from a file of ${bytes}`);
      if (length >= 14 && length <= MAX_FRAME) good++;
    }
    holds(reader.next(frame) === NO_FRAME.END, "a file has ended twice");
    const broken = reader.damage !== undefined;
    reader.close();
    return { all, good, broken };
  }

  return values({
    arbitrary: file,
    run(one) {
      const bytes = bytesOf(one);
      Deno.writeFileSync(name, bytes);
      const found = read(bytes.length);
      const wire = accepted(() => new PcapWire({ input: name, print: () => {} }));
      holds((wire === undefined) === (found === undefined), "reader and wire take the same files");
      if (wire === undefined || found === undefined) return;
      const port = {
        receiving: true,
        receive(_: FrameBuffer, length: number) {
          holds(length >= MIN_FRAME && length <= MAX_FRAME, `a frame of ${length} bytes`);
          return true;
        },
      };
      const rounds = 2 + Math.ceil(bytes.length / RECORD_HEADER / BUDGET);
      for (let i = 0; i < rounds && !wire.finished; i++) wire.poll(port, BUDGET);
      holds(wire.finished, `a file of ${bytes.length} bytes has not ended after ${rounds} rounds`);
      const { sent, skipped, damaged } = wire.statistics();
      wire.close();
      holds(sent === found.good, `${sent} frames are sent of ${found.good}`);
      holds(sent + skipped === found.all, `${skipped} frames are skipped of ${found.all - sent}`);
      holds(damaged === Number(found.broken), "the damage is reported");
    },
    close: () => Deno.removeSync(name),
  });
}

/** The target. */
export const CAPTURES: Target = {
  name: "captures",
  about: "capture files for the software NIC to replay",
  attempts: 4,
  open: openFiles,
};

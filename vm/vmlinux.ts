/**
 * Unpacks the kernel from the compressed image in Debian's package. An emulated processor takes ten
 * seconds to unpack the full kernel at each boot; the host takes one second, once.
 *
 * @module
 */

import { Progress } from "../programs/progress.ts";
import { cached, defaultCache } from "./cache.ts";
import { UsageError } from "../src/errors.ts";
import { runOnHost } from "./command.ts";

/** Longest that unpacking may take, in milliseconds. */
const UNPACK_MS = 120000;
/** Offsets in the image's header, in bytes (boot protocol of Linux on x86). */
const SETUP_SECTORS = 0x1f1, SIGNATURE = 0x202, PAYLOAD_OFFSET = 0x248, PAYLOAD_LENGTH = 0x24c;
const HEADER_BYTES = 0x250, SECTOR_BYTES = 512;
/** Bytes at the payload's end that contain its uncompressed size. */
const SIZE_BYTES = 4;
const HDRS = 0x53726448, ELF = 0x464c457f;
/** How an image may be compressed: the first bytes, and the command that unpacks it. */
const FORMATS = [
  { magic: "fd377a585a00", program: "xz", args: "-dc --single-stream" },
  { magic: "28b52ffd", program: "zstd", args: "-dc" },
] as const;
const MAGIC_BYTES = 6;

/** The compressed kernel in an image. */
interface Payload {
  /** Its format. */
  readonly format: (typeof FORMATS)[number];
  /** Offset of its first byte in the image. */
  readonly offset: number;
  /** Compressed size in bytes. */
  readonly length: number;
  /** Uncompressed size in bytes. */
  readonly unpacked: number;
}

/**
 * Returns the ELF file in a compressed image, and unpacks it if it is not cached.
 *
 * @param image Path of the image.
 * @param release The kernel's release, which is the file's name in the cache.
 * @returns Path of the ELF file; or of the image, if it is compressed by neither xz nor zstd, or this
 * machine lacks that program. QEMU boots both.
 */
export async function vmlinux(image: string, release: string): Promise<string> {
  const payload = await findPayload(image);
  if (payload === undefined) return image;
  const { offset, length, format: { program, args } } = payload;
  const found = await runOnHost([program, "--version"], UNPACK_MS);
  if (!found?.success) return image;
  return await cached(defaultCache(), `vmlinux/${release}`, async (path) => {
    using progress = new Progress("vm");
    progress.show(`unpacking the kernel ${release}`);
    const pipe = `tail -c "+$1" "$2" | head -c "$3" | ${program} ${args} > "$4"`;
    const words = [String(offset + 1), image, String(length - SIZE_BYTES), path];
    const result = await runOnHost(["sh", "-c", pipe, "sh", ...words], UNPACK_MS);
    if (!await isElf(path, payload.unpacked)) {
      throw new Error(`cannot unpack ${image}: ${result?.stderr.trim() || "it has no ELF file"}`);
    }
  });
}

/**
 * Returns the content of a file that xz has compressed.
 *
 * @throws {UsageError} if this machine has no `xz`, or it fails.
 */
export async function unxz(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const signal = AbortSignal.timeout(UNPACK_MS);
  try {
    const command = new Deno.Command("xz", { args: ["-dc", path], stdin: "null", signal });
    const { success, stdout, stderr } = await command.output();
    if (success) return stdout;
    throw new UsageError(`cannot unpack ${path}: ${new TextDecoder().decode(stderr).trim()}`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new UsageError(`cannot unpack ${path}: install xz (Debian's package xz-utils)`);
  }
}

async function findPayload(image: string): Promise<Payload | undefined> {
  using file = await Deno.open(image);
  const header = await read(file, 0, HEADER_BYTES);
  if (header.getUint32(SIGNATURE, true) !== HDRS) return undefined;
  const offset = (header.getUint8(SETUP_SECTORS) + 1) * SECTOR_BYTES +
    header.getUint32(PAYLOAD_OFFSET, true);
  const length = header.getUint32(PAYLOAD_LENGTH, true);
  const { buffer } = await read(file, offset, MAGIC_BYTES);
  const first = new Uint8Array(buffer).toHex();
  const format = FORMATS.find(({ magic }) => first.startsWith(magic));
  if (format === undefined) return undefined;
  const size = await read(file, offset + length - SIZE_BYTES, SIZE_BYTES);
  return { format, offset, length, unpacked: size.getUint32(0, true) };
}

async function isElf(path: string, bytes: number): Promise<boolean> {
  using file = await Deno.open(path);
  if ((await file.stat()).size !== bytes) return false;
  return (await read(file, 0, SIZE_BYTES)).getUint32(0, true) === ELF;
}

/** Reads bytes of a file from an offset; beyond its end, they are zeros. */
async function read(
  file: Deno.FsFile,
  offset: number,
  bytes: number,
): Promise<DataView<ArrayBuffer>> {
  const buffer = new Uint8Array(bytes);
  await file.seek(offset, Deno.SeekMode.Start);
  for (let done = 0; done < bytes;) {
    const n = await file.read(buffer.subarray(done));
    if (n === null) break;
    done += n;
  }
  return new DataView(buffer.buffer);
}

/**
 * Unpacks the kernel from the compressed image in Debian's package. An emulated processor takes ten
 * seconds to unpack the full kernel at each boot; the host takes one second, once.
 *
 * @module
 */

import { Progress } from "../programs/progress.ts";
import { cached, defaultCache } from "./cache.ts";
import { runOnHost } from "./command.ts";

/** Longest that unpacking may take, in milliseconds. */
const UNPACK_MS = 120000;
/** Offsets in the image's header, in bytes (boot protocol of Linux on x86). */
const SETUP_SECTORS = 0x1f1, SIGNATURE = 0x202, PAYLOAD_OFFSET = 0x248, PAYLOAD_LENGTH = 0x24c;
const HEADER_BYTES = 0x250, SECTOR_BYTES = 512;
/** Bytes at the payload's end that contain its uncompressed size. */
const SIZE_BYTES = 4;
const HDRS = 0x53726448, ELF = 0x464c457f;
const XZ = [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00];

/** The compressed kernel in an image. */
interface Payload {
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
 * @returns Path of the ELF file; or of the image, if it is not compressed by xz, or this machine
 * lacks `xz`. QEMU boots both.
 */
export async function vmlinux(image: string, release: string): Promise<string> {
  const payload = await findPayload(image);
  if (payload === undefined) return image;
  const found = await runOnHost(["xz", "--version"], UNPACK_MS);
  if (!found?.success) return image;
  return await cached(defaultCache(), `vmlinux/${release}`, async (path) => {
    using progress = new Progress("vm");
    progress.show(`unpacking the kernel ${release}`);
    const { offset, length } = payload;
    const pipe = 'tail -c "+$1" "$2" | head -c "$3" | xz -dc --single-stream > "$4"';
    const args = [String(offset + 1), image, String(length - SIZE_BYTES), path];
    const result = await runOnHost(["sh", "-c", pipe, "sh", ...args], UNPACK_MS);
    if (!await isElf(path, payload.unpacked)) {
      throw new Error(`cannot unpack ${image}: ${result?.stderr.trim() || "it has no ELF file"}`);
    }
  });
}

async function findPayload(image: string): Promise<Payload | undefined> {
  using file = await Deno.open(image);
  const header = await read(file, 0, HEADER_BYTES);
  if (header.getUint32(SIGNATURE, true) !== HDRS) return undefined;
  const offset = (header.getUint8(SETUP_SECTORS) + 1) * SECTOR_BYTES +
    header.getUint32(PAYLOAD_OFFSET, true);
  const length = header.getUint32(PAYLOAD_LENGTH, true);
  const magic = await read(file, offset, XZ.length);
  if (!XZ.every((byte, i) => magic.getUint8(i) === byte)) return undefined;
  const size = await read(file, offset + length - SIZE_BYTES, SIZE_BYTES);
  return { offset, length, unpacked: size.getUint32(0, true) };
}

async function isElf(path: string, bytes: number): Promise<boolean> {
  using file = await Deno.open(path);
  if ((await file.stat()).size !== bytes) return false;
  return (await read(file, 0, SIZE_BYTES)).getUint32(0, true) === ELF;
}

/** Reads bytes of a file from an offset; beyond its end, they are zeros. */
async function read(file: Deno.FsFile, offset: number, bytes: number): Promise<DataView> {
  const buffer = new Uint8Array(bytes);
  await file.seek(offset, Deno.SeekMode.Start);
  for (let done = 0; done < bytes;) {
    const n = await file.read(buffer.subarray(done));
    if (n === null) break;
    done += n;
  }
  return new DataView(buffer.buffer);
}

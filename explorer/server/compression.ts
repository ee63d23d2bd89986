/**
 * Compression of files for browsers.
 *
 * @module
 */

import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";

/** Encodings, the smallest first. Every browser knows the second. */
export const ENCODINGS = ["br", "gzip"] as const;

/** A file's bytes in each encoding. */
export type Encoded = Readonly<Record<typeof ENCODINGS[number], Uint8Array<ArrayBuffer>>>;

/** Above this quality, Brotli takes several times as long for a few per cent. */
const QUALITY = 6;

/** Returns bytes in each encoding. Other threads compress them. */
export async function compress(bytes: Uint8Array<ArrayBuffer>): Promise<Encoded> {
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: QUALITY,
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  };
  const [br, zipped] = await Promise.all([
    promisify(brotliCompress)(bytes, { params }),
    promisify(gzip)(bytes, { level: constants.Z_BEST_COMPRESSION }),
  ]);
  return { br: new Uint8Array(br), gzip: new Uint8Array(zipped) };
}

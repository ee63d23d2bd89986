/**
 * The source map of the engine, for `explorer/recording/sources.ts`: with what the page shows, and no more,
 * which makes it a third of the bundler's.
 *
 * @module
 */

import {
  decodedMappings,
  encodedMappings,
  type SourceMapSegment,
  TraceMap,
} from "@jridgewell/trace-mapping";
import type { SourceMap } from "../recording/sources.ts";
import { PROJECT } from "./import_map.ts";

/**
 * The sources that the page does not show: its own, but for the model of a VirtIO device; what only passes
 * accesses on or gives time; checks and errors; and what only runs when speed is measured.
 */
const HIDDEN = new RegExp(
  "^(explorer/(?!recorder/virtio/device/)|native/|packets/|sim/wires/|sim/virtual_time\\.ts$|" +
    "src/(errors|options|registers|specialise)\\.ts$)",
);

/**
 * Returns the map of the project's sources that the page shows, with paths from its root, as in
 * `ixgbe/device.ts`. It has lines, and neither columns nor names. Nothing else is mapped.
 *
 * @param text The map as the bundler wrote it, with paths from its own place.
 * @param place URL of the map.
 */
export function leanMap(text: string, place: URL): SourceMap {
  const whole = JSON.parse(text) as SourceMap;
  const sources: string[] = [], sourcesContent: string[] = [];
  const numbers = whole.sources.map((source, i) => {
    const { href } = new URL(source, place), path = href.slice(PROJECT.href.length);
    if (!href.startsWith(PROJECT.href) || HIDDEN.test(path)) return -1;
    sourcesContent.push(whole.sourcesContent[i]);
    return sources.push(path) - 1;
  });
  const decoded = decodedMappings(
    new TraceMap({ ...whole, names: [], sources: [...whole.sources] }),
  );
  const mappings = decoded.map((line) => withoutColumns(line, numbers));
  const map = new TraceMap({ version: 3, names: [], sources, mappings });
  return { version: 3, names: [], sources, sourcesContent, mappings: encodedMappings(map) };
}

/**
 * Returns the segments of a line of the bundle that begin another line of a source. The first one begins at
 * column 0, which is smaller, compressed, than where code begins.
 */
function withoutColumns(
  line: readonly SourceMapSegment[],
  numbers: readonly number[],
): SourceMapSegment[] {
  const kept: SourceMapSegment[] = [];
  let lastSource = -1, lastLine = -1;
  for (const segment of line) {
    const source = segment.length === 1 ? -1 : numbers[segment[1]];
    const sourceLine = source < 0 ? -1 : segment[2]!;
    if (source === lastSource && sourceLine === lastLine) continue;
    const column = segment === line[0] ? 0 : segment[0];
    kept.push(source < 0 ? [column] : [column, source, sourceLine, 0]);
    [lastSource, lastLine] = [source, sourceLine];
  }
  return kept;
}

/**
 * The source map of the engine, for `explorer/recording/sources.ts`.
 *
 * @module
 */

import type { SourceMap } from "../recording/sources.ts";
import { PROJECT } from "./import_map.ts";

/**
 * Returns the map with the sources' paths from the project's root, as in `ixgbe/device.ts`. Sources of
 * packages keep their URL.
 *
 * @param text The map as the bundler wrote it, with paths from its own place.
 * @param place URL of the map.
 */
export function fromRoot(text: string, place: URL): SourceMap {
  const { sources, sourcesContent, mappings } = JSON.parse(text) as SourceMap;
  return {
    version: 3,
    sources: sources.map((source) => {
      const { href } = new URL(source, place);
      return href.startsWith(PROJECT.href) ? href.slice(PROJECT.href.length) : href;
    }),
    sourcesContent,
    names: [], // stacks name functions
    mappings,
  };
}

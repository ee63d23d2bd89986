/**
 * Takes comments out of the engine's bundle, which has those of class members: the page shows sources
 * from the source map, so they would make the bundle a fifth larger for nothing.
 *
 * @module
 */

import { parse } from "acorn";

/** Returns a module's text without comments. All code keeps its lines and columns. */
export function withoutComments(text: string): string {
  const parts: string[] = [];
  let at = 0;
  parse(text, {
    ecmaVersion: "latest",
    sourceType: "module",
    onComment(_isBlock, _text, start, end) {
      const next = text[end] ?? "\n", blanks = next === "\n" ? "" : " "; // code that follows keeps its columns
      parts.push(text.slice(at, start), text.slice(start, end).replaceAll(/[^\n]/g, blanks));
      at = end;
    },
  });
  return parts.join("") + text.slice(at);
}

/**
 * Source files with coloured words, line by line.
 *
 * @module
 */

import highlighter from "highlight.js/core";
import typescript from "highlight.js/typescript";

highlighter.registerLanguage("typescript", typescript);

/**
 * Returns the lines of a file as HTML. Spans that go on over lines, as comments do, are closed and opened
 * again at each.
 */
export function highlightedLines(text: readonly string[]): string[] {
  const { value } = highlighter.highlight(text.join("\n"), { language: "typescript" });
  const open: string[] = [];
  return value.split("\n").map((line) => {
    const before = open.join("");
    for (const [tag] of line.matchAll(/<span[^>]*>|<\/span>/g)) {
      if (tag === "</span>") open.pop();
      else open.push(tag);
    }
    return before + line + "</span>".repeat(open.length);
  });
}

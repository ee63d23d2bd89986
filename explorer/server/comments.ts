/**
 * Makes a bundle smaller: comments are a quarter of it, and the page shows those of the source.
 *
 * @module
 */

import { type Comment, parse } from "acorn";

/** Returns a module without its comments. Lines keep their numbers, and code its columns. */
export function withoutComments(module: string): string {
  const comments: Comment[] = [];
  parse(module, { ecmaVersion: "latest", sourceType: "module", onComment: comments });
  const kept: string[] = [];
  let from = 0;
  for (const { start, end } of comments) {
    const text = module.slice(start, end), lines = text.split("\n").length - 1;
    kept.push(module.slice(from, start), "\n".repeat(lines));
    // Code behind a comment on the comment's last line stays where it was.
    if (module[end] !== "\n") kept.push(" ".repeat(text.length - text.lastIndexOf("\n") - 1));
    from = end;
  }
  return [...kept, module.slice(from)].join("");
}

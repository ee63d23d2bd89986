/**
 * One source file, with the line that acts.
 *
 * @module
 */

import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { SourceLine, Sources } from "../../recording/sources.ts";
import { highlightedLines } from "../highlighted.ts";
import { useScrollView } from "../scroll_view.ts";

/** Height of a line in CSS pixels, as the style sheet has it. */
const LINE = 17;
/** Callers that are shown. */
const MOST_FRAMES = 5;

interface SourcePaneProps {
  readonly title: string;
  readonly sources: Sources;
  /** The line that acts, or acted last, and its callers', innermost first. */
  readonly lines: readonly SourceLine[];
  /** Whether the lesson's step asks to look here. */
  readonly looked: boolean;
  /** Whether this side acts in the current step. */
  readonly acts: boolean;
  /** What is said in place of the source if this side has not acted lately. */
  readonly absent: string;
}

/** The file of the line that acts, and its callers to click on. */
export function SourcePane({ title, sources, lines, looked, acts, absent }: SourcePaneProps) {
  const [chosen, setChosen] = useState<SourceLine>();
  const line = chosen !== undefined && lines.includes(chosen) ? chosen : lines[0];
  return (
    <section
      class={`panel source ${acts ? "" : "idle"} ${looked && acts ? "looked-at" : ""}`}
      aria-label={`${title}'s source`}
    >
      <header>
        <h2>{title}</h2>
        {line !== undefined && (
          <span class="place">
            {line.file}:{line.line}
          </span>
        )}
      </header>
      {acts
        ? (
          <nav class="frames" aria-label={`${title}'s functions, innermost first`}>
            {lines.slice(0, MOST_FRAMES).map((frame) => (
              <button
                key={`${frame.file}:${frame.line}`}
                type="button"
                aria-pressed={frame === line}
                title={`${frame.file}:${frame.line}`}
                onClick={() => setChosen(frame)}
              >
                {frame.name.replace(/^.*\./, "") || frame.file.replace(/^.*\//, "")}
              </button>
            ))}
          </nav>
        )
        : <p class="frames note">does not act in this step</p>}
      {line === undefined
        ? <p class="absent empty">{acts ? "" : absent}</p>
        : <SourceText sources={sources} file={line.file} line={line.line} />}
    </section>
  );
}

interface SourceTextProps {
  readonly sources: Sources;
  readonly file: string;
  readonly line: number;
}

function SourceText({ sources, file, line }: SourceTextProps) {
  const box = useRef<HTMLDivElement>(null);
  const view = useScrollView(box);
  const text = useMemo(() => {
    const html = highlightedOnce(sources, file).map((code, i) =>
      `<div><span class="number">${i + 1}</span>${code}</div>`
    ).join("");
    // deno-lint-ignore react-no-danger -- the highlighter escapes the project's own source
    return <div class="lines" dangerouslySetInnerHTML={{ __html: html }}></div>;
  }, [sources, file]);
  useLayoutEffect(() => {
    const all = sources.text(file).length * LINE;
    view.reveal((line - 1) * LINE, 2 * LINE, 3 * LINE, all);
  }, [sources, file, line]);
  return (
    <div class="code" ref={box} tabIndex={0} role="group" aria-label={`${file}, line ${line}`}>
      <div class="line-mark" style={{ transform: `translateY(${(line - 1) * LINE}px)` }}></div>
      {text}
    </div>
  );
}

const highlighted = new Map<string, string[]>();

function highlightedOnce(sources: Sources, file: string): string[] {
  let lines = highlighted.get(file);
  if (lines === undefined) highlighted.set(file, lines = highlightedLines(sources.text(file)));
  return lines;
}

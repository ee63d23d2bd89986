/**
 * The button that opens a trace file.
 *
 * @module
 */

import { useRef } from "preact/hooks";
import type { Explorer } from "../explorer.ts";
import { openTrace } from "../views/trace.ts";
import { Icon } from "./icon.tsx";

/** Opens a file of `sim --trace`, or goes back to the experiment. */
export function TraceButton({ explorer }: { explorer: Explorer }) {
  const input = useRef<HTMLInputElement>(null);
  const open = async (file: File | undefined) => {
    if (file === undefined) return;
    try {
      const { begin, steps } = await openTrace(file);
      explorer.showTrace(file.name, begin, steps);
    } catch (error) {
      explorer.complain((error as Error).message);
    }
  };
  if (explorer.trace !== undefined) {
    return (
      <button type="button" onClick={() => explorer.run(explorer.experiment)}>× Close trace</button>
    );
  }
  return (
    <>
      <button
        type="button"
        onClick={() => input.current!.click()}
        title="Open a trace file that sim --trace wrote"
      >
        <Icon name="open" /> Trace
      </button>
      <input
        ref={input}
        type="file"
        class="hidden"
        aria-label="Trace file"
        tabIndex={-1}
        onChange={({ currentTarget }) => {
          open(currentTarget.files?.[0]);
          currentTarget.value = ""; // so that the same file can be opened again
        }}
      />
    </>
  );
}

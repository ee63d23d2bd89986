/**
 * The register access of the current step: fields before and after it.
 *
 * @module
 */

import { hex, nameOf } from "../../../src/registers.ts";
import type { Step } from "../../recording/step.ts";
import { type Player, usePlayer } from "../player.ts";
import { sectionWords } from "../section_words.ts";
import { type Counts, RecordingIndex } from "./recording_index.ts";
import { FieldTable } from "./register/field_table.tsx";
import { registerNamed } from "./register/fields.ts";

/** The register of the current step. */
export function RegisterView({ player }: { player: Player }) {
  usePlayer(player);
  const { step, recording, position } = player;
  if (step?.register === undefined) {
    return <p class="nothing">This step accesses no register.</p>;
  }
  const { name, index } = step.register;
  const counts = RecordingIndex.of(recording).counts(step.port, name, index, position);
  return <Access step={step} access={step.register} counts={counts} />;
}

interface AccessProps {
  readonly step: Step;
  readonly access: NonNullable<Step["register"]>;
  readonly counts: Counts;
}

function Access({ step, access, counts }: AccessProps) {
  const { name, index, offset, old, value } = access, register = registerNamed(name);
  const verb = step.kind === "write" ? "written" : "read";
  return (
    <div class="register">
      <h3>
        {register === undefined ? name : nameOf(register, index)}{" "}
        <span class="section">{sectionWords(register?.section ?? step.section ?? "")}</span>
      </h3>
      <p>{register?.meaning ?? "The register table does not have this register."}</p>
      <p class="register-values">
        {verb} at offset <code>0x{offset.toString(16).padStart(5, "0")}</code>: {old !== value && (
          <>
            <del>{hex(old)}</del> →{" "}
          </>
        )}
        <code class={old === value ? "" : "changed"}>{hex(value)}</code>
        {old === value && verb === "written" && " (the same value as before)"}
      </p>
      {register !== undefined && <FieldTable register={register} old={old} value={value} />}
      <p class="register-counts">Up to this step: {countsInWords(counts)}.</p>
    </div>
  );
}

/** Returns how often a register was accessed: `read 3 times, never written`. */
function countsInWords({ reads, writes }: Counts): string {
  return `${times("read", reads)}, ${times("written", writes)}`;
}

function times(verb: string, n: number): string {
  return n === 0 ? `never ${verb}` : n === 1 ? `${verb} once` : `${verb} ${n} times`;
}

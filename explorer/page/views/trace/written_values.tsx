/**
 * The values that two drivers write to the register of the current step.
 *
 * @module
 */

import { hex, nameOf, type Register } from "../../../../src/registers.ts";
import { Prose } from "../../shell/prose.tsx";
import { fieldsOf, registerNamed } from "../register/fields.ts";
import type { Comparison, Usage, Written } from "./usage.ts";

/** What both write to a register, the fields that differ at last, and why this driver uses it. */
export function WrittenValues({ row: { name, theirs, ours } }: { row: Comparison }) {
  const register = registerNamed(name);
  return (
    <section class="written" aria-label={`Values written to ${name}`}>
      <h4>{name}: values written</h4>
      <dl>
        <dt>the trace</dt>
        <dd>{valuesOf(register, theirs)}</dd>
        <dt>this driver</dt>
        <dd>{valuesOf(register, ours)}</dd>
        {register !== undefined && <Differences register={register} theirs={theirs} ours={ours} />}
      </dl>
      {ours?.why !== undefined && <Prose text={`This driver: ${ours.why}`} />}
    </section>
  );
}

function valuesOf(register: Register | undefined, usage: Usage | undefined) {
  if (usage === undefined) return "does not use it";
  if (usage.written.length === 0) return "reads it only";
  const text = ({ index, value }: Written) =>
    register === undefined || register.count === 1
      ? hex(value)
      : `${nameOf(register, index)} ${hex(value)}`;
  const all = usage.written.length === 1 && usage.writes > 1 ? ` (${usage.writes} times)` : "";
  return <code>{usage.written.map(text).join(", ") + all}</code>;
}

interface DifferencesProps {
  readonly register: Register;
  readonly theirs: Usage | undefined;
  readonly ours: Usage | undefined;
}

/** The fields in which the last values differ that both write to the same copy of the register. */
function Differences({ register, theirs, ours }: DifferencesProps) {
  const own = ours?.written.at(-1);
  const other = theirs?.written.findLast(({ index }) => index === own?.index);
  if (own === undefined || other === undefined) return null;
  const fields = fieldsOf(register, other.value, own.value).filter(({ changed }) => changed);
  return (
    <>
      <dt>difference</dt>
      <dd>
        {fields.length === 0
          ? "none in the last of these values"
          : fields.map(({ name, old, value }) => `${name}: ${old} there, ${value} here`).join("; ")}
      </dd>
    </>
  );
}

/**
 * The fields of a register with their values.
 *
 * @module
 */

import { hex, type Register } from "../../../../src/registers.ts";
import { bitRange, fieldsOf } from "./fields.ts";

interface FieldTableProps {
  readonly register: Register;
  /** Values before and after a step. */
  readonly old: number;
  readonly value: number;
}

/** The fields of a register; those that a step changes are marked. */
export function FieldTable({ register, old, value }: FieldTableProps) {
  const { reserved, access, readEffect } = register;
  const kept = ((old ^ value) & reserved) === 0;
  return (
    <>
      <dl class="fields">
        {fieldsOf(register, old, value).map((field) => (
          <div key={field.name} class={field.changed ? "changed" : ""}>
            <dt>
              <span>{bitRange(field.mask)}</span> {field.name}
            </dt>
            <dd>{field.changed ? `${field.old} → ${field.value}` : field.value}</dd>
          </div>
        ))}
      </dl>
      <p class="register-access">
        {ACCESS[access]}
        {readEffect !== null && `; reading it ${readEffect.does}`}.
        {reserved !== 0 && (
          <span class={kept ? "" : "wrong"}>
            {` Bits ${hex(reserved)} are reserved: software writes them back as it read them`}
            {kept ? "." : ", which this access does not."}
          </span>
        )}
      </p>
    </>
  );
}

/** How software may access a register, in words. */
const ACCESS: Readonly<Record<Register["access"], string>> = {
  RW: "Read and write",
  RO: "Read only",
  WO: "Write only",
  RC: "Read, which clears it",
  W1C: "Writing a 1 clears a bit",
  RW1S: "Read; writing a 1 sets a bit",
};

/**
 * The table of registers, a row for each. Copies of a register are folded until they are asked for.
 *
 * @module
 */

import { useState } from "preact/hooks";
import { hex, nameOf, type Register } from "../../../../src/registers.ts";
import { memo } from "../memo.ts";
import type { RegisterCopy, RegisterRow } from "./register_rows.ts";

/** The most copies that are shown without being asked for. */
const MOST_COPIES = 2;

interface RegisterRowsProps {
  readonly rows: readonly RegisterRow[];
  /** Whether accesses are known, so that they can be counted. */
  readonly hasCounts: boolean;
}

/** The rows as a table. */
export function RegisterRows({ rows, hasCounts }: RegisterRowsProps) {
  return (
    <table class={hasCounts ? "register-list" : "register-list without-counts"}>
      <thead>
        <tr>
          <th scope="col">Register</th>
          <th scope="col" class="number">Value</th>
          <th scope="col" class="number count">Read</th>
          <th scope="col" class="number count">Written</th>
          <th scope="col">Meaning</th>
        </tr>
      </thead>
      <tbody>{rows.map((row) => <Group key={row.register.name} row={row} />)}</tbody>
    </table>
  );
}

/** A register with its copies. */
function Group({ row }: { row: RegisterRow }) {
  const [open, setOpen] = useState(false);
  const { register, copies, reads, writes } = row, { name, count, section, meaning } = register;
  const text = `${meaning} (${section})`;
  if (copies.length === 0) {
    return <Row name={name} value={null} reads={0} writes={0} isCurrent={false} meaning={text} />;
  }
  if (copies.length <= MOST_COPIES) {
    return <Copies register={register} copies={copies} text={text} />;
  }
  return (
    <>
      <tr class={copies.some(({ isCurrent }) => isCurrent) ? "changed" : ""}>
        <th scope="row">
          {name}{" "}
          <button type="button" aria-expanded={open} onClick={() => setOpen(!open)}>
            {open ? "−" : "+"} {copies.length} of {count}
          </button>
        </th>
        <td class="number" />
        <td class={reads === 0 ? "number count zero" : "number count"}>{reads}</td>
        <td class={writes === 0 ? "number count zero" : "number count"}>{writes}</td>
        <td class="meaning">{text}</td>
      </tr>
      {open && <Copies register={register} copies={copies} text="" />}
    </>
  );
}

interface CopiesProps {
  readonly register: Register;
  readonly copies: readonly RegisterCopy[];
  /** The meaning, beside the first copy. */
  readonly text: string;
}

function Copies({ register, copies, text }: CopiesProps) {
  return (
    <>
      {copies.map((copy, i) => (
        <Row
          key={copy.index}
          name={nameOf(register, copy.index)}
          value={copy.value}
          reads={copy.reads}
          writes={copy.writes}
          isCurrent={copy.isCurrent}
          meaning={i === 0 ? text : ""}
        />
      ))}
    </>
  );
}

interface RowProps {
  readonly name: string;
  /** The value; null if it is that after reset. */
  readonly value: number | null;
  readonly reads: number;
  readonly writes: number;
  readonly isCurrent: boolean;
  readonly meaning: string;
}

/** One register. */
const Row = memo(({ name, value, reads, writes, isCurrent, meaning }: RowProps) => (
  <tr class={isCurrent ? "changed" : ""}>
    <th scope="row">{name}</th>
    <td class={value === null ? "number zero" : "number"}>
      {value === null ? "as after reset" : hex(value)}
    </td>
    <td class={reads === 0 ? "number count zero" : "number count"}>{reads}</td>
    <td class={writes === 0 ? "number count zero" : "number count"}>{writes}</td>
    <td class="meaning">{meaning}</td>
  </tr>
));

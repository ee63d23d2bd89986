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
  /** Shows the next access of a register's copy; of any copy if the index is undefined. */
  readonly onShow?: Show | undefined;
}

type Show = (name: string, index: number | undefined) => void;

/** The rows as a table. */
export function RegisterRows({ rows, hasCounts, onShow }: RegisterRowsProps) {
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
      <tbody>
        {rows.map((row) => <Group key={row.register.name} row={row} onShow={onShow} />)}
      </tbody>
    </table>
  );
}

/** A register with its copies. */
function Group({ row, onShow }: { row: RegisterRow; onShow: Show | undefined }) {
  const [open, setOpen] = useState(false);
  const { register, copies, reads, writes } = row, { name, count, section, meaning } = register;
  const text = `${meaning} (${section})`;
  if (copies.length === 0) {
    const none = { value: null, reads: 0, writes: 0, isCurrent: false };
    return <Row name={name} title={name} {...none} meaning={text} onShow={onShow} />;
  }
  if (copies.length <= MOST_COPIES) {
    return <Copies register={register} copies={copies} text={text} onShow={onShow} />;
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
      {open && <Copies register={register} copies={copies} text="" onShow={onShow} />}
    </>
  );
}

interface CopiesProps {
  readonly register: Register;
  readonly copies: readonly RegisterCopy[];
  /** The meaning, beside the first copy. */
  readonly text: string;
  readonly onShow: Show | undefined;
}

function Copies({ register, copies, text, onShow }: CopiesProps) {
  return (
    <>
      {copies.map((copy, i) => (
        <Row
          key={copy.index}
          name={register.name}
          index={copy.index}
          title={nameOf(register, copy.index)}
          onShow={onShow}
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
  /** Index of the copy; undefined if the row is not about one. */
  readonly index?: number;
  readonly title: string;
  /** The value; null if it is that after reset. */
  readonly value: number | null;
  readonly reads: number;
  readonly writes: number;
  readonly isCurrent: boolean;
  readonly meaning: string;
  readonly onShow: Show | undefined;
}

/** One register. */
const Row = memo((properties: RowProps) => {
  const { name, index, title, value, reads, writes, isCurrent, meaning, onShow } = properties;
  return (
    <tr class={isCurrent ? "changed" : ""}>
      <th scope="row">
        {onShow === undefined ? title : (
          <button
            type="button"
            class="register-name"
            title={`Go to the next access of ${title}`}
            onClick={() => onShow(name, index)}
          >
            {title}
          </button>
        )}
      </th>
      <td class={value === null ? "number zero" : "number"}>
        {value === null ? "as after reset" : hex(value)}
      </td>
      <td class={reads === 0 ? "number count zero" : "number count"}>{reads}</td>
      <td class={writes === 0 ? "number count zero" : "number count"}>{writes}</td>
      <td class="meaning">{meaning}</td>
    </tr>
  );
});

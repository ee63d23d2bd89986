/**
 * Bytes as a hexdump whose parts have the colours of their headers.
 *
 * @module
 */

import type { Field, Layer } from "./dissection.ts";

/** Bytes of a line. */
const LINE = 16;
/** The most lines that are shown: of a jumbo frame the rest is payload. */
const MOST_LINES = 24;

interface HexdumpProps {
  readonly bytes: Uint8Array;
  readonly layers: readonly Layer[];
  /** Bytes that the program has changed. */
  readonly changed: ReadonlySet<number>;
  /** Bytes that the device moves in this step. */
  readonly moved: readonly [from: number, to: number] | undefined;
  /** The field that is marked. */
  readonly marked: Field | undefined;
  /** Called with the field that the reader points at. */
  readonly onMark: (field: Field | undefined) => void;
}

/** A hexdump. Pointing at a byte marks its field. */
export function Hexdump(properties: HexdumpProps) {
  const { bytes, layers, changed, moved, marked, onMark } = properties;
  const lines = Math.ceil(bytes.length / LINE), shown = linesToShow(lines, moved);
  const lookOf = (i: number) => {
    const layer = layers.find(({ from, to }) => i >= from && i < to);
    const looks = [`layer-${layer?.name ?? "payload"}`];
    if (changed.has(i)) looks.push("byte-changed");
    if (moved !== undefined && (i < moved[0] || i >= moved[1])) looks.push("byte-still");
    if (marked !== undefined && i >= marked.from && i < marked.to) looks.push("byte-marked");
    return looks.join(" ");
  };
  const point = (event: Event) => {
    const at = (event.target as HTMLElement).dataset.at;
    onMark(at === undefined ? undefined : fieldAt(layers, Number(at)));
  };
  return (
    <figure class="hexdump" onPointerOver={point} onPointerLeave={() => onMark(undefined)}>
      <table aria-label="Bytes of the frame in hexadecimal">
        <tbody>
          {shown.map((line) => (
            <Line
              key={line}
              start={line * LINE}
              bytes={bytes}
              lookOf={lookOf}
            />
          ))}
        </tbody>
      </table>
      {shown.length < lines && (
        <p class="hexdump-rest">
          Lines {shown[0] + 1} to {shown[shown.length - 1] + 1} of {lines}.
        </p>
      )}
      <figcaption>
        {marked === undefined ? "Point at a byte, or move to a field below, to see what it is." : (
          <>
            bytes {marked.from} to {marked.to - 1}: {marked.name} <b>{marked.value}</b>
          </>
        )}
      </figcaption>
    </figure>
  );
}

interface LineProps {
  readonly start: number;
  readonly bytes: Uint8Array;
  readonly lookOf: (i: number) => string;
}

function Line({ start, bytes, lookOf }: LineProps) {
  const indices = Array.from({ length: LINE }, (_, i) => start + i);
  return (
    <tr>
      <th scope="row">{start.toString(16).padStart(4, "0")}</th>
      {indices.map((i) => (
        i < bytes.length
          ? (
            <td key={i} class={lookOf(i)} data-at={i}>
              {bytes[i].toString(16).padStart(2, "0")}
            </td>
          )
          : <td key={i} />
      ))}
      <td class="hexdump-text">{textOf(bytes.subarray(start, start + LINE))}</td>
    </tr>
  );
}

/** The first lines, or those around the bytes that are moved. */
function linesToShow(lines: number, moved: HexdumpProps["moved"]): number[] {
  const first = moved === undefined ? 0 : Math.floor(moved[0] / LINE);
  const start = Math.max(0, Math.min(first, lines - MOST_LINES));
  return Array.from({ length: Math.min(lines - start, MOST_LINES) }, (_, i) => start + i);
}

function textOf(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·")
    .join("");
}

/** Returns the field that a byte belongs to; for payload and padding, a field of all of it. */
function fieldAt(layers: readonly Layer[], at: number): Field | undefined {
  const layer = layers.find(({ from, to }) => at >= from && at < to);
  if (layer === undefined) return undefined;
  const { name, from, to } = layer;
  const fields = layer.fields.filter((field) => at >= field.from && at < field.to);
  return fields.at(-1) ?? { name, from, to, value: `${to - from} bytes` };
}

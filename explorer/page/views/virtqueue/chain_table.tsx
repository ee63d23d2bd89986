/**
 * The descriptor table of a virtqueue, with an arrow from each descriptor to the next one of its chain.
 *
 * @module
 */

import { useEffect, useRef } from "preact/hooks";
import { descriptorSection, ownerSection, type RingName } from "../../../recording/layout.ts";
import { memo } from "../memo.ts";
import { OWNERS } from "../rings/ring_state.ts";
import { cellsOf, type Scene } from "../scene.ts";

/** Flags of a descriptor. */
const NEXT = 1, WRITE = 2, INDIRECT = 4;
/** Height of a row and width of the arrows, in pixels; as in the style sheet. */
const ROW = 20, ARROWS = 30;

interface ChainTableProps {
  readonly scene: Scene;
  readonly name: RingName;
  /** The descriptor that the current step is about. */
  readonly current: number | undefined;
}

/** The descriptor table. It scrolls to the current descriptor. */
export function ChainTable({ scene, name, current }: ChainTableProps) {
  const { port, ring, queue } = name, list = useRef<HTMLDivElement>(null);
  const words = cellsOf(scene, descriptorSection(port, ring, queue));
  const owners = cellsOf(scene, ownerSection(port, ring, queue));
  useEffect(() => {
    const element = list.current!, top = (current ?? 0) * ROW;
    const isSeen = top >= element.scrollTop && top < element.scrollTop + element.clientHeight - ROW;
    if (current !== undefined && !isSeen) element.scrollTop = top - element.clientHeight / 2;
  }, [current]);
  return (
    <div class="chains" ref={list} tabIndex={0} role="region" aria-label="Descriptor table">
      <svg class="chain-arrows" width={ARROWS} height={owners.length * ROW} aria-hidden="true">
        <path d={arrowsOf(words, owners.length)} />
      </svg>
      <table>
        <tbody>
          {Array.from(owners, (owner, i) => (
            <Row
              key={i}
              index={i}
              low={words[4 * i]}
              high={words[4 * i + 1]}
              bytes={words[4 * i + 2]}
              last={words[4 * i + 3]}
              owner={owner}
              isCurrent={i === current}
            />
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface RowProps {
  readonly index: number;
  /** The halves of the address. */
  readonly low: number;
  readonly high: number;
  readonly bytes: number;
  /** Flags, and the next descriptor in the high half. */
  readonly last: number;
  readonly owner: number;
  readonly isCurrent: boolean;
}

/** A descriptor. */
const Row = memo(({ index, low, high, bytes, last, owner, isCurrent }: RowProps) => (
  <tr class={isCurrent ? "chain-current" : ""}>
    <th scope="row">{index}</th>
    <td>
      <span class={`owner-mark owner-mark-${OWNERS[owner]}`}>{OWNERS[owner]}</span>
    </td>
    <td>0x{(BigInt(high) << 32n | BigInt(low)).toString(16)}</td>
    <td class="number">{bytes} bytes</td>
    <td>{flagsOf(last)}</td>
  </tr>
));

function flagsOf(last: number): string {
  return [
    ...(last & WRITE ? ["WRITE"] : []),
    ...(last & INDIRECT ? ["INDIRECT"] : []),
    ...(last & NEXT ? [`NEXT → ${last >>> 16}`] : []),
  ].join(", ");
}

/** The arrows of all chains as one path. */
function arrowsOf(words: Uint32Array, size: number): string {
  let path = "";
  for (let i = 0; i < size; i++) {
    const last = words[4 * i + 3], to = last >>> 16;
    if ((last & NEXT) === 0 || to >= size) continue;
    const [y, end] = [i * ROW + ROW / 2, to * ROW + ROW / 2];
    path += `M${ARROWS - 3},${y}C2,${y} 2,${end} ${ARROWS - 3},${end}m-5,-3l5,3l-5,3`;
  }
  return path;
}

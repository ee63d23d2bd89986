/**
 * The available or the used ring of a virtqueue: flags, index and entries.
 *
 * @module
 */

import { memo } from "../memo.ts";
import type { VirtqueueRing } from "./virtqueue_state.ts";

interface RingStripProps {
  readonly title: string;
  /** Who writes the ring. */
  readonly writer: "driver" | "device";
  readonly section: string;
  readonly ring: VirtqueueRing;
  /** What the flags mean now. */
  readonly flagsInWords: string;
}

/** A ring as a strip of entries. The place that its index points at is marked. */
export function RingStrip({ title, writer, section, ring, flagsInWords }: RingStripProps) {
  const { flags, index, place, entries, flagsChanged, indexChanged } = ring;
  return (
    <section class="strip">
      <h4>
        {title} <span class="section">written by the {writer}, {section}</span>
      </h4>
      <p>
        <span class={flagsChanged ? "changed" : ""}>flags {flags}</span>: {flagsInWords}
      </p>
      <p>
        <span class={indexChanged ? "changed" : ""}>idx {index}</span>: the next entry goes to place
        {" "}
        {place}
      </p>
      <ol aria-label={`Entries of the ${title.toLowerCase()}: descriptor chains by place`}>
        {entries.map(({ id, length, isChanged }, i) => (
          <Entry key={i} id={id} bytes={length} isNext={i === place} isChanged={isChanged} />
        ))}
      </ol>
    </section>
  );
}

interface EntryProps {
  readonly id: number;
  readonly bytes: number | undefined;
  readonly isNext: boolean;
  readonly isChanged: boolean;
}

const Entry = memo(({ id, bytes, isNext, isChanged }: EntryProps) => (
  <li class={`${isNext ? "strip-next" : ""}${isChanged ? " changed" : ""}`}>
    {id}
    {bytes !== undefined && bytes > 0 && <small>{bytes}</small>}
  </li>
));

/**
 * The descriptor that the current step is about, before and after the step.
 *
 * @module
 */

import { isWrittenBack } from "../../recording/descriptor_format.ts";
import type { DescriptorAccess, Kind } from "../../recording/step.ts";
import { type Player, usePlayer } from "../player.ts";
import { DescriptorBits } from "./descriptor/bits.tsx";
import { type Format, formatOf } from "./descriptor/formats.ts";

/** The descriptor of the current step. */
export function DescriptorView({ player }: { player: Player }) {
  usePlayer(player);
  const { step } = player;
  if (step?.descriptor === undefined) {
    return <p class="nothing">This step is not about a descriptor.</p>;
  }
  return <Access access={step.descriptor} kind={step.kind} port={step.port} />;
}

interface AccessProps {
  readonly access: DescriptorAccess;
  readonly kind: Kind;
  readonly port: number;
}

function Access({ access, kind, port }: AccessProps) {
  const { ring, queue, index, old, words } = access;
  const before = formatBefore(access, kind), after = formatOf(access);
  const label = `Descriptor ${index} of ${ring.toUpperCase()} ring ${queue} of port ${port}`;
  if (before === after) {
    return (
      <div class="descriptor" role="group" aria-label={label}>
        <DescriptorBits format={after} old={old} words={words} />
      </div>
    );
  }
  const known = comparable(before, after, old, words);
  return (
    <div class="descriptor" role="group" aria-label={label}>
      <DescriptorBits format={after} old={known} words={words} />
      <p class="before">Before this step:</p>
      <DescriptorBits format={before} old={old} words={old} />
    </div>
  );
}

/** The format of the words before a step: a write-back finds the read format, and arming may find DD. */
function formatBefore(access: DescriptorAccess, kind: Kind): Format {
  if (kind === "write-back") return formatOf({ ...access, writtenBack: false });
  return formatOf({ ...access, writtenBack: isWrittenBack(access, access.old) });
}

/**
 * Returns the old words so far as they can be compared with words in another format. A word that is part
 * of an address in one of the formats cannot: it counts as unchanged.
 */
function comparable(
  before: Format,
  after: Format,
  old: readonly number[],
  words: readonly number[],
): readonly number[] {
  return words.map((word, i) => {
    const isAddress = hasAddress(after, i) || old[i] !== 0 && hasAddress(before, i);
    return isAddress ? word : old[i];
  });
}

/** Returns whether a word is part of an address. */
function hasAddress({ bits }: Format, word: number): boolean {
  return bits.some((bit) => bit.isAddress && (word === bit.word || word === bit.word + 1));
}

/**
 * Details of the selected descriptor: its owner in words, its bits, its buffer and frame.
 *
 * @module
 */

import { descriptorFormat, isWrittenBack } from "../../../recording/descriptor_format.ts";
import { DescriptorBits } from "../descriptor/bits.tsx";
import { formatOf } from "../descriptor/formats.ts";
import type { Scene } from "../scene.ts";
import { type DescriptorName, selection } from "../selection.ts";
import { descriptorState, ringState } from "./ring_state.ts";
import { ownerSentence, ringTitle } from "./words.ts";

/** Details of a descriptor. */
export function DescriptorDetails({ scene, name }: { scene: Scene; name: DescriptorName }) {
  const descriptor = descriptorState(scene, name);
  if (descriptor === undefined) return null;
  const { ring } = name, { words, owner, buffer, frame } = descriptor;
  const state = ringState(scene, name);
  const format = state.isVirtqueue ? "virtio" : descriptorFormat(ring, words);
  const writtenBack = isWrittenBack({ ring, format }, words);
  return (
    <section class="details" aria-label="Selected descriptor">
      <header>
        <h3>Descriptor {name.index} of {ringTitle(name)}</h3>
        <button type="button" onClick={() => selection.selectDescriptor(undefined)}>Close</button>
      </header>
      <p>
        {ownerSentence(owner, state, name.index)} {bufferSentence(buffer, frame)}
      </p>
      <DescriptorBits format={formatOf({ ring, format, writtenBack })} old={words} words={words} />
    </section>
  );
}

function bufferSentence(buffer: number | undefined, frame: number | undefined): string {
  if (buffer === undefined) return "";
  return `Its buffer is number ${buffer} of the pool${
    frame === undefined ? "" : `, with frame ${frame}`
  }.`;
}

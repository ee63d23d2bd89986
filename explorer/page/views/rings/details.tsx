/**
 * The selected descriptor, to be chosen here too: its owner in words, its bits, its buffer and frame.
 *
 * @module
 */

import { descriptorFormat, isWrittenBack } from "../../../recording/descriptor_format.ts";
import { DescriptorBits } from "../descriptor/bits.tsx";
import { formatOf } from "../descriptor/formats.ts";
import type { Scene } from "../scene.ts";
import { type DescriptorName, selection } from "../selection.ts";
import { FindDescriptor } from "./find_descriptor.tsx";
import { type DescriptorState, descriptorState, type RingState, ringState } from "./ring_state.ts";
import { ownerSentence } from "./words.ts";

interface DescriptorDetailsProps {
  readonly scene: Scene;
  readonly states: readonly RingState[];
  /** The selected descriptor. */
  readonly name: DescriptorName | undefined;
}

/** A form that selects a descriptor, and below it details of the selected one. */
export function DescriptorDetails({ scene, states, name }: DescriptorDetailsProps) {
  const descriptor = name && descriptorState(scene, name);
  return (
    <section class="details" aria-label="Selected descriptor">
      <header>
        <FindDescriptor states={states} selected={name} />
        {name === undefined
          ? <span class="note">or click a ring</span>
          : (
            <button type="button" onClick={() => selection.selectDescriptor(undefined)}>
              Close
            </button>
          )}
      </header>
      {descriptor !== undefined && <Descriptor scene={scene} descriptor={descriptor} />}
    </section>
  );
}

interface DescriptorProps {
  readonly scene: Scene;
  readonly descriptor: DescriptorState;
}

/** The owner in words, and the bits. */
function Descriptor({ scene, descriptor }: DescriptorProps) {
  const { name, words, owner, buffer, frame } = descriptor, { ring } = name;
  const state = ringState(scene, name);
  const format = state.isVirtqueue ? "virtio" : descriptorFormat(ring, words);
  const writtenBack = isWrittenBack({ ring, format }, words);
  return (
    <>
      <p role="status">
        {ownerSentence(owner, state, name.index)} {bufferSentence(buffer, frame)}
      </p>
      <DescriptorBits format={formatOf({ ring, format, writtenBack })} old={words} words={words} />
    </>
  );
}

function bufferSentence(buffer: number | undefined, frame: number | undefined): string {
  if (buffer === undefined) return "";
  return `Its buffer is number ${buffer} of the pool${
    frame === undefined ? "" : `, with frame ${frame}`
  }.`;
}

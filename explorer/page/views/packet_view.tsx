/**
 * A frame as a hexdump with its headers named, and their fields decoded.
 *
 * @module
 */

import { useState } from "preact/hooks";
import { summarize } from "../../../packets/summary.ts";
import { useObservable } from "../observable.ts";
import { type Player, usePlayer } from "../player.ts";
import { descriptorState, frameIn } from "./rings/ring_state.ts";
import { sceneOf } from "./scene.ts";
import { selection } from "./selection.ts";
import type { Field, Layer } from "./packet/dissection.ts";
import { changedBytes, frameAt, type FrameBytes } from "./packet/frame_bytes.ts";
import { Hexdump } from "./packet/hexdump.tsx";
import { layersOf } from "./packet/layers.ts";

/** The frame of the current step, or of the selected descriptor or buffer. */
export function PacketView({ player }: { player: Player }) {
  usePlayer(player);
  useObservable(selection);
  const chosen = selectedFrame(player);
  const frame = frameAt(player.recording, player.position, chosen);
  if (frame === undefined) return <p class="nothing">No frame has arrived yet.</p>;
  const isCurrent = chosen === undefined && player.step?.frame === frame.frame;
  return <Packet frame={frame} note={note(isCurrent, chosen !== undefined)} />;
}

function note(isCurrent: boolean, isChosen: boolean): string {
  return isChosen
    ? "selected"
    : isCurrent
    ? "this step's frame"
    : "the last frame before this step";
}

/** The frame in the selected buffer, or in that of the selected descriptor. */
function selectedFrame(player: Player): number | undefined {
  const scene = sceneOf(player), { buffer, descriptor } = selection;
  if (buffer !== undefined) return frameIn(scene, buffer);
  return descriptor && descriptorState(scene, descriptor)?.frame;
}

/** A frame. */
function Packet({ frame, note }: { frame: FrameBytes; note: string }) {
  const [field, setField] = useState<Field | undefined>(undefined);
  const { bytes, moved } = frame, layers = layersOf(bytes);
  return (
    <div class="packet">
      <h3>
        Frame {frame.frame} <span class="packet-note">{bytes.length} bytes, {note}</span>
      </h3>
      <p class="packet-summary">{summarize(bytes)}</p>
      {moved !== undefined && moved[1] - moved[0] < bytes.length && (
        <p>The device moves bytes {moved[0]} to {moved[1] - 1} in this step.</p>
      )}
      <Hexdump
        bytes={bytes}
        layers={layers}
        changed={changedBytes(frame)}
        moved={moved}
        marked={field}
        onMark={setField}
      />
      <Layers layers={layers} marked={field} onMark={setField} />
    </div>
  );
}

interface LayersProps {
  readonly layers: readonly Layer[];
  readonly marked: Field | undefined;
  readonly onMark: (field: Field | undefined) => void;
}

/** The parts of the frame with their fields. A field that is pointed at is marked in the hexdump. */
function Layers({ layers, marked, onMark }: LayersProps) {
  return (
    <dl class="layers">
      {layers.map(({ name, from, to, fields, cutShort }) => (
        <div key={from} class="layer">
          <dt class={`layer-${name}`}>
            {name} <span>{to - from} bytes{cutShort && ", cut short"}</span>
          </dt>
          <dd>
            {fields.map((field) => (
              <span
                key={field.name}
                tabIndex={0}
                class={lookOf(field, isSame(field, marked))}
                onPointerEnter={() => onMark(field)}
                onPointerLeave={() => onMark(undefined)}
                onFocus={() => onMark(field)}
                onBlur={() => onMark(undefined)}
              >
                {field.name} <b>{field.value}</b>
              </span>
            ))}
          </dd>
        </div>
      ))}
    </dl>
  );
}

function lookOf(field: Field, isMarked: boolean): string {
  const right = field.right === undefined ? "" : field.right ? " field-right" : " field-wrong";
  return `field${right}${isMarked ? " field-marked" : ""}`;
}

function isSame(field: Field, other: Field | undefined): boolean {
  return field.from === other?.from && field.name === other.name;
}

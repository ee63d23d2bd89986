/**
 * The buttons that jump to the next or previous step of a kind.
 *
 * @module
 */

import { type Direction, jumpTarget, moveToFound, sameFrame } from "../commands.ts";
import type { Explorer } from "../explorer.ts";
import { JUMPS } from "../jumps.ts";
import { useObservable } from "../observable.ts";
import { usePlayer } from "../player.ts";

/** A pair of buttons for each kind of jump, and one that follows the current step's frame. */
export function JumpBar({ explorer }: { explorer: Explorer }) {
  useObservable(explorer);
  const { step } = usePlayer(explorer.player);
  const frame = step?.frame;
  return (
    <div class="jumps" role="toolbar" aria-label="Jumps">
      {JUMPS.map(({ id, label, key }, i) => (
        <JumpPair
          key={id}
          explorer={explorer}
          label={label}
          hotkey={key}
          count={explorer.index.jumpsTo(i).length}
          target={(direction) => jumpTarget(explorer, i, direction)}
        />
      ))}
      <JumpPair
        explorer={explorer}
        label={frame === undefined ? "this frame" : `frame ${frame}'s way`}
        hotkey="n"
        target={(direction) => sameFrame(explorer, direction)}
      />
    </div>
  );
}

interface JumpPairProps {
  readonly explorer: Explorer;
  readonly label: string;
  readonly hotkey: string;
  readonly count?: number;
  readonly target: (direction: Direction) => number;
}

function JumpPair({ explorer, label, hotkey, count, target }: JumpPairProps) {
  const button = (direction: Direction, word: string, key: string, sign: string) => {
    const step = target(direction);
    return (
      <button
        type="button"
        disabled={step < 0}
        onClick={() => moveToFound(explorer, step)}
        aria-label={`${word} ${label}`}
        title={`${word} ${label} (${key})`}
      >
        {sign}
      </button>
    );
  };
  return (
    <span class="jump">
      {button(-1, "Previous", `Shift+${hotkey.toUpperCase()}`, "‹")}
      <span>
        {label}
        {count !== undefined && <small>{count}</small>}
      </span>
      {button(1, "Next", hotkey, "›")}
    </span>
  );
}

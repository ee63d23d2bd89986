/**
 * Patterns of owners, so that they are told apart without colour: stripes for armed descriptors, dots for
 * those that are done. The driver's and the device's are plain, one pale and one dark.
 *
 * @module
 */

import type { ComponentChildren } from "preact";
import type { OwnerWord } from "./ring_state.ts";

/** The pattern of an owner as a fill; none for owners without one. */
export function patternOf(owner: OwnerWord): string {
  return owner === "armed" || owner === "done" ? `url(#pattern-${owner})` : "none";
}

/** The patterns, as definitions for pictures of the page. */
export function Patterns() {
  return (
    <svg class="patterns" width="0" height="0" aria-hidden="true">
      <defs>
        <Pattern owner="armed">
          <path d="M-2,2L2,-2M0,8L8,0M6,10L10,6" />
        </Pattern>
        <Pattern owner="done">
          <circle cx="2" cy="2" r="1.3" />
          <circle cx="6" cy="6" r="1.3" />
        </Pattern>
      </defs>
    </svg>
  );
}

function Pattern({ owner, children }: { owner: OwnerWord; children: ComponentChildren }) {
  return (
    <pattern id={`pattern-${owner}`} width="8" height="8" patternUnits="userSpaceOnUse">
      {children}
    </pattern>
  );
}

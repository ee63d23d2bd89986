/**
 * The page's address: what it points at is shown, and it points at what is shown.
 *
 * @module
 */

import type { Explorer } from "./explorer.ts";

/** How long a step has to be shown before the address points at it, in milliseconds. */
const REST = 200;

/** Opens what the page's address points at, and keeps the address at what is shown. */
export function keepLink(explorer: Explorer): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  // Browsers refuse more than some changes of the address a second.
  const changed = () => {
    clearTimeout(timer);
    timer = setTimeout(
      () => !explorer.busy && history.replaceState(null, "", address(explorer)),
      REST,
    );
  };
  explorer.subscribe(changed);
  explorer.player.subscribe(changed);
  addEventListener("hashchange", () => explorer.open(location.hash.slice(1)));
  explorer.open(location.hash.slice(1));
}

/** Returns the permanent link to what is shown. */
export function address(explorer: Explorer): string {
  return `${location.href.replace(/#.*/s, "")}#${explorer.link}`;
}

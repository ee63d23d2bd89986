/**
 * Tabs.
 *
 * @module
 */

import type { ComponentChildren } from "preact";

interface TabsProps {
  readonly label: string;
  readonly names: readonly string[];
  /** The tab that is open; undefined if none is. */
  readonly open: string | undefined;
  readonly onOpen: (name: string) => void;
  /** The open tab's contents. */
  readonly children: ComponentChildren;
}

/** A row of tabs, which the arrow keys move along, and the contents of the open one. */
export function Tabs({ label, names, open, onOpen, children }: TabsProps) {
  const onKeyDown = (event: KeyboardEvent) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    const next = (names.indexOf(open ?? names[0]) + by + names.length) % names.length;
    onOpen(names[next]);
    (event.currentTarget as HTMLElement).querySelectorAll("button")[next].focus();
  };
  return (
    <>
      <div class="tabs" role="tablist" aria-label={label} onKeyDown={onKeyDown}>
        {names.map((name, i) => (
          <button
            key={name}
            type="button"
            role="tab"
            aria-selected={name === open}
            tabIndex={name === open || open === undefined && i === 0 ? 0 : -1}
            onClick={() => onOpen(name)}
          >
            {name}
          </button>
        ))}
      </div>
      {open !== undefined && (
        <div class="tab-panel" role="tabpanel" aria-label={open} tabIndex={0}>{children}</div>
      )}
    </>
  );
}

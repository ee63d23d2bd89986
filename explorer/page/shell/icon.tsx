/**
 * Icons of buttons, drawn: not every system's font has signs for them.
 *
 * @module
 */

/** Outlines in a square of 16 units. */
const PATHS = {
  first: "M3 3h2v10H3zM13 3v10L6 8z",
  back: "M11 3v10L4 8z",
  play: "M4 2.5v11L13 8z",
  pause: "M4 3h3v10H4zM9 3h3v10H9z",
  forward: "M5 3v10l7-5z",
  last: "M3 3v10l7-5zM11 3h2v10h-2z",
  link:
    "M6.5 4.5 8.6 2.4a3.5 3.5 0 0 1 5 5L11.5 9.5l-1-1 2.1-2.1a2.1 2.1 0 0 0-3-3L7.5 5.5zM9.5 11.5l-2.1 2.1a3.5 3.5 0 0 1-5-5l2.1-2.1 1 1-2.1 2.1a2.1 2.1 0 0 0 3 3l2.1-2.1zM5.5 9.5l4-4 1 1-4 4z",
  save: "M7 2h2v6h3l-4 4-4-4h3zM2 12.5h12V14H2z",
  open: "M7 12h2V6h3L8 2 4 6h3zM2 12.5h12V14H2z",
  theme: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zM8 2.7v10.6a5.3 5.3 0 0 1 0-10.6z",
} as const;

/** A small icon, which screen readers skip. */
export function Icon({ name }: { name: keyof typeof PATHS }) {
  return (
    <svg
      class="icon"
      viewBox="0 0 16 16"
      width="13"
      height="13"
      aria-hidden="true"
      fill-rule="evenodd"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}

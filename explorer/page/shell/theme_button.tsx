/**
 * The button for dark and light colours.
 *
 * @module
 */

import { toggleTheme } from "../theme.ts";

/** Changes from dark to light, and back. */
export function ThemeButton() {
  return (
    <button type="button" onClick={toggleTheme} title="Change between dark and light colours">
      ◐ Theme
    </button>
  );
}

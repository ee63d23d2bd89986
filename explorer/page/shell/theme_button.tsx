/**
 * The button for dark and light colours.
 *
 * @module
 */

import { toggleTheme } from "../theme.ts";
import { Icon } from "./icon.tsx";

/** Changes from dark to light, and back. */
export function ThemeButton() {
  return (
    <button type="button" onClick={toggleTheme} title="Change between dark and light colours">
      <Icon name="theme" /> Theme
    </button>
  );
}

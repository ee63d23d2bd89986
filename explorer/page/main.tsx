/**
 * The page's entry.
 *
 * @module
 */

import "./style.css";
import { render } from "preact";
import { App } from "./shell/app.tsx";
import { Explorer } from "./explorer.ts";
import { keepLink } from "./address.ts";
import { LiveApp } from "./shell/live_app.tsx";
import { followTheme } from "./theme.ts";

followTheme();
if (document.documentElement.dataset.mode === "attach") {
  render(<LiveApp />, document.body);
} else {
  const explorer = new Explorer();
  render(<App explorer={explorer} />, document.body);
  keepLink(explorer);
  Object.assign(globalThis, { explorer }); // for the browser's console, and for tests
}

/**
 * The pictures of the current step as one SVG file, in light colours.
 *
 * @module
 */

import type { Player } from "../../player.ts";
import { create, draw } from "./drawing.ts";

/** The pictures, from the top down. */
const PICTURES = ".rings, .virtqueues, .pool, .descriptor, .register";
/** Space around a picture, and height of the title, in pixels. */
const MARGIN = 16, TITLE = 24;

/** Returns the pictures that the page shows, one below the other, with the step's title. */
export function svgOf({ step, position, begin: { device } }: Player): string {
  const root = document.documentElement, theme = root.dataset.theme;
  root.dataset.theme = "light"; // the page is not drawn before this function returns
  try {
    const title = step === undefined ? device : `${device}, step ${position + 1}: ${step.title}`;
    return new XMLSerializer().serializeToString(together(title));
  } finally {
    if (theme === undefined) delete root.dataset.theme;
    else root.dataset.theme = theme;
  }
}

function together(title: string): SVGSVGElement {
  const file = create("svg", {}), text = getComputedStyle(document.body);
  const background = create("rect", { width: "100%", height: "100%", fill: "#ffffff" });
  const font = { "font-family": text.fontFamily, "font-size": 15, "font-weight": 600 };
  const heading = create("text", { x: MARGIN, y: MARGIN + 12, fill: text.color, ...font });
  heading.textContent = title;
  file.append(background, heading);
  let width = 0, y = MARGIN + TITLE;
  for (const picture of document.querySelectorAll(PICTURES)) {
    const box = picture.getBoundingClientRect();
    const group = draw(picture);
    group.setAttribute("transform", `translate(${MARGIN} ${y})`);
    file.append(group);
    width = Math.max(width, box.width);
    y += box.height + MARGIN;
  }
  const [w, h] = [Math.ceil(width + 2 * MARGIN), Math.ceil(y)];
  file.setAttribute("viewBox", `0 0 ${w} ${h}`);
  file.setAttribute("width", String(w));
  file.setAttribute("height", String(h));
  return file;
}

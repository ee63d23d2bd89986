/**
 * What is in view of an element that scrolls, without asking the browser at each step: that would lay out
 * the page each time.
 *
 * @module
 */

import type { RefObject } from "preact";
import { useLayoutEffect, useMemo } from "preact/hooks";

/** The part of an element's height that is in view, in CSS pixels. */
class ScrollView {
  top = 0;
  height = 0;
  #element: HTMLElement | null = null;

  /** Follows an element. Returns a function that ends it. */
  follow(element: HTMLElement, onChange: () => void): () => void {
    this.#element = element;
    const update = () => {
      if (this.top === element.scrollTop && this.height === element.clientHeight) return;
      this.top = element.scrollTop;
      this.height = element.clientHeight;
      onChange();
    };
    update();
    const sizes = new ResizeObserver(update);
    sizes.observe(element);
    element.addEventListener("scroll", update);
    return () => {
      sizes.disconnect();
      element.removeEventListener("scroll", update);
    };
  }

  /**
   * Brings a line into view, if it is not there.
   *
   * @param line Its upper edge.
   * @param above Height above it that has to be in view as well.
   * @param below Height below its upper edge that has to be in view as well.
   * @param all Height of all lines.
   * @returns Whether it has scrolled.
   */
  reveal(line: number, above: number, below: number, all: number): boolean {
    if (this.#element === null || this.height === 0) return false;
    const beyond = line + below - this.top - this.height;
    if (line - above >= this.top && beyond <= 0) return false;
    // A step further on, it moves by as little; after a jump the line is in the middle.
    const near = beyond > 0 && beyond <= below;
    const top = near ? this.top + beyond : line - this.height / 2;
    this.top = Math.max(0, Math.min(top, all - this.height));
    scrollSoon(this.#element, this.top);
    return true;
  }
}

/** Where elements are scrolled to, once all components are rendered: one layout, and not one for each. */
const waiting = new Map<HTMLElement, number>();

function scrollSoon(element: HTMLElement, top: number): void {
  if (waiting.size === 0) queueMicrotask(scrollAll);
  waiting.set(element, top);
}

function scrollAll(): void {
  for (const [element, top] of waiting) element.scrollTop = top;
  waiting.clear();
}

/** A hook: follows an element. `onChange` is called when another part is in view. */
export function useScrollView(
  ref: RefObject<HTMLElement>,
  onChange: () => void = () => {},
): ScrollView {
  const view = useMemo(() => new ScrollView(), []);
  useLayoutEffect(() => view.follow(ref.current!, onChange), []);
  return view;
}

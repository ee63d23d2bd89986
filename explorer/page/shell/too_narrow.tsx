/**
 * What the page says in a window that is too narrow; the style sheet hides it in others.
 *
 * @module
 */

/** A sentence in place of the page. */
export function TooNarrow() {
  return (
    <p class="too-narrow">
      The explorer needs a window of at least 1280 pixels in width. Make the window wider, or zoom
      out.
    </p>
  );
}

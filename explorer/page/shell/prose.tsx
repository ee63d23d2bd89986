/**
 * Text with code between backquotes.
 *
 * @module
 */

/** Shows text; what stands between backquotes as code. An empty line begins a paragraph. */
export function Prose({ text }: { text: string }) {
  return (
    <>
      {text.split(/\n\s*\n/).map((paragraph, i) => (
        <p key={i}>
          {paragraph.split("`").map((part, j) => j % 2 === 1 ? <code key={j}>{part}</code> : part)}
        </p>
      ))}
    </>
  );
}

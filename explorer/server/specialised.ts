/**
 * Keeps `src/specialise.ts` correct in a bundle.
 *
 * In a bundle all modules share one scope. If two of them have the same name, the bundler renames one:
 * the scope `{ MAX }` of a specialised function becomes `{ MAX: MAX2 }`, and the function's text, which is
 * compiled outside the bundle, refers to `MAX2`. So the scope needs that name, too.
 *
 * @module
 */

const CALL = /\bspecialise\d*\(import\.meta\.url, \{([^{}]*)\}/g;
const RENAMED = /\b(\w+): (\w+)\b/g;

/** Adds renamed constants to the scopes of specialised functions. Line numbers stay. */
export function withRenamedScopes(bundle: string): string {
  return bundle.replace(CALL, (call) => call.replace(RENAMED, "$1: $2, $2"));
}

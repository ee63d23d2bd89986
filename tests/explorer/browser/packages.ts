/**
 * The Debian packages that the tests of the page require. Not a test itself.
 *
 * @module
 */

/** Their names: the browser, and an ordinary web server. */
export const BROWSER_PACKAGES: readonly string[] = ["chromium", "python3"];

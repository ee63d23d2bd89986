/**
 * Opens the user's browser.
 *
 * @module
 */

/** Opens addresses by the desktop's default. */
const OPENER = "xdg-open";

/** Whether there is a desktop, on which a browser can be shown. */
export function hasDesktop(): boolean {
  return ["DISPLAY", "WAYLAND_DISPLAY"].some((name) => (Deno.env.get(name) ?? "") !== "");
}

/**
 * Opens an address in the user's browser, which outlives this process.
 *
 * @param complain Takes a sentence if no browser could be opened.
 */
export function openBrowser(url: string, complain: (sentence: string) => void): void {
  const failed = (why: string) => complain(`no browser was opened (${why}): open ${url} in one`);
  try {
    const child = new Deno.Command(OPENER, {
      args: [url],
      stdin: "null",
      stdout: "null",
      stderr: "null",
      detached: true,
    }).spawn();
    child.unref();
    child.status.then(({ code }) => {
      if (code !== 0) failed(`${OPENER} ended with exit code ${code}`);
    });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    failed(`${OPENER} is not installed`);
  }
}

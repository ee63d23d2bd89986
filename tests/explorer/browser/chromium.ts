/**
 * Chromium without a screen, for tests of the explorer's page. Not a test itself.
 *
 * @module
 */

import { type Browser, chromium } from "playwright-core";

const PROGRAM = "/usr/bin/chromium";
/** No sandbox, which containers do not allow; and nothing that asks servers on the internet. */
const FLAGS = [
  ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"],
  ...["--disable-background-networking", "--disable-component-update"],
];

/** Longest that any step of these tests takes: beside other suites, they get little of a processor. */
export const DEADLINE_MS = 300_000;

/** Whether Chromium is installed. */
export async function hasChromium(): Promise<boolean> {
  try {
    return (await Deno.stat(PROGRAM)).isFile;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return false;
  }
}

/** Starts Chromium with an empty profile, which it removes at its end. */
export function startChromium(): Promise<Browser> {
  return chromium.launch({ executablePath: PROGRAM, args: FLAGS, timeout: DEADLINE_MS });
}

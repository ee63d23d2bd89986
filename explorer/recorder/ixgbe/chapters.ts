/**
 * The chapters of an initialisation, in the order of the datasheet's section 4.6.3.
 *
 * @module
 */

/** The chapter of each function that `IxgbeDevice.start` calls, and of functions that programs call. */
const CHAPTERS: Readonly<Record<string, string>> = {
  checkEeprom: "check",
  checkSemaphores: "check",
  checkChecksum: "check",
  linkOf: "check",
  checkLink: "check",
  reset: "reset",
  clearResidue: "reset",
  setUp: "link",
  firmwareError: "link",
  setBusMaster: "dma",
  Counters: "statistics",
  initReceive: "receive",
  setPromiscuous: "receive",
  initRss: "receive",
  "#startRxQueue": "receive",
  initTransmit: "transmit",
  "#setUpTxQueue": "transmit",
  enableTransmit: "transmit",
  "#startInterrupts": "interrupts",
  enableReceiver: "receiver",
  settle: "link",
};

/**
 * Returns the chapter of an access during the initialisation.
 *
 * @param stack Its stack, innermost call first.
 * @returns undefined if the stack does not show it.
 */
export function chapterOf(stack: string): string | undefined {
  const names = stack.split("\n").map(nameOf);
  const start = names.findIndex((name) => name === "start");
  return start > 0 ? CHAPTERS[names[start - 1]] : undefined;
}

/** Returns the name of a function in a line of a stack, without its class and the bundler's number. */
function nameOf(line: string): string {
  const name = /at (?:async )?(?:new )?([\w.#$<>]+)/.exec(line)?.[1] ?? "";
  return name.replace(/^.*\./, "").replace(/^_/, "").replace(/\d+$/, "");
}

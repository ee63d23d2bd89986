/**
 * Blinks the LED of a card's port, so that a person finds it. Software turns the LED on and off, as
 * Linux's `ethtool -p` does: the hardware's own blinking needs a link, or one that is forced. Part of the
 * program `nic.ts`, and therefore above the drivers.
 *
 * @module
 */

import { LEDCTL } from "../ixgbe/registers.ts";
import { delay } from "../native/clock.ts";
import { type Card, withCard } from "./card.ts";
import type { System } from "./system.ts";

/** Modes of an LED (section 8.2.3.1.6). */
const LINK_ACTIVE = 0x4, ON = 0xe, OFF = 0xf;
/** LEDs of a port, the bits of one, and those of its mode. */
const LEDS = 4, LED_BITS = 8, MODE = 0xf;
/** The bits of an LED that change its light: mode, inverted, blinking. */
const LIGHT = 0xcf;
/** The LED to blink if no LED has the mode for link activity; as in Intel's drivers. */
const USUAL_LED = 2;
/** Time between two changes, and between two checks for a signal, in milliseconds. */
const HALF_PERIOD_MS = 250, LOOK_MS = 50;

/** What was done. */
export interface LedReport {
  /** The card's address, as the caller gave it. */
  readonly address: string;
  /** The card's model. */
  readonly model: string;
  /** Number of the LED, 0 to 3. */
  readonly led: number;
  /** How often it was turned on. */
  readonly blinks: number;
}

/**
 * Blinks the LED of a port, and then restores its mode.
 *
 * @param name A PCI address, or `vfio-user:PATH` for a function that another process serves.
 * @param seconds How long to blink.
 * @param stopped Returns whether to end earlier.
 * @throws {UsageError} if the card is not supported, the kernel does not let this process access its
 * registers, or they are turned off.
 * @throws {DeviceError} if the function is asleep or gone.
 */
export function blinkLed(
  system: System,
  name: string,
  seconds: number,
  stopped: () => boolean,
): Promise<LedReport> {
  const purpose = { command: "identify", instead: "ethtool -p" };
  return withCard(system, name, purpose, (card) => blink(card, seconds, stopped));
}

async function blink(
  { address, model, regs }: Card,
  seconds: number,
  stopped: () => boolean,
): Promise<LedReport> {
  const before = regs.read(LEDCTL), led = ledOf(before), shift = led * LED_BITS;
  const end = performance.now() + seconds * 1000;
  let blinks = 0;
  try {
    for (let on = true; performance.now() < end && !stopped(); on = !on) {
      regs.update(LEDCTL, LIGHT << shift, (on ? ON : OFF) << shift);
      if (on) blinks++;
      const next = Math.min(end, performance.now() + HALF_PERIOD_MS);
      while (performance.now() < next && !stopped()) {
        await delay(Math.min(LOOK_MS, next - performance.now()));
      }
    }
  } finally {
    // Only this LED: a driver may have changed others meanwhile.
    regs.update(LEDCTL, LIGHT << shift, before);
  }
  return { address, model: model.name, led, blinks };
}

/** Returns the LED that shows activity of the link. */
function ledOf(ledctl: number): number {
  for (let led = 0; led < LEDS; led++) {
    if ((ledctl >>> led * LED_BITS & MODE) === LINK_ACTIVE) return led;
  }
  return USUAL_LED;
}

/** Formats a report as a line of text. */
export function* formatLed({ address, model, led }: LedReport): Generator<string> {
  yield `${address}: ${model}, LED ${led} is as before`;
}

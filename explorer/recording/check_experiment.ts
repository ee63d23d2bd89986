/**
 * Checks experiments that come from outside: from a link, a form, or a message.
 *
 * @module
 */

import { UsageError } from "../../src/errors.ts";
import { type Action, BREAKS, DEFAULTS, DEVICES, type Experiment, FRAMES } from "./experiment.ts";

/** The most actions of an experiment, and the most frames of one action. */
const MAX_ACTIONS = 10_000, MAX_FRAMES = 1000;
/** The longest that an action lets time pass, in milliseconds. */
const MAX_SLEEP = 60_000;
/** The longest interval of EITR, in microseconds. */
const MAX_THROTTLE = 1022;
const MAX_BUFFERS = 16_384;

/** Says what a value must be, and whether it is that. */
interface Rule {
  readonly words: string;
  readonly holds: (value: unknown, experiment: Experiment) => boolean;
}

const isWhole = (value: unknown, least: number, most: number) =>
  Number.isInteger(value) && value as number >= least && value as number <= most;

const whole = (least: number, most: number): Rule => ({
  words: `a whole number from ${least} to ${most}`,
  holds: (value) => isWhole(value, least, most),
});

const oneOf = (values: readonly unknown[]): Rule => ({
  words: `one of ${values.join(", ")}`,
  holds: (value) => values.includes(value),
});

const optional = ({ words, holds }: Rule): Rule => ({
  words,
  holds: (value, experiment) => value === undefined || holds(value, experiment),
});

const SWITCH = oneOf([true, false]);
const ENTRIES: Rule = {
  words: "a power of two: 64 to 4096, or 16 to 256 for virtio",
  holds(value, { device }) {
    const [least, most] = device === "virtio" ? [16, 256] : [64, 4096];
    return isWhole(value, least, most) && Number.isInteger(Math.log2(value as number));
  },
};

/** What each setting must be. */
const SETTINGS: Readonly<Record<keyof Experiment, Rule>> = {
  device: oneOf(DEVICES),
  ports: oneOf([1, 2]),
  entries: ENTRIES,
  batch: whole(1, 32),
  queues: whole(1, 8),
  buffers: whole(64, MAX_BUFFERS),
  bufferSize: oneOf([2048, 4096]),
  dropEnable: SWITCH,
  promiscuous: SWITCH,
  interrupts: SWITCH,
  budget: whole(1, 64),
  actions: {
    words: `a list of at most ${MAX_ACTIONS} actions that begins with "open"`,
    holds: (value) =>
      Array.isArray(value) && value.length <= MAX_ACTIONS && value[0]?.do === "open",
  },
};

const PORT: Rule = {
  words: "the number of a port: from 0, less than `ports`",
  holds: (value, { ports }) => isWhole(value, 0, ports - 1),
};
const QUEUE: Rule = optional({
  words: "the number of a queue: from 0, less than `queues`",
  holds: (value, { queues }) => isWhole(value, 0, queues - 1),
});

/** What the parts of each action must be. */
const ACTIONS: Readonly<Record<Action["do"], Readonly<Record<string, Rule>>>> = {
  open: {},
  frame: {
    port: PORT,
    frame: oneOf(FRAMES),
    times: optional(whole(1, MAX_FRAMES)),
    flow: optional(whole(0, 65_535)),
  },
  round: { port: PORT },
  receive: { port: PORT, queue: QUEUE },
  transmit: { port: PORT, queue: QUEUE },
  free: {},
  reclaim: { port: PORT, queue: QUEUE },
  forward: { port: PORT },
  hoard: { buffers: whole(0, MAX_BUFFERS) },
  statistics: { port: PORT },
  interrupt: { port: PORT, queue: QUEUE },
  hybrid: { port: PORT },
  throttle: { port: PORT, queue: QUEUE, microseconds: whole(0, MAX_THROTTLE) },
  sleep: { milliseconds: whole(0, MAX_SLEEP) },
  break: { port: PORT, rule: oneOf(BREAKS) },
  close: {},
};

/**
 * Returns an experiment with the defaults for what is left out.
 *
 * @param value What should be an experiment, or a part of one.
 * @throws {UsageError} if it is not: the sentence names the setting and its values.
 */
export function checkExperiment(value: unknown): Experiment {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new UsageError(`an experiment is an object with settings, not ${show(value)}`);
  }
  checkNames("an experiment", Object.keys(value), Object.keys(SETTINGS));
  const experiment: Experiment = { ...DEFAULTS, ...value };
  for (const [name, { words, holds }] of Object.entries(SETTINGS)) {
    const setting = experiment[name as keyof Experiment];
    if (holds(setting, experiment)) continue;
    throw new UsageError(`\`${name}\` is ${words}, not ${show(setting)}`);
  }
  checkBuffers(experiment);
  experiment.actions.forEach((action) => checkAction(experiment, action));
  return experiment;
}

/**
 * Checks an action of an experiment.
 *
 * @throws {UsageError} if it is none: the sentence names the part and its values.
 */
export function checkAction(experiment: Experiment, action: Action): void {
  if (typeof action !== "object" || action === null || !Object.hasOwn(ACTIONS, action.do)) {
    const known = Object.keys(ACTIONS).join(", ");
    throw new UsageError(`an action does one of ${known}, not ${show(action?.do ?? action)}`);
  }
  const parts = ACTIONS[action.do];
  const { do: _, ...given } = action as Record<string, unknown> & Action;
  checkNames(`the action "${action.do}"`, Object.keys(given), Object.keys(parts));
  for (const [name, { words, holds }] of Object.entries(parts)) {
    const part = (given as Record<string, unknown>)[name];
    if (holds(part, experiment)) continue;
    throw new UsageError(`\`${name}\` of the action "${action.do}" is ${words}, not ${show(part)}`);
  }
}

/** Checks that the pool can fill all receive rings. */
function checkBuffers({ ports, queues, entries, buffers }: Experiment): void {
  const needed = ports * queues * entries;
  if (buffers >= needed) return;
  throw new UsageError(
    `\`buffers\` is ${buffers}, and ${ports * queues} receive ring(s) of ${entries} descriptors ` +
      `need ${needed}: use more buffers, fewer queues or smaller rings`,
  );
}

function checkNames(what: string, names: readonly string[], known: readonly string[]): void {
  const strange = names.find((name) => !known.includes(name));
  if (strange === undefined) return;
  throw new UsageError(`${what} has no \`${strange}\`: it has ${known.join(", ") || "no parts"}`);
}

function show(value: unknown): string {
  if (typeof value === "string") return `"${value}"`;
  return typeof value === "object" && value !== null ? "an object" : String(value);
}

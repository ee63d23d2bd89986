/**
 * Permanent links: the part of the page's address after `#`.
 *
 * `lesson=what-dd-is-for&step=12` is a step of a lesson. `x=entries:128;open;frame:0:udp;round:0&step=12`
 * is a step of an experiment: settings that are not the default ones, then the actions with their values
 * in order. Steps are counted from 1, as the page shows them.
 *
 * @module
 */

import {
  type Action,
  BREAKS,
  DEFAULTS,
  DEVICES,
  type Experiment,
  FRAMES,
} from "../recording/experiment.ts";

/** What a link points at. */
export interface Target {
  readonly lesson?: string;
  readonly experiment?: Experiment;
  /** Number of the step, from 0. */
  readonly step?: number;
}

/** A link that does not say what to show. The message is a sentence. */
export class LinkError extends Error {
  override readonly name = "LinkError";
}

/** A value of an action: a number, or one of several words. */
interface Field {
  readonly name: string;
  readonly words?: readonly string[];
  readonly optional?: true;
}

const PORT: Field = { name: "port" };
const QUEUE: Field = { name: "queue", optional: true };

/** The values of each action, in the order in which a link has them. */
const ACTIONS: Readonly<Record<Action["do"], readonly Field[]>> = {
  open: [],
  frame: [
    PORT,
    { name: "frame", words: FRAMES },
    { name: "times", optional: true },
    { name: "flow", optional: true },
  ],
  round: [PORT],
  receive: [PORT, QUEUE],
  transmit: [PORT, QUEUE],
  free: [],
  reclaim: [PORT, QUEUE],
  forward: [PORT],
  hoard: [{ name: "buffers" }],
  statistics: [PORT],
  interrupt: [PORT, QUEUE],
  sleep: [{ name: "milliseconds" }],
  break: [PORT, { name: "rule", words: BREAKS }],
  close: [],
};

/** Returns the part of an address after `#` that points at a step. */
export function linkTo(target: Target): string {
  const parts: string[] = [];
  if (target.lesson !== undefined) parts.push(`lesson=${target.lesson}`);
  else if (target.experiment !== undefined) parts.push(`x=${experimentText(target.experiment)}`);
  if (target.step !== undefined && target.step >= 0) parts.push(`step=${target.step + 1}`);
  return parts.join("&");
}

/**
 * Reads the part of an address after `#`.
 *
 * @throws {LinkError} if it does not say what to show.
 */
export function readLink(fragment: string): Target {
  const target: { lesson?: string; experiment?: Experiment; step?: number } = {};
  for (const part of fragment.split("&").filter((part) => part !== "")) {
    const [name, ...rest] = part.split("=");
    const value = decode(rest.join("="));
    if (name === "lesson") target.lesson = value;
    else if (name === "step") target.step = number(value, "step") - 1;
    else if (name === "x") target.experiment = readExperiment(value);
    else throw new LinkError(`The link has "${name}", but only lesson, x and step are known.`);
  }
  return target;
}

function experimentText(experiment: Experiment): string {
  const settings = Object.entries(DEFAULTS)
    .filter(([name]) => name !== "actions")
    .map(([name, usual]) => [name, experiment[name as keyof Experiment], usual])
    .filter(([, value, usual]) => value !== usual)
    .map(([name, value]) => `${name}:${value}`);
  return [settings.join(","), ...experiment.actions.map(actionText)].join(";");
}

function actionText(action: Action): string {
  const values = ACTIONS[action.do].map(({ name }) => (action as Record<string, unknown>)[name]);
  const text = [action.do, ...values.map((value) => value ?? "")].join(":");
  return text.replace(/:+$/, "");
}

function readExperiment(text: string): Experiment {
  const [settings, ...actions] = text.split(";");
  const experiment: Record<string, unknown> = { ...DEFAULTS };
  for (const setting of settings.split(",").filter((setting) => setting !== "")) {
    const [name, value = ""] = setting.split(":");
    if (!Object.hasOwn(DEFAULTS, name) || name === "actions") {
      throw new LinkError(`The link has the setting "${name}", which does not exist.`);
    }
    experiment[name] = settingValue(name, value);
  }
  if (actions.length > 0) experiment.actions = actions.map(readAction);
  return experiment as unknown as Experiment;
}

function settingValue(name: string, value: string): string | number | boolean {
  const usual = DEFAULTS[name as keyof Experiment];
  if (typeof usual === "number") return number(value, name);
  if (typeof usual === "boolean") return oneOf(value, ["true", "false"], name) === "true";
  return oneOf(value, DEVICES, name);
}

function readAction(text: string): Action {
  const [name, ...values] = text.split(":");
  if (!Object.hasOwn(ACTIONS, name)) {
    throw new LinkError(`The link has the action "${name}", which does not exist.`);
  }
  const fields = ACTIONS[name as Action["do"]];
  if (values.length > fields.length) {
    throw new LinkError(
      `The link's action "${text}" has ${values.length} values, not ${fields.length}.`,
    );
  }
  const action: Record<string, unknown> = { do: name };
  fields.forEach((field, i) => {
    const value = values[i] ?? "";
    if (value === "" && field.optional) return;
    action[field.name] = field.words === undefined
      ? number(value, `${name}'s ${field.name}`)
      : oneOf(value, field.words, `${name}'s ${field.name}`);
  });
  return action as Action;
}

function number(text: string, what: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new LinkError(`The link's ${what} is "${text}", not a number.`);
}

function oneOf(text: string, words: readonly string[], what: string): string {
  if (words.includes(text)) return text;
  throw new LinkError(`The link's ${what} is "${text}", not one of ${words.join(", ")}.`);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new LinkError(`The link has "${text}", which is no valid percent-encoding.`);
  }
}

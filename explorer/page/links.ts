/**
 * Permanent links: the part of the page's address after `#`.
 *
 * `lesson=what-dd-is-for&step=12` is a step of a lesson. `x=entries:128;open;frame:0:udp;round:0&step=12`
 * is a step of an experiment: settings that are not the default ones, then the actions with their values
 * in order. Steps are counted from 1, as the page shows them.
 *
 * @module
 */

import { UsageError } from "../../src/errors.ts";
import { checkExperiment } from "../recording/check_experiment.ts";
import { type Action, DEFAULTS, type Experiment } from "../recording/experiment.ts";

/** What a link points at. */
interface LinkTarget {
  readonly lesson?: string;
  readonly experiment?: Experiment;
  /** Number of the step, from 0. */
  readonly step?: number;
}

/** The values of each action, in the order in which a link has them. */
const VALUES: Readonly<Record<Action["do"], readonly string[]>> = {
  open: [],
  frame: ["port", "frame", "times", "flow"],
  round: ["port"],
  receive: ["port", "queue"],
  transmit: ["port", "queue"],
  free: [],
  reclaim: ["port", "queue"],
  forward: ["port"],
  hoard: ["buffers"],
  statistics: ["port"],
  interrupt: ["port", "queue"],
  hybrid: ["port"],
  throttle: ["port", "microseconds", "queue"],
  sleep: ["milliseconds"],
  break: ["port", "rule"],
  close: [],
};

/** Returns the part of an address after `#` that points at a step. */
export function linkTo({ lesson, experiment, step }: LinkTarget): string {
  const parts: string[] = [];
  if (lesson !== undefined) parts.push(`lesson=${lesson}`);
  else if (experiment !== undefined) parts.push(`x=${experimentText(experiment)}`);
  if (step !== undefined && step >= 0) parts.push(`step=${step + 1}`);
  return parts.join("&");
}

/**
 * Reads the part of an address after `#`.
 *
 * @throws {UsageError} if it does not say what to show.
 */
export function readLink(fragment: string): LinkTarget {
  const target: { lesson?: string; experiment?: Experiment; step?: number } = {};
  for (const part of fragment.split("&").filter((part) => part !== "")) {
    const [name, ...rest] = part.split("=");
    const value = decode(rest.join("="));
    if (name === "lesson") target.lesson = value;
    else if (name === "step") target.step = readStep(value);
    else if (name === "x") target.experiment = readExperiment(value);
    else throw new UsageError(`a link has lesson, x and step, not \`${name}\``);
  }
  return target;
}

function experimentText(experiment: Experiment): string {
  const settings = Object.keys(DEFAULTS)
    .map((name) => name as keyof Experiment)
    .filter((name) => name !== "actions" && experiment[name] !== DEFAULTS[name])
    .map((name) => `${name}:${experiment[name]}`);
  return [settings.join(","), ...experiment.actions.map(actionText)].join(";");
}

function actionText(action: Action): string {
  const values = VALUES[action.do].map((name) => (action as Record<string, unknown>)[name] ?? "");
  return [action.do, ...values].join(":").replace(/:+$/, "");
}

function readExperiment(text: string): Experiment {
  const [settings, ...actions] = text.split(";");
  const values = settings.split(",").filter((setting) => setting !== "").map(readSetting);
  return checkExperiment({ ...Object.fromEntries(values), actions: actions.map(readAction) });
}

/** Returns name and value of what should be a setting; `checkExperiment` finds out if it is. */
function readSetting(text: string): [string, unknown] {
  const [name, ...value] = text.split(":");
  return [name, plain(value.join(":"))];
}

/** Returns what should be an action; `checkExperiment` finds out if it is. */
function readAction(text: string): Record<string, unknown> {
  const [name, ...values] = text.split(":");
  const names = Object.hasOwn(VALUES, name) ? VALUES[name as Action["do"]] : [];
  if (values.length > names.length) {
    throw new UsageError(
      `the action "${name}" has ${
        names.join(", ") || "no values"
      }, and no further value as in "${text}"`,
    );
  }
  const action: Record<string, unknown> = { do: name };
  values.forEach((value, i) => value !== "" && (action[names[i]] = plain(value)));
  return action;
}

function plain(text: string): string | number | boolean {
  if (/^\d+$/.test(text)) return Number(text);
  return text === "true" || (text === "false" ? false : text);
}

function readStep(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text) - 1;
  throw new UsageError(`\`step\` is a number from 1, not "${text}"`);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new UsageError(`"${text}" is no valid percent-encoding`);
  }
}

/**
 * What the page shows: an experiment that the worker records, or a trace; and the lesson on it.
 *
 * @module
 */

import { UsageError } from "../../src/errors.ts";
import { LESSONS } from "../lessons/mod.ts";
import { type Action, DEFAULTS, type Experiment } from "../recording/experiment.ts";
import type { Lesson } from "../recording/lesson.ts";
import type { Begin, Report } from "../recording/messages.ts";
import type { Step } from "../recording/step.ts";
import { Engine } from "./engine.ts";
import { FIRST_EXPERIMENT } from "./first_experiment.ts";
import { LessonGuide } from "./lesson_guide.ts";
import { linkTo, readLink } from "./links.ts";
import { Observable } from "./observable.ts";
import { Player } from "./player.ts";
import { type Place, placeOf, stepAt } from "./same_place.ts";
import { StepIndex } from "./step_index.ts";

/** No step is to be shown when it is recorded. */
const NO_STEP = -2;
/**
 * Steps are shown once they are an eighth of all: what is drawn of a recording costs time in proportion to
 * its length.
 */
const SHARE = 1 / 8;
/** The lesson's first step is to be shown when all is recorded. */
const LESSON_STEP = -1;
/** The place that was shown before is to be shown when all is recorded. */
const SAME_PLACE = -3;

/** The state of the page. Listeners are told of changes of anything but the player's position. */
export class Explorer extends Observable {
  readonly player = new Player();
  readonly #engine = new Engine((report) => this.#take(report));
  /** Steps that were recorded, and are not shown yet. */
  #fresh: Step[] = [];
  #index = new StepIndex(this.player.recording);
  #experiment = FIRST_EXPERIMENT;
  #lesson: LessonGuide | undefined;
  #trace: string | undefined;
  #busy = false;
  #message: string | undefined;
  #measured: string | undefined;
  /** The step to show once it is recorded. */
  #wanted = 0;
  /** The place that was shown before the experiment changed. */
  #place: Place | undefined;
  /** Speed in steps a second that the player is started with. */
  #pace = 4;
  /** What the worker was asked for last, which an error is about; `begun` after its first report. */
  #asked: "run" | "begun" | "act" | "measure" = "run";

  /** The rows, chapters and jumps of the recording. */
  get index(): StepIndex {
    return this.#index;
  }

  /** The experiment, with all its actions. */
  get experiment(): Experiment {
    return this.#experiment;
  }

  /** The lesson that is open. */
  get lesson(): LessonGuide | undefined {
    return this.#lesson;
  }

  /** Name of the trace file that is shown in place of the experiment. */
  get trace(): string | undefined {
    return this.#trace;
  }

  /** Whether the worker has not recorded all actions. */
  get busy(): boolean {
    return this.#busy;
  }

  /** A sentence about what went wrong last. */
  get message(): string | undefined {
    return this.#message;
  }

  /** The worker's last measurement, in words. */
  get measured(): string | undefined {
    return this.#measured;
  }

  /** Speed in steps a second that the player is started with; `Infinity` for as many as can be drawn. */
  get pace(): number {
    return this.#pace;
  }

  set pace(pace: number) {
    this.#pace = pace;
    if (this.player.speed > 0) this.player.play(pace);
    this.changed();
  }

  /** Opens what the part of an address after `#` points at; the first experiment if it is a bad one. */
  open(fragment: string): void {
    this.#message = undefined;
    try {
      const { lesson, experiment, step } = readLink(fragment);
      if (lesson === undefined) return this.run(experiment ?? FIRST_EXPERIMENT, step);
      const found = LESSONS.find(({ id }) => id === lesson);
      if (found === undefined) throw new UsageError(`there is no lesson "${lesson}"`);
      this.teach(found, step);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      this.run(FIRST_EXPERIMENT);
      this.complain(
        `The link is not valid: ${error.message}. The page shows the first experiment.`,
      );
    }
  }

  /** Returns the part of an address after `#` that points at what is shown; nothing for a trace. */
  get link(): string {
    if (this.#trace !== undefined) return "";
    const step = this.player.position;
    if (this.#lesson !== undefined) return linkTo({ lesson: this.#lesson.lesson.id, step });
    if (this.#experiment === FIRST_EXPERIMENT) return linkTo({ step });
    return linkTo({ experiment: this.#experiment, step });
  }

  /**
   * Records an experiment.
   *
   * @param step Number of the step to show (default: the first one).
   */
  run(experiment: Experiment, step = 0): void {
    this.#lesson = undefined;
    this.#start(experiment, step);
  }

  /** Records an experiment with other settings or fewer actions, and shows the place that is shown now. */
  change(experiment: Experiment): void {
    // A change while it records leaves the place that the last change has asked for.
    if (this.#wanted !== SAME_PLACE) this.#place = placeOf(this.#index, this.player.position);
    this.run(experiment, this.#place === undefined ? 0 : SAME_PLACE);
  }

  /** Records a lesson's experiment, and shows its first step or a step of the recording. */
  teach(lesson: Lesson, step?: number): void {
    this.#lesson = new LessonGuide(lesson);
    this.#start({ ...DEFAULTS, ...lesson.experiment }, step ?? LESSON_STEP);
  }

  /** Continues the experiment with one more action, and shows its first step. */
  act(action: Action): void {
    this.#lesson = undefined; // its link would not say what is recorded
    this.#experiment = { ...this.#experiment, actions: [...this.#experiment.actions, action] };
    this.#wanted = this.player.recording.end;
    this.#message = undefined;
    this.#busy = true;
    this.#asked = "act";
    this.#engine.send({ type: "act", action });
    this.changed();
  }

  /** Shows a step of the lesson. */
  showLessonStep(number: number): void {
    const position = this.#lesson?.goTo(number) ?? -1;
    if (position >= 0) this.player.moveTo(position);
    this.changed();
  }

  /** Closes the lesson. Its experiment stays. */
  closeLesson(): void {
    this.#lesson = undefined;
    this.changed();
  }

  /** Shows a trace in place of the experiment. */
  showTrace(name: string, begin: Begin, steps: readonly Step[]): void {
    this.#stop();
    this.#trace = name;
    this.#lesson = undefined;
    this.#message = undefined;
    this.#load(begin);
    this.#append(steps);
    this.player.moveTo(0);
    this.changed();
  }

  /** Measures packets a second, without recording. */
  measure(): void {
    this.#measured = undefined;
    this.#busy = true;
    this.#asked = "measure";
    this.#engine.send({ type: "measure", milliseconds: 1000 });
    this.changed();
  }

  /** Unfolds a run of the list, or folds it. */
  toggleRun(from: number): void {
    this.#index.toggle(from);
    this.changed();
  }

  /** Shows a sentence about what went wrong, or none. */
  complain(message?: string): void {
    this.#message = message;
    this.changed();
  }

  /** Ends what the worker does, so that no report comes about what is no longer shown. */
  #stop(): void {
    if (this.#busy) this.#engine.restart();
    this.#busy = false;
  }

  #start(experiment: Experiment, step: number): void {
    this.#stop();
    this.#trace = undefined;
    this.#experiment = experiment;
    this.#wanted = step;
    this.#asked = "run";
    this.#busy = true;
    this.#message = undefined;
    this.#engine.send({ type: "run", experiment });
    this.changed();
  }

  #load(begin: Begin): void {
    this.#fresh = [];
    this.player.load(begin);
    this.#index = new StepIndex(this.player.recording);
  }

  /** Takes steps, and shows them if they are enough. Returns whether it did. */
  #takeSteps(steps: readonly Step[]): boolean {
    for (const step of steps) this.#fresh.push(step);
    const { first, end } = this.player.recording;
    if (this.#fresh.length < (end - first) * SHARE) return false;
    this.#showFresh();
    return true;
  }

  #showFresh(): void {
    if (this.#fresh.length === 0) return;
    const steps = this.#fresh;
    this.#fresh = [];
    this.#append(steps);
    if (this.#wanted >= 0 && this.#wanted < this.player.recording.end) this.#showWanted();
  }

  #append(steps: readonly Step[]): void {
    this.player.push(steps);
    this.#index.update();
  }

  #take(report: Report): void {
    if (report.type === "error") return this.#fail(report.message);
    if (report.type === "measured") {
      const rate = report.packets / report.milliseconds / 1000;
      this.#measured = `${rate.toFixed(2)} million packets a second, in this tab`;
      this.#busy = false;
    } else if (report.type === "begin") {
      this.#asked = "begun";
      this.#load(report);
    } else if (report.type === "steps") {
      if (!this.#takeSteps(report.steps)) return;
    } else this.#rest();
    this.changed();
  }

  #rest(): void {
    this.#showFresh();
    this.#busy = false;
    if (this.#lesson !== undefined) {
      this.#lesson.locate(this.player.recording);
      if (this.#wanted === LESSON_STEP) this.showLessonStep(0);
      else this.#lesson.follow(this.player.position);
    }
    if (this.#wanted === SAME_PLACE && this.#place !== undefined) {
      this.player.moveTo(stepAt(this.#index, this.#place, this.player.recording.end));
    }
    if (this.#wanted >= 0) this.#showWanted(); // the last one, if the recording is shorter
    this.#wanted = NO_STEP;
  }

  #showWanted(): void {
    this.player.moveTo(this.#wanted);
    this.#wanted = NO_STEP;
  }

  #fail(message: string): void {
    this.#showFresh();
    this.#busy = false;
    if (this.#asked === "run" && this.#experiment !== FIRST_EXPERIMENT) {
      this.run(FIRST_EXPERIMENT);
      message += ". The page shows the first experiment.";
    } else if (this.#asked === "act") {
      this.#experiment = { ...this.#experiment, actions: this.#experiment.actions.slice(0, -1) };
    }
    this.complain(sentence(message));
  }
}

/** Returns an error's message as a sentence of the page. */
function sentence(message: string): string {
  return message[0].toUpperCase() + message.slice(1) + (message.endsWith(".") ? "" : ".");
}

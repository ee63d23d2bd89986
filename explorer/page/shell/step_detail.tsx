/**
 * The current step in words, fields and bits.
 *
 * @module
 */

import type { LessonStep } from "../../recording/lesson.ts";
import type { Decision, Step } from "../../recording/step.ts";
import { ACTOR_WORDS, KINDS } from "../kinds.ts";
import { type Player, usePlayer } from "../player.ts";
import { sectionWords } from "../section_words.ts";
import { DescriptorView } from "../views/descriptor_view.tsx";
import { RegisterView } from "../views/register_view.tsx";
import { Prose } from "./prose.tsx";

interface StepDetailProps {
  readonly player: Player;
  /** What the lesson's step asks to look at. */
  readonly look: LessonStep["look"];
}

/** Title, reason, section, decision, broken rule, register and descriptor of the step. */
export function StepDetail({ player, look }: StepDetailProps) {
  const { step, position, speed, recording } = usePlayer(player);
  if (step === undefined) {
    return (
      <section class="panel detail" aria-label="Step">
        <p class="empty">{recording.end === 0 ? "Nothing is recorded yet." : "Recording …"}</p>
      </section>
    );
  }
  const { group, words } = KINDS[step.kind];
  const looked = look === "descriptor" || look === "register";
  return (
    <section class={`panel detail ${looked ? "looked-at" : ""}`} aria-label="Step">
      <header class="detail-head">
        <span class={`actor ${group}`} title={words}>
          {ACTOR_WORDS[step.actor]} · port {step.port}
        </span>
        <h2 title={step.title}>{step.title}</h2>
        {step.section !== undefined && <span class="section">{sectionWords(step.section)}</span>}
      </header>
      <div class="detail-body" tabIndex={0} role="group" aria-label="Details">
        {step.rule !== undefined && <BrokenRule rule={step.rule} why={step.why} />}
        {step.rule === undefined && step.decision === undefined && step.why !== undefined && (
          <Prose text={step.why} />
        )}
        {step.decision !== undefined && <DecisionText step={step} decision={step.decision} />}
        <Facts step={step} />
        {step.register !== undefined && <RegisterView player={player} />}
        {step.descriptor !== undefined && <DescriptorView player={player} />}
      </div>
      <p class="unseen" aria-live="polite">{speed > 0 ? "" : spoken(step, position)}</p>
    </section>
  );
}

function Facts({ step }: { step: Step }) {
  const { times = 1, frame, buffer, bytes } = step;
  const facts = [
    times > 1 && `${times} times in a row`,
    frame && `frame ${frame}`,
    buffer !== undefined && `buffer ${buffer}`,
    bytes && `${bytes.length} bytes`,
  ].filter((fact) => fact);
  return facts.length > 0 ? <p class="facts">{facts.join(" · ")}</p> : null;
}

/** The rule that was broken. The reason of such a step says what is required, and what was found. */
function BrokenRule({ rule, why }: { rule: NonNullable<Step["rule"]>; why: string | undefined }) {
  return (
    <div class="rule">
      <strong>
        ⚠ The driver breaks a rule of {rule.register}, {sectionWords(rule.section)}
      </strong>
      <Prose text={why ?? `${rule.rule}: ${rule.detail}`} />
    </div>
  );
}

/** What decides about a frame, and why. The step's reason has that of the decision, or more. */
function DecisionText({ step, decision }: { step: Step; decision: Decision }) {
  return (
    <div class={`decision ${KINDS[step.kind].group}`}>
      <strong>
        <code>{decision.by}</code> decides
      </strong>
      <Prose text={step.why ?? decision.reason} />
    </div>
  );
}

function spoken(step: Step, position: number): string {
  return `Step ${position + 1}. ${ACTOR_WORDS[step.actor]}, port ${step.port}: ${step.title}. ${
    step.why ?? ""
  }`;
}

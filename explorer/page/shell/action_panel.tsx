/**
 * The actions that continue the experiment.
 *
 * @module
 */

import { useState } from "preact/hooks";
import {
  type Action,
  type Break,
  BREAKS,
  type FrameKind,
  FRAMES,
} from "../../recording/experiment.ts";
import { FRAME_WORDS, RULE_WORDS } from "../action_words.ts";
import type { Explorer } from "../explorer.ts";
import { useObservable } from "../observable.ts";
import { ActionHistory } from "./action_history.tsx";

/** Least time between two interrupts that the button sets, in microseconds. */
const THROTTLE = 100;

/** Buttons for what wire, device and program do next. Each records, and shows the first new step. */
export function ActionPanel({ explorer }: { explorer: Explorer }) {
  const { experiment, busy, trace } = useObservable(explorer);
  const [port, setPort] = useState(0);
  const [queue, setQueue] = useState(0);
  const off = busy || trace !== undefined;
  const button = (label: string, action: Action, title: string) => (
    <button
      type="button"
      disabled={off}
      title={title}
      onClick={() => explorer.act(action)}
    >
      {label}
    </button>
  );
  return (
    <div class="actions">
      {trace !== undefined && (
        <p class="note">A trace is shown. Close it to continue the experiment.</p>
      )}
      <div class="choices">
        <Choice label="port" count={experiment.ports} value={port} onChange={setPort} />
        <Choice label="queue" count={experiment.queues} value={queue} onChange={setQueue} />
      </div>
      <h2>Wire: a frame arrives</h2>
      <FrameForm disabled={off} port={port} onSend={(action) => explorer.act(action)} />
      <h2>Device</h2>
      <p>
        {button("One round", { do: "round", port }, "The device takes descriptors and frames")}
        {button(
          "10 ms pass",
          { do: "sleep", milliseconds: 10 },
          "Time passes: throttled interrupts become due",
        )}
      </p>
      <h2>Program</h2>
      <p>
        {button(
          "Forward",
          { do: "forward", port },
          "Receive, touch and transmit on the other port",
        )}
        {button("Receive", { do: "receive", port, queue }, "Receive a batch, and keep it")}
        {button("Transmit", { do: "transmit", port, queue }, "Touch and transmit the batch")}
        {button("Free", { do: "free" }, "Free the batch")}
        {button("Reclaim", { do: "reclaim", port, queue }, "Take back sent buffers")}
        {button("Statistics", { do: "statistics", port }, "Read the statistics registers")}
        {experiment.interrupts && (
          <>
            {button("Wait", { do: "interrupt", port, queue }, "Arm the interrupt and wait for it")}
            {button(
              "Hybrid mode",
              { do: "hybrid", port },
              "Poll while packets come; 0.1 ms after the last one, arm the interrupts and sleep",
            )}
            {button(
              "Throttle",
              { do: "throttle", port, queue, microseconds: THROTTLE },
              `Set the least time between two interrupts to ${THROTTLE} µs (EITR)`,
            )}
          </>
        )}
        {button("Empty the pool", { do: "hoard", buffers: 0 }, "Take all free buffers, keep them")}
        {button(
          "Fill the pool",
          { do: "hoard", buffers: experiment.buffers },
          "Return the buffers that were taken",
        )}
        {button("Close", { do: "close" }, "Close the devices")}
      </p>
      <h2>Break a rule</h2>
      <BreakForm disabled={off} port={port} onBreak={(action) => explorer.act(action)} />
      <ActionHistory explorer={explorer} />
    </div>
  );
}

interface ChoiceProps {
  readonly label: string;
  readonly count: number;
  readonly value: number;
  readonly onChange: (value: number) => void;
}

function Choice({ label, count, value, onChange }: ChoiceProps) {
  if (count === 1) return null;
  return (
    <label>
      on {label}{" "}
      <select
        value={String(value)}
        onChange={({ currentTarget }) => onChange(Number(currentTarget.value))}
      >
        {Array.from({ length: count }, (_, i) => <option key={i} value={String(i)}>{i}</option>)}
      </select>
    </label>
  );
}

interface FrameFormProps {
  readonly disabled: boolean;
  readonly port: number;
  readonly onSend: (action: Action) => void;
}

function FrameForm({ disabled, port, onSend }: FrameFormProps) {
  const [frame, setFrame] = useState<FrameKind>("udp");
  const [times, setTimes] = useState(1);
  const send = () => onSend({ do: "frame", port, frame, ...(times > 1 ? { times } : {}) });
  return (
    <p>
      <select
        aria-label="Kind of frame"
        value={frame}
        onChange={({ currentTarget }) => setFrame(currentTarget.value as FrameKind)}
      >
        {FRAMES.map((kind) => <option key={kind} value={kind}>{FRAME_WORDS[kind]}</option>)}
      </select>
      <select
        aria-label="Number of frames"
        value={String(times)}
        onChange={({ currentTarget }) => setTimes(Number(currentTarget.value))}
      >
        {[1, 2, 4, 8, 16, 32, 64, 100].map((n) => <option key={n} value={String(n)}>{n} ×</option>)}
      </select>
      <button type="button" class="primary" disabled={disabled} onClick={send}>Send</button>
    </p>
  );
}

interface BreakFormProps {
  readonly disabled: boolean;
  readonly port: number;
  readonly onBreak: (action: Action) => void;
}

function BreakForm({ disabled, port, onBreak }: BreakFormProps) {
  const [rule, setRule] = useState<Break>(BREAKS[0]);
  return (
    <p>
      <select
        aria-label="Rule"
        value={rule}
        onChange={({ currentTarget }) => setRule(currentTarget.value as Break)}
      >
        {BREAKS.map((name) => <option key={name} value={name}>{RULE_WORDS[name]}</option>)}
      </select>
      <button
        type="button"
        disabled={disabled}
        onClick={() => onBreak({ do: "break", port, rule })}
      >
        Break it
      </button>
    </p>
  );
}

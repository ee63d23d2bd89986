/**
 * The settings of the experiment.
 *
 * @module
 */

import type { Experiment } from "../../recording/experiment.ts";
import type { Explorer } from "../explorer.ts";
import { useObservable } from "../observable.ts";
import { type Setting, SETTINGS } from "../settings.ts";

/** A form. Each change records the experiment anew, with the same actions. */
export function SettingsPanel({ explorer }: { explorer: Explorer }) {
  const { experiment } = useObservable(explorer);
  const change = (name: string, value: string | number | boolean) =>
    explorer.run({ ...experiment, [name]: value } as Experiment);
  return (
    <div class="settings">
      {SETTINGS.map((setting) => (
        <label key={setting.name} title={setting.help}>
          <span>{setting.label}</span>
          <Control
            setting={setting}
            value={experiment[setting.name]}
            onChange={(value) => change(setting.name, value)}
          />
        </label>
      ))}
      <p class="note">A change records the same actions anew.</p>
      <p class="measure">
        <button type="button" disabled={explorer.busy} onClick={() => explorer.measure()}>
          Measure speed
        </button>
        <span role="status">{explorer.measured ?? "forwards for a second, without recording"}</span>
      </p>
    </div>
  );
}

interface ControlProps {
  readonly setting: Setting;
  readonly value: string | number | boolean;
  readonly onChange: (value: string | number | boolean) => void;
}

function Control({ setting: { values, range }, value, onChange }: ControlProps) {
  if (values !== undefined) {
    return (
      <select
        value={String(value)}
        onChange={({ currentTarget }) =>
          onChange(values.find((choice) => String(choice) === currentTarget.value)!)}
      >
        {values.map((choice) => <option key={choice} value={String(choice)}>{choice}</option>)}
      </select>
    );
  }
  if (range === undefined) {
    return (
      <input
        type="checkbox"
        checked={value as boolean}
        onChange={({ currentTarget }) => onChange(currentTarget.checked)}
      />
    );
  }
  return (
    <input
      type="number"
      required
      min={range[0]}
      max={range[1]}
      value={value as number}
      onChange={({ currentTarget }) =>
        currentTarget.reportValidity() && onChange(currentTarget.valueAsNumber)}
    />
  );
}

/**
 * The settings of the experiment.
 *
 * @module
 */

import type { Explorer } from "../explorer.ts";
import { useObservable } from "../observable.ts";
import { hasSetting, type Setting, SETTINGS, valuesOf, withSetting } from "../settings.ts";

/** A form. Each change records the experiment anew, with the same actions. */
export function SettingsPanel({ explorer }: { explorer: Explorer }) {
  const { experiment } = useObservable(explorer);
  const { device } = experiment;
  return (
    <div class="settings">
      {SETTINGS.map((setting) => (
        <label key={setting.name} title={setting.help}>
          <span>{setting.label}</span>
          <Control
            range={setting.range}
            values={valuesOf(device, setting)}
            disabled={!hasSetting(device, setting)}
            value={experiment[setting.name]}
            onChange={(value) => explorer.change(withSetting(experiment, setting.name, value))}
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
  readonly range: Setting["range"] | undefined;
  readonly values: Setting["values"] | undefined;
  readonly disabled: boolean;
  readonly value: string | number | boolean;
  readonly onChange: (value: string | number | boolean) => void;
}

function Control({ range, values, disabled, value, onChange }: ControlProps) {
  if (values !== undefined) {
    return (
      <select
        disabled={disabled}
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
        disabled={disabled}
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

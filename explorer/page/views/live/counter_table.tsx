/**
 * Counts and rates of all ports of a live run.
 *
 * @module
 */

import type { LiveState } from "../../../recording/live.ts";
import type { LiveRates } from "./live_rates.ts";
import { short } from "./rate_chart.tsx";

/** A table with a row for each counter. */
export function CounterTable({ state, rates }: { state: LiveState; rates: LiveRates }) {
  const { counters } = state;
  return (
    <table class="counters">
      <thead>
        <tr>
          <th scope="col">Frames</th>
          {counters.map((_, port) => (
            <>
              <th key={`count${port}`} scope="col" class="number">port {port}</th>
              <th key={`rate${port}`} scope="col" class="number">a second</th>
            </>
          ))}
        </tr>
      </thead>
      <tbody>
        {rates.names.map((name) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            {counters.map((counts, port) => (
              <>
                <td key={`count${port}`} class="number">{counts[name]}</td>
                <td key={`rate${port}`} class="number">
                  {short(rates.of(name)[port].at(-1) ?? 0)}
                </td>
              </>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

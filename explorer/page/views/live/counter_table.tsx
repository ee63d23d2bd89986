/**
 * Counts and rates of all ports of a live run.
 *
 * @module
 */

import { Fragment } from "preact";
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
            <Fragment key={port}>
              <th scope="col" class="number">port {port}</th>
              <th scope="col" class="number">a second</th>
            </Fragment>
          ))}
        </tr>
      </thead>
      <tbody>
        {rates.names.map((name) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            {counters.map((counts, port) => (
              <Fragment key={port}>
                <td class="number">{counts[name]}</td>
                <td class="number">{short(rates.of(name)[port].at(-1) ?? 0)}</td>
              </Fragment>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

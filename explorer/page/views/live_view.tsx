/**
 * A live run: the software NIC of the server, which a driver in another process uses.
 *
 * @module
 */

import { useEffect, useState } from "preact/hooks";
import type { LiveState } from "../../recording/live.ts";
import { useObservable } from "../observable.ts";
import type { Player } from "../player.ts";
import { CounterTable } from "./live/counter_table.tsx";
import { LiveClient } from "./live/live_client.ts";
import { RateChart } from "./live/rate_chart.tsx";
import { Violations } from "./live/violations.tsx";
import { RegistersTable } from "./registers_table.tsx";
import { Rings } from "./rings.tsx";
import { StatisticsView } from "./statistics_view.tsx";

/** The run. It connects to the server that the page comes from. */
export function LiveView({ player }: { player: Player }) {
  const [client, setClient] = useState<LiveClient | undefined>(undefined);
  useEffect(() => {
    const address = new URL("/live", location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const made = new LiveClient(player, address);
    setClient(made);
    return () => made.close();
  }, [player]);
  return client === undefined ? null : <Run client={client} player={player} />;
}

function Run({ client, player }: { client: LiveClient; player: Player }) {
  const { last, rates, status } = useObservable(client);
  if (last === undefined) return <p class="nothing">{waiting(status)}</p>;
  return (
    <div class="live-view">
      {status === "ended" && <p class="message" role="alert">{ENDED}</p>}
      <div class="live-columns">
        <section class="panel live-panel" aria-label="Run">
          <Controls client={client} state={last} />
          <CounterTable state={last} rates={rates} />
          <div class="charts">
            {rates.names.filter((name) => rates.hasMoved(name)).map((name) => (
              <RateChart key={name} rates={rates} name={name} points={rates.times.at(-1) ?? 0} />
            ))}
          </div>
          <Violations violations={last.violations} />
        </section>
        <section class="panel live-panel" aria-label="Rings">
          <Rings player={player} />
        </section>
        <section class="panel live-panel" aria-label="Registers">
          <RegistersTable player={player} />
          <StatisticsView player={player} />
        </section>
      </div>
    </div>
  );
}

const ENDED = "The server has ended. This is its last state. Start `deno task explore --attach` " +
  "again, and load this page again.";

function waiting(status: LiveClient["status"]): string {
  if (status === "ended") {
    return "The server does not answer. Start `deno task explore --attach` again, and load this page " +
      "again.";
  }
  return "Waiting for the server's first state.";
}

/** What the device does, who uses it, and the commands. */
function Controls({ client, state }: { client: LiveClient; state: LiveState }) {
  const { paused, connected, seconds } = state, isOff = client.status !== "connected";
  return (
    <div class="live-controls">
      <button
        type="button"
        disabled={isOff}
        title={paused ? "Let the device go on" : "Stop the device: it does rounds on request only"}
        onClick={() => client.send({ type: paused ? "resume" : "pause" })}
      >
        {paused ? "Resume" : "Pause"}
      </button>
      <button
        type="button"
        disabled={isOff || !paused}
        title="Each port does one round"
        onClick={() => client.send({ type: "round" })}
      >
        One round
      </button>
      <p role="status">
        {paused ? "Paused" : "Running"}, {seconds.toFixed(1)} seconds after the start.{" "}
        {connected.map((on, port) => `Port ${port}: ${on ? "a driver is connected" : "no driver"}.`)
          .join(" ")}
      </p>
    </div>
  );
}

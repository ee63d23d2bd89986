/**
 * The line at the top: what is shown, and what can be taken along.
 *
 * @module
 */

import { useState } from "preact/hooks";
import { address } from "../address.ts";
import type { Explorer } from "../explorer.ts";
import { exportPcap, exportSvg } from "../views/exports.ts";
import { Icon } from "./icon.tsx";
import { ThemeButton } from "./theme_button.tsx";
import { TraceButton } from "./trace_button.tsx";

/** Title, device, link, exports, trace, theme and help. */
export function Header({ explorer, onHelp }: { explorer: Explorer; onHelp: () => void }) {
  const { player, trace, experiment, busy } = explorer;
  const { device, ports } = player.begin;
  const count = ports.length || experiment.ports;
  const shown = trace === undefined
    ? `${device || experiment.device}, ${count} ${count === 1 ? "port" : "ports"}`
    : `trace ${trace}`;
  return (
    <header class="header">
      <h1>
        ixy.ts explorer <span>{shown}</span>
      </h1>
      <span class="busy" role="status">{busy ? "recording …" : ""}</span>
      <CopyLink explorer={explorer} />
      <button type="button" onClick={() => exportSvg(player)} title="Save the pictures as SVG file">
        <Icon name="save" /> SVG
      </button>
      <button
        type="button"
        onClick={() => exportPcap(player)}
        title="Save all frames of the recording as pcap file"
      >
        <Icon name="save" /> pcap
      </button>
      <TraceButton explorer={explorer} />
      <ThemeButton />
      <button type="button" onClick={onHelp} title="Keys and symbols (?)">Help</button>
    </header>
  );
}

function CopyLink({ explorer }: { explorer: Explorer }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    const link = address(explorer);
    try {
      await navigator.clipboard.writeText(link);
    } catch {
      return explorer.complain(`The browser does not allow the page to copy. The link is ${link}`);
    }
    setDone(true);
    setTimeout(() => setDone(false), 2000);
  };
  return (
    <button
      type="button"
      onClick={copy}
      disabled={explorer.trace !== undefined}
      title="Copy the permanent link to this step"
    >
      <Icon name="link" /> {done ? "Copied" : "Copy link"}
    </button>
  );
}

/**
 * The program: a software 82599 with one or more ports. It serves a port over vfio-user to a driver
 * of this project or to QEMU, or as the files of a PCI device to any driver. `--help` lists its
 * options.
 *
 * Exit codes: 0; 1 if a driver did what the datasheet forbids (plain ports only note it), if a capture to
 * replay is damaged, or if a file could not be written to its end; 2 if an option is wrong or a port cannot
 * be opened.
 *
 * @module
 */

import { visible } from "../native/files.ts";
import { milliseconds } from "../native/clock.ts";
import { StopFlag } from "../native/stop.ts";
import { err, out } from "../programs/output.ts";
import { run } from "../programs/run.ts";
import { Control, STDIN } from "./control.ts";
import { Loop } from "./loop.ts";
import { type Options, SIM } from "./options.ts";
import { Ports, startSenders } from "./port.ts";
import { rehearse } from "./rehearsal.ts";
import { Report } from "./report.ts";
import { Generator } from "./wires/generator.ts";

const SECOND = 1000;

/** Runs the model; returns the exit code. */
async function main(options: Options): Promise<number> {
  using stop = new StopFlag();
  const ports = new Ports(options, (line) => err.print(visible(line)));
  const report = new Report(ports.all, options.json);
  try {
    if (ports.all.some(({ wire }) => wire instanceof Generator)) await rehearse();
    report.ready();
    const control = options.control ? new Control(ports.all, report) : undefined;
    const start = milliseconds();
    const end = options.seconds === undefined ? Infinity : start + options.seconds * SECOND;
    let next = start + SECOND;
    await new Loop(ports.all, control === undefined ? -1 : STDIN).run((now) => {
      out.retry();
      report.complaints();
      if (now >= next) {
        next += SECOND;
        if (!options.quiet) report.second();
      }
      if (control !== undefined && !control.poll(now)) return false;
      if (control === undefined) startSenders(ports.all);
      return now < end && stop.signal === 0 && !out.readerGone;
    });
  } finally {
    ports[Symbol.dispose]();
  }
  return report.total() && !ports.failed ? 0 : 1;
}

if (import.meta.main) await run(SIM, main);

/**
 * The command lines of all programs, for tests in one process. Not a test itself.
 *
 * @module
 */

import { FRONT_END } from "../../bench/front_end.ts";
import { INTERRUPTS } from "../../bench/interrupts.ts";
import { LEAN_FORWARDER } from "../../bench/lean.ts";
import { BENCH } from "../../bench/options.ts";
import { RECYCLE } from "../../bench/recycle.ts";
import { SIM_QUEUES } from "../../bench/sim_queues.ts";
import { STARTS } from "../../bench/starts.ts";
import { VHOST_USER } from "../../bench/vhost_user.ts";
import { DEMO } from "../../demo.ts";
import { ECHO } from "../../echo.ts";
import { FWD } from "../../fwd.ts";
import { NIC } from "../../nic.ts";
import { PCAP } from "../../pcap.ts";
import { PKTGEN } from "../../pktgen.ts";
import { EXPLORE } from "../../explorer/main.ts";
import { SIM } from "../../sim/options.ts";
import { VM } from "../../vm/main.ts";
import type { Command } from "../../programs/command_line.ts";
import type { Options } from "../../programs/options.ts";

/** Programs, each with a valid command line. */
export const PROGRAMS: readonly [command: Command<Options, object>, args: readonly string[]][] = [
  [FWD, ["a", "b"]],
  [PKTGEN, ["a"]],
  [PCAP, ["a", "-"]],
  [ECHO, ["a", "192.0.2.1"]],
  [NIC, ["list"]],
  [DEMO, []],
  [SIM, ["--socket=a"]],
  [VM, []],
  [EXPLORE, ["--no-browser"]],
  [BENCH, []],
  [INTERRUPTS, []],
  [FRONT_END, ["loop", "a"]],
  [VHOST_USER, []],
  [SIM_QUEUES, []],
  [STARTS, []],
  [RECYCLE, ["a", "b"]],
  [LEAN_FORWARDER, ["a", "b"]],
] as never;

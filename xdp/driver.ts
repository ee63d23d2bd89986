/**
 * The driver of Linux's network interfaces as `open` finds it.
 *
 * @module
 */

import type { Driver } from "../src/driver.ts";
import { HEADROOM } from "./abi.ts";
import { openXdp } from "./open.ts";

/** The driver of network interfaces. */
export const xdp: Driver = {
  name: "xdp",
  schemes: ["xdp"],
  names: "interface",
  headroom: HEADROOM,
  connect: openXdp,
};

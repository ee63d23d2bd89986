/**
 * The network interfaces that `nic.ts list` shows after the cards.
 *
 * @module
 */

import { visible } from "../native/files.ts";
import type { InterfaceSurvey } from "../xdp/survey.ts";

export { surveyInterfaces } from "../xdp/survey.ts";

/**
 * Formats interfaces as lines of text: a heading for each, then its details.
 *
 * @param lacks The capabilities that this process lacks to use them.
 */
export function* formatInterfaces(
  found: readonly InterfaceSurvey[],
  lacks: readonly string[],
): Generator<string> {
  for (const { address, up, mtu, modes, uses, program, portWithProgram: port } of found) {
    yield `${visible(address)}  network interface`;
    const used = uses.length > 0 ? `; used for ${uses.join(", ")}` : "";
    yield `  kernel    ${up ? "up" : "down"}, MTU ${mtu}${used}`;
    const problems = [
      ...(up ? [] : ["it is down"]),
      ...(lacks.length > 0
        ? [`this process lacks ${lacks.join(", ")}: see \`nic.ts doctor\``]
        : []),
      ...(uses.length > 0 ? ["the kernel would no longer receive from it (--force)"] : []),
      ...(program ? ["it has another XDP program"] : []),
      ...(port !== null ? [`${visible(port)}, a port of it, has an XDP program`] : []),
    ];
    const how = modes === null ? "this kernel does not say in which mode" : modes.join(", ");
    yield `  ixy.ts    xdp: ${how}${problems.length > 0 ? ", but:" : ""}`;
    for (const problem of problems) yield `            ${problem}`;
  }
}

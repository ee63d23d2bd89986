/** What `deno task mutate` and `deno task coverage` refuse, as processes. */

import { assertRefused, PROJECT, run } from "../support/processes.ts";

Deno.test("mutate and coverage refuse wrong command lines with one sentence", async () => {
  const cases: [program: string, args: string[], sentence: RegExp][] = [
    ["mutation", ["sim"], /sim is not in native\/, src\/, ixgbe\/, virtio\/, xdp\/: name files/],
    ["mutation", ["src/nothing.ts"], /src\/nothing\.ts: No such file or directory/],
    ["mutation", ["--state=/proc/version"], /--state \/proc\/version: .* is not valid JSON/],
    ["coverage", ["tests/nothing"], /tests\/nothing: No such file or directory/],
  ];
  for (const [program, args, sentence] of cases) {
    const deno = [Deno.execPath(), "run", "--quiet", "--no-check", "-A"];
    assertRefused(await run([...deno, `${PROJECT}tests/${program}/main.ts`, ...args]), sentence);
  }
});

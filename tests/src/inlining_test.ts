/** Whether V8 can inline what a queue does for each packet, see `src/specialise.ts`. */

import { assert, assertMatch } from "@std/assert";

/** The defaults of V8's flags --max-inlined-bytecode-size-cumulative and its siblings. */
const BYTES = 920, EACH = 460, SCALE = 1.2;
const PROGRAM = new URL("../support/forward_once.ts", import.meta.url).pathname;

/** Returns the bytes of bytecode of the function with a name, as V8 prints them. */
async function bytecode(name: string): Promise<number> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--allow-ffi",
      `--v8-flags=--print-bytecode,--print-bytecode-filter=${name}`,
      PROGRAM,
    ],
    stderr: "null",
  }).output();
  const printed = new TextDecoder().decode(stdout);
  assertMatch(printed, /^forwarded 1$/m);
  const [, bytes] = printed.match(/^Bytecode length: (\d+)$/m)!;
  return Number(bytes);
}

Deno.test("ixgbe: V8 can inline receive and transmit into one function", async () => {
  const receive = await bytecode("receive"), transmit = await bytecode("transmit");
  // What transmit inlines itself counts as well.
  const total = receive + SCALE * (transmit + await bytecode("pass"));
  assert(receive <= EACH && transmit <= EACH, `receive has ${receive} bytes, transmit ${transmit}`);
  assert(total <= BYTES, `together they count as ${total} bytes`);
});

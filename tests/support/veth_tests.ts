/**
 * Tests with a pair of virtual Ethernet interfaces. Not a test itself.
 *
 * @module
 */

import { assertMatch, assertRejects } from "@std/assert";
import { open, type OpenOptions, UsageError } from "../../mod.ts";
import { canUseXdp, Veth, type VethOptions } from "./veth.ts";

/** Defines a test with a pair of interfaces; as root only. */
export function vethTest(
  name: string,
  fn: (veth: Veth) => void | Promise<void>,
  options?: VethOptions,
): void {
  Deno.test({
    name,
    ignore: !canUseXdp,
    async fn() {
      await using veth = await Veth.make(options);
      await fn(veth);
    },
  });
}

/** Asserts that `open` refuses a device with one sentence. */
export async function assertOpenRefused(
  address: string,
  options: OpenOptions,
  sentence: RegExp,
): Promise<void> {
  const { message } = await assertRejects(() => open(address, options), UsageError);
  assertMatch(message, sentence);
  assertMatch(message, /^[^\n]+$/);
}

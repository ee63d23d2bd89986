/**
 * Network namespaces, each with one interface: two network stacks of Linux that can talk to each other
 * only through what is under test. As root only; not a test itself.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { run, tool } from "./processes.ts";

/** A network namespace with one interface in it. */
export class Namespace implements AsyncDisposable {
  private constructor(
    readonly name: string,
    readonly device: string,
    readonly address: string,
  ) {}

  /** Makes one and moves an interface of this machine into it. */
  static async make(name: string, device: string, address: string): Promise<Namespace> {
    await tool("ip", "netns", "add", name);
    const namespace = new Namespace(name, device, address);
    try {
      await tool("ip", "link", "set", device, "netns", name);
      await tool("ip", "-n", name, "address", "add", `${address}/24`, "dev", device);
      await tool("ip", "-n", name, "link", "set", device, "up");
    } catch (error) {
      await namespace[Symbol.asyncDispose]();
      throw error;
    }
    return namespace;
  }

  /** The command line of a program in it. */
  command(...command: string[]): string[] {
    return ["ip", "netns", "exec", this.name, ...command];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await tool("ip", "netns", "delete", this.name);
  }
}

/** Pings some times; every request is answered. */
export async function ping(from: Namespace, to: Namespace, bytes = 56): Promise<void> {
  for (let i = 0; i < 5; i++) {
    // One request a run: after a first answer, ping waits for the others no longer than two of the
    // round trips that it has seen.
    const options = ["-n", "-c", "1", "-W", "10", "-s", String(bytes)];
    const { code, stdout } = await run(from.command("ping", ...options, to.address));
    assertMatch(stdout, /^1 packets transmitted, 1 received, 0% packet loss/m);
    assertEquals(code, 0);
  }
}

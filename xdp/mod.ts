/**
 * Network interfaces of Linux through AF_XDP.
 *
 * ```ts
 * import { open } from "../mod.ts";
 * import { XdpDevice } from "./mod.ts";
 *
 * async function isZeroCopy(name: string): Promise<boolean> {
 *   using device = await open(`xdp:${name}`, { xdp: { pass: ["arp", "tcp:22"] } });
 *   return device instanceof XdpDevice && device.model.includes("zero-copy");
 * }
 * ```
 *
 * @module
 */

export { AdoptedXdpQueues, type TransferredXdpQueues } from "./adopt.ts";
export { XdpDevice } from "./device.ts";

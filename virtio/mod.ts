/**
 * VirtIO network devices: PCI functions and vhost-user back-ends. Beside what every device
 * has, they show the negotiated features.
 *
 * ```ts
 * import { open } from "../mod.ts";
 * import { featureNames, VirtioDevice } from "./mod.ts";
 *
 * async function features(address: string): Promise<readonly string[]> {
 *   using device = await open(address);
 *   return device instanceof VirtioDevice ? featureNames(device.features) : [];
 * }
 * ```
 *
 * @module
 */

export { VirtioDevice } from "./device.ts";
export { Feature, featureNames } from "./features.ts";

/**
 * VirtIO network devices: what `open` returns for one, whether it is a PCI function or a vhost-user
 * back-end, has beside what every device has the features that were negotiated.
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

/**
 * The pictures of the page. Each is a component that shows a player's recording at its current step.
 *
 * @module
 */

export { DescriptorView } from "./descriptor/descriptor_view.tsx";
export { PacketView } from "./packet/packet_view.tsx";
export { Pool } from "./pool/pool.tsx";
export { RegisterView } from "./register/register_view.tsx";
export { Rings } from "./rings/rings.tsx";

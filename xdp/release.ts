/**
 * When a driver lets go of a socket's memory. In zero-copy mode, close(2) returns before the driver has
 * stopped the queue, and until then the NIC may write to the buffers.
 *
 * @module
 */

import { Mapping } from "../native/mapping.ts";
import { Errno, stubs } from "../native/stubs.ts";
import { AF, BindFlag, MAX_CHUNK, SOCK, sockaddrXdp, SOL, umemReg, XdpOption } from "./abi.ts";

/**
 * Returns whether a queue of an interface has no socket any more. It tries to bind another one, which the
 * kernel refuses until the driver has stopped the queue.
 */
export function isReleased(index: number, queue: number): boolean {
  using memory = Mapping.reserve(MAX_CHUNK);
  const fd = stubs.ixy_socket(AF.XDP, SOCK.RAW, 0);
  if (fd < 0) return false;
  const set = (option: number, value: Uint8Array<ArrayBuffer> | Uint32Array<ArrayBuffer>) =>
    stubs.ixy_setsockopt(fd, SOL.XDP, option, value, value.byteLength) === 0;
  const entries = Uint32Array.of(1), address = sockaddrXdp(index, queue, BindFlag.COPY);
  const ready = set(XdpOption.UMEM_REG, umemReg(memory.address, MAX_CHUNK, MAX_CHUNK)) &&
    set(XdpOption.UMEM_FILL_RING, entries) && set(XdpOption.UMEM_COMPLETION_RING, entries) &&
    set(XdpOption.TX_RING, entries);
  const result = ready ? stubs.ixy_bind_address(fd, address, address.length) : -Errno.EBUSY;
  stubs.ixy_close(fd);
  return result !== -Errno.EBUSY; // other errors: the interface or the queue is gone
}

/**
 * Initialises an 82599, X540 or X550 and shuts it down. The functions follow the datasheet's section
 * 4.6.3; `IxgbeDevice.start` in `device.ts` calls them in its order. Section numbers are the 82599's.
 *
 * @module
 */

import { delay, spinUntil } from "../native/clock.ts";
import { hex, nameOf, type Register, type Registers } from "../src/registers.ts";
import { BYTES, CRC, MAX_FRAME } from "./descriptors.ts";
import { checkMac } from "./eeprom.ts";
import { disableReceiverByFirmware } from "./host_interface.ts";
import { type Mac, type Model, rxPacketBufferKilobytes } from "./models.ts";
import * as R from "./registers.ts";
import { clearRxQueue, clearTxQueue } from "./residue.ts";
import { isVetoed, phySemaphore, spinWithSemaphore, withSemaphore } from "./semaphore.ts";

/** Size of the transmit packet buffer in KB, all for one traffic class (section 8.2.3.9.13). */
const TX_PACKET_BUFFER_KB = 160;
/** Room in it for the largest frame, in KB (section 8.2.3.9.16). */
const TX_FRAME_KB = 16;
/** Room in the receive packet buffer above the flow control threshold, in bytes. */
const FLOW_CONTROL_ROOM = 0x6000;
/** Time after a reset in which the NIC must not be accessed, in milliseconds (section 8.2.3.1.1). */
const RESET_PAUSE_MS = 1;
/**
 * Time after the end of a reset until the initialisation goes on, in milliseconds: 10 (section 4.6.3.2).
 * Intel's drivers give the PHY of X540 and X550 longer.
 */
const RESET_SETTLE_MS = { "82599": 10, X540: 100, X550: 100 } as const;
/** Deadlines in milliseconds: generous for the hardware, short for a person. */
const MASTER_DISABLE_MS = 1000, RESET_MS = 1000, EEPROM_MS = 1000, DMA_INIT_MS = 1000;
const CONFIG_MS = 500;
/** To enable a queue, to disable one, and to stop the receive path. */
const ENABLE_MS = 1000, QUEUE_MS = 100, RX_PATH_MS = 40;

/** A valid entry of IVAR. */
const ENTRY = R.IVAR.ALLOC0 | R.IVAR.ALLOC_VAL0;
/** Bits of a queue's two entries in IVAR: receive, then transmit. */
const QUEUE_BITS = 16;
/** Shift of IVAR_MISC.ALLOC1: the vector of causes other than queues and the TCP timer. */
const OTHER_SHIFT = 8;

/** The location of a ring, as the NIC needs it. */
export interface Ring {
  /** Bus address of the first descriptor. */
  readonly busAddress: number;
  /** Number of descriptors. */
  readonly entries: number;
}

/**
 * Section 4.6.3, steps 1 to 5: resets the NIC, and waits until it is ready.
 *
 * @throws {DeviceError} if a wait reaches its deadline, or the device is powered down or gone.
 * @throws {UsageError} if the MAC address is not a unicast address.
 */
export async function reset(
  regs: Registers,
  device: string,
  model: Model,
): Promise<void> {
  // 4.6.3.1 - interrupts off
  disableInterrupts(regs);
  // 4.6.3.2 - global reset, interrupts off again, general configuration
  await globalReset(regs, model);
  disableInterrupts(regs);
  disableFlowControl(regs, model);
  // 4.6.3 - wait for EEPROM auto-read and for DMA initialisation
  await regs.wait(R.EEC, R.EEC.AUTO_RD, R.EEC.AUTO_RD, EEPROM_MS);
  checkMac(regs, device); // again: the one before may have been set by another driver
  // Best effort: firmware that does not report the end of its configuration may still work.
  const done = port(regs) === 0 ? R.EEMNGCTL.CFG_DONE0 : R.EEMNGCTL.CFG_DONE1;
  await regs.reaches(R.EEMNGCTL, done, done, CONFIG_MS);
  await regs.wait(R.RDRXCTL, R.RDRXCTL.DMAIDONE, R.RDRXCTL.DMAIDONE, DMA_INIT_MS);
  regs.set(R.CTRL_EXT, R.CTRL_EXT.DRV_LOAD); // tells firmware that a driver controls the device
}

/** Returns the number of the NIC's port. */
function port(regs: Registers): number {
  return (regs.read(R.STATUS) & R.STATUS.LAN_ID) >>> 2;
}

/** Section 4.6.3.1: disables all interrupts. Bit 31 of EIMC is reserved. */
function disableInterrupts(regs: Registers): void {
  regs.write(R.EIMC, 0x7fffffff);
  for (let i = 0; i < R.EIMC_EX.count; i++) regs.write(R.EIMC_EX, 0xffffffff, i);
}

/**
 * Section 4.6.3.2: the values that these registers must have without flow control. A forwarder neither
 * pauses a wire nor is paused: one slow port would stop all others. MFLCN is the MAC's, which an 82599's
 * software reset without a link reset may leave. DPF: pause frames that arrive are discarded; otherwise
 * promiscuous mode would receive them, and a forwarder would send them on.
 */
function disableFlowControl(regs: Registers, model: Model): void {
  const { PMCF, DPF, RPFCE, RFCE, RPFCE_TC } = R.MFLCN;
  regs.update(R.MFLCN, PMCF | DPF | RPFCE | RFCE | RPFCE_TC, DPF);
  // Pause frames at 1 Gbit/s. For backplanes and 10GBASE-T, the set-up of the link does not advertise them.
  if (model.mac === "82599") regs.clear(R.PCS1GANA, R.PCS1GANA.SYM_PAUSE | R.PCS1GANA.ASM_PAUSE);
  for (const register of [R.FCTTV, R.FCRTL, R.FCRTH, R.FCRTV, R.FCCFG] as Register[]) {
    for (let i = 0; i < register.count; i++) regs.write(register, 0, i);
  }
  const bytes = rxPacketBufferKilobytes(model.mac) * 1024;
  regs.write(R.FCRTH, (bytes - FLOW_CONTROL_ROOM) & R.FCRTH.RTH, 0); // needed without it too
}

/** Section 4.6.3.2: software reset, after all DMA has stopped (section 5.2.5.3.2). */
async function globalReset(regs: Registers, model: Model): Promise<void> {
  stopTraffic(regs, model.mac);
  disableMaster(regs);
  const idle = await regs.reaches(R.STATUS, R.STATUS.GIO_MASTER_ENABLE, 0, MASTER_DISABLE_MS);
  if (!idle) flushTransmit(regs);
  // A link reset would disturb firmware that uses the link.
  const keepLink = model.mac !== "82599" || linkUp(regs) || isVetoed(regs);
  const bits = keepLink ? R.CTRL.RST : R.CTRL.RST | R.CTRL.LRST;
  // If DMA does not stop, a second reset clears what the first one leaves (section 5.2.5.3.2).
  for (let i = idle ? 1 : 2; i > 0; i--) {
    const once = () => resetOnce(regs, bits, RESET_SETTLE_MS[model.mac]);
    if (model.mac === "82599") await once();
    else await withSemaphore(regs, model.mac, phySemaphore(regs), once);
  }
}

async function resetOnce(regs: Registers, bits: number, milliseconds: number): Promise<void> {
  regs.set(R.CTRL, bits);
  await delay(2 * RESET_PAUSE_MS); // a timer may fire early
  await regs.wait(R.CTRL, R.CTRL.RST | R.CTRL.LRST, 0, RESET_MS);
  await delay(milliseconds);
}

/**
 * Stops master requests. The bit has to be read back before STATUS tells whether some are pending (X550:
 * section 8.2.2.1.1).
 */
function disableMaster(regs: Registers): void {
  regs.set(R.CTRL, R.CTRL.GIO_DIS);
  regs.spin(R.CTRL, R.CTRL.GIO_DIS, R.CTRL.GIO_DIS, MASTER_DISABLE_MS);
}

/** Empties the transmit path of a NIC whose DMA does not stop (section 5.2.5.3.2). */
function flushTransmit(regs: Registers): void {
  regs.set(R.HLREG0, R.HLREG0.LPBK);
  regs.set(R.GCR_EXT, R.GCR_EXT.BUFFERS_CLEAR_FUNC);
  const until = performance.now() + 0.02;
  while (performance.now() < until);
  regs.clear(R.GCR_EXT, R.GCR_EXT.BUFFERS_CLEAR_FUNC);
  regs.clear(R.HLREG0, R.HLREG0.LPBK);
}

/**
 * Disables all queues and the receiver, which may be disabled only after its queues (X550: section
 * 4.6.7.1.1). The reset that follows stops queues that do not stop in time.
 */
function stopTraffic(regs: Registers, mac: Mac): void {
  for (let i = 0; i < R.RXDCTL.count; i++) {
    if (regs.read(R.RXDCTL, i) & R.RXDCTL.ENABLE) {
      regs.clear(R.RXDCTL, R.RXDCTL.ENABLE, i);
      regs.spin(R.RXDCTL, R.RXDCTL.ENABLE, 0, QUEUE_MS, i);
    }
    if (regs.read(R.TXDCTL, i) & R.TXDCTL.ENABLE) regs.clear(R.TXDCTL, R.TXDCTL.ENABLE, i);
  }
  disableReceiver(regs, mac);
}

/**
 * Disables the receiver. An X550's firmware, which may receive through the same MAC for a management
 * controller, is asked to do it first, as by Intel's drivers.
 */
function disableReceiver(regs: Registers, mac: Mac): void {
  if (mac === "X550" && regs.read(R.RXCTRL) & R.RXCTRL.RXEN) {
    spinWithSemaphore(regs, mac, R.SW_FW_SYNC.SW_MNG_SM, () => {
      disableReceiverByFirmware(regs, port(regs));
    });
  }
  regs.clear(R.RXCTRL, R.RXCTRL.RXEN);
}

/** Filters of VLANs, pools and five-tuples. Software has to clear them even if it uses none. */
const UNUSED_TABLES: readonly Register[] = [
  ...[R.VFTA, R.PFUTA, R.PFVLVF, R.PFVLVFB, R.MPSAR, R.FTQF],
];

/** Section 4.6.7: initialises the receive path except for its rings. RXEN must be off. */
export function initReceive(regs: Registers, model: Model, bufferSize: number): void {
  // Filters: only the receive address in RAL[0] and RAH[0], which the NIC has loaded from the EEPROM.
  for (let i = 0; i < R.MTA.count; i++) regs.write(R.MTA, 0, i);
  for (const table of UNUSED_TABLES) {
    for (let i = 0; i < table.count; i++) regs.write(table, 0, i);
  }
  regs.write(R.MPSAR, 1, 0); // receive address 0 belongs to pool 0, the only one
  for (let i = 1; i < R.RAL.count; i++) {
    regs.write(R.RAL, 0, i);
    regs.write(R.RAH, 0, i);
  }
  regs.set(R.RAH, R.RAH.AV);
  // "As NFS detection is not supported", its bits should be set.
  regs.set(R.RFCTL, R.RFCTL.NFSW_DIS | R.RFCTL.NFSR_DIS);
  // All packet buffer memory belongs to one traffic class.
  regs.write(R.RXPBSIZE, rxPacketBufferKilobytes(model.mac) << 10, 0);
  for (let i = 1; i < R.RXPBSIZE.count; i++) regs.write(R.RXPBSIZE, 0, i);
  // Strip the CRC: both settings must agree, but the X550 reserves CRCSTRIP (8.2.2.9.10). Without RSC,
  // RSCACKC and FCOE_WRFIX must be set.
  const strip = model.mac === "X550" ? 0 : R.RDRXCTL.CRCSTRIP;
  regs.update(
    R.RDRXCTL,
    strip | R.RDRXCTL.RSCFRSTSIZE | R.RDRXCTL.RSCACKC | R.RDRXCTL.FCOE_WRFIX,
    strip | R.RDRXCTL.RSCACKC | R.RDRXCTL.FCOE_WRFIX,
  );
  regs.set(R.HLREG0, R.HLREG0.RXCRCSTRP | R.HLREG0.TXCRCEN | R.HLREG0.TXPADEN);
  // Accept frames that fit a buffer. The NIC drops longer ones and counts them in ROC.
  regs.set(R.HLREG0, R.HLREG0.JUMBOEN);
  regs.update(R.MAXFRS, R.MAXFRS.MFS, Math.min(bufferSize + CRC, MAX_FRAME) << 16);
}

/** Writes an empty ring's registers: address low and high, length, head, tail. */
function setRing(regs: Registers, queue: number, ring: Ring, where: readonly Register[]): void {
  const [low, high, length, head, tail] = where;
  regs.write(low, ring.busAddress % 2 ** 32, queue);
  regs.write(high, Math.floor(ring.busAddress / 2 ** 32), queue);
  regs.write(length, ring.entries * BYTES, queue);
  regs.write(head, 0, queue);
  regs.write(tail, 0, queue);
}

/**
 * Section 4.6.7.1: sets up and enables one receive queue. The caller writes RDT afterwards.
 *
 * @throws {DeviceError} if the queue is not enabled in time.
 */
export async function enableRxQueue(
  regs: Registers,
  queue: number,
  ring: Ring,
  bufferSize: number,
): Promise<void> {
  setRing(regs, queue, ring, [R.RDBAL, R.RDBAH, R.RDLEN, R.RDH, R.RDT]);
  // Advanced descriptors with one buffer. DROP_EN: a packet without a free descriptor is dropped at once
  // and counted in QPRDC, so that a full queue does not block the others.
  regs.update(
    R.SRRCTL,
    R.SRRCTL.BSIZEPACKET | R.SRRCTL.DESCTYPE | R.SRRCTL.DROP_EN,
    (bufferSize >> 10) | R.SRRCTL.DESCTYPE_ADVANCED | R.SRRCTL.DROP_EN,
    queue,
  );
  clearRxQueue(regs, queue);
  regs.set(R.CTRL_EXT, R.CTRL_EXT.NS_DIS);
  regs.clear(R.DCA_RXCTRL, 1 << 12, queue); // required by section 4.6.7.1
  regs.set(R.RXDCTL, R.RXDCTL.ENABLE, queue);
  await regs.wait(R.RXDCTL, R.RXDCTL.ENABLE, R.RXDCTL.ENABLE, ENABLE_MS, queue);
}

/** Section 4.6.8: initialises the transmit path except for its rings. The path stays disabled. */
export function initTransmit(regs: Registers): void {
  // No DCB and no virtualization: one traffic class owns the whole buffer (section 4.6.11.3.4).
  regs.set(R.RTTDCS, R.RTTDCS.ARBDIS);
  regs.write(R.MTQC, 0);
  regs.write(R.TXPBSIZE, TX_PACKET_BUFFER_KB << 10, 0);
  regs.write(R.TXPBTHRESH, TX_PACKET_BUFFER_KB - TX_FRAME_KB, 0);
  for (let i = 1; i < R.TXPBSIZE.count; i++) {
    regs.write(R.TXPBSIZE, 0, i);
    regs.write(R.TXPBTHRESH, 0, i);
  }
  regs.update(R.DTXMXSZRQ, R.DTXMXSZRQ.MAX_BYTES_NUM_REQ, 0xfff);
  regs.clear(R.RTTDCS, R.RTTDCS.ARBDIS);
}

/**
 * Section 4.6.8.1, steps 2 to 5: sets up one transmit queue. Call it for all queues before
 * {@linkcode enableTransmit}, which enables queue 0: a write to TDH of an enabled queue can confuse the
 * NIC (X550: section 8.2.2.10.8).
 */
export function setUpTxQueue(regs: Registers, queue: number, ring: Ring): void {
  setRing(regs, queue, ring, [R.TDBAL, R.TDBAH, R.TDLEN, R.TDH, R.TDT]);
  clearTxQueue(regs, queue);
  // Prefetch if fewer than 32 descriptors are in the NIC and at least 8 wait in the ring. WTHRESH must
  // be 0 because not every descriptor has RS.
  regs.update(
    R.TXDCTL,
    R.TXDCTL.PTHRESH | R.TXDCTL.HTHRESH | R.TXDCTL.WTHRESH,
    32 | 8 << 8,
    queue,
  );
}

/**
 * Section 4.6.8.1, last steps: enables the transmit path, and then the queues. DMATXCTL.TE also enables
 * queue 0 (X550: section 8.2.2.10.10), so all rings must be set up.
 *
 * @param queues Number of transmit queues.
 * @throws {DeviceError} if a queue is not enabled in time.
 */
export async function enableTransmit(regs: Registers, queues: number): Promise<void> {
  regs.set(R.DMATXCTL, R.DMATXCTL.TE);
  for (let queue = 0; queue < queues; queue++) {
    regs.set(R.TXDCTL, R.TXDCTL.ENABLE, queue);
    await regs.wait(R.TXDCTL, R.TXDCTL.ENABLE, R.TXDCTL.ENABLE, ENABLE_MS, queue);
  }
}

/**
 * Section 4.6.7, last step: enables the receiver. The security block's receive path is stopped meanwhile:
 * otherwise packets that are arriving can hang it (82599 specification update, erratum on RXEN).
 */
export function enableReceiver(regs: Registers): void {
  regs.set(R.SECRXCTRL, R.SECRXCTRL.RX_DIS);
  // Best effort: a security block that is not in use may not report that it is ready.
  regs.spin(R.SECRXSTAT, R.SECRXSTAT.SECRX_RDY, R.SECRXSTAT.SECRX_RDY, RX_PATH_MS);
  regs.set(R.RXCTRL, R.RXCTRL.RXEN);
  regs.clear(R.SECRXCTRL, R.SECRXCTRL.RX_DIS);
}

/**
 * Section 4.6.6: assigns MSI-X vector `i` to receive queue `i`, and the next vector to changes of the link.
 * All vectors stay masked until they are armed.
 *
 * @param queues Number of receive queues, 1 to 16.
 */
export function initInterrupts(regs: Registers, queues: number): void {
  const vectors = 2 ** queues - 1;
  // EIAME: sending a message masks its vector, so that no other follows while the program polls.
  regs.set(R.GPIE, R.GPIE.MULTIPLE_MSIX | R.GPIE.PBA_SUPPORT | R.GPIE.EIAME);
  // The message clears the causes of queues, so EICR need not be read. It must not clear other causes.
  regs.write(R.EIAC, vectors & R.EIAC.RTX_QUEUE);
  regs.write(R.EIAM, vectors & R.EIMS.RTX_QUEUE | R.EICR.LSC);
  regs.write(R.EIAM_EX, vectors);
  // No throttling: a vector is armed only after silence, which limits the rate of messages.
  for (let vector = 0; vector <= queues; vector++) regs.write(R.EITR, 0, vector);
  for (let queue = 0; queue < queues; queue++) {
    const shift = queue % 2 * QUEUE_BITS;
    const entry = queue | R.IVAR.ALLOC_VAL0;
    regs.update(R.IVAR, ENTRY << shift, entry << shift, queue >> 1);
  }
  regs.update(
    R.IVAR_MISC,
    R.IVAR_MISC.ALLOC1 | R.IVAR_MISC.ALLOC_VAL1,
    queues << OTHER_SHIFT | R.IVAR_MISC.ALLOC_VAL1,
  );
  regs.write(R.EICR, 0xffffffff); // clears old causes
}

/** Unmasks a receive queue's vector for one message, which is sent at once if a cause is pending. */
export function armInterrupt(regs: Registers, queue: number): void {
  regs.write(R.EIMS_EX, 1 << queue);
}

/** Unmasks changes of the link for one message, which is sent at once if a change is pending. */
export function armLinkInterrupt(regs: Registers): void {
  regs.write(R.EIMS, R.EIMS.LSC);
}

/** Clears a pending change of the link. Read the state of the link afterwards, not before. */
export function clearLinkInterrupt(regs: Registers): void {
  regs.write(R.EICR, R.EICR.LSC);
}

/**
 * Stops all traffic, waits for DMA to stop (section 5.2.5.3.2) and resets the NIC. It does not give up
 * at a step that takes too long: the caller turns bus mastering off afterwards in any case.
 *
 * Packets that wait for a link that is down keep queues and DMA from stopping (82599 specification update,
 * clarification of the master disable flow). They are discarded, which is not an error.
 *
 * @returns The registers that did not report the end of a step in time; empty if all did.
 * @throws {DeviceError} if the device is gone.
 */
export function shutDown(
  regs: Registers,
  { mac }: Model,
  rxQueues: number,
  txQueues: number,
): string[] {
  const late: string[] = [];
  disableInterrupts(regs);
  late.push(...stopQueues(regs, R.RXDCTL, rxQueues));
  disableReceiver(regs, mac); // only after its queues (X550: section 4.6.7.1.1)
  const link = linkUp(regs);
  const sending = stopTxQueues(regs, txQueues, link);
  disableMaster(regs);
  // Packets that wait for a link keep the NIC from coming to rest, however long it has.
  const patience = link ? MASTER_DISABLE_MS : QUEUE_MS;
  const idle = regs.spin(R.STATUS, R.STATUS.GIO_MASTER_ENABLE, 0, patience);
  if (link) {
    late.push(...sending);
    if (!idle) late.push(`STATUS ${hex(regs.read(R.STATUS))}`);
  }
  if (!idle) flushTransmit(regs);
  regs.clear(R.CTRL_EXT, R.CTRL_EXT.DRV_LOAD);
  for (let i = idle ? 1 : 2; i > 0; i--) { // see globalReset
    const done = mac === "82599"
      ? spinReset(regs)
      : spinWithSemaphore(regs, mac, phySemaphore(regs), () => spinReset(regs));
    if (!done) late.push("CTRL");
  }
  return late;
}

/** Resets the NIC without awaiting; returns whether the reset ended. */
function spinReset(regs: Registers): boolean {
  regs.set(R.CTRL, R.CTRL.RST);
  for (const since = performance.now(); performance.now() - since < RESET_PAUSE_MS;);
  return regs.spin(R.CTRL, R.CTRL.RST, 0, RESET_MS);
}

/** Returns whether the link is up. The first read may show an earlier state. */
function linkUp(regs: Registers): boolean {
  regs.read(R.LINKS);
  return (regs.read(R.LINKS) & R.LINKS.UP) !== 0;
}

/** Disables the transmit queues, after they have sent their packets; returns those that do not stop. */
function stopTxQueues(regs: Registers, queues: number, link: boolean): string[] {
  const deadline = performance.now() + QUEUE_MS;
  for (let q = 0; q < queues && link; q++) {
    const sent = () => regs.read(R.TDH, q) === regs.read(R.TDT, q);
    spinUntil(deadline - performance.now(), sent);
  }
  return stopQueues(regs, R.TXDCTL, queues);
}

/** Disables queues, and waits until all have stopped; returns the registers of those that do not. */
function stopQueues(
  regs: Registers,
  control: typeof R.RXDCTL | typeof R.TXDCTL,
  queues: number,
): string[] {
  for (let q = 0; q < queues; q++) regs.clear(control, control.ENABLE, q);
  const deadline = performance.now() + QUEUE_MS;
  return Array.from({ length: queues }, (_, q) => q).filter((q) => {
    return !regs.spin(control, control.ENABLE, 0, deadline - performance.now(), q);
  }).map((q) => nameOf(control, q));
}

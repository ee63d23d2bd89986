/**
 * Why the driver accesses each register: a sentence for each one that it touches from opening to closing.
 *
 * @module
 */

import type { Register } from "../../../src/registers.ts";
import { LINK_REASONS } from "./link_reasons.ts";

/** One sentence for all accesses, or one for reads and one for writes. */
export type Reason = string | { readonly read: string; readonly write: string };

/** For counters, which only statistics read. */
const COUNTER = "Reading a counter clears it. The driver adds the value to its own sum.";
const UNUSED =
  "An earlier driver may have used this. It must be off, and a reset does not clear it surely.";

const RESET: Readonly<Record<string, Reason>> = {
  EIMC: "Masks all interrupts: none must arrive before the driver is ready.",
  EIMC_EX: "Masks the vectors beyond those that EIMC has bits for.",
  CTRL: {
    read:
      "RST clears itself when the reset is over, and GIO_DIS must read back before DMA counts as off.",
    write:
      "GIO_DIS stops DMA. RST then resets the device, so that no earlier driver's state is left.",
  },
  STATUS: "GIO_MASTER_ENABLE is 0 when DMA has stopped. LAN_ID is the number of the port.",
  EEC: "AUTO_RD is set when the device has loaded its settings from the EEPROM.",
  EEMNGCTL: "CFG_DONE is set when firmware has configured the port.",
  RDRXCTL: {
    read:
      "DMAIDONE is set when the receive DMA is initialised. Before that, receiving must not start.",
    write:
      "The CRC is stripped: this must agree with HLREG0.RXCRCSTRP. RSCACKC is required without RSC.",
  },
  CTRL_EXT: {
    read: "Reads what the register has, so that only one bit changes.",
    write: "DRV_LOAD tells firmware that a driver controls the device. NS_DIS: no snoop is off.",
  },
  FWSM: "Firmware reports an error here, which may keep the link down.",
  FWSTS: "Tells whether firmware takes commands.",
  HICR: "Rings firmware's bell, and tells when it has done the command.",
  FLEX_MNG: "The memory through which driver and firmware exchange commands.",
  EERD:
    "Reads a word of the EEPROM: the driver checks its checksum, and reads how the board is made.",
  SWSM: "A semaphore between drivers: only one may go on to SW_FW_SYNC.",
  SW_FW_SYNC:
    "Semaphores between driver and firmware: the PHY, the EEPROM and others have one each.",
  RAL: {
    read: "The low half of the station address, which the device has loaded from the EEPROM.",
    write: "Unused receive addresses are cleared.",
  },
  RAH: {
    read: "The high half of the station address. AV says that it is valid.",
    write: "Only the station's own address is valid (AV).",
  },
  MFLCN: "No flow control: a forwarder must not be paused. DPF discards pause frames that arrive.",
  PCS1GANA: "No pause frames are advertised at 1 Gbit/s.",
  FCTTV: "Flow control is off: its timers are 0.",
  FCRTL: "Flow control is off: no low threshold.",
  FCRTH:
    "The high threshold of flow control. The datasheet requires a value without flow control too.",
  FCRTV: "Flow control is off: the refresh time is 0.",
  FCCFG: "No pause frames are sent.",
};

const RESIDUE: Readonly<Record<string, Reason>> = Object.fromEntries(
  [
    ...["PFVTCTL", "GCR_EXT", "RTRUP2TC", "RTTUP2TC", "RTRPCS", "RTTPCS", "TXLLQ", "SECTXMINIFG"],
    ...["PFDTXGSWC", "PFVFSPOOF", "PFVMVIR", "PFMRCTL", "PSRTYPE", "FDIRCTRL", "ETQF", "SYNQF"],
    ...["FCRECTL", "VLNCTRL", "LSECTXCTRL", "LSECRXCTRL", "IPSTXIDX", "IPSRXIDX", "SECTXCTRL"],
    ...["SECTXBUFFAF", "WUFC", "MACC", "WUS", "DMACR", "VXLANCTRL", "RSCCTL", "TDWBAL"],
  ].map((name) => [name, UNUSED]),
);

const RECEIVE: Readonly<Record<string, Reason>> = {
  MTA: "The hash table of multicast addresses is empty: software has to clear it.",
  VFTA: "The table of VLANs is empty: software has to clear it.",
  PFUTA: "The hash table of unicast addresses is empty: software has to clear it.",
  PFVLVF: "No VLAN belongs to a pool.",
  PFVLVFB: "No VLAN belongs to a pool.",
  MPSAR: "Receive address 0 belongs to pool 0, the only one.",
  FTQF: "No five-tuple filter chooses a queue.",
  RFCTL: "The device cannot filter NFS, so the datasheet wants both of its bits set.",
  RXPBSIZE: "All receive packet buffer memory belongs to one traffic class.",
  HLREG0: "Strip the CRC of frames that arrive; append it and pad to 60 bytes those that leave.",
  MAXFRS: "Frames that do not fit a buffer are refused, and counted in ROC.",
  FCTRL:
    "Which frames the filters accept: UPE and MPE are promiscuous mode, BAM accepts broadcasts.",
  RSSRK: "The secret key of the RSS hash.",
  RETA:
    "The redirection table: the low bits of a packet's hash choose an entry, and it names the queue.",
  ERETA: "The rest of the X550's redirection table.",
  RXCSUM: "PCSD: the descriptor has the RSS hash instead of a checksum.",
  MRQC: "Receive side scaling: which fields of a packet the hash covers.",
  RDBAL: "Tells the device where the receive ring is: bits 31:0 of its bus address.",
  RDBAH: "Bits 63:32 of the ring's bus address.",
  RDLEN: "The ring's length in bytes: 16 for each descriptor.",
  RDH: "The head is the device's: the next descriptor that it fills. It starts at 0.",
  RDT:
    "The tail passes descriptors to the device: all from the head up to it. If both are equal, the " +
    "device has none.",
  SRRCTL:
    "The format of descriptors, the size of buffers, and whether a frame without descriptor is dropped.",
  DCA_RXCTRL: "Bit 12 must be cleared, says section 4.6.7.1.",
  RXDCTL: {
    read:
      "ENABLE reads 1 when the device has enabled the queue. Before that, the tail must not be written.",
    write: "ENABLE starts the queue with the ring that was set up, or stops it.",
  },
  SECRXCTRL:
    "RX_DIS stops the receive path while RXEN changes: frames that arrive then could hang it.",
  SECRXSTAT: "SECRX_RDY is set when the receive path is empty.",
  RXCTRL:
    "RXEN: the receiver is enabled last, after all other settings, and is disabled after its queues.",
};

const TRANSMIT: Readonly<Record<string, Reason>> = {
  RTTDCS: "ARBDIS: the arbiter is off while the packet buffers are divided.",
  MTQC: "One traffic class, no virtualization.",
  TXPBSIZE: "All transmit packet buffer memory belongs to one traffic class.",
  TXPBTHRESH: "The threshold leaves room for one frame of the largest size.",
  DTXMXSZRQ: "How much transmit DMA may be requested at once.",
  RTTDQSEL: "Chooses the queue that the next registers are about.",
  RTTDT1C: "No credits for the queue: there are no traffic classes.",
  RTTBCNRC: "No rate limit for the queue.",
  PFQDE: "The queue drops nothing of its own accord: SRRCTL decides.",
  RTTDT2C: "The arbiter of transmit descriptors gives no class an advantage.",
  RTTPT2C: "The arbiter of transmit packets gives no class an advantage.",
  RTRPT4C: "The arbiter of received packets gives no class an advantage.",
  TDBAL: "Tells the device where the transmit ring is: bits 31:0 of its bus address.",
  TDBAH: "Bits 63:32 of the ring's bus address.",
  TDLEN: "The ring's length in bytes: 16 for each descriptor.",
  TDH: "The head is the device's: the next descriptor that it sends. It starts at 0.",
  TDT:
    "The tail passes descriptors to the device, once for a whole batch: a register write over PCIe is dear.",
  TXDCTL: {
    read: "ENABLE reads 1 when the device has enabled the queue.",
    write: "Thresholds for fetching descriptors; then ENABLE starts the queue, or stops it.",
  },
  DMATXCTL: "TE enables the transmit path, and queue 0 with it: all rings must be set up before.",
};

const INTERRUPTS: Readonly<Record<string, Reason>> = {
  GPIE:
    "A message of its own for each vector (MULTIPLE_MSIX). Sending it masks the vector (EIAME).",
  EIAC: "A message clears the cause of its queue, so the driver need not read EICR.",
  EIAM: "Sending a message masks its vector: no other follows while the program polls.",
  EIAM_EX: "The same for the vectors, by number.",
  EITR: "The least time between two messages of the vector, in 2 µs: 0 does not throttle.",
  IVAR: "Which vector each queue's cause leads to.",
  IVAR_MISC: "The vector of all other causes, for instance a change of the link.",
  EICR: "Writing 1 clears old causes.",
  EIMS: "Unmasks causes: the next one sends a message.",
  EIMS_EX: "Arms the vector for one message. If a cause is pending, the message is sent at once.",
};

const REASONS: Readonly<Record<string, Reason>> = {
  ...RESIDUE,
  ...RESET,
  ...LINK_REASONS,
  ...RECEIVE,
  ...TRANSMIT,
  ...INTERRUPTS,
};

/**
 * Returns why the driver accesses a register: a sentence.
 *
 * @returns undefined for a register that the driver does not touch.
 */
export function reasonFor(kind: "read" | "write", { name, access }: Register): string | undefined {
  if (access === "RC") return COUNTER;
  const reason = REASONS[name];
  return typeof reason === "object" ? reason[kind] : reason;
}

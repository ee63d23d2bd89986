/**
 * Experiments: what is recorded. An experiment is plain data, and gives the same steps each time, so a
 * link to one of its steps is permanent.
 *
 * @module
 */

/** Kinds of frames that can be sent to a port. */
export const FRAMES = [
  "udp", // for the port's address, 60 bytes; successive frames are of successive flows
  "tcp",
  "foreign", // for another station
  "broadcast",
  "multicast",
  "vlan",
  "short", // less than 60 bytes
  "long", // beyond 1518 bytes, while HLREG0.JUMBOEN is off or MAXFRS is less
  "jumbo", // over several descriptors
  "damaged", // with a wrong IPv4 checksum
  "ping",
] as const;
/** A kind of frame. */
export type FrameKind = typeof FRAMES[number];

/** Rules that an experiment can have the driver break. */
export const BREAKS = ["tail-beyond-end", "te-before-ring", "buffer-outside-map"] as const;
/** A rule to break. */
export type Break = typeof BREAKS[number];

/** What happens next. A port is a number from 0. */
export type Action =
  /** The program opens the devices: the initialisation. Always the first one. */
  | { readonly do: "open" }
  /** Frames arrive at a port. `flow` numbers the flow (default: successive). */
  | {
    readonly do: "frame";
    readonly port: number;
    readonly frame: FrameKind;
    readonly times?: number;
    readonly flow?: number;
  }
  /** The device does a round. */
  | { readonly do: "round"; readonly port: number }
  /** The program receives a batch on a port's queue, and keeps it. */
  | { readonly do: "receive"; readonly port: number; readonly queue?: number }
  /** The program touches a byte of each packet of the batch, transmits it on a port, and frees the rest. */
  | { readonly do: "transmit"; readonly port: number; readonly queue?: number }
  /** The program frees the batch that it has. */
  | { readonly do: "free" }
  /** The program reclaims sent buffers. */
  | { readonly do: "reclaim"; readonly port: number; readonly queue?: number }
  /** Receive, touch and transmit, from a port to the other one, on all queues. */
  | { readonly do: "forward"; readonly port: number }
  /** The program takes buffers from the pool and keeps them, until `buffers` are left; or returns all. */
  | { readonly do: "hoard"; readonly buffers: number }
  /** The program reads statistics. */
  | { readonly do: "statistics"; readonly port: number }
  /** The program arms the interrupt of a queue, and waits for it. */
  | { readonly do: "interrupt"; readonly port: number; readonly queue?: number }
  /**
   * The program polls a port's queues and forwards, or frees the packets if there is one port. When none
   * has come for a while, it arms the interrupts and sleeps: the hybrid mode of polling and interrupts.
   */
  | { readonly do: "hybrid"; readonly port: number }
  /** The program sets the least time between two messages of a queue's vector (EITR); 0: none. */
  | {
    readonly do: "throttle";
    readonly port: number;
    readonly queue?: number;
    readonly microseconds: number;
  }
  /** Time passes. */
  | { readonly do: "sleep"; readonly milliseconds: number }
  /** The driver breaks a rule. */
  | { readonly do: "break"; readonly port: number; readonly rule: Break }
  /** The program closes the devices. */
  | { readonly do: "close" };

/** Devices by the names that a user knows. */
export const DEVICES = ["82599", "X540", "X550", "virtio"] as const;

/** What is recorded. */
export interface Experiment {
  readonly device: typeof DEVICES[number];
  /** Number of ports: 1 or 2; 2 is needed to forward. */
  readonly ports: 1 | 2;
  /** Descriptors of each ring: a power of two, 64 to 4096 (virtio: the queue's size, 16 to 256). */
  readonly entries: number;
  /** Most packets of a batch, 1 to 32. */
  readonly batch: number;
  /** Receive queues, 1 to 8, which RSS chooses from; as many transmit queues. */
  readonly queues: number;
  /** Buffers of the pool. */
  readonly buffers: number;
  /** Size of a buffer in bytes: 2048 or 4096. */
  readonly bufferSize: number;
  /** Whether frames without descriptor are dropped (SRRCTL.DROP_EN), not kept in the packet buffer. */
  readonly dropEnable: boolean;
  readonly promiscuous: boolean;
  /** Whether devices are opened with interrupts. */
  readonly interrupts: boolean;
  /** Most descriptors and frames of one round of the device: 1 makes each its own round. */
  readonly budget: number;
  readonly actions: readonly Action[];
}

/** The default: what an experiment leaves out. */
export const DEFAULTS: Experiment = {
  device: "82599",
  ports: 2,
  entries: 64,
  batch: 8,
  queues: 1,
  buffers: 512,
  bufferSize: 2048,
  dropEnable: false,
  promiscuous: true,
  interrupts: false,
  budget: 64,
  actions: [{ do: "open" }],
};

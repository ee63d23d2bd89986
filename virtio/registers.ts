/**
 * Register tables of VirtIO PCI devices: offset and size in bytes of each register, little endian.
 *
 * @module
 */

/** A register: offset and size in bytes. */
export interface PciRegister {
  readonly offset: number;
  readonly bytes: 1 | 2 | 4;
}

/** The legacy interface: I/O ports of BAR 0 (VirtIO 1.3, section 4.1.4.10). */
export const LEGACY = {
  /** Features that the device offers, bits 0 to 31. RO. */
  DEVICE_FEATURES: { offset: 0, bytes: 4 },
  /** Features that the driver accepts. RW. */
  DRIVER_FEATURES: { offset: 4, bytes: 4 },
  /** Page number (4096 bytes) of the selected queue; 0 stops it. RW. */
  QUEUE_ADDRESS: { offset: 8, bytes: 4 },
  /** Descriptors of the selected queue; 0 if the queue does not exist. RO. */
  QUEUE_SIZE: { offset: 12, bytes: 2 },
  /** The queue that QUEUE_ADDRESS and QUEUE_SIZE refer to. RW. */
  QUEUE_SELECT: { offset: 14, bytes: 2 },
  /** Writing the number of a queue notifies the device of new buffers in it. */
  QUEUE_NOTIFY: { offset: 16, bytes: 2 },
  /** Device status; writing 0 resets the device. RW. */
  DEVICE_STATUS: { offset: 18, bytes: 1 },
  /** Interrupt status, cleared by reading. RC. */
  ISR_STATUS: { offset: 19, bytes: 1 },
} as const;

/**
 * Offset of the device-specific configuration, which follows the legacy registers, without MSI-X.
 */
export const LEGACY_CONFIG = 20;
/** The same with MSI-X enabled: two vector registers precede it. */
export const LEGACY_CONFIG_MSIX = 24;

/** The common configuration structure of the modern interface (section 4.1.4.3). */
export const COMMON = {
  /** Selects the 32 bits of the features that DEVICE_FEATURE shows. RW. */
  DEVICE_FEATURE_SELECT: { offset: 0x00, bytes: 4 },
  /** Features that the device offers. RO. */
  DEVICE_FEATURE: { offset: 0x04, bytes: 4 },
  /** Selects the 32 bits of the features that DRIVER_FEATURE takes. RW. */
  DRIVER_FEATURE_SELECT: { offset: 0x08, bytes: 4 },
  /** Features that the driver accepts. RW. */
  DRIVER_FEATURE: { offset: 0x0c, bytes: 4 },
  /** Most queues that the device supports. RO. */
  NUM_QUEUES: { offset: 0x12, bytes: 2 },
  /** Device status; writing 0 resets the device. RW. */
  DEVICE_STATUS: { offset: 0x14, bytes: 1 },
  /** Changes whenever the device-specific configuration changes. RO. */
  CONFIG_GENERATION: { offset: 0x15, bytes: 1 },
  /** The queue that the following registers refer to. RW. */
  QUEUE_SELECT: { offset: 0x16, bytes: 2 },
  /** Descriptors of the queue; 0 if the queue does not exist. RW. */
  QUEUE_SIZE: { offset: 0x18, bytes: 2 },
  /** Writing 1 enables the queue. RW. */
  QUEUE_ENABLE: { offset: 0x1c, bytes: 2 },
  /** The queue's notification address, in units of the notification capability's multiplier. RO. */
  QUEUE_NOTIFY_OFF: { offset: 0x1e, bytes: 2 },
  /** Address of the descriptor table, low and high. RW. */
  QUEUE_DESC_LO: { offset: 0x20, bytes: 4 },
  QUEUE_DESC_HI: { offset: 0x24, bytes: 4 },
  /** Address of the available ring. RW. */
  QUEUE_DRIVER_LO: { offset: 0x28, bytes: 4 },
  QUEUE_DRIVER_HI: { offset: 0x2c, bytes: 4 },
  /** Address of the used ring. RW. */
  QUEUE_DEVICE_LO: { offset: 0x30, bytes: 4 },
  QUEUE_DEVICE_HI: { offset: 0x34, bytes: 4 },
} as const;

/** Bytes of the common configuration structure that every device has. */
export const COMMON_BYTES = 0x38;

/** Offsets in the device-specific configuration of network devices (section 5.1.4). */
export const NetConfig = {
  /** MAC address, with the feature MAC. 6 bytes. */
  MAC: 0,
  /** Status, with the feature STATUS. Bit 0: the link is up. 2 bytes. */
  STATUS: 6,
  /** Pairs of a receive and a transmit queue, with the feature MQ. 2 bytes. */
  MAX_VIRTQUEUE_PAIRS: 8,
  /** Link speed in Mbit/s, with the feature SPEED_DUPLEX; all ones if unknown. 4 bytes. */
  SPEED: 12,
} as const;

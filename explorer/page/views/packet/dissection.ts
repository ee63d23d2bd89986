/**
 * A frame while it is divided into its parts.
 *
 * @module
 */

/** A field of a header. */
export interface Field {
  readonly name: string;
  /** First byte in the frame, and the byte after the last one. */
  readonly from: number;
  readonly to: number;
  /** Its value as text. */
  readonly value: string;
  /** Whether a checksum is right; undefined for other fields. */
  readonly right?: boolean;
}

/** The names of parts, each of which has a colour. */
type LayerName =
  | "Ethernet"
  | "VLAN"
  | "ARP"
  | "IPv4"
  | "IPv6"
  | "ICMP"
  | "ICMPv6"
  | "TCP"
  | "UDP"
  | "payload"
  | "padding";

/** A part of a frame. */
export interface Layer {
  readonly name: LayerName;
  /** First byte in the frame, and the byte after the last one. */
  readonly from: number;
  readonly to: number;
  readonly fields: readonly Field[];
  /** Whether the frame ends within the part. */
  readonly cutShort: boolean;
}

/**
 * Adds a field to a header.
 *
 * @param offset First byte in the header.
 * @param value Returns its value; its parameter is the field's first byte in the frame.
 * @param right For a checksum: whether it is right.
 */
export type AddField = (
  name: string,
  offset: number,
  bytes: number,
  value: (at: number) => string,
  right?: boolean,
) => void;

/** Divides a frame from its first byte on. */
export class Dissection {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** The first byte that belongs to no part yet. */
  at = 0;
  /** The byte after the payload, as the headers so far have it: what follows is padding. */
  end: number;
  readonly #layers: Layer[] = [];

  constructor(frame: Uint8Array) {
    this.bytes = frame;
    this.view = new DataView(frame.buffer, frame.byteOffset, frame.length);
    this.end = frame.length;
  }

  /** Bytes that belong to no part yet. */
  get left(): number {
    return this.bytes.length - this.at;
  }

  /**
   * Adds a header, or continues the last one if that has the same name.
   *
   * @param bytes Its length. If the frame ends before that, the header has no fields.
   * @returns Whether the frame has all of it.
   */
  header(name: LayerName, bytes: number, describe: (field: AddField) => void): boolean {
    const from = this.at, cutShort = bytes > this.left, fields: Field[] = [];
    const to = Math.min(from + bytes, this.bytes.length);
    if (!cutShort) {
      describe((name, offset, bytes, value, right) => {
        const start = from + offset;
        const field = { name, from: start, to: start + bytes, value: value(start) };
        fields.push(right === undefined ? field : { ...field, right });
      });
    }
    const last = this.#layers.at(-1);
    if (last?.name === name) { // the EtherType after a MAC address, IPv6's extensions
      const all = [...last.fields, ...fields];
      this.#layers.splice(-1, 1, { ...last, to, fields: all, cutShort });
    } else {
      this.#layers.push({ name, from, to, fields, cutShort });
    }
    this.at = to;
    return !cutShort;
  }

  /** Adds payload and padding, and returns all parts. */
  finish(): readonly Layer[] {
    const { length } = this.bytes, end = Math.max(this.at, Math.min(this.end, length));
    const cutShort = this.end > length && this.at < length;
    this.#rest("payload", this.at, end, cutShort);
    this.#rest("padding", end, length, false);
    return this.#layers;
  }

  #rest(name: LayerName, from: number, to: number, cutShort: boolean): void {
    if (to > from) this.#layers.push({ name, from, to, fields: [], cutShort });
  }
}

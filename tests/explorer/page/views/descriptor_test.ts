/** Bits of descriptors by name. */

import { assertEquals } from "@std/assert";
import { decode, valueOf } from "../../../../explorer/page/views/descriptor/decode.ts";
import { type Format, formatOf } from "../../../../explorer/page/views/descriptor/formats.ts";
import {
  descriptorFormat,
  isWrittenBack,
} from "../../../../explorer/recording/descriptor_format.ts";
import type { DescriptorAccess } from "../../../../explorer/recording/step.ts";
import {
  RX_DD,
  RX_EOP,
  TX_DEXT,
  TX_DTYP_DATA,
  TX_EOP,
  TX_IFCS,
  TX_PAYLEN_SHIFT,
  TX_RS,
} from "../../../../ixgbe/descriptors.ts";

const NO_WORDS = [0, 0, 0, 0];
const SENT = [
  0x7800,
  1,
  TX_DTYP_DATA | TX_DEXT | TX_IFCS | TX_EOP | TX_RS | 60,
  60 << TX_PAYLEN_SHIFT,
];

/** Returns the values of a format's bits that are not 0, by name. */
function values(format: Format, words: readonly number[]): Record<string, string> {
  const set = decode(format, NO_WORDS, words).filter(({ value }) => !/^(0|0x0+)$/.test(value));
  return Object.fromEntries(set.map(({ bits, value }) => [bits.name, value]));
}

/** All combinations of ring, format and side. */
const ALL = (["rx", "tx"] as const).flatMap((ring) =>
  (["advanced", "legacy", "context", "virtio"] as const).flatMap((format) =>
    [false, true].map((writtenBack) => ({ ring, format, writtenBack }))
  )
);

Deno.test("decode() names the bits of a received descriptor", () => {
  const format = formatOf({ ring: "rx", format: "advanced", writtenBack: true });
  assertEquals(values(format, [0x211, 0xdeadbeef, RX_DD | RX_EOP, 5 << 16 | 60]), {
    "RSS type": "1, TCP over IPv4",
    IPV4: "1",
    UDP: "1",
    "RSS hash": "0xdeadbeef",
    DD: "1",
    EOP: "1",
    PKT_LEN: "60",
    "VLAN tag": "5",
  });
});

Deno.test("decode() names the bits of a descriptor to send", () => {
  const format = formatOf({ ring: "tx", format: "advanced", writtenBack: false });
  assertEquals(values(format, SENT), {
    Address: "0x100007800",
    DTALEN: "60",
    DTYP: "3, data",
    EOP: "1",
    IFCS: "1",
    RS: "1",
    DEXT: "1",
    PAYLEN: "60",
  });
});

Deno.test("decode() names a virtqueue's descriptor as the specification does", () => {
  const format = formatOf({ ring: "rx", format: "virtio", writtenBack: false });
  assertEquals(values(format, [0x1000, 0, 12, 3 | 7 << 16]), {
    addr: "0x1000",
    len: "12",
    NEXT: "1",
    WRITE: "1",
    next: "7",
  });
});

Deno.test("decode() marks the bits that a step changes, and no others", () => {
  const format = formatOf({ ring: "rx", format: "advanced", writtenBack: true });
  const decoded = decode(format, [1, 2, 0, 0], [1, 2, RX_DD, 64]);
  assertEquals(
    decoded.filter(({ changed }) => changed).map(({ bits, old, value }) => [bits.name, old, value]),
    [["DD", "0", "1"], ["PKT_LEN", "0", "64"]],
  );
});

Deno.test("formatOf() has no bits in two fields, and none of an address in a word of flags", () => {
  for (const kind of ALL) {
    const taken = [0, 0, 0, 0];
    for (const { name, word, mask, isAddress } of formatOf(kind).bits) {
      for (const w of isAddress ? [word, word + 1] : [word]) {
        assertEquals(taken[w] & mask, 0, `${formatOf(kind).name}: ${name}`);
        taken[w] |= mask;
      }
    }
  }
});

Deno.test("isWrittenBack() looks at DD where each format has it", () => {
  const done = (ring: "rx" | "tx", format: DescriptorAccess["format"], words: number[]) =>
    isWrittenBack({ ring, format }, words);
  assertEquals(done("rx", "advanced", [0, 0, 1, 0]), true);
  assertEquals(done("rx", "advanced", [0, 0, 0, 1]), false);
  assertEquals(done("rx", "legacy", [0, 0, 0, 1]), true);
  assertEquals(done("tx", "advanced", [0, 0, 0, 1]), true);
  assertEquals(done("tx", "context", [0, 0, 1, 1]), false);
});

Deno.test("descriptorFormat() tells formats of transmit descriptors apart by DEXT and DTYP", () => {
  assertEquals(descriptorFormat("tx", SENT), "advanced");
  assertEquals(descriptorFormat("tx", [0, 0, 0, 1]), "advanced", "only DD is left");
  assertEquals(descriptorFormat("tx", [0, 0, TX_DEXT | 2 << 20, 0]), "context");
  assertEquals(descriptorFormat("tx", [0, 0, TX_EOP | 60, 0]), "legacy");
});

Deno.test("valueOf() takes bits up to bit 31 as unsigned", () => {
  assertEquals(valueOf(0xffff0000, 0xffffffff), 0xffff);
  assertEquals(valueOf(0x80000000, -1), 1);
  assertEquals(valueOf(0xffffffff, -1), 0xffffffff);
  assertEquals(valueOf(0, 5), 0);
});

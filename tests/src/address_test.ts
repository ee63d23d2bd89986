/** Addresses of PCI functions. */

import { assertEquals } from "@std/assert";
import { parsePciAddress } from "../../src/pci/address.ts";

Deno.test("parsePciAddress() accepts Linux's form, the short form and upper case", () => {
  const forms = {
    "0000:03:00.0": "0000:03:00.0",
    "03:00.0": "0000:03:00.0",
    "00:1f.7": "0000:00:1f.7",
    "AF:0B.1": "0000:af:0b.1",
    "FFFF:FF:1F.7": "ffff:ff:1f.7",
    "10000:e1:00.0": "10000:e1:00.0",
    "10000000:E1:00.0": "10000000:e1:00.0",
    "ffffffff:ff:1f.7": "ffffffff:ff:1f.7",
    "00000001:03:00.0": "0001:03:00.0",
  };
  for (const [text, address] of Object.entries(forms)) {
    assertEquals(parsePciAddress(text), address, text);
  }
});

Deno.test("parsePciAddress() refuses everything else", () => {
  const others = [
    ...["", "eth0", "3:00.0", "03:00", "03:0.0", "03.00.0", "003:00.0", "03:00.00", "0x03:00.0"],
    ...["000:03:00.0", "123456789:03:00.0", ":03:00.0", "0000:0000:03:00.0", "g000:03:00.0"],
    ...["03:20.0", "03:ff.0", "03:00.8", "03:00.f", " 03:00.0", "03:00.0\n", "../03:00.0"],
  ];
  for (const text of others) assertEquals(parsePciAddress(text), undefined, text);
});

/**
 * Self-test of the EEPROM: its checksum, over what the hardware loads. Opening the device has checked it
 * before, with signature and MAC address.
 *
 * @module
 */

import { checksumOf, eepromSize, withEeprom } from "../../ixgbe/eeprom_words.ts";
import { type Bench, type Check, counted, Failed } from "./check.ts";

export const EEPROM_CHECK: Check = {
  name: "EEPROM",
  async run({ port: { device, model } }: Bench): Promise<string> {
    const regs = device.registers, { mac } = model, size = eepromSize(regs);
    const { stored, computed } = await withEeprom(regs, mac, device.address, (read) => {
      return checksumOf(read, mac, size);
    });
    // The words stay private: they contain MAC addresses and serial numbers.
    if (stored !== computed) throw new Failed("the checksum is wrong");
    return `the checksum is right, ${counted(size, "word")}`;
  },
};

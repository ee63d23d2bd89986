/**
 * Files that the page saves. Not a test itself.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { XMLValidator } from "fast-xml-parser";
import { FrameBuffer } from "../../../sim/frames/frame.ts";
import { NO_FRAME, PcapReader } from "../../../sim/wires/pcap_file.ts";
import type { ExplorerPage } from "./explorer_page.ts";
import type { PageTests, Rig } from "./rig.ts";

/** Tests of exports. */
export const EXPORTS: PageTests = {
  "The pictures are saved as one SVG file": saveSvg,
  "The frames are saved as a pcap file": savePcap,
};

/** Clicks a button, and returns the path of the file that the page saves. */
async function save(rig: Rig, { page }: ExplorerPage, button: string): Promise<string> {
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: button }).click();
  const saved = await download;
  const path = rig.directory.file(saved.suggestedFilename());
  await saved.saveAs(path);
  return path;
}

async function saveSvg(rig: Rig): Promise<void> {
  await using explorer = await rig.open("lesson=wire-to-wire");
  const file = await save(rig, explorer, "SVG"), shown = await explorer.position() + 1;
  assertEquals(file, rig.directory.file(`step-${shown}.svg`));
  const text = await Deno.readTextFile(file);
  assertEquals(XMLValidator.validate(text), true);
  assertMatch(text, /^(?:<\?xml[^>]*>\s*)?<svg [^>]*xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
  assert(text.includes(`, step ${shown}: `));
  for (const word of ["RDH", "RDT", "TDH", "TDT"]) assert(text.includes(word), word);
  assert(!/href="http|url\(http|class="[^"]*"\s*\/>\s*<script/.test(text));
  await explorer.page.goto(`file://${file}`); // a browser shows it
}

async function savePcap(rig: Rig): Promise<void> {
  await using explorer = await rig.open("lesson=wire-to-wire");
  const file = await save(rig, explorer, "pcap");
  const reader = new PcapReader(file);
  const frame = new FrameBuffer(), lengths: number[] = [];
  for (let length; (length = reader.next(frame)) !== NO_FRAME.END;) lengths.push(length);
  reader.close();
  assertEquals(reader.damage, undefined);
  assertEquals(lengths, [60, 60]); // it arrives, and it is sent
}

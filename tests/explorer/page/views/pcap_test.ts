/** A recording's frames as a pcap file. */

import { assertEquals } from "@std/assert";
import { pcapOf } from "../../../../explorer/page/views/exports/pcap.ts";
import { Layout } from "../../../../explorer/recording/layout.ts";
import { Recording } from "../../../../explorer/recording/recording.ts";
import type { Kind, Step } from "../../../../explorer/recording/step.ts";
import { FrameBuffer } from "../../../../sim/frames/frame.ts";
import { NO_FRAME, PcapReader } from "../../../../sim/wires/pcap_file.ts";
import { TemporaryDirectory } from "../../../support/processes.ts";

function step(kind: Kind, bytes: number): Step {
  return {
    kind,
    actor: "wire",
    port: 0,
    title: "",
    frame: 1,
    bytes: new Uint8Array(bytes).fill(bytes),
    changes: new Uint32Array(),
  };
}

Deno.test("pcapOf() has the frames that arrive and are sent, with steps as nanoseconds", async () => {
  const recording = new Recording(new Layout(), new Uint32Array());
  recording.push(step("arrive", 60), step("dma-write", 60), step("touch", 60), step("send", 61));
  const file = pcapOf(recording), view = new DataView(file.buffer);
  assertEquals(view.getUint32(24 + 4, true), 0);
  assertEquals(view.getUint32(24 + 16 + 60 + 4, true), 3);

  await using directory = await TemporaryDirectory.make();
  const name = directory.file("frames.pcap");
  await Deno.writeFile(name, file);
  const reader = new PcapReader(name), frame = new FrameBuffer(), lengths: number[] = [];
  for (let length; (length = reader.next(frame)) !== NO_FRAME.END;) lengths.push(length);
  reader.close();
  assertEquals(reader.damage, undefined);
  assertEquals(lengths, [60, 61]);
});

Deno.test("pcapOf() of a recording without frames is a file without records", () => {
  assertEquals(pcapOf(new Recording(new Layout(), new Uint32Array())).length, 24);
});

import type { FrameBuffer } from "../../../sim/frames/frame.ts";
import type { Nic } from "../../../sim/nic/nic.ts";
import type { Entry } from "../journal.ts";

export function fateOf(
  _nic: Nic,
  _frame: FrameBuffer,
  length: number,
): Pick<Entry, "kind" | "title" | "why">[] {
  return [{ kind: "decide", title: `accepts ${length} bytes` }];
}

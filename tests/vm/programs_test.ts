/** `pktgen.ts` and `pcap.ts` on virtio cards of QEMU, in a virtual machine. */

import { assertEquals, assertMatch } from "@std/assert";
import { addressOf, virtioNic } from "../../vm/devices.ts";
import { Machine } from "../../vm/machine.ts";

const [A, B] = [3, 4].map((slot) => addressOf({ slot }));
const PACKETS = 200, SIZE = 100;
/** Bytes of a capture's header, and of each packet's header. */
const FILE_HEADER = 24, RECORD_HEADER = 16;

Deno.test("pcap.ts captures what pktgen.ts sends, in a virtual machine", async () => {
  const nics = [3, 4].flatMap((slot) => {
    return virtioNic({ kind: "legacy", slot, netdev: "hubport,hubid=0" });
  });
  await using vm = await Machine.boot({ arguments: nics });
  const run = "deno run --no-prompt --allow-ffi";
  const pcap = await vm.start(
    `${run} --allow-write=/tmp/x.pcap pcap.ts --json --quiet --count ${PACKETS} ${B} /tmp/x.pcap`,
  );
  assertEquals(await pcap.line(() => true), '{"ready":true}', pcap.stderr);
  // The generator sends no more than are captured: a closed card at the cable blocks the other.
  const sent = await vm.run(
    `${run} pktgen.ts --json --quiet --rate 1000 --size ${SIZE} --count ${PACKETS} ${A}`,
  );
  const captured = await pcap.finish();
  assertEquals({ code: sent.code, stderr: sent.stderr }, { code: 0, stderr: "" });
  assertEquals(captured.code, 0);
  // Emulated on a busy machine, the generator may take long to start.
  assertMatch(captured.stderr, /^(.*: no progress for 30 s, 0 of 200 packets have arrived.*\n)?$/);
  const last = (text: string) => JSON.parse(text.trim().split("\n").at(-1)!).ports[0];
  assertEquals(last(sent.stdout).txPackets, PACKETS);
  assertEquals(last(captured.stdout).written, PACKETS);
  const file = await vm.run("wc -c < /tmp/x.pcap");
  assertEquals(Number(file.stdout), FILE_HEADER + PACKETS * (RECORD_HEADER + SIZE));

  const blocked = await vm.run(
    `${run} pktgen.ts --json --quiet --count 5000 --timeout 1 ${A}`,
  );
  assertMatch(blocked.stderr, /: link up.*: the other side takes no packets\n$/);
  const { txPackets, pending } = last(blocked.stdout);
  assertEquals([blocked.code, txPackets < 5000, pending > 0], [1, true, true]);
});

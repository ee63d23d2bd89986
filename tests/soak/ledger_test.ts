import { assertEquals } from "@std/assert";
import { account, defects, type Totals, type WireCounts, zero } from "./ledger.ts";

const NONE: WireCounts = { sent: 0, missed: 0, received: 0, reordered: 0, corrupt: 0, foreign: 0 };
const EMPTY = [NONE, NONE];

/** What one direction adds: A sends 100, and B's checker receives the rest. */
function ledger(
  a: Partial<WireCounts>,
  b: Partial<WireCounts>,
  { dropped = 0, limit = 0, before = EMPTY }: {
    dropped?: number;
    limit?: number;
    before?: readonly WireCounts[];
  } = {},
): Partial<Totals> {
  const totals = account(
    before,
    [{ ...NONE, sent: 100, ...a }, { ...NONE, ...b }],
    [0, dropped],
    limit,
  );
  return Object.fromEntries(Object.entries(totals).filter(([, n]) => n !== 0));
}

Deno.test("account() finds nothing wrong where all packets came back, or have a reason not to", () => {
  assertEquals(ledger({}, { received: 100 }), { received: 100 });
  assertEquals(ledger({ missed: 30 }, { received: 65 }, { dropped: 5 }), {
    ...{ received: 65, missed: 30, dropped: 5 },
  });
});

Deno.test("account() counts as lost what is missing above the limit of packets in flight", () => {
  assertEquals(ledger({}, { received: 99 }), { received: 99, lost: 1 });
  assertEquals(ledger({}, { received: 90 }, { limit: 10 }), { received: 90, inFlight: 10 });
  assertEquals(ledger({}, { received: 89 }, { limit: 10 }), {
    received: 89,
    inFlight: 10,
    lost: 1,
  });
});

Deno.test("account() counts packets that came back twice as defects", () => {
  assertEquals(ledger({}, { received: 101 }, { limit: 10 }), { received: 101, lost: 1 });
});

Deno.test("account() counts reordered, corrupt and foreign packets of both ports", () => {
  assertEquals(ledger({ corrupt: 1 }, { received: 100, reordered: 2, corrupt: 3, foreign: 4 }), {
    ...{ received: 100, reordered: 2, corrupt: 8 },
  });
});

Deno.test("account() counts from where the forwarder started", () => {
  const before = [{ ...NONE, sent: 40, missed: 40 }, { ...NONE, received: 7, reordered: 5 }];
  assertEquals(ledger({ missed: 40 }, { received: 67, reordered: 5 }, { before }), {
    received: 60,
  });
});

Deno.test("account() expects the packets of a single port back at it", () => {
  const counts = { ...NONE, sent: 100, missed: 1, received: 97 };
  assertEquals(account([NONE], [counts], [2], 0), {
    ...zero(),
    ...{ received: 97, missed: 1, dropped: 2 },
  });
});

Deno.test("defects() counts all that no run may have, and nothing else", () => {
  assertEquals(defects({ ...zero(), received: 9, missed: 9, dropped: 9, inFlight: 9 }), 0);
  assertEquals(defects({ ...zero(), lost: 1, reordered: 2, corrupt: 4, violations: 8 }), 15);
});

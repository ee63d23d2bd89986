/** Forwards one packet between two fake rings: the program that `inlining_test.ts` runs. */

import { Mempool } from "../../mod.ts";
import { Direction } from "../../programs/forward.ts";
import { FakeRxRing, FakeTxRing } from "./fake_ring.ts";

using pool = new Mempool({ buffers: 256, memory: "pages" });
const rx = new FakeRxRing(pool, 64), tx = new FakeTxRing(pool, 64);
rx.fill(60);
console.log("forwarded", new Direction(rx.queue, tx.queue, 32, true).forward());

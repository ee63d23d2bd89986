/**
 * Throughput by batch size, on the software NIC: `deno task bench`.
 *
 * Each figure is a run of the demo, in which forwarder and software NIC have a core each. Where it is
 * the software NIC that can do no more, the figure says what that can, not the driver; the batch sizes
 * at which the figures stop to rise tell where that begins.
 *
 * @module
 */

import { number, parse, run } from "../src/program.ts";
import { DeviceError, UsageError } from "../mod.ts";

const USAGE = `usage: deno task bench [options]

Forwards between two ports of the software NIC in batches of 1, 2, 4, … 256 packets, in turns.

  --batches N,… batch sizes, each 1 to 256 (default 1,2,4,8,16,32,64,128,256)
  --seconds N   how long each run takes, 2 to 3600 (default 3)
  --rounds N    runs of each batch size, 1 to 100 (default 3)
  --size N      bytes of a packet, without CRC, 60 to 1514 (default 60)
  --json        print one JSON object as the last line`;

const OPTIONS = { batches: true, seconds: true, rounds: true, size: true, json: false };
const BATCHES = "1,2,4,8,16,32,64,128,256";

/** The batch sizes asked for. */
function batchSizes(text: string): number[] {
  const sizes = text.split(",").map(Number);
  if (sizes.some((size) => !(Number.isInteger(size) && size >= 1 && size <= 256))) {
    throw new UsageError(`--batches takes numbers from 1 to 256, with commas, not "${text}"`);
  }
  return sizes;
}

/** One run of the demo; its best second in Mpps, both directions together. */
async function measure(batch: number, seconds: number, size: number): Promise<number> {
  const demo = new URL("../demo.ts", import.meta.url).pathname;
  const permissions = ["--allow-ffi", "--allow-run", "--allow-read", "--allow-write"];
  const options = ["--json", `--seconds=${seconds}`, `--size=${size}`, `--batch=${batch}`];
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", ...permissions, demo, ...options],
    stderr: "inherit",
  }).output();
  const text = new TextDecoder().decode(stdout).trim();
  if (code !== 0) throw new DeviceError("demo.ts", `failed in batches of ${batch}: ${text}`);
  return JSON.parse(text.split("\n").at(-1)!).best;
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1];
}

async function main(): Promise<number> {
  const args = parse(Deno.args, USAGE, OPTIONS);
  if (args.positionals.length > 0) throw new UsageError("the bench takes no devices: see --help");
  const seconds = number(args, "seconds", 3, 2, 3600);
  const rounds = number(args, "rounds", 3, 1, 100);
  const size = number(args, "size", 60, 60, 1514);
  const batches = batchSizes(String(args.values.batches ?? BATCHES));
  if (navigator.hardwareConcurrency < 2) {
    throw new UsageError("the bench needs two cores: forwarder and software NIC would take turns");
  }
  const cores = navigator.hardwareConcurrency;
  const mpps = new Map<number, number[]>(batches.map((batch) => [batch, []]));
  // In turns, since the speed of shared machines drifts.
  for (let round = 0; round < rounds; round++) {
    for (const batch of batches) mpps.get(batch)!.push(await measure(batch, seconds, size));
  }
  console.log(
    `${cores} cores; ${size}-byte packets; best second of ${seconds}, ${rounds} runs each\n`,
  );
  console.log("batch   median Mpps    range");
  for (const [batch, all] of mpps) {
    const [low, high] = [Math.min(...all), Math.max(...all)].map((n) => n.toFixed(2));
    console.log(
      `${String(batch).padStart(5)} ${median(all).toFixed(2).padStart(13)}    ${low}-${high}`,
    );
  }
  if (args.values.json) {
    const results = [...mpps].map(([batch, all]) => ({ batch, median: median(all), all }));
    console.log(JSON.stringify({ cores, size, seconds, results }));
  }
  return 0;
}

if (import.meta.main) await run(main);

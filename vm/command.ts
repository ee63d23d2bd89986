/**
 * Programs of the host, run to their end. Not for programs that stay: `machine.ts` keeps QEMU.
 *
 * @module
 */

/** How a program of the host ended. */
export interface HostResult {
  /** Whether it ended with exit code 0. */
  readonly success: boolean;
  /** What it printed. */
  readonly stdout: string;
  /** What it complained of. */
  readonly stderr: string;
}

/**
 * Runs a program of the host with nothing to read.
 *
 * @param command Program and arguments.
 * @param milliseconds After which it is killed, and has failed.
 * @param env Environment variables to add.
 * @param onLine Takes each line that it prints on its standard output, as it comes.
 * @returns How it ended, or undefined if there is no such program.
 */
export async function runOnHost(
  [program, ...args]: readonly string[],
  milliseconds: number,
  env: Record<string, string> = {},
  onLine: (line: string) => void = () => {},
): Promise<HostResult | undefined> {
  const signal = AbortSignal.timeout(milliseconds);
  try {
    const options = { args, env: { LC_ALL: "C", ...env }, stdin: "null", signal } as const;
    const child = new Deno.Command(program, { ...options, stdout: "piped", stderr: "piped" })
      .spawn();
    const [{ success }, stdout, stderr] = await Promise.all([
      child.status,
      read(child.stdout, onLine),
      read(child.stderr, () => {}),
    ]);
    const late = signal.aborted ? `${program} was ended after ${milliseconds / 1000} s\n` : "";
    return { success, stdout, stderr: stderr + late };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** All text of a stream, of which each line is passed on as it comes. */
async function read(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  onLine: (line: string) => void,
): Promise<string> {
  let text = "", rest = "";
  for await (const piece of stream.pipeThrough(new TextDecoderStream())) {
    text += piece;
    const lines = (rest + piece).split("\n");
    rest = lines.pop()!;
    lines.forEach(onLine);
  }
  return text;
}

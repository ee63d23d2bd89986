/**
 * Runs programs of the host to their end. `machine.ts` runs QEMU, which stays.
 *
 * @module
 */

/** The result of a program of the host. */
export interface HostResult {
  /** Whether it ended with exit code 0. */
  readonly success: boolean;
  /** Its standard output. */
  readonly stdout: string;
  /** Its standard error. */
  readonly stderr: string;
}

/**
 * Runs a program of the host with empty standard input.
 *
 * @param command Program and arguments.
 * @param milliseconds Time after which the program is killed, and has failed.
 * @param env Environment variables to add.
 * @param onLine Receives each line of its standard output as it arrives.
 * @returns The result, or undefined if the program does not exist.
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

/** Reads a stream to its end, and passes each line on as it arrives. */
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

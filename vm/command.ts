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
 * @returns How it ended, or undefined if there is no such program.
 */
export async function runOnHost(
  [program, ...args]: readonly string[],
  milliseconds: number,
  env: Record<string, string> = {},
): Promise<HostResult | undefined> {
  const signal = AbortSignal.timeout(milliseconds);
  try {
    const options = { args, env: { LC_ALL: "C", ...env }, stdin: "null", signal } as const;
    const { success, stdout, stderr } = await new Deno.Command(program, options).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    const late = signal.aborted ? `${program} was ended after ${milliseconds / 1000} s\n` : "";
    return { success, stdout: text(stdout), stderr: text(stderr) + late };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/**
 * The guard: a process that turns off a function's DMA if the process that drives it ends without closing
 * the function, by SIGKILL, a crash or the OOM killer. A device that uses physical addresses would otherwise
 * go on writing to memory that the kernel has given to other programs.
 *
 * What kills the driving process must not kill the guard. So the guard is a program of its own
 * (`native/guard.c`, in memory), not a thread or a fork:
 *
 * - The OOM killer ends all processes that share memory. So do core dumps, before Linux 5.16.
 * - `killall` and `pkill -f` would find a fork by the name or command line of its parent.
 *
 * It has a session of its own and blocks all signals, so signals of a terminal or a process group do not
 * end it either. SIGKILL cannot be blocked: the end of a container or of a control group ends both. If only
 * the guard is killed, `checkAlive` of the function throws.
 *
 * DMA is off before memory is freed: the guard holds descriptors of all memory that the device can reach.
 * Until it ends, it also holds the lock on configuration space, so that it never turns off the DMA of the
 * next program.
 *
 * @module
 */

import { GUARD } from "../../native/stubs.generated.ts";
import { checkErrno, Errno, path, stubs, SystemError } from "../../native/stubs.ts";
import { checkCall, DeviceError, UsageError } from "../errors.ts";

const NAME = "ixy-guard";
/** Messages to the guard. */
const DISARM = 0, ARM = 1;
const MSG_DONTWAIT = 0x40;

/** The guard of one function. */
export class Guard {
  readonly #address: string;
  readonly #pid: number;
  readonly #socket: number;
  readonly #byte = new Uint8Array(1);
  readonly #fds = new Int32Array(17);

  /**
   * Starts a guard. It does nothing until {@linkcode Guard.prototype.arm}.
   *
   * @param address The function's address, for messages and as the guard's argument in `ps`.
   * @param config The open file of the function's configuration space.
   * @throws {UsageError} if the kernel refuses.
   */
  constructor(address: string, config: number) {
    this.#address = address;
    const program = Uint8Array.from(atob(GUARD), (c) => c.charCodeAt(0));
    const socket = new Int32Array(1);
    try {
      this.#pid = checkErrno(
        "start the guard process",
        stubs.ixy_start(program, program.length, path(NAME), path(address), config, socket),
      );
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      throw new UsageError(
        `${address}: ${error.message}: see \`ulimit -a\` and \`sysctl vm.memfd_noexec\`, in a container ` +
          "mount a directory with `--tmpfs /tmp:exec`, or set " +
          "`guard` to false: DMA then goes on if this program is killed",
        { option: "guard", cause: error },
      );
    }
    this.#socket = socket[0];
  }

  /**
   * Makes the guard turn bus mastering off if this process ends.
   *
   * @throws {DeviceError} if the guard was killed.
   */
  arm(): void {
    this.#send([]);
  }

  /**
   * Keeps memory allocated until bus mastering is off, and arms the guard.
   *
   * @param fd The descriptor of the memory.
   * @throws {DeviceError} if the guard was killed.
   */
  hold(fd: number): void {
    this.#send([fd]);
  }

  /**
   * Checks that the guard runs. Nonblocking.
   *
   * @throws {DeviceError} if it was killed.
   */
  checkAlive(): void {
    const n = stubs.ixy_recv(this.#socket, this.#byte, 1, this.#fds, MSG_DONTWAIT);
    if (n === -Errno.EAGAIN || n === -Errno.EINTR) return; // a guard sends nothing
    throw new DeviceError(
      this.#address,
      `the guard process ${this.#pid} has ended, so nothing would turn DMA off if this program were ` +
        "killed: start this program again",
    );
  }

  /** Ends the guard, which leaves bus mastering as it is. */
  end(): void {
    // If the guard was killed, this fails, and there is nothing to end.
    stubs.ixy_send(this.#socket, Uint8Array.of(DISARM), 1, new Int32Array(1), 0, 0);
    stubs.ixy_close(this.#socket);
    stubs.ixy_end(this.#pid); // a stopped guard would not end by itself
  }

  #send(fds: readonly number[]): void {
    const sent = stubs.ixy_send(
      this.#socket,
      Uint8Array.of(ARM),
      1,
      Int32Array.from(fds),
      fds.length,
      0,
    );
    checkCall(
      this.#address,
      `send to the guard process ${this.#pid}`,
      sent,
      "start this program again",
    );
  }
}

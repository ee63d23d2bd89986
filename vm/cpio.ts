/**
 * Archives in cpio's format newc, which the kernel unpacks as its initial file system. The kernel
 * also accepts several archives one after another.
 *
 * @module
 */

const DIRECTORY = 0o040755, FILE = 0o100644, EXECUTABLE = 0o100755, LINK = 0o120777;
const CHARACTER_DEVICE = 0o020600;
const MAGIC = "070701";
const LAST = "TRAILER!!!";
/** Alignment of headers (with their names) and contents, in bytes. */
const ALIGNMENT = 4;

/**
 * An archive that is being built. The guest unpacks entries in the order in which they are added.
 */
export class Archive {
  readonly #parts: Uint8Array[] = [];
  readonly #directories = new Set<string>();
  #entries = 0;

  /** Adds a directory and its parents. */
  directory(path: string): void {
    if (path === "" || this.#directories.has(path)) return;
    this.#parent(path);
    this.#directories.add(path);
    this.#add(path, DIRECTORY, new Uint8Array());
  }

  /** Adds a file. */
  file(path: string, content: Uint8Array | string, executable = false): void {
    this.#parent(path);
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    this.#add(path, executable ? EXECUTABLE : FILE, bytes);
  }

  /** Adds a symbolic link. */
  link(path: string, target: string): void {
    this.#parent(path);
    this.#add(path, LINK, new TextEncoder().encode(target));
  }

  /** Adds a character device. */
  device(path: string, major: number, minor: number): void {
    this.#parent(path);
    this.#add(path, CHARACTER_DEVICE, new Uint8Array(), major, minor);
  }

  /** Adds the trailer, and returns the archive in parts. */
  end(): Uint8Array[] {
    this.#add(LAST, 0, new Uint8Array());
    return this.#parts;
  }

  #parent(path: string): void {
    this.directory(path.slice(0, Math.max(path.lastIndexOf("/"), 0)));
  }

  #add(path: string, mode: number, content: Uint8Array, major = 0, minor = 0): void {
    const name = new TextEncoder().encode(path + "\0");
    const owner = 0, group = 0, links = 1, time = 0, checksum = 0;
    const fields = [++this.#entries, mode, owner, group, links, time, content.length];
    fields.push(0, 0, major, minor, name.length, checksum);
    const header = MAGIC + fields.map((n) => n.toString(16).padStart(8, "0")).join("");
    this.#push(new TextEncoder().encode(header), name);
    this.#push(content);
  }

  #push(...parts: Uint8Array[]): void {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    this.#parts.push(...parts, new Uint8Array(-length & (ALIGNMENT - 1)));
  }
}

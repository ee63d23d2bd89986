/**
 * What the tests of the page share: one browser, and the servers of the page. Not a test itself.
 *
 * @module
 */

import type { Browser } from "playwright-core";
import { ffiOnly, Program, PROJECT, TemporaryDirectory } from "../../support/processes.ts";
import { DEADLINE_MS, startChromium } from "./chromium.ts";
import { ExplorerPage } from "./explorer_page.ts";

const ADDRESS = /http:\/\/127\.0\.0\.1:\d+\//;

/** A test of the page. It may return figures to report. */
type PageTest = (rig: Rig) => Promise<string | void>;
/** Tests by their names. */
export type PageTests = Readonly<Record<string, PageTest>>;

/** The browser, and the page as `deno task explore` serves it. */
export class Rig implements AsyncDisposable {
  readonly browser: Browser;
  /** The page's address, with a slash at its end. */
  readonly address: string;
  /** A directory for files. */
  readonly directory: TemporaryDirectory;
  readonly #owned: AsyncDisposableStack;
  /** The tab of the lessons. */
  #lessons: ExplorerPage | undefined;

  private constructor(
    browser: Browser,
    address: string,
    directory: TemporaryDirectory,
    owned: AsyncDisposableStack,
  ) {
    this.browser = browser;
    this.address = address;
    this.directory = directory;
    this.#owned = owned;
  }

  /** Starts all. */
  static async start(): Promise<Rig> {
    await using stack = new AsyncDisposableStack();
    const directory = stack.use(await TemporaryDirectory.make());
    const [browser, address] = await Promise.all([startChromium(), serve(stack)]);
    stack.defer(() => browser.close());
    return new Rig(browser, address, directory, stack.move());
  }

  /** Opens the page at a fragment of its address, `lesson=rss`, and waits until all is recorded. */
  open(fragment = ""): Promise<ExplorerPage> {
    return ExplorerPage.open(this.browser, `${this.address}#${fragment}`);
  }

  /** Shows a lesson in the tab that all lessons share, and waits until it is recorded. */
  async openLesson(id: string): Promise<ExplorerPage> {
    const explorer = this.#lessons ??= this.#owned.use(await this.open());
    await explorer.page.goto(`${this.address}#lesson=${id}`);
    await explorer.until(`explorer.lesson?.lesson.id === "${id}" && !explorer.busy`);
    return explorer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }
}

/** Starts the explorer as a program, which the stack ends; returns the address that it prints. */
export async function serve(stack: AsyncDisposableStack, ...options: string[]): Promise<string> {
  const program = stack.use(explorer("--no-browser", "--port=0", ...options));
  return (await program.line((line) => ADDRESS.test(line), DEADLINE_MS)).match(ADDRESS)![0];
}

/** The explorer's program with a software NIC of its own. */
export interface LiveServer {
  readonly program: Program;
  /** The page's address. */
  readonly address: string;
  /** The command line of `fwd.ts` that forwards between the NIC's ports. */
  readonly forwarder: readonly string[];
}

/** Starts the explorer with a software NIC, which the stack ends. */
export async function serveLive(stack: AsyncDisposableStack): Promise<LiveServer> {
  const program = stack.use(explorer("--attach", "--no-browser", "--port=0"));
  const printed = async (pattern: RegExp) =>
    (await program.line((line) => pattern.test(line), DEADLINE_MS)).match(pattern)!;
  const [address] = await printed(ADDRESS);
  const [, ...ports] = await printed(/fwd\.ts (\S+) (\S+)$/);
  return { program, address, forwarder: ffiOnly("fwd.ts", ["--quiet", ...ports]) };
}

/** Starts the explorer's program. */
export function explorer(...options: string[]): Program {
  const main = `${PROJECT}explorer/main.ts`;
  return Program.start([Deno.execPath(), "run", "--quiet", "--allow-all", main, ...options]);
}

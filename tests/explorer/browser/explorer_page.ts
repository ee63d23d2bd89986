/**
 * The explorer's page in a tab, as its tests see it. Not a test itself.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { until } from "../../support/processes.ts";
import { DEADLINE_MS } from "./chromium.ts";

/** Size of the window, in CSS pixels. */
const WINDOW = { width: 1400, height: 900 };

/** What the page says of its lesson. */
interface LessonPlace {
  /** Number of the lesson's step, and of the recording's step that it is at, from 0. */
  readonly current: number;
  readonly at: number;
}

/** A tab with the page. */
export class ExplorerPage implements AsyncDisposable {
  readonly page: Page;
  readonly #context: BrowserContext;
  /** Errors and warnings of the browser's console, and errors that nothing caught. */
  readonly #errors: string[] = [];

  private constructor(context: BrowserContext, page: Page) {
    this.#context = context;
    this.page = page;
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) this.#errors.push(message.text());
    });
    page.on("pageerror", (error) => this.#errors.push(`${error}`));
  }

  /** Opens an address in a tab of its own, and waits until all is recorded. */
  static async open(browser: Browser, address: string): Promise<ExplorerPage> {
    const explorer = await ExplorerPage.load(browser, address);
    await explorer.recorded();
    assertEquals(await explorer.page.evaluate("explorer.message"), undefined, address);
    return explorer;
  }

  /** Opens an address in a tab of its own. */
  static async load(browser: Browser, address: string, window = WINDOW): Promise<ExplorerPage> {
    const context = await browser.newContext({ viewport: window, reducedMotion: "reduce" });
    context.setDefaultTimeout(DEADLINE_MS);
    const explorer = new ExplorerPage(context, await context.newPage());
    await explorer.page.goto(address);
    return explorer;
  }

  /** Waits until the worker has recorded all that it was asked for. */
  recorded(): Promise<void> {
    return this.until("!explorer.busy && explorer.player.recording.end > 0");
  }

  /** Waits until an expression is true in the page. The page's policy forbids Playwright's own way. */
  until(expression: string): Promise<void> {
    const holds = () => this.page.evaluate<boolean>(expression);
    return until(`the page: ${expression}`, holds, DEADLINE_MS);
  }

  /** Number of the step that is shown, from 0. */
  position(): Promise<number> {
    return this.page.evaluate<number>("explorer.player.position");
  }

  /** Number of steps. */
  end(): Promise<number> {
    return this.page.evaluate<number>("explorer.player.recording.end");
  }

  /** Title of the step that is shown. */
  title(): Promise<string> {
    return this.page.evaluate<string>("explorer.player.step.title");
  }

  /** Where the lesson is. */
  lesson(): Promise<LessonPlace> {
    return this.page.evaluate<LessonPlace>(
      "({ current: explorer.lesson.current, at: explorer.lesson.position })",
    );
  }

  /** Shows a step, and returns after the page is drawn. */
  async moveTo(step: number): Promise<void> {
    await this.page.evaluate(
      `(explorer.player.moveTo(${step}), new Promise((drawn) =>
        requestAnimationFrame(() => setTimeout(drawn))))`,
    );
  }

  /** Presses a key, and returns after the page is drawn. */
  async press(key: string): Promise<void> {
    await this.page.keyboard.press(key);
    await this.page.evaluate("new Promise((drawn) => requestAnimationFrame(drawn))");
  }

  /** Returns the HTML of all that shows the step, but for the list of steps, which scrolls. */
  views(): Promise<string> {
    return this.page.evaluate<string>(`{
      const views = document.querySelector("main").cloneNode(true);
      views.querySelector(".story").remove();
      views.innerHTML;
    }`);
  }

  /** Fails if there was an error since the last call. */
  assertNoErrors(): void {
    assertEquals(this.#errors.splice(0), [], "errors in the browser's console");
  }

  /** Closes the tab; fails if there was an error. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#context.close();
    this.assertNoErrors();
  }
}

/**
 * The explorer's web server, for this machine only. It serves the files of a {@linkcode Site}, which are
 * in memory, so no path reaches another file. A page of another origin reaches nothing: the server checks
 * Host, against other names that lead here (DNS rebinding), and the Origin of a WebSocket.
 *
 * @module
 */

import { UsageError } from "../../src/errors.ts";
import type { Site } from "./build.ts";
import { compress, type Encoded, ENCODINGS } from "./compression.ts";

/** The only address that the server listens on. */
const ADDRESS = "127.0.0.1";
/** The port if none is given; if it is in use, one of the next ones. */
const DEFAULT_PORT = 8259, TRIES = 16;
/** Path of the WebSocket. */
const LIVE = "/live";

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
  map: "application/json; charset=utf-8",
};

const HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy":
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "cache-control": "no-cache",
  "vary": "accept-encoding",
};

/** A file in all its forms. */
interface File {
  readonly type: string;
  readonly tag: string;
  readonly plain: Uint8Array<ArrayBuffer>;
  readonly encoded: Encoded;
}

/** A running server. */
export class WebServer implements AsyncDisposable {
  readonly #abort = new AbortController();
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #ended: Promise<void>;
  readonly #files: ReadonlyMap<string, File>;
  readonly #onLive: ((socket: WebSocket) => void) | undefined;

  private constructor(
    files: ReadonlyMap<string, File>,
    port: number,
    onLive: ((socket: WebSocket) => void) | undefined,
  ) {
    this.#files = files;
    this.#onLive = onLive;
    const { signal } = this.#abort;
    this.#server = Deno.serve(
      { hostname: ADDRESS, port, signal, onListen: () => {} },
      (request) => this.#answer(request),
    );
    this.#ended = this.#server.finished.catch((error: Error) => {
      const reason = error.message.replace(/^Error: /, "");
      throw new UsageError(`the page cannot be served any more: ${reason}`, {
        cause: error,
      });
    });
    this.#ended.catch(() => {}); // who waits for it gets the error
  }

  /**
   * Starts a server.
   *
   * @param port The port; 0 for any free one; undefined for the default one or one after it.
   * @param onLive Takes the WebSockets of pages (default: there are none).
   * @throws {UsageError} if the port is in use, or may not be used.
   */
  static async start(
    site: Site,
    port?: number,
    onLive?: (socket: WebSocket) => void,
  ): Promise<WebServer> {
    const files = new Map(
      await Promise.all([...site].map(async ([name, plain]): Promise<[string, File]> => {
        const type = TYPES[name.split(".").at(-1)!];
        const tag = await tagOf(plain);
        return [`/${name}`, { type, tag, plain, encoded: await compress(plain) }];
      })),
    );
    files.set("/", files.get("/index.html")!);
    for (let tried = port ?? DEFAULT_PORT;; tried++) {
      try {
        return new WebServer(files, tried, onLive);
      } catch (error) {
        const used = error instanceof Deno.errors.AddrInUse;
        if (used && port === undefined && tried < DEFAULT_PORT + TRIES) continue;
        throw refusal(error, tried);
      }
    }
  }

  /** The address of the page. */
  get url(): string {
    return `http://${ADDRESS}:${this.#server.addr.port}/`;
  }

  /**
   * Resolves once the server is disposed.
   *
   * @throws {UsageError} if it cannot take connections any more.
   */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /** Ends the server, and all connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await this.#ended.catch(() => {}); // who waits for `ended` gets the error
  }

  #answer(request: Request): Response {
    const { port } = this.#server.addr, host = request.headers.get("host") ?? "";
    const hosts = [ADDRESS, "localhost"].flatMap((name) =>
      port === 80 ? [name, `${name}:80`] : [`${name}:${port}`]
    );
    const asked = URL.parse(request.url); // contains Host, so it can be anything
    if (asked === null) return refuse(400, "not a valid address");
    const { pathname } = asked;
    if (![host.toLowerCase(), asked.host].every((name) => hosts.includes(name))) {
      return refuse(421, "this server has another name");
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      return refuse(405, "only GET and HEAD", { allow: "GET, HEAD" });
    }
    if (pathname === LIVE && this.#onLive !== undefined) return this.#upgrade(request, host);
    const file = this.#files.get(pathname);
    return file === undefined ? refuse(404, "no such file") : send(file, request);
  }

  #upgrade(request: Request, host: string): Response {
    if (!isHandshake(request)) return refuse(426, "only a WebSocket", { upgrade: "websocket" });
    if (request.headers.get("origin")?.toLowerCase() !== `http://${host.toLowerCase()}`) {
      return refuse(403, "a page of another origin");
    }
    const { socket, response } = Deno.upgradeWebSocket(request);
    this.#onLive!(socket);
    return response;
  }
}

/** Whether a request is one that `Deno.upgradeWebSocket` takes: it throws at others. */
function isHandshake({ method, headers }: Request): boolean {
  const connection = (headers.get("connection") ?? "").toLowerCase().split(",");
  return method === "GET" && headers.get("upgrade")?.toLowerCase() === "websocket" &&
    connection.some((option) => option.trim() === "upgrade") && headers.has("sec-websocket-key") &&
    headers.get("sec-websocket-version") === "13";
}

/** Returns a name of a file's contents: a page that is loaded again asks by it whether they are still the same. */
async function tagOf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return `"${new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex()}"`;
}

function send({ type, tag, plain, encoded }: File, request: Request): Response {
  if (request.headers.get("if-none-match") === tag) {
    return new Response(null, { status: 304, headers: { ...HEADERS, etag: tag } });
  }
  const accepted = (request.headers.get("accept-encoding") ?? "").split(",").map((s) => s.trim());
  const encoding = ENCODINGS.find((name) => accepted.includes(name));
  const body = encoding === undefined ? plain : encoded[encoding];
  return new Response(request.method === "HEAD" ? null : body, {
    headers: {
      ...HEADERS,
      "etag": tag,
      "content-type": type,
      "content-length": String(body.length),
      ...(encoding !== undefined && { "content-encoding": encoding }),
    },
  });
}

function refuse(status: number, text: string, headers: Record<string, string> = {}): Response {
  const type = "text/plain; charset=utf-8";
  return new Response(`${text}\n`, {
    status,
    headers: { ...HEADERS, "content-type": type, ...headers },
  });
}

function refusal(error: unknown, port: number): unknown {
  if (error instanceof Deno.errors.AddrInUse) {
    return new UsageError(`port ${port} of ${ADDRESS} is in use: give another one with --port`, {
      cause: error,
    });
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return new UsageError(`port ${port} is for root only: give one from 1024 with --port`, {
      cause: error,
    });
  }
  return error;
}

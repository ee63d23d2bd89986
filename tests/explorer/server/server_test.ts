/** The web server: its files and headers, and what it refuses. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Site } from "../../../explorer/server/build.ts";
import { WebServer } from "../../../explorer/server/server.ts";
import { UsageError } from "../../../src/errors.ts";

const SCRIPT = "const a = 1;\n".repeat(100);
const SITE: Site = new Map([
  ["index.html", new TextEncoder().encode("<!DOCTYPE html><html></html>")],
  ["page.js", new TextEncoder().encode(SCRIPT)],
]);

/** Sends a request as it stands. */
async function send(server: WebServer, ...lines: string[]): Promise<Deno.TcpConn> {
  const { port } = new URL(server.url);
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
  const text = [...lines, "", ""].join("\r\n").replaceAll("PORT", port);
  await connection.write(new TextEncoder().encode(text));
  return connection;
}

/** Sends a request, and returns the answer's text. */
async function raw(server: WebServer, ...lines: string[]): Promise<string> {
  const connection = await send(server, ...lines, "Connection: close");
  return await new Response(connection.readable).text();
}

/** Sends a request, and returns the status. */
async function status(server: WebServer, ...lines: string[]): Promise<number> {
  using connection = await send(server, ...lines);
  const bytes = new Uint8Array(100), length = await connection.read(bytes);
  return Number(new TextDecoder().decode(bytes.subarray(0, length ?? 0)).split(" ")[1]);
}

const HOST = "Host: 127.0.0.1:PORT";
const UPGRADE = [
  ...["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"],
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

Deno.test("WebServer serves its files, compressed if the browser takes that", async () => {
  await using server = await WebServer.start(SITE, 0);
  const page = await fetch(server.url);
  assertEquals(page.headers.get("content-type"), "text/html; charset=utf-8");
  assertEquals(await page.text(), "<!DOCTYPE html><html></html>");
  const script = await fetch(new URL("page.js", server.url));
  assertEquals(script.headers.get("content-encoding"), "br");
  assertEquals(await script.text(), SCRIPT);
  const zipped = await raw(server, "GET /page.js HTTP/1.1", HOST, "Accept-Encoding: gzip");
  assert(zipped.includes("content-encoding: gzip") && zipped.length < SCRIPT.length);
  const tag = script.headers.get("etag")!;
  const same = await raw(server, "GET /page.js HTTP/1.1", HOST, `If-None-Match: ${tag}`);
  assert(same.startsWith("HTTP/1.1 304") && same.endsWith("\r\n\r\n"), same);
  const plain = await raw(server, "GET /page.js HTTP/1.1", HOST);
  assert(!plain.includes("content-encoding") && plain.endsWith(SCRIPT));
});

Deno.test("WebServer allows no inline code, no eval, no other origin and no guess of types", async () => {
  await using server = await WebServer.start(SITE, 0);
  for (const path of ["", "page.js", "none"]) {
    const response = await fetch(new URL(path, server.url));
    await response.body?.cancel();
    const policy = response.headers.get("content-security-policy")!;
    assert(policy.startsWith("default-src 'self';") && !policy.includes("unsafe"), policy);
    assertEquals(response.headers.get("x-content-type-options"), "nosniff");
    assertEquals(response.headers.get("access-control-allow-origin"), null);
    assertEquals(response.headers.get("cross-origin-resource-policy"), "same-origin");
  }
});

Deno.test("WebServer answers GET and HEAD only", async () => {
  await using server = await WebServer.start(SITE, 0);
  const head = await raw(server, "HEAD / HTTP/1.1", HOST);
  assert(head.startsWith("HTTP/1.1 200") && head.endsWith("\r\n\r\n"), head);
  for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"]) {
    assertEquals(await status(server, `${method} / HTTP/1.1`, HOST), 405, method);
  }
});

Deno.test("WebServer reaches no file besides its own", async () => {
  await using server = await WebServer.start(SITE, 0);
  const paths = [
    ...[
      "/deno.json",
      "/../deno.json",
      "/..%2fdeno.json",
      "/%2e%2e/%2e%2e/etc/passwd",
      "//etc/passwd",
    ],
    ...[
      "/page.js/",
      "/page.js%00",
      "/PAGE.JS",
      "/./page.js/../../deno.json",
      "/constructor",
      "/live",
    ],
    ...["/..\\..\\etc\\passwd", "/page.js;x"],
  ];
  for (const path of paths) {
    assertEquals(await status(server, `GET ${path} HTTP/1.1`, HOST), 404, path);
  }
});

Deno.test("WebServer answers only to the names of this machine, with its port", async () => {
  await using server = await WebServer.start(SITE, 0);
  const ask = (host: string) => status(server, "GET / HTTP/1.1", `Host: ${host}`);
  for (const host of ["127.0.0.1:PORT", "localhost:PORT", "LocalHost:PORT"]) {
    assertEquals(await ask(host), 200, host);
  }
  const others = [
    ...["127.0.0.1", "localhost:1", "attacker.example", "attacker.example:PORT", "0.0.0.0:PORT"],
    ...["127.0.0.1.attacker.example:PORT", "localhost.:PORT", "user@127.0.0.1:PORT", ""],
  ];
  for (const host of others) {
    const code = await ask(host);
    assert(code === 421 || code === 400, `${host}: ${code}`);
  }
  assertEquals(await status(server, "GET http://attacker.example/ HTTP/1.1", HOST), 421);
});

Deno.test("WebServer refuses a Host or an address that is none", async () => {
  await using server = await WebServer.start(SITE, 0);
  for (const host of ["[::1", "a b", "127.0.0.1:99999", "%"]) {
    assertEquals(await status(server, "GET / HTTP/1.1", `Host: ${host}`), 400, host);
  }
  assertEquals(await status(server, "GET http://[::1/ HTTP/1.1", HOST), 400);
});

Deno.test("WebServer takes WebSockets only of its own page", async () => {
  let taken = 0;
  await using server = await WebServer.start(SITE, 0, (socket) => {
    taken++;
    socket.onopen = () => socket.close();
  });
  const ask = (...lines: string[]) => status(server, "GET /live HTTP/1.1", ...lines);
  const origins = [
    ...["http://attacker.example", "null", "https://127.0.0.1:PORT", "http://127.0.0.1:1", ""],
    ...["http://localhost:PORT", "http://127.0.0.1:PORT.attacker.example"],
  ];
  for (const origin of origins) {
    assertEquals(await ask(HOST, ...UPGRADE, `Origin: ${origin}`), 403, origin);
  }
  assertEquals(await ask(HOST, ...UPGRADE), 403);
  const rebound = "attacker.example:PORT";
  assertEquals(await ask(`Host: ${rebound}`, ...UPGRADE, `Origin: http://${rebound}`), 421);
  assertEquals(await ask(HOST), 426);
  for (const header of UPGRADE) { // each is needed
    const others = UPGRADE.filter((other) => other !== header);
    assertEquals(await ask(HOST, ...others, "Origin: http://127.0.0.1:PORT"), 426, header);
  }
  const post = [HOST, ...UPGRADE, "Origin: http://127.0.0.1:PORT"];
  assertEquals(await status(server, "POST /live HTTP/1.1", ...post), 405);
  assertEquals(taken, 0);
  assertEquals(await ask(HOST, ...UPGRADE, "Origin: http://127.0.0.1:PORT"), 101);
  assertEquals(taken, 1);
});

Deno.test("WebServer listens on 127.0.0.1 only", async () => {
  await using server = await WebServer.start(SITE, 0);
  const { hostname, port } = new URL(server.url);
  assertEquals(hostname, "127.0.0.1");
  const other = Deno.listen({ hostname: "127.0.0.2", port: Number(port) }); // else it would be in use
  other.close();
});

Deno.test("WebServer.start() refuses a port in use, and takes the next one by default", async () => {
  await using first = await WebServer.start(SITE);
  await using second = await WebServer.start(SITE);
  const ports = [first, second].map(({ url }) => Number(new URL(url).port));
  assert(ports[1] > ports[0]);
  const error = await assertRejects(() => WebServer.start(SITE, ports[0]), UsageError);
  assertEquals(
    error.message,
    `port ${ports[0]} of 127.0.0.1 is in use: give another one with --port`,
  );
});

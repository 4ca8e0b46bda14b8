import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { it } from "node:test";
import { freePort } from "./ports.ts";

it("a free port is another each time, none that is listened on, and none that the kernel gives by itself", async () => {
  const port = await freePort();
  await using stack = new AsyncDisposableStack();
  for (const taken of [port + 1, port + 2]) {
    const server = createServer().listen(taken, "0.0.0.0");
    const up = once(server, "listening");
    stack.defer(() => new Promise<void>((resolve) => void server.close(() => resolve())));
    await up.catch(() => {}); // somebody else has it: as good
  }
  const next = await freePort();
  assert.ok(![port, port + 1, port + 2].includes(next), `${next} after ${port}`);
  assert.ok(port < 30_000 && next < 30_000);
});

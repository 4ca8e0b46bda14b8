import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createClient } from "./client.ts";
import { closingServer } from "./testing/closing-server.ts";
import { fakeServer } from "./testing/fake-server.ts";

describe("an idle connection", () => {
  it("takes no write when its server has closed it meanwhile, though this process was busy and has not noticed", async () => {
    await using server = await closingServer();
    await using client = createClient(server.config);
    for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE"]) {
      assert.deepEqual(await client.request({ method, path: "/", body: {} }), { method });
      server.closeConnections();
    }
  });

  it("that breaks off under a request has it sent again where that may be repeated, by its method or by the caller's word", async () => {
    let broken = 0;
    const served = new Set<unknown>();
    await using server = await fakeServer((request, response) => {
      if (served.has(request.socket)) {
        broken++;
        return void request.socket.destroy();
      }
      served.add(request.socket);
      response.end();
    });
    await using client = createClient(server.config);
    const send = (method: string, repeatable?: boolean) => client.request({ method, path: "/", body: {}, repeatable });
    await send("GET");
    await send("GET");
    await send("POST", true);
    assert.equal(broken, 2);
    await assert.rejects(send("POST"), { name: "ConnectionError", kind: "reset", unsent: false });
    await send("POST"); // on a new connection
    assert.equal(broken, 3);
    await assert.rejects(send("GET", false), { kind: "reset" });
  });
});

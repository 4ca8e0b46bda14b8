import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { describe, it } from "node:test";
import { createClient } from "./client.ts";
import { logs } from "./logs.ts";
import { fakeServer } from "./testing/fake-server.ts";

const isFollow = (request: IncomingMessage) =>
  request.url?.includes("follow=true") || request.url?.includes("watch=true");

/** A server whose followed log and watch say one thing and then nothing; `answer` is for what it is asked besides. */
async function quietServer(answer: (response: ServerResponse, asked: number) => void) {
  let asked = 0;
  const followers: ServerResponse[] = [];
  const server = await fakeServer((request, response) => {
    if (!isFollow(request)) return answer(response, ++asked);
    followers.push(response);
    response.write(request.url?.includes("watch") ? '{"type":"BOOKMARK","object":{}}\n' : "one\n");
  });
  return { server, followers };
}

const of = { namespace: "n", pod: "p", container: "c", follow: true } as const;
const lost = {
  name: "ConnectionError",
  kind: "timeout",
  message: /^nothing came for 0\.05 s, and for as long again no answer/,
};

async function all(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts).toString();
}

describe("a log that is followed, and quiet", () => {
  it("goes on while its server answers, whatever that is below 500, by a request for none of it", async () => {
    const { server: held, followers } = await quietServer((response, asked) => {
      response.statusCode = asked === 1 ? 403 : 200;
      response.end();
      if (asked === 3) followers[0]?.end("two\n");
    });
    await using server = held;
    await using client = createClient(server.config);
    assert.equal(await all(logs(client, { ...of, peerTimeoutMs: 250 })), "one\ntwo\n"); // a busy machine answers late
    assert.equal(server.requests[1], "GET /api/v1/namespaces/n/pods/p/log?container=c&tailLines=0&limitBytes=1");
  });

  it("is given up when nobody answers, or only that the next hop does not", async () => {
    for (const answer of [() => {}, (response: ServerResponse) => void response.writeHead(500).end()]) {
      await using server = (await quietServer(answer)).server;
      await using client = createClient(server.config);
      await assert.rejects(all(logs(client, { ...of, peerTimeoutMs: 50 })), lost);
    }
  });

  it("is not asked about while nobody reads it, nor at 0; a time below 0 is refused", async () => {
    await using server = (await quietServer(() => assert.fail("asked"))).server;
    await using client = createClient(server.config);
    for (const peerTimeoutMs of [20, 0]) {
      const stop = new AbortController();
      const chunks = logs(client, { ...of, peerTimeoutMs, signal: stop.signal });
      await chunks.next();
      const rest = peerTimeoutMs === 0 ? chunks.next() : undefined;
      await once(AbortSignal.timeout(100), "abort");
      stop.abort(new Error("enough"));
      await assert.rejects(rest ?? chunks.next(), { message: "enough" });
    }
    await assert.rejects(all(logs(client, { ...of, peerTimeoutMs: -1 })), RangeError);
  });
});

it("a watch that is quiet is given up when its server does not answer", async () => {
  await using server = (await quietServer(() => {})).server;
  await using client = createClient(server.config, { peerTimeoutMs: 50 });
  const types: string[] = [];
  const watching = async () => {
    for await (const { type } of client.watch({ resource: "pods" })) types.push(type);
  };
  await assert.rejects(watching(), lost);
  assert.deepEqual(types, ["BOOKMARK"]);
  assert.equal(server.requests.at(-1), "GET /version");
});

import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { describe, it } from "node:test";
import { createClient } from "./client.ts";
import { logs } from "./logs.ts";
import { fakeServer } from "./testing/fake-server.ts";

const isFollow = (request: IncomingMessage) =>
  request.url?.includes("follow=true") || request.url?.includes("watch=true");

/** A server whose followed log and watch say one thing and then nothing; `answer` is for what it is asked besides. */
async function quietServer(answer: (response: ServerResponse, asked: number, request: IncomingMessage) => void) {
  let asked = 0;
  const followers: ServerResponse[] = [];
  const server = await fakeServer((request, response) => {
    if (!isFollow(request)) return answer(response, ++asked, request);
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
      response.statusCode = asked <= 2 ? 403 : 200;
      response.end();
      if (asked === 4) followers[0]?.end("two\n");
    });
    await using server = held;
    await using client = createClient(server.config);
    assert.equal(await all(logs(client, { ...of, peerTimeoutMs: 250 })), "one\ntwo\n"); // a busy machine answers late
    assert.equal(server.requests[1], server.requests[2]); // what was refused was asked again, for this log alone
    assert.equal(server.requests[1], "GET /api/v1/namespaces/n/pods/p/log?container=c&tailLines=0&limitBytes=1");
  });

  it("is given up when nobody answers, or only that the next hop does not", async () => {
    for (const answer of [() => {}, (response: ServerResponse) => void response.writeHead(500).end()]) {
      await using server = (await quietServer(answer)).server;
      await using client = createClient(server.config);
      await assert.rejects(all(logs(client, { ...of, peerTimeoutMs: 50 })), lost);
    }
  });

  it("is not asked about while nobody reads it, nor at 0; a time below 0 is refused", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    await using server = (await quietServer((response) => void response.end())).server;
    await using client = createClient(server.config);
    for (const peerTimeoutMs of [20, 0]) {
      const stop = new AbortController();
      const chunks = logs(client, { ...of, peerTimeoutMs, signal: stop.signal });
      await chunks.next();
      const rest = peerTimeoutMs === 0 ? chunks.next() : undefined;
      t.mock.timers.tick(60_000);
      await client.request({ method: "GET", path: "/behind" }); // what was asked before has come before
      stop.abort(new Error("enough"));
      await assert.rejects(rest ?? chunks.next(), { message: "enough" });
    }
    const log = "GET /api/v1/namespaces/n/pods/p/log?container=c&follow=true";
    assert.deepEqual(server.requests, [log, "GET /behind", log, "GET /behind"]);
    await assert.rejects(all(logs(client, { ...of, peerTimeoutMs: -1 })), RangeError);
  });

  it("is asked about together with the others of its node; where that is not known, with those of its pod", async (t) => {
    await using server = (await quietServer(() => {})).server;
    await using client = createClient(server.config);
    const here = { node: "here" };
    const followed = [
      { ...here, pod: "a" },
      { ...here, pod: "b" },
      { pod: "c", node: "there" },
      { pod: "d" },
      { pod: "d", container: "e" },
      { pod: "f" },
    ];
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const ends: Promise<void>[] = [];
    for (const one of followed) {
      const chunks = logs(client, { ...of, peerTimeoutMs: 250, ...one });
      await chunks.next();
      ends.push(assert.rejects(chunks.next(), { kind: "timeout" }));
    }
    t.mock.timers.tick(250);
    await Promise.all(ends);
    assert.equal(server.requests.filter((line) => line.includes("tailLines=0")).length, 4);
  });

  it("is asked about for itself where it is refused, and given up where its pod is not found: nobody need have been asked", async () => {
    const codes: Record<string, number> = { gone: 404, expired: 410 };
    await using server = (
      await quietServer((response, _, { url = "" }) => {
        const code = codes[url.split("/")[6] ?? ""];
        if (code) response.writeHead(code).end();
      })
    ).server;
    await using client = createClient(server.config);
    const follow = async (pod: string) =>
      await assert.rejects(all(logs(client, { ...of, peerTimeoutMs: 50, pod, node: "here" })), lost);
    await Promise.all(["gone", "frozen", "expired", "frozen"].map(follow));
  });
});

it("watches that are quiet are given up when their server does not answer, by one question for all of them", async (t) => {
  await using server = (await quietServer(() => {})).server;
  await using client = createClient(server.config, { peerTimeoutMs: 250 });
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const ends: Promise<void>[] = [];
  for (const resource of ["pods", "nodes", "leases"]) {
    const events = client.watch({ resource })[Symbol.asyncIterator]();
    assert.equal((await events.next()).value?.type, "BOOKMARK");
    const message = /^nothing came for 0\.25 s, and for as long again no answer/;
    ends.push(assert.rejects(events.next(), { name: "ConnectionError", message }));
  }
  t.mock.timers.tick(250);
  await Promise.all(ends);
  assert.equal(server.requests.filter((line) => line === "GET /version").length, 1);
});

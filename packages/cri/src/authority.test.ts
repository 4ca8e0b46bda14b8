import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:http2";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { AuthorityFilter } from "./authority.ts";
import { serveCRI } from "./server.ts";

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").toString("hex");
const settings = "000000040000000000";
const hex = (text: string) => Buffer.from(text).toString("hex");
const frame = (type: string, flags: string, payload: string) =>
  `${(payload.length / 2).toString(16).padStart(6, "0")}${type}${flags}00000001${payload}`;
const headers = (payload: string, flags = "04") => frame("01", flags, payload);

// The first two fields are `:method: POST` and `:scheme: http`, by their index; 41 names `:authority`.
const cases: { name: string; before: string; after: string }[] = [
  {
    name: "a plain path's slashes become dots",
    before: headers(`83864108${hex("/run/a/b")}`),
    after: headers(`83864108${hex(".run.a.b")}`),
  },
  {
    name: "a path in Huffman's code too, of the same length",
    before: headers("8386418c62cb6a6271f8416c5d07275f"), // /run/hawser.sock
    after: headers("8386418c5ecb6a5e71f8416c5d07275f"), // .run.hawser.sock
  },
  {
    name: "behind padding and priority, not indexed, never indexed",
    before: headers(`020000000000${`0102${hex("/a")}`}${`1102${hex("/b")}`}0000`, "2c"),
    after: headers(`020000000000${`0102${hex(".a")}`}${`1102${hex(".b")}`}0000`, "2c"),
  },
  {
    name: "behind a change of the table's size",
    before: headers(`3fe11f4102${hex("/a")}`),
    after: headers(`3fe11f4102${hex(".a")}`),
  },
  {
    name: "other fields' slashes stay",
    before: headers(`44${"03"}${hex("/v1")}4002${hex("xy")}02${hex("/z")}`),
    after: headers(`44${"03"}${hex("/v1")}4002${hex("xy")}02${hex("/z")}`),
  },
  {
    name: "a proper authority stays",
    before: headers("8386418ca0e41d139d09"),
    after: headers("8386418ca0e41d139d09"),
  },
  {
    name: "what looks like it in a message stays",
    before: frame("00", "00", `4102${hex("/a")}`),
    after: frame("00", "00", `4102${hex("/a")}`),
  },
];

for (const { name, before, after } of cases) {
  test(`AuthorityFilter: ${name}`, () => {
    const [wire, want] = [preface + settings + before + settings, preface + settings + after + settings];
    assert.equal(new AuthorityFilter().push(Buffer.from(wire, "hex")).toString("hex"), want);
    const bytes = Buffer.from(wire, "hex");
    for (let at = 0; at <= bytes.length; at++) {
      const filter = new AuthorityFilter();
      const parts = [bytes.subarray(0, at), bytes.subarray(at)].map((part) => filter.push(Buffer.from(part)));
      assert.equal(Buffer.concat(parts).toString("hex"), want, `split at ${at}`);
    }
  });
}

test("AuthorityFilter: bytes that are no HTTP/2 go through, and nothing is kept but a frame's beginning", () => {
  const filter = new AuthorityFilter();
  let seed = Buffer.from("hawser");
  let [given, taken] = [0, 0];
  for (let n = 0; n < 500; n++) {
    seed = createHash("sha512").update(seed).digest();
    given += seed.length;
    taken += filter.push(Buffer.from(seed)).length;
    assert.ok(given - taken < 16_384 + 9);
  }
});

test("a client that calls the server by its socket's path is served", async () => {
  await using folder = await mkdtempDisposable();
  const socketPath = join(folder.path, "cri.sock");
  const version = async () => ({ version: "0.1.0", runtimeName: "fake", runtimeVersion: "1", runtimeApiVersion: "v1" });
  await using _server = await serveCRI({ socketPath, runtime: { version }, images: {} });
  const session = connect("http://localhost", { createConnection: () => createConnection(socketPath) });
  try {
    for (let call = 0; call < 3; call++) {
      const stream = session.request({
        ":method": "POST",
        ":path": "/runtime.v1.RuntimeService/Version",
        ":authority": socketPath,
        "content-type": "application/grpc",
        te: "trailers",
      });
      const status = new Promise((resolve, reject) => {
        stream.once("error", reject);
        stream.once("trailers", (trailers) => resolve(trailers["grpc-status"]));
      });
      stream.resume().end(Buffer.alloc(5)); // one empty message
      assert.equal(await status, "0");
    }
  } finally {
    session.destroy();
  }
});

async function mkdtempDisposable() {
  const path = await mkdtemp(join(tmpdir(), "hawser-cri-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

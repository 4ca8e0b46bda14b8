// A short form of the matrix: the clients that are not kubectl, and the newest kubectl, against what docs/interop.md says.
// Then, on the same clusters, `hawser logs` beside kubectl's, and the examples of the client library's README.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { checkout, newestKubectl } from "@hawser/testing";
import { readmeSuite } from "../client/readme.ts";
import { logsSuite } from "../logs/suite.ts";
import { allClients } from "./clients.ts";
import { runCell } from "./run.ts";
import { parseTables, renderTables } from "./table.ts";
import { runtimes, startTarget, type Target, whyNotRun } from "./target.ts";
import { verbs } from "./verbs.ts";

const text = await readFile(join(checkout, "docs/interop.md"), "utf8");
const written = parseTables(text);
const { version } = await newestKubectl();
const all = await allClients();

for (const runtime of runtimes) {
  const ours = runtime === "hawser with crun";
  // A client of each kind; the rest are in the whole matrix.
  const some = ours
    ? ["client-node", "hawser SPDY", "hawser WebSocket", `kubectl ${version} WebSocket`]
    : ["hawser SPDY", "hawser WebSocket"];
  const clients = all.filter(({ name }) => some.includes(name));
  describe(`over ${runtime}`, { skip: (await whyNotRun(runtime)) ?? false }, () => {
    let target: Target;
    before(async () => {
      target = await startTarget(runtime);
    });
    after(async () => {
      await target?.[Symbol.asyncDispose]();
    });
    for (const client of clients) {
      it(client.name, async () => {
        for (const verb of verbs) {
          const { why, note } = await runCell(target, client, verb);
          const ticked = written.get(`${runtime}/${client.name}/${verb.name}`);
          assert.equal(
            why === undefined,
            ticked,
            `${verb.name}: docs/interop.md says otherwise (make interop): ${why}`,
          );
          assert.equal(note, undefined, `${verb.name} spoke ${note}`);
        }
      });
    }
    logsSuite(() => target, { whole: ours });
    if (ours) readmeSuite(() => target);
  });
}

it("the tables are read as they are written", () => {
  const cells = [
    { runtime: "r", client: "kubectl 1.20 SPDY", verb: "exec" },
    { runtime: "r", client: "x", verb: "exec", why: "no" },
    { runtime: "r", client: "kubectl 1.20 SPDY", verb: "cp", note: "SPDY" },
  ];
  const found = parseTables(renderTables(cells));
  assert.deepEqual(
    ["r/kubectl 1.20 SPDY/exec", "r/x/exec", "r/kubectl 1.20 SPDY/cp"].map((key) => found.get(key)),
    [true, false, true],
  );
});

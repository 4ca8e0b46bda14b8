// Runs the whole matrix and writes docs/interop.md: `make interop`. Needs root; takes some minutes.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { checkout, must, peerProgram } from "@hawser/testing";
import { allClients } from "./clients.ts";
import { runCell } from "./run.ts";
import { type Cell, renderTables } from "./table.ts";
import { runtimes, startTarget } from "./target.ts";
import { verbs } from "./verbs.ts";

const clients = await allClients();
const cells: Cell[] = [];
for (const name of runtimes) {
  await using target = await startTarget(name);
  for (const client of clients) {
    for (const verb of verbs) {
      const cell = await runCell(target, client, verb);
      cells.push(cell);
      console.log([name, client.name, verb.name, cell.why ? `FAILS: ${cell.why}` : (cell.note ?? "")].join(" | "));
    }
  }
}

const clientNode: unknown = JSON.parse(
  await readFile(join(checkout, "node_modules/@kubernetes/client-node/package.json"), "utf8"),
);
const containerd = await must([peerProgram("containerd", "usr/bin/containerd"), "--version"]);
const [crun = ""] = (await must(["crun", "--version"])).split("\n");
const path = join(checkout, "docs/interop.md");
await writeFile(
  path,
  `# Interoperability

Made by \`make interop\`, which runs every cell and assumes none; \`make test\` runs some of them again and fails where this page
says otherwise. All clients talk to our API server, behind which is our kubelet; the runtime behind that is ours in the first
table and Debian's containerd in the second. A column's transport is what its client was told to speak
(\`KUBECTL_REMOTE_COMMAND_WEBSOCKETS\` and \`KUBECTL_PORT_FORWARD_WEBSOCKETS\`, which our client obeys too); what it did speak is
read from the API server's log, and stands beside the tick where it was another: kubectl 1.29 has no WebSocket for port-forward.

- client-node: @kubernetes/client-node ${versionOf(clientNode)}, as its examples use it (\`conformance/interop/client-node.ts\`)
- containerd: ${containerd.split(" ").slice(1, 3).join(" ")}; crun: ${crun.replace("crun version ", "")}

What a tick says:

${verbs.map(({ name, meaning }) => `- **${name}**: ${meaning}`).join("\n")}

Not in the tables: a command under containerd 1.6 that has read some of its input and ends while more is there may not end the call. Asked by its
streaming server's own URL, without a hop of ours, it gave no Status within 15 s (5 of 5, \`head -c 100000 >/dev/null; exit 3\`).

${renderTables(cells)}
`,
);
console.log(`written: ${path}; ${cells.filter(({ why }) => why).length} of ${cells.length} cells fail`);

function versionOf(manifest: unknown): string {
  if (typeof manifest !== "object" || manifest === null || !("version" in manifest)) throw new Error("no version");
  return String(manifest.version);
}

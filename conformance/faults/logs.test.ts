// Rotation while a container writes as fast as it can: read together, the log's files have every line once, in order; long lines
// come in parts that are tagged so. Needs root, crun and conmon.
import assert from "node:assert/strict";
import { mkdtemp, open, readdir, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, it } from "node:test";
import { ContainerState, type CRIConnection } from "@hawser/cri";
import { sandboxConfig, startContainer, startTestRuntime } from "../crun/support/runtime.ts";
import { thorough } from "./support/length.ts";

const numbers = thorough ? 2_000_000 : 150_000;
const longLines = thorough ? 2000 : 300;
/** More than conmon reads at once, bytes. */
const longBytes = 20_000;

describe("a container's log", { timeout: 300_000 }, () => {
  for (const [name, rotates] of [
    ["rotated as the kubelet does", true],
    ["reopened without having been moved", false],
  ] as const) {
    it(`${name}, loses no line and doubles none`, async (t) => {
      await using runtime = await startTestRuntime({ ociRuntime: "crun" });
      await using folder = await temporary();
      const script = [
        `seq 1 ${numbers}`,
        `long=$(head -c ${longBytes} /dev/zero | tr '\\0' x)`,
        `i=0; while [ $i -lt ${longLines} ]; do i=$((i+1)); echo "$i $long"; done`,
        "printf 'no end of line'",
      ].join("; ");
      const { containerId, podSandboxId } = await startContainer(
        runtime.cri,
        { command: ["sh", "-c", script], logPath: "0.log" },
        sandboxConfig({ logDirectory: folder.path }),
      );
      const log = path.join(folder.path, "0.log");
      const rotated: string[] = [];
      let reopened = 0;
      while (await runs(runtime.cri, containerId)) {
        const moved = path.join(folder.path, `0.log.${String(rotated.length).padStart(5, "0")}`);
        if (rotates) {
          await rename(log, moved);
          rotated.push(moved);
        }
        try {
          await runtime.cri.runtime.reopenContainerLog({ containerId });
          reopened++;
        } catch (error) {
          assert.equal((error as { code?: number }).code, 9, String(error)); // it has ended meanwhile
          break;
        }
      }
      const last = (await readdir(folder.path)).includes("0.log") ? [log] : [];
      const lines = linesOf([...rotated, ...last]);
      for (let n = 1; n <= numbers; n++) assert.equal((await lines.next()).value?.text, String(n));
      const long = "x".repeat(longBytes);
      for (let n = 1; n <= longLines; n++) {
        const { value } = await lines.next();
        assert.ok(value?.text === `${n} ${long}`, `line ${n} of the long ones is ${value?.text.slice(0, 40)}`);
        assert.ok((value?.parts ?? 0) > 1, "a long line comes in parts");
      }
      assert.deepEqual((await lines.next()).value, { text: "no end of line", parts: 1 });
      assert.equal((await lines.next()).done, true);
      t.diagnostic(`reopened ${reopened} times`);
      assert.ok(reopened > 2, `reopened ${reopened} times only`);
      await runtime.cri.runtime.removePodSandbox({ podSandboxId });
    });
  }
});

async function runs(cri: CRIConnection, containerId: string): Promise<boolean> {
  const { status } = await cri.runtime.containerStatus({ containerId });
  return status?.state === ContainerState.CONTAINER_RUNNING;
}

async function temporary() {
  const directory = await mkdtemp(path.join(tmpdir(), "hawser-log-"));
  return { path: directory, [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }) };
}

/** The container's own lines: parts (P) put together with what ends them (F). A last part may lack its end. */
async function* linesOf(files: string[]): AsyncGenerator<{ text: string; parts: number }> {
  let [text, parts] = ["", 0];
  for (const name of files) {
    await using file = await open(name);
    for await (const line of file.readLines()) {
      const [, tag, content] = /^\d{4}-\d\d-\d\dT\S+ stdout ([PF]) (.*)$/.exec(line) ?? [];
      assert.ok(tag !== undefined && content !== undefined, `no line of a log: ${JSON.stringify(line.slice(0, 100))}`);
      text += content;
      parts++;
      if (tag === "P") continue;
      yield { text, parts };
      [text, parts] = ["", 0];
    }
  }
  if (parts > 0) yield { text, parts };
}

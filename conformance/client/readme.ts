// The examples of packages/client/README.md, each run as a program of its own against a cluster.
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { checkout, must, run } from "@hawser/testing";
import type { Target } from "../interop/target.ts";

const readme = await readFile(join(checkout, "packages/client/README.md"), "utf8");

/** Each with the heading it stands under, and what it is to print. */
const examples = readme.split("\n## ").flatMap((section) => {
  const [, code, output] = /```ts\n([\s\S]*?)```\n\n```text\n([\s\S]*?)```/.exec(section) ?? [];
  return code && output ? [{ title: section.split("\n")[0] ?? "", code, output }] : [];
});

export function readmeSuite(give: () => Target): void {
  describe("packages/client/README.md", () => {
    let target: Target;
    let folder: string;
    before(async () => {
      target = give();
      folder = await mkdtemp(join(tmpdir(), "hawser-readme-"));
      await symlink(join(checkout, "node_modules"), join(folder, "node_modules"));
      await writeFile(join(folder, "package.json"), '{ "type": "module" }');
    });
    after(async () => {
      if (folder) await rm(folder, { recursive: true, force: true });
    });

    it("every example is one that is run", () => {
      assert.equal(examples.length, readme.match(/^```ts$/gm)?.length);
      assert.ok(examples.length >= 8, `${examples.length} examples`);
    });

    for (const [index, { title, code, output }] of examples.entries()) {
      it(title, async () => {
        const file = join(folder, `example-${index}.ts`);
        await writeFile(file, code);
        const env = { KUBECONFIG: target.cluster.kubeconfig, NODE_COMPILE_CACHE: "" };
        const { code: exitCode, stdout, stderr } = await run([process.execPath, file], { env });
        assert.equal(stdout, output, stderr);
        assert.equal(exitCode, 0, stderr);
      });
    }

    it("every example type-checks", async () => {
      const config = { extends: join(checkout, "tsconfig.json"), include: ["*.ts"], exclude: [] };
      await writeFile(join(folder, "tsconfig.json"), JSON.stringify(config));
      await must([join(checkout, "node_modules/.bin/tsc"), "--noEmit", "-p", folder]);
    });
  });
}

// `make demo`, without a terminal and on one.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { checkout, onTerminal, processes, run } from "@hawser/testing";

const mark = "hawser-demo-";

async function nothingIsLeft(): Promise<void> {
  assert.deepEqual(
    (await processes()).filter(({ args }) => args.includes(mark)),
    [],
  );
}

describe("make demo", () => {
  it("without a terminal: the post's pod, a scripted exec, the path, and everything goes", async () => {
    const { code, stdout, stderr } = await run(["make", "demo"], { cwd: checkout, timeoutMs: 120_000 });
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /exec-test-nginx +1\/1 +Running/);
    for (const hop of ["client", "apiserver", "kubelet", "runtime", "monitor", "kernel"]) {
      assert.match(stdout, new RegExp(`^ {2}${hop} +process \\d+ `, "m"), hop);
    }
    assert.doesNotMatch(stdout, /undefined/);
    assert.match(stdout, /hello from exec-test-nginx/);
    assert.match(stdout, /exit code 42/);
    assert.match(stdout, /is down and gone/);
    await nothingIsLeft();
  });

  it("on a terminal: a shell in the container, then everything goes", async () => {
    await using terminal = onTerminal(["make", "-C", checkout, "demo"]);
    await terminal.saw("Now you", { timeoutMs: 120_000 });
    await terminal.saw(/[#$] $/);
    terminal.write("echo typed in $(cat /etc/hostname)\n");
    await terminal.saw(/\ntyped in exec-test-nginx/);
    terminal.write("exit\n");
    const { code } = await terminal.exit;
    assert.equal(code, 0, terminal.output());
    assert.match(terminal.output(), /is down and gone/);
    await nothingIsLeft();
  });

  it("interrupted: everything goes all the same", async () => {
    await using terminal = onTerminal(["make", "-C", checkout, "demo"]);
    await terminal.saw("Now you", { timeoutMs: 120_000 });
    await terminal.saw(/[#$] $/);
    terminal.child.kill("SIGKILL"); // the window is closed
    await terminal.exit;
    for (let turn = 0; turn < 200 && (await processes()).some(({ args }) => args.includes(mark)); turn++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await nothingIsLeft();
  });
});

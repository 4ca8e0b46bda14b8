// What goes over an exec's streams, and how its session ends (P16, P17).
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { connectionsTo, eventually, kubectls, must, tcpSockets, terminalOf } from "@hawser/testing";
import { apiAddress, kubeletAddress } from "./post-lab.ts";
import { pod, type Scene } from "./post-scene.ts";

export function theExecItself(scene: Scene): void {
  describe("P16 the exec itself", () => {
    it("the exit code comes back, by every kubectl", async () => {
      for (const kubectl of await kubectls()) {
        const { code, stderr } = await scene.post.kubectl(["exec", pod, "--", "sh", "-c", "exit 42"], { kubectl });
        assert.equal(code, 42, `kubectl ${kubectl.version}: ${stderr}`);
        assert.match(stderr, /command terminated with exit code 42/);
      }
    });

    it("stdout and stderr come apart, stdin arrives whole, by every kubectl", async () => {
      const input = "0123456789abcdef".repeat(64 * 1024); // 1 MiB
      for (const kubectl of await kubectls()) {
        const command = ["exec", "-i", pod, "--", "sh", "-c", "cat; echo over >&2"];
        const { code, stdout, stderr } = await scene.post.kubectl(command, { kubectl, input });
        assert.equal(code, 0, `kubectl ${kubectl.version}: ${stderr}`);
        assert.equal(stdout.length, input.length, `kubectl ${kubectl.version}`);
        assert.equal(stdout === input, true);
        assert.equal(stderr, "over\n");
      }
    });

    it("without a tty, exit ends the call though stdin stays open, by every kubectl", async () => {
      for (const kubectl of await kubectls()) {
        await using session = scene.post.piped(["exec", "-i", pod, "--", "bash"], { kubectl });
        session.write("echo started\n");
        await session.saw("started");
        session.write("exit 3\n");
        assert.deepEqual(await session.exit, { code: 3, signal: null }, `kubectl ${kubectl.version}`);
      }
    });

    it("with a tty, the window's size arrives, and each change of it, by every kubectl", async () => {
      for (const kubectl of await kubectls()) {
        const size = { kubectl, rows: 31, columns: 101 };
        await using session = await scene.post.interactive(["exec", "-it", pod, "--", "bash", "--norc"], size);
        const { terminal } = session;
        await terminal.saw(/[#$] $/);
        await eventually("the first size", async () => {
          const from = terminal.output().length;
          terminal.write("stty size\n");
          await terminal.saw(/\d+ \d+\r\n/, { from });
          return /31 101/.test(terminal.output().slice(from));
        });
        await must(["stty", "-F", await terminalOf(session.pid), "rows", "45", "cols", "132"]);
        await eventually(`the second size, kubectl ${kubectl.version}`, async () => {
          const from = terminal.output().length;
          terminal.write("stty size\n");
          await terminal.saw(/\d+ \d+\r\n/, { from });
          return /45 132/.test(terminal.output().slice(from));
        });
        terminal.write("exit 5\n");
        assert.equal((await terminal.exit).code, 5, `kubectl ${kubectl.version}`);
      }
    });
  });
}

export function theEndOfASession(scene: Scene): void {
  describe("P17 the end of a session", () => {
    async function counts() {
      const [client, master, streams] = await Promise.all([
        connectionsTo(scene.post.onClient, apiAddress),
        connectionsTo(scene.post.onMaster, kubeletAddress),
        tcpSockets(scene.post.onWorker),
      ]);
      const loopback = streams.filter(
        ({ state, peer, owner }) =>
          state === "ESTAB" && peer.startsWith("127.0.0.1:") && owner.includes(`pid=${scene.post.pids.kubelet},`),
      );
      return { client: client.length, master: master.length, kubelet: loopback.length };
    }

    for (const how of ["the command ends", "the client is killed"] as const) {
      it(`${how}: all three connections go, and the process in the container`, async () => {
        for (const kubectl of [scene.oldest, scene.newest]) {
          const idle = await counts();
          await using session = await scene.sleepingSession(kubectl);
          const busy = await counts();
          assert.ok(busy.client > idle.client, `kubectl ${kubectl.version}`);
          assert.equal(busy.master, idle.master + 1);
          assert.equal(busy.kubelet, idle.kubelet + 1);
          if (how === "the client is killed") process.kill(session.pid, "SIGKILL");
          else session.terminal.write("\x03exit\n");
          await eventually(`back to ${JSON.stringify(idle)}`, async () => {
            return JSON.stringify(await counts()) === JSON.stringify(idle);
          });
          if (how === "the command ends" || scene.variant.endsWithClient) await scene.goes(session.sleeper);
        }
      });
    }
  });
}

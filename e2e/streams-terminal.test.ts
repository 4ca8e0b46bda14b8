// Terminals: what people do at one, by genuine clients and ours, on a screen that is captured; and attach.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { background, eventually, must, newMark, processes } from "@hawser/testing";
import { type Hop, up } from "hawser";
import { type Client, createPod, long, type StreamCluster, sleepers, startStreamCluster } from "./stream-cluster.ts";
import { openScreen, type Screen } from "./tmux.ts";

describe("streams: terminals", () => {
  let cluster: StreamCluster;
  before(async () => {
    cluster = await startStreamCluster();
  });
  after(() => cluster?.[Symbol.asyncDispose]());

  const pidOf = async (hop: Hop): Promise<number> =>
    JSON.parse(await readFile(join(cluster.paths.run, `${hop}.pid`), "utf8")).pid;
  const typed = ({ command }: Client, args: string[]) => command(args).map(quoted).join(" ");
  /** Types a command line, and waits until its far side's prompt is there. */
  async function enter(screen: Screen, client: Client, remote = ["sh"]) {
    await screen.type(`clear; ${typed(client, ["exec", "-it", "box", "--", ...remote])}`, "Enter");
  }
  const shell = ["sh", "-c", "PS1='there> ' exec sh"];
  const settings = (screen: Screen) => must(["stty", "-F", screen.tty, "-a"]);

  it("a full-screen program: vi draws itself, redraws at another size, writes its file", async () => {
    for (const client of cluster.clients) {
      await using screen = await openScreen({ columns: 90, rows: 28 }, client.env);
      const before = await settings(screen);
      await enter(screen, client, ["sh", "-c", "rm -f /tmp/text; exec vi /tmp/text"]);
      await screen.shows(/\/tmp\/text/);
      await screen.shows(/^~$/m);
      await screen.type("ihello from vi", "Escape");
      assert.match(await screen.shows("hello from vi"), /^hello from vi\n~/);
      // More rows, more tildes: the size has arrived, and vi has drawn it.
      const tildes = (text: string) => text.split("\n").filter((line) => line === "~").length;
      const few = tildes(await screen.text());
      await screen.resize(100, 40);
      await eventually("vi fills the larger screen", async () => tildes(await screen.text()) >= few + 10);
      await screen.type(":wq", "Enter");
      await screen.shows(/here\$ *\n*$/);
      assert.equal(await cluster.inBox("cat /tmp/text"), "hello from vi", client.name);
      assert.equal(await settings(screen), before.replace("rows 28; columns 90", "rows 40; columns 100"), client.name);
    }
  });

  it("Ctrl-C ends the program and not the session, Ctrl-Z and fg, Ctrl-D ends the shell with its code", async () => {
    for (const client of cluster.clients) {
      await using screen = await openScreen({}, client.env);
      const before = await settings(screen);
      const word = newMark();
      await enter(screen, client, shell);
      await screen.shows("there>");
      await screen.type(`sleep ${word}`, "Enter");
      await eventually("it sleeps", async () => (await sleepers(word)).length === 1);
      await screen.type("C-z");
      await screen.shows(/Stopped/);
      const [pid = 0] = await sleepers(word);
      await eventually("it is stopped", async () => /\) T /.test(await readFile(`/proc/${pid}/stat`, "utf8")));
      await screen.type("fg", "Enter");
      const foreground = async () => (await processes()).find((row) => row.pid === pid);
      await eventually("it is in the foreground", async () => {
        const row = await foreground();
        return row?.pgid === row?.tpgid && /\) S /.test(await readFile(`/proc/${pid}/stat`, "utf8"));
      });
      await screen.type("C-c");
      await eventually("Ctrl-C ends it", async () => (await sleepers(word)).length === 0);
      await screen.type("(exit 9)", "Enter", "C-d");
      await screen.shows(/^command terminated with exit code 9\s+here\$ *\n*$/m);
      await screen.type("echo code $?", "Enter");
      await screen.shows(/^code 9$/m);
      assert.equal(await settings(screen), before, client.name);
    }
  });

  it("the terminal is as it was after a signal to the client, and the process goes", async () => {
    for (const [signal, code] of [
      ["SIGTERM", 143],
      ["SIGINT", 130],
      ["SIGHUP", 129],
    ] as const) {
      await using screen = await openScreen({}, cluster.hawser.env);
      const before = await settings(screen);
      const word = newMark();
      await enter(screen, cluster.hawser, ["sh", "-c", `echo ready; sleep ${word}`]);
      await screen.shows(/^ready$/m);
      const raw = await settings(screen);
      assert.match(raw, /-icanon/);
      process.kill(await clientOn(screen), signal);
      await screen.shows(/here\$ *\n*$/);
      await screen.type("echo code $?", "Enter");
      await screen.shows(new RegExp(`^code ${code}$`, "m"));
      assert.equal(await settings(screen), before, signal);
      await eventually("the process goes", async () => (await sleepers(word)).length === 0);
    }
  });

  it("the terminal is as it was after kill -9 of a hop", async () => {
    for (const hop of long ? (["apiserver", "kubelet", "runtime"] as const) : (["kubelet"] as const)) {
      await using screen = await openScreen({ columns: 120 }, cluster.hawser.env);
      const before = await settings(screen);
      const word = newMark();
      await enter(screen, cluster.hawser, ["sh", "-c", `echo ready; sleep ${word}`]);
      await screen.shows(/^ready$/m);
      try {
        process.kill(await pidOf(hop), "SIGKILL");
        await screen.shows(/error: the session broke off[\s\S]*here\$ *\n*$/);
        await screen.type("echo code $?", "Enter");
        await screen.shows(/^code 255$/m);
        assert.equal(await settings(screen), before, hop);
      } finally {
        await up({ dataDir: cluster.dataDir });
      }
      await eventually("the process goes", async () => (await sleepers(word)).length === 0);
    }
  });

  it("attach: several at once see the same, nothing of before, and all of what comes", async () => {
    await createPod(cluster, "talker", {
      stdin: true,
      command: ["sh", "-c", "echo before; while read n; do seq 1 $n; done; sleep 1000000"],
    });
    const sessions = cluster.clients.map(({ command, env }) =>
      background(command(["attach", "-i", "talker"]), { env }),
    );
    try {
      const [first] = sessions;
      assert.ok(first);
      // Each is there once it sees what another one makes it say.
      for (const session of sessions) {
        await eventually(
          "it sees what is said",
          () => {
            first.write("1\n");
            return /^1$/m.test(session.stdout());
          },
          { everyMs: 200 },
        );
      }
      first.write("20000\n");
      const want = Array.from({ length: 20_000 }, (_, index) => `${index + 1}\n`).join("");
      for (const session of sessions) {
        await session.saw(/^20000$/m);
        const said = session.stdout();
        assert.ok(said.endsWith(want), "every line, in order");
        assert.doesNotMatch(said, /before/);
      }
    } finally {
      for (const session of sessions) await session[Symbol.asyncDispose]();
    }
  });

  it("attach -it to a shell: sizes, keys; who leaves by a signal leaves it running, and the next one comes back to it", async () => {
    await createPod(cluster, "shell", { stdin: true, tty: true, command: ["sh", "-c", "PS1='there> ' exec sh"] });
    for (const client of cluster.clients) {
      await using screen = await openScreen({ columns: 77, rows: 22 }, client.env);
      const before = await settings(screen);
      await screen.type(`clear; ${typed(client, ["attach", "-it", "shell"])}`, "Enter");
      await screen.shows(/pressing enter/);
      await screen.type("Enter");
      await screen.shows("there>");
      await screen.type("clear", "Enter");
      // Clients first tell a size one larger, so that what runs there draws itself anew.
      for (let asked = 0; !/^22 77$/m.test(await screen.text()); asked++) {
        assert.ok(asked < 10, `${client.name}:\n${await screen.text()}`);
        const answers = (await screen.text()).match(/^\d+ \d+$/gm)?.length ?? 0;
        await screen.type("stty size", "Enter");
        await screen.shows(new RegExp(`(^\\d+ \\d+$[^]*){${answers + 1}}`.replace("[^]", "[\\s\\S]"), "m"));
      }
      process.kill(await clientOn(screen), "SIGTERM");
      await screen.type("Enter");
      await screen.shows(/here\$ *\n*$/);
      if (client === cluster.hawser) assert.equal(await settings(screen), before);
    }
    const state = "jsonpath={.status.containerStatuses[0].restartCount} {.status.phase}";
    assert.equal(await cluster.mustKubectl(["get", "pod", "shell", "-o", state]), "0 Running");
  });

  it("attach -it is left by the detach keys, the usual ones or others: the shell goes on as it was, and is attached to again", async () => {
    await createPod(cluster, "left", { stdin: true, tty: true, command: ["sh", "-c", "PS1='there> ' exec sh"] });
    await using screen = await openScreen({}, cluster.hawser.env);
    const before = await settings(screen);
    const leave = [
      { flags: [], keys: ["C-p", "C-q"] },
      { flags: ["--detach-keys=ctrl-x,d"], keys: ["C-x", "d"] },
    ];
    for (const [index, { flags, keys }] of leave.entries()) {
      await screen.type(`clear; ${typed(cluster.hawser, ["attach", "-it", ...flags, "left"])}; echo code $?`, "Enter");
      await screen.shows(/pressing enter/);
      await screen.type("Enter");
      await screen.shows("there>");
      // What was set in the first session is there in the second.
      await screen.type(index === 0 ? "word=kept" : "echo $word", "Enter");
      if (index > 0) await screen.shows(/^kept$/m);
      await screen.type(...keys);
      await screen.shows(/^.*code 0$/m);
      assert.equal(await settings(screen), before);
    }
    const state = "jsonpath={.status.containerStatuses[0].restartCount} {.status.phase}";
    assert.equal(await cluster.mustKubectl(["get", "pod", "left", "-o", state]), "0 Running");
  });

  it("stdinOnce: the end of the first client's input is the container's", async () => {
    for (const { name, command, env } of cluster.clients) {
      const pod = `once-${name.replace(/\W+/g, "-")}`;
      await createPod(cluster, pod, {
        stdin: true,
        stdinOnce: true,
        command: ["sh", "-c", "cat; echo end; sleep 1000000"],
      });
      await using session = background(["sh", "-c", `echo hello | "$@"`, "sh", ...command(["attach", "-i", pod])], {
        env,
      });
      await session.saw(/hello\n(.*\n)*end\n/);
      await cluster.mustKubectl(["delete", "pod", pod, "--now", "--wait=false"]);
    }
  });
});

/**
 * The client that runs in the foreground of a screen's shell. By the session: a container's terminals have numbers of their own,
 * and so maybe the same one.
 */
async function clientOn({ shell }: Screen): Promise<number> {
  const found = (await processes()).find((row) => row.sid === shell && row.pgid === row.tpgid && row.pid === row.pgid);
  if (!found || found.pid === shell) throw new Error(`nothing runs in the foreground of shell ${shell}`);
  return found.pid;
}

function quoted(word: string): string {
  return /^[\w./=:@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

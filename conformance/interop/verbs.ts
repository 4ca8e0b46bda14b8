// The rows of docs/interop.md. Each resolves when what it says was seen, and throws with what was seen instead.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { background, onTerminal, run } from "@hawser/testing";
import type { Client } from "./clients.ts";
import { countedLines, echoPort, type Target } from "./target.ts";

/** Milliseconds for one cell's wait. */
const timeoutMs = 30_000;

export interface Trial {
  client: Client;
  target: Target;
  /** A folder of the trial's own, and its name in the pod. */
  folder: string;
}

export interface Verb {
  name: string;
  /** What a tick in its row says. */
  meaning: string;
  run(trial: Trial): Promise<void>;
}

const environment = ({ client, target, folder }: Trial): NodeJS.ProcessEnv => ({
  ...client.env,
  HOME: folder, // a kubectl keeps what it has discovered below it
  KUBECONFIG: target.cluster.kubeconfig,
});

const once = (trial: Trial, args: string[], input?: Uint8Array) =>
  run(trial.client.command(args), { env: environment(trial), timeoutMs, ...(input && { input }) });

async function exec(trial: Trial): Promise<void> {
  const input = Buffer.alloc(1024 * 1024, "0123456789abcde\n");
  const script = "cat; echo problem >&2; exit 7";
  const { code, stdout, stderr } = await once(trial, ["exec", "-i", "web", "--", "sh", "-c", script], input);
  assert.equal(
    stdout.length,
    input.length,
    `stdout has ${stdout.length} of ${input.length} bytes; ${firstLine(stderr)}`,
  );
  assert.ok(stdout === input.toString(), "stdout is not what was sent");
  assert.ok(stderr.startsWith("problem\n"), `stderr is ${JSON.stringify(stderr.slice(0, 200))}`);
  assert.equal(code, 7, `the exit code is ${code}`);
}

async function execOnTerminal(trial: Trial): Promise<void> {
  // containerd starts the process before it knows the size.
  const sized = 'n=0; while [ "$(stty size)" = "0 0" ] && [ $n -lt 50 ]; do sleep 0.1; n=$((n+1)); done';
  const script = `${sized}; stty size; read word; echo "got $word"; exit 3`;
  const command = trial.client.command(["exec", "-it", "web", "--", "sh", "-c", script]);
  await using session = onTerminal(command, { env: environment(trial) });
  await session.saw("24 80", { timeoutMs });
  session.write("hello\r");
  await session.saw(/got hello\r+\n/, { timeoutMs }); // a client in Node may leave its terminal to add one more
  const { code } = await ended(session.exit);
  assert.equal(code, 3, `the exit code is ${code}`);
}

async function attach(trial: Trial): Promise<void> {
  await using session = background(trial.client.command(["attach", "-i", "talker"]), { env: environment(trial) });
  for (const word of [`one-${randomBytes(4).toString("hex")}`, `two-${randomBytes(4).toString("hex")}`]) {
    session.write(`${word}\n`);
    await session.saw(`heard ${word}\n`, { timeoutMs });
  }
}

async function portForward(trial: Trial): Promise<void> {
  await using forward = background(trial.client.command(["port-forward", "web", `:${echoPort}`]), {
    env: environment(trial),
  });
  const port = await localPort(forward);
  const texts = Array.from({ length: 5 }, () => randomBytes(50_000).toString("hex"));
  const answers = await Promise.all(texts.map((text) => echoed(port, text, { halfClose: false })));
  for (const [index, text] of texts.entries())
    assert.ok(answers[index] === text, `${answers[index]?.length} of ${text.length} bytes came back`);
}

async function halfClosed(trial: Trial): Promise<void> {
  await using forward = background(trial.client.command(["port-forward", "web", `:${echoPort}`]), {
    env: environment(trial),
  });
  const port = await localPort(forward);
  const text = randomBytes(500_000).toString("hex");
  const answer = await echoed(port, text, { halfClose: true });
  assert.ok(answer === text, `${answer.length} of ${text.length} bytes came back`);
}

async function cp(trial: Trial): Promise<void> {
  const { folder } = trial;
  const [here, back] = [join(folder, "here"), join(folder, "back")];
  await mkdir(join(here, "deep"), { recursive: true });
  await writeFile(join(here, "empty"), "");
  await writeFile(join(here, "deep/data"), randomBytes(1024 * 1024));
  const there = `/data/${randomBytes(4).toString("hex")}`;
  if (trial.client.name === "client-node") {
    // It unpacks in a folder that has to be there.
    const mkdirThere = [...hawser, "exec", "web", "--", "mkdir", there];
    const made = await run(mkdirThere, { env: environment(trial) });
    assert.equal(made.code, 0, made.stderr);
  }
  const up = await once(trial, ["cp", here, `web:${there}`]);
  assert.equal(up.code, 0, `into the pod: exit code ${up.code}: ${firstLine(up.stderr)}`);
  await mkdir(back);
  const down = await once(trial, ["cp", `web:${there}`, back]);
  assert.equal(down.code, 0, `out of the pod: exit code ${down.code}: ${firstLine(down.stderr)}`);
  assert.deepEqual(await tree(back), await tree(here), "what came back is another tree");
}

async function logs(trial: Trial): Promise<void> {
  const whole = await once(trial, ["logs", "counted"]);
  const want = Array.from({ length: countedLines }, (_, index) => `${index + 1}\n`).join("");
  assert.ok(whole.stdout === want, `${whole.stdout.length} of ${want.length} bytes; ${firstLine(whole.stderr)}`);
  const end = await once(trial, ["logs", "-f", "--tail=3", "finished"]);
  assert.equal(end.stdout, "98\n99\n100\n", "with -f --tail=3");
  assert.equal(end.code, 0, `the exit code is ${end.code}`);
}

export const verbs: Verb[] = [
  {
    name: "exec",
    meaning: "1 MiB through stdin comes back on stdout, stderr is apart, the exit code is the command's (7)",
    run: exec,
  },
  {
    name: "exec -it",
    meaning: "the terminal's size comes, what is typed arrives, the exit code is the command's (3)",
    run: execOnTerminal,
  },
  { name: "attach", meaning: "lines are answered one by one; the container runs on", run: attach },
  { name: "port-forward", meaning: "five connections at once, 100 kB there and back on each", run: portForward },
  {
    name: "port-forward, half-closed",
    meaning: "the sender's end of 1 MB is told before the answer has come, and all of the answer comes",
    run: halfClosed,
  },
  {
    name: "cp",
    meaning:
      "a folder with a deeper one, an empty file and 1 MiB, there and back; contents, not permissions, which kubectl drops",
    run: cp,
  },
  {
    name: "logs",
    meaning: `${countedLines} lines, each once; and \`-f --tail=3\` of a container that has ended ends`,
    run: logs,
  },
];

/** Runs one cell. Resolves with why it fails, in one line; undefined when it does not. */
export async function tryVerb(verb: Verb, { client, target }: Omit<Trial, "folder">): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), "hawser-interop-"));
  try {
    await verb.run({ client, target, folder });
    return undefined;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return oneLine(text.replaceAll(folder, "FOLDER"));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const hawser = [process.execPath, join(import.meta.dirname, "../../packages/hawser/bin/hawser.cjs")];

async function localPort(forward: ReturnType<typeof background>): Promise<number> {
  const line = /Forwarding from 127\.0\.0\.1:(\d+)/;
  await forward.saw(line, { timeoutMs });
  return Number(line.exec(forward.output())?.[1]);
}

/** What comes back of a text, until all of it did, or the connection ended, or it took too long. */
async function echoed(port: number, text: string, { halfClose }: { halfClose: boolean }): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const late = setTimeout(() => socket.destroy(), timeoutMs);
  if (halfClose) socket.end(text);
  else socket.write(text);
  let answer = "";
  try {
    for await (const chunk of socket) {
      answer += chunk;
      if (!halfClose && answer.length >= text.length) break;
    }
  } catch {
    // Cut: how much there was tells.
  } finally {
    clearTimeout(late);
    socket.destroy();
  }
  return answer;
}

async function ended<T>(exit: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`the client did not end within ${timeoutMs} ms`)), timeoutMs);
  try {
    return await Promise.race([exit, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Every file below a folder: its path and content. */
async function tree(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const name = path.slice(folder.length + 1);
    if (!entry.isFile()) continue;

    const digest = createHash("sha256")
      .update(await readFile(path))
      .digest("hex")
      .slice(0, 12);
    found.push(`${name} ${digest}`);
  }
  return found.sort();
}

function firstLine(text: string): string {
  return text.trim().split("\n")[0]?.slice(0, 300) ?? "";
}

function oneLine(text: string): string {
  return text.split("\n").filter(Boolean).slice(0, 4).join(" ").replaceAll(/\s+/g, " ").slice(0, 400);
}

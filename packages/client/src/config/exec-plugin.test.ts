import assert from "node:assert/strict";
import { access, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { execPlugin } from "./exec-plugin.ts";
import type { Cluster, ExecConfig } from "./file.ts";
import { runPlugin } from "./run-plugin.ts";

const v1 = "client.authentication.k8s.io/v1";
const v1beta1 = "client.authentication.k8s.io/v1beta1";

async function plugin(script: string): Promise<{ command: string; path(name: string): string } & AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), "hawser-plugin-"));
  const command = join(folder, "plugin");
  await writeFile(command, `#!/bin/sh\ncd "$(dirname "$0")"\n${script}\n`, { mode: 0o700 });
  return {
    command,
    path: (name) => join(folder, name),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

const answer = (status: object, apiVersion = v1) =>
  `echo '${JSON.stringify({ kind: "ExecCredential", apiVersion, status })}'`;

function credential(
  config: Omit<ExecConfig, "apiVersion"> & { apiVersion?: string },
  cluster: Cluster = {},
  now = Date.now,
) {
  return execPlugin({ config: { apiVersion: v1, interactiveMode: "Never", ...config }, cluster, now });
}

describe("execPlugin", () => {
  it("runs again when its credential has expired, and not before", async () => {
    const expires = "2030-01-01T00:00:00Z";
    await using given = await plugin(`echo >> runs; ${answer({ token: "t", expirationTimestamp: expires })}`);
    let now = Date.parse(expires) - 60_000;
    const get = credential(given, {}, () => now);
    const runs = async () => (await readFile(given.path("runs"), "utf8")).length;
    await get();
    now += 50_000;
    assert.equal((await get()).token, "t");
    assert.equal(await runs(), 1);
    now += 9_000;
    await get();
    assert.equal(await runs(), 2);
  });

  it("speaks v1beta1, whose interactiveMode need not be said", async () => {
    await using given = await plugin(`echo "$KUBERNETES_EXEC_INFO" > info; ${answer({ token: "t" }, v1beta1)}`);
    const get = execPlugin({ config: { apiVersion: v1beta1, command: given.command }, cluster: {}, now: Date.now });
    assert.equal((await get()).token, "t");
    const info = JSON.parse(await readFile(given.path("info"), "utf8"));
    assert.equal(info.apiVersion, v1beta1);
    assert.equal(info.kind, "ExecCredential");
    assert.equal(info.spec.cluster, undefined);
  });

  it("tells of the cluster where it is to: authority from its file, proxy, its own extension", async () => {
    await using given = await plugin(`echo "$KUBERNETES_EXEC_INFO" > info; ${answer({ token: "t" })}`);
    await writeFile(given.path("ca.crt"), "PEM");
    const get = credential(
      { ...given, provideClusterInfo: true },
      {
        server: "https://h:6443",
        "certificate-authority": given.path("ca.crt"),
        "tls-server-name": "name",
        "proxy-url": "http://p",
        extensions: [{ name: "client.authentication.k8s.io/exec", extension: { audience: "a" } }],
      },
    );
    await get();
    assert.deepEqual(JSON.parse(await readFile(given.path("info"), "utf8")).spec, {
      cluster: {
        server: "https://h:6443",
        "tls-server-name": "name",
        "certificate-authority-data": Buffer.from("PEM").toString("base64"),
        "proxy-url": "http://p",
        config: { audience: "a" },
      },
      interactive: false,
    });
  });

  it("is killed when the last who waited has given up, and started anew for the next", async () => {
    await using given = await plugin(
      `if [ -e second ]; then ${answer({ token: "again" })}; exit; fi; touch second; echo $$ > pid; exec sleep 1000`,
    );
    const get = credential(given);
    const abort = new AbortController();
    const waiting = get({ signal: abort.signal });
    const pid = await until(async () => Number(await readFile(given.path("pid"), "utf8").catch(() => "")) || undefined);
    abort.abort(new Error("enough"));
    await assert.rejects(waiting, { message: "enough" });
    await until(
      async () =>
        (await access(`/proc/${pid}`).then(
          () => false,
          () => true,
        )) || undefined,
    );
    assert.equal((await get()).token, "again");
  });

  const bad: { name: string; script: string; config?: Partial<ExecConfig>; want: RegExp }[] = [
    { name: "an endless answer", script: "exec cat /dev/zero", want: /it answered more than 1048576 bytes$/ },
    {
      name: "another version than it was asked for",
      script: answer({ token: "t" }, v1beta1),
      want: /is configured to use API version .*\/v1, plugin returned version .*\/v1beta1$/,
    },
    { name: "nothing", script: answer({}), want: /didn't return a token or cert\/key pair$/ },
    { name: "half a pair", script: answer({ clientCertificateData: "C" }), want: /only certificate or key, not both$/ },
    { name: "no time", script: answer({ token: "t", expirationTimestamp: "soon" }), want: /that is no time$/ },
    {
      name: "a terminal, and there is none",
      script: "",
      config: { interactiveMode: "Always" },
      want: /cannot support interactive mode: standard input is not a terminal$/,
    },
  ];
  for (const { name, script, config, want } of bad) {
    it(`refuses ${name}`, async () => {
      await using given = await plugin(script);
      await assert.rejects(credential({ ...given, ...config })(), { name: "CredentialError", message: want });
    });
  }

  it("a plugin that takes too long is ended, also one that does not want to", async () => {
    await using given = await plugin("trap '' TERM; while :; do sleep 0.1; done");
    const run = { env: process.env, interactive: false, signal: new AbortController().signal, timeoutMs: 100 };
    await assert.rejects(runPlugin({ command: given.command }, run), { message: /it was not done within 0\.1s$/ });
  });
});

/** Looks until there is something, at most for half a minute. */
async function until<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (const deadline = Date.now() + 30_000; ; ) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > deadline) throw new Error("it did not come");
    await delay(10);
  }
}

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { createClient, loadKubeconfig } from "@hawser/client";
import { CoreV1Api, KubeConfig } from "@kubernetes/client-node";
import { answerJSON, fakeServer } from "../../../packages/client/src/testing/fake-server.ts";
import type { Lack } from "./lack.ts";

/** Files in a folder that goes with the scope. */
async function folder(files: Record<string, string>) {
  const root = await mkdtemp(join(tmpdir(), "hawser-lacks-"));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(root, name, ".."), { recursive: true });
    await writeFile(join(root, name), text, { mode: 0o700 });
  }
  return {
    path: (name: string) => join(root, name),
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  };
}

const kubeconfig = (user: string, cluster = "{server: 'https://192.0.2.1:6443'}") => `
current-context: x
contexts: [{name: x, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: ${cluster}}]
users: [{name: u, user: ${user}}]
`;

function theirs(path: string): KubeConfig {
  const config = new KubeConfig();
  config.loadFromFile(path);
  return config;
}

async function theirHeaders(config: KubeConfig): Promise<Record<string, unknown>> {
  const options: Parameters<KubeConfig["applyToHTTPSOptions"]>[0] = {};
  await config.applyToHTTPSOptions(options);
  return { ...(options.headers as Record<string, unknown>) };
}

const pluginAnswer = (token: string) =>
  `echo '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"'${token}'"}}'`;

export const identity: Lack[] = [
  {
    title: "A `KUBECONFIG` list whose files name the same cluster or user",
    theirs: "throws `Duplicate cluster`",
    ours: "the first file counts, as for kubectl; a file that is missing is none",
    async show() {
      await using dir = await folder({
        a: kubeconfig("{token: first}"),
        b: kubeconfig("{token: second}"),
      });
      const env = { KUBECONFIG: ["a", "missing", "b"].map(dir.path).join(delimiter) };
      const before = process.env.KUBECONFIG;
      process.env.KUBECONFIG = ["a", "b"].map(dir.path).join(delimiter);
      try {
        assert.throws(() => new KubeConfig().loadFromDefault(), /Duplicate cluster/);
      } finally {
        if (before === undefined) delete process.env.KUBECONFIG;
        else process.env.KUBECONFIG = before;
      }
      assert.deepEqual(await (await loadKubeconfig({ env })).headers(), { Authorization: "Bearer first" });
    },
  },
  {
    title: "A user's `tokenFile`",
    theirs: "not read: requests go out as nobody",
    ours: "read, and read again after a minute or a 401",
    async show() {
      await using dir = await folder({ config: kubeconfig("{tokenFile: token}"), token: "secret\n" });
      assert.deepEqual(await theirHeaders(theirs(dir.path("config"))), {});
      const config = await loadKubeconfig({ path: dir.path("config") });
      assert.deepEqual(await config.headers(), { Authorization: "Bearer secret" });
    },
  },
  {
    title: "Impersonation with groups or uid",
    theirs: "sends the user's name alone, which may be allowed less, or more",
    ours: "sends user, uid, every group and extra field",
    async show() {
      await using dir = await folder({ config: kubeconfig("{as: jane, as-uid: u1, as-groups: [a, b]}") });
      assert.deepEqual(await theirHeaders(theirs(dir.path("config"))), { "Impersonate-User": "jane" });
      assert.deepEqual(await (await loadKubeconfig({ path: dir.path("config") })).headers(), {
        "Impersonate-User": "jane",
        "Impersonate-Uid": "u1",
        "Impersonate-Group": ["a", "b"],
      });
    },
  },
  {
    title: "A credential plugin beside its kubeconfig, that wants to know the cluster",
    theirs:
      "not found: a relative path starts where the program runs; and it is told nothing (`KUBERNETES_EXEC_INFO` is not set)",
    ours: "found from its file's folder, and told what `provideClusterInfo` asks for",
    async show() {
      const exec = `{apiVersion: client.authentication.k8s.io/v1, command: NAME, interactiveMode: Never, provideClusterInfo: true}`;
      const plugin = `#!/bin/sh\necho "$KUBERNETES_EXEC_INFO" > "$(dirname "$0")/info"\n${pluginAnswer("t")}\n`;
      await using dir = await folder({ config: kubeconfig(`{exec: ${exec.replace("NAME", "./plugin")}}`), plugin });
      await assert.rejects(theirHeaders(theirs(dir.path("config"))), { code: "ENOENT" });
      await writeFile(dir.path("absolute"), kubeconfig(`{exec: ${exec.replace("NAME", dir.path("plugin"))}}`));
      await theirHeaders(theirs(dir.path("absolute")));
      assert.equal(await readFile(dir.path("info"), "utf8"), "\n");
      await (await loadKubeconfig({ path: dir.path("config") })).headers();
      const info = JSON.parse(await readFile(dir.path("info"), "utf8"));
      assert.equal(info.spec.cluster.server, "https://192.0.2.1:6443");
    },
  },
  {
    title: "A credential that the server no longer takes",
    theirs: "fails with 401, now and every time after",
    ours: "asks the plugin once more, and goes on",
    async show() {
      await using server = await fakeServer((request, response) => {
        const { authorization } = request.headers;
        if (authorization === "Bearer 1")
          answerJSON(response, { kind: "Status", code: 401, reason: "Unauthorized" }, 401);
        else answerJSON(response, { kind: "PodList", apiVersion: "v1", metadata: {}, items: [] });
      });
      const plugin = `#!/bin/sh\ncd "$(dirname "$0")"; echo >> runs\n${pluginAnswer("$(wc -l < runs | tr -d ' ')")}\n`;
      const authority = Buffer.from(String(server.config.tls.ca)).toString("base64");
      const cluster = `{server: '${server.config.server.origin}', certificate-authority-data: ${authority}}`;
      await using dir = await folder({ plugin });
      const exec = `{apiVersion: client.authentication.k8s.io/v1, command: ${dir.path("plugin")}, interactiveMode: Never}`;
      await writeFile(dir.path("config"), kubeconfig(`{exec: ${exec}}`, cluster));
      const api = theirs(dir.path("config")).makeApiClient(CoreV1Api);
      for (const _ of [1, 2]) await assert.rejects(api.listNamespacedPod({ namespace: "default" }), { code: 401 });
      await rm(dir.path("runs"));
      await using client = createClient(await loadKubeconfig({ path: dir.path("config") }));
      assert.deepEqual((await client.list({ resource: "pods", namespace: "default" })).items, []);
    },
  },
];

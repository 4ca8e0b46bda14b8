// Our commands beside the genuine kubectl 1.33's, against the same API server: stdout, stderr and exit code, byte for byte.
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type Apiserver, startApiserver } from "@hawser/apiserver";
import { type Kubectl, kubectls, run } from "@hawser/testing";
import { commandLine } from "../../packages/cli/src/testing/command-line.ts";

const manifest = `apiVersion: v1
kind: Pod
metadata: {name: two, labels: {app: two, "example.com/x": "1"}, annotations: {text: "one\\ntwo\\n", number: "1", colon: "a: b"}}
spec:
  containers:
  - {name: a, image: nginx, command: [sh, -c, "echo hi; sleep 1"], ports: [{containerPort: 80, name: web}]}
  - {name: b, image: nginx}
`;

/** Command lines whose output is the same. Ages may tick between the two runs, so each has three tries. */
const same = [
  "get pods",
  "get pods -A",
  "get pods -o wide",
  "get po,ns",
  "get pods --show-labels",
  "get pods -L app,example.com/x",
  "get pods --no-headers",
  "get pods -l app=two",
  "get pods -l app=none",
  "get pods --field-selector metadata.name=two",
  "get pods --sort-by=.metadata.name",
  "get pods -o name",
  "get pod two -o yaml",
  "get pod two -o json",
  "get pods -o yaml",
  "get pod/two ns/default",
  "get pod two -o jsonpath={.metadata.labels}",
  "get pods -o jsonpath={.items[*].metadata.name}",
  "get pods -o jsonpath={range.items[*]}{.metadata.name}:{.status.phase};{end}",
  "get pods -o jsonpath-as-json={.items[*].metadata.name}",
  'get pods -o jsonpath={.items[?(@.metadata.name=="two")].spec.containers[*].name}',
  "get pods -o custom-columns=N:.metadata.name,L:.metadata.labels,X:.x",
  "get pods -o custom-columns=N:.metadata.name --no-headers",
  "get pod nope",
  "get pod nope --ignore-not-found",
  "get pod two nope",
  "get foo",
  "get foo.bar",
  "get deploy",
  "get pods two -A",
  "get pods two -l a=b",
  "get pods/",
  "get pod two pod/two",
  "get pods --show-labels -o yaml",
  "get nodes",
  "get pods -n nope",
  "get pod two -n nope",
  "get namespaces default -o jsonpath={.metadata.name}",
  "get --raw /version",
  "run x --image=nginx --dry-run=client -o yaml",
  "run x --image=nginx --dry-run=client -o yaml --env=A=b --port=80 -l a=b --restart=Never -- sleep 5",
  "run x --image=nginx --dry-run=client -o yaml --command -it --privileged --image-pull-policy=Never -- sleep 5",
  "run x --image=nginx --dry-run=server",
  "run x",
  "run --image=nginx",
  "run x --image=UPPER",
  "run x --image=nginx --rm",
  "run x --image=nginx -t",
  "run two --image=nginx",
  "exec two -- ls",
  "exec nope -- ls",
  "exec two -n nope -- ls",
  "exec two",
  "exec two ls",
  "exec -- ls",
  "exec two -c nope -- ls",
  "exec pod/nope -- ls",
  "exec deploy/nope -- ls",
  "exec --nope",
  "exec -xyz",
  "exec -i=maybe",
  "exec -c",
  "attach",
  "attach two",
  "attach a b c",
  "logs",
  "logs nope",
  "logs two -n nope",
  "logs two -c nope",
  "logs -l app=none",
  "logs two --tail=x",
  "logs two --tail=-5",
  "port-forward",
  "port-forward nope 80",
  "port-forward two 80",
  "port-forward two 8080:nope",
  "create -f MANIFEST",
  "delete",
  "delete pods",
  "delete pod nope",
  "delete pod two -n nope",
  "delete pod nope --ignore-not-found",
  "delete pod nope --force --grace-period=0",
  "delete pod two --now --grace-period=3",
  "delete pod two --force --grace-period=5",
  "delete pods -l app=none",
  "delete pods --all --dry-run=client",
  "delete pod two --dry-run=server",
  "delete pod/two ns/default --dry-run=client -o name",
  "delete -f MANIFEST --dry-run=client",
  "wait --for=jsonpath={.status.phase}=Pending pod/two",
  "wait --for=condition=Ready pod/nope",
  "wait --for=condition=Ready pod/two -n nope",
  "wait --for=condition=Ready pod/two --timeout=10ms",
  "wait --for=delete pod/nope",
  "get pods --context nope",
  "get pods --kubeconfig /no/such/file",
  "get pods --token wrong --client-certificate= --client-key=",
];

let kubectl: Kubectl | undefined;
let folder = "";
let server: Apiserver | undefined;
const stack = new AsyncDisposableStack();

before(async () => {
  kubectl = (await kubectls()).find(({ minor }) => minor === 33);
  if (!kubectl) return;
  folder = await mkdtemp(join(tmpdir(), "hawser-cli-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  server = stack.use(await startApiserver({ dataDir: join(folder, "data"), port: 0, scheduler: false }));
  await writeFile(join(folder, "two.yaml"), manifest);
  const made = await run([
    kubectl.path,
    "--kubeconfig",
    server.kubeconfigPath,
    "create",
    "-f",
    join(folder, "two.yaml"),
  ]);
  assert.equal(made.code, 0, made.stderr);
});

after(() => stack.disposeAsync());

async function both(line: string) {
  assert.ok(kubectl && server);
  const argv = line
    .split(" ")
    .map((word) => (word === "MANIFEST" ? join(folder, "two.yaml") : word.replace("{range.items", "{range .items")));
  const env = { KUBECONFIG: server.kubeconfigPath, HOME: folder };
  const theirs = await run([kubectl.path, ...argv], { env: { ...process.env, ...env } });
  const { code, stdout, stderr } = await commandLine(argv, { env, input: "" }).result;
  const renamed = (text: string) => text.replaceAll("hawser", "kubectl").replaceAll("kubectl.1.33", "kubectl");
  const ours = { code, stdout: renamed(stdout), stderr: renamed(stderr) };
  return {
    ours,
    theirs: { code: theirs.code, stdout: renamed(theirs.stdout), stderr: renamed(withoutLog(theirs.stderr)) },
  };
}

/** kubectl's discovery writes to its log what it then also says. */
function withoutLog(text: string): string {
  return text.replace(/^[EWI]\d{4} .*\n/gm, "");
}

describe("kubectl 1.33 and hawser say the same", () => {
  for (const line of same) {
    it(line, async (t) => {
      if (!kubectl) return t.skip("no kubectl 1.33 on this machine");
      let { ours, theirs } = await both(line);
      for (let tries = 1; tries < 3 && JSON.stringify(ours) !== JSON.stringify(theirs); tries++)
        ({ ours, theirs } = await both(line));
      assert.deepEqual(ours, theirs);
    });
  }
});

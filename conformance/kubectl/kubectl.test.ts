// Every kubectl there is, against our API server: what people type, and what they see.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Kubectl, kubectls } from "@hawser/testing";
import { expectedMinors, type Session, startSession } from "./session.ts";

const known = await kubectls();
describe("every kubectl", { concurrency: 4 }, () => {
  for (const minor of expectedMinors) {
    const kubectl = known.find((one) => one.minor === minor);
    if (kubectl) suite(kubectl);
    else it(`kubectl 1.${minor}`, { skip: `kubectl 1.${minor} is not on this machine` }, () => {});
  }
});

function suite(kubectl: Kubectl): void {
  describe(`kubectl ${kubectl.version}`, { concurrency: 1 }, () => {
    let session: Session;
    const stop = new AbortController();
    let kubelet: Promise<void>;
    before(async () => {
      session = await startSession(kubectl);
      kubelet = session.endPods(stop.signal);
    });
    after(async () => {
      stop.abort();
      try {
        await kubelet;
      } finally {
        await session?.[Symbol.asyncDispose]();
      }
    });

    it("P1: run makes a pod, get shows it on its way to Running", async () => {
      assert.equal(await session.ok("run exec-test-nginx --image=nginx"), "pod/exec-test-nginx created\n");
      await session.ok("wait --for=condition=PodScheduled pod/exec-test-nginx --timeout=10s");
      assert.match(
        await session.ok("get pods"),
        /^NAME +READY +STATUS +RESTARTS +AGE\nexec-test-nginx +0\/1 +Pending +0 +\d+s\n$/,
      );
      await session.runPod("exec-test-nginx");
      assert.match(await session.ok("get pod exec-test-nginx"), /\nexec-test-nginx +1\/1 +Running +0 +\d+s\n$/);
      assert.match(
        await session.ok("get pods -o wide"),
        /^NAME +READY +STATUS +RESTARTS +AGE +IP +NODE +NOMINATED NODE +READINESS GATES\nexec-test-nginx +1\/1 +Running +0 +\d+s +10\.88\.0\.5 +worker +<none> +<none>\n$/,
      );
    });

    it("P7: nodes, wide and by jsonpath", async () => {
      assert.match(
        await session.ok("get nodes worker -o wide"),
        /^NAME +STATUS +ROLES +AGE +VERSION +INTERNAL-IP +EXTERNAL-IP +OS-IMAGE +KERNEL-VERSION +CONTAINER-RUNTIME\nworker +Ready +<none> +\d+s +v1\.31\.0 +192\.168\.205\.11 +<none> +Debian GNU\/Linux 12 \(bookworm\) +6\.1\.0 +hawser:\/\/0\.1\.0\n$/,
      );
      const port = await session.ok("get nodes worker -o jsonpath='{.status.daemonEndpoints.kubeletEndpoint}'");
      assert.deepEqual(JSON.parse(port.replace("map[Port:10250]", '{"Port":10250}')), { Port: 10250 });
    });

    it("wait, and get -o json, yaml, name, custom columns, by selectors", async () => {
      const pod = "exec-test-nginx";
      assert.equal(
        await session.ok(`wait --for=condition=Ready pod/${pod} --timeout=10s`),
        `pod/${pod} condition met\n`,
      );
      assert.equal(JSON.parse(await session.ok(`get pod ${pod} -o json`)).spec.containers[0].image, "nginx");
      assert.match(await session.ok(`get pod ${pod} -o yaml`), /\n {4}imagePullPolicy: Always\n/);
      assert.equal(await session.ok("get pods -o name"), `pod/${pod}\n`);
      assert.equal(await session.ok("get pods -o custom-columns=N:.metadata.name --no-headers"), `${pod}\n`);
      assert.equal(await session.ok(`get pods -l run=${pod} -o name`), `pod/${pod}\n`);
      assert.equal(
        await session.ok("get pods --field-selector spec.nodeName=worker,status.phase=Running -o name"),
        `pod/${pod}\n`,
      );
      assert.match(await session.ok("get pods -A --sort-by=.metadata.name"), /^NAMESPACE +NAME/);
      const none = await session.kubectl("get pods -l run=other");
      assert.equal(none.stderr, "No resources found in default namespace.\n");
    });

    it("get -w shows what happens while it happens", async () => {
      await using watch = session.background("get pods -w -o name");
      await watch.saw(/^pod\/exec-test-nginx\n$/); // as it is
      await session.ok("label pod exec-test-nginx seen=yes");
      await watch.saw(/^(pod\/exec-test-nginx\n){2}$/);
      await session.ok("annotate pod exec-test-nginx why=because");
      await watch.saw(/^(pod\/exec-test-nginx\n){3}$/);
      const shown = await session.ok("get pods --show-labels");
      assert.match(shown, /run=exec-test-nginx,seen=yes/);
      assert.equal(
        await session.ok("label pod exec-test-nginx seen-"),
        kubectl.minor < 21 ? "pod/exec-test-nginx labeled\n" : "pod/exec-test-nginx unlabeled\n",
      );
    });

    it("describe, events", async () => {
      const described = await session.ok("describe pod exec-test-nginx");
      assert.match(described, /\nNode: +worker\/?\n/);
      assert.match(described, /Normal +Scheduled +\S+ +\S+ +Successfully assigned default\/exec-test-nginx to worker/);
      assert.match(await session.ok("describe node worker"), /default +exec-test-nginx +0 \(0%\)/);
      assert.match(await session.ok("get events"), /Normal +Scheduled +pod\/exec-test-nginx +Successfully assigned/);
    });

    it("create, apply, edit, patch", async () => {
      const manifest = (image: string) =>
        `apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  containers:\n  - name: c\n    image: ${image}\n`;
      assert.equal(await session.ok("create -f -", { input: manifest("a:1") }), "pod/web created\n");
      assert.match(
        await session.fails("create -f -", { input: manifest("a:1") }),
        /^Error from server \(AlreadyExists\): error when creating "STDIN": pods "web" already exists\n$/,
      );
      await session.ok("delete pod web");
      assert.equal(await session.ok("apply -f -", { input: manifest("a:1") }), "pod/web created\n");
      assert.equal(await session.ok("apply -f -", { input: manifest("a:1") }), "pod/web unchanged\n");
      assert.equal(await session.ok("apply -f -", { input: manifest("a:2") }), "pod/web configured\n");
      const image = () => session.ok("get pod web -o jsonpath='{.spec.containers[0].image}'");
      assert.equal(await image(), "a:2");
      assert.equal(await session.ok("edit pod web", { env: { KUBE_EDITOR: "sed -i s/a:2/a:3/" } }), "pod/web edited\n");
      assert.equal(await image(), "a:3");
      await session.ok(
        `patch pod web --type=json -p '[{"op":"replace","path":"/spec/containers/0/image","value":"a:4"}]'`,
      );
      await session.ok(`patch pod web --type=merge -p '{"metadata":{"labels":{"x":"y"}}}'`);
      assert.equal(await session.ok(`set image pod/web c=a:5`), "pod/web image updated\n");
      assert.equal(await image(), "a:5");
      const dry = await session.ok("apply --dry-run=server -f -", { input: manifest("a:6") });
      assert.match(dry, /^pod\/web configured \(server dry run\)\n$/);
      assert.equal(await image(), "a:5");
      const frozen = await session.fails(`patch pod web -p '{"spec":{"containers":[{"name":"c","command":["x"]}]}}'`);
      assert.match(frozen, /^The Pod "web" is invalid: spec: Forbidden: pod updates may not change fields other than/);
    });

    it("a misspelt field is told", async () => {
      const manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: odd}\nspec: {containers: [{name: c, imagee: x}]}\n";
      const want =
        kubectl.minor < 27
          ? /ValidationError\(Pod\.spec\.containers\[0\]\): unknown field "imagee" in io\.k8s\.api\.core\.v1\.Container/
          : /Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec\.containers\[0\]\.imagee"/;
      assert.match(await session.fails("create -f -", { input: manifest }), want);
    });

    it("errors say what the real server says", async () => {
      assert.equal(await session.fails("get pod nope"), 'Error from server (NotFound): pods "nope" not found\n');
      assert.equal(
        await session.fails("get pods nope -n nowhere"),
        'Error from server (NotFound): namespaces "nowhere" not found\n',
      );
      assert.equal(
        await session.fails("run a --image=x -n nowhere"),
        'Error from server (NotFound): namespaces "nowhere" not found\n',
      );
      assert.equal(await session.fails("get things"), 'error: the server doesn\'t have a resource type "things"\n');
      assert.match(
        await session.fails("run Bad --image=x"),
        /^The Pod "Bad" is invalid: \n\* metadata\.name: Invalid value: "Bad": a lowercase RFC 1123 subdomain must consist of/,
      );
      assert.equal(
        await session.fails("delete ns default"),
        'Error from server (Forbidden): namespaces "default" is forbidden: this namespace may not be deleted\n',
      );
      assert.match(
        await session.fails("get pods --field-selector spec.color=red"),
        /field label not supported: spec\.color\n$/,
      );
    });

    it("auth can-i, for oneself and for others", async () => {
      assert.equal(await session.ok("auth can-i create pods/exec"), "yes\n");
      await session.ok("create serviceaccount reader");
      await session.ok("create role reader --verb=get,list --resource=pods");
      await session.ok("create rolebinding reader --role=reader --serviceaccount=default:reader");
      const as = "--as=system:serviceaccount:default:reader";
      assert.equal(await session.ok(`auth can-i list pods ${as}`), "yes\n");
      const no = await session.kubectl(`auth can-i create pods ${as}`);
      assert.deepEqual([no.code, no.stdout.trim()], [1, "no"]);
      assert.equal(
        await session.fails(`run a --image=x ${as}`),
        'Error from server (Forbidden): pods is forbidden: User "system:serviceaccount:default:reader" cannot create resource "pods" in API group "" in the namespace "default"\n',
      );
      assert.match(
        await session.ok("get role,rolebinding -o wide"),
        /rolebinding\.rbac\.authorization\.k8s\.io\/reader +Role\/reader +\d+s +default\/reader/,
      );
    });

    it("namespaces, config maps, secrets; deleting a namespace takes all with it", async () => {
      await session.ok("create namespace team");
      await session.ok("create configmap cm -n team --from-literal=a=b");
      await session.ok("create secret generic s -n team --from-literal=p=q");
      await session.ok("run p -n team --image=nginx");
      const shown = await session.ok("get configmaps,secrets,serviceaccounts,pods -n team -o name");
      assert.equal(shown, "configmap/cm\nsecret/s\nserviceaccount/default\npod/p\n");
      assert.equal(await session.ok("get secret s -n team -o jsonpath='{.data.p}'"), "cQ==");
      assert.equal(await session.ok("delete namespace team"), 'namespace "team" deleted\n');
      assert.equal(
        await session.fails("get namespace team"),
        'Error from server (NotFound): namespaces "team" not found\n',
      );
    });

    it("delete waits until a pod is gone; force does not ask", async () => {
      assert.equal(await session.ok("delete pod exec-test-nginx"), 'pod "exec-test-nginx" deleted\n');
      assert.match(await session.fails("get pod exec-test-nginx"), /NotFound/);
      await session.ok("run other --image=x");
      assert.match(await session.ok("delete pod other --grace-period=0 --force"), /pod "other" force deleted\n$/);
      await session.ok("delete pods --all");
    });

    it("knows its server: version, api-resources, explain, readyz", async () => {
      assert.match((await session.kubectl("version")).stdout, /Server Version.*v1\.33\.0\+hawser/s);
      assert.match(await session.ok("api-resources"), /\npods +po +v1 +true +Pod\n/);
      assert.match(await session.ok("explain pod.spec.containers.image"), /FIELD: +image <string>/);
      assert.equal(await session.ok("get --raw /readyz"), "ok");
      assert.match(await session.ok("cluster-info"), /is running at/);
    });
  });
}

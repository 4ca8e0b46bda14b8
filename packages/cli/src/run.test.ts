import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { commandLine } from "./testing/command-line.ts";

const cases: { argv: string; want: { code: number; stdout?: RegExp; stderr?: string } }[] = [
  { argv: "foo", want: { code: 1, stderr: 'error: unknown command "foo" for "hawser"\n' } },
  {
    argv: "exex",
    want: { code: 1, stderr: 'error: unknown command "exex" for "hawser"\n\nDid you mean this?\n\texec\n' },
  },
  {
    argv: "exec --foo",
    want: { code: 1, stderr: "error: unknown flag: --foo\nSee 'hawser exec --help' for usage.\n" },
  },
  { argv: "exec --help", want: { code: 0, stdout: /^Execute a command in a container\.\n\nExamples:\n/ } },
  { argv: "-n x exec -h", want: { code: 0, stdout: /^Execute a command/ } },
  { argv: "help exec", want: { code: 0, stdout: /^Execute a command/ } },
  { argv: "--namespace=x help logs", want: { code: 0, stdout: /^Print the logs/ } },
  { argv: "options", want: { code: 0, stdout: /-n, --namespace='':\n/ } },
  { argv: "", want: { code: 0, stdout: /\n {2}exec {10}Execute a command in a container\n/ } },
  { argv: "version --client", want: { code: 0, stdout: /^Client Version: v\d/ } },
  {
    argv: "get",
    want: {
      code: 1,
      stderr:
        "You must specify the type of resource to get.\n\nerror: Required resource not specified.\nSee 'hawser get -h' for help and examples\n",
    },
  },
  { argv: "attach", want: { code: 1, stderr: "error: at least 1 argument is required for attach\n" } },
  { argv: "run x", want: { code: 1, stderr: 'error: required flag(s) "image" not set\n' } },
  {
    argv: "run --image x",
    want: { code: 1, stderr: "error: NAME is required for run\nSee 'hawser run -h' for help and examples\n" },
  },
  {
    argv: "run x --image UPPER",
    want: { code: 1, stderr: 'error: Invalid image name "UPPER": invalid reference format\n' },
  },
  {
    argv: "run x --image x -t",
    want: {
      code: 1,
      stderr:
        "error: -i/--stdin is required for containers with -t/--tty=true\nSee 'hawser run -h' for help and examples\n",
    },
  },
  {
    argv: "run x --image x --rm",
    want: {
      code: 1,
      stderr: "error: --rm should only be used for attached containers\nSee 'hawser run -h' for help and examples\n",
    },
  },
  {
    argv: "get pods --kubeconfig /no/such",
    want: { code: 1, stderr: "error: stat /no/such: no such file or directory\n" },
  },
  {
    argv: "get pods --context x",
    want: { code: 1, stderr: "Error in configuration: context was not found for specified context: x\n" },
  },
  { argv: "config current-context", want: { code: 1, stderr: "error: current-context is not set\n" } },
];

describe("hawser", () => {
  for (const { argv, want } of cases) {
    it(argv || "alone", async () => {
      const { code, stdout, stderr } = await commandLine(argv.split(" ").filter(Boolean)).result;
      assert.equal(stderr, want.stderr ?? "");
      assert.equal(code, want.code);
      assert.match(stdout, want.stdout ?? /^$/);
    });
  }
});

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { main } from "./main.ts";

/** Runs `hawser apiserver` in this process; nothing that is asked of it here gets as far as serving. */
async function call(context: import("node:test").TestContext, args: string[]) {
  const said = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    context.mock.method(process[name], "write", (text: string) => {
      said[name] += text;
      return true;
    });
  }
  try {
    return { code: await main(args), ...said };
  } finally {
    context.mock.restoreAll();
  }
}

test("--help names every flag", async (context) => {
  const { code, stdout } = await call(context, ["--help"]);
  assert.equal(code, 0);
  for (const flag of [
    "--data-dir",
    "--bind-address",
    "--port",
    "--advertise-address",
    "--datastore",
    "--token-auth-file",
  ]) {
    assert.match(stdout, new RegExp(`\\n {2}${flag} `));
  }
});

const wrong: { name: string; args: string[]; text: RegExp }[] = [
  { name: "no data directory", args: [], text: /--data-dir is required/ },
  { name: "an unknown flag", args: ["--data-dir", "x", "--colour"], text: /Unknown option '--colour'/ },
  {
    name: "a port that is none",
    args: ["--data-dir", "x", "--port", "65536"],
    text: /--port: "65536" is no number from 0 to 65535/,
  },
  { name: "a config file that is not there", args: ["--config", "/nonexistent"], text: /no such file or directory/ },
];
for (const { name, args, text } of wrong) {
  test(`refuses: ${name}`, async (context) => {
    const { code, stderr } = await call(context, args);
    assert.equal(code, 2);
    assert.match(stderr, text);
  });
}

test("a datastore it does not have is refused by name; a config file is read, and flags win", async (context) => {
  const folder = await mkdtemp(join(tmpdir(), "hawser-main-"));
  try {
    const config = join(folder, "config.yaml");
    await writeFile(config, `data-dir: ${folder}\ndatastore: etcd://127.0.0.1:2379\nport: 0\n`);
    const { code, stderr } = await call(context, ["--config", config]);
    assert.equal(code, 1);
    assert.match(stderr, /datastore \\"etcd:\/\/127\.0\.0\.1:2379\\" is not supported yet: only \\"sqlite\\" is/);
    const flagged = await call(context, ["--config", config, "--datastore", "redis"]);
    assert.match(flagged.stderr, /datastore \\"redis\\" is not supported yet/);
    await writeFile(config, "colour: red\n");
    assert.match((await call(context, ["--config", config])).stderr, /unknown setting "colour"/);
  } finally {
    await rm(folder, { recursive: true });
  }
});

// `hawser runtime` as a process of its own, from the sources, with a configuration file that a test can change.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type CRIConnection, connectCRI, upload } from "@hawser/cri";
import { type PartialConfig, removeEverything } from "@hawser/runtime";
import { type Background, background, checkout } from "@hawser/testing";
import { inChunks, makeArchive } from "../crun/support/image.ts";
import { image, testConfig } from "../crun/support/runtime.ts";

export interface RuntimeProcess extends AsyncDisposable {
  folder: string;
  endpoint: string;
  configFile: string;
  process: Background;
  cri: CRIConnection;
  /** Writes the configuration: what a test gives, or its text as it is. */
  configure(config: PartialConfig | string): Promise<void>;
  /** Sends SIGHUP, and resolves with what the log says from then on, once it says `pattern`. */
  reload(pattern: RegExp): Promise<string>;
}

/** A `hawser` command line of this checkout's sources. */
export function hawser(...words: string[]): string[] {
  return [process.execPath, path.join(checkout, "packages/hawser/bin/hawser.cjs"), ...words];
}

/** How long it may take to end, milliseconds. */
const endTimeout = 30_000;

export const fromSources = { HAWSER_SOURCE: "1" };

/** Starts it and loads the test image. */
export async function startRuntimeProcess(
  config: PartialConfig = {},
  env: NodeJS.ProcessEnv = {},
): Promise<RuntimeProcess> {
  const folder = await mkdtemp(path.join(tmpdir(), "hawser-operate-"));
  const [socket, configFile] = [path.join(folder, "r.sock"), path.join(folder, "runtime.yaml")];
  const own = testConfig();
  const configure = async (given: PartialConfig | string) => {
    // JSON is YAML.
    await writeFile(configFile, typeof given === "string" ? given : JSON.stringify({ ...own, ...given }));
  };
  await configure(config);
  const flags = ["--root", path.join(folder, "root"), "--socket", socket, "--config", configFile];
  const runtime = background(hawser("runtime", ...flags), { env: { ...fromSources, ...env } });
  const stack = new AsyncDisposableStack();
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  stack.defer(() => removeEverything(path.join(folder, "root")));
  stack.defer(async () => {
    runtime.child.kill("SIGTERM");
    const late = setTimeout(() => runtime.child.kill("SIGKILL"), endTimeout);
    await runtime.exit.finally(() => clearTimeout(late));
  });
  const endpoint = `unix://${socket}`;
  try {
    await runtime.saw("hawser-runtime ready", { timeoutMs: 30_000 });
    const cri = stack.use(await connectCRI({ endpoint }));
    const archive = await makeArchive({ name: image });
    await upload({ endpoint, path: "/hawser.v1.Images/Load", chunks: inChunks(archive) });
    return {
      folder,
      endpoint,
      configFile,
      process: runtime,
      cri,
      configure,
      async reload(pattern) {
        const from = runtime.output().length;
        runtime.child.kill("SIGHUP");
        await runtime.saw(pattern, { from });
        return runtime.output().slice(from);
      },
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}
